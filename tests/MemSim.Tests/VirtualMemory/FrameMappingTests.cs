using FluentAssertions;
using Xunit;

namespace MemSim.Tests.VirtualMemory;

/// <summary>Areas of frames that are nobody's pages (<c>VM_PFNMAP</c>): a driver's buffer, <c>/dev/mem</c>.</summary>
public class FrameMappingTests
{
    private const Prot ReadWrite = Prot.Read | Prot.Write;

    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void What_a_driver_maps_shared_is_read_and_written_in_place_and_counted_by_nobody(string architecture)
    {
        using Machine machine = ForkTests.Boot(architecture);
        (Process process, Page buffer) = Driver(machine);
        Cpu cpu = machine.Cpus[0];
        int references = buffer.Count;
        long free = machine.FreePagesAtRest();
        VirtualAddress at = process.Mm.MapFrames(default, 4 * 4096, ReadWrite, MapFlags.Shared, buffer.Pfn.Value, "/dev/driver").Value;
        using (cpu.Run(process))
        {
            cpu.Read<int>(at + 4096).Should().Be(1001);
            cpu.Write(at + 4096, 77);
        }

        Word(machine, buffer, 1).Should().Be(77, "it is the frame itself");
        buffer.Count.Should().Be(references);
        buffer.MapCount.Should().Be(0);
        process.Mm.ResidentPages.Should().Be(0);
        process.Smaps.Should().Contain("/dev/driver").And.Contain("VmFlags: rd wr sh mr mw me ms pf io de dd");
        (process.PageMap(at, 1)[0] & ((1UL << 55) - 1)).Should().Be((ulong)buffer.Pfn.Value);
        machine.Verify();
        process.Mm.Munmap(at, 4 * 4096).Should().Be(Errno.None);
        buffer.Count.Should().Be(references);
        process.Exit();
        machine.FreePagesAtRest().Should().BeGreaterThanOrEqualTo(free, "tables were all that it took");
        machine.Verify();
    }

    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void A_private_area_of_frames_copies_what_is_written_and_nothing_else(string architecture)
    {
        using Machine machine = ForkTests.Boot(architecture);
        (Process process, Page buffer) = Driver(machine);
        Cpu cpu = machine.Cpus[0];
        VirtualAddress at = process.Mm.MapFrames(default, 4 * 4096, ReadWrite, MapFlags.Private, buffer.Pfn.Value).Value;
        using (cpu.Run(process))
        {
            cpu.Write(at + 8192, 5);
            cpu.Read<int>(at + 8192).Should().Be(5);
            cpu.Read<int>(at + 8196).Should().Be(0);
        }

        Word(machine, buffer, 2).Should().Be(1002, "the process has a copy");
        process.Mm.ResidentPages.Should().Be(1);
        machine.Verify();

        Process child = process.Fork().Value;
        using (cpu.Run(child))
        {
            cpu.Read<int>(at).Should().Be(1000, "a child has the frames without a fault that could find them");
            cpu.Read<int>(at + 8192).Should().Be(5);
            cpu.Write(at, 6);
            cpu.Write(at + 8192, 7);
        }

        using (cpu.Run(process))
        {
            cpu.Read<int>(at).Should().Be(1000);
            cpu.Read<int>(at + 8192).Should().Be(5);
        }

        Word(machine, buffer, 0).Should().Be(1000);
        machine.Verify();
        child.Exit();
        process.Exit();
        machine.Verify();
    }

    [Fact]
    public void Both_see_what_is_written_through_a_shared_area_after_a_fork_and_a_change_of_rights()
    {
        using Machine machine = ForkTests.Boot("x86_64");
        (Process process, Page buffer) = Driver(machine);
        Cpu cpu = machine.Cpus[0];
        VirtualAddress at = process.Mm.MapFrames(default, 4 * 4096, ReadWrite, MapFlags.Shared, buffer.Pfn.Value).Value;
        Process child = process.Fork().Value;
        process.Mm.Mprotect(at, 4096, Prot.Read).Should().Be(Errno.None);
        using (cpu.Run(process))
        {
            cpu.Invoking(c => c.Write(at, 1)).Should().Throw<SignalException>().Which.SignalInfo.Signal.Should().Be(Signal.SIGSEGV);
            process.Mm.Mprotect(at, 4096, ReadWrite).Should().Be(Errno.None);
            long faults = process.MinorFaults;
            cpu.Write(at, 31);
            process.MinorFaults.Should().Be(faults, "rights of a shared area of frames come back whole");
        }

        using (cpu.Run(child))
        {
            cpu.Read<int>(at).Should().Be(31);
        }

        machine.Verify();
    }

    [Fact]
    public void Calls_about_pages_refuse_frames_and_calls_about_areas_move_them()
    {
        using Machine machine = ForkTests.Boot("x86_64");
        (Process process, Page buffer) = Driver(machine);
        Cpu cpu = machine.Cpus[0];
        MemoryDescriptor mm = process.Mm;
        VirtualAddress at = mm.MapFrames(default, 4 * 4096, ReadWrite, MapFlags.Shared, buffer.Pfn.Value).Value;
        foreach (MemoryAdvice refused in (MemoryAdvice[])[MemoryAdvice.DontNeed, MemoryAdvice.Free, MemoryAdvice.Cold, MemoryAdvice.PageOut, MemoryAdvice.DoFork, MemoryAdvice.DoDump, MemoryAdvice.WipeOnFork,
            MemoryAdvice.HugePage, MemoryAdvice.NoHugePage, MemoryAdvice.PopulateRead, MemoryAdvice.Remove])
        {
            mm.Madvise(at, 4096, refused).Should().Be(Errno.EINVAL, $"{refused}");
        }

        mm.Madvise(at, 4096, MemoryAdvice.Mergeable).Should().Be(Errno.None);
        mm.Mlock(at, 4 * 4096).Should().Be(Errno.None);
        mm.LockedPages.Should().Be(0, "nothing there could leave memory");
        mm.Mremap(at, 4 * 4096, 8 * 4096, RemapFlags.MayMove).Error.Should().Be(Errno.EFAULT);
        mm.Mremap(at, 4 * 4096, 4 * 4096, RemapFlags.MayMove | RemapFlags.DontUnmap).Error.Should().Be(Errno.EINVAL);

        VirtualAddress target = mm.Mmap(4 * 4096, Prot.None).Value;
        VirtualAddress moved = mm.Mremap(at + 4096, 2 * 4096, 2 * 4096, RemapFlags.MayMove | RemapFlags.Fixed, target).Value;
        using (cpu.Run(process))
        {
            (cpu.Read<int>(moved), cpu.Read<int>(moved + 4096)).Should().Be((1001, 1002));
            cpu.Invoking(c => c.Read<int>(at + 4096)).Should().Throw<SignalException>().Which.SignalInfo.Signal.Should().Be(Signal.SIGSEGV);
            cpu.Read<int>(at + (3 * 4096)).Should().Be(1003);
        }

        mm.At(moved.Value)!.Device.Should().Be("/dev/mem");
        mm.At(at.Value + (3 * 4096))!.PageOffset.Should().Be(buffer.Pfn.Value + 3);
        machine.Verify();
        machine.Reclaim.Enable();
        machine.Sysctl.Set("vm.drop_caches", "3");
        machine.Compaction.CompactMemory();
        process.Exit();
        machine.Verify();
    }

    [Fact]
    public void Neighbours_never_become_one_area_however_well_their_frames_fit()
    {
        using Machine machine = ForkTests.Boot("x86_64");
        (Process process, Page buffer) = Driver(machine);
        VirtualAddress at = process.Mm.MapFrames(default, 2 * 4096, ReadWrite, MapFlags.Shared, buffer.Pfn.Value).Value;
        process.Mm.MapFrames(at + (2 * 4096), 2 * 4096, ReadWrite, MapFlags.Shared | MapFlags.FixedNoReplace, buffer.Pfn.Value + 2).Succeeded.Should().BeTrue();
        process.Mm.At(at.Value)!.Pages.Should().Be(2);
        process.Mm.MapFrames(at, 4096, ReadWrite, MapFlags.Shared | MapFlags.FixedNoReplace, buffer.Pfn.Value).Error.Should().Be(Errno.EEXIST);
        machine.Verify();
    }

    [Fact]
    public void Frames_without_memory_can_be_mapped_and_answer_nobody()
    {
        using Machine machine = ForkTests.Boot("x86_64");
        (Process process, _) = Driver(machine);
        Cpu cpu = machine.Cpus[0];
        VirtualAddress at = process.Mm.MapFrames(default, 4096, ReadWrite, MapFlags.Private, 0xfee00).Value;
        using (cpu.Run(process))
        {
            cpu.Invoking(c => c.Read<int>(at)).Should().Throw<SignalException>().Which.SignalInfo.Signal.Should().Be(Signal.SIGBUS);
            cpu.Invoking(c => c.Write(at, 1)).Should().Throw<SignalException>().Which.SignalInfo.Signal.Should().Be(Signal.SIGBUS);
        }

        process.Mm.MapFrames(default, 4096, ReadWrite, MapFlags.Shared, long.MaxValue).Error.Should().Be(Errno.EINVAL);
        process.Mm.MapFrames(default, 0, ReadWrite, MapFlags.Shared, 0).Error.Should().Be(Errno.EINVAL);
        process.Mm.MapFrames(default, 4096, ReadWrite, MapFlags.None, 0).Error.Should().Be(Errno.EINVAL);
        machine.Verify();
    }

    [Fact]
    public void A_page_cannot_be_pinned_where_only_a_frame_is()
    {
        using Machine machine = ForkTests.Boot("x86_64");
        (Process process, Page buffer) = Driver(machine);
        VirtualAddress at = process.Mm.MapFrames(default, 4096, ReadWrite, MapFlags.Shared, buffer.Pfn.Value).Value;
        process.PinPages(machine.Cpus[0], at, new Page[1], PinFlags.Write).Error.Should().Be(Errno.EFAULT);
        buffer.Count.Should().Be(1);
    }

    [Fact]
    public void A_copy_of_the_machine_maps_the_same_frames()
    {
        using Machine machine = ForkTests.Boot("x86_64");
        (Process process, Page buffer) = Driver(machine);
        VirtualAddress at = process.Mm.MapFrames(default, 4 * 4096, ReadWrite, MapFlags.Shared, buffer.Pfn.Value).Value;
        using Machine copy = machine.Snapshot().Boot();
        Process same = copy.Processes.Single();
        using (copy.Cpus[0].Run(same))
        {
            copy.Cpus[0].Write(at, 9);
        }

        Word(copy, copy.GetPage(buffer.Pfn), 0).Should().Be(9);
        Word(machine, buffer, 0).Should().Be(1000);
        copy.Verify();
    }

    /// <summary>A process, and four pages of a driver whose first words are 1000 to 1003.</summary>
    private static (Process Process, Page Buffer) Driver(Machine machine)
    {
        Process process = machine.CreateProcess("user");
        Page buffer = machine.Cpus[0].AllocPages(Gfp.Kernel | Gfp.Zero, order: 2);
        for (int i = 0; i < 4; i++)
        {
            BitConverter.TryWriteBytes(machine.Ram.Frame(buffer.Pfn.Value + i), 1000 + i);
        }

        return (process, buffer);
    }

    private static int Word(Machine machine, Page buffer, int page) => BitConverter.ToInt32(machine.Ram.Frame(buffer.Pfn.Value + page));
}
