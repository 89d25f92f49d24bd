using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Hardware.Mmu;

public sealed class PageTablesTests
{
    public static TheoryData<Architecture, bool> Architectures => MmuMachines.All;

    [Theory]
    [MemberData(nameof(Architectures))]
    public void Every_page_of_the_direct_map_is_found_where_the_architecture_puts_it(Architecture architecture, bool fiveLevels)
    {
        using Machine machine = MmuMachines.Boot(architecture, fiveLevels);
        Cpu cpu = machine.Cpus[0];
        Page page = cpu.AllocPage(Gfp.Kernel);
        cpu.Translate(page.Address).Should().Be(page.PhysicalAddress);
        cpu.Write(page.Address, 0x1234_5678);
        cpu.Read<int>(page.Address).Should().Be(0x1234_5678);
        cpu.Read<byte>(page.Address + 1).Should().Be(0x56);
        machine.Verify();
    }

    [Theory]
    [MemberData(nameof(Architectures))]
    public void A_mapping_is_seen_until_it_is_unmapped_and_flushed(Architecture architecture, bool fiveLevels)
    {
        using Machine machine = MmuMachines.Boot(architecture, fiveLevels);
        Cpu cpu = machine.Cpus[0];
        PageTables kernel = machine.Mmu.Kernel;
        VirtualAddress window = MmuMachines.Window(machine);
        Page[] pages = [cpu.AllocPage(Gfp.Kernel), cpu.AllocPage(Gfp.Kernel), cpu.AllocPage(Gfp.Kernel)];
        kernel.Map(cpu, window, pages, PageProtection.Kernel).Should().BeTrue();
        for (int i = 0; i < pages.Length; i++)
        {
            cpu.Write(window + (i * 4096L), 100 + i);
            cpu.Read<int>(pages[i].Address).Should().Be(100 + i);
        }

        kernel.Unmap(cpu, window, 3).Should().BeTrue();
        machine.Mmu.FlushRange(cpu, kernel, window, 3 * 4096);
        PageFaultException fault = cpu.Invoking(c => c.Read<int>(window)).Should().Throw<PageFaultException>().Which;
        fault.Fault.Reason.Should().Be(PageFaultReason.NotPresent);
        fault.Fault.Address.Should().Be(window);
        machine.Verify();
    }

    [Fact]
    public void Entries_have_the_bits_of_a_real_kernel()
    {
        using Machine pc = MmuMachines.Boot(Architecture.X86_64);
        Cpu cpu = pc.Cpus[0];
        pc.Mmu.Kernel.Lookup(pc.Memory.DirectMapStart).Raw.Should().Be(0x8000_0000_0000_0163);
        pc.Mmu.Kernel.Lookup(pc.Memory.DirectMapStart + 0x200000).Should().Match<PageTableEntry>(e => e.Raw == 0x8000_0000_0020_01e3 && e.Level == 2 && e.Pages == 512);
        pc.Mmu.Kernel.MakeEntry(new Pfn(0x60e8), PageProtection.KernelExecute).Should().Be(0x60e8161);
        pc.Mmu.Kernel.MakeEntry(new Pfn(0x60e8), PageProtection.KernelReadOnly).Should().Be(0x8000_0000_060e_8161);

        using Machine arm = MmuMachines.Boot(Architecture.Arm64);
        arm.Mmu.Kernel.MakeEntry(new Pfn(0x4e00d), PageProtection.Kernel).Should().Be(0x0068_0000_4e00_d703);
        _ = cpu;
    }

    [Theory]
    [InlineData(Architecture.X86_64, 30)]
    [InlineData(Architecture.X86_32, 22)]
    [InlineData(Architecture.X86_32Pae, 21)]
    [InlineData(Architecture.Arm64, 30)]
    public void The_direct_map_of_much_memory_takes_few_tables(Architecture architecture, int largest)
    {
        using Machine machine = MmuMachines.Boot(architecture, memory: "3G");
        machine.Mmu.Kernel.Mappings().Max(m => (int)m.Size).Should().Be(largest);
        machine.Mmu.TablePages.Should().BeLessThan(architecture == Architecture.X86_64 ? 18 + 3 : 18, "on x86-64 the image and the memory map take three more");
        machine.Mmu.DirectMapKiB().Values.Sum().Should().BeGreaterThan(800 << 10);
    }

    [Fact]
    public void The_tables_of_the_boot_do_not_change_what_the_page_allocator_hands_out()
    {
        using Machine with = MmuMachines.Boot(Architecture.X86_64);
        using Machine without = MmuMachines.Boot(Architecture.X86_64);
        with.Mmu.Kernel.TablePages.Should().BeGreaterThan(3);
        with.Cpus[0].AllocPage(Gfp.Kernel).Pfn.Should().Be(without.Cpus[0].AllocPage(Gfp.Kernel).Pfn);
    }

    [Theory]
    [MemberData(nameof(Architectures))]
    public void Unmapping_part_of_a_huge_page_splits_it(Architecture architecture, bool fiveLevels)
    {
        using Machine machine = MmuMachines.Boot(architecture, fiveLevels);
        Cpu cpu = machine.Cpus[0];
        PageTables kernel = machine.Mmu.Kernel;
        VirtualAddress window = MmuMachines.Window(machine);
        MappingSize huge = architecture == Architecture.X86_32 ? MappingSize.Page4M : MappingSize.Page2M;
        long pages = 1L << ((int)huge - 12);
        kernel.Map(cpu, window, new Pfn(pages * 4), pages, PageProtection.Kernel, huge).Should().BeTrue();
        kernel.Lookup(window).Pages.Should().Be(pages);
        kernel.Unmap(cpu, window + (5 * 4096), 1).Should().BeTrue();
        kernel.Lookup(window + (5 * 4096)).IsPresent.Should().BeFalse();
        kernel.Lookup(window + (4 * 4096)).Frame.Should().Be(new Pfn((pages * 4) + 4));
        kernel.Lookup(window + ((pages - 1) * 4096)).Frame.Should().Be(new Pfn((pages * 5) - 1));
        kernel.Lookup(window + (4 * 4096)).Protection.Should().Be(architecture == Architecture.X86_32 ? PageProtection.Kernel | PageProtection.Execute : PageProtection.Kernel);
        machine.Verify();
    }

    [Theory]
    [MemberData(nameof(Architectures))]
    public void A_process_gives_back_every_table(Architecture architecture, bool fiveLevels)
    {
        using Machine machine = MmuMachines.Boot(architecture, fiveLevels);
        Cpu cpu = machine.Cpus[0];
        _ = machine.Mmu;
        long before = FreePages(machine);
        PageTables tables = machine.Mmu.CreateTables(cpu)!;
        Page page = cpu.AllocPage(Gfp.HighUserMovable);
        tables.Map(cpu, new VirtualAddress(0x1000_0000), [page], PageProtection.UserData).Should().BeTrue();
        tables.Map(cpu, new VirtualAddress(0x2000_0000), [page], PageProtection.UserReadOnly).Should().BeTrue();
        cpu.Mmu.LoadPageTables(tables);
        using (cpu.User.UserMode())
        {
            cpu.Write(new VirtualAddress(0x1000_0010), 7L);
            cpu.Read<long>(new VirtualAddress(0x2000_0010)).Should().Be(7);
            cpu.Invoking(c => c.Write(new VirtualAddress(0x2000_0010), 7L)).Should().Throw<PageFaultException>().Which.Fault.Reason.Should().Be(PageFaultReason.Protection);
        }

        machine.Verify();
        tables.Unmap(cpu, new VirtualAddress(0x1000_0000), 1).Should().BeTrue();
        machine.Mmu.FlushPage(cpu, tables, new VirtualAddress(0x1000_0000));
        machine.Verify();
        cpu.Mmu.LoadPageTables(machine.Mmu.Kernel);
        tables.Destroy(cpu);
        cpu.FreePage(page);
        cpu.Pages.DrainLocalPages();
        FreePages(machine).Should().Be(before);
        machine.Verify();
    }

    [Theory]
    [MemberData(nameof(Architectures))]
    public void A_mapping_that_runs_out_of_memory_at_any_table_leaves_everything_as_it_was(Architecture architecture, bool fiveLevels)
    {
        using Machine machine = MmuMachines.Boot(architecture, fiveLevels);
        Cpu cpu = machine.Cpus[0];
        _ = machine.Mmu;
        PageTables tables = machine.Mmu.CreateTables(cpu)!;
        string before = tables.Dump();
        long tablesBefore = tables.TablePages;
        VirtualAddress start = new(0x0800_0000 - (4 * 4096));
        int failures = 0;
        List<Page> hog = [];
        while (true)
        {
            TakeEverything(cpu, hog);

            // Leaves one free page more each time round.
            for (int i = 0; i < failures; i++)
            {
                cpu.FreePage(hog[^1]);
                hog.RemoveAt(hog.Count - 1);
            }

            long freeBefore = FreePages(machine);
            bool mapped = tables.Map(cpu, start, new Pfn(64), 4096, PageProtection.UserData);
            if (!mapped)
            {
                FreePages(machine).Should().Be(freeBefore);
                tables.TablePages.Should().Be(tablesBefore);
                tables.Dump().Should().Be(before);
            }

            cpu.Pages.FreePagesBulk([.. hog]);
            machine.Verify();
            if (mapped)
            {
                break;
            }

            failures++;
            failures.Should().BeLessThan(30);
        }

        failures.Should().BeGreaterThan(1, "each table in turn has to fail");
        tables.Lookup(start + (4095L * 4096)).Frame.Should().Be(new Pfn(64 + 4095));
    }

    [Fact]
    public void Misuse_is_refused_and_changes_nothing()
    {
        using Machine machine = MmuMachines.Boot(Architecture.X86_64);
        Cpu cpu = machine.Cpus[0];
        PageTables kernel = machine.Mmu.Kernel;
        VirtualAddress window = MmuMachines.Window(machine);
        string before = kernel.Dump();
        kernel.Invoking(k => k.Unmap(cpu, window, 1)).Should().Throw<KernelBugException>();
        kernel.Invoking(k => k.Map(cpu, machine.Memory.DirectMapStart, new Pfn(1), 1, PageProtection.Kernel)).Should().Throw<KernelBugException>();
        kernel.Invoking(k => k.Map(cpu, machine.Memory.DirectMapStart + (1 << 21), new Pfn(1), 1, PageProtection.Kernel)).Should().Throw<KernelBugException>();
        kernel.Invoking(k => k.Map(cpu, window + 1, new Pfn(1), 1, PageProtection.Kernel)).Should().Throw<ArgumentException>();
        kernel.Invoking(k => k.Map(cpu, window, new Pfn(1), 0, PageProtection.Kernel)).Should().Throw<ArgumentException>();
        kernel.Invoking(k => k.Map(cpu, window, new Pfn(1), long.MaxValue, PageProtection.Kernel)).Should().Throw<ArgumentException>();
        kernel.Invoking(k => k.Map(cpu, window, new Pfn(-1), 1, PageProtection.Kernel)).Should().Throw<ArgumentException>();
        kernel.Invoking(k => k.Map(cpu, new VirtualAddress(0x8000_0000_0000_0000), new Pfn(1), 1, PageProtection.Kernel)).Should().Throw<ArgumentException>();
        kernel.Invoking(k => k.Map(cpu, new VirtualAddress(0x7fff_ffff_f000), new Pfn(1), 2, PageProtection.Kernel)).Should().Throw<ArgumentException>();
        kernel.Invoking(k => k.Map(cpu, window, [default], PageProtection.Kernel)).Should().Throw<ArgumentException>();
        kernel.Invoking(k => k.Destroy(cpu)).Should().Throw<InvalidOperationException>();
        kernel.Dump().Should().Be(before);
        machine.Verify();
    }

    [Fact]
    public void A_machine_without_contents_says_that_it_has_no_mmu()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithoutContents());
        machine.Cpus[0].Invoking(c => c.Read<int>(machine.Memory.DirectMapStart)).Should().Throw<InvalidOperationException>().WithMessage("*WithoutContents*");
    }

    [Fact]
    public void The_dump_shows_ranges_of_equal_protection()
    {
        using Machine machine = MmuMachines.Boot(Architecture.X86_64);
        string dump = machine.Mmu.Kernel.Dump([(machine.Memory.DirectMapStart, "Low Kernel Mapping")]);
        dump.Should().Contain("---[ Low Kernel Mapping ]---\n0xffff888000000000-0xffff888000200000         2M     RW                 GLB NX");
        dump.Should().Contain("pmd");
    }

    private static void TakeEverything(Cpu cpu, List<Page> hog)
    {
        hog.Clear();
        int before;
        do
        {
            // Pages in per-CPU lists of other migrate types are free as well.
            before = hog.Count;
            cpu.Pages.DrainLocalPages();
            for (Page page = cpu.AllocPage(Gfp.Kernel | Gfp.NoWarn); !page.IsNull; page = cpu.AllocPage(Gfp.Kernel | Gfp.NoWarn))
            {
                hog.Add(page);
            }
        }
        while (hog.Count > before);
    }

    private static long FreePages(Machine machine)
    {
        foreach (Cpu cpu in machine.Cpus)
        {
            cpu.Pages.DrainLocalPages();
        }

        return machine.Zones.Sum(z => z.TrueFreePages);
    }
}
