using FluentAssertions;
using MemSim.Observability;
using MemSim.Recordings;
using Xunit;

namespace MemSim.Tests.Recordings.Import;

public class MmListsReaderTests
{
    private static readonly string[] TwoNodes =
    [
        "format mmlists 1 max_order 11 pageblock_order 9 migrate_types 6 pcp_types 3 pcp_lists 14 sizeof_page 64 sizeof_zone 1536",
        "layout page_offset ffff000000000000 vmalloc_start ffff800008000000",
        .. Zone(0, "DMA", 0),
        .. Zone(1, "Normal", 4096),
    ];

    [Fact]
    public void Nodes_cpus_and_cma_are_read()
    {
        MmListsFile file = MmListsReader.ReadFile(ImportText.Of(TwoNodes), "lists");
        AllocatorState state = file.State;
        (state.Architecture, state.PageblockOrder, state.CpuCount).Should().Be((Architecture.Arm64, 9, 3));
        (file.PageStructBytes, file.ZoneStructBytes, file.Layout["vmalloc_start"]).Should().Be((64, 1536, 0xffff800008000000));
        state.Zones.Select(zone => (zone.Node, zone.Type, zone.StartPfn)).Should().Equal((0, ZoneType.Dma, 0L), (1, ZoneType.Normal, 4096L));

        ZoneState zone = state.Zones[1];
        (zone.WatermarkMin, zone.WatermarkLow, zone.WatermarkHigh, zone.WatermarkPromo, zone.WatermarkBoost, zone.ReservedHighAtomicPages).Should().Be((1, 2, 3, 4, 5, 6));
        zone.FreePages.Should().Be(3 * 2);
        zone.FreeLists[1][(int)MigrateType.Cma].Should().Equal(4098, 4100);
        zone.FreeLists[1][(int)MigrateType.Isolate].Should().Equal(4096);
        zone.Pageblocks.Should().Equal((byte)MigrateType.Movable, (byte)MigrateType.Cma);
        zone.FirstPageblock.Should().Be(8);
        zone.Pcp[0].Should().BeEquivalentTo(new { Count = 515, High = 10, Batch = 3, FreeFactor = 1 });
        zone.Pcp[0].Lists[3].Should().Equal(4104);
        zone.Pcp[0].Lists[13].Should().Equal(4608);
        zone.Pcp[0].Lists[1].Should().Equal(4097);
        zone.Pcp[1].Count.Should().Be(0, "CPU 1 is offline");
        zone.Pcp[2].High.Should().Be(11);
    }

    [Theory]
    [InlineData("ffff888000000000", Architecture.X86_64)]
    [InlineData("ffff9a0740000000", Architecture.X86_64)]
    [InlineData("ff11000000000000", Architecture.X86_64)]
    [InlineData("fff0000000000000", Architecture.Arm64)]
    public void The_architecture_follows_from_the_linear_map_whatever_migrate_types_there_are(string pageOffset, Architecture architecture)
    {
        string[] lines = [.. TwoNodes];
        lines[1] = $"layout page_offset {pageOffset} vmalloc_start ffffc90000000000";

        MmListsReader.ReadFile(ImportText.Of(lines), "lists").State.Architecture.Should().Be(architecture);
    }

    [Fact]
    public void Page_blocks_without_memory_have_no_type()
    {
        // A 4 GiB machine has them above its low memory: the recorder prints -1.
        string[] lines = [.. TwoNodes[..^1], "blocks 1 Normal from 4096: 1 -1"];

        MmListsReader.ReadFile(ImportText.Of(lines), "lists").State.Zones[1].Pageblocks.Should().Equal((byte)MigrateType.Movable, ZoneState.NoPageblock);
    }

    [Theory]
    [InlineData("order 1 nr_free 3", "order 1 nr_free 4", 3, "order 1 has nr_free 4 but lists 3 blocks")]
    [InlineData("order 2 nr_free 0", "order 1 nr_free 3", 8, "second area of order 1")]
    [InlineData("area 0 DMA order 10 nr_free 0", "compact 0 DMA", 3, "order 10 has no area line")]
    [InlineData("area 0 DMA order 10", "area 0 DMA order 11", 16, "'order' with a number from 0 to 10")]
    [InlineData("free 0 DMA order 1 type 4: 2 4", "free 0 DMA order 1 type 4: 2 5000", 3, "frame 5000 is outside")]
    [InlineData("free 0 DMA order 1 type 4: 2 4", "free 0 DMA order 1 type 4: 2 3", 3, "frame 3 is not aligned")]
    [InlineData("free 0 DMA order 1 type 4: 2 4", "free 0 DMA order 1 type 4: 2 -4", 6, "'-4' is no frame number")]
    [InlineData("free 0 DMA order 1 type 4:", "free 0 DMA order 1 type 6:", 6, "'type N:' with a number from 0 to 5")]
    [InlineData("free 0 DMA order 1 type 4:", "free 0 DMA32 order 1 type 4:", 6, "does not name the zone")]
    [InlineData("cpu 0 count 515", "cpu 0 count 514", 3, "count is 514 but the lists hold 515 pages")]
    [InlineData("pcplist 0 DMA cpu 0 index 13", "pcplist 0 DMA cpu 3 index 13", 21, "before its pcp line")]
    [InlineData("blocks 0 DMA from 0: 1 4", "blocks 0 DMA from 0: 1", 3, "1 page blocks from 0 on, but the zone touches 2")]
    [InlineData("blocks 0 DMA from 0: 1 4", "blocks 0 DMA from 0: 1 8", 23, "'8' is no migrate type")]
    [InlineData("blocks 0 DMA from 0: 1 4", "compact 0 DMA", 3, "has no 'blocks' line")]
    [InlineData("zone 0 DMA start_pfn 0", "zone 0 Foo start_pfn 0", 3, "'Foo' is no zone")]
    [InlineData("min 1", "min -1", 3, "'min' with a number from 0")]
    [InlineData("zone 1 Normal", "zone 0 DMA", 24, "zone 0 DMA comes twice")]
    [InlineData("format mmlists 1", "format mmlists 2", 1, "'format mmlists 1'")]
    [InlineData("layout page_offset ffff000000000000", "layout page_offset xyz", 2, "'page_offset' is not followed")]
    [InlineData("compact 0 DMA", "shrink 0 DMA", 17, "'shrink' is no kind of line")]
    public void A_wrong_line_is_named_with_its_reason(string right, string wrong, int line, string reason)
    {
        string[] lines = [.. TwoNodes];
        int at = Array.FindIndex(lines, text => text.Contains(right, StringComparison.Ordinal));
        lines[at] = lines[at].Replace(right, wrong, StringComparison.Ordinal);
        FluentActions.Invoking(() => MmListsReader.ReadFile(ImportText.Of(lines), "lists")).Should().Throw<InputFileException>().WithMessage($"lists({line}): *{reason}*");
    }

    [Fact]
    public void A_file_that_is_cut_off_is_refused()
    {
        FluentActions.Invoking(() => MmListsReader.ReadFile(ImportText.Of(TwoNodes[..^1]), "lists")).Should().Throw<InputFileException>().WithMessage("*no 'blocks' line*");
        FluentActions.Invoking(() => MmListsReader.ReadFile(ImportText.Of(TwoNodes[..2]), "lists")).Should().Throw<InputFileException>().WithMessage("lists: holds no zone");
        FluentActions.Invoking(() => MmListsReader.ReadFile(ImportText.Of(TwoNodes[2..]), "lists")).Should().Throw<InputFileException>().WithMessage("lists(1): *does not start with*");
    }

    [Theory]
    [InlineData("Node 0, zone DMA 1 2 3 4 5 6 7 8 9 10", "no count for order 10")]
    [InlineData("Node 0, zone DMA 1 2 3 4 5 6 7 8 9 10 11 12", "more than 11 counts")]
    [InlineData("Node 0, zone DMA 1 2 3 4 5 6 7 8 9 10 -11", "no count for order 10")]
    [InlineData("zone DMA 1 2 3", "does not start with")]
    public void Wrong_buddyinfo_lines_are_named(string line, string reason) =>
        FluentActions.Invoking(() => BuddyInfoFile.Parse(ImportText.Of("Node 0, zone      DMA      0      0      0      0      0      1      1      1      0      1      3 ", line), "buddyinfo"))
            .Should().Throw<InputFileException>().WithMessage($"buddyinfo(2): *{reason}*");

    [Theory]
    [InlineData(9)]
    [InlineData(11)]
    [InlineData(13)]
    public void Buddyinfo_of_kernels_with_another_number_of_orders_is_read(int orders)
    {
        string line = "Node 1, zone  HighMem " + string.Join(' ', Enumerable.Range(1, orders));

        BuddyInfoRow row = BuddyInfoFile.Parse(ImportText.Of(line, line), "buddyinfo")[1];

        row.FreeBlocks.Should().Equal(Enumerable.Range(1, orders).Select(n => (long)n));
        Enumerable.Range(0, PageGeometry.OrderCount).Sum(o => row.BlocksOf(o) << o).Should().Be(Enumerable.Range(1, orders).Sum(n => (long)n << (n - 1)), "no page is lost where larger blocks do not exist");
    }

    [Theory]
    [InlineData(6, "no count for order 6")]
    [InlineData(25, "more than 24 counts")]
    public void No_kernel_has_fewer_or_more_orders_than_these(int orders, string reason) =>
        FluentActions.Invoking(() => BuddyInfoFile.Parse(ImportText.Of("Node 0, zone DMA " + string.Join(' ', Enumerable.Range(1, orders))), "buddyinfo"))
            .Should().Throw<InputFileException>().WithMessage($"buddyinfo(1): *{reason}*");

    private static IEnumerable<string> Zone(int node, string name, long start)
    {
        string id = $"{node} {name}";
        yield return $"zone {id} start_pfn {start} spanned 1024 present 1024 managed 1000 min 1 low 2 high 3 promo 4 boost 5 nr_reserved_highatomic 6";
        yield return $"area {id} order 0 nr_free 0";
        yield return $"area {id} order 1 nr_free 3";
        yield return $"free {id} order 1 type 4: {start + 2} {start + 4}";
        yield return $"free {id} order 1 type 5: {start}";
        for (int order = 2; order < 11; order++)
        {
            yield return $"area {id} order {order} nr_free 0";
        }

        yield return $"compact {id} cached_free_pfn 0 cached_migrate_pfn 0 0 considered 0 defer_shift 0 order_failed 0";
        yield return $"pcp {id} cpu 0 count 515 high 10 batch 3 free_factor 1";
        yield return $"pcplist {id} cpu 0 index 1: {start + 1}";
        yield return $"pcplist {id} cpu 0 index 3: {start + 8}";
        yield return $"pcplist {id} cpu 0 index 13: {start + 512}";
        yield return $"pcp {id} cpu 2 count 0 high 11 batch 3 free_factor 0";
        yield return $"blocks {id} from {start}: 1 4";
    }
}
