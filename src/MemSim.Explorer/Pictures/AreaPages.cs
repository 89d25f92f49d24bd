namespace MemSim.Explorer.Pictures;

/// <summary>The pages of an area of a process: which are present, shared, swapped out.</summary>
/// <param name="States">A word a cell; of a large area a cell stands for several pages.</param>
/// <param name="Text">The same counted.</param>
public sealed record AreaPages(IReadOnlyList<string> States, string Text)
{
    private const int MostCells = 256;
    private const ulong PresentBit = 1UL << 63;
    private const ulong SwappedBit = 1UL << 62;
    private const ulong FrameMask = (1UL << 55) - 1;

    /// <summary>Looks at an area through <c>/proc/PID/pagemap</c>.</summary>
    public static AreaPages Of(Machine machine, Process process, Vma area)
    {
        ArgumentNullException.ThrowIfNull(machine);
        ArgumentNullException.ThrowIfNull(process);
        ArgumentNullException.ThrowIfNull(area);
        int pages = (int)Math.Min(area.Pages, 1 << 16);
        IReadOnlyList<ulong> map = process.PageMap(area.Start, pages);
        int perCell = Math.Max(1, (pages + MostCells - 1) / MostCells);
        List<string> states = [];
        int present = 0;
        int shared = 0;
        int swapped = 0;
        for (int first = 0; first < pages; first += perCell)
        {
            string cell = "absent";
            for (int i = first; i < Math.Min(pages, first + perCell); i++)
            {
                string state = StateOf(machine, map[i]);
                present += state == "present" ? 1 : 0;
                shared += state == "shared" ? 1 : 0;
                swapped += state == "swapped" ? 1 : 0;
                cell = state == "absent" ? cell : state;
            }

            states.Add(cell);
        }

        return new AreaPages(states, $"{area.Pages} pages: {present} present and its own, {shared} shared, {swapped} swapped out, {pages - present - shared - swapped} not there{(perCell > 1 ? $" (a cell is {perCell} pages)" : string.Empty)}");
    }

    /// <summary>The area's rights as <c>/proc/PID/maps</c> writes them.</summary>
    public static string Protection(Vma area)
    {
        ArgumentNullException.ThrowIfNull(area);
        return $"{((area.Flags & VmaFlags.Read) != 0 ? 'r' : '-')}{((area.Flags & VmaFlags.Write) != 0 ? 'w' : '-')}{((area.Flags & VmaFlags.Exec) != 0 ? 'x' : '-')}{((area.Flags & VmaFlags.Shared) != 0 ? 's' : 'p')}";
    }

    private static string StateOf(Machine machine, ulong entry)
    {
        if ((entry & SwappedBit) != 0)
        {
            return "swapped";
        }

        if ((entry & PresentBit) == 0)
        {
            return "absent";
        }

        return machine.TryGetPage(new Pfn((long)(entry & FrameMask)), out Page page) && page.MapCount > 1 ? "shared" : "present";
    }
}
