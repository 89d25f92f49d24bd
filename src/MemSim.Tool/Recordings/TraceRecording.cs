namespace MemSim.Tool.Recordings;

/// <summary>Replays the text of kmem events.</summary>
internal static class TraceRecording
{
    private static readonly string[] Names = ["trace.txt.gz", "trace.txt"];

    /// <summary>Whether traces can be replayed at all.</summary>
    public static bool Exists => false;

    /// <summary>Whether a folder holds a trace.</summary>
    public static bool IsTrace(string directory) => Array.Exists(Names, n => File.Exists(Path.Combine(directory, n)));

    public static RecordingOutcome Replay(ToolConsole console, string path, string? like, bool quiet, MapRecorder? maps = null)
    {
        _ = (console, like, quiet, maps);
        throw new BadInputException($"{path}: traces cannot be replayed yet");
    }
}
