namespace MemSim.Tool.Recordings;

/// <summary>Looks at the machine whenever a replay says how far it is.</summary>
internal sealed class WatchedProgress(IProgress<long> progress, Action<long> look) : IProgress<long>
{
    public void Report(long value)
    {
        progress.Report(value);
        look(value);
    }
}
