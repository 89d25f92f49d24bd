using System.Runtime.CompilerServices;
using FluentAssertions;
using MemSim.Hardware;
using MemSim.Zones;
using Xunit;

namespace MemSim.Tests.Zones;

public class ZoneTests : MachineTests
{
    public static TheoryData<MachineSpec, string> Layouts => new()
    {
        { MachineSpec.X86_64("1G"), "DMA DMA32 -Normal -Movable -Device" },
        { MachineSpec.X86_64("6G"), "DMA DMA32 Normal -Movable -Device" },
        { MachineSpec.X86_64("6G").WithCommandLine("movablecore=1G"), "DMA DMA32 Normal Movable -Device" },
        { MachineSpec.X86_32("512M"), "DMA Normal -HighMem -Movable" },
        { MachineSpec.X86_32("2G"), "DMA Normal HighMem -Movable" },
        { MachineSpec.X86_32Pae("6G"), "DMA Normal HighMem -Movable" },
        { MachineSpec.Arm64("1G"), "DMA -DMA32 -Normal -Movable" },
        { MachineSpec.Arm64("6G"), "DMA -DMA32 Normal -Movable" },
    };

    [Theory]
    [MemberData(nameof(Layouts))]
    public void Each_architecture_has_its_zones_and_empty_ones_are_there_too(MachineSpec spec, string zones)
    {
        Machine machine = Boot(spec);
        string.Join(' ', machine.Zones.Select(z => (z.IsPopulated ? "" : "-") + z.Name)).Should().Be(zones);
        foreach (Zone empty in machine.Zones.Where(z => !z.IsPopulated))
        {
            (empty.SpannedPages, empty.PresentPages, empty.ManagedPages, empty.FreePages).Should().Be((0, 0, 0, 0));
            empty.GetWatermark(Watermark.Min).Should().BeOneOf(machine.Architecture.Bits == 32 ? [0L, 32L] : [0L], "the kernel clamps the min mark of high memory to 32 at least, even of an empty zone");
            Enumerable.Range(0, PageGeometry.OrderCount).Sum(empty.FreeBlocks).Should().Be(0);
        }
    }

    [Theory]
    [MemberData(nameof(Layouts))]
    public void Zones_do_not_overlap_and_know_the_pages_in_them(MachineSpec spec, string zones)
    {
        Machine machine = Boot(spec);
        zones.Should().NotBeEmpty();
        Zone[] populated = [.. machine.Zones.Where(z => z.IsPopulated).OrderBy(z => z.StartPfn.Value)];
        for (int i = 0; i < populated.Length; i++)
        {
            Zone zone = populated[i];
            zone.EndPfn.Should().Be(zone.StartPfn + zone.SpannedPages);
            zone.PresentPages.Should().BeLessThanOrEqualTo(zone.SpannedPages);
            zone.ManagedPages.Should().BeLessThanOrEqualTo(zone.PresentPages);
            (i == 0 || populated[i - 1].EndPfn.Value <= zone.StartPfn.Value).Should().BeTrue();
            foreach (Pfn pfn in zone.FreeList(10, MigrateType.Movable).Take(3))
            {
                machine.GetPage(pfn).Zone.Should().BeSameAs(zone);
                zone.Spans(pfn).Should().BeTrue();
            }
        }
    }

    [Fact]
    public void Every_field_of_the_textbook_is_readable()
    {
        Machine machine = Boot(MachineSpec.X86_64("2G", cpus: 2));
        Zone zone = machine.Nodes[0].GetZone(ZoneType.Dma32);
        zone.Name.Should().Be("DMA32");
        zone.ToString().Should().Be("Node 0, zone    DMA32");
        zone.Node.Should().BeSameAs(machine.Nodes[0]);
        zone.StartPfn.Value.Should().Be(4096);
        zone.GetWatermark(Watermark.Min).Should().BePositive().And.BeLessThan(zone.GetWatermark(Watermark.Low));
        zone.GetWatermark(Watermark.High).Should().BeLessThan(zone.GetWatermark(Watermark.Promo));
        zone.LowmemReserve.Should().HaveCount(machine.Architecture.ZoneTypes.Count);
        zone.Pageset(1).High.Should().BePositive();
        zone.FreeBlocks(10).Should().BePositive();
        zone.FreePages.Should().BePositive();
        zone.Counters.InactiveFile.Should().Be(0);
        zone.PagesScanned.Should().Be(0);
        zone.Flags.Should().Be(ZoneFlags.None);
        zone.WaitTableEntries.Should().Be(2048);
        zone.WaitTableBits.Should().Be(11);
        zone.PageblockType(zone.StartPfn + 100000).Should().Be(MigrateType.Movable);
        zone.PageblockType(new Pfn(-1)).Should().BeNull();
        zone.PageblockType(new Pfn(long.MaxValue)).Should().BeNull();
        machine.Nodes[0].Invoking(n => n.GetZone(ZoneType.HighMem)).Should().Throw<ArgumentException>();
    }

    [Theory]
    [InlineData(256, 4)]
    [InlineData(2048, 8)]
    [InlineData(2049, 8)]
    [InlineData(2304, 16)]
    [InlineData(4_000_000, 4096)]
    public void The_wait_table_has_an_entry_for_every_256_whole_pages_rounded_up_to_a_power_of_two(long pages, long entries)
    {
        Machine machine = Boot(MachineSpec.FromZones(Architecture.X86_64, [new MemSim.Boot.BootZone(0, ZoneType.Normal, new Pfn(1 << 20), pages, pages, pages)]));
        machine.Zones.First(z => z.IsPopulated).WaitTableEntries.Should().Be(entries);
    }

    [Fact]
    public void The_zone_lock_shares_a_cache_line_with_nothing()
    {
        Unsafe.SizeOf<PaddedLock>().Should().BeGreaterThanOrEqualTo(2 * PaddedLock.CacheLineBytes);
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Zone zone = machine.Zones[0];
        foreach (long distance in new[]
        {
            (long)Unsafe.ByteOffset(ref Unsafe.As<PaddedLock, byte>(ref zone.Lock), ref Unsafe.As<long, byte>(ref zone.FreePagesFolded)),
            (long)Unsafe.ByteOffset(ref Unsafe.As<PaddedLock, byte>(ref zone.Lock), ref Unsafe.As<long, byte>(ref zone.MarkFirst)),
        })
        {
            // The lock word lies a line into its padding and a line from the end.
            long fromWord = distance - PaddedLock.CacheLineBytes;
            Math.Abs(fromWord).Should().BeGreaterThanOrEqualTo(64);
        }
    }

    [Fact]
    public void Memory_is_where_ranges_of_frames_are_and_not_between_or_behind_them()
    {
        Machine machine = Boot(MachineSpec.X86_64("6G").WithoutContents());
        IReadOnlyList<PresentRange> ranges = machine.ZoneTable.PresentRanges;
        ranges.Should().HaveCountGreaterThan(1);
        for (int i = 0; i < ranges.Count; i++)
        {
            long next = i + 1 < ranges.Count ? ranges[i + 1].Start : ranges[i].End + 100;
            machine.ZoneTable.HasMemory(ranges[i].End, next).Should().BeFalse("[{0}, {1}) is a hole", ranges[i].End, next);
            machine.ZoneTable.HasMemory(ranges[i].Start - 1, ranges[i].Start + 1).Should().BeTrue();
            machine.ZoneTable.HasMemory(ranges[i].End - 1, ranges[i].End).Should().BeTrue();
        }
    }

    [Theory]
    [InlineData("512M", "kernelcore=256M", false)]
    [InlineData("2G", "kernelcore=512M", true)]
    public void Movable_memory_of_a_32_bit_machine_is_high_where_it_was_cut_out_of_high_memory(string memory, string line, bool high)
    {
        Machine machine = Boot(MachineSpec.X86_32(memory).WithCommandLine(line));
        Zone movable = machine.Zones.Single(z => z.Type == ZoneType.Movable);
        movable.IsPopulated.Should().BeTrue();
        machine.ZoneTable.IsHighMemory(movable).Should().Be(high);
        machine.ZoneTable.IsHighMemory(machine.Zones.Single(z => z.Type == ZoneType.Normal)).Should().BeFalse();
    }

    [Fact]
    public void A_node_that_is_not_there_is_none()
    {
        Machine machine = Boot(MachineSpec.X86_64("256M", cpus: 2).WithNodes("128M", "128M"));
        machine.ZoneTable.NodeOrDefault(1)!.Id.Should().Be(1);
        machine.ZoneTable.NodeOrDefault(2).Should().BeNull();
        machine.ZoneTable.NodeOrDefault(-1).Should().BeNull();
    }

    [Fact]
    public void A_walk_over_frames_in_use_begins_where_it_is_told()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        int[] pfns = [.. Enumerable.Range(0, 8).Select(_ => cpu.AllocPage(Gfp.Kernel).FrameIndex).Order()];
        List<int> seen = [];
        for (FramesInUse walk = new(machine, pfns[3], pfns[6]); walk.MoveNext();)
        {
            seen.Add(walk.Pfn);
        }

        seen.Should().Contain(pfns[3..6]).And.OnlyContain(pfn => pfn >= pfns[3] && pfn < pfns[6]);
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(false, true)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public void Pages_that_reclaim_took_are_counted_by_who_took_them_and_what_they_were(bool kswapd, bool file)
    {
        Node node = Boot(MachineSpec.X86_64("128M")).Nodes[0];
        node.Counters.CountStolen(5, kswapd, file);
        node.Counters.CountStolen(7, kswapd, file);
        (node.Counters.StealKswapd, node.Counters.StealDirect).Should().Be(kswapd ? (12, 0) : (0, 12));
        (node.Counters.StealFile, node.Counters.StealAnon).Should().Be(file ? (12, 0) : (0, 12));
    }
}
