using System.Globalization;
using System.Text.RegularExpressions;
using FluentAssertions;
using MemSim.Observability;
using MemSim.Recordings;
using MemSim.Zones;
using Xunit;

namespace MemSim.Oracle.Tests.Observability.Proc;

/// <summary>The memory report of machines brought into the state that a real kernel's OOM report describes, against that report.</summary>
public sealed partial class MemoryReportTests(RecordedViews recorded) : IClassFixture<RecordedViews>
{
    private const string Letters = "UMEHCI";

    public static TheoryData<string> Reports => [.. RecordedViews.Reports()];

    [Theory]
    [MemberData(nameof(Reports))]
    public void Report_is_line_by_line_that_of_the_kernel(string file)
    {
        string trace = file["oom-qemu-".Length..^".txt".Length];
        string[] lines = [.. recorded.Read("reports", file).Split('\n').Select(l => TimeStamp().Replace(l, ""))];
        string[] report = [.. lines.SkipWhile(l => l != "Mem-Info:").TakeWhile(l => !l.StartsWith("Tasks state", StringComparison.Ordinal) && l.Length != 0)];
        report.Should().HaveCountGreaterThan(20);
        int cpu = int.Parse(Regex.Match(lines.First(l => l.StartsWith("CPU: ", StringComparison.Ordinal)), "CPU: ([0-9]+)").Groups[1].Value, CultureInfo.InvariantCulture);

        AllocatorState state = MmListsReader.Read(recorded.PathOf(trace, "before-mmlists"));
        PutFreeBlocks(state, report);
        using Machine machine = StateRestorer.Restore(state);
        Feed(machine, report, cpu);

        machine.Proc.ShowMem(machine.Cpus[cpu]).ShouldBeExactly(string.Join('\n', report) + "\n");
    }

    /// <summary>Fills the free lists with as many blocks of each order, and of such types, as the report tells.</summary>
    private static void PutFreeBlocks(AllocatorState state, string[] report)
    {
        foreach (ZoneState zone in state.Zones)
        {
            zone.Pcp.ForEach(p => p.Lists = []);
            string line = report.Single(l => Regex.IsMatch(l, $"^(Node 0 )?{zone.Type.KernelName()}: "));
            MatchCollection orders = Regex.Matches(line, @"([0-9]+)\*([0-9]+)kB (?:\(([A-Z]+)\) )?");
            List<long>[][] lists = [.. Enumerable.Range(0, PageGeometry.OrderCount).Select(_ => Enumerable.Range(0, FreeArea.MigrateTypes).Select(_ => new List<long>()).ToArray())];
            long next = (zone.StartPfn + 1023) & ~1023L;
            for (int order = PageGeometry.MaxOrder; order >= 0; order--)
            {
                string types = orders[order].Groups[3].Value;
                for (int i = 0; i < int.Parse(orders[order].Groups[1].Value, CultureInfo.InvariantCulture); i++)
                {
                    lists[order][Letters.IndexOf(types[Math.Min(i, types.Length - 1)])].Add(next);
                    next += 1L << order;
                }
            }

            zone.FreeLists = [.. lists.Select(o => o.Select(t => t.ToArray()).ToArray())];
        }
    }

    private static void Feed(Machine machine, string[] report, int cpu)
    {
        Dictionary<string, long> totals = report.Skip(1).Take(8).SelectMany(Values).ToDictionary(v => v.Name, v => v.Value);
        string nodeLine = report.Single(l => l.StartsWith("Node 0 active_anon", StringComparison.Ordinal));
        Dictionary<string, long> node = Values(nodeLine).ToDictionary(v => v.Name, v => v.Value / 4);
        NodeCounters n = machine.Nodes[0].Counters;
        (n.ActiveAnon, n.InactiveAnon, n.ActiveFile, n.InactiveFile, n.Unevictable) = (node["active_anon"], node["inactive_anon"], node["active_file"], node["inactive_file"], node["unevictable"]);
        (n.Mapped, n.Shmem, n.AnonHugePages, n.KernelStackKiB, n.PageTables) = (node["mapped"], node["shmem"], node["anon_thp"], node["kernel_stack"] * 4, node["pagetables"]);
        (n.SlabReclaimable, n.SlabUnreclaimable) = (totals["slab_reclaimable"], totals["slab_unreclaimable"]);
        n.KswapdFailures = nodeLine.EndsWith("yes", StringComparison.Ordinal) ? 16 : 0;
        n.FilePages = long.Parse(report.Single(l => l.EndsWith("total pagecache pages", StringComparison.Ordinal)).Split(' ')[0], CultureInfo.InvariantCulture);
        foreach (Zone zone in machine.Zones.Where(z => z.IsPopulated))
        {
            int at = Array.FindIndex(report, l => Regex.IsMatch(l, $"^(Node 0 )?{zone.Name} free:"));
            Dictionary<string, long> z = Values(report[at]).ToDictionary(v => v.Name, v => v.Value / 4);
            ZoneCounters c = zone.Counters;
            (zone.FreePagesFolded, zone.Boost) = (z["free"], z["boost"]);
            (zone.MarkMin, zone.MarkLow, zone.MarkHigh) = (z["min"] - zone.Boost, z["low"] - zone.Boost, z["high"] - zone.Boost);
            (c.ActiveAnon, c.InactiveAnon, c.Unevictable, c.Mlock) = (z["active_anon"], z["inactive_anon"], z["unevictable"], z["mlocked"]);
            Array.ForEach(zone.Pcp, p => p.FreePagesDiff = 0);
            int elsewhere = (int)(z["free_pcp"] - z["local_pcp"]);
            zone.Pcp[cpu].Count = (int)z["local_pcp"];
            if (zone.Pcp.Length > 1)
            {
                zone.Pcp[cpu == 0 ? 1 : 0].Count = elsewhere;
            }

            report[at + 1].Split(' ', StringSplitOptions.RemoveEmptyEntries).Skip(1).Select(long.Parse).ToArray().CopyTo(zone.Reserve, 0);
        }
    }

    private static IEnumerable<(string Name, long Value)> Values(string line) =>
        Regex.Matches(line, @"([a-z_()]+): ?([0-9]+)").Select(m => (m.Groups[1].Value, long.Parse(m.Groups[2].Value, CultureInfo.InvariantCulture)));

    [GeneratedRegex(@"^\[ *[0-9]+\.[0-9]+\] ")]
    private static partial Regex TimeStamp();
}
