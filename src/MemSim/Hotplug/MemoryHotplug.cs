using MemSim.Diagnostics;
using MemSim.Hotplug;
using MemSim.PageAllocation;
using MemSim.Pages;
using MemSim.Slab;
using MemSim.Zones;

namespace MemSim;

/// <summary>Memory that goes and comes in blocks, as <c>/sys/devices/system/memory</c> has it. <see cref="MachineHotplug.Memory"/>.</summary>
/// <remarks>
/// Kernel: <c>CONFIG_MEMORY_HOTPLUG</c>, which Debian's kernels for 64-bit machines have; others have no blocks. Like other changes of a machine's equipment it belongs to
/// times when no other thread drives a CPU.
/// </remarks>
public sealed class MemoryHotplug
{
    private const long SmallestBlockPages = 1L << (PageGeometry.SectionShift - PageGeometry.PageShift);
    private const long LargestBlockPages = 1L << (31 - PageGeometry.PageShift);
    private const long LargeMachinePages = 1L << (36 - PageGeometry.PageShift);

    private readonly Machine _machine;
    private readonly MemoryWindow _window;
    private readonly MemoryNotifiers _notifiers;
    private BlockOffliner? _offliner;
    private long _bootEnd;

    internal MemoryHotplug(Machine machine)
    {
        _machine = machine;
        _window = new MemoryWindow(machine);
        _notifiers = new MemoryNotifiers(machine);
    }

    /// <summary>The size of a block (<c>block_size_bytes</c>): 128 MiB; on x86-64 with 64 GiB and more the largest power of two up to 2 GiB that the end of memory is a multiple of.</summary>
    public ByteSize BlockSize => ByteSize.FromPages(BlockPages);

    /// <summary>All blocks that have memory, ascending.</summary>
    public IReadOnlyList<MemoryBlock> Blocks
    {
        get
        {
            _machine.ThrowIfDisposed();
            return !IsConfigured ? [] : [.. Numbers().Select(Describe)];
        }
    }

    /// <summary>The block with a number; null when no such block has memory.</summary>
    /// <param name="block">The number, as in <c>memory38</c>.</param>
    public MemoryBlock? Find(int block)
    {
        _machine.ThrowIfDisposed();
        return IsConfigured && Exists(block) ? Describe(block) : null;
    }

    /// <summary>Has somebody told of blocks that come and go (<c>register_memory_notifier()</c>).</summary>
    /// <param name="notifier">Whom. While it is asked it may look at the machine, not change it.</param>
    /// <param name="priority">Who has a higher one is asked earlier.</param>
    public void Attach(IMemoryNotifier notifier, int priority = 0)
    {
        ArgumentNullException.ThrowIfNull(notifier);
        _machine.ThrowIfDisposed();
        _notifiers.Add(notifier, priority);
    }

    /// <summary>It is told no more (<c>unregister_memory_notifier()</c>).</summary>
    /// <param name="notifier">Whom.</param>
    /// <returns>Whether it was told before.</returns>
    public bool Detach(IMemoryNotifier notifier)
    {
        ArgumentNullException.ThrowIfNull(notifier);
        return _notifiers.Remove(notifier);
    }

    /// <summary>Takes a block offline (<c>echo offline &gt; /sys/devices/system/memory/memoryN/state</c>): what is there moves away, its frames leave their zone.</summary>
    /// <param name="block">The block's number.</param>
    /// <param name="on">The CPU that does it; null for the caller's. The call may sleep.</param>
    /// <returns>
    /// ENOENT without such a block; EINVAL where it is offline, has holes or lies in several zones; EBUSY where something in it cannot be moved; EPERM for memory of the boot on
    /// arm64; EINTR where something could be moved but did not, e.g. because somebody holds a page: the kernel would try until interrupted; or what an <see cref="IMemoryNotifier"/> answered that refused. Unless it is
    /// <see cref="Errno.None"/>, the memory is in use as before, though pages may lie elsewhere.
    /// </returns>
    /// <exception cref="ArgumentException">The CPU belongs to another machine.</exception>
    /// <exception cref="KernelBugException">The CPU is in atomic context.</exception>
    public Errno Offline(int block, Cpu? on = null)
    {
        using Callouts.OperationScope operation = _machine.Callouts.Enter();
        Cpu cpu = Sleeper(on, "device_offline");
        if (!IsConfigured || !Exists(block))
        {
            return Errno.ENOENT;
        }

        if (cpu.Context.InAtomic || IsOffline(block))
        {
            return cpu.Context.InAtomic ? Errno.EBUSY : Errno.EINVAL;
        }

        (int start, int end) = Frames(block);
        _offliner ??= new BlockOffliner(_machine);
        bool asked = false;
        Errno result = _offliner.Run(cpu, start, end, () =>
        {
            asked = true;
            return MayLeave(cpu, block);
        });
        if (result == Errno.None)
        {
            _machine.Settings.MemoryChanged();
        }

        if (asked)
        {
            _notifiers.Tell(cpu, result == Errno.None ? MemoryNotice.Offline : MemoryNotice.CancelOffline, Describe(block));
        }

        return result;
    }

    /// <summary>Brings a block online (<c>echo online_movable &gt; …/memoryN/state</c>): its pages are free pages of a zone.</summary>
    /// <param name="block">The block's number.</param>
    /// <param name="type">Which zone they come to.</param>
    /// <param name="on">The CPU that does it; null for the caller's. The call may sleep.</param>
    /// <returns>ENOENT without such a block, EINVAL where it is online, or what an <see cref="IMemoryNotifier"/> answered that refused.</returns>
    /// <exception cref="ArgumentException">The CPU belongs to another machine.</exception>
    /// <exception cref="KernelBugException">The CPU is in atomic context.</exception>
    public Errno Online(int block, MemoryOnlineType type = MemoryOnlineType.Default, Cpu? on = null)
    {
        using Callouts.OperationScope operation = _machine.Callouts.Enter();
        Cpu cpu = Sleeper(on, "device_online");
        if (!Enum.IsDefined(type))
        {
            throw new ArgumentOutOfRangeException(nameof(type), type, "online, online_kernel and online_movable are what one can write");
        }

        if (!IsConfigured || !Exists(block))
        {
            return Errno.ENOENT;
        }

        if (cpu.Context.InAtomic || !IsOffline(block))
        {
            return cpu.Context.InAtomic ? Errno.EBUSY : Errno.EINVAL;
        }

        Errno answer = _notifiers.Ask(cpu, MemoryNotice.GoingOnline, Describe(block));
        if (answer != Errno.None)
        {
            _notifiers.Tell(cpu, MemoryNotice.CancelOnline, Describe(block));
            return answer;
        }

        (int start, int end) = Frames(block);
        Zone zone = ZoneFor(NodeOf(block), start, end, type);
        ZoneSpan.Grow(_machine, zone, start, end);
        _machine.ZoneTable.MakePresent(new PresentRange(start, end, zone));
        bool wasEmpty = zone.PresentPages == 0;
        zone.PresentPages += end - start;
        zone.ManagedPages += end - start;
        Release(cpu, zone, start, end);
        if (wasEmpty)
        {
            ZonelistBuilder.Rebuild(_machine);
        }

        _machine.Pages.Buddy.Shuffle?.Shuffle(_machine.Frames.Array, zone);
        _machine.Settings.MemoryChanged();
        _notifiers.Tell(cpu, MemoryNotice.Online, Describe(block));
        return Errno.None;
    }

    /// <summary>Plugs memory in (<c>add_memory()</c>): blocks that are offline. Their memory map, 1/64 of their size, is taken from the memory that is there.</summary>
    /// <param name="size">How much, whole blocks.</param>
    /// <param name="first">The number of the first new block.</param>
    /// <param name="node">The node it is near.</param>
    /// <param name="on">The CPU that does it; null for the caller's. The call may sleep.</param>
    /// <returns>EINVAL for other sizes and for a node that is not there, ENOSPC when the machine has no room for it (<see cref="MachineSpec.WithHotplugMemory"/>), ENOMEM, ENODEV where the kernel does not know of it.</returns>
    /// <exception cref="ArgumentException">The CPU belongs to another machine.</exception>
    /// <exception cref="KernelBugException">The CPU is in atomic context.</exception>
    public Errno Add(ByteSize size, out int first, int node = 0, Cpu? on = null)
    {
        using Callouts.OperationScope operation = _machine.Callouts.Enter();
        Cpu cpu = Sleeper(on, "add_memory");
        first = -1;
        if (!IsConfigured || cpu.Context.InAtomic)
        {
            return cpu.Context.InAtomic ? Errno.EBUSY : Errno.ENODEV;
        }

        if (size.Bytes == 0 || size.Bytes % BlockSize.Bytes != 0 || _machine.ZoneTable.NodeOrDefault(node) is not { } home)
        {
            return Errno.EINVAL;
        }

        long start = _window.FindRoom(size.Pages, BlockPages, RoomStart, RoomEnd);
        if (start < 0)
        {
            return Errno.ENOSPC;
        }

        for (long pfn = start; pfn < start + size.Pages; pfn += BlockPages)
        {
            if (!_window.TryAdd(cpu, (int)(pfn / BlockPages), pfn, BlockPages, home))
            {
                for (long added = start; added < pfn; added += BlockPages)
                {
                    _window.Remove(cpu, (int)(added / BlockPages), added, BlockPages);
                }

                return Errno.ENOMEM;
            }
        }

        first = (int)(start / BlockPages);
        return Errno.None;
    }

    /// <summary>Unplugs a block that was plugged in (<c>remove_memory()</c>): what its memory map took is free again, its contents are lost.</summary>
    /// <param name="block">The block's number.</param>
    /// <param name="on">The CPU that does it; null for the caller's. The call may sleep.</param>
    /// <returns>ENOENT without such a block, EBUSY while it is online, EPERM for memory that was there when the machine booted: nobody can pull it out.</returns>
    /// <exception cref="ArgumentException">The CPU belongs to another machine.</exception>
    /// <exception cref="KernelBugException">The CPU is in atomic context.</exception>
    public Errno Remove(int block, Cpu? on = null)
    {
        using Callouts.OperationScope operation = _machine.Callouts.Enter();
        Cpu cpu = Sleeper(on, "remove_memory");
        if (!IsConfigured || !Exists(block))
        {
            return Errno.ENOENT;
        }

        if (cpu.Context.InAtomic || !IsOffline(block))
        {
            return Errno.EBUSY;
        }

        if (!_window.Has(block))
        {
            return Errno.EPERM;
        }

        (int start, int end) = Frames(block);
        _machine.Ram.Zero(start, end - start);
        _window.Remove(cpu, block, start, end - start);
        return Errno.None;
    }

    /// <summary>The first frame at which memory can be plugged in.</summary>
    internal long RoomStart { get; private set; }

    /// <summary>The frame after the last one at which memory can be plugged in; as <see cref="RoomStart"/> where none can.</summary>
    internal long RoomEnd { get; private set; }

    /// <summary>Where a machine like QEMU's has room for more memory: from the next GiB on, on PCs not below 4 GiB.</summary>
    internal void SetRoom(long bootEnd, long frameEnd, long frames)
    {
        const long GiB = 1L << (30 - PageGeometry.PageShift);
        _bootEnd = bootEnd;
        RoomStart = (frameEnd + GiB - 1) / GiB * GiB;
        RoomStart = _machine.Architecture.Architecture == Architecture.X86_64 ? Math.Max(RoomStart, 4 * GiB) : RoomStart;
        RoomEnd = RoomStart + frames;
    }

    /// <summary>Whether memory was plugged in that is still there.</summary>
    internal bool HasPluggedIn => IsConfigured && Numbers().Any(_window.Has);

    private bool IsConfigured => _machine.Architecture.Bits == 64 && _machine.Frames.Model.HasSections();

    private long BlockPages
    {
        get
        {
            long end = _bootEnd;
            if (_machine.Architecture.Architecture != Architecture.X86_64 || end < LargeMachinePages)
            {
                return SmallestBlockPages;
            }

            long pages = LargestBlockPages;
            while (pages > SmallestBlockPages && end % pages != 0)
            {
                pages >>= 1;
            }

            return pages;
        }
    }

    private Cpu Sleeper(Cpu? on, string what)
    {
        _machine.ThrowIfDisposed();
        Cpu cpu = _machine.CpuTable.Own(on);
        cpu.Context.MightSleep(what);
        return cpu;
    }

    private (int Start, int End) Frames(int block) => ((int)(block * BlockPages), (int)((block + 1) * BlockPages));

    private bool Exists(int block) => block >= 0 && Numbers().Contains(block);

    private SortedSet<int> Numbers()
    {
        SortedSet<int> numbers = [];
        foreach (PresentRange range in _machine.ZoneTable.PresentRanges)
        {
            if (range.Zone.Type != ZoneType.Device)
            {
                Note(range.Start, range.End);
            }
        }

        foreach (OfflineRange range in _machine.ZoneTable.OfflineRanges)
        {
            Note(range.Start, range.End);
        }

        return numbers;

        void Note(long start, long end)
        {
            for (long block = start / BlockPages; block <= (end - 1) / BlockPages; block++)
            {
                _ = numbers.Add((int)block);
            }
        }
    }

    private bool IsOffline(int block)
    {
        (int start, _) = Frames(block);
        return _machine.ZoneTable.OfflineRanges.Any(range => range.Start <= start && range.End > start);
    }

    private int NodeOf(int block)
    {
        (int start, int end) = Frames(block);
        foreach (OfflineRange range in _machine.ZoneTable.OfflineRanges)
        {
            if (range.Start <= start && range.End > start)
            {
                return range.Node;
            }
        }

        return ZonesIn(start, end).First().Node.Id;
    }

    private IEnumerable<Zone> ZonesIn(int start, int end) => _machine.ZoneTable.PresentRanges.Where(r => r.Start < end && r.End > start).Select(r => r.Zone).Distinct();

    private MemoryBlock Describe(int block)
    {
        (int start, int end) = Frames(block);
        int node = NodeOf(block);
        bool online = !IsOffline(block);
        string zones;
        if (online)
        {
            zones = ZonesIn(start, end).ToList() is [Zone only] ? only.Name : "none";
        }
        else
        {
            // The default first, then the kernel's zone and Movable where that is another.
            IEnumerable<Zone> possible = new[] { MemoryOnlineType.Default, MemoryOnlineType.Kernel, MemoryOnlineType.Movable }.Select(type => ZoneFor(node, start, end, type));
            zones = string.Join(' ', possible.Distinct().Select(zone => zone.Name));
        }

        return new MemoryBlock(block, new Pfn(start), BlockPages, node, online, zones, _window.Has(block));
    }

    /// <summary>The zone a range comes online in (<c>zone_for_pfn_range()</c>).</summary>
    private Zone ZoneFor(int nodeId, int start, int end, MemoryOnlineType type)
    {
        Node node = _machine.GetNode(nodeId);
        Zone movable = node.GetZone(ZoneType.Movable);
        Zone kernel = node.Zones.FirstOrDefault(zone => zone.Type <= ZoneType.Normal && Intersects(zone, start, end)) ?? node.GetZone(ZoneType.Normal);
        return type switch
        {
            MemoryOnlineType.Kernel => kernel,
            MemoryOnlineType.Movable => movable,
            _ => !Intersects(kernel, start, end) && Intersects(movable, start, end) ? movable : kernel,
        };
    }

    private static bool Intersects(Zone zone, int start, int end) => zone.SpannedPages != 0 && start < zone.EndPfn.Value && end > zone.StartPfn.Value;

    /// <summary>What has a say when a block is isolated: caches give up empty slabs, and arm64 keeps the memory it booted with.</summary>
    private Errno MayLeave(Cpu cpu, int block)
    {
        if (_machine.Architecture.Architecture == Architecture.Arm64 && !_window.Has(block))
        {
            return Errno.EPERM;
        }

        if (_machine.Slab.Backend is Slub)
        {
            foreach (KmemCache cache in _machine.Slab.Caches)
            {
                _ = _machine.Slab.Shrink(cache, cpu, ofAllCpus: true);
            }
        }

        return _notifiers.Ask(cpu, MemoryNotice.GoingOffline, Describe(block));
    }

    /// <summary>Frees the range in the largest blocks, at the back of the lists (<c>online_pages_range()</c>).</summary>
    private void Release(Cpu cpu, Zone zone, int start, int end)
    {
        PerCpuPages pcp = cpu.Lists.Pcp[zone.Id];
        _machine.ZoneTable.CountManaged(end - start);
        for (int pfn = start; pfn < end; pfn += 1 << PageGeometry.MaxOrder)
        {
            _machine.Hooks.Trace?.MmPageFree(cpu, pfn, PageGeometry.MaxOrder);
            _machine.Frames.Array[pfn].Identity = PageFrame.FreeIdentity(zone.Id, 0);
            _machine.Frames.Array[pfn].State = 0;
            zone.EnterLock();
            _machine.Pages.Buddy.Free(zone, pcp, pfn, PageGeometry.MaxOrder, (int)MigrateType.Movable, toTail: true);
            zone.ExitLock();
        }
    }
}
