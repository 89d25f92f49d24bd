using FluentAssertions;
using MemSim.Kernels;
using Xunit;

namespace MemSim.Reports.Tests;

/// <summary>What MemSim writes is read back to the figures it was written from, and explained as the allocator decided: for every kernel, random machines and requests.</summary>
public sealed class ReadBackTests
{
    private static readonly Gfp[] Kinds = [Gfp.Kernel, Gfp.Atomic, Gfp.NoWait, Gfp.HighUserMovable, Gfp.Kernel | Gfp.NoMemAlloc, Gfp.Dma32, Gfp.NoFs | Gfp.Comp];

    public static TheoryData<string> Kernels() => [.. KernelLines.All.Select(k => k.Name)];

    [Theory]
    [MemberData(nameof(Kernels))]
    public void A_failure_is_read_back_and_explained_as_the_allocator_decided(string kernel)
    {
        Random random = new(7);
        int reports = 0;
        for (int machines = 0; machines < 4; machines++)
        {
            using Machine machine = Machine.Boot(MachineSpec.X86_64(ByteSize.FromMiB((ulong)(128 + (64 * random.Next(4))))).WithoutContents().WithPersonality(KernelPersonality.Parse(kernel + ".0")).WithSysctl("watermark_boost_factor", "0"));
            machine.Reports.KeepsAllocationFailures = true;
            Cpu cpu = machine.Cpus[0];
            List<(Page Page, int Order)> held = [];
            for (int i = 0; i < 4000 && reports < 60; i++)
            {
                if (held.Count != 0 && random.Next(100) < 30)
                {
                    int victim = random.Next(held.Count);
                    cpu.FreePages(held[victim].Page, held[victim].Order);
                    (held[victim], held[^1]) = (held[^1], held[victim]);
                    held.RemoveAt(held.Count - 1);
                    continue;
                }

                Gfp gfp = Kinds[random.Next(Kinds.Length)] | Gfp.NoRetry;
                int order = random.Next(3) == 0 ? random.Next(PageGeometry.OrderCount) : random.Next(3);
                Page page = cpu.AllocPages(gfp, order);
                if (!page.IsNull)
                {
                    held.Add((page, order));
                    continue;
                }

                reports++;
                Check(machine, gfp, order);
            }
        }

        reports.Should().BeGreaterThan(10);
    }

    private static void Check(Machine machine, Gfp gfp, int order)
    {
        string text = machine.Reports.LastAllocationFailure!;
        KernelReport report = KernelLog.Read(text).Should().ContainSingle().Subject;
        report.Order.Should().Be(order);
        ReportExplanation explanation = ReportExplainer.Explain(report);
        explanation.Gfp.Should().Be(gfp, "{0}", text.Split('\n')[0]);
        foreach (ReportedZone zone in report.Zones)
        {
            Zone real = machine.Zones.Single(z => z.Name == zone.Name && z.Node.Id == zone.Node);
            zone.KiB("free").Should().Be(real.FreePages * 4);
            zone.KiB("min").Should().Be(real.GetWatermarkPages(Watermark.Min) * 4);
            zone.KiB("managed").Should().Be(real.ManagedPages * 4);
            zone.LowmemReserve.Should().Equal(real.LowmemReserve);
            zone.Blocks!.Select(b => b.Count).Should().Equal(Enumerable.Range(0, PageGeometry.OrderCount).Select(o => real.FreeBlocks(o)));
        }

        explanation.Verdict.Should().NotBe(Verdict.Passes, "the allocator found nothing: {0}\n{1}", text, explanation).And.NotBe(Verdict.Undecidable, "{0}", explanation);
    }

    [Fact]
    public void An_OOM_report_is_read_back_with_its_victim()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64(ByteSize.FromMiB(128)));
        Processes.KernelProcess(machine);
        string text = machine.Oom.LastReport!;

        ReportExplanation explanation = Logs.Only(text);

        explanation.Report.Kind.Should().Be(ReportKind.Oom);
        explanation.Report.Victim!.Name.Should().Be("hog");
        explanation.Report.Zones.Should().NotBeEmpty();
        explanation.Report.Tasks.Should().Contain(t => t.Name == "hog");
        explanation.Verdict.Should().Be(Verdict.Short, "{0}", explanation);
    }

    private static class Processes
    {
        /// <summary>A process that touches more memory than there is, until it is killed.</summary>
        public static void KernelProcess(Machine machine)
        {
            var task = machine.CreateProcess("hog");
            Cpu cpu = machine.Cpus[0];
            using (cpu.Run(task))
            {
                VirtualAddress start = task.Mm.Mmap(length: 80 << 20, Prot.Read | Prot.Write);
                for (long offset = 0; offset < 80 << 20 && machine.Oom.LastReport is null; offset += 4096)
                {
                    try
                    {
                        cpu.Write(start + offset, 42);
                    }
                    catch (Exception e) when (e is not Xunit.Sdk.XunitException)
                    {
                        break;
                    }
                }
            }
        }
    }
}
