using MemSim.Captures;
using MemSim.Observability;

namespace MemSim.Recordings;

/// <summary>Allocator states that were recorded inside a real kernel, as snapshots to boot from.</summary>
public static class RecordedState
{
    private const string MmLists = "format mmlists";

    /// <summary>Reads a recorded state (<c>state-*.json</c>, <c>*-mmlists</c>), packed or not; or a snapshot that <see cref="MachineSnapshot.Save"/> wrote.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="InputFileException">The file is missing, malformed, or contradicts itself.</exception>
    public static MachineSnapshot Load(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        string text;
        using (StreamReader reader = InputFile.OpenText(path))
        {
            text = reader.ReadLine() ?? "";

            // The first line of a snapshot names its format, and behind it there is no text.
            if (text.Contains(MachineSnapshot.FileFormat, StringComparison.Ordinal) || reader.ReadToEnd().Contains(MachineSnapshot.FileFormat, StringComparison.Ordinal))
            {
                return MachineSnapshot.Load(path);
            }
        }

        AllocatorState state = text.StartsWith(MmLists, StringComparison.Ordinal) ? MmListsReader.Read(path) : ExactStateReader.Read(path);
        try
        {
            return MachineSnapshot.Of(state);
        }
        catch (FormatException e)
        {
            throw new InputFileException(path, 0, e.Message, e);
        }
    }
}
