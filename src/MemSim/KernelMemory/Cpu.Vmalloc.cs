using System.Runtime.CompilerServices;

namespace MemSim;

/// <content>vmalloc and vmap.</content>
public sealed partial class Cpu
{
    /// <summary>Allocates memory that is contiguous in the kernel's address space only (<c>vmalloc()</c>); may sleep.</summary>
    /// <param name="size">Bytes; rounded up to pages, a guard page follows.</param>
    /// <param name="gfp">What the allocation of pages may do; high memory is used first unless a zone is named.</param>
    /// <param name="caller">Who asks, for <c>/proc/vmallocinfo</c>.</param>
    /// <returns>The address, a multiple of the page size; the null address without memory or address space (see <see cref="Machine.LastVmallocFailure"/>).</returns>
    /// <exception cref="KernelBugException">The size is 0, or the CPU is in atomic context.</exception>
    public VirtualAddress Vmalloc(long size, Gfp gfp = Gfp.Kernel, [CallerMemberName] string caller = "")
    {
        ArgumentOutOfRangeException.ThrowIfNegative(size);
        return Machine.Vmalloc.Allocate(this, size, gfp, -1, caller);
    }

    /// <summary>As <see cref="Vmalloc"/>, full of zeroes (<c>vzalloc()</c>).</summary>
    /// <param name="size">Bytes.</param>
    /// <param name="caller">Who asks.</param>
    /// <returns>The address, or the null address.</returns>
    public VirtualAddress Vzalloc(long size, [CallerMemberName] string caller = "") => Vmalloc(size, Gfp.Kernel | Gfp.Zero, caller);

    /// <summary>As <see cref="Vmalloc"/>, with pages of one node where it has some (<c>vmalloc_node()</c>).</summary>
    /// <param name="size">Bytes.</param>
    /// <param name="node">The node's number.</param>
    /// <param name="caller">Who asks.</param>
    /// <returns>The address, or the null address.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The machine has no such node.</exception>
    public VirtualAddress VmallocNode(long size, int node, [CallerMemberName] string caller = "")
    {
        ArgumentOutOfRangeException.ThrowIfNegative(size);
        return Machine.Vmalloc.Allocate(this, size, Gfp.Kernel, Machine.GetNode(node).Id, caller);
    }

    /// <summary>As <see cref="Vmalloc"/>, with pages below 4 GiB (<c>vmalloc_32()</c>).</summary>
    /// <param name="size">Bytes.</param>
    /// <param name="caller">Who asks.</param>
    /// <returns>The address, or the null address.</returns>
    public VirtualAddress Vmalloc32(long size, [CallerMemberName] string caller = "") => Vmalloc(size, Gfp.Kernel | Gfp.Dma32, caller);

    /// <summary>As <see cref="Vmalloc"/>, mapped with pages of 2 MiB where the size, the architecture and memory allow (<c>vmalloc_huge()</c>): whole 2 MiB then, whatever the size.</summary>
    /// <param name="size">Bytes.</param>
    /// <param name="gfp">What the allocation of pages may do.</param>
    /// <param name="caller">Who asks.</param>
    /// <returns>The address, a multiple of 2 MiB when mapped so; or the null address.</returns>
    /// <exception cref="KernelBugException">The size is 0, or the CPU is in atomic context.</exception>
    public VirtualAddress VmallocHuge(long size, Gfp gfp = Gfp.Kernel, [CallerMemberName] string caller = "")
    {
        ArgumentOutOfRangeException.ThrowIfNegative(size);
        return Machine.Vmalloc.AllocateHuge(this, size, gfp, caller);
    }

    /// <summary>Frees what <see cref="Vmalloc"/> and its like returned (<c>vfree()</c>). In an interrupt the address is only noted: the next call outside of interrupts, or <see cref="RunDeferredVfrees"/>, frees it.</summary>
    /// <param name="address">The address; the null address is ignored.</param>
    /// <exception cref="KernelBugException">No area starts there, it was freed before, or the CPU must not sleep. Nothing has changed.</exception>
    public void Vfree(VirtualAddress address) => Machine.Vmalloc.Free(this, address, unmapOnly: false);

    /// <summary>Maps pages one after the other (<c>vmap()</c>); they stay the caller's.</summary>
    /// <param name="pages">The pages, from anywhere.</param>
    /// <param name="protection">What the mapping allows.</param>
    /// <param name="caller">Who asks.</param>
    /// <returns>The address of the first, or the null address.</returns>
    /// <exception cref="KernelBugException">There are no pages, one of them is free, or the CPU is in atomic context.</exception>
    public VirtualAddress Vmap(ReadOnlySpan<Page> pages, PageProtection protection = PageProtection.Kernel, [CallerMemberName] string caller = "") =>
        Machine.Vmalloc.Map(this, pages, protection, caller);

    /// <summary>Unmaps what <see cref="Vmap"/> mapped (<c>vunmap()</c>).</summary>
    /// <param name="address">The address; the null address is ignored.</param>
    /// <exception cref="KernelBugException">Nothing was mapped there by <see cref="Vmap"/>, or the CPU is in atomic context.</exception>
    public void Vunmap(VirtualAddress address) => Machine.Vmalloc.Free(this, address, unmapOnly: true);

    /// <summary>The page behind an address of vmalloc space, from the page tables (<c>vmalloc_to_page()</c>).</summary>
    /// <param name="address">The address.</param>
    /// <returns>A null page where nothing is mapped, or outside of vmalloc space.</returns>
    public Page VmallocToPage(VirtualAddress address)
    {
        Machine.ThrowIfDisposed();
        if (!Machine.AddressSpace.Vmalloc.Contains(address))
        {
            return default;
        }

        PageTableEntry entry = Machine.Mmu.Kernel.Lookup(new VirtualAddress(address.Value & ~(ulong)(PageGeometry.PageSize - 1)));
        long within = (long)(address.Value >> PageGeometry.PageShift) & (entry.Pages - 1);
        return entry.IsPresent && Machine.TryGetPage(entry.Frame + within, out Page page) ? page : default;
    }

    /// <summary>Frees what <see cref="Vfree"/> noted in interrupts of this CPU, as the worker does.</summary>
    public void RunDeferredVfrees()
    {
        Machine.ThrowIfDisposed();
        MightSleep("vfree worker");
        if (Machine.Memory.HasContents)
        {
            Machine.Vmalloc.RunDeferred(this);
        }
    }

    /// <summary>Makes all CPUs forget freed ranges of vmalloc space, which can be given out again then (<c>vm_unmap_aliases()</c>).</summary>
    public void VmUnmapAliases()
    {
        Machine.ThrowIfDisposed();
        MightSleep("vm_unmap_aliases");
        if (Machine.Memory.HasContents)
        {
            Machine.Vmalloc.Purge(this);
        }
    }
}
