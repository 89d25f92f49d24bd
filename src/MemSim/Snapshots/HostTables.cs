using System.Runtime.InteropServices;
using MemSim.Hardware;
using MemSim.Pages;

namespace MemSim.Snapshots;

/// <summary>The tables of a machine that lie in host memory: RAM and page frames. Those of slabs are <see cref="SlabTables"/>'s.</summary>
/// <remarks>What comes from a file is compared here with the bounds that the rest of the library relies on: links of lists lie inside the memory map.</remarks>
internal sealed class HostTables
{
    private const int PageBytes = 4096;
    private const int FramesInPage = PageBytes / PageFrame.SizeInBytes;

    private readonly StateCursor _in;
    private readonly SlabTables _slabs;

    /// <summary>Makes the tables of a copy, and fills those that need no other objects.</summary>
    /// <param name="tables">What <see cref="Write"/> gave.</param>
    /// <param name="ram">Contents of RAM; null on a machine without.</param>
    /// <param name="host">How this host gives memory.</param>
    public HostTables(ReadOnlyMemory<byte> tables, FrozenRam? ram, HostMemory host)
    {
        _in = new StateCursor(tables);
        int frames = _in.Count(int.MaxValue, "frames");
        int heads = _in.Count(int.MaxValue - frames, "list heads");
        int next = frames + _in.Count(heads, "list heads in use");
        Map = new MemMap(frames, heads, host);
        if (Map.Frames != frames)
        {
            throw new FormatException($"{frames} frames are not whole blocks");
        }

        Map.TakenUpTo(next);
        FillFrames();
        bool hasContents = _in.Byte() != 0;
        if (hasContents != ram is not null || ram is not null && ram.Bytes != (ulong)frames << PageGeometry.PageShift)
        {
            throw new FormatException("RAM has contents where the machine has none, or of another size");
        }

        Ram = ram?.Thaw(host) ?? new PhysicalMemory(frames, hasContents: false, host);

        _slabs = new SlabTables(_in, host);
    }

    public MemMap Map { get; }

    public PhysicalMemory Ram { get; }

    /// <summary>Frame numbers from 0.</summary>
    public long Frames => Map.Frames;

    /// <summary>Writes down a machine's frames and slabs.</summary>
    /// <param name="machine">The machine.</param>
    /// <param name="caches">All caches that can be reached from it, in the order in which they are found.</param>
    /// <param name="lent">All lent sheaves that can be reached, in that order, too.</param>
    public static ReadOnlyMemory<byte> Write(Machine machine, IReadOnlyList<KmemCache> caches, IReadOnlyList<SlabSheaf> lent)
    {
        MemMap map = machine.Frames.Map;
        StateBytes to = new((int)Math.Min(map.Length * PageFrame.SizeInBytes, 1 << 24));
        to.Number(map.Frames);
        to.Number(map.Length - map.Frames);
        to.Number(map.FirstFreeHead - map.Frames);
        ReadOnlySpan<byte> frames = MemoryMarshal.AsBytes(map.All);
        for (int page = 0; page * FramesInPage < map.Length; page++)
        {
            ReadOnlySpan<byte> bytes = frames[(int)Math.Min((long)page * PageBytes, frames.Length)..];
            bytes = bytes[..Math.Min(bytes.Length, PageBytes)];
            if (bytes.ContainsAnyExcept((byte)0))
            {
                to.Number(page + 1);
                bytes.CopyTo(to.Take(bytes.Length));
            }
        }

        to.Number(0);
        to.Byte(machine.Ram.HasContents ? (byte)1 : (byte)0);
        SlabTables.Write(machine, caches, lent, to);
        return to.Memory;
    }

    /// <summary>How many frames tables are about.</summary>
    public static int FramesOf(ReadOnlyMemory<byte> tables) => new StateCursor(tables).Count(int.MaxValue, "frames");

    /// <summary>All objects are there: fills the tables that name some.</summary>
    public void Finish(Machine machine, IReadOnlyList<KmemCache> caches, IReadOnlyList<SlabSheaf> lent)
    {
        _slabs.Fill(machine, caches, lent);
        if (!_in.IsAtEnd)
        {
            throw new FormatException($"{_in.Left} bytes of tables are left when everything is read");
        }
    }

    private void FillFrames()
    {
        Span<byte> frames = MemoryMarshal.AsBytes(Map.All);
        int last = -1;
        for (int page = _in.Count(int.MaxValue, "pages of frames") - 1; page >= 0; page = _in.Count(int.MaxValue, "pages of frames") - 1)
        {
            if (page <= last || (long)page * PageBytes >= frames.Length)
            {
                throw new FormatException($"page {page} of the frames is out of order or beyond the last");
            }

            last = page;
            Span<byte> into = frames.Slice(page * PageBytes, Math.Min(PageBytes, frames.Length - (page * PageBytes)));
            _in.Take(into.Length).CopyTo(into);
            foreach (ref readonly PageFrame frame in MemoryMarshal.Cast<byte, PageFrame>(into))
            {
                // The frames' lists are walked without further looks.
                if ((uint)frame.Next >= (ulong)Map.Length || (uint)frame.Prev >= (ulong)Map.Length)
                {
                    throw new FormatException($"frames 0x{(long)page * FramesInPage:x} to 0x{((long)page + 1) * FramesInPage:x}: a link leads out of the memory map");
                }
            }
        }
    }
}
