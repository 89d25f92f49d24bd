using System.Globalization;

namespace MemSim.Captures;

/// <summary>The lists of one CPU as zoneinfo prints them. What is null was not there or blanked out.</summary>
/// <param name="Cpu">The number of the CPU.</param>
/// <remarks>Kernel: the block below <c>pagesets</c>.</remarks>
public sealed record ZoneInfoPageset(int Cpu)
{
    /// <summary>Pages in the lists.</summary>
    public long? Count { get; internal set; }

    /// <summary>The limit at which a free drains.</summary>
    public long? High { get; internal set; }

    /// <summary>The lower bound of the limit, where the kernel prints it.</summary>
    public long? HighMin { get; internal set; }

    /// <summary>The upper bound of the limit, where the kernel prints it.</summary>
    public long? HighMax { get; internal set; }

    /// <summary>Pages moved at a time.</summary>
    public long? Batch { get; internal set; }

    /// <summary>The threshold of the counters.</summary>
    public long? StatThreshold { get; internal set; }
}

/// <summary>One zone as zoneinfo prints it. Derived figures are null where they are blanked out; watermarks include <see cref="Boost"/>.</summary>
public sealed class ZoneInfoZone
{
    internal ZoneInfoZone(int node, ZoneType type, int line)
    {
        Node = node;
        Type = type;
        Line = line;
    }

    /// <summary>The NUMA node.</summary>
    public int Node { get; }

    /// <summary>The kind of zone.</summary>
    public ZoneType Type { get; }

    /// <summary>The line of the file on which the zone starts, from 1.</summary>
    public int Line { get; }

    /// <summary>The first frame, 0 where the zone is empty.</summary>
    public long StartPfn { get; internal set; }

    /// <summary>Frames spanned.</summary>
    public long Spanned { get; internal set; } = -1;

    /// <summary>Frames that exist.</summary>
    public long Present { get; internal set; } = -1;

    /// <summary>Frames given to the allocator; before 3.9, which does not tell, those present.</summary>
    public long Managed { get; internal set; } = -1;

    /// <summary>Frames of contiguous memory areas.</summary>
    public long Cma { get; internal set; }

    /// <summary>Free pages.</summary>
    public long? Free { get; internal set; }

    /// <summary>Pages added to every watermark; null where the file has no such line.</summary>
    public long? Boost { get; internal set; }

    /// <summary>How many pages less the boost may be, where it was inferred; null where the file prints it or there is none.</summary>
    internal long? BoostSlack { get; set; }

    /// <summary>The min watermark.</summary>
    public long? Min { get; internal set; }

    /// <summary>The low watermark.</summary>
    public long? Low { get; internal set; }

    /// <summary>The high watermark.</summary>
    public long? High { get; internal set; }

    /// <summary>The promo watermark, where the kernel prints it.</summary>
    public long? Promo { get; internal set; }

    /// <summary>Whether there is a line for the promo watermark.</summary>
    public bool HasPromo { get; internal set; }

    /// <summary>The pages kept back, by kernel zone index; null where blanked out.</summary>
    public long[]? Protection { get; internal set; }

    /// <summary>The lists of each CPU that is online; empty for an empty zone. Where a kernel has hot and cold ones (2.6), the hot.</summary>
    public List<ZoneInfoPageset> Pagesets { get; } = [];

    /// <summary>The lists that the last lines were about.</summary>
    internal ZoneInfoPageset? CurrentPageset { get; set; }

    /// <summary>The zone's place and size alone.</summary>
    public ZoneLayout ToLayout() => new(Node, Type, StartPfn, Spanned, Present, Managed, Cma);
}

/// <summary>A <c>/proc/zoneinfo</c> of any kernel since 2.6 and of any architecture.</summary>
public sealed class ZoneInfoFile
{
    private ZoneInfoFile(IReadOnlyList<ZoneInfoZone> zones, bool hasManaged, ZoneInfoMarks marks)
    {
        Zones = zones;
        HasManaged = hasManaged;
        Marks = marks;
    }

    /// <summary>Whether the file tells how many pages each zone manages (3.9 and later).</summary>
    public bool HasManaged { get; }

    /// <summary>The lines that came or went with a version.</summary>
    internal ZoneInfoMarks Marks { get; }

    /// <summary>All zones, empty ones included, in the order of the file.</summary>
    public IReadOnlyList<ZoneInfoZone> Zones { get; }

    /// <summary>Reads a file.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="InputFileException">The file is no zoneinfo, or a number of the layout is missing or impossible.</exception>
    public static ZoneInfoFile Read(string path) => Parse(File.ReadAllText(path), path);

    /// <summary>Reads the text of a zoneinfo.</summary>
    /// <param name="text">The text.</param>
    /// <param name="path">The name to use in errors.</param>
    /// <exception cref="InputFileException">The text is no zoneinfo, or a number of the layout is missing or impossible.</exception>
    public static ZoneInfoFile Parse(string text, string path = "zoneinfo")
    {
        ArgumentNullException.ThrowIfNull(text);
        var zones = new List<ZoneInfoZone>();
        ZoneInfoMarks marks = ZoneInfoMarks.None;
        string[] lines = text.Split('\n');
        for (int i = 0; i < lines.Length; i++)
        {
            string line = lines[i].Trim();
            if (line.StartsWith("Node ", StringComparison.Ordinal))
            {
                zones.Add(ParseHeader(line, path, i + 1));
            }
            else if (line.Length != 0)
            {
                if (zones.Count == 0)
                {
                    throw new InputFileException(path, i + 1, "a zoneinfo starts with a line like 'Node 0, zone      DMA'");
                }

                ParseLine(zones[^1], line, path, i + 1, ref marks);
            }
        }

        if (zones.Count == 0)
        {
            throw new InputFileException(path, 1, "no zone in the file");
        }

        // What 3.12, 4.8 or a later kernel prints cannot stand beside a missing line of 3.9.
        bool isNewer = (marks & ~(ZoneInfoMarks.HotAndCold | ZoneInfoMarks.AllUnreclaimable)) != 0 || zones.Exists(z => z.Boost is not null);
        bool hasManaged = isNewer || zones.Exists(z => z.Managed >= 0);
        foreach (ZoneInfoZone zone in zones)
        {
            if (!hasManaged)
            {
                // Before 3.9 what is present does not include the memory map any more: it is what the zone manages.
                zone.Managed = zone.Present;
            }

            Check(zone, path);
        }

        DropFiguresNoKernelPrints(zones);
        return new ZoneInfoFile(zones, hasManaged, marks);
    }

    private static ZoneInfoZone ParseHeader(string line, string path, int number)
    {
        int comma = line.IndexOf(',', StringComparison.Ordinal);
        const string Zone = "zone";
        if (comma < 0
            || !int.TryParse(line.AsSpan(5, comma - 5), NumberStyles.None, CultureInfo.InvariantCulture, out int node)
            || node >= 1024
            || !line[(comma + 1)..].TrimStart().StartsWith(Zone, StringComparison.Ordinal))
        {
            throw new InputFileException(path, number, $"'{line}' is not like 'Node 0, zone      DMA'");
        }

        string name = line[(comma + 1)..].TrimStart()[Zone.Length..].Trim();
        if (!ZoneTypeNames.TryParse(name, out ZoneType type))
        {
            throw new InputFileException(path, number, $"no zone is called '{name}'");
        }

        return new ZoneInfoZone(node, type, number);
    }

    private static void ParseLine(ZoneInfoZone zone, string line, string path, int number, ref ZoneInfoMarks marks)
    {
        int split = line.IndexOfAny([' ', '\t', ':']);
        string key = split < 0 ? line : line[..split];
        string rest = split < 0 ? "" : line[split..].TrimStart(' ', '\t', ':');
        ZoneInfoPageset? pageset = zone.CurrentPageset;
        switch (key)
        {
            case "pages" when rest.StartsWith("free", StringComparison.Ordinal):
                zone.Free = Figure(rest[4..]);
                break;
            case "boost":
                zone.Boost = Figure(rest);
                break;
            case "min":
                zone.Min = Figure(rest);
                break;
            case "low":
                zone.Low = Figure(rest);
                break;
            case "high" when pageset is null:
                zone.High = Figure(rest);
                break;
            case "promo":
                zone.HasPromo = true;
                zone.Promo = Figure(rest);
                break;
            case "spanned":
                zone.Spanned = Layout(rest, path, number);
                break;
            case "present":
                zone.Present = Layout(rest, path, number);
                break;
            case "managed":
                zone.Managed = Layout(rest, path, number);
                break;
            case "cma":
                zone.Cma = Layout(rest, path, number);
                break;
            case "start_pfn":
                zone.StartPfn = Layout(rest, path, number);
                break;
            case "protection":
                zone.Protection = Protection(rest);
                break;
            case "cpu":
                StartPageset(zone, rest, path, number, ref marks);
                break;
            case "per-node":
                marks |= ZoneInfoMarks.PerNodeStats;
                break;
            case "nr_alloc_batch":
                marks |= ZoneInfoMarks.AllocBatch;
                break;
            case "all_unreclaimable":
                marks |= ZoneInfoMarks.AllUnreclaimable;
                break;
            case "count" when pageset is not null:
                pageset.Count = Figure(rest);
                break;
            case "high" when pageset is not null:
                pageset.High = Figure(rest);
                break;
            case "reserved_highatomic" or "free_highatomic":
                marks |= ZoneInfoMarks.HighAtomic;
                break;
            case "nr_gpu_active":
                marks |= ZoneInfoMarks.GraphicsPages;
                break;
            case "pgrotate_anon":
                marks |= ZoneInfoMarks.RotatedPages;
                break;
            case "high_min" when pageset is not null:
                marks |= ZoneInfoMarks.HighBounds;
                pageset.HighMin = Figure(rest);
                break;
            case "high_max" when pageset is not null:
                pageset.HighMax = Figure(rest);
                break;
            case "batch" when pageset is not null:
                pageset.Batch = Figure(rest);
                break;
            case "vm" when pageset is not null:
                pageset.StatThreshold = Figure(rest[(rest.IndexOf(':', StringComparison.Ordinal) + 1)..]);
                break;
            default:
                // Counters, and lines of other kernels.
                break;
        }
    }

    /// <summary>A CPU's lists begin: <c>cpu: 0</c>; kernels of 2.6 with hot and cold lists say <c>cpu: 0 pcp: 1</c> for the cold ones.</summary>
    private static void StartPageset(ZoneInfoZone zone, string rest, string path, int number, ref ZoneInfoMarks marks)
    {
        const string Lists = "pcp:";
        int split = rest.IndexOf(Lists, StringComparison.Ordinal);
        bool cold = split >= 0 && rest[(split + Lists.Length)..].Trim() != "0";
        marks |= split >= 0 ? ZoneInfoMarks.HotAndCold : ZoneInfoMarks.None;
        int cpu = (int)Math.Min(Layout(split < 0 ? rest : rest[..split], path, number), int.MaxValue);
        if (cpu >= 8192)
        {
            throw new InputFileException(path, number, $"no kernel has a CPU {cpu}");
        }

        zone.CurrentPageset = new ZoneInfoPageset(cpu);
        if (!cold)
        {
            zone.Pagesets.Add(zone.CurrentPageset);
        }
    }

    /// <summary>A figure the kernel derived; null where someone blanked it out.</summary>
    private static long? Figure(string text) =>
        long.TryParse(text.Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out long value) ? value : null;

    private static long Layout(string text, string path, int number)
    {
        // 2^52 bytes of memory are 2^40 frames: more has no architecture.
        const long Limit = 1L << 40;
        if (!long.TryParse(text.Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out long value) || value > Limit)
        {
            throw new InputFileException(path, number, $"'{text.Trim()}' is not a number of page frames");
        }

        return value;
    }

    private static long[]? Protection(string text)
    {
        string[] parts = text.Trim().Trim('(', ')').Split(',');
        long[] values = new long[parts.Length];
        for (int i = 0; i < parts.Length; i++)
        {
            if (Figure(parts[i]) is not long value)
            {
                return null;
            }

            values[i] = value;
        }

        return values;
    }

    private static void Check(ZoneInfoZone zone, string path)
    {
        if (zone.Spanned < 0 || zone.Present < 0 || zone.Managed < 0)
        {
            string missing = zone.Spanned < 0 ? "spanned" : zone.Present < 0 ? "present" : "managed";
            throw new InputFileException(path, zone.Line, $"zone {zone.Type.KernelName()} has no line '{missing}'");
        }

        if (zone.Present > zone.Spanned || zone.Managed > zone.Present)
        {
            throw new InputFileException(path, zone.Line, $"spanned {zone.Spanned}, present {zone.Present}, managed {zone.Managed} do not fit together");
        }
    }

    /// <summary>Where figures were blanked out with zeros: no kernel has a batch of 0, so none of the figures of such a file is one.</summary>
    private static void DropFiguresNoKernelPrints(List<ZoneInfoZone> zones)
    {
        if (!zones.Exists(z => z.Pagesets.Exists(p => p.Batch == 0)))
        {
            return;
        }

        foreach (ZoneInfoZone zone in zones)
        {
            zone.Min = zone.Low = zone.High = zone.Promo = null;
            zone.Protection = null;
            foreach (ZoneInfoPageset pageset in zone.Pagesets)
            {
                pageset.High = pageset.HighMin = pageset.HighMax = pageset.Batch = pageset.StatThreshold = null;
            }
        }
    }
}

/// <summary>Lines of a zoneinfo that tell how old its kernel is.</summary>
[Flags]
internal enum ZoneInfoMarks
{
    None = 0,

    /// <summary><c>per-node stats</c> (4.8 and later).</summary>
    PerNodeStats = 1,

    /// <summary><c>nr_alloc_batch</c> (3.12 to 4.7).</summary>
    AllocBatch = 2,

    /// <summary><c>all_unreclaimable</c> (until 4.7).</summary>
    AllUnreclaimable = 4,

    /// <summary>Hot and cold lists of each CPU (until 2.6.24).</summary>
    HotAndCold = 8,

    /// <summary><c>high_min</c> of per-CPU lists (6.18, perhaps earlier).</summary>
    HighBounds = 16,

    /// <summary><c>reserved_highatomic</c>, <c>free_highatomic</c> (7.0).</summary>
    HighAtomic = 32,

    /// <summary><c>nr_gpu_active</c> (7.1).</summary>
    GraphicsPages = 64,

    /// <summary><c>pgrotate_anon</c> (7.3).</summary>
    RotatedPages = 128,
}
