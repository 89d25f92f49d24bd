using System.Collections.Concurrent;
using FluentAssertions;
using Xunit;

namespace MemSim.Tests.PageAllocation;

/// <summary>Several host threads, one CPU each: no page is handed out twice or lost.</summary>
public class ParallelCpusTests : MachineTests
{
    [Theory]
    [InlineData(2)]
    [InlineData(4)]
    public void Threads_on_cpus_of_their_own_share_the_zones(int cpus)
    {
        Machine machine = Boot(AllocatorModelTests.SmallMachine(parallel: true, cpus));
        string start = AllocatorModelTests.FreeBlocksOf(machine);
        int[] owners = new int[machine.Frames.Count];
        ConcurrentQueue<(Page Page, int Order)> passedOn = new();
        ConcurrentQueue<string> wrong = new();
        Thread[] threads = [.. machine.Cpus.Select(cpu => new Thread(() => Drive(cpu, owners, passedOn, wrong)))];
        Array.ForEach(threads, t => t.Start());
        Array.ForEach(threads, t => t.Join());
        wrong.Should().BeEmpty();
        foreach ((Page page, int order) in passedOn)
        {
            machine.Cpus[0].FreePages(page, order);
        }

        machine.Memory.DrainAllPages();
        machine.Verify();
        AllocatorModelTests.FreeBlocksOf(machine).Should().Be(start);
    }

    [Fact]
    public void The_last_of_two_references_dropped_at_the_same_time_frees_the_page()
    {
        Machine machine = Boot(AllocatorModelTests.SmallMachine(parallel: true, cpus: 2));
        string start = AllocatorModelTests.FreeBlocksOf(machine);
        using Barrier barrier = new(2);
        Page shared = default;
        Exception? failure = null;
        void Run(Cpu cpu)
        {
            for (int i = 0; i < 3000 && failure is null; i++)
            {
                try
                {
                    if (cpu.Id == 0)
                    {
                        shared = cpu.AllocPages(Gfp.Kernel | Gfp.Comp, 2);
                        cpu.Pages.GetPage(shared);
                    }

                    barrier.SignalAndWait(10_000).Should().BeTrue();
                    cpu.Pages.PutPage(shared);
                    barrier.SignalAndWait(10_000).Should().BeTrue();
                }
                catch (Exception e)
                {
                    failure = e;
                    barrier.RemoveParticipant();
                }
            }
        }

        Thread second = new(() => Run(machine.Cpus[1]));
        second.Start();
        Run(machine.Cpus[0]);
        second.Join();
        failure.Should().BeNull();
        machine.Memory.DrainAllPages();
        AllocatorModelTests.FreeBlocksOf(machine).Should().Be(start);
    }

    private static void Drive(Cpu cpu, int[] owners, ConcurrentQueue<(Page Page, int Order)> passedOn, ConcurrentQueue<string> wrong)
    {
        uint random = (uint)(cpu.Id + 1) * 7919;
        List<(Page Page, int Order)> live = [];
        try
        {
            for (int i = 0; i < 150_000 && wrong.IsEmpty; i++)
            {
                random = AllocatorModelTests.Next(random);
                if ((random >> 9 & 1) == 0 || live.Count == 0)
                {
                    Gfp gfp = (random >> 12 & 3) switch { 0 => Gfp.Kernel, 1 => Gfp.HighUserMovable, 2 => Gfp.Atomic, _ => Gfp.NoWait | Gfp.Reclaimable };
                    int order = Math.Min(10, System.Numerics.BitOperations.TrailingZeroCount(random >> 16 | 1 << 10));
                    Page page = cpu.AllocPages(gfp | Gfp.NoWarn, order);
                    if (!page.IsNull)
                    {
                        Mark(owners, page, order, 0, cpu.Id + 1, wrong);
                        live.Add((page, order));
                    }
                }
                else if ((random >> 10 & 3) == 0)
                {
                    Mark(owners, live[^1].Page, live[^1].Order, cpu.Id + 1, 99, wrong);
                    passedOn.Enqueue(live[^1]);
                    live.RemoveAt(live.Count - 1);
                    if (passedOn.Count > 50 && passedOn.TryDequeue(out (Page Page, int Order) other))
                    {
                        Mark(owners, other.Page, other.Order, 99, 0, wrong);
                        cpu.FreePages(other.Page, other.Order);
                    }
                }
                else
                {
                    int index = (int)(random >> 5) % live.Count;
                    (Page page, int order) = live[index];
                    live.RemoveAt(index);
                    Mark(owners, page, order, cpu.Id + 1, 0, wrong);
                    cpu.FreePages(page, order);
                }

                if ((random >> 8 & 0xfff) == 0)
                {
                    cpu.Machine.Memory.DrainAllPages();
                }
            }

            foreach ((Page page, int order) in live)
            {
                Mark(owners, page, order, cpu.Id + 1, 0, wrong);
                cpu.FreePages(page, order);
            }
        }
        catch (Exception e)
        {
            wrong.Enqueue(e.ToString());
        }
    }

    private static void Mark(int[] owners, Page page, int order, int from, int to, ConcurrentQueue<string> wrong)
    {
        for (long pfn = page.Pfn.Value; pfn < page.Pfn.Value + (1L << order); pfn++)
        {
            if (Interlocked.CompareExchange(ref owners[pfn], to, from) != from)
            {
                wrong.Enqueue($"pfn {pfn:x} has two owners");
                return;
            }
        }
    }
}
