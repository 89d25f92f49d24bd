using FluentAssertions;
using MemSim.Boot;
using Xunit;

namespace MemSim.Tests.Boot;

/// <summary>What the memory map costs by memory model: who gives memory for descriptors of frames, and how much.</summary>
public class MemoryModelTests
{
    private const long Section = 128 << 20;
    private const long StructPage = 64;

    [Fact]
    public void Sections_without_a_virtual_map_need_no_page_tables_for_it()
    {
        BootPlan usual = BootPlanner.Plan(MachineSpec.X86_64("2G"));
        BootPlan classic = BootPlanner.Plan(MachineSpec.X86_64("2G").WithMemoryModel(MemoryModel.Sparse));
        Bytes(classic, "memory map").Should().Be(2048L / 128 * (Section / 4096) * StructPage).And.Be(Bytes(usual, "memory map"));
        Bytes(usual, "memory map page tables").Should().BePositive();
        Bytes(classic, "memory map page tables").Should().Be(0);
    }

    [Fact]
    public void A_hole_costs_descriptors_in_one_array_and_in_that_of_its_node_but_not_in_sections()
    {
        // 6 GiB: a hole of 1 GiB below 4 GiB, and two nodes, the second wholly above it.
        Dictionary<MemoryModel, MemoryMapCost> costs = [];
        foreach (MemoryModel model in Enum.GetValues<MemoryModel>())
        {
            using Machine machine = Machine.Boot(MachineSpec.X86_64("6G").WithNodes("4G", "2G").WithMemoryModel(model).WithoutContents());
            costs[model] = machine.Memory.MapCost;
            machine.Memory.Model.Should().Be(model);
            machine.Memory.MapCost.KernelBytes.Should().BeInRange(Bytes(machine.BootPlan!, "memory map") - (4 * 1024 * StructPage), Bytes(machine.BootPlan!, "memory map"), "the boot gave memory for as much, up to whole blocks at both ends, {0}", model);
            machine.Cpus[0].FreePage(machine.Cpus[0].AllocPage(Gfp.Kernel));
            machine.Verify();
        }

        costs[MemoryModel.Sparse].KernelBytes.Should().Be(6L << 30 >> 12 << 6);
        costs[MemoryModel.SparseVmemmap].Should().BeEquivalentTo(costs[MemoryModel.Sparse] with { Model = MemoryModel.SparseVmemmap });
        costs[MemoryModel.Flat].KernelBytes.Should().BeGreaterThan(costs[MemoryModel.Sparse].KernelBytes + ((900L << 20 >> 12) * StructPage), "the hole has descriptors");
        costs[MemoryModel.Discontiguous].KernelSections.Should().Be(0);
    }

    [Fact]
    public void Nodes_with_a_hole_between_them_have_arrays_that_end_where_they_end()
    {
        // The hole below 4 GiB lies between the nodes.
        using Machine flat = Machine.Boot(Two(MemoryModel.Flat));
        using Machine nodes = Machine.Boot(Two(MemoryModel.Discontiguous));
        (flat.Memory.MapCost.KernelBytes - nodes.Memory.MapCost.KernelBytes).Should().BeGreaterThan((900L << 20 >> 12) * StructPage);
        nodes.Verify();

        static MachineSpec Two(MemoryModel model) => MachineSpec.X86_64("6G").WithNodes("3G", "3G").WithMemoryModel(model).WithoutContents();
    }

    [Fact]
    public void Kernels_of_32_bits_have_no_sections()
    {
        FluentActions.Invoking(() => MachineSpec.X86_32("1G").WithMemoryModel(MemoryModel.Sparse)).Should().Throw<ArgumentException>().WithMessage("*no sections*");
        using Machine machine = Machine.Boot(MachineSpec.X86_32("1G").WithMemoryModel(MemoryModel.Discontiguous));
        machine.Memory.MapCost.KernelTableBytes.Should().Be(0);
        machine.Verify();
    }

    private static long Bytes(BootPlan plan, string what) => plan.EarlyAllocations.Where(a => a.What == what).Sum(a => (long)a.Length);
}
