using System.Runtime.CompilerServices;

namespace MemSim.Slab;

/// <summary>The state of each object of a slab, one word an object: <see cref="SlabPage.Allocated"/>, the next free object of the list it is on, or <see cref="SlabPage.End"/>.</summary>
/// <remarks>
/// A view of memory that <see cref="SlabMemory.TakeLinks"/> gave for <see cref="SlabPage.Objects"/> objects and takes back with the slab. In range by construction: an index is an object's number
/// that <see cref="SlabPage.TryIndex"/> compared with that count, a counter below it, or a link, and links hold nothing but such numbers; nobody else can write there.
/// </remarks>
internal readonly unsafe struct SlabLinks(ushort* first)
{
    private readonly ushort* _first = first;

    public ref ushort this[uint index]
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => ref _first[index];
    }

    public ref ushort this[int index]
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => ref _first[index];
    }

    /// <summary>The place of an object's word, as arrays and sheaves remember it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ushort* At(uint index) => _first + index;

    /// <inheritdoc cref="At(uint)"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ushort* At(ulong index) => _first + index;

    /// <summary>The object whose word lies at a place.</summary>
    public int IndexOf(ushort* link) => (int)(link - _first);

    /// <summary>The words of all objects.</summary>
    /// <param name="objects">How many the slab has.</param>
    public Span<ushort> All(int objects) => new(_first, objects);

    /// <summary>How many objects are in a state.</summary>
    public int Count(int objects, ushort state) => All(objects).Count(state);

    /// <summary>Gives the memory back.</summary>
    public void GiveTo(SlabMemory memory, int objects) => memory.GiveLinks(_first, objects);

    public bool IsSameAs(SlabLinks other) => _first == other._first;
}
