using FluentAssertions;
using MemSim.Recordings;
using Microsoft.Playwright;
using Xunit;

namespace MemSim.Explorer.Tests.Browser;

/// <summary>A pasted report and a dropped recording, in a real browser.</summary>
public sealed class ReportPageTests(Chromium chromium) : IClassFixture<Chromium>
{
    [Fact]
    public async Task A_pasted_report_is_explained_and_its_knobs_run_a_machine()
    {
        await using ExplorerPage page = await chromium.Open("?report");
        await page.Page.Locator("#report-text").FillAsync(await File.ReadAllTextAsync(TestData.Case("01-btrfs-order4-nofs"), TestContext.Current.CancellationToken));
        await page.Part("explain").ClickAsync();

        ILocator explanation = page.Part("explanation").First;
        (await explanation.GetAttributeAsync("data-verdict")).Should().Be("fragmented");
        (await explanation.InnerTextAsync()).Should().Contain("31703 usable pages").And.Contain("misses by 7 pages");
        await page.Page.Locator("[data-test=what-if][data-passes=false]").WaitForAsync();
        await page.Page.Locator("#k-order").FillAsync("3");
        await page.Page.Locator("[data-test=what-if][data-passes=true]").WaitForAsync();
        await page.Screenshot("report");
        page.ShouldBeQuiet();
    }

    [Fact]
    public async Task Memsim_view_opens_a_report_explained()
    {
        await using ExplorerPage page = await chromium.Open(null, TestData.Case("16-ppc64-atomic-only-cma"));
        (await page.Part("explanation").First.GetAttributeAsync("data-verdict")).Should().Be("cma");
    }

    [Fact]
    public async Task A_text_without_a_report_is_answered_with_where_to_look()
    {
        await using ExplorerPage page = await chromium.Open("?report");
        await page.Page.Locator("#report-text").FillAsync("hello");
        await page.Part("explain").ClickAsync();
        (await page.Page.GetByRole(AriaRole.Alert).InnerTextAsync()).Should().Contain("dmesg");
    }

    [Fact]
    public async Task A_dropped_trace_is_replayed_drawn_and_saved()
    {
        await using ExplorerPage page = await chromium.Open("?recording");
        await page.Page.Locator("#recording-file").SetInputFilesAsync(Directory.GetFiles(TestData.Trace));
        ILocator recording = page.Part("recording");
        await recording.WaitForAsync();
        using TraceReplay replay = TraceReplay.Open(Path.Combine(TestData.Trace, "trace.txt.gz"), TestData.Trace);
        TraceReplayResult result = replay.Run();
        (await ExplorerPage.Number(recording, "data-allocations")).Should().Be(result.Allocations).And.BePositive();
        (await ExplorerPage.Number(recording, "data-predicted")).Should().Be(result.Predicted).And.BePositive();
        (await ExplorerPage.Number(page.Part("timeline"), "data-buckets")).Should().BeGreaterThan(10);
        await page.Page.Locator("#scrub").FillAsync("5");
        (await page.Part("bucket").InnerTextAsync()).Should().NotBeNullOrWhiteSpace();
        await page.Screenshot("recording");

        foreach ((string button, string start) in new[] { ("CSV", "first_line,"), ("SVG", "<svg"), ("PNG", "\u0089PNG"), ("Perfetto trace", "\n") })
        {
            IDownload download = await page.Page.RunAndWaitForDownloadAsync(() => page.Page.GetByRole(AriaRole.Button, new PageGetByRoleOptions { Name = button, Exact = true }).ClickAsync());
            byte[] bytes = await File.ReadAllBytesAsync(await download.PathAsync(), TestContext.Current.CancellationToken);
            System.Text.Encoding.Latin1.GetString(bytes, 0, Math.Min(bytes.Length, start.Length)).Should().Be(start, button);
        }

        page.ShouldBeQuiet();
    }

    [Fact]
    public async Task Memsim_view_opens_a_recording_replayed()
    {
        await using ExplorerPage page = await chromium.Open(null, TestData.Trace);
        await page.Part("recording").WaitForAsync();
        (await ExplorerPage.Number(page.Part("recording"), "data-events")).Should().BePositive();
    }
}
