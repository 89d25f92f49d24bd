namespace MemSim.Migration;

/// <summary>Who used a page last, or when it was last seen (<c>page->_last_cpupid</c>): beside the frames, so that a machine that does not balance has neither the room nor the work.</summary>
/// <remarks>A word counts only for the page it was written for: the kernel forgets it when the page is freed, here it is known by owner and index.</remarks>
internal sealed class PageUses
{
    private const int ChunkShift = 15;
    private const int ChunkMask = (1 << ChunkShift) - 1;

    private readonly Machine _machine;
    private readonly Use[]?[] _chunks;

    public PageUses(Machine machine)
    {
        _machine = machine;
        _chunks = new Use[((machine.Frames.Count - 1) >> ChunkShift) + 1][];
    }

    /// <summary>What was written for the page in a frame; null when nothing was.</summary>
    public uint? this[int pfn]
    {
        get
        {
            if (_chunks[pfn >> ChunkShift] is not { } chunk)
            {
                return null;
            }

            ref Use use = ref chunk[pfn & ChunkMask];
            ref Pages.PageFrame frame = ref _machine.Frames.Array[pfn];
            return use.IsSet && use.Mapping == frame.Mapping && use.Index == frame.Index ? use.Value : null;
        }
    }

    /// <summary>Writes a word for a page.</summary>
    /// <returns>What was there before.</returns>
    public uint? Exchange(int pfn, uint value)
    {
        uint? before = this[pfn];
        Use[] chunk = _chunks[pfn >> ChunkShift] ??= new Use[1 << ChunkShift];
        ref Pages.PageFrame frame = ref _machine.Frames.Array[pfn];
        chunk[pfn & ChunkMask] = new Use { Mapping = frame.Mapping, Index = frame.Index, Value = value, IsSet = true };
        return before;
    }

    private struct Use
    {
        public uint Mapping;
        public uint Index;
        public uint Value;
        public bool IsSet;
    }
}
