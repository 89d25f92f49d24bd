using FluentAssertions;
using MemSim.Lru;
using MemSim.Reclaim;
using MemSim.Tests.Reclaim;
using Xunit;

namespace MemSim.Tests.Lru;

/// <summary>Each cgroup has lists of its own on every node, and reclaim walks a tree of them.</summary>
public sealed class CgroupListsTests : IDisposable
{
    private const int Top = 1;
    private const int Left = 2;
    private const int Right = 3;
    private readonly Machine _machine = Machine.Boot(MachineSpec.X86_64("256M"));
    private readonly FakeOwners _owners;

    public CgroupListsTests()
    {
        _owners = new FakeOwners(_machine);
    }

    private Cpu Cpu => _machine.Cpus[0];

    private LruManager Lru => _machine.Lru;

    public void Dispose() => _machine.Dispose();

    [Fact]
    public void Pages_made_before_the_first_cgroup_stay_the_roots()
    {
        AddPages(0, 20);
        MakeTree();
        AddPages(Left, 30);

        LruVec root = Lru.VecOf(0, 0)!;
        root.Size(LruList.InactiveFile).Should().Be(50, "the root's subtree is all there is");
        root.Size(LruList.InactiveFile, 4).Should().Be(20);
        Lru.VecOf(0, Top)!.Size(LruList.InactiveFile).Should().Be(30);
        Lru.VecOf(0, Top)!.Size(LruList.InactiveFile, 4).Should().Be(0);
        _machine.Nodes[0].Counters.InactiveFile.Should().Be(50);
        _machine.Verify();
    }

    [Fact]
    public void A_tree_is_walked_from_the_top_each_cgroup_before_those_below_it()
    {
        MakeTree();
        LruVec top = Lru.VecOf(0, Top)!;
        List<int> walked = [];
        for (LruVec? vec = top; vec is not null; vec = vec.NextBelow(top))
        {
            walked.Add(vec.CgroupId);
        }

        walked.Should().Equal(Top, Left, Right);
        Lru.VecOf(0, 0)!.NextBelow(Lru.VecOf(0, 0)!).Should().BeSameAs(top);
        Lru.VecOf(0, Right)!.NextBelow(Lru.VecOf(0, 0)!).Should().BeNull();
    }

    [Fact]
    public void Reclaim_for_a_cgroup_leaves_the_others_alone()
    {
        MakeTree();
        AddPages(0, 64);
        AddPages(Left, 64);
        AddPages(Right, 64);
        ScanControl sc = new();
        sc.Start(Gfp.Kernel, 0, 4, 1000, isKswapd: false);
        sc.Target = Left;
        sc.Priority = 0;
        _machine.Reclaim.Vmscan.ShrinkNode(Cpu, _machine.Reclaim.Vmscan.StateOf(_machine.Nodes[0]), sc);

        sc.Reclaimed.Should().Be(64);
        Lru.VecOf(0, Left)!.Size(LruList.InactiveFile).Should().Be(0);
        Lru.VecOf(0, Right)!.Size(LruList.InactiveFile).Should().Be(64);
        _machine.Nodes[0].Counters.InactiveFile.Should().Be(128);
    }

    [Fact]
    public void Reclaim_for_the_machine_takes_from_every_cgroup()
    {
        MakeTree();
        AddPages(0, 64);
        AddPages(Left, 64);
        AddPages(Right, 64);
        ScanControl sc = new();
        sc.Start(Gfp.Kernel, 0, 4, 1000, isKswapd: false);
        sc.Priority = 1;
        _machine.Reclaim.Vmscan.ShrinkNode(Cpu, _machine.Reclaim.Vmscan.StateOf(_machine.Nodes[0]), sc);

        foreach (int cgroup in new[] { 0, Left, Right })
        {
            Lru.VecOf(0, cgroup)!.Size(LruList.InactiveFile, 4).Should().Be(32, "half of each list at priority 1");
        }
    }

    [Fact]
    public void An_evicted_page_remembers_the_time_of_the_cgroup_that_was_reclaimed_for()
    {
        MakeTree();
        int pfn = AddPages(Left, 1);
        LruVec left = Lru.VecOf(0, Left)!;
        left.Age(7);
        Lru.EvictFor(Cpu, Left);
        long shadow = Lru.EvictionShadow(Cpu, pfn);
        (left.NonresidentAge, Lru.VecOf(0, Top)!.NonresidentAge, Lru.VecOf(0, 0)!.NonresidentAge).Should().Be((8, 8, 8), "time passes above, too");

        Lru.Refault(Cpu, pfn, shadow);
        left.Counters[LruVecCount.RefaultFile].Should().Be(1);
        left.Counters[LruVecCount.ActivateFile].Should().Be(0, "nothing is active that it could have pushed out");
        Lru.Isolate(pfn).Should().BeTrue();
        _machine.Cgroups.Uncharge(Cpu, pfn);
        _machine.Cgroups.Remove("/top/right").Should().Be(Errno.None);
        _machine.Cgroups.Remove("/top/left").Should().Be(Errno.None);
        Lru.VecOf(0, Top)!.Counters[LruVecCount.RefaultFile].Should().Be(1, "what happened in it stays counted above");
        Lru.Refault(Cpu, pfn, shadow);
        _machine.Nodes[0].Counters.WorkingsetRefaultFile.Should().Be(1, "with the cgroup its clock is gone");
    }

    [Fact]
    public void Verify_names_the_cgroup_whose_count_is_wrong()
    {
        MakeTree();
        int pfn = AddPages(Left, 1);
        Recharge(pfn, Right);
        FluentActions.Invoking(Lru.Verify).Should().Throw<Exception>().WithMessage("*says of itself*");
        Recharge(pfn, Left);
        Lru.Verify();
    }

    private void MakeTree()
    {
        _machine.Cgroups.Create("/top").Id.Should().Be(Top);
        _machine.Cgroups.Create("/top/left").Id.Should().Be(Left);
        _machine.Cgroups.Create("/top/right").Id.Should().Be(Right);
    }

    private void Recharge(int pfn, int cgroup)
    {
        _machine.Cgroups.Uncharge(Cpu, pfn);
        _machine.Cgroups.TryCharge(Cpu, _machine.Cgroups.Of(cgroup), pfn, Gfp.Kernel).Should().BeTrue();
    }

    private int AddPages(int cgroup, int count)
    {
        int last = -1;
        for (int i = 0; i < count; i++)
        {
            // While it waits in the batch nobody asks whose it is.
            last = _owners.Read(Cpu);
            if (cgroup != 0)
            {
                _machine.Cgroups.TryCharge(Cpu, _machine.Cgroups.Of(cgroup), last, Gfp.Kernel).Should().BeTrue();
            }

            Lru.Drain(Cpu);
        }

        return last;
    }
}
