using FluentAssertions;
using MemSim.Kernels;
using Xunit;

namespace MemSim.Tests.KernelMemory;

/// <summary>Where the memory of stacks comes from and goes to, kernel by kernel, as the fork traces of each show it.</summary>
public sealed class ThreadStackRuleTests
{
    private const Gfp Requested = Gfp.Kernel | Gfp.HighMem | Gfp.Zero | Gfp.NoWarn;

    public static TheoryData<string> Lines() => [.. KernelLines.Recorded.Select(l => l.Name)];

    private static bool TakesBlocks(string kernel) => kernel[0] == '7';

    private static bool FreesBlocks(string kernel) => kernel is "7.2" or "7.3";

    [Theory]
    [MemberData(nameof(Lines))]
    public void A_stack_is_four_pages_of_the_bulk_allocator_and_from_7_0_on_a_block_had_without_reclaim(string kernel)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("512M").WithKernel(kernel));
        Cpu cpu = machine.Cpus[0];
        Events events = new();
        machine.Tracing.Attach(events);

        KernelStack stack = machine.Stacks.Create(cpu, new KernelTask("a", 1))!;

        IEnumerable<(int Order, Gfp Gfp)> own = events.Allocated.Where(e => e.Pfn == stack.Pages[0].Pfn.Value).Select(e => (e.Order, e.Gfp));
        if (TakesBlocks(kernel))
        {
            own.Should().Equal((2, Requested & ~Gfp.DirectReclaim));
            stack.Pages.Select(p => p.Pfn - stack.Pages[0].Pfn).Should().Equal(0, 1, 2, 3);
            (stack.Pages[0].Pfn.Value & 3).Should().Be(0);
        }
        else
        {
            own.Should().BeEmpty("the bulk allocator has no event");
        }

        machine.Verify();
    }

    [Theory]
    [MemberData(nameof(Lines))]
    public void It_is_freed_with_four_events_and_only_from_7_2_on_comes_back_as_a_block(string kernel)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("512M").WithKernel(kernel));
        Cpu cpu = machine.Cpus[0];
        long[] frames = MakeAndFree(machine, cpu, out Events events);

        events.Freed.Where(e => frames.Contains(e.Pfn)).Should().Equal(frames.Select(pfn => (pfn, 0)));
        machine.Verify();

        Page block = cpu.AllocPages(Gfp.Kernel, 2);
        Page single = cpu.AllocPages(Gfp.Kernel);
        if (FreesBlocks(kernel))
        {
            block.Pfn.Value.Should().Be(frames[0]);
            frames.Should().NotContain(single.Pfn.Value);
        }
        else
        {
            frames.Should().NotContain(block.Pfn.Value);
            single.Pfn.Value.Should().Be(frames[3], "the last page freed is the first one taken");
        }

        machine.Verify();
    }

    [Fact]
    public void Without_a_block_the_pages_come_one_by_one()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithKernel("7.3"));
        Cpu cpu = machine.Cpus[0];
        machine.Memory.DrainAllPages();
        foreach (Page page in cpu.AllocateAll(Gfp.Kernel | Gfp.MemAlloc).Where(p => (p.Pfn.Value & 1) != 0))
        {
            cpu.FreePage(page);
        }

        machine.Memory.DrainAllPages();
        cpu.AllocPages(Gfp.NoWait | Gfp.NoWarn, 1).IsNull.Should().BeTrue();

        VirtualAddress area = cpu.Vmalloc(4 << PageGeometry.PageShift);

        area.IsNull.Should().BeFalse();
        machine.Verify();
        cpu.Vfree(area);
        machine.Verify();
    }

    [Theory]
    [InlineData("7.0", 100, new[] { 6, 5, 2 })]
    [InlineData("7.3", 100, new[] { 6, 5, 2 })]
    [InlineData("7.3", 7, new[] { 2, 1 })]
    [InlineData("7.3", 3000, new[] { 2, 1, 10, 10, 9, 8, 7, 5, 4, 3 })]
    public void Larger_areas_and_their_tables_are_made_of_the_largest_blocks_that_fit(string kernel, int pages, int[] orders)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("512M").WithKernel(kernel));
        Cpu cpu = machine.Cpus[0];
        Events events = new();
        machine.Tracing.Attach(events);
        long free = machine.Zones.Sum(z => z.TrueFreePages + z.Pcp.Sum(p => p.Count));

        VirtualAddress area = cpu.Vmalloc((long)pages << PageGeometry.PageShift);

        events.Allocated.Where(e => (e.Gfp & Gfp.HighMem) != 0 && e.Order > 0).Select(e => e.Order).Should().Equal(orders);
        machine.Verify();
        cpu.Vfree(area);
        machine.Verify();
        events.Freed.Count(e => e.Order == 0).Should().BeGreaterThanOrEqualTo(pages);
        machine.Zones.Sum(z => z.TrueFreePages + z.Pcp.Sum(p => p.Count)).Should().BeGreaterThan(free - 100);
    }

    [Fact]
    public void Pages_somebody_else_holds_are_reported_and_the_rest_goes_back()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("512M").WithKernel("7.3"));
        Cpu cpu = machine.Cpus[0];
        VirtualAddress area = cpu.Vmalloc(8 << PageGeometry.PageShift);
        Page held = cpu.Vm.VmallocToPage(area + (3 << PageGeometry.PageShift));
        cpu.Pages.GetPage(held);

        cpu.Invoking(c => c.Vfree(area)).Should().Throw<KernelBugException>();

        cpu.Pages.PutPage(held);
        cpu.Vfree(area);
        machine.Verify();
    }

    private static long[] MakeAndFree(Machine machine, Cpu cpu, out Events events)
    {
        KernelTask task = new("a", 1);
        KernelStack stack = machine.Stacks.Create(cpu, task)!;
        long[] frames = [.. stack.Pages.Select(p => p.Pfn.Value)];
        events = new Events();
        machine.Tracing.Attach(events);
        machine.Stacks.Free(cpu, task);
        machine.Stacks.DropCache(cpu);
        return frames;
    }

    private sealed class Events : IPageTraceSink
    {
        public List<(long Pfn, int Order, Gfp Gfp)> Allocated { get; } = [];

        public List<(long Pfn, int Order)> Freed { get; } = [];

        public void MmPageAlloc(Cpu cpu, long pfn, int order, MigrateType migrateType, Gfp gfp) => Allocated.Add((pfn, order, gfp));

        public void MmPageFree(Cpu cpu, long pfn, int order) => Freed.Add((pfn, order));

        public void MmPageFreeBatched(Cpu cpu, long pfn)
        {
        }

        public void MmPageAllocZoneLocked(Cpu cpu, long pfn, int order, MigrateType migrateType, bool percpuRefill)
        {
        }

        public void MmPagePcpuDrain(Cpu cpu, long pfn, int order, MigrateType migrateType)
        {
        }

        public void MmPageAllocExtfrag(Cpu cpu, long pfn, int allocOrder, int fallbackOrder, MigrateType allocType, MigrateType fallbackType, bool changeOwnership)
        {
        }
    }
}
