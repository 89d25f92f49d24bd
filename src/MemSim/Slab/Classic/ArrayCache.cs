using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace MemSim.Slab;

/// <summary>A stack of free objects: the classic SLAB's (<c>struct array_cache</c>) of a CPU, of a node or for objects of another node; SLUB's sheaf (<c>struct slab_sheaf</c>).</summary>
[StructLayout(LayoutKind.Sequential, Size = HeaderBytes)]
internal unsafe struct ArrayCache
{
    /// <summary>Bytes from the start to the entries.</summary>
    public const int HeaderBytes = 64;

    public int Avail;

    public int Limit;

    /// <summary>How many objects move at a time.</summary>
    public int BatchCount;

    /// <summary>1 when it was used since the last reaping.</summary>
    public int Touched;

    /// <summary>SLUB's sheaves: the next one in the same list of a barn.</summary>
    public ArrayCache* Next;

    /// <summary>SLUB's sheaves: the address of the kmalloc object that the sheaf is; 0 for one that the boot made.</summary>
    public ulong Home;

    /// <summary>SLUB's sheaves that wait for a grace period: the simulated time at which it ends at the latest, in nanoseconds.</summary>
    public long Due;

    /// <summary>SLUB's sheaves that wait for a grace period: the node whose barn they go to; <see cref="SlabPage.NoNode"/> for none.</summary>
    public int Node;

    /// <summary>The entries, oldest first: they lie behind the header.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ArrayEntry* EntriesOf(ArrayCache* array) => (ArrayEntry*)((byte*)array + HeaderBytes);

    /// <summary>Takes the last object put in, which becomes an allocated one. There is one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Pop(ArrayCache* array)
    {
        uint avail = (uint)array->Avail - 1;
        ArrayEntry* entry = EntriesOf(array) + avail;
        array->Avail = (int)avail;
        array->Touched = 1;
        *entry->Link = SlabPage.Allocated;
        return entry->Address;
    }

    /// <summary>Takes so many objects as <see cref="Pop"/> would one after another. There are so many.</summary>
    public static void PopMany(ArrayCache* array, ulong* to, int count)
    {
        ArrayEntry* top = EntriesOf(array) + array->Avail;
        ArrayEntry* bottom = top - count;
        array->Avail -= count;
        array->Touched = 1;
        while (top > bottom)
        {
            top--;
            *to++ = top->Address;
            *top->Link = SlabPage.Allocated;
        }
    }

    /// <summary>Puts an object in. There is room.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Push(ArrayCache* array, ulong address, ushort* link)
    {
        uint avail = (uint)array->Avail;
        ArrayEntry* entry = EntriesOf(array) + avail;
        array->Avail = (int)(avail + 1);
        entry->Address = address;
        entry->Link = link;
        *link = SlabPage.End;
    }

    /// <summary>Drops the oldest entries.</summary>
    public static void DropOldest(ArrayCache* array, int count)
    {
        array->Avail -= count;
        Buffer.MemoryCopy(EntriesOf(array) + count, EntriesOf(array), (long)array->Limit * sizeof(ArrayEntry), (long)array->Avail * sizeof(ArrayEntry));
    }

    /// <summary>Moves the newest entries of one stack to another (<c>transfer_objects()</c>).</summary>
    /// <returns>How many: at most <paramref name="max"/>, what there is, and what there is room for.</returns>
    public static int Transfer(ArrayCache* to, ArrayCache* from, int max)
    {
        int count = Math.Min(Math.Min(from->Avail, max), to->Limit - to->Avail);
        if (count > 0)
        {
            Buffer.MemoryCopy(EntriesOf(from) + from->Avail - count, EntriesOf(to) + to->Avail, (long)count * sizeof(ArrayEntry), (long)count * sizeof(ArrayEntry));
            from->Avail -= count;
            to->Avail += count;
        }

        return count;
    }
}

/// <summary>A free object in an array: its address and, so that handing it out needs no look at its slab, the place of its state.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct ArrayEntry
{
    public ulong Address;

    public ushort* Link;
}
