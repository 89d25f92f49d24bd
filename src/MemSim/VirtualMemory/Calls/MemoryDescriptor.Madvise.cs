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
    /// <returns>
    /// EINVAL; ENOMEM for holes (the areas between them were served), EINVAL for populating without rights, EFAULT where an access would get a signal; for injected errors what
    /// <see cref="MemoryFailures"/> answers.
    /// </returns>
    public Errno Madvise(VirtualAddress address, long length, MemoryAdvice advice)
    {
        using OwnersLock.Scope scope = _spaces.Enter();
        if (IsGone)
        {
            return Errno.ESRCH;
        }

        ulong start = address.Value;
        if (!IsKnown(advice) || (start & PageMask) != 0 || !Align(length, out ulong bytes) || start + bytes < start)
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

        if (advice is MemoryAdvice.HwPoison or MemoryAdvice.SoftOffline)
        {
            return InjectErrors(cpu, start, end, soft: advice == MemoryAdvice.SoftOffline);
        }

        AreaPieces pieces = new(_areas, start, end);
        while (pieces.Next(out Vma? vma, out ulong at, out ulong stop))
        {
            Errno result = Advise(cpu, vma, at, stop, advice);
            if (result != Errno.None)
            {
                return result;
            }
        }

        return pieces.HasHoles ? Errno.ENOMEM : Errno.None;
    }

    /// <summary>Sets the NUMA policy of a range (<c>mbind()</c>): it counts for pages faulted in from now on.</summary>
    /// <param name="address">The first address, page aligned.</param>
    /// <param name="length">Bytes; rounded up to pages.</param>
    /// <param name="policy">The policy; null for that of the task.</param>
    /// <returns>EINVAL, EFAULT for holes, ENOMEM.</returns>
    public Errno Mbind(VirtualAddress address, long length, MemoryPolicy? policy)
    {
        using OwnersLock.Scope scope = _spaces.Enter();
        if (IsGone)
        {
            return Errno.ESRCH;
        }

        ulong start = address.Value;
        if ((start & PageMask) != 0 || !Align(length, out ulong bytes) || start + bytes < start || (policy is { Mode: MemoryPolicyMode.WeightedInterleave } && !_spaces.Rules.WeightsInterleave))
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
        using OwnersLock.Scope scope = _spaces.Enter();
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
        AreaPieces pieces = new(_areas, start, end);
        while (pieces.Next(out Vma? vma, out _, out _))
        {
            if ((flags & SyncFlags.Invalidate) != 0 && (vma.Flags & VmaFlags.Locked) != 0)
            {
                return Errno.EBUSY;
            }

            if ((flags & SyncFlags.Sync) != 0 && vma.File is { } file && vma.IsShared)
            {
                Errno written = Cpu.Files.Fsync(file);
                if (written != Errno.None)
                {
                    return written;
                }
            }
        }

        return pieces.HasHoles ? Errno.ENOMEM : Errno.None;
    }

    /// <summary>Whether the kernel line has an advice (<c>madvise_behavior_valid()</c>).</summary>
    private bool IsKnown(MemoryAdvice advice) => advice switch
    {
        MemoryAdvice.GuardInstall or MemoryAdvice.GuardRemove => _spaces.Rules.GuardRegions,
        MemoryAdvice.HugePage or MemoryAdvice.NoHugePage or MemoryAdvice.Collapse => _spaces.Huge.Settings.IsAvailable,
        _ => Enum.IsDefined(advice),
    };

    private Errno Advise(Cpu cpu, Vma vma, ulong start, ulong end, MemoryAdvice advice)
    {
        VmaFlags flags = vma.Flags;
        if (vma.Hugetlb is not null && advice is MemoryAdvice.DontNeed or MemoryAdvice.DontNeedLocked && (start & (vma.Hugetlb.Bytes - 1)) == 0)
        {
            // Only whole huge pages of the range go.
            ulong whole = end & ~(vma.Hugetlb.Bytes - 1);
            return whole <= start ? Errno.None : Drop(cpu, vma, start, whole);
        }

        if (vma.Hugetlb is not null && HugetlbMemory.Cuts(vma, start, end))
        {
            return Errno.EINVAL;
        }

        if (vma.MapsFrames && IsForPages(advice))
        {
            return Errno.EINVAL;
        }

        switch (advice)
        {
            case MemoryAdvice.DontNeed or MemoryAdvice.DontNeedLocked or MemoryAdvice.Free:
                return GiveUp(cpu, vma, start, end, advice);
            case MemoryAdvice.Remove:
                return Remove(cpu, vma, start, end);
            case MemoryAdvice.WillNeed:
                return ReadAhead(cpu, vma, start, end);
            case MemoryAdvice.Cold or MemoryAdvice.PageOut:
                if ((flags & (VmaFlags.Locked | VmaFlags.HugeTlb)) != 0)
                {
                    return Errno.EINVAL;
                }

                return advice == MemoryAdvice.Cold ? AdvisePages(cpu, vma, start, end, free: false) : PageOut(cpu, vma, start, end);
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
            case MemoryAdvice.Collapse:
                return Collapse(cpu, vma, start, end);
            case MemoryAdvice.GuardInstall:
                return InstallGuards(cpu, vma, start, end);
            case MemoryAdvice.GuardRemove:
                return RemoveGuards(cpu, vma, start, end);
            case MemoryAdvice.Mergeable:
                flags |= Merge(vma);
                break;
            case MemoryAdvice.Unmergeable when Unmerge(cpu, vma, start, end) != Errno.None:
                return Errno.ENOMEM;
            case MemoryAdvice.Unmergeable:
                flags &= ~VmaFlags.Mergeable;
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

    /// <summary>Whether advice is about pages, or about what an area of frames must stay.</summary>
    private static bool IsForPages(MemoryAdvice advice) => advice is MemoryAdvice.DontNeed or MemoryAdvice.DontNeedLocked or MemoryAdvice.Free or MemoryAdvice.Cold or MemoryAdvice.PageOut
        or MemoryAdvice.DoFork or MemoryAdvice.DoDump or MemoryAdvice.WipeOnFork or MemoryAdvice.HugePage or MemoryAdvice.NoHugePage or MemoryAdvice.Collapse;

    /// <summary>Makes a hole in the file of a shared mapping (<c>MADV_REMOVE</c>).</summary>
    private Errno Remove(Cpu cpu, Vma vma, ulong start, ulong end)
    {
        if ((vma.Flags & VmaFlags.Locked) != 0 || vma.File is not { } file)
        {
            return Errno.EINVAL;
        }

        VmaFlags needed = VmaFlags.Shared | (_spaces.Rules.RemovesWhereWritable ? VmaFlags.MayWrite : VmaFlags.Write);
        if ((vma.Flags & needed) != needed)
        {
            return Errno.EACCES;
        }

        // Whoever hears of it may unmap the area: the file stays.
        long offset = (long)vma.IndexOf(start) << PageGeometry.PageShift;
        _ = file.Get();
        _ = TellRemove(vma, start, end);
        Errno result = file.Mapping.PunchHole(cpu, offset, (long)(end - start));
        file.Put(cpu);
        return result;
    }

    private void WantHuge()
    {
        _spaces.UsesHugePages = true;
        _spaces.Huge.Settings.Khugepaged.Enter(this);
    }

    private Errno Drop(Cpu cpu, Vma vma, ulong start, ulong end)
    {
        NotePeak();
        MmuGather gather = new(_spaces, cpu, this) { KeepsMarkers = true };
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
        else if (!vma.MapsFrames)
        {
            vma.Mm.Spaces.Swap?.Prefetch(cpu, vma, start, end);
        }

        return Errno.None;
    }

    /// <summary>Reclaims the pages at once (<c>MADV_PAGEOUT</c>): to swap, to their file, or wherever reclaim would put them.</summary>
    private Errno PageOut(Cpu cpu, Vma vma, ulong start, ulong end)
    {
        Machine machine = cpu.Machine;
        Span<int> batch = stackalloc int[IPageOut.ClusterPages];
        int count = 0;
        _spaces.Machine.Lru.Drain(cpu);
        PageTableCursor cursor = new(_spaces, vma, start, end);
        while (cursor.Next())
        {
            if (cursor.IsHuge)
            {
                int given = _spaces.Huge.IsolateFreed(cursor, Tables);
                if (given >= 0)
                {
                    count = ReclaimBatch(cpu, batch[..count]);
                    _ = machine.Lru.PageOut.ReclaimIsolated(cpu, [given]);
                }
                else if (_spaces.Huge.SplitForPageOut(cpu, cursor.Entry))
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

                MakeOld(table.Slot, entry, pfn);
                if (_spaces.Pages.HasFlag(pfn, PageFlags.Unevictable) || !machine.Lru.Isolate(pfn))
                {
                    continue;
                }

                bool full = count != 0 && (count == batch.Length || machine.Frames.Array[batch[0]].ZoneId != machine.Frames.Array[pfn].ZoneId);
                if (full)
                {
                    count = ReclaimBatch(cpu, batch[..count]);
                }

                batch[count++] = pfn;
                if (full)
                {
                    cursor.ContinueFrom(table.NextAddress);
                    break;
                }
            }
        }

        _ = ReclaimBatch(cpu, batch[..count]);
        Tables.Mmu.FlushRange(cpu, Tables, new VirtualAddress(start), end - start);
        return Errno.None;
    }

    /// <summary>Reclaims what was gathered so far.</summary>
    /// <returns>How many are gathered then: none.</returns>
    private static int ReclaimBatch(Cpu cpu, ReadOnlySpan<int> pages)
    {
        if (!pages.IsEmpty)
        {
            _ = cpu.Machine.Lru.PageOut.ReclaimIsolated(cpu, pages);
        }

        return 0;
    }

    /// <summary>Advice that is taken page by page, of huge pages as a whole (<c>MADV_COLD</c>, <c>MADV_FREE</c>).</summary>
    private Errno AdvisePages(Cpu cpu, Vma vma, ulong start, ulong end, bool free)
    {
        PageTableCursor cursor = new(_spaces, vma, start, end);
        while (cursor.Next())
        {
            if (cursor.IsHuge)
            {
                _spaces.Huge.Advise(cpu, ref cursor, Tables, free);
                continue;
            }

            TableEntries table = cursor.Entries;
            while (table.Next(out ulong entry))
            {
                if (free)
                {
                    FreeLazily(cpu, vma, table.Address, table.Slot, entry);
                }
                else if (IsOwnPage(cpu, vma, table.Address, entry, out int pfn))
                {
                    MakeOld(table.Slot, entry, pfn);
                    _spaces.Machine.Lru.Deactivate(cpu, pfn);
                }
            }
        }

        Tables.Mmu.FlushRange(cpu, Tables, new VirtualAddress(start), end - start);
        return Errno.None;
    }

    /// <summary>Nobody has used the page lately.</summary>
    private void MakeOld(ulong slot, ulong entry, int pfn)
    {
        while (!Tables.TryChangeSlot(slot, ref entry, _spaces.Layout.MakeOld(entry)))
        {
        }

        _spaces.Pages.ClearFlag(pfn, PageFlags.Referenced);
        _ = _spaces.Machine.Lru.Idle?.TestClearYoung(_spaces.Pages.HeadOf(pfn));
    }

    /// <summary>Lets reclaim drop a page unless it is written again.</summary>
    private void FreeLazily(Cpu cpu, Vma vma, ulong address, ulong slot, ulong entry)
    {
        PteLayout layout = _spaces.Layout;
        if (!layout.IsPresent(entry))
        {
            if (_spaces.Entries.Decode(entry).Kind == SoftEntryKind.Swap)
            {
                Tables.WriteSlot(slot, 0);
                _spaces.Entries.DropSoftEntry(cpu, vma, address, entry);
            }

            return;
        }

        // A merged page may get other users before it is dropped, who would not know.
        // Its slot in swap holds older bytes, and perhaps others still want them: without a slot of its own only.
        if (!IsOwnPage(cpu, vma, address, entry, out int pfn) || !_spaces.Pages.IsAnon(pfn) || _spaces.Frames[pfn].IsMerged
            || _spaces.Pages.HasFlag(pfn, PageFlags.Locked) || (_spaces.Pages.IsSwapCache(pfn) && !(_spaces.Swap?.TryFreeSlot(cpu, pfn) ?? false)))
        {
            return;
        }

        _spaces.Pages.ClearFlag(pfn, PageFlags.Dirty);
        while (!Tables.TryChangeSlot(slot, ref entry, layout.MakeClean(layout.MakeOld(entry))))
        {
        }

        _spaces.Machine.Lru.LazyFree(cpu, pfn);
    }

    /// <summary>Whether an entry maps a page of which advice can be taken: that nobody else maps, and that is no part of a huge page, or not any more.</summary>
    private bool IsOwnPage(Cpu cpu, Vma vma, ulong address, ulong entry, out int pfn)
    {
        pfn = _spaces.Layout.IsPresent(entry) ? _spaces.Entries.NormalPage(vma, address, entry) : -1;
        return pfn >= 0 && _spaces.Maps.MapCount(pfn) == 1 && (!_spaces.UsesHugePages || _spaces.Huge.Isolate(cpu, pfn));
    }
}
