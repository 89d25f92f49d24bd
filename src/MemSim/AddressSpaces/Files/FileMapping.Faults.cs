namespace MemSim.AddressSpaces.Files;

/// <content>What the page-fault path asks for.</content>
internal abstract partial class FileMapping
{
    /// <summary>Finds or reads a page for a fault (<c>filemap_fault()</c>): with a reference for the caller, unlocked, up to date.</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="index">The page of the file.</param>
    /// <param name="pfn">The page; -1 where the result has a bit of <see cref="FaultResult.Error"/>.</param>
    /// <param name="file">The open file that the area maps, for its read-ahead state; null for none.</param>
    /// <param name="advice">What <c>madvise()</c> said about the area.</param>
    /// <returns>The result; counting faults is up to the caller.</returns>
    public FaultResult GetPageForFault(Cpu cpu, uint index, out int pfn, OpenFile? file = null, FileAccessAdvice advice = FileAccessAdvice.Normal) =>
        throw new NotImplementedException();

    /// <summary>The page at an index if it is in the cache, up to date, unlocked and in the file; no reference is taken. For fault-around (<c>filemap_map_pages()</c>).</summary>
    /// <returns>The page, or -1.</returns>
    public int Peek(uint index) => throw new NotImplementedException();

    /// <summary>A shared mapping is about to write to a page (<c>page_mkwrite</c>): gives it space on the device and makes it dirty.</summary>
    /// <returns>False: there is no space (<c>SIGBUS</c>), or the page was truncated.</returns>
    public bool PageMkWrite(Cpu cpu, int pfn) => throw new NotImplementedException();

    /// <summary>Makes a page dirty, as unmapping a dirty entry does (<c>folio_mark_dirty()</c>).</summary>
    /// <returns>Whether it was clean before.</returns>
    public bool SetDirty(Cpu cpu, int pfn) => throw new NotImplementedException();

    /// <summary>The number of errors so far, for <see cref="OpenFile"/> (<c>errseq_sample()</c>).</summary>
    public uint SampleErrors() => throw new NotImplementedException();
}

/// <summary>How a mapped area will be read (<c>MADV_NORMAL</c>, <c>MADV_RANDOM</c>, <c>MADV_SEQUENTIAL</c>).</summary>
internal enum FileAccessAdvice
{
    /// <summary>Around the fault.</summary>
    Normal,

    /// <summary>Single pages.</summary>
    Random,

    /// <summary>Ahead of the fault.</summary>
    Sequential,
}
