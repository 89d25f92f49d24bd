using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Filesystems;

/// <summary>Files in memory without a name, and seals: answers of a 6.18, and where 6.1 differs.</summary>
public class MemfdTests
{
    private const int Page = PageGeometry.PageSize;

    [Fact]
    public void A_file_without_seals_can_never_be_sealed()
    {
        using Machine machine = Boot("6.18", out Cpu cpu);
        OpenFile file = cpu.Files.MemfdCreate("plain");
        file.File.Seals.Should().Be(FileSeals.Seal);
        cpu.Files.GetSeals(file).Value.Should().Be(FileSeals.Seal);
        cpu.Files.AddSeals(file, FileSeals.Grow).Should().Be(Errno.EPERM);
        cpu.Files.AddSeals(file, (FileSeals)0x100).Should().Be(Errno.EINVAL);
        cpu.Files.MemfdCreate(new string('a', 249)).Succeeded.Should().BeTrue();
        cpu.Files.MemfdCreate(new string('a', 250)).Error.Should().Be(Errno.EINVAL);
        cpu.Files.MemfdCreate("both", MemfdFlags.Exec | MemfdFlags.NoExecSeal).Error.Should().Be(Errno.EINVAL);

        using BlockDevice disk = new("sda", "4M");
        OpenFile onDisk = machine.Files.Mount(disk).Create("data");
        cpu.Files.GetSeals(onDisk).Error.Should().Be(Errno.EINVAL);
        cpu.Files.AddSeals(onDisk, FileSeals.Seal).Should().Be(Errno.EINVAL);
        TmpFileSystem tmpfs = machine.Files.MountTmpfs();
        OpenFile named = tmpfs.Create("named");
        cpu.Files.GetSeals(named).Value.Should().Be(FileSeals.Seal);
        cpu.Files.AddSeals(tmpfs.Open("named"), FileSeals.Seal).Should().Be(Errno.EPERM, "it is open for reading only");
    }

    [Fact]
    public void Size_and_contents_are_sealed_one_by_one()
    {
        using Machine machine = Boot("6.18", out Cpu cpu);
        OpenFile file = cpu.Files.MemfdCreate("sealed", MemfdFlags.AllowSealing);
        cpu.Files.Truncate(file, 6144).Should().Be(Errno.None);
        cpu.Files.AddSeals(file, FileSeals.Grow).Should().Be(Errno.None);
        cpu.Files.Write(file, 0, new byte[2 * Page]).Value.Should().Be(Page, "the page that would cross the end is refused as a whole");
        cpu.Files.Write(file, 6100, new byte[100]).Error.Should().Be(Errno.EPERM);
        cpu.Files.Write(file, 6100, new byte[44]).Value.Should().Be(44);
        cpu.Files.Truncate(file, 2 * Page).Should().Be(Errno.EPERM);
        cpu.Files.Truncate(file, Page).Should().Be(Errno.None);
        cpu.Files.AddSeals(file, FileSeals.Shrink | FileSeals.Write).Should().Be(Errno.None);
        cpu.Files.Truncate(file, 0).Should().Be(Errno.EPERM);
        cpu.Files.Write(file, 0, new byte[10]).Error.Should().Be(Errno.EPERM);
        cpu.Files.Write(file, 0, []).Value.Should().Be(0);
        cpu.Files.PunchHole(file, 0, Page).Should().Be(Errno.EPERM);
        machine.Verify();
    }

    [Fact]
    public void A_seal_against_writing_waits_for_mappings_and_forbids_new_ones()
    {
        using Machine machine = Boot("6.18", out Cpu cpu);
        Process process = machine.CreateProcess("sealer");
        OpenFile file = cpu.Files.MemfdCreate("shared", MemfdFlags.AllowSealing);
        cpu.Files.Truncate(file, Page).Should().Be(Errno.None);
        VirtualAddress reader = process.Mm.Mmap(default, Page, Prot.Read, MapFlags.Shared, file, 0);
        process.Maps.Should().Contain("/memfd:shared (deleted)");
        cpu.Files.AddSeals(file, FileSeals.Write).Should().Be(Errno.EBUSY, "mprotect could make it writable");
        process.Mm.Munmap(reader, Page).Should().Be(Errno.None);
        VirtualAddress copy = process.Mm.Mmap(default, Page, Prot.Read | Prot.Write, MapFlags.Private, file, 0);
        VirtualAddress writer = process.Mm.Mmap(default, Page, Prot.Read | Prot.Write, MapFlags.Shared, file, 0);
        cpu.Files.AddSeals(file, FileSeals.FutureWrite).Should().Be(Errno.None);
        using (cpu.Run(process))
        {
            cpu.Write(writer, 42);
            cpu.Write(copy, 1);
        }

        process.Mm.Mmap(default, Page, Prot.Read | Prot.Write, MapFlags.Shared, file, 0).Error.Should().Be(Errno.EPERM);
        reader = process.Mm.Mmap(default, Page, Prot.Read, MapFlags.Shared, file, 0);
        process.Mm.Mprotect(reader, Page, Prot.Read | Prot.Write).Should().Be(Errno.EACCES);
        process.Mm.Munmap(writer, Page).Should().Be(Errno.None);
        cpu.Files.AddSeals(file, FileSeals.Write).Should().Be(Errno.None);
        process.Mm.Mmap(default, Page, Prot.Read, MapFlags.Shared, file, 0).Succeeded.Should().BeTrue();
        process.Exit();
        machine.Verify();
    }

    [Fact]
    public void Before_6_7_a_sealed_file_cannot_be_mapped_shared_at_all()
    {
        using Machine machine = Boot("6.1", out Cpu cpu);
        Process process = machine.CreateProcess("sealer");
        OpenFile file = cpu.Files.MemfdCreate("shared", MemfdFlags.AllowSealing);
        cpu.Files.Truncate(file, Page).Should().Be(Errno.None);
        cpu.Files.AddSeals(file, FileSeals.Write).Should().Be(Errno.None);
        process.Mm.Mmap(default, Page, Prot.Read, MapFlags.Shared, file, 0).Error.Should().Be(Errno.EPERM);
        process.Mm.Mmap(default, Page, Prot.Read, MapFlags.Private, file, 0).Succeeded.Should().BeTrue();
        cpu.Files.AddSeals(file, FileSeals.Exec).Should().Be(Errno.EINVAL);
        cpu.Files.MemfdCreate("new", MemfdFlags.NoExecSeal).Error.Should().Be(Errno.EINVAL);
    }

    [Fact]
    public void Sealing_an_executable_file_seals_all_of_it()
    {
        using Machine machine = Boot("6.18", out Cpu cpu);
        OpenFile program = cpu.Files.MemfdCreate("program", MemfdFlags.AllowSealing | MemfdFlags.Exec);
        cpu.Files.AddSeals(program, FileSeals.Exec).Should().Be(Errno.None);
        cpu.Files.GetSeals(program).Value.Should().Be(FileSeals.Exec | FileSeals.Shrink | FileSeals.Grow | FileSeals.Write | FileSeals.FutureWrite);
        OpenFile data = cpu.Files.MemfdCreate("data", MemfdFlags.NoExecSeal);
        cpu.Files.AddSeals(data, FileSeals.Exec).Should().Be(Errno.None);
        cpu.Files.GetSeals(data).Value.Should().Be(FileSeals.Exec);
    }

    private static Machine Boot(string kernel, out Cpu cpu)
    {
        Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithKernel(kernel));
        cpu = machine.Cpus[0];
        return machine;
    }
}
