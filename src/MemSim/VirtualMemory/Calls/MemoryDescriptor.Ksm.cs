using MemSim.Ksm;

namespace MemSim;

/// <content>Areas that may be merged.</content>
public sealed partial class MemoryDescriptor
{
    /// <summary>What ksmd knows of it; null while it does not look at it.</summary>
    internal MergingSpace? Merging { get; set; }

    /// <summary>Whether all its areas may be merged (<c>MMF_VM_MERGE_ANY</c>).</summary>
    internal bool MergesAll { get; private set; }

    /// <summary>Pages of it that ksmd knows (<c>ksm_rmap_items</c>).</summary>
    internal long MergingItems { get; set; }

    /// <summary>Of these, those that are merged (<c>ksm_merging_pages</c>).</summary>
    internal long MergedPages { get; set; }

    /// <summary>Pages of zeroes in whose place ksmd put the kernel's one.</summary>
    internal long MergedZeroPages { get; set; }

    /// <summary>Whether an area may be merged.</summary>
    internal bool HasMergeable => Areas.Any(vma => (vma.Flags & VmaFlags.Mergeable) != 0);

    /// <summary>Lets all areas be merged, or none (<c>ksm_enable_merge_any()</c>, <c>ksm_disable_merge_any()</c>).</summary>
    internal Errno SetMergesAll(Cpu cpu, bool merges)
    {
        if (merges == MergesAll)
        {
            return Errno.None;
        }

        for (Vma? vma = _areas.First; vma is not null; vma = vma.Next)
        {
            if (merges)
            {
                vma.Flags |= MayMerge(vma) ? VmaFlags.Mergeable : 0;
                continue;
            }

            Errno error = Unmerge(cpu, vma, vma.StartValue, vma.EndValue);
            if (error != Errno.None)
            {
                return error;
            }

            vma.Flags &= ~VmaFlags.Mergeable;
        }

        MergesAll = merges;
        if (merges)
        {
            Machine.Ksm.Merger.Enter(this);
        }

        return Errno.None;
    }

    /// <summary>A child, or a new program, has what its parent has (<c>ksm_fork()</c>, <c>ksm_execve()</c>).</summary>
    internal void InheritMerging(MemoryDescriptor parent, bool isFork)
    {
        MergesAll = parent.MergesAll;
        if (MergesAll || (isFork && parent.Merging is not null))
        {
            Machine.Ksm.Merger.Enter(this);
        }
    }

    /// <summary>Advice that pages may be merged.</summary>
    private VmaFlags Merge(Vma vma)
    {
        if (!MayMerge(vma))
        {
            return VmaFlags.None;
        }

        Machine.Ksm.Merger.Enter(this);
        return VmaFlags.Mergeable;
    }

    /// <summary>Advice that they may not be: those that are get pages of their own.</summary>
    private Errno Unmerge(Cpu cpu, Vma vma, ulong start, ulong end) =>
        (vma.Flags & VmaFlags.Mergeable) == 0 ? Errno.None : Machine.Ksm.Merger.Unmerge(cpu, vma, start, end);
}
