using System.Runtime.CompilerServices;
using FluentAssertions;
using MemSim.Pages;
using Xunit;
using static MemSim.Tests.TestMachines;

namespace MemSim.Tests.Pages;

public class StructPageTests : MachineTests
{
    public static TheoryData<MachineSpec> Machines => [MachineSpec.X86_64("1G"), MachineSpec.X86_32("2G"), MachineSpec.X86_32Pae("5G"), MachineSpec.Arm64("1G")];

    [Fact]
    public void A_page_frame_takes_32_bytes_and_a_handle_16()
    {
        Unsafe.SizeOf<PageFrame>().Should().Be(32).And.Be(PageFrame.SizeInBytes);
        Unsafe.SizeOf<Page>().Should().BeLessThanOrEqualTo(16);
    }

    [Fact]
    public void Page_count_is_0_for_free_pages_and_1_after_allocation()
    {
        Machine machine = Boot(With().FreeBlocks(order: 5, count: 3).Pcp(high: 100, batch: 8));
        Cpu cpu = machine.Cpus[0];
        Page page = cpu.AllocPages(Gfp.Kernel, 2);
        (page.Count, page.RefCount, page.MapCount, page.RawMapCount, page.Order).Should().Be((1, 1, 0, -1, 2));
        cpu.Pages.GetPage(page);
        page.Count.Should().Be(2);
        cpu.Pages.PutPage(page);
        cpu.FreePages(page, 2);
        page.StoredCount.Should().Be(-1, "what 2.6 stored for a free page");
        (page.Count, page.RawMapCount, page.Type).Should().Be((0, -1, PageType.None), "a page in a per-CPU list has no type");
        machine.Memory.DrainAllPages();
        page.Count.Should().Be(0);
    }

    [Fact]
    public void A_free_block_shows_the_kernels_encodings()
    {
        Machine machine = Boot(With().FreeBlocks(order: 6, count: 2));
        Page page = machine.GetPage(machine.OnlyZone().FreeList(6, MigrateType.Movable).First());
        page.Type.Should().Be(PageType.Buddy);
        page.RawMapCount.Should().Be(unchecked((int)0xffffff7f), "page_type starts as all ones and PG_buddy clears a bit");
        page.Private.Should().Be(6);
        page.Order.Should().Be(6);
        page.Flags.Should().Be(PageFlags.Buddy);
        page.Lru.Previous.IsNull.Should().BeTrue("it is the first of its list");
        page.Lru.Next.Pfn.Should().Be(machine.OnlyZone().FreeList(6, MigrateType.Movable).Last());
        machine.GetPage(page.Pfn + 1).Flags.Should().Be(PageFlags.None);
        machine.GetPage(page.Pfn + 1).Lru.Should().Be((default(Page), default(Page)));
    }

    [Fact]
    public void Map_counts_read_as_the_kernel_encodes_them()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        Page page = cpu.AllocPage(Gfp.HighUserMovable);
        page.AddMapCount(3);
        (page.MapCount, page.RawMapCount).Should().Be((3, 2));
        page.AddMapCount(-3);
        (page.MapCount, page.RawMapCount).Should().Be((0, -1));
        page.Invoking(p => p.AddMapCount(-1)).Should().Throw<ArgumentOutOfRangeException>();
        page.SetPrivate(-42);
        page.SetMapping(0x1001, 77);
        (page.Private, page.Mapping, page.Index).Should().Be((-42, 0x1001u, 77u));
        page.SetMapping(0, 0);
        cpu.FreePage(page);
        page.Invoking(p => p.SetPrivate(1)).Should().Throw<KernelBugException>();
        page.Invoking(p => p.SetFlags(PageFlags.Locked)).Should().Throw<KernelBugException>();
    }

    [Fact]
    public void A_page_on_an_LRU_list_does_not_become_one_that_a_driver_moves()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("process");
        VirtualAddress at = process.Mm.Mmap(4096, Prot.Read | Prot.Write);
        using (cpu.Run(process))
        {
            cpu.Write(at, 1);
        }

        machine.Lru.DrainAll();
        Page page = machine.GetPage(new Pfn((long)(process.PageMap(at, 1)[0] & ((1UL << 55) - 1))));
        page.Flags.Should().HaveFlag(PageFlags.Lru);
        (uint mapping, uint index) = (page.Mapping, page.Index);
        page.Invoking(p => p.SetMapping(0x12, 0)).Should().Throw<KernelBugException>().WithMessage("*on an LRU list*").Which.Kind.Should().Be(KernelBugKind.StillInUse);
        (page.Mapping, page.Index).Should().Be((mapping, index));
        machine.Compaction.CompactMemory();
        (machine.Nodes[0].Counters.IsolatedAnon, machine.Nodes[0].Counters.IsolatedFile).Should().Be((0, 0));
        process.Exit();
        machine.Verify();
    }

    [Fact]
    public void A_page_that_becomes_a_drivers_on_its_way_to_an_LRU_list_is_not_isolated()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("process");
        VirtualAddress at = process.Mm.Mmap(4096, Prot.Read | Prot.Write);
        using (cpu.Run(process))
        {
            cpu.Write(at, 1);
        }

        Page page = machine.GetPage(new Pfn((long)(process.PageMap(at, 1)[0] & ((1UL << 55) - 1))));
        page.Flags.Should().NotHaveFlag(PageFlags.Lru, "it waits in the CPU's batch");
        (uint mapping, uint index) = (page.Mapping, page.Index);
        page.SetMapping(0x12, 0);
        machine.Lru.DrainAll();
        machine.Compaction.CompactMemory();
        (machine.Nodes[0].Counters.IsolatedAnon, machine.Nodes[0].Counters.IsolatedFile, machine.Migration.Migrator.IsolatedMovable).Should().Be((0, 0, 0));
        page.SetMapping(mapping, index);
        process.Exit();
        machine.Verify();
    }

    [Fact]
    public void Every_stored_flag_can_be_set_read_and_cleared_alone()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Page page = machine.Cpus[0].AllocPage(Gfp.Kernel);
        Zone zone = page.Zone;
        for (int bit = 0; bit < 24; bit++)
        {
            PageFlags flag = (PageFlags)(1L << bit);
            Enum.IsDefined(flag).Should().BeTrue();
            if (flag is PageFlags.Head or PageFlags.Reserved)
            {
                page.Invoking(p => p.SetFlags(flag)).Should().Throw<ArgumentException>();
                continue;
            }

            page.SetFlags(flag);
            page.Flags.Should().Be(flag);
            page.Zone.Should().BeSameAs(zone);
            page.ClearFlags(flag);
            page.Flags.Should().Be(PageFlags.None);
        }

        page.SetFlags(PageFlags.OwnerPrivate1 | PageFlags.SwapBacked);
        page.Flags.Should().HaveFlag(PageFlags.SwapCache);
        page.ClearFlags(PageFlags.OwnerPrivate1 | PageFlags.SwapBacked);
        page.Invoking(p => p.SetFlags(PageFlags.Buddy)).Should().Throw<ArgumentException>();
        machine.Cpus[0].FreePage(page);
    }

    [Fact]
    public void Flags_that_may_stay_at_free_are_gone_when_the_page_is_allocated_again()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        Page page = cpu.AllocPage(Gfp.Kernel);
        page.SetFlags(PageFlags.Dirty | PageFlags.Referenced | PageFlags.UpToDate);
        page.SetPrivate(5);
        cpu.FreePage(page);
        Page again = cpu.AllocPage(Gfp.Kernel);
        again.Should().Be(page);
        again.Flags.Should().Be(PageFlags.None);
        again.Private.Should().Be(0);
        cpu.FreePage(again);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(9)]
    [InlineData(10)]
    public void A_compound_page_knows_head_and_tails(int order)
    {
        Machine machine = Boot(MachineSpec.X86_64("256M"));
        Cpu cpu = machine.Cpus[0];
        Page head = cpu.AllocPages(Gfp.Kernel | Gfp.Comp, order);
        (head.IsHead, head.IsTail, head.IsCompound, head.CompoundOrder).Should().Be((true, false, true, order));
        head.Flags.Should().Be(PageFlags.Head);
        foreach (int offset in new[] { 1, (1 << order) / 2, (1 << order) - 1 })
        {
            Page tail = machine.GetPage(head.Pfn + offset);
            (tail.IsHead, tail.IsTail, tail.IsCompound, tail.CompoundOrder).Should().Be((false, true, true, order));
            tail.CompoundHead.Should().Be(head);
            tail.Flags.Should().Be(PageFlags.Tail);
            (tail.Count, tail.RefCount).Should().Be((1, 0));
            cpu.Pages.GetPage(tail);
            head.Count.Should().Be(2);
            cpu.Pages.PutPage(head);
        }

        machine.GetPage(head.Pfn + (1 << order)).IsCompound.Should().BeFalse();
        cpu.Pages.PutPage(machine.GetPage(head.Pfn + 1));
        head.Count.Should().Be(0, "the last reference frees a compound page, whichever page it was taken through");
        head.IsCompound.Should().BeFalse();
    }

    [Fact]
    public void A_block_that_is_no_compound_page_has_no_tails()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Page head = machine.Cpus[0].AllocPages(Gfp.Kernel, 3);
        Page inner = machine.GetPage(head.Pfn + 3);
        (head.IsCompound, inner.IsCompound, inner.Count).Should().Be((false, false, 0));
        inner.CompoundHead.Should().Be(inner);
    }

    [Theory]
    [MemberData(nameof(Machines))]
    public void Frame_numbers_pages_and_addresses_convert_into_each_other(MachineSpec spec)
    {
        Machine machine = Boot(spec);
        Cpu cpu = machine.Cpus[0];
        foreach (Gfp gfp in new[] { Gfp.Kernel, Gfp.Dma | Gfp.NoWait, Gfp.Kernel | Gfp.Movable })
        {
            Page page = cpu.AllocPages(gfp, 1);
            page.IsNull.Should().BeFalse();
            machine.GetPage(page.Pfn).Should().Be(page);
            page.PhysicalAddress.Value.Should().Be((ulong)page.Pfn.Value << 12);
            page.PhysicalAddress.Pfn.Should().Be(page.Pfn);
            VirtualAddress address = page.Address;
            page.Address.Should().Be(address);
            cpu.Pages.VirtToPage(address).Should().Be(page);
            cpu.Pages.VirtToPage(address + 4095).Should().Be(page);
            machine.Memory.ToPhysical(address + 5).Should().Be(page.PhysicalAddress + 5);
            machine.Memory.ToVirtual(page.PhysicalAddress).Should().Be(address);
            address.Value.Should().BeGreaterThanOrEqualTo(machine.Architecture.PageOffset);
            (address.Value & 4095).Should().Be(0);
        }
    }

    [Fact]
    public void X86_maps_physical_address_0_at_the_page_offset_and_arm64_its_first_gigabyte_of_ram()
    {
        Boot(MachineSpec.X86_64("1G")).Memory.ToVirtual(new PhysicalAddress(0x1234000)).Value.Should().Be(0xffff_8880_0123_4000);
        Boot(MachineSpec.X86_32("1G")).Memory.ToVirtual(new PhysicalAddress(0x1234000)).Value.Should().Be(0xc123_4000);
        Boot(MachineSpec.Arm64("1G")).Memory.ToVirtual(new PhysicalAddress(0x4123_4000)).Value.Should().Be(0xffff_0000_0123_4000);
        Boot(MachineSpec.Arm64("1G")).Invoking(m => m.Memory.ToVirtual(new PhysicalAddress(0x1234000))).Should().Throw<ArgumentOutOfRangeException>();
    }

    [Theory]
    [MemberData(nameof(HighMemory))]
    public void High_memory_has_no_address(MachineSpec spec)
    {
        Machine machine = Boot(spec);
        Cpu cpu = machine.Cpus[0];
        Page page = cpu.AllocPage(Gfp.HighUser);
        page.Zone.Type.Should().Be(ZoneType.HighMem);
        page.Address.IsNull.Should().BeTrue();
        machine.Invoking(m => m.Memory.ToVirtual(page.PhysicalAddress)).Should().Throw<ArgumentOutOfRangeException>();
        machine.TryGetPage(machine.Memory.DirectMapEnd, out _).Should().BeFalse();
        Page last = machine.GetPage(new Pfn(machine.Memory.ToPhysical(machine.Memory.DirectMapEnd + (-1)).Pfn.Value));
        last.Zone.Type.Should().Be(ZoneType.Normal);
        machine.GetPage(last.Pfn + 1).Zone.Type.Should().Be(ZoneType.HighMem);
        cpu.FreePage(page);
    }

    public static TheoryData<MachineSpec> HighMemory => [MachineSpec.X86_32("2G"), MachineSpec.X86_32Pae("5G")];

    [Theory]
    [MemberData(nameof(Machines))]
    public void Frames_that_do_not_exist_have_no_page(MachineSpec spec)
    {
        Machine machine = Boot(spec);
        long end = machine.Zones.Max(z => z.EndPfn.Value);
        foreach (long pfn in new[] { -1, long.MinValue, long.MaxValue, end, end + 5, 1L << 32, int.MaxValue, -(1L << 32) })
        {
            machine.TryGetPage(new Pfn(pfn), out Page page).Should().BeFalse();
            page.IsNull.Should().BeTrue();
            machine.Invoking(m => m.GetPage(new Pfn(pfn))).Should().Throw<ArgumentOutOfRangeException>();
        }
    }
}
