using FluentAssertions;
using Xunit;

namespace MemSim.Tests.KernelMemory;

public class KernelStackTests
{
    private static long StackKiB(Machine machine) => machine.Nodes.Sum(n => n.Counters.KernelStackKiB);

    private static KernelBugException Misuse(Action action) => action.Should().Throw<KernelBugException>().Which;

    [Theory]
    [InlineData(Architecture.X86_64, 16384, true)]
    [InlineData(Architecture.Arm64, 16384, true)]
    [InlineData(Architecture.X86_32, 8192, false)]
    [InlineData(Architecture.X86_32Pae, 8192, false)]
    public void A_task_gets_the_stack_of_its_architecture(Architecture architecture, int bytes, bool vmapped)
    {
        using Machine machine = Machine.Boot(MachineSpec.Preset(architecture, "512M"));
        Cpu cpu = machine.Cpus[0];
        KernelTask task = new("init", 1);

        KernelStack stack = machine.Stacks.Create(cpu, task)!;

        stack.Bytes.Should().Be(bytes);
        stack.IsVmapped.Should().Be(vmapped);
        (stack.Bottom.Value % (ulong)bytes).Should().Be(0);
        machine.AddressSpace.Vmalloc.Contains(stack.Bottom).Should().Be(vmapped);
        StackKiB(machine).Should().Be(bytes >> 10);
        machine.Proc.MemInfo.Should().Contain($"KernelStack:    {bytes >> 10,8} kB");
        stack.IsEndIntact.Should().BeTrue();
        cpu.Read<uint>(stack.Bottom).Should().Be(KernelStack.EndMagic);
        machine.Verify();
        machine.Stacks.Free(cpu, task);
        StackKiB(machine).Should().Be(0);
        machine.Verify();
    }

    [Fact]
    public void Stacks_lie_in_vmalloc_space_where_the_kernel_puts_them()
    {
        // amd64-1G-smp1: the interrupt stack comes first, tasks' stacks follow 32 KiB apart: 16 KiB and a guard page, on multiples of 16 KiB.
        using Machine machine = Machine.Boot(MachineSpec.X86_64("1G"));
        Cpu cpu = machine.Cpus[0];
        _ = machine.Stacks.HardIrq(cpu);
        for (int i = 0; i < 3; i++)
        {
            machine.Stacks.Create(cpu, new KernelTask("t", i));
        }

        machine.Proc.VmallocInfo.Should().Be("""
            0xffffc90000000000-0xffffc90000005000   20480 irq_init_percpu_irqstack vmap
            0xffffc90000008000-0xffffc9000000d000   20480 kernel_clone pages=4 vmalloc N0=4
            0xffffc90000010000-0xffffc90000015000   20480 kernel_clone pages=4 vmalloc N0=4
            0xffffc90000018000-0xffffc9000001d000   20480 kernel_clone pages=4 vmalloc N0=4

            """.ReplaceLineEndings("\n"));
    }

    [Theory]
    [InlineData(Architecture.X86_64)]
    [InlineData(Architecture.X86_32)]
    public void How_close_a_stack_came_stays_in_its_contents(Architecture architecture)
    {
        using Machine machine = Machine.Boot(MachineSpec.Preset(architecture, "256M"));
        Cpu cpu = machine.Cpus[0];
        KernelTask task = new("deep", 9);
        KernelStack stack = machine.Stacks.Create(cpu, task)!;
        stack.HighWaterBytes.Should().Be(0);

        using (cpu.Run(task))
        {
            cpu.Stack.Should().BeSameAs(stack);
            using (stack.Call(cpu, 500, "vfs_read"))
            using (stack.Call(cpu, 5001, "do_many_things"))
            {
                stack.UsedBytes.Should().Be(504 + (architecture == Architecture.X86_64 ? 5008 : 5004) - (architecture == Architecture.X86_64 ? 0 : 4));
                stack.ToString().Should().Contain("do_many_things");
            }
        }

        stack.UsedBytes.Should().Be(0);
        stack.HighWaterBytes.Should().BeInRange(5504, 5512);
        int left = stack.NeverUsedBytes;
        machine.Stacks.Free(cpu, task);
        machine.Stacks.GreatestDepthMessage.Should().Be($"deep (9) used greatest stack depth: {left} bytes left");
        machine.Stacks.LowestBytesLeft.Should().Be(left);
        machine.Verify();
    }

    [Theory]
    [InlineData(Architecture.X86_64, "stack guard page was hit")]
    [InlineData(Architecture.Arm64, "Insufficient stack space")]
    public void Overflowing_a_vmapped_stack_hits_the_guard_page_and_nothing_else(Architecture architecture, string message)
    {
        using Machine machine = Machine.Boot(MachineSpec.Preset(architecture, "512M"));
        Cpu cpu = machine.Cpus[0];
        machine.Stacks.Create(cpu, new KernelTask("below", 1));
        KernelStack stack = machine.Stacks.Create(cpu, new KernelTask("deep", 2))!;

        int depth = 0;
        KernelBugException bug = Misuse(() =>
        {
            for (; ; depth++)
            {
                stack.Push(cpu, 1000, "recurse");
            }
        });

        bug.Kind.Should().Be(KernelBugKind.StackOverflow);
        bug.Message.Should().Contain(message);
        depth.Should().Be(16);
        stack.Depth.Should().Be(16);
        stack.IsEndIntact.Should().BeTrue();
        machine.Verify();
    }

    [Fact]
    public void A_frame_that_just_covers_the_end_is_noticed_by_the_scheduler()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithBugPolicy(BugPolicy.Log));
        Cpu cpu = machine.Cpus[0];
        KernelStack stack = machine.Stacks.Create(cpu, new KernelTask("deep", 2))!;

        stack.Push(cpu, 16384, "exactly_all").Should().BeFalse();

        stack.IsEndIntact.Should().BeFalse();
        machine.Invoking(m => m.Verify()).Should().Throw<KernelBugException>().WithMessage("*word at its end*");
    }

    [Fact]
    public void Overflowing_a_stack_of_2_6_destroys_thread_info_first()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_32("256M").WithStacks(KernelStackOptions.Classic with { Pages = 1 }));
        Cpu cpu = machine.Cpus[0];
        KernelTask task = new("deep", 2);
        KernelStack stack = machine.Stacks.Create(cpu, task)!;
        stack.Bytes.Should().Be(4096);
        stack.Push(cpu, 4000, "big_frame").Should().BeTrue();

        KernelBugException bug = Misuse(() => stack.Push(cpu, 80, "one_more"));

        bug.Kind.Should().Be(KernelBugKind.StackOverflow);
        bug.Message.Should().Contain("thread_info was overwritten");
        bug.Report.Should().Contain("thread_info.addr_limit").And.NotContain("thread_info.flags at");
        stack.IsEndIntact.Should().BeFalse();
        Misuse(() => stack.CheckEnd(cpu)).Message.Should().Contain("corrupted stack end detected inside scheduler");
        Misuse(() => machine.Stacks.Free(cpu, task)).Kind.Should().Be(KernelBugKind.StackOverflow);
        KernelBugException far = Misuse(() => stack.Push(cpu, 4096, "far_beyond"));
        far.Report.Should().Contain("thread_info.task").And.Contain("bytes below the stack");
    }

    [Fact]
    public void The_scheduler_refuses_a_task_with_a_corrupted_end()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_32("256M"));
        Cpu cpu = machine.Cpus[0];
        KernelTask task = new("deep", 2);
        KernelStack stack = machine.Stacks.Create(cpu, task)!;
        using ContextScope run = cpu.Run(task);
        cpu.Write(stack.Bottom, 0);

        Misuse(() => cpu.Run(new KernelTask("next", 3))).Message.Should().Contain("corrupted stack end");
    }

    [Theory]
    [InlineData(Architecture.X86_64, true)]
    [InlineData(Architecture.Arm64, true)]
    [InlineData(Architecture.X86_32, false)]
    public void Interrupts_run_on_stacks_of_their_own(Architecture architecture, bool same)
    {
        using Machine machine = Machine.Boot(MachineSpec.Preset(architecture, "512M", cpus: 2));
        Cpu cpu = machine.Cpus[1];
        cpu.Stack.Should().BeNull();
        KernelStack irq;
        using (cpu.SoftIrq())
        {
            KernelStack soft = cpu.Stack!;
            using (cpu.HardIrq())
            {
                irq = cpu.Stack!;
                irq.Push(cpu, 300, "handle_irq").Should().BeTrue();
                irq.Pop();
            }

            ReferenceEquals(soft, irq).Should().Be(same);
        }

        irq.Should().NotBeSameAs(machine.Stacks.HardIrq(machine.Cpus[0]));
        irq.HighWaterBytes.Should().Be(architecture == Architecture.X86_32 ? 300 : 304);
        StackKiB(machine).Should().Be(0, "only tasks' stacks are counted");
        Misuse(() => irq.Push(cpu, irq.Bytes + 8, "too_much")).Kind.Should().Be(KernelBugKind.StackOverflow);
        machine.Verify();
    }

    [Fact]
    public void Two_freed_stacks_a_cpu_wait_for_the_next_tasks_cleared()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        KernelTask[] tasks = [.. Enumerable.Range(0, 4).Select(i => new KernelTask("t", i))];
        KernelStack[] stacks = [.. tasks.Select(t => machine.Stacks.Create(cpu, t)!)];
        stacks[0].Push(cpu, 2000, "f");
        foreach (KernelTask task in tasks)
        {
            machine.Stacks.Free(cpu, task);
        }

        machine.Stacks.Cached.Should().Be(2);
        StackKiB(machine).Should().Be(0);
        Misuse(() => stacks[0].Push(cpu, 8, "late")).Kind.Should().Be(KernelBugKind.NotAllocated);
        KernelTask next = new("next", 9);
        machine.Stacks.Create(cpu, next).Should().BeSameAs(stacks[0]);
        stacks[0].HighWaterBytes.Should().Be(0);
        machine.Verify();
        machine.Stacks.Free(cpu, next);
        machine.Stacks.DropCache(cpu);
        machine.Stacks.Cached.Should().Be(0);
        machine.Verify();
    }

    [Fact]
    public void Stacks_are_freed_from_interrupts_later()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        KernelTask[] tasks = [.. Enumerable.Range(0, 3).Select(i => new KernelTask("t", i))];
        Array.ForEach(tasks, t => machine.Stacks.Create(cpu, t));
        long used = machine.Memory.Vmalloc.UsedPages;
        using (cpu.Context.HoldSpinlock())
        {
            Array.ForEach(tasks, t => machine.Stacks.Free(cpu, t));
            Misuse(() => machine.Stacks.Create(cpu, tasks[0])).Kind.Should().Be(KernelBugKind.SleepingInAtomic);
        }

        machine.Memory.Vmalloc.UsedPages.Should().Be(used);
        cpu.Vm.RunDeferredVfrees();
        machine.Memory.Vmalloc.UsedPages.Should().Be(used - 4);
        machine.Verify();
    }

    [Fact]
    public void Misuse_is_reported()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        KernelTask task = new("t", 1);
        KernelStack stack = machine.Stacks.Create(cpu, task)!;

        Misuse(stack.Pop).Kind.Should().Be(KernelBugKind.InvalidObject);
        machine.Invoking(m => m.Stacks.Create(cpu, task)).Should().Throw<InvalidOperationException>();
        stack.Invoking(s => s.Push(cpu, 0, "f")).Should().Throw<ArgumentOutOfRangeException>();
        using (cpu.Run(task))
        {
            Misuse(() => machine.Stacks.Free(cpu, task)).Kind.Should().Be(KernelBugKind.StillInUse);
        }

        machine.Stacks.Free(cpu, task);
        Misuse(() => machine.Stacks.Free(cpu, task)).Kind.Should().Be(KernelBugKind.DoubleFree);
        FluentActions.Invoking(() => MachineSpec.X86_64("128M").WithStacks(new KernelStackOptions { Pages = 3 })).Should().Throw<ArgumentException>();
        machine.Verify();
    }

    [Fact]
    public void Without_memory_there_is_no_stack_and_nothing_is_lost()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("96M"));
        Cpu cpu = machine.Cpus[0];
        _ = machine.Stacks;
        machine.Stacks.Create(cpu, new KernelTask("first", 1));
        cpu.Vm.VmUnmapAliases();
        List<Page> all = cpu.AllocateAll(Gfp.Kernel);
        for (int free = 0; free < 4; free++)
        {
            string before = machine.Proc.VmallocInfo;
            machine.Stacks.Create(cpu, new KernelTask("t", 5)).Should().BeNull();
            machine.Proc.VmallocInfo.Should().Be(before);
            cpu.FreePages(all[^1]);
            all.RemoveAt(all.Count - 1);
        }

        foreach (Page page in all)
        {
            cpu.FreePages(page);
        }

        machine.Stacks.Create(cpu, new KernelTask("t", 5)).Should().NotBeNull();
        machine.Verify();
    }

    [Theory]
    [InlineData(Architecture.X86_64, true)]
    [InlineData(Architecture.X86_32, false)]
    public void Soft_interrupts_share_the_stack_of_hardware_interrupts_on_64_bits_only(Architecture architecture, bool shared)
    {
        using Machine machine = Machine.Boot(architecture == Architecture.X86_64 ? MachineSpec.X86_64("128M") : MachineSpec.X86_32("128M"));
        Cpu cpu = machine.Cpus[0];

        ReferenceEquals(machine.Stacks.SoftIrq(cpu), machine.Stacks.HardIrq(cpu)).Should().Be(shared);
        using (cpu.SoftIrq())
        {
            cpu.Stack.Should().BeSameAs(machine.Stacks.SoftIrq(cpu));
        }
    }
}
