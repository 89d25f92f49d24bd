using System.Globalization;
using FluentAssertions;
using MemSim.Captures;
using MemSim.Oracle.Tests.Boot;
using MemSim.Oracle.Tests.Figures;
using Xunit;

namespace MemSim.Oracle.Tests.Hotplug;

/// <summary>What kernels did when their memory blocks were taken offline and brought back: which were refused, and every figure of every zone after each step.</summary>
public sealed class RecordedBlocksTests(CaptureArchive captures) : IClassFixture<CaptureArchive>
{
    [Theory]
    [InlineData("amd64-1G-runtime", 7, 6)]
    [InlineData("amd64-4G-runtime", 39, 38)]
    public void The_highest_block_that_lets_itself_be_taken_offline_goes_and_comes_back_as_recorded(string name, int refused, int block)
    {
        using Machine machine = Machine.Boot(RecordedBoot.Named($"captures/{name}").FromFirmware());
        MemoryHotplug memory = machine.Hotplug.Memory;
        machine.Sysctl.Set("vm.min_free_kbytes", CapturedMachine.Read(captures.Folder(name)).Sysctls.Get("min_free_kbytes"));
        _ = machine.Sysctl.Get("vm.lowmem_reserve_ratio");
        CompareWith(machine, name, $"memblock{block}-before");

        memory.Offline(refused).Should().NotBe(Errno.None);
        CompareWith(machine, name, $"memblock{refused}-offline");
        memory.Offline(block).Should().Be(Errno.None);
        CompareWith(machine, name, $"memblock{block}-offline");
        memory.Online(block, MemoryOnlineType.Movable).Should().Be(Errno.None);
        CompareWith(machine, name, $"memblock{block}-then-online_movable");
        memory.Offline(block).Should().Be(Errno.None);
        CompareWith(machine, name, $"memblock{block}-then-offline");
        memory.Online(block, MemoryOnlineType.Kernel).Should().Be(Errno.None);
        CompareWith(machine, name, $"memblock{block}-then-online_kernel");
    }

    [Theory]
    [InlineData("amd64-256M-runtime")]
    [InlineData("amd64k618-256M-runtime")]
    [InlineData("amd64k70-256M-runtime")]
    [InlineData("amd64k73-256M-runtime")]
    public void Blocks_with_holes_and_of_several_zones_stay(string name)
    {
        using Machine machine = Machine.Boot(RecordedBoot.Named($"captures/{name}").FromFirmware());

        machine.Hotplug.Memory.Blocks.Select(b => b.ValidZones).Should().Equal("none", "DMA32");
        machine.Hotplug.Memory.Offline(0).Should().Be(Errno.EINVAL);
        machine.Hotplug.Memory.Offline(1).Should().Be(Errno.EINVAL);
        machine.Verify();
    }

    private void CompareWith(Machine machine, string name, string step)
    {
        machine.Verify();
        string folder = Path.Combine(captures.Folder(name), "runtime", step);
        ZoneInfoFile recorded = ZoneInfoFile.Read(Path.Combine(folder, "zoneinfo"));
        List<string> wrong = [];
        foreach (ZoneInfoZone kernel in recorded.Zones)
        {
            Zone zone = machine.GetNode(kernel.Node).GetZone(kernel.Type);
            Compare("start", kernel.Spanned == 0 ? null : kernel.StartPfn, zone.StartPfn.Value);
            Compare("spanned", kernel.Spanned, zone.SpannedPages);
            Compare("present", kernel.Present, zone.PresentPages);
            Compare("managed", kernel.Managed, zone.ManagedPages);
            Compare("min", kernel.Min, zone.GetWatermark(Watermark.Min));
            Compare("low", kernel.Low, zone.GetWatermark(Watermark.Low));
            Compare("high", kernel.High, zone.GetWatermark(Watermark.High));
            for (int i = 0; i < (kernel.Protection?.Length ?? 0); i++)
            {
                Compare($"protection[{i}]", kernel.Protection![i], zone.LowmemReserve[i]);
            }

            foreach (ZoneInfoPageset pageset in kernel.Pagesets)
            {
                PagesetInfo info = zone.Pageset(pageset.Cpu);
                Compare($"pcp {pageset.Cpu} high", pageset.High, info.High);
                Compare($"pcp {pageset.Cpu} batch", pageset.Batch, info.Batch);
                Compare($"pcp {pageset.Cpu} threshold", pageset.StatThreshold, info.StatThreshold);
            }

            void Compare(string figure, long? expected, long found)
            {
                if (expected is not null && expected != found)
                {
                    wrong.Add(string.Create(CultureInfo.InvariantCulture, $"{zone} {figure}: the kernel has {expected}, MemSim {found}"));
                }
            }
        }

        wrong.Should().BeEmpty(step);
        string zones = Path.Combine(folder, "valid_zones");
        if (File.Exists(zones))
        {
            int block = int.Parse(step["memblock".Length..step.IndexOf('-', StringComparison.Ordinal)], CultureInfo.InvariantCulture);
            machine.Hotplug.Memory.Find(block)!.Value.ValidZones.Should().Be(File.ReadAllText(zones).Trim(), step);
        }
    }
}
