using Deque.AxeCore.Commons;
using Deque.AxeCore.Playwright;
using FluentAssertions;
using MemSim.Explorer.Lessons;
using Microsoft.Playwright;
using Xunit;

namespace MemSim.Explorer.Tests.Browser;

/// <summary>Keyboard, screen reader, light and dark, narrow screens.</summary>
public sealed class AccessibilityTests(Chromium chromium) : IClassFixture<Chromium>
{
    private const string Busy = "?machine&memory=256M&cpus=2&seed=7&do=churn+300+keep=100;process+app;mmap+app+64K+as+m;write+m";

    [Theory]
    [InlineData(ColorScheme.Light, 1360)]
    [InlineData(ColorScheme.Dark, 1360)]
    [InlineData(ColorScheme.Light, 390)]
    public async Task Axe_finds_nothing_on_any_page(ColorScheme scheme, int width)
    {
        await using ExplorerPage page = await chromium.Open("?lesson=" + LessonBook.All[0].Id, options: Look(scheme, width));
        List<string> findings = [];
        foreach (Lesson lesson in scheme == ColorScheme.Light && width > 1000 ? LessonBook.All : LessonBook.All.Where((_, i) => i % 4 == 0))
        {
            // The same parts look the same in each lesson: one in four is enough to see them in the dark and on a telephone.
            await page.Page.Locator($".contents a[href='?lesson={lesson.Id}']").ClickAsync();
            await page.Page.Locator($"[data-test=lesson][data-lesson={lesson.Id}]").WaitForAsync();
            await page.Part("next").ClickAsync();
            await page.Page.Locator("[data-test=lesson][data-step='2']").WaitForAsync();
            await Audit(page, "lesson " + lesson.Id, findings);
        }

        await page.GoTo(new Uri(new Uri(page.Page.Url), Busy).ToString());
        await page.Settled();
        ILocator folded = page.Page.Locator("main details:not([open]) > summary");
        while (await folded.CountAsync() > 0)
        {
            await folded.First.ClickAsync();
        }

        await Audit(page, "machine", findings);
        await page.GoTo(new Uri(new Uri(page.Page.Url), "?report").ToString());
        await page.Page.GetByText("Try one").ClickAsync();
        await page.Part("what-if").WaitForAsync();
        await Audit(page, "report", findings);
        await page.GoTo(new Uri(new Uri(page.Page.Url), "?recording").ToString());
        await page.Page.Locator("#recording-file").SetInputFilesAsync(Directory.GetFiles(TestData.Trace));
        await page.Part("recording").WaitForAsync();
        await Audit(page, "recording", findings);
        findings.Should().BeEmpty();
    }

    [Fact]
    public async Task A_lesson_is_walked_to_its_end_with_the_keyboard_alone()
    {
        await using ExplorerPage page = await chromium.Open("?lesson=fork", options: Look(ColorScheme.Light, 1360));
        await page.Part("next").WaitForAsync();
        await page.Page.Keyboard.PressAsync("Tab");
        (await Focused(page, "e => e.textContent")).Should().Be("Skip to the content");
        await TabTo(page, "e => e.dataset.test === 'next'");
        (await Focused(page, "e => getComputedStyle(e).outlineStyle")).Should().Be("solid", "who does not see where the focus is cannot use it");
        Lesson lesson = LessonBook.Find("fork");
        for (int step = 2; step <= lesson.Steps.Count; step++)
        {
            await page.Page.Keyboard.PressAsync("Enter");
            await page.Page.Locator($"[data-test=lesson][data-step='{step}']").WaitForAsync();
        }

        await TabTo(page, "e => e.tagName === 'CANVAS'");
        await page.Page.Keyboard.PressAsync("ArrowRight");
        await page.Page.Locator(".pointed", new PageLocatorOptions { HasText = "zone DMA" }).WaitForAsync();
        await TabTo(page, "e => e.matches('.breaks button')");
        await page.Page.Keyboard.PressAsync("Enter");
        await page.Part("said").WaitForAsync();
        await TabTo(page, "e => e.matches('input.mono')");
        await page.Page.Keyboard.TypeAsync("alloc 3");
        await page.Page.Keyboard.PressAsync("Enter");
        await page.Part("said").Filter(new LocatorFilterOptions { HasText = "8 pages of zone" }).WaitForAsync();
        page.ShouldBeQuiet();
    }

    [Theory]
    [InlineData("?lesson=buddy")]
    [InlineData("?lesson=walk")]
    [InlineData(Busy)]
    [InlineData("?report")]
    [InlineData("?recording")]
    public async Task Every_page_fits_a_telephone(string query)
    {
        await using ExplorerPage page = await chromium.Open(query, options: Look(ColorScheme.Dark, 360));
        if (query == "?report")
        {
            await page.Page.GetByText("Try one").ClickAsync();
            await page.Part("what-if").WaitForAsync();
        }
        else if (query == "?recording")
        {
            await page.Page.Locator("#recording-file").SetInputFilesAsync(Directory.GetFiles(TestData.Trace));
            await page.Part("recording").WaitForAsync();
        }
        else
        {
            await page.Settled();
        }

        (await page.Page.EvaluateAsync<int>("document.documentElement.scrollWidth")).Should().BeLessThanOrEqualTo(360);
        await page.Screenshot("narrow-" + query.Split('&')[0].Trim('?').Replace('=', '-'));
    }

    [Fact]
    public async Task Dark_is_dark_and_the_reader_has_the_last_word()
    {
        await using ExplorerPage page = await chromium.Open("?lesson=slab", options: Look(ColorScheme.Dark, 1360));
        await page.Settled();
        (await Brightness(page)).Should().BeLessThan(0.2);
        long dark = await Drawn(page);
        ILocator theme = page.Page.GetByRole(AriaRole.Button, new PageGetByRoleOptions { Name = "Theme" });
        await theme.ClickAsync();
        await page.Page.Locator("html[data-theme=light]").WaitForAsync();
        (await Brightness(page)).Should().BeGreaterThan(0.8);
        await page.Page.WaitForFunctionAsync("dark => { const c = document.querySelector('canvas'), d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let sum = 0; for (let i = 0; i < d.length; i += 4) sum += d[i + 1]; return sum !== dark; }", dark);
        await page.Page.ReloadAsync();
        await page.Settled();
        (await Brightness(page)).Should().BeGreaterThan(0.8, "the choice is kept");
    }

    private static BrowserNewContextOptions Look(ColorScheme scheme, int width) =>
        new() { ViewportSize = new ViewportSize { Width = width, Height = 900 }, ColorScheme = scheme, ReducedMotion = ReducedMotion.Reduce };

    private static async Task Audit(ExplorerPage page, string name, List<string> findings)
    {
        AxeResult result = await page.Page.RunAxe();
        result.Passes.Should().NotBeEmpty(name);
        findings.AddRange(result.Violations
            .Select(v => $"{name}: {v.Id} ({v.Impact}), {v.Help}: {string.Join(" | ", v.Nodes.Take(4).Select(n => $"{n.Html} {string.Join(' ', n.Any.Select(a => a.Message))}"))}"));
    }

    private static async Task TabTo(ExplorerPage page, string isThere)
    {
        for (int i = 0; i < 80; i++)
        {
            await page.Page.Keyboard.PressAsync("Tab");
            if (await page.Page.EvaluateAsync<bool>($"() => ({isThere})(document.activeElement)"))
            {
                return;
            }
        }

        Assert.Fail($"the keyboard never comes to {isThere}");
    }

    private static async Task<string> Focused(ExplorerPage page, string what) => await page.Page.EvaluateAsync<string>($"() => ({what})(document.activeElement)");

    private static async Task<double> Brightness(ExplorerPage page) =>
        await page.Page.EvaluateAsync<double>("() => { const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/[0-9.]+/g).map(Number); return (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255; }");

    private static async Task<long> Drawn(ExplorerPage page) =>
        await page.Page.EvaluateAsync<long>("() => { const c = document.querySelector('canvas'), d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let sum = 0; for (let i = 0; i < d.length; i += 4) sum += d[i + 1]; return sum; }");
}
