using MemSim.Cgroups;

namespace MemSim;

/// <content>Limits, and what lowering them does.</content>
public sealed partial class Cgroup
{
    /// <summary>Rounds without success before a limit is enforced by other means (<c>MAX_RECLAIM_RETRIES</c>).</summary>
    internal const int MaxRetries = 16;

    internal void SetMax(long pages, Cpu? on = null)
    {
        Memory.Max = pages;
        Cpu cpu = Tree.Machine.CpuTable.Own(on);
        int retries = MaxRetries;
        bool drained = false;
        while (Memory.Usage > pages)
        {
            if (!drained)
            {
                Tree.DrainStocks(this);
                drained = true;
                continue;
            }

            if (retries > 0)
            {
                retries -= Tree.Reclaimer?.Reclaim(cpu, this, Memory.Usage - pages, Gfp.Kernel) > 0 ? 0 : 1;
                continue;
            }

            Raise(CgroupEvent.Oom);
            if (Tree.Reclaimer?.OutOfMemory(cpu, this, Gfp.Kernel, 0) != true)
            {
                return;
            }
        }
    }

    /// <summary>Version 1's limit is refused when what is charged does not fit below it (<c>mem_cgroup_resize_max()</c>).</summary>
    internal Errno TrySetLimit(long pages, Cpu cpu)
    {
        bool drained = false;
        while (Memory.Usage > pages)
        {
            if (!drained)
            {
                Tree.DrainStocks(this);
                drained = true;
            }
            else if (Tree.Reclaimer?.Reclaim(cpu, this, 1, Gfp.Kernel) is not > 0)
            {
                return Errno.EBUSY;
            }
        }

        Memory.Max = pages;
        return Errno.None;
    }

    internal void SetHigh(long pages, Cpu? on = null)
    {
        Memory.High = pages;
        Cpu cpu = Tree.Machine.CpuTable.Own(on);
        bool drained = false;
        for (int retries = MaxRetries; Memory.Usage > pages && retries >= 0;)
        {
            if (!drained)
            {
                Tree.DrainStocks(this);
                drained = true;
                continue;
            }

            retries -= Tree.Reclaimer?.Reclaim(cpu, this, Memory.Usage - pages, Gfp.Kernel) > 0 ? 0 : 1;
        }
    }

    /// <summary>Reclaims because user space wants it (<c>memory.reclaim</c>).</summary>
    /// <returns>EAGAIN when less could be reclaimed.</returns>
    internal Errno ReclaimFor(Cpu cpu, long pages, int? swappiness)
    {
        long reclaimed = 0;
        int retries = MaxRetries;
        while (reclaimed < pages)
        {
            // The last attempt also finds what CPUs have put off.
            if (retries == 0)
            {
                Tree.Reclaimer?.DrainLists(cpu);
            }

            long left = pages - reclaimed;
            long now = Tree.Reclaimer?.Reclaim(cpu, this, Tree.Rules.ReclaimsInQuarters ? left / 4 : left, Gfp.Kernel, swappiness, proactive: true) ?? 0;
            if (now == 0 && retries-- == 0)
            {
                return Errno.EAGAIN;
            }

            reclaimed += now;
        }

        return Errno.None;
    }

    /// <summary>Pages that fit below the limits of this cgroup alone.</summary>
    internal long Margin => Math.Max(0, Memory.Max - Memory.Usage);

    /// <summary>Swap pages that this cgroup and those above may still use; the machine's own limit not counted.</summary>
    internal long SwapMargin
    {
        get
        {
            long margin = long.MaxValue;
            for (Cgroup? cgroup = this; cgroup is { IsRoot: false }; cgroup = cgroup.Parent)
            {
                margin = Math.Min(margin, cgroup.Swap.Max - cgroup.Swap.Usage);
            }

            return margin;
        }
    }

    /// <summary>Computes what protects a cgroup from reclaim that began at a cgroup above it (<c>page_counter_calculate_protection()</c>). Those between were computed before.</summary>
    internal void ComputeProtection(Cgroup top)
    {
        if (ReferenceEquals(this, top) || Parent is not { } parent || Memory.Usage == 0)
        {
            EffectiveMin = EffectiveLow = 0;
            return;
        }

        if (ReferenceEquals(parent, top))
        {
            EffectiveMin = MinPages;
            EffectiveLow = LowPages;
            return;
        }

        EffectiveMin = Share(MinPages, parent.EffectiveMin, parent, static c => c.MinPages);
        EffectiveLow = Share(LowPages, parent.EffectiveLow, parent, static c => c.LowPages);
    }

    /// <summary>Whether reclaim must leave it alone.</summary>
    internal bool IsBelowMin => Memory.Usage != 0 && EffectiveMin >= Memory.Usage;

    /// <summary>Whether reclaim leaves it alone while it finds others.</summary>
    internal bool IsBelowLow => Memory.Usage != 0 && EffectiveLow >= Memory.Usage;

    /// <summary>Its part of what protects the cgroup above: in proportion to what each of its siblings uses of its own protection, where they want more than there is.</summary>
    private long Share(long setting, long parentEffective, Cgroup parent, Func<Cgroup, long> settingOf)
    {
        long usage = Memory.Usage;
        long own = Math.Min(usage, setting);
        long siblings = 0;
        foreach (Cgroup child in parent.Below)
        {
            siblings += Math.Min(child.Memory.Usage, settingOf(child));
        }

        if (siblings > parentEffective)
        {
            return (long)((Int128)own * parentEffective / siblings);
        }

        long parentUsage = parent.Memory.Usage;
        if (!Tree.RecursiveProtection || parentEffective <= siblings || parentUsage <= siblings || usage <= own)
        {
            return own;
        }

        // What nobody claims goes to all, in proportion to what each has unprotected.
        return own + (long)((Int128)(parentEffective - siblings) * (usage - own) / (parentUsage - siblings));
    }
}
