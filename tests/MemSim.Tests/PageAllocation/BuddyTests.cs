using FluentAssertions;
using Xunit;
using static MemSim.Tests.TestMachines;

namespace MemSim.Tests.PageAllocation;

/// <summary>Splitting, merging, placement, stealing: what the free lists look like afterwards.</summary>
public class BuddyTests : MachineTests
{
    private const Gfp Unmovable = Gfp.NoWait;
    private const Gfp Movable = Gfp.NoWait | Gfp.Movable;
    private const Gfp Reclaimable = Gfp.NoWait | Gfp.Reclaimable;

    [Fact]
    public void A_split_keeps_the_lower_half_and_gives_one_block_of_each_order_back()
    {
        Machine machine = Boot(With().FreeBlocks(order: 10, count: 1));
        Zone zone = machine.OnlyZone();
        Pfn start = zone.FreeList(10, MigrateType.Movable).Single();
        Page page = machine.Cpus[0].AllocPages(Movable, 4);
        page.Pfn.Should().Be(start);
        zone.FreeBlockCounts().Should().Be("4:1 5:1 6:1 7:1 8:1 9:1");
        for (int order = 4; order < 10; order++)
        {
            zone.FreeList(order, MigrateType.Movable).Should().Equal(start + (1L << order));
        }

        machine.Cpus[0].FreePages(page, 4);
        zone.FreeBlockCounts().Should().Be("10:1", "everything merges back");
    }

    [Fact]
    public void The_smallest_sufficient_block_is_taken_and_the_front_of_its_list()
    {
        Machine machine = Boot(With().FreeBlocks(5, 3).FreeBlocks(3, 2).FreeBlocks(9, 1));
        Zone zone = machine.OnlyZone();
        Pfn front = zone.FreeList(5, MigrateType.Movable).First();
        machine.Cpus[0].AllocPages(Movable, 4).Pfn.Should().Be(front);
        zone.FreeBlockCounts().Should().Be("3:2 4:1 5:2 9:1");
    }

    [Fact]
    public void A_freed_block_goes_to_the_front()
    {
        Machine machine = Boot(With().FreeBlocks(5, 4));
        Zone zone = machine.OnlyZone();
        Pfn[] before = [.. zone.FreeList(5, MigrateType.Movable)];
        Page first = machine.Cpus[0].AllocPages(Movable, 5);
        Page second = machine.Cpus[0].AllocPages(Movable, 5);
        machine.Cpus[0].FreePages(first, 5);
        machine.Cpus[0].FreePages(second, 5);
        zone.FreeList(5, MigrateType.Movable).Should().Equal(before[1], before[0], before[2], before[3]);
    }

    [Fact]
    public void A_freed_block_goes_to_the_back_when_the_pair_it_would_form_has_a_free_buddy()
    {
        // Order 6 is split into a (kept), its buddy b (kept) and the order-5 half: a freed alone waits for b to merge up.
        Machine machine = Boot(With().FreeBlocks(6, 1).FreeBlocks(4, 3));
        Zone zone = machine.OnlyZone();
        Cpu cpu = machine.Cpus[0];
        Page[] others = [cpu.AllocPages(Movable, 4), cpu.AllocPages(Movable, 4), cpu.AllocPages(Movable, 4)];
        Page a = cpu.AllocPages(Movable, 4);
        Page b = cpu.AllocPages(Movable, 4);
        b.Pfn.Should().Be(a.Pfn + 16);
        Array.ForEach(others, p => cpu.FreePages(p, 4));
        cpu.FreePages(a, 4);
        zone.FreeList(4, MigrateType.Movable).Last().Should().Be(a.Pfn);
        cpu.FreePages(b, 4);
        zone.FreeBlockCounts().Should().Be("4:3 6:1");
    }

    [Fact]
    public void Blocks_that_are_neighbours_but_not_buddies_do_not_merge()
    {
        Machine machine = Boot(With().FreeBlocks(6, 1));
        Cpu cpu = machine.Cpus[0];
        Page[] quarters = [.. Enumerable.Range(0, 4).Select(_ => cpu.AllocPages(Movable, 4)).OrderBy(p => p.Pfn.Value)];
        cpu.FreePages(quarters[1], 4);
        cpu.FreePages(quarters[2], 4);
        machine.OnlyZone().FreeBlockCounts().Should().Be("4:2");
        cpu.FreePages(quarters[0], 4);
        machine.OnlyZone().FreeBlockCounts().Should().Be("4:1 5:1");
        cpu.FreePages(quarters[3], 4);
        machine.OnlyZone().FreeBlockCounts().Should().Be("6:1");
    }

    [Theory]
    [InlineData(Unmovable, MigrateType.Reclaimable)]
    [InlineData(Movable, MigrateType.Reclaimable)]
    [InlineData(Reclaimable, MigrateType.Unmovable)]
    public void Fallback_goes_to_the_types_in_the_kernels_order(Gfp gfp, MigrateType first)
    {
        MigrateType own = GfpZones.MigrateTypeOf(gfp);
        MigrateType second = new[] { MigrateType.Unmovable, MigrateType.Movable, MigrateType.Reclaimable }.Single(t => t != own && t != first);
        Machine machine = Boot(With().FreeBlocks(6, 1, second).FreeBlocks(6, 1, first));
        Zone zone = machine.OnlyZone();
        Pfn expected = zone.FreeList(6, first).Single();
        machine.Cpus[0].AllocPages(gfp, 2).Pfn.Should().Be(expected);
        zone.FreeList(6, second).Should().ContainSingle();
    }

    [Fact]
    public void Fallback_takes_the_largest_block_of_any_type_first()
    {
        Machine machine = Boot(With().FreeBlocks(5, 1, MigrateType.Reclaimable).FreeBlocks(8, 1, MigrateType.Movable));
        Pfn large = machine.OnlyZone().FreeList(8, MigrateType.Movable).Single();
        machine.Cpus[0].AllocPages(Unmovable, 0).Pfn.Should().Be(large);
    }

    [Fact]
    public void A_movable_request_takes_the_smallest_block_when_none_is_worth_stealing()
    {
        Machine machine = Boot(With().FreeBlocks(1, 1, MigrateType.Unmovable).NextPageblock().FreeBlocks(3, 1, MigrateType.Unmovable));
        Zone zone = machine.OnlyZone();
        Pfn small = zone.FreeList(1, MigrateType.Unmovable).Single();
        Page page = machine.Cpus[0].AllocPages(Movable, 0);
        page.Pfn.Should().Be(small);
        page.MigrateType.Should().Be(MigrateType.Unmovable, "the page block keeps its type");
        zone.FreeBlockCounts().Should().Be("0:1 3:1");
        zone.FreeList(0, MigrateType.Movable).Should().ContainSingle("the found block changes lists");
    }

    [Theory]
    [InlineData(3, false)]
    [InlineData(4, true)]
    public void A_movable_request_steals_whole_page_blocks_from_order_4_on(int order, bool steals)
    {
        // Two free blocks in one unmovable page block: the second one moves lists only when the page block is claimed.
        Machine machine = Boot(With().FreeBlocks(order, 2, MigrateType.Unmovable));
        machine.Cpus[0].AllocPages(Movable, order);
        Zone zone = machine.OnlyZone();
        zone.FreeList(order, MigrateType.Movable).Should().HaveCount(steals ? 1 : 0);
        zone.FreeList(order, MigrateType.Unmovable).Should().HaveCount(steals ? 0 : 1);
    }

    [Theory]
    [InlineData(7, MigrateType.Movable, true)]
    [InlineData(6, MigrateType.Movable, true)]
    [InlineData(6, MigrateType.Reclaimable, false)]
    [InlineData(8, MigrateType.Reclaimable, true)]
    public void A_page_block_changes_type_when_half_of_it_is_free_or_compatible(int order, MigrateType from, bool converts)
    {
        // For an unmovable request, what is in use in a movable page block and cannot be moved counts as compatible; in a reclaimable one nothing does.
        Machine machine = Boot(With().FreeBlocks(order, 1, from));
        Page page = machine.Cpus[0].AllocPages(Unmovable, 0);
        page.MigrateType.Should().Be(converts ? MigrateType.Unmovable : from);
    }

    [Fact]
    public void A_block_of_order_10_gives_both_its_page_blocks_the_new_type()
    {
        Machine machine = Boot(With().FreeBlocks(10, 1, MigrateType.Movable));
        Page page = machine.Cpus[0].AllocPages(Reclaimable, 0);
        page.MigrateType.Should().Be(MigrateType.Reclaimable);
        machine.GetPage(page.Pfn + 512).MigrateType.Should().Be(MigrateType.Reclaimable);
        machine.OnlyZone().WatermarkBoost.Should().Be(0, "whole page blocks mix nothing");
    }

    [Theory]
    [InlineData(Gfp.NoWait, false)]
    [InlineData(Gfp.NoWait, true)]
    [InlineData(Gfp.None, false)]
    [InlineData(Gfp.None, true)]
    public void A_request_goes_to_DMA32_rather_than_mix_a_page_block_of_Normal_whether_or_not_it_may_wake_kswapd(Gfp gfp, bool inInterrupt)
    {
        Machine machine = Boot(With()
            .Zone(ZoneType.Dma32).FreeBlocks(10, 1)
            .Zone(ZoneType.Normal).FreeBlocks(8, 2, MigrateType.Unmovable));
        Cpu cpu = machine.Cpus[0];
        using (inInterrupt ? cpu.HardIrq() : default)
        {
            cpu.AllocPages(gfp | Gfp.Movable, 8).Zone.Type.Should().Be(ZoneType.Dma32);
            cpu.AllocPages(gfp | Gfp.Movable, 8).Zone.Type.Should().Be(ZoneType.Dma32);
            cpu.AllocPages(gfp | Gfp.Movable, 9).Zone.Type.Should().Be(ZoneType.Dma32);
            cpu.AllocPages(gfp | Gfp.Movable, 8).Zone.Type.Should().Be(ZoneType.Normal, "where every zone would have to mix, the first zone does");
        }
    }

    [Fact]
    public void A_high_order_atomic_request_below_the_mark_reserves_its_page_block()
    {
        Machine machine = Boot(With().FreeBlocks(5, 8, MigrateType.Unmovable).Watermarks(min: 200, low: 400, high: 500));
        Page page = machine.Cpus[0].AllocPages(Gfp.Atomic, 2);
        page.MigrateType.Should().Be(MigrateType.HighAtomic);
        Zone zone = machine.OnlyZone();
        zone.ReservedHighAtomicPages.Should().Be(512);
        zone.FreeList(5, MigrateType.HighAtomic).Should().HaveCount(7, "all free blocks of the page block went along");
        machine.Cpus[0].FreePages(page, 2);
        zone.FreeList(5, MigrateType.HighAtomic).Should().HaveCount(8, "it comes back to the reserve");
    }

    [Fact]
    public void The_reserve_stops_growing_at_about_one_percent_of_the_zone()
    {
        Machine machine = Boot(With().Zone(ZoneType.Dma32, 60000).FreeBlocks(8, 20, MigrateType.Unmovable).Watermarks(min: 4000, low: 8000, high: 9000));
        List<Page> pages = machine.Cpus[0].AllocateAll(Gfp.Atomic, 8);
        pages.Should().NotBeEmpty();
        machine.OnlyZone().ReservedHighAtomicPages.Should().Be(1536, "60000/100 + 512 = 1112 is reached with the third page block");
    }

    [Theory]
    [InlineData(40_000, 0)]
    [InlineData(51_200, 512)]
    [InlineData(51_400, 1024)]
    public void Since_6_12_whole_page_blocks_are_reserved_as_far_as_they_fit_in_one_percent_of_the_zone(long managed, long reserve)
    {
        Machine machine = Boot(With().Kernel("6.12").Zone(ZoneType.Dma32, managed).FreeBlocks(5, 8, MigrateType.Unmovable).NextPageblock().FreeBlocks(5, 8, MigrateType.Unmovable).NextPageblock()
            .FreeBlocks(5, 8, MigrateType.Unmovable).Watermarks(min: 600, low: 1200, high: 1300));
        Zone zone = machine.OnlyZone();
        Page page = machine.Cpus[0].AllocPages(Gfp.Atomic, 2);
        zone.ReservedHighAtomicPages.Should().Be(Math.Min(reserve, 512));
        if (reserve == 0)
        {
            page.MigrateType.Should().Be(MigrateType.Unmovable, "a page block is more than a hundredth of the zone");
            return;
        }

        page.MigrateType.Should().Be(MigrateType.HighAtomic);
        zone.FreeList(5, MigrateType.HighAtomic).Should().HaveCount(7, "all free blocks of the page block went along");
        machine.Cpus[0].FreePages(page, 2);
        zone.FreeList(5, MigrateType.HighAtomic).Should().HaveCount(8, "it comes back to the reserve");
        for (int i = 0; i < 3 * 8; i++)
        {
            machine.Cpus[0].AllocPages(Gfp.Atomic, 5);
        }

        zone.ReservedHighAtomicPages.Should().Be(reserve);
    }

    [Theory]
    [InlineData("6.1")]
    [InlineData("6.12")]
    [InlineData("7.3")]
    public void A_block_taken_over_is_of_the_new_kind_in_all_its_page_blocks(string kernel)
    {
        Machine machine = Boot(With().Kernel(kernel).FreeBlocks(order: 10, count: 2));
        Page page = machine.Cpus[0].AllocPage(Unmovable);
        page.MigrateType.Should().Be(MigrateType.Unmovable);
        machine.GetPage(page.Pfn + 512).MigrateType.Should().Be(MigrateType.Unmovable);
        Zone zone = machine.OnlyZone();
        Enumerable.Range(0, 10).Sum(order => zone.FreeList(order, MigrateType.Unmovable).Count()).Should().Be(10);
        zone.FreeList(10, MigrateType.Movable).Should().ContainSingle();
    }

    [Fact]
    public void Too_little_free_memory_makes_no_second_reservation()
    {
        Machine machine = Boot(With().FreeBlocks(5, 8, MigrateType.Unmovable).NextPageblock().FreeBlocks(5, 8, MigrateType.Unmovable).Watermarks(min: 300, low: 600, high: 700));
        Cpu cpu = machine.Cpus[0];
        Zone zone = machine.OnlyZone();
        Pfn[] all = [.. zone.FreeList(5, MigrateType.Unmovable)];
        _ = cpu.AllocPages(Gfp.Atomic, 5);
        foreach (Page page in cpu.AllocateAll(Gfp.MemAlloc, 5).Where(p => p.Pfn.Value >= all[8].Value).Take(1))
        {
            cpu.FreePages(page, 5);
        }

        _ = cpu.AllocPages(Gfp.Atomic, 5);
        zone.ReservedHighAtomicPages.Should().Be(512, "too little is free for another reservation");
    }

    [Theory]
    [InlineData(1, 1, 0)]
    [InlineData(4096, 1, 0)]
    [InlineData(4097, 2, 0)]
    [InlineData(3 * 4096, 3, 1)]
    [InlineData(5 * 4096, 5, 3)]
    [InlineData(513 * 4096, 513, 511)]
    public void Exact_allocations_give_the_rest_of_their_block_back(long bytes, int pages, int givenBack)
    {
        Machine machine = Boot(With().FreeBlocks(10, 2));
        Cpu cpu = machine.Cpus[0];
        VirtualAddress address = cpu.Pages.AllocPagesExact(bytes, Gfp.Kernel);
        Page first = cpu.Pages.VirtToPage(address);
        for (int i = 0; i < pages; i++)
        {
            Page page = machine.GetPage(first.Pfn + i);
            (page.Count, page.Order).Should().Be((1, 0));
        }

        machine.OnlyZone().TrueFreePages.Should().Be(2048 - pages);
        (System.Numerics.BitOperations.RoundUpToPowerOf2((ulong)pages) - (ulong)pages).Should().Be((ulong)givenBack);
        cpu.Pages.FreePagesExact(address, bytes);
        machine.OnlyZone().FreeBlockCounts().Should().Be("10:2");
    }

    [Fact]
    public void A_split_block_is_freed_page_by_page_in_any_order()
    {
        Machine machine = Boot(With().FreeBlocks(4, 1));
        Cpu cpu = machine.Cpus[0];
        Page head = cpu.AllocPages(Gfp.Kernel, 4);
        head.SetPrivate(9);
        cpu.Pages.SplitPage(head, 4);
        machine.OnlyZone().TrueFreePages.Should().Be(0, "splitting changes no list");
        for (int i = 0; i < 16; i++)
        {
            cpu.FreePage(machine.GetPage(head.Pfn + (i * 7 % 16)));
        }

        machine.OnlyZone().FreeBlockCounts().Should().Be("4:1");
    }

    [Fact]
    public void A_compound_page_cannot_be_split()
    {
        Machine machine = Boot(With().FreeBlocks(4, 1));
        Page head = machine.Cpus[0].AllocPages(Gfp.Kernel | Gfp.Comp, 4);
        Refuses(machine, () => machine.Cpus[0].Pages.SplitPage(head, 4));
        machine.Cpus[0].Pages.PutPage(head);
    }
}
