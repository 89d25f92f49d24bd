using MemSim.Kernels;

namespace MemSim.Captures;

/// <summary>The captured machine that a twin is made from: its layout as read, its figures as computed.</summary>
internal sealed class TwinOrigin
{
    private TwinOrigin(CapturedMachine captured, ReserveFigures figures, VmSysctls sysctls)
    {
        Captured = captured;
        Sysctls = sysctls;
        Figures = figures;
    }

    public CapturedMachine Captured { get; }

    /// <summary>Computed from the layout, never copied; one entry a zone in the order of the captured layout.</summary>
    public ReserveFigures Figures { get; }

    public VmSysctls Sysctls { get; }

    /// <summary>What is to be said about the reading and what was inferred.</summary>
    public IReadOnlyList<string> Remarks { get; private init; } = [];

    /// <summary>The zones that have memory.</summary>
    public IEnumerable<ZoneLayout> Zones => Captured.Layout.Zones.Where(zone => zone.IsPopulated);

    /// <summary>What was free when the files were read; null where they do not tell, or nobody wants that.</summary>
    public RecordedFreeBlocks? FreeBlocks { get; private set; }

    /// <summary>The same machine with all of its memory free.</summary>
    public TwinOrigin AsBooted() => new(Captured, Figures, Sysctls) { Remarks = Remarks };

    public TransparentHugePages HugePages => Captured.CurrentTransparentHugePages;

    public static TwinOrigin Read(string directory, KernelChoice? kernel)
    {
        ReserveFigures figures = TwinState.ComputeFigures(directory, out VmSysctls sysctls, out IReadOnlyList<string> remarks, kernel);
        CapturedMachine captured = CapturedMachine.Read(directory, kernel);
        if (captured.Foreign is string foreign)
        {
            throw new InputFileException(Path.Combine(directory, "zoneinfo"), captured.ZoneInfo.Zones[0].Line, $"the machine is {foreign}: only {(PageGeometry.Is4K ? "x86 and arm64" : "arm64")} with pages of {PageGeometry.PageSize >> 10} KiB {(PageGeometry.Is4K ? "are" : "is")} simulated (memsim twin compares its figures all the same)");
        }

        return new TwinOrigin(captured, figures, sysctls) { Remarks = [.. captured.Remarks, .. remarks], FreeBlocks = RecordedFreeBlocks.Read(CaptureFolder.Open(directory)) };
    }
}
