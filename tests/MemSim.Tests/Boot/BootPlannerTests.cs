using System.Diagnostics;
using FluentAssertions;
using MemSim.Boot;
using MemSim.PageAllocation;
using Xunit;

namespace MemSim.Tests.Boot;

public class BootPlannerTests
{
    public static TheoryData<Architecture, string, string> Machines => new()
    {
        { Architecture.X86_64, "2G", "" },
        { Architecture.X86_64, "6G", "movablecore=30%" },
        { Architecture.X86_64, "4G", "numa=fake=4 crashkernel=128M" },
        { Architecture.X86_64, "8G", "kernelcore=50% memmap=64M$256M" },
        { Architecture.X86_32, "2G", "movablecore=512M" },
        { Architecture.X86_32, "512M", "highmem=256M" },
        { Architecture.X86_32Pae, "6G", "vmalloc=256M" },
        { Architecture.Arm64, "6G", "cma=128M kernelcore=2G" },
        { Architecture.Arm64, "2G", "mem=1G" },
    };

    [Theory]
    [MemberData(nameof(Machines))]
    public void Every_managed_page_is_released_once_within_its_zone(Architecture architecture, string memory, string commandLine)
    {
        BootPlan plan = BootPlanner.Plan(MachineSpec.Preset(architecture, memory, cpus: 2).WithInitrd("3M").WithCommandLine(commandLine));
        List<(long Start, long End)> blocks = [];
        Dictionary<BootZone, long> pages = [];
        foreach ((ReleaseRange range, Pfn start, int order) in plan.EnumerateBlocks())
        {
            (start.Value & ((1L << order) - 1)).Should().Be(0);
            (start.Value >= range.Zone.Start.Value && start.Value + (1L << order) <= range.Zone.End.Value).Should().BeTrue();
            blocks.Add((start.Value, start.Value + (1L << order)));
            pages[range.Zone] = pages.GetValueOrDefault(range.Zone) + (1L << order);
        }

        blocks.Sort();
        blocks.Zip(blocks.Skip(1)).Should().NotContain(pair => pair.First.End > pair.Second.Start);
        foreach (BootZone zone in plan.Zones)
        {
            pages.GetValueOrDefault(zone).Should().Be(zone.ManagedPages);
            zone.ManagedPages.Should().BeLessThanOrEqualTo(zone.PresentPages);
        }

        plan.Memblock.Verify();
    }

    [Fact]
    public void A_machine_of_a_tebibyte_is_planned_without_work_per_page()
    {
        BootPlanner.Plan(MachineSpec.X86_64("1T", cpus: 64));
        Stopwatch clock = Stopwatch.StartNew();
        BootPlan plan = BootPlanner.Plan(MachineSpec.X86_64("1T", cpus: 64));
        clock.Elapsed.Should().BeLessThan(TimeSpan.FromMilliseconds(250));
        plan.Releases.Count.Should().BeLessThan(300);
        plan.Zones.Sum(zone => zone.PresentPages).Should().BeGreaterThan(268_000_000);
        plan.EnumerateBlocks().First().Start.Should().Be(new Pfn(0x100));
    }

    [Fact]
    public void Numa_fake_cuts_memory_into_nodes_of_whole_32_MiB_that_share_the_cpus()
    {
        BootPlan plan = BootPlanner.Plan(MachineSpec.X86_64("2G", cpus: 2).WithCommandLine("numa=fake=4"));
        plan.Nodes.Should().HaveCount(4);
        plan.Nodes.Skip(1).Should().OnlyContain(node => node.Start.Value % 8192 == 0 && node.PresentPages > 0);
        plan.Nodes.Should().OnlyContain(node => node.Cpus.SequenceEqual(new[] { 0, 1 }));
        plan.Nodes[2].NodeOrder.Should().HaveCount(4).And.StartWith(2);
    }

    [Fact]
    public void Numa_fake_cuts_each_node_on_its_own()
    {
        BootPlan plan = BootPlanner.Plan(MachineSpec.X86_64("2G", cpus: 2).WithNodes("1G", "1G").WithCommandLine("numa=fake=4"));
        plan.Nodes.Select(node => node.Start).Should().Equal(new Pfn(1), new Pfn(0x40000), new Pfn(0x20000), new Pfn(0x60000));
        plan.Nodes.Select(node => node.Cpus[0]).Should().Equal(0, 1, 0, 1);
        plan.Nodes[0].NodeOrder.Should().Equal(0, 2, 1, 3);
    }

    [Fact]
    public void A_node_without_memory_uses_the_memory_of_the_others()
    {
        BootPlan plan = BootPlanner.Plan(MachineSpec.X86_64("6G", cpus: 3).WithNodes("3G", "3G", "0"));
        plan.Nodes[2].PresentPages.Should().Be(0);
        plan.Nodes[2].NodeOrder.Should().Equal(2, 0, 1);
        plan.Nodes[2].FallbackZonelist.Select(zone => (zone.Node, zone.Type)).Should().Equal((0, ZoneType.Dma32), (0, ZoneType.Dma), (1, ZoneType.Normal));
        plan.BootLog.Should().Contain("Initmem setup node 2 as memoryless").And.Contain(line => line.StartsWith("Built 3 zonelists", StringComparison.Ordinal));
    }

    [Fact]
    public void Cpus_beyond_nr_cpus_do_not_exist()
    {
        BootPlan plan = BootPlanner.Plan(MachineSpec.X86_64("2G", cpus: 8).WithNodes("1G", "1G").WithCommandLine("nr_cpus=5 maxcpus=2"));
        (plan.PossibleCpus, plan.OnlineCpus).Should().Be((5, 2));
        plan.Nodes[1].Cpus.Should().Equal(4);
    }

    [Fact]
    public void Mem_is_an_address_on_x86_and_an_amount_on_arm64()
    {
        BootPlanner.Plan(MachineSpec.X86_64("8G").WithCommandLine("mem=5G")).Zones[^1].End.Should().Be(new Pfn(5L << 18));
        BootPlanner.Plan(MachineSpec.Arm64("8G").WithCommandLine("mem=5G")).Zones[^1].End.Should().Be(new Pfn((1L << 18) + (5L << 18)));
    }

    [Fact]
    public void Given_zones_have_their_holes_and_reserved_pages_at_the_start()
    {
        BootZone dma = new(0, ZoneType.Dma, new Pfn(1), 4095, 3998, 3840);
        BootZone dma32 = new(0, ZoneType.Dma32, new Pfn(4096), 520160, 520160, 499760);
        BootPlan plan = BootPlanner.Plan(MachineSpec.FromZones(Architecture.X86_64, [dma32, dma], cpus: 2));

        plan.Zones.Select(zone => (zone.Type, zone.SpannedPages, zone.PresentPages, zone.ManagedPages)).Should().Equal((ZoneType.Dma, 4095, 3998, 3840), (ZoneType.Dma32, 520160, 520160, 499760));
        plan.Releases.Select(range => (range.Start.Value, range.Pages)).Should().Equal((256, 3840), (4096 + 20400, 499760));
        plan.Nodes[0].FallbackZonelist.Select(zone => zone.Type).Should().Equal(ZoneType.Dma32, ZoneType.Dma);
    }

    [Fact]
    public void Given_zones_may_say_where_their_holes_are()
    {
        BootZone zone = new(0, ZoneType.Normal, new Pfn(1 << 20), 8192, 4096, 4000)
        {
            Holes = [new PfnRange(new Pfn((1 << 20) + 2048), 4096)],
            ReservedRanges = [new PfnRange(new Pfn((1 << 20) + 1000), 96)],
        };
        BootPlan plan = BootPlanner.Plan(MachineSpec.FromZones(Architecture.X86_64, [zone]));
        plan.Releases.Select(range => (range.Start.Value - (1 << 20), range.Pages)).Should().Equal((0, 1000), (1096, 952), (6144, 2048));
    }

    [Fact]
    public void Machines_that_cannot_be_are_refused_with_the_offending_value()
    {
        Refused(() => MachineSpec.X86_64("0"), "*0 (0 bytes)*");
        Refused(() => MachineSpec.X86_64(new ByteSize(1000000)), "*1000000 bytes*whole pages*");
        Refused(() => MachineSpec.X86_32("5G"), "*5G*at most 4G*");
        Refused(() => MachineSpec.X86_32Pae("65G"), "*65G*at most 64G*");
        Refused(() => MachineSpec.X86_64("65T"), "*at most 65536G*");
        Refused(() => MachineSpec.X86_64("1G", cpus: 8193), "*8193 CPUs*1 to 8192*");
        Refused(() => Plan(MachineSpec.X86_64("32M")), "*kernel image*");
        Refused(() => Plan(MachineSpec.X86_64("2G").WithCommandLine("kernelcore=3G")), "*kernelcore=3G*");
        Refused(() => Plan(MachineSpec.X86_64("2G").WithCommandLine("mem=1M")), "*kernel image*");
        Refused(() => Plan(MachineSpec.X86_64("2G").WithCommandLine("memmap=exactmap")), "*exactmap*");
        Refused(() => Plan(MachineSpec.X86_64("2G").WithCommandLine("numa=fake=1000")), "*1000 nodes*");
        Refused(() => Plan(MachineSpec.X86_64("2G").WithCommandLine("crashkernel=4G")), "*crashkernel=4G*");
        Refused(() => Plan(MachineSpec.Arm64("2G").WithCommandLine("cma=64M@16M")), "*cma=64M@16M*");
        Refused(() => Plan(MachineSpec.Arm64("2G").WithCommandLine("cma=4G")), "*cma=4G*");
        Refused(() => Plan(MachineSpec.X86_32("2G").WithCommandLine("vmalloc=1000M")), "*vmalloc=1000M*");
        Refused(() => MachineSpec.X86_64("2G").WithNodes("1G", "2G"), "*larger*");
        Refused(() => Plan(MachineSpec.X86_32("2G").WithNodes("1G", "1G")), "*no NUMA*");
        Refused(() => Plan(MachineSpec.X86_64("2G").WithNodes(NumaTopology.Of(new NumaNode(0, 0, "1G", 0)))), "*0x40000000*no node*");
        Refused(() => MachineSpec.FromZones(Architecture.X86_64, [new BootZone(0, ZoneType.HighMem, new Pfn(0), 10, 10, 10)]), "*no such zone*");
        Refused(() => MachineSpec.FromZones(Architecture.X86_64, [new BootZone(0, ZoneType.Dma, new Pfn(0), 10, 11, 10)]), "*contradict*");
        Refused(() => MachineSpec.FromZones(Architecture.X86_64, []), "*at least one zone*");
    }

    [Fact]
    public void Specs_are_immutable_and_keep_what_other_subsystems_want()
    {
        MachineSpec plain = MachineSpec.X86_64("1G");
        MachineSpec changed = plain.WithoutContents().WithParallelCpus().WithPageOwner().WithSysctl("vm.min_free_kbytes", "8192").WithCommandLine("sysctl.vm.swappiness=10");

        (plain.HasContents, plain.ParallelCpus, plain.PageOwner, plain.Sysctls.Count).Should().Be((true, false, false, 0));
        (changed.HasContents, changed.ParallelCpus, changed.PageOwner).Should().Be((false, true, true));
        changed.Sysctls.Should().Equal(("swappiness", "10"), ("min_free_kbytes", "8192"));
    }

    [Theory]
    [InlineData(1, 4096, 13)]
    [InlineData(0x100, 0x1000, 5)]
    [InlineData(0, 3072, 3)]
    [InlineData(1023, 1026, 2)]
    public void Ranges_split_into_largest_aligned_blocks(long start, long end, int count)
    {
        List<(Pfn Start, int Order)> blocks = [.. ReleaseRange.SplitIntoBlocks(new Pfn(start), new Pfn(end))];
        blocks.Should().HaveCount(count);
        blocks.Sum(block => 1L << block.Order).Should().Be(end - start);
    }

    [Fact]
    public void Allocation_never_overlaps_the_kernel_image()
    {
        BootPlan plan = BootPlanner.Plan(MachineSpec.X86_64("128M"));
        plan.EarlyAllocations.Should().Contain(allocation => allocation.What == "memory map" && allocation.Start >= 0x441_1000);
        plan.Memblock.FreeRanges().Should().NotContain(range => range.Start < 0x441_1000 && range.End > 0x100_0000);
        plan.EarlyAllocations.Should().NotContain(allocation => allocation.Node < Memblock.AnyNode);
    }

    private static void Plan(MachineSpec spec) => BootPlanner.Plan(spec);

    private static void Refused(Action action, string message) => action.Should().Throw<ArgumentException>().WithMessage(message);
}
