using FluentAssertions;
using MemSim.Compaction;
using MemSim.Tests.Reclaim;
using Xunit;

namespace MemSim.Tests.Compaction;

public class CompactionTests : MachineTests
{
    [Fact]
    public void Compacting_a_fragmented_node_makes_huge_blocks_and_moves_the_contents_along()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        MovablePool pool = machine.Migration.CreateMovablePool();
        List<int> kept = pool.KeepEvery(cpu, pool.Fill(cpu), 2);
        int before = machine.HugeBlocks();
        int score = machine.Compaction.FragmentationScore(machine.Nodes[0]);

        machine.Sysctl.Set("vm.compact_memory", "1");

        machine.Memory.DrainAllPages();
        before.Should().BeLessThan(3);
        machine.HugeBlocks().Should().BeGreaterThan(before + 7, "half of the memory is free, all of the rest can move");
        machine.Compaction.FragmentationScore(machine.Nodes[0]).Should().BeLessThan(score);
        pool.Moves.Should().BePositive();
        kept.Should().OnlyContain(number => pool.IsIntact(cpu, number));
        machine.Events("pgmigrate_success").Should().Be(pool.Moves);
        machine.Events("compact_migrate_scanned").Should().BePositive();
        machine.Events("compact_free_scanned").Should().BePositive();
        machine.Verify();
    }

    [Fact]
    public void A_request_for_a_huge_page_compacts_in_its_own_context()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        OnlyCompaction reclaim = new(machine);
        machine.Reclaim.Policy = reclaim;
        MovablePool pool = machine.Migration.CreateMovablePool();
        List<int> kept = pool.KeepEvery(cpu, pool.Fill(cpu), 2);
        cpu.AllocateAll(Gfp.NoWait, 9);

        Page page = cpu.AllocPages(Gfp.HighUser | Gfp.Movable, 9);

        page.IsNull.Should().BeFalse();
        reclaim.Runs.Should().Contain(run => run.Outcome == CompactionOutcome.Success);
        machine.Events("compact_stall").Should().BePositive();
        machine.Events("compact_success").Should().Be(1);
        kept.Should().OnlyContain(number => pool.IsIntact(cpu, number));
    }

    [Fact]
    public void A_page_that_cannot_move_stays_and_only_its_block_stays_in_pieces()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        MovablePool pool = machine.Migration.CreateMovablePool();
        List<int> kept = pool.KeepEvery(cpu, pool.Fill(cpu), 2);
        int pinned = kept[kept.Count / 2];
        Page page = pool[pinned];
        cpu.Pages.GetPage(page);
        Pfn at = page.Pfn;

        machine.Compaction.CompactMemory();
        machine.Compaction.CompactMemory();

        pool[pinned].Pfn.Should().Be(at);
        pool.IsIntact(cpu, pinned).Should().BeTrue();
        machine.Events("pgmigrate_fail").Should().BePositive();
        machine.HugeBlocks().Should().BeGreaterThan(7);
        page.Zone.FreeList(9, MigrateType.Movable).Should().NotContain(new Pfn(at.Value & ~511));
        cpu.Pages.PutPage(page);
        machine.Compaction.CompactMemory();
        machine.Compaction.CompactMemory();
        machine.Events("pgmigrate_fail").Should().BeLessThan(1000);
    }

    [Fact]
    public void After_a_failure_a_zone_is_left_alone_ever_longer()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        Compactor compactor = machine.CompactorOf();
        Zone zone = machine.OnlyZone();
        CompactionLog log = new();
        machine.Tracing.Attach(log);
        List<int> waits = [];
        for (int failure = 0; failure < 8; failure++)
        {
            compactor.Defer(cpu, zone, 9);
            int wait = 0;
            while (compactor.IsDeferred(cpu, zone, 9))
            {
                wait++;
            }

            waits.Add(wait);
        }

        waits.Should().Equal(1, 3, 7, 15, 31, 63, 63, 63);
        machine.Compaction.Info(zone).Should().Match<CompactionInfo>(info => info.DeferShift == 6 && info.Considered == 64 && info.OrderFailed == 0);
        compactor.ResetDeferral(cpu, zone, 9, allocated: true);
        compactor.IsDeferred(cpu, zone, 9).Should().BeFalse("an order that succeeded is not put off");
        machine.Compaction.Info(zone).OrderFailed.Should().Be(10);
        log.Lines.Should().HaveCount(waits.Sum());
    }

    [Fact]
    public void Blocks_without_anything_to_move_are_skipped_the_next_time()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        cpu.AllocateAll(Gfp.NoWait);
        List<Page> pages = cpu.AllocateAll(Gfp.NoWait);
        Zone zone = machine.Zones.Last(z => z.IsPopulated);
        CompactionLog log = new();
        machine.Tracing.Attach(log);
        CompactControl First() => new(zone, machine.Compaction.Compactor.ScannersOf(zone), CompactControl.NoGoal) { Mode = MigrationMode.SyncLight };

        machine.Compaction.Compactor.CompactZone(cpu, First());
        int scans = log.Lines.Count(line => line.StartsWith("migrate", StringComparison.Ordinal));
        log.Lines.Clear();
        machine.Compaction.Compactor.CompactZone(cpu, First());

        scans.Should().BeGreaterThan(20);
        log.Lines.Should().BeEmpty("every block is marked");
        machine.Compaction.Info(zone).SkippedPageblocks.Should().BeGreaterThan(20);
        pages.Should().BeEmpty();
    }

    [Fact]
    public void An_asynchronous_request_gives_a_block_up_at_the_first_page_that_stays()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        MovablePool pool = machine.Migration.CreateMovablePool();
        List<int> numbers = pool.Fill(cpu);
        List<int> kept = pool.KeepEvery(cpu, numbers, 4);

        // One page of each block of 512 is held by somebody else; only the whole block would do.
        HashSet<long> blocks = [];
        foreach (int number in kept)
        {
            if (blocks.Add(pool[number].Pfn.Value >> 9))
            {
                pool.Registration.Disown(pool[number]);
            }
        }

        OnlyCompaction reclaim = new(machine);
        machine.Reclaim.Policy = reclaim;
        Page page = cpu.AllocPages(Gfp.HighUser | Gfp.Movable | Gfp.NoRetry | Gfp.NoWarn, 9);

        page.IsNull.Should().BeTrue();
        pool.Moves.Should().BeLessThan(kept.Count / 4, "moving more would have been for nothing");
        reclaim.Runs[0].Should().Be((CompactionPriority.Async, CompactionOutcome.PartialSkipped));
    }

    [Fact]
    public void Kcompactd_makes_the_block_that_was_asked_for_and_sleeps()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        machine.Background.Mode = BackgroundWork.Manual;
        Cpu cpu = machine.Cpus[0];
        MovablePool pool = machine.Migration.CreateMovablePool();
        List<int> kept = pool.KeepEvery(cpu, pool.Fill(cpu), 2);
        cpu.AllocateAll(Gfp.NoWait, 9);

        machine.Compaction.Compactor.WakeDaemon(cpu, machine.Nodes[0], 9, machine.Nodes[0].Zones.Count - 1);
        pool.Moves.Should().Be(0, "the thread has not run yet");
        machine.Background.Run().Should().Be(1);

        machine.HugeBlocks().Should().BePositive();
        machine.Events("compact_daemon_wake").Should().Be(1);
        machine.Events("compact_daemon_migrate_scanned").Should().BePositive();
        kept.Should().OnlyContain(number => pool.IsIntact(cpu, number));
        machine.Background.Run().Should().Be(0);
    }

    [Fact]
    public void Proactive_compaction_lowers_the_score_of_a_fragmented_node()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        Node node = machine.Nodes[0];
        MovablePool pool = machine.Migration.CreateMovablePool();
        pool.KeepEvery(cpu, pool.Fill(cpu), 2);
        machine.Sysctl.Set("compaction_proactiveness", "0");
        machine.Compaction.TickKcompactd();
        pool.Moves.Should().Be(0, "it is switched off");
        machine.Sysctl.Set("compaction_proactiveness", "20");
        int before = machine.Compaction.FragmentationScore(node);

        machine.Compaction.TickKcompactd();
        machine.Memory.DrainAllPages();

        before.Should().BeGreaterThan(90);
        machine.Compaction.FragmentationScore(node).Should().BeLessThan(before);
        pool.Moves.Should().BePositive();
    }

    [Fact]
    public void A_zone_short_of_memory_is_not_compacted()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        OnlyCompaction reclaim = new(machine);
        machine.Reclaim.Policy = reclaim;
        cpu.AllocateAll(Gfp.Kernel);

        cpu.AllocPages(Gfp.Kernel | Gfp.NoWarn | Gfp.NoRetry, 9).IsNull.Should().BeTrue();

        reclaim.Runs.Should().OnlyContain(run => run.Outcome == CompactionOutcome.Skipped);
    }

    [Fact]
    public void Compact_memory_takes_a_1_and_nothing_else()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));

        Assert.Throws<ArgumentException>(() => machine.Sysctl.Set("compact_memory", "2"));
    }

    [Fact]
    public void The_trace_reads_like_the_kernels()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        StringWriter text = new();
        using FtraceTextSink sink = new(machine, text, streaming: true);
        machine.Tracing.Attach(sink, TraceEvents.Compaction);
        MovablePool pool = machine.Migration.CreateMovablePool();
        pool.KeepEvery(machine.Cpus[0], pool.Fill(machine.Cpus[0]), 2);

        machine.Compaction.CompactMemory();
        machine.Tracing.Detach(sink, TraceEvents.Compaction);

        text.ToString().Should().Contain("mm_compaction_suitable: node=0 zone=DMA      order=-1 ret=continue")
            .And.Contain("mm_compaction_begin: zone_start=0x1 migrate_pfn=0x1 free_pfn=0xe00 zone_end=0x1000, mode=sync")
            .And.MatchRegex(@"mm_compaction_isolate_migratepages: range=\(0x[0-9a-f]+ ~ 0x[0-9a-f]+\) nr_scanned=\d+ nr_taken=32")
            .And.MatchRegex(@"mm_migrate_pages: nr_succeeded=\d+ nr_failed=0 nr_thp_succeeded=0 nr_thp_failed=0 nr_thp_split=0 mode=MIGRATE_SYNC reason=compaction")
            .And.MatchRegex("mm_compaction_end: zone_start=0x1000 .* mode=sync status=complete");
    }
}
