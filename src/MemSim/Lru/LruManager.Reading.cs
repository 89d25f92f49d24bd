namespace MemSim.Lru;

/// <content>Lists as readers see them.</content>
internal sealed partial class LruManager
{
    /// <summary>The pages of one of a node's lists, the youngest first; reclaim looks from the end. By generation: those that count as active or not, generation after generation.</summary>
    public List<int> Read(Node node, LruList list)
    {
        LruVec vec = _vecs.First(v => v.Node == node && v.CgroupId == 0);
        List<int> pages = [];
        vec.Enter();
        if (list < LruList.Unevictable && vec is { ByGeneration: true, Generations: { } generations })
        {
            int kind = list >= LruList.InactiveFile ? 1 : 0;
            for (long sequence = generations.MaxSequence; sequence >= generations.MinSequence(kind); sequence--)
            {
                int slot = LruGenerations.Slot(sequence);
                for (int zone = 0; zone < node.Zones.Count && generations.IsActive(slot) == ((int)list % 2 == 1); zone++)
                {
                    Walk(generations.Head(slot, kind, zone), pages);
                }
            }
        }
        else if (list < LruList.Unevictable)
        {
            Walk(vec.Head(list), pages);
        }

        vec.Exit();
        return pages;
    }

    private void Walk(int head, List<int> pages)
    {
        for (int pfn = _frames[head].Next; pfn != head; pfn = _frames[pfn].Next)
        {
            pages.Add(pfn);
        }
    }
}
