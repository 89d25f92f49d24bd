using MemSim.Cgroups;

namespace MemSim;

/// <content>What happens to those who charge above <c>memory.high</c>.</content>
public sealed partial class CgroupTree
{
    private const long LongestDelayNanoseconds = 2_000_000_000;

    /// <summary>Less is not worth a sleep (<c>HZ/100</c> at 250 ticks a second).</summary>
    private const long ShortestDelayNanoseconds = 8_000_000;

    private const int PrecisionShift = 20;
    private const int ScalingShift = 14;
    private const long TicksPerSecond = 250;

    /// <summary>On the way back to user mode: who charged above a limit reclaims that much, and sleeps if that did not help (<c>mem_cgroup_handle_over_high()</c>).</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="page">
    /// The number of the page that was faulted in. Who comes back for the same one gets to use it: here an access is tried again only after this, so that what reclaims may take the page each time, while hardware
    /// runs the instruction some time or other.
    /// </param>
    internal void HandleOverHigh(Cpu cpu, ulong page)
    {
        KernelTask task = cpu.Current;
        if (task.SlowedAtPage == page)
        {
            (task.SlowedAtPage, task.PagesOverHigh) = (0, 0);
            return;
        }

        task.SlowedAtPage = page;
        HandleOverHigh(cpu);
    }

    /// <summary>The same at the end of a system call.</summary>
    internal void HandleOverHigh(Cpu cpu)
    {
        KernelTask task = cpu.Current;
        long pages = task.PagesOverHigh;
        if (pages == 0)
        {
            return;
        }

        task.PagesOverHigh = 0;
        Cgroup cgroup = Of(task.CgroupId);
        bool again = false;
        for (int retries = Cgroup.MaxRetries; ; again = true)
        {
            long reclaimed = ReclaimHigh(cpu, cgroup, again ? BatchPages / 2 : pages);
            long delay = Math.Min(DelayOf(cgroup, pages, static c => c.Memory) + DelayOf(cgroup, pages, static c => c.Swap), LongestDelayNanoseconds);
            if (delay <= ShortestDelayNanoseconds)
            {
                return;
            }

            if (reclaimed == 0 && retries-- == 0)
            {
                Sleep(cpu, cgroup, delay);
                return;
            }
        }
    }

    /// <summary>A charge succeeded: it may have gone above a limit that only slows.</summary>
    private void NoteHigh(Cpu cpu, Cgroup cgroup, long charged, Gfp gfp)
    {
        bool over = false;
        for (Cgroup? above = cgroup; above is { IsRoot: false } && !over; above = above.Parent)
        {
            over = above.Memory.Usage > above.Memory.High || above.Swap.Usage > above.Swap.High;
        }

        if (!over || cpu.Context.InAtomic)
        {
            return;
        }

        KernelTask task = cpu.Current;
        task.PagesOverHigh += charged;
        if (task.PagesOverHigh > BatchPages && (task.Flags & TaskFlags.MemAlloc) == 0 && (gfp & Gfp.DirectReclaim) != 0)
        {
            // Much more than a batch in one system call: not to be left until its end.
            HandleOverHigh(cpu);
        }
    }

    private long ReclaimHigh(Cpu cpu, Cgroup cgroup, long pages)
    {
        long reclaimed = 0;
        for (Cgroup? above = cgroup; above is { IsRoot: false }; above = above.Parent)
        {
            if (above.Memory.Usage > above.Memory.High)
            {
                above.Raise(CgroupEvent.High);
                reclaimed += Reclaimer?.Reclaim(cpu, above, pages, Gfp.Kernel) ?? 0;
            }
        }

        return reclaimed;
    }

    /// <summary>How long a task that charged so many pages is slowed: by the square of how far the worst cgroup is above its limit (<c>calculate_high_delay()</c>).</summary>
    private static long DelayOf(Cgroup cgroup, long pages, Func<Cgroup, PageCounter> counterOf)
    {
        long worst = 0;
        for (Cgroup? above = cgroup; above is { IsRoot: false }; above = above.Parent)
        {
            PageCounter counter = counterOf(above);
            if (counter.Usage > counter.High)
            {
                worst = Math.Max(worst, ((counter.Usage - counter.High) << PrecisionShift) / Math.Max(counter.High, 1));
            }
        }

        Int128 ticks = (Int128)worst * worst * TicksPerSecond >> PrecisionShift >> ScalingShift;
        ticks = ticks * pages / BatchPages;
        return (long)Int128.Min(ticks * (1_000_000_000 / TicksPerSecond), LongestDelayNanoseconds);
    }

    private void Sleep(Cpu cpu, Cgroup cgroup, long nanoseconds)
    {
        if (Machine.Background.SharedTime is { } time)
        {
            time.Sleep(cpu, nanoseconds, static () => false);
            return;
        }

        Machine.Clock.Advance(nanoseconds);
        NoteStall(cgroup, nanoseconds);
    }

    /// <summary>A task of a cgroup lost time because memory was short.</summary>
    internal void NoteStall(Cgroup cgroup, long nanoseconds)
    {
        for (Cgroup? above = cgroup; above is { IsRoot: false } && nanoseconds > 0; above = above.Parent)
        {
            above.Pressure.NotePassed(nanoseconds, full: Machine.Cpus.Count == 1);
        }
    }
}
