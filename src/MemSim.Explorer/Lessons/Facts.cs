using MemSim.Explorer.Sessions;

namespace MemSim.Explorer.Lessons;

/// <summary>Short ways to ask a machine, for the texts of lessons.</summary>
internal static class Facts
{
    public static Zone Zone(this Session session, string name) => session.Machine.Zones.First(z => z.IsPopulated && z.Name == name);

    public static long Blocks(this Session session, string zone, int order) => session.Zone(zone).FreeBlocks(order);

    public static (Pfn Pfn, int Order) Block(this Session session, string name) => ((HeldPages)session.Held[name]).Blocks[0];

    public static Mark MarkOf(this Session session, string name, string label)
    {
        (Pfn pfn, int order) = session.Block(name);
        return new Mark(pfn.Value, 1L << order, label);
    }

    public static Pfn? FirstFree(this Session session, string zone, int order)
    {
        foreach (MigrateType type in Enum.GetValues<MigrateType>())
        {
            foreach (Pfn pfn in session.Zone(zone).FreeList(order, type))
            {
                return pfn;
            }
        }

        return null;
    }

    public static int Pageblocks(this Session session, MigrateType type)
    {
        int count = 0;
        foreach (Zone zone in session.Machine.Zones.Where(z => z.IsPopulated))
        {
            for (long pfn = zone.StartPfn.Value; pfn < zone.EndPfn.Value; pfn += 1 << session.Machine.Memory.PageblockOrder)
            {
                count += zone.PageblockType(new Pfn(pfn)) == type ? 1 : 0;
            }
        }

        return count;
    }

    public static NodeCounters Counters(this Session session) => session.Machine.Nodes[0].Counters;

    public static long FreePages(this Session session) => session.Machine.Zones.Sum(z => z.TrueFreePages);

    public static string Size(long pages) => pages >= 1 << 10 ? $"{pages >> 8} MiB" : $"{pages * 4} KiB";

    public static Process Process(this Session session, string name) => ((HeldProcess)session.Held[name]).Process;

    public static string LastText(this Session session) => session.Done.Count > 0 ? session.Done[^1].Text : string.Empty;
}
