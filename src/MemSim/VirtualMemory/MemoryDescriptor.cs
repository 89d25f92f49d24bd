using System.Runtime.CompilerServices;
using MemSim.Pages;
using MemSim.VirtualMemory;

namespace MemSim;

/// <summary>The address space of a process: its areas and page tables (<c>struct mm_struct</c>).</summary>
/// <remarks>
/// Calls behave as the system calls of Linux 6.1 of the same name. What goes wrong is a result, never an exception, and then nothing has changed. On an address space
/// that was given up they answer ESRCH.
/// </remarks>
public sealed partial class MemoryDescriptor
{
    /// <summary>Pages that stay free below an area that grows downwards (<c>stack_guard_gap</c>).</summary>
    internal const ulong StackGuardPages = 256;

    private const ulong PageMask = PageGeometry.PageSize - 1;
    internal const ulong MinAddress = 65536;
    private const VmaFlags UserfaultFlags = VmaFlags.UserfaultMissing | VmaFlags.UserfaultProtect | VmaFlags.UserfaultMinor;

    private readonly VmaTree _areas = new();
    private readonly AddressSpaces _spaces;
    private Vma? _lastFound;

    internal MemoryDescriptor(AddressSpaces spaces, PageTables tables, Rlimits limits, VirtualAddress memory)
    {
        Memory = memory;
        _spaces = spaces;
        Tables = tables;
        Limits = limits;
        MmapBase = spaces.Addresses.MmapBase(limits.Stack);
        spaces.All.Add(this);
    }

    /// <summary>The page tables.</summary>
    public PageTables Tables { get; }

    /// <summary>The machine.</summary>
    public Machine Machine => _spaces.Machine;

    /// <summary>Number of areas (<c>map_count</c>).</summary>
    public int AreaCount => _areas.Count;

    /// <summary>Pages of all areas (<c>total_vm</c>).</summary>
    public long TotalPages { get; private set; }

    /// <summary>Pages of locked areas (<c>locked_vm</c>).</summary>
    public long LockedPages { get; private set; }

    /// <summary>Pages of private writable areas (<c>data_vm</c>).</summary>
    public long DataPages { get; private set; }

    /// <summary>Pages of executable areas that cannot be written (<c>exec_vm</c>).</summary>
    public long ExecutablePages { get; private set; }

    /// <summary>Pages of areas that grow (<c>stack_vm</c>).</summary>
    public long StackPages { get; private set; }

    /// <summary>Anonymous pages mapped (<c>MM_ANONPAGES</c>).</summary>
    public long AnonPages { get; internal set; }

    /// <summary>Pages of files mapped (<c>MM_FILEPAGES</c>).</summary>
    public long FilePages { get; internal set; }

    /// <summary>Pages of shared memory mapped (<c>MM_SHMEMPAGES</c>).</summary>
    public long SharedMemoryPages { get; internal set; }

    /// <summary>Swap entries (<c>MM_SWAPENTS</c>).</summary>
    public long SwapEntries { get; internal set; }

    /// <summary>Pages in memory of all kinds (RSS).</summary>
    public long ResidentPages => AnonPages + FilePages + SharedMemoryPages;

    /// <summary>The largest <see cref="ResidentPages"/> seen when it was about to shrink (<c>hiwater_rss</c>).</summary>
    public long PeakResidentPages => Math.Max(_peakResident, ResidentPages);

    /// <summary>The largest <see cref="TotalPages"/> (<c>hiwater_vm</c>).</summary>
    public long PeakTotalPages => Math.Max(_peakTotal, TotalPages);

    /// <summary>Bytes of page tables below the top one (<c>pgtables_bytes</c>).</summary>
    public long PageTableBytes
    {
        get
        {
            long tables = 0;
            for (int level = 1; level < Tables.Levels && level <= 3; level++)
            {
                tables += Tables.TablesOnLevel(level);
            }

            return tables << PageGeometry.PageShift;
        }
    }

    /// <summary>Where the heap starts (<c>start_brk</c>).</summary>
    public VirtualAddress HeapStart { get; internal set; }

    /// <summary>Where the heap ends (<c>brk</c>).</summary>
    public VirtualAddress HeapEnd { get; internal set; }

    /// <summary>The address in the stack area that was its first (<c>start_stack</c>).</summary>
    public VirtualAddress StackStart { get; internal set; }

    /// <summary>Where the search for free addresses begins, downwards (<c>mmap_base</c>).</summary>
    public ulong MmapBase { get; }

    /// <summary>The areas, ascending.</summary>
    public IEnumerable<Vma> Areas
    {
        get
        {
            for (Vma? vma = _areas.First; vma is not null; vma = vma.Next)
            {
                yield return vma;
            }
        }
    }

    /// <summary>Whether the address space was given up.</summary>
    public bool IsGone { get; private set; }

    internal AddressSpaces Spaces => _spaces;

    /// <summary>Whether pages of it were ever pinned (<c>MMF_HAS_PINNED</c>): fork looks for them.</summary>
    internal bool HasPinned { get; set; }

    /// <summary>Whether it may map the huge zero page (<c>MMF_HUGE_ZERO_PAGE</c>).</summary>
    internal bool MapsHugeZero { get; set; }

    /// <summary>Whether khugepaged looks at it (<c>MMF_VM_HUGEPAGE</c>).</summary>
    internal bool IsKnownToKhugepaged { get; set; }

    /// <summary>The nodes, a bit each, whose pages have not been aged by a walk of these tables since a CPU last ran on them (<c>lru_gen.bitmap</c>).</summary>
    internal ulong RanSinceAging { get; set; }

    /// <summary>The nodes whose pages were aged by a walk of these tables at least once since its process came into its cgroup.</summary>
    internal ulong WalkedForAging { get; set; }

    /// <summary>How far balancing between nodes has come with it; null while it did not look at it.</summary>
    internal NumaScanState? NumaScan { get; set; }

    internal Rlimits Limits { get; set; }

    internal VmaTree Tree => _areas;

    /// <summary>Processes that use it: more than one between vfork and exec.</summary>
    internal int Users { get; set; } = 1;

    /// <summary>The process whose calls these are: the last that began to run on it.</summary>
    internal KernelTask? Owner { get; set; }

    /// <summary>Flags of areas to come (<c>def_flags</c>), set by mlockall.</summary>
    internal VmaFlags DefaultFlags { get; set; }

    private long _peakResident;
    private long _peakTotal;

    private Cpu Cpu => _spaces.Machine.CpuTable.CallersCpu(Owner?.RunsOn);

    /// <summary>The first area that ends above an address (<c>find_vma()</c>): it holds the address, or lies above it.</summary>
    /// <param name="address">The address.</param>
    /// <returns>Null when no area ends above it.</returns>
    public Vma? FindVma(VirtualAddress address) => Find(address.Value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal Vma? Find(ulong address)
    {
        Vma? last = _lastFound;
        return last is not null && address - last.StartValue < last.EndValue - last.StartValue ? last : FindInTree(address);
    }

    /// <summary>The area that holds an address.</summary>
    internal Vma? At(ulong address) => Find(address) is { } vma && vma.StartValue <= address ? vma : null;

    private Vma? FindInTree(ulong address)
    {
        Vma? found = _areas.Find(address);
        if (found is not null && found.StartValue <= address)
        {
            _lastFound = found;
        }

        return found;
    }

    /// <summary>A length as a caller says it, rounded up to pages; a negative one is as large as the kernel's <c>size_t</c> would make it.</summary>
    private static bool Align(long length, out ulong aligned)
    {
        ulong bytes = (ulong)length;
        aligned = (bytes + PageMask) & ~PageMask;
        return aligned >= bytes;
    }

    /// <summary>Adds or takes away pages of an area in the counts by kind (<c>vm_stat_account()</c>).</summary>
    private void Account(VmaFlags flags, long pages)
    {
        if (pages < 0)
        {
            _peakTotal = Math.Max(_peakTotal, TotalPages);
        }

        TotalPages += pages;
        if ((flags & (VmaFlags.Exec | VmaFlags.Write | VmaFlags.GrowsDown)) == VmaFlags.Exec)
        {
            ExecutablePages += pages;
        }
        else if ((flags & VmaFlags.GrowsDown) != 0)
        {
            StackPages += pages;
        }
        else if ((flags & (VmaFlags.Write | VmaFlags.Shared)) == VmaFlags.Write)
        {
            DataPages += pages;
        }
    }

    internal void NotePeak() => _peakResident = Math.Max(_peakResident, ResidentPages);

    /// <summary>Whether limits allow more pages (<c>may_expand_vm()</c>).</summary>
    private bool MayExpand(VmaFlags flags, long pages)
    {
        if (TotalPages + pages > (long)(Limits.AddressSpace >> PageGeometry.PageShift))
        {
            return false;
        }

        bool isData = (flags & (VmaFlags.Write | VmaFlags.Shared | VmaFlags.GrowsDown)) == VmaFlags.Write;
        return !isData || DataPages + pages <= (long)(Limits.Data >> PageGeometry.PageShift);
    }

    /// <summary>Whether more may be locked (<c>mlock_future_check()</c>).</summary>
    private bool MayLock(long pages) => Limits.MayLockAll || LockedPages + pages <= (long)(Limits.LockedMemory >> PageGeometry.PageShift);

    private void InsertVma(Vma vma)
    {
        _areas.Insert(vma);
        vma.Mapping?.AddArea(vma);
    }

    /// <summary>Counts a single page of a file or of shared memory.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void CountFilePage(in PageFrame frame, int change)
    {
        System.Diagnostics.Debug.Assert(!frame.IsAnonymous && frame.IsInUse, "a page of a file that somebody holds");
        if (frame.IsSwapBacked)
        {
            SharedMemoryPages += change;
        }
        else
        {
            FilePages += change;
        }
    }

    /// <summary>Counts a page of the address space by its kind.</summary>
    internal void CountResident(int pfn, int change)
    {
        ref PageFrame frame = ref _spaces.Frames[_spaces.Pages.HeadOf(pfn)];
        if (frame.IsAnonymous)
        {
            AnonPages += change;
        }
        else if (frame.IsSwapBacked)
        {
            SharedMemoryPages += change;
        }
        else
        {
            FilePages += change;
        }

        System.Diagnostics.Debug.Assert(AnonPages >= 0 && SharedMemoryPages >= 0 && FilePages >= 0, "no more pages go than came");
    }

    /// <summary>No CPU shall walk through tables that are about to go (<c>leave_mm()</c>).</summary>
    private void LeaveEverywhere()
    {
        foreach (Cpu cpu in Machine.Cpus)
        {
            cpu.MmuOrNull?.Leave(Tables);
        }
    }

    private void RemoveVma(Vma vma)
    {
        _areas.Remove(vma);
        vma.Mapping?.RemoveArea(vma);
        if (ReferenceEquals(_lastFound, vma))
        {
            _lastFound = null;
        }
    }
}
