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
        CmaArea area = machine.CmaAreas[0];
        Page page = machine.CmaAlloc(cpu, area, 4);
        MovablePool pool = machine.CreateMovablePool();
        int number = pool.Allocate(cpu);
        machine.Dispose();

        Action[] calls =
        [
            () => machine.ReclaimInfo(zone),
            () => machine.EnableReclaim(),
            () => machine.UnregisterShrinker(new NothingToShrink()),
            () => machine.AttachReclaimTrace(new NoTrace()),
            () => machine.AttachCompactionTrace(new CompactionLog()),
            () => machine.CompactionInfo(zone),
            () => machine.CompactNode(node),
            () => machine.CompactMemory(),
            () => machine.TickKcompactd(),
            () => machine.FragmentationScore(node),
            () => machine.CmaAlloc(cpu, area, 1),
            () => machine.CmaRelease(cpu, area, page, 4),
            () => machine.AllocContigRange(cpu, area.Start, 1, MigrateType.Cma),
            () => machine.AllocContigPages(cpu, 1),
            () => machine.FreeContigRange(cpu, page, 4),
            () => machine.CmaText(),
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
        CmaArea area = machine.CmaAreas[0];
        Page page = machine.CmaAlloc(machine.Cpus[0], area, 4);
        MovablePool pool = machine.CreateMovablePool();
        int number = pool.Allocate(machine.Cpus[0]);
        long free = other.Zones.Sum(zone => zone.FreePages);

        Action[] calls =
        [
            () => machine.ReclaimInfo(other.OnlyZone()),
            () => machine.CompactionInfo(other.OnlyZone()),
            () => machine.CompactNode(other.Nodes[0]),
            () => machine.FragmentationScore(other.Nodes[0]),
            () => machine.CmaAlloc(stranger, area, 1),
            () => machine.CmaRelease(stranger, area, page, 4),
            () => machine.AllocContigRange(stranger, area.Start + 8, 1, MigrateType.Cma),
            () => machine.AllocContigPages(stranger, 1),
            () => machine.FreeContigRange(stranger, page, 4),
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
