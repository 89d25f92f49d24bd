namespace MemSim.Slab;

/// <content>Sheaves lent to who must not fail later: filled beforehand, taken from one object after another, given back with what is left.</content>
/// <remarks>
/// Kernel 6.18 and later: <c>kmem_cache_prefill_sheaf()</c> and its kin. No recording shows which sheaf is lent and where it goes afterwards; that follows the public descriptions of the
/// change. Where the cache has no sheaves (debugged ones; in 6.18 most) the objects are had in bulk and count as allocated.
/// </remarks>
internal sealed partial class Slub
{
    public override SlabSheaf? Prefill(Cpu cpu, KmemCache cache, Gfp gfp, int count)
    {
        if (SheavesOf(cache) is not { } sheaves)
        {
            SlabSheaf lent = new(cache, default);
            if (!_homes.TryTake(cpu, cache, count, gfp, out ulong home))
            {
                return null;
            }

            lent.Home = home;
            if (HaveMore(cpu, gfp, lent, count))
            {
                return lent;
            }

            _homes.Give(cpu, home);
            return null;
        }

        ArrayCache sheaf = count > cache.SheafCapacity ? sheaves.TakeEmpty(cpu, gfp, count) : TakeForLending(cpu, sheaves, gfp);
        if (sheaf.IsNull || (sheaf.Avail < count && !Fill(cpu, cache, sheaves, sheaf, gfp)))
        {
            GiveBack(cpu, cache, sheaves, sheaf);
            return null;
        }

        sheaves.List(sheaves.Lent, sheaf);
        return new SlabSheaf(cache, sheaf) { Count = sheaf.Avail };
    }

    public override bool Refill(Cpu cpu, Gfp gfp, SlabSheaf sheaf, int count)
    {
        if (sheaf.Count >= count)
        {
            return true;
        }

        if (SheavesOf(sheaf.Cache) is not { } sheaves)
        {
            return HaveMore(cpu, gfp, sheaf, count);
        }

        ArrayCache own = sheaf.Sheaf;
        if (own.Limit >= count)
        {
            // Anything less than a full sheaf is a failure, also where it would do.
            bool filled = Fill(cpu, sheaf.Cache, sheaves, own, gfp);
            sheaf.Count = own.Avail;
            return filled;
        }

        if (Prefill(cpu, sheaf.Cache, gfp, count) is not { } larger)
        {
            return false;
        }

        TakeBack(cpu, gfp, sheaf);
        (sheaf.Sheaf, sheaf.Count) = (larger.Sheaf, larger.Count);
        return true;
    }

    public override ulong TakeOfPrefilled(SlabSheaf sheaf)
    {
        if (sheaf.Sheaf.IsNull)
        {
            ulong last = sheaf.Objects[^1].Value;
            sheaf.Objects.RemoveAt(sheaf.Objects.Count - 1);
            sheaf.Count = sheaf.Objects.Count;
            return last;
        }

        ArrayCache own = sheaf.Sheaf;
        ulong address = own.Pop();
        sheaf.Count = own.Avail;
        return address;
    }

    public override void TakeBack(Cpu cpu, Gfp gfp, SlabSheaf sheaf)
    {
        KmemCache cache = sheaf.Cache;
        if (SheavesOf(cache) is not { } sheaves)
        {
            foreach (VirtualAddress obj in sheaf.Objects)
            {
                _allocator.FreeOwn(cpu, obj, "kmem_cache_return_sheaf");
            }

            sheaf.Objects.Clear();
            _homes.Give(cpu, sheaf.Home);
            return;
        }

        ArrayCache own = sheaf.Sheaf;
        _ = sheaves.Unlist(sheaves.Lent, own);
        if (own.Limit == cache.SheafCapacity)
        {
            ref ArrayCache spare = ref sheaves.SpareOf(cpu.Id);
            if (spare.IsNull)
            {
                spare = own;
                return;
            }

            SheafBarn barn = sheaves.Barns[cpu.Node.Id];
            if (barn.FullCount < SheafCache.MaxFullSheaves && Fill(cpu, cache, sheaves, own, gfp | Gfp.NoMemAlloc | Gfp.NoWarn))
            {
                barn.PutFull(own);
                sheaves.Counted(SheafEvent.BarnPut);
                return;
            }
        }

        GiveBack(cpu, cache, sheaves, own);
    }

    /// <summary>A sheaf to lend: the CPU's spare if it holds something, one of the barn, a full one rather than an empty one, or a new one.</summary>
    private static ArrayCache TakeForLending(Cpu cpu, SheafCache sheaves, Gfp gfp)
    {
        ref ArrayCache spare = ref sheaves.SpareOf(cpu.Id);
        if (!spare.IsNull && spare.Avail != 0)
        {
            ArrayCache held = spare;
            spare = default;
            return held;
        }

        SheafBarn barn = sheaves.Barns[cpu.Node.Id];
        ArrayCache sheaf = barn.TakeFull();
        sheaf = !sheaf.IsNull ? sheaf : barn.TakeEmpty();
        return !sheaf.IsNull ? sheaf : sheaves.TakeEmpty(cpu, gfp);
    }

    private void GiveBack(Cpu cpu, KmemCache cache, SheafCache sheaves, ArrayCache sheaf)
    {
        if (!sheaf.IsNull)
        {
            FlushSheaf(cpu, cache, sheaves, sheaf);
            sheaves.GiveEmpty(cpu, sheaf);
        }
    }

    private bool HaveMore(Cpu cpu, Gfp gfp, SlabSheaf sheaf, int count)
    {
        VirtualAddress[] more = new VirtualAddress[count - sheaf.Count];
        if (_allocator.AllocBulk(cpu, sheaf.Cache, gfp, more) < more.Length)
        {
            return false;
        }

        sheaf.Objects.AddRange(more);
        sheaf.Count = sheaf.Objects.Count;
        return true;
    }
}
