using System.Globalization;
using System.Text;
using Microsoft.Extensions.Logging;

namespace MemSim.Slab;

/// <summary>Debugging of caches: what is written around and into objects, who had them last, and the checks of both.</summary>
/// <remarks>
/// Bytes exist only on a machine with contents; without, red zones and poison are laid out but neither written nor checked, while double and invalid frees,
/// and tracking, work as ever. Checks are made for caches with <see cref="SlabFlags.ConsistencyChecks"/>, as the kernel does.
/// </remarks>
internal sealed partial class SlabDebug
{
    private const byte RedInactive = 0xbb;
    private const byte RedActive = 0xcc;
    private const byte PoisonInUse = 0x5a;
    private const byte PoisonFree = 0x6b;
    private const byte PoisonEnd = 0xa5;

    private readonly SlabAllocator _allocator;
    private readonly SlabMemory _memory;
    private readonly Machine _machine;
    private readonly ILogger _logger;
    private readonly SlabTracks _tracks = new();

    public SlabDebug(SlabAllocator allocator)
    {
        _allocator = allocator;
        _memory = allocator.Memory;
        _machine = allocator.Machine;
        _logger = _machine.Bugs.LoggerFactory.CreateLogger("MemSim.Slab");
    }

    /// <summary>Writes the patterns of a slab whose objects are all free.</summary>
    public void PrepareSlab(KmemCache cache, int head)
    {
        ref SlabPage slab = ref _memory[head];
        if (_machine.Ram.HasContents)
        {
            if ((cache.Flags & SlabFlags.Poison) != 0)
            {
                SlabContents.Fill(_machine, StartOf(head), PageGeometry.PageSize << slab.Order, PoisonInUse);
            }

            for (uint i = 0; i < slab.Objects; i++)
            {
                MarkObject(cache, slab.AddressOf(i), RedInactive, PoisonFree);
                if ((cache.Flags & SlabFlags.StoreUser) != 0)
                {
                    SlabContents.Fill(_machine, slab.AddressOf(i) + (ulong)TracksStart(cache), 2 * _allocator.Rules.TrackBytes, 0);
                }
            }
        }
    }

    /// <summary>Checks a free object that is about to be handed out: nobody wrote to it. What was written is restored after the report.</summary>
    public void CheckFree(Cpu cpu, KmemCache cache, int head, uint index)
    {
        if ((cache.Flags & SlabFlags.ConsistencyChecks) != 0)
        {
            _ = CheckObject(cpu, cache, head, index, RedInactive);
        }
    }

    /// <summary>Marks an object as handed out.</summary>
    public void Handed(Cpu cpu, KmemCache cache, int head, uint index)
    {
        ulong address = _memory[head].AddressOf(index);
        if ((cache.Flags & SlabFlags.StoreUser) != 0)
        {
            _tracks.Allocated(address, new SlabTrack(cpu.CurrentCallSite, cpu.Id, cpu.Current.Pid));
        }

        if ((cache.Flags & SlabFlags.Trace) != 0)
        {
            LogTrace(_logger, cache.Name, "alloc", new VirtualAddress(address), _memory[head].InUse, FreePointerText(head));
        }

        // The classic SLAB writes another pattern into what it hands out, so that reading before writing shows; SLUB leaves the one of free objects.
        MarkObject(cache, address, RedActive, _allocator.Backend is ClassicSlab ? PoisonInUse : PoisonFree);
    }

    /// <summary>Notes how many bytes kmalloc was asked for (<c>set_orig_size()</c>).</summary>
    public void NoteRequested(ulong address, int bytes) => _tracks.Requested(address, bytes);

    /// <summary>Checks an object that is about to be freed, and marks it as free.</summary>
    /// <returns>Whether the free may go on.</returns>
    public bool CheckFreed(Cpu cpu, KmemCache cache, int head, uint index)
    {
        ulong address = _memory[head].AddressOf(index);
        if ((cache.Flags & SlabFlags.ConsistencyChecks) != 0 && !CheckObject(cpu, cache, head, index, RedActive))
        {
            return false;
        }

        if ((cache.Flags & SlabFlags.StoreUser) != 0)
        {
            _tracks.Freed(address, new SlabTrack(cpu.CurrentCallSite, cpu.Id, cpu.Current.Pid));
        }

        if ((cache.Flags & SlabFlags.Trace) != 0)
        {
            LogTrace(_logger, cache.Name, "free", new VirtualAddress(address), _memory[head].InUse, FreePointerText(head));
        }

        MarkObject(cache, address, RedInactive, PoisonFree);
        return true;
    }

    /// <summary>Checks a slab that goes back to the page allocator: nobody wrote to its free objects.</summary>
    public void CheckDiscarded(Cpu cpu, KmemCache cache, int head)
    {
        ref SlabPage slab = ref _memory[head];
        for (uint i = 0; i < slab.Objects; i++)
        {
            if ((cache.Flags & SlabFlags.ConsistencyChecks) != 0)
            {
                _ = CheckObject(cpu, cache, head, i, RedInactive);
            }

            _tracks.Remove(slab.AddressOf(i));
        }
    }

    /// <summary>Checks all objects of a cache (<c>echo 1 &gt; validate</c>).</summary>
    /// <returns>How many objects were found damaged; each is reported, and by policy the first one thrown.</returns>
    public int Validate(Cpu cpu, KmemCache cache)
    {
        int bad = 0;
        foreach (int head in _memory.SlabsOf(cache))
        {
            ref SlabPage slab = ref _memory[head];
            for (uint i = 0; i < slab.Objects; i++)
            {
                bool live = slab.Links[i] == SlabPage.Allocated;
                if (!CheckObject(cpu, cache, head, i, live ? RedActive : RedInactive))
                {
                    bad++;
                }
            }
        }

        return bad;
    }

    /// <summary>Whether any object of a cache is handed out.</summary>
    public bool HasLiveObjects(KmemCache cache)
    {
        foreach (int head in _memory.SlabsOf(cache))
        {
            if (_memory.LiveIn(head) != 0)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>The objects of a cache that are still live, as the kernel lists them when the cache cannot be destroyed.</summary>
    public string DescribeLive(KmemCache cache)
    {
        StringBuilder text = new();
        foreach (int head in _memory.SlabsOf(cache))
        {
            ref SlabPage slab = ref _memory[head];
            for (uint i = 0; i < slab.Objects; i++)
            {
                if (slab.Links[i] == SlabPage.Allocated)
                {
                    text.Append(CultureInfo.InvariantCulture, $"Object 0x{slab.AddressOf(i):x16} @offset={slab.AddressOf(i) - StartOf(head)}\n");
                    AppendTrack(text, slab.AddressOf(i));
                }
            }
        }

        return text.ToString();
    }

    /// <summary>The last known allocation of an object; null when it is not tracked.</summary>
    public SlabTrack? AllocationOf(ulong address) => _tracks.AllocationOf(address);

    /// <summary>The first address of a slab.</summary>
    private ulong StartOf(int head) => _memory.FrameZero + ((ulong)head << PageGeometry.PageShift);

    /// <summary>Where the user tracking starts, from the object.</summary>
    private int TracksStart(KmemCache cache)
    {
        CacheLayout layout = cache.Layout;
        return layout.FreePointerOffset >= layout.InUse ? layout.InUse + _allocator.Rules.WordBytes : layout.InUse;
    }

    /// <summary>Where everything kept for an object ends: behind it come the right part of the padding and the next left red zone.</summary>
    private int MetadataEnd(KmemCache cache)
    {
        int end = TracksStart(cache);
        if ((cache.Flags & SlabFlags.StoreUser) != 0)
        {
            end += 2 * _allocator.Rules.TrackBytes;
            end += (cache.Flags & SlabFlags.Kmalloc) != 0 ? sizeof(int) : 0;
        }

        return end;
    }

    /// <summary>Writes red zones for a state, and poison where the cache has it (<c>init_object()</c>).</summary>
    private void MarkObject(KmemCache cache, ulong address, byte red, byte body)
    {
        if (!_machine.Ram.HasContents)
        {
            return;
        }

        CacheLayout layout = cache.Layout;
        if ((layout.Flags & SlabFlags.RedZone) != 0)
        {
            SlabContents.Fill(_machine, address - (ulong)layout.RedLeftPad, layout.RedLeftPad, red);
        }

        if ((layout.Flags & SlabFlags.ObjectPoison) != 0)
        {
            SlabContents.Fill(_machine, address, cache.ObjectSize - 1, body);
            SlabContents.Fill(_machine, address + (ulong)cache.ObjectSize - 1, 1, PoisonEnd);
        }

        if ((layout.Flags & SlabFlags.RedZone) != 0)
        {
            SlabContents.Fill(_machine, address + (ulong)cache.ObjectSize, cache.InUse - cache.ObjectSize, red);
        }
    }

    private string FreePointerText(int head)
    {
        ref SlabPage slab = ref _memory[head];
        return slab.FreeHead == SlabPage.End ? "0000000000000000" : new VirtualAddress(slab.AddressOf(slab.FreeHead)).ToString();
    }

    [LoggerMessage(EventId = 20, Level = LogLevel.Information, Message = "TRACE {Cache} {What} 0x{Address} inuse={InUse} fp=0x{FreePointer}")]
    private static partial void LogTrace(ILogger logger, string cache, string what, VirtualAddress address, int inUse, string freePointer);
}
