using System.Runtime.CompilerServices;
using MemSim.PageCache;

namespace MemSim.Faults;

/// <content>Entries without rights in areas that have them: somebody wants to know of the next use.</content>
internal sealed partial class PageFaults
{
    /// <summary>Gives an entry its rights again and tells whoever took them.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private FaultResult HintFault(Cpu cpu, Vma vma, ulong address, ulong slot, ulong entry)
    {
        int pfn = _entries.NormalPage(vma, address, entry);
        ulong made = RestoreRights(vma, entry, alone: pfn >= 0 && _pages.IsAnon(pfn) && _pages.IsExclusive(pfn), known: pfn >= 0);
        if (!vma.Mm.Tables.TryChangeSlot(slot, ref entry, made))
        {
            return FaultResult.None;
        }

        Story?.Add($"the entry had no rights, to learn of this use: it has them again (page 0x{pfn:x})");
        if (pfn >= 0)
        {
            _spaces.Hints?.Used(cpu, vma, address, pfn, 1);
        }

        return FaultResult.None;
    }

    /// <summary>An entry with the rights that its area and its page give at once (<c>numa_rebuild_single_mapping()</c>).</summary>
    internal ulong RestoreRights(Vma vma, ulong entry, bool alone, bool known)
    {
        ulong made = _layout.MakeYoung(_layout.Modify(entry, vma.PageBits));
        bool writable = known && (vma.Flags & VmaFlags.Write) != 0 && (vma.IsShared ? _layout.IsDirty(made) : alone);
        return writable ? _layout.MakeWritable(made) : made;
    }
}
