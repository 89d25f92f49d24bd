using System.Globalization;
using System.Text;

namespace MemSim;

/// <summary>A stage of the boot in which the kernel's address space looks in a certain way.</summary>
/// <param name="Name">What happens, in the kernel's words.</param>
/// <param name="Mappings">What is mapped, in the order in which it is: in this phase, or up to it.</param>
/// <param name="Note">What it is for.</param>
public sealed record BootPhase(string Name, IReadOnlyList<BootMapping> Mappings, string Note)
{
    /// <summary>The phase as text: its name, then a line for each mapping.</summary>
    public override string ToString()
    {
        StringBuilder text = new();
        text.Append(CultureInfo.InvariantCulture, $"{Name}: {Note}\n");
        foreach (BootMapping mapping in Mappings)
        {
            text.Append(CultureInfo.InvariantCulture, $"  {mapping}\n");
        }

        return text.ToString();
    }
}

/// <summary>A mapping of a boot phase.</summary>
/// <param name="Start">Its first address.</param>
/// <param name="Physical">Where that leads.</param>
/// <param name="Bytes">Its length.</param>
/// <param name="Size">The largest pages used.</param>
public readonly record struct BootMapping(VirtualAddress Start, PhysicalAddress Physical, ulong Bytes, MappingSize Size)
{
    /// <summary>The mapping as <c>virtual-range -> physical address, page size</c>.</summary>
    public override string ToString() => $"{Start}-{new VirtualAddress(Start.Value + Bytes)} -> {Physical}, pages of {(Size == MappingSize.Page4K ? "4k" : new ByteSize(1UL << (int)Size))}";
}
