using System.Globalization;
using System.Text;
using MemSim.Pages;

namespace MemSim.Diagnostics;

/// <content>Requests and pages: the checks that are not needed on a good call, and the reports of a bad one.</content>
internal sealed partial class BugReporter
{
    /// <summary>Checks a request's flags, order and context.</summary>
    /// <returns>Whether the request may go on; false after a logged complaint.</returns>
    public bool CheckRequest(Cpu cpu, Gfp gfp, int order)
    {
        if (order < 0)
        {
            Raise(KernelBugKind.WrongOrder, $"kernel BUG at alloc_pages: order {order} is negative", Context(cpu));
            return false;
        }

        if ((gfp & ~Gfp.BitsMask) != 0)
        {
            IllegalFlags(cpu, gfp, "bits that are no flags are set");
            return false;
        }

        if (((uint)gfp >> 3 & 3) == (uint)MigrateType.HighAtomic)
        {
            IllegalFlags(cpu, gfp, "__GFP_MOVABLE and __GFP_RECLAIMABLE each name a migrate type");
            return false;
        }

        if (!CheckContext(cpu))
        {
            return false;
        }

        if ((gfp & Gfp.DirectReclaim) != 0 && cpu.Context.InAtomic)
        {
            SleepingInAtomic(cpu, "alloc_pages", gfp);
            return false;
        }

        return true;
    }

    /// <summary>Checks whether the page allocator may be used at all where the CPU is.</summary>
    /// <returns>Whether it may; false after a logged complaint.</returns>
    public bool CheckContext(Cpu cpu)
    {
        if (!cpu.IsOnline)
        {
            Raise(KernelBugKind.NotAllocated, $"kernel BUG: CPU {cpu.Id} is offline and cannot run code", Context(cpu));
            return false;
        }

        if (_machine.Callouts.IsInUserCode)
        {
            Reentered(cpu);
            return false;
        }

        if (cpu.Context.InNmi)
        {
            Raise(KernelBugKind.CalledFromNmi, "BUG: page allocator called from NMI context", Context(cpu)
                + "The allocator's locks may be held by the code that was interrupted. Allocate before, or hand the work to an irq_work.");
            return false;
        }

        return true;
    }

    public void IllegalFlags(Cpu cpu, Gfp gfp, string why) =>
        Raise(KernelBugKind.IllegalFlags, $"WARNING: illegal gfp flags {GfpText.FormatWithHex(gfp)}: {why}", Context(cpu));

    public void NoFailCannotSucceed(Cpu cpu, Gfp gfp, int order) =>
        Raise(KernelBugKind.Deadlock, $"Kernel panic - not syncing: System is deadlocked on memory: order-{order} {GfpText.FormatWithHex(gfp)} must not fail and nothing can be reclaimed",
            Context(cpu) + "A real kernel would loop here for ever. Give the machine an IReclaim that can free memory, or leave __GFP_NOFAIL out.");

    /// <summary>The page behind a direct-map address; a null page after a logged complaint.</summary>
    public Page PageAt(Cpu cpu, VirtualAddress address, string what)
    {
        if (_machine.TryGetPage(address, out Page page))
        {
            return page;
        }

        Raise(KernelBugKind.ForeignAddress, $"BUG: {what}: address {address} is not in the direct map of this machine", Context(cpu)
            + $"The direct map covers {_machine.Addresses.DirectMapStart} to {_machine.Addresses.DirectMapEnd}. Addresses from vmalloc, kmap or a process need their own calls.");
        return default;
    }

    /// <summary>The head of the allocated block or compound page a page belongs to; a null page after a logged complaint.</summary>
    public Page AllocatedHead(Cpu cpu, Page page, string what)
    {
        if (!page.BelongsTo(_machine))
        {
            Foreign(cpu, page, what);
            return default;
        }

        Page head = page.CompoundHead;
        if (_machine.Frames.FrameOf(head.FrameIndex).RefCount > 0)
        {
            return head;
        }

        Raise(KernelBugKind.NotAllocated, $"VM_BUG_ON_PAGE(page_ref_count(page) <= 0): {what} of a page that is not allocated", Describe(page) + Context(cpu), page);
        return default;
    }

    /// <summary>Says why a block cannot be freed.</summary>
    public void BadFree(Cpu cpu, Page page, int order, string what)
    {
        _machine.ThrowIfDisposed();
        if (!page.BelongsTo(_machine))
        {
            Foreign(cpu, page, what);
            return;
        }

        (KernelBugKind kind, string why) = Diagnose(page, order);
        Raise(kind, string.Create(CultureInfo.InvariantCulture, $"BUG: Bad page state in process {cpu.Current.Name}  pfn:{page.Pfn.Value:x5}: {what}: {why}"), Describe(page) + Context(cpu), page);
    }

    private void Foreign(Cpu cpu, Page page, string what) =>
        Raise(KernelBugKind.ForeignAddress, $"BUG: {what}: {page} belongs to another machine", Context(cpu), page);

    private (KernelBugKind Kind, string Why) Diagnose(Page page, int order)
    {
        int pfn = page.FrameIndex;
        ref readonly PageFrame frame = ref _machine.Frames.FrameOf(pfn);
        if ((uint)order > PageGeometry.MaxOrder)
        {
            return (KernelBugKind.WrongOrder, $"order {order} does not exist");
        }

        if (frame.IsBuddy)
        {
            return (KernelBugKind.DoubleFree, $"double free: the page is the first of a free block of order {frame.Private}");
        }

        if (frame.IsPcp)
        {
            return (KernelBugKind.DoubleFree, "double free: the page is in a per-CPU list");
        }

        if (frame.RefCount == 0)
        {
            return DiagnoseUnreferenced(page);
        }

        if (frame.IsReserved)
        {
            return (KernelBugKind.ReservedPage, $"the page is reserved (zone {page.Zone.Name}): the buddy allocator never handed it out");
        }

        if (frame.RefCount > 1)
        {
            return (KernelBugKind.StillInUse, $"{frame.RefCount} references are left (use put_page())");
        }

        if (frame.InvertedMapCount != 0)
        {
            return (KernelBugKind.StillInUse, frame.MapCount > 0 ? $"nonzero mapcount {frame.MapCount}" : $"page type {_machine.Frames.TypeOf(pfn)} is set");
        }

        if (frame.Mapping != 0)
        {
            return (KernelBugKind.StillInUse, "non-NULL mapping");
        }

        if (frame.FlagsThatForbidFreeing != 0)
        {
            return (KernelBugKind.StillInUse, $"PAGE_FLAGS_CHECK_AT_FREE flag(s) set: {frame.FlagsThatForbidFreeing}");
        }

        return frame.Order != order
            ? (KernelBugKind.WrongOrder, $"freed with order {order} but allocated with order {frame.Order}")
            : (KernelBugKind.StillInUse, "the call does not apply to this page");
    }

    private (KernelBugKind Kind, string Why) DiagnoseUnreferenced(Page page)
    {
        int head = _machine.ZoneTable.BlockHeadOf(page.FrameIndex, out int headOrder);
        if (head >= 0)
        {
            ref readonly PageFrame frame = ref _machine.Frames.FrameOf(head);
            return frame.RefCount > 0
                ? (KernelBugKind.NotFirstPage, $"the page is number {page.FrameIndex - head} of the block of order {headOrder} at pfn 0x{head:x}{(page.IsTail ? " (tail of a compound page)" : "")}")
                : (KernelBugKind.DoubleFree, $"double free: the page lies in the free block of order {headOrder} at pfn 0x{head:x}");
        }

        return _machine.Frames.IsReserved(page.FrameIndex)
            ? (KernelBugKind.ReservedPage, "the page is reserved: the page allocator never handed it out")
            : (KernelBugKind.ReservedPage, "the page allocator never handed this page out");
    }

    /// <summary>The page's state, owner and history.</summary>
    public string Describe(Page page)
    {
        int pfn = page.FrameIndex;
        ref readonly PageFrame frame = ref _machine.Frames.FrameOf(pfn);
        StringBuilder text = new();
        text.Append(CultureInfo.InvariantCulture, $"page: refcount:{frame.RefCount} mapcount:{frame.MapCount} mapping:{frame.Mapping:x8} index:0x{frame.Index:x} pfn:0x{pfn:x}\n");
        text.Append(CultureInfo.InvariantCulture, $"flags: {page.Flags}, order {page.Order}, private 0x{frame.Private:x}");
        if (_machine.ZoneTable.ZoneOf(pfn) is { } zone)
        {
            text.Append(CultureInfo.InvariantCulture, $", {zone}, page block type {zone.PageblockType(page.Pfn)?.ToString() ?? "none"}");
        }

        text.Append('\n');
        text.Append(_machine.Hooks.OwnerTracker?.Describe(pfn) ?? "page_owner is off: boot with MachineSpec.WithPageOwner() to see who allocated and freed the page\n");
        return text.ToString();
    }
}
