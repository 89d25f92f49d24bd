using MemSim.Lru;
using MemSim.Pages;
using MemSim.Zones;

namespace MemSim.Cgroups;

/// <summary>The pages of a cgroup and those below it, by kind: counted when somebody reads <c>memory.stat</c>, by looking at every block in use.</summary>
/// <remarks>A kernel keeps these counts as pages change. Here nothing has to be done then, and the counts cannot be wrong.</remarks>
internal sealed class ChargedPages
{
    private readonly long[] _lists = new long[LruVec.ListHeads];

    public ChargedPages(Machine machine, Cgroup top, Node? node = null)
    {
        bool all = top.IsRoot;
        bool[] wanted = new bool[FrameCgroups.MaxId + 1];
        foreach (Cgroup cgroup in CgroupTree.AllBelow(top))
        {
            wanted[cgroup.Id] = true;
        }

        if (!all)
        {
            AddCharged(machine, wanted, node);
            return;
        }

        foreach (Zone zone in machine.Zones)
        {
            if (node is not null && zone.Node != node)
            {
                continue;
            }

            FramesInUse used = new(machine, zone.StartPfn.Value, zone.EndPfn.Value);
            while (used.MoveNext())
            {
                ref PageFrame frame = ref machine.Frames.Array[used.Pfn];
                int id = machine.Hooks.Charges?.IdOf(used.Pfn) ?? 0;
                if (frame.ZoneId == zone.Id && wanted[id])
                {
                    Add(machine, ref frame, used.Pfn, id);
                }
            }
        }
    }

    public long Anon { get; private set; }

    public long File { get; private set; }

    public long Shmem { get; private set; }

    public long Mapped { get; private set; }

    public long Dirty { get; private set; }

    public long Writeback { get; private set; }

    public long SwapCached { get; private set; }

    public long AnonHuge { get; private set; }

    public long FileHuge { get; private set; }

    public long ShmemHuge { get; private set; }

    public long PageTables { get; private set; }

    public long Stacks { get; private set; }

    public long Vmalloc { get; private set; }

    public long OnList(LruList list) => _lists[(int)list];

    /// <summary>Of any cgroup but the root only frames that somebody pays for are looked at.</summary>
    private void AddCharged(Machine machine, bool[] wanted, Node? node)
    {
        for (int pfn = machine.Cgroups.NextCharged(0); pfn >= 0; pfn = machine.Cgroups.NextCharged(pfn + 1))
        {
            int id = machine.Hooks.Charges?.IdOf(pfn) ?? 0;
            if (id == 0 || !wanted[id])
            {
                continue;
            }

            machine.Frames.Untouched.Touch(pfn);
            ref PageFrame frame = ref machine.Frames.Array[pfn];
            if (frame.RefCount != 0 && (node is null || machine.Zones[frame.ZoneId].Node == node))
            {
                Add(machine, ref frame, pfn, id);
            }
        }
    }

    private void Add(Machine machine, ref PageFrame frame, int pfn, int id)
    {
        long pages = 1L << frame.Order;
        if (id != 0 && machine.Cgroups.KindOf(pfn) is var kind and not ChargeKind.User)
        {
            PageTables += frame.InvertedMapCount == (int)PageType.Table ? pages : 0;
            Stacks += kind == ChargeKind.Stack ? pages : 0;
            Vmalloc += kind == ChargeKind.Vmalloc ? pages : 0;
            return;
        }

        if (frame.IsOnLru)
        {
            int slot = frame.IsUnevictable ? -1 : machine.Lru.Ages.Generation(pfn);
            LruList list = slot < 0 ? LruVec.ListOf(frame.StoredFlags) : machine.Lru.OfPage(pfn).Generations!.ListOf(slot, LruGenerations.KindOf(frame));
            _lists[(int)list] += pages;
        }

        bool huge = frame.Order >= machine.ZoneTable.PageblockOrder && frame.Order != 0;
        if (frame.IsAnonymous)
        {
            long mapped = frame.MapCount != 0 || frame.Order != 0 ? pages : 0;
            Anon += mapped;
            AnonHuge += huge ? mapped : 0;
            SwapCached += frame.InSwapCache ? pages : 0;
            Writeback += frame.IsUnderWriteback ? pages : 0;
        }
        else if (frame.IsOfFile)
        {
            bool shmem = frame.IsSwapBacked;
            File += pages;
            Shmem += shmem ? pages : 0;
            Mapped += frame.MapCount != 0 ? pages : 0;
            Dirty += frame.IsDirty && !shmem ? pages : 0;
            Writeback += frame.IsUnderWriteback ? pages : 0;
            FileHuge += huge && !shmem ? pages : 0;
            ShmemHuge += huge && shmem ? pages : 0;
        }
    }
}
