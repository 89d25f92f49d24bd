using System.IO.Pipelines;
using FluentAssertions;
using MemSim.Kernels;
using MemSim.Zones;
using Xunit;

namespace MemSim.Tests.Kernels;

/// <summary>What good guesses about newer kernels get wrong, a fact each; the table in <c>docs/fidelity.md</c> says which test holds the others.</summary>
public sealed class GuessListTests
{
    [Fact]
    public void Guess_1_refills_double_although_batch_stays_what_zoneinfo_says()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M").WithKernel("7.3"));
        Cpu cpu = machine.Cpus[0];
        PerCpuPages pcp = cpu.Lists.HomePcp;
        int batch = pcp.Batch;
        List<int> refills = [];
        while (refills.Count < 7)
        {
            int before = pcp.Count;
            cpu.AllocPage(Gfp.Kernel);
            if (pcp.Count > before)
            {
                refills.Add(pcp.Count - before + 1);
            }
        }

        pcp.Batch.Should().Be(batch);
        machine.Proc.ZoneInfo.Should().MatchRegex($@"\n +batch: +{batch}\n");
        refills.Should().Equal(batch, batch * 2, batch * 4, batch * 8, batch * 16, batch * 32, batch * 32);
    }

    [Theory]
    [InlineData("6.12")]
    [InlineData("6.18")]
    [InlineData("7.3")]
    public void Guess_5_the_limit_of_per_cpu_lists_starts_at_its_lower_bound(string kernel)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("2G").WithKernel(kernel));
        PerCpuPages pcp = machine.Cpus[0].Lists.HomePcp;
        machine.Cpus[0].FreePage(machine.Cpus[0].AllocPage(Gfp.Kernel));

        pcp.HighMin.Should().BePositive();
        pcp.High.Should().BeInRange(pcp.HighMin, pcp.HighMin + pcp.Batch, "one refill raises it by what it asked for");
        pcp.HighMax.Should().BeGreaterThan(pcp.HighMin);
        machine.Proc.ZoneInfo.Should().MatchRegex($@"\n +high: +{pcp.High}\n");
    }

    [Theory]
    [InlineData("6.1", "GFP_HIGHUSER_MOVABLE|__GFP_COMP|__GFP_ZERO")]
    [InlineData("6.18", "GFP_HIGHUSER_MOVABLE|__GFP_ZERO|__GFP_COMP")]
    [InlineData("7.3", "GFP_HIGHUSER_MOVABLE|__GFP_ZERO|__GFP_COMP")]
    public void Guess_6_zero_stands_before_comp_and_the_mask_has_both(string kernel, string text)
    {
        KernelPersonality line = KernelPersonality.Parse(kernel);

        GfpText.FormatWithHex(Gfp.HighUserMovable | Gfp.Zero | Gfp.Comp, line).Should().Be($"0x140dca({text})");
        line.Allocator.HasNoObjExt.Should().Be(kernel == "6.18");
    }

    [Theory]
    [InlineData("6.1", 0)]
    [InlineData("6.12", 32)]
    [InlineData("6.18", 32)]
    [InlineData("7.3", 32)]
    public void Guess_12_every_mark_of_an_empty_movable_zone_is_32_from_6_12_on(string kernel, int mark)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("1G").WithKernel(kernel));

        string[] lines = machine.Proc.ZoneInfo.Split('\n');
        int zone = Array.FindIndex(lines, l => l.StartsWith("Node 0, zone  Movable", StringComparison.Ordinal));
        string[] marks = [.. lines.Skip(zone).Where(l => l.TrimStart().Split(' ')[0] is "min" or "low" or "high" or "promo").Select(l => l.Trim())];
        marks.Take(3).Should().Equal($"min      {mark}", $"low      {mark}", $"high     {mark}");
    }

    [Fact]
    public void Guess_12_the_marks_of_a_movable_zone_with_memory_are_those_of_the_captured_machine()
    {
        // amd64k73-1G-movablecore256M: 59, 810, 1561 for 65504 pages. The zone takes no share of min_free_kbytes: min is clamped, the distance is what the whole machine's is to it.
        using Machine machine = Machine.Boot(MachineSpec.X86_64("1G").WithKernel("7.3").WithCommandLine("movablecore=256M"));
        Zone zone = machine.Zones.Single(z => z.Type == ZoneType.Movable);

        (long min, long low, long high) = (zone.GetWatermark(Watermark.Min), zone.GetWatermark(Watermark.Low), zone.GetWatermark(Watermark.High));
        min.Should().BeInRange(32, 128);
        (low - min).Should().Be(high - low).And.BeInRange(700, 800);
    }

    [Theory]
    [InlineData("6.1", new[] { -2, -3, -4 })]
    [InlineData("6.18", new[] { -2, -3, -4 })]
    [InlineData("7.3", new[] { -1, -1, -1 })]
    public void Guess_13_swap_areas_without_a_priority_share_minus_1_in_7_3(string kernel, int[] priorities)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M").WithKernel(kernel));
        BlockDevice[] devices = [.. Enumerable.Range(0, 3).Select(i => new BlockDevice($"vd{(char)('b' + i)}", "64M"))];
        SwapArea[] areas = [.. devices.Select(d => machine.Swap.SwapOn(d).Value)];

        areas.Select(a => a.Priority).Should().Equal(priorities);
        machine.Proc.Swaps.Split('\n').Skip(1).Take(3).Select(l => l.Split('\t')[^1]).Should().Equal(priorities.Select(p => $"{p}"));

        machine.Swap.SwapOff(machine.Cpus[0], areas[0]);
        machine.Swap.SwapOn(devices[0]).Value.Priority.Should().Be(priorities[2], "the next one is the lowest again");
        areas[1].Priority.Should().Be(priorities[0]);
        machine.Verify();
    }

    [Fact]
    public async Task Guess_15_a_pipe_gives_a_partly_filled_block_back_when_its_reader_has_read_all()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithKernel("7.3"));
        using SlabMemoryPool pool = new(machine.Cpus[0]);
        Pipe pipe = new(new PipeOptions(pool, minimumSegmentSize: 4096));
        await pipe.Writer.WriteAsync(new byte[100], TestContext.Current.CancellationToken);
        machine.Slab.FindLiveObjects().Should().ContainSingle();

        ReadResult first = await pipe.Reader.ReadAsync(TestContext.Current.CancellationToken);
        pipe.Reader.AdvanceTo(first.Buffer.GetPosition(60), first.Buffer.End);
        machine.Slab.FindLiveObjects().Should().ContainSingle("40 bytes are unread");

        await pipe.Writer.WriteAsync(new byte[1], TestContext.Current.CancellationToken);
        ReadResult second = await pipe.Reader.ReadAsync(TestContext.Current.CancellationToken);
        second.Buffer.Length.Should().Be(41);
        pipe.Reader.AdvanceTo(second.Buffer.End);
        machine.Slab.FindLiveObjects().Should().BeEmpty("nothing is unread, though 3995 bytes of the block were never written");
    }

    [Fact]
    public void A_snapshot_file_keeps_the_line_of_its_kernel_by_name()
    {
        string path = Path.GetTempFileName();
        try
        {
            foreach (KernelPersonality line in KernelLines.All)
            {
                using Machine machine = Machine.Boot(MachineSpec.X86_64("256M").WithPersonality(line).WithoutContents());
                machine.Snapshot().Save(path);

                using Machine twin = MachineSnapshot.Load(path).Boot();

                twin.Personality.Should().BeSameAs(line);
                Rows(twin.Proc.ZoneInfo).Should().Equal(Rows(machine.Proc.ZoneInfo));
                Rows(twin.Proc.VmStat).Should().Equal(Rows(machine.Proc.VmStat));
                twin.Proc.PageTypeInfo.Should().Be(machine.Proc.PageTypeInfo);
            }
        }
        finally
        {
            File.Delete(path);
        }
    }

    private static IEnumerable<string> Rows(string text) => text.Split('\n').Select(l => l.Trim().Split(' ')[0]);
}
