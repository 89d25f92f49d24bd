using System.Runtime.InteropServices;
using MemSim.Hardware;
using MemSim.Lru;
using MemSim.Pages;

namespace MemSim.VirtualMemory;

/// <summary>One entry at fork: what the child gets for what the parent has.</summary>
internal sealed class ForkedEntries
{
    private readonly AddressSpaces _spaces;
    private readonly Machine _machine;
    private readonly MappedPages _pages;
    private readonly MapCounts _maps;
    private readonly PageEntries _entries;
    private readonly PteLayout _layout;
    private readonly FrameArray _frames;
    private readonly uint _frameCount;
    private readonly LruManager _lru;

    /// <summary>Pages for copies of pinned ones; empty between forks.</summary>
    private readonly Stack<int> _spare = [];

    public ForkedEntries(AddressSpaces spaces)
    {
        _spaces = spaces;
        _machine = spaces.Machine;
        _pages = spaces.Pages;
        _maps = spaces.Maps;
        _entries = spaces.Entries;
        _layout = spaces.Layout;
        _frames = spaces.Frames;
        _frameCount = (uint)spaces.Machine.Frames.Count;
        _lru = spaces.Machine.Lru;
    }

    /// <summary>Copies the entries of a table, as many as a range covers. Nothing is allocated meanwhile, so that no entry changes under the loop.</summary>
    /// <param name="parent">Whose they are.</param>
    /// <param name="child">Who gets them.</param>
    /// <param name="to">The child's area.</param>
    /// <param name="table">The parent's entries.</param>
    /// <param name="target">The physical address of the child's first one.</param>
    /// <param name="isCow">Whether the pages are shared until somebody writes.</param>
    /// <param name="protectedAny">Set when the parent lost a right.</param>
    public void CopyTable(MemoryDescriptor parent, MemoryDescriptor child, Vma to, TableEntries table, ulong target, bool isCow, ref bool protectedAny)
    {
        PageTables tables = child.Tables;
        if (tables.EntryShift == 3 && !tables.IsShared)
        {
            CopyWideTable(parent, child, to, table, target, isCow, ref protectedAny);
            return;
        }

        target -= table.FirstSlot;
        while (table.Next(out ulong entry))
        {
            ulong copied = Copy(parent, child, to, table.Address, table.Slot, entry, isCow, ref protectedAny);
            tables.OverwriteSlot(target + table.Slot, copied);
        }
    }

    /// <summary>As <see cref="CopyTable"/>, of a parent that has pinned pages, or an area whose faults are watched: pinned pages are copied, and the child is nobody's concern.</summary>
    public void CopyTableCarefully(Cpu cpu, MemoryDescriptor parent, MemoryDescriptor child, Vma from, Vma to, TableEntries table, ulong target, bool isCow, ref bool protectedAny)
    {
        target -= table.FirstSlot;
        while (table.Next(out ulong entry))
        {
            ulong copied = parent.HasPinned && MustCopy(from, table.Address, entry)
                ? CopyPinned(cpu, child, to, table.Address, entry)
                : Copy(parent, child, to, table.Address, table.Slot, entry, isCow, ref protectedAny);
            child.Tables.OverwriteSlot(target + table.Slot, from.Userfaults is null || to.Userfaults is not null ? copied : _layout.Forget(copied));
        }
    }

    /// <summary>The same for entries of eight bytes that the hardware of no other CPU marks meanwhile: nearly all are anonymous pages of one owner, one after the other.</summary>
    private void CopyWideTable(MemoryDescriptor parent, MemoryDescriptor child, Vma to, TableEntries table, ulong target, bool isCow, ref bool protectedAny)
    {
        ReadOnlySpan<ulong> from = table.WideEntries();
        int first = from.IndexOfAnyExcept(0UL);
        if (first < 0)
        {
            return;
        }

        Span<ulong> into = MemoryMarshal.Cast<byte, ulong>(_machine.Ram.Range(target, from.Length << 3))[..from.Length];
        FrameArray frames = _frames;
        uint index = to.IndexOf(table.FirstAddress);
        uint known = to.KnownMapping;
        bool isShared = to.IsShared;
        long copied = 0;
        for (int i = first; i < from.Length; i++)
        {
            ulong entry = from[i];
            if (entry == 0)
            {
                continue;
            }

            int pfn = _layout.Pfn(entry);
            if (_layout.IsPresent(entry) && (uint)pfn < _frameCount)
            {
                ref PageFrame frame = ref frames.Named(pfn);
                if (MappingTable.IsAnonymous(known) && frame.IsMappedPageOf(known, index + (uint)i))
                {
                    frame.AddMapping();
                    frame.Clear(PageFrame.AnonExclusive);
                    copied++;
                    if (isCow && _layout.IsWritable(entry))
                    {
                        entry = _layout.WriteProtect(entry);
                        parent.Tables.WriteSlot(table.FirstSlot + ((ulong)(uint)i << 3), entry);
                        protectedAny = true;
                    }

                    into[i] = _layout.MakeOld(isShared ? _layout.MakeClean(entry) : entry);
                    continue;
                }
            }

            into[i] = Copy(parent, child, to, table.FirstAddress + ((ulong)(uint)i << PageGeometry.PageShift), table.FirstSlot + ((ulong)(uint)i << 3), entry, isCow, ref protectedAny);
            known = to.KnownMapping;
        }

        child.AnonPages += copied;
    }

    /// <summary>Copies an entry for a child (<c>copy_present_pte()</c>, <c>copy_nonpresent_pte()</c>).</summary>
    /// <returns>The child's entry.</returns>
    private ulong Copy(MemoryDescriptor parent, MemoryDescriptor child, Vma to, ulong address, ulong slot, ulong entry, bool isCow, ref bool protectedAny)
    {
        if (!_layout.IsPresent(entry))
        {
            return CopySoft(parent, child, to, address, slot, entry, isCow);
        }

        int pfn = _layout.Pfn(entry);
        if (_entries.IsPlainPageAt(to, address, pfn) && _frames[pfn].IsAnonymous)
        {
            ref PageFrame frame = ref _frames[pfn];
            _machine.Frames.AddReferences(pfn, 1);
            _ = _lru.ClearFlags(ref frame, PageFrame.AnonExclusive);
            frame.InvertedMapCount--;
            child.AnonPages++;
        }
        else if (_entries.NormalPage(to, address, entry) >= 0)
        {
            ref PageFrame frame = ref _frames[_pages.HeadOf(pfn)];
            _pages.Get(pfn);
            if (frame.IsAnonymous)
            {
                _maps.DuplicateAnonRmap(pfn);
            }
            else
            {
                _maps.AddFileRmap(pfn);
            }

            child.CountResident(pfn, 1);
        }
        else if (pfn == _spaces.ZeroPfn)
        {
            _machine.Ksm.Merger.CountZero(child, entry, 1);
        }

        if (isCow && _layout.IsWritable(entry))
        {
            while (!parent.Tables.TryChangeSlot(slot, ref entry, _layout.WriteProtect(entry)))
            {
            }

            entry = _layout.WriteProtect(entry);
            protectedAny = true;
        }

        return to.IsShared ? _layout.MakeOld(_layout.MakeClean(entry)) : _layout.MakeOld(entry);
    }

    /// <summary>Whether a page may be pinned: its pinner must see what the parent writes, so that a child cannot share it (<c>folio_needs_cow_for_dma()</c>).</summary>
    public bool IsPinned(int pfn) => (uint)pfn < (uint)_machine.Frames.Count && _frames[_pages.HeadOf(pfn)] is { IsAnonymous: true, MayBePinned: true } && _frames[pfn].IsAnonExclusive;

    /// <summary>Whether an entry's page must be copied at once.</summary>
    public bool MustCopy(Vma from, ulong address, ulong entry) => _layout.IsPresent(entry) && IsPinned(_layout.Pfn(entry)) && _entries.PeekPage(from, address, entry) >= 0;

    /// <summary>Takes the pages that copies of pinned ones will need: in the middle of a table none can be allocated (<c>folio_prealloc()</c>).</summary>
    /// <returns>False without memory.</returns>
    public bool Reserve(Cpu cpu, Vma from, TableEntries table)
    {
        int count = 0;
        while (table.Next(out ulong entry))
        {
            count += MustCopy(from, table.Address, entry) ? 1 : 0;
        }

        while (_spare.Count > count)
        {
            _pages.Put(cpu, _spare.Pop());
        }

        while (_spare.Count < count)
        {
            int pfn = _spaces.Faults.AllocateAnon(cpu, from, from.StartValue, zero: false);
            if (pfn < 0)
            {
                Release(cpu);
                return false;
            }

            _spare.Push(pfn);
        }

        return true;
    }

    /// <summary>Gives back what was taken and not needed.</summary>
    public void Release(Cpu cpu)
    {
        while (_spare.TryPop(out int pfn))
        {
            _pages.Put(cpu, pfn);
        }
    }

    /// <summary>Gives the child a copy of a pinned page (<c>copy_present_page()</c>).</summary>
    public ulong CopyPinned(Cpu cpu, MemoryDescriptor child, Vma to, ulong address, ulong entry)
    {
        int copy = _spare.Pop();
        _pages.CopyPage(_layout.Pfn(entry), copy);
        child.AnonPages++;
        _maps.AddNewAnonRmap(copy, to, address);
        _pages.AddToLru(cpu, copy, to);
        ulong made = _layout.MakeDirty(_layout.Make(copy, to.PageBits));
        return (to.Flags & VmaFlags.Write) != 0 ? _layout.MakeWritable(made) : made;
    }

    private ulong CopySoft(MemoryDescriptor parent, MemoryDescriptor child, Vma to, ulong address, ulong slot, ulong entry, bool isCow)
    {
        SoftEntry soft = _entries.Decode(entry);
        switch (soft.Kind)
        {
            case SoftEntryKind.Swap:
                _spaces.Swap?.Duplicate(soft);
                child.SwapEntries++;
                if (soft.Exclusive)
                {
                    entry = _layout.ClearExclusive(entry);
                    parent.Tables.WriteSlot(slot, entry);
                }

                break;
            case SoftEntryKind.MigrationRead or SoftEntryKind.MigrationWrite:
                child.CountResident((int)soft.Offset, 1);
                _pages.ClearFlag((int)soft.Offset, PageFrame.AnonExclusive);
                if (isCow && soft.Kind == SoftEntryKind.MigrationWrite)
                {
                    entry = _layout.MakeMigrationEntry((int)soft.Offset, write: false);
                    parent.Tables.WriteSlot(slot, entry);
                }

                break;
            case SoftEntryKind.Bad:
                // The child does without.
                _entries.ReportBadPageMap(to, address, entry);
                return 0;
        }

        return entry;
    }
}
