using FluentAssertions;
using MemSim.Observability.Import;
using Xunit;

namespace MemSim.Tests.Observability.Import;

public class TraceReaderTests
{
    private const string Alloc = "mm_page_alloc: page=ffffea0000187e00 pfn=0x61f8 order=1 migratetype=0 gfp_flags=GFP_KERNEL|__GFP_ZERO";

    [Theory]
    [InlineData("   busybox-99      [003] d.h3.     3.451194: ", "busybox", 99, 3, 3_451_194_000)]
    [InlineData("     kworker/u4:2-33      [001] .....    12.000001: ", "kworker/u4:2", 33, 1, 12_000_001_000)]
    [InlineData("   Web Content [1]-2 [2]-4711    [000] ...1.  1.5: ", "Web Content [1]-2 [2]", 4711, 0, 1_500_000_000)]
    [InlineData("          <idle>-0       [000] d.s2.     1.000000: ", "<idle>", 0, 0, 1_000_000_000)]
    [InlineData("           <...>-98    (     98) [000] ....     1.000000: ", "<...>", 98, 0, 1_000_000_000)]
    [InlineData("            bash-98    (-------) [000] ....     1.000000: ", "bash", 98, 0, 1_000_000_000)]
    [InlineData("            bash-98      [000]     1.000000: ", "bash", 98, 0, 1_000_000_000)]
    [InlineData(" busybox-98      0d..3.     6.625374: ", "busybox", 98, 0, 6_625_374_000)]
    [InlineData("  my-prog-98     12.....     6.625374: ", "my-prog", 98, 12, 6_625_374_000)]
    [InlineData("            perf   209 [000]    19.552581: kmem:", "perf", 209, 0, 19_552_581_000)]
    [InlineData("     two words   209/210   [001]    19.552581305: kmem:", "two words", 210, 1, 19_552_581_305)]
    [InlineData("         busybox-106     [000] .....          1234: ", "busybox", 106, 0, 1234)]
    public void Heads_of_all_formats_are_taken_apart(string head, string task, int pid, int cpu, long time)
    {
        TraceEvent e = ReadAll(head + Alloc).Single();
        (e.TaskName, e.Pid, e.Cpu, e.TimestampNs).Should().Be((task, pid, cpu, time));
        (e.Kind, e.Pfn, e.Order, e.MigrateType, e.Gfp, e.Line).Should().Be((TraceEventKind.PageAlloc, 0x61f8, 1, 0, Gfp.Kernel | Gfp.Zero, 1));
    }

    [Theory]
    [InlineData(".....", TraceContext.Known, 0)]
    [InlineData("d..3.", TraceContext.Known | TraceContext.InterruptsOff, 3)]
    [InlineData("D.H2.", TraceContext.Known | TraceContext.InterruptsOff | TraceContext.BottomHalvesOff | TraceContext.HardInterrupt | TraceContext.SoftInterrupt, 2)]
    [InlineData("bNsa1", TraceContext.Known | TraceContext.BottomHalvesOff | TraceContext.NeedReschedule | TraceContext.SoftInterrupt, 10)]
    [InlineData("..Z.", TraceContext.Known | TraceContext.HardInterrupt | TraceContext.NonMaskableInterrupt, 0)]
    public void Context_flags_are_read(string flags, TraceContext context, byte depth)
    {
        TraceEvent e = ReadAll($"  a-1  [000] {flags}  1.0: {Alloc}").Single();
        (e.Context, e.PreemptDepth).Should().Be((context, depth));
    }

    [Fact]
    public void Slab_events_tell_their_fields()
    {
        TraceEvent[] events = [.. ReadAll(
            "  a-1  [000] .....  1.0: kmalloc: call_site=zram_open+0x20/0x40 [zram] ptr=ffff888006258000 bytes_req=83 bytes_alloc=96 gfp_flags=GFP_NOWAIT node=-1 accounted=true",
            "  a-1  [000] .....  1.1: kmem_cache_free: call_site=f+0x1/0x2 ptr=00000000deadbeef name=my cache (2)",
            "  a-1  [000] .....  1.2: kmem_cache_free: call_site=f+0x1/0x2 name=other cache ptr=0xffff888006258000",
            "  a-1  [000] .....  1.3: kfree: call_site=f+0x1/0x2 ptr=(nil)")];
        (events[0].CallSite, events[0].Ptr, events[0].BytesRequested, events[0].BytesAllocated, events[0].Gfp, events[0].Node, events[0].Accounted)
            .Should().Be(("zram_open+0x20/0x40", 0xffff888006258000, 83, 96, Gfp.NoWait, -1, true));
        (events[1].CacheName, events[1].Ptr).Should().Be(("my cache (2)", 0xdeadbeef));
        (events[2].CacheName, events[2].Ptr).Should().Be(("other cache", 0xffff888006258000));
        events[3].Ptr.Should().Be(0);
        events[0].CallSite.Should().NotBeSameAs(events[1].CallSite);
        events[1].CallSite.Should().BeSameAs(events[2].CallSite);
    }

    [Fact]
    public void Failed_allocations_have_no_frame()
    {
        TraceEvent[] events = [.. ReadAll(
            "  a-1  [000] .....  1.0: mm_page_alloc: page=0000000000000000 pfn=0x0 order=9 migratetype=1 gfp_flags=GFP_NOWAIT",
            "  a-1  [000] .....  1.0: mm_page_alloc: page=ffffea0000000000 pfn=0x0 order=9 migratetype=1 gfp_flags=none",
            "  a-1  [000]  1.0: mm_page_alloc: page=(nil) pfn=0xffffffffffffffff order=9 migratetype=1 gfp_flags=GFP_NOWAIT")];
        events.Select(e => (e.Failed, e.Pfn)).Should().Equal((true, -1), (false, 0), (true, -1));
    }

    [Fact]
    public void Other_events_come_with_their_names()
    {
        TraceEvent[] events = [.. ReadAll(
            "  a-1  [000] .....  1.0: mm_compaction_begin: zone_start=0x1 migrate_pfn=0x1 free_pfn=0x2 zone_end=0x3, mode=sync",
            "  a-1  [000] .....  1.0: tlb_flush: pages:-1 reason:flush on task switch (0)",
            "  a-1  [000] .....  1.0: tracing_mark_write: two",
            "lines of text",
            "  a-1  [000] .....  1.0: mm_page_free_batched: page=ffffea0000187e00 pfn=0x61f8 order=0")];
        events.Select(e => e.EventName).Should().Equal("mm_compaction_begin", "tlb_flush", "tracing_mark_write", "mm_page_free_batched");
        events[0].Kind.Should().Be(TraceEventKind.Other);
        events[0].Pfn.Should().Be(-1);
    }

    [Fact]
    public void Notes_are_counted_and_skipped()
    {
        using TraceReader reader = new(ImportText.Of(
            "# tracer: nop",
            "# entries-in-buffer/entries-written: 2/14   #P:4",
            "cpus=4",
            "version = 7",
            "CPU 3 is empty",
            "CPU:1 [LOST 12 EVENTS]",
            "CPU:2 [3 EVENTS DROPPED]",
            "CPU:2 [LOST EVENTS]",
            "##### CPU 1 buffer started ####",
            "  a-1  [000] .....  1.0: " + Alloc,
            "  a-1  [000] .....  1.0: <stack trace>",
            " => __alloc_pages",
            "",
            "\t  ffffffff81234567 __alloc_pages+0x1 ([kernel.kallsyms])",
            "  a-1  [000] .....  1.1: " + Alloc), "trace");
        ReadAll(reader).Should().HaveCount(2);
        (reader.EntriesInBuffer, reader.EntriesWritten, reader.CpuCount, reader.LostEvents, reader.EventCount).Should().Be((2, 14, 4, 16, 2));
    }

    [Fact]
    public void A_line_broken_in_two_is_put_together()
    {
        using TraceReader reader = new(ImportText.Of(
            "  a-1  [000] .....  1.0: mm_page_alloc: page=ffffea0000187e00 pfn=0x61f8 ord",
            "er=1 migratetype=0 gfp_flags=GFP_KERNEL",
            "  a-1  [00",
            "0] .....  2.0: " + Alloc), "trace");
        ReadAll(reader).Select(e => (e.Line, e.Order, e.TimestampNs)).Should().Equal((1, 1, 1_000_000_000), (3, 1, 2_000_000_000));
        reader.RepairedLines.Should().Be(2);
    }

    [Fact]
    public void Unreadable_lines_are_skipped_up_to_the_limit_given()
    {
        string[] lines = ["  a-1  [000] .....  1.0: " + Alloc, "  a-1  [000] .....  1.0: mm_page_alloc: page=ffffea0000187e00 pf", "  a-1  [000] .....  1.1: " + Alloc, "garbage", "# comment"];
        using TraceReader tolerant = new(ImportText.Of(lines), "trace", maxUnreadableLines: 2);
        ReadAll(tolerant).Select(e => e.Line).Should().Equal(1, 3);
        tolerant.UnreadableLines.Should().Be(2);

        using TraceReader stricter = new(ImportText.Of(lines), "trace", maxUnreadableLines: 1);
        FluentActions.Invoking(() => ReadAll(stricter)).Should().Throw<InputFileException>().WithMessage("trace(4): 'garbage' is no event");
    }

    [Theory]
    [InlineData("hello", "is no event")]
    [InlineData("  a-1  [000] .....  1.0: mm_page_alloc: page=0 pfn=0x1 order=1 migratetype=0", "lacks fields: Gfp")]
    [InlineData("  a-1  [000] .....  1.0: mm_page_alloc: page=0 pfn=0x1 order=1 migratetype=0 gfp_flags=GFP_BOGUS", "no GFP flags: 'GFP_BOGUS'")]
    [InlineData("  a-1  [000] .....  1.0: mm_page_alloc: page=0 pfn=xyz order=1 migratetype=0 gfp_flags=none", "'pfn=xyz'")]
    [InlineData("  a-1  [000] .....  1.0: mm_page_alloc: page=0 pfn=0x1 order=-1 migratetype=0 gfp_flags=none", "'order=-1'")]
    [InlineData("  a-1  [000] .....  1.0: mm_page_alloc: page=0 pfn=0x1 order=64 migratetype=0 gfp_flags=none", "'order=64'")]
    [InlineData("  a-1  [000] .....  1.0: mm_page_alloc: page=0 pfn=0x1 order=1 migratetype=9 gfp_flags=none", "'migratetype=9'")]
    [InlineData("  a-1  [000] .....  1.0: mm_page_free: page=0 pfn=0x1 order=1 order=1", "'order=1'")]
    [InlineData("  a-1  [000] .....  1.0: mm_page_free: page=0 pfn=0xfffffffffff order=1", "'pfn=0xfffffffffff'")]
    [InlineData("  a-1  [000] .....  1.0: kmalloc: ptr=1 bytes_req=-5 bytes_alloc=8 gfp_flags=none", "'bytes_req=-5'")]
    [InlineData("  a-99999999  [000] .....  1.0: mm_page_free: pfn=0x1 order=1", "is no event")]
    public void A_wrong_line_is_named_with_its_reason(string line, string reason) =>
        FluentActions.Invoking(() => ReadAll("  a-1  [000] .....  1.0: " + Alloc, line)).Should().Throw<InputFileException>().WithMessage($"trace(2): *{reason}*");

    private static List<TraceEvent> ReadAll(params string[] lines)
    {
        using TraceReader reader = new(ImportText.Of(lines), "trace");
        return ReadAll(reader);
    }

    private static List<TraceEvent> ReadAll(TraceReader reader)
    {
        List<TraceEvent> events = [];
        while (reader.TryRead(out TraceEvent e))
        {
            events.Add(e);
        }

        return events;
    }
}
