using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Hugetlb;

/// <summary>Files on hugetlbfs.</summary>
public sealed class HugetlbFileTests : IDisposable
{
    private const long Huge = 2 << 20;
    private readonly Machine _machine = Machine.Boot(MachineSpec.X86_64("256M", cpus: 2).WithCommandLine("hugepages=6"));
    private readonly HugetlbFileSystem _files;

    public HugetlbFileTests() => _files = _machine.Files.MountHugetlbfs();

    private HugetlbPool Pool => _machine.Hugetlb.Pool;

    private Cpu Cpu => _machine.Cpus[0];

    public void Dispose()
    {
        _machine.Verify();
        _machine.Dispose();
    }

    [Fact]
    public void Processes_share_a_file_whose_pages_are_reserved_by_mapping_it()
    {
        OpenFile file = _files.Create("data");
        Process one = _machine.CreateProcess("one");
        Process two = _machine.CreateProcess("two");
        VirtualAddress here = one.Mm.Mmap(default, 3 * Huge, Prot.Read | Prot.Write, MapFlags.Shared, file);
        file.File.Size.Should().Be(3 * Huge, "a writable mapping makes the file as large");
        (Pool.Free, Pool.Reserved).Should().Be((6, 3));
        VirtualAddress there = two.Mm.Mmap(default, 2 * Huge, Prot.Read | Prot.Write, MapFlags.Shared, file, Huge);
        (Pool.Free, Pool.Reserved).Should().Be((6, 3), "what is promised to the file is promised once");
        one.Mm.Mmap(default, 7 * Huge, Prot.Read | Prot.Write, MapFlags.Shared, file).Error.Should().Be(Errno.ENOMEM);
        one.Mm.Mmap(default, Huge, Prot.Read, MapFlags.Shared, file, 4096).Error.Should().Be(Errno.EINVAL);
        (Pool.Free, Pool.Reserved).Should().Be((6, 3));
        using (Cpu.Run(one))
        {
            Cpu.Write(here + Huge + 8, 42);
        }

        using (Cpu.Run(two))
        {
            Cpu.Read<int>(there + 8).Should().Be(42);
        }

        (Pool.Free, Pool.Reserved).Should().Be((5, 2));
        two.Smaps.Should().Contain("Shared_Hugetlb:     2048 kB").And.Contain("data\n");
        byte[] buffer = new byte[8];
        Cpu.Files.Read(file, Huge + 8, buffer).Value.Should().Be(8);
        buffer[0].Should().Be(42);
        Cpu.Files.Write(file, 0, buffer).Error.Should().Be(Errno.EINVAL);
        _machine.Verify();
        one.Exit();
        two.Exit();
        (Pool.Free, Pool.Reserved).Should().Be((5, 2), "the file keeps its page and its promises");
        _files.Delete(Cpu, "data").Should().Be(Errno.None);
        Pool.Free.Should().Be(5, "it is open");
        file.Close(Cpu);
        (Pool.Free, Pool.Reserved).Should().Be((6, 0));
    }

    [Fact]
    public void A_private_mapping_shows_the_files_page_until_it_writes()
    {
        OpenFile file = _files.Create("data");
        Process writer = _machine.CreateProcess("writer");
        VirtualAddress shared = writer.Mm.Mmap(default, Huge, Prot.Read | Prot.Write, MapFlags.Shared, file);
        VirtualAddress mine = writer.Mm.Mmap(default, 2 * Huge, Prot.Read | Prot.Write, MapFlags.Private, file);
        Pool.Reserved.Should().Be(3);
        using (Cpu.Run(writer))
        {
            Cpu.Write(shared, 1);
            Cpu.Read<int>(mine).Should().Be(1);
            _machine.Verify();
            Cpu.Write(mine, 2);
            Cpu.Read<int>(shared).Should().Be(1);
            Cpu.Write(shared, 3);
            Cpu.Read<int>(mine).Should().Be(2);
            Cpu.Write(mine + Huge, 4);
        }

        (Pool.Free, Pool.Reserved).Should().Be((3, 0));
        _machine.Verify();
        writer.Exit();
        Pool.Free.Should().Be(5);
        _ = _files.Delete(Cpu, "data");
        file.Close(Cpu);
        Pool.Free.Should().Be(6);
    }

    [Fact]
    public void Truncating_and_punching_give_pages_back_and_leave_bus_errors_behind_the_end()
    {
        OpenFile file = _files.Create("data");
        Process process = _machine.CreateProcess("p");
        VirtualAddress at = process.Mm.Mmap(default, 3 * Huge, Prot.Read | Prot.Write, MapFlags.Shared | MapFlags.Populate, file);
        using (Cpu.Run(process))
        {
            for (int i = 0; i < 3; i++)
            {
                Cpu.Write(at + (i * Huge) + 4096, i + 1);
            }

            Pool.Free.Should().Be(3);
            Cpu.Files.Truncate(file, Huge + 4096).Should().Be(Errno.EINVAL);
            Cpu.Files.Truncate(file, 2 * Huge).Should().Be(Errno.None);
            Pool.Free.Should().Be(4);
            ((Action)(() => Cpu.Read<int>(at + (2 * Huge)))).Should().Throw<SignalException>();
            process.LastSignal!.Value.Signal.Should().Be(Signal.SIGBUS);
            Cpu.Files.PunchHole(file, 4096, (2 * Huge) - 8192).Should().Be(Errno.None);
            Pool.Free.Should().Be(4, "no whole page was in the hole");
            Cpu.Read<int>(at + 4096).Should().Be(0, "but parts of them were");
            Cpu.Files.PunchHole(file, Huge, Huge).Should().Be(Errno.None);
            Pool.Free.Should().Be(5);
            _machine.Verify();
            Cpu.Read<int>(at + Huge + 4096).Should().Be(0);
        }

        process.Exit();
        file.Close(Cpu);
        _ = _files.Delete(Cpu, "data");
        (Pool.Free, Pool.Reserved).Should().Be((6, 0));
    }

    [Fact]
    public void Truncating_gives_promises_back_and_punching_keeps_those_of_pages_never_used()
    {
        OpenFile file = _files.Create("data");
        Process process = _machine.CreateProcess("p");
        VirtualAddress at = process.Mm.Mmap(default, 4 * Huge, Prot.Read | Prot.Write, MapFlags.Shared, file);
        using (Cpu.Run(process))
        {
            Cpu.Write(at, 1);
        }

        (Pool.Free, Pool.Reserved).Should().Be((5, 3));
        Cpu.Files.PunchHole(file, 0, 2 * Huge).Should().Be(Errno.None);
        (Pool.Free, Pool.Reserved).Should().Be((6, 3), "the page goes, and nothing was promised for it any more");
        Cpu.Files.Truncate(file, 2 * Huge).Should().Be(Errno.None);
        (Pool.Free, Pool.Reserved).Should().Be((6, 1));
        process.Exit();
        Pool.Reserved.Should().Be(1);
        _ = _files.Delete(Cpu, "data");
        file.Close(Cpu);
        (Pool.Free, Pool.Reserved).Should().Be((6, 0));
    }

    [Fact]
    public void A_file_of_gigantic_pages_needs_a_mount_of_that_size()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("6G").WithCommandLine("hugepagesz=1G hugepages=1"));
        HugetlbFileSystem files = machine.Files.MountHugetlbfs(ByteSize.FromGiB(1));
        OpenFile file = files.Create("big");
        Process process = machine.CreateProcess("p");
        VirtualAddress at = process.Mm.Mmap(default, (long)(1UL << 30), Prot.Read | Prot.Write, MapFlags.Shared, file);
        using (machine.Cpus[0].Run(process))
        {
            machine.Cpus[0].Write(at + (512 << 20), 9);
        }

        files.Pool.Free.Should().Be(0);
        machine.Verify();
        machine.Invoking(m => m.Files.MountHugetlbfs(ByteSize.FromMiB(32))).Should().Throw<ArgumentException>();
    }
}
