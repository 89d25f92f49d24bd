using FluentAssertions;
using MemSim.Explorer.Lessons;
using Microsoft.Playwright;
using Xunit;

namespace MemSim.Explorer.Tests.Browser;

/// <summary>Lessons in a real browser.</summary>
public sealed class LessonPageTests(Chromium chromium) : IClassFixture<Chromium>
{
    [Fact]
    public async Task Every_lesson_is_played_to_its_end_and_the_picture_shows_what_the_lists_say()
    {
        await using ExplorerPage page = await chromium.Open("?lesson=" + LessonBook.All[0].Id, options: new BrowserNewContextOptions { ReducedMotion = ReducedMotion.Reduce, ViewportSize = new ViewportSize { Width = 1360, Height = 1000 } });
        foreach (Lesson lesson in LessonBook.All)
        {
            await page.Page.Locator($".contents a[href='?lesson={lesson.Id}']").ClickAsync();
            ILocator shown = page.Page.Locator($"[data-test=lesson][data-lesson={lesson.Id}]");
            await shown.WaitForAsync();
            (await page.Page.Locator(".watch").InnerTextAsync()).Should().Be(lesson.Watch);
            for (int step = 2; step <= lesson.Steps.Count; step++)
            {
                await page.Part("next").ClickAsync();
                await page.Page.Locator($"[data-test=lesson][data-step='{step}']").WaitForAsync();
                (await page.Part("says").InnerTextAsync()).Should().NotBeNullOrWhiteSpace();
            }

            Dictionary<string, long[]> drawn = await page.Drawn();
            drawn.Values.Sum(v => v.Sum()).Should().BePositive();
            if (lesson.Panels.HasFlag(LessonPanels.FreeLists))
            {
                drawn.Should().BeEquivalentTo(await page.Listed(), o => o.WithStrictOrdering(), lesson.Id);
            }

            await page.Screenshot("lesson-" + lesson.Id);
        }

        page.ShouldBeQuiet();
    }

    [Fact]
    public async Task A_student_sees_a_block_of_order_3_split_and_merged_without_touching_anything()
    {
        await using ExplorerPage page = await chromium.Open();
        ILocator dma = page.Page.Locator("[data-test=free-lists] tr[data-zone=DMA] td:nth-of-type(4)");
        await Expect(dma, "1");
        await Expect(dma, "0");
        await page.Screenshot("first-minute");
        await Expect(dma, "1");
        (await page.Part("says").InnerTextAsync()).Should().Contain("merge");
        page.ShouldBeQuiet();
    }

    [Fact]
    public async Task A_lesson_is_broken_by_hand_and_repaired()
    {
        await using ExplorerPage page = await chromium.Open("?lesson=flags");
        await page.Part("lesson").WaitForAsync();
        await page.Page.GetByText("GFP_KERNEL in an interrupt.").ClickAsync();
        (await page.Part("said").InnerTextAsync()).Should().Contain("invalid context");
        await page.Page.GetByText("Back to the lesson").ClickAsync();
        await page.Page.GetByText("GFP_NOFS", new PageGetByTextOptions { Exact = true }).ClickAsync();
        (await page.Part("quiz").InnerTextAsync()).Should().Contain("Right.");
    }

    private static async Task Expect(ILocator cell, string text)
    {
        await cell.Filter(new LocatorFilterOptions { HasText = text }).WaitForAsync(new LocatorWaitForOptions { Timeout = 90_000 });
    }
}
