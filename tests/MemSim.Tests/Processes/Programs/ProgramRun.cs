using FluentAssertions;
using MemSim.Slab;

namespace MemSim.Tests.Processes.Programs;

/// <summary>Runs a program of mmap, touch, fork, munmap, mprotect, mremap, madvise and exit against a model that keeps what every page holds.</summary>
internal sealed class ProgramRun
{
    private readonly Machine _machine;
    private readonly long _free;
    private int _values;
    private ProcessModel? _running;
    private Cpu? _cpu;
    private ContextScope _scope;

    private ProgramRun(Machine machine, ProgramShape shape)
    {
        _machine = machine;
        Shape = shape;
        machine.CreateProcess("warm").Exit();
        _free = machine.FreePagesAtRest();
        const ulong huge = (ulong)ProgramShape.HugePages << PageGeometry.PageShift;
        Process init = machine.CreateProcess("init");
        Window = (init.Mm.MmapBase - (16 * huge)) & ~((2 * huge) - 1);
        Alive.Add(new ProcessModel(this, init));
        if (shape.StartsMapped)
        {
            Alive[0].Map(0, shape.Pages, Prot.Read | Prot.Write, shared: false);
        }
    }

    public ProgramShape Shape { get; }

    /// <summary>The first address of the window.</summary>
    public ulong Window { get; }

    public List<ProcessModel> Alive { get; } = [];

    /// <summary>Runs a program; afterwards everything is given back, and that is checked too.</summary>
    /// <param name="machine">A machine without processes.</param>
    /// <param name="shape">The window.</param>
    /// <param name="steps">The program.</param>
    /// <param name="between">Called before each step.</param>
    /// <param name="atEnd">Called before the processes end.</param>
    public static void Run(Machine machine, ProgramShape shape, IEnumerable<ProgramStep> steps, Action<int>? between = null, Action? atEnd = null)
    {
        ProgramRun run = new(machine, shape);
        int number = 0;
        foreach (ProgramStep step in steps)
        {
            between?.Invoke(number);
            run.Do(step);
            if (number++ % shape.VerifyEvery == 0)
            {
                machine.Verify();
            }
        }

        machine.Verify();
        run.Stop();
        atEnd?.Invoke();
        run.End();
    }

    public int NextValue() => ++_values;

    /// <summary>A process goes on running until another step wants another one, or another CPU: else every step would begin with empty TLBs.</summary>
    private void Do(ProgramStep step)
    {
        ProcessModel model = Alive[step.Process % Alive.Count];
        Cpu cpu = _machine.Cpus[step.Cpu % _machine.Cpus.Count];
        if (!ReferenceEquals(model, _running) || !ReferenceEquals(cpu, _cpu))
        {
            Stop();
            _scope = cpu.Run(model.Process);
            (_running, _cpu) = (model, cpu);
        }

        model.Do(step, cpu);
        if (!Alive.Contains(model))
        {
            Stop();
        }
    }

    private void Stop()
    {
        if (_running is not null)
        {
            _running = null;
            _scope.Dispose();
        }
    }

    private void End()
    {
        foreach (ProcessModel model in Alive)
        {
            model.CheckAll(_machine.Cpus[0]);
            model.Process.Exit();
            _machine.Verify();
        }

        _machine.SystemFigures.CommittedPages.Should().Be(0);
        _machine.Mm!.Huge.FreeZero(_machine.Cpus[0]);
        _machine.HugePages.DeferredSplits.Should().Be(0);
        _machine.FreePagesAtRest().Should().Be(_free, "every page is back");
        for (KernelObject kind = KernelObject.MapleNode; kind <= KernelObject.Vma; kind++)
        {
            _machine.Mm.Objects.InUse(kind).Should().Be(0, "no {0} is left", kind);
        }

        _machine.Nodes.Sum(n => n.Counters.AnonPages + n.Counters.AnonHugePages).Should().Be(0);
    }
}
