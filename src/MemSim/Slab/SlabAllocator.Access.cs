using System.Globalization;
using MemSim.Slab;

namespace MemSim;

/// <content>What is asked of objects: their size, whether bytes lie inside one; and what is said when there was no memory.</content>
public sealed partial class SlabAllocator
{
    private long _failures;

    /// <summary>How many objects could not be allocated for want of memory since boot.</summary>
    public long AllocationFailures => Volatile.Read(ref _failures);

    /// <summary>The last report about an object that could not be allocated; null when there was none, or the last failure asked for none (<see cref="Gfp.NoWarn"/>).</summary>
    public string? LastFailureReport { get; private set; }

    /// <summary>The bytes that belong to an object.</summary>
    internal long Ksize(Cpu cpu, VirtualAddress obj)
    {
        Machine.ThrowIfDisposed();
        if (obj.Value <= ZeroSizePointer.Value)
        {
            return 0;
        }

        int head = Memory.SlabAt(obj.Value);
        if (head != 0)
        {
            ref SlabPage slab = ref Memory[head];
            KmemCache cache = CacheOf(slab.Cache);
            if (!slab.TryIndex(obj.Value, out uint index) || slab.Links[index] != SlabPage.Allocated)
            {
                RefuseFree(cpu, cache, obj, "ksize", twice: false);
                return 0;
            }

            return UsableSize(cache);
        }

        ulong pfn = (obj.Value - Memory.FrameZero) >> PageGeometry.PageShift;
        if (pfn < Memory.Frames && LargeObjects.Is(Machine, (int)pfn) && (obj.Value & (PageGeometry.PageSize - 1)) == 0)
        {
            return (long)PageGeometry.PageSize << Machine.Frames.Array[(int)pfn].Order;
        }

        Debug.NotAnObject(cpu, obj, "ksize");
        return 0;
    }

    /// <summary>The cache an object belongs to; null for what lies in no slab.</summary>
    internal KmemCache? CacheAt(VirtualAddress obj) => Memory.SlabAt(obj.Value) is int head and not 0 ? CacheOf(Memory[head].Cache) : null;

    /// <summary>Whether an object of a cache that is handed out starts at an address.</summary>
    internal bool IsLiveObject(KmemCache cache, VirtualAddress obj)
    {
        int head = Memory.SlabAt(obj.Value);
        return head != 0 && Memory[head].Cache == cache.Id && Memory[head].TryIndex(obj.Value, out uint index) && Memory[head].Links[index] == SlabPage.Allocated;
    }

    /// <summary>What of an object's slot its owner may use: all of it, unless metadata lie there (<c>slab_ksize()</c>).</summary>
    internal static long UsableSize(KmemCache cache) =>
        (cache.Flags & (SlabFlags.RedZone | SlabFlags.Poison)) != 0 ? cache.ObjectSize
        : (cache.Flags & (SlabFlags.TypesafeByRcu | SlabFlags.StoreUser)) != 0 ? cache.InUse
        : cache.Size;

    /// <summary>Whether bytes lie inside one object that is in use, or one allocated block; complains otherwise.</summary>
    internal bool Within(Cpu cpu, VirtualAddress address, int length, string what)
    {
        Machine.ThrowIfDisposed();
        ulong pfn = (address.Value - Memory.FrameZero) >> PageGeometry.PageShift;
        string why = "the address is not in the direct map of this machine";
        if (pfn < Memory.Frames && address.Value >= Memory.FrameZero)
        {
            int head = Memory.SlabAt(address.Value);
            if (head != 0)
            {
                ref SlabPage slab = ref Memory[head];
                KmemCache cache = CacheOf(slab.Cache);
                ulong offset = address.Value - slab.Base;
                ulong index = offset / slab.Size;
                if (address.Value >= slab.Base && index < slab.Objects && slab.Links[(uint)index] == SlabPage.Allocated && (offset % slab.Size) + (ulong)length <= (ulong)UsableSize(cache))
                {
                    return true;
                }

                why = $"the bytes are not inside one object in use of the cache {cache.Name}";
            }
            else
            {
                int block = Machine.ZoneTable.BlockHeadOf((int)pfn, out int order);
                if (block >= 0 && Machine.Frames.Array[block].RefCount != 0 && address.Value + (ulong)length <= Machine.Addresses.AddressOf(block).Value + ((ulong)PageGeometry.PageSize << order))
                {
                    return true;
                }

                why = "the bytes are not inside one allocated block";
            }
        }

        Machine.Bugs.Raise(KernelBugKind.NotAllocated, $"BUG: {what}: {length} bytes at {address}: {why}", $"CPU: {cpu.Id}\n");
        return false;
    }

    private void NoteFailure(Cpu cpu, KmemCache cache, Gfp gfp, int node)
    {
        Interlocked.Increment(ref _failures);
        if ((gfp & Gfp.NoWarn) != 0)
        {
            LastFailureReport = null;
            return;
        }

        System.Text.StringBuilder text = new();
        text.Append(CultureInfo.InvariantCulture, $"SLUB: Unable to allocate memory on node {node}, gfp={GfpText.FormatWithHex(gfp, Machine.Personality)}\n");
        text.Append(CultureInfo.InvariantCulture, $"  cache: {cache.Name}, object size: {cache.ObjectSize}, buffer size: {cache.Size}, default order: {cache.Order}, min order: {cache.Layout.MinOrder}\n");
        if (cache.Layout.MinOrder > SlabRules.OrderOf(cache.ObjectSize))
        {
            text.Append(CultureInfo.InvariantCulture, $"  {cache.Name} debugging increased min order, use slub_debug=O to disable.\n");
        }

        foreach (SlubNode counted in cache.Nodes)
        {
            long free = 0;
            for (int head = counted.Partial.First; head != 0; head = Memory[head].Next)
            {
                free += Memory[head].Objects - Memory[head].InUse;
            }

            if (Machine.ZoneTable.NodeOrDefault(counted.Id) is not null)
            {
                text.Append(CultureInfo.InvariantCulture, $"  node {counted.Id}: slabs: {counted.Slabs}, objs: {counted.Objects}, free: {free}\n");
            }
        }

        _ = cpu;
        LastFailureReport = text.ToString();
    }
}
