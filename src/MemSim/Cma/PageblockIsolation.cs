using MemSim.PageAllocation;
using MemSim.Pages;
using MemSim.Zones;

namespace MemSim.Cma;

/// <summary>Takes page blocks out of the allocator's reach and gives them back: free pages in them, and pages freed there meanwhile, are not handed out.</summary>
/// <remarks>Kernel 6.1: <c>start_isolate_page_range()</c>, <c>MIGRATE_ISOLATE</c>. Isolated free pages are not counted as free.</remarks>
internal sealed class PageblockIsolation
{
    private readonly Machine _machine;
    private readonly FrameArray _frames;
    private readonly BuddyLists _buddy;
    private readonly int _pageblockPages;

    public PageblockIsolation(Machine machine)
    {
        _machine = machine;
        _frames = machine.Frames.Array;
        _buddy = machine.Pages.Buddy;
        _pageblockPages = 1 << machine.ZoneTable.PageblockOrder;
    }

    /// <summary>Isolates the page blocks that a range touches.</summary>
    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="zone">The zone.</param>
    /// <param name="start">The first frame of the range; only frames of the range must be movable.</param>
    /// <param name="end">The frame after the last.</param>
    /// <param name="type">What the blocks are to be afterwards: blocks of a contiguous area may only be isolated for one.</param>
    /// <param name="passesPoisoned">Whether pages with hardware errors do not count: memory that goes takes them along.</param>
    /// <returns>False when something in the range cannot be moved or is isolated already; nothing is isolated then.</returns>
    public bool TryIsolate(Cpu cpu, Zone zone, int start, int end, MigrateType type, bool passesPoisoned = false)
    {
        int first = start & -_pageblockPages;
        int last = (end + _pageblockPages - 1) & -_pageblockPages;
        for (int block = first; block < last; block += _pageblockPages)
        {
            if (!TryIsolateBlock(cpu, zone, block, Math.Max(block, start), Math.Min(block + _pageblockPages, end), type, passesPoisoned))
            {
                Undo(cpu, zone, first, block, type);
                return false;
            }
        }

        return true;
    }

    /// <summary>Makes the page blocks of a range ordinary ones of a type again.</summary>
    public void Undo(Cpu cpu, Zone zone, int start, int end, MigrateType type)
    {
        for (int block = start & -_pageblockPages; block < end; block += _pageblockPages)
        {
            PerCpuPages pcp = cpu.Lists.Pcp[zone.Id];
            zone.EnterLock();
            if (zone.BlockType(block) == (int)MigrateType.Isolate)
            {
                zone.SetBlockType(block, (int)type);
                MoveFree(zone, pcp, block, (int)type, 1);
                zone.IsolatedPageblocks--;
                MergeBlock(zone, pcp, block, (int)type);
            }

            zone.ExitLock();
        }
    }

    /// <summary>Whether every frame of an isolated range is free in the buddy lists (<c>test_pages_isolated()</c>).</summary>
    public bool IsFree(int start, int end, bool passesPoisoned = false)
    {
        for (int pfn = start; pfn < end;)
        {
            int order = _buddy.FindFreeBlock(pfn, out int head);
            if (order < 0 && !(passesPoisoned && _frames[pfn].Has(PageFlags.HwPoison)))
            {
                return false;
            }

            pfn = order < 0 ? pfn + 1 : head + (1 << order);
        }

        return true;
    }

    /// <summary>The first frame in a range that can neither be moved nor is free; -1 when there is none (<c>has_unmovable_pages()</c>).</summary>
    public int FindUnmovable(Zone zone, int start, int end, MigrateType type, bool passesPoisoned = false)
    {
        // What lies in a contiguous area was promised to be movable, and an area is nobody else's.
        if (zone.BlockType(start) == (int)MigrateType.Cma)
        {
            return type == MigrateType.Cma ? -1 : start;
        }

        for (int pfn = start; pfn < end;)
        {
            int head = _machine.ZoneTable.BlockHeadOf(pfn, out int order);
            if (head < 0 || _frames[head].ZoneId != zone.Id)
            {
                return pfn;
            }

            ref PageFrame frame = ref _frames[head];
            bool whole = order == 0 || frame.IsCompoundHead;
            bool movable = zone.Type == ZoneType.Movable || (whole && (frame.IsOnLru || frame.IsDriverMovable)) || (passesPoisoned && frame.Has(PageFlags.HwPoison));
            if (frame.RefCount != 0 && !movable)
            {
                return pfn;
            }

            pfn = head + (1 << order);
        }

        return -1;
    }

    private bool TryIsolateBlock(Cpu cpu, Zone zone, int block, int start, int end, MigrateType type, bool passesPoisoned)
    {
        PerCpuPages pcp = cpu.Lists.Pcp[zone.Id];
        zone.EnterLock();
        try
        {
            if (zone.BlockType(start) == (int)MigrateType.Isolate || FindUnmovable(zone, start, end, type, passesPoisoned) >= 0)
            {
                return false;
            }

            SplitAround(zone, pcp, block);
            zone.SetBlockType(block, (int)MigrateType.Isolate);
            zone.IsolatedPageblocks++;
            MoveFree(zone, pcp, block, (int)MigrateType.Isolate, -1);
            return true;
        }
        finally
        {
            zone.ExitLock();
        }
    }

    /// <summary>Moves the free blocks of a page block to another type's lists; isolated ones are not counted as free.</summary>
    private void MoveFree(Zone zone, PerCpuPages pcp, int block, int type, int sign)
    {
        int moved = _buddy.MoveRange(zone, pcp, BlockStart(zone, block), BlockEnd(zone, block), type, out _);
        if (!_buddy.CountsEachBlock)
        {
            zone.AddFreePages(pcp, sign * moved);
        }
    }

    /// <summary>A free block that spans several page blocks is split into page blocks, so that each can have its own type.</summary>
    private void SplitAround(Zone zone, PerCpuPages pcp, int block)
    {
        int order = _buddy.FindFreeBlock(block, out int head);
        if (order > zone.PageblockOrder)
        {
            _buddy.SplitFree(zone, pcp, head, zone.PageblockOrder);
        }
    }

    /// <summary>A page block that is free as a whole may merge with its neighbour again.</summary>
    private void MergeBlock(Zone zone, PerCpuPages pcp, int block, int type)
    {
        ref PageFrame frame = ref _frames[block];
        if (frame.IsBuddy && frame.Private == zone.PageblockOrder && zone.PageblockOrder < PageGeometry.MaxOrder)
        {
            _buddy.Isolate(zone, pcp, block, zone.PageblockOrder);
            _buddy.Free(zone, pcp, block, zone.PageblockOrder, type, toTail: true);
        }
    }

    private static int BlockStart(Zone zone, int block) => Math.Max(block, (int)zone.StartPfn.Value);

    private int BlockEnd(Zone zone, int block) => Math.Min(block + _pageblockPages, (int)zone.EndPfn.Value);
}
