using MemSim.KernelMemory;

namespace MemSim.Observability;

/// <summary>Everything that is handed out at one moment: blocks of pages whose use only their owner knows, objects, areas of vmalloc space.</summary>
/// <remarks>
/// Left out is what somebody in the machine can name: pages of processes and files (each has an owner), page tables, slabs (their objects count), the pages of areas and of per-CPU memory.
/// </remarks>
internal sealed class Inventory
{
    private Inventory()
    {
    }

    /// <summary>Blocks, by first frame, ascending.</summary>
    public List<(int Pfn, int Order)> Blocks { get; } = [];

    /// <summary>Objects, by address, ascending.</summary>
    public List<(ulong Address, KmemCache Cache)> Objects { get; } = [];

    /// <summary>Areas, by address, ascending.</summary>
    public List<VmArea> Areas { get; } = [];

    /// <summary>Pages marked as page tables beyond those of the kernel's tree and of the processes'.</summary>
    public long StrayTables { get; private set; }

    public static Inventory Of(Machine machine)
    {
        Inventory inventory = new();
        HashSet<int> named = [];
        machine.PerCpu.AddFrames(named);
        machine.Swap.CompressedPools.AddFrames(named);
        if (machine.Ram.HasContents)
        {
            inventory.Areas.AddRange(machine.Memory.Vmalloc.Areas().OrderBy(area => area.Start));
            foreach (VmArea area in inventory.Areas)
            {
                foreach (Page page in area.Mapped)
                {
                    named.Add(page.FrameIndex);
                }
            }
        }

        FrameViewer viewer = new(machine);
        FrameRun[] runs = new FrameRun[FrameViewer.BlockPages];
        for (long first = 0; first < viewer.Frames; first += FrameViewer.BlockPages)
        {
            foreach (FrameRun run in runs.AsSpan(0, viewer.Read(new Pfn(first), runs)))
            {
                int pfn = (int)run.Start.Value;
                inventory.StrayTables += run.Use == FrameUse.PageTable ? 1 : 0;
                if (run.Use == FrameUse.Kernel && !named.Contains(pfn) && !machine.Frames.IsReserved(pfn) && !machine.Frames.Array[pfn].Has(PageFlags.HwPoison) && machine.ZoneTable.ZoneOf(pfn) is { Type: not ZoneType.Device })
                {
                    inventory.Blocks.Add((pfn, run.Order));
                }
            }
        }

        if (machine.Mm is { } spaces)
        {
            inventory.StrayTables -= TablesOf(machine.Mmu.Kernel) + spaces.All.Sum(mm => TablesOf(mm.Tables));
        }

        machine.Slab.AddLive(inventory.Objects);
        inventory.Objects.Sort((a, b) => a.Address.CompareTo(b.Address));
        return inventory;
    }

    private static long TablesOf(PageTables tables)
    {
        long count = 0;
        for (int level = 0; level <= tables.Levels; level++)
        {
            count += tables.TablesOnLevel(level);
        }

        return count;
    }
}
