namespace MemSim.Explorer.Reports;

/// <summary>A report to try: a machine is driven until a request fails, and writes it.</summary>
public static class SampleReport
{
    /// <summary>Drives the machine and returns what it wrote.</summary>
    public static string Make()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M").WithoutContents());
        Cpu cpu = machine.Cpus[0];
        List<Page> pages = [];
        const Gfp All = Gfp.HighUserMovable | Gfp.MemAlloc | Gfp.NoWarn;
        for (Page page = cpu.AllocPages(All); !page.IsNull; page = cpu.AllocPages(All))
        {
            pages.Add(page);
        }

        // Single pages come back here and there: memory is free, and no large block.
        for (int i = 0; i < pages.Count; i += 5)
        {
            cpu.FreePages(pages[i]);
        }

        machine.Reports.KeepsAllocationFailures = true;
        machine.Memory.DrainAllPages();
        _ = cpu.AllocPages(Gfp.Atomic | Gfp.Comp, 4);
        return machine.Reports.LastAllocationFailure ?? string.Empty;
    }
}
