namespace MemSim.Recordings;

/// <summary>How often something happened while a workload ran, on the recorded machine and on its twin.</summary>
/// <param name="Name">A tracepoint, or a line of <c>/proc/vmstat</c>.</param>
/// <param name="Recorded">On the recorded machine; -1 where the recording does not say.</param>
/// <param name="Simulated">On the twin.</param>
public sealed record WorkloadFigure(string Name, long Recorded, long Simulated)
{
    /// <summary>Simulated by recorded; 1 where both are 0, null where one of them is, or where nothing is recorded.</summary>
    public double? Ratio => Recorded == Simulated ? 1 : Recorded <= 0 || Simulated == 0 ? null : (double)Simulated / Recorded;
}
