namespace MemSim;

/// <summary>A variable that every CPU has its own copy of: static (<c>DEFINE_PER_CPU</c>) or allocated (<c>alloc_percpu()</c>).</summary>
/// <typeparam name="T">The variable's type, at most a page large; its copies lie in simulated memory.</typeparam>
/// <remarks>Nullable through <see cref="IsNull"/>, as a failed allocation returns it. Copies of different CPUs never share a cache line.</remarks>
public readonly struct PerCpuVar<T> : IEquatable<PerCpuVar<T>>
    where T : unmanaged
{
    internal PerCpuVar(PerCpuAllocator owner, PerCpuPointer pointer)
    {
        Owner = owner;
        Pointer = pointer;
    }

    /// <summary>Whether this is the null handle.</summary>
    public bool IsNull => Owner is null;

    /// <summary>The per-CPU pointer.</summary>
    public PerCpuPointer Pointer { get; }

    internal PerCpuAllocator? Owner { get; }

    /// <summary>A CPU's copy (<c>per_cpu(var, cpu)</c>), whoever asks.</summary>
    /// <param name="cpu">The CPU's number.</param>
    /// <exception cref="InvalidOperationException">The handle is null, or the machine has no contents of RAM.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The machine has no such CPU.</exception>
    public ref T this[int cpu] => ref (Owner ?? throw new InvalidOperationException("the per-CPU variable is null: its allocation failed")).RefTo<T>(Pointer, cpu);

    /// <summary>Whether two handles name the same variable.</summary>
    public static bool operator ==(PerCpuVar<T> left, PerCpuVar<T> right) => left.Equals(right);

    /// <summary>Whether two handles name different variables.</summary>
    public static bool operator !=(PerCpuVar<T> left, PerCpuVar<T> right) => !left.Equals(right);

    /// <inheritdoc/>
    public bool Equals(PerCpuVar<T> other) => ReferenceEquals(Owner, other.Owner) && Pointer == other.Pointer;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is PerCpuVar<T> other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => Pointer.GetHashCode();
}
