using FluentAssertions;
using MemSim.Tests.VirtualMemory;
using Xunit;

namespace MemSim.Tests.Hugetlb;

/// <summary>Mappings of the pool of huge pages.</summary>
public class HugetlbTests
{
    private const long Huge = 2 << 20;
    private const MapFlags Private = MapFlags.Private | MapFlags.Anonymous | MapFlags.HugeTlb;
    private const MapFlags Shared = MapFlags.Shared | MapFlags.Anonymous | MapFlags.HugeTlb;

    public static TheoryData<string> Architectures => ["x86_64", "pae", "arm64", "x86_32"];

    [Theory]
    [MemberData(nameof(Architectures))]
    public void Pages_are_reserved_zeroed_and_given_back(string architecture)
    {
        using Machine machine = Boot(architecture, 4);
        long huge = architecture == "x86_32" ? 2 * Huge : Huge;
        HugetlbPool pool = machine.Hugetlb.Pool;
        Process process = machine.CreateProcess("huge");
        process.Mm.Mmap(default, (long)(5 * (ulong)huge), Prot.Read | Prot.Write, Private).Error.Should().Be(Errno.ENOMEM);
        for (int round = 0; round < 2; round++)
        {
            VirtualAddress at = process.Mm.Mmap(default, (long)((2 * (ulong)huge) + 1), Prot.Read | Prot.Write, Private);
            (at.Value % (ulong)huge).Should().Be(0);
            (pool.Free, pool.Reserved).Should().Be((4, 3));
            process.Mm.Mmap(default, (long)(2 * (ulong)huge), Prot.Read | Prot.Write, Private).Error.Should().Be(Errno.ENOMEM);
            using (machine.Cpus[0].Run(process))
            {
                machine.Cpus[0].Read<int>(at + 8).Should().Be(0, "round {0}", round);
                machine.Cpus[0].Write(at + 8, 77);
                machine.Cpus[0].Read<int>(at + 8).Should().Be(77);
            }

            (pool.Free, pool.Reserved, process.Mm.HugetlbPages, process.Mm.AnonPages).Should().Be((3, 2, huge >> 12, 0));
            machine.Proc.MemInfo.Should().Contain("HugePages_Rsvd:        2");
            machine.Verify();
            process.Mm.Munmap(at, 4096).Should().Be(Errno.EINVAL);
            process.Mm.Munmap(at + (2 * huge), huge).Should().Be(Errno.None);
            (pool.Free, pool.Reserved).Should().Be((3, 1));
            process.Mm.Mprotect(at, 4096, Prot.Read).Should().Be(Errno.EINVAL);
            process.Mm.Mprotect(at, huge, Prot.Read).Should().Be(Errno.None);
            machine.Verify();
            process.Mm.Munmap(at, (long)(2 * (ulong)huge)).Should().Be(Errno.None);
            (pool.Free, pool.Reserved).Should().Be((4, 0));
        }

        process.Exit();
        machine.Verify();
        pool.Resize(machine.Cpus[0], 0).Should().Be(0);
        machine.Verify();
    }

    [Theory]
    [InlineData(true, 2)]
    [InlineData(false, 2)]
    [InlineData(true, 1)]
    [InlineData(false, 1)]
    public void Copies_after_fork_need_a_free_page_unless_the_owner_writes(bool parentFirst, int pages)
    {
        using Machine machine = Boot("x86_64", pages);
        Cpu cpu = machine.Cpus[0];
        Process parent = machine.CreateProcess("parent");
        VirtualAddress at = parent.Mm.Mmap(default, Huge, Prot.Read | Prot.Write, Private);
        Process child;
        using (cpu.Run(parent))
        {
            cpu.Write(at, 1);
            child = parent.Fork();
        }

        machine.Verify();
        using (cpu.Run(parentFirst ? parent : child))
        {
            Action write = () => cpu.Write(at, 2);
            if (parentFirst || pages == 2)
            {
                write();
            }
            else
            {
                write.Should().Throw<SignalException>();
                child.LastSignal!.Value.Signal.Should().Be(Signal.SIGBUS);
            }
        }

        machine.Verify();
        using (cpu.Run(parentFirst ? child : parent))
        {
            Func<int> read = () => cpu.Read<int>(at);
            if (parentFirst && pages == 1)
            {
                read.Should().Throw<SignalException>();
            }
            else
            {
                read().Should().Be(1);
            }
        }

        child.Exit();
        parent.Exit();
        machine.Verify();
        (machine.Hugetlb.Pool.Free, machine.Hugetlb.Pool.Reserved).Should().Be((pages, 0));
    }

    [Fact]
    public void Pages_promised_to_a_private_mapping_are_its_owners_alone()
    {
        using Machine machine = Boot("x86_64", 2);
        Cpu cpu = machine.Cpus[0];
        Process parent = machine.CreateProcess("parent");
        VirtualAddress at = parent.Mm.Mmap(default, 2 * Huge, Prot.Read | Prot.Write, Private);
        Process child = parent.Fork();
        using (cpu.Run(child))
        {
            ((Action)(() => cpu.Write(at, 2))).Should().Throw<SignalException>();
            child.LastSignal!.Value.Signal.Should().Be(Signal.SIGBUS, "the pages are there, but not for it");
        }

        (machine.Hugetlb.Pool.Free, machine.Hugetlb.Pool.Reserved).Should().Be((2, 2));
        child.Exit();
        (machine.Hugetlb.Pool.Free, machine.Hugetlb.Pool.Reserved).Should().Be((2, 2), "the promise is not the child's to give back");
        using (cpu.Run(parent))
        {
            cpu.Write(at, 1);
            cpu.Write(at + Huge, 1);
        }

        (machine.Hugetlb.Pool.Free, machine.Hugetlb.Pool.Reserved).Should().Be((0, 0));
        parent.Exit();
        machine.Verify();
        machine.Hugetlb.Pool.Free.Should().Be(2);
    }

    [Fact]
    public void Shared_pages_are_the_childs_too_and_unreserved_ones_may_run_out()
    {
        using Machine machine = Boot("x86_64", 2);
        Cpu cpu = machine.Cpus[0];
        Process parent = machine.CreateProcess("parent");
        VirtualAddress at = parent.Mm.Mmap(default, Huge, Prot.Read | Prot.Write, Shared);
        VirtualAddress more = parent.Mm.Mmap(default, 2 * Huge, Prot.Read | Prot.Write, Private | MapFlags.NoReserve);
        Process child;
        using (cpu.Run(parent))
        {
            cpu.Write(more, 1);
            ((Action)(() => cpu.Write(more + Huge, 1))).Should().Throw<SignalException>();
            child = parent.Fork();
        }

        using (cpu.Run(child))
        {
            cpu.Write(at, 5);
        }

        using (cpu.Run(parent))
        {
            cpu.Read<int>(at).Should().Be(5);
        }

        machine.Verify();
        machine.Sysctl.Set("vm.nr_overcommit_hugepages", "1");
        using (cpu.Run(parent))
        {
            cpu.Write(more + Huge, 1);
        }

        (machine.Hugetlb.Pool.Total, machine.Hugetlb.Pool.Surplus).Should().Be((3, 1));
        machine.Verify();
        child.Exit();
        parent.Exit();
        machine.Verify();
        (machine.Hugetlb.Pool.Total, machine.Hugetlb.Pool.Free, machine.Hugetlb.Pool.Surplus).Should().Be((2, 2, 0));
    }

    [Theory]
    [MemberData(nameof(Architectures))]
    public void A_huge_page_is_pinned_by_its_small_ones_and_comes_by_a_fault_if_it_must(string architecture)
    {
        using Machine machine = Boot(architecture, 2);
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("pins");
        long huge = architecture == "x86_32" ? 2 * Huge : Huge;
        VirtualAddress at = process.Mm.Mmap(default, huge, Prot.Read | Prot.Write, Private).Value;
        Page[] pages = new Page[3];
        using (cpu.Run(process))
        {
            process.PinPages(cpu, at + (5 << 12), pages, PinFlags.Write).Value.Should().Be(3);
            cpu.Write(at + (6 << 12), 66);
            pages.Select(p => p.Pfn.Value - pages[0].Pfn.Value).Should().Equal(0, 1, 2);
            ((pages[0].Pfn.Value - 5) % (huge >> 12)).Should().Be(0);
            cpu.Translate(at + (6 << 12)).Pfn.Should().Be(pages[1].Pfn);
            process.Mm.HugetlbPages.Should().Be(huge >> 12);
            cpu.UnpinPages(pages);
        }

        process.Exit();
        machine.Verify();
        machine.Hugetlb.Pool.Free.Should().Be(2);
    }

    private static Machine Boot(string architecture, int pages)
    {
        Machine machine = ForkTests.Boot(architecture);
        machine.Sysctl.Set("vm.nr_hugepages", $"{pages}");
        machine.Hugetlb.Pool.Total.Should().Be(pages);
        return machine;
    }
}
