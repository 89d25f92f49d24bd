using System.Runtime.CompilerServices;
using MemSim.Hardware;
using MemSim.Lru;
using MemSim.PageAllocation;
using MemSim.PageCache;
using MemSim.Statistics;
using MemSim.VirtualMemory;

namespace MemSim.Faults;

/// <summary>What a fault in a valid area does (<c>handle_mm_fault()</c>): which kind it is, anonymous memory, spurious faults; files, swap and copies are beside it.</summary>
internal sealed partial class PageFaults
{
    private readonly AddressSpaces _spaces;
    private readonly Machine _machine;
    private readonly AllocatorHooks _hooks;
    private readonly MappedPages _pages;
    private readonly MapCounts _maps;
    private readonly PageEntries _entries;
    private readonly PteLayout _layout;
    private readonly PageAllocator _allocator;
    private readonly LruManager _lru;
    private readonly VmEvents _events;
    private readonly Mmu _mmu;
    private readonly int _zeroPfn;
    private readonly bool _swapInMapsWritable;

    public PageFaults(AddressSpaces spaces)
    {
        _spaces = spaces;
        _machine = spaces.Machine;
        _hooks = spaces.Machine.Hooks;
        _pages = spaces.Pages;
        _maps = spaces.Maps;
        _entries = spaces.Entries;
        _layout = spaces.Layout;
        _allocator = spaces.Machine.Pages;
        _lru = spaces.Machine.Lru;
        _events = spaces.Machine.Events;
        _mmu = spaces.Mmu;
        _zeroPfn = spaces.ZeroPfn;
        _swapInMapsWritable = spaces.Machine.Personality.Reclaim.SwapInMapsWritable;
    }

    /// <summary>Receives what faults do step by step; null where nobody asked.</summary>
    public FaultStory? Story { get; set; }

    /// <summary>Receives the tracepoints of page faults; null where nobody listens.</summary>
    public FaultTrace? Trace => Tracepoints.IsIdle ? null : Tracepoints;

    /// <summary>The tracepoints of page faults, whether anybody listens or not.</summary>
    public FaultTrace Tracepoints { get; } = new();

    /// <summary>Finds or makes the page for an address that its area allows to be used.</summary>
    public FaultResult HandleFault(Cpu cpu, Vma vma, ulong address, FaultFlags flags)
    {
        _events.CountHere(VmEvent.Fault, _machine.IsParallel);
        if (!_lru.ByGeneration)
        {
            return Handle(cpu, vma, address, flags);
        }

        _lru.EnterFault(cpu, tellsUse: (vma.Flags & (VmaFlags.SequentialRead | VmaFlags.RandomRead)) == 0);
        try
        {
            return Handle(cpu, vma, address, flags);
        }
        finally
        {
            _lru.ExitFault(cpu);
        }
    }

    /// <summary>Faults a page in for the kernel's own purposes, as often as it takes (<c>faultin_page()</c>).</summary>
    public FaultResult FaultIn(Cpu cpu, MemoryDescriptor mm, Vma vma, ulong address, bool write)
    {
        for (int i = 0; i < 8; i++)
        {
            ulong slot = mm.Tables.FindSlot(address);
            if (slot != 0)
            {
                ulong entry = mm.Tables.ReadSlot(slot);
                if (entry != 0 && _layout.IsPresent(entry) && !(write && !_layout.IsWritable(entry)))
                {
                    return FaultResult.None;
                }
            }
            else if (vma.Hugetlb is not null ? _spaces.Hugetlb.Find(vma, address, out ulong whole) != 0 && whole != 0 && !(write && !_layout.IsWritable(whole))
                : _spaces.UsesHugePages && _spaces.Huge.Find(vma, address, out whole) != 0 && !(write && !_layout.IsWritable(whole)))
            {
                return FaultResult.None;
            }

            FaultResult result = HandleFault(cpu, vma, address, (write ? FaultFlags.Write : 0) | FaultFlags.Remote);
            if ((result & FaultResult.Error) != 0)
            {
                return result;
            }
        }

        return FaultResult.SigBus;
    }

    private FaultResult Handle(Cpu cpu, Vma vma, ulong address, FaultFlags flags)
    {
        address &= ~(ulong)(PageGeometry.PageSize - 1);
        MemoryDescriptor mm = vma.Mm;
        if (_hooks.Charges is not null && mm.Owner is { } owner)
        {
            _machine.Cgroups.Of(owner.CgroupId).Count(Cgroups.CgroupStat.Fault, 1);
        }

        PageTables tables = mm.Tables;
        if ((vma.Flags & (VmaFlags.HugeTlb | VmaFlags.PfnMap)) != 0)
        {
            if (!vma.MapsFrames)
            {
                return _spaces.Hugetlb.Fault(cpu, vma, address, flags);
            }

            if (tables.FindSlot(address) is var place && (place == 0 || tables.ReadSlot(place) == 0))
            {
                // All entries were made at once; whoever lost one finds no page to put there.
                return FaultResult.SigBus;
            }
        }

        if (_spaces.UsesHugePages)
        {
            FaultResult huge = _spaces.Huge.Fault(cpu, vma, address, flags);
            if (huge != FaultResult.Fallback)
            {
                return huge;
            }
        }

        ulong slot = tables.EnsureSlot(cpu, address);
        if (slot == 0)
        {
            return FaultResult.Oom;
        }

        ulong entry = tables.ReadSlot(slot);
        if (entry == 0)
        {
            return vma.File is null ? AnonymousFault(cpu, vma, address, slot, flags) : FileFault(cpu, vma, address, slot, flags);
        }

        if (!_layout.IsPresent(entry))
        {
            return SoftEntryFault(cpu, vma, address, slot, entry, flags);
        }

        if (_layout.IsProtNone(entry) && (vma.Flags & (VmaFlags.Read | VmaFlags.Write | VmaFlags.Exec)) != 0)
        {
            return HintFault(cpu, vma, address, slot, entry);
        }

        if ((flags & (FaultFlags.Write | FaultFlags.Unshare)) != 0 && !_layout.IsWritable(entry))
        {
            return WriteProtectFault(cpu, vma, address, slot, entry, flags, unshare: (flags & FaultFlags.Write) == 0);
        }

        // Another CPU was faster, or a TLB remembered too little: nothing but the accessed and dirty state changes.
        ulong young;
        do
        {
            young = _layout.MakeYoung((flags & FaultFlags.Write) != 0 ? _layout.MakeDirty(entry) : entry);
        }
        while (young != entry && !tables.TryChangeSlot(slot, ref entry, young));

        Story?.Add("the entry allows the access already: a spurious fault");
        return FaultResult.None;
    }

    /// <summary>First use of anonymous memory (<c>do_anonymous_page()</c>): the zero page for reading, a zeroed page of its own for writing.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private FaultResult AnonymousFault(Cpu cpu, Vma vma, ulong address, ulong slot, FaultFlags flags)
    {
        MemoryDescriptor mm = vma.Mm;
        if ((flags & FaultFlags.Write) == 0)
        {
            if ((vma.Flags & VmaFlags.UserfaultMissing) != 0)
            {
                return TellUserfault(vma, address, UserfaultModes.Missing, flags);
            }

            mm.Tables.WriteSlot(slot, _layout.Make(_zeroPfn, vma.PageBits));
            if (Story is not null)
            {
                TellZeroPage();
            }

            return FaultResult.None;
        }

        if (vma.AnonVma is null && !_spaces.Anon.Prepare(cpu, vma))
        {
            return FaultResult.Oom;
        }

        if ((vma.Flags & VmaFlags.UserfaultMissing) != 0)
        {
            return TellUserfault(vma, address, UserfaultModes.Missing, flags);
        }

        int pfn = AllocateAnon(cpu, vma, address, zero: true);
        if (pfn < 0)
        {
            return FaultResult.Oom;
        }

        // Reclaim may have run in the allocation.
        if (mm.Tables.ReadSlot(slot) != 0)
        {
            _pages.Put(cpu, pfn);
            return FaultResult.None;
        }

        ulong entry = _layout.Make(pfn, vma.PageBits);
        if ((vma.Flags & VmaFlags.Write) != 0)
        {
            entry = _layout.MakeWritable(_layout.MakeDirty(entry));
        }

        mm.AnonPages++;
        _maps.AddNewAnonRmap(pfn, vma, address);
        _pages.AddToLru(cpu, pfn, vma);
        mm.Tables.WriteSlot(slot, entry);
        if (Story is not null)
        {
            TellFirstWrite(pfn, entry);
        }

        return FaultResult.None;
    }

    // Sentences are put together out of the fault path's way: their parts would cost every fault room on the stack that has to be cleared.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void TellZeroPage() => Story?.Add($"read of untouched anonymous memory: the zero page, frame 0x{_zeroPfn:x}, read-only");

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void TellFirstWrite(int pfn, ulong entry) => Story?.Add($"first write to anonymous memory: zeroed page 0x{pfn:x}, entry {entry:x16}");

    /// <summary>A zeroed page for anonymous memory where the area's and the task's policies want it.</summary>
    public int AllocateAnon(Cpu cpu, Vma vma, ulong address, bool zero)
    {
        // Linux 6.1 asks for a folio, whatever its order: __GFP_COMP is in the mask that reports show.
        Gfp gfp = (zero ? Gfp.HighUserMovable | Gfp.Zero : Gfp.HighUserMovable) | Gfp.Comp;
        int pfn = vma.Policy is null && cpu.Mode != CpuMode.Special ? _allocator.Allocate(cpu, gfp, 0) : AllocateByPolicy(cpu, vma, address, gfp);
        return _hooks.Charges is null ? pfn : Charged(cpu, vma, pfn);
    }

    /// <summary>A page that nobody pays for yet: for one that comes back from swap the slot knows who does.</summary>
    public int AllocateUncharged(Cpu cpu, Vma vma, ulong address)
    {
        const Gfp gfp = Gfp.HighUserMovable | Gfp.Comp;
        return vma.Policy is null && cpu.Mode != CpuMode.Special ? _allocator.Allocate(cpu, gfp, 0) : AllocateByPolicy(cpu, vma, address, gfp);
    }

    /// <summary>Charges a page to the cgroup of the address space's owner, or frees it.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private int Charged(Cpu cpu, Vma vma, int pfn)
    {
        if (pfn >= 0 && !_machine.Cgroups.TryCharge(cpu, vma.Mm.Owner, pfn, Gfp.Kernel))
        {
            _machine.Frames.AddReferences(pfn, -1);
            _allocator.FreeBlock(cpu, pfn, 0);
            return -1;
        }

        return pfn;
    }

    /// <summary>The area's policy, else the task's (<c>get_vma_policy()</c>): one that interleaves goes by the page's offset in the area, not by the order of faults.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private int AllocateByPolicy(Cpu cpu, Vma vma, ulong address, Gfp gfp) =>
        (vma.Policy ?? cpu.Current.Policy) is { } policy
            ? _allocator.AllocateByPolicy(cpu, gfp, 0, policy, (long)(vma.PgOff + ((address - vma.StartValue) >> PageGeometry.PageShift)))
            : _allocator.Allocate(cpu, gfp, 0);
}
