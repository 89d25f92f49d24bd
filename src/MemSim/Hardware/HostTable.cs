using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace MemSim.Hardware;

/// <summary>A table in memory of the host, indexed by a number: what hot code holds of it, one address.</summary>
/// <remarks>
/// In range by construction: <see cref="HostRange.Table{T}"/> compares place and length with the memory it has, once, and the number is one that its user compared with the length before,
/// or one that only the user of the table writes (a frame number from a list of frames, a size class from a table of classes). The Debug build keeps the length and looks at every number.
/// The memory lives as long as its <see cref="HostRange"/>, which whoever holds a table keeps.
/// </remarks>
internal readonly unsafe struct HostTable<T> : IHostView
    where T : unmanaged
{
    private readonly T* _first;
#if DEBUG
    private readonly long _length;
#endif

    /// <summary>A table in memory that has room for it: for the types that own memory.</summary>
    public HostTable(T* first, long length)
    {
        _first = first;
#if DEBUG
        _length = length;
#else
        _ = length;
#endif
    }

    public ref T this[uint index]
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get
        {
            Check(index);
            return ref _first[index];
        }
    }

    public ref T this[ulong index]
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get
        {
            Check(index);
            return ref _first[index];
        }
    }

    /// <summary>Items one after the other. There are so many.</summary>
    public Span<T> Slice(uint index, int count)
    {
        Check(index);
        Check(index + (ulong)Math.Max(count - 1, 0));
        return new Span<T>(_first + index, count);
    }

    /// <summary>Where the table begins, for the types that own memory.</summary>
    public T* First => _first;

    /// <summary>Where an item lies, for the types that own memory.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T* PlaceOf(ulong index)
    {
        Check(index);
        return _first + index;
    }

    [Conditional("DEBUG")]
    private void Check(ulong index)
    {
#if DEBUG
        Debug.Assert(index < (ulong)_length, "a number of an item of the table");
#else
        _ = index;
        _ = this;
#endif
    }
}
