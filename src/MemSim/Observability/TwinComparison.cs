using MemSim.Kernels;
using MemSim.Observability.Import;
using MemSim.Slab;

namespace MemSim.Observability;

/// <summary>Computes every derived figure of a captured machine from its layout and compares it with the kernel's own, for each state captured.</summary>
public static class TwinComparison
{
    /// <summary>Compares a captured machine, its base state and each step below <c>runtime</c>; a single step where the folder is one.</summary>
    /// <param name="directory">The folder: as <see cref="CapturedMachine.Read"/> takes.</param>
    /// <param name="kernel">Whose rules to follow; null for the kernel that the folder names.</param>
    /// <exception cref="InputFileException">A file is missing or malformed.</exception>
    public static TwinReport Run(string directory, KernelChoice? kernel = null)
    {
        var rows = new List<TwinRow>();
        CaptureFolder folder = CaptureFolder.Open(directory);
        CapturedMachine machine = Walk(folder, (label, captured, state) => TwinRows.Add(rows, label, captured, state), out _, kernel);
        if (!folder.IsStep)
        {
            rows.AddRange(SlabTwin.Run(folder.Machine, kernel));
            rows.AddRange(TwinDirectMap.Run(folder, machine));
        }

        string only = Path.GetFileName(folder.Directory);
        return new TwinReport(directory, machine.Layout.Kernel.ToString(), folder.IsStep ? rows.FindAll(r => r.Step == only) : rows) { Warnings = machine.Kernel.Warnings };
    }

    /// <summary>The figures of the twin of a captured machine, computed: of its base state, or of the step where the folder is one.</summary>
    /// <param name="directory">The folder: as <see cref="CapturedMachine.Read"/> takes.</param>
    /// <param name="sysctls">The settings in force, with the <c>min_free_kbytes</c> computed where the folder has none.</param>
    /// <param name="kernel">Whose rules to follow; null for the kernel that the folder names.</param>
    /// <returns>The figures, one entry a zone in the order of the captured machine's layout.</returns>
    /// <exception cref="InputFileException">A file is missing or malformed.</exception>
    public static ReserveFigures ComputeFigures(string directory, out VmSysctls sysctls, KernelChoice? kernel = null)
    {
        CaptureFolder folder = CaptureFolder.Open(directory);
        Walk(folder, static (_, _, _) => { }, out TwinState state, kernel, stopAt: folder.IsStep ? Path.GetFileName(folder.Directory) : BaseStep);
        sysctls = state.Sysctls;
        return state.Figures;
    }

    private const string BaseStep = "base";

    private static CapturedMachine Walk(CaptureFolder folder, Action<string, CapturedMachine, TwinState> visit, out TwinState state, KernelChoice? kernel, string? stopAt = null)
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
}
