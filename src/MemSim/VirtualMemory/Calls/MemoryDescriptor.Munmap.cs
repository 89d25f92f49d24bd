using MemSim.Lru;
using MemSim.Slab;
using MemSim.VirtualMemory;

namespace MemSim;

/// <content>Taking areas away.</content>
public sealed partial class MemoryDescriptor
{
    /// <summary>Unmaps a range, whatever areas it crosses (<c>munmap()</c>).</summary>
    /// <param name="address">The first address, page aligned.</param>
    /// <param name="length">Bytes; rounded up to pages.</param>
    /// <returns><see cref="Errno.None"/>, also when nothing was mapped; EINVAL, ENOMEM.</returns>
    public Errno Munmap(VirtualAddress address, long length)
    {
        using OwnersLock.Scope scope = _spaces.Enter();
        if (IsGone)
        {
            return Errno.ESRCH;
        }

        ulong start = address.Value;
        if ((start & PageMask) != 0 || start > _spaces.Addresses.TaskSize || (ulong)length > _spaces.Addresses.TaskSize - start || !Align(length, out ulong bytes) || bytes == 0)
        {
            return Errno.EINVAL;
        }

        return Told(UnmapRange(Cpu, start, start + bytes));
    }

    /// <summary>Unmaps a checked range.</summary>
    internal Errno UnmapRange(Cpu cpu, ulong start, ulong end, bool makesRoom = false)
    {
        Vma? first = _areas.FindIntersection(start, end);
        if (first is null)
        {
            return Errno.None;
        }

        if (CutsHugetlb(start, end))
        {
            return Errno.EINVAL;
        }

        RequireListeners(start, end);

        if (first.StartValue < start)
        {
            // Cutting a hole makes one area more; cutting ends off does not.
            Vma whole = first;
            if (end < first.EndValue && _areas.Count >= _spaces.Commit.MaxAreas)
            {
                return Errno.ENOMEM;
            }

            first = SplitUnchecked(cpu, whole, start);
            if (first is null)
            {
                return Errno.ENOMEM;
            }
        }

        Vma last = first;
        bool watched = first.Userfaults is not null;
        while (last.Next is { } next && next.StartValue < end)
        {
            last = next;
            watched |= next.Userfaults is not null;
        }

        if (last.EndValue > end && SplitUnchecked(cpu, last, end) is null)
        {
            if (first.Previous is { } before && before.EndValue == first.StartValue && first.StartValue == start && CanAppend(before, first.Flags, first.File, first.PgOff, first.AnonVma, first.Policy, first.Userfaults))
            {
                Absorb(cpu, before, first);
            }

            return Errno.ENOMEM;
        }

        if (watched)
        {
            NeedTidings().AddUnmap(first, start, end, makesRoom);
        }

        ulong floor = first.Previous?.EndValue ?? 0;
        Vma? behind = last.Next;
        NotePeak();
        MmuGather gather = new(_spaces, cpu, this);
        for (Vma vma = first; ; vma = vma.Next!)
        {
            gather.Zap(vma, vma.StartValue, vma.EndValue);
            if (ReferenceEquals(vma, last))
            {
                break;
            }
        }

        gather.Finish();
        for (Vma? vma = first; vma is not null && !ReferenceEquals(vma, behind);)
        {
            Vma? next = vma.Next;
            ReleaseVma(cpu, vma);
            vma = next;
        }

        long tables = Tables.TablePages;
        Tables.FreeTables(cpu, start, end, floor, behind?.StartValue ?? 0);
        if (Tables.TablePages != tables)
        {
            // Walk caches may know a table that is gone, even when nothing was mapped in it (tlb->freed_tables).
            Tables.Mmu.FlushRange(cpu, Tables, new VirtualAddress(start), end - start);
        }

        return Errno.None;
    }

    /// <summary>An area whose pages are unmapped goes.</summary>
    private void ReleaseVma(Cpu cpu, Vma vma)
    {
        long pages = vma.Pages;
        if ((vma.Flags & VmaFlags.Account) != 0)
        {
            _spaces.Commit.Uncharge(pages);
        }

        if ((vma.Flags & VmaFlags.Locked) != 0)
        {
            LockedPages -= pages;
        }

        Account(vma.Flags, -pages);
        RemoveVma(vma);
        _spaces.Anon.UnlinkAll(cpu, vma);
        vma.File?.Put(cpu);
        if (vma.Hugetlb is not null)
        {
            _spaces.Hugetlb.Close(cpu, vma);
        }

        FreeVma(cpu, vma);
    }

    /// <summary>Gives everything up (<c>exit_mmap()</c>).</summary>
    internal void Exit(Cpu cpu)
    {
        NotePeak();
        Machine.Ksm.Merger.Forget(this);
        this.LeaveEverywhere();
        MmuGather gather = new(_spaces, cpu, this);
        for (Vma? vma = _areas.First; vma is not null; vma = vma.Next)
        {
            gather.Zap(vma, vma.StartValue, vma.EndValue);
        }

        gather.Finish();
        Tables.FreeTables(cpu, 0, _spaces.Addresses.TaskSize, 0, 0);
        while (_areas.First is { } vma)
        {
            ReleaseVma(cpu, vma);
        }

        _spaces.Huge.Leave(this);
        Tables.Destroy(cpu);
        IsGone = true;
        _spaces.All.Remove(this);
        _spaces.Objects.Give(cpu, KernelObject.Mm, Memory);
    }
}
