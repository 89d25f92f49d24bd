using System.Globalization;
using MemSim.Captures;
using MemSim.Slab;

namespace MemSim.Recordings.Twins;

/// <summary>A cache of a captured machine.</summary>
/// <param name="Name">Its name below <c>/sys/kernel/slab</c>.</param>
/// <param name="Request">What it was asked to hold.</param>
/// <param name="Figures">The captured figures by column; blank ones left out.</param>
internal sealed record SlabSysfsRow(string Name, CacheRequest Request, IReadOnlyDictionary<string, long> Figures)
{
    public bool Has(string figure) => Figures.ContainsKey(figure);

    public long? Captured(string figure) => Figures.TryGetValue(figure, out long value) ? value : null;
}

/// <summary>A line of <c>/proc/slabinfo</c>.</summary>
internal sealed record SlabInfoRow(string Name, long? Size, long? ObjectsPerSlab, long? PagesPerSlab);

/// <summary>Reads what captures say about object caches: <c>slab-sysfs.txt</c>, <c>slab-aliases.txt</c>, <c>slabinfo</c>.</summary>
internal static class SlabSysfsFile
{
    private static readonly string[] Needed = ["object_size", "align", "red_zone", "poison", "store_user", "hwcache_align", "cache_dma", "reclaim_account", "sanity_checks", "destroy_by_rcu"];
    private static readonly string[] Wanted = [.. Needed, "slab_size", "objs_per_slab", "order", "cpu_partial", "min_partial", "sheaf_capacity"];

    private static readonly (string Column, SlabFlags Flag)[] Flags =
    [
        ("red_zone", SlabFlags.RedZone), ("poison", SlabFlags.Poison), ("store_user", SlabFlags.StoreUser), ("hwcache_align", SlabFlags.HwCacheAlign), ("cache_dma", SlabFlags.CacheDma),
        ("reclaim_account", SlabFlags.ReclaimAccount), ("sanity_checks", SlabFlags.ConsistencyChecks), ("destroy_by_rcu", SlabFlags.TypesafeByRcu),
    ];

    /// <summary>Reads <c>slab-sysfs.txt</c>: a header, then a cache a line, tab separated. Caches whose own figures are blank are left out.</summary>
    public static List<SlabSysfsRow> Read(string path)
    {
        List<SlabSysfsRow> rows = [];
        using StreamReader reader = InputFile.OpenText(path);
        string[] header = (reader.ReadLine() ?? throw new InputFileException(path, 1, "the file is empty: a header of column names is wanted")).Split('\t');
        Dictionary<string, int> columns = new(StringComparer.Ordinal);
        for (int i = 0; i < header.Length; i++)
        {
            columns[header[i]] = i;
        }

        foreach (string column in Needed.Prepend("name").Append("ctor"))
        {
            if (!columns.ContainsKey(column))
            {
                throw new InputFileException(path, 1, $"there is no column '{column}'");
            }
        }

        int number = 1;
        while (reader.ReadLine() is { } line)
        {
            number++;
            string[] fields = line.Split('\t');
            if (fields.Length != header.Length)
            {
                throw new InputFileException(path, number, $"{fields.Length} fields, but the header has {header.Length}");
            }

            if (RowOf(path, number, fields, columns) is { } row)
            {
                rows.Add(row);
            }
        }

        return rows;
    }

    /// <summary>Reads <c>slab-aliases.txt</c>: the name of each merged cache and the one that serves it. Empty where there is no such file.</summary>
    public static Dictionary<string, string> ReadAliases(string path)
    {
        Dictionary<string, string> aliases = new(StringComparer.Ordinal);
        if (!File.Exists(path))
        {
            return aliases;
        }

        using StreamReader reader = InputFile.OpenText(path);
        for (int number = 1; reader.ReadLine() is { } line; number++)
        {
            string[] fields = line.Split('\t');
            if (fields.Length != 2)
            {
                throw new InputFileException(path, number, "an alias and its cache, separated by a tab, are wanted");
            }

            aliases[fields[0]] = fields[1];
        }

        return aliases;
    }

    /// <summary>Reads <c>/proc/slabinfo</c>.</summary>
    public static List<SlabInfoRow> ReadSlabInfo(string path)
    {
        List<SlabInfoRow> rows = [];
        using StreamReader reader = InputFile.OpenText(path);
        for (int number = 1; reader.ReadLine() is { } line; number++)
        {
            if (line.StartsWith("slabinfo", StringComparison.Ordinal) || line.StartsWith('#') || line.Length == 0)
            {
                continue;
            }

            string[] fields = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            if (fields.Length < 6)
            {
                throw new InputFileException(path, number, "a name and five numbers are wanted");
            }

            rows.Add(new SlabInfoRow(fields[0], Number(path, number, "objsize", fields[3]), Number(path, number, "objperslab", fields[4]), Number(path, number, "pagesperslab", fields[5])));
        }

        return rows;
    }

    private static SlabSysfsRow? RowOf(string path, int line, string[] fields, Dictionary<string, int> columns)
    {
        Dictionary<string, long> figures = new(StringComparer.Ordinal);
        foreach (string column in Wanted)
        {
            if (columns.TryGetValue(column, out int i) && Number(path, line, column, fields[i]) is { } value)
            {
                figures[column] = value;
            }
        }

        foreach (string column in Needed)
        {
            if (!figures.ContainsKey(column))
            {
                return null;
            }
        }

        string name = fields[columns["name"]];
        long align = figures["align"];
        if (figures["object_size"] is < 1 or > SlabRules.MaxSize || align is < 1 or > SlabRules.MaxSize || (align & (align - 1)) != 0)
        {
            throw new InputFileException(path, line, $"objects of {figures["object_size"]} bytes, aligned to {align}, are impossible");
        }

        SlabFlags flags = name.Contains("kmalloc-", StringComparison.Ordinal) ? SlabFlags.Kmalloc : SlabFlags.None;
        foreach ((string column, SlabFlags flag) in Flags)
        {
            flags |= figures[column] != 0 ? flag : SlabFlags.None;
        }

        return new SlabSysfsRow(name, new CacheRequest(name, (int)figures["object_size"], (int)align, flags, fields[columns["ctor"]].Length != 0), figures);
    }

    /// <summary>A number; null where the field is blank or a dash.</summary>
    private static long? Number(string path, int line, string column, string text) =>
        text.Length == 0 || text is "-" or "?" ? null
        : long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out long value) ? value
        : throw new InputFileException(path, line, $"{column}: '{text}' is not a number");
}
