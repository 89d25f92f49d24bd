using System.Globalization;
using MemSim.Kernels;
using MemSim.Zones;

namespace MemSim.Captures;

/// <summary>The computed figures of a captured machine as it is taken from one state to the next, and which of them are known.</summary>
/// <remarks>The kernel recomputes only what a change calls for; the rest stays what an earlier layout gave. So the figures are carried along, not computed afresh.</remarks>
internal sealed class TwinState
{
    /// <summary>No initramfs with the init sections of a kernel is larger: 256 MiB.</summary>
    private const long LargestLateFreePages = 256L << (20 - PageGeometry.PageShift);
    private const string BaseStep = "base";
    private readonly TransparentHugePages _thp;
    private readonly Dictionary<string, string> _beforeSeries = new(StringComparer.Ordinal);
    private readonly List<string> _remarks = [];
    private string? _thresholdsUnknown;
    private string? _batchesUnknown;
    private string? _minFreeInForceUnknown;
    private ReserveLayout _layout;
    private bool _started;
    private int? _minFreeBeforeSeries;

    public TwinState(CapturedMachine machine)
    {
        _layout = machine.Layout;
        _thp = ReserveCalculator.HasKhugepaged(machine.BootLayout ?? machine.Layout) ? machine.CurrentTransparentHugePages : TransparentHugePages.Never;
        Sysctls = machine.Sysctls.Clone();
        CapturedMinFreeKbytes = machine.KnownSysctls.Contains(VmSysctlTable.MinFreeKbytes) && machine.Sysctls.MinFreeKbytes != 0 ? machine.Sysctls.MinFreeKbytes : null;
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

            ReservesFollowManaged();
            ApplySettingsOfUserSpace(sysctls, machine.BootTransparentHugePages, boot);
            ApplySettingsOfCommandLine(machine.CommandLine);
            if (InferMinFree(machine) || (CapturedMinFreeKbytes is int captured && captured != ComputedMinFreeKbytes))
            {
                // Not what the boot chooses: if somebody wrote it since, the watermarks follow it and the final layout. The difference itself is reported.
                Recompute(VmSysctlTable.MinFreeKbytes, _layout);
            }

            return;
        }

        string reason = machine.BootLayoutUnknownReason ?? "the page counts at the time the boot computed it are not known";
        if (CapturedMinFreeKbytes is null)
        {
            _minFreeInForceUnknown = reason;
            _ = ReserveCalculator.Boot(_layout, Sysctls, machine.BootTransparentHugePages);
        }

        ComputedMinFreeKbytes = Sysctls.MinFreeKbytes;
        _ = InferMinFree(machine);
        Figures = ReserveCalculator.Compute(_layout, Sysctls);
        WatermarksUnknown = PcpHighUnknown = ProtectionUnknown = MinFreeUnknown = _thresholdsUnknown = _batchesUnknown = reason;
        ReservesFollowManaged();
        ApplySettingsOfUserSpace(new VmSysctls(machine.Layout.ZoneTypes), machine.CurrentTransparentHugePages, _layout);
        ApplySettingsOfCommandLine(machine.CommandLine);
    }

    /// <summary>The figures of the twin of a captured machine, computed: of its base state, or of the step where the folder is one.</summary>
    /// <param name="directory">The folder: as <see cref="CapturedMachine.Read"/> takes.</param>
    /// <param name="sysctls">The settings in force, with the <c>min_free_kbytes</c> computed where the folder has none.</param>
    /// <param name="remarks">What was inferred.</param>
    /// <param name="kernel">Whose rules to follow; null for the kernel that the folder names.</param>
    /// <returns>The figures, one entry a zone in the order of the captured machine's layout.</returns>
    /// <exception cref="InputFileException">A file is missing or malformed.</exception>
    public static ReserveFigures ComputeFigures(string directory, out VmSysctls sysctls, out IReadOnlyList<string> remarks, KernelChoice? kernel = null)
    {
        CaptureFolder folder = CaptureFolder.Open(directory);
        Walk(folder, static (_, _, _) => { }, out TwinState state, kernel, stopAt: folder.IsStep ? Path.GetFileName(folder.Directory) : BaseStep);
        sysctls = state.Sysctls;
        remarks = state.Remarks;
        return state.Figures;
    }

    /// <summary>Takes a captured machine through its states, the base state first, and shows the computed figures of each.</summary>
    public static CapturedMachine Walk(CaptureFolder folder, Action<string, CapturedMachine, TwinState> visit, out TwinState state, KernelChoice? kernel, string? stopAt = null)
    {
        CapturedMachine machine = CapturedMachine.Read(folder.Machine, kernel);
        state = new TwinState(machine);
        visit(BaseStep, machine, state);
        if (stopAt == BaseStep)
        {
            return machine;
        }

        foreach (TwinStep step in TwinStep.Of(folder.Machine))
        {
            CapturedMachine captured = CapturedMachine.Read(step.Directory, kernel);
            state.Apply(step, captured);
            visit(step.Label, captured, state);
            if (step.Label == stopAt)
            {
                break;
            }
        }

        return machine;
    }

    /// <summary>The figures now.</summary>
    public ReserveFigures Figures { get; private set; }

    /// <summary>The settings now.</summary>
    public VmSysctls Sysctls { get; }

    /// <summary>The <c>min_free_kbytes</c> the boot chose, computed.</summary>
    public int ComputedMinFreeKbytes { get; private set; }

    /// <summary>The <c>min_free_kbytes</c> captured in the base state.</summary>
    public int? CapturedMinFreeKbytes { get; }

    /// <summary>What was inferred, for whoever reads the figures.</summary>
    public IReadOnlyList<string> Remarks => _remarks;

    /// <summary>Why the watermarks cannot be known; null where they are.</summary>
    public string? WatermarksUnknown { get; private set; }

    /// <summary>Why the limits of the per-CPU lists cannot be known.</summary>
    public string? PcpHighUnknown { get; private set; }

    /// <summary>Why the reserves cannot be known.</summary>
    public string? ProtectionUnknown { get; private set; }

    /// <summary>Why the boot's <c>min_free_kbytes</c> cannot be known.</summary>
    public string? MinFreeUnknown { get; private set; }

    /// <summary>Why a zone's threshold cannot be known; it is where no amount freed late moves the zone over a step of the logarithm that the threshold follows.</summary>
    public string? ThresholdUnknown(int zone) => AnyLateFreeGivesTheSame(zone, pages => ReserveCalculator.StatThresholdOf(pages, _layout.OnlineCpus)) ? null : _thresholdsUnknown;

    /// <summary>Why a zone's batch cannot be known.</summary>
    public string? BatchUnknown(int zone) => AnyLateFreeGivesTheSame(zone, pages => ReserveCalculator.PcpBatchOf(pages, _layout.Kernel.Reserves)) ? null : _batchesUnknown;

    /// <summary>Goes on to the state after a step.</summary>
    public void Apply(TwinStep step, CapturedMachine captured)
    {
        ReserveLayout layout = captured.Layout;
        if (!layout.Zones.Select(z => (z.Node, z.Type)).SequenceEqual(_layout.Zones.Select(z => (z.Node, z.Type))))
        {
            // A node came or went with its memory; everything is recomputed below.
            Figures = new ReserveFigures(layout);
        }

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
        foreach ((string name, string value, string path) in SettingsInForce(step))
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

    /// <summary>Where nothing tells <c>min_free_kbytes</c>, the file's min watermarks do: they are its shares. Takes the value they add up to, unless the computed one is.</summary>
    private bool InferMinFree(CapturedMachine machine)
    {
        if (CapturedMinFreeKbytes is not null || WatermarkInference.MinFreeOf(machine.ZoneInfo, _layout) is not var (from, to) || (ComputedMinFreeKbytes >= from && ComputedMinFreeKbytes <= to))
        {
            return false;
        }

        if (to < ComputedMinFreeKbytes && from >= LeastAtBoot(machine))
        {
            // Less than computed from the present pages: the boot had fewer of them. That is what the reason of each figure says.
            return false;
        }

        int value = WatermarkInference.Roundest(from, to);
        _remarks.Add(string.Create(CultureInfo.InvariantCulture,
            $"the file's watermarks add up to {from}..{to} kB; computed {ComputedMinFreeKbytes}: min_free_kbytes must have been set; {value} is used (--set vm.min_free_kbytes=N for another)"));
        return Sysctls.TrySet(VmSysctlTable.MinFreeKbytes, value.ToString(CultureInfo.InvariantCulture), out _);
    }

    /// <summary>The <c>min_free_kbytes</c> of a boot that got the most memory imaginable only afterwards.</summary>
    private int LeastAtBoot(CapturedMachine machine)
    {
        if (machine.BootLayout is not null)
        {
            return ComputedMinFreeKbytes;
        }

        ZoneLayout[] zones = [.. _layout.Zones];
        int largest = Array.IndexOf(zones, zones.Where(z => _layout.TakesShare(z.Type)).MaxBy(z => z.ManagedPages));
        zones[largest] = zones[largest] with { ManagedPages = Math.Max(0, zones[largest].ManagedPages - LargestLateFreePages) };
        var sysctls = new VmSysctls(_layout.ZoneTypes);
        _ = ReserveCalculator.Boot(_layout.WithZones(zones), sysctls, machine.BootTransparentHugePages);
        return sysctls.MinFreeKbytes;
    }

    /// <summary>What <c>/etc/sysctl.d</c> and the like have changed since the boot was recomputed from the layout of that time, the present one.</summary>
    private void ApplySettingsOfUserSpace(VmSysctls boot, TransparentHugePages bootThp, ReserveLayout bootLayout)
    {
        if (_thp != bootThp && ReserveCalculator.HasKhugepaged(bootLayout))
        {
            ReserveCalculator.SetRecommendedMinFreeKbytes(_layout, boot, Figures, _thp);
            ComputedMinFreeKbytes = boot.MinFreeKbytes;
        }

        foreach (string name in (string[])[VmSysctlTable.WatermarkScaleFactor, VmSysctlTable.PercpuPagelistHighFraction, VmSysctlTable.LowmemReserveRatio])
        {
            if (Sysctls.Get(name) != boot.Get(name))
            {
                Recompute(name, _layout);
            }
        }
    }

    /// <summary>The settings that a step tells: by their files, else by its note, its name, or because a series puts back what it found.</summary>
    private List<(string Name, string Value, string Path)> SettingsInForce(TwinStep step)
    {
        List<(string Name, string Value, string Path)> settings = [.. CapturedMachine.StepSysctls(step.Directory)];
        if (step.Written is string written)
        {
            if (step.IsBefore)
            {
                _beforeSeries[written] = Sysctls.Get(written);
            }

            AddMissing(written, step.IsRestored ? _beforeSeries.GetValueOrDefault(written) : step.NotedValue);
            AddMissing(VmSysctlTable.MinFreeKbytes, step.HeldMinFree);
        }

        return settings;

        void AddMissing(string name, string? value)
        {
            if (value is not null && !settings.Exists(s => s.Name == name))
            {
                settings.Add((name, value, Path.Combine(step.Directory, "note")));
            }
        }
    }

    /// <summary>A series under another <c>min_free_kbytes</c> puts back the one it found, of which no step of its own tells.</summary>
    private void SeriesWithMinFreeStartsOrEnds(TwinStep step)
    {
        if (step.HeldMinFree is not null)
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

    /// <summary>The kernel writes the settings named <c>sysctl.vm.NAME=</c> on its command line right before it starts init, when all memory has reached the zones.</summary>
    private void ApplySettingsOfCommandLine(string commandLine)
    {
        foreach (string word in commandLine.Split(' '))
        {
            int equals = word.IndexOf('=', StringComparison.Ordinal);
            string key = equals < 0 ? "" : word[..equals].Replace('/', '.');
            const string Prefix = "sysctl.vm.";
            if (key.StartsWith(Prefix, StringComparison.Ordinal) && Sysctls.TrySet(key[Prefix.Length..], word[(equals + 1)..], out _))
            {
                Recompute(key[Prefix.Length..], _layout);
                if (key[Prefix.Length..] == VmSysctlTable.MinFreeKbytes)
                {
                    ComputedMinFreeKbytes = Sysctls.MinFreeKbytes;
                    MinFreeUnknown = null;
                }
            }
        }
    }

    private void Recompute(string name, ReserveLayout layout)
    {
        ReserveCalculator.AfterWrite(name, layout, Sysctls, Figures);
        switch (name)
        {
            case VmSysctlTable.MinFreeKbytes or VmSysctlTable.WatermarkScaleFactor:
                _minFreeInForceUnknown = name == VmSysctlTable.MinFreeKbytes ? null : _minFreeInForceUnknown;
                WatermarksUnknown = _minFreeInForceUnknown;
                PcpRecomputed();
                break;
            case VmSysctlTable.PercpuPagelistHighFraction:
                PcpRecomputed();
                break;
            case VmSysctlTable.LowmemReserveRatio:
                ProtectionUnknown = null;
                break;
            default:
                break;
        }
    }

    private void PcpRecomputed()
    {
        PcpHighUnknown = Sysctls.PercpuPagelistHighFraction == 0 ? WatermarksUnknown : null;
        _batchesUnknown = null;
    }

    private void SetupLowmemReserve(ReserveLayout layout)
    {
        ReserveCalculator.SetupLowmemReserve(layout, Sysctls, Figures);
        ProtectionUnknown = null;
    }

    /// <summary>Newer kernels recompute the reserves whenever a zone gets pages: they are those of the present layout.</summary>
    private void ReservesFollowManaged()
    {
        if (_layout.Kernel.Reserves.LowmemReserveFollowsManaged)
        {
            SetupLowmemReserve(_layout);
        }
    }

    private void CpusChanged(ReserveLayout layout)
    {
        var online = new HashSet<int>(layout.Cpus.Where(c => c.Online).Select(c => c.Cpu));
        online.SymmetricExceptWith(_layout.Cpus.Where(c => c.Online).Select(c => c.Cpu));
        foreach (int cpu in online.Order())
        {
            ReserveCalculator.CpuChanged(layout, Sysctls, Figures, cpu);
            PcpRecomputed();
            _thresholdsUnknown = null;
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

        ReserveCalculator.MemoryBlockChanged(layout, Sysctls, Figures, _thp);
        ProtectionUnknown = _thresholdsUnknown = null;
        WatermarksUnknown = _minFreeInForceUnknown;
        PcpRecomputed();
    }

    /// <summary>Whether a figure that grows with a zone is the same for all page counts the zone may have had when the boot computed it.</summary>
    private bool AnyLateFreeGivesTheSame(int zone, Func<long, int> figure)
    {
        long managed = _layout.Zones[zone].ManagedPages;
        return figure(managed) == figure(Math.Max(managed - LargestLateFreePages, 0));
    }

    private static string Canonical(string name, string value, ReserveLayout layout)
    {
        var sysctls = new VmSysctls(layout.ZoneTypes);
        return sysctls.TryLoad(name, value, out _) ? sysctls.Get(name) : value;
    }
}
