using MemSim.Hardware;
using MemSim.Pages;

namespace MemSim;

/// <content>What the kernel command line asks for.</content>
public sealed partial class HugetlbPool
{
    /// <summary>log2 of the small pages in a page.</summary>
    internal int Order => _order;

    /// <summary>The level of the page-table entries that map a page; 0 for sizes that only exist as several entries side by side.</summary>
    internal int Level => _order == PteLayout.HugeOrderOf(_machine.Architecture.Architecture) ? 2 : PageGeometry.HighestLeaf == 3 && _order == PageGeometry.GiantOrder ? 3 : 0;

    /// <summary>Whether anybody ever said how large it shall be.</summary>
    internal bool WasSized { get; private set; }

    /// <summary>Small pages taken from a zone.</summary>
    internal long PagesIn(Zone zone)
    {
        long pages = 0;
        foreach (List<int> free in _free)
        {
            foreach (int head in free)
            {
                pages += _machine.ZoneTable.ZoneOf(head) != zone ? 0 : IsGigantic ? 1 : 1L << _order;
            }
        }

        return pages;
    }

    /// <summary>A gigantic page that the boot set aside: from now on its pages are managed ones that are in use (<c>gather_bootmem_prealloc()</c>).</summary>
    internal void AddGigantic(int head)
    {
        WasSized = true;
        Zone zone = _machine.ZoneTable.ZoneOf(head)!;
        zone.ManagedPages += 1L << _order;
        ref PageFrame frame = ref _machine.Frames.FrameOf(head);
        frame.Begin(zone.Id);
        frame.BecomeSinglePage(1);
        int node = IndexOf(zone.Node.Id);
        _free[node].Add(head);
        _total[node]++;
        _ = Report();
    }

    /// <summary>Fills the pool at boot: so many pages on a node, or round all nodes (<c>hugetlb_hstate_alloc_pages()</c>).</summary>
    /// <returns>How many pages came.</returns>
    internal long FillAtBoot(Cpu cpu, long pages, int? node)
    {
        long done = 0;
        while (done < pages && (node is { } id ? _machine.ZoneTable.NodeOrDefault(id) is not null && Grow(cpu, IndexOf(id)) : GrowAnywhere(cpu)))
        {
            done++;
        }

        _ = Report();
        return done;
    }
}
