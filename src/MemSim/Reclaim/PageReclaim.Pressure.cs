namespace MemSim.Reclaim;

/// <content>How well reclaim goes, told to those who watch it (<c>mm/vmpressure.c</c>).</content>
internal sealed partial class PageReclaim
{
    /// <summary>The depth of the scan from which on it is critical whatever was found (<c>vmpressure_level_critical_prio</c>): an eighth of each list.</summary>
    private const int CriticalPriority = 3;

    /// <summary>What a pass over a node, or over the part of it that a cgroup holds, found. By generations the machine's own passes tell nothing, as in the kernel.</summary>
    private void NotePressure(ScanControl sc, long scanned, long reclaimed)
    {
        if (!sc.IsProactive && (sc.Target is not null || !_lru.ByGeneration))
        {
            NotePressure(sc, sc.Target ?? 0, scanned, reclaimed);
        }
    }

    /// <summary>Direct reclaim goes deeper (<c>vmpressure_prio()</c>).</summary>
    private void NoteDepth(ScanControl sc)
    {
        if (!sc.IsProactive && sc.Priority <= CriticalPriority)
        {
            NotePressure(sc, sc.Target ?? 0, PressureLevels.WindowPages, 0);
        }
    }

    private void NotePressure(ScanControl sc, int cgroup, long scanned, long reclaimed)
    {
        // What user space could do something about.
        if ((sc.Gfp & (Gfp.HighMem | Gfp.Movable | Gfp.Io | Gfp.Fs)) != 0)
        {
            _machine.Cgroups.Of(cgroup).PressureLevels.Note(scanned, reclaimed);
        }
    }
}
