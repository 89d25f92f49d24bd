using MemSim.PageCache;

namespace MemSim.HugePages;

/// <content>Entries of huge pages without rights, by which somebody learns of the next use.</content>
internal sealed partial class TransparentHugeMemory
{
    /// <summary>Takes the rights of an entry away until the next use (<c>change_huge_pmd()</c> with <c>MM_CP_PROT_NUMA</c>).</summary>
    /// <param name="vma">The area.</param>
    /// <param name="slot">The entry's place.</param>
    /// <param name="entry">The entry.</param>
    /// <param name="bits">The bits of an area without rights.</param>
    public void TakeRights(Vma vma, ulong slot, ulong entry, ulong bits)
    {
        while (!vma.Mm.Tables.TryChangeSlot(slot, ref entry, _layout.MakeHuge(_layout.Modify(_layout.MakeSmall(entry), bits))))
        {
        }
    }

    /// <summary>Gives the entry its rights again and tells whoever took them (<c>do_huge_pmd_numa_page()</c>).</summary>
    private FaultResult HintFault(Cpu cpu, Vma vma, ulong address, ulong slot, ulong entry)
    {
        int head = _layout.Pfn(_layout.MakeSmall(entry));
        bool known = !IsZero(entry);
        ulong made = _layout.MakeHuge(_spaces.Faults.RestoreRights(vma, _layout.MakeSmall(entry), alone: known && _spaces.Pages.IsExclusive(head), known));
        if (vma.Mm.Tables.TryChangeSlot(slot, ref entry, made) && known)
        {
            _spaces.Hints?.Used(cpu, vma, address, head, Pages);
        }

        return FaultResult.None;
    }
}
