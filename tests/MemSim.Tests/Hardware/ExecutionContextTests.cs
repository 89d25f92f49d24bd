using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Hardware;

/// <summary>Where code runs decides what it may ask for.</summary>
public class ExecutionContextTests : MachineTests
{
    private static readonly (string Name, Func<Cpu, ContextScope> Enter)[] AtomicContexts =
    [
        ("hardirq", c => c.HardIrq()),
        ("softirq", c => c.SoftIrq()),
        ("preempt off", c => c.Context.DisablePreemption()),
        ("irqs off", c => c.Context.DisableInterrupts()),
        ("spinlock", c => c.Context.HoldSpinlock()),
    ];

    private static readonly Gfp[] Blocking =
    [
        Gfp.Kernel, Gfp.User, Gfp.NoIo, Gfp.NoFs, Gfp.HighUser, Gfp.HighUserMovable, Gfp.KernelAccount, Gfp.TransHuge, Gfp.DirectReclaim, Gfp.Reclaim,
        Gfp.Atomic | Gfp.DirectReclaim, Gfp.Kernel | Gfp.NoFail, Gfp.Kernel | Gfp.NoWarn,
    ];

    private static readonly Gfp[] NonBlocking = [Gfp.Atomic, Gfp.NoWait, Gfp.High, Gfp.None, Gfp.TransHugeLight, Gfp.Atomic | Gfp.Zero, Gfp.MemAlloc];

    public static TheoryData<int> Contexts => [0, 1, 2, 3, 4];

    [Theory]
    [MemberData(nameof(Contexts))]
    public void Every_blocking_request_in_atomic_context_is_a_bug_in_the_kernels_words(int context)
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        using ContextScope running = cpu.Run(new KernelTask("driver", 77));
        using ContextScope scope = AtomicContexts[context].Enter(cpu);
        foreach (Gfp gfp in Blocking)
        {
            KernelBugException bug = Refuses(machine, () => cpu.AllocPages(gfp));
            bug.Kind.Should().Be(KernelBugKind.SleepingInAtomic);
            bug.Message.Should().StartWith("BUG: sleeping function called from invalid context at ");
            bug.Report.Should().Contain($"in_atomic(): {(cpu.Context.PreemptCount != 0 ? 1 : 0)}, irqs_disabled(): {(cpu.Context.InterruptsDisabled ? 1 : 0)}, non_block: 0, pid: 77, name: driver");
            bug.Report.Should().Contain($"preempt_count: {cpu.Context.PreemptCount:x}, expected: 0");
            Refuses(machine, () => cpu.Pages.AllocPagesNode(0, gfp, 3)).Kind.Should().Be(KernelBugKind.SleepingInAtomic);
            Refuses(machine, () => cpu.Pages.AllocPagesBulk(gfp, new Page[4])).Kind.Should().Be(KernelBugKind.SleepingInAtomic);
        }
    }

    [Theory]
    [MemberData(nameof(Contexts))]
    public void Every_request_that_does_not_block_works_in_atomic_context(int context)
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        using ContextScope scope = AtomicContexts[context].Enter(cpu);
        foreach (Gfp gfp in NonBlocking)
        {
            Page page = cpu.AllocPages(gfp, 1);
            page.IsNull.Should().BeFalse($"{gfp} in {AtomicContexts[context].Name}");
            cpu.FreePages(page, 1);
        }
    }

    [Fact]
    public void Nothing_may_be_allocated_or_freed_in_an_nmi()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        Page page = cpu.AllocPage(Gfp.Kernel);
        using (cpu.Nmi())
        {
            Refuses(machine, () => cpu.AllocPage(Gfp.Atomic)).Kind.Should().Be(KernelBugKind.CalledFromNmi);
            Refuses(machine, () => cpu.Pages.AllocPagesBulk(Gfp.Atomic, new Page[2])).Kind.Should().Be(KernelBugKind.CalledFromNmi);
            Refuses(machine, () => cpu.FreePage(page)).Kind.Should().Be(KernelBugKind.CalledFromNmi);
            Refuses(machine, () => cpu.Pages.FreePagesBulk([page])).Kind.Should().Be(KernelBugKind.CalledFromNmi);
        }

        cpu.FreePage(page);
    }

    [Fact]
    public void Pages_can_be_freed_in_every_other_context()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        foreach ((_, Func<Cpu, ContextScope> enter) in AtomicContexts)
        {
            Page page = cpu.AllocPages(Gfp.Kernel, 4);
            using ContextScope scope = enter(cpu);
            cpu.FreePages(page, 4);
        }
    }

    [Fact]
    public void Might_sleep_complains_only_where_nothing_may_sleep()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        cpu.Context.MightSleep();
        foreach ((_, Func<Cpu, ContextScope> enter) in AtomicContexts)
        {
            using ContextScope scope = enter(cpu);
            Refuses(machine, () => cpu.Context.MightSleep("mutex_lock")).Message.Should().Contain("invalid context at mutex_lock");
        }

        cpu.Context.MightSleep();
    }

    [Fact]
    public void Contexts_nest_and_the_preempt_count_has_the_kernels_layout()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        using (cpu.Context.DisablePreemption())
        using (cpu.Context.HoldSpinlock())
        {
            cpu.Context.PreemptCount.Should().Be(2);
            cpu.Context.SpinlocksHeld.Should().Be(1);
            using (cpu.SoftIrq())
            {
                cpu.Context.PreemptCount.Should().Be(0x102);
                using (cpu.HardIrq())
                {
                    cpu.Context.PreemptCount.Should().Be(0x10102);
                    using (cpu.Nmi())
                    {
                        cpu.Context.PreemptCount.Should().Be(0x120102, "an NMI counts as a hardirq too");
                        cpu.Context.InNmi.Should().BeTrue();
                    }

                    cpu.Context.InNmi.Should().BeFalse();
                    cpu.Context.InHardIrq.Should().BeTrue();
                }

                cpu.Context.InHardIrq.Should().BeFalse();
                cpu.Context.InSoftIrq.Should().BeTrue();
                cpu.Context.InInterrupt.Should().BeTrue();
            }

            cpu.Context.InInterrupt.Should().BeFalse();
            cpu.Context.InAtomic.Should().BeTrue();
        }

        cpu.Context.PreemptCount.Should().Be(0);
        cpu.Context.InAtomic.Should().BeFalse();
        using (cpu.Context.DisableInterrupts())
        {
            using (cpu.Context.DisableInterrupts())
            {
                cpu.Context.InterruptsDisabled.Should().BeTrue();
            }

            cpu.Context.InterruptsDisabled.Should().BeTrue();
        }

        cpu.Context.InterruptsDisabled.Should().BeFalse();
    }

    [Fact]
    public void A_context_left_twice_is_refused_and_does_not_upset_the_count()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        foreach ((_, Func<Cpu, ContextScope> enter) in AtomicContexts)
        {
            ContextScope scope = enter(cpu);
            scope.Dispose();
            Action again = () => scope.Dispose();
            again.Should().Throw<InvalidOperationException>();
            cpu.Context.PreemptCount.Should().Be(0);
            cpu.Context.InAtomic.Should().BeFalse();
        }
    }

    [Fact]
    public void Nesting_deeper_than_the_count_can_hold_is_refused()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        Stack<ContextScope> scopes = [];
        Action nest = () =>
        {
            for (int i = 0; i < 300; i++)
            {
                scopes.Push(cpu.Context.DisablePreemption());
            }
        };
        nest.Should().Throw<InvalidOperationException>();
        cpu.Context.InSoftIrq.Should().BeFalse();
        while (scopes.TryPop(out ContextScope scope))
        {
            scope.Dispose();
        }

        cpu.Context.PreemptCount.Should().Be(0);
    }

    [Fact]
    public void Tasks_cannot_be_switched_in_atomic_context()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        using (cpu.Context.HoldSpinlock())
        {
            cpu.Invoking(c => c.Run(new KernelTask("x", 1))).Should().Throw<InvalidOperationException>().WithMessage("*scheduling while atomic*");
        }

        KernelTask task = new("y", 2);
        using (cpu.Run(task))
        {
            cpu.Current.Should().BeSameAs(task);
        }

        cpu.Current.Name.Should().Be("swapper/0");
    }

    [Theory]
    [InlineData(true, Gfp.Kernel, Gfp.NoIo)]
    [InlineData(true, Gfp.NoFs, Gfp.NoIo)]
    [InlineData(false, Gfp.Kernel, Gfp.NoFs)]
    [InlineData(false, Gfp.HighUserMovable, Gfp.HighUserMovable & ~Gfp.Fs)]
    public void Scopes_take_rights_from_every_request_inside_them(bool noIo, Gfp asked, Gfp effective)
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        GfpSink sink = new();
        machine.Tracing.Attach(sink);
        using (noIo ? cpu.Context.MemAllocNoIo() : cpu.Context.MemAllocNoFs())
        {
            using (noIo ? cpu.Context.MemAllocNoIo() : cpu.Context.MemAllocNoFs())
            {
                cpu.FreePage(cpu.AllocPage(asked));
                sink.Last.Should().Be(effective);
            }

            cpu.FreePage(cpu.AllocPage(asked));
            sink.Last.Should().Be(effective, "the outer scope still holds");
        }

        cpu.FreePage(cpu.AllocPage(asked));
        sink.Last.Should().Be(asked);
    }

    [Fact]
    public void Rights_set_on_a_running_task_take_effect_at_once()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        GfpSink sink = new();
        machine.Tracing.Attach(sink);
        KernelTask task = new("worker", 5);
        using (cpu.Run(task))
        {
            task.Flags |= TaskFlags.MemAllocNoFs;
            cpu.FreePage(cpu.AllocPage(Gfp.Kernel));
            sink.Last.Should().Be(Gfp.NoFs);
            task.Flags = TaskFlags.None;
            cpu.FreePage(cpu.AllocPage(Gfp.Kernel));
            sink.Last.Should().Be(Gfp.Kernel);
        }
    }
}

internal sealed class GfpSink : IPageTraceSink
{
    public Gfp Last { get; private set; }

    public void MmPageAlloc(Cpu cpu, long pfn, int order, MigrateType migrateType, Gfp gfp) => Last = gfp;

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
}
