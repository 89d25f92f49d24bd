using MemSim.Captures;
using MemSim.Recordings.Import;

namespace MemSim.Recordings;

/// <summary>One line of <c>/proc/buddyinfo</c>.</summary>
/// <param name="Node">The node.</param>
/// <param name="Zone">The kernel's name of the zone.</param>
/// <param name="FreeBlocks">Free blocks by order, 0 to 10.</param>
public sealed record BuddyInfoRow(int Node, string Zone, IReadOnlyList<long> FreeBlocks);

/// <summary>Reads recorded <c>/proc/buddyinfo</c> files.</summary>
public static class BuddyInfoFile
{
    private const int MaxLineBytes = 1 << 16;

    /// <summary>Reads a file, plain or packed.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="InputFileException">The file cannot be read or is no buddyinfo.</exception>
    public static IReadOnlyList<BuddyInfoRow> Parse(string path) => Parse(InputFile.Open(path), path);

    /// <summary>Reads unpacked text from a stream, which is closed.</summary>
    /// <param name="stream">The text.</param>
    /// <param name="path">The name for messages.</param>
    /// <exception cref="InputFileException">The text is no buddyinfo.</exception>
    public static IReadOnlyList<BuddyInfoRow> Parse(Stream stream, string path)
    {
        using Utf8LineReader lines = new(stream, path, MaxLineBytes);
        List<BuddyInfoRow> rows = [];
        while (lines.TryRead(out ReadOnlySpan<byte> line))
        {
            if (line.IsEmpty)
            {
                continue;
            }

            rows.Add(ParseLine(lines, line));
        }

        return rows.Count > 0 ? rows : throw new InputFileException(path, 0, "holds no zone");
    }

    private static BuddyInfoRow ParseLine(Utf8LineReader lines, ReadOnlySpan<byte> line)
    {
        // "Node 0, zone    DMA32      2      2 ..."
        Utf8Fields fields = new(line);
        if (!fields.TryWord("Node"u8) || !fields.TryNext(out ReadOnlySpan<byte> nodeText) || nodeText[^1] != (byte)','
            || !Utf8Fields.TryParseDecimal(nodeText[..^1], out long node) || node is < 0 or > 1023
            || !fields.TryWord("zone"u8) || !fields.TryNext(out ReadOnlySpan<byte> zone))
        {
            throw lines.Fault($"{Utf8Fields.Quote(line)} does not start with 'Node N, zone NAME'");
        }

        long[] counts = new long[PageGeometry.OrderCount];
        for (int order = 0; order < counts.Length; order++)
        {
            if (!fields.TryDecimal(0, 1L << 40, out counts[order]))
            {
                throw lines.Fault($"{Utf8Fields.Quote(line)} has no count for order {order}");
            }
        }

        return fields.AtEnd
            ? new BuddyInfoRow((int)node, System.Text.Encoding.UTF8.GetString(zone), counts)
            : throw lines.Fault($"{Utf8Fields.Quote(line)} has more than {counts.Length} counts");
    }
}
