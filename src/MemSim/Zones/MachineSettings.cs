using MemSim.Kernels;

namespace MemSim.Zones;

/// <summary>A machine's sysctls and the figures derived from them: recomputed when the kernel would, and copied to the zones.</summary>
internal sealed class MachineSettings
{
    private readonly Machine _machine;
    private ReserveLayout _layout;
    private ReserveFigures _figures;

    public MachineSettings(Machine machine, KernelPersonality personality)
    {
        _machine = machine;
        Personality = personality;
        _layout = LayoutNow();
        _figures = new ReserveFigures(_layout);
        Sysctls = new VmSysctls(machine.Architecture.ZoneTypes);
        HasRoomForHugePages = ReserveCalculator.HasKhugepaged(_layout);
        HugePages = HasRoomForHugePages ? TransparentHugePages.Always : TransparentHugePages.Never;
    }

    public KernelPersonality Personality { get; }

    public VmSysctls Sysctls { get; private set; }

    /// <summary>Transparent huge pages: as the boot left them, then as <see cref="HugePageSettings.Enabled"/> has them.</summary>
    public TransparentHugePages HugePages { get; private set; }

    /// <summary>Whether the boot found 512 MiB: with less it switches everything about transparent huge pages off, whatever the command line says.</summary>
    public bool HasRoomForHugePages { get; private set; }

    public ReserveFigures Figures => _figures;

    /// <summary>How long a task may sleep before the kernel complains (<c>kernel.hung_task_timeout_secs</c>).</summary>
    public TimeSpan HungTaskTimeout { get; set; } = TimeSpan.FromSeconds(120);

    /// <summary>Computes the figures from the pages managed when the initcalls run.</summary>
    /// <param name="asked">What the command line says about transparent huge pages.</param>
    /// <param name="managedAtInitcalls">The pages of a zone that were managed then; 0 for a zone that had none.</param>
    public void ComputeAtBoot(TransparentHugePages asked, Func<Zone, long> managedAtInitcalls)
    {
        ReserveLayout layout = LayoutNow().WithZones([.. _machine.Zones.Select(zone => LayoutOf(zone) with { ManagedPages = managedAtInitcalls(zone) })]);
        _figures = ReserveCalculator.Boot(layout, Sysctls, asked);
        HasRoomForHugePages = ReserveCalculator.HasKhugepaged(layout);
        HugePages = HasRoomForHugePages ? asked : TransparentHugePages.Never;
        _layout = LayoutNow();
        if (Personality.Reserves.LowmemReserveFollowsManaged)
        {
            ReserveCalculator.SetupLowmemReserve(_layout, Sysctls, _figures);
        }

        Apply();
    }

    /// <summary>Takes over the settings of a captured machine, and what was computed from its layout.</summary>
    /// <param name="hugePages">Its transparent huge pages.</param>
    /// <param name="sysctls">Its sysctls.</param>
    /// <param name="captured">Its layout as captured: zones of nodes without memory are not printed.</param>
    /// <param name="figures">The figures computed, a zone of <paramref name="captured"/> each.</param>
    /// <param name="booted">Its layout when it booted, where that is known.</param>
    public void TakeOver(TransparentHugePages hugePages, VmSysctls sysctls, ReserveLayout captured, ReserveFigures figures, ReserveLayout? booted)
    {
        HugePages = hugePages;
        _layout = LayoutNow();
        HasRoomForHugePages = ReserveCalculator.HasKhugepaged(booted ?? _layout);
        _figures = InOrderOfZones(captured, figures);
        Sysctls = sysctls.Clone();
        Apply();
    }

    /// <summary>Takes over the settings of a snapshot; the figures are those the zones have.</summary>
    public void Restore(IReadOnlyDictionary<string, string> sysctls, TransparentHugePages hugePages)
    {
        HugePages = hugePages;
        foreach ((string name, string text) in sysctls)
        {
            // Some files have values that nobody can write; they never change either.
            if (Sysctls.Get(name) != text && !Sysctls.TrySet(name, text, out string? error))
            {
                throw new FormatException(error);
            }
        }

        _layout = LayoutNow();
        HasRoomForHugePages = ReserveCalculator.HasKhugepaged(_layout);
        _figures = new ReserveFigures(_layout);
        for (int i = 0; i < _figures.Zones.Length; i++)
        {
            Zone zone = _machine.Zones[i];
            ZoneReserve into = _figures.Zones[i];
            into.Min = zone.MarkMin;
            into.Low = zone.MarkLow;
            into.High = zone.MarkHigh;
            into.Promo = zone.MarkPromo;
            zone.Reserve.AsSpan().CopyTo(into.LowmemReserve);
            into.PcpHighMin = zone.Pcp.Length == 0 ? 0 : zone.Pcp[0].IsMoving ? zone.Pcp[0].HighMin : zone.Pcp[0].High;
            into.PcpHighMax = zone.Pcp.Length == 0 ? 0 : zone.Pcp[0].IsMoving ? zone.Pcp[0].HighMax : zone.Pcp[0].High;
            into.PcpBatch = zone.Pcp.Length != 0 ? zone.Pcp[0].Batch : 1;
            into.StatThreshold = zone.Pcp.Length != 0 ? zone.Pcp[0].StatThreshold : 0;
        }
    }

    /// <summary>What one writes to a file below <c>/proc/sys/vm</c>.</summary>
    /// <exception cref="ArgumentException">There is no such file, or the kernel would refuse the text; the message says why.</exception>
    public void Set(string name, string text)
    {
        string? error = Lacks(name) ? $"no file /proc/sys/vm/{name} (ENOENT): {WhyLacking(name)}" : null;
        if (error is not null || !Sysctls.TrySet(name, text, out error))
        {
            throw new ArgumentException(error, nameof(text));
        }

        _layout = LayoutNow();
        ReserveCalculator.AfterWrite(name, _layout, Sysctls, _figures);
        Apply();
        if (name is VmSysctlTable.MinFreeKbytes or VmSysctlTable.WatermarkScaleFactor)
        {
            // Watermarks that are set up anew start without boost.
            foreach (Zone zone in _machine.Zones)
            {
                zone.Boost = 0;
            }
        }
    }

    /// <summary>What one reads from a file below <c>/proc/sys/vm</c>.</summary>
    public string Read(string name)
    {
        string text = Lacks(name) ? throw new ArgumentException($"no file /proc/sys/vm/{name}: {WhyLacking(name)}", nameof(name)) : Sysctls.Get(name);
        if (name == "lowmem_reserve_ratio")
        {
            _layout = LayoutNow();
            ReserveCalculator.AfterWrite(name, _layout, Sysctls, _figures);
            Apply();
        }

        return text;
    }

    /// <summary>Whether a file came with a later kernel, or with an option that the kernel was built without.</summary>
    private bool Lacks(string name) =>
        Personality.Views.AbsentSysctls.Contains(name) || (KernelLines.Recorded[^1].Views.AddedSysctls.Contains(name) && !Personality.Views.AddedSysctls.Contains(name));

    private string WhyLacking(string name) =>
        Personality.Views.AbsentSysctls.Contains(name) ? "the kernel was built without it" : $"it came with a later kernel than {Personality.Name}";

    /// <summary>Recomputes what changes when a CPU comes or goes.</summary>
    public void CpuChanged(int cpu)
    {
        _layout = LayoutNow();
        ReserveCalculator.CpuChanged(_layout, Sysctls, _figures, cpu);
        Apply();
    }

    /// <summary>Somebody wrote to <c>transparent_hugepage/enabled</c>: khugepaged starts or stops, and with it go the wishes it has for free memory.</summary>
    public void SetHugePages(TransparentHugePages value)
    {
        HugePages = value;
        if (value != TransparentHugePages.Unavailable)
        {
            _layout = LayoutNow();
            ReserveCalculator.SetRecommendedMinFreeKbytes(_layout, Sysctls, _figures, value);
            Apply();
        }
    }

    /// <summary>Recomputes what changes when memory comes or goes.</summary>
    public void MemoryChanged()
    {
        _layout = LayoutNow();
        ReserveCalculator.MemoryBlockChanged(_layout, Sysctls, _figures, HugePages);
        Apply();
        foreach (Zone zone in _machine.Zones)
        {
            zone.Boost = 0;
        }
    }

    /// <summary>Gives the zones their figures again: somebody changed the limits of a zone's per-CPU lists for a while.</summary>
    public void Reapply() => Apply();

    /// <summary>The figures of a captured machine by this machine's zones.</summary>
    private ReserveFigures InOrderOfZones(ReserveLayout captured, ReserveFigures computed)
    {
        ReserveFigures figures = new(_layout);
        for (int i = 0; i < figures.Zones.Length; i++)
        {
            ZoneLayout zone = _layout.Zones[i];
            for (int j = 0; j < captured.Zones.Count; j++)
            {
                if (captured.Zones[j].Node == zone.Node && captured.Zones[j].Type == zone.Type)
                {
                    figures.Zones[i] = computed.Zones[j];
                }
            }
        }

        return figures;
    }

    private static ZoneLayout LayoutOf(Zone zone) =>
        new(zone.Node.Id, zone.Type, zone.StartPfn.Value, zone.SpannedPages, zone.PresentPages, zone.ManagedPages, zone.CmaPages);

    private ReserveLayout LayoutNow() => new(_machine.Architecture, Personality, [.. _machine.Zones.Select(LayoutOf)], [.. _machine.Cpus.Select(c => new CpuLayout(c.Id, c.Node.Id, c.IsOnline))]);

    private void Apply()
    {
        _machine.ZoneTable.WatermarkBoostFactor = Sysctls.WatermarkBoostFactor;
        _machine.ZoneTable.DefragMode = Personality.Allocator.DefragMode != DefragModeRule.Absent && Sysctls.Number(VmSysctlTable.DefragMode) != 0;
        _machine.ZoneTable.ZoneReclaimMode = Sysctls.ZoneReclaimMode;
        for (int i = 0; i < _machine.Zones.Count && i < _figures.Zones.Length; i++)
        {
            Zone zone = _machine.Zones[i];
            ZoneReserve from = _figures.Zones[i];
            zone.MarkMin = from.Min;
            zone.MarkLow = from.Low;
            zone.MarkHigh = from.High;
            zone.MarkPromo = from.Promo;
            from.LowmemReserve.AsSpan(0, Math.Min(from.LowmemReserve.Length, zone.Reserve.Length)).CopyTo(zone.Reserve);
            foreach (PerCpuPages pcp in zone.Pcp)
            {
                if (pcp.IsMoving)
                {
                    // The limit itself follows when the CPU next uses the zone.
                    pcp.SetBounds(from.PcpHighMin, from.PcpHighMax);
                }
                else
                {
                    pcp.High = from.PcpHighMin;
                }

                pcp.Batch = from.PcpBatch;
                pcp.SetStatThreshold(from.StatThreshold);
            }
        }
    }
}
