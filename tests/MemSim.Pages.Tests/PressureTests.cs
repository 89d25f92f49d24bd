using FluentAssertions;
using MemSim.Soak;
using MemSim.Statistics;
using Xunit;

namespace MemSim.Pages.Tests;

/// <summary>What a machine with these pages does when memory is short, mixed, or wanted in one piece.</summary>
public sealed class PressureTests
{
    private static readonly Shape Here = Shape.Here;

    [Fact]
    public void A_huge_page_is_mapped_by_one_entry_forked_copied_by_small_pages_and_split()
    {
        using Machine machine = Machine.Boot(MachineSpec.Arm64(Here.RoomForHuge).WithCommandLine("transparent_hugepage=always cma=0"));
        Cpu cpu = machine.Cpus[0];
        Process parent = machine.CreateProcess("parent");
        VirtualAddress at = parent.Mm.Mmap(3 * Here.HugeBytes, Prot.Read | Prot.Write);
        at = new VirtualAddress((at.Value + (ulong)Here.HugeBytes - 1) & ~(ulong)(Here.HugeBytes - 1));
        long pages = Here.HugeBytes / Here.PageBytes;
        using (cpu.Run(parent))
        {
            cpu.Write(at + 12345, 77);
            PageTableEntry entry = parent.Mm.Tables.Lookup(at);
            (entry.Level, entry.Pages, parent.Mm.AnonPages).Should().Be((2, pages, pages));
            machine.Events[VmEvent.ThpFaultAlloc].Should().Be(1);

            Process child = parent.Fork();
            cpu.Write(at + 12345, 78);
            parent.Mm.Tables.Lookup(at).Level.Should().Be(1, "a page that two share is copied alone");
            using (cpu.Run(child))
            {
                cpu.Read<int>(at + 12345).Should().Be(77);
            }

            child.Exit();
        }

        machine.Verify();
        parent.Exit();
        machine.Verify();
    }

    [Fact]
    public void A_hog_swaps_and_is_killed_and_the_report_counts_its_pages()
    {
        using Machine machine = Machine.Boot(MachineSpec.Arm64(Soaks.Memory("96M")).WithSysctl("vm.overcommit_memory", "1").WithCommandLine("cma=0"));
        using BlockDevice disk = new("vdb", Soaks.Memory("32M"));
        machine.Swap.SwapOn(disk);
        Cpu cpu = machine.Cpus[0];
        Process hog = machine.CreateProcess("hog");
        ulong length = Soaks.Memory("1G").Bytes;
        using (cpu.Run(hog))
        {
            VirtualAddress memory = hog.Mm.Mmap((long)length, Prot.Read | Prot.Write);
            for (ulong at = 0; at < length && cpu.User.PutUser(new VirtualAddress(memory.Value + at), at) == Errno.None; at += PageGeometry.PageSize)
            {
            }
        }

        machine.Events[VmEvent.SwapOut].Should().BePositive();
        string report = machine.Oom.LastReport!;
        report.Should().Contain("Out of memory: Killed process 1000 (hog)").And.MatchRegex($@"\d+\*{Here.Kib}kB .*{Here.HugeMib * 1024}kB");
        machine.Verify();
    }

    [Fact]
    public void Compaction_makes_a_block_out_of_every_other_page()
    {
        using Machine machine = Machine.Boot(MachineSpec.Arm64(Soaks.Memory("256M")).WithCommandLine("transparent_hugepage=never cma=0"));
        Cpu cpu = machine.Cpus[0];
        MovablePool pool = machine.Migration.CreateMovablePool();
        while (pool.Allocate(cpu, Gfp.HighUser | Gfp.Movable | Gfp.NoWarn) >= 0)
        {
        }

        for (int i = pool.Count - 1; i >= 0; i--)
        {
            if (pool[i].Pfn.Value % 2 == 0)
            {
                pool.Free(cpu, i);
            }
        }

        while (!cpu.AllocPages(Gfp.Atomic | Gfp.NoWarn, order: 4).IsNull)
        {
        }

        machine.Sysctl.Set("vm.compact_memory", "1");

        cpu.AllocPages(Gfp.Atomic, order: 4).IsNull.Should().BeFalse();
        machine.Verify();
    }

    [Fact]
    public void A_pool_of_huge_pages_hands_them_out_whole()
    {
        using Machine machine = Machine.Boot(MachineSpec.Arm64(new ByteSize((ulong)Here.HugeBytes * 16)).WithCommandLine("cma=0"));
        Cpu cpu = machine.Cpus[0];
        machine.Hugetlb.Pool.Resize(cpu, 2).Should().Be(2);
        machine.Hugetlb.Pool.PageSize.Bytes.Should().Be((ulong)Here.HugeBytes);
        machine.Hugetlb.Pools.Select(p => (long)p.PageSize.Bytes >> 10).OrderDescending().Should().Equal(Here.PoolKib);
        Process process = machine.CreateProcess("pool");
        VirtualAddress at = process.Mm.Mmap(default, 2 * Here.HugeBytes, Prot.Read | Prot.Write, MapFlags.Private | MapFlags.Anonymous | MapFlags.HugeTlb);
        using (cpu.Run(process))
        {
            cpu.Write(at + (Here.HugeBytes + 8), 7);
            cpu.Read<int>(at + (Here.HugeBytes + 8)).Should().Be(7);
        }

        process.Smaps.Should().Contain($"KernelPageSize: {Here.HugeMib * 1024,8} kB");
        (machine.Hugetlb.Pool.Free, machine.Proc.MemInfo.Contains("HugePages_Total:       2", StringComparison.Ordinal)).Should().Be((1, true));
        process.Exit();
        machine.Verify();
    }

    [Fact]
    public void Files_are_read_ahead_by_128_kib_and_mapped_64_around()
    {
        using Machine machine = Shape.Boot();
        using BlockDevice disk = new("vda", "64M");
        Cpu cpu = machine.Cpus[0];
        OpenFile file = machine.Files.Mount(disk).Create("file").Value;
        byte[] block = new byte[1 << 20];
        new Random(3).NextBytes(block);
        cpu.Files.Write(file, 0, block).Succeeded.Should().BeTrue();
        cpu.Files.Fsync(file).Should().Be(Errno.None);
        machine.Sysctl.Set("vm.drop_caches", "1");

        byte[] read = new byte[100];
        cpu.Files.Read(file, 300_000, read).Succeeded.Should().BeTrue();
        read.Should().Equal(block[300_000..300_100]);

        Process process = machine.CreateProcess("map");
        VirtualAddress at = process.Mm.Mmap(default, 1 << 20, Prot.Read, MapFlags.Shared, file);
        using (cpu.Run(process))
        {
            for (int i = 0; i < 1 << 20; i += 4096)
            {
                cpu.Read<byte>(at + i).Should().Be(block[i]);
            }
        }

        process.MinorFaults.Should().BeLessThan((1 << 20) / Here.PageBytes + 20);
        machine.Verify();
    }

    [Fact]
    public void Memory_is_plugged_in_by_sections()
    {
        ulong section = (ulong)Here.SectionMib << 20;
        using Machine machine = Machine.Boot(MachineSpec.Arm64(new ByteSize(section * 4)).WithHotplugMemory(new ByteSize(section * 2)));
        long before = machine.Zones.Sum(z => z.ManagedPages);

        machine.Hotplug.Memory.Add(new ByteSize(section), out int block).Should().Be(Errno.None);
        machine.Hotplug.Memory.Online(block, MemoryOnlineType.Movable).Should().Be(Errno.None);

        machine.Zones.Sum(z => z.ManagedPages).Should().Be(before + ((long)section / Here.PageBytes));
        machine.Verify();
    }
}
