using MemSim.Hardware;
using MemSim.Lru;
using MemSim.PageAllocation;
using MemSim.Pages;
using MemSim.Statistics;
using MemSim.VirtualMemory;

namespace MemSim.HugePages;

/// <summary>Transparent huge pages of anonymous memory (<c>mm/huge_memory.c</c> of 6.1): who gets them, the huge zero page, pages waiting to be split.</summary>
internal sealed partial class TransparentHugeMemory
{
    private readonly ulong _mask;
    private readonly AddressSpaces _spaces;
    private readonly FrameArray _frames;
    private readonly PageAllocator _pages;
    private readonly PteLayout _layout;
    private readonly VmEvents _events;
    private readonly DeferredSplits[] _deferred;
    private bool _shrinkersRegistered;

    public TransparentHugeMemory(AddressSpaces spaces)
    {
        _spaces = spaces;
        Order = spaces.HugeOrder;
        Pages = 1 << Order;
        Bytes = (ulong)Pages << PageGeometry.PageShift;
        _mask = Bytes - 1;
        _frames = spaces.Frames;
        _pages = spaces.Machine.Pages;
        _layout = spaces.Layout;
        _events = spaces.Machine.Events;
        Settings = spaces.Machine.HugePages;
        _deferred = [.. spaces.Machine.Nodes.Select(n => new DeferredSplits(n))];
        spaces.UsesHugePages = Settings.Enabled == TransparentHugePages.Always;
    }

    /// <summary>log2 of the small pages in a huge one (<c>HPAGE_PMD_ORDER</c>): what one entry of the second level maps.</summary>
    public int Order { get; }

    /// <summary>Small pages in a huge one (<c>HPAGE_PMD_NR</c>).</summary>
    public int Pages { get; }

    /// <summary>Bytes of a huge page.</summary>
    public ulong Bytes { get; }

    public HugePageSettings Settings { get; }

    /// <summary>The page full of zeroes that untouched ranges read as; -1 while there is none.</summary>
    public int ZeroPfn { get; private set; } = -1;

    /// <summary>Address spaces that may map the huge zero page.</summary>
    public int ZeroUsers { get; private set; }

    /// <summary>Huge pages that are partly unmapped and wait to be split.</summary>
    public int Deferred
    {
        get
        {
            int count = 0;
            foreach (DeferredSplits queue in _deferred)
            {
                count += queue.Count;
            }

            return count;
        }
    }

    /// <summary>Whether an area may have huge pages (<c>hugepage_vma_check()</c>): asked for where that matters, anonymous, of ordinary memory.</summary>
    public bool MayHaveHuge(Vma vma)
    {
        const VmaFlags never = VmaFlags.NoHugePage | VmaFlags.HugeTlb | VmaFlags.PfnMap;
        if (vma.File is not null || (vma.Flags & never) != 0 || IsTemporaryStack(vma))
        {
            return false;
        }

        return Settings.SizeOf(Order)!.IsFor(vma);
    }

    /// <summary>Whether the huge page around an address lies in the area as a whole (<c>transhuge_vma_suitable()</c>).</summary>
    public bool Fits(Vma vma, ulong address)
    {
        ulong start = address & ~_mask;
        return start >= vma.StartValue && start + Bytes <= vma.EndValue;
    }

    /// <summary>Whether the area holds at least one aligned range for a huge page and may have one.</summary>
    public bool IsEligible(Vma vma)
    {
        ulong first = (vma.StartValue + _mask) & ~_mask;
        return MayHaveHuge(vma) && first >= vma.StartValue && first < vma.EndValue && vma.EndValue - first >= Bytes;
    }

    /// <summary>The slot of the second level that maps a huge page at an address of an area.</summary>
    /// <returns>0 when there is no huge page.</returns>
    public ulong Find(Vma vma, ulong address, out ulong entry)
    {
        PageTables tables = vma.Mm.Tables;
        ulong slot = tables.FindPmd(address);
        entry = slot == 0 ? 0 : tables.ReadSlot(slot);
        return IsMapped(vma, address, entry) ? slot : 0;
    }

    /// <summary>Whether an entry of the second level maps a huge page that the area can have at an address: entries lie in simulated memory, where anybody may have written anything.</summary>
    public bool IsMapped(Vma vma, ulong address, ulong entry)
    {
        if (!_layout.IsHuge(entry) || vma.Mm.Tables.Deposits == 0)
        {
            return false;
        }

        int head = _layout.Pfn(entry);
        return IsZero(entry) || ((head & (Pages - 1)) == 0 && _spaces.Entries.IsMappedAt(vma, address & ~_mask, head) && _frames[head].Order == Order && _spaces.Maps.WholeMaps(head) > 0);
    }

    public bool IsZero(ulong entry) => ZeroPfn >= 0 && _layout.Pfn(entry) == ZeroPfn;

    /// <summary>The entry of a huge page as a small one for the part at an address.</summary>
    /// <returns>0 when no huge page is there.</returns>
    public ulong PartOf(Vma vma, ulong address)
    {
        if (Find(vma, address, out ulong entry) == 0)
        {
            return 0;
        }

        int pfn = IsZero(entry) ? _spaces.ZeroPfn : _layout.Pfn(entry) + (int)((address & _mask) >> PageGeometry.PageShift);
        return _layout.Make(pfn, 1);
    }

    /// <summary>An entry of the second level for a huge page.</summary>
    public ulong Make(int head, ulong bits) => _layout.MakeHuge(_layout.Make(head, bits));

    // Only for the setup of a program, which the simulated exec never lets fault.
    private static bool IsTemporaryStack(Vma vma) => (vma.Flags & (VmaFlags.GrowsDown | VmaFlags.SequentialRead | VmaFlags.RandomRead)) == (VmaFlags.GrowsDown | VmaFlags.SequentialRead | VmaFlags.RandomRead);

    /// <summary>Gives an address space the right to map the huge zero page (<c>mm_get_huge_zero_page()</c>).</summary>
    /// <returns>False without memory.</returns>
    private bool TakeZero(Cpu cpu, MemoryDescriptor mm)
    {
        if (mm.MapsHugeZero)
        {
            return true;
        }

        if (ZeroPfn < 0)
        {
            int pfn = _pages.Allocate(cpu, (Gfp.TransHuge | Gfp.Zero) & ~Gfp.Movable, Order);
            if (pfn < 0)
            {
                _events.Count(VmEvent.ThpZeroPageAllocFailed);
                return false;
            }

            _events.Count(VmEvent.ThpZeroPageAlloc);
            RegisterShrinkers();
            ZeroPfn = pfn;
        }

        mm.MapsHugeZero = true;
        ZeroUsers++;
        return true;
    }

    /// <summary>An address space is gone (<c>mm_put_huge_zero_page()</c>); the page itself stays until memory runs short.</summary>
    public void Leave(MemoryDescriptor mm)
    {
        if (mm.MapsHugeZero)
        {
            mm.MapsHugeZero = false;
            ZeroUsers--;
        }

        Settings.Khugepaged.Forget(mm);
    }

    /// <summary>A child may map the huge zero page where its parent does.</summary>
    private void ShareZero(MemoryDescriptor child)
    {
        if (!child.MapsHugeZero)
        {
            child.MapsHugeZero = true;
            ZeroUsers++;
        }
    }

    /// <summary>Frees the huge zero page if nobody can map it (<c>shrink_huge_zero_page_scan()</c>).</summary>
    public long FreeZero(Cpu cpu)
    {
        using OwnersLock.Scope owners = _spaces.Machine.EnterOwners();
        if (ZeroPfn < 0 || ZeroUsers != 0)
        {
            return 0;
        }

        int pfn = ZeroPfn;
        ZeroPfn = -1;
        _spaces.Machine.Frames.AddReferences(pfn, -1);
        _pages.FreeBlock(cpu, pfn, Order);
        return Pages;
    }

    /// <summary>The last reference to a huge page is gone: nothing may be left of its parts' state (<c>free_transhuge_page()</c>).</summary>
    public void Freed(int head)
    {
        if (!_frames[head].IsAnonymous)
        {
            return;
        }

        // Whoever drops the last reference: a fault, or reclaim on another CPU.
        using OwnersLock.Scope owners = _spaces.Machine.EnterOwners();
        Settings.Count(_frames[head].Order, HugePageStat.NrAnon, -1);
        _ = _unmapping.Remove(head);
        Forget(head);
        _spaces.Pages.PrepareHuge(head);
    }

    private void RegisterShrinkers()
    {
        if (!_shrinkersRegistered)
        {
            _shrinkersRegistered = true;
            _spaces.Machine.Shrinkers.Register(new ZeroShrinker(this));
            _spaces.Machine.Shrinkers.Register(new DeferredShrinker(this));
        }
    }

    private sealed class ZeroShrinker(TransparentHugeMemory huge) : Shrinker("thp-zero")
    {
        protected override long CountObjects(in ShrinkRequest request) => huge.ZeroPfn >= 0 && huge.ZeroUsers == 0 ? huge.Pages : 0;

        protected override long ScanObjects(in ShrinkRequest request) => huge.FreeZero(request.Cpu);
    }
}
