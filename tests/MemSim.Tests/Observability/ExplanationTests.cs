using FluentAssertions;
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
        machine.DrainAllPages();
        for (Page page = cpu.AllocPages(Gfp.Kernel | Gfp.NoWarn | Gfp.MemAlloc, 3); !page.IsNull; page = cpu.AllocPages(Gfp.Kernel | Gfp.NoWarn | Gfp.MemAlloc, 3))
        {
            pages.Add(page);
        }

        foreach (Page page in pages.Where(p => (p.Pfn.Value >> 3) % 2 == 0))
        {
            cpu.FreePages(page, 3);
        }

        machine.DrainAllPages();
        return machine;
    }
}
