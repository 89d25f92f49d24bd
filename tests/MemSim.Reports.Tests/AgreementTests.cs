using System.Globalization;
using FluentAssertions;
using MemSim.Kernels;
using Xunit;

namespace MemSim.Reports.Tests;

/// <summary>The explanation and the allocator agree: of every request on random machines of every kernel, whether it failed or not, and on machines made of reports and of <c>/proc</c> files.</summary>
public sealed class AgreementTests
{
    private static readonly Gfp[] Kinds =
    [
        Gfp.Kernel, Gfp.Atomic, Gfp.NoWait, Gfp.HighUserMovable, Gfp.Kernel | Gfp.NoMemAlloc, Gfp.Dma32 | Gfp.Kernel, Gfp.Dma | Gfp.Kernel, Gfp.NoFs | Gfp.Comp, Gfp.Kernel | Gfp.Reclaimable, Gfp.Atomic | Gfp.NoMemAlloc,
        Gfp.Kernel | Gfp.MemAlloc, Gfp.High | Gfp.Kernel, Gfp.Atomic | Gfp.Comp, Gfp.HighUser,
    ];

    public static TheoryData<string> Kernels() => [.. KernelLines.All.Select(k => k.Name)];

    [Theory]
    [MemberData(nameof(Kernels))]
    public void A_request_fails_if_and_only_if_the_explanation_of_the_state_before_it_says_so(string kernel)
    {
        Random random = new(20261130);
        using TemporaryFolder folder = new();
        int failed = 0;
        int passed = 0;
        for (int round = 0; round < 4; round++)
        {
            using Machine machine = RandomMachine(random, kernel);
            Cpu cpu = machine.Cpus[0];
            List<(Page Page, int Order)> held = [];
            int target = random.Next(3);
            for (int i = 0; i < 2500 && failed < 8 * (round + 1); i++)
            {
                if (held.Count != 0 && random.Next(100) < 12 + (10 * target))
                {
                    int victim = random.Next(held.Count);
                    cpu.FreePages(held[victim].Page, held[victim].Order);
                    (held[victim], held[^1]) = (held[^1], held[victim]);
                    held.RemoveAt(held.Count - 1);
                    continue;
                }

                Gfp gfp = Kinds[random.Next(Kinds.Length)] | Gfp.NoRetry | Gfp.NoWarn;
                int order = random.Next(3) == 0 ? random.Next(PageGeometry.OrderCount) : random.Next(5);
                bool near = machine.Zones.Sum(z => z.FreePages) < machine.Zones.Sum(z => z.ManagedPages) / 3 || order > 6;
                ReportExplanation? before = near && random.Next(4) == 0 ? Before(machine, folder, gfp, order) : null;
                bool cached = machine.Zones.Any(z => Cached(z) != 0);
                Page page = cpu.AllocPages(gfp, order);
                if (!page.IsNull)
                {
                    held.Add((page, order));
                }

                if (before is null)
                {
                    continue;
                }

                (failed, passed) = page.IsNull ? (failed + 1, passed) : (failed, passed + 1);

                // What is in per-CPU lists, of which order and type, no file tells: they can give a block where the free lists have none.
                if (!page.IsNull && cached && before.Verdict is not Verdict.Passes)
                {
                    before.Zones.Where(z => z.Eligible == true).Should().Contain(z => z.MissingPages == 0, "{0}", before);
                    continue;
                }

                (before.Verdict == Verdict.Passes).Should().Be(!page.IsNull, "of {0} at order {1}, round {2}, step {3}:\n{4}", gfp, order, round, i, before);
            }
        }

        failed.Should().BeGreaterThan(8);
        passed.Should().BeGreaterThan(8);
    }

    [Theory]
    [MemberData(nameof(Kernels))]
    public void A_machine_made_of_its_files_is_in_their_state_and_does_what_the_explanation_says(string kernel)
    {
        Random random = new(77);
        using TemporaryFolder folder = new();
        int failed = 0;
        int passed = 0;
        for (int round = 0; round < 2; round++)
        {
            using Machine original = Used(random, kernel);
            folder.Write(original);
            MachineSpec spec = MachineSpec.FromProc(folder.Path).WithoutContents();
            using (Machine twin = Machine.Boot(spec))
            {
                twin.Verify();
                twin.Warnings.Should().Contain(w => w.Contains("nobody's"));
                twin.Proc.BuddyInfo.Should().Be(original.Proc.BuddyInfo);
                FreeOf(twin.Proc.PageTypeInfo).Should().Be(FreeOf(original.Proc.PageTypeInfo), "{0}", string.Join('\n', twin.Warnings));
                twin.Zones.Select(Cached).Should().Equal(original.Zones.Select(Cached));
                twin.Zones.Select(z => z.GetWatermarkPages(Watermark.Min)).Should().Equal(original.Zones.Select(z => z.GetWatermarkPages(Watermark.Min)));
            }

            for (int i = 0; i < 8; i++)
            {
                Gfp gfp = Kinds[random.Next(Kinds.Length)] | Gfp.NoRetry | Gfp.NoWarn;
                int order = random.Next(PageGeometry.OrderCount);
                ReportExplanation explanation = ReportExplainer.Explain(ProcState.Read(folder.Path, GfpReading.Parse(GfpText.Format(gfp)), order));
                using Machine twin = Machine.Boot(spec);
                bool got = !twin.Cpus[0].AllocPages(gfp, order).IsNull;
                (failed, passed) = got ? (failed, passed + 1) : (failed + 1, passed);
                if (!(got && explanation.Verdict == Verdict.Fragmented && order <= 3))
                {
                    got.Should().Be(explanation.Verdict == Verdict.Passes, "of {0} at order {1}:\n{2}", gfp, order, explanation);
                }
            }
        }

        failed.Should().BeGreaterThan(0);
        passed.Should().BeGreaterThan(0);
    }

    [Theory]
    [InlineData("zoneinfo", "by zoneinfo")]
    [InlineData("meminfo", "by meminfo, which does not tell the node")]
    [InlineData("slabinfo", "by slabinfo, which tells neither the node nor what can be reclaimed")]
    public void A_machine_made_of_files_has_as_many_pages_of_slabs_as_they_say(string known, string said)
    {
        using TemporaryFolder folder = new();
        using Machine original = Machine.Boot(MachineSpec.X86_64(ByteSize.FromMiB(256)).WithoutContents());
        KmemCache reclaimed = original.Slab.CreateCache("inodes", 600, flags: SlabFlags.ReclaimAccount);
        KmemCache kept = original.Slab.CreateCache("rings", 2048);
        for (int i = 0; i < 3000; i++)
        {
            original.Cpus[0].Alloc(reclaimed, Gfp.Kernel);
            original.Cpus[0].Alloc(kept, Gfp.Kernel);
        }

        folder.Write(original);
        if (known != "zoneinfo")
        {
            folder.Leave("zoneinfo", "nr_slab_");
        }

        if (known == "slabinfo")
        {
            folder.Leave("meminfo", "SReclaimable", "SUnreclaim");
        }

        using Machine twin = Machine.Boot(MachineSpec.FromProc(folder.Path).WithoutContents());
        twin.Verify();
        twin.Warnings.Should().ContainSingle(w => w.StartsWith("slab: ", StringComparison.Ordinal)).Which.Should().Contain(said).And.Contain("no shrinker gives any of these pages back");
        long Total(Machine machine) => machine.Nodes.Sum(n => n.Counters.SlabReclaimable + n.Counters.SlabUnreclaimable);
        Total(original).Should().BeGreaterThan(1500);
        if (known == "slabinfo")
        {
            Total(twin).Should().BeInRange(Total(original) - 100, Total(original), "large kmalloc objects are in no cache");
        }
        else
        {
            SlabOf(twin.Proc.MemInfo).Should().Be(SlabOf(original.Proc.MemInfo));
            ProcState.Read(folder.Path).Totals["slab_reclaimable"].Should().Be(original.Nodes.Sum(n => n.Counters.SlabReclaimable));
        }
    }

    [Fact]
    public void A_machine_made_of_a_report_is_in_its_state_and_does_what_the_explanation_says()
    {
        int made = 0;
        string[] texts = [Logs.Case("01"), Logs.Field("29"), Logs.Field("50"), .. Directory.GetFiles(Path.Combine(Logs.Folder, "reports")).Order().Select(File.ReadAllText)];
        foreach (KernelReport report in texts.SelectMany(KernelLog.Read).Where(r => r.Kind is ReportKind.AllocationFailure or ReportKind.Oom && r.Gfp is not null))
        {
            ReportExplanation explanation = ReportExplainer.Explain(report);
            using Machine machine = Machine.Boot(MachineSpec.FromReport(report));
            machine.Verify();
            machine.Warnings.Should().Contain(w => w.Contains("invented"));
            foreach (Zone zone in machine.Zones.Where(z => z.ManagedPages != 0))
            {
                ReportedZone reported = report.Zones.Single(z => z.Node == zone.Node.Id && z.Name == zone.Name);
                zone.FreePages.Should().Be(reported.KiB("free") / 4);
                zone.GetWatermarkPages(Watermark.Min).Should().Be(reported.KiB("min") / 4);
                Enumerable.Range(0, PageGeometry.OrderCount).Select(o => zone.FreeBlocks(o)).Should().Equal(reported.Blocks!.Select(b => b.Count));
            }

            bool got = !machine.Cpus[0].AllocPages(explanation.Gfp!.Value | Gfp.NoRetry | Gfp.NoWarn, explanation.Order!.Value).IsNull;
            got.Should().Be(explanation.Zones.Any(z => z.Eligible == true && z.Passes == true), "{0}", explanation);
            made++;
        }

        made.Should().BeGreaterThan(8);
    }

    [Fact]
    public void A_report_whose_machine_is_not_simulated_says_why()
    {
        FluentActions.Invoking(() => MachineSpec.FromReport(KernelLog.Read(Logs.Field("44"))[0])).Should().Throw<NotSupportedException>().WithMessage("*not of 4 KiB*");
        FluentActions.Invoking(() => MachineSpec.FromReport(KernelLog.Read(Logs.Field("14"))[0])).Should().Throw<NotSupportedException>().WithMessage("*no line of a zone*");
    }

    /// <summary>Pages in per-CPU lists.</summary>
    private static long Cached(Zone zone) =>
        (from order in (int[])[0, 1, 2, 3, 9] from type in (MigrateType[])[MigrateType.Unmovable, MigrateType.Movable, MigrateType.Reclaimable] select (long)zone.PcpList(0, order, type).Count() << order).Sum();

    private static Machine RandomMachine(Random random, string kernel) =>
        Machine.Boot(MachineSpec.X86_64(ByteSize.FromMiB((ulong)(128 + (32 * random.Next(3))))).WithoutContents().WithPersonality(KernelPersonality.Parse(kernel + ".0"))
            .WithSysctl("watermark_boost_factor", random.Next(2) == 0 ? "0" : "15000").WithSysctl("min_free_kbytes", string.Create(CultureInfo.InvariantCulture, $"{1024 << random.Next(5)}")));

    /// <summary>A machine with much of its memory in use, in no order.</summary>
    private static Machine Used(Random random, string kernel)
    {
        Machine machine = RandomMachine(random, kernel);
        Cpu cpu = machine.Cpus[0];
        List<(Page Page, int Order)> held = [];
        int most = 1000 + random.Next(9000);
        for (int i = 0; i < most; i++)
        {
            int order = random.Next(6);
            Page page = cpu.AllocPages(Kinds[random.Next(Kinds.Length)] | Gfp.NoRetry | Gfp.NoWarn, order);
            if (!page.IsNull)
            {
                held.Add((page, order));
            }
        }

        foreach ((Page page, int order) in held.Where(_ => random.Next(3) == 0).ToList())
        {
            cpu.FreePages(page, order);
        }

        return machine;
    }

    private static ReportExplanation Before(Machine machine, TemporaryFolder folder, Gfp gfp, int order)
    {
        folder.Write(machine);
        return ReportExplainer.Explain(ProcState.Read(folder.Path, GfpReading.Parse(GfpText.Format(gfp)), order));
    }

    private static string SlabOf(string memInfo) => string.Join('\n', memInfo.Split('\n').Where(l => l.StartsWith("SReclaimable", StringComparison.Ordinal) || l.StartsWith("SUnreclaim", StringComparison.Ordinal)));

    /// <summary>The lines of free blocks alone.</summary>
    private static string FreeOf(string pageTypeInfo) => string.Join('\n', pageTypeInfo.Split('\n').Where(l => l.Contains("type", StringComparison.Ordinal) && l.StartsWith("Node", StringComparison.Ordinal)));

    private sealed class TemporaryFolder : IDisposable
    {
        public string Path { get; } = Directory.CreateTempSubdirectory("memsim-").FullName;

        public void Write(Machine machine)
        {
            void File(string name, string text) => System.IO.File.WriteAllText(System.IO.Path.Combine(Path, name), text);
            File("zoneinfo", machine.Proc.ZoneInfo);
            File("buddyinfo", machine.Proc.BuddyInfo);
            File("pagetypeinfo", machine.Proc.PageTypeInfo);
            File("meminfo", machine.Proc.MemInfo);
            File("slabinfo", machine.Proc.SlabInfo);
            File("version", $"Linux version {machine.Personality.Name}.0-memsim (builder) #1 SMP");
        }

        /// <summary>Takes lines out of a file.</summary>
        public void Leave(string name, params string[] words)
        {
            string path = System.IO.Path.Combine(Path, name);
            System.IO.File.WriteAllLines(path, System.IO.File.ReadAllLines(path).Where(l => !words.Any(w => l.Contains(w, StringComparison.Ordinal))));
        }

        public void Dispose() => Directory.Delete(Path, recursive: true);
    }
}
