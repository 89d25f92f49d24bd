using FluentAssertions;
using MemSim.Observability;
using Xunit;

namespace MemSim.Tests.Observability;

public sealed class ExplanationTests
{
    [Fact]
    public void A_request_on_a_fresh_machine_succeeds_on_the_fast_path()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64(ByteSize.FromMiB(256)).WithoutContents());

        AllocationExplanation why = machine.Explain(Gfp.Kernel, 3);

        why.WouldSucceed.Should().BeTrue();
        why.Attempt.Should().StartWith("fast path");
        why.Hints.Should().BeEmpty();
        why.Zones[0].Zone.Name.Should().Be("DMA32");
    }

    [Fact]
    public void An_order4_atomic_request_among_scattered_small_blocks_fails_for_want_of_a_block_and_compaction_would_have_saved_it()
    {
        using Machine machine = Scattered();

        AllocationExplanation why = machine.Explain(Gfp.Atomic, 4);

        why.WouldSucceed.Should().BeFalse();
        why.Zones[0].HasEnoughPages.Should().BeTrue();
        why.Zones[0].HasBlock.Should().BeFalse();
        why.Zones[0].UsableBlocks.Skip(4).Should().OnlyContain(b => b == 0);
        why.Hints.Should().Contain(h => h.Contains("compaction")).And.Contain(h => h.Contains("__GFP_DIRECT_RECLAIM"));
        why.ToString().Should().Contain("enough pages but no block large enough");
        machine.Cpus[0].AllocPages(Gfp.Atomic | Gfp.NoWarn, 4).IsNull.Should().BeTrue();
    }

    [Fact]
    public void High_priority_saves_a_request_that_finds_the_zone_below_its_min_watermark()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64(ByteSize.FromMiB(128)).WithoutContents());
        Cpu cpu = machine.Cpus[0];
        while (!cpu.AllocPage(Gfp.NoWait | Gfp.NoWarn).IsNull)
        {
        }

        AllocationExplanation plain = machine.Explain(Gfp.NoWait);
        plain.WouldSucceed.Should().BeFalse();
        plain.Hints.Should().Contain(h => h.StartsWith("__GFP_HIGH", StringComparison.Ordinal)).And.Contain(h => h.Contains("min_free_kbytes"));
        machine.Explain(Gfp.Atomic).WouldSucceed.Should().BeTrue();
        cpu.AllocPage(Gfp.Atomic).IsNull.Should().BeFalse();
    }

    [Fact]
    public void Explaining_changes_nothing_and_always_foretells_what_the_allocator_does()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64(ByteSize.FromMiB(128)).WithoutContents());
        Cpu cpu = machine.Cpus[0];
        Random random = new(42);
        Gfp[] kinds = [Gfp.Kernel, Gfp.Atomic, Gfp.NoWait, Gfp.HighUserMovable, Gfp.Kernel | Gfp.NoMemAlloc, Gfp.Dma, Gfp.Dma32, Gfp.Kernel | Gfp.MemAlloc];
        List<(Page Page, int Order)> held = [];
        int failures = 0;
        for (int i = 0; i < 6000; i++)
        {
            if (held.Count != 0 && random.Next(100) < (i % 2000 < 1200 ? 10 : 70))
            {
                int victim = random.Next(held.Count);
                cpu.FreePages(held[victim].Page, held[victim].Order);
                held[victim] = held[^1];
                held.RemoveAt(held.Count - 1);
                continue;
            }

            Gfp gfp = kinds[random.Next(kinds.Length)] | Gfp.NoWarn;
            int order = random.Next(8) == 0 ? random.Next(PageGeometry.OrderCount) : random.Next(5);
            string before = machine.Proc.ZoneInfo + machine.Proc.PageTypeInfo;
            AllocationExplanation why = machine.Explain(gfp, order);
            (machine.Proc.ZoneInfo + machine.Proc.PageTypeInfo).Should().Be(before);

            Page page = cpu.AllocPages(gfp, order);
            page.IsNull.Should().Be(!why.WouldSucceed, "of step {0}: {1}", i, why);
            if (page.IsNull)
            {
                failures++;
            }
            else
            {
                held.Add((page, order));
            }
        }

        failures.Should().BeGreaterThan(100);
    }

    [Fact]
    public void Orders_that_do_not_exist_are_refused()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64(ByteSize.FromMiB(128)).WithoutContents());

        machine.Invoking(m => m.Explain(Gfp.Kernel, PageGeometry.MaxOrder + 1)).Should().Throw<ArgumentOutOfRangeException>();
    }

    /// <summary>A machine whose memory was all taken in blocks of order 3, of which every other one was freed again.</summary>
    private static Machine Scattered()
    {
        Machine machine = Machine.Boot(MachineSpec.X86_64(ByteSize.FromMiB(128)).WithoutContents());
        Cpu cpu = machine.Cpus[0];
        List<Page> pages = [];
        machine.Memory.DrainAllPages();
        for (Page page = cpu.AllocPages(Gfp.Kernel | Gfp.NoWarn | Gfp.MemAlloc, 3); !page.IsNull; page = cpu.AllocPages(Gfp.Kernel | Gfp.NoWarn | Gfp.MemAlloc, 3))
        {
            pages.Add(page);
        }

        foreach (Page page in pages.Where(p => (p.Pfn.Value >> 3) % 2 == 0))
        {
            cpu.FreePages(page, 3);
        }

        machine.Memory.DrainAllPages();
        return machine;
    }

    [Theory]
    [InlineData(MigrateType.HighAtomic, "1 block of order 9 is free, of type HighAtomic, which this request may not use")]
    [InlineData(MigrateType.Cma, "1 block of order 9 is free, of type CMA, which this request may not use")]
    public void A_large_block_that_the_request_may_not_take_is_named_as_the_reason_and_not_compaction(MigrateType type, string reason)
    {
        using Machine machine = OnlyLargeBlockOf(type);

        AllocationExplanation why = machine.Explain(Gfp.Kernel, 4);

        why.WouldSucceed.Should().BeFalse();
        why.Zones[0].ToString().Should().Contain(reason).And.NotContain("no block");
        why.Hints.Should().NotContain(h => h.Contains("compaction"));
        why.Zones[0].UnusableForOrder.Should().Be(15);
        machine.Cpus[0].AllocPages((Gfp.Kernel | Gfp.NoWarn | Gfp.NoRetry) & ~Gfp.KswapdReclaim, 4).IsNull.Should().BeTrue();
        if (type == MigrateType.HighAtomic)
        {
            why.Zones[0].UnusableHighAtomic.Should().Be(512);
            why.Hints[0].Should().StartWith("GFP_ATOMIC", "it works");
            machine.Explain(Gfp.Atomic, 4).WouldSucceed.Should().BeTrue();
        }
        else
        {
            why.Zones[0].UnusableCma.Should().Be(512);
            machine.Explain(Gfp.HighUserMovable, 4).WouldSucceed.Should().BeTrue();
        }
    }

    [Fact]
    public void A_single_page_is_not_promised_where_only_reserved_blocks_are_free()
    {
        using Machine machine = OnlyLargeBlockOf(MigrateType.HighAtomic, small: 0);

        machine.Explain(Gfp.Kernel).WouldSucceed.Should().BeFalse();
        machine.Cpus[0].AllocPages((Gfp.Kernel | Gfp.NoWarn | Gfp.NoRetry) & ~Gfp.KswapdReclaim, 0).IsNull.Should().BeTrue();
        machine.Explain(Gfp.Atomic).WouldSucceed.Should().BeTrue();
        machine.Cpus[0].AllocPages(Gfp.Atomic & ~Gfp.KswapdReclaim, 0).IsNull.Should().BeFalse();
    }

    /// <summary>A machine whose free memory is single pages and one block of order 9 that is not for everybody.</summary>
    private static Machine OnlyLargeBlockOf(MigrateType type, int small = 4000)
    {
        const long Start = 3145728;
        long[][][] lists = [.. Enumerable.Range(0, 11).Select(_ => Enumerable.Range(0, 6).Select(_ => Array.Empty<long>()).ToArray())];
        lists[9][(int)type] = [Start];
        lists[0][0] = [.. Enumerable.Range(0, small).Select(i => Start + 1024 + (2L * i))];
        ZoneState zone = new()
        {
            Type = ZoneType.Normal,
            StartPfn = Start,
            SpannedPages = 262144,
            PresentPages = 131072,
            ManagedPages = 131072,
            WatermarkMin = 611,
            WatermarkLow = 763,
            WatermarkHigh = 915,
            ReservedHighAtomicPages = type == MigrateType.HighAtomic ? 512 : 0,
            LowmemReserve = new long[5],
            FreePages = small + 512,
            FreePagesCpuDiff = [0],
            FreeLists = lists,
            FirstPageblock = Start >> 9,
            Pageblocks = [(byte)type, .. new byte[511]],
        };
        zone.Pcp.Add(new PcpState { Batch = 1, Lists = [.. Enumerable.Range(0, 14).Select(_ => Array.Empty<long>())] });
        AllocatorState state = new();
        state.Zones.Add(zone);
        return StateRestorer.Restore(state);
    }
}
