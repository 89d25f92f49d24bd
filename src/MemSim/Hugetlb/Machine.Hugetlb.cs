namespace MemSim;

/// <content>Pools of huge pages.</content>
public sealed partial class Machine
{
    /// <summary>Huge pages kept aside for who asks for them by name (<c>vm.nr_hugepages</c>, hugetlbfs).</summary>
    public MachineHugetlb Hugetlb { get; private set; } = null!;
}
