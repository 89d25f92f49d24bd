using System.Numerics;
using MemSim.Kernels;

namespace MemSim.Boot;

/// <summary>The part of the boot log that tells about zonelists and the amount of memory.</summary>
internal static class ClosingLog
{
    // x86-64 allocates the top-level entries of the vmalloc area before it counts free pages.
    private const long VmallocTablePages = 64;

    // What each further CPU takes of the page allocator before a late count: stacks and per-CPU pages, and what its lists of free pages hold (6.12 to 7.3: 320 to 720 KiB).
    private const long StartKiBPerCpu = 500;

    private const int PageKiB = PageGeometry.PageSize >> 10;

    public static void Write(BootPlan plan, List<string> log, EarlyAllocationStage? early)
    {
        MachineSpec spec = plan.Spec;
        bool numaKernel = spec.Architecture is Architecture.X86_64 or Architecture.Arm64;
        if (!spec.Personality.Views.ZonelistsAfterTables)
        {
            WriteNodes(plan, log, numaKernel);
        }

        log.Add($"Kernel command line: {spec.CommandLine}");
        List<string> unknown = [.. spec.CommandLine.UnknownParameters];
        if (!CmaRequest.IsServedBy(spec) && spec.CommandLine.Cma is not null)
        {
            unknown.Add("cma=" + spec.CommandLine.ValueOf("cma"));
        }

        if (unknown.Count > 0)
        {
            log.Add($"Unknown kernel command line parameters \"{string.Join(' ', unknown)}\", will be passed to user space.");
        }

        if (early is not null)
        {
            log.AddRange(early.TableLog);
        }

        if (spec.Personality.Views.BounceBuffersBeforeZonelists)
        {
            WriteBounceBuffers(plan, log, early);
        }

        if (spec.Personality.Views.ZonelistsAfterTables)
        {
            WriteNodes(plan, log, numaKernel);
        }

        if (early is null)
        {
            return;
        }

        bool onFree = spec.CommandLine.ZeroesOnFree == true;
        log.Add($"mem auto-init: stack:all(zero), heap alloc:{(spec.CommandLine.ZeroesOnAlloc != false ? "on" : "off")}, heap free:{(onFree ? "on" : "off")}");
        if (onFree)
        {
            log.Add("mem auto-init: clearing system memory may take some time...");
        }

        if (!spec.Personality.Views.BounceBuffersBeforeZonelists)
        {
            WriteBounceBuffers(plan, log, early);
        }

        if (!numaKernel)
        {
            WriteHighMemory(plan, log);
        }

        if (!spec.Personality.Views.ZonelistsAfterTables)
        {
            log.Add(MemoryLine(plan, early));
        }

        log.AddRange(Freed(plan, ReleasePhase.BeforeInitcalls, spec.Personality.Views.ZonelistsAfterTables));
        log.AddRange(plan.Nodes.Where(node => node.FirstDeferred is not null).Select(node => $"node {node.Id} deferred pages initialised in 0ms"));
        if (spec.Personality.Views.ZonelistsAfterTables)
        {
            log.Add(MemoryLine(plan, early));
        }

        log.AddRange(Freed(plan, ReleasePhase.BeforeInitcalls, !spec.Personality.Views.ZonelistsAfterTables));
        log.AddRange(Freed(plan, ReleasePhase.AfterInitcalls, true));
    }

    private static void WriteBounceBuffers(BootPlan plan, List<string> log, EarlyAllocationStage? early)
    {
        if (early is { HasBounceBuffers: true })
        {
            log.Add($"software IO TLB: area num {BitOperations.RoundUpToPowerOf2((uint)plan.PossibleCpus)}.");
        }
    }

    private static IEnumerable<string> Freed(BootPlan plan, ReleasePhase phase, bool wanted) =>
        plan.Releases.Where(range => wanted && range.Phase == phase).Select(range => $"Freeing {range.What} memory: {range.Pages * PageKiB}K");

    private static void WriteNodes(BootPlan plan, List<string> log, bool numaKernel)
    {
        if (numaKernel)
        {
            log.AddRange(plan.Nodes.Select(node => $"Fallback order for Node {node.Id}: {string.Concat(node.NodeOrder.Select(id => id + " "))}"));
        }

        if (plan.Spec.CommandLine.MemoryInitLogLevel >= 4)
        {
            WriteZonelists(plan, log, numaKernel);
        }

        long pages = plan.Spec.Personality.Views.TotalPagesArePresent ? plan.Zones.Sum(zone => zone.PresentPages) : plan.EstimatedPages;
        log.Add($"Built {plan.Nodes.Count} zonelists, mobility grouping {(plan.MobilityGrouping ? "on" : "off")}.  Total pages: {pages}");
        if (numaKernel)
        {
            log.Add($"Policy zone: {plan.PolicyZone.KernelName()}");
        }
    }

    private static void WriteZonelists(BootPlan plan, List<string> log, bool numaKernel)
    {
        ArchitectureInfo architecture = ArchitectureInfo.Of(plan.Spec.Architecture);
        foreach (BootNode node in plan.Nodes)
        {
            Write("general", node, node.FallbackZonelist);
            if (numaKernel)
            {
                Write("thisnode", node, node.LocalZonelist);
            }
        }

        void Write(string list, BootNode node, IReadOnlyList<BootZone> zonelist)
        {
            foreach (BootZone zone in node.Zones.Where(zone => zone.IsPopulated))
            {
                int index = architecture.IndexOf(zone.Type);
                IEnumerable<BootZone> usable = zonelist.Where(candidate => architecture.IndexOf(candidate.Type) <= index);
                log.Add($"mminit::zonelist {list} {node.Id}:{zone.Type.KernelName()} = {string.Concat(usable.Select(candidate => $"{candidate.Node}:{candidate.Type.KernelName()} "))}");
            }
        }
    }

    private static void WriteHighMemory(BootPlan plan, List<string> log)
    {
        bool movableIsHigh = plan.Nodes[0].Zones.Any(zone => zone.Type == ZoneType.HighMem && zone.SpannedPages > 0);
        foreach (BootZone zone in plan.Nodes[0].Zones)
        {
            if (zone.Type == ZoneType.HighMem || (zone.Type == ZoneType.Movable && movableIsHigh))
            {
                log.Add($"Initializing {zone.Type.KernelName()} for node {zone.Node} ({zone.Start.Value:x8}:{zone.End.Value:x8})");
            }
        }
    }

    private static string MemoryLine(BootPlan plan, EarlyAllocationStage tables)
    {
        KernelImage kernel = plan.Spec.Kernel;
        long present = plan.Zones.Sum(zone => zone.PresentPages);
        long early = Sum(ReleasePhase.HighMemory) + Sum(ReleasePhase.Memblock), deferred = Sum(ReleasePhase.Deferred), cma = Sum(ReleasePhase.Cma);

        // A line that comes late has what was put off, too, and what was freed by then.
        bool late = plan.Spec.Personality.Views.ZonelistsAfterTables;
        long free = early + (late ? deferred + Sum(ReleasePhase.BeforeInitcalls) : 0) - (plan.Spec.Architecture == Architecture.X86_64 ? VmallocTablePages : 0);
        if (late && plan.Spec.Architecture == Architecture.X86_64)
        {
            ImageRules image = plan.Spec.Personality.Image;
            free -= image.FtracePages + tables.LateTablePages + ((image.StartKiB + (StartKiBPerCpu * (plan.PossibleCpus - 1))) / 4);
        }

        long managed = early + deferred + cma + (late ? Sum(ReleasePhase.BeforeInitcalls) : 0);
        string high = plan.Spec.Architecture is Architecture.X86_32 or Architecture.X86_32Pae ? $", {Sum(ReleasePhase.HighMemory) * PageKiB}K highmem" : "";
        return $"Memory: {free * PageKiB}K/{present * PageKiB}K available ({kernel.CodeKiB}K kernel code, {kernel.DataKiB}K rwdata, {kernel.ConstantKiB}K rodata, {kernel.InitKiB}K init, {kernel.BssKiB}K bss, "
            + $"{(present - managed) * PageKiB}K reserved, {cma * PageKiB}K cma-reserved{high})";

        long Sum(ReleasePhase phase) => plan.Releases.Where(range => range.Phase == phase).Sum(range => range.Pages);
    }
}
