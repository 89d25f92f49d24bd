using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using MemSim.Hardware;

namespace MemSim.Slab;

/// <summary>A stack of free objects: the classic SLAB's (<c>struct array_cache</c>) of a CPU, of a node or for objects of another node; SLUB's sheaf (<c>struct slab_sheaf</c>).</summary>
/// <remarks>
/// A view of memory that <see cref="ArrayMemory"/> made for <see cref="Limit"/> entries behind their head and that goes with its cache. In range by construction: <see cref="Avail"/> lies between
/// 0 and <see cref="Limit"/> at entry and exit of everything that changes it, entries are only reached below the one or the other, and an entry's word is its object's
/// (<see cref="SlabLink"/>). What is not checked in a Release build is that the view is not null: fast paths ask first.
/// </remarks>
internal readonly unsafe struct ArrayCache : IHostView, IEquatable<ArrayCache>
{
    private readonly Head* _head;

    internal ArrayCache(Head* head) => _head = head;

    /// <summary>Whether there is none.</summary>
    public bool IsNull
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _head == null;
    }

    /// <summary>How many objects are in it.</summary>
    public ref int Avail
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => ref _head->Avail;
    }

    /// <summary>How many there is room for.</summary>
    public int Limit
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _head->Limit;
    }

    /// <summary>How many objects move at a time.</summary>
    public int BatchCount => _head->BatchCount;

    /// <summary>1 when it was used since the last reaping.</summary>
    public ref int Touched => ref _head->Touched;

    /// <summary>SLUB's sheaves: the next one in the same list of a barn.</summary>
    public ref ArrayCache Next => ref _head->Next;

    /// <summary>SLUB's sheaves: the address of the kmalloc object that the sheaf is; 0 for one that the boot made.</summary>
    public ref ulong Home => ref _head->Home;

    /// <summary>SLUB's sheaves that wait for a grace period: the simulated time at which it ends at the latest, in nanoseconds.</summary>
    public ref long Due => ref _head->Due;

    /// <summary>SLUB's sheaves that wait for a grace period: the node whose barn they go to; <see cref="SlabPage.NoNode"/> for none.</summary>
    public ref int Node => ref _head->Node;

    /// <summary>The objects in it, the oldest first.</summary>
    public ReadOnlySpan<ArrayEntry> Entries => Oldest(Avail);

    /// <summary>Where the next object goes, for <see cref="BulkRuns"/>: what is written there is in it once <see cref="Avail"/> says so.</summary>
    public ArrayEntry* Top
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get
        {
            Check(0, 0);
            return First + _head->Avail;
        }
    }

    /// <summary>Where it lies, for <see cref="ArrayMemory"/>.</summary>
    internal Head* Place => _head;

    // The entries lie behind the head; it is followed by room for as many as its limit says.
    private ArrayEntry* First
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => (ArrayEntry*)((byte*)_head + Head.SizeInBytes);
    }

    /// <summary>The oldest objects in it. There are so many.</summary>
    public ReadOnlySpan<ArrayEntry> Oldest(int count)
    {
        Check(count, 0);
        return new ReadOnlySpan<ArrayEntry>(First, count);
    }

    /// <summary>Takes the newest objects out, without a word on their state. There are so many.</summary>
    /// <returns>They, the oldest first: good until something is put in.</returns>
    public ReadOnlySpan<ArrayEntry> TakeNewest(int count)
    {
        Check(count, 0);
        _head->Avail -= count;
        return new ReadOnlySpan<ArrayEntry>(First + _head->Avail, count);
    }

    /// <summary>Takes the last object put in, which becomes an allocated one. There is one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong Pop()
    {
        Check(1, 0);
        uint avail = (uint)_head->Avail - 1;
        ArrayEntry* entry = First + avail;
        _head->Avail = (int)avail;
        _head->Touched = 1;
        entry->Link.State = SlabPage.Allocated;
        return entry->Address;
    }

    /// <summary>Takes so many objects as <see cref="Pop"/> would one after another. There are so many.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void PopMany(Span<VirtualAddress> to)
    {
        Check(to.Length, 0);
        ArrayEntry* top = First + _head->Avail;
        ArrayEntry* bottom = top - to.Length;
        _head->Avail -= to.Length;
        _head->Touched = 1;

        // In range: as many entries as there are places.
        ref VirtualAddress at = ref MemoryMarshal.GetReference(to);
        while (top > bottom)
        {
            top--;
            at = new VirtualAddress(top->Address);
            at = ref Unsafe.Add(ref at, 1);
            top->Link.State = SlabPage.Allocated;
        }
    }

    /// <summary>Puts an object in. There is room.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Push(ulong address, SlabLink link)
    {
        Check(0, 1);
        uint avail = (uint)_head->Avail;
        ArrayEntry* entry = First + avail;
        _head->Avail = (int)(avail + 1);
        entry->Address = address;
        entry->Link = link;
        link.State = SlabPage.End;
    }

    /// <summary>Puts free objects of a slab in, from the front of its list on. There are so many, and there is room.</summary>
    public void TakeFrom(ref SlabPage slab, int count)
    {
        Check(0, count);
        Debug.Assert(count <= slab.Objects - slab.InUse, "so many objects of the slab are free");
        SlabLinks links = slab.Links;
        ulong start = slab.Base;
        uint size = slab.Size;
        uint next = slab.FreeHead;
        ArrayEntry* entry = First + _head->Avail;
        for (ArrayEntry* end = entry + count; entry < end; entry++)
        {
            SlabLink link = links.At(next);
            entry->Address = start + (next * size);
            entry->Link = link;
            next = link.State;
            link.State = SlabPage.End;
        }

        slab.FreeHead = (ushort)next;
        slab.InUse += (ushort)count;
        _head->Avail += count;
    }

    /// <summary>Drops the oldest entries. There are so many.</summary>
    public void DropOldest(int count)
    {
        Check(count, 0);
        _head->Avail -= count;
        Buffer.MemoryCopy(First + count, First, (long)_head->Limit * sizeof(ArrayEntry), (long)_head->Avail * sizeof(ArrayEntry));
    }

    /// <summary>Puts a copy of another stack's oldest entries in. There are so many, and there is room.</summary>
    public void CopyOldest(ArrayCache from, int count)
    {
        from.Check(count, 0);
        Check(0, count);
        Buffer.MemoryCopy(from.First, First + _head->Avail, (long)(_head->Limit - _head->Avail) * sizeof(ArrayEntry), (long)count * sizeof(ArrayEntry));
        _head->Avail += count;
    }

    /// <summary>Moves the newest entries of another stack to this one (<c>transfer_objects()</c>).</summary>
    /// <returns>How many: at most <paramref name="max"/>, what there is, and what there is room for.</returns>
    public int Transfer(ArrayCache from, int max)
    {
        int count = Math.Min(Math.Min(from.Avail, max), Limit - Avail);
        if (count > 0)
        {
            from.Check(count, 0);
            Check(0, count);
            Buffer.MemoryCopy(from.First + from.Avail - count, First + Avail, (long)count * sizeof(ArrayEntry), (long)count * sizeof(ArrayEntry));
            from.Avail -= count;
            Avail += count;
        }

        return count;
    }

    public static bool operator ==(ArrayCache left, ArrayCache right) => left._head == right._head;

    public static bool operator !=(ArrayCache left, ArrayCache right) => left._head != right._head;

    public bool Equals(ArrayCache other) => _head == other._head;

    public override bool Equals(object? obj) => obj is ArrayCache other && Equals(other);

    public override int GetHashCode() => ((nint)_head).GetHashCode();

    [Conditional("DEBUG")]
    private void Check(int taken, int put) =>
        Debug.Assert(taken >= 0 && put >= 0 && taken <= _head->Avail && put <= _head->Limit - _head->Avail && _head->Avail >= 0, "so many objects are in the array, and there is so much room");

    /// <summary>What stands before the entries: a cache line.</summary>
    [StructLayout(LayoutKind.Sequential, Size = SizeInBytes)]
    internal struct Head
    {
        public const int SizeInBytes = PaddedLock.CacheLineBytes;

        public int Avail;
        public int Limit;
        public int BatchCount;
        public int Touched;
        public ArrayCache Next;
        public ulong Home;
        public long Due;
        public int Node;
    }
}

/// <summary>A free object in an array: its address and, so that handing it out needs no look at its slab, the place of its state.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct ArrayEntry
{
    public ulong Address;

    public SlabLink Link;
}

/// <summary>The memory of a cache's arrays or sheaves, which goes with it.</summary>
/// <remarks>Has no lock: a cache that several CPUs take arrays of calls it under its own. What <see cref="Free"/> gets is one of its own arrays that nobody has any more.</remarks>
internal sealed unsafe class ArrayMemory
{
    private readonly List<nint> _memory = [];

    ~ArrayMemory()
    {
        // One that a snapshot could not be made into has nothing yet.
        foreach (nint memory in _memory ?? [])
        {
            NativeMemory.AlignedFree((void*)memory);
        }
    }

    /// <summary>All arrays that are not freed.</summary>
    public IEnumerable<ArrayCache> All => _memory.Select(At);

    /// <summary>Makes an empty array.</summary>
    public ArrayCache Make(int limit, int batch)
    {
        nuint bytes = ArrayCache.Head.SizeInBytes + ((nuint)limit * (nuint)sizeof(ArrayEntry));
        void* memory = NativeMemory.AlignedAlloc(bytes, PaddedLock.CacheLineBytes);
        NativeMemory.Clear(memory, bytes);
        _memory.Add((nint)memory);
        ArrayCache made = At((nint)memory);
        Empty(made, limit, batch);
        return made;
    }

    /// <summary>Makes an array an empty one again, as large as it was.</summary>
    public static void Empty(ArrayCache array, int limit, int batch) => *array.Place = new ArrayCache.Head { Limit = limit, BatchCount = batch };

    /// <summary>Frees an array; nothing happens for none.</summary>
    public void Free(ArrayCache array)
    {
        if (!array.IsNull)
        {
            nint memory = (nint)array.Place;
            bool known = _memory.Remove(memory);
            Debug.Assert(known, "an array of this cache");
            NativeMemory.AlignedFree((void*)memory);
        }
    }

    private static ArrayCache At(nint memory) => new((ArrayCache.Head*)memory);
}
