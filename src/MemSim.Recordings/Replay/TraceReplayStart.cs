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
    internal const int MaxPagesCounted = 1 << 30;

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
        string? flagsPath = folder.FindBefore("kpageflags") ?? folder.FindBefore("kpageflags-rle.txt");
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

            state = new TraceStartGuess(zoneInfo, BuddyInfoFile.Parse(buddyInfo), recording, buddyInfo, flagsPath) { Counted = folder.FreeBlocksBefore() }.State();
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

        if (flagsPath is not null)
        {
            ReadLru(state, flagsPath);
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

    internal static long[][] EmptyLists()
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
    internal static void ForEachRun(string path, Action<long, long, ulong> action)
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
}
