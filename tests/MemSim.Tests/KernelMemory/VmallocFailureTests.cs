using FluentAssertions;
using Xunit;

namespace MemSim.Tests.KernelMemory;

/// <summary>vmalloc without memory, with huge pages, on every architecture, from several threads.</summary>
public class VmallocFailureTests
{
    public static TheoryData<Architecture> All => [Architecture.X86_64, Architecture.X86_32, Architecture.X86_32Pae, Architecture.Arm64];

    /// <summary>Free pages, and those that others keep once they had them: slabs, and the kernel's page tables.</summary>
    private static long FreePages(Machine machine)
    {
        machine.Memory.DrainAllPages();
        return machine.Zones.Sum(z => z.TrueFreePages) + machine.Nodes.Sum(n => n.Counters.SlabReclaimable + n.Counters.SlabUnreclaimable) + machine.Mmu.TablePages;
    }

    /// <summary>Leaves no two free pages side by side.</summary>
    private static void Fragment(Cpu cpu)
    {
        List<Page> all = cpu.AllocateAll(Gfp.MemAlloc);
        all.FindAll(p => p.Pfn.Value % 2 == 0).ForEach(p => cpu.FreePages(p));
    }

    [Theory]
    [MemberData(nameof(All))]
    public void Whichever_inner_allocation_fails_nothing_is_lost(Architecture architecture)
    {
        using Machine machine = Machine.Boot(MachineSpec.Preset(architecture, "128M"));
        Cpu cpu = machine.Cpus[0];
        const long bytes = (1500 * 4096) - 100;
        _ = cpu.Vmalloc(4096);
        foreach (int size in (int[])[8, 12, 16, 24, 32])
        {
            // Slabs that the tables of pages come from: the slab allocator keeps those, used or not.
            _ = cpu.Kmalloc(size, Gfp.Kernel);
        }

        Stack<Page> all = new(cpu.AllocateAll(Gfp.Kernel));
        string info = machine.Proc.VmallocInfo;
        VirtualAddress area = default;
        int failed = 0;

        // One page more each time at first, so that the table, each kind of inner allocation and each early page fail in turn; then in larger steps.
        for (int step = 1; area.IsNull; step = failed < 24 ? 1 : 97)
        {
            long before = FreePages(machine);
            area = cpu.Vmalloc(bytes);
            if (area.IsNull)
            {
                failed++;
                FreePages(machine).Should().Be(before);
                cpu.Vm.VmUnmapAliases();
                machine.Proc.VmallocInfo.Should().Be(info);
                machine.Reports.LastVmallocFailure.Should().Contain("vmalloc error: size");
                if (failed % 8 == 1)
                {
                    machine.Verify();
                }
            }

            for (int i = 0; i < step; i++)
            {
                cpu.FreePages(all.Pop());
            }
        }

        failed.Should().BeGreaterThan(24);
        cpu.Write(area + bytes + -8, 42L);
        machine.Verify();
        cpu.Vfree(area);
        machine.Verify();
    }

    [Theory]
    [MemberData(nameof(All))]
    public void Any_mix_of_areas_keeps_its_contents_and_leaves_nothing(Architecture architecture)
    {
        using Machine machine = Machine.Boot(MachineSpec.Preset(architecture, "1G", cpus: 2));
        var random = new Random(7);
        long used = machine.Memory.Vmalloc.UsedPages;
        List<(VirtualAddress Address, long Bytes, int Mark)> live = [];
        for (int step = 0; step < 600; step++)
        {
            Cpu cpu = machine.Cpus[step & 1];
            if (live.Count > 20 || (live.Count > 0 && random.Next(3) == 0))
            {
                int which = random.Next(live.Count);
                (VirtualAddress address, long bytes, int mark) = live[which];
                cpu.Read<int>(address).Should().Be(mark);
                cpu.Read<int>(address + bytes + -4).Should().Be(~mark);
                cpu.Vfree(address);
                live.RemoveAt(which);
                continue;
            }

            long size = 8 + random.Next(random.Next(4) == 0 ? 5 << 20 : 70000);
            VirtualAddress area = random.Next(5) == 0 ? cpu.Vm.VmallocHuge(size) : cpu.Vmalloc(size);
            area.IsNull.Should().BeFalse();
            cpu.Write(area, step);
            cpu.Write(area + size + -4, ~step);
            live.Add((area, size, step));
        }

        machine.Verify();
        live.ForEach(a => machine.Cpus[0].Vfree(a.Address));
        machine.Cpus[0].Vm.VmUnmapAliases();
        machine.Memory.Vmalloc.UsedPages.Should().Be(used);
        machine.AreasOfUsers().Should().BeEmpty();
        machine.Verify();
    }

    [Theory]
    [InlineData(Architecture.X86_64)]
    [InlineData(Architecture.Arm64)]
    public void Huge_areas_are_mapped_with_2_MiB_pages(Architecture architecture)
    {
        using Machine machine = Machine.Boot(MachineSpec.Preset(architecture, "512M"));
        Cpu cpu = machine.Cpus[0];
        long used = machine.Memory.Vmalloc.UsedPages;

        VirtualAddress area = cpu.Vm.VmallocHuge((3 << 20) + 1);

        (area.Value % (2 << 20)).Should().Be(0);
        machine.Memory.Vmalloc.UsedPages.Should().Be(used + 1024 + 2, "huge areas have whole huge pages, and here a table of pages of their own");
        PageMapping[] mappings = [.. machine.Mmu.Kernel.Mappings().Where(m => m.Start.Value >= area.Value && m.Start.Value < area.Value + (4 << 20))];
        mappings.Should().OnlyContain(m => m.Size == MappingSize.Page2M).And.HaveCountLessThan(3);
        cpu.Write(area + (3 << 20), 5);
        cpu.Read<int>(cpu.Vm.VmallocToPage(area + (3 << 20)).Address).Should().Be(5);
        machine.Verify();
        cpu.Vfree(area);
        machine.Memory.Vmalloc.UsedPages.Should().Be(used);
        cpu.Vm.VmUnmapAliases();
        machine.Verify();
        cpu.Vm.VmallocHuge(100_000).Should().Be(machine.FirstFree(), "less than 2 MiB is mapped as by vmalloc");
    }

    [Fact]
    public void Without_large_blocks_a_huge_area_falls_back_to_small_pages()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        Fragment(cpu);

        VirtualAddress area = cpu.Vm.VmallocHuge(4 << 20);

        area.Should().NotBe(default(VirtualAddress));
        machine.Mmu.Kernel.Mappings().Where(m => m.Start.Value >= area.Value && m.Start.Value < area.Value + (4 << 20)).Should().OnlyContain(m => m.Size == MappingSize.Page4K);
        machine.Memory.Vmalloc.UsedPages.Should().Be(1024 + 2);
        machine.Verify();
    }

    [Fact]
    public void Kvmalloc_falls_back_when_memory_is_in_pieces()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        VirtualAddress whole = cpu.Slab.Kvmalloc(64 << 10, Gfp.Kernel);
        machine.AddressSpace.DirectMap.Contains(whole).Should().BeTrue();
        Fragment(cpu);
        _ = cpu.AllocateAll(Gfp.Kernel | Gfp.NoRetry, order: 4);

        VirtualAddress pieces = cpu.Slab.Kvmalloc(64 << 10, Gfp.Kernel);

        machine.AddressSpace.Vmalloc.Contains(pieces).Should().BeTrue();
        cpu.Slab.Kvfree(pieces);
        cpu.Slab.Kvfree(whole);
        machine.Memory.Vmalloc.UsedPages.Should().Be(0);
        machine.Verify();
    }

    [Fact]
    public void An_exhausted_window_is_a_failure_until_areas_are_freed()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_32("1G"));
        Cpu cpu = machine.Cpus[0];
        List<VirtualAddress> areas = [];
        for (VirtualAddress area = cpu.Vmalloc(8 << 20); !area.IsNull; area = cpu.Vmalloc(8 << 20))
        {
            areas.Add(area);
        }

        areas.Count.Should().Be(14, "the window of 120 MiB holds 14 areas of 8 MiB and a guard page");
        machine.Reports.LastVmallocFailure.Should().Contain("no range of address space is long enough");
        machine.Verify();
        cpu.Vfree(areas[5]);
        cpu.Vmalloc(8 << 20).Should().Be(areas[5], "the request itself purges what was put aside");
        cpu.Vmalloc(1L << 40).IsNull.Should().BeTrue();
        machine.Verify();
    }

    [Fact]
    public void Cpus_driven_by_threads_of_their_own_share_vmalloc_space()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("512M", cpus: 4).WithParallelCpus().WithMmu(MmuOptions.Default with { CheckStaleEntries = true }));
        List<Exception> failures = [];
        Thread[] threads = [.. machine.Cpus.Select(cpu => new Thread(() =>
        {
            try
            {
                var random = new Random(cpu.Id);
                List<(VirtualAddress Address, long Bytes)> live = [];
                for (int step = 0; step < 2500; step++)
                {
                    if (live.Count > 8)
                    {
                        int which = random.Next(live.Count);
                        cpu.Read<int>(live[which].Address).Should().Be(cpu.Id);
                        cpu.Read<long>(live[which].Address + live[which].Bytes + -8).Should().Be(live[which].Bytes);
                        cpu.Vfree(live[which].Address);
                        live.RemoveAt(which);
                    }

                    long bytes = 16 + random.Next(40000);
                    VirtualAddress area = cpu.Vmalloc(bytes);
                    cpu.Write(area, cpu.Id);
                    cpu.Write(area + bytes + -8, bytes);
                    live.Add((area, bytes));
                }

                live.ForEach(a => cpu.Vfree(a.Address));
            }
            catch (Exception e)
            {
                lock (failures)
                {
                    failures.Add(e);
                }
            }
        }))];
        Array.ForEach(threads, t => t.Start());
        Array.ForEach(threads, t => t.Join());

        failures.Should().BeEmpty();
        machine.Mmu.StaleEntriesUsed.Should().BeEmpty();
        machine.Memory.Vmalloc.UsedPages.Should().Be(0);
        machine.Verify();
    }
}
