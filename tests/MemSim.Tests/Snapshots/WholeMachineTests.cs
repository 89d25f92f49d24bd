using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Snapshots;

/// <summary>A machine booted of a snapshot goes on as the original would: every call answers the same, and every frame and every text is the same in the end.</summary>
public sealed class WholeMachineTests : IDisposable
{
    private readonly string _file = Path.Combine(Path.GetTempPath(), $"memsim-{Guid.NewGuid():N}.snapshot.gz");

    public void Dispose() => File.Delete(_file);

    public static TheoryData<Architecture, string> Machines()
    {
        TheoryData<Architecture, string> machines = [];
        foreach (Architecture architecture in Enum.GetValues<Architecture>())
        {
            foreach (string kernel in (string[])["2.6.34", "6.1", "6.12", "7.3"])
            {
                machines.Add(architecture, kernel);
            }
        }

        return machines;
    }

    [Theory]
    [MemberData(nameof(Machines))]
    public void A_copy_and_its_original_have_the_same_future(Architecture architecture, string kernel)
    {
        for (int seed = 1; seed <= 2; seed++)
        {
            using Machine machine = Machine.Boot(SpecOf(architecture, kernel, seed));
            RandomProgram program = new(machine, seed);
            program.Run(seed, 500);

            // Texts first, fields at once: where the last look into a file's tree ended is a field too, and every look moves it.
            string before = RandomProgram.StateOf(machine);
            MachineSnapshot snapshot = machine.Snapshot(program.Handles);
            snapshot.NotCarried.Should().BeEmpty();
            using Machine copy = snapshot.Boot(out IReadOnlyList<object> handles);
            SameFields(copy, machine);
            SameText(RandomProgram.StateOf(copy), before, $"seed {seed}, at once");
            copy.Verify();
            SameFuture(program, program.On(copy, handles), seed);
        }
    }

    [Theory]
    [MemberData(nameof(Machines))]
    public void So_it_is_with_one_from_a_file(Architecture architecture, string kernel)
    {
        using Machine machine = Machine.Boot(SpecOf(architecture, kernel, 7));
        RandomProgram program = new(machine, 7);
        program.Run(7, 500);
        MachineSnapshot taken = machine.Snapshot([.. program.Handles.Where(h => h is not KmemCache { Name: "ctor" }), machine.Slab.Find("ctor")!]);
        taken.Save(_file);

        MachineSnapshot loaded = MachineSnapshot.Load(_file);
        loaded.NotCarried.Should().ContainSingle("the constructor is the program's, and no file holds that").Which.Should().Contain("ObjectConstructor");
        using Machine copy = loaded.Boot(missing => (ObjectConstructor)((_, _) => { }), out IReadOnlyList<object> handles);
        SameFuture(program, program.On(copy, [handles[0], handles[1], handles[2], handles[4], handles[3]]), 7);
    }

    private static MachineSpec SpecOf(Architecture architecture, string kernel, int seed)
    {
        MachineSpec spec = MachineSpec.Preset(architecture, architecture is Architecture.X86_32 or Architecture.X86_32Pae ? "1G" : seed % 2 == 0 ? "96M" : "160M", 2).WithKernel(kernel);
        return (seed % 3) switch
        {
            0 => spec.WithCommandLine("slub_debug=FZPU page_owner=on"),
            1 when kernel.StartsWith('2') || kernel == "6.1" => spec.WithCommandLine("slab_allocator=slab"),
            _ => spec,
        };
    }

    private static void SameFields(Machine copy, Machine original)
    {
        (IReadOnlyList<string> differences, long compared) = FieldComparison.Of(copy, original);
        string.Join('\n', differences).Should().BeEmpty();
        compared.Should().BeGreaterThan(10_000);
    }

    private static void SameFuture(RandomProgram original, RandomProgram copy, int seed)
    {
        int begun = original.Log.Length;
        original.Run(seed + 1000, 700);
        copy.Run(seed + 1000, 700);

        SameText(copy.Log, original.Log[begun..], $"seed {seed}, answers");
        SameText(RandomProgram.StateOf(copy.Machine), RandomProgram.StateOf(original.Machine), $"seed {seed}, afterwards");
        original.Machine.Verify();
        copy.Machine.Verify();
    }

    private static void SameText(string text, string expected, string what)
    {
        if (text == expected)
        {
            return;
        }

        string[] mine = text.Split('\n');
        string[] theirs = expected.Split('\n');
        int line = Enumerable.Range(0, Math.Min(mine.Length, theirs.Length)).FirstOrDefault(i => mine[i] != theirs[i], Math.Min(mine.Length, theirs.Length) - 1);
        Assert.Fail($"{what}, line {line}:\ncopy     {mine[line]}\noriginal {theirs[line]}\nafter    {string.Join('\n', theirs[Math.Max(0, line - 5)..line])}");
    }
}
