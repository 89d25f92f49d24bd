using System.Globalization;
using MemSim.Observability;

namespace MemSim.Testing;

/// <summary>What can be asserted about a machine: null where it holds, else what is there instead, to follow "expected ..., but".</summary>
internal static class MachineChecks
{
    public static string? NoLeaks(Machine machine, AllocationMark since) =>
        machine.Leaks.Find(since) is { IsEmpty: false } report ? "found what was not given back:\n" + report : null;

    public static string? Consistent(Machine machine)
    {
        try
        {
            machine.Verify();
            return null;
        }
        catch (KernelBugException bug)
        {
            return bug.Message;
        }
    }

    public static string? Free(Machine machine, long pages, ZoneType? zone) =>
        FreePages(machine, zone) is var free && free != pages ? Text($"found {free}") : null;

    public static string? FreeAtLeast(Machine machine, long pages, ZoneType? zone) =>
        FreePages(machine, zone) is var free && free < pages ? Text($"found {free}") : null;

    public static string? FreeBlocks(Machine machine, int order, long count, ZoneType? zone) =>
        Zones(machine, zone).Sum(z => z.FreeBlocks(order)) is var found && found != count ? Text($"found {found}") : null;

    public static string? Fragmented(Machine machine, int order) =>
        LargestFree(machine) is var largest && largest >= order ? Text($"a block of order {largest} is free")
        : FreePages(machine, null) is var free && free < 1L << order ? Text($"only {free} pages are free: memory is short, not fragmented")
        : null;

    public static string? NotFragmented(Machine machine, int order) =>
        LargestFree(machine) is var largest && largest < order ? Text($"the largest free block is of order {largest}, with {FreePages(machine, null)} pages free") : null;

    public static string? Above(Machine machine, Watermark mark, ZoneType zone) =>
        Zones(machine, zone).FirstOrDefault(z => z.TrueFreePages <= z.GetWatermarkPages(mark)) is { } low ? Text($"{low} has {low.TrueFreePages} free pages, and the mark is {low.GetWatermarkPages(mark)}") : null;

    public static string? NotAbove(Machine machine, Watermark mark, ZoneType zone) =>
        Zones(machine, zone).FirstOrDefault(z => z.TrueFreePages > z.GetWatermarkPages(mark)) is { } high ? Text($"{high} has {high.TrueFreePages} free pages, and the mark is {high.GetWatermarkPages(mark)}") : null;

    public static string? AllocationFailures(Machine machine, long count) =>
        machine.Reports.AllocationFailures is var failures && failures != count ? Text($"found {failures}") + (machine.Reports.LastAllocationFailure is { } report ? ", the last:\n" + report : "") : null;

    public static string? OomKills(Machine machine, int count) =>
        machine.Oom.Reports.Count is var kills && kills != count ? Text($"found {kills}") + (machine.Oom.LastReport is { } report ? ", the last:\n" + report : "") : null;

    public static string? Processes(Machine machine, IReadOnlyCollection<string> names)
    {
        string[] running = [.. machine.Processes.Select(p => p.Name).Order(StringComparer.Ordinal)];
        return running.SequenceEqual(names.Order(StringComparer.Ordinal)) ? null : running.Length == 0 ? "there is none" : "there are " + string.Join(", ", running);
    }

    public static string? Same(Machine machine, MachineSnapshot expected) =>
        SnapshotDifference.Between(expected, machine.Snapshot()) is { IsEmpty: false } difference ? "differs:\n" + difference : null;

    /// <summary>"2048 free pages in Normal" and the like.</summary>
    public static string In(ZoneType? zone) => zone is { } type ? $" in {type}" : "";

    private static long FreePages(Machine machine, ZoneType? zone) => Zones(machine, zone).Sum(z => Enumerable.Range(0, PageGeometry.OrderCount).Sum(order => z.FreeBlocks(order) << order));

    private static int LargestFree(Machine machine)
    {
        for (int order = PageGeometry.MaxOrder; order >= 0; order--)
        {
            if (machine.Zones.Any(z => z.IsPopulated && z.FreeBlocks(order) != 0))
            {
                return order;
            }
        }

        return -1;
    }

    private static Zone[] Zones(Machine machine, ZoneType? zone)
    {
        Zone[] zones = [.. machine.Zones.Where(z => z.IsPopulated && (zone is null || z.Type == zone))];
        return zones.Length != 0 ? zones : throw new ArgumentException($"the machine has no zone {zone}", nameof(zone));
    }

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
