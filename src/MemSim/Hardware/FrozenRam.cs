using System.Runtime.InteropServices;

namespace MemSim.Hardware;

/// <summary>Contents of RAM at one moment, for any number of copies of the machine.</summary>
/// <remarks>
/// Where the host can (Linux), they lie in files without a name (<c>memfd_create()</c>) that the original and its copies map privately: the host copies a page when one of them writes to it.
/// The first snapshot of a machine puts what it ever touched into such a file; a later one, also of a copy, only what was written since, into another one that is mapped over the first; a copy maps
/// them all. When they are in too many pieces, a new file gets everything. Elsewhere everything is copied each time.
/// </remarks>
internal sealed class FrozenRam
{
    private readonly RamPiece[] _pieces = [];
    private readonly byte[] _touched = [];
    private readonly PhysicalMemory? _copy;

    private FrozenRam(ulong bytes, RamPiece[] pieces, byte[] touched)
    {
        Bytes = bytes;
        _pieces = pieces;
        _touched = touched;
    }

    private FrozenRam(PhysicalMemory copy)
    {
        Bytes = copy.Bytes;
        _copy = copy;
    }

    public ulong Bytes { get; }

    /// <summary>The contents as they are now; null on a machine without.</summary>
    public static FrozenRam? Of(PhysicalMemory ram)
    {
        if (!ram.HasContents)
        {
            return null;
        }

        if (ram.TryFreeze() is { } pieces)
        {
            return new FrozenRam(ram.Bytes, pieces, ram.CopyOfTouched());
        }

        PhysicalMemory copy = new((long)(ram.Bytes >> PageGeometry.PageShift), hasContents: true, ram.Host);
        copy.CopyFrom(ram);
        return new FrozenRam(copy);
    }

    /// <summary>Contents that nobody else has.</summary>
    public static FrozenRam Own(PhysicalMemory contents) => new(contents);

    /// <summary>RAM with these contents.</summary>
    public PhysicalMemory Thaw(HostMemory host)
    {
        PhysicalMemory ram = new((long)(Bytes >> PageGeometry.PageShift), hasContents: true, host);
        if (_copy is null)
        {
            ram.Map(_pieces, _touched);
        }
        else
        {
            ram.CopyFrom(_copy);
        }

        return ram;
    }
}

/// <summary>A piece of RAM whose contents lie in a file, at the same offset as in RAM.</summary>
/// <param name="First">The first page of the host.</param>
/// <param name="End">The page after the last one.</param>
/// <param name="File">The file.</param>
internal readonly record struct RamPiece(int First, int End, RamFile File)
{
    /// <summary>Lays pieces over others.</summary>
    /// <param name="below">Pieces without gaps between them, ascending.</param>
    /// <param name="above">Pieces, ascending.</param>
    public static RamPiece[] Over(IReadOnlyList<RamPiece> below, IReadOnlyList<RamPiece> above)
    {
        List<RamPiece> all = [.. above];
        int next = 0;
        foreach (RamPiece piece in below)
        {
            while (next < above.Count && above[next].End <= piece.First)
            {
                next++;
            }

            int from = piece.First;
            for (int i = next; i < above.Count && above[i].First < piece.End; i++)
            {
                if (above[i].First > from)
                {
                    all.Add(piece with { First = from, End = above[i].First });
                }

                from = Math.Max(from, above[i].End);
            }

            if (from < piece.End)
            {
                all.Add(piece with { First = from });
            }
        }

        all.Sort((a, b) => a.First.CompareTo(b.First));
        return [.. all];
    }
}

/// <summary>A file in memory without a name, whose contents nobody changes once it is mapped.</summary>
internal sealed partial class RamFile : SafeHandle
{
    private const uint CloseOnExec = 1;

    private RamFile(int file)
        : base(-1, ownsHandle: true) => SetHandle(file);

    public override bool IsInvalid => handle < 0;

    /// <summary>Bytes in a page of the host.</summary>
    public static int PageBytes { get; } = Environment.SystemPageSize;

    /// <summary>The host's number of the file.</summary>
    public int Number => (int)handle;

    /// <summary>Makes a file of a size that reads as zeroes; null where the host has none to give.</summary>
    public static RamFile? TryMake(long bytes)
    {
        if (!OperatingSystem.IsLinux())
        {
            return null;
        }

        try
        {
            RamFile made = new(Create("memsim", CloseOnExec));
            if (!made.IsInvalid && Resize(made.Number, (nint)bytes) == 0)
            {
                return made;
            }

            made.Dispose();
            return null;
        }
        catch (EntryPointNotFoundException)
        {
            return null;
        }
    }

    /// <summary>Writes bytes at an offset.</summary>
    /// <returns>False when the host has no room.</returns>
    public bool TryWrite(ReadOnlySpan<byte> bytes, long offset)
    {
        while (bytes.Length != 0)
        {
            nint written = WriteAt(Number, bytes, (nuint)bytes.Length, (nint)offset);
            if (written <= 0)
            {
                return false;
            }

            bytes = bytes[(int)written..];
            offset += written;
        }

        return true;
    }

    protected override bool ReleaseHandle() => Close((int)handle) == 0;

    [LibraryImport("libc", EntryPoint = "memfd_create", StringMarshalling = StringMarshalling.Utf8)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Create(string name, uint flags);

    [LibraryImport("libc", EntryPoint = "ftruncate")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Resize(int file, nint bytes);

    [LibraryImport("libc", EntryPoint = "pwrite")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial nint WriteAt(int file, ReadOnlySpan<byte> from, nuint bytes, nint offset);

    [LibraryImport("libc", EntryPoint = "close")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Close(int file);
}
