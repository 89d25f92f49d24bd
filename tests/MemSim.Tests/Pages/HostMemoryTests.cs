using System.Globalization;
using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Pages;

/// <summary>Alone: what the process takes of the host is measured.</summary>
[CollectionDefinition(nameof(HostMemoryTests), DisableParallelization = true)]
public sealed class HostMemoryCollection;

/// <summary>What a large machine takes of the host's memory.</summary>
[Collection(nameof(HostMemoryTests))]
public sealed class HostMemoryTests
{
    [Fact]
    public void A_terabyte_boots_and_is_verified_within_64_MiB_of_host_memory()
    {
        long before = ResidentBytes();
        using Machine machine = Machine.Boot(MachineSpec.X86_64("1T", cpus: 2).WithoutContents());
        machine.Verify();
        machine.Frames.Untouched.Count.Should().BeGreaterThan(257_000);
        (ResidentBytes() - before).Should().BeLessThan(64 << 20);
    }

    private static long ResidentBytes() => OperatingSystem.IsLinux() ? long.Parse(File.ReadAllText("/proc/self/statm").Split(' ')[1], CultureInfo.InvariantCulture) * Environment.SystemPageSize : 0;
}
