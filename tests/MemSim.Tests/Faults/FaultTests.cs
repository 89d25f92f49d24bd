using FluentAssertions;
using MemSim.Hardware;
using MemSim.Slab;
using MemSim.Tests.VirtualMemory;
using Xunit;

namespace MemSim.Tests.Faults;

public class FaultTests
{
    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void Every_allocation_that_fails_leaves_nothing_behind(string architecture)
    {
        using Machine machine = ForkTests.Boot(architecture);
        Cpu cpu = machine.Cpus[0];
        machine.CreateProcess("warm").Exit();
        long free = machine.FreePagesAtRest();
        int failed = 0;
        for (int nth = 1; nth < 200; nth++)
        {
            ArmedFault injector = machine.FailOnly(nth);
            Program(machine, cpu);
            failed += (int)injector.Failed;
            machine.FaultInjection.Clear();
            foreach (Process process in machine.Processes.ToArray())
            {
                machine.Verify();
                process.Exit();
            }

            machine.Verify();
            machine.FreePagesAtRest().Should().Be(free, "allocation {0} failed", nth);
            machine.SystemFigures.CommittedPages.Should().Be(0);
            machine.Mm!.Objects.InUse(KernelObject.AnonVma).Should().Be(0);
            machine.Mm.Objects.InUse(KernelObject.AnonVmaChain).Should().Be(0);
            machine.Mm.Objects.InUse(KernelObject.Mm).Should().Be(0);
            if (injector.Failed == 0)
            {
                failed.Should().BeGreaterThan(30);
                return;
            }
        }

        failed.Should().BeLessThan(199, "the program has an end");
    }

    [Fact]
    public void A_read_maps_the_zero_page_and_a_write_a_page_of_its_own()
    {
        using Machine machine = ForkTests.Boot("x86_64");
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("hog");
        using ContextScope scope = cpu.Run(process);
        VirtualAddress buffer = process.Mm.Mmap(1 << 20, Prot.Read | Prot.Write);
        cpu.Read<long>(buffer).Should().Be(0);
        process.Mm.AnonPages.Should().Be(0);
        process.PageMap(buffer, 1)[0].Should().Be((1UL << 63) | (uint)machine.Mm!.ZeroPfn);
        cpu.Write(buffer, 42);
        process.Mm.AnonPages.Should().Be(1);
        process.MinorFaults.Should().Be(2);
        process.Mm.PageTableBytes.Should().Be(3 << 12);
        machine.Nodes[0].Counters.AnonPages.Should().Be(1);
        machine.Nodes[0].Counters.PageTables.Should().Be(2);
        machine.Proc.VmStat.Should().Contain("pgfault 2\n");
        machine.Verify();
    }

    [Fact]
    public void Nobody_sees_another_process_bytes()
    {
        using Machine machine = ForkTests.Boot("x86_64");
        Cpu cpu = machine.Cpus[0];
        List<Page> pages = cpu.AllocateAll(Gfp.HighUser);
        foreach (Page page in pages)
        {
            machine.Ram.Frame(page.FrameIndex).Fill(0xa5);
        }

        foreach (Page page in pages)
        {
            cpu.FreePages(page);
        }

        Process process = machine.CreateProcess("reader");
        using ContextScope scope = cpu.Run(process);
        const int size = 16 << 20;
        VirtualAddress buffer = process.Mm.Mmap(size, Prot.Read | Prot.Write);
        byte[] bytes = new byte[size];
        for (int at = 0; at < size; at += 4096)
        {
            cpu.Write(buffer + at, (byte)0);
        }

        cpu.Read(buffer, bytes);
        bytes.AsSpan().ContainsAnyExcept((byte)0).Should().BeFalse();
    }

    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void Bad_accesses_get_signals_and_kernel_copies_stop(string architecture)
    {
        using Machine machine = ForkTests.Boot(architecture);
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("bad");
        using ContextScope scope = cpu.Run(process);
        VirtualAddress page = process.Mm.Mmap(4096, Prot.Read);
        Signal(() => cpu.Write(page, 1)).Should().Be(new SignalInfo(MemSim.Signal.SIGSEGV, SignalCode.AccessError, page));
        Signal(() => cpu.Read<int>(page + 4096)).Should().Be(new SignalInfo(MemSim.Signal.SIGSEGV, SignalCode.MapError, page + 4096));
        cpu.User.CopyToUser(page, [1, 2, 3]).Should().Be(3);
        process.Mm.Mprotect(page, 4096, Prot.Read | Prot.Write).Should().Be(Errno.None);
        cpu.User.CopyToUser(page + 4090, new byte[10]).Should().Be(4);
        cpu.User.PutUser(page, 7L).Should().Be(Errno.None);
        cpu.Read<long>(page).Should().Be(7);
        cpu.User.GetUser(new VirtualAddress(64), out int _).Should().Be(Errno.EFAULT);
        process.SignalHandler = signal => process.Mm.Mprotect(page, 4096, Prot.Read | Prot.Write) == Errno.None;
        process.Mm.Mprotect(page, 4096, Prot.None).Should().Be(Errno.None);
        cpu.Read<long>(page).Should().Be(7, "the handler gave the rights back");
    }

    [Fact]
    public void The_stack_grows_to_its_limit_and_keeps_its_guard()
    {
        using Machine machine = ForkTests.Boot("x86_64");
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("deep");
        using ContextScope scope = cpu.Run(process);
        Vma stack = process.Mm.FindVma(process.Mm.StackStart)!;
        process.Maps.Should().Be("7ffffffde000-7ffffffff000 rw-p 00000000 00:00 0                          [stack]\n");
        cpu.Write(stack.Start + -4096, 1);
        stack.Pages.Should().Be(34);
        VirtualAddress limit = stack.End + -(8 << 20);
        cpu.Write(limit, 1);
        Signal(() => cpu.Write(limit + -8, 1)).Code.Should().Be(SignalCode.MapError);
        process.Mm.MmapBase.Should().Be(0x7ffff7fff000);
        process.Mm.Mmap(4096, Prot.Read).Value.Value.Should().Be(0x7ffff7ffe000);
        machine.Verify();
    }

    [Fact]
    public void Bad_arguments_get_the_errno_of_the_kernel()
    {
        using Machine machine = ForkTests.Boot("x86_64");
        Process process = machine.CreateProcess("args");
        MemoryDescriptor mm = process.Mm;
        const MapFlags anon = MapFlags.Private | MapFlags.Anonymous;
        mm.Mmap(default, 0, Prot.Read, anon).Error.Should().Be(Errno.EINVAL);
        mm.Mmap(default, unchecked((long)(ulong.MaxValue)), Prot.Read, anon).Error.Should().Be(Errno.ENOMEM);
        mm.Mmap(default, (long)(1UL << 47), Prot.Read, anon).Error.Should().Be(Errno.ENOMEM);
        mm.Mmap(default, 4096, Prot.Read, MapFlags.Anonymous).Error.Should().Be(Errno.EINVAL);
        mm.Mmap(new VirtualAddress(0x400001), 4096, Prot.Read, anon | MapFlags.Fixed).Error.Should().Be(Errno.EINVAL);
        mm.Mmap(new VirtualAddress(0x1000), 4096, Prot.Read, anon | MapFlags.Fixed).Error.Should().Be(Errno.EPERM);
        mm.Mmap(default, 4096, Prot.Read, MapFlags.Private).Error.Should().Be(Errno.EBADF);
        VirtualAddress at = mm.Mmap(new VirtualAddress(0x400123), 8192, Prot.Read, anon);
        at.Value.Should().Be(0x400000);
        mm.Mmap(at, 4096, Prot.Read, anon | MapFlags.FixedNoReplace).Error.Should().Be(Errno.EEXIST);
        mm.Munmap(at + 1, 4096).Should().Be(Errno.EINVAL);
        mm.Munmap(at, 0).Should().Be(Errno.EINVAL);
        mm.Munmap(new VirtualAddress(0x10000000), 4096).Should().Be(Errno.None);
        mm.Mprotect(at, 3 << 12, Prot.Write).Should().Be(Errno.ENOMEM);
        mm.Mremap(new VirtualAddress(0x10000000), 4096, 8192).Error.Should().Be(Errno.EFAULT);
        mm.Mremap(at, unchecked((long)(ulong.MaxValue - 0xffff)), 4096).Error.Should().Be(Errno.EINVAL, "the old range wraps around");
        mm.Mremap(at, (long)(1UL << 47), 4096).Error.Should().Be(Errno.EINVAL, "the old range leaves user space");
        mm.Brk(new VirtualAddress(1)).Error.Should().Be(Errno.EINVAL);
        mm.Mlock(at, 64 << 20).Should().Be(Errno.ENOMEM);
        mm.Madvise(at + 1, 4096, MemoryAdvice.DontNeed).Should().Be(Errno.EINVAL);
        machine.Sysctl.Set("overcommit_memory", "2");
        mm.Mmap(1 << 30, Prot.Read | Prot.Write).Error.Should().Be(Errno.ENOMEM);
        machine.Sysctl.Set("overcommit_memory", "1");
        mm.Mmap(1L << 40, Prot.Read | Prot.Write).Succeeded.Should().BeTrue();
        machine.Sysctl.Set("max_map_count", "10");
        Result<VirtualAddress> last = default;
        for (ulong i = 0; i < 20; i++)
        {
            last = mm.Mmap(new VirtualAddress(0x20000000 + (i << 13)), 4096, Prot.Read, anon | MapFlags.Fixed);
        }

        last.Error.Should().Be(Errno.ENOMEM);
        mm.AreaCount.Should().Be(11);
        machine.Verify();
    }

    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void Soft_entries_keep_what_they_stand_for(string architecture)
    {
        using Machine machine = ForkTests.Boot(architecture);
        PteLayout layout = new(machine.Architecture.Architecture);
        for (int type = 0; type < 32; type++)
        {
            foreach (long offset in (long[])[0, 1, 0x1234, 0x7fffff])
            {
                ulong entry = layout.MakeSwapEntry(type, offset);
                layout.IsPresent(entry).Should().BeFalse();
                if (entry != 0)
                {
                    layout.TryDecodeSwapEntry(entry, out SoftEntry soft).Should().BeTrue();
                    (soft.Type, soft.Offset).Should().Be((type, offset));
                }
            }
        }
    }

    [Fact]
    public void A_moved_page_is_found_again_by_everyone_who_mapped_it()
    {
        using Machine machine = ForkTests.Boot("x86_64");
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("moved");
        VirtualAddress at;
        Process child;
        using (cpu.Run(process))
        {
            at = process.Mm.Mmap(4096, Prot.Read | Prot.Write);
            cpu.Write(at, 77);
            child = process.Fork();
        }

        machine.Lru.DrainAll();
        int old = (int)(process.PageMap(at, 1)[0] & uint.MaxValue);
        machine.Lru.Isolate(old).Should().BeTrue();
        machine.Mm!.Pages.SetFlag(old, PageFlags.Locked);
        int fresh = cpu.AllocPage(Gfp.HighUserMovable).FrameIndex;
        machine.Lru.Owners!.Referenced(cpu, old).Count.Should().BeGreaterThan(0);
        machine.Lru.Owners.UnmapForMigration(cpu, old).Should().BeTrue();
        machine.Verify();
        machine.Lru.Owners.MoveMapping(cpu, old, fresh).Should().BeTrue();
        machine.Mm.Pages.CopyPage(old, fresh);
        machine.Mm.Pages.SetFlag(fresh, PageFlags.Locked);
        machine.Lru.Owners.RestoreMappings(cpu, old, fresh);
        machine.Mm.Pages.ClearFlag(fresh, PageFlags.Locked);
        machine.Mm.Pages.ClearFlag(old, PageFlags.Locked);
        machine.Lru.Put(cpu, old);
        machine.Lru.Put(cpu, fresh);
        machine.Mm.Maps.MapCount(fresh).Should().Be(2);
        machine.Verify();
        using (cpu.Run(child))
        {
            cpu.Read<int>(at).Should().Be(77);
            cpu.Write(at, 78);
        }

        using (cpu.Run(process))
        {
            cpu.Read<int>(at).Should().Be(77);
        }
    }

    [Fact]
    public void Faults_allocate_nothing_on_the_managed_heap()
    {
        using Machine machine = ForkTests.Boot("x86_64");
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("quiet");
        using ContextScope scope = cpu.Run(process);
        VirtualAddress buffer = process.Mm.Mmap(32 << 20, Prot.Read | Prot.Write);
        long least = long.MaxValue;
        for (int run = 0; run < 8; run++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < 1000; i++)
            {
                cpu.Write(buffer + ((long)((run * 1000) + i) << 12), i);
            }

            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        least.Should().Be(0);
    }

    private static SignalInfo Signal(Action access) => access.Should().Throw<SignalException>().Which.SignalInfo;

    private static void Program(Machine machine, Cpu cpu)
    {
        Result<Process> made = machine.Processes.Create("victim");
        if (!made.Succeeded)
        {
            return;
        }

        Process process = made;
        try
        {
            using ContextScope scope = cpu.Run(process);
            Result<VirtualAddress> mapped = process.Mm.Mmap(16 << 12, Prot.Read | Prot.Write);
            if (!mapped.Succeeded)
            {
                return;
            }

            VirtualAddress at = mapped;
            for (int i = 0; i < 16; i++)
            {
                cpu.Write(at + (i << 12), i + 1);
            }

            Result<Process> forked = process.Fork();
            cpu.Write(at, 100);
            _ = process.Mm.Mprotect(at + (4 << 12), 4 << 12, Prot.Read);
            Result<VirtualAddress> moved = process.Mm.Mremap(at, 2 << 12, 64 << 12);
            VirtualAddress now = moved.Succeeded ? moved.Value : at;
            cpu.Read<int>(now).Should().Be(100);
            cpu.Read<int>(now + 4096).Should().Be(2);
            _ = process.Mm.Munmap(at + (9 << 12), 2 << 12);
            _ = process.Exec("next");
            if (forked.Succeeded)
            {
                using ContextScope inner = cpu.Run(forked.Value);
                cpu.Read<int>(at).Should().Be(1);
                cpu.Write(at + 4096, 5);
            }
        }
        catch (SignalException signal)
        {
            signal.SignalInfo.Signal.Should().Be(MemSim.Signal.SIGKILL);
        }
    }

    [Fact]
    public void Faults_of_user_and_of_kernel_code_are_told_apart()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("traced");
        FaultLines lines = new();
        machine.Tracing.Attach(lines);
        using ContextScope scope = cpu.Run(process);
        VirtualAddress at = process.Mm.Mmap(3 << 12, Prot.Read | Prot.Write);
        using (cpu.User.UserMode())
        {
            cpu.Write(at, 1);
        }

        cpu.User.PutUser(at + 4096, 2).Should().Be(Errno.None);
        cpu.User.GetUser(at + 8192, out int _).Should().Be(Errno.None);
        lines.Seen.Should().Equal(("user", at, 6u), ("kernel", at + 4096, 2u), ("kernel", at + 8192, 0u));
        process.Mm.Mprotect(at, 4096, Prot.None).Should().Be(Errno.None);
        lines.Seen.Clear();
        cpu.User.GetUser(at, out int _).Should().Be(Errno.EFAULT);
        lines.Seen.Should().Equal([("kernel", at, 0u)], "a page that nobody may touch is not present to the processor, and a fault that cannot be repaired is not tried again");
    }

    private sealed class FaultLines : IFaultTraceSink
    {
        public List<(string Who, VirtualAddress Address, uint Code)> Seen { get; } = [];

        public void PageFaultUser(Cpu cpu, VirtualAddress address, string ip, uint errorCode) => Seen.Add(("user", address, errorCode));

        public void PageFaultKernel(Cpu cpu, VirtualAddress address, string ip, uint errorCode) => Seen.Add(("kernel", address, errorCode));
    }
}
