namespace MemSim.Explorer.Pictures;

/// <summary>A tracepoint that fired.</summary>
/// <param name="Number">How many fired before it.</param>
/// <param name="Name">Its name.</param>
/// <param name="Pfn">The frame it is about; -1 for none.</param>
/// <param name="Order">The order of the block; -1 for none.</param>
/// <param name="Detail">What else it said.</param>
public readonly record struct TraceLine(long Number, string Name, long Pfn, int Order, string Detail)
{
    /// <summary>The line as lists show it.</summary>
    public override string ToString() => $"{Name}{(Pfn >= 0 ? $" pfn=0x{Pfn:x}" : string.Empty)}{(Order >= 0 ? $" order={Order}" : string.Empty)}{(Detail.Length > 0 ? " " + Detail : string.Empty)}";
}
