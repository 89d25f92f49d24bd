using FluentAssertions;
using MemSim.Statistics;
using Xunit;

namespace MemSim.Tests.Migration;

/// <summary>Pages that devices hold.</summary>
public class PinTests
{
    private const int Page = PageGeometry.PageSize;

    [Fact]
    public void A_pinned_page_is_neither_moved_nor_swapped_and_comes_back_as_it_was()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        using BlockDevice swap = new("sdb", "8M");
        machine.Swap.SwapOn(swap).Succeeded.Should().BeTrue();
        Process process = machine.CreateProcess("driver");
        VirtualAddress data = process.Mm.Mmap(4 * Page, Prot.Read | Prot.Write);
        Page[] pages = new Page[2];
        using (cpu.Run(process))
        {
            cpu.Write(data, 1);
            cpu.Write(data + (2 * Page), 3);
            process.PinPages(cpu, data, pages, PinFlags.Write).Value.Should().Be(2, "the second page is faulted in");
            pages[0].Count.Should().BeGreaterThanOrEqualTo(1024);
            machine.Proc.VmStat.Should().Contain("nr_foll_pin_acquired 2\n");
            machine.Lru.DrainAll();
            process.Mm.Madvise(data, 4 * Page, MemoryAdvice.PageOut).Should().Be(Errno.None);
            process.Mm.SwapEntries.Should().Be(1, "only the page that nobody holds went");
            int[] status = new int[1];
            process.MovePages(cpu, [data], [0], status);
            machine.Compaction.CompactMemory();
            Pfn of = pages[0].Pfn;
            process.PageMap(data, 1)[0].Should().Match(w => (w & 0x7f_ffff_ffff_ffff) == (ulong)of.Value);
            cpu.UnpinPages(pages, dirty: true);
            machine.Proc.VmStat.Should().Contain("nr_foll_pin_released 2\n");
            process.Mm.Madvise(data, 4 * Page, MemoryAdvice.PageOut).Should().Be(Errno.None);
            process.Mm.SwapEntries.Should().Be(3);
            cpu.Read<int>(data).Should().Be(1);
        }

        Action twice = () => cpu.UnpinPages(pages.AsSpan(0, 1));
        twice.Should().Throw<KernelBugException>();
    }

    [Fact]
    public void A_child_gets_copies_of_pinned_pages_so_that_parent_and_device_share_on()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        Process parent = machine.CreateProcess("parent");
        VirtualAddress data = parent.Mm.Mmap(2 * Page, Prot.Read | Prot.Write);
        Page[] pages = new Page[1];
        Process child;
        using (cpu.Run(parent))
        {
            cpu.Write(data, 1);
            cpu.Write(data + Page, 2);
            parent.PinPages(cpu, data, pages, PinFlags.Write).Value.Should().Be(1);
            child = parent.Fork();
            cpu.Write(data, 11);
            cpu.Write(data + Page, 12);
        }

        Frame(parent, data).Should().Be(pages[0].Pfn.Value, "a write in the parent still reaches what the device sees");
        using (cpu.Run(child))
        {
            cpu.Read<int>(data).Should().Be(1);
            cpu.Read<int>(data + Page).Should().Be(2);
        }

        machine.Verify();
        cpu.UnpinPages(pages);
        child.Exit();
        parent.Exit();
        machine.Verify();
    }

    [Fact]
    public void Pinning_for_reading_takes_a_page_of_the_process_own_after_fork()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithKernel("6.18"));
        Cpu cpu = machine.Cpus[0];
        OpenFile file = machine.Files.MountTmpfs().Create("file");
        cpu.Files.Write(file, 0, new byte[Page]).Value.Should().Be(Page);
        Process parent = machine.CreateProcess("parent");
        VirtualAddress data = parent.Mm.Mmap(2 * Page, Prot.Read | Prot.Write);
        VirtualAddress copy = parent.Mm.Mmap(default, Page, Prot.Read | Prot.Write, MapFlags.Private, file, 0);
        Page[] pages = new Page[2];
        using ContextScope scope = cpu.Run(parent);
        cpu.Write(data, 1);
        Process child = parent.Fork();
        long before = Frame(parent, data);
        parent.PinPages(cpu, data, pages).Value.Should().Be(2);
        Frame(parent, data).Should().NotBe(before, "the child has that one, too");
        pages[1].Pfn.Value.Should().Be(Frame(parent, data + Page), "reading the page of zeroes needs no page");
        cpu.UnpinPages(pages);

        parent.PinPages(cpu, copy, pages.AsSpan(0, 1)).Value.Should().Be(1);
        machine.GetPage(pages[0].Pfn).Flags.Should().HaveFlag(PageFlags.SwapBacked);
        parent.Mm.AnonPages.Should().Be(1);
        cpu.UnpinPages(pages.AsSpan(0, 1));
        parent.PinPages(cpu, copy, pages.AsSpan(0, 1), PinFlags.LongTerm).Value.Should().Be(1);
        parent.Mm.AnonPages.Should().Be(2, "for long it gets a copy, since 6.2");
        cpu.UnpinPages(pages.AsSpan(0, 1));
        parent.PinPages(cpu, data + (8 * Page), pages).Error.Should().Be(Errno.EFAULT);
        parent.Mm.Munmap(data + Page, Page);
        parent.PinPages(cpu, data, pages).Value.Should().Be(1, "what lies before the hole");
        cpu.UnpinPages(pages.AsSpan(0, 1));
        child.Exit();
        machine.Verify();
    }

    [Fact]
    public void A_page_pinned_for_long_leaves_the_movable_zone_first()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("512M").WithCommandLine("movablecore=256M"));
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("driver");
        VirtualAddress data = process.Mm.Mmap(8 * Page, Prot.Read | Prot.Write);
        Page[] pages = new Page[8];
        using ContextScope scope = cpu.Run(process);
        for (int i = 0; i < 4; i++)
        {
            cpu.Write(data + (i * Page), i + 1);
        }

        machine.GetPage(new Pfn(Frame(process, data))).Zone.Type.Should().Be(ZoneType.Movable);
        process.PinPages(cpu, data, pages, PinFlags.Write | PinFlags.LongTerm).Value.Should().Be(8);
        pages.Should().OnlyContain(p => p.Zone.Type != ZoneType.Movable);
        machine.Events[VmEvent.MigrateSuccess].Should().Be(4, "the others were allocated elsewhere at once");
        for (int i = 0; i < 4; i++)
        {
            cpu.Read<int>(data + (i * Page)).Should().Be(i + 1);
        }

        cpu.UnpinPages(pages);
        using (cpu.Context.MemAllocPin())
        {
            Page page = cpu.AllocPage(Gfp.HighUserMovable);
            page.Zone.Type.Should().NotBe(ZoneType.Movable);
            cpu.FreePage(page);
        }

        process.PinPages(cpu, data, pages).Value.Should().Be(8);
        cpu.UnpinPages(pages);
        machine.Verify();
    }

    private static long Frame(Process process, VirtualAddress at) => (long)(process.PageMap(at, 1)[0] & 0x7f_ffff_ffff_ffff);
}
