using System.Runtime.CompilerServices;

namespace MemSim;

/// <content>vmalloc and vmap.</content>
public sealed partial class Cpu
{
    /// <summary>Allocates memory that is contiguous in the kernel's address space only (<c>vmalloc()</c>); may sleep.</summary>
    /// <param name="size">Bytes; rounded up to pages, a guard page follows.</param>
    /// <param name="gfp">What the allocation of pages may do; high memory is used first unless a zone is named.</param>
    /// <param name="caller">Who asks, for <c>/proc/vmallocinfo</c>; null for the <see cref="CallSite"/> in force, and without one for the member that calls.</param>
    /// <param name="member">The member that calls: the compiler's to give.</param>
    /// <returns>The address, a multiple of the page size; the null address without memory or address space (see <see cref="MachineReports.LastVmallocFailure"/>).</returns>
    /// <exception cref="KernelBugException">The size is 0, or the CPU is in atomic context.</exception>
    public VirtualAddress Vmalloc(long size, Gfp gfp = Gfp.Kernel, string? caller = null, [CallerMemberName] string member = "")
    {
        ArgumentOutOfRangeException.ThrowIfNegative(size);
        return Machine.Memory.Vmalloc.Allocate(this, size, gfp, -1, CallerOf(caller, member));
    }

    /// <summary>Frees what <see cref="Vmalloc"/> and its like returned (<c>vfree()</c>). In an interrupt the address is only noted: the next call outside of interrupts, or <see cref="CpuVm.RunDeferredVfrees"/>, frees it.</summary>
    /// <param name="address">The address; the null address is ignored.</param>
    /// <exception cref="KernelBugException">No area starts there, it was freed before, or the CPU must not sleep. Nothing has changed.</exception>
    public void Vfree(VirtualAddress address) => Machine.Memory.Vmalloc.Free(this, address, unmapOnly: false);
}
