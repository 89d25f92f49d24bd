using MemSim.Explorer.Sessions;
using MemSim.Observability;

namespace MemSim.Explorer.Pictures;

/// <summary>A frame in a sentence.</summary>
public static class FrameText
{
    /// <summary>Says what a frame is.</summary>
    public static string Of(Session session, long pfn)
    {
        ArgumentNullException.ThrowIfNull(session);
        Machine machine = session.Machine;
        if (!machine.TryGetPage(new Pfn(pfn), out Page page))
        {
            return $"pfn 0x{pfn:x}: no memory there";
        }

        FrameRun[] runs = new FrameRun[FrameViewer.BlockPages];
        long first = pfn & ~(FrameViewer.BlockPages - 1L);
        int count = new FrameViewer(machine).Read(new Pfn(first), runs);
        FrameRun run = runs.AsSpan(0, count).ToArray().First(r => pfn < r.Start.Value + r.Pages);
        string block = run.Order < 0 ? string.Empty : run.Order == 0 ? ", a single page" : $", block of order {run.Order} from 0x{run.Start.Value:x} to 0x{run.Start.Value + run.Pages - 1:x}{(run.Order < PageGeometry.MaxOrder ? $", buddy 0x{run.Start.Value ^ (1L << run.Order):x}" : string.Empty)}";
        string held = session.Held.Values.OfType<HeldPages>().FirstOrDefault(h => h.Blocks.Any(b => pfn >= b.Pfn.Value && pfn < b.Pfn.Value + (1L << b.Order)))?.Name is { } name ? $" (yours: {name})" : string.Empty;
        string slab = run.Use == FrameUse.Slab && machine.Slab.DescribeSlabAt(machine.GetPage(run.Start).Address) is { } descriptor ? $" of cache {descriptor.Cache}, {descriptor.InUse} of {descriptor.Objects.Count} objects in use" : string.Empty;
        return $"pfn 0x{pfn:x}, zone {page.Zone.Name}, page block {page.MigrateType}: {UseText(run.Use)}{slab}{held}{block}{LruText(run.Lru)}";
    }

    private static string LruText(FrameLru lru) => lru switch
    {
        FrameLru.None => string.Empty,
        FrameLru.Youngest => ", youngest generation",
        FrameLru.OneOlder => ", one generation older than the youngest",
        FrameLru.TwoOlder => ", two generations older than the youngest",
        FrameLru.ThreeOlder => ", three generations older than the youngest",
        _ => $", {lru} list",
    };

    private static string UseText(FrameUse use) => use switch
    {
        FrameUse.Free => "free",
        FrameUse.PerCpu => "free, in a CPU's list",
        FrameUse.Kernel => "the kernel's",
        FrameUse.Slab => "a slab",
        FrameUse.PageTable => "a page table",
        FrameUse.Anonymous => "a process's memory",
        FrameUse.File => "page cache",
        FrameUse.SharedMemory => "shared memory",
        FrameUse.Movable => "a driver's, which can move it",
        FrameUse.Boot => "the kernel's since boot",
        _ => "reserved",
    };
}
