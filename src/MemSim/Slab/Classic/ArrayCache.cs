using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace MemSim.Slab;

/// <summary>A stack of free objects (<c>struct array_cache</c>): a CPU's, the one the CPUs of a node share, or that for objects of another node.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct ArrayCache
{
    public ArrayEntry* Entries;

    public int Avail;

    public int Limit;

    /// <summary>How many objects move at a time.</summary>
    public int BatchCount;

    /// <summary>1 when it was used since the last reaping.</summary>
    public int Touched;

    /// <summary>Takes the last object put in, which becomes an allocated one. There is one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Pop(ArrayCache* array)
    {
        ArrayEntry* entry = array->Entries + --array->Avail;
        array->Touched = 1;
        *entry->Link = SlabPage.Allocated;
        return entry->Address;
    }

    /// <summary>Puts an object in. There is room.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Push(ArrayCache* array, ulong address, ushort* link)
    {
        ArrayEntry* entry = array->Entries + array->Avail++;
        entry->Address = address;
        entry->Link = link;
        *link = SlabPage.End;
    }

    /// <summary>Drops the oldest entries.</summary>
    public static void DropOldest(ArrayCache* array, int count)
    {
        array->Avail -= count;
        Buffer.MemoryCopy(array->Entries + count, array->Entries, (long)array->Limit * sizeof(ArrayEntry), (long)array->Avail * sizeof(ArrayEntry));
    }

    /// <summary>Moves the newest entries of one stack to another (<c>transfer_objects()</c>).</summary>
    /// <returns>How many: at most <paramref name="max"/>, what there is, and what there is room for.</returns>
    public static int Transfer(ArrayCache* to, ArrayCache* from, int max)
    {
        int count = Math.Min(Math.Min(from->Avail, max), to->Limit - to->Avail);
        if (count > 0)
        {
            Buffer.MemoryCopy(from->Entries + from->Avail - count, to->Entries + to->Avail, (long)count * sizeof(ArrayEntry), (long)count * sizeof(ArrayEntry));
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
