using System.Globalization;
using FluentAssertions;
using MemSim.Kernels;
using MemSim.Recordings;
using Xunit;

namespace MemSim.Tests.Recordings.Replay;

/// <summary>What events do not tell by themselves: their order, and which list a page went to. On a machine with a few pages in one CPU's lists.</summary>
public sealed class TraceOrderTests : IDisposable
{
    private const int A = 0x1100;
    private const int B = 0x1101;
    private const int C = 0x1102;
    private const int Used = 0x1180;
    private const int Stack = 0x1184;
    private const string Free = "mm_page_free: page=ffffea0000000000 pfn=0x{0:x} order=0";
    private const string Alloc = "mm_page_alloc: page=ffffea0000000000 pfn=0x{0:x} order=0 migratetype=0 gfp_flags=GFP_KERNEL";
    private const string AllocStack = "mm_page_alloc: page=ffffea0000000000 pfn=0x{0:x} order=2 migratetype=0 gfp_flags=GFP_NOWAIT|__GFP_HIGHMEM|__GFP_IO|__GFP_FS|__GFP_ZERO";
    private const string Refill = "mm_page_alloc_zone_locked: page=ffffea0000000000 pfn=0x{0:x} order=0 migratetype=0 percpu_refill=1";

    private readonly string _folder = Directory.CreateTempSubdirectory("memsim").FullName;

    [Theory]
    [InlineData("7.3.4", 3, 2)]
    [InlineData("6.18.15", 3, 2)]
    [InlineData("6.1.0", 2, 0)]
    public void A_task_that_lost_the_cpu_records_its_page_late_where_kernels_preempt_lazily(string version, int predicted, int displaced)
    {
        TraceReplayResult result = Replay(version,
            Line(2, ".....", 1, Alloc, B),
            Line(1, ".....", 2, Alloc, A),
            Line(2, ".....", 3, Alloc, C));

        (result.Allocations, result.Predicted, result.Displaced).Should().Be((3, predicted, displaced));
    }

    [Fact]
    public void A_task_that_recorded_something_in_between_lost_nothing()
    {
        TraceReplayResult result = Replay("7.3.4",
            Line(2, ".....", 1, Alloc, B),
            Line(1, ".....", 2, "mm_page_alloc: page=ffffea0000000000 pfn=0x{0:x} order=0 migratetype=1 gfp_flags=GFP_HIGHUSER_MOVABLE", 0x1110),
            Line(1, ".....", 3, Alloc, A));

        result.Displaced.Should().Be(0);
        result.Predicted.Should().BeLessThan(result.Allocations);
    }

    [Fact]
    public void The_stack_of_a_dead_task_is_freed_in_the_name_of_the_one_that_gets_the_cpu_back()
    {
        TraceReplayResult result = Replay("7.3.4",
            Line(2, ".....", 1, Alloc, B),
            Line(1, "...1.", 2, Free, Used),
            Line(1, ".....", 3, Alloc, A));

        (result.Predicted, result.Displaced).Should().Be((2, 2));
    }

    [Theory]
    [InlineData("7.3.4")]
    [InlineData("6.1.0")]
    public void An_interrupt_frees_between_a_list_and_the_event_on_every_kernel(string version)
    {
        TraceReplayResult result = Replay(version,
            Line(1, "..s..", 1, Free, Used),
            Line(1, ".....", 2, Alloc, A),
            Line(1, ".....", 3, Alloc, Used));

        (result.Predicted, result.Displaced).Should().Be((2, 1));
        result.ShareInOrder.Should().Be(0.5);
    }

    [Fact]
    public void A_page_freed_while_the_lists_were_held_goes_past_them_and_is_refilled_later()
    {
        TraceReplayResult result = Replay("7.3.4",
            Line(1, "..s2.", 1, Free, Used),
            Line(1, ".....", 2, Alloc, A),
            Line(1, ".....", 3, Alloc, B),
            Line(1, ".....", 4, Alloc, C),
            Line(1, "d..3.", 5, Refill, Used),
            Line(1, ".....", 6, Alloc, Used));

        (result.Predicted, result.Displaced, result.FreedPastLists).Should().Be((4, 0, 1));
    }

    [Theory]
    [InlineData("7.3.4")]
    [InlineData("6.1.0")]
    public void A_recorded_refill_says_that_the_list_was_empty(string version)
    {
        TraceReplayResult result = Replay(version,
            Line(1, ".....", 1, Alloc, A),
            Line(1, "d..3.", 2, Refill, B),
            Line(1, "d..3.", 2, Refill, C),
            Line(1, ".....", 3, Alloc, B),
            Line(1, ".....", 4, Alloc, C));

        (result.Predicted, result.Displaced, result.GivenBackUnseen).Should().Be((3, 0, 2));
    }

    [Theory]
    [InlineData("7.3.4", Stack)]
    [InlineData("7.2.12", Stack)]
    public void A_stack_goes_back_as_one_block_from_7_2_on(string version, int next)
    {
        TraceReplayResult result = Replay(version, [.. FreeStack(), Line(1, ".....", 5, AllocStack, next), Line(1, ".....", 6, Alloc, A)]);

        (result.Predicted, result.Displaced).Should().Be((2, 0));
    }

    [Theory]
    [InlineData("7.1.13")]
    [InlineData("7.0.13")]
    [InlineData("6.18.15")]
    public void A_stack_goes_back_as_four_pages_until_7_1(string version)
    {
        TraceReplayResult result = Replay(version, [.. FreeStack(), Line(1, ".....", 5, Alloc, Stack + 3), Line(1, ".....", 6, Alloc, Stack + 2)]);

        (result.Predicted, result.Displaced).Should().Be((2, 0));
    }

    [Fact]
    public void The_kernel_is_the_recordings_own_or_the_one_asked_for()
    {
        Write("7.3.4", Line(1, ".....", 1, Alloc, A));
        using TraceReplay own = TraceReplay.Open(_folder);
        own.Run().Kernel.Line.Name.Should().Be("7.3");
        using TraceReplay other = TraceReplay.Open(_folder, kernel: KernelChoice.For("6.12"));
        other.Run().Kernel.Line.Name.Should().Be("6.12");
        other.Machine!.Personality.Name.Should().Be("6.12");

        File.Delete(Path.Combine(_folder, "dmesg.txt"));
        using TraceReplay unknown = TraceReplay.Open(_folder);
        unknown.Run().Kernel.Warnings.Should().ContainSingle().Which.Should().Contain("6.1");
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static IEnumerable<string> FreeStack() => Enumerable.Range(0, 4).Select(i => Line(9, ".....", 1, Free, Stack + i));

    private static string Line(int pid, string flags, int time, string fields, int pfn) =>
        string.Create(CultureInfo.InvariantCulture, $"            task-{pid}  [000] {flags}  {time}.000000: {string.Format(CultureInfo.InvariantCulture, fields, pfn)}");

    private TraceReplayResult Replay(string version, params string[] lines)
    {
        Write(version, lines);
        using TraceReplay replay = TraceReplay.Open(_folder);
        TraceReplayResult result = replay.Run();
        replay.Machine!.Verify();
        return result;
    }

    private void Write(string version, params string[] lines)
    {
        File.WriteAllText(Path.Combine(_folder, "dmesg.txt"), $"[    0.000000] Linux version {version}+deb13-amd64 (gcc)\n");
        File.WriteAllLines(Path.Combine(_folder, "trace.txt"), lines);
        File.WriteAllLines(Path.Combine(_folder, "before-mmlists"),
        [
            "format mmlists 1 max_order 11 pageblock_order 9 migrate_types 5 pcp_types 3 pcp_lists 14 sizeof_page 64 sizeof_zone 1856",
            "layout page_offset ffff888000000000 vmalloc_start ffffc90000000000 vmalloc_end ffffe8ffffffffff vmemmap ffffea0000000000",
            "zone 0 DMA32 start_pfn 4096 spanned 1024 present 1024 managed 1024 min 0 low 0 high 0 promo 0 boost 0 nr_reserved_highatomic 0",
            .. Enumerable.Range(0, 11).Select(order => $"area 0 DMA32 order {order} nr_free 0"),
            "compact 0 DMA32 cached_free_pfn 0 cached_migrate_pfn 0 0 considered 0 defer_shift 0 order_failed 0",
            "pcp 0 DMA32 cpu 0 count 4 high 100 batch 1 free_factor 0",
            $"pcplist 0 DMA32 cpu 0 index 0: {A} {B} {C}",
            $"pcplist 0 DMA32 cpu 0 index 1: {0x1110}",
            "blocks 0 DMA32 from 4096: 0 0",
        ]);
    }
}
