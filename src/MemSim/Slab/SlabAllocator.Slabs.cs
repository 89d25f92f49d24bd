using System.Runtime.CompilerServices;
using MemSim.Hardware;
using MemSim.Slab;

namespace MemSim;

/// <content>What happens to every new slab: the order of its free list, debugging patterns, constructors.</content>
public sealed partial class SlabAllocator
{
    private const int MaxConstructorDepth = 8;

    // Guards itself: the order in which objects of new slabs are handed out.
    private readonly Dictionary<int, ushort[]> _orders = [];
    private ulong _random;

    /// <summary>Takes sheaves and slabs away from a CPU that goes offline (<c>slub_cpu_dead()</c>).</summary>
    internal void CpuDead(Cpu cpu, int dead)
    {
        using (new LockScope(_lock))
        {
            foreach (KmemCache cache in _caches)
            {
                Backend.CpuDead(cpu, cache, dead);
            }
        }

        Backend.Settle(cpu);
    }

    /// <summary>Shuffles the free lists of slabs made from now on, as <c>CONFIG_SLAB_FREELIST_RANDOM</c> does; deterministic by the seed. 0 turns it off.</summary>
    /// <param name="seed">The seed.</param>
    public void ShuffleFreelists(long seed)
    {
        using (new LockScope(_lock))
        {
            _orders.Clear();
            _random = (ulong)seed;
        }
    }

    /// <summary>Orders the free list of a new slab: by address, or from a random place on in the cache's own random order.</summary>
    internal void Shuffle(KmemCache cache, ref SlabPage slab)
    {
        if (_random != 0 && slab.Objects > 1)
        {
            ShuffleSlab(cache, ref slab);
        }
    }

    /// <summary>Writes the debugging patterns into a new slab and runs the constructor on each object.</summary>
    internal void PrepareObjects(Cpu cpu, KmemCache cache, int head)
    {
        if (cache.IsDebugged)
        {
            Debug.PrepareSlab(cache, head);
        }

        if (cache.Constructor is { } constructor)
        {
            Construct(cpu, cache, constructor, head);
        }
    }

    private void Construct(Cpu cpu, KmemCache cache, ObjectConstructor constructor, int head)
    {
        if (cpu.Slab.ConstructorDepth == MaxConstructorDepth)
        {
            // Whatever the policy: going on would end on the host's stack.
            throw new KernelBugException(KernelBugKind.StackOverflow, $"BUG: stack overflow: constructors of objects nest {MaxConstructorDepth} deep, {cache.Name}'s is the last",
                "A constructor allocates from a cache whose new slabs need the same constructor: allocate elsewhere, or after construction.\n");
        }

        cpu.Slab.ConstructorDepth++;
        try
        {
            ref SlabPage slab = ref Memory[head];
            for (uint i = 0; i < slab.Objects; i++)
            {
                constructor(cpu, new VirtualAddress(slab.AddressOf(i)));
            }
        }
        finally
        {
            cpu.Slab.ConstructorDepth--;
        }
    }

    /// <summary>Looks over a slab of a debugged cache before its pages go.</summary>
    internal void CheckDiscarded(Cpu cpu, KmemCache cache, int head)
    {
        if (cache.IsDebugged)
        {
            Debug.CheckDiscarded(cpu, cache, head);
        }
    }

    private void DiscardOrder(KmemCache cache) => _orders.Remove(cache.Id);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void ShuffleSlab(KmemCache cache, ref SlabPage slab)
    {
        lock (_orders)
        {
            if (!_orders.TryGetValue(cache.Id, out ushort[]? order))
            {
                order = RandomOrder(cache.Layout.Objects);
                _orders[cache.Id] = order;
            }

            int position = (int)(NextRandom() % (uint)order.Length);
            uint last = NextOf(order, slab.Objects, ref position);
            slab.FreeHead = (ushort)last;
            for (int i = 1; i < slab.Objects; i++)
            {
                uint next = NextOf(order, slab.Objects, ref position);
                slab.Links[last] = (ushort)next;
                last = next;
            }

            slab.Links[last] = SlabPage.End;
        }
    }

    /// <summary>The next object in a cache's order; a slab of the smaller order skips the objects it does not have.</summary>
    private static uint NextOf(ushort[] order, int objects, ref int position)
    {
        ushort index;
        do
        {
            index = order[position];
            position = position + 1 == order.Length ? 0 : position + 1;
        }
        while (index >= objects);
        return index;
    }

    private ushort[] RandomOrder(int objects)
    {
        ushort[] order = new ushort[objects];
        for (int i = 0; i < objects; i++)
        {
            order[i] = (ushort)i;
        }

        for (int i = objects - 1; i > 0; i--)
        {
            int other = (int)(NextRandom() % (uint)(i + 1));
            (order[i], order[other]) = (order[other], order[i]);
        }

        return order;
    }

    private ulong NextRandom()
    {
        _random ^= _random << 13;
        _random ^= _random >> 7;
        _random ^= _random << 17;
        return _random;
    }
}
