using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Snapshots;

/// <summary>
/// Copy and original have the same future on machines that have everything at once: huge pages of both kinds, CMA, memory plugged in, several nodes, zram and zswap, cgroups in depth, CPUs that come
/// and go, real locks.
/// </summary>
public sealed class WideMachineTests : IDisposable
{
    private readonly string _file = Path.Combine(Path.GetTempPath(), $"memsim-{Guid.NewGuid():N}.snapshot.gz");

    public void Dispose() => File.Delete(_file);

    public static TheoryData<Architecture, string, int> Machines()
    {
        TheoryData<Architecture, string, int> machines = [];
        int seed = 0;
        foreach (Architecture architecture in Enum.GetValues<Architecture>())
        {
            foreach (string kernel in (string[])["6.1", "6.12", "6.18", "7.3"])
            {
                // All that depends on the seed, with each kernel and each architecture: see SpecOf().
                machines.Add(architecture, kernel, 1 + (seed++ % 6));
            }

            seed++;
        }

        return machines;
    }

    [Theory]
    [MemberData(nameof(Machines))]
    public void A_copy_and_its_original_have_the_same_future(Architecture architecture, string kernel, int seed)
    {
        using Machine machine = Machine.Boot(SpecOf(architecture, kernel, seed));
        RandomProgram program = new(machine, seed, wide: true);
        program.Run(seed, 500);
        MachineSnapshot snapshot = machine.Snapshot(program.Handles);
        snapshot.NotCarried.Should().BeEmpty();
        string before = RandomProgram.StateOf(machine);
        using Machine copy = snapshot.Boot(out IReadOnlyList<object> handles);
        Differences.None(RandomProgram.StateOf(copy), before, "at once");
        copy.Verify();
        SameFuture(program, program.On(copy, handles), seed);
    }

    [Theory]
    [InlineData(Architecture.X86_64, "6.1")]
    [InlineData(Architecture.X86_64, "7.3")]
    [InlineData(Architecture.Arm64, "6.12")]
    [InlineData(Architecture.X86_32Pae, "6.1")]
    public void So_it_is_with_one_from_a_file(Architecture architecture, string kernel)
    {
        using Machine machine = Machine.Boot(SpecOf(architecture, kernel, 5));
        RandomProgram program = new(machine, 5, wide: true);
        program.Run(5, 500);
        machine.Snapshot(program.Handles).Save(_file);
        MachineSnapshot loaded = MachineSnapshot.Load(_file);
        loaded.NotCarried.Should().ContainSingle("the constructor is the program's, and no file holds that").Which.Should().Contain("ObjectConstructor");
        using Machine copy = loaded.Boot(missing => (ObjectConstructor)((_, _) => { }), out IReadOnlyList<object> handles);
        SameFuture(program, program.On(copy, handles), 5);
    }

    private static MachineSpec SpecOf(Architecture architecture, string kernel, int seed)
    {
        bool small = architecture is Architecture.X86_32 or Architecture.X86_32Pae;
        MachineSpec spec = MachineSpec.Preset(architecture, small ? "1G" : "256M", 2).WithKernel(kernel).WithCma("area", "16M").WithCommandLine($"transparent_hugepage={(seed % 2 == 0 ? "always" : "madvise")}{(seed % 3 == 0 ? " slub_debug=FZPU page_owner=on" : "")}");
        spec = small ? spec : spec.WithHotplugMemory("256M");
        spec = small || seed % 2 == 0 ? spec : spec.WithNodes(["128M", "128M"]);
        return seed % 2 == 0 ? spec.WithParallelCpus() : spec;
    }

    private static void SameFuture(RandomProgram original, RandomProgram copy, int seed)
    {
        int begun = original.Log.Length;
        original.Run(seed + 1000, 700);
        copy.Run(seed + 1000, 700);

        Differences.None(copy.Log, original.Log[begun..], "answers");
        Differences.None(RandomProgram.StateOf(copy.Machine), RandomProgram.StateOf(original.Machine), "afterwards");
        Differences.None(Differences.ContentsOf(copy.Machine), Differences.ContentsOf(original.Machine), "contents");
        original.Machine.Verify();
        copy.Machine.Verify();
    }
}
