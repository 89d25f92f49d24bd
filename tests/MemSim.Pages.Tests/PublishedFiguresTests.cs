using FluentAssertions;
using MemSim.Boot;
using Xunit;

namespace MemSim.Pages.Tests;

/// <summary>Figures that real kernels with such pages printed into reports that people published; not for pages of 8 KiB, which no such kernel has.</summary>
public sealed class PublishedFiguresTests
{
    public static TheoryData<string, string, long, long, long, long> Zones => PageGeometry.PageShift switch
    {
        // A Raspberry Pi 5 with the distribution's kernel of 6.12, memory as eight nodes: github.com/raspberrypi/linux/issues/7085 (node 4; node 3 without its boost of 32768kB).
        14 => new()
        {
            { "pi5 node 4", "6.12", 1044464, 2064, 3104, 4144 },
            { "pi5 node 3", "6.12", 978928, 34704 - 32768, 35680 - 32768, 36656 - 32768 },
        },

        // A server with eight nodes and a kernel before 4.6: github.com/openzfs/zfs/issues/9814 (node 3); an APM machine with 3.19: 33-arm64-64k-reserve-types of tests/MemSim.Reports.Tests.
        _ => new()
        {
            { "8 nodes, node 3", "4.4", 16760512, 284096, 355072, 426112 },
            { "3.19 DMA", "3.19", 2073536, 4032, 4992, 6016 },
            { "3.19 Normal", "3.19", 14675968, 28416, 35520, 42624 },
        },
    };

    [Theory]
    [MemberData(nameof(Zones))]
    public void Low_and_high_watermarks_lie_as_far_from_min_as_a_real_kernel_has_them(string what, string kernel, long managedKib, long min, long low, long high)
    {
        long pages = managedKib / Shape.Here.Kib;
        MachineSpec spec = MachineSpec.FromZones(Architecture.Arm64, [new BootZone(0, ZoneType.Normal, new Pfn(1 << 18), pages, pages, pages)]).WithKernel(kernel);
        using Machine machine = Machine.Boot(spec.WithSysctl("vm.min_free_kbytes", min.ToString(System.Globalization.CultureInfo.InvariantCulture)));
        Zone zone = machine.Zones.Single(z => z.IsPopulated);

        (zone.GetWatermark(Watermark.Min) * Shape.Here.Kib, zone.GetWatermark(Watermark.Low) * Shape.Here.Kib, zone.GetWatermark(Watermark.High) * Shape.Here.Kib).Should().Be((min, low, high), what);
    }

    [Fact]
    public void A_boost_is_a_page_block()
    {
        using Machine machine = Shape.Boot(commandLine: "transparent_hugepage=never");
        Cpu cpu = machine.Cpus[0];
        machine.Background.Mode = BackgroundWork.Manual;
        machine.Reclaim.Enable();
        MovablePool pool = machine.Migration.CreateMovablePool();
        while (pool.Allocate(cpu, Gfp.HighUser | Gfp.Movable | Gfp.NoWarn) >= 0 && machine.Zones.Any(z => z.TrueFreePages > z.MarkHigh * 2))
        {
        }

        for (int i = pool.Count - 1; i >= 0; i -= 2)
        {
            pool.Free(cpu, i);
        }

        Zone zone = machine.Zones.MaxBy(z => z.ManagedPages)!;
        for (int i = 0; i < 50_000 && machine.Zones.All(z => z.Boost == 0); i++)
        {
            _ = cpu.AllocPage(Gfp.Kernel);
        }

        machine.Zones.Where(z => z.Boost != 0).Should().NotBeEmpty().And.OnlyContain(z => z.Boost % (1 << Shape.Here.HugeOrder) == 0, "a Raspberry Pi 5 reports boost:32768kB, a page block of 16 KiB pages");
    }
}
