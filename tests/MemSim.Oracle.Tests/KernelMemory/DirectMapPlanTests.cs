using System.Globalization;
using System.IO.Compression;
using FluentAssertions;
using MemSim.KernelMemory;
using Xunit;

namespace MemSim.Oracle.Tests.KernelMemory;

/// <summary>How much real x86 kernels counted as mapped, against mapping the memory of their boot logs.</summary>
public class DirectMapPlanTests
{
    [Fact]
    public void The_direct_map_of_every_captured_x86_machine_adds_up_to_what_its_kernel_counted()
    {
        int machines = 0;
        using StreamReader reader = new(new GZipStream(File.OpenRead(Path.Combine(AppContext.BaseDirectory, "Data", "mmu", "directmap.tsv.gz")), CompressionMode.Decompress));
        while (reader.ReadLine() is { } line)
        {
            if (line.StartsWith('#'))
            {
                continue;
            }

            string[] fields = line.Split('\t');
            Architecture architecture = fields[1] switch { "x86_64" => Architecture.X86_64, "x86_32" => Architecture.X86_32, _ => Architecture.X86_32Pae };
            ulong low = fields[2] == "-" ? ulong.MaxValue : Hex(fields[2]);
            IEnumerable<(ulong, ulong)> memory = fields[4].Split(',').Select(r => (Hex(r.Split('-')[0]), Hex(r.Split('-')[1])));

            DirectMapPlan plan = DirectMapPlan.Make(architecture, memory, low, fields[3] == "1");

            plan.TotalKiB.Should().Be(long.Parse(fields[5], CultureInfo.InvariantCulture), fields[0]);
            machines++;
        }

        machines.Should().BeGreaterThan(50);
    }

    private static ulong Hex(string text) => ulong.Parse(text, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
}
