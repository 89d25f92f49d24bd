using System.IO.Compression;
using FluentAssertions;
using MemSim.Oracle.Tests.Boot;
using MemSim.Oracle.Tests.Figures;
using MemSim.Statistics;
using Xunit;

namespace MemSim.Oracle.Tests.HugePages;

/// <summary>How huge pages are set up after a boot, against <c>/sys/kernel/mm</c> of the captured machines.</summary>
public class HugePageSettingsTests(CaptureArchive archive) : IClassFixture<CaptureArchive>
{
    private static readonly Lazy<Dictionary<string, List<string>>> Recorded = new(Read);

    public static TheoryData<string> Captures => [.. RecordedBoot.All.Select(boot => boot.Name).Where(Recorded.Value.ContainsKey)];

    [Theory]
    [MemberData(nameof(Captures))]
    public void Transparent_huge_pages_of_a_booted_machine_are_set_up_as_the_kernel_does(string name)
    {
        using Machine machine = Machine.Boot(RecordedBoot.Named(name).FromArguments());
        Compare(machine, name);
    }

    [Theory]
    [MemberData(nameof(Captures))]
    public void Pools_of_huge_pages_are_those_that_the_command_line_asked_for(string name)
    {
        // The CPU model qemu64 has no pages of 1 GiB.
        using Machine machine = Machine.Boot(RecordedBoot.Named(name).FromArguments().WithMmu(new MmuOptions { GigabytePages = !name.Contains("qemu64", StringComparison.Ordinal) }));
        machine.Proc.SysKernelMm.Split('\n').Where(line => line.StartsWith("hugepages/", StringComparison.Ordinal))
            .Should().Equal(Recorded.Value[name].Where(line => line.StartsWith("hugepages/", StringComparison.Ordinal)));
        machine.Proc.MemInfo.Split('\n').Where(line => line.StartsWith("Huge", StringComparison.Ordinal))
            .Should().Equal(Recorded.Value[name].Where(line => line.StartsWith("meminfo ", StringComparison.Ordinal)).Select(line => line["meminfo ".Length..]));
        machine.Verify();
    }

    [Fact]
    public void The_boot_says_of_huge_pages_what_the_kernel_says()
    {
        RecordedBoot boot = RecordedBoot.Named("captures/amd64-2G-hugepages");
        using Machine machine = Machine.Boot(boot.FromArguments());
        machine.BootLog.Where(line => line.StartsWith("HugeTLB", StringComparison.Ordinal)).Should().Equal(
            "HugeTLB: allocating 1 of page size 1.00 GiB failed.  Only allocated 0 hugepages.",
            "HugeTLB: registered 2.00 MiB page size, pre-allocated 64 pages",
            "HugeTLB: 28 KiB vmemmap can be freed for a 2.00 MiB page",
            "HugeTLB: registered 1.00 GiB page size, pre-allocated 0 pages",
            "HugeTLB: 16380 KiB vmemmap can be freed for a 1.00 GiB page");
        machine.Events[VmEvent.HtlbBuddyAllocSuccess].Should().Be(64);
    }

    [Theory]
    [MemberData(nameof(Captures))]
    public void Transparent_huge_pages_of_a_twin_are_set_up_as_those_of_its_original(string name)
    {
        using Machine machine = Machine.Boot(MachineSpec.FromProc(archive.Folder(name["captures/".Length..])).AsBooted());
        Compare(machine, name);
    }

    private static void Compare(Machine machine, string name)
    {
        // How often khugepaged has gone round is a matter of time, and what was counted by size one of the programs that ran.
        static IEnumerable<string> Relevant(IEnumerable<string> lines) => lines
            .Where(line => line.StartsWith("transparent_hugepage/", StringComparison.Ordinal) && !line.Contains("full_scans", StringComparison.Ordinal))
            .Select(line => line.Contains("/stats/", StringComparison.Ordinal) ? line[..line.IndexOf(" =", StringComparison.Ordinal)] : line);
        Relevant(machine.Proc.SysKernelMm.Split('\n')).Should().Equal(Relevant(Recorded.Value[name]));
    }

    private static Dictionary<string, List<string>> Read()
    {
        Dictionary<string, List<string>> machines = [];
        List<string> lines = [];
        using StreamReader reader = new(new GZipStream(File.OpenRead(Path.Combine(AppContext.BaseDirectory, "Data", "huge", "sys-kernel-mm.txt.gz")), CompressionMode.Decompress));
        while (reader.ReadLine() is { } line)
        {
            if (line.StartsWith("# ", StringComparison.Ordinal))
            {
                machines.Add(line[2..], lines = []);
            }
            else
            {
                lines.Add(line);
            }
        }

        return machines;
    }
}
