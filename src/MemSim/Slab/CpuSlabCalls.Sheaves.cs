namespace MemSim;

/// <content>Objects that wait for a grace period, and sheaves that are lent.</content>
public sealed partial class CpuSlabCalls
{
    /// <summary>Frees an object when a grace period has ended: readers under RCU may look at it until then (<c>kfree_rcu()</c>).</summary>
    /// <remarks>
    /// Objects of a cache with sheaves (6.18) gather in a sheaf of the CPU; once it is full it waits, and goes to the node's barn as a whole, ready to be allocated from. All others wait for five
    /// seconds and are freed one by one. Grace periods end as simulated time passes (<see cref="MemSim.Machine.AdvanceTime"/>), or with <see cref="RcuBarrier"/>. There is no event when the objects go into a sheaf, as there is none in the kernel.
    /// </remarks>
    /// <param name="obj">The object's address, of a cache or of kmalloc; the null address does nothing.</param>
    /// <exception cref="KernelBugException">It is no allocated object. Nothing has changed.</exception>
    public void KfreeRcu(VirtualAddress obj) => _cpu.Machine.Slab.FreeAfterGrace(_cpu, obj);

    /// <summary>Waits until all objects given to <see cref="KfreeRcu"/> are freed (<c>kvfree_rcu_barrier()</c>).</summary>
    /// <exception cref="KernelBugException">The context is atomic.</exception>
    public void RcuBarrier()
    {
        _cpu.Machine.ThrowIfDisposed();
        _cpu.Context.MightSleep("kvfree_rcu_barrier");
        _cpu.Machine.Slab.Rcu.End(_cpu, all: true);
    }

    /// <summary>Has objects beforehand, for a section that must not fail (<c>kmem_cache_prefill_sheaf()</c>, 6.18).</summary>
    /// <param name="cache">The cache.</param>
    /// <param name="gfp">What the allocation may do.</param>
    /// <param name="count">At least so many objects, 1 to 4096; more than the cache's sheaves hold makes a sheaf of its own.</param>
    /// <returns>The sheaf; give it back with <see cref="ReturnSheaf"/>. Null when there is no memory.</returns>
    /// <exception cref="InvalidOperationException">The machine's kernel has no sheaves.</exception>
    /// <exception cref="KernelBugException">The cache is gone or another machine's, or the flags are not for this context.</exception>
    public SlabSheaf? PrefillSheaf(KmemCache cache, Gfp gfp, int count)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, 4096);
        return _cpu.Machine.Slab.Prefill(_cpu, cache, gfp, count);
    }

    /// <summary>Takes an object out of a lent sheaf (<c>kmem_cache_alloc_from_sheaf()</c>).</summary>
    /// <param name="sheaf">The sheaf.</param>
    /// <param name="gfp">Only <see cref="Gfp.Zero"/> counts: nothing is asked for.</param>
    /// <returns>The object's address; the null address when the sheaf is empty.</returns>
    /// <exception cref="KernelBugException">The sheaf was given back, or is another machine's.</exception>
    public VirtualAddress AllocFromSheaf(SlabSheaf sheaf, Gfp gfp = 0) => _cpu.Machine.Slab.TakeOfPrefilled(_cpu, sheaf, gfp);

    /// <summary>Fills a lent sheaf up again (<c>kmem_cache_refill_sheaf()</c>).</summary>
    /// <param name="sheaf">The sheaf.</param>
    /// <param name="gfp">What the allocation may do.</param>
    /// <param name="count">It shall have at least so many objects, 1 to 4096.</param>
    /// <returns>
    /// Whether it has; else there was no memory (ENOMEM), and it keeps what it had. One of the cache's capacity is always filled up, and ENOMEM is the answer unless it is full then: it keeps what
    /// could be had, which may be as many as were asked for (<c>refill_sheaf()</c>).
    /// </returns>
    /// <exception cref="KernelBugException">The sheaf was given back, or is another machine's.</exception>
    public bool RefillSheaf(SlabSheaf sheaf, Gfp gfp, int count)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, 4096);
        return _cpu.Machine.Slab.RefillPrefilled(_cpu, sheaf, gfp, count);
    }

    /// <summary>Gives a lent sheaf back with the objects that are left (<c>kmem_cache_return_sheaf()</c>): it becomes the CPU's spare one, or is filled up for the barn, else flushed.</summary>
    /// <param name="sheaf">The sheaf; nothing can be done with it afterwards.</param>
    /// <param name="gfp">What filling it up may do.</param>
    /// <exception cref="KernelBugException">The sheaf was given back before, or is another machine's.</exception>
    public void ReturnSheaf(SlabSheaf sheaf, Gfp gfp = Gfp.NoWait) => _cpu.Machine.Slab.TakeBack(_cpu, sheaf, gfp);
}
