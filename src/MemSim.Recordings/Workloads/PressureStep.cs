using System.Globalization;
using MemSim.Captures;

namespace MemSim.Recordings.Workloads;

/// <summary>The figures of one step of a program under pressure.</summary>
/// <param name="VmStat">The lines of <c>/proc/vmstat</c>.</param>
/// <param name="Cgroups">Of each cgroup its files of one number by their names, and the rows of others by name and row.</param>
/// <param name="Compressed">What zswap and a zram disk say of themselves: <c>zswap stored_pages</c>, <c>zram0 mm_stat orig_data_size</c>.</param>
internal sealed record PressureStep(IReadOnlyDictionary<string, long> VmStat, IReadOnlyDictionary<string, IReadOnlyDictionary<string, long>> Cgroups, IReadOnlyDictionary<string, long> Compressed)
{
    private const string ZramFile = "sys__block__";

    /// <summary>The columns of a zram disk's files (<c>Documentation/admin-guide/blockdev/zram.rst</c>).</summary>
    private static readonly (string File, string[] Columns)[] ZramFiles =
    [
        ("mm_stat", ["orig_data_size", "compr_data_size", "mem_used_total", "mem_limit", "mem_used_max", "same_pages", "pages_compacted", "huge_pages", "huge_pages_since"]),
        ("io_stat", ["failed_reads", "failed_writes", "invalid_io", "notify_free"]),
        ("bd_stat", ["bd_count", "bd_reads", "bd_writes"]),
    ];

    private static readonly string[] Files = ["memory.current", "memory.peak", "memory.events", "memory.stat", "memory.swap.current", "memory.swap.events", "memory.zswap.current"];

    /// <summary>What a row of bytes says of all cgroups together, in pages.</summary>
    public long PagesOfCgroups(string row)
    {
        long bytes = 0;
        foreach (IReadOnlyDictionary<string, long> rows in Cgroups.Values)
        {
            bytes += Math.Clamp(rows.GetValueOrDefault(row), 0, 1L << 40);
        }

        return bytes >> PageGeometry.PageShift;
    }

    /// <summary>Those of a machine.</summary>
    public static PressureStep Of(Machine machine, Zram? zram)
    {
        Dictionary<string, IReadOnlyDictionary<string, long>> cgroups = new(StringComparer.Ordinal);
        foreach (Cgroup cgroup in machine.Cgroups.Root.Children)
        {
            Dictionary<string, long> rows = new(StringComparer.Ordinal);
            foreach (string file in Files)
            {
                Add(rows, file, cgroup[file].Split('\n', StringSplitOptions.RemoveEmptyEntries));
            }

            cgroups[cgroup.Name] = rows;
        }

        Dictionary<string, long> compressed = new(StringComparer.Ordinal);
        foreach ((string file, string[] columns) in ZramFiles)
        {
            if (zram is not null)
            {
                AddColumns(compressed, $"{zram.Disk.Name} {file}", columns, zram[file]);
            }
        }

        Add(compressed, "zswap", machine.Swap.Zswap.Statistics.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        return new PressureStep(Rows(machine.Proc.VmStat), cgroups, compressed);
    }

    /// <summary>Those of a recorded step's folder.</summary>
    public static PressureStep Read(string directory)
    {
        Dictionary<string, IReadOnlyDictionary<string, long>> cgroups = new(StringComparer.Ordinal);
        foreach (string path in Directory.GetFiles(directory, "cgroup-*.txt").Order(StringComparer.Ordinal))
        {
            string name = Path.GetFileNameWithoutExtension(path)["cgroup-".Length..];
            if (name != "root")
            {
                cgroups[name] = Sections(Text(path));
            }
        }

        Dictionary<string, long> compressed = new(StringComparer.Ordinal);
        foreach (string path in Directory.GetFiles(directory, ZramFile + "*").Order(StringComparer.Ordinal))
        {
            string[] parts = Path.GetFileName(path)[ZramFile.Length..].Split("__");
            foreach ((string file, string[] columns) in ZramFiles)
            {
                if (parts.Length == 2 && parts[1] == file)
                {
                    AddColumns(compressed, $"{parts[0]} {file}", columns, Text(path));
                }
            }
        }

        if (Path.Combine(directory, "zswap") is var zswap && File.Exists(zswap))
        {
            Add(compressed, "zswap", Text(zswap).Split('\n', StringSplitOptions.RemoveEmptyEntries));
        }

        return new PressureStep(Rows(Text(Path.Combine(directory, "vmstat"))), cgroups, compressed);
    }

    private static void AddColumns(Dictionary<string, long> rows, string file, string[] columns, string text)
    {
        string[] values = text.Split(default(char[]), StringSplitOptions.RemoveEmptyEntries);
        for (int i = 0; i < Math.Min(columns.Length, values.Length); i++)
        {
            if (long.TryParse(values[i], NumberStyles.None, CultureInfo.InvariantCulture, out long value))
            {
                rows[$"{file} {columns[i]}"] = value;
            }
        }
    }

    private static Dictionary<string, long> Sections(string text)
    {
        Dictionary<string, long> rows = new(StringComparer.Ordinal);
        string file = "";
        List<string> lines = [];
        foreach (string line in text.Split('\n').Append("[]"))
        {
            if (!line.StartsWith('['))
            {
                lines.Add(line);
                continue;
            }

            if (Files.Contains(file))
            {
                Add(rows, file, [.. lines.Where(l => l.Length != 0)]);
            }

            file = line.Trim('[', ']');
            lines.Clear();
        }

        return rows;
    }

    private static void Add(Dictionary<string, long> rows, string file, string[] lines)
    {
        foreach (string line in lines)
        {
            int space = line.LastIndexOf(' ');
            if (long.TryParse(line[(space + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out long value))
            {
                rows[space < 0 ? file : $"{file} {line[..space]}"] = value;
            }
        }
    }

    private static Dictionary<string, long> Rows(string text)
    {
        Dictionary<string, long> rows = new(StringComparer.Ordinal);
        foreach (string line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            int space = line.IndexOf(' ', StringComparison.Ordinal);
            if (space > 0 && long.TryParse(line[(space + 1)..], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long value))
            {
                rows[line[..space]] = value;
            }
        }

        return rows;
    }

    private static string Text(string path)
    {
        using StreamReader reader = InputFile.OpenText(path);
        return reader.ReadToEnd();
    }
}
