using MemSim.Faults;
using MemSim.Hardware;
using MemSim.PageCache;
using MemSim.Pages;
using MemSim.VirtualMemory;

namespace MemSim.Ksm;

/// <content>Merging pages, and taking them apart.</content>
internal sealed partial class SamepageMerger
{
    /// <summary>Pages of zeroes that ksmd put in the place of others (<c>ksm_zero_pages</c>).</summary>
    public long ZeroPages { get; private set; }

    /// <summary>Merges a page with a merged one, or makes it one: -1 (<c>try_to_merge_with_ksm_page()</c>).</summary>
    private bool MergeWith(Cpu cpu, RmapItem item, int pfn, int merged)
    {
        if (MergeableAt(item) is not { } vma || !MergeOne(cpu, vma, item.Address, pfn, merged))
        {
            return false;
        }

        Leave(item);
        item.Anon = vma.AnonVma;
        return true;
    }

    /// <summary>Puts another page in the place of one with the same bytes (<c>try_to_merge_one_page()</c>). The caller holds a reference to it.</summary>
    private bool MergeOne(Cpu cpu, Vma vma, ulong address, int pfn, int merged)
    {
        if (pfn == merged)
        {
            return true;
        }

        MappedPages pages = Spaces.Pages;
        if (!pages.IsAnon(pfn) || pages.HasFlag(pfn, PageFlags.Locked) || (pages.IsPartOfHuge(pfn) && !Split(cpu, pfn)))
        {
            return false;
        }

        if (!Protect(cpu, vma, address, pfn, out ulong slot, out ulong entry))
        {
            return false;
        }

        if (merged < 0)
        {
            StableNode node = new(_machine.Frames.Mappings, pfn, NumaNodeOf(pfn));
            _machine.Frames.Array[pfn].Mapping = node.Mapping;

            // A clean page without dirty entries would just be freed.
            pages.SetFlag(pfn, PageFlags.Dirty);
            return true;
        }

        if (Compare(pfn, merged) != 0)
        {
            return false;
        }

        Replace(cpu, vma, address, slot, entry, pfn, merged);
        return true;
    }

    /// <summary>Makes a small page of one that is part of a huge page; the caller's reference stays with it.</summary>
    private bool Split(Cpu cpu, int pfn)
    {
        MappedPages pages = Spaces.Pages;
        int head = pages.HeadOf(pfn);
        if (!pages.IsPartOfHuge(pfn) || !Spaces.Huge.SplitPage(cpu, head))
        {
            return !pages.IsPartOfHuge(pfn);
        }

        if (pfn != head)
        {
            pages.Get(pfn);
            pages.Put(cpu, head);
        }

        return true;
    }

    /// <summary>Takes the right to write from an entry, when nobody but entries holds the page (<c>write_protect_page()</c>): its bytes stay as they are.</summary>
    private bool Protect(Cpu cpu, Vma vma, ulong address, int pfn, out ulong slot, out ulong entry)
    {
        PteLayout layout = Spaces.Layout;
        MappedPages pages = Spaces.Pages;
        PageTables tables = vma.Mm.Tables;
        slot = tables.FindSlot(address);
        entry = slot == 0 ? 0 : tables.ReadSlot(slot);
        if (entry == 0 || !layout.IsPresent(entry) || layout.Pfn(entry) != pfn || layout.IsProtected(entry))
        {
            return false;
        }

        bool exclusive = pages.IsExclusive(pfn);
        if (!layout.IsWritable(entry) && !layout.IsDirty(entry) && !exclusive)
        {
            return true;
        }

        entry = tables.ClearSlot(slot, entry);
        _machine.Mmu.FlushPage(cpu, tables, new VirtualAddress(address));
        if (Spaces.Maps.MapCount(pfn) + 1 + (pages.IsSwapCache(pfn) ? 1 : 0) != pages.RefCount(pfn))
        {
            tables.WriteSlot(slot, entry);
            return false;
        }

        if (exclusive)
        {
            pages.ClearFlag(pfn, PageFrame.AnonExclusive);
        }

        if (layout.IsDirty(entry))
        {
            pages.SetFlag(pfn, PageFlags.Dirty);
        }

        entry = layout.MakeClean(layout.WriteProtect(entry));
        tables.WriteSlot(slot, entry);
        return true;
    }

    /// <summary>An entry maps the merged page, or the zero page, from now on (<c>replace_page()</c>).</summary>
    private void Replace(Cpu cpu, Vma vma, ulong address, ulong slot, ulong entry, int pfn, int merged)
    {
        MappedPages pages = Spaces.Pages;
        PageTables tables = vma.Mm.Tables;
        ulong made = Spaces.Layout.Make(merged, vma.PageBits);
        if (merged != Spaces.ZeroPfn)
        {
            pages.Get(merged);
            Spaces.Maps.AddAnonRmap(merged, vma, address, exclusive: false);
        }
        else
        {
            vma.Mm.AnonPages--;
            if (_knobs.Rules.CountsZeroPages)
            {
                // Zero pages that were read are clean: so both can be told apart.
                made = Spaces.Layout.MakeDirty(made);
                vma.Mm.MergedZeroPages++;
                ZeroPages++;
            }
        }

        _ = tables.ClearSlot(slot, entry);
        _machine.Mmu.FlushPage(cpu, tables, new VirtualAddress(address));
        tables.WriteSlot(slot, made);
        if ((vma.Flags & VmaFlags.Locked) != 0 && merged != Spaces.ZeroPfn)
        {
            _machine.Lru.Mlock(cpu, merged);
        }

        Spaces.Maps.RemoveRmap(cpu, pfn, vma);
        if (pages.IsSwapCache(pfn) && Spaces.Maps.MapCount(pfn) == 0)
        {
            _ = Spaces.Swap?.TryFreeSlot(cpu, pfn);
        }

        pages.Put(cpu, pfn);
    }

    /// <summary>An entry of the zero page goes, or a child gets one: whether ksmd had put it there is counted.</summary>
    public void CountZero(MemoryDescriptor mm, ulong entry, int change)
    {
        if (Spaces.Layout.IsDirty(entry))
        {
            mm.MergedZeroPages += change;
            ZeroPages += change;
        }
    }

    /// <summary>Whether an entry maps what ksmd put there.</summary>
    private bool IsMerged(Vma vma, ulong address, ulong entry)
    {
        if (entry == 0 || !Spaces.Layout.IsPresent(entry))
        {
            return false;
        }

        int pfn = Spaces.Layout.Pfn(entry);
        return pfn == Spaces.ZeroPfn ? Spaces.Layout.IsDirty(entry) : Spaces.Entries.PeekPage(vma, address, entry) >= 0 && _machine.Frames.Array[pfn].IsMerged;
    }

    /// <summary>Gives an address a page of its own again (<c>break_ksm()</c>).</summary>
    private Errno Break(Cpu cpu, Vma vma, ulong address)
    {
        for (int i = 0; i < 8; i++)
        {
            ulong slot = vma.Mm.Tables.FindSlot(address);
            if (slot == 0 || !IsMerged(vma, address, vma.Mm.Tables.ReadSlot(slot)))
            {
                return Errno.None;
            }

            FaultResult result = Spaces.Faults.HandleFault(cpu, vma, address, FaultFlags.Unshare | FaultFlags.Remote);
            if ((result & FaultResult.Error) != 0)
            {
                return (result & FaultResult.Oom) == FaultResult.Oom ? Errno.ENOMEM : Errno.None;
            }
        }

        return Errno.None;
    }

    /// <summary>Gives all pages of a range back to themselves (<c>unmerge_ksm_pages()</c>).</summary>
    public Errno Unmerge(Cpu cpu, Vma vma, ulong start, ulong end)
    {
        if (vma.AnonVma is null)
        {
            return Errno.None;
        }

        PageTableCursor cursor = new(Spaces, vma, start, end);
        while (cursor.Next())
        {
            TableEntries table = cursor.IsHuge ? default : cursor.Entries;
            while (table.Next(out ulong entry))
            {
                if (!IsMerged(vma, table.Address, entry))
                {
                    continue;
                }

                Errno error = Break(cpu, vma, table.Address);
                if (error != Errno.None)
                {
                    return error;
                }

                cursor.ContinueFrom(table.NextAddress);
                break;
            }
        }

        return Errno.None;
    }

    /// <summary>Takes everything apart and forgets it (<c>unmerge_and_remove_all_rmap_items()</c>).</summary>
    public Errno UnmergeAll(Cpu cpu)
    {
        foreach (MergingSpace space in _spaces.ToArray())
        {
            for (Vma? vma = space.Mm.IsGone ? null : space.Mm.Tree.First; vma is not null; vma = vma.Next)
            {
                Errno error = (vma.Flags & VmaFlags.Mergeable) == 0 ? Errno.None : Unmerge(cpu, vma, vma.StartValue, vma.EndValue);
                if (error != Errno.None)
                {
                    return error;
                }
            }

            DropFrom(space, 0);
            if (space.Mm.IsGone)
            {
                _ = _spaces.Remove(space);
                space.Mm.Merging = null;
            }
        }

        _current = null;
        FullScans = 0;
        _ = TryForgetAll();
        return Errno.None;
    }

    /// <summary>Forgets the merged pages, when none is mapped any more (<c>remove_all_stable_nodes()</c>): of each tree, up to the first that is.</summary>
    public bool TryForgetAll()
    {
        bool all = true;
        foreach (ContentTree tree in _stable)
        {
            bool whole = true;
            while (whole && tree.Root is StableNode root)
            {
                whole = TryForget(tree, root);
            }

            all &= whole;
        }

        foreach (StableNode node in _waiting.ToArray())
        {
            all &= TryForget(node);
        }

        return all;
    }

    private bool TryForget(ContentTree tree, StableNode root)
    {
        if (root.Copies is null)
        {
            return TryForget(root);
        }

        foreach (StableNode copy in root.Copies.ToArray())
        {
            if (!TryForget(copy))
            {
                return false;
            }
        }

        tree.Remove(root);
        Chains--;
        return true;
    }

    private bool TryForget(StableNode node)
    {
        if (IsAlive(node))
        {
            if (_machine.Mm!.Maps.MapCount(node.Pfn) != 0)
            {
                return false;
            }

            // In the swap cache, still: whoever maps it again gets a copy.
            _machine.Frames.Array[node.Pfn].Mapping = MappingTable.Merged;
        }

        RemoveStale(node);
        return true;
    }

    /// <summary>All merged pages that are known, also those that are gone.</summary>
    private IEnumerable<StableNode> Merged() =>
        _stable.SelectMany(tree => tree.Nodes()).Cast<StableNode>().SelectMany(node => node.Copies ?? (IEnumerable<StableNode>)[node]).Concat(_waiting);

    /// <summary>Whether a page found in the swap cache belongs to somebody else and has to be copied (<c>ksm_might_need_to_copy()</c>).</summary>
    public bool MustCopy(int pfn, Vma vma, ulong address)
    {
        ref PageFrame frame = ref _machine.Frames.Array[pfn];
        if (!frame.IsAnonymous || frame.Order != 0 || !frame.Has(PageFlags.UpToDate))
        {
            return false;
        }

        if (frame.IsMerged)
        {
            return NodeOf(pfn) is null || _knobs.Run == KsmRun.Unmerge;
        }

        // Whose owner is gone was that of a process that has ended: this one never had it at this address.
        return !_machine.Frames.Mappings.TryFind(frame.Mapping, out AnonVma? anon) || (frame.Index != vma.IndexOf(address) || !ReferenceEquals(anon.Root, vma.AnonVma!.Root));
    }
}
