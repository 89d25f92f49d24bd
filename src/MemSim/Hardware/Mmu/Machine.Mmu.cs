namespace MemSim;

/// <content>The MMU and the direct map.</content>
public sealed partial class Machine
{
    /// <summary>The memory management unit with the kernel's page tables, direct map included.</summary>
    /// <exception cref="InvalidOperationException">The machine was booted without contents of RAM, which page tables need.</exception>
    public Mmu Mmu
    {
        get => NeedsContents(field);
        private set;
    } = null!;
}
