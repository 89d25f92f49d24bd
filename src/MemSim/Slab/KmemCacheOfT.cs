using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace MemSim;

/// <summary>A cache whose objects are read and written as values of a type.</summary>
/// <typeparam name="T">The type: a struct without references.</typeparam>
/// <remarks>Made by <see cref="SlabAllocator.CreateCache{T}"/>. Needs a machine with contents of RAM.</remarks>
public sealed class KmemCache<T>
    where T : unmanaged
{
    internal KmemCache(KmemCache cache) => Cache = cache;

    /// <summary>The cache behind it.</summary>
    public KmemCache Cache { get; }

    /// <summary>Allocates an object with the contents it happens to have.</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="gfp">What the allocation may do.</param>
    /// <returns>The object's address; the null address when there is no memory.</returns>
    public VirtualAddress Alloc(Cpu cpu, Gfp gfp)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        return cpu.Alloc(Cache, gfp);
    }

    /// <summary>Allocates an object and gives it a value.</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="gfp">What the allocation may do.</param>
    /// <param name="value">The value.</param>
    /// <returns>The object's address; the null address when there is no memory.</returns>
    public VirtualAddress Alloc(Cpu cpu, Gfp gfp, in T value)
    {
        VirtualAddress obj = Alloc(cpu, gfp);
        if (!obj.IsNull)
        {
            Get(cpu, obj) = value;
        }

        return obj;
    }

    /// <summary>The value of an object, in place.</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="obj">The object's address.</param>
    /// <exception cref="KernelBugException">The address is not inside an object in use.</exception>
    public ref T Get(Cpu cpu, VirtualAddress obj)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        _ = Cache.Machine.CpuTable.Own(cpu);
        Span<byte> bytes = cpu.Slab.Span(obj, Unsafe.SizeOf<T>());
        return ref MemoryMarshal.AsRef<T>(bytes);
    }

    /// <summary>Frees an object.</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="obj">The object's address; the null address is ignored.</param>
    /// <exception cref="KernelBugException">It is no object of the cache in use.</exception>
    public void Free(Cpu cpu, VirtualAddress obj)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        cpu.Free(Cache, obj);
    }
}
