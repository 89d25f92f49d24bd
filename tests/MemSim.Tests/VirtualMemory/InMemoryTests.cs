using FluentAssertions;
using Xunit;

namespace MemSim.Tests.VirtualMemory;

/// <summary><c>mincore()</c>, guards, collapsing on demand, and advice to other processes.</summary>
public class InMemoryTests
{
    private const int Page = PageGeometry.PageSize;
    private const long Huge = 2 << 20;

    [Fact]
    public void Mincore_tells_of_mappings_of_the_page_cache_and_of_the_swap_cache()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        using BlockDevice disk = new("sda", "8M");
        using BlockDevice swap = new("sdb", "8M");
        machine.Swap.SwapOn(swap).Succeeded.Should().BeTrue();
        OpenFile file = machine.Files.Mount(disk).Create("data");
        cpu.Files.Write(file, 0, new byte[8 * Page]).Value.Should().Be(8 * Page);
        Process process = machine.CreateProcess("looker");
        using ContextScope scope = cpu.Run(process);
        VirtualAddress mapped = process.Mm.Mmap(default, 8 * Page, Prot.Read, MapFlags.Shared, file, 0);
        VirtualAddress data = process.Mm.Mmap(4 * Page, Prot.Read | Prot.Write);

        Vector(process, mapped, 8).Should().Be("11111111", "nothing is mapped yet, but all of it is in the page cache");
        Vector(process, data, 4).Should().Be("0000");
        cpu.Write(data, 1);
        cpu.Write(data + Page, 2);
        _ = cpu.Read<int>(data + (2 * Page));
        Vector(process, data, 4).Should().Be("1110", "the page of zeroes is memory, too");

        machine.Lru.DrainAll();
        process.Mm.Madvise(data, Page, MemoryAdvice.PageOut).Should().Be(Errno.None);
        Vector(process, data, 4).Should().Be("0110", "its page is in swap");
        process.Mm.Madvise(data, Page, MemoryAdvice.WillNeed).Should().Be(Errno.None);
        Vector(process, data, 4).Should().Be("1110", "it was read back, into the swap cache");
        cpu.Files.Fsync(file).Should().Be(Errno.None);
        machine.Files.DropCaches(1);
        Vector(process, mapped, 8).Should().Be("00000000");
        machine.Verify();
    }

    [Fact]
    public void Mincore_answers_as_the_kernel_does_about_bad_ranges_and_files_of_others()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        OpenFile file = machine.Files.MountTmpfs().Create("secret");
        cpu.Files.Truncate(file, 4 * Page).Should().Be(Errno.None);
        Process user = machine.CreateProcess("user");
        Process root = machine.CreateProcess("root", new Rlimits { IsAdmin = true });
        VirtualAddress at = user.Mm.Mmap(default, 4 * Page, Prot.Read, MapFlags.Shared, file, 0);
        VirtualAddress ofRoot = root.Mm.Mmap(default, 4 * Page, Prot.Read, MapFlags.Shared, file, 0);

        byte[] vector = new byte[8];
        user.Mm.Mincore(at + 1, Page, vector).Should().Be(Errno.EINVAL);
        user.Mm.Mincore(at, 9 * Page, vector).Should().Be(Errno.EFAULT);
        user.Mm.Mincore(at, -Page, vector).Should().Be(Errno.ENOMEM);
        user.Mm.Mincore(at, 0, vector).Should().Be(Errno.None);
        vector.AsSpan().Fill(7);
        user.Mm.Munmap(at + (2 * Page), Page);
        user.Mm.Mincore(at, 4 * Page, vector).Should().Be(Errno.ENOMEM);
        vector.Should().Equal([0, 0, 7, 7, 7, 7, 7, 7], "what lies before the hole was told");

        file.File.BelongsToOthers = true;
        Vector(user, at, 2).Should().Be("11", "nobody shall learn which pages others have read");
        Vector(root, ofRoot, 4).Should().Be("0000");
        user.Exit();
    }

    [Fact]
    public void A_guard_gets_sigsegv_and_outlives_everything_but_munmap_and_its_removal()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithKernel("6.18"));
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("guarded");
        VirtualAddress data = process.Mm.Mmap(8 * Page, Prot.Read | Prot.Write);
        using (cpu.Run(process))
        {
            cpu.Write(data + Page, 1);
            process.Mm.Madvise(data + Page, 2 * Page, MemoryAdvice.GuardInstall).Should().Be(Errno.None);
            process.Mm.AnonPages.Should().Be(0, "the page that was there is given up");
            Refused(() => cpu.Read<int>(data + Page));
            process.Mm.Madvise(data, 8 * Page, MemoryAdvice.DontNeed).Should().Be(Errno.None);
            Refused(() => cpu.Write(data + (2 * Page), 1));
            process.Mm.Madvise(data, 8 * Page, MemoryAdvice.PopulateWrite).Should().Be(Errno.EFAULT);
            (process.PageMap(data, 8)[1] >> 58 & 1).Should().Be(1);
            process.Mm.AreaCount.Should().BeLessThan(4, "no area was split for it");
        }

        Process child = process.Fork();
        using (cpu.Run(child))
        {
            Refused(() => cpu.Read<int>(data + Page));
            child.Mm.Madvise(data, 8 * Page, MemoryAdvice.GuardRemove).Should().Be(Errno.None);
            cpu.Read<int>(data + Page).Should().Be(0);
        }

        machine.Verify();
        process.Mm.Mlock(data, Page).Should().Be(Errno.None);
        process.Mm.Madvise(data, Page, MemoryAdvice.GuardInstall).Should().Be(Errno.EINVAL, "locked memory does not go");
        child.Exit();
        process.Exit();
        machine.Verify();
    }

    [Fact]
    public void Advice_that_a_kernel_does_not_have_is_refused()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithKernel("6.12"));
        Process process = machine.CreateProcess("early");
        VirtualAddress data = process.Mm.Mmap(Page, Prot.Read | Prot.Write);
        process.Mm.Madvise(data, Page, MemoryAdvice.GuardInstall).Should().Be(Errno.EINVAL);
        process.Mm.Madvise(data, Page, MemoryAdvice.Mergeable).Should().Be(Errno.None);
    }

    [Fact]
    public void Collapse_makes_huge_pages_whatever_the_settings_say()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("1G"));
        machine.HugePages.Enabled = TransparentHugePages.Never;
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("collapser");
        VirtualAddress at = process.Mm.Mmap(4 * Huge, Prot.Read | Prot.Write);
        at = new VirtualAddress((at.Value + (ulong)Huge - 1) & ~((ulong)Huge - 1));
        using ContextScope scope = cpu.Run(process);
        process.Mm.Madvise(at, Huge, MemoryAdvice.Collapse).Should().Be(Errno.EINVAL, "nothing was ever written in the area");
        cpu.Write(at + (3 * Page), 5);
        process.Mm.Madvise(at, Huge, MemoryAdvice.Collapse).Should().Be(Errno.None);
        process.Mm.Tables.Lookup(at).Level.Should().Be(2);
        process.Mm.AnonPages.Should().Be(512);
        cpu.Read<int>(at + (3 * Page)).Should().Be(5);
        process.Mm.Madvise(at, Huge, MemoryAdvice.Collapse).Should().Be(Errno.None, "it is one already");
        process.Mm.Madvise(at, 2 * Huge, MemoryAdvice.Collapse).Should().Be(Errno.EINVAL, "in the second range there is no page");
        process.Mm.Madvise(at + Page, Huge / 2, MemoryAdvice.Collapse).Should().Be(Errno.EINVAL);

        cpu.Write(at + Huge, 1);
        process.Mm.Mprotect(at + Huge, Huge, Prot.Read).Should().Be(Errno.None);
        process.Mm.Madvise(at + Huge, Huge, MemoryAdvice.Collapse).Should().Be(Errno.EINVAL, "before 6.18 one entry must be writable");
        machine.Verify();
    }

    [Fact]
    public void Advice_about_others_is_for_administrators_and_of_four_kinds()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithKernel("6.18"));
        Process admin = machine.CreateProcess("admin", new Rlimits { IsAdmin = true });
        Process user = machine.CreateProcess("user");
        VirtualAddress data = user.Mm.Mmap(4 * Page, Prot.Read | Prot.Write);
        UserRange[] ranges = [new(data, 2 * Page), new(data + (2 * Page), Page)];
        admin.ProcessMadvise(user, ranges, MemoryAdvice.Cold).Value.Should().Be(3 * Page);
        admin.ProcessMadvise(user, ranges, MemoryAdvice.DontNeed).Error.Should().Be(Errno.EINVAL);
        user.ProcessMadvise(admin, ranges, MemoryAdvice.Cold).Error.Should().Be(Errno.EPERM);
        user.ProcessMadvise(user, ranges, MemoryAdvice.DontNeed).Value.Should().Be(3 * Page);
        admin.ProcessMadvise(user, [ranges[0], new(data + (16 * Page), Page)], MemoryAdvice.Cold).Value.Should().Be(2 * Page, "what was done before the hole");
        admin.ProcessMadvise(user, [new(data, -1)], MemoryAdvice.Cold).Error.Should().Be(Errno.EINVAL);
        user.Exit();
        admin.ProcessMadvise(user, ranges, MemoryAdvice.Cold).Error.Should().Be(Errno.ESRCH);
    }

    private static void Refused(Action access) => access.Should().Throw<SignalException>().Which.SignalInfo.Signal.Should().Be(Signal.SIGSEGV);

    private static string Vector(Process process, VirtualAddress at, int pages)
    {
        byte[] vector = new byte[pages];
        process.Mm.Mincore(at, pages * Page, vector).Should().Be(Errno.None);
        return string.Concat(vector);
    }
}
