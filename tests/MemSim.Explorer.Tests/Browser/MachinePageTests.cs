using System.Globalization;
using FluentAssertions;
using Microsoft.Playwright;
using Xunit;

namespace MemSim.Explorer.Tests.Browser;

/// <summary>A machine to command, in a real browser.</summary>
public sealed class MachinePageTests(Chromium chromium) : IClassFixture<Chromium>
{
    private const string Busy = "?machine&memory=512M&cpus=2&seed=7&do=churn+1500+keep=600;vmalloc+1M;movable+3000";

    [Fact]
    public async Task The_picture_shows_as_many_free_blocks_as_proc_buddyinfo()
    {
        await using ExplorerPage page = await chromium.Open(Busy);
        Dictionary<string, long[]> drawn = await page.Drawn();
        string proc = await page.Proc();

        drawn.Should().BeEquivalentTo(BuddyInfo(proc), o => o.WithStrictOrdering());
        await page.Screenshot("machine");
        page.ShouldBeQuiet();
    }

    [Fact]
    public async Task A_link_brings_the_same_machine_to_the_same_state_and_back_takes_a_step_back()
    {
        await using ExplorerPage first = await chromium.Open(Busy);
        await first.Settled();
        string before = await first.Proc();
        await using ExplorerPage second = await chromium.Open(Busy);
        await second.Settled();
        (await second.Proc()).Should().Be(before);

        await second.Run("alloc 9");
        await second.Page.Locator("[data-test=script][data-done='4']").WaitForAsync(Attached);
        (await second.Proc()).Should().NotBe(before);
        second.Page.Url.Should().Contain("alloc+9");
        await second.Page.GetByText("Back", new PageGetByTextOptions { Exact = true }).ClickAsync();
        await second.Page.Locator("[data-test=script][data-done='3']").WaitForAsync(Attached);
        (await second.Proc()).Should().Be(before);
        await second.Part("forward").IsEnabledAsync();
    }

    [Fact]
    public async Task What_cannot_be_done_is_answered_with_what_can()
    {
        await using ExplorerPage page = await chromium.Open("?machine&memory=256M");
        await page.Settled();
        await page.Run("aloc 3");
        (await page.Part("said").InnerTextAsync()).Should().Contain("is no command");
        await page.Run("alloc 12");
        (await page.Part("said").InnerTextAsync()).Should().Contain("from 0 to 10");
        await page.GoTo(new Uri(new Uri(page.Page.Url), "?machine&memory=7T").ToString());
        (await page.Page.GetByRole(AriaRole.Alert).InnerTextAsync()).Should().Contain("128M to 16G");
    }

    [Fact]
    public async Task Every_step_of_a_film_is_drawn()
    {
        string script = string.Join(';', Enumerable.Range(0, 90).Select(i => $"alloc+{i % 5}"));
        await using ExplorerPage page = await chromium.Open("?machine&play&memory=1G&do=" + script);
        await page.Settled();
        await page.Page.SelectOptionAsync("#speed", "0");
        DateTime start = DateTime.UtcNow;
        await page.Part("play").ClickAsync();
        await page.Page.Locator("[data-test=script][data-done='90']").WaitForAsync(Attached);
        double seconds = (DateTime.UtcNow - start).TotalSeconds;
        Dictionary<string, long[]> drawn = await page.Drawn();
        drawn.Should().BeEquivalentTo(BuddyInfo(await page.Proc()), o => o.WithStrictOrdering());
        TestContext.Current.TestOutputHelper?.WriteLine($"90 steps of a 1 GiB machine in {seconds:0.00} s: {90 / seconds:0} a second");
        seconds.Should().BeLessThan(30);
    }

    [Theory]
    [InlineData(390, ColorScheme.Light)]
    [InlineData(390, ColorScheme.Dark)]
    [InlineData(1360, ColorScheme.Dark)]
    public async Task Narrow_and_dark_pages_have_room_for_everything(int width, ColorScheme scheme)
    {
        await using ExplorerPage page = await chromium.Open("?lesson=slab", options: new BrowserNewContextOptions { ViewportSize = new ViewportSize { Width = width, Height = 844 }, ColorScheme = scheme });
        await page.Settled();
        (await page.Page.EvaluateAsync<int>("document.documentElement.scrollWidth")).Should().BeLessThanOrEqualTo(width);
        await page.Screenshot($"slab-{width}-{scheme}");
    }

    [Fact]
    public async Task The_picture_is_walked_with_the_keyboard()
    {
        await using ExplorerPage page = await chromium.Open("?machine&memory=256M");
        await page.Settled();
        ILocator picture = page.Page.Locator("canvas");
        await picture.FocusAsync();
        await picture.PressAsync("ArrowRight");
        await page.Page.Locator(".pointed", new PageLocatorOptions { HasText = "pfn 0x400" }).WaitForAsync();
        await picture.PressAsync("+");
        await picture.PressAsync("+");
        await picture.PressAsync("ArrowRight");
        await page.Page.Locator(".pointed", new PageLocatorOptions { HasText = "zone DMA" }).WaitForAsync();
    }

    private static LocatorWaitForOptions Attached => new() { State = WaitForSelectorState.Attached };

    private static Dictionary<string, long[]> BuddyInfo(string text) => text.Split('\n', StringSplitOptions.RemoveEmptyEntries)
        .Select(l => l.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        .ToDictionary(w => w[3], w => w[4..].Select(n => long.Parse(n, CultureInfo.InvariantCulture)).ToArray(), StringComparer.Ordinal);
}
