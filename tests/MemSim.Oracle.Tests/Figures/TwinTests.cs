using System.Text.Json;
using System.Text.RegularExpressions;
using FluentAssertions;
using MemSim.Captures;
using MemSim.Recordings;
using Xunit;

namespace MemSim.Oracle.Tests.Figures;

/// <summary>Every derived figure of every captured machine, computed from its layout alone.</summary>
public sealed class TwinTests(CaptureArchive captures) : IClassFixture<CaptureArchive>
{
    private const string Base = "base";

    public static TheoryData<string> Machines => [.. CaptureArchive.Names()];

    public static TheoryData<string> MachinesWithSteps => [.. CaptureArchive.Names().Where(n => n.EndsWith("-runtime", StringComparison.Ordinal))];

    [Theory]
    [MemberData(nameof(Machines))]
    public void Every_figure_of_a_captured_machine_follows_from_its_layout(string name)
    {
        TwinReport report = TwinComparison.Run(captures.Folder(name));

        report.Rows.Where(r => r.Verdict == TwinVerdict.Mismatch).Should().BeEmpty();
        report.Matched.Should().BeGreaterThan(15);

        // 6.12 and later move the limit of the per-CPU lists with the load: the only figure that is no function of the layout.
        report.Rows.Where(r => r.Verdict == TwinVerdict.NotComparable)
            .Should().NotContain(r => report.Kernel == "Linux 6.1" || r.Figure != "pcp high" || !r.Reason!.StartsWith("moves with the load"));
    }

    [Fact]
    public void The_captures_hold_more_than_ten_thousand_figures_and_all_agree()
    {
        var rows = CaptureArchive.Names().SelectMany(n => TwinComparison.Run(captures.Folder(n)).Rows).ToList();

        rows.Count(r => r.Step == Base && r.Verdict == TwinVerdict.Match).Should().Be(3619);
        rows.Count(r => r.Step != Base && r.Verdict == TwinVerdict.Match).Should().Be(12810);
        rows.Count(r => r.Verdict == TwinVerdict.NotComparable).Should().Be(447);
        rows.Should().HaveCount(3619 + 12810 + 447);
    }

    [Theory]
    [InlineData("amd64-1G-runtime")]
    [InlineData("amd64-4G-numa4-uneven")]
    [InlineData("amd64k612-4G-smp4")]
    [InlineData("arm64-6G-kernelcore2G")]
    [InlineData("i386-512M-runtime")]
    [InlineData("i386pae-6G-smp4")]
    public void Figures_blanked_out_are_still_computed_and_never_count_as_matched(string name)
    {
        TwinReport truth = TwinComparison.Run(captures.Folder(name));
        string blanked = captures.Copy(name);
        Blank(blanked);

        TwinReport report = TwinComparison.Run(blanked);

        report.Compared.Should().Be(0);
        report.Rows.Should().HaveSameCount(truth.Rows);
        for (int i = 0; i < report.Rows.Count; i++)
        {
            report.Rows[i].Captured.Should().BeNull();
            report.Rows[i].Should().Be(truth.Rows[i] with { Captured = null, Verdict = TwinVerdict.NotComparable, Reason = report.Rows[i].Reason });
        }
    }

    [Theory]
    [MemberData(nameof(MachinesWithSteps))]
    public void Without_a_boot_log_the_base_figures_are_reported_apart_and_the_steps_still_agree(string name)
    {
        string copy = captures.Copy(name);
        File.Delete(Path.Combine(copy, "dmesg-mm.txt"));

        TwinReport report = TwinComparison.Run(copy);

        report.Mismatched.Should().Be(0);
        report.Rows.Where(r => r.Step == Base && r.Figure is "min" or "low" or "high" or "pcp high" or "protection" or "min_free_kbytes")
            .Where(r => r.Figure != "protection" || !FollowsManaged(report.Kernel))
            .Should().OnlyContain(r => r.Verdict == TwinVerdict.NotComparable && r.Reason!.Contains("boot log"));
        var steps = report.Rows.Where(r => r.Step is not (Base or "min_free_kbytes-before")).ToList();
        steps.Count(r => r.Verdict == TwinVerdict.Match).Should().BeGreaterThan(steps.Count * 9 / 10);
    }

    /// <summary>From 6.18 on the reserves are those of the present layout, whatever the boot found.</summary>
    private static bool FollowsManaged(string kernel) => MemSim.Kernels.KernelLines.Recorded.Single(l => l.ToString() == kernel).Reserves.LowmemReserveFollowsManaged;

    [Fact]
    public void A_min_free_kbytes_written_since_boot_is_reported_and_the_rest_follows_from_it()
    {
        string copy = captures.Copy("amd64-1G-runtime");
        string step = Path.Combine(copy, "runtime", "min_free_kbytes-65536");
        string sysctls = Path.Combine(copy, "sysctl-vm.txt");
        File.WriteAllText(sysctls, File.ReadAllText(sysctls).Replace("min_free_kbytes = 45056", "min_free_kbytes = 65536"));
        File.Copy(Path.Combine(step, "zoneinfo"), Path.Combine(copy, "zoneinfo"), overwrite: true);
        Directory.Delete(Path.Combine(copy, "runtime"), recursive: true);

        TwinReport report = TwinComparison.Run(copy);

        report.Rows.Where(r => r.Verdict == TwinVerdict.Mismatch && r.Figure != "protection").Should().ContainSingle().Which.Figure.Should().Be("min_free_kbytes");
    }

    [Fact]
    public void A_setting_on_the_command_line_is_applied_to_the_final_layout()
    {
        // The same value written at run time is what the capture has figures for.
        string copy = captures.Copy("amd64-1G-runtime");
        string step = Path.Combine(copy, "runtime", "min_free_kbytes-16384");
        File.AppendAllText(Path.Combine(copy, "proc-cmdline"), " sysctl.vm.min_free_kbytes=16384");
        File.Copy(Path.Combine(step, "zoneinfo"), Path.Combine(copy, "zoneinfo"), overwrite: true);
        Directory.Delete(Path.Combine(copy, "runtime"), recursive: true);

        TwinReport report = TwinComparison.Run(copy);

        report.Rows.Where(r => r.Figure is not ("min_free_kbytes" or "protection")).Should().OnlyContain(r => r.Verdict == TwinVerdict.Match);
        report.Rows.Should().ContainSingle(r => r.Figure == "min_free_kbytes").Which.Computed.Should().Be("16384");
    }

    [Fact]
    public void A_figure_that_is_one_page_off_is_found()
    {
        string copy = captures.Copy("amd64-2G-numa2");
        string zoneInfo = Path.Combine(copy, "zoneinfo");
        ZoneInfoZone zone = ZoneInfoFile.Read(zoneInfo).Zones.First(z => z.Node == 1 && z.Present != 0);
        File.WriteAllText(zoneInfo, File.ReadAllText(zoneInfo).Replace($"low      {zone.Low}\n", $"low      {zone.Low + 1}\n"));

        TwinReport report = TwinComparison.Run(copy);

        TwinRow row = report.Rows.Should().ContainSingle(r => r.Verdict == TwinVerdict.Mismatch).Subject;
        row.ToString().Should().Be($"base node 1 zone DMA32 low: captured {zone.Low + 1}, computed {zone.Low}");
        var text = new StringWriter();
        report.WriteText(text);
        text.ToString().TrimEnd().Should().EndWith($"matched {report.Matched} of {report.Matched + 1}");
        JsonSerializer.Serialize(report).Should().Contain("\"Mismatched\":1");
    }

    [Theory]
    [MemberData(nameof(MachinesWithSteps))]
    public void Settings_are_accepted_and_refused_as_the_kernel_did(string name)
    {
        foreach (string step in Directory.GetDirectories(Path.Combine(captures.Folder(name), "runtime")))
        {
            string noteFile = Path.Combine(step, "note");
            Match note = Regex.Match(File.Exists(noteFile) ? File.ReadAllText(noteFile) : "", "^wrote '(.*)' to (.*): (ok|refused)$", RegexOptions.Multiline);
            if (!note.Success)
            {
                continue;
            }

            (string value, string file) = (note.Groups[1].Value, note.Groups[2].Value);
            VmSysctls sysctls = CapturedMachine.Read(captures.Folder(name)).Sysctls;
            bool accepted = sysctls.TrySet(file, value, out string? error);

            accepted.Should().Be(note.Groups[3].Value == "ok", error);
            if (accepted)
            {
                // Numbers that were not written are what the step before left.
                int count = Math.Min(value.Split(' ').Length, sysctls.Get(file).Split('\t').Length);
                sysctls.Get(file).Split('\t').Take(count).Should().Equal(File.ReadAllText(Path.Combine(step, file)).TrimEnd().Split('\t').Take(count));
            }
        }
    }

    [Theory]
    [MemberData(nameof(Machines))]
    public void Settings_are_read_and_printed_as_captured(string name)
    {
        VmSysctls sysctls = CapturedMachine.Read(captures.Folder(name)).Sysctls;
        foreach (string line in File.ReadLines(Path.Combine(captures.Folder(name), "sysctl-vm.txt")))
        {
            string[] parts = line.Split(" = ", 2);
            sysctls.Get(parts[0]).Should().Be(parts[1]);
        }
    }

    [Fact]
    public void A_single_step_can_be_compared_and_booted_from()
    {
        string step = Path.Combine(captures.Folder("amd64-1G-runtime"), "runtime", "cpu1-offline");

        TwinReport report = TwinComparison.Run(step);
        ReserveFigures figures = TwinState.ComputeFigures(step, out VmSysctls sysctls, out _);

        report.Rows.Should().OnlyContain(r => r.Step == "cpu1-offline" && r.Verdict == TwinVerdict.Match);
        sysctls.MinFreeKbytes.Should().Be(45056);
        figures.Zones.Select(z => z.Min).Should().Equal(ZoneInfoFile.Read(Path.Combine(step, "zoneinfo")).Zones.Select(z => z.Min!.Value));
    }

    [Theory]
    [InlineData("amd64-1G-runtime", Architecture.X86_64)]
    [InlineData("i386-1G-smp2", Architecture.X86_32)]
    [InlineData("i386pae-4G-smp2", Architecture.X86_32Pae)]
    [InlineData("arm64-2G-numa2", Architecture.Arm64)]
    public void The_architecture_and_its_zones_are_recognised(string name, Architecture architecture)
    {
        CapturedMachine machine = CapturedMachine.Read(captures.Folder(name));

        machine.Layout.Architecture.Architecture.Should().Be(architecture);
        machine.Layout.ZoneTypes.Should().Equal(machine.Layout.Architecture.ZoneTypes);
        machine.Layout.PageblockOrder.Should().Be(machine.Layout.Architecture.PageblockOrder);
    }

    [Theory]
    [InlineData("sysctl-vm.txt", "swappiness = 60", "swappiness = 6x", "not a number that fits")]
    [InlineData("sysctl-vm.txt", "swappiness = 60", "swappiness 60", "is not like 'name = value'")]
    [InlineData("node/node0-cpulist", "0", "3-1", "is not a list of CPUs")]
    [InlineData("node/node0-distance", "10", "ten", "is not a distance")]
    [InlineData("pagetypeinfo", "order: 9", "order: x", "names no order")]
    public void A_malformed_file_is_refused_by_name_and_line(string file, string find, string replace, string reason)
    {
        string path = Path.Combine(captures.Copy("amd64-2G-numa2"), file);
        File.WriteAllText(path, File.ReadAllText(path).Replace(find, replace));

        Action read = () => CapturedMachine.Read(path[..^(file.Length + 1)]);

        InputFileException error = read.Should().Throw<InputFileException>().Which;
        error.Path.Should().Be(path);
        error.Line.Should().BePositive();
        error.Reason.Should().Contain(reason);
    }

    [Fact]
    public void A_folder_without_zoneinfo_is_refused()
    {
        Action read = () => TwinComparison.Run(Path.Combine(captures.Folder("amd64-2G-numa2"), "node"));
        read.Should().Throw<InputFileException>().WithMessage("*zoneinfo*no such file*");
    }

    private static void Blank(string folder)
    {
        foreach (string zoneInfo in Directory.GetFiles(folder, "zoneinfo", SearchOption.AllDirectories))
        {
            string text = Regex.Replace(File.ReadAllText(zoneInfo), @"^( +(?:min|low|high|promo) +|.*(?:high|batch|threshold|protection): *).*$", "$1-", RegexOptions.Multiline);
            File.WriteAllText(zoneInfo, text);
        }

        string sysctls = Path.Combine(folder, "sysctl-vm.txt");
        File.WriteAllText(sysctls, Regex.Replace(File.ReadAllText(sysctls), "min_free_kbytes = .*", "min_free_kbytes = -"));
    }
}
