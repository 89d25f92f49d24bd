using System.Globalization;
using MemSim.Captures;
using MemSim.Pages;
using MemSim.Zones;

namespace MemSim.Boot;

/// <summary>
/// Brings a freshly booted twin into the state its files tell: free blocks by order and migrate type, pages in per-CPU lists, watermarks, boost and reserves. Where each block lies,
/// and whose the pages in use are, no file tells: the former is invented, the latter are nobody's and stay in use.
/// </summary>
internal sealed class RecordedOccupancy
{
    private readonly Machine _machine;
    private readonly Zone _zone;
    private readonly BlockPacker _packer;
    private readonly List<string> _remarks;

    private RecordedOccupancy(Machine machine, Zone zone, List<string> remarks)
    {
        _machine = machine;
        _zone = zone;
        _remarks = remarks;
        _packer = new BlockPacker(machine.ZoneTable.PageblockOrder);
    }

    /// <summary>Does so for every zone that the files name.</summary>
    /// <param name="machine">The machine, booted.</param>
    /// <param name="recorded">What was free.</param>
    /// <param name="zoneInfo">The figures of the zones.</param>
    /// <param name="marks">Whether watermarks and reserves are taken as recorded; not so where a setting was changed since.</param>
    /// <returns>What had to be invented or did not fit.</returns>
    public static List<string> Apply(Machine machine, RecordedFreeBlocks recorded, ZoneInfoFile zoneInfo, bool marks)
    {
        List<string> remarks = [.. recorded.Remarks];
        foreach (Cpu cpu in machine.Cpus)
        {
            cpu.Pages.DrainLocalPages();
        }

        long held = 0;
        foreach (Zone zone in machine.Zones)
        {
            RecordedZoneBlocks? blocks = recorded.Zones.FirstOrDefault(z => z.Node == zone.Node.Id && z.Name == zone.Name);
            if (blocks is null)
            {
                continue;
            }

            ZoneInfoZone? figures = zoneInfo.Zones.FirstOrDefault(z => z.Node == zone.Node.Id && z.Type == zone.Type);
            new RecordedOccupancy(machine, zone, remarks).Fill(blocks, figures, marks);
            held += zone.UntrackedPages;
        }

        Take(machine, recorded.Slab, remarks);
        remarks.Add(string.Create(CultureInfo.InvariantCulture, $"the state is that of buddyinfo: where the free blocks lie is invented, and the {held} pages in use (processes, page cache, slab, ...) are nobody's: they can be neither freed, reclaimed nor moved"));
        return remarks;
    }

    /// <summary>Counts the recorded pages of slabs, those of the machine's own caches among them: what meminfo, vmstat and reports of the machine then show.</summary>
    private static void Take(Machine machine, RecordedSlab? slab, List<string> remarks)
    {
        if (slab is null)
        {
            return;
        }

        foreach ((int id, (long reclaimable, long unreclaimable)) in slab.Nodes)
        {
            if (machine.Nodes.FirstOrDefault(n => n.Id == id) is { } node)
            {
                node.Counters.SlabReclaimable = Math.Max(reclaimable, node.Counters.SlabReclaimable);
                node.Counters.SlabUnreclaimable = Math.Max(unreclaimable, node.Counters.SlabUnreclaimable);
            }
        }

        remarks.AddRange(slab.Remarks);
    }

    private void Fill(RecordedZoneBlocks blocks, ZoneInfoZone? figures, bool marks)
    {
        long allocated = _zone.PagesOnNoList - _zone.UntrackedPages;
        Empty();
        long misplaced = 0;
        for (int order = PageGeometry.MaxOrder; order >= 0; order--)
        {
            foreach (MigrateType type in (ReadOnlySpan<MigrateType>)[MigrateType.Cma, MigrateType.HighAtomic, MigrateType.Unmovable, MigrateType.Reclaimable, MigrateType.Movable, MigrateType.Isolate])
            {
                long count = blocks.ByType is { } types ? types[(int)type][order] : type == MigrateType.Movable ? blocks.Blocks[order] : 0;
                for (long i = 0; i < count; i++)
                {
                    misplaced += Place(order, type);
                }
            }
        }

        FillPerCpuLists(figures);
        SetPageblocks(blocks);
        SetCounters();
        if (marks && figures is not null)
        {
            TakeMarks(figures);
        }

        _zone.UntrackedPages = _zone.PagesOnNoList - allocated;
        if (misplaced != 0)
        {
            Say($"{misplaced} pages of its free blocks did not fit as they were, and are in smaller blocks or other page blocks");
        }

        if (figures?.Free is { } free && free != _zone.FreePages)
        {
            Say($"zoneinfo counted {free} free pages, the lists of buddyinfo hold {_zone.FreePages}: they are read at different moments");
        }
    }

    /// <summary>Takes every free block off its list; they are the places to choose from.</summary>
    private void Empty()
    {
        for (int type = 0; type < FreeArea.MigrateTypes; type++)
        {
            for (int order = 0; order < PageGeometry.OrderCount; order++)
            {
                while (_zone.FreeArea.First(order, type) is int pfn && pfn != _zone.FreeArea.Head(order, type))
                {
                    _zone.FreeArea.Remove(pfn, order, type);
                    _machine.Frames.Array[pfn] = default;
                    _packer.Add(pfn, order, type == (int)MigrateType.Cma);
                }
            }
        }
    }

    /// <summary>Places a free block, in parts where there is no room for the whole.</summary>
    /// <returns>Pages that lie otherwise than recorded.</returns>
    private long Place(int order, MigrateType type)
    {
        if (_packer.Take(order, type) is { } place)
        {
            Add(place.Pfn, order, place.Type);
            return place.Type == type ? 0 : 1L << order;
        }

        if (order == 0)
        {
            return 1;
        }

        Place(order - 1, type);
        Place(order - 1, type);
        return 1L << order;
    }

    private void Add(int pfn, int order, MigrateType type)
    {
        ref PageFrame frame = ref _machine.Frames.Array[pfn];
        frame.Identity = PageFrame.FreeIdentity(_zone.Id, order);
        frame.State = PageFrame.BuddyState;
        frame.Index = (uint)type;
        _zone.FreeArea.AddLast(pfn, order, (int)type);
    }

    /// <summary>Pages in per-CPU lists: zoneinfo tells how many, not of which order or type; they are movable single pages here.</summary>
    private void FillPerCpuLists(ZoneInfoZone? figures)
    {
        foreach (ZoneInfoPageset set in figures?.Pagesets ?? [])
        {
            if (set.Cpu >= _zone.Pcp.Length || set.Count is not > 0)
            {
                continue;
            }

            PerCpuPages pcp = _zone.Pcp[set.Cpu];
            for (long i = 0; i < set.Count.Value && _packer.Take(0, MigrateType.Movable) is { } place; i++)
            {
                ref PageFrame frame = ref _machine.Frames.Array[place.Pfn];
                frame.Identity = PageFrame.FreeIdentity(_zone.Id, 0);
                frame.State = PageFrame.PcpState;
                frame.Index = (uint)place.Type;
                _machine.Frames.Array.AddLast(pcp.FirstHead + PerCpuPages.ListIndex(0, (int)(place.Type is MigrateType.Movable or MigrateType.Unmovable or MigrateType.Reclaimable ? place.Type : MigrateType.Movable)), place.Pfn);
                pcp.Count++;
            }
        }
    }

    /// <summary>Types of the page blocks: those of the free blocks in them; of the others as many of each type as were recorded.</summary>
    private void SetPageblocks(RecordedZoneBlocks blocks)
    {
        HashSet<long> taken = [];
        foreach ((long block, MigrateType type) in _packer.Pageblocks)
        {
            _zone.SetBlockType((int)(block << _machine.ZoneTable.PageblockOrder), (int)type);
            taken.Add(block - _zone.FirstPageblock);
        }

        if (blocks.Pageblocks is not { } recorded)
        {
            return;
        }

        long[] left = [.. recorded];
        foreach (long block in taken)
        {
            left[_zone.PageblockTypes[block]]--;
        }

        for (int block = 0; block < _zone.PageblockTypes.Length; block++)
        {
            if (taken.Contains(block) || _zone.PageblockTypes[block] is >= FreeArea.MigrateTypes or (byte)MigrateType.Cma)
            {
                continue;
            }

            int type = Array.FindIndex(left, 0, (int)MigrateType.Cma, count => count > 0);
            if (type < 0)
            {
                break;
            }

            _zone.PageblockTypes[block] = (byte)type;
            left[type]--;
        }
    }

    private void SetCounters()
    {
        long free = 0;
        long highAtomic = 0;
        long cma = 0;
        for (int type = 0; type < FreeArea.MigrateTypes; type++)
        {
            for (int order = 0; order < PageGeometry.OrderCount; order++)
            {
                for (int pfn = _zone.FreeArea.First(order, type); pfn != _zone.FreeArea.Head(order, type); pfn = _zone.FreeArea.Next(pfn))
                {
                    free += type == (int)MigrateType.Isolate ? 0 : 1L << order;
                    highAtomic += type == (int)MigrateType.HighAtomic ? 1L << order : 0;
                    cma += type == (int)MigrateType.Cma ? 1L << order : 0;
                }
            }
        }

        foreach (PerCpuPages pcp in _zone.Pcp)
        {
            pcp.FreePagesDiff = 0;
            pcp.FreeBlocksDiff = 0;
        }

        _zone.FreePagesFolded = free;
        _zone.FreeHighAtomic = highAtomic;
        _zone.FreeCmaPagesCount = cma;
        _zone.HasCma |= cma != 0;
        _zone.HighAtomicReserved = _zone.PageblockTypes.Count(t => t == (byte)MigrateType.HighAtomic) * (1L << _machine.ZoneTable.PageblockOrder);
        _zone.FreeBlocksFolded = !_zone.Rules.CountsFreeBlocks ? 0 : Enumerable.Range(_zone.PageblockOrder, PageGeometry.OrderCount - _zone.PageblockOrder).Sum(o => _zone.FreeArea.Blocks(o) << o);
    }

    private void TakeMarks(ZoneInfoZone figures)
    {
        if (figures is not { Min: { } min, Low: { } low, High: { } high })
        {
            return;
        }

        long boost = figures.Boost ?? 0;
        if (_zone.MarkMin != min - boost || _zone.MarkLow != low - boost || _zone.MarkHigh != high - boost)
        {
            Say($"its watermarks are the recorded ones ({min - boost}/{low - boost}/{high - boost}), not those computed from its size ({_zone.MarkMin}/{_zone.MarkLow}/{_zone.MarkHigh}), until a setting is changed");
            (_zone.MarkMin, _zone.MarkLow, _zone.MarkHigh) = (min - boost, low - boost, high - boost);
        }

        _zone.Boost = boost;
        for (int i = 0; i < Math.Min(_zone.Reserve.Length, figures.Protection?.Length ?? 0); i++)
        {
            _zone.Reserve[i] = figures.Protection![i];
        }
    }

    private void Say(FormattableString text) => _remarks.Add($"{_zone}: {FormattableString.Invariant(text)}");
}
