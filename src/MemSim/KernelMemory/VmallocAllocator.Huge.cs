using MemSim.Hardware;
namespace MemSim.KernelMemory;

/// <content>Areas mapped with huge pages.</content>
internal sealed partial class VmallocAllocator
{
    private const int HugeOrder = PageGeometry.HugeOrder;
    private const int HugePages = 1 << HugeOrder;
    private const long HugeBytes = (long)HugePages << PageGeometry.PageShift;

    /// <summary>Tries 2 MiB pages; small ones where they do not exist, do not pay or are not to be had.</summary>
    public VirtualAddress AllocateHuge(Cpu cpu, long size, Gfp gfp, string caller)
    {
        // CONFIG_HAVE_ARCH_HUGE_VMALLOC
        bool possible = _machine.Architecture.Bits == 64 && size >= HugeBytes && !ExceedsTotal(size >> PageGeometry.PageShift);
        if (possible && Begin(cpu, "vmalloc_huge", isEmpty: false) && TryHuge(cpu, size, gfp, caller) is { IsNull: false } address)
        {
            return address;
        }

        return Allocate(cpu, size, gfp, -1, caller);
    }

    private VirtualAddress TryHuge(Cpu cpu, long size, Gfp gfp, string caller)
    {
        int pages = (int)((size + HugeBytes - 1) / HugeBytes) << HugeOrder;
        if (Reserve(cpu, pages, caller, HugeBytes) is not { } area)
        {
            return default;
        }

        bool built = false;
        try
        {
            built = BuildHuge(cpu, area, pages, gfp);
        }
        finally
        {
            if (!built)
            {
                Undo(cpu, area);
            }
        }

        if (!built)
        {
            return default;
        }

        area.OwnsPages = true;
        using LockScope scope = Enter();
        CountPages(area, 1);
        return new VirtualAddress(area.Start);
    }

    private bool BuildHuge(Cpu cpu, VmArea area, int pages, Gfp gfp)
    {
        if (!AllocateTable(cpu, area, pages, gfp | Gfp.NoWarn, -1))
        {
            return false;
        }

        while (area.Count < pages)
        {
            Page block = cpu.AllocPages((gfp & ~(Gfp.NoFail | Gfp.Comp)) | Gfp.NoWarn, HugeOrder);
            if (block.IsNull)
            {
                return false;
            }

            // Callers may treat the pages as independent ones.
            cpu.Pages.SplitPage(block, HugeOrder);
            for (int i = 0; i < HugePages; i++)
            {
                area.Pages[area.Count++] = new Page(_machine, block.FrameIndex + i);
            }
        }

        for (int done = 0; done < pages; done += HugePages)
        {
            VirtualAddress at = new(area.Start + ((ulong)done << PageGeometry.PageShift));
            if (!_mmu.Kernel.Map(cpu, at, area.Pages[done].Pfn, HugePages, PageProtection.Kernel, PageGeometry.HugeMapping))
            {
                if (done != 0)
                {
                    _ = _mmu.Kernel.Unmap(cpu, new VirtualAddress(area.Start), done);
                    _mmu.FlushRange(cpu, _mmu.Kernel, new VirtualAddress(area.Start), (ulong)done << PageGeometry.PageShift);
                }

                return false;
            }
        }

        return true;
    }
}
