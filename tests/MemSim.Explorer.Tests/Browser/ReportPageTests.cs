using System.Buffers.Binary;
using System.Xml.Linq;
using FluentAssertions;
using MemSim.Explorer.Tests.Recordings;
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

        string[] csv = System.Text.Encoding.UTF8.GetString(await Saved(page, "CSV")).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        int events = Array.IndexOf(csv[0].Split(','), "events");
        long buckets = await ExplorerPage.Number(page.Part("timeline"), "data-buckets");
        csv.Length.Should().Be((int)buckets + 1);
        csv.Skip(1).Sum(l => long.Parse(l.Split(',')[events], System.Globalization.CultureInfo.InvariantCulture)).Should().Be(result.EventCount);

        XDocument svg = XDocument.Parse(System.Text.Encoding.UTF8.GetString(await Saved(page, "SVG")));
        svg.Root!.Name.Should().Be(XName.Get("svg", "http://www.w3.org/2000/svg"));
        svg.ToString().Should().NotContain("var(", "a picture on its own knows no variables of the page");
        svg.Descendants().Where(e => e.Name.LocalName == "path").Should().Contain(e => e.Attribute("d")!.Value.Split('M').Length - 1 == buckets, "a bar a stretch");

        byte[] png = await Saved(page, "PNG");
        png.AsSpan(0, 8).ToArray().Should().Equal(0x89, (byte)'P', (byte)'N', (byte)'G', 0x0d, 0x0a, 0x1a, 0x0a);
        (BinaryPrimitives.ReadInt32BigEndian(png.AsSpan(16)), BinaryPrimitives.ReadInt32BigEndian(png.AsSpan(20))).Should().Be((1920, 600));
        (await page.Page.EvaluateAsync<int>("""
            async text => {
              const image = new Image();
              image.src = 'data:image/png;base64,' + text;
              await image.decode();
              const c = Object.assign(document.createElement('canvas'), { width: image.width, height: image.height }).getContext('2d');
              c.drawImage(image, 0, 0);
              return new Set(new Uint32Array(c.getImageData(0, 0, image.width, image.height).data.buffer)).size;
            }
            """, Convert.ToBase64String(png))).Should().BeGreaterThan(4, "bars of several colours");

        Dictionary<string, long> sums = PerfettoFile.Sums(await Saved(page, "Perfetto trace"), out IReadOnlyCollection<string> tracks);
        tracks.Should().Contain("MemSim: trace.txt.gz");
        sums["events"].Should().Be(result.EventCount);
        sums["pages allocated"].Should().Be(result.Pages.AllocatedPages);
        sums["pages freed"].Should().Be(result.Pages.FreedPages);

        page.ShouldBeQuiet();
    }

    [Fact]
    public async Task Every_log_is_pasted_and_explained_as_its_table_says()
    {
        await using ExplorerPage page = await chromium.Open("?report");
        foreach (string log in TestData.Cases)
        {
            await page.Page.Locator("#report-text").FillAsync(await File.ReadAllTextAsync(log, TestContext.Current.CancellationToken));
            await page.Part("explain").ClickAsync();
            string expected = TestData.Verdicts[Path.GetFileName(log)[..2]].Reason;
            string[] verdicts = [.. await page.Part("explanation").EvaluateAllAsync<string[]>("all => all.map(e => e.dataset.verdict)")];
            string.Join(", ", verdicts).Should().Be(expected, Path.GetFileName(log));
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

    private static async Task<byte[]> Saved(ExplorerPage page, string button)
    {
        IDownload download = await page.Page.RunAndWaitForDownloadAsync(() => page.Page.GetByRole(AriaRole.Button, new PageGetByRoleOptions { Name = button, Exact = true }).ClickAsync());
        return await File.ReadAllBytesAsync(await download.PathAsync(), TestContext.Current.CancellationToken);
    }
}
