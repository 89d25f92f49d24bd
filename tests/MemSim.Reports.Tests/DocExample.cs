using FluentAssertions;
using Xunit;

namespace MemSim.Reports.Tests;

/// <summary>The example of docs/explain.md, run as it stands there.</summary>
public sealed class DocExample
{
    [Fact]
    public void The_example_with_a_machine_made_of_a_report_does_what_it_says()
    {
        string log = Logs.Field("29");

        // example
        KernelReport report = KernelLog.Read(log)[0];                       // order 5, GFP_KERNEL, fragmented
        using Machine machine = Machine.Boot(MachineSpec.FromReport(report));
        Cpu cpu = machine.Cpus[0];
        bool asked = !cpu.AllocPages(Gfp.Kernel, order: 5).IsNull;          // false, as in the log
        bool smaller = !cpu.AllocPages(Gfp.Kernel, order: 4).IsNull;        // true: what explain says would have saved it
        // end of example

        asked.Should().BeFalse();
        smaller.Should().BeTrue();
        machine.Warnings.Should().NotBeEmpty();
    }

    [Fact]
    public void The_document_has_the_example_as_it_was_run()
    {
        string source = File.ReadAllText(Path.Combine(Logs.Folder, "DocExample.cs"));
        int start = source.IndexOf("// example\n", StringComparison.Ordinal) + 11;
        string[] lines = [.. source[start..source.IndexOf("// end of example", StringComparison.Ordinal)].Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(l => l.Trim()).Where(l => l.Length != 0)];

        string document = File.ReadAllText(Path.Combine(Logs.Folder, "explain.md"));

        document.Should().Contain(string.Join('\n', lines));
        lines.Should().HaveCount(5);
    }
}
