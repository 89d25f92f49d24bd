namespace MemSim;

/// <content>The memory cgroup of a process.</content>
public sealed partial class Process
{
    /// <summary>The memory cgroup it is in; children begin in their parent's. What was charged before a move stays where it is (<c>cgroup.procs</c>).</summary>
    /// <exception cref="ArgumentException">The cgroup is another machine's, or was removed.</exception>
    public Cgroup Cgroup
    {
        get => Machine.Cgroups.OfOrNull(CgroupId) ?? Machine.Cgroups.Root;
        set
        {
            ArgumentNullException.ThrowIfNull(value);
            if (!ReferenceEquals(value.Tree.Machine, Machine) || value.IsRemoved)
            {
                throw new ArgumentException($"{value.Path} {(value.IsRemoved ? "was removed" : "belongs to another machine")}", nameof(value));
            }

            CgroupId = value.Id;
            value.ApplyNodes(this);
            if (MmOrNull is { } mm)
            {
                mm.WalkedForAging = 0;
            }
        }
    }
}
