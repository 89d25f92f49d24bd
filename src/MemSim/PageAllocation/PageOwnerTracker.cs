using System.Globalization;
using System.Text;

namespace MemSim.PageAllocation;

/// <summary>Remembers who allocated and who freed each block last (<c>page_owner=on</c>): what <see cref="ProcFs.PageOwner"/> lists, and what a report of misuse tells about a page's history.</summary>
internal sealed class PageOwnerTracker : IPageTraceSink
{
    private readonly Dictionary<long, PageHistory> _owners = [];
    // Guards _owners.
    private readonly Lock _lock = new();
    private readonly Machine _machine;
    private long _sequence;

    public PageOwnerTracker(Machine machine) => _machine = machine;

    public void MmPageAlloc(Cpu cpu, long pfn, int order, MigrateType migrateType, Gfp gfp)
    {
        if (pfn >= 0)
        {
            lock (_lock)
            {
                _owners.TryGetValue(pfn, out PageHistory entry);
                entry.Allocated = RecordOf(cpu, order, gfp);
                entry.Migration = null;
                _owners[pfn] = entry;
            }
        }
    }

    public void MmPageFree(Cpu cpu, long pfn, int order)
    {
        lock (_lock)
        {
            _owners.TryGetValue(pfn, out PageHistory entry);
            entry.Freed = RecordOf(cpu, order, Gfp.None);
            _owners[pfn] = entry;
        }
    }

    public void MmPageFreeBatched(Cpu cpu, long pfn)
    {
    }

    public void MmPageAllocZoneLocked(Cpu cpu, long pfn, int order, MigrateType migrateType, bool percpuRefill)
    {
    }

    public void MmPagePcpuDrain(Cpu cpu, long pfn, int order, MigrateType migrateType)
    {
    }

    public void MmPageAllocExtfrag(Cpu cpu, long pfn, int allocOrder, int fallbackOrder, MigrateType allocType, MigrateType fallbackType, bool changeOwnership)
    {
    }

    /// <summary>A block became single pages: each has the block's history (<c>split_page_owner()</c>).</summary>
    public void Split(long pfn, int order)
    {
        lock (_lock)
        {
            if (_owners.TryGetValue(pfn, out PageHistory entry))
            {
                if (entry.Allocated is { } allocated)
                {
                    entry.Allocated = allocated with { Order = 0 };
                }

                for (long i = pfn; i < pfn + (1L << order); i++)
                {
                    _owners[i] = entry;
                }
            }
        }
    }

    /// <summary>A page moved: whoever allocated the old one owns the new one (<c>folio_copy_owner()</c>).</summary>
    public void Moved(long from, long to, string reason)
    {
        lock (_lock)
        {
            if (_owners.TryGetValue(from, out PageHistory entry))
            {
                _owners.TryGetValue(to, out PageHistory target);
                target.Allocated = entry.Allocated;
                target.Migration = reason;
                _owners[to] = target;
            }
        }
    }

    /// <summary>What is known of a block, by its first frame.</summary>
    public bool TryFind(long pfn, out PageHistory history)
    {
        lock (_lock)
        {
            return _owners.TryGetValue(pfn, out history);
        }
    }

    /// <summary>What is known of a frame: the last allocation and the last free of the block that starts there, or of the block around it.</summary>
    public string Describe(int pfn)
    {
        int head = _machine.ZoneTable.BlockHeadOf(pfn, out _);
        lock (_lock)
        {
            if (!_owners.TryGetValue(pfn, out PageHistory entry) && (head < 0 || !_owners.TryGetValue(head, out entry)))
            {
                return "page_owner: no allocation of this page was seen\n";
            }

            StringBuilder text = new();
            if (entry.Allocated is { } allocated)
            {
                text.Append(CultureInfo.InvariantCulture,
                    $"page last allocated via order {allocated.Order}, gfp_mask {GfpText.FormatWithHex(allocated.Gfp)}, pid {allocated.Task.Pid} ({allocated.Task.Name}), cpu {allocated.Cpu}, event {allocated.Sequence}{At(allocated)}\n");
            }

            if (entry.Freed is { } freed)
            {
                text.Append(CultureInfo.InvariantCulture, $"page last free via order {freed.Order}, pid {freed.Task.Pid} ({freed.Task.Name}), cpu {freed.Cpu}, event {freed.Sequence}{At(freed)}\n");
            }

            return text.ToString();
        }
    }

    private static string At(PageEvent seen) => seen.CallSite.Length == 0 ? "" : ", at " + seen.CallSite;

    private PageEvent RecordOf(Cpu cpu, int order, Gfp gfp) => new(++_sequence, _machine.Clock.Nanoseconds, cpu.Id, cpu.Current, order, gfp, cpu.CurrentCallSite);
}

/// <summary>The last allocation and the last free of a block.</summary>
internal struct PageHistory
{
    public PageEvent? Allocated;
    public PageEvent? Freed;

    /// <summary>Why the page is no longer where it was allocated; null where it is.</summary>
    public string? Migration;
}

/// <summary>An allocation or a free.</summary>
/// <param name="Sequence">Its number on this machine.</param>
/// <param name="Nanoseconds">When, since the boot.</param>
/// <param name="Cpu">On which CPU.</param>
/// <param name="Task">By whom.</param>
/// <param name="Order">log2 of the pages.</param>
/// <param name="Gfp">The flags; none for a free.</param>
/// <param name="CallSite">What <see cref="MemSim.Cpu.CallSite"/> said.</param>
internal sealed record PageEvent(long Sequence, long Nanoseconds, int Cpu, KernelTask Task, int Order, Gfp Gfp, string CallSite);
