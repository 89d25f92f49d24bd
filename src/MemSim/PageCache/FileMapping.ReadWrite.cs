namespace MemSim.PageCache;

/// <content>Buffered reads and writes.</content>
internal abstract partial class FileMapping
{
    /// <summary>Bytes that a file can have: 32-bit page indexes.</summary>
    public const long MaxBytes = (long)uint.MaxValue << PageGeometry.PageShift;

    /// <summary>Copies bytes out of the cache, filling it as needed (<c>filemap_read()</c>).</summary>
    /// <returns>The bytes read: fewer at the end of the file or before an error; or the error when it was none.</returns>
    public virtual Result<int> Read(Cpu cpu, OpenFile file, long offset, Span<byte> buffer)
    {
        ReadAheadState state = file.ReadAhead;
        int done = 0;
        int last = -1;
        Errno error = Errno.None;
        while (done < buffer.Length && offset + done < Host.Size)
        {
            long position = offset + done;
            uint index = (uint)(position >> PageGeometry.PageShift);
            int within = (int)position & (PageGeometry.PageSize - 1);
            int bytes = (int)Math.Min(Math.Min(buffer.Length - done, PageGeometry.PageSize - within), Host.Size - position);
            int pfn = Find(index);
            if (pfn < 0 || (pfn != last && !_frames[pfn].Is(PageFlags.UpToDate, of: PageFlags.UpToDate | PageFlags.Reclaim | PageFlags.HwPoison)))
            {
                error = FillForRead(cpu, state, index, (uint)((offset + buffer.Length - 1) >> PageGeometry.PageShift) - index + 1, out pfn);
                if (error != Errno.None)
                {
                    break;
                }
            }

            if (pfn < 0)
            {
                // A hole of shared memory.
                buffer.Slice(done, bytes).Clear();
            }
            else
            {
                int part = pfn;
                int order = _frames[pfn].Order;
                if (order != 0)
                {
                    part += (int)(index - _frames[pfn].Index);
                }

                if (pfn != last && (done != 0 || !IsSamePage(order, index, state.PreviousPosition)))
                {
                    _lru.MarkAccessed(cpu, pfn);
                }

                CopyOut(part, within, buffer.Slice(done, bytes));
            }

            last = pfn;

            done += bytes;
            state.PreviousPosition = position + bytes;
        }

        return done != 0 || error == Errno.None ? done : error;
    }

    /// <summary>Whether the last read ended in the page, or large page, that this one begins in (<c>pos_same_folio()</c>).</summary>
    private static bool IsSamePage(int order, uint index, long previous) =>
        previous > 0 && (previous - 1) >> (PageGeometry.PageShift + order) == index >> order;

    /// <summary>Copies bytes into the cache (<c>generic_perform_write()</c>): pages are allocated, read where only part of them is written, and made dirty.</summary>
    /// <returns>The bytes written, fewer before an error; or the error when it was none.</returns>
    public virtual Result<int> Write(Cpu cpu, long offset, ReadOnlySpan<byte> buffer)
    {
        if (offset >= MaxBytes)
        {
            return Errno.EFBIG;
        }

        int length = (int)Math.Min(buffer.Length, MaxBytes - offset);
        int done = 0;
        while (done < length)
        {
            long position = offset + done;
            int within = (int)position & (PageGeometry.PageSize - 1);
            int bytes = Math.Min(length - done, PageGeometry.PageSize - within);
            Errno error = WritePart(cpu, (uint)(position >> PageGeometry.PageShift), within, buffer.Slice(done, bytes));
            if (error != Errno.None)
            {
                return done != 0 ? done : error;
            }

            done += bytes;
            Host.Size = Math.Max(Host.Size, position + bytes);
            Writeback?.BalanceDirtyNowAndThen(cpu);
        }

        return done;
    }

    /// <summary>The page of a read that is missing, marked or could not be read before; -1 where shared memory has a hole.</summary>
    protected virtual Errno FillForRead(Cpu cpu, ReadAheadState state, uint index, uint request, out int pfn)
    {
        pfn = Find(index);
        if (pfn < 0)
        {
            ReadAhead.OnMiss(cpu, this, state, index, request);
        }
        else if (IsReadAheadMark(pfn))
        {
            ReadAhead.OnMark(cpu, this, state, pfn, _frames[pfn].Index, request + index - _frames[pfn].Index);
        }

        pfn = Find(index);
        if (pfn >= 0 && _frames[pfn].Order != 0 && (Has(pfn, PageFlags.UpToDate) || FillOne(cpu, pfn, waits: true)))
        {
            return Errno.None;
        }

        Errno error = GetPage(cpu, index, Gfp, waits: true, out pfn);
        if (error == Errno.None)
        {
            // The cache's own reference is enough from here on: nothing is allocated before the copy is done.
            _lru.Put(cpu, pfn);
        }

        return error;
    }

    /// <summary>Writes part of one page.</summary>
    private Errno WritePart(Cpu cpu, uint index, int within, ReadOnlySpan<byte> from)
    {
        int pfn = FindSmall(cpu, index);
        if (pfn >= 0 && Has(pfn, PageFlags.HwPoison))
        {
            return Errno.EIO;
        }

        if (pfn >= 0)
        {
            _machine.Frames.AddReferences(pfn, 1);
            Set(pfn, PageFlags.Locked);
        }
        else
        {
            pfn = CreateForWrite(cpu, index, out Errno failure);
            if (pfn < 0)
            {
                return failure;
            }
        }

        Errno error = PrepareWrite(cpu, index, pfn, within, from.Length);
        if (error == Errno.None)
        {
            CopyIn(pfn, within, from);
            if (!Has(pfn, PageFlags.UpToDate))
            {
                Set(pfn, PageFlags.UpToDate);
            }

            _ = SetDirty(cpu, pfn);
        }
        else if (!Has(pfn, PageFlags.UpToDate) && Owns(pfn))
        {
            // A page that was made for this write only must not be found with undefined contents.
            Detach(cpu, pfn, shadow: 0);
            _machine.Frames.AddReferences(pfn, -1);
        }

        Unlock(pfn);
        _lru.Put(cpu, pfn);
        return error;
    }

    /// <summary>Allocates a page that a write needs.</summary>
    protected virtual int CreateForWrite(Cpu cpu, uint index, out Errno error) => Create(cpu, index, Gfp | Gfp.Write, out error);

    /// <summary>Makes a locked page fit for a partial write (<c>block_write_begin()</c>): room on the device, the rest read or zeroed.</summary>
    private Errno PrepareWrite(Cpu cpu, uint index, int pfn, int within, int bytes)
    {
        bool wasHole = !HasBacking(index);
        Errno error = EnsureBlock(index);
        if (error != Errno.None || Has(pfn, PageFlags.UpToDate) || bytes == PageGeometry.PageSize)
        {
            return error;
        }

        long start = (long)index << PageGeometry.PageShift;
        if (wasHole || start >= Host.Size || (within == 0 && start + bytes >= Host.Size))
        {
            Zero(pfn, 0, within);
            Zero(pfn, within + bytes, PageGeometry.PageSize);
            return Errno.None;
        }

        if (!FillOne(cpu, pfn, waits: true))
        {
            Set(pfn, PageFlags.Locked);
            return Errno.EIO;
        }

        Set(pfn, PageFlags.Locked);
        return Errno.None;
    }
}
