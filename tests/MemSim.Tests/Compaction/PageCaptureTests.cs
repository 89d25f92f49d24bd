using FluentAssertions;
using MemSim.Background;
using MemSim.Tests.Reclaim;
using MemSim.Zones;
using Xunit;

namespace MemSim.Tests.Compaction;

public class PageCaptureTests : MachineTests
{
    [Fact]
    public void A_block_that_compaction_made_goes_to_the_request_although_others_wait_for_it()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M", cpus: 2));
        Cpu cpu = machine.Cpus[0];
        machine.Reclaim.Policy = new OnlyCompaction(machine);
        MovablePool pool = machine.Migration.CreateMovablePool();
        List<int> kept = pool.KeepEvery(cpu, pool.Fill(cpu), 2);
        cpu.AllocateAll(Gfp.NoWait, 9);
        Thief thief = new(machine.Cpus[1]);
        machine.Tracing.Attach(thief);

        Page page = cpu.AllocPages(Gfp.HighUser | Gfp.Movable, 9);

        thief.Tries.Should().BePositive();
        thief.Stolen.Should().Be(0, "there was nothing to take");
        page.IsNull.Should().BeFalse("the block never was in the free lists");
        page.Order.Should().Be(9);
        page.Count.Should().Be(1);
        machine.Events("compact_success").Should().Be(1);
        machine.Events("compact_fail").Should().Be(0);
        kept.Should().OnlyContain(number => pool.IsIntact(cpu, number));
        machine.Tracing.Detach(thief);
        long free = Free(machine);
        cpu.FreePages(page, 9);
        Free(machine).Should().Be(free + 512);
        machine.Verify();
    }

    [Fact]
    public void Only_what_cannot_pollute_page_blocks_is_caught_once_and_only_for_the_task_that_compacts()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M", cpus: 2));
        Cpu cpu = machine.Cpus[0];
        Zone zone = machine.OnlyZone();

        new PageCapture(cpu, 9).TryTake(zone, 0, 512, (int)MigrateType.Cma).Should().BeFalse();
        new PageCapture(cpu, 9).TryTake(zone, 0, 512, (int)MigrateType.Isolate).Should().BeFalse();
        new PageCapture(cpu, 3).TryTake(zone, 0, 512, (int)MigrateType.Movable).Should().BeFalse("a small block of a movable page block");
        new PageCapture(cpu, 3).TryTake(zone, 0, 512, (int)MigrateType.Unmovable).Should().BeTrue();
        new PageCapture(cpu, 9).TryTake(zone, 1, 512, (int)MigrateType.Movable).Should().BeFalse("another CPU frees it");
        PageCapture capture = new(cpu, 9);
        using (new BackgroundScope(cpu, new KernelTask("kswapd0", 38)))
        {
            capture.TryTake(zone, 0, 512, (int)MigrateType.Movable).Should().BeFalse("another task frees it");
        }

        capture.TryTake(zone, 0, 512, (int)MigrateType.Movable).Should().BeTrue();
        capture.TryTake(zone, 0, 1024, (int)MigrateType.Movable).Should().BeFalse("it has one");
        capture.Pfn.Should().Be(512);
    }

    [Theory]
    [InlineData(3, true)]
    [InlineData(2, false)]
    [InlineData(4, false)]
    public void A_block_that_is_freed_is_caught_whole_or_not_at_all(int order, bool caught)
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        List<Page> neighbours = [.. Enumerable.Range(0, 64).Select(_ => cpu.AllocPages(Gfp.Kernel, order))];
        long free = Free(machine);
        Zone zone = neighbours[0].Zone;
        PageCapture capture = new(cpu, 3);
        (zone.Capture, zone.CaptureOrder) = (capture, 3);

        foreach (Page page in neighbours.Where((_, i) => i % 2 == 0))
        {
            // No two buddies.
            cpu.FreePages(page, order);
        }

        machine.Memory.DrainAllPages();
        (zone.Capture, zone.CaptureOrder) = (null, -1);
        (capture.Pfn >= 0).Should().Be(caught);
        Free(machine).Should().Be(free + (32 << order) - (caught ? 8 : 0), "what is caught is no free memory");
        if (caught)
        {
            machine.Pages.FreeCaptured(cpu, capture.Pfn, 3);
            Free(machine).Should().Be(free + (32 << order));
        }

        machine.Verify();
        foreach (Page page in neighbours.Where((_, i) => i % 2 != 0))
        {
            cpu.FreePages(page, order);
        }
    }

    [Fact]
    public void A_block_caught_by_a_request_that_ends_with_an_exception_is_free_again()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        machine.Reclaim.Policy = new OnlyCompaction(machine);
        MovablePool pool = machine.Migration.CreateMovablePool();
        pool.KeepEvery(cpu, pool.Fill(cpu), 2);
        cpu.AllocateAll(Gfp.NoWait, 9);
        long free = Free(machine);
        Thrower thrower = new();
        machine.Tracing.Attach(thrower);

        FluentActions.Invoking(() => cpu.AllocPages(Gfp.HighUser | Gfp.Movable, 9)).Should().Throw<InvalidOperationException>();

        machine.Tracing.Detach(thrower);
        Free(machine).Should().Be(free);
    }

    private static long Free(Machine machine)
    {
        machine.Memory.DrainAllPages();
        return machine.Zones.Sum(zone => zone.TrueFreePages);
    }

    /// <summary>Another CPU that takes all blocks of the order out of the free lists as soon as compaction ends, before its request comes to look. No watermark keeps it from doing so.</summary>
    private sealed class Thief(Cpu cpu) : ICompactionTraceSink
    {
        public int Tries { get; private set; }

        public int Stolen { get; private set; }

        public void MmCompactionEnd(Cpu where, long zoneStart, long migratePfn, long freePfn, long zoneEnd, bool sync, CompactionStatus status)
        {
            Tries++;
            foreach (Zone zone in cpu.Machine.Zones)
            {
                while (zone.IsPopulated && cpu.Machine.Pages.Buddy.TakeSmallest(zone, cpu.Lists.Pcp[zone.Id], 9, (int)MigrateType.Movable) >= 0)
                {
                    Stolen++;
                }
            }
        }
    }

    private sealed class Thrower : ICompactionTraceSink
    {
        public void MmCompactionEnd(Cpu where, long zoneStart, long migratePfn, long freePfn, long zoneEnd, bool sync, CompactionStatus status)
        {
            if (status == CompactionStatus.Success)
            {
                throw new InvalidOperationException("the sink's own");
            }
        }
    }
}
