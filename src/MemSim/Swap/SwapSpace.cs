using MemSim.BlockDevices;
using MemSim.Hardware;
using MemSim.Pages;
using MemSim.Statistics;
using MemSim.Swap;

namespace MemSim;

/// <summary>The swap of a machine: its areas, the slots in them, and the swap cache, through which pages leave memory and come back (<c>mm/swapfile.c</c>, <c>mm/swap_state.c</c>).</summary>
/// <remarks>
/// Follows Linux 6.1. A slot is used as often as entries in page tables (or of shared memory) name it, and once more by a page in the swap cache. The page is
/// written before it is reclaimed and read when one of the entries is touched; the slot is free when nothing uses it any more.
/// </remarks>
public sealed partial class SwapSpace : ISwapSpace, ISwapWrites
{
    /// <summary>Slots that a CPU takes from one area before another of the same priority gets its turn (<c>SWAP_BATCH</c>).</summary>
    private const int TurnSlots = 64;

    private const int MinSlots = 10;
    private const int Areas32Bit = 27;
    private const int Areas64Bit = 23;

    private readonly FrameArray _frames;
    private readonly NodeCounters[] _countersByZone;
    private readonly long[] _writebackByZone;
    private readonly VmEvents _events;
    private readonly SwapOperations _reads = new();
    private readonly SwapOperations _writes = new();
    // Guards _areas, _byPriority, _turn, slots and their counts, and the swap cache (swap_lock, si->lock, the i_pages lock of swap).
    private readonly MachineLock? _lock;
    private readonly SwapArea?[] _areas;
    private readonly List<SwapArea> _byPriority = [];
    private readonly SwapArea?[] _turn;
    private readonly int[] _turnLeft;
    /// <summary>Of all areas switched on without a priority, where kernels make no difference between them.</summary>
    private const int SharedPriority = -1;

    private int _leastPriority = -1;
    private int _rotating;

    internal SwapSpace(Machine machine)
    {
        Machine = machine;
        _frames = machine.Frames.Array;
        _events = machine.Events;
        _lock = machine.NewLock("SwapSpace._lock");
        _countersByZone = [.. machine.Zones.Select(z => z.Node.Counters)];
        _writebackByZone = new long[machine.Zones.Count];
        _areas = new SwapArea?[machine.Architecture.Bits == 64 ? Areas64Bit : Areas32Bit];
        _turn = new SwapArea?[machine.Cpus.Count];
        _turnLeft = new int[machine.Cpus.Count];
        SharedMemory = new ShmemSwap(this);
        Users.Add(SharedMemory);
    }

    /// <summary>Whether an area was ever on: until then no page table holds a swap entry, and no page is in the swap cache.</summary>
    internal bool WasUsed { get; private set; }

    /// <summary>The machine.</summary>
    public Machine Machine { get; }

    /// <summary>The areas that are on, by number.</summary>
    public IReadOnlyList<SwapArea> Areas => [.. _areas.Where(a => a is not null).Select(a => a!)];

    /// <summary>Pages that fit into all areas.</summary>
    public long TotalPages => Machine.SystemFigures.SwapTotalPages;

    /// <summary>Slots that are free.</summary>
    public long FreePages => Machine.SystemFigures.SwapFreePages;

    /// <summary>Pages in the swap cache.</summary>
    public long CachedPages { get; private set; }

    /// <summary>Whether more than half of swap is in use: slots are then freed as soon as their page is back in memory (<c>vm_swap_full()</c>).</summary>
    internal bool IsHalfFull => FreePages * 2 < TotalPages;

    /// <summary>Whether some area has a cluster for a whole huge page.</summary>
    internal bool HasFreeCluster
    {
        get
        {
            foreach (SwapArea area in _byPriority)
            {
                if (area.FreeClusters > 0 && area.ClusterSlots == 512)
                {
                    return true;
                }
            }

            return false;
        }
    }

    /// <summary>Those who keep swap entries.</summary>
    internal List<ISwapUser> Users { get; } = [];

    internal ShmemSwap SharedMemory { get; }

    /// <summary>Nodes of the swap cache's trees that hold nothing but shadows.</summary>
    internal int ShadowNodes
    {
        get
        {
            int nodes = 0;
            foreach (SwapArea? area in _areas)
            {
                nodes += area?.ShadowNodes ?? 0;
            }

            return nodes;
        }
    }

    /// <summary>Frees so many of them, area by area.</summary>
    /// <returns>How many were freed.</returns>
    internal int ReclaimShadowNodes(int wanted)
    {
        using LockScope scope = Enter();
        int freed = 0;
        foreach (SwapArea? area in _areas)
        {
            freed += area?.ReclaimShadowNodes(wanted - freed) ?? 0;
        }

        return freed;
    }

    /// <summary>The zone of a page, by number.</summary>
    internal int ZoneOf(int pfn) => _frames[pfn].ZoneId;

    /// <summary>The counters of the node that a zone belongs to.</summary>
    internal NodeCounters CountersOf(int zone) => _countersByZone[zone];

    internal SwapArea? AreaOrNull(int type) => (uint)type < (uint)_areas.Length ? _areas[type] : null;

    /// <summary>Switches swap on a device on (<c>mkswap</c> and <c>swapon()</c>): what was on it is gone.</summary>
    /// <param name="device">The device, wholly used; one that is as fast as memory is read past the swap cache, one that seeks gets runs of slots.</param>
    /// <param name="priority">0 to 32767; null for one below all areas so far.</param>
    /// <param name="discard">When the device is told about unused slots.</param>
    /// <returns>The area; EINVAL: smaller than ten pages; EPERM: too many areas; EBUSY: the device is in use; EIO, EROFS: it cannot be written.</returns>
    public Result<SwapArea> SwapOn(BlockDevice device, int? priority = null, SwapDiscard discard = SwapDiscard.None)
    {
        ArgumentNullException.ThrowIfNull(device);
        device.Claim(Machine);
        if (device.Writeback is not null || device.HoldsSwap)
        {
            return Errno.EBUSY;
        }

        Result<SwapArea> area = SwapOn(new DeviceSwapBacking(device), priority, discard);
        device.HoldsSwap = area.Succeeded;
        return area;
    }

    /// <summary>Switches an area on.</summary>
    /// <param name="backing">What it writes to; the area owns it from now on.</param>
    /// <param name="priority">0 to 32767; null for one below all areas so far.</param>
    /// <param name="discard">When the device is told about unused slots.</param>
    /// <returns>The area; EINVAL: too small; EPERM: too many areas; EIO, EROFS, …: the device cannot be used.</returns>
    internal Result<SwapArea> SwapOn(ISwapBacking backing, int? priority = null, SwapDiscard discard = SwapDiscard.None)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(priority ?? 0, nameof(priority));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(priority ?? 0, short.MaxValue, nameof(priority));
        Machine.ThrowIfDisposed();
        using LockScope scope = Enter();
        int type = Array.IndexOf(_areas, null);
        Machine.Interleaver?.Pass("SwapSpace.SwapOn");
        Errno error = type < 0 ? Errno.EPERM : backing.Check();
        if (error == Errno.None && backing.Pages < MinSlots)
        {
            error = Errno.EINVAL;
        }

        if (error != Errno.None)
        {
            return error;
        }

        long slots = Math.Min(backing.Pages, LargestArea);
        SwapArea area = new(this, backing, type, priority ?? (AreasAreEqual ? SharedPriority : --_leastPriority), discard, slots, ClusterSlots);
        if ((discard & SwapDiscard.Once) != 0)
        {
            backing.Discard(SwapArea.HeaderSlots, area.Pages);
        }

        _areas[type] = area;
        WasUsed = true;
        _rotating += area.IsSolidState ? 0 : 1;
        area.IsOn = true;
        MakeWritable(area);
        return area;
    }

    /// <summary>Whether areas without a priority of their own share one.</summary>
    private bool AreasAreEqual => Machine.Personality.KernelMemory.SwapAreasShareAPriority;

    /// <summary>What an entry can name: 26 bits of a page's word, 23 of a page-table entry of four bytes.</summary>
    private long LargestArea => Machine.Architecture.Architecture == Architecture.X86_32 ? 1L << 23 : SwapEntry.MaxSlots;

    private int ClusterSlots => PageGeometry.Is4K && Machine.Architecture.Bits == 64 ? 512 : 256;

    /// <summary>From now on slots of the area may be taken, and count.</summary>
    private void MakeWritable(SwapArea area)
    {
        area.IsWritable = true;
        Machine.SystemFigures.SwapTotalPages += area.Pages;
        Machine.SystemFigures.SwapFreePages += area.Pages - area.UsedPages;

        // Behind those of the same priority.
        int place = 0;
        while (place < _byPriority.Count && _byPriority[place].Priority >= area.Priority)
        {
            place++;
        }

        _byPriority.Insert(place, area);
    }

    /// <summary>On a machine with parallel CPUs one lock guards the slots and the cache; it is never held while memory is allocated or a page table changed.</summary>
    private LockScope Enter() => new(_lock);
}
