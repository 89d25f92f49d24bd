namespace MemSim.CompressedMemory;

/// <summary>Memory for compressed pages: objects of some bytes in frames of the page allocator.</summary>
/// <remarks>Guarded by the lock of those who own pages. A handle is a number of the pool; 0 is none.</remarks>
internal interface ICompressedPool
{
    /// <summary>The kernel's name.</summary>
    string Name { get; }

    /// <summary>Frames taken.</summary>
    long Pages { get; }

    /// <summary>The longest object.</summary>
    int LongestObject { get; }

    /// <summary>Takes room for an object.</summary>
    /// <returns>ENOMEM, or ENOSPC when it is too long.</returns>
    Errno Allocate(Cpu cpu, int bytes, Gfp gfp, out int handle);

    /// <summary>Gives an object's room back.</summary>
    void Free(Cpu cpu, int handle);

    /// <summary>Fills an object.</summary>
    void Write(int handle, ReadOnlySpan<byte> bytes);

    /// <summary>Reads an object.</summary>
    void Read(int handle, Span<byte> into);

    /// <summary>Adds the frames that the pool holds.</summary>
    void AddFrames(ICollection<int> frames);

    /// <summary>Checks counts, lists and frames against each other.</summary>
    void Verify();
}
