namespace MemSim.PageCache;

/// <content>Truncation and holes.</content>
internal abstract partial class FileMapping
{
    private const int BatchSize = 15;

    /// <summary>Changes the file's size (<c>truncate_setsize()</c>): what lies behind it is unmapped and goes, the rest of the last page is zeroed.</summary>
    /// <returns>Why nothing was changed: the last page could not be read.</returns>
    public virtual Errno Truncate(Cpu cpu, long bytes)
    {
        int within = (int)(bytes & (PageGeometry.PageSize - 1));
        if (bytes < Host.Size && within != 0)
        {
            Errno error = ZeroPart(cpu, (uint)(bytes >> PageGeometry.PageShift), within, PageGeometry.PageSize);
            if (error != Errno.None)
            {
                return error;
            }
        }
        else if (bytes > Host.Size && (Host.Size & (PageGeometry.PageSize - 1)) != 0 && Find((uint)(Host.Size >> PageGeometry.PageShift)) is >= 0 and int last)
        {
            // A mapping may have written behind the end.
            Zero(last, (int)Host.Size & (PageGeometry.PageSize - 1), PageGeometry.PageSize);
        }

        bool shrinks = bytes < Host.Size;
        Host.Size = bytes;
        if (shrinks)
        {
            RemoveRange(cpu, (uint)Math.Min((bytes + PageGeometry.PageSize - 1) >> PageGeometry.PageShift, uint.MaxValue), uint.MaxValue, evenCopies: true);
        }

        return Errno.None;
    }

    /// <summary>Makes a hole (<c>FALLOC_FL_PUNCH_HOLE</c>): whole pages go, parts of pages are zeroed.</summary>
    public virtual Errno PunchHole(Cpu cpu, long offset, long bytes)
    {
        long end = Math.Min(offset + bytes, SizePages << PageGeometry.PageShift);
        if (offset >= end)
        {
            return Errno.None;
        }

        long firstWhole = (offset + PageGeometry.PageSize - 1) >> PageGeometry.PageShift;
        long behind = end >> PageGeometry.PageShift;
        Errno error = Errno.None;
        if (firstWhole > behind)
        {
            return ZeroPart(cpu, (uint)behind, (int)(offset & (PageGeometry.PageSize - 1)), (int)(end & (PageGeometry.PageSize - 1)));
        }

        if ((offset & (PageGeometry.PageSize - 1)) != 0)
        {
            error = ZeroPart(cpu, (uint)(firstWhole - 1), (int)(offset & (PageGeometry.PageSize - 1)), PageGeometry.PageSize);
        }

        if (error == Errno.None && (end & (PageGeometry.PageSize - 1)) != 0)
        {
            error = ZeroPart(cpu, (uint)behind, 0, (int)(end & (PageGeometry.PageSize - 1)));
        }

        if (error == Errno.None && firstWhole < behind)
        {
            // Copies that processes made of these pages are theirs, unlike those behind a new end of the file.
            RemoveRange(cpu, (uint)firstWhole, (uint)(behind - 1), evenCopies: false);
        }

        return error;
    }

    /// <summary>Takes a range of pages out of all page tables and out of the cache, dirty or not (<c>truncate_inode_pages_range()</c>), and frees its room on the device.</summary>
    private void RemoveRange(Cpu cpu, uint first, uint last, bool evenCopies)
    {
        UnmapRange(cpu, first, last, evenCopies);
        SplitAt(cpu, first);
        SplitAt(cpu, last == uint.MaxValue ? last : last + 1);
        Span<int> batch = stackalloc int[BatchSize];
        int count = 0;
        uint index = first;
        while (_tree.Next(ref index, last, PageTag.Any, out long entry))
        {
            if (PageTree.IsValue(entry))
            {
                RemoveValue(cpu, index, PageTree.ValueOf(entry));
            }
            else
            {
                int pfn = PageTree.PfnOf(entry);
                index = LastIndexOf(pfn);
                WaitForWriteback(cpu, pfn);
                bool locked = TryLock(pfn);
                Detach(cpu, pfn, shadow: 0);
                if (locked)
                {
                    Unlock(pfn);
                }

                _ = Clear(pfn, PageFlags.MappedToDisk);
                batch[count++] = pfn;
                if (count == BatchSize)
                {
                    _lru.PutAll(cpu, batch);
                    count = 0;
                }
            }

            if (index >= last)
            {
                break;
            }

            index++;
        }

        _lru.PutAll(cpu, batch[..count]);
        FreeBlocks(first, last);
    }

    /// <summary>Sees to it that no large page reaches over an index.</summary>
    private void SplitAt(Cpu cpu, uint index)
    {
        if (LargestOrder != 0 && Find(index) is >= 0 and int pfn && _frames[pfn].Index != index)
        {
            _ = FindSmall(cpu, index);
        }
    }

    /// <summary>Takes a value out of the tree: a shadow, or, for shared memory, a swap entry that has to be freed.</summary>
    protected virtual void RemoveValue(Cpu cpu, uint index, long value) => _tree.Remove(cpu, index);

    /// <summary>Gives the room of a range of pages back to the device.</summary>
    protected virtual void FreeBlocks(uint first, uint last)
    {
    }

    protected void UnmapRange(Cpu cpu, uint first, uint last, bool evenCopies)
    {
        for (int i = 0; i < _areas.Count; i++)
        {
            IMappedArea area = _areas[i];
            if (area.StartIndex <= last && area.StartIndex + area.Pages > first)
            {
                area.UnmapFileRange(cpu, first, last, evenCopies);
            }
        }
    }

    /// <summary>Zeroes part of a page, reading it first when the device has it.</summary>
    private Errno ZeroPart(Cpu cpu, uint index, int from, int to)
    {
        if (!HasBacking(index))
        {
            return Errno.None;
        }

        Errno error = GetPage(cpu, index, Gfp, waits: true, out int pfn);
        if (error != Errno.None)
        {
            return error == Errno.EHWPOISON ? Errno.EIO : error;
        }

        Zero(pfn, from, to);
        _ = SetDirty(cpu, pfn);
        _lru.Put(cpu, pfn);
        return Errno.None;
    }

    /// <summary>Whether a page has room on the device, or memory: others are holes and zero.</summary>
    protected virtual bool HasBacking(uint index) => BlockOf(index) >= 0;

    private void Zero(int pfn, int from, int to)
    {
        if (_machine.Ram.HasContents)
        {
            _machine.Ram.Range(((ulong)pfn << PageGeometry.PageShift) + (uint)from, to - from).Clear();
        }
    }
}
