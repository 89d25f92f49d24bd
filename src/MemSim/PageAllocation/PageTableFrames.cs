using MemSim.Hardware;
using MemSim.Pages;

namespace MemSim.PageAllocation;

/// <summary>Frames for page tables: at first reserved ones, as a booting kernel takes them, then pages of the page allocator, marked and counted as page tables.</summary>
/// <remarks>The tables that a real kernel makes at boot come from its image and from memblock: the page allocator never sees them. They must not change what it hands out.</remarks>
internal sealed class PageTableFrames : IPageTableFrames, IBootFrames
{
    private readonly Machine _machine;
    private long _firstReserved;
    private long _reservedEnd;
    private bool _booted;

    public PageTableFrames(Machine machine)
    {
        _machine = machine;
        (_firstReserved, _reservedEnd) = FindReserved(machine);
    }

    /// <summary>Pages of the page allocator in use (<c>nr_page_table_pages</c>).</summary>
    public long Pages { get; private set; }

    /// <summary>Reserved frames in use.</summary>
    public long BootPages { get; private set; }

    /// <summary>Ends the boot: from now on tables come from the page allocator.</summary>
    public void EndBoot() => _booted = true;

    public long TakeReserved(int pages)
    {
        long first = (_firstReserved + pages - 1) / pages * pages;
        if (first + pages > _reservedEnd)
        {
            return -1;
        }

        _firstReserved = first + pages;
        _machine.Ram.Zero(first, pages);
        return first;
    }

    public long Allocate(Cpu cpu, bool kernel)
    {
        if (!_booted && _firstReserved < _reservedEnd)
        {
            long reserved = --_reservedEnd;
            BootPages++;
            _machine.Ram.Zero(reserved, 1);
            return reserved;
        }

        // GFP_PGTABLE_KERNEL, GFP_PGTABLE_USER
        Page page = cpu.AllocPages(kernel ? Gfp.Kernel | Gfp.Zero : Gfp.KernelAccount | Gfp.Zero, 0);
        if (page.IsNull)
        {
            return -1;
        }

        page.SetType(PageType.Table);
        Pages++;
        return page.FrameIndex;
    }

    public void Free(Cpu cpu, long pfn)
    {
        Page page = new(_machine, (int)pfn);
        if (page.Type != PageType.Table)
        {
            // One of the boot's: those are never given back.
            BootPages--;
            return;
        }

        page.SetType(PageType.None);
        Pages--;
        cpu.FreePages(page, 0);
    }

    public void Mark(long pfn, int tag)
    {
        ref PageFrame frame = ref _machine.Frames.FrameNamed((int)pfn);
        if (IsTable(frame))
        {
            frame.Private = tag;
        }
    }

    public bool Owns(long pfn, int tag)
    {
        if ((ulong)pfn >= (ulong)_machine.Frames.Count)
        {
            return false;
        }

        // Tables of the boot are the kernel's, and never given back.
        ref readonly PageFrame frame = ref _machine.Frames.FrameNamed((int)pfn);
        return IsTable(frame) ? frame.Private == tag : tag < 8 && _machine.Frames.IsReserved((int)pfn);
    }

    private static bool IsTable(in PageFrame frame) => frame.RefCount != 0 && frame.InvertedMapCount == (int)PageType.Table;

    public string? Check(long pfn)
    {
        if ((ulong)pfn >= (ulong)_machine.Frames.Count || _machine.ZoneTable.ZoneOf((int)pfn) is null)
        {
            return "does not exist";
        }

        if (_machine.Frames.IsReserved((int)pfn))
        {
            return null;
        }

        ref readonly PageFrame frame = ref _machine.Frames.FrameNamed((int)pfn);
        return frame.RefCount == 0 ? "is not allocated" : _machine.Frames.TypeOf((int)pfn) != PageType.Table ? "is not marked as a page table" : null;
    }

    /// <summary>The largest reserved range above the first MiB: the memory map or the kernel image, whose contents nobody looks at. Its end is used.</summary>
    private static (long Start, long End) FindReserved(Machine machine)
    {
        const long firstMiB = 256;
        (long Start, long End) best = default;
        long directMapEnd = (long)(machine.Addresses.ToPhysical(machine.Addresses.DirectMapEnd + -1).Value >> PageGeometry.PageShift) + 1;
        foreach ((long start, long end) in machine.Frames.ReservedRanges)
        {
            long from = Math.Max(start, firstMiB);
            long to = Math.Min(end, directMapEnd);
            if (to - from > best.End - best.Start && machine.ZoneTable.ZoneOf((int)from) is not null)
            {
                best = (from, to);
            }
        }

        return best;
    }
}
