using MemSim.Pages;
using MemSim.Zones;

namespace MemSim;

/// <content>CPUs that come and go, device memory.</content>
public sealed partial class Machine
{
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

        if (target.InAtomic)
        {
            throw new InvalidOperationException($"CPU {cpu} cannot go offline in atomic context");
        }

        target.DrainLocalPages();
        foreach (PerCpuPages pcp in target.Pcp)
        {
            Lock(pcp.Zone);
            pcp.Zone.FreePagesFolded += pcp.FreePagesDiff;
            pcp.FreePagesDiff = 0;
            Unlock(pcp.Zone);
        }

        Slab.CpuDead(_cpus[0], cpu);
        target.IsOnline = false;
        target.UpdateMode();
        Settings.CpuChanged(cpu);
    }

    /// <summary>Brings a CPU online again.</summary>
    /// <param name="cpu">The CPU's number.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such CPU, or it is CPU 0.</exception>
    public void OnlineCpu(int cpu)
    {
        Cpu target = HotpluggableCpu(cpu);
        if (!target.IsOnline)
        {
            target.IsOnline = true;
            target.UpdateMode();
            Settings.CpuChanged(cpu);
        }
    }

    /// <summary>Gives the frames of a device their page structures: a Device zone whose pages have one reference and never reach the buddy allocator.</summary>
    internal void AddDeviceMemory(Node node, long start, long pages)
    {
        Zone zone = node.GetZone(ZoneType.Device);
        zone.StartPfn = new Pfn(start);
        zone.SpannedPages = pages;
        zone.PresentPages = pages;
        zone.FirstPageblock = start >> PageblockOrder;
        zone.PageblockTypes = new byte[((start + pages - 1) >> PageblockOrder) - zone.FirstPageblock + 1];
        Array.Fill(zone.PageblockTypes, (byte)MigrateType.Movable);
        _presentRanges.Add(new PresentRange(start, start + pages, zone));
        _presentRanges.Sort((a, b) => a.Start.CompareTo(b.Start));
        for (long pfn = start; pfn < start + pages; pfn++)
        {
            ref PageFrame frame = ref _frames[(int)pfn];
            frame.Identity = PageFrame.FreeIdentity(zone.Id, 0) | (uint)PageFlags.Reserved;
            frame.State = PageFrame.OneReference;
        }
    }

    private Cpu HotpluggableCpu(int cpu)
    {
        ThrowIfDisposed();
        ArgumentOutOfRangeException.ThrowIfLessThan(cpu, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(cpu, _cpus.Count);
        return _cpus[cpu];
    }
}
