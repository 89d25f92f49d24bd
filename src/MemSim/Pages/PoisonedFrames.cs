namespace MemSim.Pages;

/// <summary>Frames at which the hardware reported an uncorrectable error: those taken out of use, which say <see cref="PageFlags.HwPoison"/> themselves, and those that their owners still have.</summary>
/// <remarks>What a frame itself says is written anew with each use; that it is broken stays.</remarks>
internal sealed class PoisonedFrames
{
    private readonly SortedSet<int> _frames = [];

    /// <summary>How many there are.</summary>
    public int Count => _frames.Count;

    /// <summary>Whether there is an error in a frame.</summary>
    public bool Contains(int pfn) => _frames.Count != 0 && _frames.Contains(pfn);

    /// <summary>The first frame of a range in which there is an error; -1 when there is none.</summary>
    public int FirstIn(int start, int end)
    {
        if (_frames.Count == 0 || start >= end)
        {
            return -1;
        }

        SortedSet<int> between = _frames.GetViewBetween(start, end - 1);
        return between.Count == 0 ? -1 : between.Min;
    }

    /// <summary>An error was reported.</summary>
    /// <returns>False when it was before.</returns>
    public bool Add(int pfn) => _frames.Add(pfn);

    /// <summary>The frame is good again, or gone.</summary>
    /// <returns>Whether there was an error in it.</returns>
    public bool Remove(int pfn) => _frames.Remove(pfn);
}
