namespace MemSim.Hardware;

/// <summary>Where page-table code gets its frames from: the hardware does not know who manages memory.</summary>
internal interface IPageTableFrames
{
    /// <summary>A frame full of zeroes for a table; -1 without memory.</summary>
    long Allocate(Cpu cpu, bool kernel);

    /// <summary>Takes a frame back.</summary>
    void Free(Cpu cpu, long pfn);

    /// <summary>Says whose table of which level a frame holds.</summary>
    void Mark(long pfn, int tag);

    /// <summary>Whether a frame holds a table that was marked so: whatever an entry in memory says.</summary>
    bool Owns(long pfn, int tag);

    /// <summary>What is wrong with a frame that a table lives in; null when nothing is.</summary>
    string? Check(long pfn);
}
