using FluentAssertions;
using MemSim.Recordings;
using Xunit;

namespace MemSim.Oracle.Tests.KernelMemory;

public class VmallocReplayTests
{
    private static readonly string Data = Path.Combine(AppContext.BaseDirectory, "Data", "vmalloc");

    public static TheoryData<string> Recordings => [.. Directory.GetDirectories(Data).Select(d => Path.GetFileName(d)!).Order()];

    [Theory]
    [MemberData(nameof(Recordings))]
    public void Every_address_is_the_one_the_kernel_gave(string recording)
    {
        string directory = Path.Combine(Data, recording);

        VmallocReplay.IsData(directory).Should().BeTrue();
        ReplayResult result = VmallocReplay.Run(directory);

        result.Mismatches.Should().BeEmpty();
        result.IsExact.Should().BeTrue();
        result.Counts.Single(c => c.Kind == "address").Total.Should().BeGreaterThan(1000);
        result.Total.Should().BeGreaterThan(8000);
    }
}
