using MemSim.Slab;

namespace MemSim;

/// <summary>What is built from kmalloc, kfree and the calls on caches. <see cref="Cpu.Slab"/>; the calls themselves are on the CPU.</summary>
public sealed partial class CpuSlabCalls
{
    private readonly Cpu _cpu;

    internal CpuSlabCalls(Cpu cpu) => _cpu = cpu;

    /// <summary>How many constructors of objects run on this CPU, one called by the other's allocation.</summary>
    internal int ConstructorDepth { get; set; }

    /// <summary>Allocates memory on a node (<c>kmalloc_node()</c>).</summary>
    /// <param name="size">Bytes.</param>
    /// <param name="gfp">What the allocation may do.</param>
    /// <param name="node">The node's number.</param>
    /// <returns>The address; the null address when there is no memory.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The machine has no such node, or the size is negative.</exception>
    public VirtualAddress KmallocNode(long size, Gfp gfp, int node) => _cpu.Machine.Slab.Kmalloc(_cpu, size, gfp, _cpu.Machine.GetNode(node).Id);

    /// <summary>Allocates an array (<c>kmalloc_array()</c>).</summary>
    /// <param name="count">Elements.</param>
    /// <param name="size">Bytes of one.</param>
    /// <param name="gfp">What the allocation may do.</param>
    /// <returns>The address; the null address when there is no memory or the product overflows.</returns>
    public VirtualAddress KmallocArray(long count, long size, Gfp gfp)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfNegative(size);
        long bytes = Math.BigMul(count, size, out long low) == 0 && low >= 0 ? low : -1;
        return bytes < 0 ? default : _cpu.Kmalloc(bytes, gfp);
    }

    /// <summary>Allocates a zeroed array (<c>kcalloc()</c>).</summary>
    /// <param name="count">Elements.</param>
    /// <param name="size">Bytes of one.</param>
    /// <param name="gfp">What the allocation may do.</param>
    /// <returns>The address; the null address when there is no memory or the product overflows.</returns>
    public VirtualAddress Kcalloc(long count, long size, Gfp gfp) => KmallocArray(count, size, gfp | Gfp.Zero);

    /// <summary>Makes an object larger or smaller, elsewhere if it must be; the contents up to the smaller size stay (<c>krealloc()</c>).</summary>
    /// <param name="obj">The object; the null address to allocate one.</param>
    /// <param name="size">Bytes wanted; 0 frees the object.</param>
    /// <param name="gfp">What the allocation may do.</param>
    /// <returns>The address, perhaps the same; the null address when there is no memory, and then the old object is still there.</returns>
    public VirtualAddress Krealloc(VirtualAddress obj, long size, Gfp gfp)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(size);
        if (size == 0)
        {
            _cpu.Kfree(obj);
            return SlabAllocator.ZeroSizePointer;
        }

        long old = obj.Value <= SlabAllocator.ZeroSizePointer.Value ? 0 : Ksize(obj);
        if (old >= size)
        {
            return obj;
        }

        VirtualAddress result = _cpu.Kmalloc(size, gfp);
        if (!result.IsNull && old != 0)
        {
            SlabContents.Copy(_cpu.Machine, obj.Value, result.Value, old);
            _cpu.Kfree(obj);
        }

        return result;
    }

    /// <summary>Allocates a copy of bytes (<c>kmemdup()</c>).</summary>
    /// <param name="source">The bytes.</param>
    /// <param name="gfp">What the allocation may do.</param>
    /// <returns>The address; the null address when there is no memory.</returns>
    public VirtualAddress Kmemdup(ReadOnlySpan<byte> source, Gfp gfp)
    {
        VirtualAddress result = _cpu.Kmalloc(source.Length, gfp);
        if (result.Value > SlabAllocator.ZeroSizePointer.Value && _cpu.Machine.Ram.HasContents)
        {
            source.CopyTo(SlabContents.Span(_cpu.Machine, result.Value, source.Length));
        }

        return result;
    }

    /// <summary>Allocates a copy of another object's bytes (<c>kmemdup()</c>).</summary>
    /// <param name="source">The object's address.</param>
    /// <param name="length">Bytes to copy.</param>
    /// <param name="gfp">What the allocation may do.</param>
    /// <returns>The address; the null address when there is no memory.</returns>
    public VirtualAddress Kmemdup(VirtualAddress source, int length, Gfp gfp)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        if (length != 0 && !_cpu.Machine.Slab.Within(_cpu, source, length, "kmemdup"))
        {
            return default;
        }

        VirtualAddress result = _cpu.Kmalloc(length, gfp);
        if (result.Value > SlabAllocator.ZeroSizePointer.Value)
        {
            SlabContents.Copy(_cpu.Machine, source.Value, result.Value, length);
        }

        return result;
    }

    /// <summary>Frees an object after overwriting it with zeroes (<c>kfree_sensitive()</c>).</summary>
    /// <param name="obj">The address; the null address is ignored.</param>
    public void KfreeSensitive(VirtualAddress obj)
    {
        long size = Ksize(obj);
        if (size > 0)
        {
            SlabContents.Fill(_cpu.Machine, obj.Value, (int)size, 0);
        }

        _cpu.Kfree(obj);
    }

    /// <summary>The bytes that really belong to an object of kmalloc or of a cache (<c>ksize()</c>).</summary>
    /// <param name="obj">The object's address; 0 for the null address and <see cref="SlabAllocator.ZeroSizePointer"/>.</param>
    /// <exception cref="KernelBugException">No object starts there.</exception>
    public long Ksize(VirtualAddress obj) => _cpu.Machine.Slab.Ksize(_cpu, obj);

    /// <summary>Allocates a zeroed object of a cache (<c>kmem_cache_zalloc()</c>).</summary>
    /// <param name="cache">The cache; it must have no constructor.</param>
    /// <param name="gfp">What the allocation may do.</param>
    /// <returns>The object's address; the null address when there is no memory.</returns>
    public VirtualAddress Zalloc(KmemCache cache, Gfp gfp) => _cpu.Alloc(cache, gfp | Gfp.Zero);

    /// <summary>Allocates an object of a cache on a node (<c>kmem_cache_alloc_node()</c>).</summary>
    /// <param name="cache">The cache.</param>
    /// <param name="gfp">What the allocation may do; with <see cref="Gfp.ThisNode"/> that node or none.</param>
    /// <param name="node">The node's number.</param>
    /// <returns>The object's address; the null address when there is no memory.</returns>
    public VirtualAddress AllocNode(KmemCache cache, Gfp gfp, int node) => _cpu.Machine.Slab.Alloc(_cpu, cache, gfp, _cpu.Machine.GetNode(node).Id);

    /// <summary>Allocates several objects of a cache, all or none (<c>kmem_cache_alloc_bulk()</c>).</summary>
    /// <param name="cache">The cache.</param>
    /// <param name="gfp">What the allocation may do.</param>
    /// <param name="objects">Receives the addresses.</param>
    /// <returns>How many objects were allocated: as many as the span holds, or 0.</returns>
    public int AllocBulk(KmemCache cache, Gfp gfp, Span<VirtualAddress> objects) => _cpu.Machine.Slab.AllocBulk(_cpu, cache, gfp, objects);

    /// <summary>Frees several objects of a cache (<c>kmem_cache_free_bulk()</c>). The span may be reordered.</summary>
    /// <param name="cache">The cache.</param>
    /// <param name="objects">The addresses: none null, none twice; else nothing is freed.</param>
    /// <exception cref="KernelBugException">One of them is no allocated object of the cache. Nothing has changed.</exception>
    public void FreeBulk(KmemCache cache, Span<VirtualAddress> objects) => _cpu.Machine.Slab.FreeBulk(_cpu, cache, objects);

    /// <summary>The bytes of an object, or of a part of it, for reading and writing.</summary>
    /// <param name="obj">The address: an object's start or inside one, or inside an allocated block of pages.</param>
    /// <param name="length">Bytes, all inside that object or block.</param>
    /// <returns>The bytes themselves; they stay what they are when the object is freed.</returns>
    /// <remarks>
    /// The span may outlive the machine: nothing but the machine's own RAM is ever behind it. The cost: once a machine has lent a span, its address range stays reserved until the
    /// process ends; the host memory behind it goes back when the machine is disposed, so dispose it (<see cref="MemSim.Machine.Dispose"/>). A span used after that reads zeroes.
    /// </remarks>
    /// <exception cref="KernelBugException">The bytes are not all inside one object that is in use, or one allocated block.</exception>
    /// <exception cref="InvalidOperationException">The machine has no contents of RAM.</exception>
    public Span<byte> Span(VirtualAddress obj, int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        return length == 0 ? default : _cpu.Machine.Slab.Within(_cpu, obj, length, "Span") ? SlabContents.Lend(_cpu.Machine, obj.Value, length) : default;
    }
}

/// <content>What is built from kmalloc, kfree and the calls on caches: arrays, copies, nodes, bulks.</content>
public sealed partial class Cpu
{
    /// <summary>What is built from kmalloc, kfree and the calls on caches: arrays, copies, nodes, bulks.</summary>
    public CpuSlabCalls Slab { get; internal set; } = null!;
}
