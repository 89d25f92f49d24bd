namespace MemSim.Boot;

/// <content>What does not fit into the descriptor of a page.</content>
internal sealed partial class EarlyAllocationStage
{
    /// <summary>On 32-bit kernels the flags of idle page tracking have no room among those of a page: a word more for each (<c>page_ext_init_flatmem()</c>).</summary>
    public void AllocatePageExtensions(IEnumerable<int> nodes)
    {
        const long MaxOrderPages = 1L << PageGeometry.MaxOrder;
        if ((spec.Recorded & PageRecords.Idleness) == 0 || ArchitectureInfo.Of(spec.Architecture).Bits != 32)
        {
            return;
        }

        foreach (int node in nodes)
        {
            List<(long Start, long End, int Node)> ranges = [.. memblock.PageRanges().Where(range => range.Node == node)];
            if (ranges.Count > 0)
            {
                bool aligned = (ranges[0].Start | ranges[^1].End) % MaxOrderPages == 0;
                long pages = ranges[^1].End - ranges[0].Start + (aligned ? 0 : MaxOrderPages);
                Allocate("page extensions", (ulong)pages * sizeof(uint), Page, LowestPreferred, node);
            }
        }
    }
}
