using System.Text.Json;
using FluentAssertions;
using Xunit;

namespace MemSim.Tool.Tests;

public class BootTests(RecordingsFixture recordings)
{
    [Theory]
    [InlineData("slub", "   0    0    0 ")]
    [InlineData("slab", " 120   60    0 ")]
    public void Slabinfo_lists_the_caches_with_the_tunables_of_their_implementation(string implementation, string tunables)
    {
        ToolRun run = ToolRun.Of("boot", "--memory", "256M", "--cmdline", $"slab_allocator={implementation}", "--show", "slabinfo", "--quiet");
        run.ExitCode.Should().Be(0, run.Error);
        run.Out.Should().Contain("slabinfo - version: 2.1\n");
        run.Out.Should().MatchRegex($"\nkmalloc-256 +0 +0 +256 +16 +1 : tunables {tunables}: slabdata +0 +0 +0\n");
    }

    [Fact]
    public void Node_views_count_slab_pages()
    {
        ToolRun run = ToolRun.Of("boot", "--memory", "256M", "--show", "vmstat", "--quiet");
        run.ExitCode.Should().Be(0, run.Error);
        run.Out.Should().MatchRegex("nr_slab_reclaimable [0-9]+").And.MatchRegex("nr_slab_unreclaimable [0-9]+");
    }

    [Theory]
    [InlineData("x86_64", "DMA32")]
    [InlineData("x86_32", "HighMem")]
    [InlineData("x86_32-pae", "HighMem")]
    [InlineData("arm64", "DMA")]
    public void Every_architecture_boots(string arch, string zone)
    {
        ToolRun run = ToolRun.Of("boot", "--arch", arch, "--memory", "1G", "--cpus", "2", "--json");
        run.ExitCode.Should().Be(0, run.Error);
        JsonElement json = run.Json();
        json.GetProperty("architecture").GetString().Should().Be(arch);
        json.GetProperty("cpus").GetInt32().Should().Be(2);
        json.GetProperty("boot_log").GetArrayLength().Should().BePositive();
        json.GetProperty("zones").EnumerateArray().Select(z => z.GetProperty("name").GetString()).Should().Contain(zone);
    }

    [Fact]
    public void The_boot_log_comes_before_the_views()
    {
        ToolRun run = ToolRun.Of("boot", "--memory", "256M", "--show", "buddyinfo,zoneinfo");
        run.ExitCode.Should().Be(0, run.Error);
        run.Out.IndexOf("zonelists", StringComparison.Ordinal).Should().BePositive();
        run.Out.IndexOf("==> buddyinfo <==", StringComparison.Ordinal).Should().BeGreaterThan(run.Out.IndexOf("zonelists", StringComparison.Ordinal));
        run.Out.IndexOf("==> zoneinfo <==", StringComparison.Ordinal).Should().BeGreaterThan(run.Out.IndexOf("==> buddyinfo <==", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("buddyinfo", "Node 0, zone      DMA ")]
    [InlineData("zoneinfo", "Node 0, zone      DMA\n")]
    [InlineData("pagetypeinfo", "Page block order: 9\n")]
    [InlineData("meminfo", "MemTotal: ")]
    [InlineData("pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n")]
    [InlineData("swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n")]
    public void A_view_alone_is_what_the_file_would_read(string view, string start)
    {
        ToolRun run = ToolRun.Of("boot", "--memory", "256M", "--show", view, "--quiet");
        run.ExitCode.Should().Be(0, run.Error);
        run.Out.Should().StartWith(start).And.EndWith("\n");
    }

    [Fact]
    public void Areas_of_contiguous_memory_can_be_shown()
    {
        ToolRun run = ToolRun.Of("boot", "--arch", "arm64", "--memory", "256M", "--cmdline", "cma=16M", "--show", "cma", "--quiet");
        run.Out.Should().Contain("reserved/count 4096\n").And.Contain("reserved/used 0\n");
    }

    [Fact]
    public void The_twin_of_a_capture_has_its_zones_and_computed_watermarks()
    {
        ToolRun run = ToolRun.Of("boot", "--from", recordings.Twin, "--json");
        run.ExitCode.Should().Be(0, run.Error);
        JsonElement dma32 = run.Json().GetProperty("zones")[1];
        dma32.GetProperty("start_pfn").GetInt64().Should().Be(4096);
        dma32.GetProperty("managed_pages").GetInt64().Should().Be(48848);
        dma32.GetProperty("min").GetInt64().Should().Be(413);
        dma32.GetProperty("free_blocks").GetArrayLength().Should().Be(11);
    }

    [Fact]
    public void Settings_are_applied_in_order_with_spaces_kept()
    {
        ToolRun run = ToolRun.Of("boot", "--from", recordings.Twin, "--set", "vm.min_free_kbytes=4096", "--set", "vm.min_free_kbytes=16384", "--set", "vm.lowmem_reserve_ratio=128 128 16 0 0", "--json");
        run.ExitCode.Should().Be(0, run.Error);
        JsonElement[] zones = [.. run.Json().GetProperty("zones").EnumerateArray()];
        zones.Sum(z => z.GetProperty("min").GetInt64()).Should().BeInRange((16384 / 4) - 2, 16384 / 4);
        zones[0].GetProperty("protection")[1].GetInt64().Should().Be(48848 / 128);
        run.Json().GetProperty("set").GetArrayLength().Should().Be(3);
    }

    [Theory]
    [InlineData("vm.min_free_kbytes=many", "min_free_kbytes")]
    [InlineData("vm.min_free_kbytes=", "min_free_kbytes")]
    [InlineData("vm.no_such_file=1", "no_such_file")]
    [InlineData("vm.watermark_scale_factor=0", "watermark_scale_factor")]
    [InlineData("min_free_kbytes=1", "vm.NAME=VALUE")]
    [InlineData("vm.=1", "vm.NAME=VALUE")]
    [InlineData("vm.min_free_kbytes", "vm.NAME=VALUE")]
    public void A_setting_the_kernel_would_refuse_is_refused(string setting, string reason) =>
        ToolRun.Of("boot", "--memory", "256M", "--set", "vm.min_free_kbytes=4096", "--set", setting).ShouldBeRefused(reason);

    [Theory]
    [InlineData("--arch", "vax", "--arch")]
    [InlineData("--memory", "lots", "--memory")]
    [InlineData("--memory", "0", "--memory")]
    [InlineData("--memory", "4097", "--memory")]
    [InlineData("--memory", "99999999999999999999", "--memory")]
    [InlineData("--cpus", "0", "--cpus")]
    [InlineData("--cpus", "-1", "--cpus")]
    [InlineData("--cpus", "8193", "--cpus")]
    [InlineData("--cmdline", "kernelcore=mirror", "mirror")]
    [InlineData("--cmdline", "failslab=1,100", "interval,probability,space,times")]
    [InlineData("--show", "weather", "weather")]
    [InlineData("--show", "buddyinfo,", "''")]
    [InlineData("--from", "/no/such/folder", "no such folder")]
    public void A_bad_option_is_refused(string option, string value, string reason) => ToolRun.Of("boot", option, value).ShouldBeRefused(reason);

    [Fact]
    public void Parameters_of_fault_injection_are_known()
    {
        ToolRun run = ToolRun.Of("boot", "--memory", "256M", "--cmdline", "failslab=1,10,0,-1 fail_page_alloc=1,10,0,-1 fail_usercopy=1,10,0,-1");
        run.ExitCode.Should().Be(0, run.Error);
        run.Error.Should().NotContain("has no effect");
        run.Out.Should().NotContain("Unknown kernel command line").And.Contain("Kernel command line: failslab=1,10,0,-1");
    }

    [Fact]
    public void A_machine_too_small_for_its_kernel_is_refused() => ToolRun.Of("boot", "--memory", "1M").ShouldBeRefused("memory");

    [Theory]
    [InlineData("--cpus", "2")]
    [InlineData("--memory", "1G")]
    [InlineData("--arch", "arm64")]
    [InlineData("--cmdline", "mem=64M")]
    public void A_twin_takes_no_other_hardware(string option, string value) =>
        ToolRun.Of("boot", "--from", recordings.Twin, option, value).ShouldBeRefused(option);

    [Fact]
    public void A_folder_without_zoneinfo_and_a_file_instead_of_a_folder_are_refused()
    {
        ToolRun.Of("boot", "--from", recordings.EmptyFolder()).ShouldBeRefused("zoneinfo");
        ToolRun.Of("boot", "--from", Path.Combine(recordings.Twin, "zoneinfo")).ShouldBeRefused("not a folder");
    }

    [Fact]
    public void Damaged_files_are_refused_with_file_and_line()
    {
        string folder = recordings.CopyOf(recordings.Twin);
        string zoneInfo = Path.Combine(folder, "zoneinfo");
        string[] lines = File.ReadAllLines(zoneInfo);
        int line = Array.FindIndex(lines, l => l.Contains("managed", StringComparison.Ordinal));
        lines[line] = "        managed  99999999999999999999999";
        File.WriteAllLines(zoneInfo, lines);
        ToolRun.Of("boot", "--from", folder).ShouldBeRefused($"{zoneInfo}({line + 1}): ");

        File.WriteAllBytes(zoneInfo, [0x1f, 0x8b, 0xff, 0x00, 0xfe, 0x80, 0x0a, 0xc3, 0x28]);
        ToolRun.Of("boot", "--from", folder).ShouldBeRefused(zoneInfo);

        File.Delete(zoneInfo);
        Directory.CreateDirectory(zoneInfo);
        ToolRun.Of("boot", "--from", folder).ShouldBeRefused("zoneinfo");
    }
}
