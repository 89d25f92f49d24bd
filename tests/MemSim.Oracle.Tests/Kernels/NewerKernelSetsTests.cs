using FluentAssertions;
using MemSim.Kernels;
using MemSim.Oracle.Tests.Replay;
using MemSim.Recordings;
using Xunit;

namespace MemSim.Oracle.Tests.Kernels;

/// <summary>What was recorded inside newer kernels besides page-allocator runs.</summary>
public sealed class NewerKernelSetsTests
{
    [Theory]
    [InlineData("k618-512M-gfp", 489)]
    [InlineData("k70-512M-gfp", 489)]
    [InlineData("k73-512M-gfp", 488)]
    public void Every_request_flag_has_the_value_and_the_zone_of_its_kernel(string run, long compared)
    {
        ReplayResult result = GfpReplay.Run(Path.Combine(ReplayData.Exact, run));

        result.Mismatches.Should().BeEmpty();
        result.Total.Should().Be(compared);
    }

    [Theory]
    [InlineData("k618-512M-gfp")]
    [InlineData("k73-512M-gfp")]
    public void By_the_rules_of_6_1_the_flags_of_newer_kernels_are_wrong(string run) =>
        GfpReplay.Run(Path.Combine(ReplayData.Exact, run), KernelChoice.For("6.1")).Mismatches.Should().Contain(m => m.Contains("GFP_NOWAIT", StringComparison.Ordinal)).And.Contain(m => m.Contains("GFP_ATOMIC", StringComparison.Ordinal));

    [Theory]
    [InlineData("k618-2G-caches-smp1", 43_730)]
    [InlineData("k70-2G-caches-smp1", 43_772)]
    [InlineData("k73-2G-caches-smp1", 43_814)]
    [InlineData("k73-2G-caches-merge", 43_044)]
    public void Every_cache_has_the_layout_and_the_sheaves_of_its_kernel(string run, long compared)
    {
        ReplayResult result = SlabCachesReplay.Run(Path.Combine(ReplayData.Exact, run));

        result.Mismatches.Should().BeEmpty();
        result.Total.Should().Be(compared);
        result.Counts.Should().Contain(c => c.Kind == "request sheaf_capacity" && c.Total > 500);
    }

    [Fact]
    public void Refills_double_and_frees_halve()
    {
        // What good guesses get wrong, 1: the batch in zoneinfo does not say how many pages a refill takes.
        using Machine machine = Machine.Boot(MachineSpec.X86_64("512M").WithKernel("7.3").WithoutContents());
        Cpu cpu = machine.Cpus[0];
        Zone zone = machine.Nodes[0].GetZone(ZoneType.Dma32);
        cpu.Pages.DrainLocalPages();
        int batch = zone.Pageset(0).Batch;
        List<int> refills = [];
        List<Page> pages = [];
        for (int before = zone.Pageset(0).Count; refills.Count < 7; before = zone.Pageset(0).Count)
        {
            pages.Add(cpu.AllocPage(Gfp.KernelAccount));
            int taken = zone.Pageset(0).Count + 1 - before;
            if (taken > 0)
            {
                refills.Add(taken);
            }
        }

        refills.Should().Equal(batch, 2 * batch, 4 * batch, 8 * batch, 16 * batch, 32 * batch, 32 * batch);
        int factor = zone.Pageset(0).AllocFactor;
        cpu.FreePage(pages[0]);
        zone.Pageset(0).AllocFactor.Should().Be(factor / 2);
    }

    [Fact]
    public void The_limit_of_the_lists_starts_at_its_lower_bound_and_grows_with_refills()
    {
        // What good guesses get wrong, 5.
        using Machine machine = Machine.Boot(MachineSpec.X86_64("512M").WithKernel("7.3").WithoutContents());
        Zone zone = machine.Nodes[0].GetZone(ZoneType.Dma32);
        PagesetInfo start = zone.Pageset(0);
        start.HighMax.Should().BeGreaterThan(10 * start.HighMin);

        for (int i = 0; i < 4 * start.Batch; i++)
        {
            machine.Cpus[0].AllocPage(Gfp.Kernel);
        }

        zone.Pageset(0).High.Should().BeGreaterThan(start.HighMin).And.BeLessThanOrEqualTo(start.HighMax);
    }

    [Theory]
    [InlineData("7.1", 4)]
    [InlineData("7.2", 5)]
    public void Isolate_is_five_where_the_kernel_has_cma(string kernel, int isolate)
    {
        // What good guesses get wrong, 4.
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M").WithKernel(kernel).WithoutContents());

        string header = machine.Proc.PageTypeInfo.Split('\n').First(l => l.Contains("Unmovable", StringComparison.Ordinal) && l.Contains("Isolate", StringComparison.Ordinal));
        string[] types = header.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        Array.FindIndex(machine.Proc.PageTypeInfo.Split('\n').Where(l => l.Contains("type", StringComparison.Ordinal) && l.StartsWith("Node    0, zone      DMA,", StringComparison.Ordinal)).ToArray(), l => l.Contains("Isolate", StringComparison.Ordinal)).Should().Be(isolate);
        types.Should().HaveCountGreaterThan(isolate);
    }

    [Theory]
    [InlineData("6.18", 3)]
    [InlineData("7.0", 2)]
    [InlineData("7.2", 2)]
    public void An_attempt_that_would_repeat_the_one_before_is_left_out_from_7_0_on(string kernel, int attempts)
    {
        // In defrag_mode a request can pass the watermarks and still find nothing: each attempt halves what consecutive frees have added up to.
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M").WithKernel(kernel).WithSysctl("defrag_mode", "1").WithoutContents());
        Cpu cpu = machine.Cpus[0];
        List<Page> pages = [];
        for (Page page = cpu.AllocPage(Gfp.HighUserMovable & ~Gfp.DirectReclaim | Gfp.MemAlloc); !page.IsNull; page = cpu.AllocPage(Gfp.HighUserMovable & ~Gfp.DirectReclaim | Gfp.MemAlloc))
        {
            pages.Add(page);
        }

        foreach (Page page in pages.Where(p => p.Pfn.Value % 2 == 0))
        {
            cpu.FreePage(page);
        }

        cpu.Pages.DrainLocalPages();
        Zone zone = machine.Nodes[0].GetZone(ZoneType.Dma32);
        int run = zone.Pageset(0).FreeFactor;
        run.Should().BeGreaterThan(16);

        Page failed = cpu.AllocPage(Gfp.NoMemAlloc | Gfp.Reclaimable);

        failed.IsNull.Should().BeTrue();
        zone.Pageset(0).FreeFactor.Should().Be(run >> attempts);
    }
}
