namespace MemSim;

/// <content>What the OOM killer thinks of a process.</content>
public sealed partial class Process
{
    /// <summary>What the OOM killer adds to its badness in thousandths of all memory, -1000 (never kill it) to 1000 (<c>oom_score_adj</c>); children inherit it.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Beyond ±1000.</exception>
    public int OomScoreAdj
    {
        get => _oomScoreAdj;
        set
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(value, -1000);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(value, 1000);
            _oomScoreAdj = value;
            _spaces.Machine.Oom.Killer.Trace.OomScoreAdjUpdate(DefaultCpu, Pid, Name, value);
        }
    }

    /// <summary>Its badness as <c>/proc/pid/oom_score</c> shows it, 0 to 2000: who has most is killed first.</summary>
    public long OomScore => _spaces.Machine.Oom.Killer.ScoreOf(this);
}
