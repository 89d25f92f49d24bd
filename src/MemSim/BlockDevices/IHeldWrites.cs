namespace MemSim.BlockDevices;

/// <summary>Whoever has writes under way on devices, and is to be told that they ended.</summary>
internal interface IHeldWrites
{
    /// <summary>The machine whose pages are written.</summary>
    Machine Machine { get; }

    /// <summary>Ends the writes that are under way.</summary>
    /// <returns>How many pages were written.</returns>
    int CompleteHeldWrites(Cpu cpu);
}

/// <summary>Swap's writes: they are under way on any device, and counted with those of files.</summary>
internal interface ISwapWrites : IHeldWrites
{
    /// <summary>Pages of a node whose writes are under way.</summary>
    long PagesUnderWay(int node);

    /// <summary>Reclaim went through a batch of pages: what it gathered for a device is sent (<c>swap_write_unplug()</c>).</summary>
    void EndBatch();
}
