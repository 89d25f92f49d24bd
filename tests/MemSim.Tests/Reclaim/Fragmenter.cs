using MemSim.Compaction;

namespace MemSim.Tests.Reclaim;

/// <summary>An <see cref="IReclaim"/> that compacts and does nothing else, so that a test sees compaction alone.</summary>
internal sealed class OnlyCompaction(Machine machine) : IReclaim
{
    public List<(CompactionPriority Priority, CompactionOutcome Outcome)> Runs { get; } = [];

    public void WakeKswapd(Zone zone, in ReclaimRequest request)
    {
    }

    public long DirectReclaim(in ReclaimRequest request) => 0;

    public CompactionOutcome Compact(in ReclaimRequest request, CompactionPriority priority)
    {
        CompactionOutcome outcome = machine.Compaction.Compactor.TryToCompact(request, priority);
        Runs.Add((priority, outcome));
        return outcome;
    }

    public int TakeCaptured(Cpu cpu) => machine.Compaction.Compactor.TakeCaptured(cpu);

    public void AfterCompaction(Cpu cpu, int order, int pfn) => machine.Compaction.Compactor.AfterDirect(cpu, order, pfn);

    public long ReclaimablePages(Zone zone) => 0;

    public bool OutOfMemory(in ReclaimRequest request) => false;
}

/// <summary>Records what compaction and CMA say.</summary>
internal sealed class CompactionLog : ICompactionTraceSink
{
    public List<string> Lines { get; } = [];

    public List<CompactionStatus> Ends { get; } = [];

    public void MmCompactionEnd(Cpu cpu, long zoneStart, long migratePfn, long freePfn, long zoneEnd, bool sync, CompactionStatus status) => Ends.Add(status);

    public void MmCompactionIsolateMigratePages(Cpu cpu, long startPfn, long endPfn, long scanned, long taken) => Lines.Add($"migrate 0x{startPfn:x} {scanned} {taken}");

    public void MmCompactionIsolateFreePages(Cpu cpu, long startPfn, long endPfn, long scanned, long taken) => Lines.Add($"free 0x{startPfn:x} {scanned} {taken}");

    public void MmCompactionDeferred(Cpu cpu, Zone zone, int order) => Lines.Add($"deferred {order}");

    public void CmaAllocBusyRetry(Cpu cpu, string name, long pfn, long pages, int alignOrder) => Lines.Add($"busy 0x{pfn:x} {pages}");
}

/// <summary>Fills machines with movable pages and makes holes between them.</summary>
internal static class Fragmenter
{
    /// <summary>Fills the machine with movable pages down to some free ones, each with its number as contents.</summary>
    public static List<int> Fill(this MovablePool pool, Cpu cpu, Gfp gfp = Gfp.HighUser)
    {
        List<int> numbers = [];
        for (int number = pool.Allocate(cpu, (gfp | Gfp.NoWarn) & ~Gfp.Reclaim); number >= 0; number = pool.Allocate(cpu, (gfp | Gfp.NoWarn) & ~Gfp.Reclaim))
        {
            pool.Stamp(cpu, number);
            numbers.Add(number);
        }

        return numbers;
    }

    public static void Stamp(this MovablePool pool, Cpu cpu, int number)
    {
        if (cpu.Machine.Ram.HasContents)
        {
            cpu.Machine.Ram.Write((ulong)pool[number].Pfn.Value << PageGeometry.PageShift, Hash(number));
            cpu.Machine.Ram.Write(((ulong)pool[number].Pfn.Value << PageGeometry.PageShift) + 4088, ~Hash(number));
        }
    }

    public static bool IsIntact(this MovablePool pool, Cpu cpu, int number) =>
        cpu.Machine.Ram.Read<long>((ulong)pool[number].Pfn.Value << PageGeometry.PageShift) == Hash(number)
        && cpu.Machine.Ram.Read<long>(((ulong)pool[number].Pfn.Value << PageGeometry.PageShift) + 4088) == ~Hash(number);

    /// <summary>Frees all but every n-th page.</summary>
    public static List<int> KeepEvery(this MovablePool pool, Cpu cpu, List<int> numbers, int n)
    {
        List<int> kept = [];
        for (int i = 0; i < numbers.Count; i++)
        {
            if (i % n == 0)
            {
                kept.Add(numbers[i]);
            }
            else
            {
                pool.Free(cpu, numbers[i]);
            }
        }

        cpu.Machine.Memory.DrainAllPages();
        return kept;
    }

    public static long Events(this Machine machine, string name) =>
        long.Parse(machine.Proc.VmStat.Split('\n').First(line => line.StartsWith(name + " ", StringComparison.Ordinal)).Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture);

    public static int HugeBlocks(this Machine machine) => (int)machine.Zones.Sum(z => z.FreeBlocks(9) + (2 * z.FreeBlocks(10)));

    public static Compactor CompactorOf(this Machine machine) => machine.Compaction.Compactor;

    private static long Hash(int number) => unchecked((number + 1) * (long)0x9E3779B97F4A7C15);
}
