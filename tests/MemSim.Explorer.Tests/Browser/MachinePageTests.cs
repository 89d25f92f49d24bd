using FluentAssertions;
using MemSim.Explorer.Pictures;
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

        drawn.Should().BeEquivalentTo(ExplorerPage.BuddyInfo(proc), o => o.WithStrictOrdering());
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
        for (int i = 0; i < 8; i++)
        {
            await picture.PressAsync("+");
        }

        await page.Page.Locator(".pointed", new PageLocatorOptions { HasText = "pfn 0x" }).WaitForAsync();
        byte[] alone = await picture.ScreenshotAsync();
        await picture.PressAsync("-");
        (await picture.ScreenshotAsync()).Should().NotEqual(alone, "four frames are not one");
        await page.Screenshot("zoomed");
    }

    [Fact]
    public async Task Colours_say_what_one_chooses()
    {
        await using ExplorerPage page = await chromium.Open("?machine&memory=256M&cma=16M&do=movable+2000;cache+c+300;object+c+count=500;process+p;mmap+p+4M+as+m;write+m;alloc+0+count=90");
        await page.Settled();
        ILocator picture = page.Page.Locator("canvas");
        List<byte[]> pictures = [];
        foreach (MapMode mode in MapMode.All)
        {
            await page.Page.SelectOptionAsync("select[id$=-mode]", mode.Id);
            (await page.Page.Locator(".legend li").CountAsync()).Should().BeGreaterThan(3, mode.Id);
            await page.Page.EvaluateAsync("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))");
            pictures.Add(await picture.ScreenshotAsync());
        }

        pictures.Select(Convert.ToBase64String).Should().OnlyHaveUniqueItems("each way of colouring shows something else");
        page.ShouldBeQuiet();
    }

    private static LocatorWaitForOptions Attached => new() { State = WaitForSelectorState.Attached };
}
