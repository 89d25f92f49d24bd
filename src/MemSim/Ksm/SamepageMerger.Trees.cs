namespace MemSim.Ksm;

/// <content>The trees: merged pages, with chains where one may not have more users, and candidates.</content>
internal sealed partial class SamepageMerger
{
    /// <summary>The merged page with the same bytes that may have one more user (<c>stable_tree_search()</c>); -1 for none.</summary>
    private int SearchStable(int pfn, StableNode? own)
    {
        if (own is { IsWaiting: false })
        {
            return pfn;
        }

        int numa = NumaNodeOf(pfn);
        ContentTree tree = _stable[numa];
        ContentNode? parent;
        bool left;
        do
        {
            parent = null;
            left = false;
            for (ContentNode? at = tree.Root; at is not null;)
            {
                StableNode? found = Choose(tree, (StableNode)at, prunes: true, out StableNode here);
                if ((found ?? AnyOf(tree, here)) is not { } pick)
                {
                    // It was gone: the tree is another one now.
                    parent = here;
                    break;
                }

                int order = Compare(pfn, pick.Pfn);
                if (order == 0)
                {
                    return own is null || _machine.Mm!.Maps.MapCount(pfn) <= 1 ? found?.Pfn ?? -1 : JoinChain(tree, here, own, numa);
                }

                parent = here;
                left = order < 0;
                at = left ? here.Left : here.Right;
            }
        }
        while (parent is not null && parent.Tree is null);

        if (own is null)
        {
            return -1;
        }

        // It came from another node's tree.
        _ = _waiting.Remove(own);
        own.IsWaiting = false;
        own.Node = numa;
        tree.Insert(own, parent, left);
        return HasRoom(own) ? pfn : -1;
    }

    private int JoinChain(ContentTree tree, StableNode here, StableNode own, int numa)
    {
        _ = _waiting.Remove(own);
        own.IsWaiting = false;
        own.Node = numa;
        AddCopy(tree, here, own);
        return HasRoom(own) ? own.Pfn : -1;
    }

    /// <summary>Puts a page that was just merged into the tree, or into a chain with others of the same bytes (<c>stable_tree_insert()</c>).</summary>
    private StableNode InsertStable(int pfn)
    {
        StableNode fresh = NodeOf(pfn)!;
        ContentTree tree = _stable[fresh.Node];
        ContentNode? parent;
        bool left;
        do
        {
            parent = null;
            left = false;
            for (ContentNode? at = tree.Root; at is not null;)
            {
                StableNode? found = Choose(tree, (StableNode)at, prunes: false, out StableNode here);
                if ((found ?? AnyOf(tree, here)) is not { } pick)
                {
                    parent = here;
                    break;
                }

                int order = Compare(pfn, pick.Pfn);
                if (order == 0)
                {
                    AddCopy(tree, here, fresh);
                    return fresh;
                }

                parent = here;
                left = order < 0;
                at = left ? here.Left : here.Right;
            }
        }
        while (parent is not null && parent.Tree is null);

        tree.Insert(fresh, parent, left);
        return fresh;
    }

    /// <summary>Adds a page to the chain of those with its bytes, which is made of the single one where there is none.</summary>
    private void AddCopy(ContentTree tree, StableNode here, StableNode fresh)
    {
        StableNode chain = here;
        if (here.Copies is null)
        {
            chain = new StableNode(here.Node) { PrunedAt = _machine.Clock.Nanoseconds };
            tree.Replace(here, chain);
            chain.Copies!.Add(here);
            here.Chain = chain;
            Chains++;
            Copies++;
        }

        chain.Copies!.Insert(0, fresh);
        fresh.Chain = chain;
        Copies++;
    }

    /// <summary>The page of a node, or of a chain, that may have one more user (<c>stable_node_dup()</c>); null when all are full or gone.</summary>
    /// <param name="tree">The tree.</param>
    /// <param name="node">The node.</param>
    /// <param name="prunes">Whether a chain may be looked through, and ended when one page is left of it.</param>
    /// <param name="here">What is in the tree there now.</param>
    private StableNode? Choose(ContentTree tree, StableNode node, bool prunes, out StableNode here)
    {
        here = node;
        if (node.Copies is null)
        {
            return HasRoom(node) && IsAliveOrRemoved(node) ? node : null;
        }

        long now = _machine.Clock.Nanoseconds;
        prunes &= now - node.PrunedAt >= _knobs.ChainsPrune.Ticks * 100;
        if (prunes)
        {
            node.PrunedAt = now;
        }

        StableNode? found = null;
        int alive = 0;
        for (int i = 0; i < node.Copies.Count; i++)
        {
            StableNode copy = node.Copies[i];
            if (!IsAliveOrRemoved(copy))
            {
                i--;
                continue;
            }

            alive++;
            if (HasRoom(copy) && (found is null || copy.Items.Count > found.Items.Count))
            {
                found = copy;
                if (!prunes)
                {
                    break;
                }
            }
        }

        if (_knobs.Rules.EndsSingleChains ? node.Copies.Count == 1 : found is not null && prunes && alive == 1)
        {
            here = found ?? node.Copies[0];
            tree.Replace(node, here);
            here.Chain = null;
            node.Copies.Clear();
            Chains--;
            Copies--;
        }
        else if (found is not null && !ReferenceEquals(node.Copies[0], found) && found.Items.Count + 1 < _knobs.MaxPageSharing)
        {
            // The next one finds it at once.
            _ = node.Copies.Remove(found);
            node.Copies.Insert(0, found);
        }

        return found;
    }

    private bool IsAliveOrRemoved(StableNode node)
    {
        if (IsAlive(node))
        {
            return true;
        }

        RemoveStale(node);
        return false;
    }

    /// <summary>Any page of a node, for its bytes (<c>stable_node_dup_any()</c>); null when it is gone, and out of the tree.</summary>
    private StableNode? AnyOf(ContentTree tree, StableNode here)
    {
        if (here.Copies is null)
        {
            return here.Tree is not null && IsAliveOrRemoved(here) ? here : null;
        }

        while (here.Copies.Count != 0)
        {
            StableNode copy = here.Copies[0];
            if (IsAliveOrRemoved(copy))
            {
                return copy;
            }
        }

        tree.Remove(here);
        Chains--;
        return null;
    }

    /// <summary>A candidate with the same bytes; without one the page becomes a candidate itself (<c>unstable_tree_search_insert()</c>).</summary>
    private RmapItem? SearchUnstable(RmapItem item, int pfn, out int otherPfn)
    {
        ContentTree tree = _unstable[NumaNodeOf(pfn)];
        ContentNode? parent = null;
        bool left = false;
        otherPfn = -1;
        for (ContentNode? at = tree.Root; at is not null;)
        {
            RmapItem other = (RmapItem)at;
            otherPfn = MergeableAt(other) is { } vma ? AnonymousAt(vma, other.Address) : -1;
            if (otherPfn < 0 || otherPfn == pfn)
            {
                // Nothing is known of the order below one that is gone; and one that a fork shares is no gain.
                return null;
            }

            int order = Compare(pfn, otherPfn);
            if (order == 0)
            {
                return NumaNodeOf(otherPfn) == NumaNodeOf(pfn) ? other : null;
            }

            parent = at;
            left = order < 0;
            at = left ? at.Left : at.Right;
        }

        tree.Insert(item, parent, left);
        item.UnstableSince = FullScans;
        Unshared++;
        return null;
    }

    /// <summary>The area of a page, while it may be merged (<c>find_mergeable_vma()</c>).</summary>
    private static Vma? MergeableAt(RmapItem item) =>
        !item.Space.Mm.IsGone && item.Space.Mm.At(item.Address) is { AnonVma: not null } vma && (vma.Flags & VmaFlags.Mergeable) != 0 ? vma : null;

    /// <summary>The anonymous page at an address; -1 for none.</summary>
    private int AnonymousAt(Vma vma, ulong address)
    {
        PageTables tables = vma.Mm.Tables;
        ulong slot = tables.FindSlot(address);
        if (slot == 0)
        {
            return Spaces.UsesHugePages && Spaces.Huge.Find(vma, address, out ulong whole) != 0 && whole != 0 && !Spaces.Huge.IsZero(whole)
                ? Spaces.Layout.Pfn(whole) + (int)((address & (Spaces.Huge.Bytes - 1)) >> PageGeometry.PageShift)
                : -1;
        }

        return AnonymousAt(vma, address, tables.ReadSlot(slot));
    }

    private int AnonymousAt(Vma vma, ulong address, ulong entry)
    {
        int pfn = entry != 0 && Spaces.Layout.IsPresent(entry) ? Spaces.Entries.PeekPage(vma, address, entry) : -1;
        return pfn >= 0 && Spaces.Pages.IsAnon(pfn) ? pfn : -1;
    }
}
