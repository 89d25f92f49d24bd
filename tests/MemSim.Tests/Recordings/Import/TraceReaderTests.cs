using FluentAssertions;
using MemSim.Recordings;
using Xunit;

namespace MemSim.Tests.Recordings.Import;

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
    [InlineData("            perf 25082 [001]  3590.869180:          1 kmem:", "perf", 25082, 1, 3_590_869_180_000)]
    [InlineData(".NET Fin 24407   3  3577.325808: kmem:", ".NET Fin", 24407, 3, 3_577_325_808_000)]
    [InlineData("  .NET Finalizer 24407  3577.325808:            kmem:", ".NET Finalizer", 24407, 0, 3_577_325_808_000)]
    [InlineData(" tokio runtime 2    99  3577.325808: kmem:", "tokio runtime 2", 99, 0, 3_577_325_808_000)]
    [InlineData(" a: 1.5: b   209/210   3577.325808305: kmem:", "a: 1.5: b", 210, 0, 3_577_325_808_305)]
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

    [Theory]
    [InlineData("page=          (null) pfn=0 order=9 migratetype=1 gfp_flags=GFP_TRANSHUGE|GFP_NO_KSWAPD")]
    [InlineData("page=(nil) pfn=18446744073709551615 order=9 migratetype=1 gfp_flags=GFP_TRANSHUGE")]
    [InlineData("page=(nil) pfn=-1 order=9 migratetype=1 gfp_flags=GFP_TRANSHUGE")]
    [InlineData("page=(nil) pfn=4294967295 order=9 migratetype=1 gfp_flags=GFP_TRANSHUGE")]
    public void Failed_allocations_of_older_kernels_and_tools_have_no_frame_either(string fields)
    {
        TraceEvent e = ReadAll("  a-1  [000] 1.0: mm_page_alloc: " + fields).Single();
        (e.Failed, e.Pfn, e.Order).Should().Be((true, -1, 9));
    }

    [Theory]
    [InlineData("GFP_TEMPORARY|GFP_ZERO|GFP_COLD", Gfp.Kernel | Gfp.Reclaimable | Gfp.Zero)]
    [InlineData("GFP_WAIT|GFP_NOWARN|GFP_REPEAT|GFP_NOTRACK|GFP_OTHER_NODE", Gfp.Reclaim | Gfp.NoWarn | Gfp.RetryMayFail)]
    [InlineData("GFP_HIGHUSER_MOVABLE|__GFP_COLD|__GFP_OTHER_NODE", Gfp.HighUserMovable)]
    [InlineData("GFP_HIGHUSER_MOVABLE|__GFP_COMP|__GFP_SKIP_KASAN_POISON|__GFP_SKIP_ZERO", Gfp.HighUserMovable | Gfp.Comp)]
    [InlineData("GFP_HIGHUSER|__GFP_ZERO|__GFP_VENDOR_1", Gfp.HighUser | Gfp.Zero)]
    public void Flag_names_of_every_era_are_read(string flags, Gfp gfp)
    {
        using TraceReader reader = new(ImportText.Of("  a-1  [000] 1.0: mm_page_alloc: page=0x1 pfn=0x1 order=0 migratetype=1 gfp_flags=" + flags), "trace");
        ReadAll(reader).Single().Gfp.Should().Be(gfp);
        reader.UnknownFlags.Should().BeEquivalentTo(flags.Contains("VENDOR", StringComparison.Ordinal) ? ["__GFP_VENDOR_1"] : Array.Empty<string>());
    }

    [Fact]
    public void Events_before_3_3_have_their_old_names()
    {
        TraceEvent[] events = [.. ReadAll(
            "  a-1  [000] 1.0: mm_page_free_direct: page=ffffea0000187e00 pfn=25080 order=2",
            "  a-1  [000] 1.1: mm_pagevec_free: page=ffffea0000187e00 pfn=25080 order=0 cold=0")];
        events.Select(e => (e.Kind, e.Pfn, e.Order)).Should().Equal((TraceEventKind.PageFree, 25080, 2), (TraceEventKind.PageFreeBatched, 25080, 0));
    }

    [Fact]
    public void Allocations_from_caches_tell_the_name_from_6_18_on_and_no_node_before_6_1()
    {
        TraceEvent[] events = [.. ReadAll(
            "  a-1  [000] .....  1.0: kmem_cache_alloc: call_site=f+0x1/0x2 ptr=ffff888004a5b000 name=my cache (2) bytes_req=192 bytes_alloc=256 gfp_flags=GFP_KERNEL node=-1 accounted=true",
            "  a-1  [000] ....  1.1: kmem_cache_alloc: call_site=f+0x1/0x2 ptr=0000000003218205 bytes_req=224 bytes_alloc=256 gfp_flags=GFP_ATOMIC",
            "  a-1  [000] ....  1.2: kmem_cache_free: call_site=f+0x1/0x2 ptr=          (null)")];
        (events[0].CacheName, events[0].BytesRequested, events[0].BytesAllocated, events[0].Accounted).Should().Be(("my cache (2)", 192, 256, true));
        (events[1].CacheName, events[1].Ptr, events[1].BytesRequested, events[1].Node).Should().Be(("", 0x3218205, 224, -1));
        events[2].Ptr.Should().Be(0);
    }

    [Fact]
    public void Call_chains_of_perf_are_skipped()
    {
        TraceEvent e = ReadAll(
            "perf  6429 [000]    22.498450:             kmem:mm_page_alloc: page=0x176a17 pfn=1534487 order=0 migratetype=0 gfp_flags=GFP_KERNEL",
            "    ffffffffbe23e32e __alloc_pages_nodemask+0x22e (/lib/modules/5.1.0-rc3+/build/vmlinux)",
            "\t7efdf7f7d3e8 __poll+0x18 (/usr/lib64/libc-2.28.so)",
            "\t5651468729c1 [unknown] (/usr/bin/perf)",
            "               0 [unknown] ([unknown])",
            "").Single();
        (e.Pfn, e.Order, e.Gfp, e.Cpu).Should().Be((1534487, 0, Gfp.Kernel, 0));
    }

    [Fact]
    public void Records_of_perf_that_are_no_samples_are_skipped_and_events_without_a_CPU_counted()
    {
        using TraceReader reader = new(ImportText.Of(
            "# os release : 6.18.44",
            "# nrcpus online : 4",
            "swapper     0 [000]     0.000000: PERF_RECORD_MMAP -1/0: [0xffffffff81000000(0x1000000) @ 0xffffffff81000000]: x [kernel.kallsyms]_text",
            "perf 25082 [001]  3590.738420: PERF_RECORD_COMM exec: sleep:25087/25087",
            "perf 25082 [001]  3590.738420: PERF_RECORD_FORK(25082:25087):(25082:25082)",
            "perf 25082 [001]  3590.738421: kmem:mm_page_free: page=0x16eace pfn=0x16eace order=0",
            "perf 25082  3590.738422: kmem:mm_page_free: page=0x16eacf pfn=0x16eacf order=0"), "trace");
        ReadAll(reader).Select(e => (e.Pfn, e.Cpu)).Should().Equal((0x16eace, 1), (0x16eacf, 0));
        (reader.CpuCount, reader.EventsWithoutCpu, reader.LostEvents).Should().Be((4, 1, 0));
    }

    [Fact]
    public void Events_between_the_functions_of_function_graph_are_read()
    {
        TraceEvent[] events = [.. ReadAll(
            "# tracer: function_graph",
            " 1287587.105140 |   1)   0.123 us    |            __next_zones_zonelist();",
            " 1287587.105144 |   1)               |  /* mm_page_alloc: page=0000000082b1fe73 pfn=1704824 order=0 migratetype=1 gfp_flags=GFP_HIGHUSER_MOVABLE|__GFP_ZERO */",
            " 1287587.105150 |   1)   1.688 us    |    } /* get_page_from_freelist */",
            " ------------------------------------------",
            "  1)    bash-2342   =>   kworker-33  ",
            " ------------------------------------------",
            "",
            " 24) @ 184015.2 us |  }",
            " 24)               |  /* mm_page_alloc: page=0000000000000000 pfn=0 order=9 migratetype=1 gfp_flags=GFP_HIGHUSER_MOVABLE|__GFP_NOWARN|__GFP_COMP|__GFP_THISNODE */",
            "  3)  my-task-2342  |               |  /* mm_page_free: page=0000000082b1fe73 pfn=0x1704 order=0 */")];
        events.Select(e => (e.Cpu, e.Pid, e.TimestampNs, e.Pfn, e.Order, e.Failed)).Should().Equal(
            (1, 0, 1287587_105_144_000, 1704824, 0, false),
            (24, 0, 0, -1, 9, true),
            (3, 2342, 0, 0x1704, 0, false));
        events[2].TaskName.Should().Be("my-task");
    }

    [Fact]
    public void Fields_that_vendors_add_are_passed_over()
    {
        TraceEvent e = ReadAll("  <...>-22275 [006] ....   889.213383: mm_page_alloc: page=00000000d2be5665 pfn=970744 order=0 migratetype=0 nr_free=3650 gfp_flags=GFP_HIGHUSER|__GFP_ZERO").Single();
        (e.Pfn, e.MigrateType, e.Gfp).Should().Be((970744, 0, Gfp.HighUser | Gfp.Zero));
    }

    [Fact]
    public void The_page_address_of_trace_cmd_is_not_used()
    {
        // libtraceevent prints a symbol's address for page=: only the frame number tells which page it was.
        TraceEvent e = ReadAll(" busybox-98      [000]     6.625374: mm_page_alloc:        page=0xffffffff8241e06e pfn=0x26e order=0 migratetype=1 gfp_flags=GFP_HIGHUSER_MOVABLE").Single();
        (e.Pfn, e.MigrateType, e.Failed).Should().Be((0x26e, 1, false));
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
