using FluentAssertions;
using MemSim.Observability;
using MemSim.Snapshots;
using Xunit;

namespace MemSim.Tests.Snapshots;

/// <summary>The feature switch of programs that are trimmed and need no snapshots. It is the whole process's, so nothing else runs meanwhile.</summary>
[CollectionDefinition(nameof(SnapshotSwitchTests), DisableParallelization = true)]
[Collection(nameof(SnapshotSwitchTests))]
public sealed class SnapshotSwitchTests : IDisposable
{
    private readonly string _file = Path.Combine(Path.GetTempPath(), $"memsim-{Guid.NewGuid():N}.snapshot");

    public void Dispose()
    {
        AppContext.SetSwitch(SnapshotSupport.Switch, true);
        File.Delete(_file);
    }

    [Fact]
    public void A_program_that_was_built_without_snapshots_is_told_so_and_its_machine_goes_on()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        machine.Snapshot().Save(_file);
        AppContext.SetSwitch(SnapshotSupport.Switch, false);

        machine.Invoking(m => m.Snapshot()).Should().Throw<NotSupportedException>().WithMessage("*MemSim.Snapshots is off*");
        FluentActions.Invoking(() => MachineSnapshot.Load(_file)).Should().Throw<NotSupportedException>().WithMessage("*MemSim.Snapshots is off*");
        machine.Cpus[0].AllocPages(Gfp.Kernel, 0).Should().NotBeNull();
        machine.Verify();

        AppContext.SetSwitch(SnapshotSupport.Switch, true);
        using Machine copy = machine.Snapshot().Boot();
        copy.Verify();
    }

    [Fact]
    public void What_has_the_page_allocator_alone_needs_no_support()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        AllocatorState state = machine.Snapshot().Allocator;
        AppContext.SetSwitch(SnapshotSupport.Switch, false);
        MachineSnapshot snapshot = MachineSnapshot.Of(state);
        snapshot.Save(_file);
        using Machine copy = MachineSnapshot.Load(_file).Boot();
        copy.Proc.BuddyInfo.Should().Be(machine.Proc.BuddyInfo);
    }
}
