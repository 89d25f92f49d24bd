namespace MemSim.Testing;

/// <summary>Machines in conditions that tests need and that take some lines to bring about.</summary>
public static class Machines
{
    private static readonly Gfp Last = Gfp.MemAlloc | Gfp.NoWarn;

    /// <summary>A machine with memory enough, of which no block of an order is free: every other block of half that size is in use.</summary>
    /// <param name="order">The order of which nothing is free, 1 to <see cref="PageGeometry.MaxOrder"/>.</param>
    /// <param name="spec">The machine; null for 128 MiB of x86-64.</param>
    public static MachineFixture Fragmented(int order, MachineSpec? spec = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(order, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(order, PageGeometry.MaxOrder);
        Machine machine = Machine.Boot(spec ?? Small);
        Cpu cpu = machine.Cpus[0];
        List<(Page Page, int Order)> all = TakeAll(machine, order - 1);
        List<(Page, int)> held = [];
        List<Page> free = [];
        foreach ((Page page, int blockOrder) in all)
        {
            if (blockOrder == order - 1 && (page.Pfn.Value >> blockOrder) % 2 == 0)
            {
                free.Add(page);
            }
            else
            {
                held.Add((page, blockOrder));
            }
        }

        free.ForEach(page => cpu.FreePages(page, order - 1));
        machine.Memory.DrainAllPages();
        return new MachineFixture(machine, held);
    }

    /// <summary>A machine whose zone has exactly as many free pages as a watermark says: the next request below it must reclaim, wait or fail.</summary>
    /// <param name="mark">The watermark.</param>
    /// <param name="zone">The zone; null for the one that ordinary requests use first.</param>
    /// <param name="spec">The machine; null for 128 MiB of x86-64.</param>
    public static MachineFixture AtWatermark(Watermark mark, ZoneType? zone = null, MachineSpec? spec = null)
    {
        Machine machine = Machine.Boot(spec ?? Small);
        Zone target = Find(machine, zone);
        MachineFixture fixture = new(machine, TakeUntil(machine, target, target.GetWatermarkPages(mark)));

        // Taking the last page blocks of other types may have boosted the watermarks.
        while (fixture.Held.Count != 0 && FreeIn(target) < target.GetWatermarkPages(mark))
        {
            fixture.Release((int)(target.GetWatermarkPages(mark) - FreeIn(target)));
            Rest(machine);
        }

        return fixture;
    }

    /// <summary>A machine on which all pages are taken but so many: those lie in the zone that ordinary requests use first.</summary>
    /// <param name="pages">How many are left.</param>
    /// <param name="spec">The machine; null for 128 MiB of x86-64.</param>
    public static MachineFixture ExhaustedBut(long pages, MachineSpec? spec = null)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(pages);
        Machine machine = Machine.Boot(spec ?? Small);
        Zone keeps = Find(machine, null);
        List<(Page, int)> held = [];
        foreach (Zone zone in machine.Zones.Where(z => z.IsPopulated && z != keeps).Append(keeps))
        {
            held.AddRange(TakeUntil(machine, zone, zone == keeps ? pages : 0));
        }

        return new MachineFixture(machine, held);
    }

    /// <summary>A machine of two equal nodes, each with its memory and one CPU.</summary>
    /// <param name="memoryOfEach">Memory of a node.</param>
    public static MachineFixture NumaPair(string memoryOfEach = "128M")
    {
        ByteSize each = ByteSize.Parse(memoryOfEach);
        return new MachineFixture(Machine.Boot(MachineSpec.X86_64(new ByteSize(each.Bytes * 2), cpus: 2).WithNodes(each, each)), []);
    }

    /// <summary>A 32-bit machine with high memory: more than the kernel's addresses can map at once.</summary>
    /// <param name="memory">Its memory; what exceeds 896 MiB is high.</param>
    public static MachineFixture HighMemory(string memory = "1G") => new(Machine.Boot(MachineSpec.X86_32(memory)), []);

    private static MachineSpec Small => MachineSpec.X86_64("128M");

    private static Zone Find(Machine machine, ZoneType? zone) =>
        machine.Zones.LastOrDefault(z => z.IsPopulated && z.ManagedPages != 0 && (zone is null ? z.Type <= ZoneType.Normal : z.Type == zone)) ?? throw new ArgumentException($"the machine has no zone {zone}", nameof(zone));

    /// <summary>Takes single pages of a zone until so many are left, reserves included.</summary>
    private static List<(Page Page, int Order)> TakeUntil(Machine machine, Zone zone, long left)
    {
        Cpu cpu = machine.Cpus[0];
        List<(Page, int)> held = [];
        List<Page> others = [];
        machine.Memory.DrainAllPages();
        Gfp flags = Last | (zone.Type switch
        {
            ZoneType.Dma => Gfp.Dma,
            ZoneType.Dma32 when machine.Zones.Any(z => z.IsPopulated && z.Type == ZoneType.Normal) => Gfp.Dma32,
            ZoneType.HighMem => Gfp.HighMem,
            ZoneType.Movable => Gfp.HighMem | Gfp.Movable,
            _ => Gfp.None,
        });
        long wanted = FreeIn(zone) - left;
        while (held.Count < wanted)
        {
            Page page = cpu.Pages.AllocPagesNode(zone.Node.Id, flags);
            if (page.IsNull)
            {
                break;
            }

            if (page.Zone == zone)
            {
                held.Add((page, 0));
            }
            else
            {
                others.Add(page);
            }
        }

        others.ForEach(page => cpu.FreePages(page));
        Rest(machine);
        return held;
    }

    private static long FreeIn(Zone zone) => Enumerable.Range(0, PageGeometry.OrderCount).Sum(order => zone.FreeBlocks(order) << order);

    /// <summary>Gives pages in lists of CPUs back, and adds up what CPUs count for themselves: that is what requests are compared with.</summary>
    private static void Rest(Machine machine)
    {
        machine.Memory.DrainAllPages();
        foreach (Cpu cpu in machine.Cpus)
        {
            MachineHotplug.FoldFreePages(cpu);
        }
    }

    /// <summary>Takes everything: blocks of an order as long as there are any, then what is smaller.</summary>
    private static List<(Page Page, int Order)> TakeAll(Machine machine, int order)
    {
        Cpu cpu = machine.Cpus[0];
        List<(Page, int)> held = [];
        machine.Memory.DrainAllPages();
        for (int size = order; size >= 0; size--)
        {
            foreach (Gfp zone in (Gfp[])[Gfp.Movable | Gfp.HighMem, Gfp.None, Gfp.Dma32, Gfp.Dma])
            {
                if (zone == Gfp.Dma32 && machine.Architecture.Bits == 32)
                {
                    continue;
                }

                for (Page page = cpu.AllocPages(Last | zone, size); !page.IsNull; page = cpu.AllocPages(Last | zone, size))
                {
                    held.Add((page, size));
                }
            }
        }

        return held;
    }
}
