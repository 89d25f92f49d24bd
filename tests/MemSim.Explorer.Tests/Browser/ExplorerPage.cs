using System.Globalization;
using FluentAssertions;
using Microsoft.Playwright;

namespace MemSim.Explorer.Tests.Browser;

/// <summary>A page of the explorer, in the words of a reader.</summary>
public sealed class ExplorerPage : IAsyncDisposable
{
    private const int Patience = 90_000;
    private readonly List<string> _errors = [];
    private readonly List<string> _elsewhere = [];

    internal ExplorerPage(IPage page, Uri home)
    {
        Page = page;
        Home = home;
        page.SetDefaultTimeout(Patience);
        page.PageError += (_, e) => _errors.Add(e);
        page.Console += (_, m) =>
        {
            if (m.Type == "error")
            {
                _errors.Add(m.Text);
            }
        };
        page.Request += (_, r) =>
        {
            if (!r.Url.StartsWith(home.ToString(), StringComparison.Ordinal) && !r.Url.StartsWith("data:", StringComparison.Ordinal) && !r.Url.StartsWith("blob:", StringComparison.Ordinal))
            {
                _elsewhere.Add(r.Url);
            }
        };
    }

    /// <summary>The page.</summary>
    public IPage Page { get; }

    /// <summary>Where its server is.</summary>
    public Uri Home { get; }

    /// <summary>What is marked for tests.</summary>
    public ILocator Part(string name) => Page.Locator($"[data-test={name}]");

    /// <summary>Goes to an address and waits until the page is there.</summary>
    public async Task GoTo(string address)
    {
        await Page.GotoAsync(address);
        await Page.Locator("main h1").WaitForAsync();
    }

    /// <summary>Waits until the picture shows the machine as it is.</summary>
    public async Task Settled() => await Page.Locator("[data-settled=true]").First.WaitForAsync(new LocatorWaitForOptions { State = WaitForSelectorState.Attached });

    /// <summary>A number that an element carries.</summary>
    public static async Task<long> Number(ILocator element, string name) => long.Parse((await element.GetAttributeAsync(name))!, CultureInfo.InvariantCulture);

    /// <summary>Free blocks by order of each zone, counted by who draws them.</summary>
    public async Task<Dictionary<string, long[]>> Drawn()
    {
        await Settled();
        return await Rows(Page.Locator("[data-test=map-counts] tr[data-zone]"));
    }

    /// <summary>Free blocks by order of each zone, as the table says.</summary>
    public async Task<Dictionary<string, long[]>> Listed() => await Rows(Page.Locator("[data-test=free-lists] tr[data-zone]"));

    /// <summary>What <c>/proc/buddyinfo</c> says.</summary>
    public async Task<string> Proc()
    {
        if (await Part("proc").CountAsync() == 0)
        {
            await Part("proc-fold").Locator("summary").ClickAsync();
        }

        return (await Part("proc").TextContentAsync())!;
    }

    /// <summary>Free blocks by order of each zone of a text of <c>/proc/buddyinfo</c>.</summary>
    public static Dictionary<string, long[]> BuddyInfo(string text) => text.Split('\n', StringSplitOptions.RemoveEmptyEntries)
        .Select(l => l.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        .ToDictionary(w => w[3], w => w[4..].Select(n => long.Parse(n, CultureInfo.InvariantCulture)).ToArray(), StringComparer.Ordinal);

    /// <summary>Runs a command.</summary>
    public async Task Run(string command)
    {
        ILocator line = Page.GetByPlaceholder("alloc 3 GFP_KERNEL as mine");
        await line.FillAsync(command);
        await line.PressAsync("Enter");
    }

    /// <summary>Keeps a picture of the page.</summary>
    public async Task Screenshot(string name) => await Page.ScreenshotAsync(new PageScreenshotOptions { Path = Path.Combine(Chromium.Screenshots, name + ".png") });

    /// <summary>Nothing went wrong, and nothing was asked of other hosts.</summary>
    public void ShouldBeQuiet()
    {
        _errors.Should().BeEmpty();
        _elsewhere.Should().BeEmpty("nothing is loaded from other hosts");
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync() => await Page.Context.CloseAsync();

    private static async Task<Dictionary<string, long[]>> Rows(ILocator rows)
    {
        Dictionary<string, long[]> zones = [];
        foreach (ILocator row in await rows.AllAsync())
        {
            IReadOnlyList<string> cells = await row.Locator("td").AllInnerTextsAsync();
            zones[(await row.GetAttributeAsync("data-zone"))!] = [.. cells.Take(11).Select(c => long.Parse(c, CultureInfo.InvariantCulture))];
        }

        return zones;
    }
}
