namespace MemSim.Tests.KernelMemory;

/// <summary>The boot maps the stacks of interrupts at the start of vmalloc's range; what others have begins behind them.</summary>
internal static class BootAreas
{
    /// <summary><c>/proc/vmallocinfo</c> without what the boot mapped.</summary>
    public static string AreasOfUsers(this Machine machine) =>
        string.Concat(machine.Proc.VmallocInfo.Split('\n').Where(line => line.Length != 0 && !IsOfBoot(line)).Select(line => line + "\n"));

    /// <summary>The first address that the boot left.</summary>
    public static VirtualAddress FirstFree(this Machine machine)
    {
        string? last = machine.Proc.VmallocInfo.Split('\n').LastOrDefault(IsOfBoot);
        return last is null ? machine.AddressSpace.Vmalloc.Start : new VirtualAddress(Convert.ToUInt64(last.Split(' ')[0].Split('-')[1], 16));
    }

    private static bool IsOfBoot(string line) => line.Contains("irq_init_percpu_irqstack", StringComparison.Ordinal) || line.Contains("init_IRQ", StringComparison.Ordinal);
}
