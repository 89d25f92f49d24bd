using System.Diagnostics;

namespace MemSim.Cgroups;

/// <summary>Pages charged to a cgroup and to all above it, and what limits them (<c>struct page_counter</c>).</summary>
internal sealed class PageCounter(PageCounter? parent)
{
    /// <summary>No limit (<c>PAGE_COUNTER_MAX</c>).</summary>
    public const long Unlimited = long.MaxValue / PageGeometry.PageSize;

    /// <summary>Pages charged now.</summary>
    public long Usage { get; private set; }

    /// <summary>The most there may be.</summary>
    public long Max { get; set; } = Unlimited;

    /// <summary>Above this many whoever charges more is made to reclaim.</summary>
    public long High { get; set; } = Unlimited;

    /// <summary>The most there ever were (<c>watermark</c>).</summary>
    public long Peak { get; set; }

    /// <summary>Charges that were refused (<c>failcnt</c>).</summary>
    public long Failures { get; set; }

    /// <summary>Charges pages here and above, unless that exceeds a limit.</summary>
    /// <param name="pages">How many.</param>
    /// <param name="counts">Whether a refusal is counted.</param>
    /// <returns>Null when they are charged; else the lowest counter that has no room.</returns>
    public PageCounter? TryCharge(long pages, bool counts = true)
    {
        for (PageCounter? counter = this; counter is not null; counter = counter.Parent)
        {
            if (counter.Usage + pages > counter.Max)
            {
                counter.Failures += counts ? 1 : 0;
                for (PageCounter? charged = this; charged != counter; charged = charged!.Parent)
                {
                    charged!.Usage -= pages;
                }

                return counter;
            }

            counter.Add(pages);
        }

        return null;
    }

    /// <summary>Charges pages whatever the limits.</summary>
    public void Charge(long pages)
    {
        for (PageCounter? counter = this; counter is not null; counter = counter.Parent)
        {
            counter.Add(pages);
        }
    }

    /// <summary>Takes pages off here and above.</summary>
    public void Uncharge(long pages)
    {
        for (PageCounter? counter = this; counter is not null; counter = counter.Parent)
        {
            counter.Usage -= pages;
            Debug.Assert(counter.Usage >= 0, "no more is taken off than was charged, here and above");
        }
    }

    /// <summary>Takes pages off here alone: the counter above is charged for them from now on.</summary>
    public void LeaveToParent(long pages)
    {
        Usage -= pages;
        Debug.Assert(Usage >= 0, "no more is left than was charged");
    }

    /// <summary>The counter of the cgroup above.</summary>
    public PageCounter? Parent => parent;

    private void Add(long pages)
    {
        Debug.Assert(pages >= 0, "charges are not negative");
        Usage += pages;
        Peak = Math.Max(Peak, Usage);
    }
}
