using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Hardware;

public class MemoryMapTests
{
    [Fact]
    public void Where_ranges_overlap_the_higher_kind_wins_and_neighbours_merge()
    {
        MemoryMap map = MemoryMap.Build().Usable(0, 0x10000).Add(0x4000, 0x2000, MemoryRangeKind.Reserved).Usable(0x10000, 0x1000).ToMap();

        map.Ranges.Should().Equal(
            new MemoryRange(0, 0x4000, MemoryRangeKind.Usable),
            new MemoryRange(0x4000, 0x2000, MemoryRangeKind.Reserved),
            new MemoryRange(0x6000, 0xb000, MemoryRangeKind.Usable));
        map.UsableBytes.Should().Be(0xf000);
    }

    [Theory]
    [InlineData("2G", 0x7ffe_0000, 0)]
    [InlineData("3G", 0xbffe_0000, 0)]
    [InlineData("3500M", 0xdabe_0000, 0)]
    [InlineData("3584M", 0xbffe_0000, 512)]
    [InlineData("4G", 0xbffe_0000, 1024)]
    [InlineData("16G", 0xbffe_0000, 13312)]
    public void Pc_splits_memory_at_3_GiB_once_it_has_3_5_GiB(string memory, ulong lowEnd, ulong highMiB)
    {
        MemoryMap map = MemoryMap.Pc(memory);
        map.Ranges.Last(range => range.Kind == MemoryRangeKind.Usable && range.Start < 1UL << 32).End.Should().Be(lowEnd);
        map.Ranges.Where(range => range.Kind == MemoryRangeKind.Usable && range.Start >= 1UL << 32).Sum(range => (long)range.Length >> 20).Should().Be((long)highMiB);
    }

    [Fact]
    public void Ram_of_a_pc_that_would_run_into_the_hole_below_1_TiB_starts_at_1_TiB()
    {
        MemoryMap map = MemoryMap.Pc("1T");
        map.Ranges[^1].Start.Should().Be(1UL << 40);
        map.UsableBytes.Should().BeInRange((1UL << 40) - (2 << 20), 1UL << 40);
    }

    [Fact]
    public void Removing_usable_memory_leaves_other_kinds()
    {
        MemoryMap map = MemoryMap.Pc("64M").WithoutUsable(32 << 20, ulong.MaxValue);
        map.Ranges.Last(range => range.Kind == MemoryRangeKind.Usable).End.Should().Be(32 << 20);
        map.Ranges.Should().Contain(range => range.Start == (64 << 20) - (128 << 10) && range.Kind == MemoryRangeKind.Reserved);
    }

    [Fact]
    public void Impossible_maps_are_refused_with_the_reason()
    {
        Action empty = () => MemoryMap.Build().ToMap();
        Action nothingUsable = () => MemoryMap.Build().Add(0, 4096, MemoryRangeKind.Reserved).ToMap();
        Action wraps = () => MemoryMap.Build().Usable(ulong.MaxValue - 4095, 8192).ToMap();
        Action zero = () => MemoryMap.Build().Usable(4096, 0).ToMap();

        empty.Should().Throw<ArgumentException>().WithMessage("*empty*");
        nothingUsable.Should().Throw<ArgumentException>().WithMessage("*no usable range*");
        wraps.Should().Throw<ArgumentException>().WithMessage("*0xfffffffffffff000*beyond the address space*");
        zero.Should().Throw<ArgumentException>().WithMessage("*0x1000 is empty*");
    }

    [Fact]
    public void A_map_is_changed_by_adding_a_range_or_by_renaming_what_is_usable()
    {
        MemoryMap map = MemoryMap.Build().Usable(0, 0x10000).ToMap();

        map.With(0x4000, 0x1000, MemoryRangeKind.Reserved).Ranges.Should().Equal(
            new MemoryRange(0, 0x4000, MemoryRangeKind.Usable), new MemoryRange(0x4000, 0x1000, MemoryRangeKind.Reserved), new MemoryRange(0x5000, 0xb000, MemoryRangeKind.Usable));
        map.WithUsableAs(0xf000, 0x9000, MemoryRangeKind.Reserved).Ranges.Should().Equal(
            new MemoryRange(0, 0xf000, MemoryRangeKind.Usable), new MemoryRange(0xf000, 0x1000, MemoryRangeKind.Reserved));
        map.UsableBytes.Should().Be(0x10000, "a map never changes itself");
    }

    [Fact]
    public void Presets_are_a_PC_or_QEMUs_virt()
    {
        MemoryMap.Virt("2G").Ranges.Should().Equal(new MemoryRange(0x4000_0000, 2UL << 30, MemoryRangeKind.Usable));
        MemoryMap.Preset(Architecture.Arm64, "2G").Ranges.Should().Equal(MemoryMap.Virt("2G").Ranges);
        MemoryMap.Preset(Architecture.X86_64, "4G").Ranges.Should().Equal(MemoryMap.Pc("4G").Ranges);
        MemoryMap.Preset(Architecture.X86_32, "3500M").Ranges.Should().Equal(MemoryMap.Pc("3500M", hyperTransportHole: false).Ranges);
        MachineSpec.MemoryLimit(Architecture.X86_32).Should().Be((ByteSize)"4G");
        MachineSpec.MemoryLimit(Architecture.Arm64).Bytes.Should().BeGreaterThan(MachineSpec.MemoryLimit(Architecture.X86_64).Bytes);
    }
}
