using FluentAssertions;
using Xunit;

namespace MemSim.Tests.PageAllocation;

/// <summary>The hot paths take no memory from the managed heap: a simulation of millions of operations must not be one of the garbage collector.</summary>
public class ZeroAllocationTests
{
    private const int Pairs = 10_000;

    [Theory]
    [InlineData(0, false)]
    [InlineData(3, false)]
    [InlineData(4, false)]
    [InlineData(9, false)]
    [InlineData(10, false)]
    [InlineData(0, true)]
    [InlineData(4, true)]
    public void Pairs_of_an_order(int order, bool parallel)
    {
        using Machine machine = Boot("256M", parallel);
        Cpu cpu = machine.Cpus[0];
        BytesTaken(() =>
        {
            for (int i = 0; i < Pairs; i++)
            {
                cpu.FreePages(cpu.AllocPages(Gfp.Kernel, order), order);
            }
        }).Should().Be(0);
        machine.Verify();
    }

    [Fact]
    public void Batches_that_refill_and_drain_the_per_cpu_lists()
    {
        using Machine machine = Boot("256M");
        Cpu cpu = machine.Cpus[0];
        Page[] pages = new Page[1000];
        BytesTaken(() =>
        {
            for (int batch = 0; batch < Pairs / pages.Length; batch++)
            {
                for (int i = 0; i < pages.Length; i++)
                {
                    pages[i] = cpu.AllocPages(Gfp.Kernel);
                }

                for (int i = 0; i < pages.Length; i++)
                {
                    cpu.FreePages(pages[i]);
                }
            }
        }).Should().Be(0);
        machine.Verify();
    }

    [Fact]
    public void Bulk_requests_freed_as_a_list()
    {
        using Machine machine = Boot("256M");
        Cpu cpu = machine.Cpus[0];
        Page[] pages = new Page[100];
        BytesTaken(() =>
        {
            for (int batch = 0; batch < Pairs / pages.Length; batch++)
            {
                Array.Clear(pages);
                int got = cpu.Pages.AllocPagesBulk(Gfp.Kernel, pages);
                cpu.Pages.FreePagesBulk(pages.AsSpan(0, got));
            }
        }).Should().Be(0);
        machine.Verify();
    }

    [Fact]
    public void Blocks_of_all_orders_and_types_replaced_at_random()
    {
        using Machine machine = Boot("512M");
        Cpu cpu = machine.Cpus[0];
        Page[] pages = new Page[200];
        int[] orders = new int[pages.Length];
        Gfp[] types = [Gfp.Kernel, Gfp.HighUserMovable, Gfp.Kernel | Gfp.Reclaimable];
        BytesTaken(() =>
        {
            ulong random = 88172645463325252;
            for (int i = 0; i < Pairs; i++)
            {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                int victim = (int)(random % (ulong)pages.Length);
                cpu.FreePages(pages[victim], orders[victim]);
                orders[victim] = Math.Min(9, System.Numerics.BitOperations.TrailingZeroCount(random >> 20));
                pages[victim] = cpu.AllocPages(types[(random >> 40) % 3], orders[victim]);
            }
        }).Should().Be(0);
        machine.Verify();
    }

    [Fact]
    public void Zeroed_pages_once_their_memory_is_touched()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M"));
        Cpu cpu = machine.Cpus[0];
        Page page = cpu.AllocPages(Gfp.Kernel);
        machine.Ram.Frame(page.FrameIndex).Fill(1);
        cpu.FreePages(page);
        BytesTaken(() =>
        {
            for (int i = 0; i < Pairs; i++)
            {
                cpu.FreePage(cpu.GetZeroedPage(Gfp.Kernel));
            }
        }).Should().Be(0);
    }

    [Fact]
    public void Pages_of_another_node()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("1G", cpus: 2).WithNodes("512M", "512M").WithoutContents());
        Cpu cpu = machine.Cpus[0];
        BytesTaken(() =>
        {
            for (int i = 0; i < Pairs; i++)
            {
                cpu.FreePages(cpu.Pages.AllocPagesNode(1, Gfp.Kernel));
            }
        }).Should().Be(0);
        machine.Verify();
    }

    [Fact]
    public void Requests_in_interrupt_context()
    {
        using Machine machine = Boot("256M");
        Cpu cpu = machine.Cpus[0];
        using ContextScope interrupt = cpu.HardIrq();
        BytesTaken(() =>
        {
            for (int i = 0; i < Pairs; i++)
            {
                cpu.FreePages(cpu.AllocPages(Gfp.Atomic));
            }
        }).Should().Be(0);
        machine.Verify();
    }

    [Fact]
    public void Requests_with_a_trace_sink_attached()
    {
        using Machine machine = Boot("256M");
        CountingSink sink = new();
        machine.Tracing.Attach(sink);
        Cpu cpu = machine.Cpus[0];
        BytesTaken(() =>
        {
            for (int i = 0; i < Pairs; i++)
            {
                cpu.FreePages(cpu.AllocPages(Gfp.Kernel));
            }
        }).Should().Be(0);
        sink.Events.Should().BeGreaterThan(2 * 2 * Pairs);
    }

    [Fact]
    public void Exhaustion_and_recovery()
    {
        using Machine machine = Boot("128M");
        Cpu cpu = machine.Cpus[0];
        Page[] pages = new Page[128 << 8];
        BytesTaken(() =>
        {
            int got = 0;
            for (; ; got++)
            {
                pages[got] = cpu.AllocPages(Gfp.NoWait | Gfp.NoWarn);
                if (pages[got].IsNull)
                {
                    break;
                }
            }

            for (int i = 0; i < got; i++)
            {
                cpu.FreePages(pages[i]);
            }
        }).Should().Be(0);
        machine.Verify();
    }

    private static Machine Boot(string memory, bool parallel = false)
    {
        MachineSpec spec = MachineSpec.X86_64(ByteSize.Parse(memory)).WithoutContents();
        return Machine.Boot(parallel ? spec.WithParallelCpus() : spec);
    }

    /// <summary>Runs an action twice, since the first time the runtime itself may allocate, and says what the second took.</summary>
    private static long BytesTaken(Action action) => ManagedBytes.TakenBy(action);

    private sealed class CountingSink : IPageTraceSink
    {
        public long Events { get; private set; }

        public void MmPageAlloc(Cpu cpu, long pfn, int order, MigrateType migrateType, Gfp gfp) => Events++;

        public void MmPageFree(Cpu cpu, long pfn, int order) => Events++;

        public void MmPageFreeBatched(Cpu cpu, long pfn) => Events++;

        public void MmPageAllocZoneLocked(Cpu cpu, long pfn, int order, MigrateType migrateType, bool percpuRefill) => Events++;

        public void MmPagePcpuDrain(Cpu cpu, long pfn, int order, MigrateType migrateType) => Events++;

        public void MmPageAllocExtfrag(Cpu cpu, long pfn, int allocOrder, int fallbackOrder, MigrateType allocType, MigrateType fallbackType, bool changeOwnership) => Events++;
    }
}
