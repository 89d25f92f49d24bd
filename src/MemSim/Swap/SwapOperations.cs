namespace MemSim.Swap;

/// <summary>Tells which pages go to their device together: one request has as many as follow one another there, up to 32 (<c>nrswpin</c>, <c>nrswpout</c> of 7.3).</summary>
/// <remarks>Devices that answer while the CPU waits get each page by itself. Of pages sent by several CPUs in turn more requests are counted than one CPU would make of them.</remarks>
internal sealed class SwapOperations
{
    private const int LargestRequest = 32;

    private int _type = -1;
    private long _next;
    private int _pages;

    /// <summary>A page is read or written.</summary>
    /// <returns>Whether a request begins with it.</returns>
    public bool Begins(SwapEntry entry, bool isSynchronous)
    {
        bool begins = isSynchronous || entry.Type != _type || entry.Offset != _next || _pages == LargestRequest;
        _pages = begins ? 1 : _pages + 1;
        (_type, _next) = (entry.Type, entry.Offset + 1);
        return begins;
    }

    /// <summary>What was gathered is sent: the next page begins a request.</summary>
    public void End() => _type = -1;
}
