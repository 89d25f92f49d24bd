using FluentAssertions;
using Xunit;

namespace MemSim.Reports.Tests;

/// <summary>Two reports that CPUs wrote at the same time into one log, without a word in any line who wrote it: each line goes to its own report or to none.</summary>
public sealed class MixedReportTests
{
    // A fragmented zone, a failure of order 3.
    private static readonly string[] One =
    [
        "one: page allocation failure: order:3, mode:0x40820(GFP_ATOMIC|__GFP_COMP), nodemask=(null),cpuset=/,mems_allowed=0",
        "CPU: 0 PID: 11 Comm: one Not tainted 6.6.1 #1",
        " dump_stack_lvl+0x5d/0x80",
        " warn_alloc.cold+0x4a/0x5e",
        "Mem-Info:",
        "active_anon:1001 inactive_anon:8055 isolated_anon:0",
        " free:50919 free_pcp:0 free_cma:0",
        "Node 0 active_anon:4004kB inactive_anon:32220kB active_file:3516880kB",
        "Node 0 DMA free:13312kB boost:0kB min:64kB low:80kB high:96kB reserved_highatomic:0KB present:15992kB managed:15360kB",
        "lowmem_reserve[]: 0 1000 1000 1000",
        "Node 0 Normal free:190364kB boost:0kB min:63960kB low:79948kB high:95936kB reserved_highatomic:0KB present:4000000kB managed:3900000kB",
        "lowmem_reserve[]: 0 0 0 0",
        "Node 0 DMA: 3328*4kB (U) 0*8kB 0*16kB 0*32kB 0*64kB 0*128kB 0*256kB 0*512kB 0*1024kB 0*2048kB 0*4096kB = 13312kB",
        "Node 0 Normal: 47591*4kB (UME) 0*8kB 0*16kB 0*32kB 0*64kB 0*128kB 0*256kB 0*512kB 0*1024kB 0*2048kB 0*4096kB = 190364kB",
        "3924882 total pagecache pages",
        "Free swap  = 111kB",
        "Total swap = 5000kB",
        "1000000 pages RAM",
    ];

    // A machine that is short of everything, of order 0.
    private static readonly string[] Two =
    [
        "two: page allocation failure: order:0, mode:0x40820(GFP_ATOMIC|__GFP_COMP), nodemask=(null),cpuset=/,mems_allowed=0",
        "CPU: 1 PID: 22 Comm: two Not tainted 6.6.1 #1",
        " dump_stack_lvl+0x5d/0x80",
        " warn_alloc.cold+0x4a/0x5e",
        "Mem-Info:",
        "active_anon:2002 inactive_anon:9055 isolated_anon:0",
        " free:5010 free_pcp:0 free_cma:0",
        "Node 0 active_anon:8008kB inactive_anon:36220kB active_file:3416880kB",
        "Node 0 DMA free:40kB boost:0kB min:64kB low:80kB high:96kB reserved_highatomic:0KB present:15992kB managed:15360kB",
        "lowmem_reserve[]: 0 1000 1000 1000",
        "Node 0 Normal free:20000kB boost:0kB min:63960kB low:79948kB high:95936kB reserved_highatomic:0KB present:4000000kB managed:3900000kB",
        "lowmem_reserve[]: 0 0 0 0",
        "Node 0 DMA: 10*4kB (U) 0*8kB 0*16kB 0*32kB 0*64kB 0*128kB 0*256kB 0*512kB 0*1024kB 0*2048kB 0*4096kB = 40kB",
        "Node 0 Normal: 5000*4kB (UME) 0*8kB 0*16kB 0*32kB 0*64kB 0*128kB 0*256kB 0*512kB 0*1024kB 0*2048kB 0*4096kB = 20000kB",
        "24882 total pagecache pages",
        "Free swap  = 222kB",
        "Total swap = 5000kB",
        "1000000 pages RAM",
    ];

    // The same machine's OOM killer, with tasks and a victim behind the state.
    private static readonly string[] Killer =
    [
        "two invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP), order=0, oom_score_adj=0",
        .. Two[1..],
        "Tasks state (memory values in pages):",
        "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
        "[     22]     0    22    30000    20000   262144        0             0 two",
        "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/,task=two,pid=22,uid=0",
        "Out of memory: Killed process 22 (two) total-vm:120000kB, anon-rss:80000kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:256kB oom_score_adj:0",
    ];

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void However_two_reports_are_mixed_no_line_goes_to_the_wrong_one(bool kills)
    {
        Random random = new(20);
        int whole = 0;
        for (int run = 0; run < 400; run++)
        {
            string text = Mix(random, One, kills ? Killer : Two);
            IReadOnlyList<ReportExplanation> reports = Logs.Explain(text);
            reports.Should().HaveCount(2, text);
            foreach (ReportExplanation report in reports)
            {
                bool one = report.Report.Task == "one";
                (long dma, long normal, long swap, long anon, long cache, Verdict verdict) = one ? (13312, 190364, 111, 1001, 3924882, Verdict.Fragmented) : (40, 20000, 222, 2002, 24882, Verdict.Short);
                foreach ((string name, long kib) in new[] { ("DMA", dma), ("Normal", normal) })
                {
                    ReportedZone? zone = report.Report.Zones.FirstOrDefault(z => z.Name == name);
                    (zone?.KiB("free") ?? kib).Should().Be(kib, text);
                    (zone?.ListTotalKiB ?? kib).Should().Be(kib, text);
                }

                (Value(report.Report.Closing, "swap free") ?? swap).Should().Be(swap, text);
                (Value(report.Report.Closing, "pagecache") ?? cache).Should().Be(cache, text);
                (Value(report.Report.Totals, "active_anon") ?? anon).Should().Be(anon, text);
                report.Report.Cpu.Should().Be(one ? 0 : 1, text);
                (report.Report.Victim?.Pid).Should().Be(!one && kills ? 22 : null, text);
                report.Report.TaskRows.Should().Be(!one && kills ? 1 : 0, text);
                report.Verdict.Should().BeOneOf([Verdict.Undecidable, verdict], text);
                if (report.Report.MixedLines == 0)
                {
                    report.Verdict.Should().Be(verdict, text);
                }

                whole += report.Verdict == verdict ? 1 : 0;
            }
        }

        whole.Should().BeGreaterThan(300, "often the order of the parts tells");
    }

    [Fact]
    public void Reports_that_run_side_by_side_from_the_first_line_on_are_undecidable_and_say_why()
    {
        IReadOnlyList<ReportExplanation> reports = Logs.Explain(string.Join('\n', One.Zip(Two, (a, b) => a + "\n" + b)));

        reports.Should().HaveCount(2);
        reports.Should().OnlyContain(r => r.Verdict == Verdict.Undecidable && r.Why[0].Contains("mixed with another one") && r.Report.Zones.Count == 0);
        reports[0].Notes.Should().Contain(n => n.Contains("of the one of line 2") && n.Contains("CONFIG_PRINTK_CALLER"));
        reports[1].Notes.Should().Contain(n => n.Contains("of the one of line 1"));
        reports.Select(r => r.Report.Closing["ram"]).Should().AllBeEquivalentTo(1000000, "both say the same");
    }

    [Fact]
    public void The_head_of_the_second_report_tells_whose_lines_before_it_are()
    {
        // The first is through its zones when the second begins; the second's zones come before the first's lists are over.
        string[] lines = [.. One[..12], .. Two[..9], One[12], .. Two[9..12], One[13], .. One[14..], .. Two[12..]];
        IReadOnlyList<ReportExplanation> reports = Logs.Explain(string.Join('\n', lines));

        reports.Select(r => (r.Report.Task, r.Verdict, r.Zone("Normal").FreePages, r.Report.MixedLines)).Should().Equal(("one", Verdict.Fragmented, 47591, 0), ("two", Verdict.Short, 5000, 0));
    }

    [Fact]
    public void Zones_whose_counters_fit_the_lists_are_told_from_the_others_by_them()
    {
        // The first's zones come before the second's CPU; the lists come in the other order, which only the sums tell.
        string[] lines = [.. One[..4], Two[0], .. One[4..12], .. Two[1..13], One[12], Two[13], .. One[13..], .. Two[14..]];
        IReadOnlyList<ReportExplanation> reports = Logs.Explain(string.Join('\n', lines));

        reports.Select(r => (r.Report.Task, r.Verdict)).Should().Equal(("one", Verdict.Fragmented), ("two", Verdict.Short));
        reports.Select(r => r.Report.Zones.Single(z => z.Name == "DMA").ListTotalKiB).Should().Equal(13312, 40);
    }

    [Fact]
    public void Two_reports_of_one_task_are_never_swapped_either()
    {
        string[] two = [.. Two.Select(l => l.Replace("two", "one", StringComparison.Ordinal))];
        IReadOnlyList<ReportExplanation> reports = Logs.Explain(string.Join('\n', One.Zip(two, (a, b) => a + "\n" + b)));

        reports.Should().OnlyContain(r => r.Verdict == Verdict.Undecidable && r.Report.Cpu == null && r.Report.Release == "6.6.1");
    }

    [Fact]
    public void Three_reports_at_once_are_not_guessed_at()
    {
        string[] three = [.. Two.Select(l => l.Replace("two", "three", StringComparison.Ordinal).Replace("free:20000kB", "free:20008kB", StringComparison.Ordinal))];
        IReadOnlyList<ReportExplanation> reports = Logs.Explain(string.Join('\n', One.Zip(Two, three).Select(l => $"{l.First}\n{l.Second}\n{l.Third}")));

        reports.Select(r => r.Report.Task).Should().Equal("one", "two", "three");
        reports.Should().OnlyContain(r => r.Verdict == Verdict.Undecidable);
    }

    [Fact]
    public void Reports_behind_each_other_are_none_that_are_mixed()
    {
        IReadOnlyList<ReportExplanation> reports = Logs.Explain(string.Join('\n', [.. One[..6], .. Two, .. One]));

        reports.Select(r => (r.Report.Task, r.Verdict, r.Report.MixedLines)).Should().Equal(("one", Verdict.Undecidable, 0), ("two", Verdict.Short, 0), ("one", Verdict.Fragmented, 0));
    }

    private static string Mix(Random random, string[] one, string[] two)
    {
        // Runs of lines, as CPUs write when each now and then has to wait for the console.
        List<string> lines = [];
        (int a, int b) = (0, 0);
        int run = random.Next(1, 8);
        while (a < one.Length || b < two.Length)
        {
            bool first = b == two.Length || (a < one.Length && random.Next(2) == 0);
            for (int i = random.Next(1, run + 1); i > 0 && (first ? a < one.Length : b < two.Length); i--)
            {
                lines.Add(first ? one[a++] : two[b++]);
            }
        }

        return string.Join('\n', lines.Select((l, i) => $"[   10.{i:D6}] {l}"));
    }

    private static long? Value(IDictionary<string, long> figures, string name) => figures.TryGetValue(name, out long value) ? value : null;
}
