using Bunit;
using FluentAssertions;
using MemSim.Explorer.Components;
using MemSim.Explorer.Lessons;
using MemSim.Explorer.Pages;
using MemSim.Explorer.Sessions;
using MemSim.Reports;
using Xunit;

namespace MemSim.Explorer.Tests.Components;

/// <summary>Components without a browser: what they render, and what their buttons do.</summary>
public sealed class ComponentTests : BunitContext
{
    public ComponentTests()
    {
        JSInterop.Mode = JSRuntimeMode.Loose;
    }

    [Theory]
    [InlineData("6.1", "list by age (LRU)", "active anon")]
    [InlineData("6.12", "generation (MGLRU)", "three older, the first to go")]
    public void The_legend_names_lists_or_generations_as_the_kernel_keeps_them(string kernel, string mode, string entry)
    {
        using Session session = new(new MachineChoice(Memory: "256M", Cpus: 1, Kernel: kernel));
        IRenderedComponent<MemoryPicture> picture = Render<MemoryPicture>(p => p.Add(c => c.Session, session).Add(c => c.Colours, "lru"));

        picture.FindAll("option").Select(o => o.TextContent).Should().Contain(mode);
        picture.FindAll(".legend li").Select(l => l.TextContent).Should().Contain(entry);
        picture.FindAll(".legend li i").Select(i => i.GetAttribute("style")).Should().OnlyHaveUniqueItems();
    }

    [Fact]
    public void The_script_has_a_colour_for_every_list_and_generation()
    {
        string script = File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "Data", "colours.js"));
        string names = script[(script.IndexOf("const LRUS = [", StringComparison.Ordinal) + 14)..];

        names[..names.IndexOf(']', StringComparison.Ordinal)].Split(',').Should().HaveCount(Enum.GetValues<Observability.FrameLru>().Length);
    }

    [Fact]
    public void Free_lists_show_the_numbers_of_the_machine_and_mark_what_changed()
    {
        using Session session = new(new MachineChoice(Memory: "256M", Cpus: 1));
        IRenderedComponent<FreeLists> lists = Render<FreeLists>(p => p.Add(c => c.Session, session));
        Zone zone = session.Machine.Zones.First(z => z.IsPopulated && z.Name == "DMA32");

        lists.FindAll("tr[data-zone=DMA32] td").Select(c => c.TextContent).Should().Equal(Enumerable.Range(0, 11).Select(o => zone.FreeBlocks(o).ToString(System.Globalization.CultureInfo.InvariantCulture)));
        lists.FindAll("td.changed").Should().BeEmpty();
        session.Run("alloc 10");
        lists.Render(p => p.Add(c => c.Session, session));
        lists.FindAll("tr[data-zone=DMA32] td.changed").Should().NotBeEmpty();
    }

    [Fact]
    public void A_lesson_goes_forward_and_back_and_says_so()
    {
        IRenderedComponent<LessonPage> page = Render<LessonPage>(p => p.Add(c => c.Id, "fork"));
        page.WaitForElement("[data-test=says]", TimeSpan.FromSeconds(30));
        string first = page.Find("[data-test=says]").TextContent;

        page.Find("[data-test=next]").Click();
        page.WaitForAssertion(() => page.Find("[data-test=lesson]").GetAttribute("data-step").Should().Be("2"));
        page.Find("[data-test=says]").TextContent.Should().NotBe(first);
        page.FindAll("button").First(b => b.TextContent == "Back").Click();
        page.WaitForAssertion(() => page.Find("[data-test=says]").TextContent.Should().Be(first));
    }

    [Fact]
    public void The_command_line_runs_what_is_typed_and_shows_what_came_of_it()
    {
        List<string> run = [];
        IRenderedComponent<CommandBox> box = Render<CommandBox>(p => p.Add(c => c.OnRun, run.Add).Add(c => c.Last, new Outcome("x", "no such thing", OutcomeKind.NotUnderstood)));
        box.Find("input").Input("  alloc 3 ");
        box.Find("form").Submit();

        run.Should().Equal("alloc 3");
        box.Find("[data-test=said]").ClassList.Should().Contain("bad");
        box.Find("input").GetAttribute("value").Should().BeNullOrEmpty();
    }

    [Fact]
    public void A_right_answer_is_shown_on_the_machine()
    {
        using LessonPlayer player = new(LessonBook.Find("flags"));
        IRenderedComponent<QuizView> quiz = Render<QuizView>(p => p.Add(c => c.Questions, player.Lesson.Quiz).Add(c => c.Session, player.Session));
        quiz.FindAll("button").First(b => b.TextContent == "GFP_ATOMIC").Click();

        quiz.Find(".said").TextContent.Should().Contain("Right.").And.Contain("alloc 0 GFP_ATOMIC");
        quiz.FindAll("button.right").Should().ContainSingle();
    }

    [Fact]
    public void Slabs_processes_and_translations_are_shown_as_they_are()
    {
        using Session session = new(new MachineChoice(Memory: "256M", Cpus: 1));
        foreach (string command in new[] { "cache thing 500", "object thing count=30", "process p", "mmap p 40K as m", "write m pages=3", "vmalloc 16K as v", "scan v" })
        {
            session.Run(command).Kind.Should().Be(OutcomeKind.Done, command);
        }

        IRenderedComponent<SlabView> slabs = Render<SlabView>(p => p.Add(c => c.Session, session).Add(c => c.Cache, "thing"));
        slabs.Find("[data-test=slab-usage]").GetAttribute("data-live").Should().Be("30");
        slabs.FindAll(".objects i").Count.Should().Be(session.Machine.Slab.Find("thing")!.ObjectsPerSlab);
        IRenderedComponent<ProcessView> processes = Render<ProcessView>(p => p.Add(c => c.Session, session));
        processes.FindAll(".pages i.present").Should().HaveCount(3);
        processes.FindAll(".pages").Should().ContainSingle(p => p.Children.Length == 10);
        IRenderedComponent<TlbView> tlb = Render<TlbView>(p => p.Add(c => c.Session, session));
        tlb.Find("[data-test=tlb]").GetAttribute("data-entries").Should().Be(session.Cpu.Tlb.Entries.Count.ToString(System.Globalization.CultureInfo.InvariantCulture));
    }

    [Fact]
    public void A_process_that_was_killed_is_shown_as_ended()
    {
        using LessonPlayer player = new(LessonBook.Find("oom"));
        while (player.Next())
        {
            // To the kill.
        }

        IRenderedComponent<ProcessView> processes = Render<ProcessView>(p => p.Add(c => c.Session, player.Session));
        processes.FindAll("h3").Select(h => h.TextContent).Should().ContainSingle(t => t.Contains("hog") && t.EndsWith("ended"));
        player.Session.Held["hog"].Text.Should().EndWith("ended");
    }

    [Fact]
    public void Watermarks_are_those_of_the_zone()
    {
        using Session session = new(new MachineChoice(Memory: "256M", Cpus: 1));
        IRenderedComponent<WatermarkChart> chart = Render<WatermarkChart>(p => p.Add(c => c.Session, session));
        Zone zone = session.Machine.Zones.First(z => z.IsPopulated && z.Name == "DMA32");

        chart.Find("[data-zone=DMA32]").GetAttribute("data-low").Should().Be(zone.GetWatermarkPages(Watermark.Low).ToString(System.Globalization.CultureInfo.InvariantCulture));
        chart.FindAll("[data-zone=DMA32] line").Should().HaveCount(3);
    }

    [Fact]
    public void A_report_typed_into_the_page_is_explained()
    {
        IRenderedComponent<ReportPage> page = Render<ReportPage>();
        page.Find("#report-text").Change(File.ReadAllText(TestData.Case("07-rv1106-equal-to-min")));
        page.Find("[data-test=explain]").Click();

        page.FindAll("[data-test=explanation]").Should().NotBeEmpty();
        page.Find("[data-test=explanation-text]").TextContent.Should().NotBeNullOrWhiteSpace();
    }

    public static TheoryData<string> Logs => [.. TestData.Cases.Select(c => Path.GetFileNameWithoutExtension(c))];

    [Theory]
    [MemberData(nameof(Logs))]
    public void A_pasted_log_gets_the_answer_of_the_table(string name)
    {
        (string reason, string[] savedBy) = TestData.Verdicts[name[..2]];
        string text = File.ReadAllText(TestData.Case(name));
        IRenderedComponent<ReportPage> page = Render<ReportPage>();
        page.Find("#report-text").Change(text);
        page.Find("[data-test=explain]").Click();

        string.Join(", ", page.FindAll("[data-test=explanation]").Select(e => e.GetAttribute("data-verdict"))).Should().Be(reason);
        IReadOnlyList<ReportExplanation> explained = [.. KernelLog.Read(text).Select(r => ReportExplainer.Explain(r))];
        page.FindAll("[data-test=explanation-text]").Select(e => e.TextContent).Should().Equal(explained.Select(e => e.ToString()));
        page.FindAll("[data-test=zone-bar]").Select(e => e.GetAttribute("data-missing")).Should().Equal(explained.SelectMany(e => e.Zones).Select(z => z.MissingPages?.ToString(System.Globalization.CultureInfo.InvariantCulture)));
        foreach (Saving saving in explained[0].SavedBy.Where(s => savedBy.Contains(s.Value is { Length: > 0 } ? $"{s.Knob}={s.Value}" : s.Knob)))
        {
            page.FindAll("[data-test=explanation] li").Select(l => l.TextContent).Should().Contain(t => t.StartsWith("Yes, ", StringComparison.Ordinal) && t.Contains(saving.Text));
        }
    }

    [Fact]
    public void A_pasted_zoneinfo_shows_its_zones()
    {
        foreach ((string folder, string text) in TestData.FoundZoneInfos())
        {
            IRenderedComponent<ReportPage> page = Render<ReportPage>();
            page.Find("#report-text").Change(text);
            page.Find("[data-test=explain]").Click();
            page.FindAll("[role=alert]").Select(a => a.TextContent).Should().BeEmpty(folder);
            page.FindAll("[data-test=explanation]").Should().NotBeEmpty(folder);
        }
    }

    [Fact]
    public void A_knob_says_where_it_stands_and_tells_when_it_is_turned()
    {
        int turned = 0;
        IRenderedComponent<Knob> knob = Render<Knob>(p => p.Add(k => k.Id, "k").Add(k => k.Name, "Order").Add(k => k.Text, "3, 32 KiB").Add(k => k.Most, 10).Add(k => k.Value, 3).Add(k => k.OnTurn, v => turned = v));
        knob.Find("label").TextContent.Should().Be("Order: 3, 32 KiB");
        knob.Find("input").GetAttribute("aria-valuetext").Should().Be("3, 32 KiB");
        knob.Find("input").Input("7");
        turned.Should().Be(7);
    }
}
