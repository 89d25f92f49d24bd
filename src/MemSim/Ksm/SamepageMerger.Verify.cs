using MemSim.Diagnostics;

namespace MemSim.Ksm;

/// <content>What must hold.</content>
internal sealed partial class SamepageMerger
{
    /// <summary>Checks trees, chains, counts and what merged pages know of those that map them.</summary>
    public void Verify()
    {
        long items = 0;
        long unshared = 0;
        long attached = 0;
        foreach (MergingSpace space in _spaces)
        {
            if (!ReferenceEquals(space.Mm.Merging, space))
            {
                BugReporter.Corrupt("an address space that ksmd looks at does not know of it");
            }

            ulong last = 0;
            long merged = 0;
            foreach (RmapItem? item in space.Items)
            {
                if (item is null)
                {
                    continue;
                }

                if (item.Address < last)
                {
                    BugReporter.Corrupt($"ksmd's pages of an address space are out of order at {item.Address:x}");
                }

                last = item.Address;
                items++;
                unshared += item.UnstableSince >= 0 ? 1 : 0;
                merged += item.Stable is null ? 0 : 1;
                if (item.Stable is { } node && !node.Items.Contains(item))
                {
                    BugReporter.Corrupt($"the page at {item.Address:x} was merged into one that does not know it");
                }
            }

            attached += merged;
            if (space.Mm.MergedPages != merged)
            {
                BugReporter.Corrupt($"{space.Mm.MergedPages} pages of an address space are counted as merged but ksmd knows {merged}");
            }
        }

        long copies = 0;
        long chains = 0;
        foreach (ContentTree tree in _stable)
        {
            foreach (StableNode node in tree.Nodes().Cast<StableNode>())
            {
                chains += node.Copies is null ? 0 : 1;
                copies += node.Copies?.Count ?? 0;
            }

            VerifyOrder(tree);
        }

        long shared = 0;
        long sharing = 0;
        foreach (StableNode node in Merged())
        {
            shared += node.Items.Count == 0 ? 0 : 1;
            sharing += Math.Max(node.Items.Count - 1, 0);
            if (node.Items.Exists(item => !ReferenceEquals(item.Stable, node)) || (IsAlive(node) && _machine.Frames.Array[node.Pfn].IsAnonExclusive))
            {
                BugReporter.Corrupt($"merged page 0x{node.Pfn:x} is known to a page that maps another one, or is marked as one process's alone");
            }
        }

        if ((shared, sharing, unshared, items, chains, copies) != (Shared, Sharing, Unshared, Items, Chains, Copies) || attached != shared + sharing)
        {
            BugReporter.Corrupt($"ksmd counts shared, sharing, unshared, items, chains, copies as {(Shared, Sharing, Unshared, Items, Chains, Copies)} but its trees hold {(shared, sharing, unshared, items, chains, copies)}, and {attached} pages are attached");
        }
    }

    /// <summary>Pages that are still what was merged keep their bytes, and so their order.</summary>
    private void VerifyOrder(ContentTree tree)
    {
        if (ContentTree.BlackHeight(tree.Root) < 0)
        {
            BugReporter.Corrupt("the tree of merged pages is out of balance");
        }

        int before = -1;
        foreach (StableNode node in tree.Nodes().Cast<StableNode>())
        {
            StableNode? page = node.Copies is null ? node : node.Copies.Find(IsAlive);
            if (page is null || !IsAlive(page))
            {
                continue;
            }

            if (before >= 0 && Compare(before, page.Pfn) >= 0)
            {
                BugReporter.Corrupt($"merged pages 0x{before:x} and 0x{page.Pfn:x} are out of order, or have equal bytes");
            }

            before = page.Pfn;
        }
    }
}
