using System.Globalization;

namespace MemSim.Observability;

/// <summary>Blocks of pages that are handed out, by who asked for them.</summary>
/// <param name="CallSite">What <see cref="Cpu.CallSite"/> said; empty where nobody did, or owners were not recorded then.</param>
/// <param name="Task">The task; empty where owners were not recorded.</param>
/// <param name="Gfp">The flags of the requests.</param>
/// <param name="Order">log2 of the pages of each block.</param>
/// <param name="Blocks">Their first pages, ascending.</param>
public sealed record LivePages(string CallSite, string Task, Gfp Gfp, int Order, IReadOnlyList<Page> Blocks)
{
    /// <summary>Pages in all.</summary>
    public long Pages => (long)Blocks.Count << Order;

    /// <summary>The group as <c>2 blocks of order 1 (4 pages), GFP_KERNEL, from rx_ring, by init:1, pfn 4096 4098</c>.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"{Blocks.Count} blocks of order {Order} ({Pages} pages){(Gfp == Gfp.None ? "" : ", " + GfpText.Format(Gfp))}{(CallSite.Length == 0 ? "" : ", from " + CallSite)}{(Task.Length == 0 ? "" : ", by " + Task)}, pfn {string.Join(' ', Blocks.Take(8).Select(b => b.Pfn.Value))}{(Blocks.Count > 8 ? " ..." : "")}");
}

/// <summary>An area of vmalloc space that is mapped.</summary>
/// <param name="Address">Its first byte.</param>
/// <param name="Pages">Pages mapped there.</param>
/// <param name="CallSite">Who asked for it.</param>
/// <param name="OwnsPages">Whether they are the area's (<c>vmalloc</c>) or somebody else's (<c>vmap</c>).</param>
public sealed record LiveArea(VirtualAddress Address, int Pages, string CallSite, bool OwnsPages)
{
    /// <summary>The area as <c>vmalloc area 0xffffc90000004000: 4 pages, from load_module</c>.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"{(OwnsPages ? "vmalloc" : "vmap")} area 0x{Address.Value:x}: {Pages} pages{(CallSite.Length == 0 ? "" : ", from " + CallSite)}");
}

/// <summary>What was handed out at one moment; what is live beyond it later came since.</summary>
/// <remarks>Made by <see cref="LeakDetector.Mark"/>. A block or object freed since and handed out again at the same place counts as what was there before.</remarks>
public sealed class AllocationMark
{
    internal AllocationMark(Inventory inventory, Machine machine)
    {
        Machine = machine;
        Blocks = [.. inventory.Blocks];
        Areas = [.. inventory.Areas.Select(area => area.Start)];
        Objects = [.. inventory.Objects.Select(obj => obj.Address)];
        StrayTables = inventory.StrayTables;
        ObjectsByCache = inventory.Objects.GroupBy(obj => obj.Cache.Name).ToDictionary(group => group.Key, group => group.LongCount());
    }

    internal Machine Machine { get; }

    internal HashSet<(int Pfn, int Order)> Blocks { get; }

    internal HashSet<ulong> Areas { get; }

    internal long StrayTables { get; }

    internal HashSet<ulong> Objects { get; }

    internal IReadOnlyDictionary<string, long> ObjectsByCache { get; }
}

/// <summary>What is handed out and was not at a mark.</summary>
/// <param name="Pages">Blocks of pages.</param>
/// <param name="Objects">Objects, of caches that have more of them than at the mark.</param>
/// <param name="Areas">Areas of vmalloc space.</param>
public sealed record LeakReport(IReadOnlyList<LivePages> Pages, IReadOnlyList<LiveObjects> Objects, IReadOnlyList<LiveArea> Areas)
{
    /// <summary>Pages marked as page tables that no tree of tables has any more.</summary>
    public long LostTables { get; init; }

    /// <summary>Whether there is nothing.</summary>
    public bool IsEmpty => Pages.Count == 0 && Objects.Count == 0 && Areas.Count == 0 && LostTables <= 0;

    /// <summary>A line each; empty when there is nothing.</summary>
    public override string ToString() => string.Concat(Areas.Select(a => a + "\n").Concat(Objects.Select(o => o + "\n")).Concat(Pages.Select(p => p + "\n")))
        + (LostTables > 0 ? string.Create(CultureInfo.InvariantCulture, $"{LostTables} page tables in no tree\n") : "");
}

/// <summary>Memory was handed out and not given back.</summary>
public sealed class LeakException : Exception
{
    /// <summary>Creates the exception.</summary>
    public LeakException()
    {
        Report = new LeakReport([], [], []);
    }

    /// <summary>Creates the exception.</summary>
    /// <param name="message">What is wrong.</param>
    public LeakException(string message)
        : base(message) => Report = new LeakReport([], [], []);

    /// <summary>Creates the exception.</summary>
    /// <param name="message">What is wrong.</param>
    /// <param name="innerException">What led to it.</param>
    public LeakException(string message, Exception innerException)
        : base(message, innerException) => Report = new LeakReport([], [], []);

    /// <summary>Creates the exception.</summary>
    /// <param name="report">What was not given back.</param>
    public LeakException(LeakReport report)
        : base("not given back:\n" + report) => Report = report;

    /// <summary>What was not given back.</summary>
    public LeakReport Report { get; }
}
