using FluentAssertions;
using MemSim.Hardware;
using Xunit;

namespace MemSim.Tests.Hardware;

/// <summary>What a browser has instead of <c>mmap()</c>: tables from a plain allocator, contents of RAM in pieces. Nothing that users see may differ.</summary>
public class PlainMemoryTests
{
    private const ulong Piece = 4 << 20;

    [Fact]
    public void A_machine_on_plain_memory_does_frame_for_frame_what_one_on_reserved_memory_does()
    {
        using Machine mapped = Boot(HostMemory.Mapped);
        using Machine plain = Boot(HostMemory.Plain);
        string first = Work(mapped);

        Work(plain).Should().Be(first);
        plain.StateText().Should().Be(mapped.StateText());
        plain.Proc.SlabInfo.Should().Be(mapped.Proc.SlabInfo);
        plain.Verify();
    }

    [Fact]
    public void Memory_never_written_reads_as_zero_and_takes_nothing()
    {
        PhysicalMemory memory = new(4096, hasContents: true, HostMemory.Plain);

        memory.Read<ulong>(8 * 4096).Should().Be(0);
        memory.ReadOnly(Piece - 4096, 4096).IndexOfAnyExcept((byte)0).Should().Be(-1);
        memory.TouchedBytes.Should().Be(0);
    }

    [Fact]
    public void What_is_written_is_read_back_in_every_piece_and_nowhere_else()
    {
        PhysicalMemory memory = new(4096, hasContents: true, HostMemory.Plain);
        for (ulong at = 0; at < 4 * Piece; at += Piece)
        {
            memory.Write(at + 64, at + 1);
            memory.Write(at + Piece - 8, at + 2);
        }

        for (ulong at = 0; at < 4 * Piece; at += Piece)
        {
            memory.Read<ulong>(at + 64).Should().Be(at + 1);
            memory.Read<ulong>(at + Piece - 8).Should().Be(at + 2);
            memory.Read<ulong>(at).Should().Be(0);
        }
    }

    [Fact]
    public void A_range_over_two_pieces_is_refused_with_what_to_do()
    {
        PhysicalMemory memory = new(4096, hasContents: true, HostMemory.Plain);

        Action range = () => memory.Range(Piece - 8, 16);

        range.Should().Throw<InvalidOperationException>().WithMessage("*lie together only within 4 MiB*in parts*");
    }

    [Fact]
    public void Runs_through_huge_mappings_of_the_direct_map_cross_pieces()
    {
        using Machine machine = Boot(HostMemory.Plain);
        Cpu cpu = machine.Cpus[0];
        Page block = cpu.AllocPages(Gfp.Kernel | Gfp.Dma32, order: 10);
        VirtualAddress end = block.Address + ((long)Piece - 32);
        byte[] text = [.. Enumerable.Range(1, 64).Select(i => (byte)i)];

        cpu.Write(end, text);
        byte[] read = new byte[64];
        cpu.Read(end, read);

        read.Should().Equal(text);
        cpu.Memory.Compare(end, end, 64).Should().Be(0);
    }

    [Fact]
    public void A_size_that_the_host_cannot_address_is_refused_before_anything_is_taken()
    {
        Action tooMuch = () => HostMemoryChoice.Checked(long.MinValue, "the page frames");

        tooMuch.Should().Throw<InvalidOperationException>().WithMessage("*the page frames*less memory*");
    }

    private static Machine Boot(HostMemory host) => Machine.Boot(MachineSpec.X86_64("256M", cpus: 2) with { HostMemory = host });

    /// <summary>Pages, objects, mappings, processes, swap: contents are written and read everywhere; says what was seen.</summary>
    private static string Work(Machine machine)
    {
        machine.Reclaim.Enable();
        machine.Swap.SwapOn(new BlockDevice("swap", "512M")).Succeeded.Should().BeTrue();
        List<string> seen = [];
        Cpu cpu = machine.Cpus[0];
        VirtualAddress object1 = cpu.Kzalloc(3000, Gfp.Kernel);
        cpu.Memory.Fill(object1, 3000, 0x5a);
        seen.Add($"{object1} {cpu.Read<ulong>(object1 + 8):x}");
        VirtualAddress area = cpu.Vmalloc(6 << 20);
        cpu.Memory.Fill(area, 6 << 20, 7);
        seen.Add($"{area} {cpu.Read<uint>(area + (5 << 20)):x} {cpu.Memory.Compare(area, area + (1 << 20), 1 << 20)}");
        Process hog = machine.CreateProcess("hog");
        using (cpu.Run(hog))
        {
            VirtualAddress memory = hog.Mm!.Mmap(180L << 20, Prot.Read | Prot.Write).Value;
            for (long at = 0; at < 180L << 20; at += 4096)
            {
                cpu.Write(memory + at, at ^ 0x1234);
            }

            for (long at = 0; at < 180L << 20; at += 97 * 4096)
            {
                cpu.Read<long>(memory + at).Should().Be(at ^ 0x1234);
            }

            Process child = hog.Fork().Value;
            cpu.Write(memory, 1L);
            seen.Add($"{child.Pid} {machine.Proc.BuddyInfo}");
        }

        cpu.Vfree(area);
        cpu.Kfree(object1);
        using Machine twin = machine.Snapshot().Boot();
        seen.Add(twin.Proc.BuddyInfo);
        return string.Join('\n', seen);
    }
}
