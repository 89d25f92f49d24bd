using System.Security.Cryptography;
using FluentAssertions;
using MemSim.Snapshots;
using Xunit;

namespace MemSim.Tests.Snapshots;

/// <summary>Files of snapshots: damage is found and told, whatever was hit; what types machines consist of is known.</summary>
public sealed class SnapshotFileTests : IDisposable
{
    private readonly string _file = Path.Combine(Path.GetTempPath(), $"memsim-{Guid.NewGuid():N}.snapshot");

    public void Dispose() => File.Delete(_file);

    [Fact]
    public void Damage_anywhere_is_refused_with_file_place_and_reason()
    {
        byte[] good = SavedBytes();
        Random random = new(3);
        HashSet<string> places = [];
        for (int i = 0; i < 120; i++)
        {
            byte[] bad = [.. good];
            if (i % 4 == 0)
            {
                bad = bad[..random.Next(1, bad.Length)];
            }
            else
            {
                bad[random.Next(bad.Length)] ^= (byte)(1 << random.Next(8));
            }

            File.WriteAllBytes(_file, bad);
            InputFileException refused = FluentActions.Invoking(() => MachineSnapshot.Load(_file)).Should().Throw<InputFileException>($"case {i}").Which;
            refused.Path.Should().Be(_file);
            refused.Reason.Should().NotBeEmpty();
            if (refused.Reason.Contains("section", StringComparison.Ordinal))
            {
                refused.Reason.Should().MatchRegex("at byte [0-9]+");
                places.Add(refused.Reason);
            }
        }

        places.Should().HaveCountGreaterThan(20);
    }

    [Fact]
    public void A_file_of_another_library_says_which_type_is_another()
    {
        Shape shape = new StateShapes().Of(typeof(Vma));
        TypeNames.Describe(shape).Should().Contain("Fields ").And.Contain(":Object");
        FluentActions.Invoking(() => TypeNames.Find("MemSim.Vmb")).Should().Throw<FormatException>().WithMessage("this version of the library has no type MemSim.Vmb");
        FluentActions.Invoking(() => TypeNames.Find("System.IO.FileInfo")).Should().Throw<FormatException>("a file names no types but those of machines");
        foreach (Type type in (Type[])[typeof(Vma), typeof(int[]), typeof(Dictionary<string, List<Page[]>>), typeof((int, Cpu)[]), typeof(ulong?), typeof(KmemCache[][])])
        {
            TypeNames.Find(TypeNames.Of(type)).Should().Be(type);
        }
    }

    [Fact]
    public void A_file_says_the_page_allocators_state_in_its_first_line()
    {
        SavedBytes();
        string line = File.ReadLines(_file).First();
        using System.Text.Json.JsonDocument json = System.Text.Json.JsonDocument.Parse(line);
        json.RootElement.GetProperty("version").GetInt32().Should().Be(2);
        json.RootElement.GetProperty("state").ValueKind.Should().Be(System.Text.Json.JsonValueKind.Object);
    }

    [Fact]
    public void The_same_machine_makes_the_same_file()
    {
        byte[] first = SavedBytes();
        byte[] second = SavedBytes();
        second.Length.Should().Be(first.Length);
        Enumerable.Range(0, first.Length).Where(i => first[i] != second[i]).Take(20).Select(i => $"{i}: {Convert.ToHexString(first, Math.Max(i - 8, 0), 12)} {Convert.ToHexString(second, Math.Max(i - 8, 0), 12)}").Should().BeEmpty();
        MachineSnapshot.Load(_file).Save(_file);
        File.ReadAllBytes(_file).Length.Should().Be(first.Length);
    }

    [Fact]
    public void A_copy_of_a_copy_of_a_copy_is_the_machine()
    {
        Machine machine = Machine.Boot(MachineSpec.X86_64("128M", 2).WithKernel("6.12"));
        RandomProgram program = new(machine, 11);
        using Machine original = machine;
        RandomProgram same = program;
        for (int generation = 0; generation < 4; generation++)
        {
            program.Run(generation, 150);
            if (generation > 0)
            {
                same.Run(generation, 150);
            }

            Machine copy = same.Machine.Snapshot(same.Handles).Boot(out IReadOnlyList<object> handles);
            RandomProgram next = same.On(copy, handles);
            if (!ReferenceEquals(same, program))
            {
                same.Machine.Dispose();
            }

            same = next;
        }

        RandomProgram.StateOf(same.Machine).Should().Be(RandomProgram.StateOf(original));
        ContentsOf(same.Machine).Should().Equal(ContentsOf(original));
        same.Machine.Verify();
        same.Machine.Dispose();
    }

    [Fact]
    public void Spans_of_the_original_and_of_its_copies_stay_their_own()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        VirtualAddress obj = machine.Cpus[0].Kmalloc(64, Gfp.Kernel);
        Span<byte> before = machine.Cpus[0].Slab.Span(obj, 64);
        before.Fill(1);
        MachineSnapshot snapshot = machine.Snapshot();
        before.Fill(2);
        Machine copy = snapshot.Boot();
        Span<byte> there = copy.Cpus[0].Slab.Span(obj, 64);
        there.ToArray().Should().OnlyContain(b => b == 1);
        machine.Cpus[0].Slab.Span(obj, 64).ToArray().Should().OnlyContain(b => b == 2, "a span that was lent before is still the object");
        there.Fill(3);
        before.ToArray().Should().OnlyContain(b => b == 2);
        copy.Dispose();
        there.ToArray().Should().OnlyContain(b => b == 0, "the machine is gone, and its contents with it");
        using Machine another = snapshot.Boot();
        another.Cpus[0].Slab.Span(obj, 64).ToArray().Should().OnlyContain(b => b == 1);
    }

    private static List<string> ContentsOf(Machine machine)
    {
        List<string> pages = [];
        for (long pfn = 0; pfn < machine.Frames.Count; pfn++)
        {
            ReadOnlySpan<byte> page = machine.Ram.ReadOnly((ulong)pfn << 12, 4096);
            pages.Add(page.ContainsAnyExcept((byte)0) ? Convert.ToHexString(SHA256.HashData(page)) : "");
        }

        return pages;
    }

    private byte[] SavedBytes()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("64M").WithKernel("6.12"));
        Process process = machine.CreateProcess("saved");
        using (machine.Cpus[0].Run(process))
        {
            VirtualAddress data = process.Mm.Mmap(1 << 20, Prot.Read | Prot.Write);
            machine.Cpus[0].Write(data, 5);
        }

        machine.Snapshot().Save(_file);
        return File.ReadAllBytes(_file);
    }
}
