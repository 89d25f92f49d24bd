namespace MemSim.Swap;

/// <summary>Who brings a page in: an area of a process, or shared memory.</summary>
internal interface ISwapNeighbours
{
    /// <summary>What read-ahead remembers of it; 0 at first (<c>vma->swap_readahead_info</c>).</summary>
    ulong ReadAhead { get; set; }

    /// <summary>Whether it has entries at addresses; else read-ahead goes by slots.</summary>
    bool HasAddresses { get; }

    /// <summary>The addresses that a window around one may cover: the area, as far as its lowest page table goes.</summary>
    (ulong Start, ulong End) Around(ulong address);

    /// <summary>The swap entry at an address, or none.</summary>
    SwapEntry EntryAt(ulong address);

    /// <summary>A page for an address, by its policies; -1 without memory.</summary>
    int AllocatePage(Cpu cpu, ulong address);

    /// <summary>The task whose memory it is; null when it is nobody's in particular.</summary>
    KernelTask? Owner => null;
}
