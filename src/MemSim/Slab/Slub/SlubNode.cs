using System.Diagnostics;
using MemSim.Hardware;

namespace MemSim.Slab;

/// <summary>A node's slabs of a cache (<c>struct kmem_cache_node</c>): those with free objects, and of debugged caches the full ones.</summary>
internal sealed class SlubNode
{
    // Guards Partial and the links of its slabs (n->list_lock).
    public PaddedLock Lock;

    public SlabList Partial;

    /// <summary>Only debugged caches keep full slabs on a list.</summary>
    public SlabList Full;

    /// <summary>All slabs whose pages lie on the node.</summary>
    public long Slabs;

    /// <summary>Objects in all of them.</summary>
    public long Objects;

    public SlubNode(int id) => Id = id;

    public int Id { get; }
}

/// <summary>A list of slabs, linked through <see cref="SlabPage.Next"/> and <see cref="SlabPage.Prev"/>.</summary>
internal struct SlabList
{
    public int First;
    public int Last;
    public int Count;

    public void AddFirst(SlabMemory memory, int head)
    {
        ref SlabPage slab = ref memory[head];
        Debug.Assert(slab.Listed == 0 && AgreesWithItself(memory), "the slab is on no list; the list has ends if it has members");
        slab.Prev = 0;
        slab.Next = First;
        if (First != 0)
        {
            memory[First].Prev = head;
        }
        else
        {
            Last = head;
        }

        First = head;
        Count++;
        slab.Listed = 1;
    }

    public void AddLast(SlabMemory memory, int head)
    {
        ref SlabPage slab = ref memory[head];
        Debug.Assert(slab.Listed == 0 && AgreesWithItself(memory), "the slab is on no list; the list has ends if it has members");
        slab.Next = 0;
        slab.Prev = Last;
        if (Last != 0)
        {
            memory[Last].Next = head;
        }
        else
        {
            First = head;
        }

        Last = head;
        Count++;
        slab.Listed = 1;
    }

    public void Remove(SlabMemory memory, int head)
    {
        ref SlabPage slab = ref memory[head];
        Debug.Assert(slab.Listed != 0 && (slab.Prev == 0 ? First == head : memory[slab.Prev].Next == head) && (slab.Next == 0 ? Last == head : memory[slab.Next].Prev == head), "both neighbours lead to the slab: it is on this list");
        if (slab.Prev != 0)
        {
            memory[slab.Prev].Next = slab.Next;
        }
        else
        {
            First = slab.Next;
        }

        if (slab.Next != 0)
        {
            memory[slab.Next].Prev = slab.Prev;
        }
        else
        {
            Last = slab.Prev;
        }

        slab.Next = slab.Prev = 0;
        Count--;
        slab.Listed = 0;
        Debug.Assert(AgreesWithItself(memory), "the list has ends if it has members");
    }

    private readonly bool AgreesWithItself(SlabMemory memory) =>
        Count == 0 ? First == 0 && Last == 0 : Count > 0 && First != 0 && Last != 0 && memory[First].Prev == 0 && memory[Last].Next == 0;
}
