using MemSim.Slab;

namespace MemSim;

/// <content>Slabs as the textbooks draw them, and what only the classic SLAB has.</content>
public sealed partial class SlabAllocator
{
    /// <summary>All slabs of a cache, by frame number, as they are at the moment.</summary>
    /// <param name="cache">The cache.</param>
    /// <remarks>Looks at every frame of the machine: for people, not for hot code.</remarks>
    public IReadOnlyList<SlabDescriptor> DescribeSlabs(KmemCache cache)
    {
        ArgumentNullException.ThrowIfNull(cache);
        Machine.ThrowIfDisposed();
        return ReferenceEquals(cache.Machine, Machine) && cache.References > 0
            ? [.. Memory.SlabsOf(cache).Select(head => Describe(cache, head))]
            : throw new ArgumentException($"the cache {cache.Name} was destroyed, or belongs to another machine", nameof(cache));
    }

    /// <summary>The slab an object lies in, as it is at the moment; null when the address lies in no slab.</summary>
    /// <param name="obj">An address in the direct map.</param>
    public SlabDescriptor? DescribeSlabAt(VirtualAddress obj)
    {
        Machine.ThrowIfDisposed();
        int head = Memory.SlabAt(obj.Value);
        return head == 0 ? null : Describe(CacheOf(Memory[head].Cache), head);
    }

    /// <summary>Draws all slabs of a cache as text, full ones first, then partial, then empty.</summary>
    /// <param name="cache">The cache.</param>
    public string Draw(KmemCache cache) => string.Concat(DescribeSlabs(cache).OrderByDescending(slab => slab.State).Select(slab => slab.Draw()));

    /// <summary>What every CPU of a kernel with the classic SLAB does every two seconds: gives back part of what it has not used lately (<c>cache_reap()</c>).</summary>
    /// <returns>Slabs that went back to the page allocator; always 0 with SLUB, which has no reaper.</returns>
    public long ReapCaches()
    {
        Machine.ThrowIfDisposed();
        long freed = 0;
        foreach (Cpu cpu in Machine.Cpus)
        {
            freed += cpu.IsOnline && Backend is ClassicSlab classic ? classic.Reap(cpu) : 0;
        }

        return freed;
    }

    /// <summary>Says that two seconds have passed: the reaper is woken, and with <see cref="BackgroundWork.Manual"/> runs in <see cref="MachineBackground.Run"/>. SLUB has none.</summary>
    /// <param name="on">The CPU whose timer went off; null for CPU 0. On a machine with parallel CPUs the reaper looks at this one, else at all.</param>
    public void Tick(Cpu? on = null)
    {
        Machine.ThrowIfDisposed();
        Cpu cpu = Machine.CpuTable.Own(on);
        if (Backend is ClassicSlab)
        {
            Machine.Background.Tasks.Wake(cpu, _reaper ??= new SlabReaper(this));
        }
    }

    private SlabReaper? _reaper;

    /// <summary>Whether an object that is handed out starts at an address.</summary>
    /// <param name="obj">The address.</param>
    /// <param name="cache">The cache it must belong to; null for any.</param>
    internal bool IsLiveObject(VirtualAddress obj, KmemCache? cache)
    {
        int head = Memory.SlabAt(obj.Value);
        return head != 0 && (cache is null || Memory[head].Cache == cache.Id) && Memory[head].TryIndex(obj.Value, out uint index) && Memory[head].Links[index] == SlabPage.Allocated;
    }

    private SlabDescriptor Describe(KmemCache cache, int head)
    {
        ref SlabPage slab = ref Memory[head];
        bool[] own = new bool[slab.Objects];
        int free = 0;
        for (uint i = slab.FreeHead; i < slab.Objects && free < slab.Objects; i = slab.Links[i])
        {
            own[i] = true;
            free++;
        }

        SlabObjectState[] objects = new SlabObjectState[slab.Objects];
        for (int i = 0; i < objects.Length; i++)
        {
            objects[i] = own[i] ? SlabObjectState.Free : slab.Links[i] == SlabPage.Allocated ? SlabObjectState.Allocated : SlabObjectState.Cached;
        }

        ClassicCache? classic = cache.BackendState as ClassicCache;
        FreelistPlace place = classic?.Figures.Place ?? FreelistPlace.InObject;
        VirtualAddress start = Machine.Addresses.AddressOf(head);
        return new SlabDescriptor(
            cache.Name,
            new Page(Machine, head),
            slab.Order,
            slab.Node,
            free == 0 ? SlabState.Full : free == objects.Length ? SlabState.Empty : SlabState.Partial,
            classic is null ? 0 : slab.Count * classic.Figures.ColourOffset,
            new VirtualAddress(slab.Base),
            slab.InUse,
            slab.FreeHead == SlabPage.End ? -1 : slab.FreeHead,
            (int)slab.Size,
            place switch { FreelistPlace.OnSlab => "on slab", FreelistPlace.OffSlab => "off slab", _ => "in a free object" },
            place switch
            {
                FreelistPlace.OnSlab => start + ((long)PageGeometry.PageSize << slab.Order) + -classic!.Figures.FreelistBytes,
                FreelistPlace.OffSlab => classic!.FreelistOf(head),
                _ => default,
            },
            objects);
    }
}
