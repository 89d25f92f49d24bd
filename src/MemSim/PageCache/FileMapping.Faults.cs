using System.Runtime.CompilerServices;
using MemSim.Pages;

namespace MemSim.PageCache;

/// <content>What the page-fault path asks for.</content>
internal abstract partial class FileMapping
{
    /// <summary>After so many misses in a row reading around a fault is not worth it (<c>MMAP_LOTSAMISS</c>).</summary>
    private const int ManyMisses = 100;

    /// <summary>Finds or reads a page for a fault (<c>filemap_fault()</c>): with a reference for the caller, unlocked, up to date.</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="index">The page of the file.</param>
    /// <param name="pfn">The page; -1 where the result has a bit of <see cref="FaultResult.Error"/>.</param>
    /// <param name="file">The open file that the area maps, for its read-ahead state; null for none.</param>
    /// <param name="advice">What <c>madvise()</c> said about the area.</param>
    /// <returns><see cref="FaultResult.None"/>, <see cref="FaultResult.Major"/>, <see cref="FaultResult.Oom"/> or <see cref="FaultResult.SigBus"/>; counting faults is up to the caller.</returns>
    public FaultResult GetPageForFault(Cpu cpu, uint index, out int pfn, OpenFile? file = null, FileAccessAdvice advice = FileAccessAdvice.Normal)
    {
        pfn = -1;
        if (index >= SizePages)
        {
            return FaultResult.SigBus;
        }

        FaultResult result = FaultResult.None;
        int found = FindSmall(cpu, index);
        if (found < 0 || !Has(found, PageFlags.UpToDate))
        {
            result = IsShmem && !HasBacking(index) ? FaultResult.None : FaultResult.Major;
        }

        if (file is not null && !IsShmem)
        {
            ReadAheadForFault(cpu, file.ReadAhead, index, found, advice);
        }

        Errno error = GetPage(cpu, index, Gfp, waits: true, out pfn);
        if (error == Errno.None && (index >= SizePages || !Owns(pfn)))
        {
            _lru.Put(cpu, pfn);
            pfn = -1;
            error = Errno.EFAULT;
        }

        return error switch
        {
            Errno.None => result,
            Errno.EHWPOISON => FaultResult.HwPoison,
            Errno.ENOMEM => FaultResult.Oom,
            _ => FaultResult.SigBus,
        };
    }

    /// <summary>The page at an index if it is in the cache, up to date, unlocked and in the file; no reference is taken. For fault-around (<c>filemap_map_pages()</c>).</summary>
    /// <returns>The page, or -1.</returns>
    public int Peek(uint index) => index < SizePages ? Usable(_tree.Get(index)) : -1;

    /// <summary>The same for several pages that follow each other.</summary>
    /// <param name="index">The first page of the file.</param>
    /// <param name="pages">Receives the pages; -1 where there is none.</param>
    public void PeekAll(uint index, Span<int> pages)
    {
        long size = SizePages;
        for (int i = 0; i < pages.Length; i++)
        {
            uint at = index + (uint)i;
            pages[i] = at < size ? Usable(_tree.Get(at)) : -1;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int Usable(long entry)
    {
        // Pages with the read-ahead mark take a fault of their own, so that the next window is started.
        const PageFlags looked = PageFlags.Locked | PageFlags.UpToDate | PageFlags.HwPoison | PageFlags.Reclaim;
        if (!PageTree.IsPage(entry))
        {
            return -1;
        }

        int pfn = PageTree.PfnOf(entry);
        ref PageFrame frame = ref _frames[pfn];
        return frame.Order == 0 && frame.Is(PageFlags.UpToDate, of: looked) ? pfn : -1;
    }

    /// <summary>Whether the page at an index is in memory and up to date (<c>mincore_page()</c>), or in the swap cache.</summary>
    public bool IsInCore(uint index) => Find(index) is var pfn and >= 0 ? Has(pfn, PageFlags.UpToDate) : IsValueInCore(index);

    /// <summary>A shared mapping is about to write to a page (<c>page_mkwrite</c>): gives it room on the device and makes it dirty.</summary>
    /// <returns>False: there is no room (<c>SIGBUS</c>), or the page was truncated.</returns>
    public bool PageMkWrite(Cpu cpu, int pfn)
    {
        uint index = _frames[pfn].Index;
        if (!Owns(pfn) || index >= SizePages || EnsureBlock(index) != Errno.None)
        {
            return false;
        }

        _ = SetDirty(cpu, pfn);
        return true;
    }

    /// <summary>Holds the writer up if too much is dirty; called once the entry of the page that <see cref="PageMkWrite"/> prepared is set (<c>balance_dirty_pages_ratelimited()</c>).</summary>
    public void BalanceDirty(Cpu cpu) => Writeback?.BalanceDirtyNowAndThen(cpu);

    public uint NextMiss(uint index, uint max) => _tree.NextMiss(index, max);

    public uint PagesBefore(uint index, uint max) => _tree.PagesBefore(index, max);

    private void ReadAheadForFault(Cpu cpu, ReadAheadState state, uint index, int found, FileAccessAdvice advice)
    {
        if (advice == FileAccessAdvice.Random || state.MaxPages == 0)
        {
            return;
        }

        if (found >= 0)
        {
            state.MappedMisses -= state.MappedMisses > 0 ? 1 : 0;
            if (IsReadAheadMark(found))
            {
                ReadAhead.OnMark(cpu, this, state, found, index, state.MaxPages);
            }

            return;
        }

        if (advice == FileAccessAdvice.Sequential)
        {
            ReadAhead.OnMiss(cpu, this, state, index, state.MaxPages);
            return;
        }

        state.MappedMisses += state.MappedMisses < ManyMisses * 10 ? 1 : 0;
        if (state.MappedMisses <= ManyMisses)
        {
            ReadAhead.Around(cpu, this, state, index);
        }
    }

    private bool IsReadAheadMark(int pfn) =>
        _frames[pfn].Is(PageFlags.Reclaim, of: PageFlags.Reclaim | PageFlags.Writeback);
}

/// <summary>How a mapped area will be read (<c>MADV_NORMAL</c>, <c>MADV_RANDOM</c>, <c>MADV_SEQUENTIAL</c>).</summary>
internal enum FileAccessAdvice
{
    /// <summary>Around the fault.</summary>
    Normal,

    /// <summary>Single pages.</summary>
    Random,

    /// <summary>Ahead of the fault.</summary>
    Sequential,
}
