using FluentAssertions;
using MemSim.Kernels;
using Xunit;

namespace MemSim.Tests.Kernels;

/// <summary>What a booted machine of each kernel line has: settings, contiguous memory, boot log, objects.</summary>
public class KernelLineViewsTests
{
    [Theory]
    [InlineData("6.1", "enable_soft_offline", false)]
    [InlineData("6.12", "enable_soft_offline", true)]
    [InlineData("6.12", "defrag_mode", false)]
    [InlineData("6.18", "defrag_mode", true)]
    [InlineData("6.18", "movable_gigantic_pages", false)]
    [InlineData("7.0", "movable_gigantic_pages", true)]
    [InlineData("7.2", "panic_on_unrecoverable_memory_failure", false)]
    [InlineData("7.3", "panic_on_unrecoverable_memory_failure", true)]
    public void A_setting_exists_from_its_kernel_on(string kernel, string name, bool exists)
    {
        using Machine machine = Boot(kernel);
        Action write = () => machine.Sysctl.Set("vm." + name, "1");
        if (exists)
        {
            write.Should().NotThrow();
            machine.Sysctl.Get("vm." + name).Should().Be("1");
        }
        else
        {
            write.Should().Throw<ArgumentException>().WithMessage("*no file*");
            FluentActions.Invoking(() => machine.Sysctl.Get("vm." + name)).Should().Throw<ArgumentException>();
        }
    }

    [Fact]
    public void Amd64_has_contiguous_memory_from_7_2_on_where_the_recorded_kernel_put_it()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("2G", cpus: 2).WithKernel("7.3").WithCommandLine("cma=64M"));
        machine.BootLog.Should().Contain("cma: Reserved 64 MiB at 0x000000007be00000");
        machine.Cma.Areas.Should().ContainSingle().Which.Pages.Should().Be(16384);
        Zone zone = machine.Zones.Single(z => z.Type == ZoneType.Dma32);
        (zone.CmaPages, zone.FreeCmaPages).Should().Be((16384, 16384));
        machine.Proc.PageTypeInfo.Split('\n').Last(l => l.Contains("zone    DMA32")).Split(' ', StringSplitOptions.RemoveEmptyEntries)[8].Should().Be("32", "blocks of the type CMA");
        machine.Proc.MemInfo.Should().Contain("CmaTotal:          65536 kB").And.Contain("CmaFree:           65536 kB");
        machine.Proc.VmStat.Should().Contain("nr_free_cma 16384").And.Contain("cma_alloc_success 0");
        machine.Verify();
    }

    [Fact]
    public void Pages_of_processes_are_moved_out_of_contiguous_memory_when_it_is_asked_for()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M").WithKernel("7.3").WithCommandLine("cma=32M"));
        Cpu cpu = machine.Cpus[0];
        Process task = machine.CreateProcess("hog");
        using (cpu.Run(task))
        {
            const int Length = 190 << 20;
            VirtualAddress start = task.Mm.Mmap(length: Length, Prot.Read | Prot.Write);
            for (int offset = 0; offset < Length && machine.Zones.Sum(z => z.FreeCmaPages) > 4096; offset += PageGeometry.PageSize)
            {
                cpu.Write(start + offset, offset);
            }
        }

        machine.Zones.Sum(z => z.FreeCmaPages).Should().BeLessThan(8192 - 1024, "the process's pages lie there");
        machine.Cma.Alloc(cpu, machine.Cma.Areas[0], 6144).IsNull.Should().BeFalse();
        machine.Proc.VmStat.Should().Contain("cma_alloc_success 1").And.NotContain("pgmigrate_success 0");
        machine.Verify();
    }

    [Theory]
    [InlineData("6.1")]
    [InlineData("7.1")]
    public void Older_amd64_kernels_do_not_know_cma(string kernel)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M").WithKernel(kernel).WithCommandLine("cma=32M"));
        machine.Cma.Areas.Should().BeEmpty();
        machine.BootLog.Should().Contain("Unknown kernel command line parameters \"cma=32M\", will be passed to user space.");
        machine.Proc.MemInfo.Should().NotContain("CmaTotal");
        machine.Proc.PageTypeInfo.Should().NotContain("CMA");
    }

    [Fact]
    public void Without_cma_7_3_has_the_lists_and_rows_but_no_area()
    {
        using Machine machine = Boot("7.3");
        machine.Cma.Areas.Should().BeEmpty();
        machine.Proc.PageTypeInfo.Should().Contain("type          CMA");
        machine.Proc.MemInfo.Should().Contain("CmaTotal:              0 kB");
    }

    [Fact]
    public void The_boot_log_counts_pages_present_from_6_12_on_and_tells_of_zonelists_after_the_tables()
    {
        using Machine older = Boot("6.1");
        using Machine newer = Boot("6.12");
        Total(newer).Should().Be(newer.Zones.Sum(z => z.PresentPages));
        Total(older).Should().BeLessThan(older.Zones.Sum(z => z.PresentPages));
        Index(older, "Built 1 zonelists").Should().BeLessThan(Index(older, "Dentry cache hash table"));
        Index(newer, "Built 1 zonelists").Should().BeGreaterThan(Index(newer, "Dentry cache hash table"));
        Index(newer, "Memory: ").Should().BeGreaterThan(Index(newer, "Freeing SMP alternatives"));

        static long Total(Machine machine) => long.Parse(machine.BootLog.Single(l => l.Contains("Total pages: ")).Split("Total pages: ")[1], System.Globalization.CultureInfo.InvariantCulture);
        static int Index(Machine machine, string start) => machine.BootLog.ToList().FindIndex(l => l.StartsWith(start, StringComparison.Ordinal));
    }

    [Fact]
    public void The_memory_of_smp_alternatives_comes_after_the_figures_in_7_1()
    {
        KernelPersonality line = KernelLines.Linux7_1;
        using Machine before = Machine.Boot(MachineSpec.X86_64("256M").WithPersonality(line with { KernelMemory = line.KernelMemory with { FreesSmpAlternativesLate = false } }));
        using Machine after = Boot("7.1");
        after.Zones.Sum(z => z.ManagedPages).Should().Be(before.Zones.Sum(z => z.ManagedPages));
        after.Sysctl.Get("vm.min_free_kbytes").Should().NotBe(before.Sysctl.Get("vm.min_free_kbytes"));
    }

    [Theory]
    [InlineData("6.1", "task_struct", 8392)]
    [InlineData("6.12", "mm_struct", 1360)]
    [InlineData("6.18", "vm_area_struct", 192)]
    [InlineData("7.0", "task_struct", 8776)]
    [InlineData("7.3", "task_struct", 8968)]
    [InlineData("7.3", "mm_struct", 1752)]
    [InlineData("7.3", "anon_vma", 88)]
    [InlineData("7.3", "filp", 176)]
    public void Kernel_objects_have_the_sizes_of_their_kernel(string kernel, string cache, int bytes)
    {
        using Machine machine = Boot(kernel);
        _ = machine.CreateProcess("task");
        machine.Slab.Find(cache)!.ObjectSize.Should().Be(bytes);
        machine.Verify();
    }

    [Theory]
    [InlineData("6.18", 32, 0)]
    [InlineData("7.3", 32, 60)]
    public void Maple_nodes_have_a_sheaf_of_32(string kernel, int maple, int dentry)
    {
        using Machine machine = Boot(kernel);
        _ = machine.CreateProcess("task");
        machine.Slab.Find("maple_node")!.SheafCapacity.Should().Be(maple);
        machine.Slab.Find("dentry")!.SheafCapacity.Should().Be(dentry);
        KmemCache areas = machine.Slab.Find("vm_area_struct")!;
        (areas.Size, areas.Align).Should().Be((192, 64), "the free pointer lies inside");
    }

    // As a live 6.18.44 prints them (amd64 without memory protection keys); 6.1 by what is publicly known.
    [Theory]
    [InlineData("6.1", "Anonymous,LazyFree", "THPeligible:    0")]
    [InlineData("6.12", "Anonymous,KSM,LazyFree", "THPeligible:           0")]
    [InlineData("7.3", "Anonymous,KSM,LazyFree", "THPeligible:           0")]
    public void Smaps_has_the_rows_of_its_kernel(string kernel, string rows, string eligible)
    {
        using Machine machine = Boot(kernel);
        Process process = machine.CreateProcess("task");
        _ = process.Mm.Mmap(4096, Prot.Read | Prot.Write).Value;
        string expected = "Size,KernelPageSize,MMUPageSize,Rss,Pss,Pss_Dirty,Shared_Clean,Shared_Dirty,Private_Clean,Private_Dirty,Referenced," + rows
            + ",AnonHugePages,ShmemPmdMapped,FilePmdMapped,Shared_Hugetlb,Private_Hugetlb,Swap,SwapPss,Locked,THPeligible,VmFlags";
        string[] lines = [.. process.Smaps.Split('\n').Skip(1).Take(expected.Count(c => c == ',') + 1)];
        string.Join(',', lines.Select(l => l.Split(':')[0])).Should().Be(expected);
        lines.Should().Contain(eligible);
        process.SmapsRollup.Should().Contain("\nPss_Anon:              0 kB\nPss_File:              0 kB\nPss_Shmem:             0 kB\nShared_Clean:          0 kB\n");
        process.SmapsRollup.Contains("KSM:", StringComparison.Ordinal).Should().Be(kernel != "6.1");
    }

    // As recorded: 7.3 does not pad the number of a cgroup.
    [Theory]
    [InlineData("6.12", "memcg     ")]
    [InlineData("7.3", "memcg ")]
    public void Generations_are_listed_with_the_width_of_their_kernel(string kernel, string start)
    {
        using Machine machine = Boot(kernel);
        _ = machine.CreateProcess("task");
        machine.Proc.LruGen.Split('\n')[0].Should().MatchRegex($"^{start}[0-9] ");
    }

    private static Machine Boot(string kernel) => Machine.Boot(MachineSpec.X86_64("256M").WithKernel(kernel));
}
