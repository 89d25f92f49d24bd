using FluentAssertions;
using Xunit;

namespace MemSim.Tests.VirtualMemory;

/// <summary>Where areas are after <c>mremap()</c>; its answers to random calls are compared with a real kernel's in RecordedProgramsTests.</summary>
public sealed class MremapTests : IDisposable
{
    private const MapFlags Fixed = MapFlags.Private | MapFlags.Anonymous | MapFlags.Fixed;
    private const ulong Page = PageGeometry.PageSize;
    private static readonly VirtualAddress Base = new(0x1000_0000);

    private readonly Machine _machine = Machine.Boot(MachineSpec.X86_64("128M"));
    private readonly Process _process;

    public MremapTests()
    {
        _process = _machine.CreateProcess("moving");
        _machine.Cpus[0].Run(_process);
    }

    private MemoryDescriptor Mm => _process.Mm;

    public void Dispose()
    {
        _machine.Verify();
        _machine.Dispose();
    }

    [Fact]
    public void An_area_that_grows_up_to_the_next_of_its_kind_becomes_one_with_it()
    {
        Map(0, 2);
        Map(4, 2);
        Mm.Mremap(At(0), (long)(2 * Page), (long)(4 * Page), RemapFlags.None).Value.Should().Be(At(0));
        Areas().Should().Equal("0-6 rw-p");
    }

    [Fact]
    public void An_area_that_grows_up_to_one_of_another_kind_stays_itself()
    {
        Map(0, 2);
        Map(4, 2, Prot.Read);
        Mm.Mremap(At(0), (long)(2 * Page), (long)(4 * Page), RemapFlags.None).Value.Should().Be(At(0));
        Areas().Should().Equal("0-4 rw-p", "4-6 r--p");
        Mm.Mremap(At(0), (long)(4 * Page), (long)(5 * Page), RemapFlags.None).Error.Should().Be(Errno.ENOMEM, "there is no room, and it may not move");
    }

    [Fact]
    public void Untouched_memory_that_moves_beside_an_area_of_its_kind_becomes_part_of_it()
    {
        Map(0, 2);
        Map(10, 2);
        Mm.Mremap(At(10), (long)(2 * Page), (long)(2 * Page), RemapFlags.MayMove | RemapFlags.Fixed, At(2)).Value.Should().Be(At(2));
        Areas().Should().Equal("0-4 rw-p");
    }

    [Fact]
    public void Touched_memory_keeps_its_place_in_reverse_mapping_and_so_an_area_of_its_own()
    {
        Cpu cpu = _machine.Cpus[0];
        Map(0, 2);
        Map(10, 2);
        cpu.Write(At(0), 1);
        cpu.Write(At(10), 77);
        Mm.Mremap(At(10), (long)(2 * Page), (long)(2 * Page), RemapFlags.MayMove | RemapFlags.Fixed, At(2)).Value.Should().Be(At(2));
        Areas().Should().Equal("0-2 rw-p", "2-4 rw-p");
        cpu.Read<int>(At(2)).Should().Be(77);
    }

    [Fact]
    public void What_is_left_behind_is_unlocked_and_empty()
    {
        Cpu cpu = _machine.Cpus[0];
        Map(0, 2);
        Mm.Mlock(At(0), (long)(2 * Page)).Should().Be(Errno.None);
        cpu.Write(At(0), 77);
        Mm.Mremap(At(0), (long)(2 * Page), (long)(2 * Page), RemapFlags.MayMove | RemapFlags.DontUnmap, At(8)).Value.Should().Be(At(8), "the new address is a hint");
        Areas().Should().Equal("0-2 rw-p", "8-10 rw-p");
        Mm.LockedPages.Should().Be(2);
        cpu.Read<int>(At(8)).Should().Be(77);
        cpu.Read<int>(At(0)).Should().Be(0);
        Mm.FindVma(At(0))!.Flags.Should().NotHaveFlag(VmaFlags.Locked);
    }

    [Fact]
    public void Length_0_maps_shared_memory_a_second_time()
    {
        Cpu cpu = _machine.Cpus[0];
        Mm.Mmap(At(0), (long)(2 * Page), Prot.Read | Prot.Write, MapFlags.Shared | MapFlags.Anonymous | MapFlags.Fixed).Succeeded.Should().BeTrue();
        cpu.Write(At(1), 77);
        VirtualAddress again = Mm.Mremap(At(0), 0, (long)(2 * Page));
        cpu.Read<int>(again + (long)Page).Should().Be(77);
        cpu.Write(again, 78);
        cpu.Read<int>(At(0)).Should().Be(78);
        Areas().Should().Equal("0-2 rw-s");
    }

    private static VirtualAddress At(ulong page) => Base + (long)(page * Page);

    private void Map(ulong page, ulong pages, Prot prot = Prot.Read | Prot.Write) => Mm.Mmap(At(page), (long)(pages * Page), prot, Fixed).Succeeded.Should().BeTrue();

    private IEnumerable<string> Areas() =>
        _process.Maps.Split('\n').Select(line => line.Split(' ')).Where(words => words[0].StartsWith("100", StringComparison.Ordinal))
            .Select(words => string.Join('-', words[0].Split('-').Select(a => (Convert.ToUInt64(a, 16) - Base.Value) / Page)) + " " + words[1]);
}
