using FluentAssertions;
using MemSim.Reclaim;
using MemSim.Statistics;
using MemSim.Swap;
using Xunit;

namespace MemSim.Tests.HugePages;

/// <summary>Huge pages that go to swap: whole where the area has a cluster for them, else in parts.</summary>
public sealed class HugeSwapTests : IDisposable
{
    private const int Pages = 512;
    private readonly Machine _machine = HugePageTests.Boot("x86_64");

    private Cpu Cpu => _machine.Cpus[0];

    public void Dispose()
    {
        _machine.Verify();
        _machine.Dispose();
    }

    [Fact]
    public void A_huge_page_goes_to_a_free_cluster_whole_and_in_order()
    {
        SwapArea area = _machine.Swap.SwapOn(new MemorySwapBacking("ssd", 4 * Pages));
        (Process process, VirtualAddress at) = Written();
        long free = _machine.FreePagesAtRest();

        Reclaim().Should().Be(0, "it was used");
        Reclaim().Should().Be(Pages);

        Counts().Should().Be((1, 0, Pages));
        (area.UsedPages, process.Mm.AnonPages, process.Mm.SwapEntries).Should().Be((Pages, 0, Pages));
        _machine.Swap.CachedPages.Should().Be(0);
        _machine.FreePagesAtRest().Should().BeGreaterThanOrEqualTo(free + Pages - 2, "but for a page table");
        long first = SlotOf(process, at, 0);
        Enumerable.Range(0, Pages).Select(i => SlotOf(process, at, i) - first).Should().Equal(Enumerable.Range(0, Pages).Select(i => (long)i));
        Check(process, at);
        process.Exit();
        area.UsedPages.Should().Be(0, "no slot is left behind");
    }

    [Theory]
    [InlineData(2 * Pages, true)]
    [InlineData(4 * Pages, false)]
    public void Without_a_free_cluster_its_parts_wait_for_another_round(int slots, bool solidState)
    {
        SwapArea area = _machine.Swap.SwapOn(new MemorySwapBacking("swap", slots, solidState));
        if (solidState)
        {
            // The only whole cluster is in use.
            (Process other, VirtualAddress small) = Written(1, huge: false);
            other.Mm.Madvise(small, 4096, MemoryAdvice.PageOut).Should().Be(Errno.None);
            area.FreeClusters.Should().Be(0);
        }

        long used = area.UsedPages;
        (Process process, VirtualAddress at) = Written();
        Reclaim();
        Reclaim().Should().Be(0);

        Counts().Should().Be((0, 1, used));
        process.Mm.AnonPages.Should().Be(Pages, "split, and nothing else yet");
        for (int i = 0; i < Pages && process.Mm.AnonPages != 0; i++)
        {
            Reclaim();
        }

        process.Mm.AnonPages.Should().Be(0);
        _machine.Events[VmEvent.ThpSwpoutFallback].Should().Be(1);
        Check(process, at);
        process.Exit();
        area.UsedPages.Should().Be(used);
    }

    [Fact]
    public void A_device_that_fails_leaves_all_parts_in_memory()
    {
        MemorySwapBacking device = new("failing", 4 * Pages);
        SwapArea area = _machine.Swap.SwapOn(device);
        (Process process, VirtualAddress at) = Written();
        Reclaim();
        device.FailsWrites = true;

        Reclaim().Should().Be(0);

        process.Mm.SwapEntries.Should().Be(Pages, "their entries name slots, their pages are in the swap cache");
        _machine.Swap.CachedPages.Should().Be(Pages);
        area.WriteErrors.Should().Be(Pages);
        Check(process, at);
        process.Exit();
        area.UsedPages.Should().Be(0);
    }

    [Theory]
    [InlineData("6.1", 1)]
    [InlineData("6.12", 0)]
    [InlineData("7.3", 0)]
    public void A_huge_page_given_up_is_paged_out_as_what_it_is_one_piece(string kernel, int splitEntries)
    {
        using Machine machine = HugeMachine(kernel);
        Cpu cpu = machine.Cpus[0];
        Process process = WithHugePage(machine, out VirtualAddress at);
        int head = machine.Mm!.Layout.Pfn(process.Mm.Tables.ReadSlot(process.Mm.Tables.FindPmd(at.Value)));
        process.Mm.Madvise(at, Pages << PageGeometry.PageShift, MemoryAdvice.Free).Should().Be(Errno.None);
        machine.Lru.DrainAll();

        process.Mm.Madvise(at, Pages << PageGeometry.PageShift, MemoryAdvice.PageOut).Should().Be(Errno.None);

        (machine.Events[VmEvent.ThpSplitPage], machine.Events[VmEvent.ThpSplitPmd], machine.Events[VmEvent.LazyFreed]).Should().Be((0, splitEntries, Pages));
        machine.GetPage(new Pfn(head)).Count.Should().Be(0);
        (process.Mm.AnonPages, process.Mm.SwapEntries, machine.Nodes[0].Counters.AnonHugePages).Should().Be((0, 0, 0));
        using (cpu.Run(process))
        {
            cpu.Read<int>(at).Should().Be(0);
        }

        process.Exit();
        machine.Verify();
    }

    [Theory]
    [InlineData("6.1")]
    [InlineData("7.3")]
    public void A_huge_page_given_up_and_written_to_again_stays(string kernel)
    {
        using Machine machine = HugeMachine(kernel);
        Cpu cpu = machine.Cpus[0];
        Process process = WithHugePage(machine, out VirtualAddress at);
        process.Mm.Madvise(at, Pages << PageGeometry.PageShift, MemoryAdvice.Free).Should().Be(Errno.None);
        machine.Lru.DrainAll();
        using (cpu.Run(process))
        {
            cpu.Write(at + (7 << PageGeometry.PageShift), 4711);
        }

        process.Mm.Madvise(at, Pages << PageGeometry.PageShift, MemoryAdvice.PageOut).Should().Be(Errno.None);

        (process.Mm.AnonPages, machine.Events[VmEvent.ThpSplitPage], machine.Events[VmEvent.LazyFreed]).Should().Be((Pages, 0, 0));
        using (cpu.Run(process))
        {
            cpu.Read<int>(at + (7 << PageGeometry.PageShift)).Should().Be(4711);
            cpu.Read<int>(at + (8 << PageGeometry.PageShift)).Should().Be(9, "it is whole");
        }

        int head = machine.Mm!.Layout.Pfn(process.Mm.Tables.ReadSlot(process.Mm.Tables.FindSlot(at.Value) is var slot and not 0 ? slot : process.Mm.Tables.FindPmd(at.Value)));
        machine.GetPage(new Pfn(head)).Flags.Should().HaveFlag(PageFlags.SwapBacked);
        process.Exit();
        machine.Verify();
    }

    [Theory]
    [InlineData("6.1")]
    [InlineData("6.12")]
    public void A_huge_page_given_up_by_parent_and_child_goes_from_both(string kernel)
    {
        using Machine machine = HugeMachine(kernel);
        Process process = WithHugePage(machine, out VirtualAddress at);
        process.Mm.Madvise(at, Pages << PageGeometry.PageShift, MemoryAdvice.Free).Should().Be(Errno.None);
        machine.Lru.DrainAll();
        Process child = process.Fork();
        for (int round = 0; round < 3; round++)
        {
            Reclaim(machine);
        }

        (process.Mm.AnonPages, child.Mm.AnonPages, machine.Events[VmEvent.LazyFreed]).Should().Be((0, 0, Pages));
        child.Exit();
        process.Exit();
        machine.Verify();
    }

    private static Machine HugeMachine(string kernel)
    {
        Machine machine = Machine.Boot(MachineSpec.X86_64("256M").WithKernel(kernel));
        machine.HugePages.Enabled = TransparentHugePages.Always;
        return machine;
    }

    private static Process WithHugePage(Machine machine, out VirtualAddress at)
    {
        Process process = machine.CreateProcess("gives_up");
        at = HugePageTests.Map(process, Pages << PageGeometry.PageShift);
        using (machine.Cpus[0].Run(process))
        {
            for (int i = 0; i < Pages; i++)
            {
                machine.Cpus[0].Write(at + (i << PageGeometry.PageShift), i + 1);
            }
        }

        process.Mm.Tables.Lookup(at).Pages.Should().Be(Pages);
        return process;
    }

    private (long Whole, long Parts, long Out) Counts() =>
        (_machine.Events[VmEvent.ThpSwpout], _machine.Events[VmEvent.ThpSwpoutFallback], _machine.Events[VmEvent.SwapOut]);

    private (Process Process, VirtualAddress At) Written(int pages = Pages, bool huge = true)
    {
        Process process = _machine.CreateProcess("swapped");
        VirtualAddress at = HugePageTests.Map(process, Pages << PageGeometry.PageShift);
        if (!huge)
        {
            process.Mm.Madvise(at, Pages << PageGeometry.PageShift, MemoryAdvice.NoHugePage).Should().Be(Errno.None);
        }

        using (Cpu.Run(process))
        {
            for (int i = 0; i < pages; i++)
            {
                Cpu.Write(at + (i << PageGeometry.PageShift), i + 1);
            }
        }

        process.Mm.Tables.Lookup(at).Pages.Should().Be(huge ? Pages : 1);
        return (process, at);
    }

    private void Check(Process process, VirtualAddress at)
    {
        using (Cpu.Run(process))
        {
            Enumerable.Range(0, Pages).Select(i => Cpu.Read<int>(at + (i << PageGeometry.PageShift))).Should().Equal(Enumerable.Range(1, Pages));
        }
    }

    private static long SlotOf(Process process, VirtualAddress at, int page)
    {
        ulong address = at.Value + ((ulong)page << PageGeometry.PageShift);
        return ((ISwapNeighbours)process.Mm.FindVma(at)!).EntryAt(address).Offset;
    }

    /// <summary>One look at the end of each list.</summary>
    private long Reclaim() => Reclaim(_machine);

    private static long Reclaim(Machine machine)
    {
        machine.Lru.DrainAll();
        ScanControl sc = new();
        sc.Start(Gfp.Kernel, 0, 4, 4 * Pages, isKswapd: false);
        sc.Priority = 0;
        NodeReclaimState state = machine.Reclaim.Vmscan.StateOf(machine.Nodes[0]);
        machine.Reclaim.Vmscan.BeginPass(state, sc);
        machine.Reclaim.Vmscan.ScanTurn(machine.Cpus[0], state, sc);
        return sc.PassFreed;
    }
}
