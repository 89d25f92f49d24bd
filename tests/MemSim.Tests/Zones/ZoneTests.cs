using System.Runtime.CompilerServices;
using FluentAssertions;
using MemSim.Hardware;
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
}
