namespace MemSim.Shrinkers;

/// <summary>Who listens to what shrinkers are asked and did.</summary>
internal interface IShrinkTrace
{
    /// <summary>A shrinker is asked.</summary>
    void ShrinkSlabStart(Cpu cpu, in ShrinkSlabStartEvent e);

    /// <summary>It is done.</summary>
    void ShrinkSlabEnd(Cpu cpu, in ShrinkSlabEndEvent e);
}
