using System.Runtime.CompilerServices;
using MemSim.Slab;

namespace MemSim;

/// <content>The slab layer's calls: kmalloc and its like, and objects of caches.</content>
public sealed partial class Cpu
{
    /// <summary>The shortest ways through the slab layer.</summary>
    internal CpuSlabPaths SlabPaths;

    /// <summary>Allocates physically contiguous memory (<c>kmalloc()</c>).</summary>
    /// <param name="size">Bytes; 0 gives <see cref="SlabAllocator.ZeroSizePointer"/>, more than 4 MiB fails.</param>
    /// <param name="gfp">What the allocation may do; <see cref="Gfp.Dma"/>, <see cref="Gfp.Reclaimable"/> and <see cref="Gfp.Account"/> choose the kind of memory.</param>
    /// <returns>The address, aligned to 8 bytes (arm64: 128) and, for powers of two, to the size; the null address when there is no memory.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The size is negative.</exception>
    /// <exception cref="KernelBugException">The flags are not allowed, or the request may sleep and the context may not.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public VirtualAddress Kmalloc(long size, Gfp gfp) => SlabPaths.Kmalloc(this, size, gfp);

    /// <summary>Allocates an object of a cache (<c>kmem_cache_alloc()</c>).</summary>
    /// <param name="cache">The cache.</param>
    /// <param name="gfp">What the allocation may do.</param>
    /// <returns>The object's address; the null address when there is no memory.</returns>
    /// <exception cref="KernelBugException">The cache is gone or another machine's, the flags are not allowed, or the request may sleep and the context may not.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public VirtualAddress Alloc(KmemCache cache, Gfp gfp) => SlabPaths.Alloc(this, cache, gfp);

    /// <summary>Frees what <see cref="Kmalloc"/> and its like returned (<c>kfree()</c>).</summary>
    /// <param name="obj">The address; the null address and <see cref="SlabAllocator.ZeroSizePointer"/> are ignored.</param>
    /// <exception cref="KernelBugException">No object starts there, or it is free already. Nothing has changed.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Kfree(VirtualAddress obj) => SlabPaths.Kfree(this, obj);

    /// <summary>Frees an object of a cache (<c>kmem_cache_free()</c>).</summary>
    /// <param name="cache">The cache the object was allocated from.</param>
    /// <param name="obj">The object's address; the null address is ignored.</param>
    /// <exception cref="KernelBugException">No object of this cache starts there, or it is free already. Nothing has changed.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Free(KmemCache cache, VirtualAddress obj) => SlabPaths.Free(this, cache, obj);

    /// <summary>Allocates zeroed memory (<c>kzalloc()</c>).</summary>
    /// <param name="size">Bytes.</param>
    /// <param name="gfp">What the allocation may do.</param>
    /// <returns>The address; the null address when there is no memory.</returns>
    public VirtualAddress Kzalloc(long size, Gfp gfp) => Kmalloc(size, gfp | Gfp.Zero);
}
