using MemSim.Pages;
using MemSim.Zones;

namespace MemSim;

/// <summary>CPUs, memory and devices that come and go. <see cref="Machine.Hotplug"/>.</summary>
public sealed class MachineHotplug
{
    private readonly Machine _machine;

    internal MachineHotplug(Machine machine, long deviceStart)
    {
        _machine = machine;
        DeviceStart = deviceStart;
        Memory = new MemoryHotplug(machine);
    }

    /// <summary>Memory that goes and comes in blocks.</summary>
    public MemoryHotplug Memory { get; }

    /// <summary>Hardware errors in memory.</summary>
    public MemoryFailures Failures { get; private set; } = null!;

    /// <summary>The first section above RAM: where device memory is plugged in.</summary>
    internal long DeviceStart { get; }

    /// <summary>Plugs in a device that does DMA.</summary>
    /// <param name="name">Its name, for messages.</param>
    /// <param name="addressBits">Its address lines: 24 for ISA, 32 for most PCI devices, up to 64.</param>
    public DmaDevice AddDevice(string name, int addressBits = 64)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        if (addressBits is < 12 or > 64)
        {
            throw new ArgumentOutOfRangeException(nameof(addressBits), addressBits, "a device has 12 to 64 address lines");
        }

        return new DmaDevice(_machine, name, addressBits);
    }

    /// <summary>Takes a CPU offline: its page lists are drained and its counters folded in; the others' limits grow.</summary>
    /// <param name="cpu">The CPU's number; CPU 0 always stays.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such CPU, or it is CPU 0.</exception>
    /// <exception cref="InvalidOperationException">The CPU is in an interrupt or holds a lock.</exception>
    public void OfflineCpu(int cpu)
    {
        Cpu target = HotpluggableCpu(cpu);
        if (!target.IsOnline)
        {
            return;
        }

        if (target.Context.InAtomic)
        {
            throw new InvalidOperationException($"CPU {cpu} cannot go offline in atomic context");
        }

        target.Pages.DrainLocalPages();
        FoldFreePages(target);
        _machine.Slab.CpuDead(_machine.Cpus[0], cpu);
        target.IsOnline = false;
        target.Context.UpdateMode();
        _machine.Settings.CpuChanged(cpu);
    }

    /// <summary>Brings a CPU online again.</summary>
    /// <param name="cpu">The CPU's number.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such CPU, or it is CPU 0.</exception>
    public void OnlineCpu(int cpu)
    {
        Cpu target = HotpluggableCpu(cpu);
        if (!target.IsOnline)
        {
            // Nobody told it of flushes while it was away; a CPU that comes up knows no translations.
            target.MmuOrNull?.FlushEverything();
            target.IsOnline = true;
            target.Context.UpdateMode();
            _machine.Settings.CpuChanged(cpu);
        }
    }

    /// <summary>Gives the frames of a device their page structures: a Device zone whose pages have one reference and never reach the buddy allocator.</summary>
    internal void AddDeviceMemory(Node node, long start, long pages)
    {
        Zone zone = node.GetZone(ZoneType.Device);
        zone.StartPfn = new Pfn(start);
        zone.SpannedPages = pages;
        zone.PresentPages = pages;
        zone.FirstPageblock = start >> _machine.ZoneTable.PageblockOrder;
        zone.PageblockTypes = new byte[((start + pages - 1) >> _machine.ZoneTable.PageblockOrder) - zone.FirstPageblock + 1];
        Array.Fill(zone.PageblockTypes, (byte)MigrateType.Movable);
        _machine.ZoneTable.AddPresentRange(new PresentRange(start, start + pages, zone));
        for (long pfn = start; pfn < start + pages; pfn++)
        {
            ref PageFrame frame = ref _machine.Frames.Array[(int)pfn];
            frame.Identity = PageFrame.FreeIdentity(zone.Id, 0) | (uint)PageFlags.Reserved;
            frame.State = PageFrame.SinglePageState;
        }
    }

    /// <summary>Makes what deals with hardware errors, once there is all that it deals with.</summary>
    internal void CompleteFailures()
    {
        Failures = new MemoryFailures(_machine);
        _machine.Lru.Failures = Failures;
    }

    /// <summary>Adds what a CPU counted of free pages for itself to the zones' counters (<c>refresh_cpu_vm_stats()</c>).</summary>
    internal static void FoldFreePages(Cpu cpu)
    {
        foreach (PerCpuPages pcp in cpu.Lists.Pcp)
        {
            pcp.FoldCounters();
        }
    }

    private Cpu HotpluggableCpu(int cpu)
    {
        _machine.ThrowIfDisposed();
        ArgumentOutOfRangeException.ThrowIfLessThan(cpu, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(cpu, _machine.Cpus.Count);
        return _machine.Cpus[cpu];
    }
}

/// <content>CPUs and devices that come and go.</content>
public sealed partial class Machine
{
    /// <summary>CPUs, memory and devices that come and go.</summary>
    public MachineHotplug Hotplug { get; }
}
