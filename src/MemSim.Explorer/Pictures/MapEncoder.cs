using System.Buffers.Binary;
using MemSim.Observability;

namespace MemSim.Explorer.Pictures;

/// <summary>Turns frames into the bytes that the picture of memory is drawn from: only blocks in which something changed, as runs.</summary>
/// <remarks>
/// A message is a row of blocks: the block's number (4 bytes), how many runs (2), the migrate types of its page blocks (1 + 1), then for each run its offset (2) and length (2),
/// use, order (255: none), list by age, 0, and when it was allocated (4). All little-endian; what reads it is <c>wwwroot/js/map.js</c>.
/// </remarks>
public sealed class MapEncoder
{
    /// <summary>The migrate type of a page block that has none.</summary>
    public const byte NoType = 255;

    private const int HeadBytes = 8;
    private const int RunBytes = 12;

    private readonly Machine _machine;
    private readonly Recorder _events;
    private readonly FrameViewer _viewer;
    private readonly FrameRun[] _runs = new FrameRun[FrameViewer.BlockPages];
    private byte[] _buffer = new byte[1 << 16];

    /// <summary>Prepares the first message, which has all blocks.</summary>
    /// <param name="machine">The machine.</param>
    /// <param name="events">What knows where something changed.</param>
    public MapEncoder(Machine machine, Recorder events)
    {
        ArgumentNullException.ThrowIfNull(machine);
        _machine = machine;
        _events = events;
        _viewer = new FrameViewer(machine);
    }

    /// <summary>How many blocks there are, holes included.</summary>
    public int Blocks => (int)(_viewer.Frames / FrameViewer.BlockPages);

    /// <summary>The zones that have memory, with the blocks they lie in.</summary>
    public IEnumerable<MapZone> Zones => _machine.Zones.Where(z => z.IsPopulated).Select(z => new MapZone(
        _machine.Nodes.Count > 1 ? $"Node {z.Node.Id}, {z.Name}" : z.Name,
        z.StartPfn.Value,
        z.EndPfn.Value));

    /// <summary>The blocks in which something changed since the last message; good until the next one.</summary>
    public Memory<byte> Changed()
    {
        int at = 0;
        foreach (int block in _events.ChangedBlocks)
        {
            at = Append(block, at);
        }

        _events.ForgetChanged();
        return _buffer.AsMemory(0, at);
    }

    /// <summary>All blocks from one on, as many as asked for.</summary>
    public Memory<byte> Range(int first, int count)
    {
        int at = 0;
        for (int block = first; block < Math.Min(Blocks, first + count); block++)
        {
            at = Append(block, at);
        }

        return _buffer.AsMemory(0, at);
    }

    private int Append(int block, int at)
    {
        int needed = at + HeadBytes + (FrameViewer.BlockPages * RunBytes);
        if (needed > _buffer.Length)
        {
            Array.Resize(ref _buffer, Math.Max(needed, _buffer.Length * 2));
        }

        return at + EncodeBlock(block, _buffer.AsSpan(at));
    }

    private int EncodeBlock(int block, Span<byte> into)
    {
        long first = (long)block * FrameViewer.BlockPages;
        int count = _viewer.Read(new Pfn(first), _runs);
        BinaryPrimitives.WriteInt32LittleEndian(into, block);
        BinaryPrimitives.WriteUInt16LittleEndian(into[4..], (ushort)count);
        into[6] = TypeOf(first);
        into[7] = TypeOf(first + (FrameViewer.BlockPages / 2));
        int at = HeadBytes;
        foreach (FrameRun run in _runs.AsSpan(0, count))
        {
            Span<byte> entry = into.Slice(at, RunBytes);
            BinaryPrimitives.WriteUInt16LittleEndian(entry, (ushort)(run.Start.Value - first));
            BinaryPrimitives.WriteUInt16LittleEndian(entry[2..], (ushort)run.Pages);
            entry[4] = (byte)run.Use;
            entry[5] = (byte)run.Order;
            entry[6] = (byte)run.Lru;
            entry[7] = 0;
            BinaryPrimitives.WriteUInt32LittleEndian(entry[8..], _events.Stamps[(int)run.Start.Value]);
            at += RunBytes;
        }

        return at;
    }

    private byte TypeOf(long pfn) =>
        _machine.TryGetPage(new Pfn(pfn), out Page page) && page.Zone.PageblockType(new Pfn(pfn)) is { } type ? (byte)type : NoType;
}
