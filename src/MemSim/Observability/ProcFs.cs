using MemSim.Observability;
using MemSim.Swap;

namespace MemSim;

/// <summary>The kernel's text views of a machine's memory, byte for byte as Linux prints them; a figure of a subsystem that does not exist yet is 0.</summary>
/// <remarks>Every property renders the present state anew and changes nothing. Lines end with a newline, the last one included.</remarks>
public sealed class ProcFs
{
    private readonly Machine _machine;

    internal ProcFs(Machine machine) => _machine = machine;

    /// <summary><c>/proc/buddyinfo</c>: free blocks of each order, a line for each zone that has memory.</summary>
    public string BuddyInfo => BuddyInfoText.Of(Live);

    /// <summary><c>/proc/zoneinfo</c>: counters, watermarks, reserves and per-CPU lists of every zone, in pages.</summary>
    public string ZoneInfo => ZoneInfoText.Of(Live);

    /// <summary><c>/proc/pagetypeinfo</c>: free blocks by migrate type and order, and how many page blocks are of each type.</summary>
    public string PageTypeInfo => PageTypeInfoText.Of(Live);

    /// <summary><c>/proc/meminfo</c>, in KiB.</summary>
    public string MemInfo => MemInfoText.Of(Live);

    /// <summary><c>/proc/vmstat</c>: counters in pages and events since the boot.</summary>
    public string VmStat => VmStatText.Of(Live);

    /// <summary><c>/sys/kernel/debug/extfrag/extfrag_index</c>: whether a request of each order would fail for want of memory (towards 0) or because of fragmentation (towards 1); -1 where a block is free.</summary>
    public string ExtFragIndex => BuddyInfoText.ExtFragIndex(Live);

    /// <summary><c>/sys/kernel/debug/extfrag/unusable_index</c>: which part of each zone's free memory is in blocks too small for each order.</summary>
    public string UnusableIndex => BuddyInfoText.UnusableIndex(Live);

    /// <summary><c>/proc/slabinfo</c>: objects and slabs of every object cache.</summary>
    public string SlabInfo => Live.Slab.SlabInfo;

    /// <summary><c>/proc/vmallocinfo</c>: the areas of vmalloc space by address, then what was freed and not given back yet.</summary>
    public string VmallocInfo => Live.Ram.HasContents ? Live.Memory.Vmalloc.Info() : "";

    /// <summary><c>/sys/kernel/debug/page_owner</c>: each block handed out, with who asked for it; empty unless owners are recorded (<see cref="MachineSpec.WithPageOwner"/>).</summary>
    public string PageOwner => PageOwnerText.Of(Live);

    /// <summary><c>/proc/pressure/memory</c>: the time lost because memory is short.</summary>
    public string PressureMemory => Live.Pressure.Text;

    /// <summary><c>/proc/swaps</c>: the swap areas that are on.</summary>
    public string Swaps => SwapsFile.Of(Live.Swap);

    /// <summary>The files of <c>/sys/kernel/mm/hugepages</c> and <c>/sys/kernel/mm/transparent_hugepage</c>, sorted, a line each: <c>transparent_hugepage/enabled = [always] madvise never</c>.</summary>
    public string SysKernelMm => HugePagesText.Of(Live);

    /// <summary><c>/sys/kernel/debug/lru_gen</c>: of each node the generations of its pages (number, age in milliseconds, anonymous pages, file pages), the oldest first.</summary>
    public string LruGen => LruGenText.Write(Live, full: false);

    /// <summary><c>/sys/kernel/debug/lru_gen_full</c>: as <see cref="LruGen"/>, with what became of the pages of each tier, and what walks of page tables found.</summary>
    public string LruGenFull => LruGenText.Write(Live, full: true);

    /// <summary><c>/sys/devices/system/node/nodeN/meminfo</c>: the node's part of <see cref="MemInfo"/>, in KiB.</summary>
    /// <param name="node">The node's number.</param>
    public string NodeMemInfo(int node) => NodeFilesText.MemInfo(Live, _machine.GetNode(node));

    /// <summary><c>/sys/devices/system/node/nodeN/vmstat</c>: the counters of the node and its zones.</summary>
    /// <param name="node">The node's number.</param>
    public string NodeVmStat(int node) => NodeFilesText.VmStat(Live, _machine.GetNode(node));

    /// <summary><c>/sys/devices/system/node/nodeN/numastat</c>: where allocations went.</summary>
    /// <param name="node">The node's number.</param>
    public string NodeNumaStat(int node)
    {
        Machine machine = Live;
        return NodeFilesText.NumaStat(machine.GetNode(node));
    }

    private Machine Live
    {
        get
        {
            _machine.ThrowIfDisposed();
            return _machine;
        }
    }

    /// <summary>The memory part of a failure or OOM report (<c>show_mem()</c>, SysRq-m), as seen from CPU 0.</summary>
    public string ShowMem() => ShowMemText.Of(Live, _machine.Cpus[0]);

    /// <summary>The memory part of a report, as printed by a CPU: <c>local_pcp</c> is what its own lists hold.</summary>
    /// <param name="cpu">The CPU.</param>
    public string ShowMem(Cpu cpu)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        return ShowMemText.Of(Live, _machine.CpuTable.Own(cpu));
    }
}
