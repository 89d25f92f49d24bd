using MemSim.VirtualMemory;

namespace MemSim.Hotplug;

/// <summary>Broken pages of pools of huge pages: the huge page leaves its pool, what is good of it goes to the page allocator (<c>try_memory_failure_hugetlb()</c>).</summary>
internal sealed class HugetlbFailures(Machine machine, FailureLog log, FailureSignals signals)
{
    /// <summary>Deals with an error in a page of a pool.</summary>
    /// <returns>Null for a page that is of no pool.</returns>
    public MemoryFailureResult? TryFail(Cpu cpu, int pfn, MemoryFailureFlags flags)
    {
        foreach (HugetlbPool pool in machine.Hugetlb.Pools)
        {
            if (!pool.TryFind(pfn, out int head, out bool isFree))
            {
                continue;
            }

            if (isFree)
            {
                return log.Result(pfn, "free huge page", pool.TryDissolve(cpu, head) ? MemoryFailureResult.Recovered : MemoryFailureResult.Failed);
            }

            return FailUsed(cpu, pool, head, pfn, flags);
        }

        return null;
    }

    private MemoryFailureResult FailUsed(Cpu cpu, HugetlbPool pool, int head, int pfn, MemoryFailureFlags flags)
    {
        AddressSpaces spaces = machine.Mm!;
        List<(Vma Vma, ulong Address)> places = spaces.Hugetlb.Places(head);
        List<(Process Process, ulong Address)> victims = signals.Collect(cpu, places, flags);
        machine.Frames.AddReferences(head, 1);
        bool dirty = spaces.Hugetlb.UnmapPoisoned(cpu, places);
        if (dirty || (flags & MemoryFailureFlags.MustKill) != 0)
        {
            signals.Send(cpu, victims, pfn, stillMapped: false, flags);
        }

        // Of a shared mapping it stays in its file, so that nobody reads zeroes instead; else the last user gave it back, and it is dissolved.
        bool kept = machine.Frames.Array[head].RefCount > 1;
        spaces.Hugetlb.PutPoisoned(cpu, pool, head);
        return log.Result(pfn, "huge page", kept || !pool.TryFind(pfn, out _, out _) ? MemoryFailureResult.Recovered : MemoryFailureResult.Failed);
    }
}
