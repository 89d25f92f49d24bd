namespace MemSim;

/// <summary>A slot of the window of <see cref="Cpu.Kmap"/>.</summary>
/// <param name="Number">Its number.</param>
/// <param name="Address">Its address.</param>
/// <param name="Page">The page mapped there; a null page when the slot is free.</param>
/// <param name="Count">The kernel's count: 0 free, 1 mapped but unused until the window is flushed, n + 1 used n times.</param>
/// <param name="Holder">Who mapped the page first; null when nobody uses it.</param>
public readonly record struct KmapSlot(int Number, VirtualAddress Address, Page Page, int Count, string? Holder)
{
    /// <summary>How often the slot is in use.</summary>
    public int Users => Math.Max(0, Count - 1);
}
