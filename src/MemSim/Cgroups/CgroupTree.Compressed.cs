using MemSim.Cgroups;

namespace MemSim;

/// <content>Compressed pages of zswap: charged by their bytes, as objects are.</content>
public sealed partial class CgroupTree
{
    /// <summary>Who is to pay for what a page becomes in zswap: who pays for the page, or if that was removed the one above that was not; null for nobody.</summary>
    internal Cgroup? PayerOfCompressed(int pfn)
    {
        Cgroup? payer = PayerOf(pfn);
        while (payer is { IsRemoved: true })
        {
            payer = payer.Parent;
        }

        return payer is { IsRoot: true } ? null : payer;
    }

    /// <summary>Whether the limits of a cgroup and those above leave room for another compressed page (<c>obj_cgroup_may_zswap()</c>).</summary>
    internal static bool MayCompress(Cgroup payer)
    {
        for (Cgroup? cgroup = payer; cgroup is { IsRoot: false }; cgroup = cgroup.Parent)
        {
            if (cgroup.ZswapMax != PageCounter.Unlimited && cgroup.CompressedBytesBelow >> PageGeometry.PageShift >= cgroup.ZswapMax)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Whether a cgroup's pages may go from zswap, or past it, to the disk (<c>mem_cgroup_zswap_writeback_enabled()</c>).</summary>
    internal static bool MayWriteBack(Cgroup? payer)
    {
        for (Cgroup? cgroup = payer; cgroup is not null; cgroup = cgroup.Parent)
        {
            if (!cgroup.ZswapWriteback)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Charges a compressed page.</summary>
    internal bool TryChargeCompressed(Cpu cpu, Cgroup payer, int bytes)
    {
        if (bytes != 0 && !TryChargeBytes(cpu, payer, bytes, Gfp.Kernel))
        {
            return false;
        }

        payer.CompressedBytes += bytes;
        payer.CompressedPages++;
        payer.IncompressiblePages += bytes == PageGeometry.PageSize ? 1 : 0;
        return true;
    }

    /// <summary>A compressed page is gone.</summary>
    internal void UnchargeCompressed(Cpu cpu, int payer, int bytes)
    {
        Cgroup cgroup = _byId[payer]!;
        cgroup.CompressedBytes -= bytes;
        cgroup.CompressedPages--;
        cgroup.IncompressiblePages -= bytes == PageGeometry.PageSize ? 1 : 0;
        if (!cgroup.IsRoot && bytes != 0)
        {
            RefillBytes(cpu, cgroup, bytes, mayUncharge: true);
        }
    }

    private void LeaveCompressed(Cgroup cgroup, Cgroup parent)
    {
        parent.CompressedBytes += cgroup.CompressedBytes;
        parent.CompressedPages += cgroup.CompressedPages;
        parent.IncompressiblePages += cgroup.IncompressiblePages;
        if (cgroup.CompressedPages != 0)
        {
            Machine.Swap.Front!.MoveCharges(cgroup.Id, parent.Id);
        }

        cgroup.CompressedBytes = cgroup.CompressedPages = cgroup.IncompressiblePages = 0;
    }
}
