using System.Diagnostics;
using MemSim.Cgroups;
using MemSim.Pages;

namespace MemSim;

/// <content>Charging and uncharging pages.</content>
public sealed partial class CgroupTree : PageAllocation.IFrameCharges
{
    /// <summary>Pages charged at once, those that are not needed yet kept in a stock (<c>MEMCG_CHARGE_BATCH</c>).</summary>
    internal const int BatchPages = 64;

    /// <summary>A swappiness by which reclaim takes anonymous memory alone (<c>swappiness=max</c>).</summary>
    internal const int OnlyAnonymous = 201;

    /// <summary>Charges a page, or a block of pages, of user space: anonymous memory or page cache (<c>mem_cgroup_charge()</c>).</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="cgroup">Who pays.</param>
    /// <param name="pfn">The page, not yet charged.</param>
    /// <param name="gfp">What the charge may do.</param>
    /// <returns>False when the limit does not allow it.</returns>
    internal bool TryCharge(Cpu cpu, Cgroup cgroup, int pfn, Gfp gfp) => TryCharge(cpu, cgroup, pfn, gfp, ChargeKind.User);

    /// <summary>Charges a page to the cgroup of the address space's owner, or of the task that runs.</summary>
    internal bool TryCharge(Cpu cpu, KernelTask? owner, int pfn, Gfp gfp) => TryCharge(cpu, Of((owner ?? cpu.Current).CgroupId), pfn, gfp, ChargeKind.User);

    /// <summary>Charges a page that was read back from swap to the cgroup that its slot is charged to, if that still lives (<c>mem_cgroup_swapin_charge_folio()</c>).</summary>
    internal bool TryChargeSwapIn(Cpu cpu, int owner, KernelTask? reader, int pfn, Gfp gfp)
    {
        Cgroup cgroup = owner != 0 && _byId[owner] is { IsRemoved: false } living ? living : Of((reader ?? cpu.Current).CgroupId);
        return TryCharge(cpu, cgroup, pfn, gfp, ChargeKind.User);
    }

    /// <inheritdoc/>
    bool PageAllocation.IFrameCharges.TryChargeKernel(Cpu cpu, int pfn, Gfp gfp) => TryCharge(cpu, Of(cpu), pfn, gfp, ChargeKind.Kernel);

    /// <summary>Charges a page of the kernel that belongs to somebody's task.</summary>
    internal bool TryChargeKernel(Cpu cpu, int pfn, Gfp gfp, ChargeKind kind) => TryCharge(cpu, Of(cpu), pfn, gfp, kind);

    /// <inheritdoc/>
    void PageAllocation.IFrameCharges.Split(int head, int parts, int pagesEach) => Split(head, parts, pagesEach);

    /// <inheritdoc/>
    int PageAllocation.IFrameCharges.IdOf(int pfn) => _charges![pfn];

    /// <inheritdoc/>
    void PageAllocation.IFrameCharges.Uncharge(Cpu cpu, int pfn) => Uncharge(cpu, pfn);

    /// <summary>A page that somebody pays for is free: nobody does any more (<c>mem_cgroup_uncharge()</c>).</summary>
    internal void Uncharge(Cpu cpu, int pfn)
    {
        FrameCgroups charges = _charges!;
        int id = charges[pfn];
        if (id == 0)
        {
            return;
        }

        ChargeKind kind = charges.KindOf(pfn);
        charges.Clear(pfn);
        Cgroup cgroup = _byId[id]!;
        long pages = 1L << Machine.Frames.Array[pfn].Order;
        cgroup.ChargedFrames -= pages;
        Debug.Assert(cgroup.ChargedFrames >= 0 && charges[pfn] == 0, "no more frames are uncharged than were charged");
        if (kind == ChargeKind.User)
        {
            cgroup.Memory.Uncharge(pages);
        }
        else
        {
            cgroup.KernelPages -= pages;
            Refill(cpu, cgroup, pages);
        }

        if (cgroup.IsRemoved)
        {
            DrainStocks(cgroup);
            TryRelease(cgroup);
        }
    }

    /// <summary>A page takes another's place, and its charge (<c>mem_cgroup_migrate()</c>).</summary>
    internal void Move(int from, int to)
    {
        if (_charges is not { } charges || charges[from] == 0)
        {
            return;
        }

        Debug.Assert(charges[to] == 0, "nobody pays for the page that takes the place");
        charges.Set(to, charges[from], charges.KindOf(from));
        charges.Clear(from);
    }

    /// <summary>A block is divided: each part is charged to who paid for the whole (<c>split_page_memcg()</c>).</summary>
    internal void Split(int head, int parts, int pagesEach)
    {
        FrameCgroups charges = _charges!;
        int id = charges[head];
        for (int i = 1; i < parts && id != 0; i++)
        {
            Debug.Assert(charges[head + (i * pagesEach)] == 0, "for parts nobody pays as long as they are parts");
            charges.Set(head + (i * pagesEach), id, charges.KindOf(head));
        }
    }

    /// <summary>Who pays for a page; null when nobody but the root does.</summary>
    internal Cgroup? PayerOf(int pfn) => _charges is { } charges && charges[pfn] is int id and not 0 ? _byId[id] : null;

    /// <summary>For what a page is charged.</summary>
    internal ChargeKind KindOf(int pfn) => _charges!.KindOf(pfn);

    private bool TryCharge(Cpu cpu, Cgroup cgroup, int pfn, Gfp gfp, ChargeKind kind)
    {
        if (cgroup.IsRoot || _charges![pfn] != 0)
        {
            return true;
        }

        long pages = 1L << Machine.Frames.Array[pfn].Order;
        if (!TryChargePages(cpu, cgroup, pages, gfp))
        {
            return false;
        }

        _charges!.Set(pfn, cgroup.Id, kind);
        cgroup.ChargedFrames += pages;
        cgroup.KernelPages += kind == ChargeKind.User ? 0 : pages;
        return true;
    }

    /// <summary>Charges pages to a cgroup and those above: from the CPU's stock, by a batch, by reclaim, by the OOM killer (<c>try_charge_memcg()</c>).</summary>
    internal bool TryChargePages(Cpu cpu, Cgroup cgroup, long pages, Gfp gfp) =>
        TryConsume(cpu, cgroup, pages) || TryChargeBatch(cpu, cgroup, pages, gfp);

    private bool TryChargeBatch(Cpu cpu, Cgroup cgroup, long pages, Gfp gfp)
    {
        long batch = Math.Max(BatchPages, pages);
        ChargeAttempt attempt = default;
        while (true)
        {
            PageCounter? full = cgroup.Memory.TryCharge(batch, counts: batch == pages || Rules.CountsRefusedBatches);
            if (full is null)
            {
                if (batch > pages)
                {
                    Refill(cpu, cgroup, batch - pages);
                }

                NoteHigh(cpu, cgroup, batch, gfp);
                return true;
            }

            if (batch > pages)
            {
                batch = pages;
                continue;
            }

            switch (TryMakeRoom(cpu, Limiting(cgroup, full), pages, gfp, ref attempt))
            {
                case ChargeVerdict.Retry:
                    if (TryConsume(cpu, cgroup, pages))
                    {
                        return true;
                    }

                    continue;
                case ChargeVerdict.Fail when (gfp & (Gfp.NoFail | Gfp.High)) == 0:
                    return false;
                default:
                    // It cannot fail, or more memory will be free very soon: the limit is exceeded for a while.
                    if (!attempt.WasCounted)
                    {
                        Limiting(cgroup, full).Raise(CgroupEvent.Max);
                    }

                    cgroup.Memory.Charge(pages);
                    return true;
            }
        }
    }

    /// <summary>A limit was met: what to do about it.</summary>
    private ChargeVerdict TryMakeRoom(Cpu cpu, Cgroup limiting, long pages, Gfp gfp, ref ChargeAttempt attempt)
    {
        if ((cpu.Current.Flags & TaskFlags.MemAlloc) != 0)
        {
            return ChargeVerdict.Force;
        }

        if ((gfp & Gfp.DirectReclaim) == 0 || Reclaimer is null)
        {
            return ChargeVerdict.Fail;
        }

        limiting.Raise(CgroupEvent.Max);
        attempt.WasCounted = true;
        long reclaimed = Reclaimer.Reclaim(cpu, limiting, pages, gfp);
        if (limiting.Margin >= pages)
        {
            return ChargeVerdict.Retry;
        }

        if (!attempt.Drained)
        {
            DrainStocks(limiting);
            attempt.Drained = true;
            return ChargeVerdict.Retry;
        }

        if ((gfp & Gfp.NoRetry) != 0)
        {
            return ChargeVerdict.Fail;
        }

        // Something was freed, though others were faster: only for small requests is that worth another try.
        if (reclaimed != 0 && pages <= 1 << PageGeometry.CostlyOrder)
        {
            return ChargeVerdict.Retry;
        }

        if (attempt.Retries++ < Cgroup.MaxRetries)
        {
            return ChargeVerdict.Retry;
        }

        if ((gfp & Gfp.RetryMayFail) != 0 || (attempt.PassedOom && (cpu.Current.Flags & TaskFlags.OomVictim) != 0))
        {
            return ChargeVerdict.Fail;
        }

        if (pages > 1 << PageGeometry.CostlyOrder)
        {
            return ChargeVerdict.Fail;
        }

        limiting.Raise(CgroupEvent.Oom);
        if (!Reclaimer.OutOfMemory(cpu, limiting, gfp, 0))
        {
            return ChargeVerdict.Fail;
        }

        attempt.PassedOom = true;
        attempt.Retries = 0;
        return ChargeVerdict.Retry;
    }

    private static Cgroup Limiting(Cgroup cgroup, PageCounter full)
    {
        Cgroup limiting = cgroup;
        while (!ReferenceEquals(limiting.Memory, full))
        {
            limiting = limiting.Parent!;
        }

        return limiting;
    }

    private enum ChargeVerdict
    {
        Retry,
        Fail,
        Force,
    }

    private struct ChargeAttempt
    {
        public bool WasCounted;
        public bool Drained;
        public bool PassedOom;
        public int Retries;
    }
}
