using System.Diagnostics;
using MemSim.Pages;

namespace MemSim;

/// <content>Slab objects of a cgroup's tasks: charged by their bytes, in pages (<c>struct obj_cgroup</c>).</content>
public sealed partial class CgroupTree
{
    /// <summary>Each object has room for the name of who pays for it.</summary>
    private const int OwnerBytes = 8;

    // Guards itself: whose an object is.
    private readonly Dictionary<ulong, ChargedObject> _objects = [];
    private readonly ObjectStock[] _objectStocks;

    /// <summary>Charges an object that is about to be allocated (<c>memcg_slab_pre_alloc_hook()</c>).</summary>
    /// <returns>False when the limit does not allow it.</returns>
    internal bool TryChargeObject(Cpu cpu, KmemCache cache, Gfp gfp)
    {
        Cgroup cgroup = Of(cpu);
        return cgroup.IsRoot || TryChargeBytes(cpu, cgroup, cache.Size + OwnerBytes, gfp);
    }

    /// <summary>Remembers who pays for an object.</summary>
    internal void NoteObject(Cpu cpu, KmemCache cache, VirtualAddress obj)
    {
        Cgroup cgroup = Of(cpu);
        if (cgroup.IsRoot)
        {
            return;
        }

        ChargedObject charged = new(cgroup, cache.Size + OwnerBytes, (cache.Flags & SlabFlags.ReclaimAccount) != 0);
        lock (_objects)
        {
            _objects[obj.Value] = charged;
        }

        charged.Count(1);
    }

    /// <summary>The allocation failed after all.</summary>
    internal void TakeBackObject(Cpu cpu, KmemCache cache)
    {
        Cgroup cgroup = Of(cpu);
        if (!cgroup.IsRoot)
        {
            RefillBytes(cpu, cgroup, cache.Size + OwnerBytes, mayUncharge: true);
        }
    }

    /// <summary>An object is freed (<c>memcg_slab_free_hook()</c>).</summary>
    internal void UnchargeObject(Cpu cpu, VirtualAddress obj)
    {
        ChargedObject charged;
        lock (_objects)
        {
            if (!_objects.Remove(obj.Value, out charged))
            {
                return;
            }
        }

        charged.Count(-1);
        RefillBytes(cpu, charged.Cgroup, charged.Bytes, mayUncharge: true);
    }

    /// <summary>Bytes of a cgroup that CPUs have charged ahead for objects.</summary>
    internal long ObjectStockOf(Cgroup cgroup)
    {
        long bytes = cgroup.LooseBytes;
        foreach (ObjectStock stock in _objectStocks)
        {
            bytes += ReferenceEquals(stock.Owner, cgroup) ? stock.Bytes : 0;
        }

        return bytes;
    }

    private bool TryChargeBytes(Cpu cpu, Cgroup cgroup, long bytes, Gfp gfp)
    {
        ref ObjectStock stock = ref _objectStocks[cpu.Id];
        if (ReferenceEquals(stock.Owner, cgroup) && stock.Bytes >= bytes)
        {
            stock.Bytes -= bytes;
            return true;
        }

        long pages = (bytes + PageGeometry.PageSize - 1) >> PageGeometry.PageShift;
        if (!TryChargePages(cpu, cgroup, pages, gfp))
        {
            return false;
        }

        cgroup.SlabPages += pages;
        cgroup.KernelPages += pages;
        long left = (pages << PageGeometry.PageShift) - bytes;
        if (left != 0)
        {
            RefillBytes(cpu, cgroup, left, mayUncharge: false);
        }

        return true;
    }

    private void RefillBytes(Cpu cpu, Cgroup cgroup, long bytes, bool mayUncharge)
    {
        ref ObjectStock stock = ref _objectStocks[cpu.Id];
        if (!ReferenceEquals(stock.Owner, cgroup))
        {
            DrainObjects(cpu, ref stock);
            stock.Owner = cgroup;
            stock.Bytes = cgroup.LooseBytes;
            cgroup.LooseBytes = 0;
            mayUncharge = true;
        }

        stock.Bytes += bytes;
        if (mayUncharge && stock.Bytes > PageGeometry.PageSize)
        {
            long pages = stock.Bytes >> PageGeometry.PageShift;
            stock.Bytes &= PageGeometry.PageSize - 1;
            UnchargeSlabPages(cpu, cgroup, pages);
        }
    }

    private void DrainObjects(Cpu? cpu, ref ObjectStock stock)
    {
        if (stock.Owner is not { } owner)
        {
            return;
        }

        long pages = stock.Bytes >> PageGeometry.PageShift;
        if (pages != 0)
        {
            UnchargeSlabPages(cpu, owner, pages);
        }

        owner.LooseBytes += stock.Bytes & (PageGeometry.PageSize - 1);
        stock = default;

        // What is left over of several CPUs may make a page again.
        pages = owner.LooseBytes >> PageGeometry.PageShift;
        if (pages != 0)
        {
            owner.LooseBytes &= PageGeometry.PageSize - 1;
            UnchargeSlabPages(cpu, owner, pages);
        }
    }

    private void DrainObjects(Cgroup top)
    {
        for (int i = 0; i < _objectStocks.Length; i++)
        {
            if (_objectStocks[i].Owner is { } owner && owner.IsBelow(top))
            {
                DrainObjects(null, ref _objectStocks[i]);
            }
        }
    }

    private void UnchargeSlabPages(Cpu? cpu, Cgroup cgroup, long pages)
    {
        Debug.Assert(cgroup.SlabPages >= pages, "no more is given back than was charged");
        cgroup.SlabPages -= pages;
        cgroup.KernelPages -= pages;
        if (cpu is null)
        {
            cgroup.Memory.Uncharge(pages);
        }
        else
        {
            Refill(cpu, cgroup, pages);
        }
    }

    /// <summary>A cgroup goes: the kernel memory of its tasks is charged to the one above from now on (<c>memcg_reparent_objcgs()</c>).</summary>
    private void LeaveKernelMemory(Cgroup cgroup)
    {
        Cgroup parent = cgroup.Parent!;
        lock (_objects)
        {
            foreach ((ulong address, ChargedObject charged) in _objects.Where(pair => ReferenceEquals(pair.Value.Cgroup, cgroup)).ToList())
            {
                charged.Count(-1);
                ChargedObject moved = charged with { Cgroup = parent };
                moved.Count(1);
                _objects[address] = moved;
            }
        }

        LeaveCompressed(cgroup, parent);
        parent.LooseBytes += cgroup.LooseBytes;
        parent.SlabPages += cgroup.SlabPages;
        long pages = cgroup.KernelPages;
        if (cgroup.KernelPages != cgroup.SlabPages)
        {
            LeaveFrames(cgroup, parent);
        }

        parent.KernelPages += pages;
        cgroup.KernelPages = cgroup.SlabPages = cgroup.LooseBytes = 0;
        cgroup.Memory.LeaveToParent(pages);
    }

    /// <summary>The first frame from one on that is charged; -1 when there is none.</summary>
    internal int NextCharged(int pfn) => _charges?.Next(pfn) ?? -1;

    private void LeaveFrames(Cgroup cgroup, Cgroup parent)
    {
        FrameCgroups charges = _charges!;
        for (int pfn = charges.Next(0); pfn >= 0; pfn = charges.Next(pfn + 1))
        {
            if (charges[pfn] == cgroup.Id && charges.KindOf(pfn) is var kind and not ChargeKind.User)
            {
                long pages = 1L << Machine.Frames.Array[pfn].Order;
                charges.Set(pfn, parent.Id, kind);
                cgroup.ChargedFrames -= pages;
                parent.ChargedFrames += pages;
            }
        }
    }

    private struct ObjectStock
    {
        public Cgroup? Owner;
        public long Bytes;
    }

    private readonly record struct ChargedObject(Cgroup Cgroup, long Bytes, bool Reclaimable)
    {
        public void Count(int sign)
        {
            if (Reclaimable)
            {
                Cgroup.ReclaimableSlabBytes += sign * Bytes;
            }
            else
            {
                Cgroup.UnreclaimableSlabBytes += sign * Bytes;
            }
        }
    }
}
