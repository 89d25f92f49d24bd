using FluentAssertions;
using Xunit;
using static MemSim.Tests.TestMachines;

namespace MemSim.Tests.Zones;

/// <summary>Exact thresholds: a request succeeds with one page more than mark and reserve leave, and fails with one fewer.</summary>
public class WatermarkTests : MachineTests
{
    private const long Min = 100;
    private const long Low = 125;
    private const long High = 150;
    private const long Reserve = 40;

    private const int Dma32Index = 1;

    /// <summary>Each right and the limit it ends at: half of min for HIGH, 3/8 for an atomic one, half for an OOM victim, none at all for MEMALLOC.</summary>
    public static TheoryData<string, Gfp, TaskFlags, long> Rights => new()
    {
        { "plain, may reclaim", Gfp.Kernel, TaskFlags.None, Min + Reserve },
        { "nowait: non-blocking alone gives nothing", Gfp.NoWait, TaskFlags.None, Min + Reserve },
        { "high, may reclaim", Gfp.Kernel | Gfp.High, TaskFlags.None, (Min / 2) + Reserve },
        { "atomic", Gfp.Atomic, TaskFlags.None, (Min / 2) - (Min / 2 / 4) + Reserve },
        { "high, non-blocking", Gfp.High, TaskFlags.None, (Min / 2) - (Min / 2 / 4) + Reserve },
        { "atomic but NOMEMALLOC: half only", Gfp.Atomic | Gfp.NoMemAlloc, TaskFlags.None, (Min / 2) + Reserve },
        { "real-time task", Gfp.Kernel, TaskFlags.RealTime, (Min / 2) + Reserve },
        { "OOM victim", Gfp.Kernel, TaskFlags.OomVictim, (Min / 2) + Reserve },
        { "OOM victim with NOMEMALLOC", Gfp.Kernel | Gfp.NoMemAlloc, TaskFlags.OomVictim, Min + Reserve },
        { "MEMALLOC", Gfp.Kernel | Gfp.MemAlloc, TaskFlags.None, 0 },
        { "MEMALLOC and NOMEMALLOC: the latter wins", Gfp.Kernel | Gfp.MemAlloc | Gfp.NoMemAlloc, TaskFlags.None, Min + Reserve },
        { "PF_MEMALLOC", Gfp.NoWait, TaskFlags.MemAlloc, 0 },
        { "PF_MEMALLOC with NOMEMALLOC", Gfp.NoWait | Gfp.NoMemAlloc, TaskFlags.MemAlloc, Min + Reserve },
    };

    [Theory]
    [MemberData(nameof(Rights))]
    public void A_request_succeeds_with_one_page_above_its_limit_and_fails_at_the_limit(string right, Gfp gfp, TaskFlags task, long limit)
    {
        // A GFP_KERNEL request could use Normal: the DMA32 zone keeps its reserve from it.
        foreach (int extra in new[] { 1, 0 })
        {
            Machine machine = Boot(With().Zone(ZoneType.Dma32).LowmemReserve(Dma32Index + 1, Reserve).FreeBlocks(0, (int)limit + extra).Watermarks(Min, Low, High));
            Cpu cpu = machine.Cpus[0];
            using ContextScope running = cpu.Run(new KernelTask("t", 1) { Flags = task });
            cpu.AllocPage(gfp | Gfp.NoWarn).IsNull.Should().Be(extra == 0, $"{right}: {limit + extra} pages are free");
        }
    }

    [Theory]
    [InlineData(false, false, true)]
    [InlineData(true, false, true)]
    [InlineData(true, true, false)]
    [InlineData(false, true, false)]
    public void A_task_that_may_use_all_reserves_does_so_in_a_soft_interrupt_too_but_not_in_a_hard_one(bool soft, bool hard, bool had)
    {
        Machine machine = Boot(With().FreeBlocks(0, 3).Watermarks(Min, Low, High));
        Cpu cpu = machine.Cpus[0];
        using ContextScope running = cpu.Run(new KernelTask("t", 1) { Flags = TaskFlags.MemAlloc });
        using ContextScope outer = soft ? cpu.SoftIrq() : default;
        using ContextScope inner = hard ? cpu.HardIrq() : default;
        cpu.AllocPage(Gfp.NoWait | Gfp.NoWarn).IsNull.Should().Be(!had);
    }

    [Theory]
    [InlineData("6.1", Gfp.Atomic, true)]
    [InlineData("6.1", Gfp.High, false)]
    [InlineData("6.1", Gfp.NoWait, false)]
    [InlineData("6.12", Gfp.Atomic, true)]
    [InlineData("6.12", Gfp.High, true)]
    [InlineData("6.12", Gfp.NoWait, false)]
    public void A_boost_does_not_fail_a_page_for_an_atomic_request_and_since_6_3_for_one_of_high_priority(string kernel, Gfp gfp, bool had)
    {
        Machine machine = Boot(With().Kernel(kernel).FreeBlocks(0, (int)Min + 1).Boost(10 * Min).Watermarks(Min, Low, High));
        machine.Cpus[0].AllocPage(gfp | Gfp.NoWarn).IsNull.Should().Be(!had);
    }

    [Theory]
    [InlineData("3.16", 1000, false)]
    [InlineData("3.16", 0, true)]
    [InlineData("4.4", 1000, true)]
    public void Before_4_4_what_lies_in_smaller_blocks_does_not_count_for_a_larger_one(string kernel, int single, bool had)
    {
        Machine machine = Boot(With().Kernel(kernel).FreeBlocks(0, single).FreeBlocks(3, single == 0 ? 100 : 5).Watermarks(Min, Low, High));
        machine.Cpus[0].AllocPages(Gfp.Kernel | Gfp.NoWarn, 3).IsNull.Should().Be(!had);
    }

    [Theory]
    [InlineData(1, 2)]
    [InlineData(3, 8)]
    public void All_but_one_of_the_pages_of_a_larger_block_do_not_count(int order, int pages)
    {
        foreach (int extra in new[] { 1, 0 })
        {
            long free = Min + pages - 1 + extra;
            Machine machine = Boot(With().FreeBlocks(order, 1).FreeBlocks(0, (int)free - pages).Watermarks(Min, Low, High));
            machine.Cpus[0].AllocPages(Gfp.Kernel | Gfp.NoWarn, order).IsNull.Should().Be(extra == 0);
        }
    }

    [Fact]
    public void Above_low_nobody_is_woken_and_at_low_kswapd_is()
    {
        foreach (int extra in new[] { 1, 0 })
        {
            Machine machine = Boot(With().FreeBlocks(0, (int)Low + extra, MigrateType.Unmovable).Watermarks(Min, Low, High));
            machine.Cpus[0].AllocPage(Gfp.Kernel).IsNull.Should().BeFalse();
            machine.Nodes[0].KswapdWakeups.Should().Be(extra == 0 ? 1 : 0);
        }
    }

    [Fact]
    public void Who_does_not_name_kswapd_does_not_wake_it()
    {
        Machine machine = Boot(With().FreeBlocks(0, (int)Low, MigrateType.Unmovable).Watermarks(Min, Low, High));
        machine.Cpus[0].AllocPage(Gfp.DirectReclaim).IsNull.Should().BeFalse();
        machine.Nodes[0].KswapdWakeups.Should().Be(0);
    }

    [Fact]
    public void Order4_atomic_fails_when_only_smaller_blocks_are_free()
    {
        Machine machine = Boot(With().FreeBlocks(order: 3, count: 500).Watermarks(Min, Low, High));
        machine.Cpus[0].AllocPages(Gfp.Atomic, order: 4).IsNull.Should().BeTrue();
        machine.OnlyZone().FreeBlockCounts().Should().Be("3:500");
    }

    [Theory]
    [InlineData(Gfp.Kernel, true)]
    [InlineData(Gfp.Atomic, false)]
    public void Pages_reserved_for_high_order_atomic_requests_count_only_for_those_with_rights(Gfp gfp, bool fails)
    {
        Machine machine = Boot(With().FreeBlocks(0, (int)Min + 100).FreeBlocks(4, 4, MigrateType.HighAtomic).HighAtomicReserved(512).Watermarks(Min, Low, High));
        machine.Cpus[0].AllocPage(gfp | Gfp.NoWarn).IsNull.Should().Be(fails);
    }

    [Theory]
    [InlineData(Gfp.Atomic, 2, false)]
    [InlineData(Gfp.Kernel, 2, true)]
    [InlineData(Gfp.NoWait, 2, true)]
    public void A_block_of_the_high_atomic_reserve_is_for_high_order_atomic_requests(Gfp gfp, int order, bool fails)
    {
        Machine machine = Boot(With().FreeBlocks(0, 2000).FreeBlocks(4, 4, MigrateType.HighAtomic).HighAtomicReserved(512).Watermarks(Min, Low, High));
        Page page = machine.Cpus[0].AllocPages(gfp | Gfp.NoWarn, order);
        page.IsNull.Should().Be(fails);
        if (!fails)
        {
            page.MigrateType.Should().Be(MigrateType.HighAtomic);
        }
    }

    [Fact]
    public void A_boost_raises_every_mark_except_for_an_order0_atomic_request_at_min()
    {
        MachineBuilder Boosted() => With().FreeBlocks(0, (int)Min + 20).Boost(512).Watermarks(Min, Low, High);
        Boot(Boosted()).Cpus[0].AllocPage(Gfp.Kernel | Gfp.NoWarn).IsNull.Should().BeTrue();
        Boot(Boosted()).Cpus[0].AllocPage(Gfp.High | Gfp.NoWarn).IsNull.Should().BeTrue("only __GFP_ATOMIC ignores the boost");
        Boot(Boosted()).Cpus[0].AllocPage(Gfp.Atomic).IsNull.Should().BeFalse();
        Boot(Boosted()).OnlyZone().GetWatermarkPages(Watermark.Min).Should().Be(Min + 512);
    }

    [Fact]
    public void Checks_read_the_folded_counter_not_the_true_one()
    {
        // Pages taken but not yet folded are still counted: the request succeeds below the mark.
        Machine machine = Boot(With().FreeBlocks(0, (int)Min + 1, MigrateType.Unmovable).Watermarks(Min, Low, High).StatThreshold(10));
        Cpu cpu = machine.Cpus[0];
        cpu.AllocateAll(Gfp.Kernel).Should().HaveCount(11, "the eleventh page exceeds the threshold and folds");
        machine.OnlyZone().FreePages.Should().Be(Min + 1 - 11);
        machine.OnlyZone().TrueFreePages.Should().Be(machine.OnlyZone().FreePages);
    }

    [Fact]
    public void The_reserve_depends_on_the_highest_zone_the_request_could_use()
    {
        MachineBuilder builder = With().Zone(ZoneType.Dma, 4096).LowmemReserve(1, 10).LowmemReserve(2, 60).FreeBlocks(0, 50);
        Machine machine = Boot(builder);
        Cpu cpu = machine.Cpus[0];
        cpu.AllocPage(Gfp.Kernel | Gfp.NoWarn).IsNull.Should().BeTrue();
        cpu.AllocateAll(Gfp.Dma32 | Gfp.NoWait).Should().HaveCount(40);
        cpu.AllocateAll(Gfp.Dma | Gfp.NoWait).Should().HaveCount(10);
    }
}
