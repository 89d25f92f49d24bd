using MemSim.Cgroups;
using MemSim.Lru;

namespace MemSim.Reclaim;

/// <content>Reclaim of a cgroup and those below it, and what protects them.</content>
internal sealed partial class PageReclaim : ICgroupReclaim
{
    /// <inheritdoc/>
    public long Reclaim(Cpu cpu, Cgroup cgroup, long pages, Gfp gfp, int? swappiness = null, bool proactive = false)
    {
        cpu.Context.MightSleep("try_to_free_mem_cgroup_pages");
        cpu.Current.NoteRan();
        long before = _machine.Clock.Nanoseconds;
        using (cpu.Context.MemAlloc())
        {
            ScanControl sc = Rent();
            try
            {
                // Any page of the cgroup will do, wherever it lies.
                sc.Start(gfp, 0, _machine.Architecture.ZoneTypes.Count - 1, Math.Max(pages, ScanControl.ClusterPages), isKswapd: false);
                sc.Target = cgroup.Id;
                sc.Swappiness = swappiness;
                sc.IsProactive = proactive;
                return FreeOfCgroup(cpu, cgroup.Id, sc);
            }
            finally
            {
                Return(sc);
                NoteCgroupStall(cpu, _machine.Clock.Nanoseconds - before);
            }
        }
    }

    /// <inheritdoc/>
    public bool OutOfMemory(Cpu cpu, Cgroup cgroup, Gfp gfp, int order)
    {
        _machine.Background.SharedTime?.ReportOutOfMemory(cpu);
        return OomKiller?.OutOfMemory(cpu, cgroup, gfp, order) ?? false;
    }

    /// <inheritdoc/>
    public void DrainLists(Cpu cpu) => _lru.DrainAll(cpu);

    /// <summary>From priority 12 to 0 until enough is reclaimed.</summary>
    private long FreeOfCgroup(Cpu cpu, int cgroup, ScanControl sc)
    {
        do
        {
            do
            {
                NoteDepth(sc);
                sc.Scanned = 0;
                ShrinkNodes(cpu, sc);
                if (sc.Reclaimed >= sc.ToReclaim)
                {
                    break;
                }

                sc.MayWrite |= sc.Priority < ScanControl.DefaultPriority - 2;
            }
            while (--sc.Priority >= 0);

            for (int node = 0; node < _nodes.Length; node++)
            {
                LruVec vec = _lru.VecOf(node, cgroup)!;
                vec.SnapshotRefaults();
                vec.Congested = false;
            }
        }
        while (sc.Reclaimed == 0 && TryHarder(sc));

        return sc.Reclaimed;
    }

    /// <summary>Nothing was found: what was spared so far is tried next.</summary>
    /// <returns>False when nothing is left to try.</returns>
    private bool TryHarder(ScanControl sc)
    {
        if (_lru.HasCgroups && !_machine.Personality.Cgroups.WalksWholeTree && !sc.WalksAll)
        {
            // Others may have walked the rest of the tree meanwhile.
            sc.WalksAll = true;
        }
        else if (sc.SkippedDeactivate)
        {
            sc.ForceDeactivate = true;
            sc.SkippedDeactivate = false;
        }
        else if (sc.SkippedLow)
        {
            sc.ForceDeactivate = false;
            sc.TakesLow = true;
            sc.SkippedLow = false;
        }
        else
        {
            return false;
        }

        sc.Priority = ScanControl.DefaultPriority;
        return true;
    }

    private void ShrinkNodes(Cpu cpu, ScanControl sc)
    {
        Node? last = null;
        Zone[] zones = cpu.Lists.Zonelists[0].Zones;
        for (int i = 0; i < zones.Length; i++)
        {
            if (zones[i].Node != last)
            {
                last = zones[i].Node;
                ShrinkNode(cpu, StateOf(last), sc);
            }
        }
    }

    /// <summary>Where a pass begins: at the top, or behind the place where an earlier one had enough.</summary>
    private LruVec FirstLists(LruVec target, ScanControl sc)
    {
        sc.IsPartial = _lru.HasCgroups && !sc.IsKswapd && !sc.WalksAll && !sc.TakesLow && !_machine.Personality.Cgroups.WalksWholeTree;
        return sc.IsPartial && target.WalkPosition is { IsGone: false } position ? position.NextBelow(target) ?? target : target;
    }

    /// <summary>Whether protection keeps reclaim from a cgroup now (<c>mem_cgroup_below_min()</c>, <c>mem_cgroup_below_low()</c>).</summary>
    private bool IsProtected(LruVec vec, ScanControl sc)
    {
        if (vec.CgroupId == 0)
        {
            return false;
        }

        Cgroup cgroup = _machine.Cgroups.Of(vec.CgroupId);
        cgroup.ComputeProtection(_machine.Cgroups.Of(sc.Target ?? 0));
        if (cgroup.IsBelowMin)
        {
            return true;
        }

        if (!cgroup.IsBelowLow)
        {
            return false;
        }

        if (sc.IsGlobal && _lru.ByGeneration && _machine.Personality.Reclaim.SparesLowOnce)
        {
            ref CgroupPlace place = ref vec.Rotation;
            place.IsAtTail = !place.IsAtTail;
            if (!place.IsAtTail)
            {
                cgroup.Raise(CgroupEvent.Low);
            }

            return place.IsAtTail;
        }

        if (!sc.TakesLow)
        {
            sc.SkippedLow = true;
            return true;
        }

        cgroup.Raise(CgroupEvent.Low);
        return false;
    }

    /// <summary>How much of a list is open to reclaim: the more a cgroup exceeds its protection, the more (<c>get_scan_count()</c>).</summary>
    private long Unprotected(LruVec vec, long pages, ScanControl sc)
    {
        Cgroup cgroup = _machine.Cgroups.Of(vec.CgroupId);
        if (cgroup.EffectiveMin == 0 && cgroup.EffectiveLow == 0)
        {
            return pages;
        }

        long protection = cgroup.EffectiveMin;
        if (!sc.TakesLow && cgroup.EffectiveLow > cgroup.EffectiveMin)
        {
            protection = cgroup.EffectiveLow;
            sc.SkippedLow = true;
        }

        long size = Math.Max(cgroup.Memory.Usage, protection);
        return Math.Max(pages - (long)((Int128)pages * protection / (size + 1)), ScanControl.ClusterPages);
    }

    private bool IsOnline(LruVec vec) => vec.CgroupId == 0 || !_machine.Cgroups.Of(vec.CgroupId).IsRemoved;

    private void NoteCgroupStall(Cpu cpu, long nanoseconds)
    {
        if (_machine.Hooks.Charges is not null)
        {
            _machine.Cgroups.NoteStall(_machine.Cgroups.Of(cpu), nanoseconds);
        }
    }
}
