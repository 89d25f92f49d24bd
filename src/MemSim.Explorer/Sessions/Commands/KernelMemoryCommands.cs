namespace MemSim.Explorer.Sessions.Commands;

/// <summary>Commands of vmalloc, windows to high memory, translation.</summary>
internal static class KernelMemoryCommands
{
    public static IReadOnlyList<CommandInfo> All { get; } =
    [
        new("vmalloc", "vmalloc BYTES [as NAME]", "Allocates single pages and maps them one after the other.", Vmalloc),
        new("vfree", "vfree NAME", "Unmaps and frees them.", Vfree),
        new("scan", "scan NAME [step=BYTES] [times=N]", "Reads a byte every so often through the TLB, and counts what that cost.", Scan),
        new("walk", "walk NAME|ADDRESS", "Shows the reads of one translation.", Walk),
        new("flush", "flush", "Empties the CPU's TLBs.", Flush),
        new("kmap", "kmap NAME [as NAME]", "Opens a window to a page of high memory.", Kmap),
        new("kunmap", "kunmap NAME", "Closes it.", Kunmap),
        new("cma", "cma PAGES [as NAME]", "Allocates contiguous pages from the machine's area: what is in the way moves.", Cma),
        new("cmafree", "cmafree NAME", "Gives them back.", CmaFree),
    ];

    /// <summary>Where a named thing starts, and how long it is.</summary>
    public static (VirtualAddress Start, long Bytes, Process? Owner) Range(Session session, string name)
    {
        if (!session.Held.TryGetValue(name, out Held? held))
        {
            return name.StartsWith("0x", StringComparison.Ordinal) && ulong.TryParse(name.AsSpan(2), System.Globalization.NumberStyles.HexNumber, System.Globalization.CultureInfo.InvariantCulture, out ulong address)
                ? (new VirtualAddress(address), 8, null)
                : throw new CommandException($"'{name}' is neither an address like 0xffff888000001000 nor the name of anything held: {string.Join(", ", session.Held.Keys.Take(10))}");
        }

        return held switch
        {
            HeldArea area => (area.Start, area.Bytes, null),
            HeldMapping mapping => (mapping.Start, mapping.Bytes, mapping.Owner),
            HeldObjects objects => (objects.Objects[0], objects.Size, null),
            HeldWindow window => (window.Window, PageGeometry.PageSize, null),
            HeldPages pages when !session.Machine.GetPage(pages.Blocks[0].Pfn).Address.IsNull => (session.Machine.GetPage(pages.Blocks[0].Pfn).Address, (long)PageGeometry.PageSize << pages.Blocks[0].Order, null),
            _ => throw new CommandException($"{held.Name} ({held.Text}) has no address that the kernel could read; kmap opens a window to high memory"),
        };
    }

    private static string Vmalloc(Session session, CommandArguments arguments)
    {
        long size = arguments.Size(0, "the size", 512L << 20);
        string name = session.NameFor(arguments, "v");
        VirtualAddress start = session.Cpu.Vmalloc(size);
        if (start.IsNull)
        {
            return $"no memory for {size} bytes";
        }

        session.Hold(new HeldArea(name, start, size));
        return $"{name}: {size >> 10} KiB at {start}, the first page is pfn {session.Cpu.Vm.VmallocToPage(start).Pfn}";
    }

    private static string Vfree(Session session, CommandArguments arguments)
    {
        HeldArea area = session.Find<HeldArea>(arguments.Word(0, "the name of an area"));
        session.Release(area.Name);
        session.Cpu.Vfree(area.Start);
        return $"{area.Name} freed";
    }

    private static string Scan(Session session, CommandArguments arguments)
    {
        (VirtualAddress start, long bytes, Process? owner) = Range(session, arguments.Word(0, "what to read"));
        int step = arguments.Option("step", PageGeometry.PageSize, 1, 1 << 30);
        int times = arguments.Option("times", 1, 1, 100);
        Cpu cpu = session.Cpu;
        using ContextScope scope = owner is null ? default : cpu.Run(owner);
        TlbStatistics before = cpu.Tlb.Statistics;
        long cycles = cpu.Cycles;
        long reads = 0;
        for (int i = 0; i < times; i++)
        {
            for (long at = 0; at < bytes; at += step)
            {
                _ = cpu.Read<byte>(start + at);
                reads++;
            }
        }

        TlbStatistics after = cpu.Tlb.Statistics;
        return $"{reads} reads: {after.L1DataMisses - before.L1DataMisses} missed the L1 TLB, {after.Walks - before.Walks} walks, {after.WalkLoads - before.WalkLoads} page-table entries read, {cpu.Cycles - cycles} cycles";
    }

    private static string Walk(Session session, CommandArguments arguments)
    {
        (VirtualAddress start, _, Process? owner) = Range(session, arguments.Word(0, "what to translate"));
        using ContextScope scope = owner is null ? default : session.Cpu.Run(owner);
        return session.Cpu.Mmu.Explain(start).ToString().TrimEnd();
    }

    private static string Flush(Session session, CommandArguments arguments)
    {
        _ = arguments;
        session.Cpu.Tlb.FlushAll();
        return "the TLBs of CPU 0 are empty";
    }

    private static string Kmap(Session session, CommandArguments arguments)
    {
        HeldPages pages = session.Find<HeldPages>(arguments.Word(0, "the name of a page"));
        string name = session.NameFor(arguments, "w");
        Page page = session.Machine.GetPage(pages.Blocks[0].Pfn);
        VirtualAddress window = session.Cpu.Kmap(page);
        session.Hold(new HeldWindow(name, page, window));
        return $"{name}: pfn {page.Pfn} of zone {page.Zone.Name} is seen at {window}";
    }

    private static string Kunmap(Session session, CommandArguments arguments)
    {
        HeldWindow window = session.Find<HeldWindow>(arguments.Word(0, "the name of a window"));
        session.Release(window.Name);
        session.Cpu.Kunmap(window.Page);
        return $"{window.Name} closed";
    }

    private static string Cma(Session session, CommandArguments arguments)
    {
        long pages = arguments.Number(0, "how many pages", 1, 1 << 20);
        string name = session.NameFor(arguments, "c");
        CmaArea area = session.Machine.Cma.Areas is [CmaArea first, ..] ? first : throw new CommandException("this machine has no contiguous area: boot one with 16M in the field CMA");
        Page page = session.Machine.Cma.Alloc(session.Cpu, area, pages);
        if (page.IsNull)
        {
            return $"no {pages} pages of {area.Name} could be made free: {area.UsedPages} of {area.Pages} are in use, the largest gap is {area.LargestChunk}";
        }

        session.Hold(new HeldContiguous(name, area, page, pages));
        return $"{name}: {pages} pages from pfn {page.Pfn} on";
    }

    private static string CmaFree(Session session, CommandArguments arguments)
    {
        HeldContiguous held = session.Find<HeldContiguous>(arguments.Word(0, "the name of contiguous pages"));
        session.Release(held.Name);
        session.Machine.Cma.Free(session.Cpu, held.Area, held.First, held.Pages);
        return $"{held.Name}: {held.Pages} pages given back";
    }
}
