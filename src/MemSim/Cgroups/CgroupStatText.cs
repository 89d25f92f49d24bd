using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using MemSim.Kernels;
using MemSim.Lru;

namespace MemSim.Cgroups;

/// <summary><c>memory.stat</c> and <c>memory.numa_stat</c> with the rows of the machine's kernel.</summary>
internal static class CgroupStatText
{
    /// <summary>The file <c>memory.stat</c>.</summary>
    public static string Of(Cgroup cgroup)
    {
        CgroupTree tree = cgroup.Tree;
        Dictionary<string, long> values = ValuesOf(tree.Machine, cgroup, null);
        AddEvents(cgroup, values);
        StringBuilder text = new();
        foreach (string row in CgroupRows.Stat(tree.Rows))
        {
            text.Append(CultureInfo.InvariantCulture, $"{row} {values.GetValueOrDefault(row)}\n");
        }

        return text.ToString();
    }

    /// <summary>The file <c>memory.numa_stat</c>.</summary>
    public static string ByNode(Cgroup cgroup)
    {
        Machine machine = cgroup.Tree.Machine;
        List<(Node Node, Dictionary<string, long> Values)> nodes = [.. machine.Nodes.Select(node => (node, ValuesOf(machine, cgroup, node)))];
        StringBuilder text = new();
        foreach (string row in CgroupRows.NumaStat(cgroup.Tree.Rows))
        {
            text.Append(row);
            foreach ((Node node, Dictionary<string, long> values) in nodes)
            {
                text.Append(CultureInfo.InvariantCulture, $" N{node.Id}={values.GetValueOrDefault(row)}");
            }

            text.Append('\n');
        }

        return text.ToString();
    }

    private static Dictionary<string, long> ValuesOf(Machine machine, Cgroup cgroup, Node? node)
    {
        ChargedPages pages = new(machine, cgroup, node);
        bool whole = node is null || ReferenceEquals(node, machine.Nodes[0]);
        long kernel = 0;
        long reclaimable = 0;
        long unreclaimable = 0;
        long compressed = 0;
        long stored = 0;
        long incompressible = 0;
        foreach (Cgroup part in CgroupTree.AllBelow(cgroup))
        {
            // Objects do not say on which node they lie: they are counted on the first.
            kernel += part.KernelPages;
            reclaimable += whole ? part.ReclaimableSlabBytes : 0;
            unreclaimable += whole ? part.UnreclaimableSlabBytes : 0;
            compressed += part.CompressedBytes;
            stored += part.CompressedPages;
            incompressible += part.IncompressiblePages;
        }

        static long Bytes(long count) => count << PageGeometry.PageShift;
        Dictionary<string, long> values = new(StringComparer.Ordinal)
        {
            ["anon"] = Bytes(pages.Anon),
            ["file"] = Bytes(pages.File),
            ["kernel"] = Bytes(kernel),
            ["kernel_stack"] = Bytes(pages.Stacks),
            ["pagetables"] = machine.Personality.Cgroups.CountsPageTables ? Bytes(pages.PageTables) : 0,
            ["vmalloc"] = Bytes(pages.Vmalloc),
            ["shmem"] = Bytes(pages.Shmem),
            ["zswap"] = compressed,
            ["zswapped"] = Bytes(stored),
            ["zswap_incomp"] = Bytes(incompressible),
            ["file_mapped"] = Bytes(pages.Mapped),
            ["file_dirty"] = Bytes(pages.Dirty),
            ["file_writeback"] = Bytes(pages.Writeback),
            ["swapcached"] = Bytes(pages.SwapCached),
            ["anon_thp"] = Bytes(pages.AnonHuge),
            ["file_thp"] = Bytes(pages.FileHuge),
            ["shmem_thp"] = Bytes(pages.ShmemHuge),
            ["inactive_anon"] = Bytes(pages.OnList(LruList.InactiveAnon)),
            ["active_anon"] = Bytes(pages.OnList(LruList.ActiveAnon)),
            ["inactive_file"] = Bytes(pages.OnList(LruList.InactiveFile)),
            ["active_file"] = Bytes(pages.OnList(LruList.ActiveFile)),
            ["unevictable"] = Bytes(pages.OnList(LruList.Unevictable)),
            ["slab_reclaimable"] = reclaimable,
            ["slab_unreclaimable"] = unreclaimable,
            ["slab"] = reclaimable + unreclaimable,
        };
        for (int i = 0; i < machine.Nodes.Count; i++)
        {
            if (node is null || ReferenceEquals(node, machine.Nodes[i]))
            {
                AddCounts(values, machine.Lru.VecOf(i, cgroup.Id)!, machine.Nodes[i].Counters, cgroup.IsRoot);
            }
        }

        return values;
    }

    /// <summary>Rows that are counted by node; for the root those of the whole node, which its own lists began with.</summary>
    private static void AddCounts(Dictionary<string, long> values, LruVec vec, NodeCounters node, bool root)
    {
        LruVecCounters c = vec.SumBelow();
        Add(values, "workingset_refault_anon", root ? node.WorkingsetRefaultAnon : c[LruVecCount.RefaultAnon]);
        Add(values, "workingset_refault_file", root ? node.WorkingsetRefaultFile : c[LruVecCount.RefaultFile]);
        Add(values, "workingset_activate_anon", root ? node.WorkingsetActivateAnon : c[LruVecCount.ActivateAnon]);
        Add(values, "workingset_activate_file", root ? node.WorkingsetActivateFile : c[LruVecCount.ActivateFile]);
        Add(values, "workingset_restore_anon", root ? node.WorkingsetRestoreAnon : c[LruVecCount.RestoreAnon]);
        Add(values, "workingset_restore_file", root ? node.WorkingsetRestoreFile : c[LruVecCount.RestoreFile]);
        for (LruVecCount count = LruVecCount.ScanKswapd; count < LruVecCount.Count; count++)
        {
            Add(values, CountRows[count - LruVecCount.ScanKswapd], c[count]);
        }
    }

    private static void AddEvents(Cgroup cgroup, Dictionary<string, long> values)
    {
        for (CgroupStat stat = 0; stat < CgroupStat.Count; stat++)
        {
            values[EventRows[(int)stat]] = cgroup.StatOf(stat);
        }

        values["pgscan"] = Sum(values, "pgscan_kswapd", "pgscan_direct", "pgscan_khugepaged", "pgscan_proactive");
        values["pgsteal"] = Sum(values, "pgsteal_kswapd", "pgsteal_direct", "pgsteal_khugepaged", "pgsteal_proactive");
        if (cgroup.Tree.Rows < RowSet.Of6_18)
        {
            // Where proactive reclaim has no rows of its own it is direct reclaim.
            values["pgscan_direct"] += values["pgscan_proactive"];
            values["pgsteal_direct"] += values["pgsteal_proactive"];
        }
    }

    /// <summary>By <see cref="LruVecCount"/>, from <see cref="LruVecCount.ScanKswapd"/> on.</summary>
    private static readonly ImmutableArray<string> CountRows =
    [
        "pgscan_kswapd", "pgscan_direct", "pgscan_khugepaged", "pgscan_proactive", "pgsteal_kswapd", "pgsteal_direct", "pgsteal_khugepaged", "pgsteal_proactive",
        "pgrefill", "pgactivate", "pgdeactivate", "pglazyfree", "pglazyfreed",
    ];

    /// <summary>By <see cref="CgroupStat"/>.</summary>
    private static readonly ImmutableArray<string> EventRows =
        ["pgfault", "pgmajfault", "pswpin", "pswpout", "thp_fault_alloc", "thp_collapse_alloc", "thp_swpout", "thp_swpout_fallback", "swpin_zero", "swpout_zero", "zswpin", "zswpout", "zswpwb"];

    private static long Sum(Dictionary<string, long> values, params ReadOnlySpan<string> rows)
    {
        long sum = 0;
        foreach (string row in rows)
        {
            sum += values[row];
        }

        return sum;
    }

    private static void Add(Dictionary<string, long> values, string row, long pages) => values[row] = values.GetValueOrDefault(row) + pages;
}
