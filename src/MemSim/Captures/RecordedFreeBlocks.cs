using System.Globalization;

namespace MemSim.Captures;

/// <summary>The free blocks of one zone as <c>/proc/buddyinfo</c> and <c>/proc/pagetypeinfo</c> tell.</summary>
internal sealed class RecordedZoneBlocks(int node, string name)
{
    public int Node { get; } = node;

    public string Name { get; } = name;

    /// <summary>Free blocks by order.</summary>
    public long[] Blocks { get; } = new long[PageGeometry.OrderCount];

    /// <summary>The same by migrate type and order; null where pagetypeinfo is missing.</summary>
    public long[][]? ByType { get; set; }

    /// <summary>Page blocks by migrate type; null where pagetypeinfo is missing.</summary>
    public long[]? Pageblocks { get; set; }
}

/// <summary>What was free on a machine when its files were read.</summary>
internal sealed class RecordedFreeBlocks
{
    private const int Types = 6;

    private static readonly string[] TypeNames = ["Unmovable", "Movable", "Reclaimable", "HighAtomic", "CMA", "Isolate"];

    private readonly List<RecordedZoneBlocks> _zones = [];

    public IReadOnlyList<RecordedZoneBlocks> Zones => _zones;

    /// <summary>The pages of slabs; null where no file tells.</summary>
    public RecordedSlab? Slab { get; private set; }

    /// <summary>What a reader should know.</summary>
    public List<string> Remarks { get; } = [];

    /// <summary>Reads the files beside a zoneinfo; null where there is no buddyinfo, or it is of a kernel with another number of orders.</summary>
    /// <exception cref="InputFileException">A file is malformed.</exception>
    public static RecordedFreeBlocks? Read(CaptureFolder folder)
    {
        if (folder.FindFigures("buddyinfo") is not string path)
        {
            return null;
        }

        RecordedFreeBlocks recorded = new() { Slab = RecordedSlab.Read(folder) };
        string[] lines = File.ReadAllLines(path);
        for (int i = 0; i < lines.Length; i++)
        {
            if (Words(lines[i]) is ["Node", var node, "zone", var name, .. var counts])
            {
                if (counts.Length != PageGeometry.OrderCount)
                {
                    return null;
                }

                RecordedZoneBlocks zone = new((int)Number(node, path, i), name);
                for (int order = 0; order < counts.Length; order++)
                {
                    zone.Blocks[order] = Number(counts[order], path, i);
                }

                recorded._zones.Add(zone);
            }
        }

        recorded.ReadTypes(folder);
        return recorded;
    }

    private void ReadTypes(CaptureFolder folder)
    {
        string[] lines;
        string? path = folder.FindFigures("pagetypeinfo");
        try
        {
            lines = path is null ? [] : File.ReadAllLines(path);
        }
        catch (UnauthorizedAccessException)
        {
            // Root's alone on a live system.
            lines = [];
        }

        string[] order = [];
        for (int i = 0; i < lines.Length; i++)
        {
            switch (Words(lines[i]))
            {
                case ["Node", var node, "zone", var name, "type", var type, .. var counts] when Find(node, name) is { } zone:
                    int index = TypeOf(type);
                    zone.ByType ??= [.. Enumerable.Range(0, Types).Select(_ => new long[PageGeometry.OrderCount])];
                    for (int o = 0; o < Math.Min(counts.Length, PageGeometry.OrderCount); o++)
                    {
                        // Since 5.4 counting stops at 100,000 and says so.
                        zone.ByType[index][o] += Number(counts[o].TrimStart('>'), path!, i);
                    }

                    break;
                case ["Number", "of", "blocks", "type", .. var types]:
                    order = types;
                    break;
                case ["Node", var node, "zone", var name, .. var counts] when order.Length != 0 && counts.Length == order.Length && Find(node, name) is { } zone:
                    zone.Pageblocks = new long[Types];
                    for (int t = 0; t < order.Length; t++)
                    {
                        zone.Pageblocks[TypeOf(order[t])] += Number(counts[t], path!, i);
                    }

                    break;
            }
        }

        foreach (RecordedZoneBlocks zone in _zones)
        {
            Reconcile(zone);
        }
    }

    /// <summary>The two files are read one after the other: buddyinfo counts, pagetypeinfo divides.</summary>
    private void Reconcile(RecordedZoneBlocks zone)
    {
        if (zone.ByType is not { } types)
        {
            if (zone.Blocks.Any(b => b != 0))
            {
                Remarks.Add(string.Create(CultureInfo.InvariantCulture, $"node {zone.Node} zone {zone.Name}: pagetypeinfo is missing, so all its free blocks are made movable"));
            }

            return;
        }

        for (int order = 0; order < zone.Blocks.Length; order++)
        {
            int main = Enumerable.Range(0, Types).MaxBy(t => types[t][order]);
            long difference = zone.Blocks[order] - types.Sum(t => t[order]);
            types[main][order] += Math.Max(difference, -types[main][order]);
        }
    }

    private int TypeOf(string name)
    {
        int index = Array.IndexOf(TypeNames, name);
        if (index < 0)
        {
            string remark = $"free blocks of type {name} are made unmovable: the simulated kernels have no such type";
            if (!Remarks.Contains(remark))
            {
                Remarks.Add(remark);
            }
        }

        return Math.Max(0, index);
    }

    private RecordedZoneBlocks? Find(string node, string name) => _zones.Find(z => z.Name == name && z.Node.ToString(CultureInfo.InvariantCulture) == node);

    private static string[] Words(string line) => line.Split([' ', '\t', ','], StringSplitOptions.RemoveEmptyEntries);

    private static long Number(string text, string path, int line) =>
        long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out long number) && number < 1L << 40
            ? number
            : throw new InputFileException(path, line + 1, $"'{text}' is not a number of blocks");
}
