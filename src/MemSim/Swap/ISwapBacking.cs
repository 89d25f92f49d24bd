namespace MemSim.Swap;

/// <summary>What a swap area writes to and reads from.</summary>
internal interface ISwapBacking : IDisposable
{
    string Name { get; }

    /// <summary>Whether <c>/proc/swaps</c> calls it a file rather than a partition.</summary>
    bool IsFile { get; }

    /// <summary>Its size in pages, header included.</summary>
    long Pages { get; }

    /// <summary>Whether seeking costs nothing: slots are then given out cluster by cluster for each CPU.</summary>
    bool IsSolidState { get; }

    /// <summary>Whether a read is done by the CPU itself, as from compressed memory: a page that one entry names then bypasses the swap cache (<c>SWP_SYNCHRONOUS_IO</c>).</summary>
    bool IsSynchronous { get; }

    /// <summary>Whether writes stay under way until somebody waits for them.</summary>
    bool HoldsWrites { get; }

    /// <summary>Whether it can take pages at all: why not, or <see cref="Errno.None"/>.</summary>
    Errno Check();

    /// <summary>Reads a slot into a frame; the frame's contents are undefined after an error.</summary>
    Errno Read(Cpu cpu, long slot, int pfn);

    /// <summary>Writes a frame to a slot.</summary>
    Errno Write(Cpu cpu, long slot, int pfn);

    /// <summary>Whether it is to be told of slots that nothing uses any more.</summary>
    bool KeepsSlotsInMemory => false;

    /// <summary>Nothing uses a slot any more: memory that keeps its page may be given back at once.</summary>
    void SlotFreed(Cpu cpu, long slot)
    {
    }

    /// <summary>The slots hold nothing that anybody needs.</summary>
    void Discard(long slot, long count);
}
