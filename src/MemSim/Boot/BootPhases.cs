using MemSim.KernelMemory;

namespace MemSim.Boot;

/// <summary>What was mapped when, from the first instruction with paging on to the finished direct map.</summary>
internal static class BootPhases
{
    private const ulong MiB = 1 << 20;
    private const ulong KernelMap64 = 0xffff_ffff_8000_0000;
    // The first tables of arm64 have blocks with pages of 4 KiB only.
    private const MappingSize ArmBlocks = PageGeometry.Is4K ? MappingSize.Page2M : PageGeometry.SmallMapping;
    private const ulong ArmKernelMap = KernelAddressSpace.ArmVmallocStart;

    public static IReadOnlyList<BootPhase> Of(Machine machine)
    {
        KernelImage image = machine.BootPlan?.Spec.Kernel ?? KernelImage.Debian(machine.Architecture.Architecture, machine.Personality);
        return machine.Architecture.Architecture switch
        {
            Architecture.Arm64 => Arm(machine, image),
            Architecture.X86_64 => X86(machine, KernelMap64, 512 * MiB, 1024 * MiB, MappingSize.Page2M, "early_top_pgt maps the image where it was linked to run; modules follow behind"),
            _ => X86(machine, machine.Architecture.PageOffset, ImageEnd(image), ImageEnd(image), MappingSize.Page4K, "initial_page_table maps low memory up to the end of the image and its brk twice"),
        };
    }

    private static List<BootPhase> X86(Machine machine, ulong imageBase, ulong imageBytes, ulong identityBytes, MappingSize size, string imageNote)
    {
        BootMapping identity = new(default, default, identityBytes, size);
        BootMapping image = new(new VirtualAddress(imageBase), default, imageBytes, size);
        List<BootMapping> direct = [];
        foreach (DirectMapStep step in PlanOf(machine).Steps)
        {
            direct.Add(new BootMapping(new VirtualAddress(machine.Architecture.PageOffset + step.Start), new PhysicalAddress(step.Start), step.End - step.Start, step.Size));
        }

        return
        [
            new("identity mapping", [identity], "the code that switches paging on must find its next instruction at the same address"),
            new("kernel image mapping", [identity, image], imageNote),
            new("identity mapping removed", [image], "user addresses are free: a stray null pointer faults"),
            new("init_mem_mapping", [image, .. direct], "the direct map, the first MiB first, then from the top of memory down in growing steps"),
        ];
    }

    private static List<BootPhase> Arm(Machine machine, KernelImage image)
    {
        ulong start = machine.Ram.Bytes == 0 ? 0 : (machine.Addresses.ToPhysical(machine.Addresses.DirectMapStart).Value + image.LoadOffset) & ~((2 * MiB) - 1);
        ulong bytes = (image.Length + (2 * MiB) - 1) & ~((2 * MiB) - 1);
        BootMapping identity = new(new VirtualAddress(start), new PhysicalAddress(start), bytes, ArmBlocks);
        BootMapping swapper = new(new VirtualAddress(ArmKernelMap), new PhysicalAddress(start), bytes, ArmBlocks);
        List<BootMapping> direct = [];
        foreach (PageMapping mapping in machine.Mmu.Kernel.Mappings())
        {
            if (machine.AddressSpace.DirectMap.Contains(mapping.Start))
            {
                direct.Add(new BootMapping(mapping.Start, mapping.First.PhysicalAddress, (ulong)mapping.Pages << PageGeometry.PageShift, mapping.Size));
            }
        }

        return
        [
            new("identity mapping", [identity], "idmap_pg_dir, through TTBR0: the code that switches the MMU on"),
            new("kernel image mapping", [identity, swapper], "init_pg_dir, through TTBR1: the image where it was linked to run"),
            new("identity mapping removed", [swapper], "TTBR0 is free for user addresses"),
            new("paging_init", [swapper, .. direct], "the linear map, with blocks where memory fills them"),
        ];
    }

    /// <summary>The direct map of an x86 machine as its boot makes it.</summary>
    public static DirectMapPlan PlanOf(Machine machine)
    {
        IEnumerable<(ulong Start, ulong End)> memory = machine.BootPlan?.Spec.Memory is { } map
            ? map.Ranges.Where(r => r.Kind == MemoryRangeKind.Usable).Select(r => (r.Start, r.End))
            : machine.ZoneTable.PresentRanges.Where(r => r.Zone.Type != ZoneType.Device).Select(r => ((ulong)r.Start << PageGeometry.PageShift, (ulong)r.End << PageGeometry.PageShift));
        return DirectMapPlan.Make(machine.Architecture.Architecture, memory, machine.Addresses.DirectMapEnd.Value - machine.Architecture.PageOffset, machine.Mmu.Options.GigabytePages);
    }

    private static ulong ImageEnd(KernelImage image) => (image.LoadOffset + image.Length + (4 * MiB) - 1) & ~((4 * MiB) - 1);
}
