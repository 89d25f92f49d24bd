using System.Diagnostics;
using System.Text.Json;
using FluentAssertions;
using Microsoft.Playwright;
using Xunit;

namespace MemSim.Explorer.Tests.Browser;

/// <summary>How much of its time the page's thread works. The processor's time is measured, not the clock's: other work on the machine does not count.</summary>
public sealed class SpeedTests(Chromium chromium) : IClassFixture<Chromium>
{
    private const int Steps = 200;
    private const double FrameMs = 1000.0 / 60;

    [Fact]
    public async Task Stepping_a_machine_of_1_GiB_leaves_time_for_60_frames_a_second()
    {
        string script = string.Join(';', Enumerable.Range(0, Steps).Select(i => $"alloc+{i % 5}"));
        await using ExplorerPage page = await chromium.Open("?machine&play&memory=1G&do=" + script);
        await page.Settled();
        await page.Page.SelectOptionAsync("#speed", "0");
        await page.Page.EvaluateAsync("() => { window.shown = []; const next = t => { window.shown.push(t); requestAnimationFrame(next); }; requestAnimationFrame(next); }");
        PageClock clock = await PageClock.Start(page);
        await page.Part("play").ClickAsync();
        await page.Page.Locator($"[data-test=script][data-done='{Steps}']").WaitForAsync(new LocatorWaitForOptions { State = WaitForSelectorState.Attached });
        double work = await clock.Milliseconds() / Steps;
        double[] frames = await page.Page.EvaluateAsync<double[]>("() => window.shown");

        double[] gaps = [.. frames.Zip(frames.Skip(1), (a, b) => b - a).Order()];
        Say($"{work:0.0} ms of the processor a step; {frames.Length} frames, median {gaps[gaps.Length / 2]:0.0} ms");
        work.Should().BeLessThan(FrameMs);
        frames.Length.Should().BeGreaterThanOrEqualTo(Steps, "each step has a frame of its own");
        Dictionary<string, long[]> drawn = await page.Drawn();
        drawn.Should().BeEquivalentTo(ExplorerPage.BuddyInfo(await page.Proc()), o => o.WithStrictOrdering(), "what was drawn step by step is what there is");
    }

    [Fact]
    public async Task The_first_picture_takes_at_most_3_seconds_of_the_processor()
    {
        await using ExplorerPage page = await chromium.Open("favicon.svg", wait: false);
        PageClock clock = await PageClock.Start(page);
        Stopwatch watch = Stopwatch.StartNew();
        await page.GoTo(page.Home.ToString());
        await page.Settled();
        watch.Stop();
        double seconds = await clock.Milliseconds() / 1000;
        Say($"first picture after {seconds:0.00} s of the processor, {watch.Elapsed.TotalSeconds:0.00} s of the clock, {(Chromium.Published is null ? "as built" : "published")}");

        // What is published is trimmed; a build is twice the code.
        seconds.Should().BeLessThan(Chromium.Published is null ? 6 : 3);
    }

    [Fact]
    public async Task A_machine_of_16_GiB_can_be_used()
    {
        await using ExplorerPage page = await chromium.Open("?machine&memory=16G&cpus=4&do=churn+2000+keep=500");
        await page.Settled();
        (await page.Drawn()).Should().BeEquivalentTo(ExplorerPage.BuddyInfo(await page.Proc()), o => o.WithStrictOrdering());
        PageClock clock = await PageClock.Start(page);
        await page.Run("alloc 9 as big");
        await page.Page.Locator("[data-test=script][data-done='2']").WaitForAsync(new LocatorWaitForOptions { State = WaitForSelectorState.Attached });
        double answer = await clock.Milliseconds();
        await page.Page.GetByRole(AriaRole.Button, new PageGetByRoleOptions { Name = "Normal", Exact = true }).ClickAsync();
        for (int i = 0; i < 11; i++)
        {
            await page.Page.GetByRole(AriaRole.Button, new PageGetByRoleOptions { Name = "Zoom in" }).ClickAsync();
        }

        await page.Page.Locator("canvas").FocusAsync();
        await page.Page.Keyboard.PressAsync("ArrowRight");
        await page.Page.Locator(".pointed", new PageLocatorOptions { HasText = "zone Normal" }).WaitForAsync();
        Say($"a command on 16 GiB takes {answer:0} ms of the processor");
        answer.Should().BeLessThan(2000);
        await page.Screenshot("machine-16G");
        page.ShouldBeQuiet();
    }

    private static void Say(string text) => TestContext.Current.TestOutputHelper?.WriteLine(text);

    /// <summary>The processor's time of the page's thread.</summary>
    private sealed class PageClock
    {
        private readonly ICDPSession _session;
        private double _start;

        private PageClock(ICDPSession session)
        {
            _session = session;
        }

        public static async Task<PageClock> Start(ExplorerPage page)
        {
            PageClock clock = new(await page.Page.Context.NewCDPSessionAsync(page.Page));
            await clock._session.SendAsync("Performance.enable", new Dictionary<string, object> { ["timeDomain"] = "threadTicks" });
            clock._start = await clock.Now();
            return clock;
        }

        public async Task<double> Milliseconds() => await Now() - _start;

        private async Task<double> Now()
        {
            JsonElement metrics = (await _session.SendAsync("Performance.getMetrics"))!.Value.GetProperty("metrics");
            return 1000 * metrics.EnumerateArray().First(m => m.GetProperty("name").GetString() == "TaskDuration").GetProperty("value").GetDouble();
        }
    }
}
