using System.Diagnostics;
using MemSim.Diagnostics;
using MemSim.Pages;
using MemSim.Statistics;

namespace MemSim;

/// <summary>The pool of huge pages of one size (<c>struct hstate</c>): pages taken from the page allocator and kept aside for <see cref="MapFlags.HugeTlb"/> and hugetlbfs.</summary>
/// <remarks>
/// Gigantic pages, of more than 4 MiB, come from the boot alone (<c>hugepagesz=1G hugepages=2</c>) and stay in the pool. The lock of page owners guards all of it
/// (<c>hugetlb_lock</c>): pages are taken and given back by faults and memory calls, which hold it, and growing may reclaim.
/// </remarks>
public sealed partial class HugetlbPool
{
    private readonly Machine _machine;
    private readonly int _order;
    private readonly List<int>[] _free;
    private readonly long[] _total;
    private readonly long[] _surplus;
    private readonly HashSet<int> _used = [];
    private int _nextNode;

    internal HugetlbPool(Machine machine, int order)
    {
        _machine = machine;
        _order = order;
        _free = [.. machine.Nodes.Select(_ => new List<int>())];
        _total = new long[_free.Length];
        _surplus = new long[_free.Length];
    }

    /// <summary>Bytes of a page (<c>Hugepagesize</c>).</summary>
    public ByteSize PageSize => new((ulong)PageGeometry.PageSize << _order);

    /// <summary>Whether the pages are larger than what the page allocator has.</summary>
    public bool IsGigantic => _order > PageGeometry.MaxOrder;

    /// <summary>Whether processes can map the pages here: the size is that of a page-table entry of the second or third level.</summary>
    public bool IsMappable => Level != 0;

    /// <summary>Pages in the pool, free or mapped (<c>HugePages_Total</c>).</summary>
    public long Total => Sum(_total);

    /// <summary>Pages that nobody uses (<c>HugePages_Free</c>).</summary>
    public long Free
    {
        get
        {
            long free = 0;
            foreach (List<int> pages in _free)
            {
                free += pages.Count;
            }

            return free;
        }
    }

    /// <summary>Free pages promised to mappings that have not used them yet (<c>HugePages_Rsvd</c>).</summary>
    public long Reserved { get; private set; }

    /// <summary>Pages beyond the wanted size (<c>HugePages_Surp</c>): they leave the pool when they are free again.</summary>
    public long Surplus => Sum(_surplus);

    /// <summary>How many pages the pool may grow beyond its size when mappings need them (<c>vm.nr_overcommit_hugepages</c>).</summary>
    /// <exception cref="InvalidOperationException">The pages are gigantic (EINVAL).</exception>
    public long Overcommit
    {
        get;
        set => field = value == 0 || !IsGigantic ? value : throw new InvalidOperationException($"pages of {PageSize} cannot be allocated after the boot (EINVAL)");
    }

    /// <summary>Pages in the pool on a node (<c>/sys/devices/system/node/nodeN/hugepages</c>).</summary>
    /// <param name="node">The node's number.</param>
    public long OnNode(int node) => _total[IndexOf(node)];

    /// <summary>Free pages on a node (<c>nodeN/hugepages/…/free_hugepages</c>).</summary>
    /// <param name="node">The node's number.</param>
    public long FreeOnNode(int node) => _free[IndexOf(node)].Count;

    /// <summary>Surplus pages on a node (<c>nodeN/hugepages/…/surplus_hugepages</c>).</summary>
    /// <param name="node">The node's number.</param>
    public long SurplusOnNode(int node) => _surplus[IndexOf(node)];

    /// <summary>Makes the pool larger or smaller, round the nodes (writing <c>vm.nr_hugepages</c>); pages in use or promised stay, as surplus.</summary>
    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="pages">Huge pages wanted.</param>
    /// <returns>Huge pages there are now: fewer than wanted when memory is short or fragmented, more when they are in use. Pools of gigantic pages keep theirs.</returns>
    public long Resize(Cpu cpu, long pages)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        ArgumentOutOfRangeException.ThrowIfNegative(pages);
        _ = _machine.CpuTable.Own(cpu);
        using (_machine.EnterOwners())
        {
            WasSized = true;
            ChangeSurplus(pages, -1);
            while (!IsGigantic && Total - Surplus < pages && GrowAnywhere(cpu))
            {
            }

            while (!IsGigantic && Total - Surplus > pages && Free > Reserved)
            {
                ShrinkSomewhere(cpu);
            }

            ChangeSurplus(pages, 1);
            return Report();
        }
    }

    /// <summary>Makes the pool on one node larger or smaller.</summary>
    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="node">The node's number.</param>
    /// <param name="pages">Huge pages wanted there.</param>
    /// <returns>Huge pages there are on it now.</returns>
    public long ResizeNode(Cpu cpu, int node, long pages)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        ArgumentOutOfRangeException.ThrowIfNegative(pages);
        _ = _machine.CpuTable.Own(cpu);
        int index = IndexOf(node);
        using (_machine.EnterOwners())
        {
            WasSized = true;
            while (!IsGigantic && _total[index] < pages && Grow(cpu, index))
            {
            }

            while (!IsGigantic && _total[index] > pages && _free[index].Count != 0 && Free > Reserved)
            {
                Shrink(cpu, index);
            }

            _ = Report();
            return _total[index];
        }
    }

    /// <summary>A write to <c>vm.nr_hugepages</c> or <c>vm.nr_overcommit_hugepages</c>.</summary>
    internal void WriteSysctl(Cpu cpu, string file, long pages)
    {
        if (file != "nr_overcommit_hugepages")
        {
            _ = Resize(cpu, pages);
        }
        else
        {
            Overcommit = pages;
        }
    }

    /// <summary>Promises free pages, growing the pool as far as <see cref="Overcommit"/> allows (<c>hugetlb_acct_memory()</c>).</summary>
    internal bool Reserve(Cpu cpu, long pages)
    {
        using (_machine.EnterOwners())
        {
            while (Free - Reserved < pages && GrowSurplus(cpu))
            {
            }

            bool enough = Free - Reserved >= pages;
            Reserved += enough ? pages : 0;
            DropUnusedSurplus(cpu, long.MaxValue);
            _ = Report();
            return enough;
        }
    }

    /// <summary>Takes promises back; surplus pages that were kept for them go.</summary>
    internal void Unreserve(Cpu cpu, long pages)
    {
        using (_machine.EnterOwners())
        {
            Reserved -= pages;
            Debug.Assert(Reserved >= 0, "no more is taken back than was promised");
            DropUnusedSurplus(cpu, pages);
            _ = Report();
        }
    }

    /// <summary>Takes a page out, with one reference (<c>alloc_huge_page()</c>).</summary>
    /// <returns>-1 when none is left that is not promised to somebody else.</returns>
    internal int Take(Cpu cpu, bool reserved)
    {
        using (_machine.EnterOwners())
        {
            if (!reserved && Free <= Reserved && !GrowSurplus(cpu))
            {
                return -1;
            }

            int near = IndexOf(cpu.Node.Id);
            for (int i = 0; i < _free.Length; i++)
            {
                List<int> pages = _free[(near + i) % _free.Length];
                if (pages.Count == 0)
                {
                    continue;
                }

                int head = pages[^1];
                pages.RemoveAt(pages.Count - 1);
                Debug.Assert(IsUnused(head) && Reserved >= (reserved ? 1 : 0), "what was free nobody uses, and what was promised is counted");
                _used.Add(head);
                Reserved -= reserved ? 1 : 0;
                CountUsed(head, 1);
                _machine.Frames.FrameOf(head).InvertedMapCount = 0;
                _machine.Frames.FrameOf(head + 1).Private = 0;
                _machine.Frames.FrameOf(head + 1).Index = 0;
                _ = Report();
                return head;
            }

            return -1;
        }
    }

    /// <summary>A page's last user is gone (<c>free_huge_page()</c>): while its node has surplus pages it goes to the page allocator.</summary>
    internal void Return(Cpu cpu, int head)
    {
        using (_machine.EnterOwners())
        {
            bool was = _used.Remove(head);
            Debug.Assert(was && _machine.Frames.FrameOf(head).MapCount == 0, "a page of the pool that was in use, and nothing maps any more");
            CountUsed(head, -1);
            int node = IndexOf(_machine.ZoneTable.ZoneOf(head)!.Node.Id);
            _free[node].Add(head);
            if (_machine.Frames.Poisoned.FirstIn(head, head + (1 << _order)) >= 0)
            {
                // What is good of it goes to the page allocator, unless all free pages are promised.
                _ = TryDissolve(cpu, head);
            }
            else if (_surplus[node] > 0)
            {
                _surplus[node]--;
                Shrink(cpu, node);
            }

            _ = Report();
        }
    }

    private void CountUsed(int head, int sign) => _machine.ZoneTable.ZoneOf(head)!.Node.Counters.Hugetlb += sign * (1L << _order);

    /// <summary>Checks that the pages are still the pool's, and its sums.</summary>
    internal void Verify()
    {
        foreach (List<int> pages in _free)
        {
            foreach (int pfn in pages)
            {
                if (_machine.Frames.FrameOf(pfn).RefCount != 1 || (!IsGigantic && _machine.Frames.FrameOf(pfn).Order != _order) || _machine.Frames.FrameOf(pfn).MapCount != 0)
                {
                    BugReporter.Corrupt($"frame 0x{pfn:x} of the pool of huge pages is not a block of its own");
                }
            }
        }

        if (Free + _used.Count != Total || Reserved < 0 || Reserved > Free || Surplus < 0 || Surplus > Total)
        {
            BugReporter.Corrupt($"the pool of huge pages has {Total}, of them {Free} free, {Reserved} reserved, {Surplus} surplus; {_used.Count} are in use");
        }
    }

    /// <summary>Whether a page was taken out by a mapping.</summary>
    internal bool IsInUse(int head) => _used.Contains(head);

    /// <summary>Pages that mappings have.</summary>
    internal IReadOnlyCollection<int> InUse => _used;

    private static long Sum(long[] counts)
    {
        long sum = 0;
        foreach (long count in counts)
        {
            sum += count;
        }

        return sum;
    }

    /// <summary>Makes surplus pages ordinary ones (-1), or the other way round, until the wanted size fits (<c>adjust_pool_surplus()</c>).</summary>
    private void ChangeSurplus(long pages, int change)
    {
        for (int node = 0; node < _free.Length; node++)
        {
            while (change < 0 ? Total - Surplus < pages && _surplus[node] > 0 : Total - Surplus > pages && _surplus[node] < _total[node])
            {
                _surplus[node] += change;
            }
        }
    }

    private bool GrowSurplus(Cpu cpu)
    {
        if (IsGigantic || Surplus >= Overcommit)
        {
            return false;
        }

        int near = IndexOf(cpu.Node.Id);
        for (int i = 0; i < _free.Length; i++)
        {
            int node = (near + i) % _free.Length;
            if (Grow(cpu, node))
            {
                _surplus[node]++;
                return true;
            }
        }

        return false;
    }

    private void DropUnusedSurplus(Cpu cpu, long pages)
    {
        for (int node = 0; node < _free.Length; node++)
        {
            for (; pages > 0 && _surplus[node] > 0 && _free[node].Count != 0 && Free > Reserved; pages--)
            {
                _surplus[node]--;
                Shrink(cpu, node);
            }
        }
    }

    private bool GrowAnywhere(Cpu cpu)
    {
        for (int i = 0; i < _free.Length; i++)
        {
            int node = _nextNode;
            _nextNode = (_nextNode + 1) % _free.Length;
            if (Grow(cpu, node))
            {
                return true;
            }
        }

        return false;
    }

    private bool Grow(Cpu cpu, int node)
    {
        // htlb_alloc_mask(), which depends on whether the architecture can migrate such pages, with what alloc_buddy_huge_page() adds: it tries hard.
        Gfp gfp = (_machine.Architecture.Bits == 64 ? Gfp.HighUserMovable : Gfp.HighUser) | Gfp.Comp | Gfp.NoWarn | Gfp.RetryMayFail | Gfp.ThisNode;
        int pfn = _machine.Pages.AllocateChecked(cpu, gfp, _order, _machine.Nodes[node]);
        _machine.Events.Count(pfn >= 0 ? VmEvent.HtlbBuddyAllocSuccess : VmEvent.HtlbBuddyAllocFail);
        if (pfn >= 0)
        {
            Debug.Assert(IsUnused(pfn), "a fresh block of the pool's order");
            _free[node].Add(pfn);
            _total[node]++;
        }

        return pfn >= 0;
    }

    private void ShrinkSomewhere(Cpu cpu)
    {
        while (_free[_nextNode].Count == 0)
        {
            _nextNode = (_nextNode + 1) % _free.Length;
        }

        Shrink(cpu, _nextNode);
        _nextNode = (_nextNode + 1) % _free.Length;
    }

    private void Shrink(Cpu cpu, int node)
    {
        int pfn = _free[node][^1];
        _free[node].RemoveAt(_free[node].Count - 1);
        _total[node]--;
        Debug.Assert(IsUnused(pfn) && _total[node] >= _free[node].Count && _surplus[node] >= 0 && _surplus[node] <= _total[node], "nobody uses what goes, and the counts agree");
        _machine.Pages.FreeBlock(cpu, pfn, _order);
    }

    /// <summary>Whether a page is a block of the pool's order with the pool's reference alone.</summary>
    private bool IsUnused(int head)
    {
        ref readonly PageFrame frame = ref _machine.Frames.FrameOf(head);
        return frame.RefCount == 1 && (IsGigantic || frame.Order == _order) && frame.MapCount == 0 && !_used.Contains(head);
    }

    private long Report()
    {
        _machine.Hugetlb.CountPools();
        if (this != _machine.Hugetlb.Pool)
        {
            return Total;
        }

        SystemFigures figures = _machine.SystemFigures;
        figures.HugePagesTotal = Total;
        figures.HugePagesFree = Free;
        figures.HugePagesReserved = Reserved;
        figures.HugePagesSurplus = Surplus;
        return Total;
    }

    private int IndexOf(int node)
    {
        for (int i = 0; i < _free.Length; i++)
        {
            if (_machine.Nodes[i].Id == node)
            {
                return i;
            }
        }

        throw new ArgumentOutOfRangeException(nameof(node), node, "there is no such node");
    }
}
