namespace MemSim.PageCache;

/// <summary>How a file was read so far (<c>struct file_ra_state</c>).</summary>
internal sealed class ReadAheadState
{
    /// <summary>The first page of the current window.</summary>
    public uint Start;

    /// <summary>Its pages.</summary>
    public uint Size;

    /// <summary>How many pages before its end the next window is started.</summary>
    public uint AsyncSize;

    /// <summary>The order of the pages of the current window.</summary>
    public int Order;

    /// <summary>The largest window, in pages; 0 turns read-ahead off (<c>POSIX_FADV_RANDOM</c>).</summary>
    public uint MaxPages = ReadAheadPolicy.DefaultMaxPages;

    /// <summary>How often mapped accesses missed the cache more than they hit.</summary>
    public int MappedMisses;

    /// <summary>Where the last read ended, in bytes; -1 before the first.</summary>
    public long PreviousPosition = -1;
}
