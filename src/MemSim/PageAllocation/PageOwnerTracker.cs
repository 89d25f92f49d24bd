using System.Globalization;
using System.Text;

namespace MemSim.PageAllocation;

/// <summary>Remembers who allocated and who freed each block last (<c>page_owner=on</c>): what a report of misuse tells about a page's history.</summary>
internal sealed class PageOwnerTracker : IPageTraceSink
{
    private readonly Dictionary<long, Entry> _owners = [];
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
                _owners.TryGetValue(pfn, out Entry entry);
                entry.Allocated = new Record(++_sequence, cpu.Id, cpu.Current, order, gfp);
                _owners[pfn] = entry;
            }
        }
    }

    public void MmPageFree(Cpu cpu, long pfn, int order)
    {
        lock (_lock)
        {
            _owners.TryGetValue(pfn, out Entry entry);
            entry.Freed = new Record(++_sequence, cpu.Id, cpu.Current, order, Gfp.None);
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
            if (_owners.TryGetValue(pfn, out Entry entry))
            {
                for (long i = pfn; i < pfn + (1L << order); i++)
                {
                    _owners[i] = entry;
                }
            }
        }
    }

    /// <summary>What is known of a frame: the last allocation and the last free of the block that starts there, or of the block around it.</summary>
    public string Describe(int pfn)
    {
        int head = _machine.BlockHeadOf(pfn, out _);
        lock (_lock)
        {
            if (!_owners.TryGetValue(pfn, out Entry entry) && (head < 0 || !_owners.TryGetValue(head, out entry)))
            {
                return "page_owner: no allocation of this page was seen\n";
            }

            StringBuilder text = new();
            if (entry.Allocated is { } allocated)
            {
                text.Append(CultureInfo.InvariantCulture,
                    $"page last allocated via order {allocated.Order}, gfp_mask {GfpText.FormatWithHex(allocated.Gfp)}, pid {allocated.Task.Pid} ({allocated.Task.Name}), cpu {allocated.Cpu}, event {allocated.Sequence}\n");
            }

            if (entry.Freed is { } freed)
            {
                text.Append(CultureInfo.InvariantCulture, $"page last free via order {freed.Order}, pid {freed.Task.Pid} ({freed.Task.Name}), cpu {freed.Cpu}, event {freed.Sequence}\n");
            }

            return text.ToString();
        }
    }

    private struct Entry
    {
        public Record? Allocated;
        public Record? Freed;
    }

    private sealed record Record(long Sequence, int Cpu, KernelTask Task, int Order, Gfp Gfp);
}
