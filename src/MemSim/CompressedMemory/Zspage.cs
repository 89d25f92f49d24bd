using System.Diagnostics;
using MemSim.Collections;

namespace MemSim.CompressedMemory;

/// <summary>A block of frames that objects of one class share; an object may lie across two of them (<c>struct zspage</c>).</summary>
internal sealed class Zspage
{
    private readonly short[] _nextFree;
    private short _firstFree;

    public Zspage(SizeClass sizeClass, int number)
    {
        Class = sizeClass;
        Number = number;
        Pfns = new int[sizeClass.PagesPerZspage];
        Handles = new int[sizeClass.ObjectsPerZspage];
        _nextFree = new short[sizeClass.ObjectsPerZspage];
        for (int i = 0; i < _nextFree.Length; i++)
        {
            _nextFree[i] = (short)(i + 1);
        }
    }

    public SizeClass Class { get; }

    /// <summary>Its frames name it by that.</summary>
    public int Number { get; }

    public int[] Pfns { get; }

    /// <summary>The handle of each object, 0 where there is none.</summary>
    public int[] Handles { get; }

    public int InUse { get; private set; }

    public int Group { get; set; }

    private Links<Zspage, GroupLinks> _groupLinks;

    /// <summary>Its place in its group.</summary>
    internal readonly struct GroupLinks : IChainLinks<Zspage, GroupLinks>
    {
        public static ref Links<Zspage, GroupLinks> Of(Zspage member) => ref member._groupLinks;
    }

    /// <summary>Its descriptor, an object of a slab cache.</summary>
    public VirtualAddress Descriptor { get; init; }

    public bool IsFull => InUse == Handles.Length;

    /// <summary>Takes the object that was freed last, or the first that was never used.</summary>
    public int Take(int handle)
    {
        int index = _firstFree;
        Debug.Assert(!IsFull && Handles[index] == 0 && handle != 0, "there is a free object, which nobody has");
        _firstFree = _nextFree[index];
        Handles[index] = handle;
        InUse++;
        return index;
    }

    public void Give(int index)
    {
        Debug.Assert(InUse > 0 && Handles[index] != 0, "somebody has the object");
        Handles[index] = 0;
        _nextFree[index] = _firstFree;
        _firstFree = (short)index;
        InUse--;
    }
}
