using System.Globalization;
using MemSim.Kernels;

namespace MemSim.Captures;

/// <summary>A machine as its own kernel described it: a folder of captured <c>/proc</c> files, or a live <c>/proc</c>.</summary>
public sealed class CapturedMachine
{
    private CapturedMachine(string directory, ZoneInfoFile zoneInfo, ReserveLayout layout, VmSysctls sysctls)
    {
        Directory = directory;
        ZoneInfo = zoneInfo;
        Layout = layout;
        Sysctls = sysctls;
    }

    /// <summary>The folder read.</summary>
    public string Directory { get; }

    /// <summary>The zoneinfo, with the figures the kernel derived.</summary>
    public ZoneInfoFile ZoneInfo { get; }

    /// <summary>The layout: zones, CPUs, architecture and kernel; nothing derived.</summary>
    public ReserveLayout Layout { get; }

    /// <summary>The kernel whose rules <see cref="Layout"/> has, and what is to be said about that choice.</summary>
    public KernelChoice Kernel { get; private init; } = KernelChoice.Of(KernelLines.Linux6_1);

    /// <summary>The settings in force; those of a fresh boot where the folder has none.</summary>
    public VmSysctls Sysctls { get; }

    /// <summary>The settings that the folder had a value for.</summary>
    public IReadOnlySet<string> KnownSysctls { get; private init; } = new HashSet<string>();

    /// <summary>The kernel's command line; empty where the folder has none.</summary>
    public string CommandLine { get; private init; } = "";

    /// <summary>Transparent huge pages as the boot left them.</summary>
    public TransparentHugePages BootTransparentHugePages { get; private init; }

    /// <summary>Transparent huge pages when the figures were read.</summary>
    public TransparentHugePages CurrentTransparentHugePages { get; private init; }

    /// <summary>Distances between nodes, by node; empty where the folder has none.</summary>
    public IReadOnlyDictionary<int, int[]> NodeDistances { get; private init; } = new Dictionary<int, int[]>();

    /// <summary>Whether the folder tells the node of each CPU (or there is only one node).</summary>
    public bool CpuNodesKnown { get; private init; }

    /// <summary>
    /// The layout when the boot computed its figures, before the initramfs and the init sections of the kernel were freed to the zones; null where the folder
    /// does not tell.
    /// </summary>
    public ReserveLayout? BootLayout { get; private init; }

    /// <summary>Why <see cref="BootLayout"/> is null.</summary>
    public string? BootLayoutUnknownReason { get; private init; }

    /// <summary>What the machine is, where it is not one that can be simulated (<c>32-bit ARM</c>); null for x86 and arm64 with pages of 4 KiB.</summary>
    public string? Foreign { get; private init; }

    /// <summary>What is to be said about reading the folder: the choice of the kernel's rules, what was inferred, what is not simulated.</summary>
    public IReadOnlyList<string> Remarks { get; private init; } = [];

    private static readonly ZoneType[][] ZonesOf64Bits =
    [
        [ZoneType.Dma, ZoneType.Dma32, ZoneType.Normal, ZoneType.Movable, ZoneType.Device], [ZoneType.Dma, ZoneType.Dma32, ZoneType.Normal, ZoneType.Movable],
        [ZoneType.Dma, ZoneType.Normal, ZoneType.Movable], [ZoneType.Dma, ZoneType.Dma32, ZoneType.Normal], [ZoneType.Dma, ZoneType.Normal, ZoneType.Movable, ZoneType.Device],
        [ZoneType.Dma32, ZoneType.Normal, ZoneType.Movable], [ZoneType.Normal, ZoneType.Movable],
    ];

    private static readonly ZoneType[][] ZonesOf32Bits =
    [
        [ZoneType.Dma, ZoneType.Normal, ZoneType.HighMem, ZoneType.Movable], [ZoneType.Normal, ZoneType.HighMem, ZoneType.Movable], [ZoneType.Dma, ZoneType.Normal, ZoneType.HighMem],
        [ZoneType.Dma, ZoneType.Normal, ZoneType.Movable], [ZoneType.Normal, ZoneType.Movable], [ZoneType.Dma, ZoneType.Dma32, ZoneType.Normal, ZoneType.HighMem],
    ];

    /// <summary>Reads a folder: of a capture, of a run-time step below it, of a trace (<c>before-zoneinfo</c>), or a live <c>/proc</c>.</summary>
    /// <param name="directory">The folder.</param>
    /// <param name="kernel">Whose rules the layout shall have; null for the kernel that the folder names.</param>
    /// <exception cref="InputFileException">There is no zoneinfo, or a file is malformed.</exception>
    public static CapturedMachine Read(string directory, KernelChoice? kernel = null)
    {
        ArgumentNullException.ThrowIfNull(directory);
        CaptureFolder folder = CaptureFolder.Open(directory);
        string path = folder.FindFigures("zoneinfo") ?? throw new InputFileException(Path.Combine(directory, "zoneinfo"), 0, "no such file");
        ZoneInfoFile zoneInfo = ZoneInfoFile.Read(path);
        BootLog log = BootLog.Parse(folder.MachineText("dmesg.txt", "dmesg-mm.txt", "dmesg", "../sos_commands/kernel/dmesg") ?? "");
        int? pageblockOrder = ReadPageblockOrder(folder);
        string kernelText = folder.KernelText() is { Length: > 0 } text ? text : log.Version ?? "";
        KernelChoice own = KernelChoice.TryFor(kernelText, out KernelChoice? named) ? named : KernelFromZoneInfo.Of(zoneInfo);
        kernel ??= own;
        ArchitectureGuess guess = ArchitectureGuess.Of(kernelText, zoneInfo, pageblockOrder, OrdersOfBuddyInfo(folder));
        ZoneType[] zoneTypes = ZoneTypesOf(zoneInfo, guess.Info, path);
        List<CpuLayout> cpus = ReadCpus(folder, zoneInfo, path, log.Cpus, out bool cpuNodesKnown);
        var layout = new ReserveLayout(guess.Info, CapturedRows.Apply(kernel.Line, own.Line, folder, guess.Info), [.. zoneInfo.Zones.Select(z => z.ToLayout())], cpus, zoneTypes, pageblockOrder);
        VmSysctls sysctls = ReadSysctls(folder, zoneTypes, out HashSet<string> known);
        List<string> remarks = [.. kernel.Warnings];
        AddRemarks(remarks, guess, zoneInfo, layout, sysctls);
        string commandLine = folder.CommandLine();
        TransparentHugePages? thp = ParseTransparentHugePages(folder.TransparentHugePages());
        TransparentHugePages bootThp = BootThp(commandLine, thp);
        ReserveLayout? boot = LayoutBefore(layout, log.LateFrees(folder.MachineText("iomem") ?? "", layout.Kernel.KernelMemory.FreesSmpAlternativesLate, out string? reason), ref reason);
        return new CapturedMachine(directory, zoneInfo, layout, sysctls)
        {
            Kernel = kernel,
            Foreign = guess.Foreign,
            Remarks = remarks,
            KnownSysctls = known,
            CommandLine = commandLine,
            CurrentTransparentHugePages = thp ?? bootThp,
            BootTransparentHugePages = bootThp,
            NodeDistances = ReadDistances(folder),
            CpuNodesKnown = cpuNodesKnown,
            BootLayout = boot,
            BootLayoutUnknownReason = reason,
        };
    }

    private static void AddRemarks(List<string> remarks, ArchitectureGuess guess, ZoneInfoFile zoneInfo, ReserveLayout layout, VmSysctls sysctls)
    {
        if (guess.Foreign is string foreign)
        {
            string pages = guess.PageKiB is int kiB and not 4 ? $"; its pages are probably of {kiB} KiB, and what depends on their size is wrong" : "";
            remarks.Add($"the machine is {foreign}, which is not simulated: its figures are computed by the rules that all machines have in common{pages}");
        }

        if (!zoneInfo.HasManaged)
        {
            remarks.Add("zoneinfo does not tell what each zone manages (before 3.9): the pages present are taken, which excluded the memory map then");
        }

        WatermarkInference.InferBoosts(zoneInfo, layout, sysctls, remarks);
        long managed = layout.TotalManagedPages;
        foreach (ZoneInfoZone zone in zoneInfo.Zones.Where(z => z.Managed > 0 && z.Min == 0 && z.Managed * 1000 < managed))
        {
            string spins = zoneInfo.Marks.HasFlag(ZoneInfoMarks.PerNodeStats) ? "" : ": kswapd of kernels before 4.8 may never find it balanced";
            remarks.Add(string.Create(CultureInfo.InvariantCulture, $"node {zone.Node} zone {zone.Type.KernelName()} manages {zone.Managed} of {managed} pages and its min watermark is 0{spins}"));
        }
    }

    /// <summary>How many orders the buddyinfo beside has; null where there is none.</summary>
    private static int? OrdersOfBuddyInfo(CaptureFolder folder)
    {
        string? line = folder.FindFigures("buddyinfo") is string path ? File.ReadLines(path).FirstOrDefault(l => l.StartsWith("Node ", StringComparison.Ordinal)) : null;
        return line?.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Length - 4;
    }

    /// <summary>The zones of the kernel that wrote the file: it prints the empty ones too, so those of any node are all.</summary>
    private static ZoneType[] ZoneTypesOf(ZoneInfoFile zoneInfo, ArchitectureInfo architecture, string path)
    {
        var types = new SortedSet<ZoneType>(zoneInfo.Zones.Select(z => z.Type));
        foreach (ZoneInfoZone zone in zoneInfo.Zones)
        {
            if (zoneInfo.Zones.Any(other => other != zone && other.Node == zone.Node && other.Type == zone.Type))
            {
                throw new InputFileException(path, zone.Line, $"node {zone.Node} has two zones {zone.Type.KernelName()}");
            }
        }

        // Older kernels leave empty zones out; then the reserves tell how many there are, and the architecture which.
        int count = zoneInfo.Zones.Max(z => z.Protection?.Length ?? 0);
        ZoneType[][] known = architecture.Bits == 64 ? ZonesOf64Bits : ZonesOf32Bits;
        return types.Count == count || zoneInfo.Zones.Any(z => z.Present == 0) ? [.. types]
            : known.FirstOrDefault(k => k.Length == count && types.IsSubsetOf(k)) ?? [.. types.Union(architecture.ZoneTypes).Order()];
    }

    private static int? ReadPageblockOrder(CaptureFolder folder)
    {
        const string Key = "Page block order:";
        string? path = folder.FindFigures("pagetypeinfo");
        try
        {
            string? line = path is null ? folder.MachineText("pagetypeinfo")?.Split('\n')[0] : File.ReadLines(path).FirstOrDefault();
            if (line is null || !line.StartsWith(Key, StringComparison.Ordinal))
            {
                return null;
            }

            return int.TryParse(line.AsSpan(Key.Length), NumberStyles.AllowLeadingWhite | NumberStyles.AllowTrailingWhite, CultureInfo.InvariantCulture, out int order) && order <= 20
                ? order
                : throw new InputFileException(path ?? "pagetypeinfo", 1, $"'{line}' names no order");
        }
        catch (UnauthorizedAccessException)
        {
            // Root's alone on a live system.
            return null;
        }
    }

    private static List<CpuLayout> ReadCpus(CaptureFolder folder, ZoneInfoFile zoneInfo, string zoneInfoPath, int? bootCpus, out bool nodesKnown)
    {
        var nodes = new SortedSet<(int Cpu, int Node)>();
        foreach ((int node, string path) in folder.NodeFiles("cpulist"))
        {
            nodes.UnionWith(ParseCpuList(File.ReadAllText(path).Trim(), path).Select(cpu => (cpu, node)));
        }

        nodesKnown = nodes.Count != 0 || zoneInfo.Zones.All(z => z.Node == zoneInfo.Zones[0].Node);
        var online = new SortedSet<int>(zoneInfo.Zones.SelectMany(z => z.Pagesets.Select(p => p.Cpu)));
        if (online.Count == 0)
        {
            // Blanked out: sysfs lists the CPUs that are online, the boot log counts those of the boot.
            online.UnionWith(nodes.Count != 0 ? nodes.Select(n => n.Cpu) : Enumerable.Range(0, bootCpus ?? 0));
        }

        if (online.Count == 0)
        {
            throw new InputFileException(zoneInfoPath, 1, "no zone has a CPU below 'pagesets'");
        }

        // A CPU that no list names belongs to the first node, or to the only one.
        nodes.UnionWith(online.Except(nodes.Select(n => n.Cpu)).Select(cpu => (cpu, zoneInfo.Zones[0].Node)));
        return [.. nodes.Select(n => new CpuLayout(n.Cpu, n.Node, online.Contains(n.Cpu)))];
    }

    private static IEnumerable<int> ParseCpuList(string text, string path)
    {
        foreach (string part in text.Split(',', StringSplitOptions.RemoveEmptyEntries))
        {
            string[] ends = part.Split('-');
            if (ends.Length > 2
                || !int.TryParse(ends[0], NumberStyles.None, CultureInfo.InvariantCulture, out int first)
                || !int.TryParse(ends[^1], NumberStyles.None, CultureInfo.InvariantCulture, out int last)
                || last < first || last >= 8192)
            {
                throw new InputFileException(path, 1, $"'{part}' is not a list of CPUs like '0-3,8'");
            }

            for (int cpu = first; cpu <= last; cpu++)
            {
                yield return cpu;
            }
        }
    }

    private static VmSysctls ReadSysctls(CaptureFolder folder, ZoneType[] zoneTypes, out HashSet<string> known)
    {
        var sysctls = new VmSysctls(zoneTypes);
        known = new HashSet<string>(StringComparer.Ordinal);
        foreach ((string path, int line, string name, string value) in folder.Sysctls())
        {
            // Files of other kernels are none of the simulator's business; a value without a digit is one blanked out.
            if (!VmSysctls.Has(name) || !value.Any(char.IsAsciiDigit))
            {
                continue;
            }

            if (!sysctls.TryLoad(name, value, out string? error))
            {
                throw new InputFileException(path, line, error);
            }

            known.Add(name);
        }

        if (!folder.IsStep)
        {
            return sysctls;
        }

        foreach ((string name, string value, string path) in StepSysctls(folder.Directory))
        {
            if (!sysctls.TryLoad(name, value, out string? error))
            {
                throw new InputFileException(path, 1, error);
            }

            known.Add(name);
        }

        return sysctls;
    }

    /// <summary>The settings whose files a run-time step holds.</summary>
    internal static IEnumerable<(string Name, string Value, string Path)> StepSysctls(string directory)
    {
        foreach (string name in VmSysctls.Names)
        {
            string path = Path.Combine(directory, name);
            if (File.Exists(path) && File.ReadAllText(path).Trim() is { } value && value.Any(char.IsAsciiDigit))
            {
                yield return (name, value, path);
            }
        }
    }

    private static Dictionary<int, int[]> ReadDistances(CaptureFolder folder)
    {
        var distances = new Dictionary<int, int[]>();
        foreach ((int node, string path) in folder.NodeFiles("distance"))
        {
            string[] words = File.ReadAllText(path).Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
            int[] row = new int[words.Length];
            for (int i = 0; i < row.Length; i++)
            {
                if (!int.TryParse(words[i], NumberStyles.None, CultureInfo.InvariantCulture, out row[i]) || row[i] > 255)
                {
                    throw new InputFileException(path, 1, $"'{words[i]}' is not a distance between nodes");
                }
            }

            distances[node] = row;
        }

        return distances;
    }

    private static TransparentHugePages? ParseTransparentHugePages(string? text) => text?.Trim() switch
    {
        null => null,
        "" => TransparentHugePages.Unavailable,
        string modes when modes.Contains("[never]", StringComparison.Ordinal) => TransparentHugePages.Never,
        string modes when modes.Contains("[madvise]", StringComparison.Ordinal) => TransparentHugePages.Madvise,
        string modes when modes.Contains("[always]", StringComparison.Ordinal) => TransparentHugePages.Always,
        _ => null,
    };

    /// <summary>The command line decides; without it Debian's kernel has them on. What sysfs says later may have been written since.</summary>
    private static TransparentHugePages BootThp(string commandLine, TransparentHugePages? captured)
    {
        if (captured == TransparentHugePages.Unavailable)
        {
            return TransparentHugePages.Unavailable;
        }

        const string Key = "transparent_hugepage=";
        string? word = commandLine.Split(' ').LastOrDefault(w => w.StartsWith(Key, StringComparison.Ordinal));
        return word?[Key.Length..] switch
        {
            "never" => TransparentHugePages.Never,
            "madvise" => TransparentHugePages.Madvise,
            _ => TransparentHugePages.Always,
        };
    }

    private static ReserveLayout? LayoutBefore(ReserveLayout layout, List<LateFree>? frees, ref string? reason)
    {
        if (frees is null)
        {
            return null;
        }

        long[] managed = [.. layout.Zones.Select(z => z.ManagedPages)];
        foreach (LateFree free in frees)
        {
            int zone = ZoneOf(layout, free.First);
            if (zone < 0 || zone != ZoneOf(layout, free.Last))
            {
                reason = $"it cannot be told into which zone '{free.What}' ({free.Pages} pages) was freed during boot";
                return null;
            }

            managed[zone] -= free.Pages;
            if (managed[zone] < 0)
            {
                reason = $"zone {layout.Zones[zone].Type.KernelName()} manages less than the boot log says was freed into it";
                return null;
            }
        }

        return layout.WithZones([.. layout.Zones.Select((z, i) => z with { ManagedPages = managed[i] })]);
    }

    private static int ZoneOf(ReserveLayout layout, Pfn? frame)
    {
        int found = -1;
        for (int i = 0; i < layout.Zones.Count; i++)
        {
            ZoneLayout zone = layout.Zones[i];

            // Without an address only one candidate is an answer. The kernel image never lies in the DMA zone of x86, its first 16 MiB.
            bool candidate = frame is Pfn pfn
                ? zone.Spans(pfn)
                : zone.IsPopulated && zone.Type is ZoneType.Dma or ZoneType.Dma32 or ZoneType.Normal
                    && !(zone.Type == ZoneType.Dma && layout.Architecture.Architecture != Architecture.Arm64);
            if (candidate)
            {
                if (found >= 0)
                {
                    return -1;
                }

                found = i;
            }
        }

        return found;
    }
}
