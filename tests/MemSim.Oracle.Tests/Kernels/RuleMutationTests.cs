using System.Formats.Tar;
using System.IO.Compression;
using System.Text;
using FluentAssertions;
using MemSim.Boot;
using MemSim.Kernels;
using MemSim.Oom;
using MemSim.Oracle.Tests.Boot;
using MemSim.Oracle.Tests.Figures;
using MemSim.Oracle.Tests.Observability.Proc;
using MemSim.Oracle.Tests.Oom;
using MemSim.Oracle.Tests.Processes;
using MemSim.Oracle.Tests.Replay;
using MemSim.Oracle.Tests.Slab;
using MemSim.Recordings;
using Xunit;

namespace MemSim.Oracle.Tests.Kernels;

/// <summary>That each rule is held by a recording: with the value of the line before, one of them no longer agrees as it did.</summary>
public sealed class RuleMutationTests(CaptureArchive captures, RecordedViews views) : IClassFixture<CaptureArchive>, IClassFixture<RecordedViews>, IDisposable
{
    /// <summary>Rules that no recording probed here tells from their older value, and what holds them instead.</summary>
    private static readonly Dictionary<string, string> Untold = new(StringComparer.Ordinal)
    {
        ["6.12 Reclaim.NewPages"] = "LruGenerationsTests",
        ["6.17 Reclaim.NewPages"] = "LruGenerationsTests, GenerationReclaimTests",
        ["6.12 Reclaim.SparesLowOnce"] = "CgroupTests, CgroupRotationTests, PressureReplayTests",
        ["6.17 Reclaim.Eviction"] = "GenerationReclaimTests",
        ["6.17 Reclaim.SwapsLargeAnywhere"] = "PressureReplayTests, HugePageSizeTests",
        ["7.3 Reclaim.EmptyZonesCountFree"] = "RuleScenarioTests",
        ["6.12 Reclaim.FreesInOrder"] = "RuleBehaviourTests",
        ["6.12 Reclaim.ListBatchPages"] = "LruManagerTests",
        ["6.12 Reclaim.SwapInMapsWritable"] = "PressureReplayTests",
        ["7.0 KernelMemory.ThreadStacks"] = "ThreadStackRuleTests",
        ["6.12 KernelMemory.KeepsFreedRangesByCpu"] = "VmallocTests",
        ["7.3 KernelMemory.FreesSmpAlternativesLate"] = "7.3 has none to free",
        ["7.3 KernelMemory.SwapAreasShareAPriority"] = "GuessListTests",
        ["6.12 Image.FtracePages"] = "BootLayoutTests",
        ["6.18 Image.FtracePages"] = "BootLayoutTests",
        ["7.0 Image.FtracePages"] = "BootLayoutTests",
        ["7.3 Image.FtracePages"] = "BootLayoutTests",
        ["6.12 Image.StartKiB"] = "BootLayoutTests",
        ["6.18 Image.StartKiB"] = "BootLayoutTests",
        ["7.0 Image.StartKiB"] = "BootLayoutTests",
        ["7.1 Image.StartKiB"] = "BootLayoutTests",
        ["6.18 Cgroups.CountsPageTables"] = "CgroupOomReportTests",
        ["7.0 Cgroups.CountsPageTables"] = "CgroupOomReportTests",
        ["6.12 Areas.SealsExecution"] = "MemfdTests",
        ["6.12 Areas.MapsSealedForReading"] = "MemfdTests",
        ["6.12 Areas.DiscardsHugeWhole"] = "HugeSwapTests",
        ["6.12 Areas.UnsharesForLongPins"] = "PinTests",
        ["6.12 Areas.RefusesLongWritePins"] = "PinTests",
        ["6.12 Areas.WeightsInterleave"] = "MemoryTierTests",
        ["6.18 Areas.CollapsesReadOnly"] = "InMemoryTests",
        ["6.12 Views.HugePagesBySize"] = "PressureReplayTests",
        ["6.12 CompressedMemory.ZspagesChain"] = "ZsmallocTests, ZramTests",
        ["6.12 CompressedMemory.ZeroPagesAreBits"] = "ZswapTests",
        ["6.12 CompressedMemory.ZswapByCgroup"] = "ZswapTests",
        ["6.12 CompressedMemory.ZswapShrinksUntilItAccepts"] = "ZswapTests",
        ["6.12 Reclaim.ReclaimsSwapShadows"] = "SwapShadowTests, PressureReplayTests",
        ["6.18 Reclaim.ReclaimsSwapShadows"] = "SwapShadowTests",
        ["6.12 CompressedMemory.ZramCountsInvalid"] = "ZramTests",
        ["6.18 CompressedMemory.ZswapChoosesPool"] = "ZswapTests",
        ["6.18 CompressedMemory.ZswapKeepsIncompressible"] = "ZswapTests",
        ["6.12 Objects.FreePointerInside"] = "filp has the same size either way",
        ["7.0 Slab.ChecksPreventMerging"] = "NewerKernelSetsTests, k73-2G-caches-merge",
        ["6.18 Cgroups.StocksPerCpu"] = "RuleBehaviourTests",
        ["6.18 Cgroups.CountsRefusedBatches"] = "RuleBehaviourTests",
        ["6.12 Cgroups.WalksWholeTree"] = "RuleBehaviourTests",
        ["6.12 Views.PageOwnerRecent"] = "PageOwnerTests",
        ["6.12 Ksm.HasAdvisor"] = "KsmTests",
        ["6.18 Ksm.TellsMergeable"] = "KsmTests",
        ["6.12 Views.SmapsCountsKsm"] = "KernelLineViewsTests",
        ["7.3 Views.LruGenIdWidth"] = "KernelLineViewsTests",
        ["6.17 Views.AddedSysctls"] = "RuleScenarioTests",
        ["6.18 Traces.FlagsByBit"] = "GuessListTests, OomReportTests",
    };

    private readonly string _slabs = Directory.CreateTempSubdirectory("memsim-mutations-").FullName;
    private readonly Dictionary<string, long> _asRecorded = [];

    public void Dispose() => Directory.Delete(_slabs, recursive: true);

    [Fact]
    public void A_rule_with_the_value_of_the_line_before_is_noticed()
    {
        using (GZipStream stream = new(File.OpenRead(SlabRecords.DataFile("sysfs.tar.gz")), CompressionMode.Decompress))
        {
            TarFile.ExtractToDirectory(stream, _slabs, overwriteFiles: true);
        }

        List<string> unnoticed = [];
        foreach (RuleMutation mutation in RuleMutation.All())
        {
            (string, Func<KernelPersonality, long>)[] probes = ProbesOf(mutation.Group.Name);
            bool noticed = mutation.Lines.Any(line => probes.Any(probe => Differences(probe, line, mutation.Applied(line)) > Differences(probe, line, line)));
            if (!noticed)
            {
                unnoticed.Add(mutation.Rule);
            }
        }

        unnoticed.Should().BeEquivalentTo(Untold.Keys);
    }

    private long Differences((string Name, Func<KernelPersonality, long> Count) probe, KernelPersonality line, KernelPersonality rules)
    {
        if (!ReferenceEquals(line, rules))
        {
            return Count(rules);
        }

        string key = $"{probe.Name} {line.Name}";
        if (!_asRecorded.TryGetValue(key, out long known))
        {
            _asRecorded[key] = known = Count(line);
        }

        return known;

        long Count(KernelPersonality personality)
        {
            try
            {
                return probe.Count(personality);
            }
            catch (Exception e) when (e is ReplayDivergedException or KernelBugException or InvalidOperationException or ArgumentException or KeyNotFoundException)
            {
                return long.MaxValue;
            }
        }
    }

    private (string, Func<KernelPersonality, long>)[] ProbesOf(string group) => group switch
    {
        "Reserves" => [("twin", Twins)],
        "Image" => [("boot", Boots)],
        "Slab" or "Objects" => [("slab", Slabs), ("caches", Caches)],
        "Views" => [("boot", Boots), ("rows", Rows), ("oom", OomTables)],
        "Traces" => [("fork", Forks), ("events", Forks)],
        "KernelMemory" => [("boot", Boots), ("fork", Forks)],
        "Areas" => [("calls", Calls)],
        "Ksm" => [("merging", Merging)],
        _ => [("programs", Programs)],
    };

    private static string LabelOf(KernelPersonality rules) => rules.Name == "6.1" ? "amd64" : "amd64k" + rules.Name.Replace(".", "", StringComparison.Ordinal);

    /// <summary>Recorded programs of memory calls that go another way: by the rules of the line that they were recorded on, which all of these rules have reached.</summary>
    private static long Calls(KernelPersonality rules) => rules.Name != "6.18" ? 0 : ((string[])["programs-6.18", "advice-6.18", "faults-6.18", "events-6.18"]).Sum(set => (long)RecordedProgramsTests.Compare(set, rules).Wrong.Count);

    /// <summary>Recorded programs whose pages are merged in another way.</summary>
    private static long Merging(KernelPersonality rules) => rules.Name != "6.18" ? 0 : RecordedMergingTests.Compare(rules, programs: 25).Wrong.Count;

    /// <summary>Figures of captured machines that differ.</summary>
    private long Twins(KernelPersonality rules) => CaptureArchive.Names()
        .Where(name => name.StartsWith(LabelOf(rules) + "-", StringComparison.Ordinal))
        .Sum(name => TwinComparison.Run(captures.Folder(name), KernelChoice.Of(rules)).Rows.Count(r => r.Verdict == TwinVerdict.Mismatch));

    /// <summary>Lines of boot logs that differ, and pages that zones have more or less.</summary>
    private static long Boots(KernelPersonality rules)
    {
        long differences = 0;
        foreach (RecordedBoot boot in RecordedBoot.All.Where(b => b.Label == LabelOf(rules) && b.Name.StartsWith("captures/", StringComparison.Ordinal)))
        {
            BootPlan plan = BootPlanner.Plan(boot.FromFirmware().WithPersonality(rules));
            List<string> recorded = [.. boot.Log.Select(WithoutFree)];
            differences += plan.BootLog.Count(line => !recorded.Contains(WithoutFree(line)));
            differences += plan.BootLog.Select((line, i) => (At: recorded.IndexOf(WithoutFree(line)), i)).Where(p => p.At >= 0).Select(p => p.At).Aggregate((Last: -1, Wrong: 0), (s, at) => (at, s.Wrong + (at < s.Last ? 1 : 0))).Wrong;
            differences += boot.Zones.Where(z => z.Present > 0).Sum(z => Math.Abs(plan.Zones.Single(p => p.Node == z.Node && p.Type == z.Type).ManagedPages - z.Managed));
        }

        return differences;

        static string WithoutFree(string line) => line.StartsWith("Memory: ", StringComparison.Ordinal) ? line[line.IndexOf('/')..] : line;
    }

    /// <summary>Names of rows and of settings that are not those of the kernel.</summary>
    private long Rows(KernelPersonality rules)
    {
        long differences = 0;
        foreach (string name in CaptureArchive.Names().Where(n => n.StartsWith(LabelOf(rules) + "-", StringComparison.Ordinal)).Take(2))
        {
            using Machine machine = Machine.Boot(MachineSpec.FromProc(captures.Folder(name)).AsBooted().WithoutContents().WithPersonality(rules));
            differences += Wrong(machine.Proc.VmStat, views.Read("captures", Path.Combine(name, "vmstat")), ' ');
            differences += Wrong(machine.Proc.MemInfo, views.Read("captures", Path.Combine(name, "meminfo")), ':');
            differences += Wrong(machine.Proc.ZoneInfo, File.ReadAllText(Path.Combine(captures.Folder(name), "zoneinfo")), '~');
            HashSet<string> settings = [.. File.ReadLines(Path.Combine(captures.Folder(name), "sysctl-vm.txt")).Select(l => l.Split(' ')[0].Split('/')[^1])];
            foreach (string setting in KernelLines.Linux7_3.Views.AddedSysctls)
            {
                differences += rules.Views.AddedSysctls.Contains(setting) != settings.Contains(setting) ? 1 : 0;
            }
        }

        return differences;

        static long Wrong(string printed, string recorded, char end)
        {
            string[] a = [.. printed.Split('\n').Select(l => Label(l, end))], b = [.. recorded.Split('\n').Select(l => Label(l, end))];
            return Math.Abs(a.Length - b.Length) + a.Zip(b).Count(p => p.First != p.Second);
        }

        static string Label(string line, char end) => end == '~' ? line.Trim().Split(' ', ':')[0] : line.Split(end)[0];
    }

    private static long OomTables(KernelPersonality rules)
    {
        string name = LabelOf(rules) + "-256M-smp1";
        if (name is not ("amd64-256M-smp1" or "amd64k618-256M-smp1" or "amd64k70-256M-smp1" or "amd64k73-256M-smp1"))
        {
            return 0;
        }

        RecordedOom recorded = RecordedOom.Of(name);
        StringBuilder table = new();
        OomReportText.AppendTable(table, recorded.Tasks, rules);
        string[] lines = table.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries);
        string header = recorded.Lines.First(l => l.StartsWith("CPU: ", StringComparison.Ordinal));
        bool preempts = header.Contains(rules.Views.ReportPreemption, StringComparison.Ordinal) && header.Contains("PREEMPT", StringComparison.Ordinal) == rules.Views.ReportPreemption.Length > 0;
        return Math.Abs(lines.Length - recorded.Table.Length) + lines.Zip(recorded.Table).Count(p => p.First != p.Second) + (preempts ? 0 : 1);
    }

    /// <summary>Caches of captured machines whose figures differ.</summary>
    private long Slabs(KernelPersonality rules) => Directory.GetDirectories(_slabs, LabelOf(rules) + "-*").Order(StringComparer.Ordinal).Take(2)
        .Sum(directory => SlabTwin.Compare(directory, Architecture.X86_64, rules, 2).Count(r => r.Verdict != TwinVerdict.Match)
            + KernelObjectsThatDiffer(directory, rules));

    /// <summary>Objects of processes and files that have another size, another place for their free pointer, or another name than there.</summary>
    private static long KernelObjectsThatDiffer(string directory, KernelPersonality rules)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M").WithPersonality(rules).WithCommandLine("slab_nomerge"));
        _ = machine.CreateProcess("task");
        string[] lines = File.ReadAllLines(Path.Combine(directory, "slab-sysfs.txt"));
        string[] heads = lines[0].Split('\t');
        Dictionary<string, string[]> recorded = lines.Skip(1).Select(l => l.Split('\t')).GroupBy(f => f[0]).ToDictionary(g => g.Key, g => g.First());
        HashSet<string> names = [.. machine.Slab.Caches.Select(c => c.Name)];
        string[] order = [.. File.ReadLines(Path.Combine(directory, "slabinfo")).Select(l => l.Split(' ')[0]).Where(n => names.Contains(n) && n.Contains("kmalloc-", StringComparison.Ordinal)).Reverse()];
        long differences = order.Zip(machine.Slab.Caches.Select(c => c.Name).Where(n => order.Contains(n))).Count(p => p.First != p.Second);
        foreach (KmemCache cache in machine.Slab.Caches)
        {
            if (!recorded.TryGetValue(cache.Name, out string[]? fields))
            {
                differences += rules.Objects.Names.ContainsValue(cache.Name) || cache.Name == "cred_jar" ? 1 : 0;
                continue;
            }

            foreach (string figure in (string[])["object_size", "slab_size", "destroy_by_rcu"])
            {
                differences += machine.Slab.SysfsAttribute(cache, figure) != fields[Array.IndexOf(heads, figure)] ? 1 : 0;
            }

            int capacity = Array.IndexOf(heads, "sheaf_capacity");
            differences += capacity >= 0 && cache.SheafCapacity.ToString(System.Globalization.CultureInfo.InvariantCulture) != fields[capacity] ? 1 : 0;
        }

        return differences;
    }

    private static long Caches(KernelPersonality rules) => rules.Name is "6.18" or "7.0" or "7.3"
        ? SlabCachesReplay.Run(Path.Combine(ReplayData.Exact, $"k{rules.Name.Replace(".", "", StringComparison.Ordinal)}-2G-caches-smp1"), KernelChoice.Of(rules)).Mismatches.Count
        : 0;

    /// <summary>Allocations of a fork workload that were predicted wrongly in the order recorded or in another, events that are printed differently.</summary>
    private static long Forks(KernelPersonality rules)
    {
        if (rules.Name is not ("6.1" or "6.18" or "7.0" or "7.3"))
        {
            return 0;
        }

        using TraceReplay replay = TraceReplay.Open(ReplayData.Trace(LabelOf(rules) + "-256M-smp1-fork"), kernel: KernelChoice.Of(rules));
        TraceReplayResult result = replay.Run();
        return result.Allocations - result.Predicted + result.Comparison.Counts.Sum(c => c.Total - c.Matched);
    }

    /// <summary>Figures of programs under pressure that are not near enough.</summary>
    private static long Programs(KernelPersonality rules)
    {
        string[] programs = rules.Name switch
        {
            "6.12" => ["cg-max-oom", "cg-reclaim", "cg-max-file"],
            "7.3" => ["cg-max-file", "cg-reclaim", "cg-max-oom", "cg-reclaim-nomglru", "global-nomglru"],
            _ => [],
        };
        return programs.Sum(program => PressureReplay.Run(Cgroups.PressureRuns.Folder($"{LabelOf(rules)}-512M-smp1-{program}"), KernelChoice.Of(rules))
            .Sum(f => f.Matches ? 0 : 1));
    }
}
