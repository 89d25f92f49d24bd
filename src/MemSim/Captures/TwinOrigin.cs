using MemSim.Boot;
using MemSim.Kernels;

namespace MemSim.Captures;

/// <summary>The captured machine that a twin is made from: its layout as read, its figures as computed.</summary>
internal sealed class TwinOrigin
{
    private TwinOrigin(CapturedMachine captured, ReserveFigures figures, VmSysctls sysctls, IReadOnlyList<BootZone> zones)
    {
        Captured = captured;
        Sysctls = sysctls;
        Zones = zones;
        Figures = figures;
    }

    public CapturedMachine Captured { get; }

    /// <summary>Computed from the layout, never copied; one entry a zone in the order of the captured layout.</summary>
    public ReserveFigures Figures { get; }

    public VmSysctls Sysctls { get; }

    /// <summary>What is to be said about the reading and what was inferred.</summary>
    public IReadOnlyList<string> Remarks { get; private init; } = [];

    public IReadOnlyList<BootZone> Zones { get; }

    /// <summary>What was free when the files were read; null where they do not tell, or nobody wants that.</summary>
    public RecordedFreeBlocks? FreeBlocks { get; private set; }

    /// <summary>The same machine with all of its memory free.</summary>
    public TwinOrigin AsBooted() => new(Captured, Figures, Sysctls, Zones) { Remarks = Remarks };

    public TransparentHugePages HugePages => Captured.CurrentTransparentHugePages;

    public static TwinOrigin Read(string directory, KernelChoice? kernel)
    {
        ReserveFigures figures = TwinState.ComputeFigures(directory, out VmSysctls sysctls, out IReadOnlyList<string> remarks, kernel);
        CapturedMachine captured = CapturedMachine.Read(directory, kernel);
        if (captured.Foreign is string foreign)
        {
            throw new InputFileException(Path.Combine(directory, "zoneinfo"), captured.ZoneInfo.Zones[0].Line, $"the machine is {foreign}: only x86 and arm64 with pages of 4 KiB are simulated (memsim twin compares its figures all the same)");
        }

        List<BootZone> zones = [];
        foreach (ZoneLayout zone in captured.Layout.Zones)
        {
            if (zone.IsPopulated)
            {
                zones.Add(new BootZone(zone.Node, zone.Type, new Pfn(zone.StartPfn), zone.SpannedPages, zone.PresentPages, zone.ManagedPages));
            }
        }

        return new TwinOrigin(captured, figures, sysctls, zones) { Remarks = [.. captured.Remarks, .. remarks], FreeBlocks = RecordedFreeBlocks.Read(CaptureFolder.Open(directory)) };
    }
}
