using FluentAssertions;
using MemSim.Boot;
using Xunit;

namespace MemSim.Pages.Tests;

/// <summary>Machines with these pages boot, large and small, with every kernel line.</summary>
public sealed class BootTests
{
    [Theory]
    [InlineData("64M")]
    [InlineData("256M")]
    [InlineData("1G")]
    [InlineData("8G")]
    [InlineData("64G")]
    public void Machines_boot_and_every_invariant_holds(string memory)
    {
        using Machine machine = Machine.Boot(MachineSpec.Arm64(memory, cpus: 4));

        machine.Verify();
        Page page = machine.Cpus[0].AllocPages(Gfp.Kernel, order: 1);
        page.IsNull.Should().BeFalse();
        machine.Cpus[0].FreePages(page, order: 1);
        machine.Verify();
    }

    [Theory]
    [InlineData("6.1")]
    [InlineData("6.12")]
    [InlineData("6.18")]
    [InlineData("7.0")]
    [InlineData("7.3")]
    public void Every_kernel_line_boots(string kernel)
    {
        using Machine machine = Machine.Boot(MachineSpec.Arm64("2G", cpus: 2).WithKernel(kernel));
        Cpu cpu = machine.Cpus[0];
        VirtualAddress obj = cpu.Kmalloc(3000, Gfp.Kernel);
        machine.CreateProcess("init").Exit();
        cpu.Kfree(obj);

        machine.Verify();
    }

    [Fact]
    public void The_boot_log_counts_kib()
    {
        BootPlan plan = BootPlanner.Plan(MachineSpec.Arm64("2G"));

        plan.BootLog.Should().ContainSingle(line => line.StartsWith("Memory: ", StringComparison.Ordinal)).Which.Should().Contain("/2097152K available");
        plan.Zones.Sum(zone => zone.PresentPages).Should().Be((2L << 30) / PageGeometry.PageSize);
    }

    [Fact]
    public void The_order_of_the_largest_block_is_that_of_a_huge_page()
    {
        using Machine machine = Machine.Boot(MachineSpec.Arm64("4G"));
        Cpu cpu = machine.Cpus[0];

        Page block = cpu.AllocPages(Gfp.Kernel | Gfp.Comp, Shape.Here.HugeOrder);

        (block.PhysicalAddress.Value % (ulong)Shape.Here.HugeBytes).Should().Be(0);
        cpu.FreePages(block, Shape.Here.HugeOrder);
        cpu.Invoking(c => c.AllocPages(Gfp.Kernel | Gfp.NoWarn, Shape.Here.HugeOrder + 1).IsNull.Should().BeTrue()).Should().NotThrow();
        machine.Verify();
    }

    [Fact]
    public void Pc_architectures_are_refused_with_a_word()
    {
        Action boot = () => MachineSpec.X86_64("256M");

        boot.Should().Throw<ArgumentException>().WithMessage($"x86_64 has pages of 4 KiB*this one has pages of {PageGeometry.PageSize >> 10} KiB*");
    }
}
