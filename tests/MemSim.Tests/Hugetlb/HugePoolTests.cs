using FluentAssertions;
using MemSim.Tests.VirtualMemory;
using Xunit;

namespace MemSim.Tests.Hugetlb;

/// <summary>Pools of huge pages: what the boot makes of the command line, sizes, sysctls.</summary>
public class HugePoolTests
{
    private const ulong Gigabyte = 1 << 30;

    [Fact]
    public void Gigantic_pages_come_from_the_boot_and_one_entry_of_the_third_level_maps_them()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("6G").WithCommandLine("hugepagesz=1G hugepages=2 hugepagesz=2M hugepages=3"));
        HugetlbPool pool = machine.Hugetlb.PoolOf(ByteSize.FromGiB(1))!;
        (pool.Total, pool.Free, machine.Hugetlb.Pool.Total).Should().Be((2, 2, 3));
        machine.Proc.MemInfo.Should().Contain("HugePages_Total:       3").And.Contain("Hugepagesize:       2048 kB").And.Contain("Hugetlb:         2103296 kB");
        using Machine plain = Machine.Boot(MachineSpec.X86_64("6G"));
        machine.Zones.Sum(zone => zone.ManagedPages).Should().Be(plain.Zones.Sum(zone => zone.ManagedPages), "the pages count as managed ones again");
        machine.Verify();

        Process process = machine.CreateProcess("big");
        Cpu cpu = machine.Cpus[0];
        const MapFlags flags = MapFlags.Private | MapFlags.Anonymous | MapFlags.HugeTlb | MapFlags.Huge1GB;
        VirtualAddress at = process.Mm.Mmap(default, (long)(Gigabyte + 1), Prot.Read | Prot.Write, flags);
        (at.Value % Gigabyte).Should().Be(0);
        (pool.Free, pool.Reserved).Should().Be((2, 2));
        using (cpu.Run(process))
        {
            cpu.Write(at + 123_456_789, 7);
            cpu.Read<int>(at + 123_456_789).Should().Be(7);
            cpu.Read<int>(at + 8).Should().Be(0);
        }

        PageTableEntry entry = process.Mm.Tables.Lookup(at);
        (entry.Level, entry.Pages).Should().Be((3, 1 << 18));
        (pool.Free, pool.Reserved, process.Mm.HugetlbPages).Should().Be((1, 1, 1 << 18));
        process.Smaps.Should().Contain("KernelPageSize:  1048576 kB").And.Contain("Private_Hugetlb: 1048576 kB");
        machine.Verify();
        Process child = process.Fork();
        process.Smaps.Should().Contain("Shared_Hugetlb:  1048576 kB");
        using (cpu.Run(child))
        {
            cpu.Read<int>(at + 123_456_789).Should().Be(7);
        }

        machine.Verify();
        child.Exit();
        process.Mm.Munmap(at, 4096).Should().Be(Errno.EINVAL);
        process.Exit();
        machine.Verify();
        (pool.Free, pool.Reserved).Should().Be((2, 0));
        pool.Resize(cpu, 0).Should().Be(2, "gigantic pages are not freed");
        pool.Invoking(p => p.Overcommit = 1).Should().Throw<InvalidOperationException>();
    }

    [Fact]
    public void Pages_are_asked_for_on_nodes_and_by_a_default_size()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("1G").WithNodes("512M", "512M").WithCommandLine("hugepages=0:3,1:5"));
        HugetlbPool pool = machine.Hugetlb.Pool;
        (pool.Total, pool.OnNode(0), pool.OnNode(1), pool.FreeOnNode(1), pool.SurplusOnNode(0)).Should().Be((8, 3, 5, 5, 0));
        machine.Verify();
        using Machine round = Machine.Boot(MachineSpec.X86_64("1G").WithNodes("512M", "512M").WithCommandLine("hugepagesz=2M hugepages=7"));
        (round.Hugetlb.Pool.OnNode(0), round.Hugetlb.Pool.OnNode(1)).Should().Be((4, 3));
        using Machine gigantic = Machine.Boot(MachineSpec.X86_64("6G").WithCommandLine("default_hugepagesz=1G hugepages=1"));
        gigantic.Proc.MemInfo.Should().Contain("HugePages_Total:       1").And.Contain("Hugepagesize:    1048576 kB").And.Contain("Hugetlb:         1048576 kB");
        gigantic.Sysctl.Get("vm.nr_hugepages").Should().Be("1");
        gigantic.Invoking(m => m.Sysctl.Set("vm.nr_hugepages", "2")).Should().Throw<ArgumentException>();
        gigantic.Verify();
    }

    [Fact]
    public void A_boot_that_asks_for_too_many_says_so()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M").WithCommandLine("hugepages=1000 hugepagesz=3M hugepages=1"));
        long got = machine.Hugetlb.Pool.Total;
        got.Should().BeInRange(40, 120);
        machine.BootLog.Should().Contain($"HugeTLB: allocating 1000 of page size 2.00 MiB failed.  Only allocated {got} hugepages.").And.Contain("HugeTLB: unsupported hugepagesz=3072K");
        machine.Verify();
    }

    [Fact]
    public void Reading_nr_hugepages_gives_what_the_pool_reached()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M"));
        machine.Sysctl.Get("vm.nr_hugepages").Should().Be("0");
        machine.Sysctl.Set("vm.nr_hugepages", "5");
        machine.Sysctl.Get("vm.nr_hugepages").Should().Be("5");
        machine.Sysctl.Set("vm.nr_hugepages", "100000");
        machine.Sysctl.Get("vm.nr_hugepages").Should().Be($"{machine.Hugetlb.Pool.Total}").And.NotBe("100000");
        machine.Sysctl.Set("vm.nr_hugepages_mempolicy", "2");
        machine.Sysctl.Get("vm.nr_hugepages").Should().Be("2");
        machine.Proc.SysKernelMm.Should().Contain("hugepages/hugepages-2048kB/nr_hugepages = 2\n");
        machine.Verify();
    }

    [Theory]
    [InlineData("x86_64", "1048576 2048")]
    [InlineData("arm64", "1048576 32768 2048 64")]
    [InlineData("pae", "2048")]
    [InlineData("x86_32", "4096")]
    public void Sizes_are_those_of_the_architecture(string architecture, string sizes)
    {
        using Machine machine = ForkTests.Boot(architecture);
        string.Join(' ', machine.Hugetlb.Pools.Select(pool => pool.PageSize.Bytes >> 10)).Should().Be(sizes);
        HugetlbPool smallest = machine.Hugetlb.Pools[^1];
        smallest.Resize(machine.Cpus[0], 3).Should().Be(3);
        machine.Verify();
        smallest.Resize(machine.Cpus[0], 0).Should().Be(0);
        machine.Verify();
    }

    [Fact]
    public void Dont_need_drops_whole_huge_pages_of_a_mapping()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M").WithCommandLine("hugepages=3"));
        Process process = machine.CreateProcess("advice");
        VirtualAddress at = process.Mm.Mmap(default, 4 << 20, Prot.Read | Prot.Write, MapFlags.Private | MapFlags.Anonymous | MapFlags.HugeTlb);
        using (machine.Cpus[0].Run(process))
        {
            machine.Cpus[0].Write(at, 1);
            machine.Cpus[0].Write(at + (2 << 20), 2);
            process.Mm.Madvise(at + 4096, 2 << 20, MemoryAdvice.DontNeed).Should().Be(Errno.EINVAL);
            process.Mm.Madvise(at, 3 << 20, MemoryAdvice.DontNeed).Should().Be(Errno.None);
            machine.Hugetlb.Pool.Free.Should().Be(2);
            machine.Cpus[0].Read<int>(at).Should().Be(0);
            machine.Cpus[0].Read<int>(at + (2 << 20)).Should().Be(2);
        }

        process.Smaps.Should().Contain("Private_Hugetlb:    4096 kB");
        machine.Verify();
        process.Exit();
        machine.Verify();
    }
}
