using System.Text;
using MemSim.Captures;
using MemSim.Kernels;
using MemSim.Oracle.Tests.Figures;
using MemSim.Oracle.Tests.Import;
using MemSim.Oracle.Tests.Replay;
using MemSim.Recordings;
using MemSim.Recordings.Twins;
using MemSim.Scenarios;

namespace MemSim.Oracle.Tests.Fuzz;

/// <summary>Every reader of files and lines, each with real files.</summary>
internal static class FuzzTargets
{
    private static readonly string[] CommandLines =
    [
        "mem=512M memmap=4M$0x10000000 kernelcore=40% movablecore=512M cma=64M@0x40000000 crashkernel=128M,high numa=fake=4 hugepages=16 hugepagesz=2M transparent_hugepage=always",
        "slub_debug=FZPU,kmalloc-64 slab_nomerge slub_min_order=1 slub_max_order=3 page_poison=1 init_on_alloc=1 dhash_entries=4096 ihash_entries=8192 log_buf_len=4M swiotlb=65536 percpu_alloc=page",
        "sysctl.vm.min_free_kbytes=4096 sysctl.vm.swappiness=10 memblock=debug loglevel=4 debug_guardpage_minorder=1 hugetlb_cma=1G memtest=2 page_owner=on fail_page_alloc=1,100,0,-1 \"quoted value\" -- rest",
        "maxcpus=2 nr_cpus=4 nokaslr highmem=512M vmalloc=256M default_hugepagesz=1G hugepagesz=1G hugepages=2 mminit_loglevel=4 numa_balancing=disable page_alloc.shuffle=1 movable_node kasan=off",
    ];

    private const string SlabSysfs = "name\tobject_size\talign\tred_zone\tpoison\tstore_user\thwcache_align\tcache_dma\treclaim_account\tsanity_checks\tdestroy_by_rcu\tctor\n"
        + "dentry\t192\t64\t0\t0\t0\t0\t0\t1\t0\t0\t\nkmalloc-64\t64\t64\t0\t0\t0\t0\t0\t0\t0\t0\t\nsighand_cache\t2088\t64\t1\t1\t1\t1\t0\t0\t1\t1\tsighand_ctor+0x0/0x50\n";

    private static readonly string[] Words = ["512M", "4096", "0x1000", "1.5G", "40%", "GFP_KERNEL|__GFP_ZERO", "(GFP_HIGHUSER_MOVABLE|__GFP_COMP), 0x140dca", "6.1.0-44-amd64", "5.10", "FZPU,dentry;-", "1,100,0,-1", "0-3,8", "1 2 3 4"];

    private static readonly Dictionary<string, Func<Lazy<CaptureArchive>, FuzzTarget>> All = new(StringComparer.Ordinal)
    {
        ["state"] = _ => BytesTarget.OfFiles("state", 1500, 1 << 20, bytes => ExactStateReader.Parse(bytes, "state"), Exact("128M-b-order0to4", "state-post.json.gz"), Exact("k73-1G-movable-b", "state-pre.json.gz"), Exact("512M-a-order0", "state-end.json.gz")),
        ["operations"] = _ => BytesTarget.OfFiles("operations", 1500, 600, ReadOperations, Exact("128M-b-order0to4", "ops.txt.gz"), Exact("512M-chain-1a", "ops.txt.gz"), Exact("k70-512M-f1-pressure", "ops.txt.gz")),
        ["mmlists"] = _ => BytesTarget.OfFiles("mmlists", 1500, 1 << 20, bytes => MmListsReader.ReadFile(new MemoryStream(bytes), "lists"), ImportData.PathOf("amd64-2G-movablecore512M-mixed.mmlists.gz"), ImportData.PathOf("i386-2G-smp2-sort.mmlists.gz")),
        ["buddyinfo"] = _ => BytesTarget.OfFiles("buddyinfo", 2000, 1 << 20, bytes => BuddyInfoFile.Parse(new MemoryStream(bytes), "buddyinfo"), ImportData.PathOf("amd64-2G-movablecore512M-mixed.buddyinfo"), ImportData.PathOf("i386-2G-smp2-sort.buddyinfo")),
        ["zoneinfo"] = _ => BytesTarget.OfFiles("zoneinfo", 1500, 1 << 20, bytes => ZoneInfoFile.Parse(Encoding.UTF8.GetString(bytes)), Directory.GetFiles(ReplayData.Trace(""), "*before-zoneinfo", SearchOption.AllDirectories)),
        ["trace"] = _ => BytesTarget.OfFiles("trace", 1000, 300, ReadTrace, Directory.GetFiles(ImportData.PathOf(), "*trace*.txt.gz").Concat(Directory.GetFiles(ImportData.PathOf(), "*perf*.txt.gz")).Order(StringComparer.Ordinal).ToArray()),
        ["state to boot"] = _ => new FolderTarget("state to boot", 300, 1 << 20, folder => LoadStates(folder, "state-pre.json.gz", "state-post.json.gz"), ReplayFolder("128M-a-order0"), ReplayFolder("k73-128M-d-zones")),
        ["mmlists to boot"] = _ => new FolderTarget("mmlists to boot", 150, 1 << 20, folder => LoadStates(folder, "before-mmlists.gz"), ReplayData.Trace("amd64-256M-smp1-idle-full"), ReplayData.Trace("amd64-256M-smp2-sort")),
        ["run"] = _ => new FolderTarget("run", 300, 400, RunExact, ReplayFolder("128M-a-order0"), ReplayFolder("128M-d-zones"), ReplayFolder("k73-128M-f1-pressure")) { Documented = e => e is ReplayDivergedException },
        ["trace replay"] = _ => new FolderTarget("trace replay", 60, 800, ReplayTrace, ReplayData.Trace("amd64-256M-smp1-idle-full"), ReplayData.Trace("amd64-256M-smp2-sort"), ReplayData.Trace("amd64k73-256M-smp1-fork"), ReplayData.Trace("i386-1G-smp1-oom")) { Documented = e => e is ReplayDivergedException },
        ["trace statistics"] = _ => new FolderTarget("trace statistics", 150, 800, folder => TraceReplay.TracesIn(folder).ToList().ForEach(t => TraceStatistics.Read(t)), ReplayData.Trace("amd64-1G-smp2-fork-tools"), ReplayData.Trace("amd64k70-256M-smp1-fork")),
        ["capture"] = captures => new FolderTarget("capture", 150, 1 << 20, folder => MachineSpec.FromProc(folder), Captures(captures.Value)),
        ["capture to boot"] = captures => new FolderTarget("capture to boot", 40, 1 << 20, BootCapture, captures.Value.Folder("amd64-128M-smp1"), captures.Value.Folder("amd64-256M-smp1")),
        ["gfp"] = _ => new FolderTarget("gfp", 100, 400, folder => GfpReplay.Run(folder), ReplayFolder("k618-512M-gfp"), ReplayFolder("k73-512M-gfp")),
        ["caches"] = _ => new FolderTarget("caches", 40, 60, folder => SlabCachesReplay.Run(folder), ReplayFolder("k618-2G-caches-smp1"), ReplayFolder("k73-2G-caches-merge")),
        ["vmalloc"] = _ => new FolderTarget("vmalloc", 40, 200, folder => VmallocReplay.Run(folder), Data("vmalloc", "2G-vmalloc"), Data("vmalloc", "k73-2G-vmalloc")),
        ["pressure"] = _ => new FolderTarget("pressure", 8, 400, folder => PressureReplay.Run(folder), Cgroups.PressureRuns.Folder("k61", "cg-max-file")),
        ["workload"] = _ => new FolderTarget("workload", 4, 1 << 20, folder => WorkloadReplay.Run(folder), ReplayData.Workload("amd64-256M-smp1-oom")),
        ["slab trace"] = _ => new BytesTarget("slab trace", 60, [TraceHead("smp2-fork-full-hash.head.trace.txt.gz"), TraceHead("amd64-256M-smp1-idle-full.trace.txt.gz")], ReplaySlabTrace) { Documented = e => e is ReplayDivergedException },
        ["kmalloc"] = _ => BytesTarget.OfFiles("kmalloc", 60, 200, ReplayKmalloc, Data("slab", "kmalloc.txt.gz")),
        ["twin"] = captures => new FolderTarget("twin", 40, 1 << 20, folder => TwinComparison.Run(folder), captures.Value.Folder("amd64-128M-smp1"), captures.Value.Folder("amd64-256M-smp1")),
        ["slab sysfs"] = _ => new BytesTarget("slab sysfs", 1500, [Encoding.UTF8.GetBytes(SlabSysfs)], ReadSlabSysfs),
        ["page table walk"] = _ => new FolderTarget("page table walk", 100, 400, folder => WalkReplay.Run(folder), Data("walk")),
        ["scenario"] = _ => BytesTarget.OfFiles("scenario", 1500, 1 << 20, bytes => ScenarioFile.Parse(bytes, "scenario"), Directory.GetFiles(Data("scenarios"), "*.json")),
        ["snapshot"] = _ => new FolderTarget("snapshot", 60, 1 << 20, folder => MachineSnapshot.Load(Path.Combine(folder, "snapshot.json")), SnapshotFolder()),
        ["kernel command line"] = _ => new BytesTarget("kernel command line", 4000, [.. CommandLines.Select(Encoding.UTF8.GetBytes)], bytes => KernelCommandLine.Parse(Encoding.UTF8.GetString(bytes))) { Documented = e => e is ArgumentException },
        ["kernel command line to boot"] = _ => new BytesTarget("kernel command line to boot", 60, [.. CommandLines.Select(Encoding.UTF8.GetBytes)], BootWith) { Documented = e => e is ArgumentException },
        ["sizes, flags, versions, rules"] = _ => new BytesTarget("sizes, flags, versions, rules", 4000, [.. Words.Select(Encoding.UTF8.GetBytes)], bytes => ReadWords(Encoding.UTF8.GetString(bytes))) { Documented = e => e is FormatException },
    };

    public static IEnumerable<string> Names => All.Keys;

    public static FuzzTarget Of(string name, Lazy<CaptureArchive> captures) => All[name](captures);

    private static string Data(params string[] parts) => Path.Combine([AppContext.BaseDirectory, "Data", .. parts]);

    private static string ReplayFolder(string run) => Path.Combine(ReplayData.Exact, run);

    private static string Exact(string run, string file) => Path.Combine(ReplayFolder(run), file);

    private static string[] Captures(CaptureArchive captures) => [.. CaptureArchive.Names().Order(StringComparer.Ordinal).Where((_, i) => i % 7 == 0).Select(captures.Folder)];

    private static void ReadOperations(byte[] bytes)
    {
        using ExactOperationsReader reader = new(new MemoryStream(bytes), "ops");
        while (reader.TryRead(out _))
        {
        }
    }

    private static void ReadTrace(byte[] bytes)
    {
        using TraceReader reader = new(new MemoryStream(bytes), "trace");
        while (reader.TryRead(out _))
        {
        }
    }

    private static void LoadStates(string folder, params string[] files)
    {
        foreach (string file in files)
        {
            using Machine machine = RecordedState.Load(Path.Combine(folder, file)).Boot();
            machine.Verify();
        }
    }

    private static void RunExact(string folder)
    {
        using ExactReplay replay = ExactReplay.Open(folder);
        replay.Run();
        replay.Machine.Verify();
    }

    private static void ReplayTrace(string folder)
    {
        using TraceReplay replay = TraceReplay.Open(folder);
        replay.Run();
    }

    private static void BootCapture(string folder)
    {
        using Machine machine = Machine.Boot(MachineSpec.FromProc(folder));
        machine.Verify();
    }

    private static byte[] TraceHead(string name)
    {
        using StreamReader text = InputFile.OpenText(ImportData.PathOf(name));
        return Encoding.UTF8.GetBytes(string.Join('\n', Enumerable.Range(0, 500).Select(_ => text.ReadLine())));
    }

    /// <summary>A trace alone, of no known machine: only its slab events are replayed.</summary>
    private static void ReplaySlabTrace(byte[] bytes)
    {
        string folder = Directory.CreateTempSubdirectory("memsim-fuzz-").FullName;
        try
        {
            string path = Path.Combine(folder, "trace.txt");
            File.WriteAllBytes(path, bytes);
            using TraceReplay replay = TraceReplay.Open(path, Directory.CreateDirectory(Path.Combine(folder, "like")).FullName);
            _ = replay.Run();
            replay.SlabMachine?.Verify();
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static void ReplayKmalloc(byte[] bytes)
    {
        string folder = Directory.CreateTempSubdirectory("memsim-fuzz-").FullName;
        try
        {
            File.WriteAllBytes(Path.Combine(folder, "kmalloc.txt"), bytes);
            _ = KmallocReplay.RunFile(Path.Combine(folder, "kmalloc.txt"), "kmalloc");
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static void ReadSlabSysfs(byte[] bytes)
    {
        string path = Path.GetTempFileName();
        try
        {
            File.WriteAllBytes(path, bytes);
            SlabSysfsFile.Read(path);
        }
        finally
        {
            File.Delete(path);
        }
    }

    private static string SnapshotFolder()
    {
        string folder = Path.Combine(Directory.CreateTempSubdirectory("memsim-fuzz-seed-").FullName, "snapshot");
        Directory.CreateDirectory(folder);
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 2));
        machine.Cpus[1].AllocPages(Gfp.Kernel, 2);
        string path = Path.Combine(folder, "snapshot.json");
        machine.Snapshot().Save(path);

        // As files of version 1 were: of those of version 2 checksums would refuse nearly every one that is damaged.
        File.WriteAllText(path, File.ReadLines(path).First().Replace("\"version\":2", "\"version\":1", StringComparison.Ordinal));
        return folder;
    }

    private static void BootWith(byte[] bytes)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("1G", cpus: 2).WithoutContents().WithCommandLine(Encoding.UTF8.GetString(bytes)));
        machine.Verify();
    }

    private static void ReadWords(string text)
    {
        _ = ByteSize.TryParse(text, out _);
        _ = GfpText.TryParse(text, out _);
        _ = KernelChoice.TryFor(text, out _);
        BootLog.Parse(text);
        _ = text.Contains(',', StringComparison.Ordinal) ? FaultRule.FailPageAlloc(text).MinOrder : ByteSize.Parse(text).Pages;
    }
}
