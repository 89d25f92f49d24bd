using System.Runtime.InteropServices;

namespace MemSim.Hardware;

/// <content>Contents that lie in files of the host's memory and are copied when written (<see cref="FrozenRam"/>).</content>
/// <remarks>
/// Mappings change at their place: addresses that were lent stay good. A chunk of <c>_touched</c> is <see cref="Written"/> from its first write on, and <see cref="Unwritten"/> when
/// its contents are those of the files.
/// </remarks>
internal sealed partial class PhysicalMemory
{
    private const byte Written = 1;
    private const byte Unwritten = 2;
    private const ulong PageIsThere = 1UL << 63;
    private const ulong PageIsSwapped = 1UL << 62;
    private const ulong PageIsTheFiles = 1UL << 61;

    /// <summary>In more pieces the host must not keep one machine: it has a limit for all of the process (<c>vm.max_map_count</c>).</summary>
    private const int MostPieces = 2048;

    /// <summary>So many pages that were not written between two that were are put into the file with them, so that they are one piece.</summary>
    private const int JoinedGap = 8;

    // What the memory is mapped from where it was not written to; empty where it is its own.
    private RamPiece[] _frozen = [];

    private static int HostPageBytes => RamFile.PageBytes;

    /// <summary>Which chunks were ever written.</summary>
    public byte[] CopyOfTouched() => [.. _touched];

    /// <summary>Puts what was written into files that nobody changes any more, and maps those in its place.</summary>
    /// <returns>The contents as pieces of files; null where the host has no such files: then nothing has changed.</returns>
    public RamPiece[]? TryFreeze()
    {
        if (_reservation is not { IsMapped: true })
        {
            return null;
        }

        if (_frozen.Length != 0 && ListWritten() is { } written && written.Count + _frozen.Length < MostPieces)
        {
            return written.Count == 0 || TryMove(written) ? _frozen : null;
        }

        // All at once: the first time, or when it has become too many pieces.
        return TryMove([(0, (int)(Bytes / (uint)HostPageBytes))]) ? _frozen : null;
    }

    /// <summary>Has the contents of files from now on, in memory that was just prepared.</summary>
    /// <exception cref="InvalidOperationException">The host refuses to map them.</exception>
    public void Map(RamPiece[] pieces, ReadOnlySpan<byte> touched)
    {
        foreach (RamPiece piece in pieces)
        {
            if (!TryMap(piece))
            {
                throw new InvalidOperationException($"the host refuses to map {Bytes >> 20} MiB of a snapshot's contents of RAM");
            }
        }

        touched.CopyTo(_touched);
        _frozen = pieces;
        MarkUnwritten();
    }

    /// <summary>The runs of pages that were written to since the memory lies in files; null when the host does not say.</summary>
    private List<(int First, int End)>? ListWritten()
    {
        int pagesInChunk = (int)(ChunkBytes / (nuint)HostPageBytes);
        List<(int First, int End)> runs = [];
        try
        {
            using Microsoft.Win32.SafeHandles.SafeFileHandle map = File.OpenHandle("/proc/self/pagemap");
            Span<ulong> entries = new ulong[pagesInChunk];
            for (int chunk = 0; chunk < _touched.Length; chunk++)
            {
                if (_touched[chunk] != Written)
                {
                    continue;
                }

                long first = (long)(_reservation!.AddressOf(_offset) / (nuint)HostPageBytes) + ((long)chunk * pagesInChunk);
                if (RandomAccess.Read(map, MemoryMarshal.AsBytes(entries), first * sizeof(ulong)) != entries.Length * sizeof(ulong))
                {
                    return null;
                }

                int pages = (int)Math.Min((ulong)pagesInChunk, (Bytes - ((ulong)chunk << ChunkShift)) / (uint)HostPageBytes);
                for (int i = 0; i < pages; i++)
                {
                    if ((entries[i] & (PageIsThere | PageIsSwapped)) != 0 && (entries[i] & PageIsTheFiles) == 0)
                    {
                        int page = (chunk * pagesInChunk) + i;
                        bool joins = runs.Count != 0 && page - runs[^1].End <= JoinedGap;
                        runs.Add((joins ? runs[^1].First : page, page + 1));
                        if (joins)
                        {
                            runs.RemoveAt(runs.Count - 2);
                        }
                    }
                }
            }

            return runs;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>Puts runs of pages into a new file, and maps that in their place.</summary>
    private bool TryMove(List<(int First, int End)> runs)
    {
        if (RamFile.TryMake((long)Bytes) is not { } file)
        {
            return false;
        }

        foreach ((int first, int end) in runs)
        {
            if (!TryWrite(file, first, end))
            {
                file.Dispose();
                return false;
            }
        }

        RamPiece[] pieces = [.. runs.Select(run => new RamPiece(run.First, run.End, file))];
        foreach (RamPiece piece in pieces)
        {
            if (!TryMap(piece))
            {
                // What is mapped already has the same contents, and keeps the file; the others are as they were, and will be found written to.
                return false;
            }
        }

        _frozen = _frozen.Length == 0 ? pieces : RamPiece.Over(_frozen, pieces);
        MarkUnwritten();
        return true;
    }

    /// <summary>Writes the pages of a run that have something else than zeroes in them; the others of a new file are zeroes.</summary>
    private bool TryWrite(RamFile file, int first, int end)
    {
        int from = first;
        for (int page = first; page <= end; page++)
        {
            ulong at = (ulong)page * (uint)HostPageBytes;
            bool goesOn = page < end && _touched[at >> ChunkShift] != 0 && page - from < (int)(ChunkBytes / (nuint)HostPageBytes) && ReadOnly(at, HostPageBytes).ContainsAnyExcept((byte)0);
            if (goesOn)
            {
                continue;
            }

            ulong start = (ulong)from * (uint)HostPageBytes;
            if (page > from && !file.TryWrite(ReadOnly(start, (int)(at - start)), (long)start))
            {
                return false;
            }

            bool full = page < end && page - from >= (int)(ChunkBytes / (nuint)HostPageBytes);
            from = full ? page : page + 1;
            page = full ? page - 1 : page;
        }

        return true;
    }

    private bool TryMap(RamPiece piece)
    {
        // In range: the mapping replaces a part of the one that was made when the memory was reserved, and the file is as large as that.
        ulong start = (ulong)piece.First * (uint)HostPageBytes;
        ulong end = (ulong)piece.End * (uint)HostPageBytes;
        return end <= Bytes && _reservation is not null && _reservation.TryMapInPlace(_offset + (nuint)start, (nuint)(end - start), piece.File.Number, (long)start);
    }

    private void MarkUnwritten()
    {
        foreach (ref byte touched in _touched.AsSpan())
        {
            touched = touched == 0 ? (byte)0 : Unwritten;
        }
    }

    /// <summary>Has zeroes of its own in place of the files' contents.</summary>
    private void LeaveFiles()
    {
        if (_frozen.Length != 0)
        {
            _ = _reservation!.TryMapInPlace(_offset, (nuint)Bytes, -1, 0);
            _frozen = [];
        }
    }
}
