using System.Globalization;
using MemSim.Mutants;

// make COPY SEED COUNT: puts mutants into the sources of a copy of the repository, and their list into COPY/mutants.tsv. Those named in COPY/left-out.txt did not compile.
// run COPY TESTS LOG SECONDS: runs the tests (the program of MemSim.Tests with the changed MemSim.dll beside it) against each.
string[] rooms = ["Zones", "PageAllocation", "Slab", "Faults", "Swap", "Reclaim", "Compaction"];
if (args is ["make", string copy, string seed, string count])
{
    string left = Path.Combine(copy, "left-out.txt");
    HashSet<int> leftOut = File.Exists(left) ? [.. File.ReadAllLines(left).Select(l => int.Parse(l, CultureInfo.InvariantCulture))] : [];
    List<Mutant> made = MutantMaker.Make(copy, rooms, int.Parse(seed, CultureInfo.InvariantCulture), int.Parse(count, CultureInfo.InvariantCulture), leftOut);
    File.WriteAllLines(Path.Combine(copy, "mutants.tsv"), made.OrderBy(m => m.Id).Select(m => m.ToString()));
    return 0;
}

if (args is ["run", string root, string tests, string log, string seconds])
{
    string[][] groups =
    [
        ["*.BuddyTests", "*.PcpTests", "*.PcpLimitTests", "*.SlowPathTests", "*.WatermarkTests", "*.ZoneTests", "*.NumaTests", "*.GfpZonesTests", "*.ReclaimRequestTests"],
        ["*.ReserveCalculatorTests", "*.SysctlTests", "*.VmSysctlsTests", "*.WatermarkBoostTests", "*.FaultRuleTests", "*.MemoryInitTests"],
        ["*.AllocatorModelTests", "*.MemblockTests", "*.UntouchedBlocksTests", "*.PageOwnerTests", "*.FtraceTextSinkTests"],
        ["*.SlubTests", "*.ClassicSlabTests", "*.SlabDebugTests", "*.BothImplementationsTests", "*.MempoolTests", "*.CacheMemoryTests", "*.SheafTests", "*.SheafMemoryTests"],
        ["*.SlabModelTests", "*.SlabPropertyTests", "*.ClassicSlabModelTests", "*.ClassicSlabConformanceTests", "*.SlabBulkTests"],
        ["*.FaultTests", "*.MappedFileTests", "*.ReuseTests", "*.NumaFaultTests", "*.FaultStoryTests", "*.ForkTests", "*.AdviceTests"],
        ["*.SwapSpaceTests", "*.SwapProcessTests", "*.SwapRequestTests", "*.SwapModelTests", "*.ZswapTests"],
        ["*.ReclaimScenarioTests", "*.ShrinkerTests", "*.ClockTests", "*.GfpPromiseTests", "*.GenerationReclaimTests", "*.LruObjectCacheTests"],
        ["*.CompactionTests", "*.CompactionRetryTests", "*.ScannerRulesTests", "*.PageCaptureTests", "*.CmaTests"],
        ["*.PressureScenarioTests", "*.LeakTests", "*.ExplanationTests", "*.PageCacheTests", "*.HugePageTests"],
    ];
    MutantRunner runner = new(tests, log, groups);
    runner.Measure();
    runner.Go([.. File.ReadAllLines(Path.Combine(root, "mutants.tsv")).Select(Mutant.Parse)], TimeSpan.FromSeconds(int.Parse(seconds, CultureInfo.InvariantCulture)));
    return 0;
}

Console.Error.WriteLine("make COPY SEED COUNT | run COPY TESTS LOG SECONDS");
return 2;
