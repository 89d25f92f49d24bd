using FluentAssertions;
using MemSim.Lru;
using MemSim.Pages;
using MemSim.Statistics;
using Xunit;

namespace MemSim.Tests.Lru;

/// <summary>LRU lists: where pages enter, how they become active, how they leave.</summary>
public sealed class LruManagerTests : IDisposable
{
    private readonly Machine _machine = Machine.Boot(MachineSpec.X86_64("256M", cpus: 2));

    private Cpu Cpu => _machine.Cpus[0];

    private LruManager Lru => _machine.Lru;

    private NodeCounters Counters => _machine.Nodes[0].Counters;

    public void Dispose() => _machine.Dispose();

    [Fact]
    public void A_page_reaches_its_list_with_the_fifteenth_of_its_batch()
    {
        for (int i = 0; i < 14; i++)
        {
            Lru.Add(Cpu, FilePage());
        }

        Counters.InactiveFile.Should().Be(0);
        Lru.Add(Cpu, FilePage());
        Counters.InactiveFile.Should().Be(15);
        Lru.Pending(Cpu).Should().Be(0);
        _machine.Verify();
    }

    [Fact]
    public void From_6_12_on_a_batch_has_31_pages()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M").WithKernel("6.12"));
        Cpu cpu = machine.Cpus[0];
        for (int i = 1; i <= 31; i++)
        {
            machine.Nodes[0].Counters.ActiveAnon.Should().Be(0);
            int pfn = machine.Pages.Allocate(cpu, Gfp.HighUserMovable, 0);
            machine.Lru.SetFlags(ref machine.Frames.Array[pfn], PageFlags.SwapBacked);
            machine.Lru.Add(cpu, pfn);
            machine.Lru.Pending(cpu).Should().Be(i % 31);
        }

        machine.Nodes[0].Counters.ActiveAnon.Should().Be(31);
    }

    [Fact]
    public void A_compound_page_drains_the_batch_at_once()
    {
        int small = AnonPage();
        Lru.Add(Cpu, small);
        int huge = AnonPage(order: 9);
        Lru.Add(Cpu, huge);

        Counters.InactiveAnon.Should().Be(513);
        _machine.ZoneTable.ZoneOf(huge)!.Counters.InactiveAnon.Should().Be(513);
        Lru.Put(Cpu, huge);
        Counters.InactiveAnon.Should().Be(1);
        _machine.Verify();
    }

    [Fact]
    public void Second_access_of_an_inactive_page_activates_it()
    {
        int pfn = FilePage();
        Lru.Add(Cpu, pfn);
        Lru.Drain(Cpu);
        Lru.MarkAccessed(Cpu, pfn);
        _machine.Frames.FlagsOf(pfn).Should().HaveFlag(PageFlags.Referenced).And.NotHaveFlag(PageFlags.Active);
        Lru.MarkAccessed(Cpu, pfn);
        _machine.Frames.FlagsOf(pfn).Should().NotHaveFlag(PageFlags.Referenced).And.NotHaveFlag(PageFlags.Active, "it waits in a batch");
        Lru.Drain(Cpu);

        _machine.Frames.FlagsOf(pfn).Should().HaveFlag(PageFlags.Active);
        (Counters.InactiveFile, Counters.ActiveFile).Should().Be((0, 1));
        _machine.Events[VmEvent.Activate].Should().Be(1);
        Lru.Of(_machine.Nodes[0]).NonresidentAge.Should().Be(1);
        _machine.Verify();
    }

    [Fact]
    public void A_page_that_still_waits_in_the_batch_of_new_ones_becomes_active_there()
    {
        int pfn = FilePage();
        Lru.Add(Cpu, pfn);
        Lru.MarkAccessed(Cpu, pfn);
        Lru.MarkAccessed(Cpu, pfn);
        Lru.Drain(Cpu);
        Counters.ActiveFile.Should().Be(1);
        _machine.Events[VmEvent.Activate].Should().Be(0);
    }

    [Fact]
    public void The_last_reference_takes_a_page_off_its_list_and_frees_it()
    {
        long free = _machine.FreePages();
        int pfn = AnonPage();
        _machine.Frames.Array[pfn].Mapping = MappingTable.Value(7, MappingTable.Anonymous);
        Lru.Add(Cpu, pfn);
        Lru.Put(Cpu, pfn);
        _machine.FreePages().Should().Be(free - 1, "the batch holds a reference");
        Lru.Drain(Cpu);
        Counters.InactiveAnon.Should().Be(0);
        _machine.FreePages().Should().Be(free);
        _machine.Verify();
    }

    [Fact]
    public void Pages_put_together_are_freed_with_the_last_one_first()
    {
        int[] pages = [FilePage(), FilePage(), FilePage()];
        Lru.PutAll(Cpu, pages);
        int[] again = [FilePage(), FilePage(), FilePage()];
        again.Should().Equal(pages, "release_pages() builds its list from the front, and the per-CPU list gives the last freed first");
    }

    [Fact]
    public void A_page_that_is_still_in_a_file_is_not_freed()
    {
        int pfn = FilePage();
        _machine.Frames.Array[pfn].Mapping = MappingTable.Value(7);
        Action put = () => Lru.Put(Cpu, pfn);
        put.Should().Throw<KernelBugException>().Which.Kind.Should().Be(KernelBugKind.StillInUse);
        _machine.Frames.Array[pfn].Mapping = 0;
        Lru.Put(Cpu, pfn);
        put.Should().Throw<KernelBugException>().Which.Kind.Should().Be(KernelBugKind.DoubleFree);
        _machine.Verify();
    }

    [Fact]
    public void Only_one_of_two_gets_to_isolate_a_page()
    {
        int pfn = FilePage();
        Lru.Add(Cpu, pfn);
        Lru.Isolate(pfn).Should().BeFalse("it is on no list yet");
        Lru.Drain(Cpu);
        Lru.Isolate(pfn).Should().BeTrue();
        Lru.Isolate(pfn).Should().BeFalse();
        Counters.InactiveFile.Should().Be(0);
        _machine.Frames.Array[pfn].RefCount.Should().Be(2);
        Lru.PutBack(Cpu, pfn);
        Lru.Drain(Cpu);
        Counters.InactiveFile.Should().Be(1);
        _machine.Frames.Array[pfn].RefCount.Should().Be(1);
        _machine.Verify();
    }

    [Fact]
    public void Deactivated_pages_enter_the_inactive_list_unreferenced()
    {
        int pfn = ActiveAnon();
        Lru.Deactivate(Cpu, pfn);
        Lru.Drain(Cpu);
        (Counters.InactiveAnon, Counters.ActiveAnon).Should().Be((1, 0));
        _machine.Frames.FlagsOf(pfn).Should().NotHaveFlag(PageFlags.Referenced);
        _machine.Events[VmEvent.Deactivate].Should().Be(1);
        _machine.Verify();
    }

    [Fact]
    public void A_page_that_may_be_dropped_counts_as_file_page()
    {
        int pfn = ActiveAnon();
        _machine.Frames.Array[pfn].Mapping = MappingTable.Value(7, MappingTable.Anonymous);
        Lru.LazyFree(Cpu, pfn);
        Lru.Drain(Cpu);
        (Counters.InactiveFile, Counters.ActiveAnon).Should().Be((1, 0));
        _machine.Frames.FlagsOf(pfn).Should().NotHaveFlag(PageFlags.SwapBacked);
        _machine.Events[VmEvent.LazyFree].Should().Be(1);
        _machine.Verify();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_deactivated_file_page_goes_to_the_back_unless_it_has_to_be_written(bool dirty)
    {
        int other = FilePage();
        int pfn = FilePage(dirty ? PageFlags.Dirty : PageFlags.None);
        Lru.Add(Cpu, other);
        Lru.Add(Cpu, pfn);
        Lru.Drain(Cpu);
        Lru.DeactivateFile(Cpu, pfn);
        Lru.Drain(Cpu);
        int back = _machine.Frames.Array[Lru.Of(_machine.Nodes[0]).Head(LruList.InactiveFile)].Prev;
        back.Should().Be(dirty ? other : pfn);
        _machine.Frames.FlagsOf(pfn).HasFlag(PageFlags.Reclaim).Should().Be(dirty);
        _machine.Events[VmEvent.Rotated].Should().Be(dirty ? 0 : 1);
    }

    [Fact]
    public void A_written_page_is_rotated_to_the_back()
    {
        int other = FilePage();
        int pfn = FilePage();
        Lru.Add(Cpu, other);
        Lru.Add(Cpu, pfn);
        Lru.Drain(Cpu);
        Lru.RotateAfterWriteback(Cpu, pfn);
        Lru.Drain(Cpu);
        _machine.Frames.Array[Lru.Of(_machine.Nodes[0]).Head(LruList.InactiveFile)].Prev.Should().Be(pfn);
        _machine.Events[VmEvent.Rotated].Should().Be(1);
    }

    [Fact]
    public void A_page_locked_twice_stays_unevictable_until_both_are_gone()
    {
        int pfn = AnonPage();
        Lru.Add(Cpu, pfn);
        Lru.Mlock(Cpu, pfn);
        Lru.Mlock(Cpu, pfn);
        (Counters.Unevictable, Counters.InactiveAnon, _machine.ZoneTable.ZoneOf(pfn)!.Counters.Mlock).Should().Be((1, 0, 1));
        _machine.Verify();
        Lru.Munlock(Cpu, pfn);
        Counters.Unevictable.Should().Be(1);
        Lru.Munlock(Cpu, pfn);
        (Counters.Unevictable, Counters.InactiveAnon, _machine.ZoneTable.ZoneOf(pfn)!.Counters.Mlock).Should().Be((0, 1, 0));
        _machine.Events[VmEvent.UnevictablePagesRescued].Should().Be(1);
        _machine.Verify();
    }

    [Fact]
    public void A_locked_page_that_is_freed_is_counted_as_cleared()
    {
        int pfn = AnonPage();
        Lru.Add(Cpu, pfn);
        Lru.Mlock(Cpu, pfn);
        Lru.Put(Cpu, pfn);
        (Counters.Unevictable, _machine.ZoneTable.ZoneOf(0x100)!.Counters.Mlock).Should().Be((0, 0));
        _machine.Events[VmEvent.UnevictablePagesCleared].Should().Be(1);
        _machine.Verify();
    }

    [Fact]
    public void A_page_missed_sooner_than_the_active_list_is_long_comes_back_active()
    {
        for (int i = 0; i < 15; i++)
        {
            int active = FilePage(PageFlags.Active);
            Lru.Add(Cpu, active);
        }

        int page = FilePage(PageFlags.WorkingSet);
        long soon = Lru.EvictionShadow(Cpu, page);
        soon.Should().NotBe(0);
        Lru.Of(_machine.Nodes[0]).Age(14);
        int back = FilePage();
        Lru.Refault(Cpu, back, soon);
        _machine.Frames.FlagsOf(back).Should().HaveFlag(PageFlags.Active | PageFlags.WorkingSet);
        (Counters.WorkingsetRefaultFile, Counters.WorkingsetActivateFile, Counters.WorkingsetRestoreFile).Should().Be((1, 1, 1));

        long late = Lru.EvictionShadow(Cpu, page);
        Lru.Of(_machine.Nodes[0]).Age(15);
        int cold = FilePage();
        Lru.Refault(Cpu, cold, late);
        _machine.Frames.FlagsOf(cold).Should().NotHaveFlag(PageFlags.Active);
        (Counters.WorkingsetRefaultFile, Counters.WorkingsetActivateFile).Should().Be((2, 1));
    }

    [Fact]
    public void Verify_names_a_page_whose_flag_was_changed_behind_the_lists_back()
    {
        int pfn = AnonPage();
        Lru.Add(Cpu, pfn);
        Lru.Drain(Cpu);
        _machine.Frames.Array[pfn].Set(PageFlags.Active);
        Action verify = _machine.Verify;
        verify.Should().Throw<KernelBugException>().WithMessage($"*pfn 0x{pfn:x} is in InactiveAnon*");
        _machine.Frames.Array[pfn].Clear(PageFlags.Active);
        Counters.InactiveAnon++;
        verify.Should().Throw<KernelBugException>().WithMessage("*2 pages of InactiveAnon are counted*");
    }

    [Fact]
    public void Steady_state_takes_nothing_from_the_managed_heap()
    {
        int[] pages = new int[64];
        ManagedBytes.TakenBy(() =>
        {
            for (int i = 0; i < pages.Length; i++)
            {
                pages[i] = FilePage();
                Lru.Add(Cpu, pages[i]);
                Lru.MarkAccessed(Cpu, pages[i]);
                Lru.MarkAccessed(Cpu, pages[i]);
            }

            Lru.Drain(Cpu);
            Lru.PutAll(Cpu, pages);
        }).Should().Be(0);
        _machine.Verify();
    }

    private int FilePage(PageFlags flags = PageFlags.None) => NewPage(Gfp.HighUserMovable, 0, flags);

    private int AnonPage(int order = 0) => NewPage(Gfp.HighUserMovable | (order == 0 ? Gfp.None : Gfp.Comp), order, PageFlags.SwapBacked);

    private int ActiveAnon()
    {
        int pfn = AnonPage();
        Lru.Add(Cpu, pfn);
        Lru.Activate(Cpu, pfn);
        Lru.Drain(Cpu);
        Lru.Activate(Cpu, pfn);
        Lru.Drain(Cpu);
        Counters.ActiveAnon.Should().Be(1);
        return pfn;
    }

    private int NewPage(Gfp gfp, int order, PageFlags flags)
    {
        int pfn = Cpu.AllocPages(gfp, order).FrameIndex;
        _machine.Frames.Array[pfn].Set(flags);
        return pfn;
    }
}

internal static class LruTestMachine
{
    /// <summary>Free pages of all zones, those in per-CPU lists included.</summary>
    public static long FreePages(this Machine machine) => machine.Zones.Sum(z => z.TrueFreePages + z.Pcp.Sum(p => (long)p.Count));
}
