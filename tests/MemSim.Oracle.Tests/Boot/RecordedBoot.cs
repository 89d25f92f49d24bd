using System.Globalization;
using System.IO.Compression;
using FluentAssertions;

namespace MemSim.Oracle.Tests.Boot;

/// <summary>A boot of a real kernel: the machine, the lines of its log that have to do with memory, the zones it ended with.</summary>
public sealed class RecordedBoot
{
    private static readonly Lazy<IReadOnlyList<RecordedBoot>> Cached = new(() => Read());

    private RecordedBoot(string name) => Name = name;

    public static IReadOnlyList<RecordedBoot> All => Cached.Value;

    public string Name { get; }

    public string Label { get; private set; } = "";

    public ByteSize Memory { get; private set; }

    public int Cpus { get; private set; }

    public string CommandLine { get; private set; } = "";

    public List<(ByteSize Size, int[] Cpus)> Nodes { get; } = [];

    public List<(int From, int To, int Value)> Distances { get; } = [];

    public List<(int Node, ZoneType Type, long Start, long Spanned, long Present, long Managed)> Zones { get; } = [];

    public List<string> Log { get; } = [];

    public Architecture Architecture => Label switch
    {
        "i386" => Architecture.X86_32,
        "i386pae" => Architecture.X86_32Pae,
        "arm64" => Architecture.Arm64,
        _ => Architecture.X86_64,
    };

    public string Kernel => Label switch
    {
        "amd64k612" => "6.12",
        "amd64k618" => "6.18",
        "amd64k70" => "7.0",
        "amd64k71" => "7.1",
        "amd64k73" => "7.3",
        _ => "6.1",
    };

    public ByteSize Initrd
    {
        get
        {
            string? line = Log.Find(line => line.StartsWith("RAMDISK", StringComparison.Ordinal));
            string? freed = Log.Find(line => line.StartsWith("Freeing initrd memory: ", StringComparison.Ordinal));
            return line is not null ? new ByteSize(Hex(line, '-', ']') - Hex(line, ' ', '-') + 1)
                : freed is not null ? ByteSize.FromKiB(ulong.Parse(freed["Freeing initrd memory: ".Length..^1], CultureInfo.InvariantCulture)) : default;
        }
    }

    public static RecordedBoot Named(string name) => All.Single(boot => boot.Name == name);

    /// <summary>The machine as QEMU's arguments describe it.</summary>
    public MachineSpec FromArguments()
    {
        MachineSpec spec = MachineSpec.Preset(Architecture, Memory, Cpus);
        return WithRest(Nodes.Count == 0 ? spec : spec.WithNodes([.. Nodes.Select(node => node.Size)]));
    }

    /// <summary>The machine as its firmware described it to the kernel.</summary>
    public MachineSpec FromFirmware()
    {
        List<MemoryRange> ranges = [];
        foreach (string line in Log.Where(line => line.StartsWith("BIOS-e820: [mem ", StringComparison.Ordinal)))
        {
            string name = line[(line.IndexOf(']') + 1)..].TrimStart();
            name = name switch { "System RAM" => "usable", "device reserved" => "reserved", _ => name };
            MemoryMap.TryParseKind(name, out MemoryRangeKind kind).Should().BeTrue(line);
            ulong start = Hex(line, "[mem ", "-");
            ranges.Add(new MemoryRange(start, Hex(line, "[mem ", "]", "-") - start + 1, kind));
        }

        MachineSpec spec = ranges.Count > 0 ? MachineSpec.FromMemoryMap(Architecture, MemoryMap.Of(ranges), Cpus) : MachineSpec.Preset(Architecture, Memory, Cpus);
        return WithRest(Nodes.Count == 0 ? spec : spec.WithNodes(Topology(ranges.Count > 0)));
    }

    private MachineSpec WithRest(MachineSpec spec) => spec.WithKernel(Kernel).WithCommandLine(CommandLine).WithInitrd(Initrd);

    private NumaTopology Topology(bool acpi)
    {
        List<(ulong, ulong)>[] memory = [.. Nodes.Select(_ => new List<(ulong, ulong)>())];
        string prefix = acpi ? "ACPI: SRAT: Node " : "  node ";
        foreach (string line in Log.Where(line => line.StartsWith(prefix, StringComparison.Ordinal)))
        {
            int node = int.Parse(line[prefix.Length..].TrimStart().Split(' ', ':')[0], CultureInfo.InvariantCulture);
            ulong start = Hex(line, "[mem ", "-");
            memory[node].Add((start, Hex(line, "[mem ", "]", "-") - start + 1));
        }

        int[,] distances = new int[Nodes.Count, Nodes.Count];
        for (int i = 0; i < Nodes.Count; i++)
        {
            for (int j = 0; j < Nodes.Count; j++)
            {
                distances[i, j] = i == j ? 10 : 20;
            }
        }

        foreach ((int from, int to, int value) in Distances)
        {
            distances[from, to] = value;
            distances[to, from] = Distances.Exists(other => other.From == to && other.To == from) ? distances[to, from] : value;
        }

        return NumaTopology.Of([.. Nodes.Select((node, id) => new NumaNode(id, memory[id], node.Cpus))], distances);
    }

    private static ulong Hex(string line, char from, char to) => from == ' ' ? Hex(line, "[mem ", "-") : Hex(line, "[mem ", "]", "-");

    private static ulong Hex(string line, string from, string to, string? within = null)
    {
        string text = line[(line.IndexOf(from, StringComparison.Ordinal) + from.Length)..];
        text = within is null ? text : text[(text.IndexOf(within, StringComparison.Ordinal) + within.Length)..];
        text = text[..text.IndexOf(to, StringComparison.Ordinal)];
        return ulong.Parse(text.AsSpan(2), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
    }

    private static List<RecordedBoot> Read()
    {
        List<RecordedBoot> boots = [];
        Read("boots.txt.gz", boots);
        Read("boots-new.txt.gz", boots);
        return boots;
    }

    private static void Read(string file, List<RecordedBoot> boots)
    {
        using StreamReader reader = new(new GZipStream(File.OpenRead(Path.Combine(AppContext.BaseDirectory, "Data", "boot", file)), CompressionMode.Decompress));
        while (reader.ReadLine() is { } line)
        {
            if (line.StartsWith("# ", StringComparison.Ordinal))
            {
                boots.Add(new RecordedBoot(line[2..]));
                continue;
            }

            string[] parts = line.Split('\t', 2);
            string[] fields = parts[1].Split('\t');
            RecordedBoot boot = boots[^1];
            switch (parts[0])
            {
                case "memory":
                    boot.Memory = char.IsAsciiDigit(parts[1][^1]) ? parts[1] + "M" : parts[1];
                    break;
                case "cpus":
                    boot.Cpus = Int(parts[1]);
                    break;
                case "label":
                    boot.Label = parts[1];
                    break;
                case "cmdline":
                    boot.CommandLine = parts[1];
                    break;
                case "node":
                    boot.Nodes.Add((fields[1] == "0" ? default : ByteSize.Parse(fields[1]), [.. CpuList(fields[2])]));
                    break;
                case "dist":
                    boot.Distances.Add((Int(fields[0]), Int(fields[1]), Int(fields[2])));
                    break;
                case "zone":
                    ZoneTypeNames.TryParse(fields[1], out ZoneType type).Should().BeTrue();
                    boot.Zones.Add((Int(fields[0]), type, Int(fields[2]), Int(fields[3]), Int(fields[4]), Int(fields[5])));
                    break;
                case "dmesg":
                    boot.Log.Add(parts[1]);
                    break;
            }
        }
    }

    private static IEnumerable<int> CpuList(string text)
    {
        foreach (string part in text.Split(',', StringSplitOptions.RemoveEmptyEntries))
        {
            string[] ends = part.Split('-');
            for (int cpu = Int(ends[0]); cpu <= Int(ends[^1]); cpu++)
            {
                yield return cpu;
            }
        }
    }

    private static int Int(string text) => int.Parse(text, CultureInfo.InvariantCulture);
}
