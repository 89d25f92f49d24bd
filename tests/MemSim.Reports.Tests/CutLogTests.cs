using FluentAssertions;
using Xunit;

namespace MemSim.Reports.Tests;

/// <summary>Logs of which the end is missing: what stands there must not be taken for the whole machine.</summary>
public sealed class CutLogTests
{
    private static string First => Logs.Case("01").Split("[ 1197.288649]")[0];

    [Fact]
    public void A_zone_that_only_a_reserve_tells_of_makes_the_verdict_undecidable()
    {
        ReportExplanation explanation = Logs.Only(First[..First.IndexOf("Node 0 Normal free:", StringComparison.Ordinal)]);

        explanation.Verdict.Should().Be(Verdict.Undecidable);
        explanation.Why[0].Should().StartWith("cannot be decided").And.Contain("Node 0 Normal has memory, but its line is not in the text");
        explanation.Notes.Should().Contain(n => n.Contains("the report is cut off") && n.Contains("Node 0 Normal"));
        explanation.SavedBy.Should().NotContain(s => s.Works == false);
    }

    [Fact]
    public void One_row_of_reserves_is_enough_to_see_that_zones_are_missing()
    {
        ReportExplanation explanation = Logs.Only(First[..First.IndexOf("Node 0 DMA32 free:", StringComparison.Ordinal)]);

        explanation.Verdict.Should().Be(Verdict.Undecidable);
        explanation.Why[0].Should().Contain("Node 0 Normal has memory, but its line is not in the text");
    }

    [Fact]
    public void Wherever_the_log_of_a_fragmented_zone_is_cut_no_other_reason_is_given()
    {
        string text = First;
        int whole = text.IndexOf("= 127140kB", StringComparison.Ordinal) + "= 127140kB".Length;
        for (int length = text.IndexOf("Mem-Info", StringComparison.Ordinal) + 10; length < whole; length += 7)
        {
            IReadOnlyList<ReportExplanation> explanations = Logs.Explain(text[..length]);
            explanations.Should().ContainSingle("the text ends with '{0}'", text[Math.Max(0, length - 40)..length])
                .Which.Verdict.Should().BeOneOf([Verdict.Undecidable, Verdict.Fragmented], "the text ends with '{0}'", text[Math.Max(0, length - 40)..length]);
        }

        Logs.Only(text[..whole]).Verdict.Should().Be(Verdict.Fragmented);
    }

    [Fact]
    public void A_lower_zone_that_refuses_does_not_speak_for_a_first_one_that_cannot_be_decided()
    {
        ReportExplanation explanation = Logs.Only(First[..(First.IndexOf("Node 0 Normal free:", StringComparison.Ordinal) + 60)]);

        explanation.Verdict.Should().Be(Verdict.Undecidable);
        explanation.SavedBy.Should().NotContain(s => s.Works == false);
    }

    [Fact]
    public void A_list_without_a_sum_at_its_end_is_cut_and_not_of_another_moment()
    {
        ReportExplanation explanation = Logs.Only(First[..(First.IndexOf("3433*8kB", StringComparison.Ordinal) + 20)]);

        string[] lines = [.. explanation.Zone("Normal").Arithmetic];
        lines.Should().Contain(l => l.EndsWith("the line of the lists is cut off, it has no sum at its end", StringComparison.Ordinal));
        lines.Should().NotContain(l => l.Contains("different moments"));
    }

    [Fact]
    public void A_list_with_a_hundredth_of_the_counter_is_not_of_another_moment()
    {
        string text = First.Replace("10995*4kB (UME) 3433*8kB (UME) 3233*16kB (UME) 124*32kB (UME)", "10*4kB (UME) 0*8kB 0*16kB 0*32kB", StringComparison.Ordinal).Replace("= 127140kB", "= 40kB", StringComparison.Ordinal);

        Logs.Only(text).Zone("Normal").Arithmetic.Should().Contain(l => l.Contains("lists hold 40 kB: too far apart"));
    }

    [Theory]
    [InlineData("mode:0x40c40(GFP_NOFS|_", "GFP_NOFS")]
    [InlineData("mode:0x40c40(GFP_NOFS|__GFP_CO", "GFP_NOFS")]
    [InlineData("mode:GFP_NOFS", "GFP_NOFS")]
    public void A_flag_that_is_cut_is_no_flag_of_a_vendor(string end, string first)
    {
        ReportExplanation explanation = Logs.Only($"[ 1186.232273] md5sum: page allocation failure: order:4, {end}");

        explanation.Verdict.Should().Be(Verdict.Undecidable);
        explanation.GfpNames![0].Should().Be(first);
        explanation.Notes.Should().NotContain(n => n.Contains("vendor"));
        (end.Contains('(') == explanation.Notes.Any(n => n.Contains("cut off in the middle of its flags"))).Should().BeTrue();
    }

    [Theory]
    [InlineData("mode:0xa20(GFP_", "GFP_ATOMIC")]
    [InlineData("mode:0x40dc0(GFP_KERNEL|__GFP_CO", "GFP_KERNEL")]
    public void Flags_whose_names_are_cut_are_read_from_the_number_before_them(string end, string first)
    {
        ReportExplanation explanation = Logs.Only($"[ 1186.232273] md5sum: page allocation failure: order:0, {end}");

        explanation.GfpNames![0].Should().Be(first);
        explanation.GfpNames.Should().NotContain(["__GFP_NOFAIL", "__GFP_NOWARN"]);
        explanation.Notes.Should().Contain(n => n.Contains("read from the number"));
    }

    [Fact]
    public void Zeros_that_a_crash_left_in_a_log_hide_no_line_however_many_they_are()
    {
        foreach (int zeros in (ReadOnlySpan<int>)[1, 100_000, 1_000_000])
        {
            string crashed = "systemd[1]: Started.\n" + new string('\0', zeros) + First;

            ReportExplanation explanation = Logs.Only(crashed);
            explanation.Verdict.Should().Be(Verdict.Fragmented, "{0} zeros", zeros);
            explanation.Report.Line.Should().Be(2);
        }
    }

    [Fact]
    public void Beyond_the_largest_order_only_what_does_not_ask_the_buddy_allocator_is_advised()
    {
        ReportExplanation explanation = Logs.Only(First.Replace("order:4", "order:11", StringComparison.Ordinal));

        explanation.Why[0].Should().Contain("cannot exist on this kernel");
        explanation.SavedBy.Select(s => s.Knob).Should().BeSubsetOf(["order", "kvmalloc", "hugetlb", "cma"]).And.Contain(["order", "kvmalloc", "hugetlb", "cma"]);
        explanation.SavedBy.Should().OnlyContain(s => s.Works != false);
    }

    [Theory]
    [InlineData("01")]
    [InlineData("02")]
    public void A_log_that_was_printed_newest_first_is_told_to_be_turned_round(string number)
    {
        string text = Logs.Case(number);
        string reversed = string.Join('\n', text.TrimEnd('\n').Split('\n').Reverse()) + "\n";

        IReadOnlyList<ReportExplanation> explanations = Logs.Explain(reversed);
        explanations.Should().NotBeEmpty();
        explanations.Should().NotContain(e => e.Verdict == Verdict.Short || e.Verdict == Verdict.Fragmented);
        explanations.Should().Contain(e => e.Notes.Any(n => n.Contains("reverse order")));
        Logs.Explain(text + text).Should().NotContain(e => e.Notes.Any(n => n.Contains("reverse order")));
    }

    [Fact]
    public void Wherever_a_log_begins_or_ends_its_lines_are_not_called_reversed()
    {
        string text = Logs.Case("01");
        for (int at = 0; at < text.Length; at += 211)
        {
            Logs.Explain(text[at..]).Concat(Logs.Explain(text[..at])).Concat(Logs.Explain(text[at..] + text)).Should().NotContain(e => e.Notes.Any(n => n.Contains("reverse order")), "it is cut at {0}", at);
        }
    }
}
