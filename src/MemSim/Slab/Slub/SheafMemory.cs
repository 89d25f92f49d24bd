namespace MemSim.Slab;

/// <summary>The memory of sheaves: objects of kmalloc's caches.</summary>
/// <remarks>
/// Recorded of 6.18: <c>kmalloc</c> from <c>alloc_empty_sheaf</c>, 288 bytes for 32 objects, <c>GFP_NOWAIT|__GFP_ZERO</c>, when a free finds no empty sheaf. A sheaf for a kmalloc cache may need
/// one of another kmalloc cache that lacks one itself; there it ends: within such a request no further sheaf is made, and the object comes from a slab.
/// </remarks>
internal sealed class SheafMemory(SlabAllocator allocator)
{
    /// <summary>Bytes of a sheaf before its objects on 64-bit kernels.</summary>
    private const int HeadBytes = 32;

    /// <summary>What a sheaf's memory is not asked for with, whatever its objects are: a zone, a kind of cache, a charge, success at any price.</summary>
    private const Gfp OfObjectsAlone = Gfp.Dma | Gfp.Reclaimable | Gfp.Account | Gfp.NoFail | Gfp.ThisNode;

    // Guards _given.
    private readonly Lock _lock = new();
    private readonly List<ulong> _given = [];
    private readonly bool[] _makesForKmalloc = new bool[allocator.Machine.Cpus.Count];

    /// <summary><c>GFP_NOWAIT</c> as the machine's kernel has it.</summary>
    public static Gfp NoWait(Machine machine) => machine.Personality.Allocator.NoWaitIsSilent ? Gfp.NoWait | Gfp.NoWarn : Gfp.NoWait;

    /// <summary>Takes a place for a sheaf.</summary>
    /// <returns>Whether there is memory, and the request is not one for such a place itself.</returns>
    public bool TryTake(Cpu cpu, KmemCache owner, int capacity, Gfp gfp, out ulong home)
    {
        home = 0;
        ref bool makes = ref _makesForKmalloc[cpu.Id];
        if (makes)
        {
            return false;
        }

        makes = (owner.Flags & SlabFlags.Kmalloc) != 0;
        try
        {
            int word = allocator.Rules.WordBytes;
            home = allocator.Kmalloc(cpu, (HeadBytes / 8 * word) + ((long)capacity * word), (gfp & ~OfObjectsAlone) | Gfp.Zero, -1, "alloc_empty_sheaf").Value;
        }
        finally
        {
            makes = false;
        }

        return home != 0;
    }

    /// <summary>Gives a place back; 0 is none.</summary>
    public void Give(Cpu cpu, ulong home)
    {
        if (home != 0)
        {
            allocator.FreeOwn(cpu, new VirtualAddress(home), "free_empty_sheaf");
        }
    }

    /// <summary>Takes a place back from who holds the table of caches and may not come into the page allocator; it is free with <see cref="Settle"/>.</summary>
    public void GiveLater(ulong home)
    {
        if (home != 0)
        {
            lock (_lock)
            {
                _given.Add(home);
            }
        }
    }

    /// <summary>Frees the places that were taken back.</summary>
    public void Settle(Cpu cpu)
    {
        while (TryNext(out ulong home))
        {
            Give(cpu, home);
        }
    }

    private bool TryNext(out ulong home)
    {
        lock (_lock)
        {
            home = 0;
            if (_given.Count == 0)
            {
                return false;
            }

            home = _given[0];
            _given.RemoveAt(0);
            return true;
        }
    }
}
