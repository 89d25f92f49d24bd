using MemSim.Pages;
using MemSim.Statistics;

namespace MemSim.PageCache;

/// <content>Pages are filled from the device.</content>
internal abstract partial class FileMapping
{
    /// <summary>The page at an index, brought in if need be: up to date, unlocked, with a reference for the caller (<c>read_mapping_page()</c>).</summary>
    public virtual Errno GetPage(Cpu cpu, uint index, Gfp gfp, bool waits, out int pfn)
    {
        pfn = FindSmall(cpu, index);
        if (pfn < 0)
        {
            pfn = Create(cpu, index, gfp, out Errno error);
            if (pfn < 0)
            {
                return error;
            }
        }
        else
        {
            _machine.Frames.AddReferences(pfn, 1);
        }

        if (Has(pfn, PageFlags.UpToDate) || FillOne(cpu, pfn, waits))
        {
            return Errno.None;
        }

        _lru.Put(cpu, pfn);
        pfn = -1;
        return Errno.EIO;
    }

    /// <summary>Reads pages that are in the cache, locked, at consecutive indexes; afterwards they are unlocked, and up to date unless the device failed.</summary>
    public void Fill(Cpu cpu, uint index, ReadOnlySpan<int> pages, bool waits)
    {
        int done = 0;
        while (done < pages.Length)
        {
            long block = BlockOf(index + (uint)done);
            int run = 1;
            while (done + run < pages.Length && BlockOf(index + (uint)(done + run)) == (block < 0 ? -1 : block + run))
            {
                run++;
            }

            FillRun(cpu, block, pages.Slice(done, run), waits);
            done += run;
        }
    }

    /// <summary>Reads a page in the cache that is not up to date: locked by its creator, or left by a read that failed.</summary>
    /// <returns>Whether it is up to date now.</returns>
    private bool FillOne(Cpu cpu, int pfn, bool waits)
    {
        Set(pfn, PageFlags.Locked);
        _ = Clear(pfn, PageFlags.Error);
        if (_frames[pfn].Order == 0)
        {
            Fill(cpu, _frames[pfn].Index, new ReadOnlySpan<int>(in pfn), waits);
        }
        else
        {
            FillLarge(cpu, pfn, waits);
        }

        return Has(pfn, PageFlags.UpToDate);
    }

    private void FillRun(Cpu cpu, long block, ReadOnlySpan<int> pages, bool waits)
    {
        Errno error = ReadRun(cpu, block, pages, waits);
        foreach (int pfn in pages)
        {
            Set(pfn, error == Errno.None ? PageFlags.UpToDate : PageFlags.Error);
            Unlock(pfn);
        }
    }

    /// <summary>Fills consecutive frames from the device, or with zeros where the file has a hole.</summary>
    private Errno ReadRun(Cpu cpu, long block, ReadOnlySpan<int> frames, bool waits)
    {
        if (block >= 0)
        {
            Errno error = Writeback!.Device.Read(cpu, block, frames, waits);
            _machine.Events.Count(VmEvent.PagesIn, (long)frames.Length << (PageGeometry.PageShift - 10));
            return error;
        }

        foreach (int pfn in frames)
        {
            _machine.Ram.Zero(pfn, 1);
        }

        return Errno.None;
    }

    /// <summary>Copies bytes of a page to the caller.</summary>
    public void CopyOut(int pfn, int offset, Span<byte> into)
    {
        if (_machine.Ram.HasContents)
        {
            _machine.Ram.ReadOnly(((ulong)pfn << PageGeometry.PageShift) + (uint)offset, into.Length).CopyTo(into);
        }
    }

    private void CopyIn(int pfn, int offset, ReadOnlySpan<byte> from)
    {
        if (_machine.Ram.HasContents)
        {
            from.CopyTo(_machine.Ram.Range(((ulong)pfn << PageGeometry.PageShift) + (uint)offset, from.Length));
        }
    }

    public ref PageFrame FrameOf(int pfn) => ref _frames[pfn];
}
