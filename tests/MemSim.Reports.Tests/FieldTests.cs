using FluentAssertions;
using Xunit;

namespace MemSim.Reports.Tests;

/// <summary>Reports of many kernels and architectures, each worked out by hand before it was read: reason, figures of the zones, a remedy; and no line of the report is left over.</summary>
public sealed class FieldTests
{
    private static readonly char[] Unread = [' ', '\t'];

    public static TheoryData<string, int, string, string, string, string> Rows()
    {
        TheoryData<string, int, string, string, string, string> rows = new();
        foreach (string line in File.ReadLines(Path.Combine(Logs.Folder, "field.tsv")).Where(l => !l.StartsWith('#')))
        {
            string[] cells = line.Split('\t');
            rows.Add(cells[0], int.Parse(cells[1]), cells[2], cells[3], cells[4], cells[5]);
        }

        return rows;
    }

    [Fact]
    public void Every_log_has_an_answer()
    {
        string[] logs = [.. Directory.GetFiles(Path.Combine(Logs.Folder, "field")).Select(f => Path.GetFileName(f)[..2]).Order()];
        Rows().Select(r => r.Data.Item1).Distinct().Order().Should().Equal(logs);
    }

    [Theory]
    [MemberData(nameof(Rows))]
    public void A_report_is_explained_as_it_was_worked_out_by_hand(string file, int report, string verdict, string order, string zones, string savedBy)
    {
        ReportExplanation explanation = Logs.Explain(Logs.Field(file))[report];

        explanation.Verdict.ToString().ToLowerInvariant().Should().Be(verdict, "{0}", explanation);
        (explanation.Order?.ToString() ?? "-").Should().Be(order);
        foreach (string zone in zones.Split(';', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            string[] words = zone.Split(Unread);
            string[] place = words[0].Split('/');
            ZoneOutcome outcome = explanation.Zone(place[1], int.Parse(place[0]));
            $"{words[0]} {outcome.FreePages} {outcome.UnusablePages} {outcome.LimitPages} {outcome.MissingPages} {outcome.LargestUsableOrder?.ToString() ?? "?"} {(outcome.Passes switch { true => "yes", false => "no", null => "?" })}"
                .Should().Be(zone, "{0}", explanation);
        }

        if (savedBy.Length != 0)
        {
            string[] knob = savedBy.Split('=');
            Saving best = explanation.SavedBy.Should().Contain(s => s.Knob == knob[0] && s.Works == true && (knob.Length == 1 || s.Value == knob[1]), "{0}", explanation).Subject;
            best.Text.Should().NotBeEmpty();
        }
    }

    [Theory]
    [InlineData("01")]
    [InlineData("03")]
    [InlineData("06")]
    [InlineData("16")]
    [InlineData("24")]
    [InlineData("31")]
    [InlineData("33")]
    [InlineData("35")]
    [InlineData("36")]
    [InlineData("40")]
    [InlineData("44")]
    [InlineData("46")]
    [InlineData("51")]
    [InlineData("53")]
    [InlineData("60")]
    [InlineData("61")]
    [InlineData("62")]
    [InlineData("65")]
    [InlineData("67")]
    [InlineData("68")]
    [InlineData("70")]
    [InlineData("71")]
    [InlineData("72")]
    [InlineData("73")]
    [InlineData("74")]
    [InlineData("75")]
    [InlineData("76")]
    [InlineData("77")]
    [InlineData("78")]
    [InlineData("79")]
    [InlineData("81")]
    [InlineData("82")]
    [InlineData("84")]
    [InlineData("86")]
    [InlineData("87")]
    [InlineData("88")]
    public void No_line_of_it_is_left_over(string file)
    {
        using StringReader reader = new(Logs.Field(file));
        KernelLog log = new(reader);
        log.Reports().Should().NotBeEmpty();

        log.UnknownLines.Should().BeEmpty();
    }

    [Fact]
    public void A_request_for_one_node_failed_on_a_node_that_fails()
    {
        ReportExplanation explanation = Logs.Only("""
            vm: page allocation failure: order:9, mode:0x346dca(GFP_HIGHUSER_MOVABLE|__GFP_NOWARN|__GFP_ZERO|__GFP_THISNODE|__GFP_COMP|__GFP_RETRY_MAYFAIL), nodemask=(null),cpuset=/,mems_allowed=0-1
            CPU: 20 PID: 44 Comm: vm Not tainted 5.14.0-427.13.1.el9_4.x86_64 #1
            Node 0 Normal free:900000kB boost:0kB min:90000kB low:112000kB high:134000kB reserved_highatomic:2048KB present:67108864kB managed:65900000kB free_cma:0kB
            lowmem_reserve[]: 0 0 0 0 0
            Node 1 Normal free:59998208kB boost:0kB min:90000kB low:112000kB high:134000kB reserved_highatomic:2048KB present:67108864kB managed:66000000kB free_cma:0kB
            lowmem_reserve[]: 0 0 0 0 0
            Node 0 Normal: 100000*4kB (UME) 30000*8kB (UME) 16250*16kB (UME) 0*32kB 0*64kB 0*128kB 0*256kB 0*512kB 0*1024kB 0*2048kB 0*4096kB = 900000kB
            Node 1 Normal: 0*4kB 0*8kB 0*16kB 0*32kB 0*64kB 0*128kB 0*256kB 0*512kB 0*1024kB 0*2048kB 14648*4096kB (M) = 59998208kB
            """);

        explanation.Verdict.Should().Be(Verdict.Fragmented);
        explanation.Why[0].Should().StartWith("Node 0 Normal is FRAGMENTED");
        explanation.Why[1].Should().Contain("must have been node 0");
    }

    [Fact]
    public void A_kill_asked_for_by_hand_is_no_failure()
    {
        Logs.Only(Logs.Field("05")).Why[0].Should().Contain("by hand");
    }

    [Fact]
    public void The_limit_of_memory_and_swap_is_named_when_memory_alone_is_below_its_own()
    {
        Logs.Only(Logs.Field("06")).Why[0].Should().StartWith("The limit of memory and swap together").And.Contain("200 MiB of 200 MiB".Replace(" of ", " used of ", StringComparison.Ordinal)).And.Contain("52.6 MiB of 100 MiB");
    }

    [Fact]
    public void A_request_that_waits_has_not_failed()
    {
        ReportExplanation explanation = Logs.Only(Logs.Field("11"));

        explanation.Report.Head.Should().Be(ReportHead.Stall);
        explanation.Report.WaitedMilliseconds.Should().Be(10273);
        explanation.Notes.Should().Contain(n => n.Contains("10.3 s"));
    }

    [Fact]
    public void A_range_that_CMA_cannot_give_is_told_with_its_size_and_the_largest_free_one()
    {
        IReadOnlyList<ReportExplanation> reports = Logs.Explain(Logs.Field("13"));

        reports.Select(r => r.Report.Cma).Should().Equal(
            new CmaFailure(null, 4050, -12) { FreePages = 3958, TotalPages = 8192, LargestRangePages = 3886 },
            new CmaFailure("linux,cma", 128, -16),
            new CmaFailure("reserved", 257, -16) { FreePages = 1042, TotalPages = 32768 },
            new CmaFailure(null, 200000, -16) { FreePages = 253672, TotalPages = 262144, LargestRangePages = 253648 },
            new CmaFailure(null, 256, -12) { FreePages = 357, TotalPages = 2048, LargestRangePages = 166 });
        reports[3].Why[0].Should().Contain("a range that is large enough is free");
    }

    [Fact]
    public void A_cache_of_one_cgroup_points_to_its_limit()
    {
        ReportExplanation explanation = Logs.Only(Logs.Field("14"));

        explanation.Report.SlabFailures.Single().Cgroup.Should().Be("helper-logs");
        explanation.Why[0].Should().Contain("helper-logs");
    }

    [Fact]
    public void A_zone_without_memory_is_the_reason_when_no_other_may_be_used()
    {
        Logs.Only(Logs.Field("46")).Why[0].Should().Contain("Node 0 DMA is there (128 kB present)").And.Contain("can never succeed");
    }

    [Fact]
    public void A_request_from_within_reclaim_is_recognised_by_its_call_trace()
    {
        Logs.Only(Logs.Field("52")).Why.Should().Contain(w => w.Contains("PF_MEMALLOC") && w.Contains("last page"));
    }

    [Fact]
    public void Flags_with_bits_of_the_next_kernel_are_read_as_its_own()
    {
        Logs.Only(Logs.Field("01")).GfpNames.Should().Equal("GFP_HIGHUSER_MOVABLE", "__GFP_COLD");
    }

    [Fact]
    public void The_kernel_that_another_line_of_the_log_names_is_taken_where_the_report_names_none()
    {
        ReportExplanation explanation = Logs.Only(Logs.Field("39"));

        explanation.Rules.Should().Contain("4.14.158").And.Contain("another line");
        explanation.GfpNames.Should().Equal("GFP_ATOMIC");
    }

    [Fact]
    public void A_zone_that_passes_at_min_and_not_at_high_is_told_with_both()
    {
        Logs.Only(Logs.Field("61")).Why.Should().Contain("Node 1 Normal passes at min as printed (12359 > 11361), but not the last try against high (12359 <= 17041).");
    }

    [Fact]
    public void Compressed_swap_that_has_most_of_the_memory_is_named()
    {
        ReportExplanation explanation = Logs.Only(Logs.Field("66"));

        explanation.Consumers[0].Should().Be(new Consumer("compressed swap", 11160 + 916780, "zsmalloc: zram or zswap"));
        explanation.Why[1].Should().StartWith("Most of the memory is in one place: compressed swap 906.2 MiB");
    }

    [Fact]
    public void Pools_of_huge_pages_are_named_as_holders_and_not_left_unaccounted_for()
    {
        string bare = File.ReadAllText(Path.Combine(Logs.Folder, "reports", "amd64k618-oom.txt"));
        const string None = "hugepages_total=0 hugepages_free=0 hugepages_surp=0 hugepages_size=2048kB";
        const string Pool = "hugepages_total=80 hugepages_free=60 hugepages_surp=0 hugepages_size=2048kB";
        ReportExplanation explanation = Logs.Only(bare.Replace("active_anon:47252", "active_anon:7252", StringComparison.Ordinal).Replace(None, Pool, StringComparison.Ordinal));

        explanation.Consumers.Should().Contain(new Consumer("huge pages (hugetlb)", 160 << 10, "120 MiB of it not in use"));
        explanation.Why[1].Should().StartWith("Most of the memory is in one place: huge pages (hugetlb) 160 MiB").And.Contain("vm.nr_hugepages");
        explanation.Consumers.Should().NotContain(c => c.Name == "not accounted for" && c.KiB > 40 << 10);
        explanation.SavedBy.Should().ContainSingle(s => s.Knob == "nr_hugepages").Which.Works.Should().BeNull();
        Logs.Only(bare).SavedBy.Should().NotContain(s => s.Knob == "nr_hugepages");
    }

    [Fact]
    public void A_request_that_may_wait_is_held_to_min_and_has_the_slab_that_only_the_totals_count()
    {
        string atomic = Atomic(slab: 154);
        ReportExplanation little = Logs.Only(atomic);
        ReportExplanation much = Logs.Only(Atomic(slab: 20154));
        Saving Sleeping(ReportExplanation explanation) => explanation.SavedBy.Single(s => s is { Knob: "gfp", Value: "GFP_KERNEL" });

        little.Verdict.Should().Be(Verdict.Short);
        Sleeping(little).Works.Should().BeFalse();
        Sleeping(little).Text.Should().Contain("154 pages");
        Sleeping(much).Works.Should().BeTrue();
        Sleeping(much).Text.Should().Contain("20154 pages");

        // 154 pages of slab would do for the lowered limit of the atomic request, not for min.
        ZoneOutcome zone = little.Zone("DMA32");
        zone.MissingPages.Should().BeInRange(1, 154);

        // Anonymous memory may leave where there is swap.
        Sleeping(Logs.Only(atomic.Replace("Free swap  = 0kB", "Free swap  = 100000kB", StringComparison.Ordinal).Replace("Total swap = 0kB", "Total swap = 100000kB", StringComparison.Ordinal))).Works.Should().BeNull();

        static string Atomic(int slab) => File.ReadAllText(Path.Combine(Logs.Folder, "reports", "amd64k618-oom.txt")).Split("Tasks state")[0]
            .Replace("memcap invoked oom-killer: gfp_mask=0x140dca(GFP_HIGHUSER_MOVABLE|__GFP_ZERO|__GFP_COMP), order=0, oom_score_adj=0", "memcap: page allocation failure: order:0, mode:0x820(GFP_ATOMIC), nodemask=(null),cpuset=/,mems_allowed=0", StringComparison.Ordinal)
            .Replace("DMA32 free:1356kB boost:0kB min:1664kB", "DMA32 free:556kB boost:0kB min:1664kB", StringComparison.Ordinal)
            .Replace("DMA free:904kB", "DMA free:4kB", StringComparison.Ordinal)
            .Replace("slab_reclaimable:154", $"slab_reclaimable:{slab}", StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("on node -1, gfp=0xa20(GFP_ATOMIC)", "GFP_ATOMIC")]
    [InlineData("on CPU 2 (of node 0) on node -1, gfp=0xa20(GFP_ATOMIC)", "GFP_ATOMIC")]
    [InlineData("on node -1 (gfp=0x20)", "0x20")]
    public void Every_form_of_the_complaint_about_a_slab_is_read_whole(string text, string flags)
    {
        ReportExplanation explanation = Logs.Only($"[  100.000000] SLUB: Unable to allocate memory {text}\n[  100.000020]   cache: kmalloc-4k, object size: 4096, buffer size: 4096, default order: 3, min order: 0\n");

        explanation.Report.SlabFailures.Single().Cache.Should().Be("kmalloc-4k");
        explanation.Notes.Should().Contain(n => n.EndsWith($"SLUB could not get a slab for kmalloc-4k ({flags})", StringComparison.Ordinal)).And.NotContain(n => n.Contains("cut off"));
    }

    [Fact]
    public void A_request_that_watermarks_do_not_bind_is_said_to_be_one()
    {
        ReportExplanation explanation = Logs.Only(Logs.Field("64"));

        explanation.Why[0].Should().Be("Node 0 Normal is FRAGMENTED: watermarks do not bind this request (__GFP_MEMALLOC), but there is no free block of order 3 (32 KiB) or more: the largest is 8437*8kB, order 1.");
        explanation.SavedBy.Single(s => s.Knob == "compaction").Works.Should().BeNull("nothing in the text tells what could be moved");
    }

    [Fact]
    public void A_CPU_before_the_task_is_no_part_of_its_name() => Logs.Only(Logs.Field("76")).Report.Task.Should().Be("sh");

    [Fact]
    public void Slab_caches_are_read_where_the_lines_of_the_zones_are_missing()
    {
        ReportExplanation explanation = Logs.Only(Logs.Field("67"));

        explanation.Consumers[0].Should().Be(new Consumer("slab cache kmalloc-2048", 59164));
        explanation.Notes.Should().Contain("the kernel panicked: Kernel panic - not syncing: System is deadlocked on memory");
    }

    [Fact]
    public void Statistics_of_version_1_are_summed_over_the_groups_below()
    {
        ReportExplanation explanation = Logs.Only(Logs.Field("84"));

        explanation.Report.Cgroup!.Stat["rss"].Should().Be((44 + 2083864) << 10);
        explanation.Report.Cgroup.Stat["cache"].Should().Be(1200 << 10);
        explanation.Notes.Should().NotContain(n => n.Contains("no file pages"));
        explanation.Why.Should().Contain(w => w.StartsWith("In the group: rss 2035.1 MiB", StringComparison.Ordinal));
    }

    [Fact]
    public void A_group_that_is_killed_as_a_whole_is_told() =>
        Logs.Only(Logs.Field("85")).Notes.Should().Contain(n => n.StartsWith("memory.oom.group is set", StringComparison.Ordinal));

    [Fact]
    public void Totals_that_are_cut_off_are_summed_from_the_zones() =>
        Logs.Only(Logs.Field("74")).Consumers.Should().Contain(new Consumer("slab, reclaimable", 9848 + 184192)).And.Contain(c => c.Name == "file pages");
}
