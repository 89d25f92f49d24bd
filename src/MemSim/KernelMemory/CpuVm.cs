using System.Runtime.CompilerServices;

namespace MemSim;

/// <summary>The rarer calls of vmalloc, and mappings of pages into its range. <see cref="Cpu.Vm"/>; <see cref="Cpu.Vmalloc"/> and <see cref="Cpu.Vfree"/> are on the CPU itself.</summary>
public sealed class CpuVm
{
    private readonly Cpu _cpu;

    internal CpuVm(Cpu cpu) => _cpu = cpu;

    /// <summary>As <see cref="Cpu.Vmalloc"/>, full of zeroes (<c>vzalloc()</c>).</summary>
    /// <param name="size">Bytes.</param>
    /// <param name="caller">Who asks; null for the call site in force, and without one for the member that calls.</param>
    /// <param name="member">The member that calls: the compiler's to give.</param>
    /// <returns>The address, or the null address.</returns>
    public VirtualAddress Vzalloc(long size, string? caller = null, [CallerMemberName] string member = "") => _cpu.Vmalloc(size, Gfp.Kernel | Gfp.Zero, caller, member);

    /// <summary>As <see cref="Cpu.Vmalloc"/>, with pages of one node where it has some (<c>vmalloc_node()</c>).</summary>
    /// <param name="size">Bytes.</param>
    /// <param name="node">The node's number.</param>
    /// <param name="caller">Who asks; null for the call site in force, and without one for the member that calls.</param>
    /// <param name="member">The member that calls: the compiler's to give.</param>
    /// <returns>The address, or the null address.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The machine has no such node.</exception>
    public VirtualAddress VmallocNode(long size, int node, string? caller = null, [CallerMemberName] string member = "")
    {
        ArgumentOutOfRangeException.ThrowIfNegative(size);
        return _cpu.Machine.Memory.Vmalloc.Allocate(_cpu, size, Gfp.Kernel, _cpu.Machine.GetNode(node).Id, _cpu.CallerOf(caller, member));
    }

    /// <summary>As <see cref="Cpu.Vmalloc"/>, with pages below 4 GiB (<c>vmalloc_32()</c>).</summary>
    /// <param name="size">Bytes.</param>
    /// <param name="caller">Who asks; null for the call site in force, and without one for the member that calls.</param>
    /// <param name="member">The member that calls: the compiler's to give.</param>
    /// <returns>The address, or the null address.</returns>
    public VirtualAddress Vmalloc32(long size, string? caller = null, [CallerMemberName] string member = "") => _cpu.Vmalloc(size, Gfp.Kernel | Gfp.Dma32, caller, member);

    /// <summary>As <see cref="Cpu.Vmalloc"/>, mapped with pages of 2 MiB where the size, the architecture and memory allow (<c>vmalloc_huge()</c>): whole 2 MiB then, whatever the size.</summary>
    /// <param name="size">Bytes.</param>
    /// <param name="gfp">What the allocation of pages may do.</param>
    /// <param name="caller">Who asks; null for the call site in force, and without one for the member that calls.</param>
    /// <param name="member">The member that calls: the compiler's to give.</param>
    /// <returns>The address, a multiple of 2 MiB when mapped so; or the null address.</returns>
    /// <exception cref="KernelBugException">The size is 0, or the CPU is in atomic context.</exception>
    public VirtualAddress VmallocHuge(long size, Gfp gfp = Gfp.Kernel, string? caller = null, [CallerMemberName] string member = "")
    {
        ArgumentOutOfRangeException.ThrowIfNegative(size);
        return _cpu.Machine.Memory.Vmalloc.AllocateHuge(_cpu, size, gfp, _cpu.CallerOf(caller, member));
    }

    /// <summary>Maps pages one after the other (<c>vmap()</c>); they stay the caller's.</summary>
    /// <param name="pages">The pages, from anywhere.</param>
    /// <param name="protection">What the mapping allows.</param>
    /// <param name="caller">Who asks; null for the call site in force, and without one for the member that calls.</param>
    /// <param name="member">The member that calls: the compiler's to give.</param>
    /// <returns>The address of the first, or the null address.</returns>
    /// <exception cref="KernelBugException">There are no pages, one of them is free, or the CPU is in atomic context.</exception>
    public VirtualAddress Vmap(ReadOnlySpan<Page> pages, PageProtection protection = PageProtection.Kernel, string? caller = null, [CallerMemberName] string member = "") =>
        _cpu.Machine.Memory.Vmalloc.Map(_cpu, pages, protection, _cpu.CallerOf(caller, member));

    /// <summary>Unmaps what <see cref="Vmap"/> mapped (<c>vunmap()</c>).</summary>
    /// <param name="address">The address; the null address is ignored.</param>
    /// <exception cref="KernelBugException">Nothing was mapped there by <see cref="Vmap"/>, or the CPU is in atomic context.</exception>
    public void Vunmap(VirtualAddress address) => _cpu.Machine.Memory.Vmalloc.Free(_cpu, address, unmapOnly: true);

    /// <summary>The page behind an address of vmalloc space, from the page tables (<c>vmalloc_to_page()</c>).</summary>
    /// <param name="address">The address.</param>
    /// <returns>A null page where nothing is mapped, or outside of vmalloc space.</returns>
    public Page VmallocToPage(VirtualAddress address)
    {
        _cpu.Machine.ThrowIfDisposed();
        if (!_cpu.Machine.AddressSpace.Vmalloc.Contains(address))
        {
            return default;
        }

        PageTableEntry entry = _cpu.Machine.Mmu.Kernel.Lookup(new VirtualAddress(address.Value & ~(ulong)(PageGeometry.PageSize - 1)));
        long within = (long)(address.Value >> PageGeometry.PageShift) & (entry.Pages - 1);
        return entry.IsPresent && _cpu.Machine.TryGetPage(entry.Frame + within, out Page page) ? page : default;
    }

    /// <summary>Frees what <see cref="Cpu.Vfree"/> noted in interrupts of this CPU, as the worker does.</summary>
    public void RunDeferredVfrees()
    {
        _cpu.Machine.ThrowIfDisposed();
        _cpu.Context.MightSleep("vfree worker");
        if (_cpu.Machine.Ram.HasContents)
        {
            _cpu.Machine.Memory.Vmalloc.RunDeferred(_cpu);
        }
    }

    /// <summary>Makes all CPUs forget freed ranges of vmalloc space, which can be given out again then (<c>vm_unmap_aliases()</c>).</summary>
    public void VmUnmapAliases()
    {
        _cpu.Machine.ThrowIfDisposed();
        _cpu.Context.MightSleep("vm_unmap_aliases");
        if (_cpu.Machine.Ram.HasContents)
        {
            _cpu.Machine.Memory.Vmalloc.Purge(_cpu);
        }
    }
}

/// <content>The rarer calls of vmalloc, and vmap.</content>
public sealed partial class Cpu
{
    /// <summary>The rarer calls of vmalloc, and vmap.</summary>
    public CpuVm Vm { get; internal set; } = null!;
}
