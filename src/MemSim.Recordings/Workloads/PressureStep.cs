using System.Globalization;
using MemSim.Captures;

namespace MemSim.Recordings.Workloads;

/// <summary>The figures of one step of a program under pressure.</summary>
/// <param name="VmStat">The lines of <c>/proc/vmstat</c>.</param>
/// <param name="Cgroups">Of each cgroup its files of one number by their names, and the rows of others by name and row.</param>
internal sealed record PressureStep(IReadOnlyDictionary<string, long> VmStat, IReadOnlyDictionary<string, IReadOnlyDictionary<string, long>> Cgroups)
{
    private static readonly string[] Files = ["memory.current", "memory.peak", "memory.events", "memory.stat", "memory.swap.current", "memory.swap.events"];

    /// <summary>Those of a machine.</summary>
    public static PressureStep Of(Machine machine, string name)
    {
        _ = name;
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

        return new PressureStep(Rows(machine.Proc.VmStat), cgroups);
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

        return new PressureStep(Rows(Text(Path.Combine(directory, "vmstat"))), cgroups);
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
