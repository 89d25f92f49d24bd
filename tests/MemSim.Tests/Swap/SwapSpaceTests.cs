using FluentAssertions;
using MemSim.Lru;
using MemSim.Statistics;
using MemSim.Swap;
using Xunit;

namespace MemSim.Tests.Swap;

/// <summary>Pages leave memory and come back: slots, the swap cache, read-ahead, failing devices.</summary>
public sealed class SwapSpaceTests : IDisposable
{
    private readonly SwapRig _rig = new();

    private Machine Machine => _rig.Machine;

    private SwapSpace Swap => _rig.Swap;

    public void Dispose() => _rig.Dispose();

    [Fact]
    public void A_page_comes_back_with_its_contents()
    {
        SwapArea area = _rig.AddArea();
        SwapRigProcess process = Filled(1);
        _rig.Reclaim(process.PageOf(0)).Should().BeTrue();
        process.EntryOf(0).Should().Be(new SwapEntry(0, 512), "cluster 0 holds the header, clusters are taken in columns");
        (area.UsedPages, Swap.FreePages, Swap.CachedPages).Should().Be((1, area.Pages - 1, 0));
        Machine.Events[VmEvent.SwapOut].Should().Be(1);
        _rig.Verify();

        process.Touch(0, write: false).Should().Be(SwapInOutcome.Read);
        Machine.Events[VmEvent.SwapIn].Should().Be(1);
        Swap.IsCached(process.PageOf(0)).Should().BeTrue("a page that was only read keeps its slot");
        area.UsedPages.Should().Be(1);
        _rig.Verify();
    }

    [Fact]
    public void A_page_that_has_a_slot_gets_no_second_one()
    {
        SwapArea area = _rig.AddArea();
        int pfn = _rig.NewAnonymousPage();
        Machine.Frames.Array[pfn].Set(PageFlags.Locked);
        Swap.AddToSwap(_rig.Cpu, pfn).Should().BeTrue();
        SwapEntry entry = Swap.EntryOf(pfn);
        Swap.AddToSwap(_rig.Cpu, pfn).Should().BeFalse();
        (Swap.EntryOf(pfn), area.UsedPages).Should().Be((entry, 1));
        Swap.TryFreeSlot(_rig.Cpu, pfn).Should().BeTrue();
        Machine.Frames.Array[pfn].Clear(PageFlags.Locked);
        area.UsedPages.Should().Be(0);
    }

    [Fact]
    public void A_clean_page_that_kept_its_slot_is_not_written_again()
    {
        _rig.AddArea();
        SwapRigProcess process = Filled(1);
        _rig.Reclaim(process.PageOf(0)).Should().BeTrue();
        SwapEntry entry = process.EntryOf(0);
        process.Touch(0, write: false);
        _rig.Reclaim(process.PageOf(0)).Should().BeTrue();

        process.EntryOf(0).Should().Be(entry);
        Machine.Events[VmEvent.SwapOut].Should().Be(1);
        _rig.Verify();
    }

    [Fact]
    public void A_write_fault_gives_the_slot_up()
    {
        SwapArea area = _rig.AddArea();
        SwapRigProcess process = Filled(1);
        _rig.Reclaim(process.PageOf(0));
        process.Touch(0, write: true);

        Swap.IsCached(process.PageOf(0)).Should().BeFalse();
        Machine.Frames.FlagsOf(process.PageOf(0)).Should().HaveFlag(PageFlags.Dirty, "nothing else holds its contents");
        area.UsedPages.Should().Be(0);
        _rig.Verify();
    }

    [Fact]
    public void Half_full_swap_gives_slots_up_even_on_reads()
    {
        SwapArea area = _rig.AddArea(pages: 33);
        SwapRigProcess process = Filled(20);
        ReclaimAll(process);
        (area.UsedPages, Swap.IsHalfFull).Should().Be((20, true));
        process.Touch(3, write: false);

        Swap.IsCached(process.PageOf(3)).Should().BeFalse();
        _rig.Verify();
    }

    [Fact]
    public void Shared_slot_is_free_when_the_last_entry_is()
    {
        SwapArea area = _rig.AddArea();
        SwapRigProcess parent = Filled(1);
        SwapRigProcess child = _rig.Fork(parent);
        _rig.Reclaim(parent.PageOf(0)).Should().BeTrue();
        Swap.CountOf(parent.EntryOf(0)).Should().Be(2);
        SwapRigProcess grandchild = _rig.Fork(child);
        Swap.CountOf(parent.EntryOf(0)).Should().Be(3);
        _rig.Verify();

        _rig.Exit(parent);
        _rig.Exit(grandchild);
        area.UsedPages.Should().Be(1);
        child.Write(0, 99).Should().BeTrue();
        area.UsedPages.Should().Be(0);
        _rig.Verify();
        _rig.Exit(child);
        _rig.Verify();
    }

    [Fact]
    public void Processes_that_share_a_slot_find_one_page_in_the_swap_cache()
    {
        _rig.AddArea();
        SwapRigProcess parent = Filled(1);
        SwapRigProcess child = _rig.Fork(parent);
        _rig.Reclaim(parent.PageOf(0));
        parent.Touch(0, write: false).Should().Be(SwapInOutcome.Read);
        child.Touch(0, write: false).Should().Be(SwapInOutcome.Found);

        child.PageOf(0).Should().Be(parent.PageOf(0));
        Machine.Frames.Array[child.PageOf(0)].MapCount.Should().Be(2);
        _rig.Verify();
    }

    [Fact]
    public void Addresses_next_to_the_fault_are_read_ahead_and_found()
    {
        _rig.AddArea();
        SwapRigProcess process = Filled(32);
        ReclaimAll(process);
        process.Touch(10, write: false).Should().Be(SwapInOutcome.Read);
        Machine.Events[VmEvent.SwapRa].Should().Be(7, "the first window has 8 pages");
        process.Touch(11, write: false).Should().Be(SwapInOutcome.Found);
        Machine.Events[VmEvent.SwapRaHit].Should().Be(1);
        Machine.Events[VmEvent.SwapIn].Should().Be(8);
        _rig.Verify();
    }

    [Fact]
    public void Who_goes_backwards_has_the_pages_before_the_fault_read_with_it()
    {
        _rig.AddArea();
        SwapRigProcess process = Filled(64);
        ReclaimAll(process);
        process.Touch(41, write: false).Should().Be(SwapInOutcome.Read);
        int first = Enumerable.Range(0, 41).First(i => Swap.Peek(process.EntryOf(i)) >= 0);
        process.Touch(first, write: false).Should().Be(SwapInOutcome.Found);
        process.Touch(first - 1, write: false).Should().Be(SwapInOutcome.Read);

        Swap.Peek(process.EntryOf(first - 2)).Should().BeGreaterThanOrEqualTo(0);
        Machine.Events[VmEvent.SwapIn].Should().Be(8 + 4, "the page is the last one of a window of four");
        _rig.Verify();
    }

    [Fact]
    public void When_the_last_rotating_area_is_off_addresses_decide_again_what_is_read_ahead()
    {
        SwapArea rotating = _rig.AddArea(solidState: false, name: "sda");
        Swap.SwapOff(_rig.Cpu, rotating).Should().Be(Errno.None);
        _rig.AddArea(name: "sdb");
        SwapRigProcess process = Filled(32);
        ReclaimAll(process);
        process.Touch(10, write: false).Should().Be(SwapInOutcome.Read);

        for (int i = 7; i < 15; i++)
        {
            (i == 10 || Swap.Peek(process.EntryOf(i)) >= 0).Should().BeTrue("the window lies around the address, wherever the slots are");
        }

        _rig.Verify();
    }

    [Fact]
    public void An_area_has_its_whole_turn_after_one_that_was_full_in_the_middle_of_its_own()
    {
        SwapArea small = _rig.AddArea(pages: 33, priority: 5, name: "sda");
        SwapArea[] others = [_rig.AddArea(priority: 5, name: "sdb"), _rig.AddArea(priority: 5, name: "sdc")];
        SwapRigProcess process = Filled(32 + 128);
        for (int i = 0; i < 32; i++)
        {
            _rig.Reclaim(process.PageOf(i)).Should().BeTrue();
        }

        small.UsedPages.Should().Be(32, "its turn came first, and it is full");
        for (int i = 32; i < 32 + 128; i++)
        {
            _rig.Reclaim(process.PageOf(i)).Should().BeTrue();
        }

        others.Select(area => area.UsedPages).Should().OnlyContain(used => used % 64 == 0);
        _rig.Verify();
    }

    [Fact]
    public void A_page_of_the_swap_cache_goes_with_the_last_entry_that_names_it()
    {
        SwapArea area = _rig.AddArea();
        SwapRigProcess process = Filled(32);
        ReclaimAll(process);
        process.Touch(10, write: false).Should().Be(SwapInOutcome.Read);
        Swap.Peek(process.EntryOf(11)).Should().BeGreaterThanOrEqualTo(0, "it was read ahead");
        long cached = Swap.CachedPages;

        process.Drop(11);

        Swap.CachedPages.Should().Be(cached - 1);
        area.UsedPages.Should().Be(31);
        _rig.Verify();
    }

    [Fact]
    public void A_page_table_entry_of_32_bits_names_eight_million_slots_and_no_more()
    {
        using SwapRig rig = new(MachineSpec.X86_32("128M"));
        SwapArea area = rig.AddArea(pages: (1L << 23) + 4096);
        area.Pages.Should().Be((1L << 23) - 1);
    }

    [Fact]
    public void Page_cluster_0_reads_single_pages()
    {
        Machine.Sysctl.Set("page-cluster", "0");
        _rig.AddArea();
        SwapRigProcess process = Filled(32);
        ReclaimAll(process);
        process.Touch(10, write: false);
        (Machine.Events[VmEvent.SwapIn], Machine.Events[VmEvent.SwapRa]).Should().Be((1, 0));
        _rig.Verify();
    }

    [Fact]
    public void A_rotating_device_goes_on_behind_the_slot_it_used_last_whatever_became_free_before()
    {
        _rig.AddArea(solidState: false);
        SwapRigProcess process = Filled(8);
        for (int i = 0; i < 6; i++)
        {
            _rig.Reclaim(process.PageOf(i)).Should().BeTrue();
        }

        process.Touch(1, write: true);
        process.Touch(1, write: true);
        _rig.Reclaim(process.PageOf(6)).Should().BeTrue();
        process.EntryOf(6).Offset.Should().Be(process.EntryOf(5).Offset + 1, "the head is there already");
        _rig.Verify();
    }

    [Fact]
    public void A_nearly_full_rotating_device_is_searched_from_behind_the_slot_it_used_last()
    {
        SwapArea area = _rig.AddArea(pages: 100, solidState: false);
        SwapRigProcess process = Filled(60);
        for (int i = 0; i < 40; i++)
        {
            _rig.Reclaim(process.PageOf(i)).Should().BeTrue();
        }

        long last = process.EntryOf(39).Offset;
        for (int i = 0; i < 8; i++)
        {
            process.Touch(i, write: true);
        }

        _rig.Reclaim(process.PageOf(50)).Should().BeTrue();
        process.EntryOf(50).Offset.Should().Be(last + 1);
        area.UsedPages.Should().BePositive();
        _rig.Verify();
    }

    [Fact]
    public void A_rotating_device_reads_the_aligned_slots_around_the_fault()
    {
        _rig.AddArea(solidState: false);
        SwapRigProcess process = Filled(32);
        ReclaimAll(process);
        process.EntryOf(0).Offset.Should().Be(1);
        process.Touch(10, write: false);

        // Slot 11 of window 8 to 15: pages 7 to 14.
        Machine.Events[VmEvent.SwapIn].Should().Be(8);
        for (int i = 7; i <= 14; i++)
        {
            Swap.Peek(new SwapEntry(0, i + 1)).Should().BeGreaterThanOrEqualTo(0);
        }

        _rig.Verify();
    }

    [Fact]
    public void A_synchronous_device_is_read_past_the_swap_cache()
    {
        SwapArea area = _rig.AddArea(synchronous: true);
        SwapRigProcess process = Filled(8);
        ReclaimAll(process);
        process.Touch(3, write: false).Should().Be(SwapInOutcome.Read);

        (Swap.CachedPages, area.UsedPages, Machine.Events[VmEvent.SwapIn]).Should().Be((0, 7, 1));
        _rig.Verify();
    }

    [Fact]
    public void Areas_are_filled_by_priority_and_equals_take_turns()
    {
        SwapArea low = _rig.AddArea(pages: 600, name: "sda1");
        SwapArea left = _rig.AddArea(pages: 1537, priority: 5, name: "sdb1");
        SwapArea right = _rig.AddArea(pages: 1537, priority: 5, name: "sdc1");
        low.Priority.Should().Be(-2);
        SwapRigProcess process = Filled(192);
        ReclaimAll(process);

        (low.UsedPages, left.UsedPages, right.UsedPages).Should().Be((0, 128, 64));
        Machine.Proc.Swaps.Should().Be(
            "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
            + "/dev/sda1                               partition\t2396\t\t0\t\t-2\n"
            + "/dev/sdb1                               partition\t6144\t\t512\t\t5\n"
            + "/dev/sdc1                               partition\t6144\t\t256\t\t5\n");
        Machine.Proc.MemInfo.Should().Contain("SwapTotal:         14684 kB\nSwapFree:          13916 kB\n");
        _rig.Verify();
    }

    [Fact]
    public void Areas_without_a_priority_come_below_those_before_and_move_up_when_one_goes()
    {
        SwapArea first = _rig.AddArea(name: "sda1");
        SwapArea second = _rig.AddArea(name: "sdb1");
        (first.Priority, second.Priority).Should().Be((-2, -3));
        Swap.SwapOff(_rig.Cpu, first).Should().Be(Errno.None);
        second.Priority.Should().Be(-2);
        _rig.AddArea(name: "sdc1").Priority.Should().Be(-3);
    }

    [Fact]
    public void Full_swap_refuses_and_the_page_stays()
    {
        SwapArea area = _rig.AddArea(pages: 11);
        SwapRigProcess process = Filled(12);
        for (int i = 0; i < 12; i++)
        {
            _rig.Reclaim(process.PageOf(i)).Should().Be(i < 10);
        }

        (area.UsedPages, Swap.FreePages).Should().Be((10, 0));
        process.Touch(4, write: true);
        _rig.Reclaim(process.PageOf(11)).Should().BeTrue("a slot is free again");
        _rig.Verify();
    }

    [Fact]
    public void A_slot_that_only_the_swap_cache_uses_is_taken_when_none_is_left()
    {
        _rig.AddArea(pages: 21);
        SwapRigProcess process = Filled(22);
        for (int i = 0; i < 10; i++)
        {
            _rig.Reclaim(process.PageOf(i));
        }

        // Read while half of swap is free: they keep their slots, 1 to 10, which no entry names any more.
        for (int i = 0; i < 10; i++)
        {
            process.Touch(i, write: false);
        }

        for (int i = 10; i < 19; i++)
        {
            _rig.Reclaim(process.PageOf(i)).Should().BeTrue();
        }

        int cached = process.PageOf(1);
        Swap.EntryOf(cached).Offset.Should().Be(2);
        GiveSlotUp(process.PageOf(0));
        GiveSlotUp(process.PageOf(4));
        for (int i = 19; i < 22; i++)
        {
            _rig.Reclaim(process.PageOf(i)).Should().BeTrue();
        }

        Enumerable.Range(19, 3).Select(i => process.EntryOf(i).Offset).Should().Equal(20, 1, 2);
        Swap.IsCached(cached).Should().BeFalse();
        Machine.Frames.FlagsOf(cached).Should().HaveFlag(PageFlags.Dirty);
        _rig.Verify();
    }

    [Fact]
    public void A_failed_write_leaves_the_page_dirty_in_memory()
    {
        MemorySwapBacking disk = new("sdb1", 4096);
        SwapArea area = Swap.SwapOn(disk);
        SwapRigProcess process = Filled(1);
        int pfn = process.PageOf(0);
        disk.FailsWrites = true;
        _rig.Reclaim(pfn).Should().BeFalse();
        Machine.Frames.FlagsOf(pfn).Should().HaveFlag(PageFlags.Dirty).And.HaveFlag(PageFlags.SwapCache).And.NotHaveFlag(PageFlags.Writeback);
        area.WriteErrors.Should().Be(1);
        _rig.Verify();

        process.Touch(0, write: false).Should().Be(SwapInOutcome.Found);
        disk.FailsWrites = false;
        _rig.Reclaim(pfn).Should().BeTrue();
        process.Touch(0, write: false);
        _rig.Verify();
    }

    [Fact]
    public void A_failed_read_is_an_error_and_the_page_is_not_lost()
    {
        MemorySwapBacking disk = new("sdb1", 4096);
        SwapArea area = Swap.SwapOn(disk);
        SwapRigProcess process = Filled(1);
        _rig.Reclaim(process.PageOf(0));
        SwapEntry entry = process.EntryOf(0);
        disk.FailsReads = true;
        process.Touch(0, write: false).Should().Be(SwapInOutcome.Failed);
        (area.ReadErrors, process.EntryOf(0)).Should().Be((1, entry));
        _rig.Verify();
        Swap.SwapOff(_rig.Cpu, area).Should().Be(Errno.EIO);
        area.IsOn.Should().BeTrue();
        _rig.Verify();

        // What could not be read stays in the cache, not up to date, until reclaim takes it.
        _rig.Reclaim(Swap.Peek(entry)).Should().BeTrue();
        disk.FailsReads = false;
        process.Touch(0, write: false).Should().Be(SwapInOutcome.Read);
        _rig.Verify();
    }

    [Fact]
    public void Writes_under_way_keep_the_page_until_they_end()
    {
        MemorySwapBacking disk = new("sdb1", 4096) { HoldsWrites = true };
        SwapArea area = Swap.SwapOn(disk);
        SwapRigProcess process = Filled(2);
        int pfn = process.PageOf(0);
        _rig.Reclaim(pfn).Should().BeFalse();
        Machine.Frames.FlagsOf(pfn).Should().HaveFlag(PageFlags.Writeback).And.HaveFlag(PageFlags.Reclaim);
        Machine.Nodes[0].Counters.Writeback.Should().Be(1);
        Machine.Lru.DrainAll();
        Swap.CompleteWrites(_rig.Cpu).Should().Be(1);
        Machine.Lru.DrainAll();
        Machine.Events[VmEvent.Rotated].Should().Be(1);
        Machine.Nodes[0].Counters.Writeback.Should().Be(0);
        _rig.Reclaim(pfn).Should().BeTrue();
        _rig.Verify();

        disk.FailsWrites = true;
        _rig.Reclaim(process.PageOf(1)).Should().BeFalse();
        int other = Swap.Peek(process.EntryOf(1));
        Swap.CompleteWrites(_rig.Cpu);
        Machine.Frames.FlagsOf(other).Should().HaveFlag(PageFlags.Dirty).And.NotHaveFlag(PageFlags.Reclaim);
        area.WriteErrors.Should().Be(1);
        _rig.Verify();
    }

    [Fact]
    public void A_page_that_comes_back_soon_is_a_refault()
    {
        Machine.Sysctl.Set("page-cluster", "0");
        _rig.AddArea();
        SwapRigProcess process = Filled(4);
        ReclaimAll(process);
        process.Touch(2, write: false);
        Machine.Nodes[0].Counters.WorkingsetRefaultAnon.Should().Be(1);
        _rig.Verify();
    }

    [Fact]
    public void Moving_a_page_takes_its_slot_along()
    {
        _rig.AddArea();
        SwapRigProcess process = Filled(1);
        MemorySwapBacking held = new("sdc1", 64);
        int pfn = process.PageOf(0);
        _rig.Reclaim(pfn);
        process.Touch(0, write: false);
        pfn = process.PageOf(0);
        SwapEntry entry = Swap.EntryOf(pfn);
        process.Unmap(pfn, entry);
        Machine.Lru.DrainAll();
        Machine.Lru.Isolate(pfn).Should().BeTrue();
        int to = Machine.Pages.Allocate(_rig.Cpu, Gfp.HighUserMovable, 0);
        Machine.Ram.ReadOnly((ulong)pfn << 12, 4096).CopyTo(Machine.Ram.Frame(to));
        Machine.Frames.Array[to].Set(PageFlags.UpToDate);
        Swap.MoveInCache(pfn, to).Should().BeTrue();
        Machine.Lru.Put(_rig.Cpu, pfn);
        Machine.Lru.PutBack(_rig.Cpu, to);

        process.Touch(0, write: false).Should().Be(SwapInOutcome.Found);
        process.PageOf(0).Should().Be(to);
        held.Dispose();
        _rig.Verify();
    }

    [Fact]
    public void Freeing_an_entry_twice_is_a_bug_with_a_report()
    {
        _rig.AddArea();
        SwapRigProcess process = Filled(1);
        _rig.Reclaim(process.PageOf(0));
        SwapEntry entry = process.EntryOf(0);
        process.Drop(0);

        Action again = () => Swap.Free(_rig.Cpu, entry);
        again.Should().Throw<KernelBugException>().WithMessage("swap_free: Unused swap offset entry 00000200*").Which.Kind.Should().Be(KernelBugKind.DoubleFree);
        Action header = () => Swap.Free(_rig.Cpu, new SwapEntry(0, 0));
        header.Should().Throw<KernelBugException>().WithMessage("swap_free: Bad swap offset entry*");
        Action beyond = () => Swap.Duplicate(new SwapEntry(0, 4096));
        beyond.Should().Throw<KernelBugException>().WithMessage("swap_duplicate: Bad swap offset entry*it has slots 1 to 4095*");
        Action area = () => Swap.Free(_rig.Cpu, new SwapEntry(3, 1));
        area.Should().Throw<KernelBugException>().WithMessage("swap_free: Unused swap file entry c00000000000001*");
        _rig.Verify();
    }

    [Fact]
    public void Verify_finds_a_lost_entry()
    {
        _rig.AddArea();
        SwapRigProcess process = Filled(1);
        _rig.Reclaim(process.PageOf(0));
        Swap.Duplicate(process.EntryOf(0));
        Action verify = Machine.Verify;
        verify.Should().Throw<KernelBugException>().WithMessage("*slot 512: counts 2 entries, but there are 1*");
        Swap.Free(_rig.Cpu, process.EntryOf(0));
        _rig.Verify();
    }

    [Fact]
    public void Swapoff_brings_everything_back()
    {
        SwapArea area = _rig.AddArea();
        SwapRigProcess parent = Filled(100);
        SwapRigProcess child = _rig.Fork(parent);
        ReclaimAll(parent);
        parent.Touch(7, write: false);
        Swap.SwapOff(_rig.Cpu, area).Should().Be(Errno.None);

        (area.IsOn, area.UsedPages, Swap.TotalPages, Swap.FreePages, Swap.CachedPages).Should().Be((false, 0, 0, 0, 0));
        Enumerable.Range(0, 100).Should().OnlyContain(i => parent.PageOf(i) >= 0 && child.PageOf(i) == parent.PageOf(i));
        Swap.SwapOff(_rig.Cpu, area).Should().Be(Errno.EINVAL);
        _rig.Verify();
    }

    [Fact]
    public void Swapoff_that_would_break_a_promise_is_refused()
    {
        SwapArea area = _rig.AddArea();
        Machine.Sysctl.Set("overcommit_memory", "2");
        Machine.SystemFigures.CommittedPages = 15000;
        Swap.SwapOff(_rig.Cpu, area).Should().Be(Errno.ENOMEM);
        area.IsOn.Should().BeTrue();
        Swap.TotalPages.Should().Be(area.Pages);
    }

    [Fact]
    public void Swapoff_that_runs_out_of_memory_leaves_the_area_on()
    {
        SwapArea area = _rig.AddArea(pages: 20_000);
        SwapRigProcess process = Filled(400);
        ReclaimAll(process);
        List<Page> all = _rig.Cpu.AllocateAll(Gfp.HighUserMovable);
        Swap.SwapOff(_rig.Cpu, area).Should().Be(Errno.ENOMEM);

        area.IsOn.Should().BeTrue();
        Swap.FreePages.Should().Be(area.Pages - area.UsedPages);
        _rig.Verify();
        foreach (Page page in all)
        {
            _rig.Cpu.FreePages(page, 0);
        }

        Swap.SwapOff(_rig.Cpu, area).Should().Be(Errno.None);
        _rig.Verify();
    }

    [Fact]
    public void What_was_discarded_reads_as_zeroes_and_its_neighbours_as_they_were()
    {
        MemorySwapBacking disk = new("sdb1", 64);
        Cpu cpu = Machine.Cpus[0];
        Page page = cpu.AllocPage(Gfp.Kernel);
        int pfn = (int)page.Pfn.Value;
        Machine.Ram.Frame(pfn).Fill(0x5a);
        for (int slot = 10; slot < 14; slot++)
        {
            disk.Write(cpu, slot, pfn).Should().Be(Errno.None);
        }

        disk.Discard(11, 2);
        disk.SlotsDiscarded.Should().Be(2);
        for (int slot = 10; slot < 14; slot++)
        {
            disk.Read(cpu, slot, pfn).Should().Be(Errno.None);
            Machine.Ram.Frame(pfn)[77].Should().Be(slot is 10 or 13 ? (byte)0x5a : (byte)0);
        }

        cpu.FreePage(page);
    }

    [Fact]
    public void Discarded_clusters_are_told_to_the_device_before_they_are_used_again()
    {
        MemorySwapBacking disk = new("sdb1", 1025);
        SwapArea area = Swap.SwapOn(disk, discard: SwapDiscard.Pages);
        area.FreeClusters.Should().Be(1, "the first and the last one are not whole");
        SwapRigProcess process = Filled(3);
        ReclaimAll(process);
        area.FreeClusters.Should().Be(0);
        for (int i = 0; i < 3; i++)
        {
            process.Drop(i);
        }

        (area.FreeClusters, disk.SlotsDiscarded).Should().Be((0, 0));
        process = Filled(1);
        ReclaimAll(process);
        (process.EntryOf(0).Offset, disk.SlotsDiscarded).Should().Be((512, 512));
        _rig.Verify();
    }

    [Fact]
    public void Areas_that_cannot_be_are_refused()
    {
        Swap.SwapOn(new MemorySwapBacking("tiny", 9)).Error.Should().Be(Errno.EINVAL);
        Swap.SwapOn(new MemorySwapBacking("dead", 64) { FailsReads = true }).Error.Should().Be(Errno.EIO);
        for (int i = 0; i < 23; i++)
        {
            Swap.SwapOn(new MemorySwapBacking($"sd{i}", 16)).Succeeded.Should().BeTrue();
        }

        Swap.SwapOn(new MemorySwapBacking("one", 16)).Error.Should().Be(Errno.EPERM);
        _rig.Verify();
    }

    [Fact]
    public void Steady_swapping_takes_nothing_from_the_managed_heap()
    {
        _rig.AddArea(pages: 1025);
        SwapRigProcess process = Filled(64);
        for (int i = 0; i < 40; i++)
        {
            Round();
        }

        ManagedBytes.TakenBy(Round).Should().Be(0);

        void Round()
        {
            for (int i = 0; i < 64; i++)
            {
                Out(process, i);
            }

            for (int i = 0; i < 64; i++)
            {
                process.Touch(i, write: true);
            }
        }
    }

    private void GiveSlotUp(int pfn)
    {
        Machine.Frames.Array[pfn].Set(PageFlags.Locked);
        Swap.TryFreeSlot(_rig.Cpu, pfn).Should().BeTrue();
        Machine.Frames.Array[pfn].Clear(PageFlags.Locked);
    }

    private void Out(SwapRigProcess process, int index)
    {
        int pfn = process.PageOf(index);
        Machine.Lru.Drain(_rig.Cpu);
        Machine.Lru.Isolate(pfn);
        Machine.Frames.Array[pfn].Set(PageFlags.Locked);
        if (!Swap.IsCached(pfn))
        {
            Swap.AddToSwap(_rig.Cpu, pfn);
        }

        process.Unmap(pfn, Swap.EntryOf(pfn));
        bool gone = Swap.PageOut(_rig.Cpu, pfn) is PageOutOutcome.Success or PageOutOutcome.Clean && Swap.RemoveFromCache(_rig.Cpu, pfn);
        Machine.Frames.Array[pfn].Clear(PageFlags.Locked);
        if (gone)
        {
            Machine.Lru.Put(_rig.Cpu, pfn);
        }
    }

    private SwapRigProcess Filled(int pages)
    {
        SwapRigProcess process = _rig.NewProcess(pages);
        for (int i = 0; i < pages; i++)
        {
            process.Write(i, i + 1).Should().BeTrue();
        }

        return process;
    }

    private void ReclaimAll(SwapRigProcess process)
    {
        for (int i = 0; i < process.Length; i++)
        {
            _rig.Reclaim(process.PageOf(i)).Should().BeTrue();
        }
    }
}
