namespace MemSim;

/// <content>Mappings of high memory.</content>
public sealed partial class Cpu
{
    /// <summary>Gives a page an address that any CPU can use until <see cref="Kunmap"/> (<c>kmap()</c>); may sleep until a slot of the window is left.</summary>
    /// <param name="page">The page. Low memory has its address already, at no cost.</param>
    /// <returns>The address; for a page mapped already, the same again.</returns>
    /// <exception cref="KernelBugException">The CPU is in atomic context; the page is not allocated or another machine's; or all slots are in use and nobody could leave one: the report says who holds them.</exception>
    public VirtualAddress Kmap(Page page)
    {
        if (!HighMemory.IsMappable(page, "kmap") || HighMemory.IsWrongContext("kmap"))
        {
            return default;
        }

        // Not the page's own Address: that would keep the page in memory instead of in registers.
        return Machine.Addresses.IsLowMemory(page.FrameIndex) ? Machine.Addresses.AddressOfLow(page.FrameIndex) : Machine.Memory.Kmaps!.Map(this, page);
    }

    /// <summary>Gives the mapping of <see cref="Kmap"/> up (<c>kunmap()</c>). The page keeps its address until the slot is needed.</summary>
    /// <param name="page">The page, not its address.</param>
    /// <exception cref="KernelBugException">The page is not mapped, or the CPU is in atomic context. Nothing has changed.</exception>
    public void Kunmap(Page page)
    {
        if (!HighMemory.IsOfMachine(page, "kunmap") || HighMemory.IsWrongContext("kunmap") || Machine.Addresses.IsLowMemory(page.FrameIndex))
        {
            return;
        }

        Machine.Memory.Kmaps!.Unmap(this, page);
    }
}
