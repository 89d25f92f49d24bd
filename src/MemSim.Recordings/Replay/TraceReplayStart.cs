using System.Globalization;
using MemSim.Captures;
using MemSim.Kernels;
using MemSim.Observability;
using MemSim.Zones;

namespace MemSim.Recordings.Replay;

/// <summary>The allocator's state when a recording began: from the recorded lists, or as near to it as the counts of free blocks lead.</summary>
internal static class TraceReplayStart
{
    private const uint LruFlag = 1u << 5;
    private const uint TailFlag = 1u << 16;
    private const uint PageTableFlag = 1u << 26;
    private const int MaxPagesCounted = 1 << 30;

    /// <summary>Reads the state.</summary>
    /// <param name="folder">The files.</param>
    /// <param name="recording">The recording; says how many CPUs there are at least. Without it only recorded lists are read.</param>
    /// <param name="kernel">The kernel whose rules the machine shall follow.</param>
    /// <param name="exact">Whether the order of the lists is known.</param>
    /// <returns>The state; null where the folder tells nothing about the time before.</returns>
    public static AllocatorState? Read(TraceReplayFolder folder, TraceReplayRecording? recording, KernelPersonality kernel, out bool exact)
    {
        string? lists = folder.FindBefore("mmlists");
        string? zoneInfoPath = folder.FindBefore("zoneinfo");
        exact = lists is not null;
        ZoneInfoFile? zoneInfo = zoneInfoPath is null ? null : ZoneInfoFile.Read(zoneInfoPath);
        AllocatorState? state = lists is not null ? MmListsReader.Read(lists) : null;
        if (state is null)
        {
            string? buddyInfo = folder.FindBefore("buddyinfo");
            if (zoneInfo is null || buddyInfo is null || recording is null)
            {
                return null;
            }

            state = Synthesise(zoneInfo, BuddyInfoFile.Parse(buddyInfo), recording, buddyInfo);
        }

        state.Kernel = kernel;
        state.CpuCount = Math.Max(state.CpuCount, recording?.CpuCount ?? 1);
        TraceReplayTopology.Add(state, folder, recording);
        foreach (ZoneState zone in state.Zones)
        {
            ZoneInfoZone? figures = zoneInfo?.Zones.FirstOrDefault(z => z.Node == zone.Node && z.Type == zone.Type);
            if (figures is not null)
            {
                AddFigures(zone, figures, state.CpuCount);
            }
        }

        string? flags = folder.FindBefore("kpageflags") ?? folder.FindBefore("kpageflags-rle.txt");
        if (flags is not null)
        {
            ReadLru(state, flags);
        }

        return state;
    }

    /// <summary>What the recorded lists leave out: reserves and thresholds.</summary>
    private static void AddFigures(ZoneState zone, ZoneInfoZone figures, int cpus)
    {
        if (figures.Protection is { } protection)
        {
            for (int i = 0; i < Math.Min(zone.LowmemReserve.Length, protection.Length); i++)
            {
                zone.LowmemReserve[i] = protection[i];
            }
        }

        zone.StatThreshold = figures.Pagesets.Count != 0 ? (int)Math.Clamp(figures.Pagesets[0].StatThreshold ?? 0, 0, 125) : 0;
        zone.FreePagesCpuDiff = new int[cpus];
        while (zone.Pcp.Count < cpus)
        {
            PcpState? first = zone.Pcp.Count != 0 ? zone.Pcp[0] : null;
            zone.Pcp.Add(new PcpState { High = first?.High ?? 0, Batch = first?.Batch ?? 1, Lists = EmptyLists() });
        }
    }

    private static long[][] EmptyLists()
    {
        long[][] lists = new long[PerCpuPages.Lists][];
        Array.Fill(lists, []);
        return lists;
    }

    /// <summary>Frees what was in use by processes and files, page tables included: somebody is to fill it again, and then it is known whose it is.</summary>
    public static void FreePagesOfUsers(AllocatorState state, string flagsPath) => ForEachRun(flagsPath, (first, count, flags) =>
    {
        const ulong Unevictable = 1UL << 18;
        bool isUsers = (flags & LruFlag) != 0 && (flags & Unevictable) == 0;
        foreach (ZoneState zone in isUsers || (flags & PageTableFlag) != 0 ? state.Zones : [])
        {
            long start = Math.Max(first, zone.StartPfn);
            long end = Math.Min(first + count, zone.StartPfn + zone.SpannedPages);
            while (start < end)
            {
                int order = PageGeometry.MaxOrder;
                while ((start & ((1L << order) - 1)) != 0 || start + (1L << order) > end)
                {
                    order--;
                }

                int type = zone.Pageblocks[(start >> state.PageblockOrder) - zone.FirstPageblock];
                zone.FreeLists[order][type] = [.. zone.FreeLists[order][type], start];
                zone.FreePages += 1L << order;
                start += 1L << order;
            }
        }
    });

    private static void ReadLru(AllocatorState state, string path) => ForEachRun(path, (first, count, flags) =>
    {
        foreach (ZoneState zone in (flags & LruFlag) != 0 ? state.Zones : [])
        {
            long start = Math.Max(first, zone.StartPfn);
            long end = Math.Min(first + count, zone.StartPfn + zone.SpannedPages);
            if (start < end)
            {
                zone.LruOrMovable.Add((start, end - start));
            }
        }
    });

    /// <summary>Reads the runs of pages with the same flags. The flags stored in the first page of a compound page only are given for all of it.</summary>
    private static void ForEachRun(string path, Action<long, long, ulong> action)
    {
        using StreamReader reader = InputFile.OpenText(path);
        int line = 0;
        ulong headFlags = 0;
        while (reader.ReadLine() is { } text)
        {
            line++;
            string[] words = text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
            if (words.Length == 0 || words[0].StartsWith('#'))
            {
                continue;
            }

            if (words.Length != 3
                || !long.TryParse(words[0], NumberStyles.None, CultureInfo.InvariantCulture, out long first)
                || !long.TryParse(words[1], NumberStyles.None, CultureInfo.InvariantCulture, out long count)
                || !ulong.TryParse(words[2], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong flags)
                || first < 0 || count is < 0 or > MaxPagesCounted)
            {
                throw new InputFileException(path, line, $"'{text}' is no run of page flags 'first count flags'");
            }

            headFlags = (flags & TailFlag) != 0 ? headFlags : flags;
            action(first, count, headFlags);
        }
    }

    /// <summary>As many free blocks of each order as there were, at addresses that the recording does not free first: the counts are right, the addresses are not known.</summary>
    private static AllocatorState Synthesise(ZoneInfoFile zoneInfo, IReadOnlyList<BuddyInfoRow> rows, TraceReplayRecording recording, string buddyInfoPath)
    {
        bool is32Bit = zoneInfo.Zones.Any(z => z.Type == ZoneType.HighMem);
        AllocatorState state = new()
        {
            Name = recording.Path,
            Architecture = is32Bit ? Architecture.X86_32 : Architecture.X86_64,
            CpuCount = Math.Max(recording.CpuCount, zoneInfo.Zones.Max(z => z.Pagesets.Count)),
        };
        ArchitectureInfo architecture = ArchitectureInfo.Of(state.Architecture);
        state.PageblockOrder = architecture.PageblockOrder;
        foreach (ZoneInfoZone figures in zoneInfo.Zones)
        {
            if (figures.Present > 0 && architecture.IndexOf(figures.Type) >= 0)
            {
                BuddyInfoRow row = rows.FirstOrDefault(r => r.Node == figures.Node && r.Zone == figures.Type.KernelName())
                    ?? throw new InputFileException(buddyInfoPath, 0, $"has no line for node {figures.Node} zone {figures.Type.KernelName()}");
                state.Zones.Add(SynthesiseZone(figures, row, state, architecture, recording, buddyInfoPath));
            }
        }

        return state.Zones.Count != 0 ? state : throw new InputFileException(buddyInfoPath, 0, "holds no zone with memory");
    }

    private static ZoneState SynthesiseZone(ZoneInfoZone figures, BuddyInfoRow row, AllocatorState state, ArchitectureInfo architecture, TraceReplayRecording recording, string path)
    {
        long boost = figures.Boost ?? 0;
        ZoneState zone = new()
        {
            Node = figures.Node,
            Type = figures.Type,
            StartPfn = figures.StartPfn,
            SpannedPages = figures.Spanned,
            PresentPages = figures.Present,
            ManagedPages = figures.Managed,
            WatermarkMin = (figures.Min ?? 0) - boost,
            WatermarkLow = (figures.Low ?? 0) - boost,
            WatermarkHigh = (figures.High ?? 0) - boost,
            WatermarkPromo = (figures.Promo ?? figures.High ?? 0) - boost,
            WatermarkBoost = boost,
            LowmemReserve = new long[architecture.ZoneTypes.Count],
            FreePagesCpuDiff = new int[state.CpuCount],
            FreeLists = new long[PageGeometry.OrderCount][][],
            FirstPageblock = figures.StartPfn >> state.PageblockOrder,
        };
        long blocks = ((zone.StartPfn + zone.SpannedPages - 1) >> state.PageblockOrder) - zone.FirstPageblock + 1;
        zone.Pageblocks = new byte[blocks];
        Array.Fill(zone.Pageblocks, (byte)MigrateType.Movable);
        for (int cpu = 0; cpu < state.CpuCount; cpu++)
        {
            ZoneInfoPageset? pageset = figures.Pagesets.Find(p => p.Cpu == cpu);
            zone.Pcp.Add(new PcpState { High = (int)Math.Clamp(pageset?.High ?? 0, 0, MaxPagesCounted), Batch = (int)Math.Clamp(pageset?.Batch ?? 1, 1, 1 << 16), Lists = EmptyLists() });
        }

        // Large blocks first and from the top down: what is left below is in use.
        long end = zone.StartPfn + zone.SpannedPages;
        for (int order = PageGeometry.MaxOrder; order >= 0; order--)
        {
            List<long> list = [];
            long size = 1L << order;
            end &= ~(size - 1);
            while (list.Count < row.BlocksOf(order) && end - size >= zone.StartPfn)
            {
                end -= size;
                if (!recording.FreesFirst(end, order))
                {
                    list.Add(end);
                }
            }

            zone.FreeLists[order] = new long[(int)MigrateType.Isolate + 1][];
            Array.Fill(zone.FreeLists[order], []);
            zone.FreeLists[order][(int)MigrateType.Movable] = [.. list];
            zone.FreePages += list.Count * size;
        }

        return zone.FreePages <= zone.ManagedPages
            ? zone
            : throw new InputFileException(path, 0, $"node {zone.Node} zone {zone.Type.KernelName()} has more free pages than it manages");
    }
}
