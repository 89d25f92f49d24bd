using System.Globalization;
using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Reclaim;

/// <summary>Objects kept after use: what reclaim takes of them, in which order, and what it leaves alone.</summary>
public sealed class LruObjectCacheTests : IDisposable
{
    private readonly Machine _machine = Machine.Boot(MachineSpec.X86_64("256M"));
    private readonly LruObjectCache<long, Inode> _inodes;

    public LruObjectCacheTests()
    {
        _inodes = new LruObjectCache<long, Inode>(_machine.Slab.CreateCache<Inode>("inode", SlabFlags.ReclaimAccount), number => new Inode { Number = number });
        _machine.Reclaim.RegisterShrinker(_inodes);
    }

    private Cpu Cpu => _machine.Cpus[0];

    public void Dispose() => _machine.Dispose();

    [Fact]
    public void An_object_is_found_again_until_it_is_dropped()
    {
        VirtualAddress first = Use(7);
        _inodes.UnusedCount.Should().Be(1);
        Use(7).Should().Be(first);
        (_inodes.Hits, _inodes.Misses).Should().Be((1, 1));
        _machine.Sysctl.Set("vm.drop_caches", "2");
        _inodes.ObjectCount.Should().Be(0);
        _machine.Verify();
    }

    [Fact]
    public void Memory_that_runs_out_takes_unused_objects_and_no_others()
    {
        VirtualAddress held = _inodes.Get(Cpu, -1);
        int objectsOfMemory = (int)_machine.Zones.Sum(z => z.ManagedPages) * (PageGeometry.PageSize / 2048);
        for (int i = 0; i < 2 * objectsOfMemory; i++)
        {
            Use(i);
        }

        _inodes.FreedObjects.Should().BeGreaterThan(objectsOfMemory / 2);
        _inodes.Get(Cpu, -1).Should().Be(held, "somebody holds it");
        BitConverter.ToInt64(Cpu.Slab.Span(held, 8)).Should().Be(-1);
        _inodes.Contains(0).Should().BeFalse("the longest unused goes first");
        _inodes.Contains((2 * objectsOfMemory) - 1).Should().BeTrue();
        _machine.Verify();
        _inodes.Put(-1);
        _inodes.Put(-1);
        _inodes.Drop(Cpu).Should().BePositive();
        _machine.Slab.FindLiveObjects().Should().NotContain(o => o.Cache.Name == "inode");
        _machine.Verify();
    }

    [Fact]
    public void What_was_used_again_is_passed_once()
    {
        for (int i = 0; i < 256; i++)
        {
            Use(i);
        }

        Use(0);

        // It went to the end of the list when it was used; those before it go first, and then it is passed once.
        _machine.Shrinkers.Shrink(Cpu, Gfp.Kernel, _machine.Nodes[0], 1);
        _inodes.Contains(0).Should().BeTrue();
        _inodes.Contains(1).Should().BeFalse();
    }

    [Fact]
    public void A_caller_that_may_not_enter_the_file_system_frees_nothing()
    {
        for (int i = 0; i < 256; i++)
        {
            Use(i);
        }

        _machine.Shrinkers.Shrink(Cpu, Gfp.NoFs, _machine.Nodes[0], 0);
        _inodes.ObjectCount.Should().Be(256);
        _machine.Shrinkers.Shrink(Cpu, Gfp.Kernel, _machine.Nodes[0], 0);
        _inodes.ObjectCount.Should().Be(0, "what was not scanned was deferred");
    }

    [Fact]
    public void A_reference_that_nobody_holds_cannot_be_given_back()
    {
        Use(3);
        Action again = () => _inodes.Put(3);
        again.Should().Throw<InvalidOperationException>().WithMessage("inode: nobody holds '3'");
        _inodes.UnusedCount.Should().Be(1);
        again = () => _inodes.Put(4);
        again.Should().Throw<InvalidOperationException>();
    }

    [Fact]
    public void Objects_used_again_go_in_the_order_of_their_last_use()
    {
        for (int i = 0; i < 4; i++)
        {
            Use(i);
        }

        Use(1);
        Use(0);
        _inodes.Drop(Cpu).Should().Be(4);
        _inodes.ObjectCount.Should().Be(0);
        _inodes.UnusedCount.Should().Be(0);
        Use(9);
        Use(8);
        Use(9);
        _inodes.Drop(Cpu).Should().Be(2);
        _machine.Slab.FindLiveObjects().Should().NotContain(o => o.Cache.Name == "inode");
        _machine.Verify();
    }

    private VirtualAddress Use(long number)
    {
        VirtualAddress obj = _inodes.Get(Cpu, number);
        obj.IsNull.Should().BeFalse("inode {0}", number.ToString(CultureInfo.InvariantCulture));
        _inodes.Put(number);
        return obj;
    }

    [System.Runtime.InteropServices.StructLayout(System.Runtime.InteropServices.LayoutKind.Sequential, Size = 2048)]
    private struct Inode
    {
        public long Number { get; set; }
    }
}
