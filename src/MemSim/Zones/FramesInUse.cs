using MemSim.Pages;

namespace MemSim.Zones;

/// <summary>Walks over the blocks in use of a range of frames, from one first frame to the next: past free memory, past the inside of blocks, and past memory that the allocator never gets.</summary>
internal struct FramesInUse
{
    private readonly FrameArray _frames;
    private readonly Machine _machine;
    private readonly long _end;
    private long _next;

    /// <summary>Begins a walk.</summary>
    /// <param name="machine">The machine.</param>
    /// <param name="start">The first frame.</param>
    /// <param name="end">The frame after the last.</param>
    public FramesInUse(Machine machine, long start, long end)
    {
        _frames = machine.Frames.Array;
        _machine = machine;
        _next = start;
        _end = end;
    }

    /// <summary>The first frame of the block found.</summary>
    public int Pfn { get; private set; }

    /// <summary>Goes to the next block with references.</summary>
    /// <returns>Whether there is one.</returns>
    public bool MoveNext()
    {
        while (_next < _end)
        {
            int pfn = (int)_next;
            if ((pfn & ((1 << PageGeometry.MaxOrder) - 1)) == 0 && _machine.ZoneTable.IsNeverUsed(pfn))
            {
                _next += 1L << PageGeometry.MaxOrder;
                continue;
            }

            ref PageFrame frame = ref _frames[pfn];
            if (frame.IsInUse)
            {
                _next += 1L << frame.Order;
                Pfn = pfn;
                if (frame.RefCount != 0)
                {
                    return true;
                }
            }
            else if (frame.IsBuddy)
            {
                _next += 1L << (frame.Private & 15);
            }
            else
            {
                _next++;
            }
        }

        return false;
    }
}
