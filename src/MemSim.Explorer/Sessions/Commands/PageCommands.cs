namespace MemSim.Explorer.Sessions.Commands;

/// <summary>Commands of the page allocator.</summary>
internal static class PageCommands
{
    private const int MostBlocks = 100_000;
    private const string AllocUsage = "alloc ORDER [GFP] [count=N] [cpu=N] [as NAME]";
    private const string ChurnUsage = "churn STEPS [order=MOST] [keep=N] [gfp=MASK]";

    public static IReadOnlyList<CommandInfo> All { get; } =
    [
        new("alloc", AllocUsage, "Allocates a block of 2^ORDER pages, as alloc_pages() does.", Alloc),
        new("irq", "irq COMMAND", "Runs a command in an interrupt handler, where nobody may sleep.", Irq),
        new("free", "free NAME [every=N]", "Frees a block, or every Nth of several.", Free),
        new("take", "take ZONE below=ORDER", "Takes every free block smaller than ORDER from a zone, so that the next request has to split.", Take),
        new("drain", "drain", "Empties the per-CPU lists into the free lists.", Drain),
        new("churn", ChurnUsage, "Allocates and frees blocks of random orders: what a busy machine looks like.", Churn),
        new("explain", "explain ORDER [GFP]", "Says zone by zone whether a request would pass, without making it.", Explain),
        new("verify", "verify", "Checks every invariant of the machine.", Verify),
    ];

    /// <summary>The zone of that name that has memory.</summary>
    public static Zone ZoneNamed(Session session, string name) =>
        session.Machine.Zones.FirstOrDefault(z => z.IsPopulated && z.Name.Equals(name, StringComparison.OrdinalIgnoreCase))
        ?? throw new CommandException($"this machine has no zone '{name}' with memory: {string.Join(", ", session.Machine.Zones.Where(z => z.IsPopulated).Select(z => z.Name))}");

    private static string Alloc(Session session, CommandArguments arguments)
    {
        int order = arguments.Number(0, "the order", 0, PageGeometry.MaxOrder);
        Gfp gfp = arguments.Mask(1);
        int count = arguments.Option("count", 1, 1, MostBlocks);
        Cpu cpu = session.Machine.Cpus[arguments.Option("cpu", 0, 0, session.Machine.Cpus.Count - 1)];
        string name = session.NameFor(arguments, "p");
        List<(Pfn Pfn, int Order)> blocks = [];
        for (int i = 0; i < count; i++)
        {
            Page page = cpu.AllocPages(gfp, order);
            if (page.IsNull)
            {
                break;
            }

            blocks.Add((page.Pfn, order));
        }

        if (blocks.Count == 0)
        {
            return $"no memory: order {order} with {GfpText.Format(gfp)} failed ('explain {order} {GfpText.Format(gfp)}' says why)";
        }

        session.Hold(new HeldPages(name, blocks));
        Page first = session.Machine.GetPage(blocks[0].Pfn);
        string all = blocks.Count < count ? $"{blocks.Count} of {count} blocks, then no memory" : $"{blocks.Count} blocks";
        return count == 1 ? $"{name}: pfn {first.Pfn}, {1 << order} page{(order == 0 ? string.Empty : "s")} of zone {first.Zone.Name}" : $"{name}: {all} of order {order}, the first at pfn {first.Pfn} in zone {first.Zone.Name}";
    }

    private static string Irq(Session session, CommandArguments arguments)
    {
        string command = arguments.Rest(0) + (arguments.Name is { } name ? " as " + name : string.Empty);
        if (arguments.WordOrNull(0) is null or "irq")
        {
            throw arguments.Wrong("a command has to follow, for instance: irq alloc 0 GFP_ATOMIC");
        }

        using ContextScope interrupt = session.Cpu.HardIrq();
        return CommandTable.Run(session, command);
    }

    private static string Free(Session session, CommandArguments arguments)
    {
        HeldPages held = session.Find<HeldPages>(arguments.Word(0, "the name of a block"));
        int every = arguments.Option("every", 1, 1, MostBlocks);
        List<(Pfn Pfn, int Order)> kept = [];
        for (int i = 0; i < held.Blocks.Count; i++)
        {
            (Pfn pfn, int order) = held.Blocks[i];
            if (i % every != 0)
            {
                kept.Add((pfn, order));
                continue;
            }

            session.Cpu.FreePages(session.Machine.GetPage(pfn), order);
        }

        session.Release(held.Name);
        if (kept.Count > 0)
        {
            session.Hold(held with { Blocks = kept });
        }

        return $"{held.Name}: {held.Blocks.Count - kept.Count} block{(held.Blocks.Count - kept.Count == 1 ? string.Empty : "s")} freed";
    }

    private static string Take(Session session, CommandArguments arguments)
    {
        Zone zone = ZoneNamed(session, arguments.Word(0, "the zone"));
        int below = arguments.Option("below", 1, 1, PageGeometry.MaxOrder + 1);
        string name = session.NameFor(arguments, "taken");
        Gfp gfp = Gfp.MemAlloc | Gfp.NoWarn | zone.Type switch
        {
            ZoneType.Dma => Gfp.Dma,
            ZoneType.Dma32 => Gfp.Dma32,
            ZoneType.HighMem => Gfp.HighMem,
            ZoneType.Movable => Gfp.HighMem | Gfp.Movable,
            _ => Gfp.None,
        };
        List<(Pfn Pfn, int Order)> blocks = [];
        for (int order = 0; order < below; order++)
        {
            while (blocks.Count < MostBlocks && zone.FreeBlocks(order) > 0)
            {
                Page page = session.Cpu.AllocPages(gfp, order);
                if (page.IsNull)
                {
                    break;
                }

                blocks.Add((page.Pfn, order));
            }
        }

        if (blocks.Count == 0)
        {
            return $"zone {zone.Name} has no free block smaller than order {below}";
        }

        session.Hold(new HeldPages(name, blocks));
        return $"{name}: {blocks.Count} blocks of zone {zone.Name}; what is free there now has order {below} or more";
    }

    private static string Drain(Session session, CommandArguments arguments)
    {
        _ = arguments;
        long before = session.Machine.Zones.Sum(z => session.Machine.Cpus.Sum(c => (long)z.Pageset(c.Id).Count));
        session.Machine.Memory.DrainAllPages();
        return $"{before} pages left the per-CPU lists";
    }

    private static string Churn(Session session, CommandArguments arguments)
    {
        int steps = arguments.Number(0, "how many steps", 1, 1_000_000);
        int most = arguments.Option("order", 4, 0, PageGeometry.MaxOrder);
        int keep = arguments.Option("keep", 2000, 1, MostBlocks);
        Gfp gfp = GfpText.TryParse(arguments.Option("gfp", "GFP_KERNEL"), out Gfp mask) ? mask : throw arguments.Wrong("gfp= is no GFP mask");
        string name = session.NameFor(arguments, "churn");
        List<(Pfn Pfn, int Order)> live = [];
        int failed = 0;
        for (int i = 0; i < steps; i++)
        {
            Cpu cpu = session.Machine.Cpus[session.Random.Next(session.Machine.Cpus.Count)];
            if (live.Count >= keep || (live.Count > 0 && session.Random.Next(3) == 0))
            {
                int victim = session.Random.Next(live.Count);
                cpu.FreePages(session.Machine.GetPage(live[victim].Pfn), live[victim].Order);
                live[victim] = live[^1];
                live.RemoveAt(live.Count - 1);
                continue;
            }

            int order = Math.Min(most, System.Numerics.BitOperations.TrailingZeroCount(session.Random.Next(1 << 30) | (1 << most)));
            Page page = cpu.AllocPages(gfp | Gfp.NoWarn, order);
            failed += page.IsNull ? 1 : 0;
            if (!page.IsNull)
            {
                live.Add((page.Pfn, order));
            }
        }

        if (live.Count > 0)
        {
            session.Hold(new HeldPages(name, live));
        }

        return $"{name}: {steps} steps, {live.Count} blocks live{(failed > 0 ? $", {failed} requests failed" : string.Empty)}";
    }

    private static string Explain(Session session, CommandArguments arguments)
    {
        int order = arguments.Number(0, "the order", 0, PageGeometry.MaxOrder);
        return session.Machine.Explain(arguments.Mask(1), order).ToString().TrimEnd();
    }

    private static string Verify(Session session, CommandArguments arguments)
    {
        _ = arguments;
        session.Machine.Verify();
        return "every invariant holds: lists, counters, types, and no block overlaps another";
    }
}
