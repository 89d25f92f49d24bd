using FluentAssertions;
using MemSim.Slab;
using Xunit;

namespace MemSim.Tests.Machines;

/// <summary>Two host threads in a machine that allows one are told so, by name.</summary>
public sealed class DriverThreadTests
{
    [Fact]
    public void A_second_thread_that_comes_while_the_first_is_inside_is_refused_by_name()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("96M"));
        Cpu cpu = machine.Cpus[0];
        using Pause pause = new();
        machine.Tracing.Attach(pause);
        Thread first = Start("owner", () => cpu.FreePages(cpu.AllocPages(Gfp.Kernel)));
        pause.Reached.Wait(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken).Should().BeTrue();

        KernelBugException? refused = null;
        Join(Start("visitor", () => refused = Assert.Throws<KernelBugException>(() => cpu.AllocPages(Gfp.Kernel))));
        KernelBugException? call = null;
        Join(Start("caller", () => call = Assert.Throws<KernelBugException>(() => machine.CreateProcess("late"))));
        pause.GoOn.Set();
        Join(first);

        refused!.Kind.Should().Be(KernelBugKind.ConcurrentUse);
        refused.Message.Should().MatchRegex(@"^BUG: host thread \d+ \(visitor\) came while host thread \d+ \(owner\) drives this machine").And.Contain("WithParallelCpus");
        call!.Kind.Should().Be(KernelBugKind.ConcurrentUse);
        call.Message.Should().Contain("(caller) came while host thread");

        // Nothing happened meanwhile, and threads one after the other are welcome.
        machine.Tracing.Detach(pause);
        Join(Start("later", () => cpu.FreePages(cpu.AllocPages(Gfp.Kernel))));
        machine.Verify();
    }

    [Theory]
    [InlineData(0, 500)]
    [InlineData(4, 1)]
    [InlineData(10, 1)]
    public void Two_threads_that_only_hammer_the_fast_paths_are_found_out(int order, int atOnce)
    {
        Machine machine = Machine.Boot(MachineSpec.X86_64("256M"));
        Cpu cpu = machine.Cpus[0];
        (bool ended, Exception[] seen) = HammerByTwo(cpu, order, atOnce);
        if (ended)
        {
            // A list that the two have broken may have no end: then one of them is in it for good, and needs the memory.
            machine.Dispose();
        }

        seen.Should().NotBeEmpty();
#if DEBUG
        // What the two broke may run into an assertion before it can be reported.
        if (Array.Exists(seen, e => e.GetType().Name == "TraceAssertException"))
        {
            return;
        }
#endif
        seen.OfType<KernelBugException>().Should().Contain(bug => bug.Message.Contains("ost thread", StringComparison.Ordinal) && bug.Message.Contains("this machine", StringComparison.Ordinal),
            "either the visit was refused, or what it broke is reported with both names: {0}", string.Join("\n", seen.Select(e => e.Message)));
    }

    [Fact]
    public void A_report_of_misuse_names_both_threads_when_there_were_two()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("96M"));
        Cpu cpu = machine.Cpus[0];
        Page page = cpu.AllocPages(Gfp.Kernel);
        cpu.FreePages(page);
        Assert.Throws<KernelBugException>(() => cpu.FreePages(page)).Message.Should().NotContain("ost thread");
        KernelBugException? bug = null;
        Join(Start("second", () => bug = Assert.Throws<KernelBugException>(() => cpu.FreePages(page))));
        bug!.Kind.Should().Be(KernelBugKind.DoubleFree);
        bug.Message.Should().MatchRegex(@"Host threads \d+.* and \d+ \(second\) have both driven this machine\. If that was at the same time, this report is its consequence");
    }

    [Fact]
    public void What_Verify_finds_broken_names_both_threads_when_there_were_two()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("96M"));
        machine.CreateProcess("holder");
        machine.Slab.KernelObjects.Take(machine.Cpus[0], KernelObject.Vma);
        Assert.Throws<KernelBugException>(machine.Verify).Message.Should().Contain("vm_area_struct").And.NotContain("ost thread");
        Join(Start("second", () => machine.Cpus[0].FreePages(machine.Cpus[0].AllocPages(Gfp.Kernel, order: 5), order: 5)));

        KernelBugException bug = Assert.Throws<KernelBugException>(machine.Verify);

        bug.Kind.Should().Be(KernelBugKind.Corruption);
        bug.Message.Should().StartWith("Verify: ").And.MatchRegex(@"Host threads .*\(second\).* have both driven this machine\. If that was at the same time, this report is its consequence");
        bug.Message.Should().Be("Verify: " + bug.Message["Verify: ".Length..bug.Message.IndexOf(Environment.NewLine, StringComparison.Ordinal)] + Environment.NewLine + bug.Report);
    }

    [Fact]
    public void With_parallel_cpus_two_threads_on_one_cpu_are_told_apart_from_two_cpus()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("96M", cpus: 2).WithParallelCpus());
        using Pause pause = new();
        machine.Tracing.Attach(pause);
        Thread first = Start("owner", () => machine.Cpus[0].FreePages(machine.Cpus[0].AllocPages(Gfp.Kernel)));
        pause.Reached.Wait(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken).Should().BeTrue();

        Join(Start("neighbour", () => machine.Cpus[1].FreePages(machine.Cpus[1].AllocPages(Gfp.Kernel))));
        KernelBugException? refused = null;
        Join(Start("visitor", () => refused = Assert.Throws<KernelBugException>(() => machine.Cpus[0].AllocPages(Gfp.Kernel))));
        pause.GoOn.Set();
        Join(first);

        refused!.Message.Should().MatchRegex(@"^BUG: host thread \d+ \(visitor\) came while host thread \d+ \(owner\) drives CPU 0");
        machine.Verify();
    }

    [Fact]
    public void With_parallel_cpus_two_threads_that_only_hammer_one_cpu_are_found_out()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M", cpus: 2).WithParallelCpus());
        (bool ended, Exception[] seen) = HammerByTwo(machine.Cpus[0], order: 0, atOnce: 500);

        ended.Should().BeTrue();
        seen.Should().NotBeEmpty();
        seen[0].Should().BeOfType<KernelBugException>().Which.Message.Should().MatchRegex(@"^BUG: host thread \d+ \((left|right)\) came while host thread \d+ \((left|right)\) drives CPU 0");
    }

    /// <summary>Two threads allocate and free on one CPU until one of them throws.</summary>
    /// <returns>Whether both ended, and what they threw.</returns>
    private static (bool Ended, Exception[] Thrown) HammerByTwo(Cpu cpu, int order, int atOnce)
    {
        // Not disposed: who never ends looks at it.
        CancellationTokenSource found = new();
        List<Exception> thrown = [];
        void Hammer()
        {
            Page[] pages = new Page[atOnce];
            try
            {
                for (int round = 0; round < 100_000_000 / atOnce && !found.IsCancellationRequested; round++)
                {
                    for (int i = 0; i < pages.Length; i++)
                    {
                        pages[i] = cpu.AllocPages(Gfp.Kernel | Gfp.NoWarn, order);
                    }

                    foreach (Page page in pages)
                    {
                        cpu.FreePages(page, order);
                    }
                }
            }
            catch (Exception e)
            {
                lock (thrown)
                {
                    thrown.Add(e);
                }

                found.Cancel();
            }
        }

        Thread[] threads = [Start("left", Hammer), Start("right", Hammer)];
        bool ended = Array.TrueForAll(threads, thread => thread.Join(TimeSpan.FromSeconds(60)));
        lock (thrown)
        {
            return (ended, [.. thrown]);
        }
    }

    private static Thread Start(string name, Action action)
    {
        Thread thread = new(() => action()) { Name = name, IsBackground = true };
        thread.Start();
        return thread;
    }

    private static void Join(Thread thread) => thread.Join(TimeSpan.FromSeconds(60)).Should().BeTrue();

    /// <summary>Holds the first thread that allocates until it may go on.</summary>
    private sealed class Pause : IPageTraceSink, IDisposable
    {
        private int _calls;

        public ManualResetEventSlim Reached { get; } = new();

        public ManualResetEventSlim GoOn { get; } = new();

        public void MmPageAlloc(Cpu cpu, long pfn, int order, MigrateType migrateType, Gfp gfp)
        {
            if (Interlocked.Increment(ref _calls) == 1)
            {
                Reached.Set();
                GoOn.Wait(TimeSpan.FromSeconds(30));
            }
        }

        public void MmPageFree(Cpu cpu, long pfn, int order)
        {
        }

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

        public void Dispose()
        {
            Reached.Dispose();
            GoOn.Dispose();
        }
    }
}
