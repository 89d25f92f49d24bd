using MemSim.Slab;

namespace MemSim;

/// <content>Memory pools.</content>
public sealed partial class SlabAllocator
{
    /// <summary>Creates a pool of objects of a cache (<c>mempool_create_slab_pool()</c>).</summary>
    /// <param name="minimum">Elements to keep ready, at least 1.</param>
    /// <param name="cache">The cache, which must outlive the pool.</param>
    /// <param name="on">The CPU on which the call is made; null for CPU 0. The call may sleep.</param>
    /// <returns>The pool; null when there is no memory for its reserve.</returns>
    public Mempool? CreateMempool(int minimum, KmemCache cache, Cpu? on = null)
    {
        ArgumentNullException.ThrowIfNull(cache);
        if (!ReferenceEquals(cache.Machine, Machine))
        {
            throw new ArgumentException($"the cache {cache.Name} belongs to another machine", nameof(cache));
        }

        return CreateMempool(minimum, new CacheMempoolSource(cache), on);
    }

    /// <summary>Creates a pool of kmalloc objects (<c>mempool_create_kmalloc_pool()</c>).</summary>
    /// <param name="minimum">Elements to keep ready, at least 1.</param>
    /// <param name="size">Bytes of an element, at least 1.</param>
    /// <param name="on">The CPU on which the call is made; null for CPU 0. The call may sleep.</param>
    /// <returns>The pool; null when there is no memory for its reserve.</returns>
    public Mempool? CreateMempool(int minimum, long size, Cpu? on = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(size, 1);
        return CreateMempool(minimum, new KmallocMempoolSource(Machine, size), on);
    }

    /// <summary>Creates a pool of blocks of pages (<c>mempool_create_page_pool()</c>).</summary>
    /// <param name="minimum">Elements to keep ready, at least 1.</param>
    /// <param name="order">log2 of the pages of an element.</param>
    /// <param name="on">The CPU on which the call is made; null for CPU 0. The call may sleep.</param>
    /// <returns>The pool, whose elements are addresses in the direct map; null when there is no memory for its reserve.</returns>
    public Mempool? CreatePageMempool(int minimum, int order, Cpu? on = null)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(order);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(order, PageGeometry.MaxOrder);
        return CreateMempool(minimum, new PageMempoolSource(Machine, order), on);
    }

    private Mempool? CreateMempool(int minimum, MempoolSource source, Cpu? on)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(minimum, 1);
        Machine.ThrowIfDisposed();
        Cpu cpu = Machine.CpuTable.Own(on);
        cpu.Context.MightSleep("mempool_create");
        return Mempool.TryCreate(cpu, source, minimum);
    }
}
