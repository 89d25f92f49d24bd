namespace MemSim.Migration;

/// <summary>Where migrated pages go.</summary>
internal interface IMigrationTargets
{
    /// <summary>A page to move another one to, allocated with one reference.</summary>
    /// <param name="cpu">The CPU that migrates.</param>
    /// <param name="from">The page to be moved.</param>
    /// <param name="order">Its order.</param>
    /// <returns>The frame, or -1 when there is none.</returns>
    int Take(Cpu cpu, int from, int order);

    /// <summary>Takes back a page that was not used after all.</summary>
    void GiveBack(Cpu cpu, int pfn);
}
