using System.Diagnostics;
using System.Runtime.CompilerServices;
using MemSim.Hardware;

namespace MemSim.Slab;

/// <summary>The state of each object of a slab, one word an object: <see cref="SlabPage.Allocated"/>, the next free object of the list it is on, or <see cref="SlabPage.End"/>.</summary>
/// <remarks>
/// A view of memory that <see cref="SlabMemory.TakeLinks"/> gave for <see cref="SlabPage.Objects"/> objects and takes back with the slab. In range by construction: an index is an object's number
/// that <see cref="SlabPage.TryIndex"/> compared with that count, a counter below it, or a link, and links hold nothing but such numbers; nobody else can write there. The Debug build keeps the
/// count and looks at every index (<see cref="HostTable{T}"/>).
/// </remarks>
internal readonly unsafe struct SlabLinks : IHostView
{
    private readonly HostTable<ushort> _words;

    /// <summary>The words of a slab, in memory that has room for them.</summary>
    public SlabLinks(ushort* first, int objects) => _words = new HostTable<ushort>(first, objects);

    public ref ushort this[uint index]
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => ref _words[index];
    }

    public ref ushort this[int index]
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => ref _words[(uint)index];
    }

    /// <summary>The place of an object's word, as arrays and sheaves remember it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public SlabLink At(uint index) => new(_words.PlaceOf(index));

    /// <summary>The words from an object's on, for <see cref="BulkRuns"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ushort* From(ulong index) => _words.PlaceOf(index);

    /// <summary>The object whose word lies at a place.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int IndexOf(SlabLink link)
    {
        int index = link.From(_words.First);
        Debug.Assert(index >= 0 && At((uint)index) == link, "the word of an object of the slab");
        return index;
    }

    /// <summary>The words of all objects.</summary>
    /// <param name="objects">How many the slab has.</param>
    public Span<ushort> All(int objects) => _words.Slice(0, objects);

    /// <summary>How many objects are in a state.</summary>
    public int Count(int objects, ushort state) => All(objects).Count(state);

    /// <summary>Gives the memory back.</summary>
    public void GiveTo(SlabMemory memory, int objects) => memory.GiveLinks(_words.First, objects);

    public bool IsSameAs(SlabLinks other) => _words.First == other._words.First;
}

/// <summary>The word of one object in the <see cref="SlabLinks"/> of its slab.</summary>
/// <remarks>
/// In range by construction: only <see cref="SlabLinks.At"/> makes one, and arrays and sheaves, which remember it, have given the object back before its slab, and the words with it, can go
/// (the object counts as in use there).
/// </remarks>
internal readonly unsafe struct SlabLink(ushort* word) : IHostView, IEquatable<SlabLink>
{
    private readonly ushort* _word = word;

    /// <summary>What the word says of the object.</summary>
    public ref ushort State
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => ref *_word;
    }

    public static bool operator ==(SlabLink left, SlabLink right) => left._word == right._word;

    public static bool operator !=(SlabLink left, SlabLink right) => left._word != right._word;

    public bool Equals(SlabLink other) => _word == other._word;

    public override bool Equals(object? obj) => obj is SlabLink other && Equals(other);

    public override int GetHashCode() => ((nint)_word).GetHashCode();

    /// <summary>How many words it lies behind another.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int From(ushort* first) => (int)(_word - first);
}
