using System.Runtime.CompilerServices;

namespace MemSim.Scenarios;

/// <content>What the steps do.</content>
internal sealed partial class ScenarioRun
{
    private readonly List<(int Pfn, int Order)> _kept = [];
    private FaultCounts _faults;

    /// <summary>A turn of the current step; the process runs on its CPU.</summary>
    private void Do(ScenarioActor actor)
    {
        ScenarioStep step = actor.Step;
        switch (step.Kind)
        {
            case StepKind.Touch:
                TouchSome(actor, step);
                break;
            case StepKind.Fork:
                ForkOne(actor, step);
                break;
            case StepKind.ReadFile or StepKind.WriteFile:
                StreamSome(actor, step);
                break;
            case StepKind.KernelPages or StepKind.TryBlocks:
                AllocateSome(actor, step);
                break;
            case StepKind.Stay:
                actor.Stays = true;
                break;
            case StepKind.Lock:
                ScenarioRegion locked = actor.Regions[^1];
                Refused(actor, actor.Process.Mm.Mlock(new VirtualAddress(locked.Start), (long)locked.Pages << PageGeometry.PageShift) != Errno.None);
                actor.NextStep();
                break;
            case StepKind.Unmap:
                ScenarioRegion old = actor.Regions[^1];
                Refused(actor, old.Kind != StepKind.Stack && actor.Process.Mm.Munmap(new VirtualAddress(old.Start), (long)old.Pages << PageGeometry.PageShift) != Errno.None);
                actor.Regions.RemoveAt(actor.Regions.Count - 1);
                actor.NextStep();
                break;
            default:
                Map(actor, step);
                break;
        }
    }

    private static void Refused(ScenarioActor actor, bool refused) => actor.Tree.Failures += refused ? 1 : 0;

    private void Map(ScenarioActor actor, ScenarioStep step)
    {
        long pages = step.Kind == StepKind.MapFile ? _scenario.Files[step.Name] : step.Pages;
        if (step.Kind == StepKind.Stack)
        {
            ulong end = (actor.Process.Mm.StackStart.Value & ~(ulong)(PageGeometry.PageSize - 1)) + PageGeometry.PageSize;
            actor.Regions.Add(new ScenarioRegion(step.Kind, end - ((ulong)pages << PageGeometry.PageShift), pages));
            actor.NextStep();
            return;
        }

        Result<VirtualAddress> mapped = step.Kind switch
        {
            StepKind.Anonymous => actor.Process.Mm.Mmap(pages << PageGeometry.PageShift, Prot.Read | Prot.Write),
            StepKind.SharedMemory => actor.Process.Mm.Mmap(default, (long)pages << PageGeometry.PageShift, Prot.Read | Prot.Write, MapFlags.Shared | MapFlags.Anonymous),
            _ => MapFile(actor, step, pages),
        };
        if (!mapped.Succeeded)
        {
            // The program has no memory to go on with.
            actor.Tree.Failures++;
            Exit(actor, new ExitStatus(1, Signal.None), mapped.Error.ToString());
            return;
        }

        actor.Regions.Add(new ScenarioRegion(step.Kind, mapped.Value.Value, pages));
        actor.NextStep();
    }

    private void TouchSome(ScenarioActor actor, ScenarioStep step)
    {
        ScenarioRegion region = actor.Regions[^1];
        if (!actor.HasBegun)
        {
            actor.HasBegun = true;
            actor.LastPattern = step;
            actor.Left = step.Touches(region.Pages);
            actor.Stream = new AccessStream(step.Pattern, region.Pages);
        }

        long turn = Math.Min(actor.Left, _turn);
        ulong writes = Xorshift64.Part(step.Share);
        actor.Left -= turn;
        for (long i = 0; i < turn; i++)
        {
            Touch(actor, region, writes);
        }

        if (actor.Left == 0)
        {
            actor.NextStep();
        }
    }

    /// <summary>One touch: eight bytes of a page are written or read.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Touch(ScenarioActor actor, in ScenarioRegion region, ulong writes)
    {
        long page = actor.Stream.Next(ref actor.Random);
        bool write = actor.Random.Chance(writes);
        VirtualAddress address = new(region.Start + ((ulong)page << PageGeometry.PageShift) + (actor.Random.Next() >> 55 << 3));
        Process process = actor.Process;
        long minor = process.MinorFaults;
        long major = process.MajorFaults;
        MemoryDescriptor mm = process.Mm;
        long anon = mm.AnonPages;
        long swap = mm.SwapEntries;
        _touches++;
        actor.Tree.Touches++;
        if (write)
        {
            actor.Cpu.Write(address, address.Value);
        }
        else
        {
            _ = actor.Cpu.Read<ulong>(address);
        }

        if (process.MinorFaults + process.MajorFaults != minor + major)
        {
            _faults.Count(region.Kind, write, process.MajorFaults != major, mm.SwapEntries < swap, mm.AnonPages > anon);
        }
    }

    private void ForkOne(ScenarioActor actor, ScenarioStep step)
    {
        if (!actor.HasBegun)
        {
            actor.HasBegun = true;
            actor.Left = step.FanOut;
        }

        if (actor.Left == 0)
        {
            if (actor.LivingChildren == 0)
            {
                actor.NextStep();
            }

            return;
        }

        actor.Left--;
        _touches++;
        Result<Process> forked = actor.Process.Fork(actor.Cpu);
        if (!forked.Succeeded)
        {
            actor.Tree.Failures++;
            return;
        }

        List<ScenarioStep> program = [];
        if (step.Depth > 1)
        {
            program.Add(step with { Depth = step.Depth - 1 });
        }

        if (actor.LastPattern is { } pattern)
        {
            program.Add(pattern);
        }

        actor.Tree.Children++;
        actor.LivingChildren++;
        _living.Add(new ScenarioActor(actor.Tree, forked.Value, actor.Cpu, program, _scenario.RandomSeed, _streams++)
        {
            Parent = actor,
            Regions = [.. actor.Regions],
            LastPattern = actor.LastPattern,
        });
    }

    /// <summary>Blocks for the kernel, or an attempt to get some.</summary>
    private void AllocateSome(ScenarioActor actor, ScenarioStep step)
    {
        if (!actor.HasBegun)
        {
            actor.HasBegun = true;
            actor.Left = step.Count;
        }

        bool tries = step.Kind == StepKind.TryBlocks;
        Gfp gfp = tries ? Gfp.HighUserMovable | Gfp.NoWarn | Gfp.Comp : Gfp.Kernel | Gfp.NoWarn | (step.Depth != 0 ? Gfp.Comp : 0);
        for (long i = Math.Min(actor.Left, _turn); i > 0; i--)
        {
            actor.Left--;
            _touches++;
            actor.Tree.Touches++;
            Page page = actor.Cpu.AllocPages(gfp, step.Depth);
            if (page.IsNull)
            {
                actor.Tree.Failures++;
                continue;
            }

            actor.Blocks.Add((page.FrameIndex, step.Depth));
        }

        if (actor.Left == 0)
        {
            FreeSome(actor, tries ? 0 : Xorshift64.Part(step.Share));
            actor.NextStep();
        }
    }

    /// <summary>Frees the step's blocks but for a part chosen at random.</summary>
    private void FreeSome(ScenarioActor actor, ulong keep)
    {
        foreach ((int pfn, int order) in actor.Blocks)
        {
            if (actor.Random.Chance(keep))
            {
                _kept.Add((pfn, order));
            }
            else
            {
                actor.Cpu.FreePages(new Page(_machine, pfn), order);
            }
        }

        actor.Blocks.Clear();
    }

    private void FreeBlocks(ScenarioActor actor) => FreeSome(actor, 0);
}
