using MemSim.Observability.Import;

namespace MemSim.Observability;

/// <summary>Computes every derived figure of a captured machine from its layout and compares it with the kernel's own, for each state captured.</summary>
public static class TwinComparison
{
    /// <summary>Compares a captured machine, its base state and each step below <c>runtime</c>; a single step where the folder is one.</summary>
    /// <param name="directory">The folder: as <see cref="CapturedMachine.Read"/> takes.</param>
    /// <exception cref="InputFileException">A file is missing or malformed.</exception>
    public static TwinReport Run(string directory)
    {
        CaptureFolder folder = CaptureFolder.Open(directory);
        CapturedMachine machine = CapturedMachine.Read(folder.IsStep ? folder.Machine : directory);
        List<TwinStep> steps = TwinStep.Of(folder.Machine);
        var rows = new List<TwinRow>();
        var state = new TwinState(machine);
        TwinRows.Add(rows, "base", machine.ZoneInfo, machine, state);
        foreach (TwinStep step in steps)
        {
            CapturedMachine captured = CapturedMachine.Read(step.Directory);
            state.Apply(step, captured);
            TwinRows.Add(rows, step.Label, captured.ZoneInfo, captured, state);
        }

        string only = Path.GetFileName(folder.Directory);
        return new TwinReport(directory, machine.Layout.Kernel.ToString(), folder.IsStep ? rows.FindAll(r => r.Step == only) : rows);
    }
}
