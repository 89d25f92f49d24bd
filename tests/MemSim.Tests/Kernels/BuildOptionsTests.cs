using FluentAssertions;
using MemSim.Kernels;
using Xunit;

namespace MemSim.Tests.Kernels;

/// <summary>Kernels that were built without an option lack its rows, and so do their twins.</summary>
public sealed class BuildOptionsTests
{
    [Fact]
    public void A_kernel_built_without_options_lacks_their_rows_and_settings()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M").WithPersonality(KernelLines.Linux6_18.WithoutOptions("CONFIG_UNACCEPTED_MEMORY", "MEMORY_FAILURE")));

        machine.Personality.Views.AbsentRows.Should().Equal("HardwareCorrupted", "Unaccepted", "nr_unaccepted");
        machine.Personality.Views.AbsentSysctls.Should().Contain("memory_failure_recovery");
        machine.Proc.MemInfo.Should().NotContain("HardwareCorrupted").And.NotContain("Unaccepted").And.Contain("\nPercpu:").And.Contain("\nAnonHugePages:");
        machine.Proc.VmStat.Should().NotContain("nr_unaccepted").And.Contain("\nnr_free_cma ");
        machine.Proc.ZoneInfo.Should().NotContain("nr_unaccepted");
        machine.Proc.NodeMemInfo(0).Should().NotContain("Unaccepted");
        machine.Proc.NodeVmStat(0).Should().NotContain("nr_unaccepted");
        machine.Proc.ShowMem().Should().NotContain("hwpoisoned");
        FluentActions.Invoking(() => machine.Sysctl.Set("vm.memory_failure_recovery", "0")).Should().Throw<ArgumentException>().WithMessage("*built without*");
    }

    [Fact]
    public void An_option_that_no_row_is_known_to_depend_on_is_refused_with_those_that_are_known() =>
        FluentActions.Invoking(() => KernelLines.Linux6_18.WithoutOptions("CONFIG_NOSUCH")).Should().Throw<ArgumentException>().WithMessage("*CONFIG_NOSUCH*CONFIG_UNACCEPTED_MEMORY*");

    [Theory]
    [InlineData("6.18", "UNACCEPTED_MEMORY", "MEMORY_FAILURE")]
    [InlineData("6.1", "ZSWAP", "KSM", "COMPACTION")]
    [InlineData("7.3", "TRANSPARENT_HUGEPAGE", "NUMA_BALANCING", "SWAP", "IOMMU_SUPPORT", "HUGETLB_PAGE")]
    [InlineData("6.12", "MEMORY_BALLOON", "BALLOON_COMPACTION", "MIGRATION", "ZSMALLOC")]
    [InlineData("7.0")]
    public void The_twin_of_a_machine_prints_the_rows_that_the_machine_has(string kernel, params string[] options)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("512M").WithPersonality(KernelPersonality.Parse(kernel).WithoutOptions(options)));
        string folder = Directory.CreateTempSubdirectory("memsim-rows-").FullName;
        try
        {
            File.WriteAllText(Path.Combine(folder, "version"), $"Linux version {kernel}.7");
            File.WriteAllText(Path.Combine(folder, "zoneinfo"), machine.Proc.ZoneInfo);
            File.WriteAllText(Path.Combine(folder, "vmstat"), machine.Proc.VmStat);
            File.WriteAllText(Path.Combine(folder, "meminfo"), machine.Proc.MemInfo);
            using Machine twin = Machine.Boot(MachineSpec.FromProc(folder));

            Rows(twin.Proc.VmStat).Should().Equal(Rows(machine.Proc.VmStat));
            Rows(twin.Proc.MemInfo).Should().Equal(Rows(machine.Proc.MemInfo));
            Rows(twin.Proc.ZoneInfo).Should().Equal(Rows(machine.Proc.ZoneInfo));

            using Machine other = Machine.Boot(MachineSpec.FromProc(folder).WithKernel("7.3"));
            other.Personality.Views.AbsentRows.Should().Equal(machine.Personality.Views.AbsentRows, "the build stays when the rules are another kernel's");
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void Where_zoneinfo_alone_was_read_it_tells_of_what_it_has_rows_for()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("512M").WithPersonality(KernelLines.Linux6_18.WithoutOptions("UNACCEPTED_MEMORY", "MEMORY_FAILURE")));
        string folder = Directory.CreateTempSubdirectory("memsim-rows-").FullName;
        try
        {
            File.WriteAllText(Path.Combine(folder, "version"), "Linux version 6.18.7");
            File.WriteAllText(Path.Combine(folder, "zoneinfo"), machine.Proc.ZoneInfo);
            using Machine twin = Machine.Boot(MachineSpec.FromProc(folder));

            twin.Proc.MemInfo.Should().NotContain("Unaccepted", "nr_unaccepted is not in zoneinfo either").And.Contain("HardwareCorrupted", "no file tells");
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void A_snapshot_file_keeps_the_options_that_the_kernel_was_built_without()
    {
        string path = Path.GetTempFileName();
        try
        {
            using Machine machine = Machine.Boot(MachineSpec.X86_64("256M").WithPersonality(KernelLines.Linux6_18.WithoutOptions("MEMORY_FAILURE", "UNACCEPTED_MEMORY")));
            machine.Snapshot().Save(path);

            using Machine copy = MachineSnapshot.Load(path).Boot();

            copy.Personality.Views.AbsentRows.Should().Equal(machine.Personality.Views.AbsentRows);
            copy.Proc.VmStat.Should().Be(machine.Proc.VmStat);
            copy.Proc.MemInfo.Should().Be(machine.Proc.MemInfo);
        }
        finally
        {
            File.Delete(path);
        }
    }

    private static string[] Rows(string text) => [.. text.Split('\n').Select(line => line.TrimStart().Split([' ', ':'])[0])];
}
