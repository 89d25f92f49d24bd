using System.Runtime.CompilerServices;
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
    private readonly LruManager _lru;

    public ForkedEntries(AddressSpaces spaces)
    {
        _spaces = spaces;
        _machine = spaces.Machine;
        _pages = spaces.Pages;
        _maps = spaces.Maps;
        _entries = spaces.Entries;
        _layout = spaces.Layout;
        _frames = spaces.Frames;
        _lru = spaces.Machine.Lru;
    }

    /// <summary>Copies an entry for a child (<c>copy_present_pte()</c>, <c>copy_nonpresent_pte()</c>).</summary>
    /// <returns>The child's entry.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong Copy(MemoryDescriptor parent, MemoryDescriptor child, Vma to, ulong address, ulong slot, ulong entry, bool isCow, ref bool protectedAny)
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
