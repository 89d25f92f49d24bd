using MemSim.Lru;
using MemSim.Migration;
using MemSim.PageCache;
using MemSim.Pages;
using MemSim.VirtualMemory;

namespace MemSim;

/// <summary>How pages are pinned (<c>FOLL_*</c>).</summary>
[Flags]
public enum PinFlags
{
    /// <summary>For reading.</summary>
    None = 0,

    /// <summary>For writing (<c>FOLL_WRITE</c>): private pages become the process's own first.</summary>
    Write = 1,

    /// <summary>For longer than a system call (<c>FOLL_LONGTERM</c>): the pages leave movable zones and contiguous areas first, where nobody must be in the way of moving.</summary>
    LongTerm = 0x100,
}

/// <summary>Pinning a process's pages for devices, which read and write them without page tables (<c>pin_user_pages()</c>).</summary>
/// <remarks>
/// A pinned page stays where it is: it is not migrated, not compacted away and not swapped out, and a child of fork gets a copy of it at once. A pin counts as 1,024 references; so does a page with that
/// many users look pinned, as in the kernel.
/// </remarks>
public static class ProcessPins
{
    private const int MaxRounds = 4;

    /// <summary>Pins pages of a process (<c>pin_user_pages_remote()</c>).</summary>
    /// <param name="process">The process.</param>
    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="address">An address in the first page.</param>
    /// <param name="pages">Receives the pages, one for each of the process's small pages; given back with <see cref="UnpinPages"/>.</param>
    /// <param name="flags">How.</param>
    /// <returns>How many were pinned, fewer than asked for before an error; EFAULT where the process could not make the access; ENOMEM, also for pages that cannot be moved out of movable memory; ESRCH.</returns>
    public static Result<int> PinPages(this Process process, Cpu cpu, VirtualAddress address, Span<Page> pages, PinFlags flags = PinFlags.None)
    {
        ArgumentNullException.ThrowIfNull(process);
        ArgumentNullException.ThrowIfNull(cpu);
        _ = process.Machine.CpuTable.Own(cpu);
        if (process.MmOrNull is not { } mm)
        {
            return Errno.ESRCH;
        }

        using OwnersLock.Scope scope = mm.Spaces.Enter();
        bool longTerm = (flags & PinFlags.LongTerm) != 0;
        if (!longTerm)
        {
            return PinRange(cpu, mm, address.Value, pages, flags);
        }

        using ContextScope unmovable = cpu.Context.MemAllocPin();
        for (int round = 0; round < MaxRounds; round++)
        {
            Result<int> pinned = PinRange(cpu, mm, address.Value, pages, flags);
            if (!pinned.Succeeded || !MustMove(cpu.Machine, pages[..pinned.Value]))
            {
                return pinned;
            }

            UnpinPages(cpu, pages[..pinned.Value]);
            if (!MoveAway(cpu, pages[..pinned.Value]))
            {
                break;
            }
        }

        return Errno.ENOMEM;
    }

    /// <summary>Gives pins back (<c>unpin_user_pages_dirty_lock()</c>).</summary>
    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="pages">Pages that <see cref="PinPages"/> handed out, each once.</param>
    /// <param name="dirty">Whether a device wrote to them.</param>
    /// <exception cref="ArgumentException">A page belongs to another machine.</exception>
    /// <exception cref="KernelBugException">A page is not pinned.</exception>
    public static void UnpinPages(this Cpu cpu, ReadOnlySpan<Page> pages, bool dirty = false)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        Machine machine = cpu.Machine;
        machine.ThrowIfDisposed();
        using OwnersLock.Scope scope = machine.EnterOwners();
        AddressSpaces spaces = machine.NeedsContents(machine.Mm);
        foreach (Page page in pages)
        {
            if (page.IsNull || !page.BelongsTo(machine))
            {
                throw new ArgumentException($"{page} is no page of this machine", nameof(pages));
            }

            if (page.FrameIndex == spaces.ZeroPfn)
            {
                continue;
            }

            int head = spaces.Pages.HeadOf(page.FrameIndex);
            ref PageFrame frame = ref spaces.Frames[head];
            if (!frame.MayBePinned)
            {
                machine.Bugs.Raise(KernelBugKind.NotAllocated, $"page 0x{page.FrameIndex:x} is unpinned but has {frame.RefCount} references", "A pin counts as 1024 references: the page was unpinned twice, or never pinned.\n", page);
                continue;
            }

            if (dirty)
            {
                MakeDirty(cpu, spaces, page.FrameIndex, head);
            }

            machine.Zones[frame.ZoneId].Node.Counters.FollPinReleased++;
            machine.Frames.AddReferences(head, 1 - PageFrame.PinBias);
            spaces.Pages.Put(cpu, head);
        }
    }

    private static void MakeDirty(Cpu cpu, AddressSpaces spaces, int pfn, int head)
    {
        if (spaces.Pages.IsAnon(head) || !cpu.Machine.Frames.Mappings.TryFind(spaces.Frames[head].Mapping, out FileMapping? mapping))
        {
            spaces.Pages.SetFlag(head, PageFlags.Dirty);
        }
        else
        {
            _ = mapping.SetDirty(cpu, pfn);
        }
    }

    private static Result<int> PinRange(Cpu cpu, MemoryDescriptor mm, ulong address, Span<Page> pages, PinFlags flags)
    {
        AddressSpaces spaces = mm.Spaces;
        bool write = (flags & PinFlags.Write) != 0;
        bool longTerm = (flags & PinFlags.LongTerm) != 0;
        for (int i = 0; i < pages.Length; i++)
        {
            Errno error = Errno.EFAULT;
            int pfn = -1;
            ulong at = address + ((ulong)i << PageGeometry.PageShift);
            if (mm.At(at) is { } vma && (vma.Flags & (write ? VmaFlags.Write : VmaFlags.Read)) != 0 && !WritesBehindFileSystem(vma, write && longTerm, spaces))
            {
                FaultResult result = spaces.Faults.FindToPin(cpu, vma, at, write, longTerm, out pfn);
                error = (result & FaultResult.Error) == 0 ? Errno.None : (result & FaultResult.Oom) != 0 ? Errno.ENOMEM : Errno.EFAULT;
            }

            if (error != Errno.None)
            {
                return i != 0 ? i : error;
            }

            mm.HasPinned = true;
            pages[i] = new Page(cpu.Machine, pfn);
            if (pfn != spaces.ZeroPfn)
            {
                int head = spaces.Pages.HeadOf(pfn);
                cpu.Machine.Frames.AddReferences(head, PageFrame.PinBias);
                cpu.Machine.Zones[spaces.Frames[head].ZoneId].Node.Counters.FollPinAcquired++;
            }
        }

        return pages.Length;
    }

    /// <summary>Whether a device would write to pages whose file system wants to know of each write (<c>writable_file_mapping_allowed()</c>, since 6.5).</summary>
    private static bool WritesBehindFileSystem(Vma vma, bool writesLong, AddressSpaces spaces) =>
        writesLong && spaces.Rules.RefusesLongWritePins && vma.IsShared && vma.Mapping is { WantsWriteNotify: true };

    private static bool MustMove(Machine machine, ReadOnlySpan<Page> pages)
    {
        foreach (Page page in pages)
        {
            if (!MayStay(machine, page))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Whether a page may be pinned for long where it is (<c>folio_is_longterm_pinnable()</c>).</summary>
    private static bool MayStay(Machine machine, Page page)
    {
        int pfn = page.FrameIndex;
        AddressSpaces spaces = machine.Mm!;
        if (pfn == spaces.ZeroPfn)
        {
            return true;
        }

        Zone zone = machine.Zones[spaces.Frames[spaces.Pages.HeadOf(pfn)].ZoneId];
        return zone.Type != ZoneType.Movable && zone.BlockType(pfn) is not ((int)MigrateType.Cma or (int)MigrateType.Isolate);
    }

    /// <summary>Moves pages to where they may stay (<c>migrate_longterm_unpinnable_folios()</c>).</summary>
    /// <returns>False when one could not be moved.</returns>
    private static bool MoveAway(Cpu cpu, ReadOnlySpan<Page> pages)
    {
        Machine machine = cpu.Machine;
        AddressSpaces spaces = machine.Mm!;
        PageMigrator migrator = machine.Migration.Migrator;
        machine.Lru.DrainAll(cpu);
        List<int> isolated = [];
        int last = -1;
        bool moves = true;
        foreach (Page page in pages)
        {
            int head = spaces.Pages.HeadOf(page.FrameIndex);
            if (head == last || MayStay(machine, page))
            {
                continue;
            }

            last = head;
            moves &= migrator.IsolateLru(head);
            if (moves)
            {
                isolated.Add(head);
            }
        }

        MigrationResult result = migrator.Migrate(cpu, isolated, new Pinnable(machine), MigrationMode.Sync, MigrationReason.LongtermPin);
        migrator.PutBackAll(cpu, isolated);
        return moves && result.Failed == 0;
    }

    /// <summary>Memory that nobody will want to move.</summary>
    private sealed class Pinnable(Machine machine) : IMigrationTargets
    {
        public int Take(Cpu cpu, int from, int order) =>
            machine.Pages.AllocateChecked(cpu, (order == 0 ? Gfp.User : Gfp.TransHuge & ~Gfp.Movable) | Gfp.NoWarn, order, machine.Zones[machine.Frames.Array[from].ZoneId].Node);

        public void GiveBack(Cpu cpu, int pfn) => machine.Pages.FreeBlock(cpu, pfn, machine.Frames.Array[pfn].Order);
    }
}
