using MemSim.Captures;
using MemSim.Recordings.Import;

namespace MemSim.Recordings;

/// <summary>One line of <c>/proc/buddyinfo</c>.</summary>
/// <param name="Node">The node.</param>
/// <param name="Zone">The kernel's name of the zone.</param>
/// <param name="FreeBlocks">Free blocks by order, from 0 on: 11 on most machines; kernels built with another number of orders have as many.</param>
public sealed record BuddyInfoRow(int Node, string Zone, IReadOnlyList<long> FreeBlocks)
{
    /// <summary>Free blocks of an order on a machine that keeps none above <see cref="PageGeometry.MaxOrder"/>: larger ones are several of that.</summary>
    internal long BlocksOf(int order)
    {
        long blocks = order < FreeBlocks.Count ? FreeBlocks[order] : 0;
        for (int larger = order + 1; order == PageGeometry.MaxOrder && larger < FreeBlocks.Count; larger++)
        {
            blocks += FreeBlocks[larger] << (larger - order);
        }

        return blocks;
    }
}

/// <summary>Reads recorded <c>/proc/buddyinfo</c> files.</summary>
public static class BuddyInfoFile
{
    private const int MaxLineBytes = 1 << 16;

    /// <summary>Orders of the smallest configuration known (9 with 4 MiB sections).</summary>
    private const int FewestOrders = 7;

    /// <summary>As many orders as the largest configurations have (<c>ARCH_FORCE_MAX_ORDER</c>), and some.</summary>
    private const int MostOrders = 24;

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

            BuddyInfoRow row = ParseLine(lines, line);
            if (rows is [BuddyInfoRow first, ..] && first.FreeBlocks.Count != row.FreeBlocks.Count)
            {
                throw lines.Fault(row.FreeBlocks.Count < first.FreeBlocks.Count
                    ? $"{Utf8Fields.Quote(line)} has no count for order {row.FreeBlocks.Count}, which the lines before have"
                    : $"{Utf8Fields.Quote(line)} has more than {first.FreeBlocks.Count} counts, as many as the lines before have");
            }

            rows.Add(row);
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

        List<long> counts = [];
        while (!fields.AtEnd)
        {
            if (counts.Count == MostOrders || !fields.TryDecimal(0, 1L << 40, out long count))
            {
                throw lines.Fault(counts.Count == MostOrders ? $"{Utf8Fields.Quote(line)} has more than {MostOrders} counts" : $"{Utf8Fields.Quote(line)} has no count for order {counts.Count}");
            }

            counts.Add(count);
        }

        return counts.Count >= FewestOrders
            ? new BuddyInfoRow((int)node, System.Text.Encoding.UTF8.GetString(zone), counts)
            : throw lines.Fault($"{Utf8Fields.Quote(line)} has no count for order {counts.Count}");
    }
}
