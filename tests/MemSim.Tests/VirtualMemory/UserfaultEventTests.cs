using FluentAssertions;
using Xunit;

namespace MemSim.Tests.VirtualMemory;

/// <summary>What a <see cref="Userfaultfd"/> is told besides faults.</summary>
public class UserfaultEventTests
{
    private const int Page = PageGeometry.PageSize;
    private const UserfaultFeatures All = UserfaultFeatures.TellsForks | UserfaultFeatures.TellsMoves | UserfaultFeatures.TellsRemoves | UserfaultFeatures.TellsUnmaps;

    [Fact]
    public void A_child_is_registered_with_a_descriptor_of_its_own_that_serves_its_faults()
    {
        using Machine machine = Boot(out Cpu cpu, out Process process);
        Userfaultfd faults = Open(process, All, out List<UserfaultEvent> heard);
        VirtualAddress data = process.Mm.Mmap(6 * Page, Prot.Read | Prot.Write);
        faults.Register(data, 2 * Page, UserfaultModes.Missing).Succeeded.Should().BeTrue();
        faults.Register(data + (4 * Page), 2 * Page, UserfaultModes.Protected).Succeeded.Should().BeTrue();
        using ContextScope scope = cpu.Run(process);
        cpu.Write(data + (4 * Page), 4);
        faults.WriteProtect(data + (4 * Page), Page, protects: true).Should().Be(Errno.None);
        Process child = process.Fork();
        Userfaultfd childs = heard.Should().ContainSingle("two areas have one descriptor").Which.Child!;
        heard[0].Kind.Should().Be(UserfaultEventKind.Fork);
        childs.Features.Should().Be(faults.Features);
        List<Userfault> asked = [];
        childs.Handler = fault =>
        {
            asked.Add(fault);
            return fault.Kind == UserfaultModes.Missing ? childs.Copy(fault.Address, Filled(7)).Succeeded : childs.WriteProtect(fault.Address, Page, protects: false) == Errno.None;
        };
        using (cpu.Run(child))
        {
            cpu.Read<byte>(data).Should().Be(7);
            cpu.Write(data + (4 * Page), 44);
        }

        asked.Should().Equal(new Userfault(child, data, UserfaultModes.Missing, IsWrite: false), new Userfault(child, data + (4 * Page), UserfaultModes.Protected, IsWrite: true));
        cpu.Read<int>(data + (4 * Page)).Should().Be(4);
        machine.Verify();
        child.Exit();
        heard.Should().ContainSingle("the end of a process tells nobody");
        machine.Verify();
    }

    [Fact]
    public void Protection_of_shared_memory_is_copied_for_a_child_that_is_watched()
    {
        using Machine machine = Boot(out Cpu cpu, out Process process);
        Userfaultfd faults = Open(process, UserfaultFeatures.TellsForks, out _);
        OpenFile file = cpu.Files.MemfdCreate("shared");
        cpu.Files.Truncate(file, 4 * Page).Should().Be(Errno.None);
        VirtualAddress data = process.Mm.Mmap(default, 4 * Page, Prot.Read | Prot.Write, MapFlags.Shared, file, 0);
        faults.Register(data, 4 * Page, UserfaultModes.Protected).Succeeded.Should().BeTrue();
        using ContextScope scope = cpu.Run(process);
        cpu.Write(data, 1);
        faults.WriteProtect(data, 2 * Page, protects: true).Should().Be(Errno.None);
        Process child = process.Fork();
        child.PageMap(data, 3).ToArray().Select(word => word >> 57 & 1).Should().Equal(1UL, 1UL, 0UL);
        machine.Verify();
        child.Exit();
        machine.Verify();
    }

    [Fact]
    public void Moves_are_told_and_stay_registered_with_what_grew()
    {
        using Machine machine = Boot(out Cpu cpu, out Process process);
        Userfaultfd faults = Open(process, All, out List<UserfaultEvent> heard);
        Userfaultfd others = Open(process, UserfaultFeatures.TellsUnmaps, out List<UserfaultEvent> heardByOthers);
        VirtualAddress data = process.Mm.Mmap(4 * Page, Prot.Read | Prot.Write);
        VirtualAddress to = process.Mm.Mmap(16 * Page, Prot.Read | Prot.Write).Value + (2 * Page);
        faults.Register(data, 4 * Page, UserfaultModes.Missing | UserfaultModes.Protected).Succeeded.Should().BeTrue();
        others.Register(to, Page, UserfaultModes.Missing).Succeeded.Should().BeTrue();
        faults.ZeroPage(data, Page).Succeeded.Should().BeTrue();
        using ContextScope scope = cpu.Run(process);
        process.Mm.Mremap(data, 4 * Page, 6 * Page, RemapFlags.MayMove | RemapFlags.Fixed, to).Value.Should().Be(to);
        heard.Should().Equal(
            new UserfaultEvent(UserfaultEventKind.Remap, data, 4 * Page, to),
            new UserfaultEvent(UserfaultEventKind.Unmap, data, 4 * Page));
        heardByOthers.Should().Equal(new UserfaultEvent(UserfaultEventKind.Unmap, to, 6 * Page));
        bool asked = false;
        faults.Handler = fault => asked = faults.Copy(fault.Address, Filled(3)).Succeeded;
        cpu.Read<byte>(to + (5 * Page)).Should().Be(3);
        asked.Should().BeTrue();
        machine.Verify();
    }

    [Theory]
    [InlineData("6.12", 4)]
    [InlineData("6.18", 2)]
    public void A_move_that_shrinks_tells_what_moved_from_6_15_on(string kernel, int pages)
    {
        using Machine machine = Boot(out Cpu _, out Process process, kernel);
        Userfaultfd faults = Open(process, All, out List<UserfaultEvent> heard);
        VirtualAddress data = process.Mm.Mmap(4 * Page, Prot.Read | Prot.Write);
        VirtualAddress to = process.Mm.Mmap(16 * Page, Prot.Read | Prot.Write);
        faults.Register(data, 4 * Page, UserfaultModes.Missing).Succeeded.Should().BeTrue();
        process.Mm.Mremap(data, 4 * Page, 2 * Page, RemapFlags.MayMove | RemapFlags.Fixed, to).Succeeded.Should().BeTrue();
        heard.Should().Equal(
            new UserfaultEvent(UserfaultEventKind.Remap, data, pages * Page, to),
            new UserfaultEvent(UserfaultEventKind.Unmap, data + (2 * Page), 2 * Page),
            new UserfaultEvent(UserfaultEventKind.Unmap, data, 2 * Page));
        machine.Verify();
    }

    [Fact]
    public void Pages_are_there_while_it_is_told_that_they_will_go_and_calls_must_wait()
    {
        using Machine machine = Boot(out Cpu cpu, out Process process);
        Userfaultfd faults = Open(process, UserfaultFeatures.TellsRemoves, out _);
        VirtualAddress data = process.Mm.Mmap(4 * Page, Prot.Read | Prot.Write);
        using ContextScope scope = cpu.Run(process);
        cpu.Write(data, 1);
        cpu.Write(data + Page, 1);
        faults.Register(data, 2 * Page, UserfaultModes.Missing | UserfaultModes.Protected).Succeeded.Should().BeTrue();
        UserfaultResult again = new(Errno.EAGAIN, -(int)Errno.EAGAIN);
        int told = 0;
        faults.Listener = happened =>
        {
            told++;
            happened.Should().Be(new UserfaultEvent(UserfaultEventKind.Remove, data, 2 * Page), "the rest is registered with nobody");
            (process.PageMap(data, 1)[0] >> 63).Should().Be(1);
            faults.Copy(data, new byte[Page]).Should().Be(again);
            faults.Copy(data + 1, new byte[3]).Should().Be(again, "it is looked at before the arguments");
            faults.ZeroPage(data, Page).Should().Be(again);
            faults.Continue(data, Page).Should().Be(again);
            faults.Poison(data, Page).Should().Be(again);
            faults.Move(data, data + (3 * Page), Page).Should().Be(again);
            faults.WriteProtect(data, Page, protects: true).Should().Be(Errno.EAGAIN);
            faults.Register(data + (2 * Page), Page, UserfaultModes.Missing).Succeeded.Should().BeTrue("this one need not wait");
            faults.Unregister(data + (2 * Page), Page).Should().Be(Errno.None);
        };
        process.Mm.Madvise(data, 4 * Page, MemoryAdvice.DontNeed).Should().Be(Errno.None);
        told.Should().Be(1);
        faults.Events.Should().Be(1);
        (process.PageMap(data, 1)[0] >> 63).Should().Be(0);
        faults.Copy(data, new byte[Page]).Succeeded.Should().BeTrue();
        process.Mm.Madvise(data, 2 * Page, MemoryAdvice.Cold).Should().Be(Errno.None);
        told.Should().Be(1);
        machine.Verify();
    }

    [Fact]
    public void Who_is_told_may_unmap_the_area_or_change_it()
    {
        using Machine machine = Boot(out Cpu _, out Process process);
        Userfaultfd faults = Open(process, UserfaultFeatures.TellsRemoves, out _);
        VirtualAddress data = process.Mm.Mmap(4 * Page, Prot.Read | Prot.Write);
        faults.Register(data, 4 * Page, UserfaultModes.Missing).Succeeded.Should().BeTrue();
        faults.Listener = _ => process.Mm.Mlock(data, Page, onFault: true).Should().Be(Errno.None);
        process.Mm.Madvise(data, 2 * Page, MemoryAdvice.DontNeed).Should().Be(Errno.EINVAL, "it is locked now");
        process.Mm.Munlock(data, Page).Should().Be(Errno.None);
        faults.Listener = _ => process.Mm.Munmap(data, Page).Should().Be(Errno.None);
        process.Mm.Madvise(data, 2 * Page, MemoryAdvice.DontNeed).Should().Be(Errno.ENOMEM, "nothing is at its start any more");
        machine.Verify();
    }

    [Fact]
    public void Lazy_freeing_of_shared_memory_is_told_before_it_is_refused()
    {
        using Machine machine = Boot(out Cpu cpu, out Process process);
        Userfaultfd faults = Open(process, All, out List<UserfaultEvent> heard);
        OpenFile file = cpu.Files.MemfdCreate("shared");
        cpu.Files.Truncate(file, 4 * Page).Should().Be(Errno.None);
        VirtualAddress data = process.Mm.Mmap(default, 4 * Page, Prot.Read | Prot.Write, MapFlags.Shared, file, 0);
        faults.Register(data, 4 * Page, UserfaultModes.Missing).Succeeded.Should().BeTrue();
        process.Mm.Madvise(data, Page, MemoryAdvice.Free).Should().Be(Errno.EINVAL);
        process.Mm.Madvise(data, 2 * Page, MemoryAdvice.Remove).Should().Be(Errno.None);
        heard.Should().Equal(new UserfaultEvent(UserfaultEventKind.Remove, data, Page), new UserfaultEvent(UserfaultEventKind.Remove, data, 2 * Page));
        machine.Verify();
    }

    [Fact]
    public void An_event_that_nobody_reads_is_an_exception_and_nothing_is_changed()
    {
        using Machine machine = Boot(out Cpu _, out Process process);
        Userfaultfd faults = process.Mm.OpenUserfaultfd(All);
        VirtualAddress data = process.Mm.Mmap(4 * Page, Prot.Read | Prot.Write);
        VirtualAddress to = process.Mm.Mmap(4 * Page, Prot.Read | Prot.Write);
        faults.Register(data, 4 * Page, UserfaultModes.Missing).Succeeded.Should().BeTrue();
        string before = process.Maps;
        Action[] calls =
        [
            () => process.Mm.Munmap(data + Page, Page),
            () => process.Mm.Madvise(data, Page, MemoryAdvice.DontNeed),
            () => process.Mm.Mremap(data, Page, Page, RemapFlags.MayMove | RemapFlags.Fixed, to),
            () => process.Mm.Mremap(to, Page, Page, RemapFlags.MayMove | RemapFlags.Fixed, data),
            () => process.Mm.Mmap(data, Page, Prot.Read, MapFlags.Private | MapFlags.Anonymous | MapFlags.Fixed),
            () => process.Fork(),
        ];
        foreach (Action call in calls)
        {
            call.Should().Throw<InvalidOperationException>().WithMessage("*nobody listens*");
            process.Maps.Should().Be(before);
            machine.Verify();
        }

        machine.CreateProcess("user").Mm.OpenUserfaultfd(UserfaultFeatures.UserModeOnly | UserfaultFeatures.TellsForks).Error.Should().Be(Errno.EPERM);
        machine.CreateProcess("other").Mm.OpenUserfaultfd(UserfaultFeatures.UserModeOnly | UserfaultFeatures.TellsUnmaps).Succeeded.Should().BeTrue();
    }

    private static byte[] Filled(byte with) => [.. Enumerable.Repeat(with, Page)];

    private static Userfaultfd Open(Process process, UserfaultFeatures features, out List<UserfaultEvent> heard)
    {
        Userfaultfd faults = process.Mm.OpenUserfaultfd(features);
        List<UserfaultEvent> list = heard = [];
        faults.Listener = list.Add;
        return faults;
    }

    private static Machine Boot(out Cpu cpu, out Process process, string kernel = "6.18")
    {
        Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithKernel(kernel));
        cpu = machine.Cpus[0];
        process = machine.CreateProcess("watched", new Rlimits { IsAdmin = true });
        return machine;
    }
}
