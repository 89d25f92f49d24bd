namespace MemSim;

/// <summary>What the page frames of a machine cost, in the real kernel and here.</summary>
/// <param name="Model">The memory model.</param>
/// <param name="KernelBytes">Bytes of <c>struct page</c> that the real kernel backs with memory: all spanned frames with FLATMEM, those that each node spans with DISCONTIGMEM, those of sections with memory with SPARSEMEM.</param>
/// <param name="KernelSections">Sections of 128 MiB with memory (SPARSEMEM); 0 without sections.</param>
/// <param name="KernelTableBytes">Bytes of the table of sections; 0 without.</param>
/// <param name="HostReservedBytes">Host address space this machine's frames take; only what is touched takes host memory.</param>
public readonly record struct MemoryMapCost(MemoryModel Model, long KernelBytes, long KernelSections, long KernelTableBytes, long HostReservedBytes)
{
    private const int SectionOrder = PageGeometry.SectionShift - PageGeometry.PageShift;
    private const int BytesOf64BitStructPage = 64;
    private const int BytesOf32BitStructPage = 40;
    private const int BytesOfMemSection = 32;

    /// <summary>Pages in a section of SPARSEMEM: 128 MiB; 512 MiB with pages of 64 KiB.</summary>
    public static long PagesPerSection => 1L << SectionOrder;

    internal static MemoryMapCost Of(MemoryModel model, ArchitectureInfo architecture, IReadOnlyList<(long Start, long End, int Node)> ranges, long reservedBytes)
    {
        long structPage = architecture.Bits == 64 ? BytesOf64BitStructPage : BytesOf32BitStructPage;
        if (ranges.Count == 0)
        {
            return new MemoryMapCost(model, 0, 0, 0, reservedBytes);
        }

        if (!model.HasSections())
        {
            long spanned = ranges.GroupBy(r => model == MemoryModel.Flat ? 0 : r.Node).Sum(node => node.Max(r => r.End) - node.Min(r => r.Start));
            return new MemoryMapCost(model, spanned * structPage, 0, 0, reservedBytes);
        }

        long sections = 0;
        long next = 0;
        foreach ((long start, long end, _) in ranges.OrderBy(r => r.Start))
        {
            long first = Math.Max(start >> SectionOrder, next);
            long last = (end - 1) >> SectionOrder;
            sections += Math.Max(0, last - first + 1);
            next = Math.Max(next, last + 1);
        }

        return new MemoryMapCost(model, sections * PagesPerSection * structPage, sections, next * BytesOfMemSection, reservedBytes);
    }
}
