using FluentAssertions;
using MemSim.Tests.VirtualMemory;
using Xunit;

namespace MemSim.Tests.Processes;

/// <summary>How much a process may have, and how the kernel says no: promises, areas, stack, heap, locked memory.</summary>
public class LimitTests
{
    private const int Page = PageGeometry.PageSize;
    private const MapFlags Anonymous = MapFlags.Private | MapFlags.Anonymous;
    private const Prot ReadWrite = Prot.Read | Prot.Write;

    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void Strict_overcommit_ends_at_the_commit_limit_less_the_reserves(string architecture)
    {
        using Machine machine = ForkTests.Boot(architecture);
        machine.Sysctl.Set("overcommit_memory", "2");
        machine.Sysctl.Set("user_reserve_kbytes", "0");
        machine.Sysctl.Set("admin_reserve_kbytes", "4096");
        machine.Sysctl.Set("vm.nr_hugepages", "8");
        long inPool = machine.Hugetlb.Pool.Total * (long)machine.Hugetlb.Pool.PageSize.Bytes / Page;
        inPool.Should().BePositive();
        long limit = (machine.Zones.Sum(z => z.ManagedPages) - inPool) * 50 / 100;
        machine.Proc.MemInfo.Should().MatchRegex($"CommitLimit: +{limit * 4} kB\n");

        Process user = machine.CreateProcess("user");
        Process admin = machine.CreateProcess("admin", new Rlimits { IsAdmin = true });
        VirtualAddress readOnly = user.Mm.Mmap(default, 8 * Page, Prot.Read, Anonymous);
        long left = limit - 1024 - 1 - machine.SystemFigures.CommittedPages;
        user.Mm.Mmap((left + 1) * Page, ReadWrite).Error.Should().Be(Errno.ENOMEM);
        VirtualAddress all = user.Mm.Mmap(left * Page, ReadWrite);
        long committed = machine.SystemFigures.CommittedPages;
        committed.Should().Be(limit - 1024 - 1);
        user.Mm.Mmap(default, Page, ReadWrite, Anonymous | MapFlags.NoReserve).Error.Should().Be(Errno.ENOMEM, "nothing is for nothing in this mode");
        user.Mm.Brk(user.Mm.HeapStart + Page).Error.Should().Be(Errno.ENOMEM);
        user.Mm.Mprotect(readOnly, 8 * Page, ReadWrite).Should().Be(Errno.ENOMEM, "what may be written is counted from then on");
        user.Mm.Mremap(all, (long)((ulong)left * Page), (long)((ulong)(left + 1) * Page)).Error.Should().Be(Errno.ENOMEM);
        user.Fork().Error.Should().Be(Errno.ENOMEM, "the child's copies are promised as well");
        user.Mm.Mmap(Page, Prot.Read).Succeeded.Should().BeTrue("nobody can write there");
        machine.SystemFigures.CommittedPages.Should().Be(committed);
        admin.Mm.Mmap(1025 * Page, ReadWrite).Error.Should().Be(Errno.ENOMEM);
        admin.Mm.Mmap(1024 * Page, ReadWrite).Succeeded.Should().BeTrue("the reserve is his");
        machine.Verify();
        admin.Exit();
        user.Exit();
        machine.SystemFigures.CommittedPages.Should().Be(0);

        // A large process leaves a 32nd of its size, that somebody can come and end it.
        machine.Sysctl.Set("user_reserve_kbytes", "131072");
        user = machine.CreateProcess("large");
        _ = user.Mm.Mmap(3200 * Page, Prot.Read).Value;
        left = limit - 1024 - (user.Mm.TotalPages / 32) - 1 - machine.SystemFigures.CommittedPages;
        user.Mm.Mmap((left + 1) * Page, ReadWrite).Error.Should().Be(Errno.ENOMEM);
        user.Mm.Mmap(left * Page, ReadWrite).Succeeded.Should().BeTrue();
        user.Exit();
        machine.SystemFigures.CommittedPages.Should().Be(0);
    }

    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void Heuristic_overcommit_refuses_only_what_could_never_fit_and_mode_1_nothing(string architecture)
    {
        using Machine machine = ForkTests.Boot(architecture);
        long all = machine.Zones.Sum(z => z.ManagedPages);
        MemoryDescriptor mm = machine.CreateProcess("hopeful").Mm;
        mm.Mmap((all + 1) * Page, ReadWrite).Error.Should().Be(Errno.ENOMEM);
        mm.Mmap(all * Page, ReadWrite).Succeeded.Should().BeTrue();
        mm.Mmap(default, (long)((ulong)(all + 1) * Page), ReadWrite, Anonymous | MapFlags.NoReserve).Succeeded.Should().BeTrue();
        mm.Mmap(all / 4 * Page, ReadWrite).Succeeded.Should().BeTrue("each call is judged alone");
        machine.CreateProcess("bold");
        machine.Sysctl.Set("overcommit_memory", "1");
        machine.CreateProcess("bolder").Mm.Mmap((all + 1) * Page, ReadWrite).Succeeded.Should().BeTrue();
    }

    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void The_65531st_area_is_the_last(string architecture)
    {
        using Machine machine = ForkTests.Boot(architecture);
        machine.CreateProcess("warm").Exit();
        long free = machine.FreePagesAtRest();
        Process process = machine.CreateProcess("mapper");
        MemoryDescriptor mm = process.Mm;
        VirtualAddress first = mm.Mmap(4 * Page, ReadWrite);
        Result<VirtualAddress> last = default;
        for (int i = 0; i < 70_000; i++)
        {
            // Neighbours with other rights are not merged.
            Result<VirtualAddress> made = mm.Mmap(Page, i % 2 == 0 ? Prot.Read : Prot.Read | Prot.Execute);
            if (!made.Succeeded)
            {
                made.Error.Should().Be(Errno.ENOMEM);
                break;
            }

            last = made;
        }

        mm.AreaCount.Should().Be(65_531, "mmap looks whether there are more than vm.max_map_count");
        mm.Munmap(first + Page, Page).Should().Be(Errno.ENOMEM, "a hole makes two of one");
        mm.Mprotect(first + Page, Page, Prot.Read).Should().Be(Errno.ENOMEM);
        mm.Madvise(first + Page, Page, MemoryAdvice.DontFork).Should().Be(Errno.ENOMEM);
        mm.Mlock(first + Page, Page).Should().Be(Errno.ENOMEM);
        mm.Mremap(first, Page, 2 * Page).Error.Should().Be(Errno.ENOMEM);
        mm.Brk(mm.HeapStart + Page).Error.Should().Be(Errno.ENOMEM);
        mm.AreaCount.Should().Be(65_531);
        mm.FindVma(first)!.Pages.Should().Be(4);
        mm.Munmap(last, Page).Should().Be(Errno.None);
        mm.Brk(mm.HeapStart + Page).Succeeded.Should().BeTrue();
        machine.Verify();
        process.Exit();
        machine.FreePagesAtRest().Should().Be(free);
    }

    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void A_stack_does_not_grow_into_the_gap_above_its_neighbour(string architecture)
    {
        using Machine machine = ForkTests.Boot(architecture);
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("deep");
        using ContextScope scope = cpu.Run(process);
        Vma stack = process.Mm.FindVma(process.Mm.StackStart)!;
        VirtualAddress start = stack.Start;
        VirtualAddress wall = start + (-266 * Page);
        _ = process.Mm.Mmap(wall, Page, Prot.Read, Anonymous | MapFlags.Fixed).Value;
        VirtualAddress lowest = wall + (257 * Page);
        cpu.Write(lowest, 1);
        stack.Start.Should().Be(lowest);
        string maps = process.Maps;
        long committed = machine.SystemFigures.CommittedPages;
        Signal(() => cpu.Write(lowest + -8, 1)).Should().Be(new SignalInfo(MemSim.Signal.SIGSEGV, SignalCode.MapError, lowest + -8));
        cpu.User.CopyToUser(lowest + -8, new byte[16]).Should().Be(16, "the kernel's copy stops at the same place");
        (process.Maps, machine.SystemFigures.CommittedPages).Should().Be((maps, committed));

        // What nobody can use is guard enough.
        process.Mm.Mprotect(wall, Page, Prot.None).Should().Be(Errno.None);
        cpu.Write(wall + Page, 2);
        stack.Start.Should().Be(wall + Page);
        Signal(() => cpu.Write(wall, 1)).Code.Should().Be(SignalCode.AccessError);
        process.Mm.Munmap(wall, Page).Should().Be(Errno.None);
        cpu.Write(wall, 3);
        cpu.Read<int>(lowest).Should().Be(1);
        machine.Verify();
    }

    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void The_heap_ends_at_its_limits_and_a_page_before_what_follows(string architecture)
    {
        using Machine machine = ForkTests.Boot(architecture);
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("heap", new Rlimits { Data = 64 * Page, AddressSpace = 256 * Page });
        using ContextScope scope = cpu.Run(process);
        MemoryDescriptor mm = process.Mm;
        VirtualAddress start = mm.HeapStart;
        _ = mm.Mmap(start + (20 * Page), Page, Prot.Read, Anonymous | MapFlags.Fixed).Value;
        mm.Brk(start + (19 * Page) + 1).Error.Should().Be(Errno.ENOMEM);
        mm.HeapEnd.Should().Be(start);
        mm.Brk(start + (19 * Page)).Value.Should().Be(start + (19 * Page));
        cpu.Write(start + (18 * Page), 5);
        mm.Munmap(start + (20 * Page), Page).Should().Be(Errno.None);
        mm.Brk(start + (64 * Page) + 1).Error.Should().Be(Errno.ENOMEM, "RLIMIT_DATA");
        mm.Brk(start + (60 * Page) + 7).Value.Should().Be(start + (60 * Page) + 7);
        long data = mm.DataPages;
        mm.Mmap((65 - data) * Page, ReadWrite).Error.Should().Be(Errno.ENOMEM, "it counts private writable areas too");
        VirtualAddress readOnly = mm.Mmap((65 - data) * Page, Prot.Read);
        mm.Mprotect(readOnly, (long)((ulong)(65 - data) * Page), ReadWrite).Should().Be(Errno.ENOMEM);
        mm.Mmap((257 - mm.TotalPages) * Page, Prot.Read).Error.Should().Be(Errno.ENOMEM, "RLIMIT_AS");
        mm.Mmap((256 - mm.TotalPages) * Page, Prot.Read).Succeeded.Should().BeTrue();
        mm.Brk(start + (62 * Page)).Error.Should().Be(Errno.ENOMEM, "RLIMIT_AS");
        mm.Brk(start + (17 * Page)).Succeeded.Should().BeTrue();
        mm.Brk(start + (19 * Page)).Succeeded.Should().BeTrue();
        cpu.Read<int>(start + (18 * Page)).Should().Be(0, "the page was given back");
        mm.Brk(start + -1).Error.Should().Be(Errno.EINVAL);
        machine.Verify();
    }

    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void Locking_memory_fails_as_the_kernel_lets_it_fail(string architecture)
    {
        using Machine machine = ForkTests.Boot(architecture);
        Cpu cpu = machine.Cpus[0];
        MemoryDescriptor none = machine.CreateProcess("none", new Rlimits { LockedMemory = 0 }).Mm;
        VirtualAddress there = none.Mmap(4 * Page, ReadWrite);
        none.Mlock(there, Page).Should().Be(Errno.EPERM);
        none.MlockAll(LockAll.Current).Should().Be(Errno.EPERM);
        none.Mmap(default, Page, ReadWrite, Anonymous | MapFlags.Locked).Error.Should().Be(Errno.EPERM);
        machine.CreateProcess("may", new Rlimits { LockedMemory = 0, MayLockAll = true }).Mm.MlockAll(LockAll.Current).Should().Be(Errno.None);

        Process process = machine.CreateProcess("some", new Rlimits { LockedMemory = 16 * Page });
        using ContextScope scope = cpu.Run(process);
        MemoryDescriptor mm = process.Mm;
        VirtualAddress at = mm.Mmap(default, 32 * Page, ReadWrite, Anonymous);
        mm.Mlock(at, 17 * Page).Should().Be(Errno.ENOMEM, "RLIMIT_MEMLOCK");
        mm.Mlock(at + 1, (16 * Page) - 1).Should().Be(Errno.None, "the range is rounded outwards");
        mm.AnonPages.Should().Be(16);
        process.Status.Should().Contain("VmLck:\t      64 kB\n");
        mm.Mlock(at, 16 * Page).Should().Be(Errno.None, "what is locked is not counted twice");
        mm.Mlock(at + (20 * Page), Page).Should().Be(Errno.ENOMEM);
        mm.MlockAll(LockAll.Current).Should().Be(Errno.ENOMEM);
        mm.MlockAll(LockAll.OnFault).Should().Be(Errno.EINVAL);
        mm.Mmap(default, Page, ReadWrite, Anonymous | MapFlags.Locked).Error.Should().Be(Errno.EAGAIN);
        mm.Mremap(at, 16 * Page, 17 * Page).Error.Should().Be(Errno.EAGAIN);
        mm.Madvise(at, Page, MemoryAdvice.DontNeed).Should().Be(Errno.EINVAL);
        mm.Munlock(at, 8 * Page).Should().Be(Errno.None);
        mm.MlockAll(LockAll.Future).Should().Be(Errno.None);
        mm.Brk(mm.HeapStart + (9 * Page)).Error.Should().Be(Errno.EAGAIN);
        mm.Brk(mm.HeapStart + (8 * Page)).Succeeded.Should().BeTrue();
        mm.LockedPages.Should().Be(16);
        mm.MunlockAll();
        mm.LockedPages.Should().Be(0);

        mm.Munmap(at + (4 * Page), Page).Should().Be(Errno.None);
        mm.Mlock(at, 8 * Page).Should().Be(Errno.ENOMEM, "there is a hole");
        mm.Munlock(at, 8 * Page).Should().Be(Errno.ENOMEM);
        mm.Mprotect(at, Page, Prot.None).Should().Be(Errno.None);
        mm.Mlock(at, Page).Should().Be(Errno.ENOMEM, "it may not be touched");
        mm.Mlock(at, unchecked((long)(ulong.MaxValue - 1))).Should().Be(Errno.EINVAL);
        mm.MunlockAll();
        HashSet<Errno> answers = [];
        for (int nth = 1; nth < 12; nth++)
        {
            VirtualAddress fresh = mm.Mmap(Page, ReadWrite);
            _ = machine.FailOnly(nth);
            answers.Add(mm.Mlock(fresh, Page));
            machine.FaultInjection.Clear();
            machine.Verify();
            mm.Munmap(fresh, Page).Should().Be(Errno.None);
        }

        answers.Should().Contain(Errno.EAGAIN, "the area is locked, its page could not be had").And.Contain(Errno.None);
        machine.Verify();
    }

    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void Msync_says_what_is_wrong_and_writes_what_it_can(string architecture)
    {
        using Machine machine = ForkTests.Boot(architecture);
        Cpu cpu = machine.Cpus[0];
        using BlockDevice disk = new("sda", "16M");
        OpenFile file = machine.Files.Mount(disk).Create("file");
        cpu.Files.Truncate(file, 8 * Page).Should().Be(Errno.None);
        Process process = machine.CreateProcess("syncer");
        using ContextScope scope = cpu.Run(process);
        MemoryDescriptor mm = process.Mm;
        VirtualAddress at = mm.Mmap(default, 8 * Page, ReadWrite, MapFlags.Shared, file);
        mm.Msync(at + 1, Page, SyncFlags.Sync).Should().Be(Errno.EINVAL);
        mm.Msync(at, Page, SyncFlags.Sync | SyncFlags.Async).Should().Be(Errno.EINVAL);
        mm.Msync(at, Page, (SyncFlags)8).Should().Be(Errno.EINVAL);
        mm.Msync(at, unchecked((long)(ulong.MaxValue - Page)), SyncFlags.Sync).Should().Be(Errno.ENOMEM);
        mm.Msync(at, 0, SyncFlags.Sync).Should().Be(Errno.None);
        mm.Msync(mm.HeapStart, Page, SyncFlags.Async).Should().Be(Errno.ENOMEM);

        mm.Munmap(at + Page, Page).Should().Be(Errno.None);
        cpu.Write(at + (4 * Page), 7);
        mm.Msync(at, 8 * Page, SyncFlags.Sync).Should().Be(Errno.ENOMEM);
        disk.PagesWritten.Should().BePositive("areas behind a hole are written all the same");
        mm.Mlock(at + (6 * Page), Page).Should().Be(Errno.None);
        mm.Msync(at + (6 * Page), Page, SyncFlags.Invalidate).Should().Be(Errno.EBUSY);
        mm.Msync(at + (2 * Page), Page, SyncFlags.Invalidate).Should().Be(Errno.None);
        cpu.Write(at + (4 * Page), 8);
        disk.FailSectors(0, disk.CapacityPages * BlockDevice.SectorsPerPage, reads: false);
        mm.Msync(at + (4 * Page), Page, SyncFlags.Async).Should().Be(Errno.None, "nothing is waited for");
        mm.Msync(at + (4 * Page), Page, SyncFlags.Sync).Should().Be(Errno.EIO);
        machine.Verify();
    }

    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void A_fault_without_memory_kills_a_program_and_stops_a_copy_of_the_kernel(string architecture)
    {
        using Machine machine = ForkTests.Boot(architecture);
        Cpu cpu = machine.Cpus[0];
        List<SignalInfo> signals = [];
        List<int> copied = [];
        for (int nth = 1; nth < 8; nth++)
        {
            Process process = machine.CreateProcess("unlucky");
            VirtualAddress at = process.Mm.Mmap(2 * Page, ReadWrite);
            using ContextScope scope = cpu.Run(process);
            _ = machine.FailOnly(nth);
            copied.Add((int)cpu.User.CopyToUser(at, new byte[8]));
            process.State.Should().Be(ProcessState.Running);
            process.LastSignal.Should().BeNull();
            VirtualAddress other = process.Mm.StackStart + (-40 * Page);
            _ = machine.FailOnly(nth);
            try
            {
                cpu.Write(other, 1);
                cpu.Read<int>(other).Should().Be(1);
            }
            catch (SignalException signal)
            {
                signals.Add(signal.SignalInfo);
                signal.SignalInfo.Code.Should().NotBe(SignalCode.AccessError);
            }

            machine.FaultInjection.Clear();
            machine.Verify();
            process.Exit();
            machine.Verify();
        }

        copied.Should().Contain(8, "nothing of it was copied").And.Contain(0).And.HaveCount(7);
        signals.Should().Contain(s => s.Signal == MemSim.Signal.SIGKILL && s.Code == SignalCode.OutOfMemory);
    }

    private static SignalInfo Signal(Action access) => access.Should().Throw<SignalException>().Which.SignalInfo;
}
