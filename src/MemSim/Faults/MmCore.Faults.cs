using System.Runtime.CompilerServices;
using MemSim.Faults;
using MemSim.PageCache;
using MemSim.Statistics;

namespace MemSim.VirtualMemory;

/// <content>Faults in a valid area (<c>handle_mm_fault()</c>): which kind it is, anonymous memory, spurious faults.</content>
internal sealed partial class MmCore
{
    /// <summary>The way in for faults, from the MMU.</summary>
    public PageFaultHandler Faults { get; set; } = null!;

    /// <summary>Receives the tracepoints of page faults; null where nobody listens.</summary>
    public FaultTrace? FaultTrace => FaultTracepoints.IsIdle ? null : FaultTracepoints;

    /// <summary>The tracepoints of page faults, whether anybody listens or not.</summary>
    public FaultTrace FaultTracepoints { get; } = new();

    /// <summary>Receives what faults do step by step; null where nobody asked.</summary>
    public FaultStory? Story { get; set; }

    /// <summary>Finds or makes the page for an address that its area allows to be used.</summary>
    public FaultResult HandleFault(Cpu cpu, Vma vma, ulong address, FaultFlags flags)
    {
        Events.CountHere(VmEvent.Fault, Machine.IsParallel);
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

    private FaultResult Handle(Cpu cpu, Vma vma, ulong address, FaultFlags flags)
    {
        address &= ~(ulong)(PageGeometry.PageSize - 1);
        MemoryDescriptor mm = vma.Mm;
        if (Machine.Charges is not null && mm.Owner is { } owner)
        {
            Machine.Cgroups.Of(owner.CgroupId).Count(Cgroups.CgroupStat.Fault, 1);
        }

        PageTables tables = mm.Tables;
        if ((vma.Flags & VmaFlags.HugeTlb) != 0)
        {
            return Hugetlb.Fault(cpu, vma, address, flags);
        }

        if (UsesHugePages)
        {
            FaultResult huge = Huge.Fault(cpu, vma, address, flags);
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

        if (!Layout.IsPresent(entry))
        {
            return SoftEntryFault(cpu, vma, address, slot, entry, flags);
        }

        if ((flags & FaultFlags.Write) != 0)
        {
            if (!Layout.IsWritable(entry))
            {
                return WriteProtectFault(cpu, vma, address, slot, entry);
            }

        }

        // Another CPU was faster, or a TLB remembered too little: nothing but the accessed and dirty state changes.
        ulong young;
        do
        {
            young = Layout.MakeYoung((flags & FaultFlags.Write) != 0 ? Layout.MakeDirty(entry) : entry);
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
            mm.Tables.WriteSlot(slot, Layout.Make(ZeroPfn, vma.PageBits));
            if (Story is not null)
            {
                TellZeroPage();
            }

            return FaultResult.None;
        }

        if (vma.AnonVma is null && !Anon.Prepare(cpu, vma))
        {
            return FaultResult.Oom;
        }

        int pfn = AllocateAnon(cpu, vma, address, zero: true);
        if (pfn < 0)
        {
            return FaultResult.Oom;
        }

        // Reclaim may have run in the allocation.
        if (mm.Tables.ReadSlot(slot) != 0)
        {
            Put(cpu, pfn);
            return FaultResult.None;
        }

        ulong entry = Layout.Make(pfn, vma.PageBits);
        if ((vma.Flags & VmaFlags.Write) != 0)
        {
            entry = Layout.MakeWritable(Layout.MakeDirty(entry));
        }

        mm.AnonPages++;
        AddNewAnonRmap(pfn, vma, address);
        AddToLru(cpu, pfn, vma);
        mm.Tables.WriteSlot(slot, entry);
        if (Story is not null)
        {
            TellFirstWrite(pfn, entry);
        }

        return FaultResult.None;
    }

    // Sentences are put together out of the fault path's way: their parts would cost every fault room on the stack that has to be cleared.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void TellZeroPage() => Story?.Add($"read of untouched anonymous memory: the zero page, frame 0x{ZeroPfn:x}, read-only");

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void TellFirstWrite(int pfn, ulong entry) => Story?.Add($"first write to anonymous memory: zeroed page 0x{pfn:x}, entry {entry:x16}");

    /// <summary>Faults a page in for the kernel's own purposes, as often as it takes (<c>faultin_page()</c>).</summary>
    public FaultResult FaultIn(Cpu cpu, MemoryDescriptor mm, Vma vma, ulong address, bool write)
    {
        for (int i = 0; i < 8; i++)
        {
            ulong slot = mm.Tables.FindSlot(address);
            if (slot != 0)
            {
                ulong entry = mm.Tables.ReadSlot(slot);
                if (entry != 0 && Layout.IsPresent(entry) && !(write && !Layout.IsWritable(entry)))
                {
                    return FaultResult.None;
                }
            }
            else if (vma.Hugetlb is not null ? Hugetlb.Find(vma, address, out ulong whole) != 0 && whole != 0 && !(write && !Layout.IsWritable(whole))
                : UsesHugePages && Huge.Find(vma, address, out whole) != 0 && !(write && !Layout.IsWritable(whole)))
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
}
