using FluentAssertions;
using MemSim.Lru;
using MemSim.Reclaim;
using Xunit;

namespace MemSim.Tests.Lru;

/// <summary>By generations cgroups take turns (6.3): who has something stays first, who was aged or is empty waits for all others.</summary>
public sealed class CgroupRotationTests : IDisposable
{
    private readonly Machine _machine = Machine.Boot(MachineSpec.X86_64("256M").WithKernel("7.3"));
    private readonly CgroupRotation _rotation;

    public CgroupRotationTests()
    {
        _machine.Cgroups.Create("/a");
        _machine.Cgroups.Create("/b");
        _rotation = new CgroupRotation(Of(0));
    }

    public void Dispose() => _machine.Dispose();

    [Fact]
    public void A_pass_begins_with_the_same_cgroup_until_that_gives_its_place_up()
    {
        Pass().Should().Equal(0, 1, 2);
        _rotation.First().CgroupId.Should().Be(0, "nobody has moved");
        _rotation.MakeYoung(Of(0));
        Pass().Should().Equal(1, 2);
        _rotation.MoveToTail(Of(1));
        Pass().Should().Equal(2, 1);
        Of(1).Rotation.IsAtTail.Should().BeTrue();
    }

    [Fact]
    public void The_young_come_up_when_all_had_their_turn_in_the_order_in_which_they_had_it()
    {
        _rotation.First();
        _rotation.MakeYoung(Of(2));
        _rotation.MakeYoung(Of(0));
        Pass().Should().Equal(1);
        _rotation.MakeYoung(Of(1));
        Pass().Should().Equal(2, 0, 1);
        Of(1).Rotation.IsAtTail.Should().BeFalse();
    }

    [Fact]
    public void A_new_cgroup_comes_last_and_one_that_is_gone_leaves_no_gap()
    {
        _rotation.First();
        _machine.Cgroups.Create("/c");
        Pass().Should().Equal(0, 1, 2, 3);
        _rotation.MakeYoung(Of(0));
        _rotation.MakeYoung(Of(3));
        _machine.Cgroups.Remove("/a").Should().Be(Errno.None);
        _machine.Cgroups.Remove("/b").Should().Be(Errno.None);
        Pass().Should().Equal(0, 3);
    }

    private LruVec Of(int cgroup) => _machine.Lru.VecOf(0, cgroup)!;

    private List<int> Pass()
    {
        List<int> order = [];
        LruVec? lists = _rotation.First();
        for (long sequence = _rotation.Sequence; lists is not null; lists = _rotation.Next(lists, sequence))
        {
            order.Add(lists.CgroupId);
        }

        return order;
    }
}
