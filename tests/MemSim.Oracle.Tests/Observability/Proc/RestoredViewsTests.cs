using MemSim.Captures;
using MemSim.Observability;
using MemSim.Recordings;
using Xunit;

namespace MemSim.Oracle.Tests.Observability.Proc;

/// <summary>The views of machines restored to the free lists of real kernels, against what those kernels printed at the same moment.</summary>
public sealed class RestoredViewsTests(RecordedViews recorded) : IClassFixture<RecordedViews>
{
    /// <summary>Where huge pages or per-CPU lists were freed between the reading of zoneinfo and that of meminfo.</summary>
    private static readonly string[] ChangedWhileRead = ["amd64-1G-smp1-hogswap2-zram/before", "amd64-256M-smp2-fork/after"];

    public static TheoryData<string, string> States
    {
        get
        {
            TheoryData<string, string> data = [];
            foreach ((string trace, string when) in RecordedViews.States())
            {
                data.Add(trace, when);
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(States))]
    public void Buddyinfo_and_the_fragmentation_indices_are_byte_for_byte_those_of_the_kernel(string trace, string when)
    {
        using Machine machine = Restore(trace, when);

        machine.Proc.BuddyInfo.ShouldBeExactly(recorded.Read(trace, when + "-buddyinfo"));
        machine.Proc.UnusableIndex.ShouldBeExactly(recorded.Read(trace, when + "-unusable_index"));
        machine.Proc.ExtFragIndex.ShouldBeExactly(recorded.Read(trace, when + "-extfrag_index"));
    }

    [Theory]
    [MemberData(nameof(States))]
    public void Pagetypeinfo_is_byte_for_byte_that_of_the_kernel(string trace, string when)
    {
        using Machine machine = Restore(trace, when);

        machine.Proc.PageTypeInfo.ShouldBeExactly(recorded.Read(trace, when + "-pagetypeinfo"));
    }

    [Theory]
    [MemberData(nameof(States))]
    public void Zoneinfo_is_byte_for_byte_that_of_the_kernel_once_the_counters_of_other_subsystems_are_set(string trace, string when)
    {
        using Machine machine = Restore(trace, when);
        string expected = recorded.Read(trace, when + "-zoneinfo");
        RecordedCounters.FeedZoneInfo(machine, expected);

        machine.Proc.ZoneInfo.ShouldBeExactly(expected);
    }

    [Theory]
    [MemberData(nameof(States))]
    public void Meminfo_and_vmstat_follow_from_the_counters(string trace, string when)
    {
        using Machine machine = Restore(trace, when);
        string memInfo = recorded.Read(trace, when + "-meminfo");
        string vmStat = recorded.Read(trace, when + "-vmstat");
        RecordedCounters.FeedZoneInfo(machine, recorded.Read(trace, when + "-zoneinfo"));
        RecordedCounters.FeedMemInfo(machine, memInfo);
        RecordedCounters.FeedVmStat(machine, vmStat);

        if (ChangedWhileRead.Contains($"{trace}/{when}"))
        {
            return;
        }

        machine.Proc.MemInfo.ShouldBeExactly(memInfo);
        string[] countedByTheAllocator = ["pgalloc_", "allocstall_", "pgskip_"];
        Without(machine.Proc.VmStat, countedByTheAllocator).ShouldBeExactly(Without(vmStat, countedByTheAllocator));
    }

    private static string Without(string vmStat, string[] prefixes) =>
        string.Join('\n', vmStat.Split('\n').Select(l => prefixes.Any(p => l.StartsWith(p, StringComparison.Ordinal)) ? l.Split(' ')[0] : l));

    private Machine Restore(string trace, string when)
    {
        Machine machine = StateRestorer.Restore(MmListsReader.Read(recorded.PathOf(trace, when + "-mmlists")));
        RecordedCounters.FeedDerivedFigures(machine, ZoneInfoFile.Read(recorded.PathOf(trace, when + "-zoneinfo")));
        return machine;
    }
}
