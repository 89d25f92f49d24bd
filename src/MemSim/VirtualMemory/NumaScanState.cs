namespace MemSim.VirtualMemory;

/// <summary>How far balancing between nodes has come with an address space and its task (<c>numa_*</c> of <c>mm_struct</c> and <c>task_struct</c>).</summary>
/// <remarks>The kernel keeps a part of it by thread; here an address space has one.</remarks>
internal sealed class NumaScanState
{
    /// <summary>No node is preferred yet.</summary>
    public const int NoNode = -1;

    /// <summary>Nanoseconds that the task ran so far, and how many of them were seen at the last scan (<c>node_stamp</c>).</summary>
    public long RanNanoseconds;
    public long StampNanoseconds;

    /// <summary>When the next scan may be (<c>numa_next_scan</c>).</summary>
    public long NextScanNanoseconds;

    /// <summary>How long the task runs between two scans (<c>numa_scan_period</c>); 0 before the first.</summary>
    public long PeriodNanoseconds;

    /// <summary>Where the next scan begins (<c>numa_scan_offset</c>).</summary>
    public ulong Offset;

    /// <summary>Times that the whole address space was scanned (<c>numa_scan_seq</c>), and how many of them placement has seen.</summary>
    public int Sequence;
    public int PlacedSequence;

    /// <summary>Pages that scans marked since the address space was begun anew.</summary>
    public long MarkedThisRound;

    /// <summary>The node with most faults (<c>numa_preferred_nid</c>).</summary>
    public int PreferredNode = NoNode;

    /// <summary>Pages used by node: decaying, and since the last placement (<c>numa_faults</c>).</summary>
    public long[] Faults = [];
    public long[] NewFaults = [];

    /// <summary>Pages used since the last placement by nobody else, and by others too.</summary>
    public long PrivateFaults;
    public long SharedFaults;

    /// <summary>Pages used far from the CPU, near it, and those that could not be moved (<c>numa_faults_locality</c>).</summary>
    public long RemoteFaults;
    public long LocalFaults;
    public long FailedMoves;
}
