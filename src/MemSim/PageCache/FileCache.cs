using System.Runtime.CompilerServices;
using MemSim.Statistics;

namespace MemSim.PageCache;

/// <summary>What all files of a machine share: their mappings, devices, the clock of input and output.</summary>
internal sealed class FileCache
{
    /// <summary>Simulated CPUs run at 3 GHz.</summary>

    private readonly Machine _machine;
    private int _started;
    private readonly List<FileMapping> _mappings = [];
    private readonly List<DeviceWriteback> _devices = [];
    private long _lastPeriodic;

    public FileCache(Machine machine)
    {
        _machine = machine;
        Zones = [.. machine.Zones];
        Nodes = new PageTreeNodes(machine);
        DirtyLimits = new DirtyLimits(machine);
        Dirtied = new int[machine.Cpus.Count];
    }

    public Zone[] Zones { get; }

    /// <summary>Where the trees get their nodes.</summary>
    public PageTreeNodes Nodes { get; }

    public DirtyLimits DirtyLimits { get; }

    /// <summary>Pages that each CPU made dirty since it last looked at the limits.</summary>
    public int[] Dirtied { get; }

    public IReadOnlyList<FileMapping> Mappings => _mappings;

    public IReadOnlyList<DeviceWriteback> Devices => _devices;

    /// <summary>Simulated time since the boot.</summary>
    public long Nanoseconds => _machine.Clock.Nanoseconds;

    /// <summary>How often writers were held up because too much was dirty.</summary>
    public long Throttled { get; set; }

    public void Add(FileMapping mapping)
    {
        mapping.ListIndex = _mappings.Count;
        _mappings.Add(mapping);
    }

    public void Remove(FileMapping mapping)
    {
        FileMapping last = _mappings[^1];
        _mappings[mapping.ListIndex] = last;
        last.ListIndex = mapping.ListIndex;
        _mappings.RemoveAt(_mappings.Count - 1);
    }

    /// <summary>Whether there were ever files.</summary>
    public bool WasUsed => _started != 0;

    /// <summary>The first file is being made.</summary>
    /// <returns>False when it was not the first.</returns>
    public bool TryStart() => _started == 0 && Interlocked.Exchange(ref _started, 1) == 0;

    /// <summary>What writes a device's dirty pages; the device is this machine's from now on.</summary>
    /// <exception cref="ArgumentException">Another machine uses it.</exception>
    public DeviceWriteback Attach(BlockDevice device)
    {
        device.Claim(_machine);
        if (device.Writeback is DeviceWriteback known)
        {
            return known;
        }

        if (device.HoldsSwap)
        {
            throw new InvalidOperationException($"{device} is on for swap: a file system on it would write over swapped pages");
        }

        DeviceWriteback writeback = new(_machine, device, _devices.Count);
        device.Writeback = writeback;
        _devices.Add(writeback);
        return writeback;
    }

    /// <summary>Lets time pass: dirty pages that became too old are written (<c>wb_check_old_data_flush()</c>).</summary>
    public void Advance(Cpu cpu, long nanoseconds)
    {
        long end = Nanoseconds + nanoseconds;
        while (Nanoseconds < end)
        {
            long interval = _machine.Settings.Sysctls.Number("dirty_writeback_centisecs") * 10_000_000;
            long next = interval <= 0 ? end : Math.Min(end, Math.Max(Nanoseconds, _lastPeriodic + interval));
            _machine.Clock.AdvanceTo(next);
            if (interval > 0 && next >= _lastPeriodic + interval)
            {
                // Rounds that found nothing to do are passed over.
                _lastPeriodic = next;
                bool any = false;
                long wrote = Requests();
                foreach (DeviceWriteback device in _devices)
                {
                    any |= device.HasDirty;
                    device.WakeForOldPages(cpu);
                }

                if (!any || (IsSettled(next) && wrote == Requests()))
                {
                    // Nothing is dirty, or what is stays so however often somebody looks: the device is gone, or background work waits until it is asked for.
                    _lastPeriodic = end;
                    _machine.Clock.AdvanceTo(end);
                }
            }
        }
    }

    private long Requests()
    {
        long requests = 0;
        foreach (DeviceWriteback device in _devices)
        {
            requests += device.Device.WriteRequests + device.Device.Failures;
        }

        return requests;
    }

    /// <summary>Whether everything dirty was old enough at that time to be written.</summary>
    private bool IsSettled(long now)
    {
        long expire = _machine.Settings.Sysctls.Number("dirty_expire_centisecs") * 10_000_000;
        return _devices.TrueForAll(device => device.YoungestDirty + expire < now);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public NodeCounters CountersOf(int zone) => Zones[zone].Node.Counters;

    public long Sum(NodeFigure figure)
    {
        long sum = 0;
        IReadOnlyList<Node> nodes = _machine.Nodes;
        for (int i = 0; i < nodes.Count; i++)
        {
            NodeCounters counters = nodes[i].Counters;
            sum += figure switch
            {
                NodeFigure.Dirty => counters.Dirty,
                NodeFigure.Writeback => counters.Writeback,
                _ => counters.InactiveFile + counters.ActiveFile,
            };
        }

        return sum;
    }

    /// <summary>Forgets all clean pages that nobody uses (<c>drop_caches</c>, 1).</summary>
    public long DropPages(Cpu cpu)
    {
        IReadOnlyList<Cpu> cpus = _machine.Cpus;
        for (int i = 0; i < cpus.Count; i++)
        {
            _machine.Lru.Drain(cpus[i]);
        }

        long dropped = 0;
        for (int i = 0; i < _mappings.Count; i++)
        {
            dropped += _mappings[i].Invalidate(cpu, 0, uint.MaxValue);
        }

        _machine.Events.Count(VmEvent.DropPagecache);
        return dropped;
    }
}

/// <summary>Node counters that are summed up often.</summary>
internal enum NodeFigure
{
    /// <summary><c>nr_dirty</c>.</summary>
    Dirty,

    /// <summary><c>nr_writeback</c>.</summary>
    Writeback,

    /// <summary>Pages on the file lists.</summary>
    FileLists,
}
