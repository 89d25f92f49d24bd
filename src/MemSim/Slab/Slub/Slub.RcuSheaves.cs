namespace MemSim.Slab;

/// <content>Objects that are freed after a grace period: they gather in a sheaf of their CPU, which goes to the barn as a full one when the grace period has ended.</content>
/// <remarks>Kernel 6.18 and later: <c>__kfree_rcu_sheaf()</c>, <c>rcu_free_sheaf()</c>. No recording shows the order, because these frees leave no event; it follows the public descriptions of the change.</remarks>
internal sealed partial class Slub
{
    /// <summary>Puts an object into the CPU's sheaf for <c>kfree_rcu()</c>; a full one begins to wait.</summary>
    /// <returns>Whether it went there: of another node's slab, or without an empty sheaf, it does not.</returns>
    public override bool FreeAfterGrace(Cpu cpu, KmemCache cache, int head, uint index)
    {
        ref SlabPage slab = ref _memory[head];
        if (SheavesOf(cache) is not { } sheaves || slab.ArrayNode != cpu.Node.Id)
        {
            return false;
        }

        ref ArrayCache gathering = ref sheaves.RcuFreeOf(cpu.Id);
        if (gathering.IsNull)
        {
            ArrayCache empty = TakeForRcu(cpu, sheaves);
            if (empty.IsNull)
            {
                return false;
            }

            // Having got it may have freed objects of this cache.
            gathering = empty;
        }

        gathering.Push(slab.AddressOf(index), slab.Links.At(index));
        if (gathering.Avail == gathering.Limit)
        {
            ArrayCache full = gathering;
            gathering = default;
            Await(cache, sheaves, full, cpu.Node.Id);
        }

        return true;
    }

    /// <summary>Ends the grace periods that ended by a time, or all, the unfinished sheaves' too: the sheaves go to their barns, or are flushed where those are full.</summary>
    public override void EndGrace(Cpu cpu, KmemCache cache, long now, bool all)
    {
        if (SheavesOf(cache) is not { } sheaves)
        {
            return;
        }

        for (int i = 0; all && i < _machine.Cpus.Count; i++)
        {
            ref ArrayCache gathering = ref sheaves.RcuFreeOf(i);
            if (!gathering.IsNull)
            {
                ArrayCache partly = gathering;
                gathering = default;
                Await(cache, sheaves, partly, _machine.Cpus[i].Node.Id);
            }
        }

        for (ArrayCache sheaf = sheaves.TakeWaiting(all ? long.MaxValue : now); !sheaf.IsNull; sheaf = sheaves.TakeWaiting(all ? long.MaxValue : now))
        {
            SheafBarn? barn = sheaf.Node == SlabPage.NoNode ? null : sheaves.Barns[sheaf.Node];
            if (barn is not null && sheaf.Avail != 0 && barn.FullCount < SheafCache.MaxFullSheaves)
            {
                barn.PutFull(sheaf);
                sheaves.Counted(SheafEvent.BarnPut);
                continue;
            }

            if (barn is not null)
            {
                sheaves.Counted(SheafEvent.BarnPutFail);
            }

            FlushSheaf(cpu, cache, sheaves, sheaf);
            if (barn is not null && barn.EmptyCount < SheafCache.MaxEmptySheaves)
            {
                barn.PutEmpty(sheaf);
            }
            else
            {
                sheaves.GiveEmpty(cpu, sheaf);
            }
        }
    }

    public override bool Furnish(Cpu cpu, KmemCache cache) => SheavesOf(cache) is not { } sheaves || sheaves.Furnish(cpu);

    public override void Settle(Cpu cpu) => _homes.Settle(cpu);

    public override void AddOwnObjects(KmemCache cache, HashSet<ulong> addresses) => SheavesOf(cache)?.AddHomes(addresses);

    private ArrayCache TakeForRcu(Cpu cpu, SheafCache sheaves)
    {
        ref ArrayCache spare = ref sheaves.SpareOf(cpu.Id);
        if (!spare.IsNull && spare.Avail == 0)
        {
            ArrayCache empty = spare;
            spare = default;
            return empty;
        }

        ArrayCache ofBarn = sheaves.Barns[cpu.Node.Id].TakeEmpty();
        return !ofBarn.IsNull ? ofBarn : sheaves.TakeEmpty(cpu, SheafMemory.NoWait(_machine));
    }

    private void Await(KmemCache cache, SheafCache sheaves, ArrayCache sheaf, int node)
    {
        sheaf.Node = node;
        sheaf.Due = _machine.Clock.Nanoseconds + RcuFrees.GracePeriod;
        sheaves.List(sheaves.Waiting, sheaf);
        _allocator.Rcu.Note(cache);
    }
}
