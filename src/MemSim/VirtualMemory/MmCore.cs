using System.Runtime.CompilerServices;
using MemSim.Hardware;
using MemSim.HugePages;
using MemSim.Lru;
using MemSim.PageAllocation;
using MemSim.Pages;
using MemSim.Slab;
using MemSim.Statistics;
using MemSim.Swap;

namespace MemSim.VirtualMemory;

/// <summary>What all address spaces of a machine share: page-table layout, zero page, counters, the commit charge.</summary>
internal sealed partial class MmCore
{
    private readonly NodeCounters[] _countersByZone;
    private readonly FrameArray _frames;
    private readonly PageAllocator _pages;
    private readonly PhysicalMemory _memory;
    private readonly Mmu _mmu;
    private readonly SwapSpace _swap;

    public MmCore(Machine machine, IBootFrames frames)
    {
        Machine = machine;
        _mmu = machine.Mmu;
        _swap = machine.Swap;
        _frames = machine.Frames;
        _pages = machine.Pages;
        _memory = machine.Ram;
        _lru = machine.Lru;
        Objects = machine.KernelObjects;
        Anon = new AnonVmas(machine.Mappings, machine.KernelObjects);
        Commit = new CommitCharge(machine);
        _countersByZone = [.. machine.Zones.Select(z => z.Node.Counters)];
        Layout = new PteLayout(machine.Architecture.Architecture, machine.FrameCount);
        _frameCount = (uint)machine.FrameCount;
        Addresses = new UserAddresses(machine.Architecture, _mmu.Options.FiveLevels);
        ZeroPfn = TakeZeroPage(frames);
        Events = machine.Events;
        Protection = new ProtectionMap(Layout, _mmu.Kernel);
        HugeOrder = PteLayout.HugeOrderOf(machine.Architecture.Architecture);
        _hugeMask = ~(HugePages - 1);
        Huge = new TransparentHugeMemory(this);
    }

    public Machine Machine { get; }

    public PteLayout Layout { get; }

    /// <summary>The machine's MMU.</summary>
    public Mmu Mmu => _mmu;

    public UserAddresses Addresses { get; }

    /// <summary>The page that all untouched anonymous memory reads as (<c>empty_zero_page</c>): no entry counts as a reference to it.</summary>
    public int ZeroPfn { get; }

    public VmEvents Events { get; }

    public FrameArray Frames => _frames;

    /// <summary>Whether a touched area may be merged into an untouched one before it, as from Linux 6.15 on; 6.1 does not.</summary>
    public bool MergesUntouched { get; set; }

    /// <summary>Swap, once there is any.</summary>
    public ISwapSpace? Swap => _swap.WasUsed ? _swap : null;

    /// <summary>Whether there was ever a process.</summary>
    public bool WasUsed { get; set; }

    /// <summary>All address spaces, oldest first.</summary>
    public List<MemoryDescriptor> Spaces { get; } = [];

    /// <summary>On a machine with parallel CPUs one lock guards all address spaces.</summary>
    public OwnersLock.Scope Enter() => Machine.OwnersLock.EnterOperation();

    /// <summary>What was promised.</summary>
    public CommitCharge Commit { get; }

    /// <summary>What rights are in entries.</summary>
    public ProtectionMap Protection { get; }

    /// <summary>Anonymous-memory objects.</summary>
    public AnonVmas Anon { get; }

    /// <summary>The kernel's objects that areas and address spaces are.</summary>
    public KernelObjects Objects { get; }

    /// <summary>Pages collected before the TLBs are flushed once for all.</summary>
    public int[] GatherBuffer { get; } = new int[512];

    /// <summary>Checks all address spaces.</summary>
    public void Verify() => new MmVerifier(this).Verify();

    /// <summary>The frame takes one more reference (<c>get_page()</c>).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Get(int pfn) => Machine.AddReferences(HeadOf(pfn), 1);

    public bool IsAnon(int pfn) => _frames[HeadOf(pfn)].IsAnonymous;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public NodeCounters CountersOf(int pfn) => _countersByZone[_frames[pfn].ZoneId];

    /// <summary>Entries that map a page, alone or as part of a huge page (<c>page_mapcount()</c>).</summary>
    public int MapCount(int pfn) => IsPartOfHuge(pfn) ? SmallMaps(pfn) + WholeMaps(HeadOf(pfn)) : _frames[pfn].MapCount;

    public int RefCount(int pfn) => _frames[HeadOf(pfn)].RefCount;

    public bool HasFlag(int pfn, PageFlags flag) => _frames[HeadOf(pfn)].Has(flag);

    public void SetFlag(int pfn, PageFlags flag) => _lru.SetFlags(ref _frames[flag == PageFrame.AnonExclusive ? pfn : HeadOf(pfn)], flag);

    public void ClearFlag(int pfn, PageFlags flag) => _ = _lru.ClearFlags(ref _frames[flag == PageFrame.AnonExclusive ? pfn : HeadOf(pfn)], flag);

    public bool IsExclusive(int pfn) => _frames[pfn].IsAnonExclusive;

    public bool IsSwapCache(int pfn) => _frames[HeadOf(pfn)].InSwapCache;

    /// <summary>A fresh anonymous page is mapped for the first time (<c>page_add_new_anon_rmap()</c>).</summary>
    public void AddNewAnonRmap(int pfn, Vma vma, ulong address)
    {
        ref PageFrame frame = ref _frames[pfn];
        frame.Set(PageFlags.SwapBacked | PageFlags.UpToDate | PageFrame.AnonExclusive);
        frame.Mapping = MappingTable.Value(vma.AnonVma!.Id, MappingTable.Anonymous);
        frame.Index = vma.IndexOf(address);
        frame.InvertedMapCount = -1;
        _countersByZone[frame.ZoneId].AnonPages++;
    }

    /// <summary>An anonymous page is mapped (again) (<c>page_add_anon_rmap()</c>): after swap-in or migration.</summary>
    public void AddAnonRmap(int pfn, Vma vma, ulong address, bool exclusive)
    {
        ref PageFrame frame = ref _frames[pfn];
        if (frame.InvertedMapCount-- == 0)
        {
            _countersByZone[frame.ZoneId].AnonPages++;
        }

        if (!frame.IsAnonymous)
        {
            AnonVma anon = exclusive ? vma.AnonVma! : vma.AnonVma!.Root;
            frame.Mapping = MappingTable.Value(anon.Id, MappingTable.Anonymous);
            frame.Index = vma.IndexOf(address);
        }

        if (exclusive)
        {
            _lru.SetFlags(ref frame, PageFrame.AnonExclusive);
        }
    }

    /// <summary>A mapped page is mapped once more, or a page of a file for the first time.</summary>
    public void AddFileRmap(int pfn)
    {
        ref PageFrame frame = ref _frames[pfn];
        if (frame.InvertedMapCount-- == 0)
        {
            _countersByZone[frame.ZoneId].Mapped++;
        }
    }

    /// <summary>Fork maps an anonymous page in the child too: nobody has it alone from now on (<c>page_try_dup_anon_rmap()</c>).</summary>
    public void DuplicateAnonRmap(int pfn)
    {
        if (IsPartOfHuge(pfn))
        {
            DuplicatePart(pfn);
            return;
        }

        ref PageFrame frame = ref _frames[pfn];
        _ = _lru.ClearFlags(ref frame, PageFrame.AnonExclusive);
        frame.InvertedMapCount--;
    }

    /// <summary>An entry that mapped a page is gone (<c>page_remove_rmap()</c>); the reference is still to be dropped.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void RemoveRmap(Cpu cpu, int pfn, Vma vma)
    {
        if (IsPartOfHuge(pfn))
        {
            RemovePartRmap(pfn);
            return;
        }

        RemoveSmallRmap(cpu, pfn, ref _frames[pfn], vma);
    }

    /// <summary>As <see cref="RemoveRmap"/>, of a page that is no part of a huge one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void RemoveSmallRmap(Cpu cpu, int pfn, ref PageFrame frame, Vma vma)
    {
        System.Diagnostics.Debug.Assert(frame.InvertedMapCount < 0 && frame.Order == 0, "an entry maps it, and it is a page of its own");
        if (++frame.InvertedMapCount == 0)
        {
            NodeCounters counters = _countersByZone[frame.ZoneId];
            if (frame.IsAnonymous)
            {
                counters.AnonPages--;
            }
            else
            {
                counters.Mapped--;
            }
        }

        if ((vma.Flags & VmaFlags.Locked) != 0)
        {
            Munlock(cpu, pfn);
        }
    }

    /// <summary>A zeroed page for anonymous memory where the area's and the task's policies want it.</summary>
    public int AllocateAnon(Cpu cpu, Vma vma, ulong address, bool zero)
    {
        // Linux 6.1 asks for a folio, whatever its order: __GFP_COMP is in the mask that reports show.
        Gfp gfp = (zero ? Gfp.HighUserMovable | Gfp.Zero : Gfp.HighUserMovable) | Gfp.Comp;
        int pfn = vma.Policy is null && cpu.Mode != CpuMode.Special ? _pages.Allocate(cpu, gfp, 0) : AllocateByPolicy(cpu, vma, address, gfp);
        return Machine.Charges is null ? pfn : Charged(cpu, vma, pfn);
    }

    /// <summary>A page that nobody pays for yet: for one that comes back from swap the slot knows who does.</summary>
    public int AllocateUncharged(Cpu cpu, Vma vma, ulong address)
    {
        const Gfp gfp = Gfp.HighUserMovable | Gfp.Comp;
        return vma.Policy is null && cpu.Mode != CpuMode.Special ? _pages.Allocate(cpu, gfp, 0) : AllocateByPolicy(cpu, vma, address, gfp);
    }

    /// <summary>Charges a page to the cgroup of the address space's owner, or frees it.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private int Charged(Cpu cpu, Vma vma, int pfn)
    {
        if (pfn >= 0 && !Machine.Cgroups.TryCharge(cpu, vma.Mm.Owner, pfn, Gfp.Kernel))
        {
            Machine.AddReferences(pfn, -1);
            _pages.FreeBlock(cpu, pfn, 0);
            return -1;
        }

        return pfn;
    }

    /// <summary>The area's policy, else the task's (<c>get_vma_policy()</c>): one that interleaves goes by the page's offset in the area, not by the order of faults.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private int AllocateByPolicy(Cpu cpu, Vma vma, ulong address, Gfp gfp) =>
        (vma.Policy ?? cpu.Current.Policy) is { } policy
            ? _pages.AllocateByPolicy(cpu, gfp, 0, policy, (long)(vma.PgOff + ((address - vma.StartValue) >> PageGeometry.PageShift)))
            : _pages.Allocate(cpu, gfp, 0);

    /// <summary>Copies a page's bytes.</summary>
    public void CopyPage(int from, int to) => _memory.CopyFrame(from, to);

    private int TakeZeroPage(IBootFrames frames)
    {
        long reserved = frames.TakeReserved(1);
        if (reserved >= 0)
        {
            return (int)reserved;
        }

        Page page = Machine.Cpus[0].AllocPage(Gfp.Kernel | Gfp.Zero);
        return page.IsNull ? throw new InvalidOperationException("there is no memory for the zero page") : page.FrameIndex;
    }
}
