using System.Globalization;
using MemSim.Background;
using MemSim.Diagnostics;
using MemSim.Hardware;
using MemSim.PageAllocation;
using MemSim.Pages;

namespace MemSim;

/// <summary>The kernel stacks of a machine: those of tasks, made and freed with them, and those on which each CPU serves interrupts.</summary>
/// <remarks>A freed stack in vmalloc space is kept for the next task, up to two a CPU: mapping is what costs.</remarks>
public sealed class KernelStacks
{
    private const int CachedPerCpu = 2;

    private readonly Machine _machine;
    // Guards _tasks. _cached is changed in one step, by exchange.
    private readonly MachineLock? _lock;
    private readonly KernelStack?[] _cached;
    private readonly List<KernelStack> _tasks = [];
    private readonly KernelStack?[] _hardIrq;
    private readonly KernelStack?[] _softIrq;

    internal KernelStacks(Machine machine, KernelStackOptions options, IBootFrames frames)
    {
        _machine = machine;
        bool is64 = machine.Architecture.Bits == 64;
        Options = options;
        PagesEach = options.Pages != 0 ? options.Pages : is64 ? Math.Max(1, (16 << 10) / PageGeometry.PageSize) : 2;
        IsVmapped = options.Vmapped ?? is64;
        _lock = machine.NewLock("KernelStacks._lock");
        _cached = new KernelStack?[machine.Cpus.Count * CachedPerCpu];
        _hardIrq = new KernelStack?[machine.Cpus.Count];
        _softIrq = new KernelStack?[machine.Cpus.Count];
        LowestBytesLeft = PagesEach << PageGeometry.PageShift;

        // The boot makes them, on the first CPU, whatever the CPU that asks first is doing.
        Cpu boot = machine.Cpus[0];
        using BackgroundScope context = new(boot, new KernelTask("swapper/0", 0));
        for (int cpu = 0; cpu < machine.Cpus.Count; cpu++)
        {
            AddInterruptStacks(boot, cpu, frames);
        }
    }

    /// <summary>How they are made.</summary>
    public KernelStackOptions Options { get; }

    /// <summary>Pages of a stack.</summary>
    public int PagesEach { get; }

    /// <summary>Whether tasks' stacks lie in vmalloc space.</summary>
    public bool IsVmapped { get; }

    /// <summary>The stacks of tasks, in the order in which they were made.</summary>
    public IReadOnlyList<KernelStack> OfTasks => _tasks;

    /// <summary>Stacks kept for the next tasks.</summary>
    public int Cached => _cached.Count(s => s is not null);

    /// <summary>The fewest bytes that any task that has ended left unused.</summary>
    public int LowestBytesLeft { get; private set; }

    /// <summary>What the kernel printed when a task ended that had used more of its stack than all before (<c>CONFIG_DEBUG_STACK_USAGE</c>); null before the first.</summary>
    public string? GreatestDepthMessage { get; private set; }

    /// <summary>The stack on which a CPU serves hardware interrupts.</summary>
    /// <param name="cpu">The CPU.</param>
    public KernelStack HardIrq(Cpu cpu) => _hardIrq[Checked(cpu).Id]!;

    /// <summary>The stack on which a CPU serves soft interrupts: the same as for hardware interrupts on 64 bits.</summary>
    /// <param name="cpu">The CPU.</param>
    public KernelStack SoftIrq(Cpu cpu) => _softIrq[Checked(cpu).Id]!;

    /// <summary>Gives a task a stack (<c>alloc_thread_stack_node()</c>), full of zeroes but for the word at its end.</summary>
    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="task">The task.</param>
    /// <returns>The stack; null without memory.</returns>
    /// <exception cref="InvalidOperationException">The task has one.</exception>
    /// <exception cref="KernelBugException">The CPU is in atomic context.</exception>
    public KernelStack? Create(Cpu cpu, KernelTask task)
    {
        ArgumentNullException.ThrowIfNull(task);
        _ = Checked(cpu);
        _machine.ThrowIfDisposed();
        CheckHome(task);
        if (task.Stack is not null)
        {
            throw new InvalidOperationException($"{task} has a stack");
        }

        if (cpu.Context.InAtomic)
        {
            _machine.Bugs.SleepingInAtomic(cpu, "alloc_thread_stack_node");
            return null;
        }

        KernelStack? stack = Make(cpu);
        if (stack is not null)
        {
            Attach(stack, task);
        }

        return stack;
    }

    /// <summary>A stack that is no task's yet; null without memory.</summary>
    internal KernelStack? Make(Cpu cpu) =>
        TakeCached(cpu) ?? (IsVmapped ? MakeVmapped(cpu, "TASK", "kernel_clone", _machine.Architecture.Architecture == Architecture.Arm64 ? 2 : 1) : MakeDirect(cpu, "TASK", Options.ThreadInfoBytes));

    /// <summary>A stack that the cgroup of the task that runs pays for (<c>memcg_charge_kernel_stack()</c>); null without memory.</summary>
    internal KernelStack? MakeCharged(Cpu cpu)
    {
        KernelStack? stack = Make(cpu);
        for (int i = 0; stack is not null && _machine.Hooks.Charges is not null && i < stack.Pages.Count; i++)
        {
            if (!_machine.Cgroups.TryChargeKernel(cpu, stack.Pages[i].FrameIndex, Gfp.Kernel, ChargeKind.Stack))
            {
                Discard(cpu, stack);
                return null;
            }
        }

        return stack;
    }

    /// <summary>Gives a task the stack that was made for it.</summary>
    internal void Attach(KernelStack stack, KernelTask task)
    {
        stack.Reset(task);
        task.Stack = stack;
        task.BoundTo = _machine;
        using LockScope scope = new(_lock);
        _tasks.Add(stack);
        Account(stack, 1);
    }

    /// <summary>Takes back a stack that never became a task's.</summary>
    internal void Discard(Cpu cpu, KernelStack stack)
    {
        stack.IsFreed = true;
        for (int i = 0; _machine.Hooks.Charges is { } charges && i < stack.Pages.Count; i++)
        {
            charges.Uncharge(cpu, stack.Pages[i].FrameIndex);
        }

        if (!KeepCached(cpu, stack))
        {
            Release(cpu, stack);
        }
    }

    /// <summary>Takes the stack of a task that has ended (<c>put_task_stack()</c>); any context may do so.</summary>
    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="task">The task.</param>
    /// <exception cref="KernelBugException">The task has none, runs on it, or its end was overwritten; nothing has changed.</exception>
    public void Free(Cpu cpu, KernelTask task)
    {
        ArgumentNullException.ThrowIfNull(task);
        _ = Checked(cpu);
        CheckHome(task);
        if (task.Stack is not { } stack || task.RunsOn is not null)
        {
            _machine.Bugs.Raise(task.Stack is null ? KernelBugKind.DoubleFree : KernelBugKind.StillInUse,
                $"kernel BUG at put_task_stack: {task} {(task.Stack is null ? "has no stack" : $"runs on its stack on CPU {task.RunsOn!.Id}")}", $"CPU: {cpu.Id}\n");
            return;
        }

        if (!stack.IsEndIntact)
        {
            stack.CheckEnd(cpu);
            return;
        }

        NoteDepth(stack, task);
        task.Stack = null;
        task.BoundTo = null;
        using (new LockScope(_lock))
        {
            _tasks.Remove(stack);
            Account(stack, -1);
        }

        stack.Task = null;
        Discard(cpu, stack);
    }

    /// <summary>Gives the stacks kept for later tasks of a CPU back (<c>free_vm_stack_cache()</c>).</summary>
    /// <param name="cpu">The CPU.</param>
    public void DropCache(Cpu cpu)
    {
        for (int i = 0; i < CachedPerCpu; i++)
        {
            if (Interlocked.Exchange(ref _cached[(Checked(cpu).Id * CachedPerCpu) + i], null) is { } stack)
            {
                Release(cpu, stack);
            }
        }
    }

    private void CheckHome(KernelTask task)
    {
        if (task.Home is { } home && !ReferenceEquals(home, _machine))
        {
            throw new ArgumentException($"{task} belongs to another machine", nameof(task));
        }
    }

    internal void Verify()
    {
        Dictionary<Node, long> kib = [];
        foreach (KernelStack stack in _tasks)
        {
            if (stack.Task is null || !ReferenceEquals(stack.Task.Stack, stack))
            {
                BugReporter.Corrupt($"stack {stack.Bottom} and its task disagree");
            }

            if (!stack.IsEndIntact)
            {
                BugReporter.Corrupt($"stack {stack.Bottom} of {stack.Task}: the word at its end was overwritten");
            }

            foreach (Page page in stack.Pages)
            {
                kib[page.Zone.Node] = kib.GetValueOrDefault(page.Zone.Node) + (PageGeometry.PageSize >> 10);
                if (stack.IsVmapped && _machine.Cpus[0].Vm.VmallocToPage(stack.Bottom + ((long)stack.Pages.ToList().IndexOf(page) << PageGeometry.PageShift)) != page)
                {
                    BugReporter.Corrupt($"stack {stack.Bottom}: {page} is not mapped where it should be");
                }
            }
        }

        foreach (Node node in _machine.Nodes)
        {
            if (node.Counters.KernelStackKiB != kib.GetValueOrDefault(node))
            {
                BugReporter.Corrupt($"node {node.Id}: {node.Counters.KernelStackKiB} KiB of kernel stacks are counted but there are {kib.GetValueOrDefault(node)}");
            }
        }
    }

    private Cpu Checked(Cpu cpu)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        return ReferenceEquals(cpu.Machine, _machine) ? cpu : throw new ArgumentException("the CPU belongs to another machine", nameof(cpu));
    }

    private void AddInterruptStacks(Cpu boot, int cpu, IBootFrames frames)
    {
        if (_machine.Architecture.Bits != 64)
        {
            _hardIrq[cpu] = AtBoot(boot, "IRQ", cpu, frames);
            _softIrq[cpu] = AtBoot(boot, "SOFTIRQ", cpu, frames);
            return;
        }

        _hardIrq[cpu] = _softIrq[cpu] = AtBoot(boot, "IRQ", cpu, frames);
    }

    /// <summary>A stack of frames that the boot keeps: x86-64 has them in the per-CPU area, the others get them before anybody else asks for a page.</summary>
    private KernelStack AtBoot(Cpu boot, string kind, int cpu, IBootFrames frames)
    {
        Page[] pages = BootPages(boot, frames) ?? throw NoMemory(cpu);
        if (!IsVmapped || _machine.Architecture.Bits != 64)
        {
            return new KernelStack(_machine, kind, pages[0].Address, pages, isVmapped: false, ownsArea: false, 0);
        }

        bool isArm64 = _machine.Architecture.Architecture == Architecture.Arm64;
        ulong align = isArm64 ? (ulong)PagesEach << (PageGeometry.PageShift + 1) : PageGeometry.PageSize;
        VirtualAddress bottom = _machine.Memory.Vmalloc.MapAtBoot(boot, pages, isArm64 ? "init_IRQ" : "irq_init_percpu_irqstack", align, owns: isArm64);
        return bottom.IsNull ? throw NoMemory(cpu) : new KernelStack(_machine, kind, bottom, pages, isVmapped: true, ownsArea: false, 0);
    }

    private Page[]? BootPages(Cpu boot, IBootFrames frames)
    {
        long first = frames.TakeReserved(PagesEach);
        return first < 0 ? AllocateBlock(boot) : [.. Enumerable.Range(0, PagesEach).Select(i => new Page(_machine, (int)first + i))];
    }

    private static InvalidOperationException NoMemory(int cpu) => new($"there is no memory for the interrupt stacks of CPU {cpu}");

    private KernelStack? MakeVmapped(Cpu cpu, string kind, string caller, int alignStacks)
    {
        long bytes = (long)PagesEach << PageGeometry.PageShift;
        VirtualAddress bottom = _machine.Memory.Vmalloc.Allocate(cpu, bytes, Gfp.Kernel | Gfp.Zero, -1, caller, (ulong)(bytes * alignStacks));
        if (bottom.IsNull)
        {
            return null;
        }

        var pages = new Page[PagesEach];
        for (int i = 0; i < pages.Length; i++)
        {
            pages[i] = cpu.Vm.VmallocToPage(bottom + ((long)i << PageGeometry.PageShift));
        }

        return new KernelStack(_machine, kind, bottom, pages, isVmapped: true, ownsArea: true, Options.ThreadInfoBytes);
    }

    private KernelStack? MakeDirect(Cpu cpu, string kind, int threadInfoBytes) =>
        AllocateBlock(cpu) is { } pages ? new KernelStack(_machine, kind, pages[0].Address, pages, isVmapped: false, ownsArea: false, threadInfoBytes) : null;

    private Page[]? AllocateBlock(Cpu cpu)
    {
        int order = System.Numerics.BitOperations.Log2((uint)PagesEach);
        Page first = cpu.AllocPages(Gfp.Kernel | Gfp.Zero, order);
        if (first.IsNull)
        {
            return null;
        }

        cpu.Pages.SplitPage(first, order);
        return [.. Enumerable.Range(0, PagesEach).Select(i => new Page(_machine, first.FrameIndex + i))];
    }

    private KernelStack? TakeCached(Cpu cpu)
    {
        for (int i = 0; i < CachedPerCpu; i++)
        {
            if (Interlocked.Exchange(ref _cached[(cpu.Id * CachedPerCpu) + i], null) is { } stack)
            {
                return stack;
            }
        }

        return null;
    }

    private bool KeepCached(Cpu cpu, KernelStack stack)
    {
        for (int i = 0; stack.OwnsArea && i < CachedPerCpu; i++)
        {
            if (Interlocked.CompareExchange(ref _cached[(cpu.Id * CachedPerCpu) + i], stack, null) is null)
            {
                return true;
            }
        }

        return false;
    }

    private void Release(Cpu cpu, KernelStack stack)
    {
        if (stack.OwnsArea)
        {
            if (cpu.Context.InAtomic)
            {
                _machine.Memory.Vmalloc.FreeLater(cpu, stack.Bottom);
            }
            else
            {
                cpu.Vfree(stack.Bottom);
            }

            return;
        }

        foreach (Page page in stack.Pages)
        {
            cpu.FreePages(page);
        }
    }

    private static void Account(KernelStack stack, int sign)
    {
        foreach (Page page in stack.Pages)
        {
            page.Zone.Node.Counters.KernelStackKiB += sign * (PageGeometry.PageSize >> 10);
        }
    }

    private void NoteDepth(KernelStack stack, KernelTask task)
    {
        int left = stack.NeverUsedBytes;
        using LockScope scope = new(_lock);
        if (left < LowestBytesLeft)
        {
            LowestBytesLeft = left;
            GreatestDepthMessage = string.Create(CultureInfo.InvariantCulture, $"{task.Name} ({task.Pid}) used greatest stack depth: {left} bytes left");
        }
    }
}
