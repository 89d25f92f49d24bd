using MemSim.Boot;
using MemSim.Kernels;
using MemSim.Pages;
using MemSim.Slab;
using MemSim.Statistics;
using MemSim.Zones;

namespace MemSim.Observability;

/// <summary>Turns a machine into a snapshot document and back.</summary>
internal static class SnapshotBuilder
{
    private const int WordsOfFrame = 7;
    private const int CountersOfPcp = 6;
    private const long MostFrames = 1L << 28;

    public static SnapshotDocument Capture(Machine machine)
    {
        SnapshotDocument document = new()
        {
            Personality = BuildOptions.NameOf(machine.Personality),
            Warnings = [.. machine.Warnings],
            MemoryModel = machine.Frames.Model,
            MobilityGrouping = machine.ZoneTable.MobilityGrouping,
            RefusesIllegalFlags = machine.ZoneTable.RefusesIllegalFlags,
            HasContents = machine.Ram.HasContents,
            FrameCount = machine.Frames.Count,
            HugePages = machine.Settings.HugePages,
            Nodes = [.. machine.Nodes.Select(n => new SnapshotNode(n.Id, [.. n.Distances], [.. n.FallbackOrder], n.KswapdWakeups))],
            Cpus = [.. machine.Cpus.Select(c => new SnapshotCpu(c.Node.Id, c.IsOnline))],
            Present = [.. machine.ZoneTable.PresentRanges.Select(r => new SnapshotRange(r.Start, r.End, r.Zone.Node.Id, r.Zone.Type))],
            Offline = [.. machine.ZoneTable.OfflineRanges.Select(r => new SnapshotOffline(r.Start, r.End, r.Node))],
            Reserved = [.. machine.Frames.ReservedRanges.Select(r => new[] { r.Start, r.End })],
            NotCarried = NotCarriedOf(machine),
            State = StateCapture.Capture(machine, "snapshot"),
        };
        foreach (string name in VmSysctls.Names)
        {
            document.Sysctls[name] = machine.Settings.Sysctls.Get(name);
        }

        foreach (Zone zone in machine.Zones.Where(z => z.IsPopulated))
        {
            document.Zones.Add(new SnapshotZone(zone.Node.Id, zone.Type, zone.CmaPages, zone.HasCma, zone.UntrackedPages, [.. zone.Pcp.Select(CountersOf)]));
        }

        foreach (PresentRange range in machine.ZoneTable.PresentRanges)
        {
            CaptureFrames(machine, range, document.Frames);
        }

        CaptureEvents(machine, document.Events);
        return document;
    }

    /// <summary>Builds the machine of a document.</summary>
    /// <exception cref="FormatException">The document contradicts itself.</exception>
    public static Machine Build(SnapshotDocument document)
    {
        AllocatorState state = document.State;
        state.Kernel = BuildOptions.Named(document.Personality);
        MachineBlueprint blueprint = new()
        {
            Architecture = ArchitectureInfo.Of(state.Architecture),
            PageblockOrder = state.PageblockOrder,
            Nodes = [.. document.Nodes.Select(n => new NodeBlueprint(n.Id, n.Distances, n.FallbackOrder))],
            CpuNodes = [.. document.Cpus.Select(c => c.Node)],
            Zones = [.. state.Zones.Select(z => Blueprint(z, document.Present))],
            Reserved = [.. document.Reserved.Select(r => (r[0], r[1]))],
            MobilityGrouping = document.MobilityGrouping,
            MemoryModel = document.MemoryModel,
            HasContents = document.HasContents,
            RefusesIllegalFlags = document.RefusesIllegalFlags,
            WatermarkBoostFactor = state.WatermarkBoostFactor,
            LeastFrames = document.Offline.Select(r => Math.Clamp(r.End, 0, MostFrames)).DefaultIfEmpty(0).Max(),
            Personality = state.Kernel,
            Warnings = document.Warnings,
        };
        Machine machine = new(blueprint);
        try
        {
            RestoreOffline(machine, document);
            RestoreFrames(machine, document);
            StateRestorer.Fill(machine, state);
            RestoreRest(machine, document);
            return machine;
        }
        catch
        {
            machine.Dispose();
            throw;
        }
    }

    /// <summary>The entry of <see cref="SnapshotDocument.NotCarried"/> that an image of the slab layer makes up for.</summary>
    public const string SlabLayer = "the slab layer: caches and their objects";

    /// <summary>Makes ordinary blocks of the slabs and large kmalloc objects in a machine that did not get the slab layer they belong to.</summary>
    public static void ForgetSlabs(Machine machine, SnapshotDocument document)
    {
        foreach (long[] words in document.Frames)
        {
            int pfn = (int)words[0];
            machine.Frames.Array[pfn].Clear(PageFlags.Slab);
            LargeObjects.Forget(machine, pfn);
        }
    }

    private static List<string> NotCarriedOf(Machine machine)
    {
        List<string> missing = [];
        if (machine.Slab.IsUsed)
        {
            missing.Add(SlabLayer);
        }

        if (machine.Hotplug.Memory.HasPluggedIn)
        {
            missing.Add("memory plugged in: what its memory map takes, so that it cannot be removed");
        }

        if (machine.PerCpu.IsUsed)
        {
            missing.Add("per-CPU memory: variables and areas");
        }

        if (machine.Ram.HasContents && (machine.Mm!.WasUsed || machine.Memory.Vmalloc.WasUsed))
        {
            missing.Add("the MMU: page tables, TLBs, what vmalloc, vmap and processes have mapped");
        }

        if (machine.Mm is { WasUsed: true })
        {
            missing.Add("processes: address spaces and who maps which page");
        }

        if (machine.Files.PageCache.WasUsed)
        {
            missing.Add("the page cache: devices, file systems and open files");
        }

        if (machine.Swap.WasUsed)
        {
            missing.Add("swap: areas and what lies in them");
        }

        return missing;
    }

    private static ZoneBlueprint Blueprint(ZoneState zone, List<SnapshotRange> present) =>
        new(zone.Node, zone.Type, zone.StartPfn, zone.SpannedPages, zone.PresentPages, zone.ManagedPages)
        {
            Ranges = [.. present.Where(r => r.Node == zone.Node && r.Type == zone.Type).Select(r => (r.Start, r.End))],
        };

    private static void CaptureFrames(Machine machine, PresentRange range, List<long[]> into)
    {
        long pfn = range.Start;
        while (pfn < range.End)
        {
            if (machine.Frames.Untouched.Covers((int)pfn))
            {
                pfn = (pfn | ((1L << PageGeometry.MaxOrder) - 1)) + 1;
                continue;
            }

            ref PageFrame frame = ref machine.Frames.Array[(int)pfn];
            if (frame.IsBuddy)
            {
                pfn += 1L << frame.Private;
                continue;
            }

            bool carriesState = !frame.IsPcp && (frame.IsInUse || frame.StoredFlags != PageFlags.None || frame.Mapping != 0 || frame.InvertedMapCount != 0);
            if (carriesState)
            {
                into.Add(frame.ToWords(pfn));
            }

            pfn += frame.IsInUse ? 1L << frame.Order : 1;
        }
    }

    private static void RestoreOffline(Machine machine, SnapshotDocument document)
    {
        ZoneTable table = machine.ZoneTable;
        foreach (SnapshotOffline range in document.Offline)
        {
            bool overlaps = table.PresentRanges.Any(r => r.Start < range.End && r.End > range.Start) || table.OfflineRanges.Any(r => r.Start < range.End && r.End > range.Start);
            if (range.Start < 0 || range.Start >= range.End || range.End > machine.Frames.Count || overlaps || table.NodeOrDefault(range.Node) is null)
            {
                throw new FormatException($"offline memory from frame {range.Start} to {range.End} near node {range.Node} is none that this machine could have");
            }

            table.MakeOffline(new OfflineRange(range.Start, range.End, range.Node));
        }
    }

    private static void RestoreFrames(Machine machine, SnapshotDocument document)
    {
        foreach (long[] words in document.Frames)
        {
            if (words.Length != WordsOfFrame || (ulong)words[0] >= (ulong)machine.Frames.Count || machine.ZoneTable.ZoneOf((int)words[0]) is not { } zone)
            {
                throw new FormatException($"frame {(words.Length > 0 ? words[0] : -1)} of the snapshot is outside of its zones");
            }

            machine.Frames.Array[(int)words[0]].SetWords(zone.Id, words);
        }
    }

    private static void CaptureEvents(Machine machine, Dictionary<string, long> into)
    {
        // What the boot gave to the allocator counts as freed, and a machine made of a snapshot did not boot.
        long freedByBoot = machine.BootPlan is null ? 0 : machine.Zones.Sum(z => z.ManagedPages);
        for (VmEvent e = 0; (int)e < VmEvents.Table.Length; e++)
        {
            long count = machine.Events[e] + (e == VmEvent.PagesFreed ? freedByBoot : 0);
            if (count != 0)
            {
                into[VmEvents.Table[(int)e].Name] = count;
            }
        }
    }

    private static void RestoreRest(Machine machine, SnapshotDocument document)
    {
        machine.Settings.Restore(document.Sysctls, document.HugePages);
        for (VmEvent e = 0; (int)e < VmEvents.Table.Length; e++)
        {
            machine.Events.Restore(e, document.Events.GetValueOrDefault(VmEvents.Table[(int)e].Name) - machine.Events[e]);
        }

        foreach (SnapshotZone saved in document.Zones)
        {
            Zone zone = machine.GetNode(saved.Node).GetZone(saved.Type);
            zone.CmaPages = saved.CmaPages;
            zone.HasCma = saved.HasCma;
            zone.UntrackedPages = saved.Untracked;
            for (int cpu = 0; cpu < Math.Min(zone.Pcp.Length, saved.CpuCounters.Length); cpu++)
            {
                Restore(zone.Pcp[cpu], saved.CpuCounters[cpu]);
            }
        }

        for (int i = 0; i < document.Nodes.Count; i++)
        {
            machine.GetNode(document.Nodes[i].Id).KswapdWakeups = document.Nodes[i].KswapdWakeups;
        }

        for (int cpu = 0; cpu < document.Cpus.Count; cpu++)
        {
            machine.Cpus[cpu].IsOnline = document.Cpus[cpu].Online;
            machine.Cpus[cpu].Context.UpdateMode();
        }
    }

    private static long[] CountersOf(PerCpuPages pcp) =>
        [pcp.PagesAllocated, pcp.NumaHit, pcp.NumaMiss, pcp.NumaForeign, pcp.NumaInterleave, pcp.Refills];

    private static void Restore(PerCpuPages pcp, long[] counters)
    {
        if (counters.Length != CountersOfPcp)
        {
            throw new FormatException($"CPU {pcp.Cpu} of the snapshot has {counters.Length} counters, not {CountersOfPcp}");
        }

        pcp.PagesAllocated = counters[0];
        pcp.NumaHit = counters[1];
        pcp.NumaMiss = counters[2];
        pcp.NumaForeign = counters[3];
        pcp.NumaInterleave = counters[4];
        pcp.Refills = counters[5];
    }
}
