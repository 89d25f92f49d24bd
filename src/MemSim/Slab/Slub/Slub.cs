using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace MemSim.Slab;

/// <summary>SLUB: the slow paths of an allocation and of a free. The order of places follows the kernel's.</summary>
/// <remarks>
/// Kernel 6.1: <c>___slab_alloc()</c>, <c>__slab_free()</c>. What belongs to a CPU (its current slab's free list, its partial list) is touched by that CPU alone. A slab's own free list is under the slab's lock, the lists of a node under the node's; a node's lock is taken before a slab's. Without parallel CPUs there are no locks.
/// </remarks>
internal sealed partial class Slub : SlabBackend
{
    private readonly SlabAllocator _allocator;
    private readonly Machine _machine;
    private readonly SlabMemory _memory;
    private readonly SlabPages _pages;
    private readonly bool _parallel;

    public Slub(SlabAllocator allocator)
    {
        _allocator = allocator;
        _machine = allocator.Machine;
        _memory = allocator.Memory;
        _pages = allocator.Pages;
        _parallel = _machine.IsParallel;
        _hasCpuSlabs = allocator.Rules.HasCpuSlabs;
        _homes = new SheafMemory(allocator);
    }

    public override string Name => "slub";

    public override CacheLayout Layout(in CacheRequest request) => SlubGeometry.Compute(_allocator.Rules, request, _allocator.DebugOptions.DisableHigherOrder);

    public override void Open(KmemCache cache)
    {
        cache.Nodes = new SlubNode[_machine.Nodes[^1].Id + 1];
        for (int node = 0; node < cache.Nodes.Length; node++)
        {
            cache.Nodes[node] = new SlubNode(node);
            cache.Nodes[node].Lock.Watch(_machine.Interleaver?.Watch("SlubNode.Lock"));
        }

        if (cache.SheafCapacity != 0)
        {
            cache.BackendState = new SheafCache(cache, _homes);
            cache.CurrentSlabs = cache.TakeCpuSlabs();
        }
    }

    public override ulong Alloc(Cpu cpu, KmemCache cache, Gfp gfp, int node)
    {
        if (_hasCpuSlabs && cache.BackendState is null)
        {
            return AllocFromCurrent(cpu, cache, gfp, node);
        }

        return AllocSheaved(cpu, cache, gfp, node);
    }

    /// <summary>Allocates from the CPU's sheaves, else from slabs.</summary>
    private ulong AllocSheaved(Cpu cpu, KmemCache cache, Gfp gfp, int node)
    {
        if (node >= 0 && _machine.ZoneTable.NodeOrDefault(node) is not { PresentPages: > 0 })
        {
            node = -1;
        }

        if (SheavesOf(cache) is { } sheaves && TakeFromSheaves(cpu, cache, sheaves, gfp, node) is ulong address and not 0)
        {
            return address;
        }

        return _hasCpuSlabs ? AllocFromCurrent(cpu, cache, gfp, node)
            : cache.IsDebugged ? AllocDebugged(cpu, cache, gfp, node)
            : TakeOneFromSlabs(cpu, cache, gfp, node);
    }

    /// <summary>Allocates from the CPU's current slab, its partial list, the nodes, in this order.</summary>
    private ulong AllocFromCurrent(Cpu cpu, KmemCache cache, Gfp gfp, int node)
    {
        ref CpuSlab c = ref cache.CurrentSlabs[cpu.Id];
        if (c.Slab == 0 && node >= 0 && _machine.ZoneTable.NodeOrDefault(node) is not { PresentPages: > 0 })
        {
            node = -1;
        }

        for (; ; )
        {
            if (c.Slab != 0)
            {
                if (!Suits(cpu, c.Slab, gfp, node))
                {
                    Deactivate(cpu, cache, ref c);
                }
                else if (c.FreeHead != SlabPage.End || TakeSlabFreelist(ref c))
                {
                    return Pop(ref c);
                }
                else
                {
                    Forget(ref c);
                }
            }

            if (c.Partial == 0)
            {
                break;
            }

            int next = c.Partial;
            c.Partial = _memory[next].Next;
            Attach(ref c, next);
        }

        return AllocFromNodes(cpu, cache, ref c, gfp, node);
    }

    /// <summary>Allocates from what the CPU has: objects others freed to its current slab, then its partial list.</summary>
    /// <returns>The address; 0 when that is not enough, or a slab needs a closer look.</returns>
    internal ulong AllocFromCpu(ref CpuSlab c)
    {
        for (; ; )
        {
            if (c.Slab != 0)
            {
                if ((_memory.Pages[(uint)c.Slab].State & SlabPage.FromReserves) != 0)
                {
                    return 0;
                }

                if (TakeSlabFreelist(ref c))
                {
                    return Pop(ref c);
                }

                Forget(ref c);
            }

            int next = c.Partial;
            if (next == 0)
            {
                return 0;
            }

            c.Partial = _memory.Pages[(uint)next].Next;
            Attach(ref c, next);
        }
    }

    /// <summary>Frees an allocated object of a slab marked <see cref="SlabPage.Plain"/> that is not the CPU's current one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void FreePlain(Cpu cpu, ref SlabPage slab, int head, uint index)
    {
        if (!_parallel && slab.FreeHead != SlabPage.End && (slab.InUse > 1 || (slab.State & SlabPage.Frozen) != 0))
        {
            // It has free objects before and others in use after: it stays where it is.
            slab.Links[index] = slab.FreeHead;
            slab.FreeHead = (ushort)index;
            slab.InUse--;
            return;
        }

        FreeChain(cpu, _allocator.CacheOf(slab.Cache), head, index, index, 1);
    }

    /// <summary>Takes the front of the CPU's own free list, which is not empty.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Pop(ref CpuSlab c)
    {
        uint index = c.FreeHead;
        SlabLinks links = c.Links;
        ref ushort link = ref links[index];
        c.FreeHead = link;
        link = SlabPage.Allocated;
        return c.Base + (index * c.Size);
    }

    /// <summary>Frees an object whose slab is not the CPU's current one, or is.</summary>
    public override void Free(Cpu cpu, KmemCache cache, int head, uint index)
    {
        if (cache.IsDebugged)
        {
            FreeDebugged(cpu, cache, head, index);
            return;
        }

        if (SheavesOf(cache) is { } sheaves && GiveToSheaves(cpu, cache, sheaves, head, index))
        {
            return;
        }

        ref CpuSlab c = ref cache.CurrentSlabs[cpu.Id];
        if (c.Slab == head)
        {
            c.Links[index] = (ushort)c.FreeHead;
            c.FreeHead = index;
            return;
        }

        FreeChain(cpu, cache, head, index, index, 1);
    }

    /// <summary>The sheaves of a cache; null where it has none.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static SheafCache? SheavesOf(KmemCache cache) => Unsafe.As<SheafCache?>(cache.BackendState);

    /// <summary>Gives a chain of objects of one slab back to it, and the slab where it belongs then (<c>__slab_free()</c>).</summary>
    internal void FreeChain(Cpu cpu, KmemCache cache, int head, uint first, uint last, int count)
    {
        ref SlabPage slab = ref _memory[head];
        SlubNode? locked = null;
        Lock(ref slab);
        for (; ; )
        {
            ushort prior = slab.FreeHead;
            int inUse = slab.InUse - count;
            bool frozen = (slab.State & SlabPage.Frozen) != 0;
            bool freeze = !frozen && prior == SlabPage.End && cache.Layout.CpuPartial != 0;
            bool moves = !frozen && !freeze && (inUse == 0 || prior == SlabPage.End);
            if (moves && locked is null && _parallel)
            {
                // The node's lock comes first: take both, then look again.
                Unlock(ref slab);
                locked = cache.Nodes[slab.Node];
                locked.Lock.Enter();
                Lock(ref slab);
                continue;
            }

            Debug.Assert(inUse >= 0 && first < slab.Objects && last < slab.Objects, "objects of the slab, and no more than are in use");
            if (_parallel)
            {
                _machine.Interleaver?.Pass("Slub.FreeChain");
            }

            slab.Links[last] = prior;
            slab.FreeHead = (ushort)first;
            slab.InUse = (ushort)inUse;
            if (freeze)
            {
                slab.State |= SlabPage.Frozen;
            }

            Unlock(ref slab);
            bool empty = false;
            if (moves)
            {
                SlubNode node = cache.Nodes[slab.Node];
                empty = inUse == 0 && node.Partial.Count >= cache.MinPartial;
                if (empty && prior != SlabPage.End)
                {
                    node.Partial.Remove(_memory, head);
                }
                else if (!empty && prior == SlabPage.End)
                {
                    node.Partial.AddLast(_memory, head);
                }
            }

            locked?.Lock.Exit();
            if (empty)
            {
                Discard(cpu, cache, head);
            }
            else if (freeze)
            {
                PutCpuPartial(cpu, cache, head);
            }

            return;
        }
    }

    /// <summary>Whether the CPU may go on with a slab for a request: the node's, and not from reserves the request has no right to.</summary>
    private bool Suits(Cpu cpu, int head, Gfp gfp, int node)
    {
        ref SlabPage slab = ref _memory[head];
        return (node < 0 || slab.Node == node) && ((slab.State & SlabPage.FromReserves) == 0 || SlabPages.MayUseReserves(cpu, gfp));
    }

    /// <summary>Takes what others freed to the CPU's current slab; a full slab belongs to nobody afterwards.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool TakeSlabFreelist(ref CpuSlab c)
    {
        ref SlabPage slab = ref _memory[c.Slab];
        Lock(ref slab);
        ushort free = slab.FreeHead;
        if (free == SlabPage.End)
        {
            slab.State &= unchecked((byte)~SlabPage.Frozen);
        }
        else
        {
            Debug.Assert(free < slab.Objects && slab.InUse < slab.Objects, "what heads the slab's list is an object of it, and free");
            slab.FreeHead = SlabPage.End;
            slab.InUse = slab.Objects;
            c.FreeHead = free;
        }

        Unlock(ref slab);
        return free != SlabPage.End;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Attach(ref CpuSlab c, int head)
    {
        ref SlabPage slab = ref _memory[head];
        slab.Next = 0;
        c.Slab = head;
        c.Base = slab.Base;
        c.Links = slab.Links;
        c.Size = slab.Size;
        c.Reciprocal = slab.Reciprocal;
        c.Bytes = slab.Objects * slab.Size;
        c.FreeHead = SlabPage.End;
    }

    private static void Forget(ref CpuSlab c)
    {
        c.Slab = 0;
        c.Bytes = 0;
        c.FreeHead = SlabPage.End;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Lock(ref SlabPage slab)
    {
        if (_parallel && (_machine.Interleaver is not null || Interlocked.CompareExchange(ref slab.LockWord, 1, 0) != 0))
        {
            WaitFor(ref slab);
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void WaitFor(ref SlabPage slab)
    {
        if (_machine.Interleaver is { } interleaver)
        {
            interleaver.Watch("SlabPage.LockWord", slab.Base).Enter();
            return;
        }

        SpinWait spin = default;
        do
        {
            spin.SpinOnce(sleep1Threshold: -1);
        }
        while (Interlocked.CompareExchange(ref slab.LockWord, 1, 0) != 0);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Unlock(ref SlabPage slab)
    {
        if (_parallel)
        {
            if (_machine.Interleaver is null)
            {
                Volatile.Write(ref slab.LockWord, 0);
            }
            else
            {
                Leave(ref slab);
            }
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void Leave(ref SlabPage slab) => _machine.Interleaver!.Watch("SlabPage.LockWord", slab.Base).Exit();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Lock(SlubNode node)
    {
        if (_parallel)
        {
            node.Lock.Enter();
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Unlock(SlubNode node)
    {
        if (_parallel)
        {
            node.Lock.Exit();
        }
    }
}
