using FluentAssertions;
using MemSim.Tests.Snapshots;
using Xunit;

namespace MemSim.Tests.House;

/// <summary>Boot constructs, getters read: no property of any object changes the machine.</summary>
public sealed class GetterTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("memsim-getters").FullName;

    public static TheoryData<Architecture> Architectures { get; } = [Architecture.X86_64, Architecture.X86_32, Architecture.X86_32Pae, Architecture.Arm64];

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [MemberData(nameof(Architectures))]
    public void Reading_every_property_of_a_fresh_machine_changes_nothing(Architecture architecture) => Compare(architecture, static machine => { }, new PropertyReader(), 300);

    [Theory]
    [MemberData(nameof(Architectures))]
    public void Reading_every_property_of_a_busy_machine_changes_nothing(Architecture architecture) => Compare(architecture, Work, new PropertyReader(), 500);

    [Fact]
    public void Reading_the_properties_inside_the_library_changes_nothing() => Compare(Architecture.X86_64, Work, new PropertyReader(inside: true), 1500);

    [Theory]
    [MemberData(nameof(Architectures))]
    public void Reading_in_an_interrupt_with_no_memory_left_changes_nothing(Architecture architecture)
    {
        using Machine machine = Machine.Boot(MachineSpec.Preset(architecture, "96M", 2));
        Cpu cpu = machine.Cpus[0];
        TakeEverything(cpu);
        using (cpu.HardIrq())
        {
            string before = StateOf(machine);
            cpu.Stack.Should().NotBeNull();
            new PropertyReader().ReadAll(machine);
            StateOf(machine).Should().Be(before);
        }

        machine.Verify();
    }

    [Theory]
    [MemberData(nameof(Architectures))]
    public void The_first_process_on_a_machine_without_memory_is_answered_with_ENOMEM(Architecture architecture)
    {
        using Machine machine = Machine.Boot(MachineSpec.Preset(architecture, "96M"));
        TakeEverything(machine.Cpus[0]);

        machine.Processes.Create("late").Error.Should().Be(Errno.ENOMEM);

        machine.Processes.Should().BeEmpty();
        machine.Verify();
    }

    [Fact]
    public void Reading_the_stacks_does_not_move_the_next_page()
    {
        using Machine read = Machine.Boot(MachineSpec.X86_64("128M"));
        using Machine left = Machine.Boot(MachineSpec.X86_64("128M"));
        read.Stacks.HardIrq(read.Cpus[0]).Pages.Should().OnlyContain(p => (p.Flags & PageFlags.Reserved) != 0, "the boot's own frames hold them");
        read.Tracing.RecordFaults(null);
        read.Cpus[0].AllocPages(Gfp.Kernel, 0).Pfn.Should().Be(left.Cpus[0].AllocPages(Gfp.Kernel, 0).Pfn);
    }

    private static void TakeEverything(Cpu cpu)
    {
        for (int order = PageGeometry.MaxOrder; order >= 0; order--)
        {
            while (!cpu.AllocPages(Gfp.Atomic | Gfp.MemAlloc | Gfp.HighMem | Gfp.NoWarn, order).IsNull)
            {
            }
        }
    }

    private static void Work(Machine machine)
    {
        Cpu cpu = machine.Cpus[0];
        cpu.Kmalloc(100, Gfp.Kernel);
        cpu.Vmalloc(40_000);
        cpu.PerCpu.AllocPercpu<long>();
        machine.Migration.CreateMovablePool();
        Process process = machine.CreateProcess("worker");
        using (cpu.Run(process))
        {
            VirtualAddress at = process.Mm.Mmap(1 << 20, Prot.Read | Prot.Write).Value;
            for (int i = 0; i < 256; i++)
            {
                cpu.Write(at + (i * PageGeometry.PageSize), (byte)i);
            }

            process.Fork();
        }

        OpenFile file = machine.Files.MountTmpfs().Create("notes").Value;
        cpu.Files.Write(file, 0, new byte[10_000]).Succeeded.Should().BeTrue();
        machine.Swap.SwapOn(new BlockDevice("vda", "16M")).Succeeded.Should().BeTrue();
    }

    /// <summary>Reads all of one of two equal machines: state, what it hands out next, and every field of every object stay equal to the other's.</summary>
    private void Compare(Architecture architecture, Action<Machine> work, PropertyReader reader, int leastProperties)
    {
        using Machine read = Machine.Boot(MachineSpec.Preset(architecture, "256M", 2));
        using Machine left = Machine.Boot(MachineSpec.Preset(architecture, "256M", 2));
        work(read);
        work(left);
        string before = StateOf(read);
        before.Should().Be(StateOf(left), "the same calls give the same machine");
        FieldComparison.Of(read, left).Differences.Should().BeEmpty("the same calls give the same objects");

        reader.ReadAll(read);

        reader.Read.Count.Should().BeGreaterThan(leastProperties);
        (IReadOnlyList<string> made, long compared) = FieldComparison.Of(read, left);
        made.Should().BeEmpty("reading makes no object and changes no field");
        compared.Should().BeGreaterThan(10_000);
        StateOf(read).Should().Be(before);
        foreach (Gfp gfp in (Gfp[])[Gfp.Kernel, Gfp.HighUserMovable, Gfp.Atomic])
        {
            for (int order = 0; order <= PageGeometry.MaxOrder; order++)
            {
                read.Cpus[0].AllocPages(gfp, order).Pfn.Should().Be(left.Cpus[0].AllocPages(gfp, order).Pfn, $"order {order} with {gfp}");
            }
        }

        read.Verify();
    }

    /// <summary>Lists in their order, frames, counters, settings, contents of RAM, and what the machine says of itself.</summary>
    private string StateOf(Machine machine)
    {
        string path = Path.Combine(_folder, "state.json");
        machine.Snapshot().Save(path);
        return string.Join('\n',
            File.ReadLines(path).First(), machine.Memory.ContentBytes, machine.Proc.VmStat, machine.Proc.MemInfo, machine.Slab.SlabInfo, machine.Proc.VmallocInfo, machine.Uptime,
            string.Join(',', machine.Slab.Caches.Select(c => c.Name)), string.Join(',', machine.Reclaim.Shrinkers.Select(s => s.Name)), machine.Processes.Count);
    }
}
