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

    public Zspage? Previous { get; set; }

    public Zspage? Next { get; set; }

    /// <summary>Its descriptor, an object of a slab cache.</summary>
    public VirtualAddress Descriptor { get; init; }

    public bool IsFull => InUse == Handles.Length;

    /// <summary>Takes the object that was freed last, or the first that was never used.</summary>
    public int Take(int handle)
    {
        int index = _firstFree;
        _firstFree = _nextFree[index];
        Handles[index] = handle;
        InUse++;
        return index;
    }

    public void Give(int index)
    {
        Handles[index] = 0;
        _nextFree[index] = _firstFree;
        _firstFree = (short)index;
        InUse--;
    }
}
