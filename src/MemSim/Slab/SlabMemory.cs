using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using System.Numerics;
using System.Runtime.InteropServices;
using MemSim.Diagnostics;
using MemSim.Hardware;

namespace MemSim.Slab;

/// <summary>The tables behind all slabs of a machine: which slab a frame belongs to, each slab's state, and the space for its free list.</summary>
/// <remarks>
/// The type that owns the slab layer's unmanaged memory, apart from that of arrays (<see cref="ArrayMemory"/>). In range by construction: frame numbers are compared with the machine's at every way in
/// (<see cref="SlabAt"/>), slabs are only named by frames found here, and objects by numbers below <see cref="SlabPage.Objects"/>. Words for free lists come from arenas cut in pieces of
/// powers of two, each at least as large as the objects it is asked for need, and go back with the same number of objects.
/// </remarks>
internal sealed unsafe class SlabMemory
{
    private const int SmallestLinkShift = 6;
    private const int LinkClasses = 12;
    private const int ArenaBytes = 1 << 17;

    /// <summary>Up to this size huge pages of the host are asked for: the waste is bounded.</summary>
    private const long HugePageLimitBytes = 128L << 20;

    private HostRange _heads;
    private HostRange _pages;
    // Guards itself: what the finalizer frees.
    private readonly List<nint> _arenas = [];
    private readonly nint[] _freeLinks = new nint[LinkClasses];
    private readonly bool _parallel;
    // Guards _freeLinks, _arena and _arenaLeft.
    private PaddedLock _lock;
    private byte* _arena;
    [NotState("of the arena, which a copy has of its own")]
    private int _arenaLeft;

    public SlabMemory(Machine machine)
    {
        Frames = (ulong)machine.Frames.Count;
        FrameZero = machine.Addresses.AddressOf(0).Value;
        _parallel = machine.IsParallel;
        _lock.Watch(machine.Interleaver?.Watch("SlabMemory._lock"));
        Reopen(machine.Ram.Host);
    }

    ~SlabMemory()
    {
        // One that a snapshot could not be made into has nothing yet.
        foreach (nint arena in _arenas ?? [])
        {
            NativeMemory.AlignedFree((void*)arena);
        }
    }

    /// <summary>Frame numbers from 0.</summary>
    public ulong Frames { get; }

    /// <summary>The address frame 0 has, or would have, in the direct map.</summary>
    public ulong FrameZero { get; }

    /// <summary>For each frame the first frame of the slab it belongs to; 0: none.</summary>
    public HostTable<int> Heads { get; private set; }

    /// <summary>The slabs, by first frame.</summary>
    public HostTable<SlabPage> Pages { get; private set; }

    /// <summary>Makes the tables, empty.</summary>
    [MemberNotNull(nameof(_heads), nameof(_pages))]
    public void Reopen(HostMemory host)
    {
        _heads = Take((long)Frames * sizeof(int), host);
        _pages = Take((long)Frames * SlabPage.SizeInBytes, host);
        Heads = _heads.Table<int>(0, (long)Frames);
        Pages = _pages.Table<SlabPage>(0, (long)Frames);
    }

    /// <summary>The slab that starts at a frame.</summary>
    public ref SlabPage this[int head] => ref Pages[(uint)head];

    /// <summary>The first frame of the slab at an address of the direct map; 0: none.</summary>
    public int SlabAt(ulong address)
    {
        ulong pfn = (address - FrameZero) >> PageGeometry.PageShift;
        return pfn < Frames ? Heads[pfn] : 0;
    }

    /// <summary>The first frame of the slab that a frame lies in; 0: none.</summary>
    public int HeadOf(int pfn)
    {
        Debug.Assert((ulong)(uint)pfn < Frames, "a frame of the machine");
        return Heads[(uint)pfn];
    }

    /// <summary>The frames of a block lie in the slab that begins with the first of them, or in none any more.</summary>
    public void SetHeads(int pfn, int order, int head)
    {
        Debug.Assert((ulong)(uint)pfn + (1UL << order) <= Frames && (head == pfn || head == 0), "frames of the machine, and a slab that begins with them");
        Heads.Slice((uint)pfn, 1 << order).Fill(head);
    }

    /// <summary>Host memory for the links of a slab: behind its fields where there is room.</summary>
    public SlabLinks TakeLinks(int head, int objects)
    {
        if (objects <= SlabPage.InlineLinks)
        {
            // In range: the last part of the slab's own entry, which has room for so many.
            return new SlabLinks((ushort*)(Pages.PlaceOf((uint)head) + 1) - SlabPage.InlineLinks, objects);
        }

        int linkClass = LinkClass(objects);
        if (_parallel)
        {
            _lock.Enter();
        }

        nint links = _freeLinks[linkClass];
        if (links != 0)
        {
            _freeLinks[linkClass] = *(nint*)links;
        }
        else
        {
            links = Carve(linkClass);
        }

        if (_parallel)
        {
            _lock.Exit();
        }

        return new SlabLinks((ushort*)links, objects);
    }

    public void GiveLinks(ushort* links, int objects)
    {
        if (objects <= SlabPage.InlineLinks)
        {
            return;
        }

        int linkClass = LinkClass(objects);
        if (_parallel)
        {
            _lock.Enter();
        }

        *(nint*)links = _freeLinks[linkClass];
        _freeLinks[linkClass] = (nint)links;
        if (_parallel)
        {
            _lock.Exit();
        }
    }

    /// <summary>Memory for per-CPU states that lives as long as the machine: a cache that was destroyed can still be asked.</summary>
    public CpuSlabs TakeCpuSlabs(int cpus)
    {
        nuint bytes = (nuint)cpus * CpuSlab.SizeInBytes;
        void* memory = NativeMemory.AlignedAlloc(bytes, CpuSlab.SizeInBytes);
        NativeMemory.Clear(memory, bytes);
        lock (_arenas)
        {
            _arenas.Add((nint)memory);
        }

        CpuSlab* slabs = (CpuSlab*)memory;
        for (int i = 0; i < cpus; i++)
        {
            slabs[i].FreeHead = SlabPage.End;
            slabs[i].Count = cpus - i;
        }

        return new CpuSlabs(slabs);
    }

    /// <summary>The first frames of a cache's slabs, ascending: a walk over every frame.</summary>
    public List<int> SlabsOf(KmemCache cache)
    {
        List<int> slabs = [];
        for (int pfn = 1; pfn < (long)Frames; pfn++)
        {
            if (Heads[(uint)pfn] == pfn && this[pfn].Cache == cache.Id)
            {
                slabs.Add(pfn);
                pfn += (1 << this[pfn].Order) - 1;
            }
        }

        return slabs;
    }

    /// <summary>Objects of a slab that are handed out.</summary>
    public int LiveIn(int head)
    {
        ref SlabPage slab = ref this[head];
        return slab.Links.Count(slab.Objects, SlabPage.Allocated);
    }

    private static HostRange Take(long bytes, HostMemory host)
    {
        HostRange taken = HostRange.Take(bytes, host, "a table of slabs");
        if (bytes <= HugePageLimitBytes)
        {
            taken.PreferHugePages(true);
        }

        return taken;
    }

    private static int LinkClass(int objects) =>
        Math.Max(BitOperations.Log2((uint)((objects * sizeof(ushort)) - 1) | 1) + 1, SmallestLinkShift) - SmallestLinkShift;

    private nint Carve(int linkClass)
    {
        int bytes = 1 << (linkClass + SmallestLinkShift);
        if (bytes > _arenaLeft)
        {
            _arena = (byte*)NativeMemory.AlignedAlloc(ArenaBytes, 64);
            _arenaLeft = ArenaBytes;
            lock (_arenas)
            {
                _arenas.Add((nint)_arena);
            }
        }

        byte* taken = _arena;
        _arena += bytes;
        _arenaLeft -= bytes;
        return (nint)taken;
    }
}
