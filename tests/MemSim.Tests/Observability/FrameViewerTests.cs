using FluentAssertions;
using MemSim.Lru;
using MemSim.Observability;
using Xunit;

namespace MemSim.Tests.Observability;

/// <summary>What the viewer says of every frame agrees with what the lists and counters say.</summary>
public class FrameViewerTests
{
    [Fact]
    public void Free_frames_are_those_of_the_free_lists_and_per_cpu_lists()
    {
        using Machine machine = Busy(out _);
        List<FrameRun> runs = All(machine);
        foreach (Zone zone in machine.Zones.Where(z => z.IsPopulated))
        {
            List<FrameRun> ofZone = [.. runs.Where(r => r.Start.Value >= zone.StartPfn.Value && r.Start.Value < zone.EndPfn.Value)];
            for (int order = 0; order <= PageGeometry.MaxOrder; order++)
            {
                ofZone.Count(r => r.Use == FrameUse.Free && r.Order == order).Should().Be((int)zone.FreeBlocks(order), $"{zone} order {order}");
            }

            Pages(ofZone, FrameUse.Free).Should().Be((int)zone.TrueFreePages);
            Pages(ofZone, FrameUse.PerCpu).Should().Be(machine.Cpus.Sum(c => zone.Pageset(c.Id).Count));
        }
    }

    [Fact]
    public void Each_use_has_as_many_frames_as_its_counter_says()
    {
        using Machine machine = Busy(out _);
        List<FrameRun> runs = All(machine);
        NodeCounters counters = machine.Nodes[0].Counters;

        Pages(runs, FrameUse.Slab).Should().Be((int)(counters.SlabReclaimable + counters.SlabUnreclaimable)).And.BePositive();
        Pages(runs, FrameUse.Anonymous).Should().Be((int)counters.AnonPages).And.BePositive();
        Pages(runs, FrameUse.PageTable).Should().BeGreaterThanOrEqualTo((int)counters.PageTables).And.BePositive();
        runs.Where(r => r.Lru == FrameLru.InactiveAnon).Sum(r => r.Pages).Should().Be((int)counters.InactiveAnon);
        runs.Where(r => r.Lru == FrameLru.ActiveAnon).Sum(r => r.Pages).Should().Be((int)counters.ActiveAnon);
    }

    [Fact]
    public void A_block_in_use_is_seen_whole()
    {
        using Machine machine = Busy(out Page block);

        All(machine).Should().Contain(new FrameRun(block.Pfn, 32, FrameUse.Kernel, 5, FrameLru.None));
    }

    [Fact]
    public void Runs_cover_every_frame_once_holes_lie_outside_every_zone_and_looking_changes_nothing()
    {
        using Machine machine = Busy(out _);
        string before = machine.StateText();
        long next = 0;
        foreach (FrameRun run in All(machine))
        {
            run.Start.Value.Should().Be(next);
            next += run.Pages;
            (run.Use != FrameUse.Hole).Should().Be(machine.TryGetPage(run.Start, out _), $"{run}");
        }

        next.Should().Be(new FrameViewer(machine).Frames);
        machine.StateText().Should().Be(before);
    }

    [Fact]
    public void What_is_not_a_block_of_the_machine_is_refused()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithoutContents());
        FrameViewer viewer = new(machine);

        Action odd = () => viewer.Read(new Pfn(1), new FrameRun[1024]);
        Action beyond = () => viewer.Read(new Pfn(viewer.Frames), new FrameRun[1024]);
        Action small = () => viewer.Read(new Pfn(0), new FrameRun[10]);

        odd.Should().Throw<ArgumentException>().WithMessage("*first frame of a block*");
        beyond.Should().Throw<ArgumentException>();
        small.Should().Throw<ArgumentException>();
    }

    [Fact]
    public void Pages_of_a_machine_with_generations_show_theirs()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithKernel("6.12"));
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("p");
        using var run = cpu.Run(process);
        VirtualAddress old = process.Mm!.Mmap(2 << 20, Prot.Read | Prot.Write).Value;
        cpu.Memory.Fill(old, 2 << 20, 1);
        machine.Reclaim.LruGen.IsEnabled.Should().BeTrue("6.12 has them on");
        int first = All(machine).Where(r => r.Use == FrameUse.Anonymous && r.Lru == FrameLru.Youngest).Sum(r => r.Pages);

        first.Should().BeGreaterThan(400);
        All(machine).Should().NotContain(r => r.Lru == FrameLru.ActiveAnon || r.Lru == FrameLru.InactiveAnon, "these lists are not kept");

        LruGenerations generations = machine.Lru.Of(machine.Nodes[0]).Generations!;
        for (int older = 1; older <= 2; older++)
        {
            generations.AddGeneration(generations.MaxSequence, 60, now: 0).Should().BeTrue();
            All(machine).Where(r => r.Use == FrameUse.Anonymous && r.Lru == FrameLru.Youngest + older).Sum(r => r.Pages).Should().Be(first);
        }

        cpu.Memory.Fill(process.Mm.Mmap(1 << 20, Prot.Read | Prot.Write).Value, 1 << 20, 1);
        All(machine).Where(r => r.Use == FrameUse.Anonymous && r.Lru == FrameLru.Youngest).Sum(r => r.Pages).Should().BeInRange(200, 256, "new pages are young");

        machine.Reclaim.LruGen.Write("n");
        All(machine).Should().NotContain(r => r.Lru >= FrameLru.Youngest).And.Contain(r => r.Lru == FrameLru.ActiveAnon || r.Lru == FrameLru.InactiveAnon);
    }

    private static int Pages(List<FrameRun> runs, FrameUse use) => runs.Where(r => r.Use == use).Sum(r => r.Pages);

    private static List<FrameRun> All(Machine machine)
    {
        FrameViewer viewer = new(machine);
        List<FrameRun> all = [];
        FrameRun[] runs = new FrameRun[FrameViewer.BlockPages];
        for (long first = 0; first < viewer.Frames; first += FrameViewer.BlockPages)
        {
            all.AddRange(runs[..viewer.Read(new Pfn(first), runs)]);
        }

        return all;
    }

    private static Machine Busy(out Page block)
    {
        Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 2));
        Cpu cpu = machine.Cpus[0];
        block = cpu.AllocPages(Gfp.Kernel, 5);
        machine.Cpus[1].FreePages(machine.Cpus[1].AllocPages(Gfp.Kernel, 3), 3);
        cpu.Kmalloc(100, Gfp.Kernel);
        Process process = machine.CreateProcess("p");
        using (cpu.Run(process))
        {
            VirtualAddress memory = process.Mm!.Mmap(1 << 20, Prot.Read | Prot.Write).Value;
            cpu.Memory.Fill(memory, 1 << 20, 1);
        }

        return machine;
    }
}
