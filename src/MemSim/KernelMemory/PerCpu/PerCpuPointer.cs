using System.Globalization;

namespace MemSim;

/// <summary>Names one object that every CPU has its own copy of (<c>void __percpu *</c>). Not an address: together with a CPU it leads to one.</summary>
/// <param name="Value">The distance of a copy from the start of its CPU's area, in bytes; 0 is the null pointer.</param>
public readonly record struct PerCpuPointer(ulong Value)
{
    /// <summary>The null pointer: what an allocation returns that found no memory.</summary>
    public static PerCpuPointer Null => default;

    /// <summary>Whether this is the null pointer.</summary>
    public bool IsNull => Value == 0;

    /// <summary>The pointer <paramref name="bytes"/> further on, inside the same object.</summary>
    public static PerCpuPointer operator +(PerCpuPointer pointer, int bytes) => new(pointer.Value + (ulong)bytes);

    /// <summary>The value as hexadecimal digits with prefix.</summary>
    public override string ToString() => "0x" + Value.ToString("x", CultureInfo.InvariantCulture);
}
