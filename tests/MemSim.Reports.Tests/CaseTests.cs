using FluentAssertions;
using Xunit;

namespace MemSim.Reports.Tests;

/// <summary>Real reports whose arithmetic was done by hand.</summary>
public sealed class CaseTests
{
    [Theory]
    [InlineData("01", 0, "Normal", 31718, 15, 15990, 0, 3, false)]
    [InlineData("01", 0, "DMA32", 15873, 15, 15864, 7, 10, false)]
    [InlineData("01", 0, "DMA", 3328, 15, 15825, 12513, 10, false)]
    [InlineData("01", 1, "Normal", 53940, 15, 48246, 0, 3, false)]
    [InlineData("02", 0, "Normal", 13635, 523, 12640, 0, 8, true)]
    [InlineData("02", 0, "DMA32", 13343, 519, 13013, 190, 9, false)]
    [InlineData("02", 0, "DMA", 12084, 538, 11885, 340, 8, false)]
    [InlineData("04", 0, "DMA32", 459, 0, 122, 0, -1, false)]
    [InlineData("04", 0, "DMA", 231, 0, 134, 0, -1, false)]
    [InlineData("05", 0, "HighMem", 138368, 138398, 128, 159, -1, false)]
    [InlineData("05", 0, "DMA", 4490, 4097, 4096, 3704, 6, false)]
    [InlineData("07", 0, "Normal", 183, 0, 183, 1, 5, false)]
    [InlineData("09", 0, "Normal", 29416, 3, 1016, 0, 8, true)]
    [InlineData("09", 0, "DMA", 116932, 3, 3036, 17, 7, false)]
    [InlineData("11", 0, "Normal", 34, 0, 45, 12, 5, false)]
    [InlineData("21", 0, "HighMem", 128, 0, 128, 1, 6, false)]
    [InlineData("21", 0, "Normal", 354, 0, 234, 0, 7, true)]
    [InlineData("21", 0, "DMA", 337, 0, 4, 0, 4, true)]
    public void Zones_have_the_figures_that_were_computed_by_hand(string id, int report, string zone, long free, long unusable, long limit, long missing, int largest, bool passes)
    {
        ZoneOutcome outcome = Logs.Explain(Logs.Case(id))[report].Zone(zone);

        outcome.FreePages.Should().Be(free);
        outcome.UnusablePages.Should().Be(unusable);
        outcome.LimitPages.Should().Be(limit);
        outcome.MissingPages.Should().Be(missing);
        outcome.LargestUsableOrder.Should().Be(largest);
        outcome.Passes.Should().Be(passes);
    }

    [Fact]
    public void Without_the_watermarks_the_value_is_named_from_which_on_the_zone_fails()
    {
        ReportExplanation explanation = Logs.Only(Logs.Case("13"));

        explanation.Verdict.Should().Be(Verdict.Undecidable);
        explanation.Why[0].Should().Contain("min is not in the text").And.Contain("262 pages (1048 kB)");
    }

    [Fact]
    public void Suppressed_failures_are_counted_and_their_line_is_not_unknown()
    {
        using StringReader reader = new(Logs.Case("01"));
        KernelLog log = new(reader);
        KernelReport[] reports = [.. log.Reports()];

        reports.Select(r => r.Suppressed).Should().Equal(0, 6);
        log.UnknownLines.Should().BeEmpty();
    }

    [Fact]
    public void An_OOM_kill_below_highmem_says_that_the_free_memory_is_highmem_and_cma()
    {
        Logs.Only(Logs.Case("05")).Why.Should().Contain(w => w.Contains("HighMem has 138368 pages") && w.Contains("CMA"));
    }

    [Fact]
    public void A_reserve_that_is_not_printed_is_told_beside_what_the_printed_numbers_alone_say() =>
        Logs.Only(Logs.Case("05")).Why[0].Should().Contain("393 usable pages, 4096 must be exceeded. By the printed numbers alone it passes (4489 > 4096, 525 usable blocks of order 1 or more)");

    [Fact]
    public void Slab_that_reclaim_had_asked_for_before_the_OOM_killer_is_no_certain_remedy()
    {
        ReportExplanation explanation = Logs.Only(Logs.Case("07"));

        explanation.SavedBy.Single(s => s.Knob == "slab").Works.Should().BeNull();
        explanation.SavedBy[0].Knob.Should().Be("cma");
    }

    [Fact]
    public void Where_anonymous_pages_are_not_counted_swap_is_a_remedy_that_may_work()
    {
        Logs.Only(Logs.Case("11")).SavedBy.Single(s => s.Knob == "swap").Should().Match<Saving>(s => s.Works == null && s.Text.Contains("5108 pages"));
    }

    [Fact]
    public void Memory_that_is_neither_free_nor_on_the_LRU_is_named_when_it_is_most_of_the_machine()
    {
        Logs.Only(Logs.Case("21")).Why[1].Should().StartWith("Most of the memory is in one place: not accounted for 2018.1 MiB of 2025.3 MiB");
    }

    [Fact]
    public void A_victim_that_held_little_is_told()
    {
        Logs.Only(Logs.Case("19")).Notes.Should().Contain(n => n.StartsWith("killed: worker (pid 14326", StringComparison.Ordinal) && n.EndsWith("a small part of the machine, so most of the memory is elsewhere", StringComparison.Ordinal));
        Logs.Only(Logs.Case("07")).Notes.Should().Contain(n => n.StartsWith("killed: ", StringComparison.Ordinal) && !n.Contains("elsewhere"));
    }

    [Fact]
    public void A_panic_behind_a_report_is_told_and_no_unknown_line()
    {
        using StringReader reader = new(Logs.Case("12"));
        KernelLog log = new(reader);

        log.Reports().Single().Notes.Should().Contain("the kernel panicked: Kernel panic - not syncing: Out of memory");
        log.UnknownLines.Should().BeEmpty();
    }

    [Fact]
    public void A_vendor_flag_that_only_the_number_shows_is_told_and_not_refused()
    {
        ReportExplanation explanation = Logs.Only(Logs.Case("07"));

        explanation.GfpNames.Should().Equal("GFP_HIGHUSER_MOVABLE");
        explanation.Notes.Should().Contain(n => n.Contains("0x1000000"));
    }

    [Fact]
    public void A_report_without_zones_is_not_guessed_at()
    {
        ReportExplanation explanation = Logs.Only(Logs.Case("19"));

        explanation.Verdict.Should().Be(Verdict.Undecidable);
        explanation.Why[0].Should().StartWith("cannot be decided, because the report is cut off");
        explanation.Report.Victim!.AnonKiB.Should().Be(565596);
        explanation.Report.Closing["ram"].Should().Be(3800991);
    }

    [Fact]
    public void A_vmalloc_error_while_booting_is_no_shortage_of_memory()
    {
        ReportExplanation explanation = Logs.Only(Logs.Case("12"));

        explanation.Report.Kind.Should().Be(ReportKind.Other);
        explanation.Report.RequestBytes.Should().Be(7864320);
        explanation.Why[0].Should().Contain("booting");
        explanation.GfpNames.Should().Equal("GFP_KERNEL", "__GFP_ZERO");
    }

    [Fact]
    public void Memory_that_slab_holds_is_named_when_it_is_most_of_the_machine()
    {
        Logs.Only(Logs.Case("09")).Why.Should().Contain(w => w.Contains("slab 3421.2 MiB"));
    }

    [Fact]
    public void The_flags_of_a_kernel_whose_movable_bit_lay_elsewhere_are_read_by_its_age()
    {
        Logs.Only(Logs.Case("11")).GfpNames.Should().Equal("GFP_HIGHUSER_MOVABLE", "__GFP_ZERO");
    }

    [Fact]
    public void Pages_of_64_KiB_and_21_orders_are_read()
    {
        Logs.Only(Logs.Case("11")).PageSizeKiB.Should().Be(64);
        ReportExplanation nommu = Logs.Only(Logs.Case("24"));
        nommu.Report.Zones[0].Blocks.Should().HaveCount(21);
        nommu.Order.Should().Be(24);
        nommu.Verdict.Should().Be(Verdict.Short);
        nommu.Why[0].Should().Contain("can never succeed");
    }

    [Fact]
    public void On_the_rebuilt_machine_each_change_does_what_the_arithmetic_says()
    {
        int compared = 0;
        string[] texts = [.. new[] { "01", "02", "07" }.Select(Logs.Case), .. Directory.GetFiles(Path.Combine(Logs.Folder, "reports")).Order().Select(File.ReadAllText)];
        foreach (KernelReport report in texts.SelectMany(KernelLog.Read))
        {
            ReportExplanation explanation = ReportExplainer.Explain(report, onMachine: true);
            if (explanation.OnMachine is not { } request)
            {
                continue;
            }

            request.Should().Be(explanation.Verdict == Verdict.Passes, "of {0}", explanation);
            foreach (Saving saving in explanation.SavedBy.Where(s => s.Works is not null && s.OnMachine is not null))
            {
                saving.OnMachine.Should().Be(saving.Works, "of {0} in {1}", saving.Knob, explanation);
                compared++;
            }
        }

        compared.Should().BeGreaterThan(20);
    }
}
