namespace MemSim.Oom;

/// <summary>A request that ran out of memory, and what it could have used (<c>struct oom_control</c>).</summary>
internal sealed class OomCase
{
    public OomCase(Machine machine, in ReclaimRequest request)
    {
        Cpu = request.Cpu;
        Gfp = request.Gfp;
        Order = request.Order;
        AllowedPages = AllPages(machine);

        // Only a policy that binds keeps a request from using other nodes.
        ulong withMemory = 0;
        foreach (Node node in machine.Nodes)
        {
            withMemory |= node.PresentPages != 0 ? 1UL << node.Id : 0;
        }

        if (Cpu.Current.Policy is { Mode: MemoryPolicyMode.Bind } policy && (withMemory & ~policy.NodeMask) != 0)
        {
            Constraint = OomConstraint.MemoryPolicy;
            NodeMask = policy.NodeMask;
            AllowedPages = machine.SystemFigures.SwapTotalPages;
            foreach (Node node in machine.Nodes)
            {
                AllowedPages += (policy.NodeMask >> node.Id & 1) != 0 ? node.PresentPages : 0;
            }
        }
        else if ((withMemory & ~Cpu.Current.AllowedNodes) != 0)
        {
            Constraint = OomConstraint.Cpuset;
            _cpuset = Cpu.Current.AllowedNodes;
            AllowedPages = machine.SystemFigures.SwapTotalPages;
            foreach (Node node in machine.Nodes)
            {
                AllowedPages += (_cpuset >> node.Id & 1) != 0 ? node.PresentPages : 0;
            }
        }
    }

    private readonly ulong _cpuset = ulong.MaxValue;

    /// <summary>A cgroup that is at its limit.</summary>
    public OomCase(Machine machine, Cpu cpu, Cgroup cgroup, Gfp gfp, int order)
    {
        Cpu = cpu;
        Gfp = gfp;
        Order = order;
        Constraint = OomConstraint.Cgroup;
        Cgroup = cgroup;
        long swap = Math.Min(machine.SystemFigures.SwapTotalPages, cgroup.Swap.Max);
        AllowedPages = Math.Max(1, Math.Min(AllPages(machine), cgroup.Memory.Max + (machine.Settings.Sysctls.Swappiness != 0 ? swap : 0)));
    }

    /// <summary>The cgroup whose limit it is; null when the machine is out of memory.</summary>
    public Cgroup? Cgroup { get; }

    public Cpu Cpu { get; }

    public Gfp Gfp { get; }

    public int Order { get; }

    public OomConstraint Constraint { get; }

    /// <summary>The nodes of the policy; null without one.</summary>
    public ulong? NodeMask { get; }

    /// <summary>Memory and swap that the request could have been served from: what <c>oom_score_adj</c> is a part of.</summary>
    public long AllowedPages { get; }

    /// <summary>Memory that the page allocator manages, and swap.</summary>
    public static long AllPages(Machine machine)
    {
        long pages = machine.SystemFigures.SwapTotalPages;
        foreach (Zone zone in machine.Zones)
        {
            pages += zone.ManagedPages;
        }

        return pages;
    }

    /// <summary>Whether a process can have memory where the request wants it (<c>oom_cpuset_eligible()</c>).</summary>
    public bool Concerns(Process process) => Cgroup is { } cgroup
        ? process.Cgroup.IsBelow(cgroup)
        : NodeMask is not { } mask ? (process.AllowedNodes & _cpuset) != 0
        : process.Policy is not { Mode: MemoryPolicyMode.Bind } policy || (policy.NodeMask & mask) != 0;
}
