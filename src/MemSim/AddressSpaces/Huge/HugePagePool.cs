using MemSim.AddressSpaces.Huge;
using MemSim.Observability.Proc;

namespace MemSim;

/// <summary>The pool of huge pages of 2 MiB (<c>vm.nr_hugepages</c>): pages taken from the page allocator and kept aside.</summary>
/// <remarks>Nothing maps them yet: <see cref="MapFlags.HugeTlb"/> fails with ENOMEM as on a machine whose pool is empty.</remarks>
public sealed class HugePagePool
{
    private readonly Machine _machine;
    private readonly List<int>[] _free;
    private int _nextNode;

    internal HugePagePool(Machine machine)
    {
        _machine = machine;
        _free = [.. machine.Nodes.Select(_ => new List<int>())];
    }

    /// <summary>Pages in the pool (<c>HugePages_Total</c>).</summary>
    public long Total
    {
        get
        {
            long total = 0;
            foreach (List<int> pages in _free)
            {
                total += pages.Count;
            }

            return total;
        }
    }

    /// <summary>Pages in the pool on a node (<c>/sys/devices/system/node/nodeN/hugepages</c>).</summary>
    /// <param name="node">The node's number.</param>
    public long OnNode(int node) => _free[IndexOf(node)].Count;

    /// <summary>Makes the pool larger or smaller, round the nodes (writing <c>vm.nr_hugepages</c>).</summary>
    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="pages">Huge pages wanted.</param>
    /// <returns>Huge pages there are now: fewer than wanted when memory is short or fragmented.</returns>
    public long Resize(Cpu cpu, long pages)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        ArgumentOutOfRangeException.ThrowIfNegative(pages);
        lock (_free)
        {
            while (Total < pages && GrowAnywhere(cpu))
            {
            }

            while (Total > pages)
            {
                ShrinkSomewhere(cpu);
            }

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
        int index = IndexOf(node);
        lock (_free)
        {
            while (_free[index].Count < pages && Grow(cpu, index))
            {
            }

            while (_free[index].Count > pages)
            {
                Shrink(cpu, index);
            }

            _ = Report();
            return _free[index].Count;
        }
    }

    /// <summary>Checks that the pages are still the pool's.</summary>
    internal void Verify()
    {
        foreach (List<int> pages in _free)
        {
            foreach (int pfn in pages)
            {
                if (_machine.FrameOf(pfn).RefCount != 1 || _machine.FrameOf(pfn).Order != HugeCore.Order)
                {
                    Observability.BugReporter.Corrupt($"frame 0x{pfn:x} of the pool of huge pages is not a block of its own");
                }
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
        // htlb_alloc_mask() with what alloc_buddy_huge_page() adds: it tries hard.
        const Gfp gfp = Gfp.HighUser | Gfp.Comp | Gfp.NoWarn | Gfp.RetryMayFail | Gfp.ThisNode;
        int pfn = _machine.Pages.AllocateChecked(cpu, gfp, HugeCore.Order, _machine.Nodes[node]);
        _machine.Events.Count(pfn >= 0 ? VmEvent.HtlbBuddyAllocSuccess : VmEvent.HtlbBuddyAllocFail);
        if (pfn >= 0)
        {
            _free[node].Add(pfn);
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
        _machine.Pages.FreeBlock(cpu, pfn, HugeCore.Order);
    }

    private long Report()
    {
        _machine.SystemFigures.HugePagesTotal = _machine.SystemFigures.HugePagesFree = Total;
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
