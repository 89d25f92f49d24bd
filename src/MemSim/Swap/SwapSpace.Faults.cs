using MemSim.Hardware;
using MemSim.Lru;
using MemSim.PageCache;
using MemSim.Swap;

namespace MemSim;

/// <content>What page faults, fork, unmapping and reclaim of processes' memory ask for.</content>
public sealed partial class SwapSpace
{
    FaultResult ISwapSpace.SwapIn(Cpu cpu, ISwapNeighbours vma, ulong address, in SoftEntry entry, out int pfn)
    {
        SwapEntry swap = ToEntry(entry);
        SwapInOutcome outcome = SwapIn(cpu, swap, vma, address, out pfn);
        switch (outcome)
        {
            case SwapInOutcome.Found:
                return FaultResult.None;
            case SwapInOutcome.Read:
                return FaultResult.Major;
            case SwapInOutcome.NoMemory:
                return FaultResult.Oom;
            case SwapInOutcome.Failed:
                return FaultResult.SigBus | FaultResult.Major;
            case SwapInOutcome.Poisoned:
                return FaultResult.HwPoison;
        }

        // An entry that names nothing would fault for ever.
        return TryFind(swap, "get_swap_device", out _) ? FaultResult.Retry : FaultResult.SigBus;
    }

    bool ISwapSpace.Knows(in SoftEntry entry) => CountOf(ToEntry(entry)) != 0;

    int ISwapSpace.CachedPage(in SoftEntry entry) => CachedPage(ToEntry(entry));

    void ISwapSpace.Duplicate(in SoftEntry entry) => Duplicate(ToEntry(entry));

    void ISwapSpace.Free(Cpu cpu, in SoftEntry entry) => FreeWithCache(cpu, ToEntry(entry));

    bool ISwapSpace.MappedAgain(Cpu cpu, in SoftEntry entry, int pfn, bool write, bool locked) =>
        GiveUpEntry(cpu, ToEntry(entry), pfn, write, locked);

    SoftEntry ISwapSpace.EntryOf(int pfn)
    {
        SwapEntry entry = EntryOf(pfn);
        return new SoftEntry(SoftEntryKind.Swap, entry.Type, entry.Offset, Exclusive: false);
    }

    bool ISwapSpace.AddToSwap(Cpu cpu, int pfn) => AddToSwap(cpu, pfn);

    PageOutOutcome ISwapSpace.PageOut(Cpu cpu, int pfn) => PageOut(cpu, pfn);

    bool ISwapSpace.RemoveFromCache(Cpu cpu, int pfn) => RemoveFromCache(cpu, pfn);

    bool ISwapSpace.Move(Cpu cpu, int from, int to) => MoveInCache(from, to);

    bool ISwapSpace.TryFreeSlot(Cpu cpu, int pfn) => TryLockAndFreeSlot(cpu, pfn);

    void ISwapSpace.LeaveCache(Cpu cpu, ReadOnlySpan<int> pfns)
    {
        if (CachedPages == 0)
        {
            return;
        }

        foreach (int pfn in pfns)
        {
            if (IsCached(pfn) && _frames[pfn].MapCount == 0)
            {
                _ = TryLockAndFreeSlot(cpu, pfn);
            }
        }
    }

    void ISwapSpace.Prefetch(Cpu cpu, ISwapNeighbours vma, ulong start, ulong end)
    {
        ISwapNeighbours near = vma;
        for (ulong at = start; at < end; at += PageGeometry.PageSize)
        {
            SwapEntry entry = near.EntryAt(at);
            if (entry.IsNone)
            {
                continue;
            }

            _ = ReadIntoCache(cpu, entry, near, at, out int pfn);
            if (pfn >= 0)
            {
                Machine.Lru.Put(cpu, pfn);
            }
        }

        Machine.Lru.Drain(cpu);
    }

    /// <summary>The page that the swap cache has for an entry; -1 when it has none.</summary>
    internal int CachedPage(SwapEntry entry) => TryFind(entry, "get_swap_device", out SwapArea? area) ? area.CachedPage(entry.Offset) : -1;

    /// <summary>The swap entry that a page-table entry stands for; none where it stands for something else.</summary>
    internal static SwapEntry ToEntry(in SoftEntry entry) =>
        entry.Kind == SoftEntryKind.Swap && entry.Offset < SwapEntry.MaxSlots ? new SwapEntry(entry.Type, entry.Offset) : default;

    /// <summary>As <see cref="TryFreeSlot"/>, of a page that is not locked yet.</summary>
    private bool TryLockAndFreeSlot(Cpu cpu, int pfn)
    {
        if (!TryLock(pfn))
        {
            return false;
        }

        bool freed = TryFreeSlot(cpu, pfn);
        Unlock(pfn);
        return freed;
    }
}
