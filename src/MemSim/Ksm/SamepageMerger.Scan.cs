using MemSim.Hardware;
using MemSim.Lru;
using MemSim.VirtualMemory;

namespace MemSim.Ksm;

/// <content>Which page comes next (<c>scan_get_next_rmap_item()</c>).</content>
internal sealed partial class SamepageMerger
{
    private readonly List<MergingSpace> _spaces = [];
    private MergingSpace? _current;
    private ulong _address;
    private int _place;

    /// <summary>Times that it has seen everything (<c>full_scans</c>): 0 again after all was taken apart.</summary>
    public long FullScans { get; private set; }

    /// <summary>Pages looked at (<c>pages_scanned</c>).</summary>
    public long Scanned { get; private set; }

    /// <summary>Pages passed over (<c>pages_skipped</c>).</summary>
    public long Skipped { get; private set; }

    /// <summary>How far it is.</summary>
    public ScanMark Mark() => new(_current is null, FullScans, Scanned, Skipped, (Shared, Sharing, Items, ZeroPages));

    /// <summary>What happened since then happens some times again.</summary>
    public void Repeat(in ScanMark since, long times)
    {
        FullScans += times * (FullScans - since.FullScans);
        Scanned += times * (Scanned - since.Scanned);
        Skipped += times * (Skipped - since.Skipped);
    }

    /// <summary>Whether there is anything to look at.</summary>
    public bool HasSpaces => _spaces.Count != 0;

    /// <summary>Looks at pages until there were as many or the end of a full scan is reached (<c>ksm_do_scan()</c>).</summary>
    public void Scan(Cpu cpu, long pages)
    {
        if (_machine.Mm is not { } spaces)
        {
            return;
        }

        using OwnersLock.Scope scope = spaces.Enter();
        if (_machine.OwnersLock.IsInOperation)
        {
            // A CPU was lent in the middle of a fault or a system call, whose page tables must stay where they are.
            return;
        }

        for (; pages > 0; pages--)
        {
            if (Next(cpu, out int pfn) is not { } item)
            {
                return;
            }

            CompareAndMerge(cpu, item, pfn);
            spaces.Pages.Put(cpu, pfn);
            Scanned++;
        }
    }

    /// <summary>An address space has areas that may be merged (<c>__ksm_enter()</c>): it comes last in the round that is going on.</summary>
    public void Enter(MemoryDescriptor mm)
    {
        if (mm.Merging is null)
        {
            mm.Merging = new MergingSpace(mm);
            _spaces.Insert(_current is null ? _spaces.Count : _spaces.IndexOf(_current), mm.Merging);
        }
    }

    /// <summary>An address space is given up (<c>__ksm_exit()</c>): what ksmd knows of it goes when it comes by, which is next.</summary>
    public void Forget(MemoryDescriptor mm)
    {
        if (mm.Merging is not { } space || ReferenceEquals(space, _current))
        {
            return;
        }

        _ = _spaces.Remove(space);
        if (space.Items.Count == 0)
        {
            mm.Merging = null;
        }
        else
        {
            _spaces.Insert(_current is null ? 0 : _spaces.IndexOf(_current) + 1, space);
        }
    }

    private RmapItem? Next(Cpu cpu, out int pfn)
    {
        pfn = -1;
        if (_spaces.Count == 0)
        {
            return null;
        }

        if (_current is null)
        {
            BeginRound(cpu);
        }

        while (_current is { } space)
        {
            if (NextIn(space, out pfn) is { } item)
            {
                return item;
            }

            if (space.Mm.IsGone)
            {
                _address = 0;
                _place = 0;
            }

            DropFrom(space, _place);
            int next = _spaces.IndexOf(space) + 1;
            _current = next < _spaces.Count ? _spaces[next] : null;
            if (_address == 0)
            {
                // It has no area that may be merged any more.
                _ = _spaces.Remove(space);
                space.Mm.Merging = null;
            }

            _address = 0;
            _place = 0;
        }

        FullScans++;
        return null;
    }

    private void BeginRound(Cpu cpu)
    {
        // Pages on their way to a list have a reference too many to be merged.
        _machine.Lru.DrainAll(cpu);
        for (int i = _waiting.Count - 1; i >= 0; i--)
        {
            _ = IsAliveOrRemoved(_waiting[i]);
        }

        foreach (ContentTree tree in _unstable)
        {
            tree.Clear();
        }

        _current = _spaces[0];
        _address = 0;
        _place = 0;
    }

    private RmapItem? NextIn(MergingSpace space, out int pfn)
    {
        pfn = -1;
        for (Vma? vma = space.Mm.IsGone ? null : space.Mm.Find(_address); vma is not null; vma = vma.Next)
        {
            if ((vma.Flags & VmaFlags.Mergeable) == 0)
            {
                continue;
            }

            _address = vma.AnonVma is null ? vma.EndValue : Math.Max(_address, vma.StartValue);
            while (FindAnonymous(vma, out pfn))
            {
                RmapItem item = ItemAt(space, _address);
                _address += PageGeometry.PageSize;
                if (!Skips(item, pfn))
                {
                    Spaces.Pages.Get(pfn);
                    return item;
                }
            }
        }

        return null;
    }

    /// <summary>Goes on to the next anonymous page of an area, or to its end.</summary>
    private bool FindAnonymous(Vma vma, out int pfn)
    {
        pfn = -1;
        if (_address >= vma.EndValue)
        {
            return false;
        }

        PageTableCursor cursor = new(Spaces, vma, _address, vma.EndValue);
        while (cursor.Next())
        {
            if (cursor.IsHuge)
            {
                if (!Spaces.Huge.IsZero(cursor.Entry))
                {
                    _address = cursor.Address;
                    pfn = AnonymousAt(vma, _address);
                    return pfn >= 0;
                }

                continue;
            }

            TableEntries table = cursor.Entries;
            while (table.Next(out ulong entry))
            {
                pfn = AnonymousAt(vma, table.Address, entry);
                if (pfn >= 0)
                {
                    _address = table.Address;
                    return true;
                }
            }
        }

        _address = vma.EndValue;
        return false;
    }

    /// <summary>What is known of a page; what was known of those before it, which are gone, is dropped (<c>get_next_rmap_item()</c>).</summary>
    private RmapItem ItemAt(MergingSpace space, ulong address)
    {
        List<RmapItem?> items = space.Items;
        while (_place < items.Count && (items[_place] is not { } old || old.Address < address))
        {
            if (items[_place] is { } gone)
            {
                Drop(gone);
                items[_place] = null;
            }

            _place++;
        }

        if (_place < items.Count && items[_place]!.Address == address)
        {
            return items[_place++]!;
        }

        RmapItem item = new(space, address);
        Items++;
        space.Mm.MergingItems++;
        if (_place > 0 && items[_place - 1] is null)
        {
            items[_place - 1] = item;
        }
        else
        {
            items.Insert(_place++, item);
        }

        return item;
    }

    private void Drop(RmapItem item)
    {
        Leave(item);
        Items--;
        item.Space.Mm.MergingItems--;
    }

    /// <summary>Drops what is known of the pages from a place on, and closes gaps.</summary>
    private void DropFrom(MergingSpace space, int place)
    {
        for (int i = place; i < space.Items.Count; i++)
        {
            if (space.Items[i] is { } item)
            {
                Drop(item);
            }
        }

        space.Items.RemoveRange(place, space.Items.Count - place);
        _ = space.Items.RemoveAll(item => item is null);
    }

    /// <summary>Whether a page is left out this time, because earlier looks came to nothing (<c>should_skip_rmap_item()</c>).</summary>
    private bool Skips(RmapItem item, int pfn)
    {
        if (!_knobs.Rules.SkipsPages || !_knobs.SmartScan || _machine.Frames.Array[Spaces.Pages.HeadOf(pfn)].IsMerged)
        {
            return false;
        }

        byte age = item.Age;
        item.Age += (byte)(age == byte.MaxValue ? 0 : 1);
        if (age < 3)
        {
            return false;
        }

        if (item.SkipsLeft == 0)
        {
            item.SkipsLeft = age switch { <= 3 => 1, <= 5 => 2, <= 8 => 4, _ => 8 };
            return false;
        }

        Skipped++;
        item.SkipsLeft--;
        Leave(item);
        return true;
    }
}
