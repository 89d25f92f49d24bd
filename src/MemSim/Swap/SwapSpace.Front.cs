using System.Runtime.CompilerServices;
using MemSim.Cgroups;
using MemSim.Hardware;
using MemSim.Statistics;
using MemSim.Swap;

namespace MemSim;

/// <content>Pages that need no area although they have a slot there: those of zeroes, and those that zswap keeps.</content>
public sealed partial class SwapSpace
{
    /// <summary>Zswap, once it was switched on.</summary>
    internal ISwapFront? Front { get; set; }

    // Slots that are free, but of which something may be kept in memory still.
    private readonly List<SwapEntry> _released = [];

    /// <summary>What was kept of free slots goes: not under the lock, since giving objects back may ask for memory.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void DropReleased(Cpu cpu)
    {
        if (_released.Count != 0)
        {
            DropEach(cpu);
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void DropEach(Cpu cpu)
    {
        while (_released.Count != 0 && TryNextReleased(out SwapEntry entry))
        {
            Front?.Invalidate(cpu, entry);
            _areas[entry.Type]?.Backing.SlotFreed(cpu, entry.Offset);
        }
    }

    private bool TryNextReleased(out SwapEntry entry)
    {
        using LockScope scope = Enter();
        int last = _released.Count - 1;
        entry = last < 0 ? default : _released[last];
        if (last >= 0)
        {
            _released.RemoveAt(last);
        }

        return last >= 0;
    }

    /// <summary>Takes a slot's page into the swap cache for being written to its area, locked and without contents (<c>zswap_writeback_entry()</c>).</summary>
    /// <returns>EEXIST: the swap cache has it; ENOENT: nobody needs it; ENOMEM.</returns>
    internal Errno BeginWriteback(Cpu cpu, SwapEntry entry, out int pfn)
    {
        SwapInOutcome outcome = AddNewToCache(cpu, entry, SharedMemory, 0, out pfn, out _);
        if (outcome == SwapInOutcome.Read)
        {
            return Errno.None;
        }

        if (outcome == SwapInOutcome.Found)
        {
            Machine.Lru.Put(cpu, pfn);
        }

        pfn = -1;
        return outcome switch { SwapInOutcome.Found => Errno.EEXIST, SwapInOutcome.NoMemory => Errno.ENOMEM, _ => Errno.ENOENT };
    }

    /// <summary>Writes such a page, which has its contents now; without them it leaves the cache.</summary>
    internal void EndWriteback(Cpu cpu, int pfn, bool hasContents)
    {
        if (hasContents)
        {
            SetFlags(pfn, PageFlags.UpToDate | PageFlags.Reclaim);
            bool written = Write(cpu, pfn, out bool ended);
            Unlock(pfn);
            if (ended && written)
            {
                ClearFlags(pfn, PageFlags.Reclaim);
                Machine.Lru.RotateAfterWriteback(cpu, pfn);
            }
        }
        else
        {
            using (Enter())
            {
                SwapEntry entry = EntryOf(pfn);
                TakeFromCache(_areas[entry.Type]!, entry, pfn, 0);
                DropCache(_areas[entry.Type]!, entry.Offset);
            }

            DropReleased(cpu);

            Machine.Frames.AddReferences(pfn, -1);
            Unlock(pfn);
        }

        Machine.Lru.Put(cpu, pfn);
    }

    /// <summary>Whether a page need not, or must not, be written to its area (<c>swap_writepage()</c>).</summary>
    private bool StaysInMemory(Cpu cpu, int pfn, out bool refused)
    {
        refused = false;
        SwapEntry entry = EntryOf(pfn);
        if (Machine.Personality.CompressedMemory.ZeroPagesAreBits)
        {
            bool zero = Machine.Ram.HasContents && IsZero(pfn);
            _areas[entry.Type]!.SetZero(entry.Offset, zero);
            if (zero)
            {
                _events.Count(VmEvent.SwapOutZero);
                CountForCgroup(pfn, CgroupStat.SwapOutZero);
                return true;
            }
        }

        if (Front is not { } front)
        {
            return false;
        }

        if (front.Store(cpu, entry, pfn))
        {
            return true;
        }

        refused = !front.MayWriteBack(Machine.Hooks.Charges is null ? null : Machine.Cgroups.PayerOf(pfn));
        if (refused)
        {
            SetFlags(pfn, PageFlags.Dirty);
        }

        return refused;
    }

    /// <summary>Fills a page without its area, if that can be.</summary>
    private bool TryReadFromMemory(Cpu cpu, SwapArea area, long slot, int pfn, out bool done)
    {
        SwapFrontRead read = SwapFrontRead.NotKept;
        if (area.IsZero(slot))
        {
            Machine.Ram.Zero(pfn, 1);
            _events.Count(VmEvent.SwapInZero);
            CountForCgroup(pfn, CgroupStat.SwapInZero);
            read = SwapFrontRead.Read;
        }
        else if (Front is { } front)
        {
            read = front.Load(cpu, new SwapEntry(area.Type, slot), pfn);
        }

        done = read is SwapFrontRead.Read or SwapFrontRead.TakenOut;
        if (read == SwapFrontRead.NotKept)
        {
            return false;
        }

        area.ReadErrors += done ? 0 : 1;
        SetFlags(pfn, !done ? PageFlags.Error : read == SwapFrontRead.TakenOut ? PageFlags.UpToDate | PageFlags.Dirty : PageFlags.UpToDate);
        Unlock(pfn);
        return true;
    }

    private bool IsZero(int pfn) =>
        !Machine.Ram.IsTouched(pfn) || !Machine.Ram.ReadOnly((ulong)(uint)pfn << PageGeometry.PageShift, PageGeometry.PageSize).ContainsAnyExcept((byte)0);
}
