using FluentAssertions;
using Microsoft.Extensions.Logging;
using Xunit;
using static MemSim.Tests.TestMachines;

namespace MemSim.Tests.PageAllocation;

/// <summary>Misuse is answered with a report that names page and owner, and leaves the machine as it was.</summary>
public class MisuseTests : MachineTests
{
    private readonly ListLogger _log = new();

    [Theory]
    [InlineData(0)]
    [InlineData(3)]
    [InlineData(9)]
    [InlineData(10)]
    public void Double_free_of_a_block_still_on_its_way_to_the_buddy_or_already_there_is_refused(int order)
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        Page page = cpu.AllocPages(Gfp.Kernel, order);
        cpu.FreePages(page, order);
        KernelBugException bug = Refuses(machine, () => cpu.FreePages(page, order));
        bug.Kind.Should().Be(KernelBugKind.DoubleFree);
        bug.Page.Should().Be(page);
        bug.Message.Should().Contain($"pfn:{page.Pfn.Value:x5}").And.Contain("double free");
        machine.Memory.DrainAllPages();
        Refuses(machine, () => cpu.FreePages(page, order)).Kind.Should().Be(KernelBugKind.DoubleFree);
    }

    [Fact]
    public void Double_free_of_a_page_merged_into_a_larger_block_names_that_block()
    {
        Machine machine = Boot(With().FreeBlocks(order: 5, count: 1));
        Cpu cpu = machine.Cpus[0];
        Page first = cpu.AllocPages(Gfp.Kernel);
        Page second = cpu.AllocPages(Gfp.Kernel);
        cpu.FreePage(first);
        cpu.FreePage(second);
        KernelBugException bug = Refuses(machine, () => cpu.FreePage(second));
        bug.Kind.Should().Be(KernelBugKind.DoubleFree);
        bug.Message.Should().Contain($"the free block of order 5 at pfn {first.Pfn}");
    }

    [Theory]
    [InlineData(0, 1)]
    [InlineData(3, 0)]
    [InlineData(3, 2)]
    [InlineData(3, 4)]
    [InlineData(10, 9)]
    [InlineData(0, -1)]
    [InlineData(0, 11)]
    [InlineData(0, 16)]
    [InlineData(0, int.MaxValue)]
    [InlineData(0, int.MinValue)]
    public void Free_with_another_order_than_allocated_is_refused(int allocated, int freed)
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        Page page = cpu.AllocPages(Gfp.Kernel, allocated);
        Refuses(machine, () => cpu.FreePages(page, freed)).Kind.Should().Be(KernelBugKind.WrongOrder);
        cpu.FreePages(page, allocated);
    }

    [Theory]
    [InlineData(Gfp.Kernel)]
    [InlineData(Gfp.Kernel | Gfp.Comp)]
    public void Free_of_a_page_inside_a_block_is_refused_and_names_the_block(Gfp gfp)
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        Page head = cpu.AllocPages(gfp, 4);
        foreach (int offset in new[] { 1, 2, 7, 8, 15 })
        {
            Page inside = machine.GetPage(head.Pfn + offset);
            KernelBugException bug = Refuses(machine, () => cpu.FreePage(inside));
            bug.Kind.Should().Be(KernelBugKind.NotFirstPage);
            bug.Message.Should().Contain($"number {offset} of the block of order 4 at pfn {head.Pfn}");
        }

        cpu.FreePages(head, 4);
    }

    [Fact]
    public void Free_of_a_reserved_page_is_refused()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Page reserved = machine.GetPage(new Pfn(1));
        reserved.Flags.Should().HaveFlag(PageFlags.Reserved);
        for (int order = 0; order <= PageGeometry.MaxOrder; order++)
        {
            Refuses(machine, () => machine.Cpus[0].FreePages(reserved, order)).Kind.Should().Be(KernelBugKind.ReservedPage);
        }
    }

    [Theory]
    [InlineData(PageFlags.Locked)]
    [InlineData(PageFlags.Lru)]
    [InlineData(PageFlags.Active)]
    [InlineData(PageFlags.Slab)]
    [InlineData(PageFlags.Writeback)]
    [InlineData(PageFlags.Private)]
    [InlineData(PageFlags.Private2)]
    [InlineData(PageFlags.Unevictable)]
    [InlineData(PageFlags.Mlocked)]
    public void Free_of_a_page_a_subsystem_uses_is_refused_and_names_the_flag(PageFlags flag)
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        Page page = cpu.AllocPage(Gfp.Kernel);
        machine.Frames.FrameOf(page.FrameIndex).Set(flag);
        KernelBugException bug = Refuses(machine, () => cpu.FreePage(page));
        bug.Kind.Should().Be(KernelBugKind.StillInUse);
        bug.Message.Should().Contain("PAGE_FLAGS_CHECK_AT_FREE flag(s) set").And.Contain(flag.ToString());
        machine.Frames.FrameOf(page.FrameIndex).Clear(flag);
        cpu.FreePage(page);
    }

    [Fact]
    public void Free_of_a_mapped_page_is_refused_with_the_kernels_words()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        Page page = cpu.AllocPage(Gfp.Kernel);
        machine.Frames.FrameOf(page.FrameIndex).InvertedMapCount = -3;
        page.MapCount.Should().Be(3);
        KernelBugException bug = Refuses(machine, () => cpu.FreePage(page));
        bug.Kind.Should().Be(KernelBugKind.StillInUse);
        bug.Message.Should().Contain("nonzero mapcount");
        machine.Frames.FrameOf(page.FrameIndex).InvertedMapCount = 0;
        machine.Frames.FrameOf(page.FrameIndex).Mapping = 0x101;
        Refuses(machine, () => cpu.FreePage(page)).Message.Should().Contain("non-NULL mapping");
        machine.Frames.FrameOf(page.FrameIndex).Mapping = 0;
        cpu.FreePage(page);
    }

    [Fact]
    public void Free_of_a_page_with_more_references_is_refused()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        Page page = cpu.AllocPages(Gfp.Kernel, 1);
        cpu.Pages.GetPage(page);
        KernelBugException bug = Refuses(machine, () => cpu.FreePages(page, 1));
        bug.Kind.Should().Be(KernelBugKind.StillInUse);
        bug.Message.Should().Contain("2 references");
        cpu.Pages.PutPage(page);
        cpu.FreePages(page, 1);
    }

    [Fact]
    public void Pages_and_zones_of_another_machine_are_refused()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Machine other = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        Page foreign = other.Cpus[0].AllocPage(Gfp.Kernel);
        string before = other.StateText();
        Refuses(machine, () => cpu.FreePage(foreign)).Kind.Should().Be(KernelBugKind.ForeignAddress);
        Refuses(machine, () => cpu.Pages.GetPage(foreign)).Kind.Should().Be(KernelBugKind.ForeignAddress);
        Refuses(machine, () => cpu.Pages.PutPage(foreign)).Kind.Should().Be(KernelBugKind.ForeignAddress);
        Refuses(machine, () => cpu.Pages.SplitPage(foreign, 0)).Kind.Should().Be(KernelBugKind.ForeignAddress);
        Refuses(machine, () => cpu.Pages.FreePagesBulk([foreign])).Kind.Should().Be(KernelBugKind.ForeignAddress);
        cpu.Invoking(c => c.Pages.DrainLocalPages(other.Zones[0])).Should().Throw<ArgumentException>();
        cpu.Invoking(c => c.Pages.DrainZonePages(other.Zones[0])).Should().Throw<ArgumentException>();
        other.StateText().Should().Be(before);
    }

    [Theory]
    [InlineData(1ul)]
    [InlineData(0x1000ul)]
    [InlineData(0x7fff_0000_0000ul)]
    [InlineData(0xffff_887f_ffff_ffff)]
    [InlineData(0xffff_8880_0800_0000)]
    [InlineData(0xffff_c900_0000_0000)]
    [InlineData(ulong.MaxValue)]
    public void Addresses_outside_the_direct_map_are_refused(ulong address)
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        VirtualAddress bad = new(address);
        Refuses(machine, () => cpu.FreePages(bad, 0)).Kind.Should().Be(KernelBugKind.ForeignAddress);
        Refuses(machine, () => cpu.FreePage(bad)).Report.Should().Contain("The direct map covers");
        Refuses(machine, () => cpu.Pages.VirtToPage(bad)).Kind.Should().Be(KernelBugKind.ForeignAddress);
        Refuses(machine, () => cpu.Pages.FreePagesExact(bad, 4096)).Kind.Should().Be(KernelBugKind.ForeignAddress);
    }

    [Fact]
    public void High_memory_cannot_be_asked_for_by_address()
    {
        Machine machine = Boot(MachineSpec.X86_32("1G"));
        Cpu cpu = machine.Cpus[0];
        foreach (Gfp gfp in new[] { Gfp.HighUser, Gfp.HighUserMovable, Gfp.Atomic | Gfp.HighMem })
        {
            Refuses(machine, () => cpu.Pages.GetFreePages(gfp, 1)).Kind.Should().Be(KernelBugKind.IllegalFlags);
            Refuses(machine, () => cpu.Pages.GetFreePage(gfp)).Kind.Should().Be(KernelBugKind.IllegalFlags);
            Refuses(machine, () => cpu.GetZeroedPage(gfp)).Kind.Should().Be(KernelBugKind.IllegalFlags);
            Refuses(machine, () => cpu.Pages.AllocPagesExact(100, gfp)).Kind.Should().Be(KernelBugKind.IllegalFlags);
        }
    }

    [Theory]
    [InlineData(Gfp.Dma | Gfp.HighMem)]
    [InlineData(Gfp.Dma | Gfp.Dma32)]
    [InlineData(Gfp.Dma32 | Gfp.HighMem)]
    [InlineData(Gfp.Dma | Gfp.Dma32 | Gfp.HighMem)]
    [InlineData(Gfp.Movable | Gfp.Reclaimable)]
    public void Contradictory_flags_are_refused_by_every_way_to_allocate(Gfp contradiction)
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        foreach (Gfp gfp in new[] { Gfp.Kernel | contradiction, Gfp.Atomic | contradiction, contradiction })
        {
            Refuses(machine, () => cpu.AllocPages(gfp)).Kind.Should().Be(KernelBugKind.IllegalFlags);
            Refuses(machine, () => cpu.AllocPages(gfp, 5)).Kind.Should().Be(KernelBugKind.IllegalFlags);
            Refuses(machine, () => cpu.Pages.AllocPagesNode(0, gfp, 2)).Kind.Should().Be(KernelBugKind.IllegalFlags);
            Refuses(machine, () => cpu.Pages.GetFreePages(gfp, 2)).Kind.Should().Be(KernelBugKind.IllegalFlags);
            Refuses(machine, () => cpu.Pages.AllocPagesBulk(gfp, new Page[8])).Kind.Should().Be(KernelBugKind.IllegalFlags);
        }
    }

    [Fact]
    public void Bits_that_are_no_flags_are_refused_in_every_context()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        Refuses(machine, () => cpu.AllocPages(Gfp.Kernel | (Gfp)0x8000_0000)).Kind.Should().Be(KernelBugKind.IllegalFlags);
        using (cpu.Context.DisablePreemption())
        {
            Refuses(machine, () => cpu.AllocPages(Gfp.Atomic | (Gfp)0x8000_0000)).Kind.Should().Be(KernelBugKind.IllegalFlags);
        }
    }

    [Fact]
    public void An_order_above_the_maximum_fails_without_harm_and_a_negative_one_is_a_bug()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M").WithLogging(_log));
        _log.Entries.Clear(); // the boot log
        Cpu cpu = machine.Cpus[0];
        cpu.AllocPages(Gfp.Kernel, 11).IsNull.Should().BeTrue();
        cpu.AllocPages(Gfp.Kernel | Gfp.NoWarn, int.MaxValue).IsNull.Should().BeTrue();
        cpu.Pages.GetFreePages(Gfp.Kernel | Gfp.NoWarn, 11).IsNull.Should().BeTrue();
        machine.Reports.AllocationFailures.Should().Be(3);
        _log.Entries.Should().ContainSingle().Which.Text.Should().Contain("11");
        Refuses(machine, () => cpu.AllocPages(Gfp.Kernel, -1)).Kind.Should().Be(KernelBugKind.WrongOrder);
        Refuses(machine, () => cpu.AllocPages(Gfp.Kernel, int.MinValue)).Kind.Should().Be(KernelBugKind.WrongOrder);
    }

    [Fact]
    public void References_to_free_pages_are_refused()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        Page page = cpu.AllocPage(Gfp.Kernel);
        cpu.FreePage(page);
        Refuses(machine, () => cpu.Pages.GetPage(page)).Message.Should().Contain("VM_BUG_ON_PAGE");
        Refuses(machine, () => cpu.Pages.PutPage(page)).Kind.Should().Be(KernelBugKind.NotAllocated);
        Refuses(machine, () => cpu.Pages.SplitPage(page, 0)).Kind.Should().Be(KernelBugKind.DoubleFree);
        Page block = cpu.AllocPages(Gfp.Kernel, 2);
        Refuses(machine, () => cpu.Pages.PutPage(block)).Message.Should().Contain("not a compound page");
        Refuses(machine, () => cpu.Pages.GetPage(machine.GetPage(block.Pfn + 1))).Kind.Should().Be(KernelBugKind.NotAllocated);
        cpu.FreePages(block, 2);
    }

    [Fact]
    public void A_list_with_a_bad_page_or_the_same_page_twice_is_refused_as_a_whole()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        Page a = cpu.AllocPage(Gfp.Kernel);
        Page b = cpu.AllocPage(Gfp.Kernel);
        Page freed = cpu.AllocPage(Gfp.Kernel);
        cpu.FreePage(freed);
        Refuses(machine, () => cpu.Pages.FreePagesBulk([a, b, freed])).Kind.Should().Be(KernelBugKind.DoubleFree);
        Refuses(machine, () => cpu.Pages.FreePagesBulk([a, b, a]));
        a.Count.Should().Be(1);
        b.Count.Should().Be(1);
        cpu.Pages.FreePagesBulk([a, b]);
    }

    [Fact]
    public void A_block_freed_in_part_by_address_is_refused()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        VirtualAddress exact = cpu.Pages.AllocPagesExact(3 * 4096, Gfp.Kernel);
        Refuses(machine, () => cpu.Pages.FreePagesExact(exact, 4 * 4096)).Kind.Should().Be(KernelBugKind.DoubleFree);
        cpu.Pages.FreePagesExact(exact, (2 * 4096) + 1);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(long.MinValue)]
    [InlineData(long.MaxValue)]
    [InlineData(long.MaxValue - 4095)]
    [InlineData(1L << 44)]
    public void Impossible_sizes_of_exact_allocations_neither_allocate_nor_free(long bytes)
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        VirtualAddress page = cpu.Pages.GetFreePage(Gfp.Kernel);
        string before = machine.StateText();
        long failures = machine.Reports.AllocationFailures;
        try
        {
            cpu.Pages.AllocPagesExact(bytes, Gfp.Kernel | Gfp.NoWarn).IsNull.Should().BeTrue();
            machine.Reports.AllocationFailures.Should().Be(failures + 1);
        }
        catch (ArgumentOutOfRangeException)
        {
            bytes.Should().BeLessThanOrEqualTo(0);
            machine.StateText().Should().Be(before);
        }

        Action free = () => cpu.Pages.FreePagesExact(page, bytes);
        Exception refused = Assert.ThrowsAny<Exception>(free);
        (refused is ArgumentException or KernelBugException).Should().BeTrue();
        machine.VirtToPageCount(page).Should().Be(1);
        cpu.FreePage(page);
    }

    [Fact]
    public void A_report_tells_who_allocated_and_who_freed()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M", cpus: 2).WithPageOwner());
        Page page;
        using (machine.Cpus[1].Run(new KernelTask("leaky", 4711)))
        {
            page = machine.Cpus[1].AllocPages(Gfp.NoIo, 2);
            machine.Cpus[1].FreePages(page, 2);
        }

        KernelBugException bug = Refuses(machine, () => machine.Cpus[0].FreePages(page, 2));
        bug.Report.Should().Contain("page last allocated via order 2, gfp_mask 0xc00(GFP_NOIO), pid 4711 (leaky), cpu 1");
        bug.Report.Should().Contain("page last free via order 2, pid 4711 (leaky), cpu 1");
        bug.Report.Should().Contain("CPU: 0 PID: 0 Comm: swapper/0 context: process");
        bug.Report.Should().Contain($"pfn:{page.Pfn}");
    }

    [Fact]
    public void Owners_of_bulk_pages_and_of_split_pages_are_known()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M").WithPageOwner());
        Cpu cpu = machine.Cpus[0];
        using ContextScope running = cpu.Run(new KernelTask("owner", 12));
        Page[] bulk = new Page[8];
        cpu.Pages.AllocPagesBulk(Gfp.Kernel, bulk).Should().Be(8);
        cpu.Pages.GetPage(bulk[5]);
        Refuses(machine, () => cpu.FreePage(bulk[5])).Report.Should().Contain("pid 12 (owner)");
        Page block = cpu.AllocPages(Gfp.NoFs, 3);
        cpu.Pages.SplitPage(block, 3);
        Page inner = machine.GetPage(block.Pfn + 5);
        cpu.Pages.GetPage(inner);
        Refuses(machine, () => cpu.FreePage(inner)).Report.Should().Contain("GFP_NOFS").And.Contain("pid 12 (owner)");
    }

    [Fact]
    public void Without_page_owner_the_report_says_how_to_get_it()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Page page = machine.Cpus[0].AllocPage(Gfp.Kernel);
        machine.Cpus[0].FreePage(page);
        Refuses(machine, () => machine.Cpus[0].FreePage(page)).Report.Should().Contain("WithPageOwner()");
    }

    [Fact]
    public void With_the_log_policy_misuse_is_logged_and_does_nothing()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M").WithBugPolicy(BugPolicy.Log).WithLogging(_log));
        Machine other = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        Page page = cpu.AllocPage(Gfp.Kernel);
        Page freed = cpu.AllocPage(Gfp.Kernel);
        cpu.FreePage(freed);
        string before = machine.StateText();
        Action[] misuses =
        [
            () => cpu.FreePage(freed),
            () => cpu.FreePages(page, 1),
            () => cpu.FreePages(page, -1),
            () => cpu.FreePage(other.GetPage(page.Pfn)),
            () => cpu.FreePage(new VirtualAddress(42)),
            () => cpu.Pages.FreePagesBulk([page, freed]),
            () => cpu.Pages.FreePagesBulk([page, page]),
            () => cpu.Pages.GetPage(freed),
            () => cpu.Pages.PutPage(freed),
            () => cpu.Pages.SplitPage(freed, 1),
            () => cpu.Pages.FreePagesExact(page.Address, 8192 * 4096L),
            () => cpu.Pages.VirtToPage(new VirtualAddress(42)).IsNull.Should().BeTrue(),
            () => cpu.AllocPages(Gfp.Kernel, -1).IsNull.Should().BeTrue(),
            () => cpu.AllocPages(Gfp.Kernel, int.MinValue).IsNull.Should().BeTrue(),
            () => cpu.AllocPages(Gfp.Kernel | Gfp.Dma | Gfp.HighMem).IsNull.Should().BeTrue(),
            () => cpu.AllocPages(Gfp.Kernel | Gfp.Movable | Gfp.Reclaimable).IsNull.Should().BeTrue(),
            () => cpu.Pages.AllocPagesBulk(Gfp.Kernel | Gfp.Movable | Gfp.Reclaimable, new Page[4]).Should().Be(0),
            () => cpu.Pages.GetFreePages(Gfp.HighUser).IsNull.Should().BeTrue(),
            () => cpu.Pages.AllocPagesExact(4096, Gfp.Kernel | Gfp.Comp).IsNull.Should().BeTrue(),
        ];
        foreach (Action misuse in misuses)
        {
            _log.Entries.Clear();
            misuse();
            _log.Entries.Should().Contain(e => e.Level == LogLevel.Critical);
            machine.StateText().Should().Be(before);
        }

        cpu.FreePage(page);
    }

    [Fact]
    public void A_disposed_machine_refuses_everything_with_ObjectDisposedException()
    {
        Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        Page page = cpu.AllocPage(Gfp.Kernel);
        VirtualAddress address = page.Address;
        Zone zone = page.Zone;
        cpu.FreePages(cpu.AllocPages(Gfp.Kernel, 1), 1);
        VirtualAddress window = machine.AddressSpace.Vmalloc.Start;
        Fixmap fixmap = machine.Memory.Fixmap;
        machine.Dispose();
        machine.Dispose();
        Action[] uses =
        [
            () => cpu.AllocPages(Gfp.Kernel),
            () => cpu.Pages.AllocPagesNode(0, Gfp.Kernel),
            () => cpu.Pages.AllocPagesBulk(Gfp.Kernel, new Page[4]),
            () => cpu.GetZeroedPage(Gfp.Kernel),
            () => cpu.Pages.AllocPagesExact(4096, Gfp.Kernel),
            () => cpu.FreePage(page),
            () => cpu.FreePage(address),
            () => cpu.Pages.FreePagesBulk([page]),
            () => cpu.Pages.FreePagesExact(address, 4096),
            () => cpu.Pages.GetPage(page),
            () => cpu.Pages.PutPage(page),
            () => cpu.Pages.SplitPage(page, 0),
            () => cpu.Pages.VirtToPage(address),
            () => cpu.Pages.DrainLocalPages(),
            () => cpu.Pages.DrainLocalPages(zone),
            () => cpu.Pages.DrainZonePages(zone),
            () => machine.Memory.DrainAllPages(),
            () => machine.Verify(),
            () => cpu.Vm.VmallocToPage(window),
            () => cpu.Vm.RunDeferredVfrees(),
            () => cpu.Vm.VmUnmapAliases(),
            () => fixmap.Set(cpu, fixmap.Mappings[0].Name, new PhysicalAddress(4096)),
            () => fixmap.Clear(cpu, fixmap.Mappings[0].Name),
            () => machine.GetPage(page.Pfn),
            () => machine.Sysctl.Set("min_free_kbytes", "1000"),
            () => machine.Sysctl.Get("min_free_kbytes"),
            () => _ = page.Flags,
            () => _ = page.Count,
            () => _ = page.Order,
            () => _ = page.Lru,
            () => _ = zone.FreeList(3, MigrateType.Movable).Count(),
            () => _ = zone.PcpList(0, 0, MigrateType.Unmovable).Count(),
        ];
        for (int i = 0; i < uses.Length; i++)
        {
            uses[i].Should().Throw<ObjectDisposedException>($"use {i}");
        }
    }

    [Fact]
    public void Null_handles_and_addresses_are_ignored_by_frees_and_refused_by_everything_else()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        string before = machine.StateText();
        cpu.FreePages(default(Page), 3);
        cpu.FreePage(default(Page));
        cpu.FreePage(VirtualAddress.Null);
        cpu.FreePages(VirtualAddress.Null, 99);
        cpu.Pages.FreePagesExact(VirtualAddress.Null, 100);
        machine.StateText().Should().Be(before);
        Refuses(machine, () => cpu.Pages.GetPage(default));
        Refuses(machine, () => cpu.Pages.PutPage(default));
        Refuses(machine, () => cpu.Pages.SplitPage(default, 0));
        default(Page).Invoking(p => p.Flags).Should().Throw<InvalidOperationException>();
        default(Page).Invoking(p => p.Zone).Should().Throw<InvalidOperationException>();
    }

    [Fact]
    public void Views_of_a_zone_refuse_lists_that_do_not_exist()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M", cpus: 2));
        Zone zone = machine.Cpus[0].AllocPage(Gfp.Kernel).Zone;
        Action[] uses =
        [
            () => zone.FreeBlocks(-1),
            () => zone.FreeBlocks(11),
            () => zone.FreeList(11, MigrateType.Movable),
            () => zone.FreeList(-1, MigrateType.Movable),
            () => zone.FreeList(0, (MigrateType)6),
            () => zone.FreeList(0, (MigrateType)(-1)),
            () => zone.FreeList(0, (MigrateType)int.MaxValue),
            () => zone.PcpList(2, 0, MigrateType.Movable),
            () => zone.PcpList(-1, 0, MigrateType.Movable),
            () => zone.PcpList(0, 4, MigrateType.Movable),
            () => zone.PcpList(0, 8, MigrateType.Movable),
            () => zone.PcpList(0, 10, MigrateType.Movable),
            () => zone.PcpList(0, -1, MigrateType.Movable),
            () => zone.PcpList(0, 0, MigrateType.HighAtomic),
            () => zone.PcpList(0, 3, MigrateType.Isolate),
            () => zone.Pageset(2),
            () => zone.Pageset(-1),
            () => zone.GetWatermark((Watermark)4),
        ];
        for (int i = 0; i < uses.Length; i++)
        {
            uses[i].Should().Throw<ArgumentException>($"use {i}");
        }

        zone.PcpList(1, 9, MigrateType.Movable).Should().BeEmpty();
    }

    [Fact]
    public void A_free_list_that_changes_while_it_is_read_says_so()
    {
        Machine machine = Boot(With().FreeBlocks(order: 2, count: 4).FreeBlocks(order: 3, count: 4));
        Zone zone = machine.OnlyZone();
        Action read = () =>
        {
            foreach (Pfn _ in zone.FreeList(2, MigrateType.Movable))
            {
                machine.Cpus[0].AllocPages(Gfp.HighUserMovable, 2);
            }
        };
        read.Should().Throw<InvalidOperationException>();
    }
}

internal static class MisuseTestsHelpers
{
    public static int VirtToPageCount(this Machine machine, VirtualAddress address) => machine.TryGetPage(address, out Page page) ? page.Count : -1;
}
