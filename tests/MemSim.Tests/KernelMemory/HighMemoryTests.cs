using FluentAssertions;
using FsCheck;
using FsCheck.Fluent;
using MemSim.Background;
using Xunit;

namespace MemSim.Tests.KernelMemory;

public class HighMemoryTests
{
    public static TheoryData<Architecture, int> WithHighMemory => new() { { Architecture.X86_32, 1024 }, { Architecture.X86_32Pae, 512 } };

    private static Machine Boot(Architecture architecture, int cpus = 1) => Machine.Boot(MachineSpec.Preset(architecture, "1G", cpus));

    private static Page HighPage(Cpu cpu)
    {
        Page page = cpu.AllocPages(Gfp.HighUser);
        page.Zone.Type.Should().Be(ZoneType.HighMem);
        return page;
    }

    private static KernelBugException Misuse(Action action) => action.Should().Throw<KernelBugException>().Which;

    [Theory]
    [MemberData(nameof(WithHighMemory))]
    public void A_high_page_gets_an_address_in_the_window_and_keeps_it_until_the_window_is_flushed(Architecture architecture, int slots)
    {
        using Machine machine = Boot(architecture, cpus: 2);
        Cpu cpu = machine.Cpus[0];
        Page page = HighPage(cpu);
        page.Address.IsNull.Should().BeTrue();

        VirtualAddress address = cpu.Kmap(page);

        machine.AddressSpace.PersistentKmap!.Value.Contains(address).Should().BeTrue();
        machine.Memory.KmapSlots.Should().HaveCount(slots);
        page.Address.Should().Be(address);
        cpu.Kmap(page).Should().Be(address, "a page has one mapping, however many users");
        machine.Memory.KmapSlots.Single(s => s.Users != 0).Count.Should().Be(3);
        machine.Cpus[1].Write(address + 100, 42);
        cpu.Read<int>(address + 100).Should().Be(42);
        cpu.Kunmap(page);
        cpu.Kunmap(page);
        page.Address.Should().Be(address, "unused is not flushed");
        machine.Verify();
        cpu.HighMemory.KmapFlushUnused();
        page.Address.IsNull.Should().BeTrue();
        cpu.Invoking(c => c.Read<int>(address)).Should().Throw<PageFaultException>();
        machine.Verify();
    }

    [Theory]
    [InlineData(Architecture.X86_64)]
    [InlineData(Architecture.X86_32)]
    [InlineData(Architecture.X86_32Pae)]
    [InlineData(Architecture.Arm64)]
    public void Low_memory_returns_its_direct_address(Architecture architecture)
    {
        using Machine machine = Boot(architecture);
        Cpu cpu = machine.Cpus[0];
        Page page = cpu.AllocPages(Gfp.Kernel);

        cpu.Kmap(page).Should().Be(page.Address);
        cpu.Kunmap(page);
        cpu.HighMemory.KmapAtomic(page).Should().Be(page.Address);
        cpu.Context.PageFaultsDisabled.Should().BeTrue();
        cpu.Context.PreemptDepth.Should().Be(1);
        cpu.HighMemory.KunmapAtomic(page.Address + 5);
        cpu.HighMemory.KmapAtomic(page, KmType.User1).Should().Be(page.Address);
        cpu.HighMemory.KunmapAtomic(page.Address, KmType.User1);
        cpu.HighMemory.KmapLocal(page).Should().Be(page.Address);
        cpu.HighMemory.KunmapLocal(page.Address);
        cpu.Context.InAtomic.Should().BeFalse();
        cpu.Context.PageFaultsDisabled.Should().BeFalse();
        machine.Verify();
    }

    [Theory]
    [MemberData(nameof(WithHighMemory))]
    public void Passing_the_end_of_the_window_flushes_the_slots_that_nobody_uses(Architecture architecture, int slots)
    {
        using Machine machine = Boot(architecture, cpus: 2);
        Cpu cpu = machine.Cpus[0];
        Page kept = HighPage(cpu);
        VirtualAddress keptAddress = cpu.Kmap(kept);
        cpu.Write(keptAddress, 7);
        machine.Cpus[1].Read<int>(keptAddress).Should().Be(7);
        for (int i = 1; i < slots - 1; i++)
        {
            Page page = HighPage(cpu);
            _ = cpu.Kmap(page);
            cpu.Kunmap(page);
        }

        machine.Memory.Kmaps!.Flushes.Should().Be(0);
        Page last = HighPage(cpu);
        _ = cpu.Kmap(last);

        machine.Memory.Kmaps.Flushes.Should().Be(1, "slot 0 is reached by wrapping: the search starts at slot 1");
        machine.Memory.KmapSlots.Count(s => s.Count != 0).Should().Be(2);
        machine.Cpus[1].Tlb.Statistics.InterruptsReceived.Should().BePositive("other CPUs have to forget the slots too");
        kept.Address.Should().Be(keptAddress);
        cpu.Read<int>(keptAddress).Should().Be(7);
        machine.Verify();
    }

    [Theory]
    [MemberData(nameof(WithHighMemory))]
    public void A_full_window_is_a_deadlock_that_names_the_holders(Architecture architecture, int slots)
    {
        using Machine machine = Boot(architecture);
        Cpu cpu = machine.Cpus[0];
        var pages = new List<Page>();
        using (cpu.Run(new KernelTask("hoarder", 77)))
        {
            for (int i = 0; i < slots; i++)
            {
                pages.Add(HighPage(cpu));
                cpu.Kmap(pages[^1]).IsNull.Should().BeFalse();
            }
        }

        Page one = HighPage(cpu);
        KernelBugException bug = Misuse(() => cpu.Kmap(one));

        bug.Kind.Should().Be(KernelBugKind.Deadlock);
        bug.Report.Should().Contain($"hoarder:77 holds {slots} slots");
        machine.Verify();
        cpu.Kunmap(pages[3]);
        cpu.Kmap(one).IsNull.Should().BeFalse("one slot was left");
        cpu.Kmap(pages[4]).IsNull.Should().BeFalse("a page that is mapped needs no slot");
        machine.Verify();
    }

    [Fact]
    public void A_background_thread_that_unmaps_ends_the_wait()
    {
        using Machine machine = Boot(Architecture.X86_32Pae);
        Cpu cpu = machine.Cpus[0];
        List<Page> pages = [];
        for (int i = 0; i < 512; i++)
        {
            pages.Add(HighPage(cpu));
            cpu.Kmap(pages[^1]);
        }

        machine.Background.Mode = BackgroundWork.Manual;
        machine.Background.Tasks.Wake(cpu, new Unmapper(pages[100]));

        cpu.Kmap(HighPage(cpu)).IsNull.Should().BeFalse();
        machine.Verify();
    }

    [Fact]
    public void On_parallel_machines_a_caller_sleeps_until_another_cpu_unmaps()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_32Pae("1G", cpus: 2).WithParallelCpus());
        Cpu first = machine.Cpus[0];
        List<Page> pages = [];
        for (int i = 0; i < 512; i++)
        {
            pages.Add(HighPage(first));
            first.Kmap(pages[^1]);
        }

        VirtualAddress mapped = default;
        Page wanted = HighPage(machine.Cpus[1]);
        var waiter = new Thread(() => mapped = machine.Cpus[1].Kmap(wanted));
        waiter.Start();
        SpinWait.SpinUntil(() => machine.Memory.Kmaps!.Waiting == 1, TimeSpan.FromSeconds(20)).Should().BeTrue();
        VirtualAddress left = pages[9].Address;
        first.Kunmap(pages[9]);
        waiter.Join(TimeSpan.FromSeconds(20)).Should().BeTrue();

        mapped.Should().Be(left);
        machine.Sysctl.HungTaskTimeout = TimeSpan.FromMilliseconds(20);
        Misuse(() => first.Kmap(HighPage(first))).Message.Should().Contain("blocked for more than 0.02 seconds");
        machine.Verify();
    }

    [Fact]
    public void Misuse_of_kmap_is_reported_and_changes_nothing()
    {
        using Machine machine = Boot(Architecture.X86_32);
        using Machine other = Boot(Architecture.X86_32);
        Cpu cpu = machine.Cpus[0];
        Page page = HighPage(cpu);

        Misuse(() => cpu.Kunmap(page)).Kind.Should().Be(KernelBugKind.InvalidObject);
        Misuse(() => cpu.Kmap(HighPage(other.Cpus[0]))).Kind.Should().Be(KernelBugKind.ForeignAddress);
        cpu.Invoking(c => c.Kmap(default)).Should().Throw<ArgumentException>();
        using (cpu.Context.HoldSpinlock())
        {
            Misuse(() => cpu.Kmap(page)).Kind.Should().Be(KernelBugKind.SleepingInAtomic);
        }

        _ = cpu.Kmap(page);
        cpu.Kunmap(page);
        Misuse(() => cpu.Kunmap(page)).Kind.Should().Be(KernelBugKind.InvalidObject, "the slot is mapped but has no user left");
        using (cpu.HardIrq())
        {
            Misuse(() => cpu.Kunmap(page)).Kind.Should().Be(KernelBugKind.SleepingInAtomic);
        }

        cpu.FreePages(page);
        Misuse(() => cpu.Kmap(page)).Kind.Should().Be(KernelBugKind.NotAllocated);
        Misuse(() => cpu.HighMemory.KmapAtomic(page)).Kind.Should().Be(KernelBugKind.NotAllocated);
        cpu.Context.InAtomic.Should().BeFalse();
        machine.Verify();
    }

    [Theory]
    [MemberData(nameof(WithHighMemory))]
    public void Atomic_mappings_are_a_stack_of_each_cpu(Architecture architecture, int slots)
    {
        _ = slots;
        using Machine machine = Boot(architecture, cpus: 2);
        Cpu cpu = machine.Cpus[0];
        Page first = HighPage(cpu);
        Page second = HighPage(cpu);

        VirtualAddress a = cpu.HighMemory.KmapAtomic(first);
        cpu.Write(a, 1);
        VirtualAddress b = cpu.HighMemory.KmapAtomic(second);
        cpu.Write(b, 2);
        VirtualAddress elsewhere = machine.Cpus[1].HighMemory.KmapAtomic(first);

        b.Should().Be(a + -4096);
        elsewhere.Should().NotBe(a);
        machine.Cpus[1].Read<int>(elsewhere).Should().Be(1);
        cpu.Read<int>(a).Should().Be(1);
        Misuse(() => cpu.HighMemory.KunmapAtomic(a)).Message.Should().Contain("wrong order");
        Misuse(() => cpu.HighMemory.KunmapLocal(b)).Kind.Should().Be(KernelBugKind.WrongMapping);
        Misuse(() => cpu.HighMemory.KunmapAtomic(elsewhere)).Kind.Should().Be(KernelBugKind.WrongMapping);
        Misuse(() => cpu.HighMemory.KunmapAtomic(new VirtualAddress(0x1000))).Kind.Should().Be(KernelBugKind.WrongMapping);
        machine.Verify();
        cpu.HighMemory.KunmapAtomic(b + 77);
        cpu.Invoking(c => c.Read<int>(b)).Should().Throw<PageFaultException>("the CPU has forgotten the slot");
        cpu.HighMemory.KunmapAtomic(a);
        Misuse(() => cpu.HighMemory.KunmapAtomic(a)).Message.Should().Contain("no atomic mapping is left");
        cpu.Context.InAtomic.Should().BeFalse();
        machine.Cpus[1].HighMemory.KunmapAtomic(elsewhere);
        machine.Verify();
    }

    [Fact]
    public void Sleeping_inside_an_atomic_mapping_is_reported()
    {
        using Machine machine = Boot(Architecture.X86_32);
        Cpu cpu = machine.Cpus[0];
        VirtualAddress address = cpu.HighMemory.KmapAtomic(HighPage(cpu));

        Misuse(() => cpu.AllocPages(Gfp.Kernel)).Kind.Should().Be(KernelBugKind.SleepingInAtomic);
        Misuse(() => cpu.Vmalloc(4096)).Kind.Should().Be(KernelBugKind.SleepingInAtomic);
        cpu.Invoking(c => c.Run(new KernelTask("other", 5))).Should().Throw<InvalidOperationException>().WithMessage("*scheduling while atomic*");
        cpu.AllocPages(Gfp.Atomic).IsNull.Should().BeFalse();
        cpu.HighMemory.KunmapAtomic(address);
        cpu.AllocPages(Gfp.Kernel).IsNull.Should().BeFalse();
        machine.Verify();
    }

    [Fact]
    public void No_fault_is_handled_inside_an_atomic_mapping()
    {
        using Machine machine = Boot(Architecture.X86_32);
        Cpu cpu = machine.Cpus[0];
        var handler = new CountingHandler();
        machine.Mmu.FaultHandler = handler;
        cpu.Invoking(c => c.Read<int>(new VirtualAddress(0x5000))).Should().Throw<PageFaultException>();
        handler.Calls.Should().Be(1);

        VirtualAddress address = cpu.HighMemory.KmapAtomic(HighPage(cpu));
        cpu.Invoking(c => c.Read<int>(new VirtualAddress(0x5000))).Should().Throw<PageFaultException>();

        handler.Calls.Should().Be(1);
        cpu.HighMemory.KunmapAtomic(address);
    }

    [Theory]
    [MemberData(nameof(WithHighMemory))]
    public void The_seventeenth_mapping_is_one_too_many(Architecture architecture, int slots)
    {
        _ = slots;
        using Machine machine = Boot(architecture);
        Cpu cpu = machine.Cpus[0];
        Page page = HighPage(cpu);
        List<VirtualAddress> addresses = [];
        for (int i = 0; i < 16; i++)
        {
            addresses.Add(i % 2 == 0 ? cpu.HighMemory.KmapLocal(page) : cpu.HighMemory.KmapAtomic(page));
        }

        Page extra = cpu.AllocPages(Gfp.Atomic | Gfp.HighMem);
        Misuse(() => cpu.HighMemory.KmapLocal(extra)).Message.Should().Contain("KM_MAX_IDX");
        Misuse(() => cpu.HighMemory.KmapAtomic(extra)).Message.Should().Contain("KM_MAX_IDX");
        cpu.Context.PreemptDepth.Should().Be(8);
        machine.Verify();
        for (int i = 15; i >= 0; i--)
        {
            if (i % 2 == 0)
            {
                cpu.HighMemory.KunmapLocal(addresses[i]);
            }
            else
            {
                cpu.HighMemory.KunmapAtomic(addresses[i]);
            }
        }

        cpu.HighMemory.LocalMappings.Should().Be(0);
        machine.Verify();
    }

    [Fact]
    public void Slots_of_2_6_are_one_for_each_type_and_context()
    {
        using Machine machine = Boot(Architecture.X86_32);
        Cpu cpu = machine.Cpus[0];
        Page page = HighPage(cpu);
        Page other = HighPage(cpu);

        VirtualAddress user = cpu.HighMemory.KmapAtomic(page, KmType.User0);
        cpu.Write(user, 99);
        Misuse(() => cpu.HighMemory.KmapAtomic(other, KmType.User0)).Message.Should().Contain("in use");
        VirtualAddress second = cpu.HighMemory.KmapAtomic(other, KmType.User1);
        second.Should().NotBe(user);
        Misuse(() => cpu.HighMemory.KunmapAtomic(user, KmType.User1)).Kind.Should().Be(KernelBugKind.WrongMapping);
        Misuse(() => cpu.HighMemory.KmapAtomic(other, KmType.Irq0)).Message.Should().Contain("interrupts disabled");
        using (cpu.HardIrq())
        {
            Misuse(() => cpu.HighMemory.KmapAtomic(other, KmType.Pte0)).Message.Should().Contain("interrupts");
            VirtualAddress irq = cpu.HighMemory.KmapAtomic(page, KmType.Irq0);
            cpu.Read<int>(irq).Should().Be(99);
            machine.Verify();
            cpu.HighMemory.KunmapAtomic(irq, KmType.Irq0);
        }

        Misuse(() => cpu.HighMemory.KmapAtomic(other, (KmType)13)).Kind.Should().Be(KernelBugKind.WrongMapping);
        cpu.HighMemory.KunmapAtomic(user, KmType.User0);
        Misuse(() => cpu.HighMemory.KunmapAtomic(user, KmType.User0)).Message.Should().Contain("not in use");
        cpu.HighMemory.KunmapAtomic(second, KmType.User1);
        cpu.Context.InAtomic.Should().BeFalse();
        machine.Verify();
    }

    [Fact]
    public void Local_mappings_belong_to_the_task_and_come_back_with_it()
    {
        using Machine machine = Boot(Architecture.X86_32Pae, cpus: 2);
        Cpu cpu = machine.Cpus[0];
        KernelTask reader = new("reader", 10);
        Page mine = HighPage(cpu);
        VirtualAddress address;
        using (cpu.Run(reader))
        {
            address = cpu.HighMemory.KmapLocal(mine);
            cpu.Write(address, 1234);
            using (cpu.Run(new KernelTask("other", 11)))
            {
                cpu.Invoking(c => c.Read<int>(address)).Should().Throw<PageFaultException>("the mapping is the reader's");
                VirtualAddress same = cpu.HighMemory.KmapLocal(HighPage(cpu));
                same.Should().Be(address);
                cpu.Write(same, 4321);
                cpu.HighMemory.KunmapLocal(same);
                machine.Verify();
            }

            cpu.Read<int>(address).Should().Be(1234);
        }

        machine.Verify();
        machine.Cpus[1].Invoking(c => c.Run(reader)).Should().Throw<InvalidOperationException>().WithMessage("*migration is disabled*");
        using (cpu.Run(reader))
        {
            cpu.Read<int>(address).Should().Be(1234);
            cpu.HighMemory.KunmapLocal(address);
            Misuse(() => cpu.HighMemory.KunmapLocal(address)).Kind.Should().Be(KernelBugKind.WrongMapping);
        }

        using ContextScope elsewhere = machine.Cpus[1].Run(reader);
        machine.Verify();
    }

    [Fact]
    public void Pairs_take_nothing_from_the_managed_heap()
    {
        using Machine machine = Boot(Architecture.X86_32Pae);
        Cpu cpu = machine.Cpus[0];
        Page page = HighPage(cpu);

        ManagedBytes.TakenBy(() =>
        {
            for (int i = 0; i < 1000; i++)
            {
                _ = cpu.Kmap(page);
                cpu.Kunmap(page);
                cpu.HighMemory.KmapFlushUnused();
                cpu.HighMemory.KunmapAtomic(cpu.HighMemory.KmapAtomic(page));
                cpu.HighMemory.KunmapLocal(cpu.HighMemory.KmapLocal(page));
                cpu.HighMemory.KunmapAtomic(cpu.HighMemory.KmapAtomic(page, KmType.User0), KmType.User0);
            }
        }).Should().Be(0);
    }

    /// <summary>Random pages mapped and unmapped against a dictionary: contents are found at every address given out.</summary>
    [Fact]
    public void Every_address_leads_to_its_page() => Prop.ForAll(ArbMap.Default.ArbFor<int>(), EveryAddressLeadsToItsPage).Check(Config.QuickThrowOnFailure.WithMaxTest(20));

    private static void EveryAddressLeadsToItsPage(int seed)
    {
        using Machine machine = Boot((seed & 1) == 0 ? Architecture.X86_32 : Architecture.X86_32Pae, cpus: 2);
        var random = new Random(seed);
        List<Page> pages = [.. Enumerable.Range(0, 700).Select(_ => HighPage(machine.Cpus[0]))];
        Dictionary<int, int> users = [];
        for (int step = 0; step < 3000; step++)
        {
            Cpu cpu = machine.Cpus[random.Next(2)];
            int which = random.Next(pages.Count);
            int used = users.GetValueOrDefault(which);
            if (used > 0 && random.Next(users.Count > 400 ? 8 : 2) != 0)
            {
                cpu.Kunmap(pages[which]);
                users[which] = used - 1;
                if (used == 1)
                {
                    users.Remove(which);
                }
            }
            else if (users.Count < 480 || used > 0)
            {
                VirtualAddress address = cpu.Kmap(pages[which]);
                cpu.Write(address + 8, which);
                users[which] = used + 1;
            }
            else
            {
                VirtualAddress address = cpu.HighMemory.KmapAtomic(pages[which]);
                cpu.Write(address + 8, which);
                cpu.HighMemory.KunmapAtomic(address);
            }
        }

        foreach (int which in users.Keys)
        {
            machine.Cpus[1].Read<int>(pages[which].Address + 8).Should().Be(which);
        }

        machine.Memory.KmapSlots.Sum(s => s.Users).Should().Be(users.Values.Sum());
        machine.Verify();
    }

    private sealed class Unmapper(Page page) : BackgroundTask("unmapper", 3, null)
    {
        public override void Run(Cpu cpu) => cpu.Kunmap(page);
    }

    private sealed class CountingHandler : IPageFaultHandler
    {
        public int Calls { get; private set; }

        public bool Handle(Cpu cpu, in PageFault fault)
        {
            Calls++;
            return false;
        }
    }
}
