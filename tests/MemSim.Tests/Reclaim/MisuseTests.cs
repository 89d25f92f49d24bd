using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Reclaim;

/// <summary>Machines that are gone, and parts of other machines.</summary>
public class MisuseTests : MachineTests
{
    [Fact]
    public void A_disposed_machine_refuses_to_speak_about_reclaim()
    {
        Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithCma("video", ByteSize.FromMiB(16)));
        Cpu cpu = machine.Cpus[0];
        Zone zone = machine.OnlyZone();
        Node node = machine.Nodes[0];
        CmaArea area = machine.Cma.Areas[0];
        Page page = machine.Cma.Alloc(cpu, area, 4);
        MovablePool pool = machine.Migration.CreateMovablePool();
        int number = pool.Allocate(cpu);
        machine.Dispose();

        Action[] calls =
        [
            () => machine.Reclaim.Info(zone),
            () => machine.Reclaim.Enable(),
            () => machine.Reclaim.UnregisterShrinker(new NothingToShrink()),
            () => machine.Tracing.Attach(new NoTrace()),
            () => machine.Tracing.Attach(new CompactionLog()),
            () => machine.Compaction.Info(zone),
            () => machine.Compaction.CompactNode(node),
            () => machine.Compaction.CompactMemory(),
            () => machine.Compaction.TickKcompactd(),
            () => machine.Compaction.FragmentationScore(node),
            () => machine.Cma.Alloc(cpu, area, 1),
            () => machine.Cma.Free(cpu, area, page, 4),
            () => machine.Cma.AllocContigRange(cpu, area.Start, 1, MigrateType.Cma),
            () => machine.Cma.AllocContigPages(cpu, 1),
            () => machine.Cma.FreeContigRange(cpu, page, 4),
            () => machine.Cma.Text(),
            () => pool.Free(cpu, number),
            () => machine.AdvanceTime(TimeSpan.Zero),
        ];
        calls.Should().AllSatisfy(call => call.Should().Throw<ObjectDisposedException>());
    }

    [Fact]
    public void A_machine_refuses_the_CPUs_and_nodes_of_another_one()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M").WithCma("video", ByteSize.FromMiB(16)));
        Machine other = Boot(MachineSpec.X86_64("128M"));
        Cpu stranger = other.Cpus[0];
        CmaArea area = machine.Cma.Areas[0];
        Page page = machine.Cma.Alloc(machine.Cpus[0], area, 4);
        MovablePool pool = machine.Migration.CreateMovablePool();
        int number = pool.Allocate(machine.Cpus[0]);
        long free = other.Zones.Sum(zone => zone.FreePages);

        Action[] calls =
        [
            () => machine.Reclaim.Info(other.OnlyZone()),
            () => machine.Compaction.Info(other.OnlyZone()),
            () => machine.Compaction.CompactNode(other.Nodes[0]),
            () => machine.Compaction.FragmentationScore(other.Nodes[0]),
            () => machine.Cma.Alloc(stranger, area, 1),
            () => machine.Cma.Free(stranger, area, page, 4),
            () => machine.Cma.AllocContigRange(stranger, area.Start + 8, 1, MigrateType.Cma),
            () => machine.Cma.AllocContigPages(stranger, 1),
            () => machine.Cma.FreeContigRange(stranger, page, 4),
            () => pool.Allocate(stranger),
            () => pool.Free(stranger, number),
        ];
        calls.Should().AllSatisfy(call => call.Should().Throw<ArgumentException>().WithMessage("*another machine*"));
        other.Zones.Sum(zone => zone.FreePages).Should().Be(free);
        pool[number].IsNull.Should().BeFalse();
    }

    private sealed class NothingToShrink() : Shrinker("nothing")
    {
        protected override long CountObjects(in ShrinkRequest request) => 0;

        protected override long ScanObjects(in ShrinkRequest request) => 0;
    }

    private sealed class NoTrace : IReclaimTraceSink;
}
