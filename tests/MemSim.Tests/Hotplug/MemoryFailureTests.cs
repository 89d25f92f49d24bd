using FluentAssertions;
using MemSim.Tests.Filesystems;
using MemSim.Tests.Swap;
using MemSim.Tests.VirtualMemory;
using Xunit;

namespace MemSim.Tests.Hotplug;

/// <summary>Hardware errors: which pages go out of use, who is told, what the log says.</summary>
public sealed class MemoryFailureTests : MachineTests
{
    private const long Huge = 2 << 20;
    private readonly ListLogger _log = new();

    public static TheoryData<string> Architectures => ["x86_64", "x86_32", "pae", "arm64"];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void A_page_of_the_kernel_that_broke_stays_out_of_use_when_it_is_freed_among_others(int cpus)
    {
        Machine machine = Boot(MachineSpec.X86_64("128M", cpus));
        Cpu cpu = machine.Cpus[0];
        Page[] pages = new Page[10];
        cpu.Pages.AllocPagesBulk(Gfp.Kernel, pages).Should().Be(10);
        machine.Hotplug.Failures.Fail(pages[4].Pfn);
        cpu.Pages.FreePagesBulk(pages);
        cpu.AllocateAll(Gfp.NoWait).Should().NotContain(pages[4]).And.Contain(pages[5]);
        pages[4].Flags.Should().HaveFlag(PageFlags.HwPoison);
    }

    [Theory]
    [InlineData("6.1")]
    [InlineData("7.3")]
    public void A_page_that_broke_in_use_stays_out_of_use_when_its_last_reference_goes_with_those_of_others(string kernel)
    {
        Machine machine = Boot(MachineSpec.X86_64("128M").WithKernel(kernel));
        Cpu cpu = machine.Cpus[0];
        Page[] pages = [.. Enumerable.Range(0, 10).Select(_ => cpu.AllocPage(Gfp.Kernel))];
        machine.Hotplug.Failures.Fail(pages[4].Pfn).Should().Be(Errno.EBUSY);
        machine.Lru.PutAll(cpu, [.. pages.Select(page => page.FrameIndex)]);
        cpu.AllocateAll(Gfp.NoWait).Should().NotContain(pages[4]).And.Contain(pages[5]);
        pages[4].Flags.Should().HaveFlag(PageFlags.HwPoison);
        machine.Verify();
    }

    [Fact]
    public void A_free_page_is_taken_off_the_lists_and_never_handed_out()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M").WithLogging(_log));
        Cpu cpu = machine.Cpus[0];
        Page page = cpu.AllocPage(Gfp.Kernel);
        cpu.FreePages(page, 0);
        long free = Free(machine);

        machine.Hotplug.Failures.Fail(page.Pfn).Should().Be(Errno.None);

        Free(machine).Should().Be(free - 1);
        page.Flags.Should().HaveFlag(PageFlags.HwPoison);
        page.Count.Should().Be(1);
        Lines().Should().Equal($"Memory failure: {page.Pfn}: recovery action for free buddy page: Recovered");
        machine.Proc.MemInfo.Should().Contain("HardwareCorrupted:     4 kB");
        machine.Hotplug.Failures.OnNode(0).Should().Be(new MemoryFailureCounts(1, 0, 0, 0, 1));
        machine.Hotplug.Failures.Fail(page.Pfn).Should().Be(Errno.EHWPOISON);
        machine.Verify();

        List<Page> all = [];
        while (cpu.AllocPage(Gfp.Kernel | Gfp.NoWarn) is { IsNull: false } taken)
        {
            all.Add(taken);
        }

        all.Should().NotContain(page);
        all.ForEach(p => cpu.FreePages(p, 0));
        machine.Hotplug.Failures.Unpoison(page.Pfn).Should().Be(Errno.None);
        Free(machine).Should().Be(free);
        machine.Hotplug.Failures.CorruptedPages.Should().Be(0);
        machine.Hotplug.Failures.Unpoison(page.Pfn).Should().Be(Errno.EBUSY);
        Lines().TakeLast(2).Should().Equal($"Unpoison: Software-unpoisoned page {page.Pfn}", $"Unpoison: Page was already unpoisoned {page.Pfn}");
    }

    [Fact]
    public void The_kernels_own_pages_stay_in_use_and_go_out_of_it_when_they_are_freed()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M").WithLogging(_log));
        Cpu cpu = machine.Cpus[0];
        Page block = cpu.AllocPages(Gfp.Kernel, 4);
        Pfn broken = block.Pfn + 5;

        machine.Hotplug.Failures.Fail(broken).Should().Be(Errno.EBUSY);

        Lines().Should().Equal($"Memory failure: {broken}: unhandlable page.", $"Memory failure: {broken}: recovery action for unknown page: Ignored");
        machine.Hotplug.Failures.OnNode(0).Should().Be(new MemoryFailureCounts(1, 1, 0, 0, 0));
        machine.Hotplug.Failures.IsPoisoned(broken).Should().BeTrue();
        machine.Hotplug.Failures.Unpoison(broken).Should().Be(Errno.EBUSY, "its owner has it");
        long free = Free(machine);
        cpu.FreePages(block, 4);
        Free(machine).Should().Be(free + 15);
        machine.Verify();
        List<Page> all = [];
        for (int order = PageGeometry.MaxOrder; order >= 0; order--)
        {
            while (cpu.AllocPages(Gfp.Kernel | Gfp.NoWarn, order) is { IsNull: false } taken)
            {
                (broken.Value >= taken.Pfn.Value && broken.Value < taken.Pfn.Value + (1 << order)).Should().BeFalse();
                all.Add(taken);
            }
        }

        all.ForEach(p => cpu.FreePages(p, p.Order));
        machine.Hotplug.Failures.Unpoison(broken).Should().Be(Errno.None);

        VirtualAddress slab = cpu.Kmalloc(64, Gfp.Kernel);
        machine.Hotplug.Failures.Fail(cpu.Pages.VirtToPage(slab).Pfn).Should().Be(Errno.EBUSY);
        machine.Hotplug.Failures.Fail(new Pfn(machine.Frames.ReservedRanges.First(range => machine.ZoneTable.ZoneOf((int)range.Start) is not null).Start)).Should().Be(Errno.EBUSY, "reserved");
        machine.Hotplug.Failures.Fail(new Pfn(0x7fffff)).Should().Be(Errno.ENXIO);
        Lines()[^1].Should().Be("Memory failure: 0x7fffff: memory outside kernel control");
        cpu.Kfree(slab);
    }

    [Theory]
    [MemberData(nameof(Architectures))]
    public void A_process_is_told_where_its_memory_was_lost(string architecture)
    {
        using Machine machine = ForkTests.Boot(architecture);
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("victim");
        VirtualAddress at = process.Mm.Mmap(4 * 4096, Prot.Read | Prot.Write);
        process.Mm.Madvise(at, 4 * 4096, MemoryAdvice.NoHugePage);
        Pfn pfn;
        using (cpu.Run(process))
        {
            cpu.Write(at + 0x1008, 7);
            pfn = new Pfn(process.PageAt(machine, at + 0x1000));
        }

        Process child = process.Fork();
        machine.Hotplug.Failures.Fail(pfn).Should().Be(Errno.None);
        process.LastSignal.Should().BeNull("it may never use it");
        machine.Verify();
        foreach (Process one in new[] { process, child })
        {
            using (cpu.Run(one))
            {
                SignalException death = Assert.Throws<SignalException>(() => cpu.Read<int>(at + 0x1008));
                death.SignalInfo.Should().Be(new SignalInfo(Signal.SIGBUS, SignalCode.MemoryErrorActionRequired, at + 0x1008));
                death.SignalInfo.ToString().Should().StartWith("SIGBUS (BUS_MCEERR_AR) at");
                cpu.Read<int>(at).Should().Be(0, "its neighbours are whole");
            }
        }

        using (cpu.Run(process))
        {
            process.Mm.Madvise(at, 4 * 4096, MemoryAdvice.DontNeed).Should().Be(Errno.None);
            cpu.Write(at + 0x1008, 8);
            cpu.Read<int>(at + 0x1008).Should().Be(8, "another page is there");
        }

        machine.Verify();
        process.Exit();
        child.Exit();
        machine.Verify();
        machine.GetPage(pfn).Flags.Should().HaveFlag(PageFlags.HwPoison);
    }

    [Fact]
    public void Early_kill_tells_at_once_and_who_does_not_handle_it_dies()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M").WithCommandLine("transparent_hugepage=never").WithLogging(_log));
        Cpu cpu = machine.Cpus[0];
        Process early = machine.CreateProcess("early");
        early.MemoryErrorPolicy = MemoryErrorPolicy.Early;
        SignalInfo? told = null;
        early.SignalHandler = info =>
        {
            told = info;
            return true;
        };
        VirtualAddress at = early.Mm.Mmap(4096, Prot.Read | Prot.Write);
        using (cpu.Run(early))
        {
            cpu.Write(at, 1);
        }

        Process child = early.Fork();
        child.SignalHandler = null;
        Process late = early.Fork();
        late.MemoryErrorPolicy = MemoryErrorPolicy.Late;
        Pfn pfn = new(early.PageAt(machine, at));

        machine.Hotplug.Failures.Fail(pfn).Should().Be(Errno.None);

        told.Should().Be(new SignalInfo(Signal.SIGBUS, SignalCode.MemoryErrorActionOptional, at));
        told.ToString().Should().StartWith("SIGBUS (BUS_MCEERR_AO) at");
        child.IsAlive.Should().BeFalse();
        child.ExitStatus.Should().Be(new ExitStatus(0, Signal.SIGBUS));
        (early.IsAlive, late.IsAlive, late.LastSignal).Should().Be((true, true, null));
        Lines().Should().Equal(
            $"Memory failure: {pfn}: Sending SIGBUS to early:{early.Pid} due to hardware memory corruption",
            $"Memory failure: {pfn}: Sending SIGBUS to early:{child.Pid} due to hardware memory corruption",
            $"Memory failure: {pfn}: recovery action for dirty LRU page: Recovered");
    }

    [Fact]
    public void The_sysctls_tell_everybody_or_panic()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M").WithCommandLine("transparent_hugepage=never"));
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("p");
        VirtualAddress at = process.Mm.Mmap(4096, Prot.Read | Prot.Write);
        using (cpu.Run(process))
        {
            cpu.Write(at, 1);
        }

        machine.Sysctl.Set("vm.memory_failure_early_kill", "1");
        machine.Hotplug.Failures.Fail(new Pfn(process.PageAt(machine, at))).Should().Be(Errno.None);
        process.IsAlive.Should().BeFalse();
        machine.Sysctl.Set("vm.memory_failure_recovery", "0");
        Assert.Throws<KernelBugException>(() => machine.Hotplug.Failures.Fail(new Pfn(5000))).Kind.Should().Be(KernelBugKind.Panic);
        machine.Hotplug.Failures.IsPoisoned(new Pfn(5000)).Should().BeFalse();
    }

    [Fact]
    public void Advice_breaks_the_pages_of_the_caller_and_kills_it()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M").WithCommandLine("transparent_hugepage=never").WithLogging(_log));
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("test");
        VirtualAddress at = process.Mm.Mmap(3 * 4096, Prot.Read | Prot.Write);
        List<SignalInfo> told = [];
        using (cpu.Run(process))
        {
            cpu.Write(at, 1);
            cpu.Write(at + 4096, 2);
            cpu.Write(at + 8192, 3);
            Pfn pfn = new(process.PageAt(machine, at));
            process.SignalHandler = info =>
            {
                told.Add(info);
                return true;
            };
            process.Mm.Madvise(at, 4096, MemoryAdvice.HwPoison).Should().Be(Errno.None);
            told.Should().Equal(new SignalInfo(Signal.SIGBUS, SignalCode.MemoryErrorActionRequired, at));
            Lines().Should().Equal(
                $"Injecting memory failure for pfn {pfn} at process virtual address {at.Value:x}".Replace("address ", "address 0x", StringComparison.Ordinal),
                $"Memory failure: {pfn}: Sending SIGBUS to test:{process.Pid} due to hardware memory corruption",
                $"Memory failure: {pfn}: recovery action for dirty LRU page: Recovered");
            machine.Hotplug.Failures.Fail(pfn, MemoryFailureFlags.ActionRequired, cpu).Should().Be(Errno.EHWPOISON);
            told.Should().HaveCount(2, "it is told where again");
            process.Mm.Madvise(at, 4096, MemoryAdvice.HwPoison).Should().Be(Errno.EFAULT, "there is no page to be had");

            long corrupted = machine.Hotplug.Failures.CorruptedPages;
            Pfn before = new(process.PageAt(machine, at + 4096));
            process.Mm.Madvise(at + 4096, 4096, MemoryAdvice.SoftOffline).Should().Be(Errno.None);
            cpu.Read<int>(at + 4096).Should().Be(2, "nobody noticed");
            process.PageAt(machine, at + 4096).Should().NotBe((int)before.Value);
            machine.Hotplug.Failures.IsPoisoned(before).Should().BeTrue();
            machine.Hotplug.Failures.CorruptedPages.Should().Be(corrupted + 1);
            machine.Verify();

            process.SignalHandler = null;
            process.Mm.Madvise(at + 8192, 4096, MemoryAdvice.HwPoison).Should().Be(Errno.None);
            Assert.Throws<SignalException>(() => cpu.Read<int>(at + 8192)).SignalInfo.Signal.Should().Be(Signal.SIGBUS, "it ends when it next faults");
        }

        process.IsAlive.Should().BeFalse();
        process.ExitStatus.Signal.Should().Be(Signal.SIGBUS);
    }

    [Fact]
    public void A_clean_page_of_a_file_is_read_again_and_a_dirty_one_is_lost_with_an_error()
    {
        using FileMachine rig = new();
        Machine machine = rig.Machine;
        OpenFile file = rig.FileOnDisk(4);
        Process process = machine.CreateProcess("reader");
        VirtualAddress at = process.Mm.Mmap(default, 4 * 4096, Prot.Read | Prot.Write, MapFlags.Shared, file);
        using (rig.Cpu.Run(process))
        {
            rig.Cpu.Read<byte>(at).Should().Be(1);
            Pfn clean = new(FileMachine.PageOf(file, 0));
            machine.Hotplug.Failures.Fail(clean).Should().Be(Errno.None);
            FileMachine.PageOf(file, 0).Should().Be(-1);
            rig.Cpu.Read<byte>(at).Should().Be(1, "it comes from the disk again");
            machine.Verify();

            rig.Cpu.Write(at + 4096, (byte)99);
            Pfn dirty = new(FileMachine.PageOf(file, 1));
            machine.Hotplug.Failures.Fail(dirty).Should().Be(Errno.None);
            Assert.Throws<SignalException>(() => rig.Cpu.Read<byte>(at + 4096)).SignalInfo.Code.Should().Be(SignalCode.MemoryErrorActionRequired);
            machine.Verify();
        }

        rig.Cpu.Files.Fsync(file).Should().Be(Errno.EIO, "what was written is gone");
        rig.ReadPage(file, 1).Should().Be(2, "the disk has what was there before");
        machine.Hotplug.Failures.OnNode(0).Recovered.Should().Be(2);
        Pfn held = new(FileMachine.PageOf(file, 1));
        rig.Cpu.Pages.GetPage(machine.GetPage(held));
        machine.Hotplug.Failures.Fail(held).Should().Be(Errno.EBUSY);
        machine.Hotplug.Failures.OnNode(0).Failed.Should().Be(1);
        rig.Cpu.Pages.PutPage(machine.GetPage(held));
        machine.Verify();
        Pfn idle = new(FileMachine.PageOf(file, 0));
        process.Exit();
        machine.Hotplug.Failures.SoftOffline(idle).Should().Be(Errno.None);
        FileMachine.PageOf(file, 0).Should().Be(-1, "clean and mapped nowhere: dropped");
        machine.Hotplug.Failures.SoftOffline(idle).Should().Be(Errno.None, "it is out of use already");
    }

    [Fact]
    public void A_page_of_shared_memory_stays_in_its_file_and_answers_with_errors()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        OpenFile file = machine.Files.MountTmpfs().Create("shm").Value;
        cpu.Files.Write(file, 0, new byte[8192]).Value.Should().Be(8192);
        machine.Hotplug.Failures.Fail(new Pfn(FileMachine.PageOf(file, 0))).Should().Be(Errno.None);
        cpu.Files.Read(file, 0, new byte[4096]).Error.Should().Be(Errno.EIO);
        cpu.Files.Write(file, 0, new byte[1]).Error.Should().Be(Errno.EIO);
        cpu.Files.Read(file, 4096, new byte[4096]).Value.Should().Be(4096);
        Process process = machine.CreateProcess("p");
        VirtualAddress at = process.Mm.Mmap(default, 8192, Prot.Read, MapFlags.Shared, file);
        using (cpu.Run(process))
        {
            Assert.Throws<SignalException>(() => cpu.Read<byte>(at)).SignalInfo.Code.Should().Be(SignalCode.MemoryErrorActionRequired);
        }

        machine.Verify();
        process.Exit();
        cpu.Files.Truncate(file, 0).Should().Be(Errno.None);
        machine.Verify();
        machine.Hotplug.Failures.CorruptedPages.Should().Be(1);
    }

    [Fact]
    public void In_the_swap_cache_a_clean_page_comes_from_swap_and_a_dirty_one_is_kept_until_its_slot_is_free()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M").WithCommandLine("transparent_hugepage=never").WithLogging(_log));
        Cpu cpu = machine.Cpus[0];
        using BlockDevice disk = new("sdb", "16M");
        SwapArea area = machine.Swap.SwapOn(disk);
        Process process = machine.CreateProcess("p");
        VirtualAddress at = process.Mm.Mmap(16 * 4096, Prot.Read | Prot.Write);
        using (cpu.Run(process))
        {
            for (int i = 0; i < 16; i++)
            {
                cpu.Write(at + (ulong)(i * 4096), i + 1);
            }

            process.Mm.Madvise(at, 16 * 4096, MemoryAdvice.PageOut).Should().Be(Errno.None);
            cpu.Read<int>(at).Should().Be(1);
            Pfn clean = new(process.PageAt(machine, at));
            machine.Swap.IsCached((int)clean.Value).Should().BeTrue();
            machine.Hotplug.Failures.Fail(clean).Should().Be(Errno.None);
            Lines()[^1].Should().Be($"Memory failure: {clean}: recovery action for clean swapcache page: Recovered");
            cpu.Read<int>(at).Should().Be(1, "swap still has it");
            machine.Verify();

            Process child = process.Fork();
            process.Mm.Madvise(at, 16 * 4096, MemoryAdvice.PageOut).Should().Be(Errno.None);
            cpu.Read<int>(at + 4096).Should().Be(2);
            int pfn = process.PageAt(machine, at + 4096);
            machine.GetPage(new Pfn(pfn)).SetFlags(PageFlags.Dirty);
            machine.Hotplug.Failures.Fail(new Pfn(pfn)).Should().Be(Errno.None);
            Lines()[^1].Should().Be($"Memory failure: 0x{pfn:x}: recovery action for dirty swapcache page: Delayed");
            Assert.Throws<SignalException>(() => cpu.Read<int>(at + 4096)).SignalInfo.Code.Should().Be(SignalCode.MemoryErrorActionRequired);
            machine.Verify();
            child.Exit();
            machine.Swap.SwapOff(cpu, area).Should().Be(Errno.None);
            Assert.Throws<SignalException>(() => cpu.Read<int>(at + 4096)).SignalInfo.Code.Should().Be(SignalCode.MemoryErrorActionRequired);
            for (int i = 0; i < 16; i++)
            {
                _ = i == 1 || cpu.Read<int>(at + (ulong)(i * 4096)).Should().Be(i + 1) is not null;
            }
        }

        machine.Verify();
        process.Exit();
        machine.Verify();
    }

    [Fact]
    public void A_huge_page_is_split_and_only_the_broken_part_is_lost()
    {
        Machine machine = Boot(MachineSpec.X86_64("1G").WithCommandLine("transparent_hugepage=always").WithLogging(_log));
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("p");
        VirtualAddress at = process.Mm.Mmap(4 * Huge, Prot.Read | Prot.Write);
        at = new VirtualAddress((at.Value + (ulong)Huge - 1) & ~((ulong)Huge - 1));
        using (cpu.Run(process))
        {
            for (ulong i = 0; i < 1024; i++)
            {
                cpu.Write(at + (i * 4096), (int)i);
            }

            int head = HugeAt(machine, process, at);
            machine.GetPage(new Pfn(head)).Order.Should().Be(9);
            machine.Hotplug.Failures.Fail(new Pfn(head + 77)).Should().Be(Errno.None);
            Lines()[^1].Should().EndWith("recovery action for dirty LRU page: Recovered");
            machine.Verify();
            for (ulong i = 0; i < 512; i++)
            {
                _ = i == 77 || cpu.Read<int>(at + (i * 4096)).Should().Be((int)i) is not null;
            }

            Assert.Throws<SignalException>(() => cpu.Read<int>(at + (77 * 4096)));
            int second = HugeAt(machine, process, at + (ulong)Huge);
            machine.Hotplug.Failures.SoftOffline(new Pfn(second + 5)).Should().Be(Errno.None);
            cpu.Read<int>(at + (ulong)Huge + (5 * 4096)).Should().Be(517);
            process.PageAt(machine, at + (ulong)Huge + (5 * 4096)).Should().NotBe(second + 5);
            process.PageAt(machine, at + (ulong)Huge + (6 * 4096)).Should().Be(second + 6);
            machine.Verify();
        }

        process.Exit();
        machine.Hotplug.Failures.CorruptedPages.Should().Be(2);
    }

    [Fact]
    public void Huge_pages_of_pools_are_dissolved()
    {
        Machine machine = Boot(MachineSpec.X86_64("256M").WithLogging(_log));
        Cpu cpu = machine.Cpus[0];
        HugetlbPool pool = machine.Hugetlb.Pool;
        pool.Resize(cpu, 4).Should().Be(4);
        Process process = machine.CreateProcess("p");
        VirtualAddress own = process.Mm.Mmap(default, Huge, Prot.Read | Prot.Write, MapFlags.Private | MapFlags.Anonymous | MapFlags.HugeTlb);
        VirtualAddress shared = process.Mm.Mmap(default, Huge, Prot.Read | Prot.Write, MapFlags.Shared | MapFlags.Anonymous | MapFlags.HugeTlb);
        using (cpu.Run(process))
        {
            cpu.Write(own, 1);
            cpu.Write(shared, 2);
            (pool.Total, pool.Free).Should().Be((4, 2));
            Pfn inUse = new(HugeAt(machine, process, own) + 3);
            long free = Free(machine);
            machine.Hotplug.Failures.SoftOffline(inUse).Should().Be(Errno.EBUSY, "such pages do not move here");
            machine.Hotplug.Failures.Fail(inUse).Should().Be(Errno.None);
            Lines()[^1].Should().Be($"Memory failure: {inUse}: recovery action for huge page: Recovered");
            Free(machine).Should().Be(free + 511, "what is good of it");
            (pool.Total, pool.Free).Should().Be((3, 2));
            Assert.Throws<SignalException>(() => cpu.Read<int>(own)).SignalInfo.Code.Should().Be(SignalCode.MemoryErrorActionRequired);
            machine.Verify();

            machine.Hotplug.Failures.Fail(new Pfn(HugeAt(machine, process, shared))).Should().Be(Errno.None);
            Assert.Throws<SignalException>(() => cpu.Read<int>(shared)).SignalInfo.Code.Should().Be(SignalCode.MemoryErrorActionRequired);
            (pool.Total, pool.Free).Should().Be((3, 2), "the page stays in its file");
            machine.Verify();
        }

        process.Exit();
        machine.Verify();
        (pool.Total, pool.Free).Should().Be((2, 2), "it left the pool with its file");
        Pfn idle = new(AnyFree(pool));
        machine.Hotplug.Failures.Fail(idle).Should().Be(Errno.None);
        Lines()[^1].Should().Be($"Memory failure: {idle}: recovery action for free huge page: Recovered");
        machine.Hotplug.Failures.SoftOffline(new Pfn(AnyFree(pool))).Should().Be(Errno.None);
        pool.Total.Should().Be(0);
        machine.Verify();
    }

    [Fact]
    public void What_is_out_of_use_stays_so_in_a_snapshot_and_goes_with_its_block()
    {
        Machine machine = Boot(MachineSpec.X86_64("1G"));
        Cpu cpu = machine.Cpus[0];
        Pfn broken = new((5 << 15) + 123);
        machine.Hotplug.Failures.Fail(broken).Should().Be(Errno.None);
        using (Machine copy = machine.Snapshot().Boot())
        {
            copy.Hotplug.Failures.IsPoisoned(broken).Should().BeTrue();
            copy.GetPage(broken).Flags.Should().HaveFlag(PageFlags.HwPoison);
            copy.Hotplug.Failures.OnNode(0).Recovered.Should().Be(1);
            copy.Hotplug.Failures.Unpoison(broken).Should().Be(Errno.None);
            copy.Verify();
        }

        machine.Hotplug.Memory.Offline(5, cpu).Should().Be(Errno.None, "nobody uses the broken page");
        machine.Hotplug.Failures.CorruptedPages.Should().Be(0);
        machine.Hotplug.Failures.Fail(broken).Should().Be(Errno.ENXIO);
        machine.Hotplug.Memory.Online(5, on: cpu).Should().Be(Errno.None);
        machine.Hotplug.Failures.IsPoisoned(broken).Should().BeFalse();
    }

    [Fact]
    public void A_driver_moves_its_page_and_what_cannot_move_stays()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M").WithLogging(_log));
        Cpu cpu = machine.Cpus[0];
        MovablePool pool = machine.Migration.CreateMovablePool();
        int number = pool.Allocate(cpu);
        Pfn before = pool[number].Pfn;
        machine.Hotplug.Failures.SoftOffline(before).Should().Be(Errno.None);
        pool[number].Pfn.Should().NotBe(before);
        machine.Hotplug.Failures.IsPoisoned(before).Should().BeTrue();
        machine.Hotplug.Failures.OnNode(0).Total.Should().Be(0, "only errors that the hardware could not correct count there");
        Page own = cpu.AllocPage(Gfp.Kernel);
        machine.Hotplug.Failures.SoftOffline(own.Pfn).Should().Be(Errno.EIO);
        machine.Hotplug.Failures.IsPoisoned(own.Pfn).Should().BeFalse();
        cpu.FreePages(own, 0);
        Page held = pool[number];
        cpu.Pages.GetPage(held);
        machine.Hotplug.Failures.SoftOffline(held.Pfn).Should().Be(Errno.EBUSY);
        pool[number].Pfn.Should().Be(held.Pfn);
        cpu.Pages.PutPage(held);
    }

    [Theory]
    [InlineData("x86_64", 1)]
    [InlineData("x86_64", 2)]
    [InlineData("x86_32", 3)]
    [InlineData("pae", 4)]
    [InlineData("arm64", 5)]
    public void Errors_anywhere_at_any_time_leave_the_machine_whole(string architecture, int seed)
    {
        Random random = new(seed);
        using Machine machine = ForkTests.Boot(architecture);
        Cpu cpu = machine.Cpus[0];
        using BlockDevice disk = new("sdb", "16M");
        using BlockDevice data = new("sda", "32M");
        SwapArea area = machine.Swap.SwapOn(disk);
        OpenFile file = machine.Files.Mount(data).Create("file").Value;
        OpenFile shared = machine.Files.MountTmpfs().Create("shm").Value;
        machine.Hugetlb.Pool.Resize(cpu, 3);
        MovablePool pool = machine.Migration.CreateMovablePool();
        List<(Page Page, int Order)> own = [];
        List<int> numbers = [];
        List<Pfn> broken = [];
        const long Bytes = 8 << 20;
        Process process = machine.CreateProcess("p");
        VirtualAddress[] areas =
        [
            process.Mm.Mmap(Bytes, Prot.Read | Prot.Write), process.Mm.Mmap(default, 1 << 20, Prot.Read | Prot.Write, MapFlags.Shared, file),
            process.Mm.Mmap(default, 1 << 20, Prot.Read | Prot.Write, MapFlags.Shared, shared), process.Mm.Mmap(default, 1 << 20, Prot.Read | Prot.Write, MapFlags.Private, file),
        ];
        cpu.Files.Truncate(file, 1 << 20);
        cpu.Files.Truncate(shared, 1 << 20);
        for (int step = 0; step < 1500; step++)
        {
            Pfn pfn = new(random.NextInt64(machine.Frames.Count));
            switch (random.Next(12))
            {
                case 0 or 1:
                    broken.Add(pfn);
                    _ = machine.Hotplug.Failures.Fail(pfn, (MemoryFailureFlags)(random.Next(4) << 1));
                    break;
                case 2:
                    broken.Add(pfn);
                    _ = machine.Hotplug.Failures.SoftOffline(pfn);
                    break;
                case 3 when broken.Count != 0:
                    _ = machine.Hotplug.Failures.Unpoison(broken[random.Next(broken.Count)]);
                    break;
                case 4:
                    int order = random.Next(4);
                    Page page = cpu.AllocPages(Gfp.HighUser | Gfp.NoWarn, order);
                    if (!page.IsNull)
                    {
                        own.Add((page, order));
                    }

                    break;
                case 5 when own.Count != 0:
                    (Page freed, int size) = own[random.Next(own.Count)];
                    own.Remove((freed, size));
                    cpu.FreePages(freed, size);
                    break;
                case 6:
                    numbers.Add(pool.Allocate(cpu));
                    break;
                case 7:
                    _ = process.Mm.Madvise(areas[0], Bytes, random.Next(3) == 0 ? MemoryAdvice.PageOut : MemoryAdvice.Cold);
                    break;
                case 8:
                    Process child = process.Fork();
                    child.SignalHandler = null;
                    Touch(child, 3);
                    child.Exit();
                    break;
                case 9:
                    _ = cpu.Files.Write(file, random.Next(1 << 20), new byte[random.Next(9000)]);
                    _ = cpu.Files.Read(shared, random.Next(1 << 20), new byte[random.Next(9000)]);
                    break;
                default:
                    Touch(process, 8);
                    break;
            }

            if (step % 250 == 0)
            {
                machine.Verify();
            }
        }

        machine.Verify();
        machine.Hotplug.Failures.CorruptedPages.Should().Be(machine.Frames.Poisoned.Count).And.BePositive();
        own.ForEach(block => cpu.FreePages(block.Page, block.Order));
        process.Exit();
        _ = machine.Swap.SwapOff(cpu, area);
        machine.Verify();

        void Touch(Process who, int times)
        {
            using ContextScope scope = cpu.Run(who);
            for (int i = 0; i < times && who.IsAlive; i++)
            {
                int which = random.Next(4);
                VirtualAddress at = areas[which] + (random.NextInt64(which == 0 ? Bytes >> 12 : 256) << 12);
                try
                {
                    if (random.Next(2) == 0)
                    {
                        cpu.Write(at, random.Next());
                    }
                    else
                    {
                        _ = cpu.Read<int>(at);
                    }
                }
                catch (SignalException e)
                {
                    e.SignalInfo.Signal.Should().Be(Signal.SIGBUS);
                    _ = process.IsAlive && ReferenceEquals(who, process) && process.Mm.Madvise(at, 4096, MemoryAdvice.DontNeed) == Errno.None;
                }
            }
        }
    }

    private static long Free(Machine machine)
    {
        machine.Memory.DrainAllPages();
        return machine.Zones.Sum(zone => zone.TrueFreePages);
    }

    private static int AnyFree(HugetlbPool pool) => Enumerable.Range(0, 65536).Select(pfn => pool.TryFind(pfn, out int head, out bool free) && free ? head : -1).First(head => head >= 0);

    private static int HugeAt(Machine machine, Process process, VirtualAddress at) =>
        machine.Mm!.Layout.Pfn(process.Mm.Tables.ReadSlot(process.Mm.Tables.FindSlotOnLevel(at.Value, 2)));

    private List<string> Lines() => [.. _log.Entries.Select(e => e.Text).Where(t => t.Contains("emory failure", StringComparison.Ordinal) || t.StartsWith("Unpoison", StringComparison.Ordinal))];
}
