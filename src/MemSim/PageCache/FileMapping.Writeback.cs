using System.Diagnostics;
using MemSim.Collections;
using MemSim.Lru;
using MemSim.Pages;
using MemSim.Statistics;

namespace MemSim.PageCache;

/// <content>Dirty pages and how they get clean.</content>
internal abstract partial class FileMapping
{
    private const int WriteBatch = 64;
    private const uint ErrorSeen = 1;

    private uint _errors;
    private Errno _lastError;

    private Links<FileMapping, DirtyLinks> _dirtyLinks;

    /// <summary>Its place on the device's list of dirty files.</summary>
    internal readonly struct DirtyLinks : IChainLinks<FileMapping, DirtyLinks>
    {
        public static ref Links<FileMapping, DirtyLinks> Of(FileMapping member) => ref member._dirtyLinks;
    }

    /// <summary>Whether it is on that list.</summary>
    public bool IsListedDirty => _dirtyLinks.Chain is not null;

    /// <summary>When its first dirty page got dirty, in nanoseconds.</summary>
    public long DirtiedWhen { get; set; }

    /// <summary>Makes a page dirty (<c>folio_mark_dirty()</c>).</summary>
    /// <returns>Whether it was clean before.</returns>
    public bool SetDirty(Cpu cpu, int pfn)
    {
        if (Has(pfn, PageFlags.Reclaim))
        {
            _ = Clear(pfn, PageFlags.Reclaim);
        }

        if (Has(pfn, PageFlags.Dirty))
        {
            return false;
        }

        Set(pfn, PageFlags.Dirty);
        if (Writeback is { } writeback && Owns(pfn))
        {
            ref PageFrame frame = ref _frames[pfn];
            NodeCounters counters = CountersOf(pfn);
            counters.Dirty++;
            counters.Dirtied++;
            _cache.Zones[frame.ZoneId].Counters.WritePending++;
            _tree.SetTag(frame.Index, PageTag.Dirty);
            writeback.NoteDirty(this);
            _cache.Dirtied[cpu.Id]++;
        }

        return true;
    }

    /// <summary>Writes dirty pages in a range, in order, and waits for them (<c>filemap_write_and_wait_range()</c>).</summary>
    /// <returns>The first error of these writes; it is also kept for those who call fsync.</returns>
    public Errno WriteAndWait(Cpu cpu, uint first, uint last)
    {
        if (Writeback is not { } writeback)
        {
            return Errno.None;
        }

        uint before = _errors;
        for (uint index = first; FindNext(ref index, last, PageTag.Dirty, out _); index++)
        {
            _tree.SetTag(index, PageTag.ToWrite);
            if (index == last)
            {
                break;
            }
        }

        _ = WriteTagged(cpu, first, last, PageTag.ToWrite, int.MaxValue, waits: true);
        if (_tree.HasAny(PageTag.Writeback))
        {
            _ = writeback.CompleteHeldWrites(cpu);
        }

        return (before | ErrorSeen) != (_errors | ErrorSeen) ? _lastError : Errno.None;
    }

    /// <summary>Writes a range of the file, waits, and tells of errors that this open file was not told yet (<c>fsync()</c>, <c>msync(MS_SYNC)</c>).</summary>
    public Errno Sync(Cpu cpu, OpenFile file, uint first, uint last)
    {
        _ = WriteAndWait(cpu, first, last);
        Errno error = CheckErrors(file);
        Errno flushed = Host.FileSystem.Flush();
        return error != Errno.None ? error : flushed;
    }

    /// <summary>Starts writing dirty pages, lowest index first.</summary>
    /// <returns>How many were written.</returns>
    public int WriteSome(Cpu cpu, int limit) => WriteTagged(cpu, 0, uint.MaxValue, PageTag.Dirty, limit, waits: false);

    /// <summary>Starts writing one page for reclaim (<c>pageout()</c>): isolated, locked, dirty, with a reference of the caller; it stays locked.</summary>
    public virtual PageOutOutcome PageOut(Cpu cpu, int pfn)
    {
        if (!Owns(pfn) || !WritesBack)
        {
            return PageOutOutcome.Keep;
        }

        if (_frames[pfn].RefCount > 2)
        {
            return PageOutOutcome.Keep;
        }

        if (!ClearDirtyForIo(cpu, pfn))
        {
            return PageOutOutcome.Clean;
        }

        Set(pfn, PageFlags.Reclaim);
        StartWriteback(pfn);
        Submit(cpu, _frames[pfn].Index, new ReadOnlySpan<int>(in pfn), waits: false);
        return PageOutOutcome.Success;
    }

    /// <summary>Remembers that a write failed; each open file hears of it once (<c>mapping_set_error()</c>).</summary>
    public void RecordError(Errno error)
    {
        _lastError = error;
        _errors = (_errors & ~ErrorSeen) + (ErrorSeen << 1);
    }

    /// <summary>Where a file that is opened now starts to hear of errors: at the last one if nobody heard of it yet (<c>errseq_sample()</c>).</summary>
    public uint SampleErrors() => (_errors & ErrorSeen) != 0 || _errors == 0 ? _errors : 0;

    /// <summary>Reports an error that an open file has not heard of (<c>file_check_and_advance_wb_err()</c>).</summary>
    public Errno CheckErrors(OpenFile file)
    {
        if ((_errors | ErrorSeen) == (file.ErrorsSeen | ErrorSeen) || _errors == 0)
        {
            return Errno.None;
        }

        _errors |= ErrorSeen;
        file.ErrorsSeen = _errors;
        return _lastError;
    }

    /// <summary>Ends the write of a page (<c>folio_end_writeback()</c>) and drops the reference it held.</summary>
    public void EndWriteback(Cpu cpu, int pfn, Errno error)
    {
        Debug.Assert(Has(pfn, PageFlags.Writeback) && _frames[pfn].RefCount > 0, "a write that ends was under way");
        if (error != Errno.None)
        {
            Set(pfn, PageFlags.Error);
            RecordError(error == Errno.ENOSPC ? Errno.ENOSPC : Errno.EIO);
        }

        if (Clear(pfn, PageFlags.Reclaim))
        {
            _lru.RotateAfterWriteback(cpu, pfn);
        }

        _ = Clear(pfn, PageFlags.Writeback);
        ref PageFrame frame = ref _frames[pfn];
        _tree.ClearTag(frame.Index, PageTag.Writeback);
        NodeCounters counters = CountersOf(pfn);
        counters.Writeback--;
        counters.Written++;
        Debug.Assert(counters.Writeback >= 0, "no more writes end than began");
        _cache.Zones[frame.ZoneId].Counters.WritePending--;
        _lru.Put(cpu, pfn);
    }

    /// <summary>Waits until a page is not being written.</summary>
    public void WaitForWriteback(Cpu cpu, int pfn)
    {
        if (Has(pfn, PageFlags.Writeback))
        {
            _ = Writeback!.CompleteHeldWrites(cpu);
        }
    }

    private int WriteTagged(Cpu cpu, uint first, uint last, PageTag tag, int limit, bool waits)
    {
        Span<int> batch = stackalloc int[WriteBatch];
        int count = 0;
        int written = 0;
        uint batchIndex = 0;
        long batchBlock = 0;
        for (uint index = first; written < limit && FindNext(ref index, last, tag, out int pfn); index++)
        {
            _tree.ClearTag(index, PageTag.ToWrite);
            if (Has(pfn, PageFlags.Writeback) && waits)
            {
                WaitForWriteback(cpu, pfn);
            }

            if (!Has(pfn, PageFlags.Writeback) && TryLock(pfn))
            {
                if (ClearDirtyForIo(cpu, pfn))
                {
                    long block = BlockOf(index);
                    if (count == WriteBatch || (count != 0 && (index != batchIndex + (uint)count || block != batchBlock + count)))
                    {
                        SubmitAndUnlock(cpu, batchIndex, batch[..count], waits);
                        count = 0;
                    }

                    if (count == 0)
                    {
                        batchIndex = index;
                        batchBlock = block;
                    }

                    batch[count++] = pfn;
                    StartWriteback(pfn);
                    written++;
                }
                else
                {
                    Unlock(pfn);
                }
            }

            if (index == last)
            {
                break;
            }
        }

        SubmitAndUnlock(cpu, batchIndex, batch[..count], waits);
        if (!_tree.HasAny(PageTag.Dirty))
        {
            Writeback!.NoteClean(this);
        }

        return written;
    }

    private void SubmitAndUnlock(Cpu cpu, uint index, ReadOnlySpan<int> pages, bool waits)
    {
        foreach (int pfn in pages)
        {
            Unlock(pfn);
        }

        if (!pages.IsEmpty)
        {
            Submit(cpu, index, pages, waits);
        }
    }

    private void Submit(Cpu cpu, uint index, ReadOnlySpan<int> pages, bool waits)
    {
        DeviceWriteback writeback = Writeback!;
        _machine.Events.Count(VmEvent.PagesOut, (long)pages.Length << (PageGeometry.PageShift - 10));
        long block = BlockOf(index);
        Errno error = block < 0 ? Errno.EIO : writeback.Device.Write(cpu, block, pages, waits);
        foreach (int pfn in pages)
        {
            _machine.Frames.AddReferences(pfn, 1);
            if (writeback.Device.HoldsWrites)
            {
                writeback.Hold(this, pfn, error);
            }
            else
            {
                EndWriteback(cpu, pfn, error);
            }
        }
    }

    /// <summary>Takes the dirty state of a page over from its page-table entries and clears it (<c>folio_clear_dirty_for_io()</c>).</summary>
    /// <returns>Whether it was dirty.</returns>
    private bool ClearDirtyForIo(Cpu cpu, int pfn)
    {
        ref PageFrame frame = ref _frames[pfn];
        if (frame.MapCount != 0)
        {
            for (int i = 0; i < _areas.Count; i++)
            {
                IMappedArea area = _areas[i];
                if (frame.Index >= area.StartIndex && frame.Index < area.StartIndex + area.Pages && area.CleanFilePage(cpu, frame.Index, pfn))
                {
                    _ = SetDirty(cpu, pfn);
                }
            }
        }

        if (!Clear(pfn, PageFlags.Dirty))
        {
            return false;
        }

        CountCleaned(pfn);
        return true;
    }

    private void CountCleaned(int pfn)
    {
        CountersOf(pfn).Dirty--;
        Debug.Assert(CountersOf(pfn).Dirty >= 0, "no more pages become clean than were dirty");
        _cache.Zones[_frames[pfn].ZoneId].Counters.WritePending--;
    }

    private void StartWriteback(int pfn)
    {
        ref PageFrame frame = ref _frames[pfn];
        Debug.Assert(frame.IsLocked && !frame.IsDirty && !frame.IsUnderWriteback, "a page that begins to be written is locked, clean, and not being written");
        Set(pfn, PageFlags.Writeback);
        _tree.SetTag(frame.Index, PageTag.Writeback);
        _tree.ClearTag(frame.Index, PageTag.Dirty);
        _tree.ClearTag(frame.Index, PageTag.ToWrite);
        CountersOf(pfn).Writeback++;
        _cache.Zones[frame.ZoneId].Counters.WritePending++;
    }
}
