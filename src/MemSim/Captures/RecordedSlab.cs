using System.Globalization;

namespace MemSim.Captures;

/// <summary>How many pages slabs held on a machine when its files were read: by node from zoneinfo, else from meminfo, else what slabinfo adds up to.</summary>
internal sealed class RecordedSlab
{
    private const string ReclaimableName = "nr_slab_reclaimable";
    private const string UnreclaimableName = "nr_slab_unreclaimable";

    /// <summary>Columns of a row of slabinfo.</summary>
    private const int Columns = 16;

    private const int PagesPerSlabColumn = 5;
    private const int SlabsColumn = 14;

    private readonly SortedDictionary<int, (long Reclaimable, long Unreclaimable)> _nodes = [];

    private RecordedSlab()
    {
    }

    /// <summary>Pages of slabs by node.</summary>
    public IReadOnlyDictionary<int, (long Reclaimable, long Unreclaimable)> Nodes => _nodes;

    /// <summary>What was taken from where, and what was invented.</summary>
    public List<string> Remarks { get; } = [];

    /// <summary>Reads the files; null where none of them tells.</summary>
    public static RecordedSlab? Read(CaptureFolder folder)
    {
        RecordedSlab slab = new();
        slab.ReadZoneInfo(Lines(folder, "zoneinfo"));
        (long caches, long pages) = SlabInfo(Lines(folder, "slabinfo"));
        string source = "zoneinfo";
        if (slab._nodes.Count == 0 && slab.ReadMemInfo(Lines(folder, "meminfo")))
        {
            source = "meminfo, which does not tell the node";
        }
        else if (slab._nodes.Count == 0 && pages != 0)
        {
            source = "slabinfo, which tells neither the node nor what can be reclaimed";
            slab._nodes[0] = (0, pages);
        }

        if (slab._nodes.Count == 0)
        {
            return null;
        }

        (long reclaimable, long unreclaimable) = (slab._nodes.Values.Sum(n => n.Reclaimable), slab._nodes.Values.Sum(n => n.Unreclaimable));
        string unlisted = caches == 0 || reclaimable + unreclaimable <= pages ? "" : string.Create(CultureInfo.InvariantCulture, $"; {reclaimable + unreclaimable - pages} of them are in none of the {caches} caches of slabinfo (large kmalloc objects)");
        slab.Remarks.Add(string.Create(CultureInfo.InvariantCulture,
            $"slab: of the pages in use {reclaimable} reclaimable and {unreclaimable} unreclaimable ones are counted as slab's, by {source}{unlisted}; the caches are new, and no shrinker gives any of these pages back"));
        return slab;
    }

    private void ReadZoneInfo(string[] lines)
    {
        int node = 0;
        foreach (string line in lines)
        {
            switch (Words(line))
            {
                case ["Node", var id, "zone", ..]:
                    node = int.TryParse(id, NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number : 0;
                    break;
                case [ReclaimableName, var pages]:
                    Add(node, Number(pages), 0);
                    break;
                case [UnreclaimableName, var pages]:
                    Add(node, 0, Number(pages));
                    break;
            }
        }
    }

    private bool ReadMemInfo(string[] lines)
    {
        long Pages(string name) => Array.Find(lines, l => l.StartsWith(name, StringComparison.Ordinal)) is string line && Words(line) is [_, var kib, ..] ? Number(kib) >> (PageGeometry.PageShift - 10) : 0;
        (long reclaimable, long unreclaimable) = (Pages("SReclaimable:"), Pages("SUnreclaim:"));
        if (reclaimable + unreclaimable == 0)
        {
            return false;
        }

        _nodes[0] = (reclaimable, unreclaimable);
        return true;
    }

    /// <summary>How many caches a slabinfo lists, and the pages of their slabs.</summary>
    private static (long Caches, long Pages) SlabInfo(string[] lines)
    {
        (long caches, long pages) = (0, 0);
        foreach (string line in lines)
        {
            if (Words(line) is { Length: >= Columns } words && words[6] == ":")
            {
                caches++;
                pages += Number(words[SlabsColumn]) * Math.Min(Number(words[PagesPerSlabColumn]), 1 << 16);
            }
        }

        return (caches, pages);
    }

    private void Add(int node, long reclaimable, long unreclaimable)
    {
        (long Reclaimable, long Unreclaimable) now = _nodes.GetValueOrDefault(node);
        _nodes[node] = (now.Reclaimable + reclaimable, now.Unreclaimable + unreclaimable);
    }

    private static string[] Lines(CaptureFolder folder, string name)
    {
        try
        {
            return folder.FindFigures(name) is string path ? File.ReadAllLines(path) : [];
        }
        catch (UnauthorizedAccessException)
        {
            // slabinfo is root's alone on a live system.
            return [];
        }
    }

    private static string[] Words(string line) => line.Split([' ', '\t', ','], StringSplitOptions.RemoveEmptyEntries);

    private static long Number(string text) => long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out long number) && number < 1L << 40 ? number : 0;
}
