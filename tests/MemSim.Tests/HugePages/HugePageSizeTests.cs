using FluentAssertions;
using MemSim.Statistics;
using Xunit;

namespace MemSim.Tests.HugePages;

/// <summary>Large pages of anonymous memory smaller than 2 MiB.</summary>
public class HugePageSizeTests
{
    private const int Page = 4096;
    private const int Kilo64 = 16;

    [Fact]
    public void Kernels_before_6_8_have_no_sizes_and_two_small_pages_make_no_large_one()
    {
        using Machine old = Machine.Boot(MachineSpec.X86_64("512M"));
        old.HugePages.Sizes.Should().BeEmpty();
        using Machine machine = Boot();
        machine.HugePages.Sizes.Select(size => size.ToString()).Should().Equal(
            "hugepages-8kB", "hugepages-16kB", "hugepages-32kB", "hugepages-64kB", "hugepages-128kB", "hugepages-256kB", "hugepages-512kB", "hugepages-1024kB", "hugepages-2048kB");
        machine.HugePages.Sizes[^1].Enabled.Should().Be(HugePageSizePolicy.Inherit);
        machine.HugePages.Sizes[3].Enabled.Should().Be(HugePageSizePolicy.Never);
        machine.HugePages.Sizes[0].IsOfAnonymous.Should().BeFalse();
        machine.HugePages.Sizes[0].Invoking(size => size.Enabled = HugePageSizePolicy.Always).Should().Throw<InvalidOperationException>();
        machine.HugePages.Sizes[1].Invoking(size => size["nr_lost"]).Should().Throw<ArgumentException>();
        machine.Proc.SysKernelMm.Should().Contain("transparent_hugepage/hugepages-64kB/enabled = always inherit madvise [never]\n").And.Contain("transparent_hugepage/hugepages-64kB/stats/anon_fault_alloc = 0\n");
    }

    [Fact]
    public void The_first_write_maps_as_many_entries_as_the_page_has_frames()
    {
        using Machine machine = Boot();
        HugePageSize size = Enable(machine, 4, HugePageSizePolicy.Always);
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("sized");
        VirtualAddress at = Map(process, 64);
        long faults = process.MinorFaults;
        using (cpu.Run(process))
        {
            cpu.Write(at + (5 * Page), 5);
            for (int i = 0; i < Kilo64; i++)
            {
                cpu.Read<int>(at + (i * Page)).Should().Be(i == 5 ? 5 : 0);
                cpu.Write(at + (i * Page), i);
            }
        }

        (process.MinorFaults - faults).Should().Be(1);
        process.Mm.AnonPages.Should().BeGreaterThanOrEqualTo(Kilo64);
        size["anon_fault_alloc"].Should().Be(1);
        size["nr_anon"].Should().Be(1);
        Page head = machine.GetPage(process.Mm.Tables.Lookup(at).Frame);
        head.CompoundOrder.Should().Be(4);
        head.Pfn.Value.Should().Be(process.Mm.Tables.Lookup(at + (15 * Page)).Frame.Value - 15);
        machine.Verify();
        process.Exit();
        size["nr_anon"].Should().Be(0);
        size["split_deferred"].Should().Be(0, "all of it was unmapped at once");
        machine.Verify();
    }

    [Fact]
    public void The_largest_size_that_fits_the_area_and_finds_empty_entries_is_taken()
    {
        using Machine machine = Boot();
        HugePageSize small = Enable(machine, 2, HugePageSizePolicy.Always);
        HugePageSize large = Enable(machine, 4, HugePageSizePolicy.Always);
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("sized");
        VirtualAddress at = Map(process, 16 + 6);
        using (cpu.Run(process))
        {
            _ = cpu.Read<int>(at + (9 * Page));          // the zero page: not empty any more
            cpu.Write(at + Page, 1);                      // 16 KiB
            cpu.Write(at + (8 * Page), 1);                // a small page: its neighbour is taken
            cpu.Write(at + (16 * Page), 1);               // 16 KiB: the area ends before 64
            cpu.Write(at + (21 * Page), 1);               // and here before 16
        }

        (small["anon_fault_alloc"], large["anon_fault_alloc"]).Should().Be((2, 0));
        (small["anon_fault_fallback"], large["anon_fault_fallback"]).Should().Be((0, 0), "what does not fit is no failure");
        machine.GetPage(process.Mm.Tables.Lookup(at + (8 * Page)).Frame).CompoundOrder.Should().Be(0);
        machine.Verify();
    }

    [Fact]
    public void Advice_and_the_file_of_all_sizes_decide_who_gets_them()
    {
        using Machine machine = Boot();
        machine.HugePages.Enabled = TransparentHugePages.Madvise;
        HugePageSize asked = Enable(machine, 2, HugePageSizePolicy.Madvise);
        HugePageSize inherits = Enable(machine, 3, HugePageSizePolicy.Inherit);
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("sized");
        VirtualAddress plain = Map(process, 32);
        VirtualAddress advised = Map(process, 32, 1);
        process.Mm.Madvise(advised, 32 * Page, MemoryAdvice.HugePage).Should().Be(Errno.None);
        using (cpu.Run(process))
        {
            cpu.Write(plain, 1);
            (asked["anon_fault_alloc"], inherits["anon_fault_alloc"]).Should().Be((0, 0));
            cpu.Write(advised, 1);
            (asked["anon_fault_alloc"], inherits["anon_fault_alloc"]).Should().Be((0, 1));
            inherits.Enabled = HugePageSizePolicy.Never;
            cpu.Write(advised + (8 * Page), 1);
            (asked["anon_fault_alloc"], inherits["anon_fault_alloc"]).Should().Be((1, 1));
        }

        machine.Verify();
    }

    [Fact]
    public void After_fork_a_write_copies_one_small_page_and_the_rest_stays_shared()
    {
        using Machine machine = Boot();
        _ = Enable(machine, 4, HugePageSizePolicy.Always);
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("parent");
        VirtualAddress at = Map(process, 64);
        Fill(cpu, process, at, Kilo64, i => i);
        Process child = process.Fork(cpu);
        using (cpu.Run(child))
        {
            cpu.Write(at + (3 * Page), 300);
            cpu.Read<int>(at + (3 * Page)).Should().Be(300);
        }

        using (cpu.Run(process))
        {
            cpu.Read<int>(at + (3 * Page)).Should().Be(3);
        }

        machine.GetPage(child.Mm.Tables.Lookup(at + (3 * Page)).Frame).CompoundOrder.Should().Be(0);
        child.Mm.Tables.Lookup(at).Frame.Should().Be(process.Mm.Tables.Lookup(at).Frame);
        machine.Verify();
        child.Exit();
        process.Exit();
        machine.Verify();
    }

    [Fact]
    public void A_page_of_which_part_is_unmapped_waits_and_is_split_when_memory_runs_short()
    {
        using Machine machine = Boot();
        HugePageSize size = Enable(machine, 4, HugePageSizePolicy.Always);
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("holes");
        VirtualAddress at = Map(process, 64);
        Fill(cpu, process, at, Kilo64, i => i + 1);
        process.Mm.Madvise(at + (4 * Page), 2 * Page, MemoryAdvice.DontNeed).Should().Be(Errno.None);
        (size["split_deferred"], size["nr_anon_partially_mapped"]).Should().Be((1, 1));
        machine.HugePages.DeferredSplits.Should().Be(1);
        machine.Events[VmEvent.ThpDeferredSplitPage].Should().Be(0, "that counts pages of 2 MiB alone");
        machine.Verify();
        machine.HugePages.Split(cpu, machine.GetPage(process.Mm.Tables.Lookup(at).Frame)).Should().BeTrue();
        (size["split"], size["nr_anon"], size["nr_anon_partially_mapped"]).Should().Be((1, 0, 0));
        using (cpu.Run(process))
        {
            for (int i = 0; i < Kilo64; i++)
            {
                cpu.Read<int>(at + (i * Page)).Should().Be(i is 4 or 5 ? 0 : i + 1);
            }
        }

        machine.Verify();
    }

    [Fact]
    public void Above_the_limit_of_a_cgroup_small_pages_must_do()
    {
        using Machine machine = Boot();
        machine.Reclaim.Enable();
        HugePageSize size = Enable(machine, 4, HugePageSizePolicy.Always);
        Cgroup pod = machine.Cgroups.Create("/pod");
        pod["memory.max"] = "1M";
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("pod");
        process.Cgroup = pod;
        VirtualAddress at = Map(process, 224);
        Fill(cpu, process, at, 224, i => i);
        size["anon_fault_alloc"].Should().Be(14);
        size["anon_fault_fallback_charge"].Should().Be(0);
        using BlockDevice disk = new("swap", ByteSize.FromMiB(16));
        _ = machine.Swap.SwapOn(disk).Value;
        VirtualAddress more = Map(process, 64, 1);
        Fill(cpu, process, more, 64, i => i);
        size["anon_fault_fallback_charge"].Should().BePositive();
        size["anon_fault_fallback"].Should().Be(size["anon_fault_fallback_charge"]);
        machine.Verify();
    }

    [Theory]
    [InlineData("6.12", 0)]
    [InlineData("7.3", 1)]
    public void Swap_takes_them_whole_where_the_kernel_can_and_every_byte_comes_back(string kernel, int whole)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("640M").WithKernel(kernel));
        machine.Reclaim.Enable();
        machine.HugePages.Enabled = TransparentHugePages.Never;
        HugePageSize size = Enable(machine, 4, HugePageSizePolicy.Always);
        using BlockDevice disk = new("swap", ByteSize.FromMiB(64), new BlockDeviceCosts(0, 1, 0));
        _ = machine.Swap.SwapOn(disk).Value;
        Cgroup pod = machine.Cgroups.Create("/pod");
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("pod");
        process.Cgroup = pod;
        VirtualAddress at = Map(process, 2048);
        Fill(cpu, process, at, 2048, i => i ^ 0x55);
        pod["memory.reclaim"] = "4M";
        machine.Events[VmEvent.SwapOut].Should().BeGreaterThan(900);
        if (whole != 0)
        {
            size["swpout"].Should().BeGreaterThan(50);
            (size["split"], size["swpout_fallback"]).Should().Be((0, 0));
        }
        else
        {
            size["swpout_fallback"].Should().BeGreaterThan(50);
            size["split"].Should().Be(size["swpout_fallback"]);
            size["swpout"].Should().Be(0);
        }

        machine.Verify();
        using (cpu.Run(process))
        {
            for (int i = 0; i < 2048; i++)
            {
                cpu.Read<int>(at + (i * Page)).Should().Be(i ^ 0x55);
            }
        }

        process.Exit();
        size["nr_anon"].Should().Be(0);
        machine.Verify();
    }

    [Fact]
    public void They_move_between_nodes_in_one_piece()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("1G", cpus: 2).WithNodes("512M", "512M").WithKernel("6.12"));
        machine.HugePages.Enabled = TransparentHugePages.Never;
        HugePageSize size = Enable(machine, 4, HugePageSizePolicy.Always);
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("moves");
        VirtualAddress at = Map(process, 64);
        Fill(cpu, process, at, Kilo64, i => i);
        process.Mm.Madvise(at + (2 * Page), Page, MemoryAdvice.DontNeed).Should().Be(Errno.None);
        machine.Lru.DrainAll(cpu);
        using (machine.Cpus[1].Run(process))
        {
            machine.Migration.Balancing.Scan(machine.Cpus[1], process).Should().BeGreaterThanOrEqualTo(15);
            machine.Cpus[1].Read<int>(at + (7 * Page)).Should().Be(7);
        }

        int[] status = new int[Kilo64];
        process.QueryPages([.. Enumerable.Range(0, Kilo64).Select(i => at + (i * Page))], status).Should().Be(Errno.None);
        status.Where((_, i) => i != 2).Should().AllBeEquivalentTo(1);
        machine.Events[VmEvent.NumaPagesMigrated].Should().Be(16);
        (size["nr_anon"], size["nr_anon_partially_mapped"]).Should().Be((1, 1));
        machine.Verify();
        process.Exit();
        (size["nr_anon"], size["nr_anon_partially_mapped"]).Should().Be((0, 0));
        machine.Verify();
    }

    [Theory]
    [InlineData(1, "6.12")]
    [InlineData(2, "6.18")]
    [InlineData(3, "7.3")]
    [InlineData(4, "7.3")]
    public void Any_sequence_keeps_every_byte_and_all_counts(int seed, string kernel)
    {
        const int Size = 512;
        using Machine machine = Machine.Boot(MachineSpec.X86_64("640M", cpus: 2).WithKernel(kernel));
        machine.Reclaim.Enable();
        machine.HugePages.Enabled = TransparentHugePages.Never;
        using BlockDevice disk = new("swap", ByteSize.FromMiB(64), new BlockDeviceCosts(0, 1, 0));
        _ = machine.Swap.SwapOn(disk).Value;
        Cgroup pod = machine.Cgroups.Create("/pod");
        Random random = new(seed);
        foreach (HugePageSize size in machine.HugePages.Sizes.Where(s => s.IsOfAnonymous && s.Order < 9))
        {
            size.Enabled = (HugePageSizePolicy)random.Next(4);
        }

        machine.HugePages.Sizes[3].Enabled = HugePageSizePolicy.Always;
        List<(Process Process, VirtualAddress At, int[] Model)> tasks = [];
        for (int i = 0; i < 2; i++)
        {
            Process process = machine.CreateProcess($"p{i}");
            process.Cgroup = pod;
            tasks.Add((process, Map(process, Size), new int[Size]));
        }

        for (int step = 1; step < 4000; step++)
        {
            (Process process, VirtualAddress at, int[] model) = tasks[random.Next(tasks.Count)];
            Cpu cpu = machine.Cpus[random.Next(2)];
            int page = random.Next(Size);
            int run = Math.Min(random.Next(1, 24), Size - page);
            using (cpu.Run(process))
            {
                switch (random.Next(40))
                {
                    case 0:
                        pod["memory.reclaim"] = "1M";
                        break;
                    case 1:
                        process.Mm.Madvise(at + (page * Page), run * Page, MemoryAdvice.DontNeed).Should().Be(Errno.None);
                        Array.Clear(model, page, run);
                        break;
                    case 2:
                        process.Mm.Madvise(at + (page * Page), run * Page, MemoryAdvice.PageOut).Should().Be(Errno.None);
                        break;
                    case 3:
                        process.Mm.Mprotect(at + (page * Page), run * Page, Prot.Read).Should().Be(Errno.None);
                        process.Mm.Mprotect(at, Size * Page, Prot.Read | Prot.Write).Should().Be(Errno.None);
                        break;
                    case 4 when tasks.Count < 5:
                        tasks.Add((process.Fork(cpu), at, [.. model]));
                        break;
                    case 5 when tasks.Count > 2:
                        tasks.RemoveAt(tasks.FindIndex(task => ReferenceEquals(task.Process, process)));
                        process.Exit();
                        break;
                    case 6:
                        machine.Lru.DrainAll(cpu);
                        break;
                    case 7 when process.Mm.Tables.Lookup(at + (page * Page)) is { IsPresent: true } entry:
                        _ = machine.HugePages.Split(cpu, machine.GetPage(entry.Frame));
                        break;
                    case 8:
                        process.Mm.Munmap(at + (page * Page), run * Page).Should().Be(Errno.None);
                        process.Mm.Mmap(at + (page * Page), run * Page, Prot.Read | Prot.Write, MapFlags.Private | MapFlags.Anonymous | MapFlags.Fixed).Succeeded.Should().BeTrue();
                        Array.Clear(model, page, run);
                        break;
                    case 9 when page + run <= Size:
                        // There and back again: entries move, pages stay.
                        VirtualAddress spare = new((process.Mm.MmapBase - (128UL << 20)) & ~((2UL << 20) - 1));
                        if (process.Mm.Mremap(at + (page * Page), run * Page, run * Page, RemapFlags.MayMove | RemapFlags.Fixed, spare).Succeeded)
                        {
                            process.Mm.Mremap(spare, run * Page, run * Page, RemapFlags.MayMove | RemapFlags.Fixed, at + (page * Page)).Succeeded.Should().BeTrue();
                        }

                        break;
                    case < 22:
                        cpu.Read<int>(at + (page * Page)).Should().Be(model[page], "seed {0}, step {1}", seed, step);
                        break;
                    default:
                        model[page] = step;
                        cpu.Write(at + (page * Page), step);
                        break;
                }
            }

            if (step % 400 == 0)
            {
                machine.Verify();
            }
        }

        machine.HugePages.Sizes.Sum(size => size["anon_fault_alloc"]).Should().BeGreaterThan(20);
        foreach ((Process process, VirtualAddress at, int[] model) in tasks)
        {
            using (machine.Cpus[0].Run(process))
            {
                for (int i = 0; i < Size; i++)
                {
                    machine.Cpus[0].Read<int>(at + (i * Page)).Should().Be(model[i], "seed {0}", seed);
                }
            }

            process.Exit();
        }

        machine.HugePages.Sizes.Sum(size => size["nr_anon"]).Should().Be(0);
        machine.HugePages.Sizes.Sum(size => size["nr_anon_partially_mapped"]).Should().Be(0);
        machine.Verify();
    }

    private static HugePageSize Enable(Machine machine, int order, HugePageSizePolicy policy)
    {
        HugePageSize size = machine.HugePages.Sizes.Single(s => s.Order == order);
        size.Enabled = policy;
        return size;
    }

    private static VirtualAddress Map(Process process, int pages, int place = 0)
    {
        ulong at = (process.Mm.MmapBase - (64UL << 20) + ((ulong)place << 21)) & ~((2UL << 20) - 1);
        return process.Mm.Mmap(new VirtualAddress(at), pages * Page, Prot.Read | Prot.Write, MapFlags.Fixed | MapFlags.Anonymous | MapFlags.Private);
    }

    private static void Fill(Cpu cpu, Process process, VirtualAddress at, int pages, Func<int, int> value)
    {
        using (cpu.Run(process))
        {
            for (int i = 0; i < pages; i++)
            {
                cpu.Write(at + (i * Page), value(i));
            }
        }
    }

    private static Machine Boot()
    {
        Machine machine = Machine.Boot(MachineSpec.X86_64("640M").WithKernel("6.12"));
        machine.HugePages.Enabled = TransparentHugePages.Never;
        return machine;
    }
}
