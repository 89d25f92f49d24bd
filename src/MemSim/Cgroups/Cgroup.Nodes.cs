using System.Globalization;

namespace MemSim;

/// <content>Which nodes its processes may have memory of (<c>cpuset.mems</c>).</content>
public sealed partial class Cgroup
{
    /// <summary>What was written to <c>cpuset.mems</c>, a bit for each node; 0 for nothing, that is what the cgroup above has.</summary>
    internal ulong Nodes { get; private set; }

    /// <summary>The nodes that its processes may have memory of (<c>cpuset.mems.effective</c>): its own as far as the cgroup above has them, else those of the cgroup above.</summary>
    internal ulong EffectiveNodes
    {
        get
        {
            ulong nodes = NodesWithMemory;
            foreach (Cgroup cgroup in FromRoot())
            {
                nodes = (nodes & cgroup.Nodes) != 0 ? nodes & cgroup.Nodes : nodes;
            }

            return nodes;
        }
    }

    /// <summary>The cpuset of a task as reports name it (<c>cpuset_print_current_mems_allowed()</c>): the last part of the path of the nearest cgroup with nodes of its own.</summary>
    internal static string CpusetOf(KernelTask task)
    {
        Cgroup? at = (task as Process)?.Cgroup;
        while (at is { Nodes: 0 })
        {
            at = at.Parent;
        }

        return at is null || at.IsRoot ? "/" : at.Path[(at.Path.LastIndexOf('/') + 1)..];
    }

    private ulong NodesWithMemory
    {
        get
        {
            ulong nodes = 0;
            foreach (Node node in Tree.Machine.Nodes)
            {
                nodes |= node.PresentPages != 0 ? 1UL << node.Id : 0;
            }

            return nodes;
        }
    }

    /// <summary>Sets <c>cpuset.mems</c>: memory that processes have elsewhere moves (as version 2 does it).</summary>
    /// <returns>EINVAL for what is no list of nodes, or names one without memory.</returns>
    internal Errno SetNodes(string list)
    {
        if (!TryNodes(list, out ulong nodes) || (nodes & ~NodesWithMemory) != 0)
        {
            return Errno.EINVAL;
        }

        Nodes = nodes;
        foreach (Process process in Tree.Machine.Processes)
        {
            if (process.Cgroup.IsBelow(this))
            {
                process.Cgroup.ApplyNodes(process);
            }
        }

        return Errno.None;
    }

    /// <summary>A process is in the cgroup, or what it may use has changed: what it has elsewhere moves.</summary>
    internal void ApplyNodes(Process process)
    {
        ulong all = NodesWithMemory;
        ulong before = process.AllowedNodes & all;
        ulong now = EffectiveNodes;
        process.AllowedNodes = now == all ? ulong.MaxValue : now;
        if (before != now)
        {
            Tree.MovesMemory?.Invoke(process, before & ~now, now);
        }
    }

    private List<Cgroup> FromRoot()
    {
        List<Cgroup> path = [];
        for (Cgroup? at = this; at is not null; at = at.Parent)
        {
            path.Insert(0, at);
        }

        return path;
    }

    /// <summary>Reads a list as in <c>0-1,3</c>.</summary>
    private static bool TryNodes(string list, out ulong nodes)
    {
        nodes = 0;
        foreach (string part in list.Split(',', StringSplitOptions.RemoveEmptyEntries))
        {
            string[] ends = part.Split('-');
            if (ends.Length > 2 || !int.TryParse(ends[0], NumberStyles.None, CultureInfo.InvariantCulture, out int first)
                || !int.TryParse(ends[^1], NumberStyles.None, CultureInfo.InvariantCulture, out int last) || first > last || last > 63)
            {
                return false;
            }

            for (int node = first; node <= last; node++)
            {
                nodes |= 1UL << node;
            }
        }

        return true;
    }
}
