using System.Runtime.InteropServices;

namespace MemSim;

/// <content>Loads and stores of many bytes: translated once a page.</content>
public sealed partial class Cpu
{
    /// <summary>Reads values that lie one after the other.</summary>
    /// <typeparam name="T">Any type without references.</typeparam>
    /// <param name="address">The first address.</param>
    /// <param name="into">Receives them.</param>
    /// <exception cref="PageFaultException">A page cannot be read.</exception>
    public void Read<T>(VirtualAddress address, Span<T> into)
        where T : unmanaged => Accesses.ReadBytes(address, MemoryMarshal.AsBytes(into));

    /// <summary>Writes values one after the other.</summary>
    /// <typeparam name="T">Any type without references.</typeparam>
    /// <param name="address">The first address.</param>
    /// <param name="values">The values.</param>
    /// <exception cref="PageFaultException">A page cannot be written.</exception>
    public void Write<T>(VirtualAddress address, ReadOnlySpan<T> values)
        where T : unmanaged => Accesses.WriteBytes(address, MemoryMarshal.AsBytes(values));
}
