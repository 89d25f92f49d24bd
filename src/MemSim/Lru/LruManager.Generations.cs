using MemSim.Pages;

namespace MemSim.Lru;

/// <content>Pages kept by generation.</content>
internal sealed partial class LruManager
{
    /// <summary>Generation and accesses of each frame.</summary>
    public PageAges Ages { get; }

    /// <summary>Whether the kernel can keep pages by generation.</summary>
    public bool HasGenerations { get; }

    /// <summary>Whether it does.</summary>
    public bool ByGeneration { get; private set; }

    /// <summary>The root's lists of all nodes.</summary>
    public IReadOnlyList<LruVec> Vectors => _vecs;

    /// <summary>Switches between generations and active and inactive lists; all pages on lists move over (<c>lru_gen_change_state()</c>).</summary>
    public void SwitchTo(bool byGeneration)
    {
        if (byGeneration == ByGeneration)
        {
            return;
        }

        Ages.Make();
        ByGeneration = byGeneration;
        foreach (LruVec vec in AllVecs())
        {
            vec.Enter();
            if (byGeneration)
            {
                vec.ByGeneration = true;
                Fill(vec);
            }
            else
            {
                vec.ByGeneration = false;
                Drain(vec);
            }

            vec.Exit();
        }
    }

    /// <summary>A page fault begins: pages that it brings were used, if use says something about use to come (<c>lru_gen_enter_fault()</c>).</summary>
    public void EnterFault(Cpu cpu, bool tellsUse) => _batches[cpu.Id].InFault = tellsUse;

    /// <summary>It ends.</summary>
    public void ExitFault(Cpu cpu) => _batches[cpu.Id].InFault = false;

    /// <summary>A page was found used through page tables (<c>folio_update_gen()</c>).</summary>
    public void Promote(LruVec vec, int pfn)
    {
        ref PageFrame frame = ref _frames[pfn];
        vec.Enter();
        vec.Generations!.Promote(ref frame, pfn, _zones[frame.ZoneId], LruGenerations.Slot(vec.Generations.MaxSequence));
        vec.Exit();
    }

    /// <summary>Reclaim on a CPU has a walk of page tables at hand, or not any more (<c>set_mm_walk()</c>).</summary>
    public void SetWalk(Cpu cpu, bool hasWalk) => _batches[cpu.Id].HasWalk = hasWalk;

    /// <summary>A page was found used beside one that reclaim asked about: without a walk at hand it is activated by way of the CPU's batch, from 6.18 on when it is found so a second time.</summary>
    public void NoteAround(Cpu cpu, LruVec vec, int pfn)
    {
        if (_batches[cpu.Id].HasWalk)
        {
            Promote(vec, pfn);
            return;
        }

        ref PageFrame frame = ref _frames[pfn];
        if (vec.Generations!.Accesses.HasWorkingSetTier)
        {
            if (!NoteUse(ref frame, pfn))
            {
                return;
            }
        }
        else if (Ages.Generation(pfn) < 0)
        {
            SetFlags(ref frame, PageFlags.Referenced);
            return;
        }

        if (Ages.Generation(pfn) is >= 0 and var slot && slot != LruGenerations.Slot(vec.Generations.MaxSequence))
        {
            Activate(cpu, pfn);
        }
    }

    /// <summary>Use that reclaim found in page tables, of an isolated page: the first time it is kept, then it belongs to the working set (<c>lru_gen_set_refs()</c>).</summary>
    /// <returns>Whether it belongs to the working set.</returns>
    public bool NoteUse(ref PageFrame frame, int pfn)
    {
        if (!frame.Has(PageFlags.Referenced | PageFlags.WorkingSet))
        {
            Ages.SetAccesses(pfn, 0);
            SetFlags(ref frame, PageFlags.Referenced);
            return false;
        }

        Ages.SetAccesses(pfn, 0);
        ClearFlags(ref frame, PageFlags.Referenced);
        SetFlags(ref frame, PageFlags.WorkingSet);
        return true;
    }

    /// <summary>Drops the reference of a failed isolation: somebody else holds one.</summary>
    internal void DropIsolation(int pfn) => _table.AddReferences(pfn, -1);

    /// <summary>Puts pages that were skipped back at the front of the list they come from.</summary>
    internal void Unpark(int parked, int head, Zone zone, long pages)
    {
        _machine.Events.CountSkips(zone.Type, pages);
        SpliceAtFront(parked, head);
    }

    /// <summary>Gives new lists their generations, where the kernel has them.</summary>
    private void BeginGenerations(LruVec vec)
    {
        if (HasGenerations)
        {
            vec.Generations = new LruGenerations(vec, _frames, Ages, _machine.Personality.Reclaim, vec.Head(LruList.InactiveAnon) + LruVec.ListHeads, _parallel);
            vec.Generations.Begin(_machine.Background.NowNanoseconds);
            vec.ByGeneration = ByGeneration;
        }
    }

    private void NoteAccess(ref PageFrame frame, int pfn)
    {
        LruVec vec = OfPage(pfn);
        vec.Enter();
        vec.Generations!.Accesses.Note(ref frame, pfn);
        vec.Exit();
    }

    /// <summary>Forgets that a page was used (<c>lru_gen_clear_refs()</c>).</summary>
    /// <returns>Whether that is all there is to do: it is in the oldest generation, or in none.</returns>
    private bool ForgetAccesses(int pfn)
    {
        ref PageFrame frame = ref _frames[pfn];
        LruVec vec = OfPage(pfn);
        LruGenerations generations = vec.Generations!;
        vec.Enter();
        int slot = Ages.Generation(pfn);
        if (slot >= 0)
        {
            generations.Accesses.Forget(ref frame, pfn);
        }

        bool oldest = slot < 0 || slot == LruGenerations.Slot(generations.MinSequence(LruGenerations.KindOf(frame)));
        vec.Exit();
        return oldest;
    }

    private static long ShadowByGeneration(LruVec vec, ref PageFrame frame, int pfn)
    {
        vec.Enter();
        long token = GenerationShadows.Evict(vec.Generations!, frame, pfn);
        bool workingset = frame.IsWorkingset;
        vec.Exit();
        return (token << AgeShift) | ((long)vec.CgroupId << CgroupShift) | ((long)vec.Index << NodeShift) | (workingset ? 2L : 0) | 1;
    }

    private void RefaultByGeneration(Cpu cpu, LruVec vec, LruVec evictedFrom, ref PageFrame frame, int pfn, long shadow)
    {
        if (vec != evictedFrom)
        {
            return;
        }

        bool file = !frame.IsSwapBacked;
        long pages = 1L << frame.Order;
        NodeCounters counters = vec.Node.Counters;
        long token = shadow >> AgeShift;
        if (vec.Generations!.OnlyOldestRefaults && !GenerationShadows.IsOfOldest(vec.Generations!, frame, token, AgeMask))
        {
            return;
        }

        vec.Enter();
        counters.WorkingsetRefaultAnon += file ? 0 : pages;
        counters.WorkingsetRefaultFile += file ? pages : 0;
        vec.Counters.Add(file ? LruVecCount.RefaultFile : LruVecCount.RefaultAnon, pages);
        if (GenerationShadows.IsRecent(vec.Generations!, token, AgeMask))
        {
            bool restored = GenerationShadows.Refault(vec.Generations!, Ages, frame, pfn, token, (shadow & 2) != 0, _batches[cpu.Id].InFault, out bool activated);
            if (restored)
            {
                SetFlags(ref frame, PageFlags.WorkingSet);
            }

            counters.WorkingsetActivateAnon += activated && !file ? pages : 0;
            counters.WorkingsetActivateFile += activated && file ? pages : 0;
            counters.WorkingsetRestoreAnon += restored && !file ? pages : 0;
            counters.WorkingsetRestoreFile += restored && file ? pages : 0;
            vec.Counters.Add(file ? LruVecCount.ActivateFile : LruVecCount.ActivateAnon, activated ? pages : 0);
            vec.Counters.Add(file ? LruVecCount.RestoreFile : LruVecCount.RestoreAnon, restored ? pages : 0);
        }

        vec.Exit();
    }

    /// <summary>Takes the pages of the active and inactive lists over, the oldest first (<c>fill_evictable()</c>).</summary>
    private void Fill(LruVec vec)
    {
        for (LruList list = LruList.InactiveAnon; list < LruList.Unevictable; list++)
        {
            int head = vec.Head(list);
            while (!_frames.IsEmpty(head))
            {
                int pfn = _frames[head].Prev;
                ref PageFrame frame = ref _frames[pfn];
                Zone zone = _zones[frame.ZoneId];
                _frames.Remove(pfn);
                vec.Count(zone, list, -(1L << frame.Order));
                vec.Add(ref frame, pfn, zone);
            }
        }
    }

    /// <summary>Gives all pages back to the active and inactive lists (<c>drain_evictable()</c>).</summary>
    private void Drain(LruVec vec)
    {
        for (int slot = 0; slot < LruGenerations.MaxGenerations; slot++)
        {
            for (int kind = 0; kind < LruGenerations.Kinds; kind++)
            {
                for (int zone = 0; zone < vec.Node.Zones.Count; zone++)
                {
                    int head = vec.Generations!.Head(slot, kind, zone);
                    while (!_frames.IsEmpty(head))
                    {
                        int pfn = _frames[head].Prev;
                        ref PageFrame frame = ref _frames[pfn];
                        vec.Generations.Remove(ref frame, pfn, vec.Node.Zones[zone]);
                        vec.Add(ref frame, pfn, vec.Node.Zones[zone]);
                    }
                }
            }
        }
    }
}
