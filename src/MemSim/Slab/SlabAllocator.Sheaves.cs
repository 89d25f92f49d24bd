using MemSim.Kernels;
using MemSim.Slab;

namespace MemSim;

/// <content>Objects that wait for a grace period, and sheaves that are lent: the checks.</content>
public sealed partial class SlabAllocator
{
    internal void FreeAfterGrace(Cpu cpu, VirtualAddress obj)
    {
        Machine.ThrowIfDisposed();
        Machine.CpuTable.RefuseReentry();
        if (obj.Value <= ZeroSizePointer.Value)
        {
            return;
        }

        int head = Memory.SlabAt(obj.Value);
        ulong pfn = (obj.Value - Memory.FrameZero) >> PageGeometry.PageShift;
        if (head == 0)
        {
            if (pfn < Memory.Frames && LargeObjects.Is(Machine, (int)pfn) && (obj.Value & (PageGeometry.PageSize - 1)) == 0)
            {
                KeepForRcu(cpu, null, 0, obj);
            }
            else
            {
                Debug.NotAnObject(cpu, obj, "kfree_rcu");
            }

            return;
        }

        KmemCache cache = CacheOf(Memory[head].Cache);
        if (!Memory[head].TryIndex(obj.Value, out uint index) || Memory[head].Links[index] != SlabPage.Allocated)
        {
            RefuseFree(cpu, cache, obj, "kfree_rcu", twice: false);
        }
        else if (!Backend.FreeAfterGrace(cpu, cache, head, index))
        {
            KeepForRcu(cpu, cache, head, obj);
        }
    }

    internal SlabSheaf? Prefill(Cpu cpu, KmemCache cache, Gfp gfp, int count)
    {
        if (!IsUsable(cpu, cache, "kmem_cache_prefill_sheaf"))
        {
            return null;
        }

        if (Rules.SlabLine.Sheaves == SheafRule.None || Backend is not Slub)
        {
            throw new InvalidOperationException($"kmem_cache_prefill_sheaf: there are no sheaves in {Machine.Personality.Name} with slab_allocator={Implementation}; they came with 6.18");
        }

        return !MayAllocate(cpu, gfp, "kmem_cache_prefill_sheaf") || Fails(cpu, cache, gfp) ? null : Backend.Prefill(cpu, cache, gfp, count);
    }

    internal VirtualAddress TakeOfPrefilled(Cpu cpu, SlabSheaf sheaf, Gfp gfp)
    {
        if (!IsLent(cpu, sheaf, "kmem_cache_alloc_from_sheaf") || sheaf.Count == 0)
        {
            return default;
        }

        VirtualAddress obj = new(Backend.TakeOfPrefilled(sheaf));
        if (ZeroesNew(sheaf.Cache, gfp))
        {
            SlabContents.Fill(Machine, obj.Value, sheaf.Cache.ObjectSize, 0);
        }

        Trace?.KmemCacheAlloc(cpu, cpu.CurrentCallSite, obj, sheaf.Cache, gfp, -1);
        return obj;
    }

    internal bool RefillPrefilled(Cpu cpu, SlabSheaf sheaf, Gfp gfp, int count) =>
        IsLent(cpu, sheaf, "kmem_cache_refill_sheaf") && MayAllocate(cpu, gfp, "kmem_cache_refill_sheaf") && !Fails(cpu, sheaf.Cache, gfp) && Backend.Refill(cpu, gfp, sheaf, count);

    internal void TakeBack(Cpu cpu, SlabSheaf sheaf, Gfp gfp)
    {
        if (IsLent(cpu, sheaf, "kmem_cache_return_sheaf"))
        {
            Backend.TakeBack(cpu, gfp, sheaf);
            sheaf.IsReturned = true;
            sheaf.Count = 0;
        }
    }

    private bool IsLent(Cpu cpu, SlabSheaf sheaf, string what)
    {
        Machine.ThrowIfDisposed();
        ArgumentNullException.ThrowIfNull(sheaf);
        if (!IsUsable(cpu, sheaf.Cache, what))
        {
            return false;
        }

        if (sheaf.IsReturned)
        {
            Machine.Bugs.Raise(KernelBugKind.NotAllocated, $"BUG: {what}: the sheaf of {sheaf.Cache.Name} was given back", $"CPU: {cpu.Id}\n");
            return false;
        }

        return true;
    }

    private void KeepForRcu(Cpu cpu, KmemCache? cache, int head, VirtualAddress obj)
    {
        if (Rcu.Keep(obj.Value))
        {
            return;
        }

        if (cache is null)
        {
            Debug.NotAnObject(cpu, obj, "kfree_rcu");
        }
        else
        {
            Debug.DoubleFree(cpu, cache, head, obj, "kfree_rcu");
        }
    }
}
