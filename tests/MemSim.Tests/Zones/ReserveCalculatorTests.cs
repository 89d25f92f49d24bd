using FluentAssertions;
using FsCheck;
using FsCheck.Fluent;
using MemSim.Kernels;
using Xunit;

namespace MemSim.Tests.Zones;

public class ReserveCalculatorTests
{
    private const long Pages1M = 256;

    private static ReserveLayout Machine(ArchitectureInfo architecture, int cpus, params (ZoneType Type, long Pages)[] zones) =>
        new(architecture, KernelLines.Linux6_1, Zones(architecture, zones), [.. Enumerable.Range(0, cpus).Select(c => new CpuLayout(c, 0))]);

    private static ZoneLayout[] Zones(ArchitectureInfo architecture, (ZoneType Type, long Pages)[] zones)
    {
        long start = 1;
        return [.. architecture.ZoneTypes.Select(type =>
        {
            long pages = zones.FirstOrDefault(z => z.Type == type).Pages;
            var zone = new ZoneLayout(0, type, pages == 0 ? 0 : start, pages, pages, pages);
            start += pages;
            return zone;
        })];
    }

    private static VmSysctls With(ReserveLayout layout, params (string Name, string Value)[] settings)
    {
        var vm = new VmSysctls(layout.ZoneTypes);
        foreach ((string name, string value) in settings)
        {
            vm.TrySet(name, value, out string? error).Should().BeTrue(error);
        }

        return vm;
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(3840, 0)]
    [InlineData(8448, 1)]
    [InlineData(16640, 3)]
    [InlineData(48848, 15)]
    [InlineData(117104, 31)]
    [InlineData(250000, 63)]
    [InlineData(100_000_000, 63)]
    public void The_batch_is_a_power_of_two_less_one_and_at_most_63(long managed, int batch) =>
        ReserveCalculator.PcpBatchOf(managed).Should().Be(batch);

    [Theory]
    [InlineData(3840, 1, 2)]
    [InlineData(3840, 4, 6)]
    [InlineData(32767, 1, 2)]
    [InlineData(32768, 1, 4)]
    [InlineData(754602, 4, 36)]
    [InlineData(1L << 30, 1024, 125)]
    public void The_counters_threshold_grows_with_the_logarithms_of_cpus_and_memory(long managed, int cpus, int threshold) =>
        ReserveCalculator.StatThresholdOf(managed, cpus).Should().Be(threshold);

    [Fact]
    public void An_empty_high_memory_zone_has_the_smallest_clamped_min_and_an_empty_normal_one_none()
    {
        ReserveLayout layout = Machine(ArchitectureInfo.X86_32, 1, (ZoneType.Dma, 4000), (ZoneType.Normal, 100_000));
        ReserveFigures figures = ReserveCalculator.Compute(layout, With(layout, ("min_free_kbytes", "2048")));

        ZoneReserve highMem = figures.Zones[2];
        (highMem.Min, highMem.Low, highMem.High).Should().Be((32, 32, 32));
        figures.Zones[3].High.Should().Be(0, "without high memory the Movable zone is an ordinary one");
        figures.Zones[2].PcpBatch.Should().Be(1);
    }

    [Fact]
    public void High_memory_takes_no_share_of_min_free_kbytes_but_spaces_its_watermarks_by_one()
    {
        ReserveLayout layout = Machine(ArchitectureInfo.X86_32, 1, (ZoneType.Normal, 200_000), (ZoneType.HighMem, 400_000));
        ReserveFigures figures = ReserveCalculator.Compute(layout, With(layout, ("min_free_kbytes", "40000")));

        figures.Zones[1].Min.Should().Be(10_000);
        (figures.Zones[2].Min, figures.Zones[2].Low).Should().Be((128, 128 + 5000));
    }

    [Fact]
    public void The_Movable_zone_takes_a_share_in_6_1_and_is_clamped_in_6_12()
    {
        ReserveLayout old = Machine(ArchitectureInfo.X86_64, 1, (ZoneType.Dma32, 300_000), (ZoneType.Movable, 100_000));
        var recent = new ReserveLayout(old.Architecture, KernelLines.Linux6_12, old.Zones, old.Cpus);
        VmSysctls vm = With(old, ("min_free_kbytes", "16000"));

        ReserveCalculator.Compute(old, vm).Zones[3].Min.Should().Be(1000);
        ReserveCalculator.Compute(old, vm).Zones[1].Min.Should().Be(3000);
        ReserveCalculator.Compute(recent, vm).Zones[3].Min.Should().Be(97);
        ReserveCalculator.Compute(recent, vm).Zones[1].Min.Should().Be(4000);
    }

    [Fact]
    public void The_limit_of_the_lists_lies_between_two_bounds_in_6_12_unless_a_fraction_is_set()
    {
        ReserveLayout old = Machine(ArchitectureInfo.X86_64, 2, (ZoneType.Dma32, 400_000));
        var layout = new ReserveLayout(old.Architecture, KernelLines.Linux6_12, old.Zones, old.Cpus);

        ZoneReserve tuned = ReserveCalculator.Compute(layout, With(layout, ("min_free_kbytes", "8000"))).Zones[1];
        (tuned.PcpHighMin, tuned.PcpHighMax).Should().Be((1250, 25_000));
        ZoneReserve set = ReserveCalculator.Compute(layout, With(layout, ("percpu_pagelist_high_fraction", "100"))).Zones[1];
        (set.PcpHighMin, set.PcpHighMax).Should().Be((2000, 2000));
    }

    [Fact]
    public void A_node_without_CPUs_divides_its_lists_limit_among_all()
    {
        ZoneLayout[] zones = [.. new[] { 0, 1 }.Select(node => new ZoneLayout(node, ZoneType.Normal, 1 + (node * 100_000), 100_000, 100_000, 100_000))];
        var layout = new ReserveLayout(ArchitectureInfo.X86_64, KernelLines.Linux6_1, zones, [new CpuLayout(0, 0), new CpuLayout(1, 0), new CpuLayout(2, 0)]);
        ReserveFigures figures = ReserveCalculator.Compute(layout, With(layout, ("percpu_pagelist_high_fraction", "8")));

        figures.Zones.Select(z => z.PcpHighMin).Should().Equal(4166, 4166);
    }

    [Fact]
    public void A_CPU_of_several_emulated_nodes_counts_in_each_but_once_in_all()
    {
        ZoneLayout[] zones = [.. new[] { 0, 1 }.Select(node => new ZoneLayout(node, ZoneType.Normal, 1 + (node * 100_000), 100_000, 100_000, 100_000))];
        CpuLayout[] cpus = [new CpuLayout(0, 0), new CpuLayout(0, 1), new CpuLayout(1, 0), new CpuLayout(1, 1)];
        var layout = new ReserveLayout(ArchitectureInfo.X86_64, KernelLines.Linux6_1, zones, cpus);

        layout.OnlineCpus.Should().Be(2);
        ReserveCalculator.Compute(layout, With(layout, ("percpu_pagelist_high_fraction", "8"))).Zones.Select(z => z.PcpHighMin).Should().Equal(6250, 6250);
    }

    [Fact]
    public void A_CPU_that_comes_up_is_counted_for_every_node_until_the_next_recomputation()
    {
        ZoneLayout[] zones = [.. new[] { 0, 1 }.Select(node => new ZoneLayout(node, ZoneType.Normal, 1 + (node * 100_000), 100_000, 100_000, 100_000))];
        var layout = new ReserveLayout(ArchitectureInfo.X86_64, KernelLines.Linux6_1, zones, [new CpuLayout(0, 0), new CpuLayout(1, 1)]);
        VmSysctls vm = With(layout, ("percpu_pagelist_high_fraction", "8"));
        ReserveFigures figures = ReserveCalculator.Compute(layout, vm);

        ReserveCalculator.CpuChanged(layout, vm, figures, cpu: 1);
        figures.Zones.Select(z => z.PcpHighMin).Should().Equal(6250, 12_500);
        ReserveCalculator.UpdatePcp(layout, vm, figures);
        figures.Zones.Select(z => z.PcpHighMin).Should().Equal(12_500, 12_500);
    }

    [Fact]
    public void Khugepaged_raises_min_free_kbytes_on_machines_of_512M_and_more_only()
    {
        ReserveLayout large = Machine(ArchitectureInfo.X86_64, 1, (ZoneType.Dma, 3840), (ZoneType.Dma32, 1000 * Pages1M));
        ReserveLayout small = Machine(ArchitectureInfo.X86_64, 1, (ZoneType.Dma, 3840), (ZoneType.Dma32, 490 * Pages1M));

        Chosen(large, TransparentHugePages.Always).Should().Be(2 * 22528);
        Chosen(large, TransparentHugePages.Madvise).Should().Be(2 * 22528);
        int root = (int)Math.Sqrt(16 * 4 * (3840 + (1000 * Pages1M)));
        Chosen(large, TransparentHugePages.Unavailable).Should().Be(root);
        Chosen(large, TransparentHugePages.Never).Should().BeInRange(root - 20, root - 1, "it is computed again from what lies above the high watermarks");
        Chosen(small, TransparentHugePages.Always).Should().Be((int)Math.Sqrt(16 * 4 * (3840 + (490 * Pages1M))));

        static int Chosen(ReserveLayout layout, TransparentHugePages thp)
        {
            var vm = new VmSysctls(layout.ZoneTypes);
            ReserveCalculator.Boot(layout, vm, thp).MinFreeKbytes.Should().Be(vm.MinFreeKbytes);
            return vm.MinFreeKbytes;
        }
    }

    [Fact]
    public void A_min_free_kbytes_of_the_user_outlives_a_memory_block_unless_the_kernels_is_larger()
    {
        ReserveLayout layout = Machine(ArchitectureInfo.X86_64, 1, (ZoneType.Dma32, 400 * Pages1M));
        VmSysctls large = With(layout, ("min_free_kbytes", "30000"));
        VmSysctls small = With(layout, ("min_free_kbytes", "100"));

        ReserveCalculator.MemoryBlockChanged(layout, large, new ReserveFigures(layout), TransparentHugePages.Never);
        ReserveCalculator.MemoryBlockChanged(layout, small, new ReserveFigures(layout), TransparentHugePages.Never);

        large.MinFreeKbytes.Should().Be(30000);
        small.MinFreeKbytes.Should().Be(2560);
    }

    [Fact]
    public void Min_free_kbytes_stays_within_128_and_262144()
    {
        ReserveLayout tiny = Machine(ArchitectureInfo.X86_64, 1, (ZoneType.Dma, 10));
        ReserveLayout huge = Machine(ArchitectureInfo.X86_64, 1, (ZoneType.Normal, 1L << 34));

        ReserveCalculator.InitialMinFreeKbytes(tiny, new ReserveFigures(tiny)).Should().Be(128);
        ReserveCalculator.InitialMinFreeKbytes(huge, new ReserveFigures(huge)).Should().Be(262144);
    }

    [Fact]
    public void Watermarks_rise_shares_add_up_and_reserves_grow_with_the_zone_for_any_machine()
    {
        Gen<(int[] Megabytes, int Kbytes, int Scale, int Cpus)> machines = Gen.Choose(0, 3000).ArrayOf(3).Zip(Gen.Choose(0, 1 << 20), (mb, kb) => (mb, kb))
            .Zip(Gen.Choose(1, 3000), (m, scale) => (m.mb, m.kb, scale)).Zip(Gen.Choose(1, 64), (m, cpus) => (m.mb, m.kb, m.scale, cpus));

        Prop.ForAll(Arb.From(machines), m =>
        {
            ReserveLayout layout = Machine(
                ArchitectureInfo.X86_64,
                m.Cpus,
                (ZoneType.Dma, 3840),
                (ZoneType.Dma32, m.Megabytes[0] * Pages1M),
                (ZoneType.Normal, m.Megabytes[1] * Pages1M),
                (ZoneType.Movable, m.Megabytes[2] * Pages1M));
            ReserveFigures figures = ReserveCalculator.Compute(layout, With(layout, ("min_free_kbytes", $"{m.Kbytes}"), ("watermark_scale_factor", $"{m.Scale}")));
            long shares = figures.Zones.Sum(z => z.Min);
            long pages = m.Kbytes / 4;
            return shares <= pages && shares > pages - figures.Zones.Length
                && figures.Zones.All(z => 0 <= z.Min && z.Min <= z.Low && z.Low <= z.High && z.High <= z.Promo)
                && figures.Zones.All(z => z.High - z.Low == z.Low - z.Min)
                && figures.Zones.All(z => z.LowmemReserve.Zip(z.LowmemReserve.Skip(1)).All(p => p.First <= p.Second))
                && figures.Zones.Where((_, i) => layout.Zones[i].IsPopulated).All(z => z.PcpHighMin >= 4 * z.PcpBatch && z.StatThreshold is >= 2 and <= 125)
                && figures.Zones.Select((z, i) => Math.Min(z.LowmemReserve.Skip(layout.IndexOf(layout.Zones[i].Type)).Max() + z.High, layout.Zones[i].ManagedPages)).SequenceEqual(figures.Zones.Select(z => z.TotalReservePages))
                && figures.TotalReservePages == figures.Zones.Sum(z => z.TotalReservePages)
                && figures.TotalReservePages <= layout.TotalManagedPages;
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(300).WithReplay(2026, 1));
    }
}
