using System.Globalization;
using MemSim.Ksm;
using MemSim.Lru;

namespace MemSim;

/// <content>Merging of equal pages, for all areas of a process, and what it came to.</content>
public sealed partial class Process
{
    /// <summary>Lets all areas that there are and will be be merged, or takes them all apart (<c>prctl(PR_SET_MEMORY_MERGE)</c>, since 6.4); children have it too.</summary>
    /// <param name="merge">Whether they may be.</param>
    /// <returns>EINVAL where the kernel has no such call, ESRCH, EPERM (needs CAP_SYS_RESOURCE), ENOMEM.</returns>
    public Errno SetMemoryMerge(bool merge)
    {
        if (!Machine.Personality.Ksm.MergesProcesses)
        {
            return Errno.EINVAL;
        }

        using OwnersLock.Scope scope = _spaces.Enter();
        return MmOrNull is not { } mm ? Errno.ESRCH : !Limits.IsAdmin ? Errno.EPERM : mm.SetMergesAll(DefaultCpu, merge);
    }

    /// <summary>Whether all areas may be merged (<c>prctl(PR_GET_MEMORY_MERGE)</c>).</summary>
    /// <exception cref="InvalidOperationException">The process has ended (ESRCH).</exception>
    public bool MemoryMerge => Mm.MergesAll;

    /// <summary>Entries of merged pages (<c>/proc/pid/ksm_merging_pages</c>).</summary>
    /// <exception cref="InvalidOperationException">The process has ended (ESRCH).</exception>
    public long KsmMergingPages => Mm.MergedPages;

    /// <summary>The text of <c>/proc/pid/ksm_stat</c>.</summary>
    /// <exception cref="InvalidOperationException">The process has ended (ESRCH).</exception>
    public string KsmStat
    {
        get
        {
            MemoryDescriptor mm = Mm;
            Kernels.KsmRules rules = Machine.Personality.Ksm;
            string text = string.Create(CultureInfo.InvariantCulture, $"ksm_rmap_items {mm.MergingItems}\n");
            if (rules.CountsZeroPages)
            {
                text += string.Create(CultureInfo.InvariantCulture, $"ksm_zero_pages {mm.MergedZeroPages}\n");
            }

            if (rules.MergesProcesses)
            {
                long profit = ((mm.MergedPages + mm.MergedZeroPages) << PageGeometry.PageShift) - (mm.MergingItems * RmapItem.Bytes);
                text += string.Create(CultureInfo.InvariantCulture, $"ksm_merging_pages {mm.MergedPages}\nksm_process_profit {profit}\n");
            }

            return rules.TellsMergeable ? text + $"ksm_merge_any: {(mm.MergesAll ? "yes" : "no")}\nksm_mergeable: {(mm.HasMergeable ? "yes" : "no")}\n" : text;
        }
    }
}
