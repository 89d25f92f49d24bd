namespace MemSim.Slab;

/// <summary>An implementation of object caches on top of the shared parts: SLUB or the classic SLAB, chosen once at boot.</summary>
/// <remarks>
/// Shared by both: the caches and their names, kmalloc's size classes, the tables in <see cref="SlabMemory"/>, pages from the page allocator
/// (<see cref="SlabPages"/>), debugging, views, and every check of arguments. An implementation is only called with good arguments. SLUB's fast paths are in
/// <see cref="Cpu"/> and work on <see cref="CpuSlab"/>; an implementation that leaves those states empty gets every call.
/// What it must keep: <see cref="SlabPage.Links"/> of an object is <see cref="SlabPage.Allocated"/> exactly while the object is handed out.
/// </remarks>
internal abstract class SlabBackend
{
    /// <summary>The implementation's name as <c>slab_allocator=</c> takes it.</summary>
    public abstract string Name { get; }

    /// <summary>Bytes of the smallest kmalloc object.</summary>
    public virtual int KmallocMinSize => 8;

    /// <summary>Lays a cache out.</summary>
    public abstract CacheLayout Layout(in CacheRequest request);

    /// <summary>Makes the implementation's own state of a cache that was just created.</summary>
    public abstract void Open(KmemCache cache);

    /// <summary>Allocates an object that the fast path could not give.</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="cache">The cache.</param>
    /// <param name="gfp">The request's flags; zeroing is the caller's.</param>
    /// <param name="node">The node wanted, or -1.</param>
    /// <returns>The object's address, its link marked <see cref="SlabPage.Allocated"/>; 0 when there is no memory.</returns>
    public abstract ulong Alloc(Cpu cpu, KmemCache cache, Gfp gfp, int node);

    /// <summary>Frees an object that is known to be allocated.</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="cache">The object's cache.</param>
    /// <param name="head">The first frame of its slab.</param>
    /// <param name="index">The object's number.</param>
    public abstract void Free(Cpu cpu, KmemCache cache, int head, uint index);

    /// <summary>Allocates several objects.</summary>
    /// <returns>How many were had: all, or fewer when memory ran out; the caller gives those back.</returns>
    public virtual int AllocBulk(Cpu cpu, KmemCache cache, Gfp gfp, Span<VirtualAddress> objects)
    {
        for (int i = 0; i < objects.Length; i++)
        {
            ulong address = Alloc(cpu, cache, gfp, -1);
            if (address == 0)
            {
                return i;
            }

            objects[i] = new VirtualAddress(address);
        }

        return objects.Length;
    }

    /// <summary>Gives back what a bulk allocation had taken when memory ran out: nobody saw these objects, so nobody hears of them.</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="cache">Their cache.</param>
    /// <param name="objects">The objects, in the order in which they were taken. May be reordered.</param>
    public virtual void GiveBackBulk(Cpu cpu, KmemCache cache, Span<VirtualAddress> objects) => FreeBulk(cpu, cache, objects);

    /// <summary>Checks and frees several objects at once, in the order <see cref="FreeBulk"/> has. Nobody listens to the tracepoints.</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="cache">The cache they should belong to.</param>
    /// <param name="objects">The addresses, of which nothing is known yet.</param>
    /// <returns>Whether it was done; else nothing has changed, and the careful way has to be gone: with objects that are amiss, or in an order that needs more.</returns>
    public abstract bool TryFreeBulk(Cpu cpu, KmemCache cache, ReadOnlySpan<VirtualAddress> objects);

    /// <summary>Frees several objects that are known to be objects of the cache, each once; their links hold <see cref="SlabPage.Leaving"/>. May reorder the span.</summary>
    public abstract void FreeBulk(Cpu cpu, KmemCache cache, Span<VirtualAddress> objects);

    /// <summary>Takes memory for what a new cache needs of it.</summary>
    /// <returns>Whether there was memory; else the cache has to go again.</returns>
    public virtual bool Furnish(Cpu cpu, KmemCache cache) => true;

    /// <summary>Frees what the implementation gave up while the table of caches was held.</summary>
    public virtual void Settle(Cpu cpu)
    {
    }

    /// <summary>Frees an object that is known to be allocated once a grace period has ended, together with others.</summary>
    /// <returns>Whether the implementation took it; else the caller keeps it.</returns>
    public virtual bool FreeAfterGrace(Cpu cpu, KmemCache cache, int head, uint index) => false;

    /// <summary>Frees what waited for grace periods that ended by a time, or whatever waits.</summary>
    public virtual void EndGrace(Cpu cpu, KmemCache cache, long now, bool all)
    {
    }

    /// <summary>Lends a sheaf with at least so many objects of a cache that has sheaves; null without memory.</summary>
    public virtual SlabSheaf? Prefill(Cpu cpu, KmemCache cache, Gfp gfp, int count) => null;

    /// <summary>Sees to it that a lent sheaf has at least so many objects.</summary>
    /// <returns>Whether there was memory.</returns>
    public virtual bool Refill(Cpu cpu, Gfp gfp, SlabSheaf sheaf, int count) => false;

    /// <summary>Takes an object out of a lent sheaf that has one.</summary>
    public virtual ulong TakeOfPrefilled(SlabSheaf sheaf) => 0;

    /// <summary>Takes a lent sheaf back.</summary>
    public virtual void TakeBack(Cpu cpu, Gfp gfp, SlabSheaf sheaf)
    {
    }

    /// <summary>Gives back what a cache keeps without need: slabs of CPUs and empty slabs.</summary>
    /// <returns>How many slabs are left.</returns>
    public abstract long Shrink(Cpu cpu, KmemCache cache, bool ofAllCpus);

    /// <summary>Takes what a CPU that went offline has of a cache away from it.</summary>
    /// <param name="cpu">The CPU on which the call is made.</param>
    /// <param name="cache">The cache.</param>
    /// <param name="dead">The number of the CPU that is gone.</param>
    public virtual void CpuDead(Cpu cpu, KmemCache cache, int dead)
    {
    }

    /// <summary>Gives all empty slabs back because the cache goes.</summary>
    /// <returns>Whether no slab is left; else objects are still live.</returns>
    public abstract bool Shutdown(Cpu cpu, KmemCache cache);

    /// <summary>What the implementation says of a cache in <c>/proc/slabinfo</c> and sysfs.</summary>
    public abstract CacheCounts Count(KmemCache cache);

    /// <summary>Adds the addresses of objects that the implementation itself has for a cache.</summary>
    public virtual void AddOwnObjects(KmemCache cache, HashSet<ulong> addresses)
    {
    }

    /// <summary>Objects of a slab that are free but not on the slab's own list: in lists of CPUs and the like.</summary>
    public abstract int FreeBeyondSlab(KmemCache cache, int head);

    /// <summary>Checks that each slab is where its state says and that the counts agree; links and overlaps are checked by <see cref="SlabVerifier"/>.</summary>
    /// <param name="cache">The cache.</param>
    /// <param name="slabs">The first frames of all its slabs, found by frame.</param>
    public abstract void Verify(KmemCache cache, IReadOnlyList<int> slabs);
}

/// <summary>A cache in numbers, as the kernel counts them.</summary>
internal struct CacheCounts
{
    /// <summary>Slabs.</summary>
    public long Slabs;

    /// <summary>Slabs in the nodes' partial lists.</summary>
    public long PartialSlabs;

    /// <summary>Objects in all slabs.</summary>
    public long TotalObjects;

    /// <summary>Free objects in the nodes' partial lists.</summary>
    public long FreeInPartial;

    /// <summary>Objects in use in the nodes' partial lists.</summary>
    public long UsedInPartial;

    /// <summary>Slabs that are some CPU's current one, or in its partial list.</summary>
    public long CpuSlabs;

    /// <summary>Slabs in the CPUs' partial lists.</summary>
    public long CpuPartialSlabs;

    /// <summary>Tunables of the classic SLAB; SLUB has none.</summary>
    public int Limit;

    public int BatchCount;

    public int SharedFactor;

    public long SharedAvailable;

    /// <summary>Slabs with objects in use, where the implementation counts them; null: all.</summary>
    public long? ActiveSlabs;

    /// <summary>The kernel's <c>active_objs</c>: objects in a CPU's slabs count as active, free or not.</summary>
    public readonly long ActiveObjects => TotalObjects - FreeInPartial;
}
