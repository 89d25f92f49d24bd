using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Hardware.Mmu;

public sealed class TlbTests
{
    [Fact]
    public void A_miss_with_four_levels_reads_memory_five_times_and_the_next_access_once()
    {
        using Machine machine = MmuMachines.Boot(Architecture.X86_64);
        Cpu cpu = machine.Cpus[0];
        VirtualAddress window = MapOne(machine, out Page page);
        TranslationExplanation before = cpu.Mmu.Explain(window + 8);
        before.MemoryReads.Should().Be(5);
        before.Steps.Select(s => s.Name).Should().Equal("pgd", "pud", "pmd", "pte");
        before.Physical.Should().Be(page.PhysicalAddress + 8);
        before.ToString().Should().Contain("CR3 = ").And.Contain("pgd + index  402").And.Contain("5 memory reads");
        cpu.Tlb.Statistics.DataAccesses.Should().Be(0, "explaining changes nothing");

        _ = cpu.Read<long>(window + 8);
        cpu.Tlb.Statistics.Should().Match<TlbStatistics>(s => s.L1DataMisses == 1 && s.Walks == 1 && s.WalkLoads == 4);
        cpu.Mmu.Explain(window + 8).Should().Match<TranslationExplanation>(e => e.TlbLevel == 1 && e.MemoryReads == 1);
    }

    [Fact]
    public void Without_any_tlb_every_access_walks_all_levels()
    {
        using Machine machine = MmuMachines.Boot(Architecture.X86_64, options: MmuOptions.Default with { Tlb = TlbGeometry.None });
        Cpu cpu = machine.Cpus[0];
        VirtualAddress window = MapOne(machine, out Page page);
        for (int i = 0; i < 3; i++)
        {
            cpu.Translate(window + i).Should().Be(page.PhysicalAddress + (ulong)i);
        }

        cpu.Tlb.Statistics.Should().Match<TlbStatistics>(s => s.DataAccesses == 3 && s.L1DataMisses == 3 && s.Walks == 3 && s.WalkLoads == 12);
        cpu.Cycles.Should().Be(12 * MemoryCosts.Default.WalkStepCycles);
        machine.Mmu.Kernel.Unmap(cpu, window, 1);
        cpu.Invoking(c => c.Read<int>(window)).Should().Throw<PageFaultException>("nothing is remembered");
    }

    [Fact]
    public void The_walk_cache_leaves_one_entry_to_read_for_a_neighbour()
    {
        using Machine machine = MmuMachines.Boot(Architecture.X86_64);
        Cpu cpu = machine.Cpus[0];
        Page[] pages = [cpu.AllocPage(Gfp.Kernel), cpu.AllocPage(Gfp.Kernel)];
        VirtualAddress window = MmuMachines.Window(machine);
        machine.Mmu.Kernel.Map(cpu, window, pages, PageProtection.Kernel);
        _ = cpu.Read<byte>(window);
        cpu.Mmu.Explain(window + 4096).Should().Match<TranslationExplanation>(e => e.WalkCacheLevel == 2 && e.MemoryReads == 2);
        _ = cpu.Read<byte>(window + 4096);
        cpu.Tlb.Statistics.Should().Match<TlbStatistics>(s => s.WalkLoads == 5 && s.WalkCacheHits == 1);
    }

    [Fact]
    public void A_set_that_overflows_gives_up_its_least_recently_used_page()
    {
        using Machine machine = MmuMachines.Boot(Architecture.X86_64, options: MmuOptions.Default with
        {
            Tlb = new TlbGeometry("tiny") { L1Data = [new TlbArray(1, 2, MappingSize.Page4K)] },
        });
        Cpu cpu = machine.Cpus[0];
        VirtualAddress window = MapMany(machine, 3);
        _ = cpu.Read<byte>(window);
        _ = cpu.Read<byte>(window + 4096);
        _ = cpu.Read<byte>(window);
        _ = cpu.Read<byte>(window + 8192);
        cpu.Mmu.Explain(window).TlbLevel.Should().Be(1);
        cpu.Mmu.Explain(window + 4096).TlbLevel.Should().Be(0);
        cpu.Tlb.Statistics.Should().Match<TlbStatistics>(s => s.DataAccesses == 4 && s.L1DataHits == 1);
    }

    [Theory]
    [InlineData(TlbReplacement.Lru)]
    [InlineData(TlbReplacement.TreeLru)]
    [InlineData(TlbReplacement.Random)]
    public void Replacement_never_loses_a_translation(TlbReplacement replacement)
    {
        using Machine machine = MmuMachines.Boot(Architecture.X86_64, options: MmuOptions.Default with
        {
            Tlb = TlbGeometry.Skylake with { Replacement = replacement, L2 = [new TlbArray(16, 4, MappingSize.Page4K)] },
        });
        Cpu cpu = machine.Cpus[0];
        VirtualAddress window = MapMany(machine, 200);
        Random random = new(7);
        for (int i = 0; i < 200; i++)
        {
            cpu.Write(window + (i * 4096L), i);
        }

        for (int i = 0; i < 5000; i++)
        {
            int page = random.Next(200);
            cpu.Read<int>(window + (page * 4096L)).Should().Be(page);
        }

        TlbStatistics statistics = cpu.Tlb.Statistics;
        statistics.L1DataMisses.Should().BeGreaterThan(1000);
        statistics.L2Hits.Should().BeGreaterThan(100);
        (statistics.L2Hits + statistics.Walks).Should().Be(statistics.L1DataMisses);
    }

    [Fact]
    public void A_forgotten_flush_goes_on_translating_and_check_mode_tells()
    {
        using Machine machine = MmuMachines.Boot(Architecture.X86_64, options: MmuOptions.Default with { CheckStaleEntries = true });
        Cpu cpu = machine.Cpus[0];
        VirtualAddress window = MapOne(machine, out Page page);
        cpu.Write(window, 42);
        machine.Mmu.StaleEntriesUsed.Should().BeEmpty();
        machine.Mmu.Kernel.Unmap(cpu, window, 1);
        cpu.Read<int>(window).Should().Be(42, "the TLB still knows the page");
        machine.Mmu.StaleEntriesUsed.Should().ContainSingle().Which.Should().Match<StaleTlbEntry>(s => s.Address == window && s.Used == page.PhysicalAddress && s.Current == null);
        cpu.Tlb.Statistics.StaleEntriesUsed.Should().Be(1);
        machine.Mmu.FlushPage(cpu, machine.Mmu.Kernel, window);
        cpu.Invoking(c => c.Read<int>(window)).Should().Throw<PageFaultException>();
    }

    [Fact]
    public void A_stale_entry_is_used_without_check_mode_too()
    {
        using Machine machine = MmuMachines.Boot(Architecture.X86_64);
        Cpu cpu = machine.Cpus[0];
        VirtualAddress window = MapOne(machine, out _);
        cpu.Write(window, 42);
        machine.Mmu.Kernel.Unmap(cpu, window, 1);
        cpu.Read<int>(window).Should().Be(42);
        cpu.Tlb.FlushPage(window);
        cpu.Invoking(c => c.Read<int>(window)).Should().Throw<PageFaultException>();
    }

    [Fact]
    public void Up_to_33_pages_are_flushed_singly_and_34_as_a_whole()
    {
        using Machine machine = MmuMachines.Boot(Architecture.X86_64);
        Cpu cpu = machine.Cpus[0];
        _ = MapOne(machine, out _);
        machine.Mmu.FlushRange(cpu, machine.Mmu.Kernel, MmuMachines.Window(machine), 33 * 4096);
        cpu.Tlb.Statistics.Should().Match<TlbStatistics>(s => s.PageFlushes == 33 && s.FullFlushes == 0);
        machine.Mmu.FlushRange(cpu, machine.Mmu.Kernel, MmuMachines.Window(machine), 34 * 4096);
        cpu.Tlb.Statistics.Should().Match<TlbStatistics>(s => s.PageFlushes == 33 && s.FullFlushes == 1);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_kernel_flush_interrupts_every_other_cpu_that_used_the_mmu(bool checkMode)
    {
        using Machine machine = MmuMachines.Boot(Architecture.X86_64, cpus: 4, options: MmuOptions.Default with { CheckStaleEntries = checkMode });
        VirtualAddress window = MapOne(machine, out _);
        foreach (Cpu cpu in machine.Cpus)
        {
            cpu.Read<int>(window);
        }

        machine.Mmu.Kernel.Unmap(machine.Cpus[1], window, 1);
        machine.Mmu.FlushPage(machine.Cpus[1], machine.Mmu.Kernel, window);
        machine.Cpus[1].Tlb.Statistics.Should().Match<TlbStatistics>(s => s.Shootdowns == 1 && s.InterruptsSent == 3);
        foreach (Cpu cpu in machine.Cpus)
        {
            cpu.Invoking(c => c.Read<int>(window)).Should().Throw<PageFaultException>();
            cpu.Tlb.Statistics.InterruptsReceived.Should().Be(cpu.Id == 1 ? 0 : 1);
        }

        machine.Mmu.StaleEntriesUsed.Should().BeEmpty();
    }

    [Theory]
    [InlineData(Architecture.X86_64)]
    [InlineData(Architecture.X86_32)]
    [InlineData(Architecture.X86_32Pae)]
    [InlineData(Architecture.Arm64)]
    public void A_lazy_cpu_is_not_interrupted_and_makes_up_for_the_flush_when_it_comes_back(Architecture architecture)
    {
        using Machine machine = MmuMachines.Boot(architecture, cpus: 2);
        (Cpu first, Cpu second) = (machine.Cpus[0], machine.Cpus[1]);
        PageTables tables = machine.Mmu.CreateTables(first)!;
        VirtualAddress user = new(0x40_0000);
        tables.Map(first, user, [first.AllocPage(Gfp.HighUser)], PageProtection.UserData);
        foreach (Cpu cpu in machine.Cpus)
        {
            cpu.Mmu.LoadPageTables(tables);
            using MmuScope mode = cpu.User.UserMode();
            cpu.Read<int>(user);
        }

        second.Mmu.EnterLazyTlb();
        tables.Unmap(first, user, 1);
        machine.Mmu.FlushPage(first, tables, user);
        first.Tlb.Statistics.Should().Match<TlbStatistics>(s => s.InterruptsSent == 0 && s.InterruptsSparedByLazyMode == 1);
        second.Mmu.LoadPageTables(tables);
        using (second.User.UserMode())
        {
            second.Invoking(c => c.Read<int>(user)).Should().Throw<PageFaultException>();
        }
    }

    [Theory]
    [InlineData(Architecture.X86_64, true, 2)]
    [InlineData(Architecture.X86_64, false, 4)]
    [InlineData(Architecture.X86_32, true, 4)]
    [InlineData(Architecture.Arm64, true, 2)]
    public void Tagged_entries_survive_a_switch_and_never_mix_up_address_spaces(Architecture architecture, bool pcid, int misses)
    {
        using Machine machine = MmuMachines.Boot(architecture, options: MmuOptions.Default with { ProcessContextIds = pcid });
        Cpu cpu = machine.Cpus[0];
        VirtualAddress user = new(0x40_0000);
        PageTables[] spaces = [machine.Mmu.CreateTables(cpu)!, machine.Mmu.CreateTables(cpu)!];
        foreach (PageTables space in spaces)
        {
            space.Map(cpu, user, [cpu.AllocPage(Gfp.HighUser)], PageProtection.UserData);
        }

        using MmuScope mode = cpu.User.UserMode();
        for (int round = 0; round < 2; round++)
        {
            for (int i = 0; i < 2; i++)
            {
                cpu.Mmu.LoadPageTables(spaces[i]);
                if (round == 0)
                {
                    cpu.Write(user, 10 + i);
                }

                cpu.Read<int>(user).Should().Be(10 + i);
            }
        }

        cpu.Tlb.Statistics.L1DataMisses.Should().Be(misses);
    }

    [Fact]
    public void A_new_space_in_a_recycled_context_sees_nothing_of_the_old_one()
    {
        using Machine machine = MmuMachines.Boot(Architecture.X86_64);
        Cpu cpu = machine.Cpus[0];
        VirtualAddress user = new(0x40_0000);
        using MmuScope mode = cpu.User.UserMode();
        for (int i = 0; i < 20; i++)
        {
            PageTables space = machine.Mmu.CreateTables(cpu)!;
            cpu.Mmu.LoadPageTables(space);
            cpu.Invoking(c => c.Read<int>(user)).Should().Throw<PageFaultException>();
            space.Map(cpu, user, [cpu.AllocPage(Gfp.HighUser | Gfp.Zero)], PageProtection.UserData);
            cpu.Read<int>(user).Should().Be(0);
            cpu.Write(user, i + 1);
        }
    }

    [Fact]
    public void A_kernel_page_that_is_not_global_is_flushed_from_every_address_space()
    {
        using Machine machine = MmuMachines.Boot(Architecture.X86_64);
        Cpu cpu = machine.Cpus[0];
        PageTables[] spaces = [machine.Mmu.CreateTables(cpu)!, machine.Mmu.CreateTables(cpu)!];
        VirtualAddress window = MmuMachines.Window(machine);
        machine.Mmu.Kernel.Map(cpu, window, [cpu.AllocPage(Gfp.Kernel)], PageProtection.Kernel & ~PageProtection.Global).Should().BeTrue();
        foreach (PageTables space in spaces)
        {
            cpu.Mmu.LoadPageTables(space);
            cpu.Read<int>(window);
        }

        machine.Mmu.Kernel.Unmap(cpu, window, 1);
        machine.Mmu.FlushPage(cpu, machine.Mmu.Kernel, window);
        foreach (PageTables space in spaces)
        {
            cpu.Mmu.LoadPageTables(space);
            cpu.Invoking(c => c.Read<int>(window)).Should().Throw<PageFaultException>();
        }
    }

    [Fact]
    public void The_walker_sets_accessed_and_dirty_bits_once()
    {
        foreach (Architecture architecture in Enum.GetValues<Architecture>())
        {
            using Machine machine = MmuMachines.Boot(architecture);
            Cpu cpu = machine.Cpus[0];
            PageTables tables = machine.Mmu.CreateTables(cpu)!;
            VirtualAddress user = new(0x40_0000);
            tables.Map(cpu, user, [cpu.AllocPage(Gfp.HighUser)], PageProtection.UserData);
            cpu.Mmu.LoadPageTables(tables);
            using MmuScope mode = cpu.User.UserMode();
            tables.Lookup(user).Protection.Should().NotHaveFlag(PageProtection.Accessed);
            cpu.Read<int>(user);
            tables.Lookup(user).Protection.Should().HaveFlag(PageProtection.Accessed).And.NotHaveFlag(PageProtection.Dirty);
            cpu.Read<int>(user);
            cpu.Write(user, 1);
            tables.Lookup(user).Protection.Should().HaveFlag(PageProtection.Dirty);
            cpu.Write(user, 2);
            cpu.Tlb.Statistics.Should().Match<TlbStatistics>(s => s.DirtyBitsSet == 1 && s.Walks == 2, architecture.ToString());
        }
    }

    [Fact]
    public void Remote_memory_costs_more_cycles()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("1G", cpus: 2).WithNodes("512M", "512M"));
        Cpu cpu = machine.Cpus[0];
        VirtualAddress near = cpu.Pages.AllocPagesNode(0, Gfp.Kernel | Gfp.ThisNode).Address;
        VirtualAddress far = cpu.Pages.AllocPagesNode(1, Gfp.Kernel | Gfp.ThisNode).Address;
        long Cost(VirtualAddress address)
        {
            cpu.Read<int>(address);
            long before = cpu.Cycles;
            cpu.Read<int>(address);
            return cpu.Cycles - before;
        }

        Cost(far).Should().Be(2 * Cost(near));
        cpu.Mmu.Explain(far).Cycles.Should().Be(Cost(far));
    }

    [Fact]
    public void The_data_cache_makes_the_second_access_to_a_line_cheap()
    {
        using Machine machine = MmuMachines.Boot(Architecture.X86_64, options: MmuOptions.Default with { DataCache = CacheGeometry.Skylake });
        Cpu cpu = machine.Cpus[0];
        VirtualAddress address = cpu.Pages.GetFreePage(Gfp.Kernel);
        cpu.Read<int>(address);
        long before = cpu.Cycles;
        cpu.Read<int>(address + 4);
        (cpu.Cycles - before).Should().Be(MemoryCosts.Default.L1CacheCycles);
        before = cpu.Cycles;
        cpu.Read<int>(address + 64);
        (cpu.Cycles - before).Should().Be(MemoryCosts.Default.DramCycles);
    }

    private static VirtualAddress MapOne(Machine machine, out Page page)
    {
        page = machine.Cpus[0].AllocPage(Gfp.Kernel);
        machine.Mmu.Kernel.Map(machine.Cpus[0], MmuMachines.Window(machine), [page], PageProtection.Kernel).Should().BeTrue();
        return MmuMachines.Window(machine);
    }

    private static VirtualAddress MapMany(Machine machine, int count)
    {
        Cpu cpu = machine.Cpus[0];
        Page[] pages = [.. Enumerable.Range(0, count).Select(_ => cpu.AllocPage(Gfp.Kernel))];
        machine.Mmu.Kernel.Map(cpu, MmuMachines.Window(machine), pages, PageProtection.Kernel).Should().BeTrue();
        return MmuMachines.Window(machine);
    }
}
