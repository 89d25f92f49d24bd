namespace MemSim.Hugetlb;

/// <content>Huge pages with hardware errors.</content>
internal sealed partial class HugetlbMemory
{
    /// <summary>Where a huge page is mapped.</summary>
    public List<(Vma Vma, ulong Address)> Places(int head)
    {
        List<(Vma, ulong)> places = [];
        foreach (MemoryDescriptor mm in spaces.All)
        {
            for (Vma? vma = mm.Tree.First; vma is not null; vma = vma.Next)
            {
                if (vma.Hugetlb is null)
                {
                    continue;
                }

                ulong bytes = BytesOf(vma);
                for (ulong at = vma.StartValue; at < vma.EndValue; at += bytes)
                {
                    if (Find(vma, at, out ulong entry) != 0 && entry != 0 && _layout.Pfn(entry) == head)
                    {
                        places.Add((vma, at));
                    }
                }
            }
        }

        return places;
    }

    /// <summary>Takes a huge page out of these places; who uses them is told (<c>make_hwpoison_entry()</c>).</summary>
    /// <returns>Whether somebody wrote to it.</returns>
    public bool UnmapPoisoned(Cpu cpu, List<(Vma Vma, ulong Address)> places)
    {
        bool dirty = false;
        foreach ((Vma vma, ulong at) in places)
        {
            PageTables tables = vma.Mm.Tables;
            ulong slot = Find(vma, at, out ulong entry);
            int head = _layout.Pfn(entry);
            dirty |= _layout.IsDirty(entry);
            tables.WriteSlot(slot, _layout.MakeHwPoisonEntry(head));
            tables.Mmu.FlushRange(cpu, tables, new VirtualAddress(at), BytesOf(vma));
            Unmapped(cpu, vma, head);
        }

        return dirty;
    }

    /// <summary>Drops the reference of who dealt with the error; of a page that nobody has the good part goes to the page allocator.</summary>
    public void PutPoisoned(Cpu cpu, HugetlbPool pool, int head)
    {
        Put(cpu, pool, head);
        if (pool.TryFind(head, out _, out bool isFree) && isFree)
        {
            _ = pool.TryDissolve(cpu, head);
        }
    }

    private bool IsPoisoned(HugetlbPool pool, int head) => spaces.Machine.Frames.Poisoned.FirstIn(head, head + (1 << pool.Order)) >= 0;
}
