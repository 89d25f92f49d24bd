using MemSim.Captures;
using MemSim.Kernels;
using MemSim.Recordings.Twins;

namespace MemSim.Recordings;

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
        CapturedMachine machine = TwinState.Walk(folder, (label, captured, state) => TwinRows.Add(rows, label, captured, state), out TwinState state, kernel);
        if (!folder.IsStep)
        {
            rows.AddRange(SlabTwin.Run(folder.Machine, kernel));
            rows.AddRange(TwinDirectMap.Run(folder, machine));
        }

        string only = Path.GetFileName(folder.Directory);
        return new TwinReport(directory, machine.Layout.Kernel.ToString(), folder.IsStep ? rows.FindAll(r => r.Step == only) : rows) { Warnings = [.. machine.Remarks, .. state.Remarks] };
    }
}
