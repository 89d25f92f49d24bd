using FluentAssertions;
using Xunit;
using static MemSim.Tests.TestMachines;

namespace MemSim.Tests.PageAllocation;

/// <summary>The per-CPU page lists: how they fill, when and in which order they drain.</summary>
public class PcpTests : MachineTests
{
    private const Gfp Movable = Gfp.NoWait | Gfp.Movable;

    [Theory]
    [InlineData(0, 16, 16)]
    [InlineData(1, 16, 8)]
    [InlineData(2, 16, 4)]
    [InlineData(3, 16, 2)]
    [InlineData(3, 63, 7)]
    [InlineData(9, 63, 2)]
    [InlineData(0, 1, 1)]
    [InlineData(3, 1, 1)]
    public void An_empty_list_is_filled_with_a_batch_of_pages_but_at_least_two_blocks(int order, int batch, int blocks)
    {
        Machine machine = Boot(With().FreeBlocks(10, 4).Pcp(high: 5000, batch));
        Zone zone = machine.OnlyZone();
        machine.Cpus[0].AllocPages(Movable, order);
        zone.Pageset(0).Count.Should().Be((blocks - 1) << order);
        zone.PcpList(0, order, MigrateType.Movable).Should().HaveCount(blocks - 1);
        zone.TrueFreePages.Should().Be(4096 - (blocks << order));
    }

    [Theory]
    [InlineData(4)]
    [InlineData(8)]
    [InlineData(10)]
    public void Orders_4_to_8_and_10_do_not_go_through_per_cpu_lists(int order)
    {
        Machine machine = Boot(With().FreeBlocks(10, 4).Pcp(high: 5000, batch: 63));
        Page page = machine.Cpus[0].AllocPages(Movable, order);
        machine.OnlyZone().Pageset(0).Count.Should().Be(0);
        machine.Cpus[0].FreePages(page, order);
        machine.OnlyZone().FreeBlockCounts().Should().Be("10:4");
    }

    [Fact]
    public void A_refill_keeps_the_order_of_the_free_lists_and_a_free_goes_to_the_front()
    {
        Machine machine = Boot(With().FreeBlocks(10, 1).Pcp(high: 100, batch: 8));
        Cpu cpu = machine.Cpus[0];
        Page[] pages = [.. Enumerable.Range(0, 8).Select(_ => cpu.AllocPages(Movable, 0))];
        pages.Select(p => p.Pfn - pages[0].Pfn).Should().Equal(0, 1, 2, 3, 4, 5, 6, 7);
        cpu.FreePage(pages[3]);
        cpu.FreePage(pages[5]);
        cpu.AllocPage(Movable).Should().Be(pages[5], "last freed, first reused: its contents are still in the cache");
    }

    [Fact]
    public void Lists_are_kept_apart_by_order_and_by_type()
    {
        Machine machine = Boot(With().FreeBlocks(10, 2, MigrateType.Movable).FreeBlocks(10, 2, MigrateType.Unmovable).FreeBlocks(10, 2, MigrateType.Reclaimable).Pcp(1000, 8));
        Cpu cpu = machine.Cpus[0];
        Zone zone = machine.OnlyZone();
        foreach ((Gfp gfp, MigrateType type) in new[] { (Gfp.NoWait, MigrateType.Unmovable), (Movable, MigrateType.Movable), (Gfp.NoWait | Gfp.Reclaimable, MigrateType.Reclaimable) })
        {
            foreach (int order in new[] { 0, 1, 2, 3 })
            {
                Page page = cpu.AllocPages(gfp, order);
                cpu.FreePages(page, order);
                zone.PcpList(0, order, type).First().Should().Be(page.Pfn);
                page.MigrateType.Should().Be(type);
            }
        }
    }

    [Fact]
    public void A_free_that_reaches_high_drains_a_batch_and_the_next_drain_twice_as_much()
    {
        Machine machine = Boot(With().FreeBlocks(10, 2).Pcp(high: 64, batch: 8));
        Cpu cpu = machine.Cpus[0];
        Zone zone = machine.OnlyZone();
        List<Page> pages = [.. Enumerable.Range(0, 400).Select(_ => cpu.AllocPage(Movable))];
        cpu.Pages.DrainLocalPages();
        List<int> drained = [];
        foreach (Page page in pages)
        {
            int before = zone.Pageset(0).Count;
            cpu.FreePage(page);
            int now = zone.Pageset(0).Count;
            if (now <= before)
            {
                drained.Add(before + 1 - now);
            }
        }

        drained.Take(5).Should().Equal(8, 16, 32, 56, 56);
    }

    [Fact]
    public void An_allocation_halves_the_scale_again()
    {
        Machine machine = Boot(With().FreeBlocks(10, 2).Pcp(high: 64, batch: 8));
        Cpu cpu = machine.Cpus[0];
        Zone zone = machine.OnlyZone();
        List<Page> pages = [.. Enumerable.Range(0, 400).Select(_ => cpu.AllocPage(Movable))];
        pages.ForEach(cpu.FreePage);
        zone.Pageset(0).FreeFactor.Should().Be(3);
        _ = cpu.AllocPage(Movable);
        zone.Pageset(0).FreeFactor.Should().Be(1);
    }

    [Fact]
    public void Freeing_small_blocks_after_a_drain_empties_everything()
    {
        Machine machine = Boot(With().FreeBlocks(10, 3).Pcp(high: 64, batch: 8));
        Cpu cpu = machine.Cpus[0];
        Zone zone = machine.OnlyZone();
        List<Page> singles = [.. Enumerable.Range(0, 400).Select(_ => cpu.AllocPage(Movable))];
        List<Page> pairs = [.. Enumerable.Range(0, 40).Select(_ => cpu.AllocPages(Movable, 1))];
        singles.ForEach(cpu.FreePage);
        zone.Pageset(0).FreeFactor.Should().BePositive();
        cpu.FreePages(pairs[0], 1);
        zone.Pageset(0).Count.Should().Be(0);
    }

    [Fact]
    public void A_drain_starts_with_the_list_just_freed_to_and_takes_from_the_back()
    {
        Machine machine = Boot(With().FreeBlocks(10, 2).Pcp(high: 20, batch: 4));
        Cpu cpu = machine.Cpus[0];
        Zone zone = machine.OnlyZone();
        List<Page> pages = [.. Enumerable.Range(0, 20).Select(_ => cpu.AllocPage(Movable))];
        cpu.Pages.DrainLocalPages();
        pages.ForEach(cpu.FreePage);
        zone.PcpList(0, 0, MigrateType.Movable).Should().Equal(pages.Skip(4).Reverse().Select(p => p.Pfn), "the four freed first went back");
    }

    [Fact]
    public void DrainZonePages_gives_back_at_most_a_batch_and_DrainAllPages_everything_of_every_cpu()
    {
        Machine machine = Boot(With().FreeBlocks(10, 2).Pcp(high: 100, batch: 8).CpusOnNodes(0, 0));
        Zone zone = machine.OnlyZone();
        foreach (Cpu cpu in machine.Cpus)
        {
            List<Page> pages = [.. Enumerable.Range(0, 20).Select(_ => cpu.AllocPage(Movable))];
            pages.ForEach(cpu.FreePage);
        }

        int before = zone.Pageset(1).Count;
        machine.Cpus[1].Pages.DrainZonePages(zone);
        zone.Pageset(1).Count.Should().Be(before - 8);
        machine.Memory.DrainAllPages();
        zone.Pageset(0).Count.Should().Be(0);
        zone.Pageset(1).Count.Should().Be(0);
        zone.FreeBlockCounts().Should().Be("10:2");
    }

    [Fact]
    public void A_page_freed_on_another_cpu_goes_to_that_cpus_list()
    {
        Machine machine = Boot(With().FreeBlocks(10, 2).Pcp(high: 100, batch: 8).CpusOnNodes(0, 0));
        Page page = machine.Cpus[0].AllocPage(Movable);
        machine.Cpus[1].FreePage(page);
        machine.OnlyZone().PcpList(1, 0, MigrateType.Movable).Should().Equal(page.Pfn);
        machine.Cpus[1].AllocPage(Movable).Should().Be(page);
    }

    [Fact]
    public void Pages_of_the_high_atomic_reserve_wait_in_the_movable_list_and_return_to_the_reserve()
    {
        Machine machine = Boot(With().FreeBlocks(2, 3, MigrateType.HighAtomic).HighAtomicReserved(512).FreeBlocks(0, 50).Watermarks(20, 60, 80).Pcp(high: 100, batch: 8));
        Cpu cpu = machine.Cpus[0];
        Page page = cpu.AllocPages(Gfp.Atomic, 2);
        page.MigrateType.Should().Be(MigrateType.HighAtomic);
        cpu.FreePages(page, 2);
        machine.OnlyZone().PcpList(0, 2, MigrateType.Movable).Should().Contain(page.Pfn);
        machine.Memory.DrainAllPages();
        machine.OnlyZone().FreeList(2, MigrateType.HighAtomic).Should().HaveCount(3);
    }

    [Fact]
    public void Bulk_fills_the_null_entries_in_order_and_leaves_the_others_alone()
    {
        Machine machine = Boot(With().FreeBlocks(10, 2).Pcp(high: 200, batch: 16));
        Cpu cpu = machine.Cpus[0];
        Page mine = cpu.AllocPage(Movable);
        Page[] pages = new Page[40];
        pages[0] = mine;
        pages[17] = mine;
        cpu.Pages.AllocPagesBulk(Movable, pages).Should().Be(40);
        pages[0].Should().Be(mine);
        pages[17].Should().Be(mine);
        pages.Distinct().Should().HaveCount(39);
        cpu.Pages.AllocPagesBulk(Movable, pages).Should().Be(40, "there is nothing left to fill");
        cpu.Pages.AllocPagesBulk(Movable, []).Should().Be(0);
        cpu.Pages.FreePagesBulk([.. pages.Distinct()]);
    }

    [Theory]
    [InlineData(101, 20)]
    [InlineData(100, 1)]
    public void Bulk_wants_room_for_the_whole_array_above_low_and_else_takes_one_page(int above, int expected)
    {
        Machine machine = Boot(With().FreeBlocks(0, 500 - 20 + (above - 100) + 20, MigrateType.Unmovable).Watermarks(300, 480, 490).Pcp(high: 200, batch: 16));
        machine.Cpus[0].Pages.AllocPagesBulk(Gfp.NoWait, new Page[20]).Should().Be(expected);
    }

    [Fact]
    public void A_bulk_request_stays_on_its_node_when_told_so()
    {
        Machine machine = Boot(With().Zone(ZoneType.Dma32, 4096, node: 1).FreeBlocks(10, 2).CpusOnNodes(0, 1).Pcp(100, 8));
        Page[] pages = new Page[8];
        machine.Cpus[0].Pages.AllocPagesBulk(Gfp.Kernel | Gfp.ThisNode | Gfp.NoWarn, pages).Should().Be(0, "node 0 has no memory");
        machine.Cpus[0].Pages.AllocPagesBulk(Gfp.Kernel, pages).Should().BePositive();
    }

    [Fact]
    public void A_list_is_freed_in_its_order()
    {
        Machine machine = Boot(With().FreeBlocks(10, 2).Pcp(high: 200, batch: 16));
        Cpu cpu = machine.Cpus[0];
        Page[] pages = new Page[16];
        cpu.Pages.AllocPagesBulk(Movable, pages).Should().Be(16);
        cpu.Pages.FreePagesBulk(pages);
        machine.OnlyZone().PcpList(0, 0, MigrateType.Movable).Should().Equal(pages.Reverse().Select(p => p.Pfn));
    }
}
