using MemSim.Hardware;
using MemSim.Hugetlb;
using MemSim.Lru;
using MemSim.VirtualMemory;

namespace MemSim;

/// <content>Advice, policies, synchronisation.</content>
public sealed partial class MemoryDescriptor
{
    /// <summary>Gives advice about a range (<c>madvise()</c>).</summary>
    /// <param name="address">The first address, page aligned.</param>
    /// <param name="length">Bytes; rounded up to pages.</param>
    /// <param name="advice">The advice.</param>
    /// <returns>EINVAL; ENOMEM for holes (the areas between them were served), EINVAL for populating without rights, EFAULT where an access would get a signal.</returns>
    public Errno Madvise(VirtualAddress address, long length, MemoryAdvice advice)
    {
        using OwnersLock.Scope scope = _core.Enter();
        if (IsGone)
        {
            return Errno.ESRCH;
        }

        ulong start = address.Value;
        if (!Enum.IsDefined(advice) || (start & PageMask) != 0 || !Align(length, out ulong bytes) || start + bytes < start)
        {
            return Errno.EINVAL;
        }

        ulong end = start + bytes;
        if (start == end)
        {
            return Errno.None;
        }

        Cpu cpu = Cpu;
        if (advice is MemoryAdvice.PopulateRead or MemoryAdvice.PopulateWrite)
        {
            return Populate(cpu, start, end, advice == MemoryAdvice.PopulateWrite, asAdvised: true);
        }

        Errno hole = Errno.None;
        for (ulong at = start; at < end;)
        {
            Vma? vma = _areas.Find(at);
            if (vma is null || vma.StartValue >= end)
            {
                return Errno.ENOMEM;
            }

            if (vma.StartValue > at)
            {
                hole = Errno.ENOMEM;
                at = vma.StartValue;
            }

            ulong stop = Math.Min(end, vma.EndValue);
            Errno result = Advise(cpu, vma, at, stop, advice);
            if (result != Errno.None)
            {
                return result;
            }

            at = stop;
        }

        return hole;
    }

    /// <summary>Sets the NUMA policy of a range (<c>mbind()</c>): it counts for pages faulted in from now on.</summary>
    /// <param name="address">The first address, page aligned.</param>
    /// <param name="length">Bytes; rounded up to pages.</param>
    /// <param name="policy">The policy; null for that of the task.</param>
    /// <returns>EINVAL, EFAULT for holes, ENOMEM.</returns>
    public Errno Mbind(VirtualAddress address, long length, MemoryPolicy? policy)
    {
        using OwnersLock.Scope scope = _core.Enter();
        if (IsGone)
        {
            return Errno.ESRCH;
        }

        ulong start = address.Value;
        if ((start & PageMask) != 0 || !Align(length, out ulong bytes) || start + bytes < start)
        {
            return Errno.EINVAL;
        }

        ulong end = start + bytes;
        for (ulong at = start; at < end;)
        {
            if (At(at) is not { } vma)
            {
                return Errno.EFAULT;
            }

            ulong stop = Math.Min(end, vma.EndValue);
            if (!ReferenceEquals(vma.Policy, policy) && ChangeRange(Cpu, vma, at, stop, vma.Flags, policy) is null)
            {
                return Errno.ENOMEM;
            }

            at = stop;
        }

        return Errno.None;
    }

    /// <summary>Writes what shared mappings changed to their files (<c>msync()</c>).</summary>
    /// <param name="address">The first address, page aligned.</param>
    /// <param name="length">Bytes; rounded up to pages.</param>
    /// <param name="flags">Whether to wait.</param>
    /// <returns>EINVAL; EBUSY for <see cref="SyncFlags.Invalidate"/> of locked areas; ENOMEM for holes; EIO.</returns>
    public Errno Msync(VirtualAddress address, long length, SyncFlags flags)
    {
        using OwnersLock.Scope scope = _core.Enter();
        if (IsGone)
        {
            return Errno.ESRCH;
        }

        ulong start = address.Value;
        const SyncFlags both = SyncFlags.Async | SyncFlags.Sync;
        if ((flags & ~(both | SyncFlags.Invalidate)) != 0 || (flags & both) == both || (start & PageMask) != 0)
        {
            return Errno.EINVAL;
        }

        if (!Align(length, out ulong bytes) || start + bytes < start)
        {
            return Errno.ENOMEM;
        }

        ulong end = start + bytes;
        Errno hole = Errno.None;
        for (ulong at = start; at < end;)
        {
            Vma? vma = _areas.Find(at);
            if (vma is null || vma.StartValue >= end)
            {
                return Errno.ENOMEM;
            }

            if (vma.StartValue > at)
            {
                hole = Errno.ENOMEM;
                at = vma.StartValue;
            }

            if ((flags & SyncFlags.Invalidate) != 0 && (vma.Flags & VmaFlags.Locked) != 0)
            {
                return Errno.EBUSY;
            }

            ulong stop = Math.Min(end, vma.EndValue);
            if ((flags & SyncFlags.Sync) != 0 && vma.File is { } file && vma.IsShared)
            {
                Errno written = Cpu.Files.Fsync(file);
                if (written != Errno.None)
                {
                    return written;
                }
            }

            at = stop;
        }

        return hole;
    }

    private Errno Advise(Cpu cpu, Vma vma, ulong start, ulong end, MemoryAdvice advice)
    {
        VmaFlags flags = vma.Flags;
        if (vma.Hugetlb is not null && advice == MemoryAdvice.DontNeed && (start & (vma.Hugetlb.Bytes - 1)) == 0)
        {
            // Only whole huge pages of the range go.
            ulong whole = end & ~(vma.Hugetlb.Bytes - 1);
            return whole <= start ? Errno.None : Drop(cpu, vma, start, whole);
        }

        if (vma.Hugetlb is not null && HugetlbMemory.Cuts(vma, start, end))
        {
            return Errno.EINVAL;
        }

        switch (advice)
        {
            case MemoryAdvice.DontNeed:
                return (flags & (VmaFlags.Locked | VmaFlags.HugeTlb)) != 0 ? Errno.EINVAL : Drop(cpu, vma, start, end);
            case MemoryAdvice.Free:
                return vma.IsAnonymous && (flags & (VmaFlags.Locked | VmaFlags.HugeTlb)) == 0 ? FreeLazily(cpu, vma, start, end) : Errno.EINVAL;
            case MemoryAdvice.WillNeed:
                return ReadAhead(cpu, vma, start, end);
            case MemoryAdvice.Cold or MemoryAdvice.PageOut:
                if ((flags & (VmaFlags.Locked | VmaFlags.HugeTlb)) != 0)
                {
                    return Errno.EINVAL;
                }

                return advice == MemoryAdvice.Cold ? Deactivate(cpu, vma, start, end) : PageOut(cpu, vma, start, end);
            case MemoryAdvice.Normal:
                flags &= ~(VmaFlags.RandomRead | VmaFlags.SequentialRead);
                break;
            case MemoryAdvice.Random:
                flags = (flags & ~VmaFlags.SequentialRead) | VmaFlags.RandomRead;
                break;
            case MemoryAdvice.Sequential:
                flags = (flags & ~VmaFlags.RandomRead) | VmaFlags.SequentialRead;
                break;
            case MemoryAdvice.DontFork:
                flags |= VmaFlags.DontCopy;
                break;
            case MemoryAdvice.DoFork:
                flags &= ~VmaFlags.DontCopy;
                break;
            case MemoryAdvice.WipeOnFork:
                if (vma.File is not null || vma.IsShared)
                {
                    return Errno.EINVAL;
                }

                flags |= VmaFlags.WipeOnFork;
                break;
            case MemoryAdvice.KeepOnFork:
                flags &= ~VmaFlags.WipeOnFork;
                break;
            case MemoryAdvice.DontDump:
                flags |= VmaFlags.DontDump;
                break;
            case MemoryAdvice.DoDump:
                flags &= ~VmaFlags.DontDump;
                break;
            case MemoryAdvice.HugePage:
                flags = (flags & ~VmaFlags.NoHugePage) | VmaFlags.HugePage;
                WantHuge();
                break;
            default:
                flags = (flags & ~VmaFlags.HugePage) | VmaFlags.NoHugePage;
                break;
        }

        return flags == vma.Flags || ChangeRange(cpu, vma, start, end, flags, vma.Policy) is not null ? Errno.None : Errno.ENOMEM;
    }

    private void WantHuge()
    {
        _core.UsesHugePages = true;
        _core.Huge.Settings.Khugepaged.Enter(this);
    }

    private Errno Drop(Cpu cpu, Vma vma, ulong start, ulong end)
    {
        NotePeak();
        MmuGather gather = new(_core, cpu, this);
        gather.Zap(vma, start, end);
        gather.Finish();
        return Errno.None;
    }

    private static Errno ReadAhead(Cpu cpu, Vma vma, ulong start, ulong end)
    {
        if (vma.File is { } file && vma.Hugetlb is null)
        {
            _ = cpu.Files.ReadAhead(file, (long)vma.IndexOf(start) << PageGeometry.PageShift, (long)(end - start));
        }
        else
        {
            vma.Mm.Core.Swap?.Prefetch(cpu, vma, start, end);
        }

        return Errno.None;
    }

    /// <summary>Reclaims the pages at once (<c>MADV_PAGEOUT</c>): to swap, to their file, or wherever reclaim would put them.</summary>
    private Errno PageOut(Cpu cpu, Vma vma, ulong start, ulong end)
    {
        PteLayout layout = _core.Layout;
        Machine machine = cpu.Machine;
        Span<int> batch = stackalloc int[IPageOut.ClusterPages];
        int count = 0;
        _core.DrainLru(cpu);
        PageTableCursor cursor = new(_core, vma, start, end);
        while (cursor.Next())
        {
            if (cursor.IsHuge)
            {
                if (_core.Huge.SplitForPageOut(cpu, cursor.Entry))
                {
                    cursor.ContinueFrom(cursor.Address);
                }

                continue;
            }

            TableEntries table = cursor.Entries;
            while (table.Next(out ulong entry))
            {
                if (!IsOwnPage(cpu, vma, table.Address, entry, out int pfn))
                {
                    continue;
                }

                while (!Tables.TryChangeSlot(table.Slot, ref entry, layout.MakeOld(entry)))
                {
                }

                _core.ClearFlag(pfn, PageFlags.Referenced);
                if (_core.HasFlag(pfn, PageFlags.Unevictable) || !machine.Lru.Isolate(pfn))
                {
                    continue;
                }

                bool full = count != 0 && (count == batch.Length || machine.Frames[batch[0]].ZoneId != machine.Frames[pfn].ZoneId);
                if (full)
                {
                    _ = machine.PageOut.ReclaimIsolated(cpu, batch[..count]);
                    count = 0;
                }

                batch[count++] = pfn;
                if (full)
                {
                    cursor.ContinueFrom(table.NextAddress);
                    break;
                }
            }
        }

        if (count != 0)
        {
            _ = machine.PageOut.ReclaimIsolated(cpu, batch[..count]);
        }

        Tables.Mmu.FlushRange(cpu, Tables, new VirtualAddress(start), end - start);
        return Errno.None;
    }

    /// <summary>Makes pages old and inactive (<c>MADV_COLD</c>).</summary>
    private Errno Deactivate(Cpu cpu, Vma vma, ulong start, ulong end)
    {
        PteLayout layout = _core.Layout;
        PageTableCursor cursor = new(_core, vma, start, end);
        while (cursor.Next())
        {
            if (cursor.IsHuge)
            {
                _core.Huge.Advise(cpu, ref cursor, Tables, free: false);
                continue;
            }

            TableEntries table = cursor.Entries;
            while (table.Next(out ulong entry))
            {
                if (!IsOwnPage(cpu, vma, table.Address, entry, out int pfn))
                {
                    continue;
                }

                while (!Tables.TryChangeSlot(table.Slot, ref entry, layout.MakeOld(entry)))
                {
                }

                _core.ClearFlag(pfn, PageFlags.Referenced);
                _core.Deactivate(cpu, pfn);
            }
        }

        Tables.Mmu.FlushRange(cpu, Tables, new VirtualAddress(start), end - start);
        return Errno.None;
    }

    /// <summary>Lets reclaim drop the pages unless they are written again (<c>MADV_FREE</c>).</summary>
    private Errno FreeLazily(Cpu cpu, Vma vma, ulong start, ulong end)
    {
        PteLayout layout = _core.Layout;
        PageTableCursor cursor = new(_core, vma, start, end);
        while (cursor.Next())
        {
            if (cursor.IsHuge)
            {
                _core.Huge.Advise(cpu, ref cursor, Tables, free: true);
                continue;
            }

            TableEntries table = cursor.Entries;
            while (table.Next(out ulong entry))
            {
                if (!layout.IsPresent(entry))
                {
                    if (_core.Decode(entry).Kind == SoftEntryKind.Swap)
                    {
                        Tables.WriteSlot(table.Slot, 0);
                        _core.DropSoftEntry(cpu, vma, table.Address, entry);
                    }

                    continue;
                }

                // Its slot in swap holds older bytes, and perhaps others still want them: without a slot of its own only.
                if (!IsOwnPage(cpu, vma, table.Address, entry, out int pfn) || !_core.IsAnon(pfn)
                    || _core.HasFlag(pfn, PageFlags.Locked) || (_core.IsSwapCache(pfn) && !(_core.Swap?.TryFreeSlot(cpu, pfn) ?? false)))
                {
                    continue;
                }

                _core.ClearFlag(pfn, PageFlags.Dirty);
                while (!Tables.TryChangeSlot(table.Slot, ref entry, layout.MakeClean(layout.MakeOld(entry))))
                {
                }

                _core.LazyFree(cpu, pfn);
            }
        }

        Tables.Mmu.FlushRange(cpu, Tables, new VirtualAddress(start), end - start);
        return Errno.None;
    }

    /// <summary>Whether an entry maps a page of which advice can be taken: that nobody else maps, and that is no part of a huge page, or not any more.</summary>
    private bool IsOwnPage(Cpu cpu, Vma vma, ulong address, ulong entry, out int pfn)
    {
        pfn = _core.Layout.IsPresent(entry) ? _core.NormalPage(vma, address, entry) : -1;
        return pfn >= 0 && _core.MapCount(pfn) == 1 && (!_core.UsesHugePages || _core.Huge.Isolate(cpu, pfn));
    }
}
