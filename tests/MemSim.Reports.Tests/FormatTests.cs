using FluentAssertions;
using Xunit;

namespace MemSim.Reports.Tests;

/// <summary>Forms of reports met in archives and bug trackers, in few lines and with figures of our own.</summary>
public sealed class FormatTests
{
    [Fact]
    public void Lines_that_syslog_took_apart_piece_by_piece_are_put_together()
    {
        KernelReport report = Read("""
            Feb 19 16:20:13 host kernel: worker: page allocation failure: order:2, mode:0x2284020(GFP_ATOMIC|__GFP_COMP|__GFP_NOTRACK)
            Feb 19 16:20:13 host kernel: CPU: 3 PID: 1 Comm: worker Not tainted 4.9.10 #1
            Feb 19 16:20:13 host kernel: Mem-Info:
            Feb 19 16:20:13 host kernel: Node 0
            Feb 19 16:20:13 host kernel: Normal free:24148kB min:65640kB low:129584kB high:193528kB
            active_anon:6576248kB inactive_anon:843860kB present:65011712kB managed:63949432kB
            free_cma:0kB
            Feb 19 16:20:13 host kernel: lowmem_reserve[]:
            Feb 19 16:20:13 host kernel:  0
            Feb 19 16:20:13 host kernel:  0
            Feb 19 16:20:13 host kernel:  7
            Feb 19 16:20:13 host kernel: Node 0
            Feb 19 16:20:13 host kernel: Normal:
            Feb 19 16:20:13 host kernel: 3*4kB
            Feb 19 16:20:13 host kernel: (UM)
            Feb 19 16:20:13 host kernel: 3017*8kB
            Feb 19 16:20:13 host kernel: (U)
            Feb 19 16:20:13 host kernel: 0*16kB
            Feb 19 16:20:13 host kernel: = 24148kB
            """);

        ReportedZone zone = report.Zones.Should().ContainSingle().Subject;
        zone.ToString().Should().Be("Node 0 Normal");
        zone.KiB("managed").Should().Be(63949432);
        zone.LowmemReserve.Should().Equal(0, 0, 7);
        zone.Blocks.Should().Equal(new FreeBlocks(0, 4, 3, "UM"), new FreeBlocks(1, 8, 3017, "U"), new FreeBlocks(2, 16, 0, null));
        zone.ListTotalKiB.Should().Be(24148);
    }

    [Fact]
    public void A_list_that_a_serial_console_cut_off_leaves_larger_blocks_unknown()
    {
        ReportExplanation explanation = Logs.Only("""
            worker: page allocation failure: order:5, mode:0xcc0(GFP_KERNEL), nodemask=(null)
            CPU: 0 PID: 1 Comm: worker Not tainted 5.10.1 #1
            Node 0 Normal free:193448kB min:4000kB low:5000kB high:6000kB reserved_highatomic:0KB active_anon:0B
            lowmem_reserve[]: 0 0 0
            Node 0 Normal: 1985*4kB (UME) 1321*8kB (UME) 844*16kB (UME) 524*32kB (UB
            """);

        explanation.Verdict.Should().Be(Verdict.Undecidable);
        explanation.Why[0].Should().Contain("the list of its free blocks is cut off");
        explanation.Zone("Normal").LargestUsableOrder.Should().BeNull();
    }

    [Fact]
    public void Stars_that_a_markup_language_took_away_are_understood()
    {
        KernelReport report = Read("""
            txg_sync: page allocation failure. order:0, mode:0x20
            Node 0 DMA32: 150_4kB 3276_8kB 738_16kB 0_32kB = 38616kB
            """);

        report.Zones[0].Blocks.Should().Equal(new FreeBlocks(0, 4, 150, null), new FreeBlocks(1, 8, 3276, null), new FreeBlocks(2, 16, 738, null), new FreeBlocks(3, 32, 0, null));
    }

    [Fact]
    public void A_reserve_on_the_same_line_as_its_zone_is_found()
    {
        KernelReport report = Read("""
            Normal free:351096kB min:30000kB low:37500kB high:45000kB reserved_highatomic:0KB
                active_anon:98060kB present:1048576kB managed:1018328kB mlocked:0kB
                bounce:0kB free_pcp:220kB local_pcp:192kB free_cma:1352kB lowmem_reserve[]: 0 0 0
            Normal: 78*4kB (UECI) 1772*8kB (UMECI) 1335*16kB (UMECI) 360*32kB (UMECI) 65*64kB (UMCI)
                36*128kB (UMECI) 16*256kB (UMCI) 6*512kB (EI) 8*1024kB (UEI) 4*2048kB (MI) 8*4096kB (EI)
                8*8192kB (UI) 3*16384kB (EI) 8*32768kB (M) = 489288kB
            """);

        report.Zones[0].LowmemReserve.Should().Equal(0, 0, 0);
        report.Zones[0].KiB("free_cma").Should().Be(1352);
        report.Zones[0].Blocks.Should().HaveCount(14);
        report.Zones[0].ListTotalKiB.Should().Be(489288);
    }

    [Fact]
    public void Stamps_with_the_CPU_before_the_seconds_are_stamps()
    {
        KernelReport report = Read("""
            [2-3219.1870] net-config invoked oom-killer: gfp_mask=0x80d0, order=0, oom_score_adj=-900

            [2-3219.1870] CPU: 2 PID: 467 Comm: net-config Tainted: PO 4.1.10 #1
            """);

        report.Task.Should().Be("net-config");
        report.Release.Should().Be("4.1.10");
        ReportExplainer.Explain(report).GfpNames.Should().Equal("GFP_KERNEL", "__GFP_ZERO");
    }

    [Fact]
    public void The_subject_of_a_mail_is_no_report()
    {
        KernelLog.Read("Subject: Re: swapper: page allocation failure. order:1, mode:0x20\n\n> hello").Should().BeEmpty();
    }

    [Fact]
    public void One_line_each_is_a_report_each()
    {
        IReadOnlyList<ReportExplanation> reports = Logs.Explain("""
            mtest01: page allocation failure. order:0, mode:0x50
            mtest01: page allocation failure. order:0, mode:0x50
            klogd: page allocation failure. order:0, mode:0x50
            """);

        reports.Select(r => r.Report.Task).Should().Equal("mtest01", "mtest01", "klogd");
        reports.Should().OnlyContain(r => r.Verdict == Verdict.Undecidable && r.GfpNames!.Single() == "GFP_NOFS");
    }

    [Fact]
    public void A_cgroup_of_version_1_is_read_with_its_statistics_in_one_line()
    {
        ReportExplanation explanation = Logs.Only("""
            java invoked oom-killer: gfp_mask=0xd0, order=0, oom_score_adj=0
            java cpuset=aaaa mems_allowed=0-1
            CPU: 0 PID: 4563 Comm: java Not tainted 3.10.0-957.el7.x86_64 #1
            Task in /docker/aaaa killed as a result of limit of /docker
            memory: usage 1048576kB, limit 1048576kB, failcnt 267
            memory+swap: usage 1048576kB, limit 1048576kB, failcnt 10
            kmem: usage 7524kB, limit 9007199254740988kB, failcnt 0
            Memory cgroup stats for /docker/aaaa: cache:188KB rss:1048388KB rss_huge:1044480KB mapped_file:16KB inactive_anon:588548KB
            [ pid ]   uid  tgid total_vm      rss nr_ptes swapents oom_score_adj name
            [ 3893]     0  3893     1655       22       8        0             0 sh
            [ 3897]     0  3897   394872   262036     521        0             0 java
            Memory cgroup out of memory: Kill process 3897 (java) score 1001 or sacrifice child
            Killed process 3897 (java) total-vm:1579488kB, anon-rss:1048132kB, file-rss:12kB
            """);

        explanation.Verdict.Should().Be(Verdict.Limit);
        explanation.Report.Cgroup!.Path.Should().Be("/docker");
        explanation.Report.Cgroup.TaskPath.Should().Be("/docker/aaaa");
        explanation.Report.Cgroup.Stat["rss"].Should().Be(1048388L << 10);
        explanation.Why.Should().Contain(w => w.Contains("ancestor")).And.Contain(w => w.Contains("at the limit too")).And.Contain(w => w.Contains("pid 3897"));
        explanation.Report.Victim!.AnonKiB.Should().Be(1048132);
    }

    [Fact]
    public void A_kill_line_with_blanks_after_its_commas_and_broken_lines_is_read()
    {
        ReportExplanation explanation = Logs.Only("""
            [  581.376828] python invoked oom-killer: gfp_mask=0x100cca(GFP_HIGHUSER_MOVABLE), order=0
            [  581.507012] oom-kill:constraint=CONSTRAINT_MEMCG, oom_memcg=/a/b,
                           task=python, pid=2269, uid=0
            [  581.513643] Memory cgroup out of memory: Killed process 2269 (python)
                           total-vm:31786400kB, anon-rss:13945980kB, file-rss:11996kB,
                           shmem-rss:0kB, pgtables:28172kB
            """);

        explanation.Verdict.Should().Be(Verdict.Limit);
        explanation.Report.Cgroup!.Path.Should().Be("/a/b");
        explanation.Report.Victim.Should().BeEquivalentTo(new { Name = "python", Pid = 2269L, AnonKiB = 13945980L });
    }

    [Fact]
    public void The_zones_of_2_6_16_with_their_empty_ones_keep_their_order()
    {
        ReportExplanation explanation = Logs.Only("""
            oom-killer: gfp_mask=0x1d2, order=0
            app invoked oom-killer: gfp_mask=0x1d2, order=0, oomkilladj=0
            Mem-info:
            Node 1 DMA per-cpu: empty
            Node 1 Normal per-cpu:
            cpu 0 hot: low 0, high 384, batch 64 used:59
            cpu 0 cold: low 0, high 128, batch 32 used:24
            Free pages:       25780kB (0kB HighMem)
            Active:283000 inactive:1704247 dirty:1177 writeback:1 unstable:0 free:6445 slab:31088 mapped:54478 pagetables:100
            Node 0 DMA free:1992kB min:48kB low:60kB high:72kB active:0kB inactive:0kB present:8908kB pages_scanned:0 all_unreclaimable? no
            lowmem_reserve[]: 0 489 489 489
            Node 0 DMA32 free:2800kB min:2804kB low:3504kB high:4204kB active:35748kB inactive:25140kB present:500896kB pages_scanned:0 all_unreclaimable? no
            lowmem_reserve[]: 0 0 0 0
            Node 0 Normal free:0kB min:0kB low:0kB high:0kB active:0kB inactive:0kB present:0kB pages_scanned:0 all_unreclaimable? no
            lowmem_reserve[]: 0 0 0 0
            Node 0 HighMem free:0kB min:128kB low:128kB high:128kB active:0kB inactive:0kB present:0kB pages_scanned:0 all_unreclaimable? no
            lowmem_reserve[]: 0 0 0 0
            Node 0 DMA: 0*4kB 249*8kB 0*16kB 0*32kB 0*64kB 0*128kB 0*256kB 0*512kB 0*1024kB 0*2048kB 0*4096kB = 1992kB
            Node 0 DMA32: 0*4kB 350*8kB 0*16kB 0*32kB 0*64kB 0*128kB 0*256kB 0*512kB 0*1024kB 0*2048kB 0*4096kB = 2800kB
            Node 0 Normal: empty
            Node 0 HighMem: empty
            """);

        explanation.Zones.Select(z => z.Name).Should().Equal("DMA32", "DMA");
        explanation.Verdict.Should().Be(Verdict.Short);
        explanation.Zone("DMA32").MissingPages.Should().Be(2);
        explanation.Zone("DMA").ReservePages.Should().Be(489);
        explanation.Zone("DMA").MissingPages.Should().Be(4, "498 <= 12 + 489");
    }

    [Fact]
    public void Reports_of_two_CPUs_with_callers_are_taken_apart()
    {
        IReadOnlyList<ReportExplanation> reports = Logs.Explain("""
            [   10.000001][   T11] one: page allocation failure: order:1, mode:0x820(GFP_ATOMIC), nodemask=(null)
            [   10.000002][   T22] two: page allocation failure: order:2, mode:0xcc0(GFP_KERNEL), nodemask=(null)
            [   10.000003][   T11] CPU: 0 PID: 11 Comm: one Not tainted 6.6.0 #1
            [   10.000004][   T22] CPU: 1 PID: 22 Comm: two Not tainted 6.6.0 #1
            [   10.000005][   T22] Mem-Info:
            [   10.000006][   T11] Mem-Info:
            [   10.000007][   T11] Normal free:400kB boost:0kB min:1000kB low:2000kB high:3000kB reserved_highatomic:0KB managed:100000kB
            [   10.000008][   T22] Normal free:404kB boost:0kB min:1000kB low:2000kB high:3000kB reserved_highatomic:0KB managed:100000kB
            [   10.000009][   T22] lowmem_reserve[]: 0 0
            [   10.000010][   T11] lowmem_reserve[]: 0 0
            [   10.000011][   T11] Normal: 100*4kB (U) 0*8kB 0*16kB = 400kB
            [   10.000012][   T22] Normal: 101*4kB (U) 0*8kB 0*16kB = 404kB
            """);

        reports.Select(r => (r.Report.Task, r.Order, r.Zone("Normal").FreePages)).Should().Equal(("one", 1, 100), ("two", 2, 101));
    }

    [Fact]
    public void Reports_of_two_CPUs_without_callers_are_taken_apart_by_the_order_of_their_parts()
    {
        IReadOnlyList<ReportExplanation> reports = Logs.Explain("""
            one: page allocation failure: order:1, mode:0x20
            CPU: 0 PID: 11 Comm: one Not tainted 3.10.1 #1
            Mem-Info:
            two: page allocation failure: order:2, mode:0x20
            Normal free:400kB min:1000kB low:2000kB high:3000kB present:100000kB managed:100000kB
            lowmem_reserve[]: 0 0
            CPU: 1 PID: 22 Comm: two Not tainted 3.10.1 #1
            Mem-Info:
            Normal free:404kB min:1000kB low:2000kB high:3000kB present:100000kB managed:100000kB
            lowmem_reserve[]: 0 0
            Normal: 100*4kB (U) 0*8kB 0*16kB = 400kB
            Normal: 101*4kB (U) 0*8kB 0*16kB = 404kB
            """);

        reports.Should().HaveCount(2);
        reports.Select(r => (r.Report.Task, r.Zone("Normal").FreePages, r.Report.Zones[0].Blocks![0].Count)).Should().Equal(("one", 100, 100), ("two", 101, 101));
    }

    [Fact]
    public void Reports_whose_heads_come_first_and_then_their_bodies_are_not_guessed_at()
    {
        IReadOnlyList<ReportExplanation> reports = Logs.Explain("""
            one: page allocation failure: order:1, mode:0x20
            two: page allocation failure: order:2, mode:0x20
            CPU: 0 PID: 11 Comm: one Not tainted 3.10.1 #1
            CPU: 1 PID: 22 Comm: two Not tainted 3.10.1 #1
            Mem-Info:
            Normal free:400kB min:1000kB low:2000kB high:3000kB present:100000kB managed:100000kB
            lowmem_reserve[]: 0 0
            Mem-Info:
            Normal free:404kB min:1000kB low:2000kB high:3000kB present:100000kB managed:100000kB
            lowmem_reserve[]: 0 0
            Normal: 100*4kB (U) 0*8kB 0*16kB = 400kB
            Normal: 101*4kB (U) 0*8kB 0*16kB = 404kB
            """);

        reports.Select(r => (r.Report.Task, r.Report.Cpu, r.Verdict, r.Report.Zones.Count)).Should().Equal(("one", 0, Verdict.Undecidable, 0), ("two", 1, Verdict.Undecidable, 0));
    }

    [Fact]
    public void A_report_that_was_cut_off_does_not_take_lines_of_the_next_one()
    {
        IReadOnlyList<ReportExplanation> reports = Logs.Explain("""
            [1.000001] one: page allocation failure: order:1, mode:0x820(GFP_ATOMIC), nodemask=(null)
            [1.000002] CPU: 0 PID: 11 Comm: one Not tainted 6.6.0 #1
            [1.000003] ** 115 printk messages dropped **
            [2.000001] two: page allocation failure: order:2, mode:0xcc0(GFP_KERNEL), nodemask=(null)
            [2.000002] CPU: 1 PID: 22 Comm: two Not tainted 6.6.0 #1
            [2.000003] Mem-Info:
            [2.000004] Normal free:404kB boost:0kB min:1000kB low:2000kB high:3000kB managed:100000kB
            [2.000005] lowmem_reserve[]: 0 0
            [2.000006] Normal: 101*4kB (U) 0*8kB 0*16kB = 404kB
            """);

        reports.Select(r => r.Report.Zones.Count).Should().Equal(0, 1);
        reports[0].Report.IsCut.Should().BeTrue();
    }

    [Fact]
    public void The_highatomic_reserve_counts_before_6_13_even_where_no_block_of_it_is_free()
    {
        const string Report = """
            app invoked oom-killer: gfp_mask=0x100cca(GFP_HIGHUSER_MOVABLE), order=0, oom_score_adj=0
            CPU: 0 PID: 11 Comm: app Not tainted {0} #1
            Node 0 Normal free:1482936kB boost:0kB min:410416kB low:739404kB high:1068392kB reserved_highatomic:1073152KB{1} managed:99999999kB
            lowmem_reserve[]: 0 0 0
            Node 0 Normal: 1292*4kB (ME) 1920*8kB (E) 383*16kB (UE) 91000*16kB (U) = 1482936kB
            """;

        ReportExplanation old = Logs.Only(string.Format(System.Globalization.CultureInfo.InvariantCulture, Report, "6.6.30", ""));
        old.Verdict.Should().Be(Verdict.HighAtomic);
        old.Zone("Normal").MissingPages.Should().Be(159);
        Logs.Only(string.Format(System.Globalization.CultureInfo.InvariantCulture, Report, "6.14.0", " free_highatomic:0KB")).Verdict.Should().Be(Verdict.Passes);
    }

    [Fact]
    public void Nodes_that_a_cpuset_forbids_are_the_reason_when_they_have_memory()
    {
        ReportExplanation explanation = Logs.Only("""
            app invoked oom-killer: gfp_mask=0x100cca(GFP_HIGHUSER_MOVABLE), order=0, oom_score_adj=0
            CPU: 0 PID: 11 Comm: app Not tainted 5.10.0 #1
            Node 0 Normal free:400000kB min:4000kB low:5000kB high:6000kB managed:4000000kB
            lowmem_reserve[]: 0 0
            Node 1 Normal free:3996kB min:4000kB low:5000kB high:6000kB managed:4000000kB
            lowmem_reserve[]: 0 0
            Node 0 Normal: 100000*4kB (U) 0*8kB = 400000kB
            Node 1 Normal: 999*4kB (U) 0*8kB = 3996kB
            oom-kill:constraint=CONSTRAINT_CPUSET,nodemask=(null),cpuset=jobs,mems_allowed=1,global_oom,task_memcg=/,task=app,pid=11,uid=0
            """);

        explanation.Verdict.Should().Be(Verdict.Policy);
        explanation.Zone("Normal", node: 0).Eligible.Should().BeFalse();
        explanation.SavedBy.Should().Contain(s => s.Knob == "cpuset.mems" && s.Works == true);
    }

    [Fact]
    public void A_boost_that_is_not_printed_is_inferred_from_the_distance_of_the_watermarks()
    {
        ReportExplanation explanation = Logs.Only("""
            app: page allocation failure: order:4, mode:0x40dc0(GFP_KERNEL|__GFP_COMP|__GFP_ZERO), nodemask=(null)
            CPU: 0 PID: 11 Comm: app Not tainted 5.4.17 #1
            Node 0 Normal free:180000kB min:192984kB low:208974kB high:224964kB managed:15343300kB free_cma:0kB
            lowmem_reserve[]: 0 0
            Node 0 Normal: 15000*4kB (UME) 0*8kB 0*16kB 0*32kB 1875*64kB (U) = 180000kB
            """);

        explanation.Zone("Normal").BoostPages.Should().Be((192984 - (4 * 15990)) / 4);
        explanation.SavedBy.Should().Contain(s => s.Knob == "watermark_boost_factor" && s.Works == true);
    }

    private static KernelReport Read(string text) => KernelLog.Read(text).Should().ContainSingle().Subject;
}
