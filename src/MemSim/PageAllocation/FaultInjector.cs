namespace MemSim.PageAllocation;

/// <summary>Makes allocations fail on purpose (<c>fail_page_alloc</c>).</summary>
internal sealed class FaultInjector(long first, long times)
{
    /// <summary>Allocations asked for since it was put in.</summary>
    public long Seen { get; private set; }

    /// <summary>Allocations it made fail.</summary>
    public long Failed { get; private set; }

    public bool ShouldFail()
    {
        Seen++;
        bool fails = Seen >= first && Seen - first < times;
        Failed += fails ? 1 : 0;
        return fails;
    }
}
