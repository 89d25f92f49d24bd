using System.Globalization;
using MemSim.Observability.Import;

namespace MemSim.Observability;

/// <summary>The computed figures of a captured machine as it is taken from one state to the next, and which of them are known.</summary>
/// <remarks>The kernel recomputes only what a change calls for; the rest stays what an earlier layout gave. So the figures are carried along, not computed afresh.</remarks>
internal sealed class TwinState
{
    private const long LargestLateFreePages = 128L << (20 - PageGeometry.PageShift);
    private readonly bool _khugepaged;
    private ReserveLayout _layout;
    private bool _started;
    private int? _minFreeBeforeSeries;

    public TwinState(CapturedMachine machine)
    {
        _layout = machine.Layout;
        _khugepaged = machine.TransparentHugePages != TransparentHugePages.Never;
        Sysctls = machine.Sysctls.Clone();
        CapturedMinFreeKbytes = machine.KnownSysctls.Contains(VmSysctlTable.MinFreeKbytes) ? machine.Sysctls.MinFreeKbytes : null;
        if (machine.BootLayout is ReserveLayout boot)
        {
            // What the boot computes starts from the settings of a boot, not from those found later.
            var sysctls = new VmSysctls(machine.Layout.ZoneTypes);
            Figures = ReserveCalculator.Boot(boot, sysctls, machine.BootTransparentHugePages);
            ComputedMinFreeKbytes = sysctls.MinFreeKbytes;
            if (CapturedMinFreeKbytes is null)
            {
                Sysctls.SetMinFreeKbytesByKernel(sysctls.MinFreeKbytes);
            }

            ApplySettingsOfUserSpace(sysctls);
            return;
        }

        string reason = machine.BootLayoutUnknownReason ?? "the page counts at the time the boot computed it are not known";
        if (CapturedMinFreeKbytes is null)
        {
            _ = ReserveCalculator.Boot(_layout, Sysctls, machine.BootTransparentHugePages);
        }

        Figures = ReserveCalculator.Compute(_layout, Sysctls);
        ComputedMinFreeKbytes = Sysctls.MinFreeKbytes;
        WatermarksUnknown = PcpUnknown = ProtectionUnknown = MinFreeUnknown = reason;
        ThresholdsUnknown = ThresholdsDependOnBoot() ? reason : null;
        ApplySettingsOfUserSpace(new VmSysctls(machine.Layout.ZoneTypes));
    }

    /// <summary>The figures now.</summary>
    public ReserveFigures Figures { get; }

    /// <summary>The settings now.</summary>
    public VmSysctls Sysctls { get; }

    /// <summary>The <c>min_free_kbytes</c> the boot chose, computed.</summary>
    public int ComputedMinFreeKbytes { get; }

    /// <summary>The <c>min_free_kbytes</c> captured in the base state.</summary>
    public int? CapturedMinFreeKbytes { get; }

    /// <summary>Why the watermarks cannot be known; null where they are.</summary>
    public string? WatermarksUnknown { get; private set; }

    /// <summary>Why batch and limits of the per-CPU lists cannot be known.</summary>
    public string? PcpUnknown { get; private set; }

    /// <summary>Why the reserves cannot be known.</summary>
    public string? ProtectionUnknown { get; private set; }

    /// <summary>Why the counters' thresholds cannot be known.</summary>
    public string? ThresholdsUnknown { get; private set; }

    /// <summary>Why the boot's <c>min_free_kbytes</c> cannot be known.</summary>
    public string? MinFreeUnknown { get; }

    /// <summary>Goes on to the state after a step.</summary>
    public void Apply(TwinStep step, CapturedMachine captured)
    {
        ReserveLayout layout = captured.Layout;
        if (!_started)
        {
            // Between the base figures and the first step somebody read lowmem_reserve_ratio, which recomputes the reserves.
            _started = true;
            SetupLowmemReserve(layout);
        }

        SeriesWithMinFreeStartsOrEnds(step);
        CpusChanged(layout);
        MemoryBlocksChanged(layout);
        _layout = layout;
        foreach ((string name, string value, string path) in CapturedMachine.StepSysctls(step.Directory))
        {
            // A value other than that of the last step was written in between, whatever became of this step's own.
            bool written = (step.Written == name && !step.IsBefore && !step.Refused) || Sysctls.Get(name) != Canonical(name, value, layout);
            if (written && !Sysctls.TrySet(name, value, out string? error))
            {
                throw new InputFileException(path, 1, error);
            }

            if (written)
            {
                Recompute(name, layout);
            }
            else if (name == VmSysctlTable.LowmemReserveRatio)
            {
                SetupLowmemReserve(layout);
            }
        }
    }

    /// <summary>What <c>/etc/sysctl.d</c> and the like have changed since the boot was recomputed from the layout of that time, the present one.</summary>
    private void ApplySettingsOfUserSpace(VmSysctls boot)
    {
        foreach (string name in (string[])[VmSysctlTable.WatermarkScaleFactor, VmSysctlTable.PercpuPagelistHighFraction, VmSysctlTable.LowmemReserveRatio])
        {
            if (Sysctls.Get(name) != boot.Get(name))
            {
                Recompute(name, _layout);
            }
        }
    }

    /// <summary>A series under another <c>min_free_kbytes</c> puts back the one it found, of which no step of its own tells.</summary>
    private void SeriesWithMinFreeStartsOrEnds(TwinStep step)
    {
        if (step.HoldsMinFree)
        {
            _minFreeBeforeSeries ??= Sysctls.MinFreeKbytes;
        }
        else if (_minFreeBeforeSeries is int before)
        {
            _minFreeBeforeSeries = null;
            _ = Sysctls.TrySet(VmSysctlTable.MinFreeKbytes, before.ToString(CultureInfo.InvariantCulture), out _);
            Recompute(VmSysctlTable.MinFreeKbytes, _layout);
        }
    }

    private void Recompute(string name, ReserveLayout layout)
    {
        switch (name)
        {
            case VmSysctlTable.MinFreeKbytes or VmSysctlTable.WatermarkScaleFactor:
                ReserveCalculator.SetupWatermarks(layout, Sysctls, Figures);
                WatermarksUnknown = null;
                PcpUnknown = null;
                break;
            case VmSysctlTable.PercpuPagelistHighFraction:
                ReserveCalculator.UpdatePcp(layout, Sysctls, Figures);
                PcpUnknown = Sysctls.PercpuPagelistHighFraction == 0 ? WatermarksUnknown : null;
                break;
            case VmSysctlTable.LowmemReserveRatio:
                SetupLowmemReserve(layout);
                break;
            default:
                // Nothing in zoneinfo derives from the other settings.
                break;
        }
    }

    private void SetupLowmemReserve(ReserveLayout layout)
    {
        ReserveCalculator.SetupLowmemReserve(layout, Sysctls, Figures);
        ProtectionUnknown = null;
    }

    private void CpusChanged(ReserveLayout layout)
    {
        foreach (CpuLayout cpu in layout.Cpus.Where(c => c.Online != _layout.Cpus.Any(o => o.Cpu == c.Cpu && o.Online))
            .Concat(_layout.Cpus.Where(o => o.Online && !layout.Cpus.Any(c => c.Cpu == o.Cpu))))
        {
            ReserveCalculator.CpuChanged(layout, Sysctls, Figures, cpu.Cpu);
            PcpUnknown = Sysctls.PercpuPagelistHighFraction == 0 ? WatermarksUnknown : null;
            ThresholdsUnknown = null;
        }
    }

    private void MemoryBlocksChanged(ReserveLayout layout)
    {
        bool same = layout.Zones.Count == _layout.Zones.Count;
        for (int i = 0; same && i < layout.Zones.Count; i++)
        {
            same = layout.Zones[i].PresentPages == _layout.Zones[i].PresentPages;
        }

        if (same)
        {
            return;
        }

        ReserveCalculator.MemoryBlockChanged(layout, Sysctls, Figures, _khugepaged ? TransparentHugePages.Always : TransparentHugePages.Never);
        WatermarksUnknown = PcpUnknown = ProtectionUnknown = ThresholdsUnknown = null;
    }

    /// <summary>Whether memory freed late can have moved a zone over a step of the logarithm that its threshold follows.</summary>
    private bool ThresholdsDependOnBoot() => _layout.Zones.Any(z =>
        z.IsPopulated
        && ReserveCalculator.StatThresholdOf(z.ManagedPages, _layout.OnlineCpus)
            != ReserveCalculator.StatThresholdOf(Math.Max(z.ManagedPages - LargestLateFreePages, 0), _layout.OnlineCpus));

    private static string Canonical(string name, string value, ReserveLayout layout)
    {
        var sysctls = new VmSysctls(layout.ZoneTypes);
        return sysctls.TryLoad(name, value, out _) ? sysctls.Get(name) : value;
    }
}
