using System.Diagnostics;
using MemSim.Pages;
using MemSim.Zones;

namespace MemSim.PageAllocation;

/// <content>Pages with hardware errors: never handed out again.</content>
internal sealed partial class PageAllocator
{
    /// <summary>Takes a free page out of the lists for good (<c>take_page_off_buddy()</c>); the rest of its block stays free.</summary>
    /// <returns>Whether it was free in the buddy lists.</returns>
    public bool TakePoisoned(Cpu cpu, Zone zone, int pfn)
    {
        zone.EnterLock();
        bool taken = _buddy.TakeBlock(zone, cpu.Lists.Pcp[zone.Id], pfn, 0);
        zone.ExitLock();
        if (taken)
        {
            SetAside(pfn, zone.Id);
        }

        return taken;
    }

    /// <summary>A page that was set aside is free again (<c>put_page_back_buddy()</c>).</summary>
    public void PutBackPoisoned(Cpu cpu, int pfn)
    {
        ref PageFrame frame = ref _frames[pfn];
        Debug.Assert(frame.State == PageFrame.SinglePageState, "nobody else holds it");
        frame.KeepOnlyZone();
        FreeBlock(cpu, pfn, 0);
    }

    /// <summary>Nobody has the page, and nobody gets it: it keeps one reference.</summary>
    public void SetAside(int pfn, int zone)
    {
        ref PageFrame frame = ref _frames[pfn];
        frame.Identity = PageFrame.ZoneBits(zone) | (uint)PageFlags.HwPoison;
        frame.State = PageFrame.SinglePageState;
        frame.Mapping = 0;
        frame.Index = 0;
    }

    /// <summary>Frees what is good of a block in which there are errors: the broken pages stay out of use.</summary>
    /// <returns>False when there are none: the block is freed as any other.</returns>
    private bool FreeAroundPoisoned(PerCpuPages pcp, int pfn, int order)
    {
        int end = pfn + (1 << order);
        if (_poisoned.FirstIn(pfn, end) < 0)
        {
            return false;
        }

        for (int at = pfn; at < end;)
        {
            if (_poisoned.Contains(at))
            {
                SetAside(at, pcp.ZoneId);
                at++;
                continue;
            }

            int part = 0;
            while (part < order && (at & ((2 << part) - 1)) == 0 && at + (2 << part) <= end && _poisoned.FirstIn(at, at + (2 << part)) < 0)
            {
                part++;
            }

            FreeToBuddy(pcp, at, part, pcp.Zone.BlockType(at));
            at += 1 << part;
        }

        return true;
    }
}
