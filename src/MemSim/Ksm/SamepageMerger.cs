using System.Numerics;
using System.Runtime.InteropServices;
using MemSim.Pages;
using MemSim.VirtualMemory;

namespace MemSim.Ksm;

/// <summary>Finds pages with equal bytes and lets one stand for all (<c>mm/ksm.c</c>): merged pages in the stable tree, candidates that did not change lately in the unstable one.</summary>
internal sealed partial class SamepageMerger
{
    private readonly Machine _machine;
    private readonly KsmSettings _knobs;
    private readonly ContentTree[] _stable;
    private readonly ContentTree[] _unstable;
    private readonly List<StableNode> _waiting = [];
    private readonly uint _zeroChecksum;

    public SamepageMerger(Machine machine, KsmSettings knobs)
    {
        _machine = machine;
        _knobs = knobs;
        int nodes = machine.Nodes.Count == 0 ? 1 : machine.Nodes.Max(node => node.Id) + 1;
        _stable = [.. Enumerable.Range(0, nodes).Select(_ => new ContentTree())];
        _unstable = [.. Enumerable.Range(0, nodes).Select(_ => new ContentTree())];
        _zeroChecksum = Checksum(new byte[PageGeometry.PageSize]);
    }

    /// <summary>Merged pages in use (<c>pages_shared</c>), as far as ksmd has looked.</summary>
    public long Shared { get; private set; }

    /// <summary>Entries that map merged pages, beyond the first of each (<c>pages_sharing</c>).</summary>
    public long Sharing { get; private set; }

    /// <summary>Pages in the unstable tree (<c>pages_unshared</c>).</summary>
    public long Unshared { get; private set; }

    /// <summary>Pages it knows (<c>ksm_rmap_items</c>).</summary>
    public long Items { get; private set; }

    /// <summary>Chains of merged pages with equal bytes.</summary>
    public long Chains { get; private set; }

    /// <summary>Merged pages in chains.</summary>
    public long Copies { get; private set; }

    private AddressSpaces Spaces => _machine.Mm!;

    /// <summary>The merged page that a frame is; null when it is none, or has been given up.</summary>
    public static StableNode? NodeOf(Machine machine, int pfn)
    {
        ref PageFrame frame = ref machine.Frames.Array[pfn];
        return frame.IsMerged && machine.Frames.Mappings.TryFind(frame.Mapping, out StableNode? node) ? node : null;
    }

    private StableNode? NodeOf(int pfn) => NodeOf(_machine, pfn);

    /// <summary>Whether the page of a node is still what it was merged into.</summary>
    private bool IsAlive(StableNode node)
    {
        ref PageFrame frame = ref _machine.Frames.Array[node.Pfn];
        return frame.RefCount != 0 && frame.Mapping == node.Mapping;
    }

    private bool HasRoom(StableNode node) => node.Items.Count < _knobs.MaxPageSharing;

    private int NumaNodeOf(int pfn) => _knobs.MergeAcrossNodes ? 0 : _machine.Zones[_machine.Frames.Array[pfn].ZoneId].Node.Id;

    private static uint Checksum(ReadOnlySpan<byte> page)
    {
        uint sum = uint.MaxValue;
        foreach (ulong word in MemoryMarshal.Cast<byte, ulong>(page))
        {
            sum = BitOperations.Crc32C(sum, word);
        }

        return sum;
    }

    private uint ChecksumOf(int pfn) => _machine.Ram.IsTouched(pfn) ? Checksum(_machine.Ram.Frame(pfn)) : _zeroChecksum;

    private int Compare(int left, int right) => _machine.Ram.Frame(left).SequenceCompareTo(_machine.Ram.Frame(right));

    /// <summary>What becomes of a page that ksmd looks at (<c>cmp_and_merge_page()</c>).</summary>
    private void CompareAndMerge(Cpu cpu, RmapItem item, int pfn)
    {
        StableNode? own = NodeOf(pfn);
        bool mayExceed = false;
        if (own is not null)
        {
            if (!own.IsWaiting && NumaNodeOf(pfn) != own.Node)
            {
                Detach(own);
                Wait(own);
            }

            if (!own.IsWaiting && ReferenceEquals(item.Stable, own))
            {
                return;
            }

            // A forked child maps it already: there is nothing to be gained by a limit.
            mayExceed = !HasRoom(own);
        }
        else if (_knobs.Rules.ChecksumsFirst)
        {
            Leave(item);
            if (HasChanged(item, pfn) || MergedWithZero(cpu, item, pfn))
            {
                return;
            }
        }

        int merged = SearchStable(pfn, own);
        if (merged == pfn && own is not null && ReferenceEquals(item.Stable, own))
        {
            return;
        }

        Leave(item);
        if (merged >= 0)
        {
            if (MergeWith(cpu, item, pfn, merged) && NodeOf(merged) is { } node)
            {
                Append(item, node, mayExceed);
            }

            return;
        }

        if (!_knobs.Rules.ChecksumsFirst && (HasChanged(item, pfn) || MergedWithZero(cpu, item, pfn)))
        {
            return;
        }

        if (SearchUnstable(item, pfn, out int otherPfn) is { } other)
        {
            MergeTwo(cpu, item, pfn, other, otherPfn);
        }
    }

    /// <summary>Whether a page's bytes are others than at the last look: then it changes too often to be worth it.</summary>
    private bool HasChanged(RmapItem item, int pfn)
    {
        uint sum = ChecksumOf(pfn);
        bool changed = sum != item.Checksum;
        item.Checksum = sum;
        return changed;
    }

    /// <summary>A page of zeroes becomes the kernel's one, where <c>use_zero_pages</c> says so.</summary>
    /// <returns>Whether it is done with: also when its area is gone.</returns>
    private bool MergedWithZero(Cpu cpu, RmapItem item, int pfn) =>
        _knobs.UseZeroPages && item.Checksum == _zeroChecksum && (MergeableAt(item) is not { } vma || MergeOne(cpu, vma, item.Address, pfn, Spaces.ZeroPfn));

    /// <summary>Two candidates with equal bytes (<c>try_to_merge_two_pages()</c>): the one just looked at becomes the merged page.</summary>
    private void MergeTwo(Cpu cpu, RmapItem item, int pfn, RmapItem other, int otherPfn)
    {
        MappedPages pages = Spaces.Pages;
        bool sameHuge = pages.IsPartOfHuge(pfn) && pages.IsPartOfHuge(otherPfn) && pages.HeadOf(pfn) == pages.HeadOf(otherPfn);
        pages.Get(otherPfn);
        bool merged = MergeWith(cpu, item, pfn, -1);
        if (merged && !MergeWith(cpu, other, otherPfn, pfn))
        {
            merged = false;
            Wait(NodeOf(pfn)!);
            if (MergeableAt(item) is { } vma)
            {
                _ = Break(cpu, vma, item.Address);
            }
        }

        pages.Put(cpu, otherPfn);
        if (merged)
        {
            StableNode node = InsertStable(pfn);
            Append(other, node, mayExceed: false);
            Append(item, node, mayExceed: false);
        }
        else if (sameHuge)
        {
            // Both held the same huge page, which so could not be split; now only one does, and the next look finds small pages.
            _ = Split(cpu, pfn);
        }
    }

    /// <summary>An entry maps a merged page from now on (<c>stable_tree_append()</c>).</summary>
    private void Append(RmapItem item, StableNode node, bool mayExceed)
    {
        System.Diagnostics.Debug.Assert(mayExceed || HasRoom(node), "whoever chose the page saw that it may have one more");
        Shared += node.Items.Count == 0 ? 1 : 0;
        Sharing += node.Items.Count == 0 ? 0 : 1;
        node.Items.Insert(0, item);
        item.Stable = node;
        item.Space.Mm.MergedPages++;
    }

    /// <summary>A page is looked at afresh: it is in no tree any more (<c>remove_rmap_item_from_tree()</c>).</summary>
    private void Leave(RmapItem item)
    {
        if (item.Stable is { } node)
        {
            if (!IsAlive(node))
            {
                RemoveStale(node);
                return;
            }

            _ = node.Items.Remove(item);
            Shared -= node.Items.Count == 0 ? 1 : 0;
            Sharing -= node.Items.Count == 0 ? 0 : 1;
            item.Stable = null;
            item.Anon = null;
            item.Space.Mm.MergedPages--;
        }
        else if (item.UnstableSince >= 0)
        {
            // The tree of an older scan was forgotten as a whole.
            if (item.UnstableSince == FullScans)
            {
                item.Tree!.Remove(item);
            }

            item.UnstableSince = -1;
            Unshared--;
        }
    }

    /// <summary>The page of a node is gone: so is the node, and those that mapped it are free for others (<c>remove_node_from_stable_tree()</c>).</summary>
    private void RemoveStale(StableNode node)
    {
        foreach (RmapItem item in node.Items)
        {
            item.Stable = null;
            item.Anon = null;
            item.Space.Mm.MergedPages--;
        }

        Shared -= node.Items.Count == 0 ? 0 : 1;
        Sharing -= Math.Max(node.Items.Count - 1, 0);
        node.Items.Clear();
        if (node.IsWaiting)
        {
            _ = _waiting.Remove(node);
        }
        else
        {
            Detach(node);
        }

        _machine.Frames.Mappings.Remove(node.Id);
    }

    /// <summary>Takes a merged page out of its tree or chain.</summary>
    private void Detach(StableNode node)
    {
        if (node.Chain is { } chain)
        {
            _ = chain.Copies!.Remove(node);
            node.Chain = null;
            Copies--;
        }
        else
        {
            node.Tree!.Remove(node);
        }
    }

    private void Wait(StableNode node)
    {
        node.IsWaiting = true;
        _waiting.Add(node);
    }
}
