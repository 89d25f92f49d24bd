using MemSim.Hardware;
using MemSim.VirtualMemory;

namespace MemSim;

/// <content>Guards: addresses inside areas at which every access gets SIGSEGV (<c>MADV_GUARD_INSTALL</c>, since 6.13).</content>
public sealed partial class MemoryDescriptor
{
    /// <summary>Gives up the pages of a range and puts guards in their place (<c>madvise_guard_install()</c>).</summary>
    private Errno InstallGuards(Cpu cpu, Vma vma, ulong start, ulong end)
    {
        if ((vma.Flags & (VmaFlags.HugeTlb | VmaFlags.DontExpand | VmaFlags.Locked)) != 0)
        {
            return Errno.EINVAL;
        }

        // Guards are known by their entries only, and fork must copy those: it does where there is anonymous memory, and in marked areas.
        bool marks = _spaces.Rules.MarksGuardedAreas;
        if ((vma.IsAnonymous || !marks) && vma.AnonVma is null && !_spaces.Anon.Prepare(cpu, vma))
        {
            return Errno.ENOMEM;
        }

        vma.Flags |= marks ? VmaFlags.MaybeGuard : 0;
        NotePeak();
        MmuGather gather = new(_spaces, cpu, this);
        gather.Zap(vma, start, end);
        gather.Finish();
        ulong guard = _spaces.Layout.MakeMarker(PteMarkers.Guard);
        for (ulong at = start; at < end; at += PageGeometry.PageSize)
        {
            ulong slot = Tables.EnsureSlot(cpu, at);
            if (slot == 0)
            {
                return Errno.ENOMEM;
            }

            Tables.WriteSlot(slot, guard);
        }

        return Errno.None;
    }

    /// <summary>Takes guards away; pages between them stay (<c>madvise_guard_remove()</c>).</summary>
    private Errno RemoveGuards(Cpu cpu, Vma vma, ulong start, ulong end)
    {
        if ((vma.Flags & (VmaFlags.HugeTlb | VmaFlags.DontExpand)) != 0)
        {
            return Errno.EINVAL;
        }

        _ = cpu;
        PageTableCursor cursor = new(_spaces, vma, start, end);
        while (cursor.Next())
        {
            if (cursor.IsHuge)
            {
                continue;
            }

            TableEntries table = cursor.Entries;
            while (table.Next(out ulong entry))
            {
                if ((_spaces.Layout.Markers(entry) & PteMarkers.Guard) != 0)
                {
                    Tables.WriteSlot(table.Slot, 0);
                }
            }
        }

        return Errno.None;
    }

    /// <summary>Makes huge pages of the aligned ranges in a part of an area (<c>madvise_collapse()</c>).</summary>
    private Errno Collapse(Cpu cpu, Vma vma, ulong start, ulong end)
    {
        if (!_spaces.Huge.MayCollapse(vma))
        {
            return Errno.EINVAL;
        }

        ulong mask = _spaces.Huge.Bytes - 1;
        ulong first = (start + mask) & ~mask;
        ulong stop = end & ~mask;
        if (first > stop)
        {
            return Errno.EINVAL;
        }

        _spaces.UsesHugePages = true;
        _spaces.Machine.Lru.DrainAll(cpu);
        Errno result = Errno.None;
        for (ulong at = first; at < stop; at += _spaces.Huge.Bytes)
        {
            Errno one = _spaces.Huge.CollapseAdvised(cpu, vma, at);
            result = one == Errno.None ? result : one;
            if (one is Errno.ENOMEM or Errno.EBUSY)
            {
                break;
            }
        }

        return result;
    }

    /// <summary>Whether ksmd may merge pages of an area (<c>vma_ksm_compatible()</c>); advice about others is taken and does nothing.</summary>
    private static bool MayMerge(Vma vma) => MayMerge(vma.Flags);

    private static bool MayMerge(VmaFlags flags) => (flags & (VmaFlags.Shared | VmaFlags.MayShare | VmaFlags.DontExpand | VmaFlags.HugeTlb)) == 0;
}
