using FluentAssertions;
using Xunit;

namespace MemSim.Tests.VirtualMemory;

/// <summary>Faults that a program serves.</summary>
public class UserfaultTests
{
    private const int Page = PageGeometry.PageSize;

    [Fact]
    public void A_missing_page_is_asked_for_and_the_access_goes_on_with_what_was_given()
    {
        using Machine machine = Boot(out Cpu cpu, out Process process, out Userfaultfd faults);
        VirtualAddress data = process.Mm.Mmap(4 * Page, Prot.Read | Prot.Write);
        faults.Register(data, 4 * Page, UserfaultModes.Missing).Value.Should().HaveFlag(UserfaultCalls.Copy | UserfaultCalls.ZeroPage).And.NotHaveFlag(UserfaultCalls.WriteProtect);
        List<Userfault> asked = [];
        faults.Handler = fault =>
        {
            asked.Add(fault);
            byte[] page = new byte[Page];
            page[0] = (byte)(10 + asked.Count);
            return fault.IsWrite ? faults.ZeroPage(fault.Address, Page).Succeeded : faults.Copy(fault.Address, page).Succeeded;
        };
        using ContextScope scope = cpu.Run(process);
        cpu.Read<byte>(data + Page).Should().Be(11);
        cpu.Read<byte>(data + Page + 8).Should().Be(0);
        cpu.Write(data + (2 * Page), 7);
        cpu.Read<int>(data + (2 * Page)).Should().Be(7);
        asked.Should().Equal(new Userfault(process, data + Page, UserfaultModes.Missing, IsWrite: false), new Userfault(process, data + (2 * Page), UserfaultModes.Missing, IsWrite: true));
        faults.Faults.Should().Be(2);
        faults.Copy(data + Page, new byte[Page]).Error.Should().Be(Errno.EEXIST);
        faults.Copy(data + (2 * Page), new byte[2 * Page]).Should().Be(new UserfaultResult(Errno.EEXIST, -17));
        faults.Copy(data + (3 * Page), new byte[2 * Page]).Error.Should().Be(Errno.ENOENT, "the range leaves its area");
        faults.Copy(data + 1, new byte[Page]).Should().Be(new UserfaultResult(Errno.EINVAL, 0));
        faults.Unregister(data, 4 * Page).Should().Be(Errno.None);
        cpu.Read<int>(data).Should().Be(0);
        asked.Should().HaveCount(2);
        machine.Verify();
    }

    [Fact]
    public void Writes_to_protected_pages_are_told_and_reads_are_not()
    {
        using Machine machine = Boot(out Cpu cpu, out Process process, out Userfaultfd faults);
        VirtualAddress data = process.Mm.Mmap(4 * Page, Prot.Read | Prot.Write);
        using ContextScope scope = cpu.Run(process);
        cpu.Write(data, 1);
        cpu.Write(data + Page, 2);
        faults.WriteProtect(data, Page, protects: true).Should().Be(Errno.ENOENT, "it is not registered for it");
        faults.Register(data, 4 * Page, UserfaultModes.Protected).Succeeded.Should().BeTrue();
        faults.WriteProtect(data, 4 * Page, protects: true).Should().Be(Errno.None);
        (process.PageMap(data, 1)[0] >> 57 & 1).Should().Be(1);
        int told = 0;
        faults.Handler = fault =>
        {
            told++;
            fault.Kind.Should().Be(UserfaultModes.Protected);
            return faults.WriteProtect(fault.Address, Page, protects: false) == Errno.None;
        };
        cpu.Read<int>(data).Should().Be(1);
        told.Should().Be(0);
        cpu.Write(data, 11);
        cpu.Write(data, 12);
        told.Should().Be(1);
        cpu.Write(data + (2 * Page), 3);
        told.Should().Be(1, "anonymous memory that is not there yet is not protected");
        process.Mm.Mprotect(data, 4 * Page, Prot.Read).Should().Be(Errno.None);
        process.Mm.Mprotect(data, 4 * Page, Prot.Read | Prot.Write).Should().Be(Errno.None);
        cpu.Write(data + Page, 22);
        told.Should().Be(2, "mprotect leaves the protection alone");
        Process child = process.Fork();
        using (cpu.Run(child))
        {
            cpu.Write(data + Page, 33);
        }

        told.Should().Be(2, "a child is nobody's concern");
        child.Exit();
        faults.Close();
        machine.Verify();
    }

    [Fact]
    public void Where_nobody_wants_to_hear_of_writes_the_page_map_tells_which_pages_were_written()
    {
        using Machine machine = Boot(out Cpu cpu, out Process process, out _);
        Userfaultfd silent = process.Mm.OpenUserfaultfd(UserfaultFeatures.ProtectsSilently);
        silent.Features.Should().HaveFlag(UserfaultFeatures.ProtectsUnpopulated);
        VirtualAddress data = process.Mm.Mmap(4 * Page, Prot.Read | Prot.Write);
        using ContextScope scope = cpu.Run(process);
        cpu.Write(data, 1);
        silent.Register(data, 4 * Page, UserfaultModes.Protected).Succeeded.Should().BeTrue();
        silent.WriteProtect(data, 4 * Page, protects: true).Should().Be(Errno.None);

        cpu.Write(data, 2);
        cpu.Write(data + (2 * Page), 3);
        cpu.Read<int>(data + (3 * Page)).Should().Be(0);

        process.PageMap(data, 4).Select(word => word >> 57 & 1).Should().Equal([0, 1, 0, 1], "what was only read, or not touched, is as it was");
        silent.Faults.Should().Be(0);
        machine.Verify();
    }

    [Fact]
    public void Pages_of_a_disk_can_be_protected_where_nobody_wants_to_hear_of_writes()
    {
        using BlockDevice disk = new("vda", "4M");
        using Machine machine = Boot(out Cpu cpu, out Process process, out Userfaultfd told);
        OpenFile file = machine.Files.Mount(disk).Create("data").Value;
        cpu.Files.Write(file, 0, new byte[2 * Page]).Succeeded.Should().BeTrue();
        VirtualAddress data = process.Mm.Mmap(default, 2 * Page, Prot.Read | Prot.Write, MapFlags.Shared, file, 0).Value;
        Userfaultfd silent = process.Mm.OpenUserfaultfd(UserfaultFeatures.ProtectsSilently);
        told.Register(data, 2 * Page, UserfaultModes.Protected).Error.Should().Be(Errno.EINVAL);
        silent.Register(data, 2 * Page, UserfaultModes.Protected | UserfaultModes.Missing).Error.Should().Be(Errno.EINVAL);
        silent.Register(data, 2 * Page, UserfaultModes.Protected).Succeeded.Should().BeTrue();
        using ContextScope scope = cpu.Run(process);
        cpu.Write(data, 1);
        silent.WriteProtect(data, 2 * Page, protects: true).Should().Be(Errno.None);
        silent.Copy(data + Page, new byte[Page]).Error.Should().Be(Errno.EINVAL);

        cpu.Write(data + Page, 2);

        process.PageMap(data, 2).Select(word => word >> 57 & 1).Should().Equal(1, 0);
        silent.Unregister(data, 2 * Page).Should().Be(Errno.None);
        process.PageMap(data, 2).Select(word => word >> 57 & 1).Should().Equal(0, 0);
        machine.Verify();
    }

    [Fact]
    public void Shared_memory_is_filled_or_mapped_from_its_file()
    {
        using Machine machine = Boot(out Cpu cpu, out Process process, out Userfaultfd faults);
        OpenFile file = cpu.Files.MemfdCreate("shared");
        cpu.Files.Truncate(file, 2 * Page).Should().Be(Errno.None);
        VirtualAddress data = process.Mm.Mmap(default, 4 * Page, Prot.Read | Prot.Write, MapFlags.Shared, file, 0);
        faults.Register(data, 4 * Page, UserfaultModes.Missing | UserfaultModes.Minor).Value.Should().HaveFlag(UserfaultCalls.Continue);
        cpu.Files.Write(file, 0, [42]).Value.Should().Be(1);
        faults.Handler = fault => fault.Kind == UserfaultModes.Minor ? faults.Continue(fault.Address, Page).Succeeded : faults.Copy(fault.Address, Enumerable.Repeat((byte)9, Page).ToArray()).Succeeded;
        using ContextScope scope = cpu.Run(process);
        cpu.Read<byte>(data).Should().Be(42);
        cpu.Write(data + Page + 8, 1);
        cpu.Read<byte>(data + Page).Should().Be(9);
        byte[] read = new byte[1];
        cpu.Files.Read(file, Page, read).Value.Should().Be(1);
        read[0].Should().Be(9);
        faults.Copy(data + (2 * Page), new byte[Page]).Error.Should().Be(Errno.EFAULT, "the file ends before");
        faults.Continue(data + (3 * Page), Page).Error.Should().Be(Errno.EINVAL, "but this call says so otherwise");
        faults.Faults.Should().Be(2);
        machine.Verify();
    }

    [Fact]
    public void Pages_are_moved_and_declared_lost()
    {
        using Machine machine = Boot(out Cpu cpu, out Process process, out Userfaultfd faults);
        VirtualAddress from = process.Mm.Mmap(2 * Page, Prot.Read | Prot.Write);
        VirtualAddress to = process.Mm.Mmap(default, 2 * Page, Prot.Read | Prot.Write, MapFlags.Private | MapFlags.Anonymous | MapFlags.NoReserve, null, 0);
        faults.Register(to, 2 * Page, UserfaultModes.Missing).Succeeded.Should().BeTrue();
        using ContextScope scope = cpu.Run(process);
        cpu.Write(from, 5);
        ulong frame = process.PageMap(from, 1)[0] & 0x7f_ffff_ffff_ffff;
        faults.Move(to, from, 2 * Page).Should().Be(new UserfaultResult(Errno.EAGAIN, Page), "the second page is missing");
        cpu.Read<int>(to).Should().Be(5);
        (process.PageMap(to, 1)[0] & 0x7f_ffff_ffff_ffff).Should().Be(frame);
        cpu.Read<int>(from).Should().Be(0);
        faults.Poison(to + Page, Page).Succeeded.Should().BeTrue();
        Action access = () => cpu.Read<int>(to + Page);
        access.Should().Throw<SignalException>().Which.SignalInfo.Signal.Should().Be(Signal.SIGBUS);
        machine.Verify();
    }

    [Fact]
    public void Who_may_open_one_and_what_happens_when_nobody_serves()
    {
        using Machine machine = Boot(out Cpu cpu, out Process process, out Userfaultfd faults);
        Process user = machine.CreateProcess("user");
        user.Mm.OpenUserfaultfd().Error.Should().Be(Errno.EPERM);
        user.Mm.OpenUserfaultfd(UserfaultFeatures.UserModeOnly).Succeeded.Should().BeTrue();
        VirtualAddress data = process.Mm.Mmap(2 * Page, Prot.Read | Prot.Write);
        faults.Register(data, 2 * Page, UserfaultModes.Missing).Succeeded.Should().BeTrue();
        using ContextScope scope = cpu.Run(process);
        Action access = () => cpu.Read<int>(data);
        access.Should().Throw<InvalidOperationException>().WithMessage("*nobody serves it*");
        process.Mm.Munmap(data, 2 * Page).Should().Be(Errno.None);
        machine.Verify();
    }

    private static Machine Boot(out Cpu cpu, out Process process, out Userfaultfd faults)
    {
        Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithKernel("6.18"));
        cpu = machine.Cpus[0];
        process = machine.CreateProcess("watched", new Rlimits { IsAdmin = true });
        faults = process.Mm.OpenUserfaultfd();
        return machine;
    }
}
