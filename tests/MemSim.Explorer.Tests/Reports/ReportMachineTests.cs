using FluentAssertions;
using MemSim.Explorer.Reports;
using MemSim.Reports;
using Xunit;

namespace MemSim.Explorer.Tests.Reports;

/// <summary>Machines made of reports do what the arithmetic says.</summary>
public class ReportMachineTests
{
    public static TheoryData<string> Rebuildable => [.. TestData.Cases.Select(c => Path.GetFileNameWithoutExtension(c))];

    [Theory]
    [MemberData(nameof(Rebuildable))]
    public void A_machine_made_of_a_report_has_its_free_blocks(string name)
    {
        foreach (KernelReport report in KernelLog.Read(File.ReadAllText(TestData.Case(name))).Take(3))
        {
            if (ReportMachine.WhyNot(report) is { } why)
            {
                why.Should().NotBeNullOrWhiteSpace();
                continue;
            }

            using Machine machine = ReportMachine.Build(report, new ReportKnobs(0, Gfp.Kernel));
            machine.Verify();
            foreach (ReportedZone zone in report.Zones.Where(z => !z.IsEmpty))
            {
                Zone built = machine.Zones.First(z => z.IsPopulated && z.Node.Id == zone.Node && z.Name == zone.Name);
                foreach (FreeBlocks blocks in zone.Blocks!)
                {
                    built.FreeBlocks(blocks.Order).Should().Be(blocks.Count, $"{zone} order {blocks.Order}");
                }
            }
        }
    }

    [Fact]
    public void The_request_of_a_report_fails_on_its_machine_and_passes_with_a_smaller_order()
    {
        KernelReport report = KernelLog.Read(File.ReadAllText(TestData.Case("01-btrfs-order4-nofs")))[0];
        Gfp gfp = ReportExplainer.Explain(report).Gfp!.Value;

        ReportMachine.Try(report, new ReportKnobs(4, gfp)).Passes.Should().BeFalse();
        ReportMachine.Try(report, new ReportKnobs(3, gfp)).Passes.Should().BeTrue();
        ReportMachine.Try(report, new ReportKnobs(4, gfp, ReservePercent: 90)).Passes.Should().BeTrue("DMA32 missed by 7 pages that its reserve kept back");
        ReportMachine.Try(report, new ReportKnobs(4, gfp, MoreMiB: 64)).Passes.Should().BeTrue();
    }

    [Fact]
    public void A_machine_made_of_a_report_is_as_large_as_what_is_free_not_as_what_was_reported()
    {
        KernelReport report = KernelLog.Read(File.ReadAllText(TestData.Case("01-btrfs-order4-nofs")))[0];
        long reported = report.Zones.Sum(z => z.KiB("managed") ?? 0) / 4;
        using Machine machine = ReportMachine.Build(report, new ReportKnobs(0, Gfp.Kernel));

        reported.Should().BeGreaterThan(3 << 20, "the reported machine is far too large for a tab");
        machine.Zones.Sum(z => z.SpannedPages).Should().BeLessThan(1 << 18);
    }

    [Fact]
    public void The_example_is_a_report_that_can_be_explained()
    {
        IReadOnlyList<KernelReport> reports = KernelLog.Read(SampleReport.Make());

        reports.Should().ContainSingle();
        ReportExplainer.Explain(reports[0]).Verdict.Should().Be(Verdict.Fragmented);
        ReportMachine.WhyNot(reports[0]).Should().BeNull();
    }
}
