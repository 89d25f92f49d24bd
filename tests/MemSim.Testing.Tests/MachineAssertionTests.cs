using FluentAssertions;
using MemSim.Observability;
using Xunit;

namespace MemSim.Testing.Tests;

/// <summary>Each assertion holds where it should and says what is there where it does not.</summary>
public sealed class MachineAssertionTests : IDisposable
{
    private readonly Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));

    public void Dispose() => machine.Dispose();

    [Fact]
    public void A_leak_is_named_with_the_reason()
    {
        AllocationMark mark = machine.Leaks.Mark();
        MachineAssertionExtensions.Should(machine).HaveNoLeaks(mark);
        machine.Cpus[0].AllocPages(Gfp.Kernel, 3);
        Fails(() => MachineAssertionExtensions.Should(machine).HaveNoLeaks(mark, "the driver was closed"))
            .Should().StartWith("expected machine to have no leaks because the driver was closed, but found what was not given back:\n1 blocks of order 3 (8 pages)");
    }

    [Fact]
    public void Free_pages_and_blocks_are_counted()
    {
        long free = machine.Zones.Where(z => z.IsPopulated).Sum(z => Enumerable.Range(0, PageGeometry.OrderCount).Sum(o => z.FreeBlocks(o) << o));
        MachineAssertions should = MachineAssertionExtensions.Should(machine);
        should.HaveFree(free).And.HaveFreeAtLeast(free - 1);
        Fails(() => should.HaveFree(free + 1)).Should().Be($"expected machine to have {free + 1} free pages, but found {free}");
        Fails(() => should.HaveFreeAtLeast(free + 1, ZoneType.Dma32)).Should().StartWith($"expected machine to have at least {free + 1} free pages in Dma32, but found ");
        Fails(() => should.HaveFreeBlocks(10, 1_000_000)).Should().StartWith("expected machine to have 1000000 free blocks of order 10, but found ");
        Assert.Throws<ArgumentException>(() => should.HaveFree(1, ZoneType.HighMem));
    }

    [Fact]
    public void Shortage_is_no_fragmentation()
    {
        using MachineFixture exhausted = Machines.ExhaustedBut(3);
        Fails(() => MachineAssertionExtensions.Should(exhausted.Machine).BeFragmented(4)).Should().Contain("only 3 pages are free: memory is short, not fragmented");
        Fails(() => MachineAssertionExtensions.Should(machine).BeFragmented(4)).Should().Contain("a block of order 10 is free");
        Fails(() => MachineAssertionExtensions.Should(exhausted.Machine).NotBeFragmented(4)).Should().Contain("with 3 pages free");
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    [InlineData(9)]
    [InlineData(10)]
    public void A_fragmented_machine_has_half_its_memory_free_and_no_block(int order)
    {
        using MachineFixture fixture = Machines.Fragmented(order);
        MachineAssertionExtensions.Should(fixture.Machine).BeFragmented(order).And.BeConsistent().And.HaveFreeAtLeast(6000).And.NotBeFragmented(order - 1);
        fixture.Release();
        fixture.Held.Should().BeEmpty();
        MachineAssertionExtensions.Should(fixture.Machine).NotBeFragmented(10);
    }

    [Theory]
    [InlineData(Watermark.Min)]
    [InlineData(Watermark.Low)]
    [InlineData(Watermark.High)]
    public void A_machine_at_a_watermark_has_exactly_so_many_pages(Watermark mark)
    {
        using MachineFixture fixture = Machines.AtWatermark(mark);
        Zone zone = fixture.Machine.Zones.Single(z => z.IsPopulated && z.Type == ZoneType.Dma32);
        MachineAssertionExtensions.Should(fixture.Machine).HaveFree(zone.GetWatermarkPages(mark), ZoneType.Dma32).And.NotBeAbove(mark, ZoneType.Dma32).And.BeConsistent();
        fixture.Release(1);
        fixture.Machine.Memory.DrainAllPages();
        MachineAssertionExtensions.Should(fixture.Machine).BeAbove(mark, ZoneType.Dma32);
        Fails(() => MachineAssertionExtensions.Should(fixture.Machine).NotBeAbove(mark, ZoneType.Dma32)).Should().Contain("and the mark is");
    }

    [Fact]
    public void High_memory_and_two_nodes_are_there()
    {
        using MachineFixture high = Machines.HighMemory();
        MachineAssertionExtensions.Should(high.Machine).HaveFreeAtLeast(10_000, ZoneType.HighMem);
        using MachineFixture pair = Machines.NumaPair("160M");
        pair.Machine.Nodes.Should().HaveCount(2);
        pair.Machine.Cpus.Select(c => c.Node.Id).Should().Equal(0, 1);
        pair.Machine.Nodes.Select(n => n.Zones.Sum(z => z.PresentPages)).Should().OnlyContain(pages => pages > 30_000);
    }

    [Fact]
    public void Processes_kills_failures_and_invariants_are_looked_at()
    {
        MachineAssertions should = MachineAssertionExtensions.Should(machine);
        should.HaveProcesses().And.HaveOomKills(0).And.HaveAllocationFailures(0).And.BeConsistent();
        machine.CreateProcess("init");
        should.HaveProcesses("init");
        Fails(() => should.HaveProcesses("init", "sh")).Should().Be("expected machine to run init, sh, but there are init");
        machine.Cpus[0].AllocPages(Gfp.Kernel | Gfp.NoWarn, 10 + 1);
        while (!machine.Cpus[0].AllocPages(Gfp.Atomic | Gfp.NoWarn, 10).IsNull)
        {
        }

        Fails(() => should.HaveAllocationFailures(0)).Should().StartWith("expected machine to have 0 failed requests for pages, but found ");
        Fails(() => should.HaveOomKills(2)).Should().Be("expected machine to have 2 OOM reports, but found 0");
    }

    [Fact]
    public void A_difference_of_snapshots_reads_as_proc_does()
    {
        Cpu cpu = machine.Cpus[0];
        MachineSnapshot before = machine.Snapshot();
        SnapshotDifference.Between(before, machine.Snapshot()).IsEmpty.Should().BeTrue();
        cpu.AllocPages(Gfp.Kernel, 10);
        cpu.Kmalloc(1000, Gfp.Kernel);
        SnapshotDifference difference = SnapshotDifference.Between(before, machine.Snapshot());
        difference.Lines.Should().ContainMatch("buddyinfo: Node 0, zone DMA32 [10] * -> * (-*)").And.ContainMatch("slabinfo: kmalloc-1k *").And.ContainMatch("vmstat: nr_free_pages *");
        difference.ToString().Split('\n').Should().HaveCount(difference.Lines.Count + 1);
        Fails(() => MachineAssertionExtensions.Should(machine).BeInTheStateOf(before)).Should().Contain("but differs:\nbuddyinfo: ");
    }

    [Fact]
    public void A_recorder_sees_pages_objects_and_victims_until_it_is_disposed()
    {
        Cpu cpu = machine.Cpus[0];
        using EventRecorder recorder = machine.Record(atMost: 5);
        using (cpu.CallSite("probe"))
        {
            cpu.Kfree(cpu.Kmalloc(100, Gfp.Kernel));
        }

        recorder.Of(RecordedKind.ObjectAlloc).Should().ContainSingle().Which.Should().Match<RecordedEvent>(e => e.CallSite == "probe" && e.What == "kmalloc(100)");
        recorder.Count(RecordedKind.ObjectFree).Should().Be(1);
        recorder.ToString().Should().Contain("ObjectAlloc kmalloc(100) at ffff").And.Contain(" on CPU 0 by swapper/0:0 in probe\n");
        for (int i = 0; i < 10; i++)
        {
            cpu.FreePages(cpu.AllocPages(Gfp.Kernel));
        }

        recorder.Events.Should().HaveCount(5);
        recorder.Dropped.Should().BeGreaterThan(10);
        recorder.Clear();
        recorder.Dispose();
        cpu.AllocPages(Gfp.Kernel);
        recorder.Events.Should().BeEmpty();
    }

    [Fact]
    public void A_victim_of_the_oom_killer_is_recorded()
    {
        using Machine small = Machine.Boot(MachineSpec.X86_64("128M").WithSysctl("vm.overcommit_memory", "1"));
        using EventRecorder recorder = small.Record();
        Cpu cpu = small.Cpus[0];
        Process hog = small.CreateProcess("hog");
        using (cpu.Run(hog))
        {
            VirtualAddress memory = hog.Mm.Mmap(1 << 30, Prot.Read | Prot.Write);
            for (ulong at = 0; at < 1 << 30 && cpu.User.PutUser(new VirtualAddress(memory.Value + at), at) == Errno.None; at += 4096)
            {
            }
        }

        recorder.Of(RecordedKind.OomVictim).Should().ContainSingle().Which.What.Should().StartWith("hog:");
        recorder.Events.Select(e => e.Kind).Should().ContainInOrder(RecordedKind.DirectReclaimBegin, RecordedKind.DirectReclaimEnd, RecordedKind.OomVictim);
        MachineAssertionExtensions.Should(small).HaveOomKills(1);
    }

    [Fact]
    public void Reclaim_swap_and_page_faults_are_recorded()
    {
        using Machine small = Machine.Boot(MachineSpec.X86_64("128M"));
        using BlockDevice disk = new("vdb", "256M");
        small.Swap.SwapOn(disk);
        Cpu cpu = small.Cpus[0];
        Process process = small.CreateProcess("editor");
        using EventRecorder recorder = small.Record();
        const long Pages = 32768;
        using (cpu.Run(process))
        {
            VirtualAddress memory = process.Mm.Mmap(Pages * 4096, Prot.Read | Prot.Write);
            for (long i = 0; i < Pages; i++)
            {
                cpu.Write(memory + (i * 4096), i);
            }

            recorder.Of(RecordedKind.PageFault).Should().HaveCount((int)(process.MinorFaults + process.MajorFaults)).And.Contain(e => e.Address == memory && e.Task == cpu.Current.ToString());
        }

        Dictionary<string, long> events = small.Proc.VmStat.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line.Split(' ')).ToDictionary(w => w[0], w => long.Parse(w[1], System.Globalization.CultureInfo.InvariantCulture));
        recorder.Of(RecordedKind.Reclaimed).Sum(e => e.Pages).Should().Be(events["pgsteal_kswapd"] + events["pgsteal_direct"]).And.BePositive();
        recorder.Of(RecordedKind.Reclaimed).Sum(e => e.Others).Should().Be(events["pgscan_kswapd"] + events["pgscan_direct"]);
        recorder.Of(RecordedKind.PageWritten).Should().HaveCount((int)events["pswpout"]).And.OnlyContain(e => e.What == "swap" && e.Pfn > 0);
        recorder.Count(RecordedKind.WakeupKswapd).Should().BePositive();
        recorder.Count(RecordedKind.KswapdWake).Should().BePositive().And.BeGreaterThanOrEqualTo(recorder.Count(RecordedKind.KswapdSleep));
        recorder.Of(RecordedKind.KswapdWake).Should().OnlyContain(e => e.Node == 0);
        recorder.Of(RecordedKind.DirectReclaimEnd).Sum(e => e.Pages).Should().Be(events["pgsteal_direct"]);
        First(recorder, RecordedKind.KswapdWake).Should().MatchRegex("^KswapdWake node 0 order 0 on CPU 0 by kswapd0:\\d+$");
        First(recorder, RecordedKind.Reclaimed).Should().MatchRegex("^Reclaimed \\d+ of \\d+ pages of node 0, anon on CPU 0 by ");
        First(recorder, RecordedKind.PageWritten).Should().MatchRegex("^PageWritten pfn \\d+ to swap on CPU 0 by ");
        First(recorder, RecordedKind.PageFault).Should().MatchRegex("^PageFault at [0-9a-f]+ on CPU 0 by editor:\\d+$");
    }

    [Fact]
    public void Compaction_and_contiguous_areas_are_recorded()
    {
        using Machine small = Machine.Boot(MachineSpec.X86_64("128M").WithCma("camera", "16M"));
        Cpu cpu = small.Cpus[0];
        MovablePool pool = small.Migration.CreateMovablePool();
        while (pool.Allocate(cpu, Gfp.HighUserMovable | Gfp.NoWarn) >= 0)
        {
        }

        for (int i = pool.Count - 1; i >= 0; i -= 2)
        {
            pool.Free(cpu, i);
        }

        using EventRecorder recorder = small.Record(events: TraceEvents.Compaction);
        small.Sysctl.Set("vm.compact_memory", "1");
        recorder.Count(RecordedKind.CompactionBegin).Should().BePositive().And.Be(recorder.Count(RecordedKind.CompactionEnd));
        recorder.Of(RecordedKind.CompactionEnd).Should().Contain(e => e.What == nameof(CompactionStatus.Complete));
        recorder.Of(RecordedKind.PagesMigrated).Sum(e => e.Pages).Should().Be(pool.Moves).And.BePositive();

        Page frames = small.Cma.Alloc("camera", pages: 1024);
        recorder.Of(RecordedKind.CmaAlloc).Should().ContainSingle().Which.Should().Match<RecordedEvent>(e => e.What == "camera" && e.Pages == 1024 && e.Pfn == frames.Pfn.Value);
        small.Cma.Free(frames, 1024);
        small.Cma.Alloc("camera", pages: 1 << 20).IsNull.Should().BeTrue();
        recorder.Count(RecordedKind.CmaRelease).Should().Be(1);
        recorder.Events.Should().OnlyContain(e => e.Kind >= RecordedKind.CompactionBegin, "nothing else was asked for");
        First(recorder, RecordedKind.CmaAlloc).Should().MatchRegex("^CmaAlloc camera pfn \\d+, 1024 pages on CPU 0 by ");
        First(recorder, RecordedKind.CompactionEnd).Should().MatchRegex("^CompactionEnd at pfn \\d+: [A-Z][A-Za-z]+ on CPU 0 by ");
        First(recorder, RecordedKind.PagesMigrated).Should().MatchRegex("^PagesMigrated \\d+, 0 failed, for Compaction on CPU 0 by ");
    }

    private static string First(EventRecorder recorder, RecordedKind kind) => recorder.Of(kind).First().ToString();

    private static string Fails(Action assertion) => Assert.Throws<MachineAssertionException>(assertion).Message;
}
