using MemSim.Tool;
using Microsoft.Playwright;
using Xunit;

namespace MemSim.Explorer.Tests.Browser;

/// <summary>One Chromium for all tests, and the pages it shows: served by <c>memsim view</c>.</summary>
public sealed class Chromium : IAsyncLifetime
{
    private static readonly string[] s_flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

    private readonly List<Viewed> _views = [];
    private IPlaywright? _playwright;
    private IBrowser? _browser;

    /// <summary>Where tests put what they saw.</summary>
    public static string Screenshots { get; } = Environment.GetEnvironmentVariable("MEMSIM_SCREENSHOTS") ?? Path.Combine(AppContext.BaseDirectory, "screenshots");

    /// <inheritdoc/>
    public ValueTask InitializeAsync()
    {
        Directory.CreateDirectory(Screenshots);
        return ValueTask.CompletedTask;
    }

    /// <summary>A published explorer that is tested instead of the build; null for the build.</summary>
    public static string? Published => Environment.GetEnvironmentVariable("MEMSIM_EXPLORER_SITE");

    /// <summary>Leaves the test out where there is no browser, and says how to get one; fails instead where one is required.</summary>
    public static void Require()
    {
        BrowserChoice choice = BrowserChoice.Of(Environment.GetEnvironmentVariable("MEMSIM_CHROMIUM"), Environment.GetEnvironmentVariable("MEMSIM_REQUIRE_BROWSER"), File.Exists);
        Assert.True(choice.Decision != BrowserDecision.Fail, choice.Why);
        Assert.SkipWhen(choice.Decision == BrowserDecision.LeaveOut, choice.Why);
    }

    /// <summary>Opens a page on what <c>memsim view</c> serves.</summary>
    /// <param name="query">The address after the server's; null for the one that the tool says.</param>
    /// <param name="data">What the tool is given; null for nothing.</param>
    /// <param name="options">How large the page is, how it looks.</param>
    /// <param name="wait">Whether to wait for the explorer to be there.</param>
    public async Task<ExplorerPage> Open(string? query = "", string? data = null, BrowserNewContextOptions? options = null, bool wait = true)
    {
        Require();
        _playwright ??= await Playwright.CreateAsync();
        _browser ??= await _playwright.Chromium.LaunchAsync(new BrowserTypeLaunchOptions { ExecutablePath = BrowserChoice.Of(Environment.GetEnvironmentVariable("MEMSIM_CHROMIUM"), null, File.Exists).Executable, Args = s_flags });
        Viewed? viewed = _views.Find(v => v.Data == data);
        if (viewed is null)
        {
            _views.Add(viewed = await Viewed.Start(data));
        }

        IBrowserContext context = await _browser.NewContextAsync(options ?? new BrowserNewContextOptions { ViewportSize = new ViewportSize { Width = 1360, Height = 900 } });
        ExplorerPage page = new(await context.NewPageAsync(), viewed.Address);
        string address = query is null ? viewed.Address.ToString() : new Uri(viewed.Address, query).ToString();
        await (wait ? page.GoTo(address) : page.Page.GotoAsync(address));
        return page;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_browser is not null)
        {
            await _browser.CloseAsync();
        }

        _playwright?.Dispose();
        foreach (Viewed view in _views)
        {
            await view.DisposeAsync();
        }
    }

    /// <summary>A running <c>memsim view</c>.</summary>
    private sealed class Viewed : IAsyncDisposable
    {
        private readonly CancellationTokenSource _stop = new();
        private Task<int>? _run;

        public string? Data { get; private init; }

        public Uri Address { get; private set; } = null!;

        public static async Task<Viewed> Start(string? data)
        {
            Viewed view = new() { Data = data };
            TaskCompletionSource<string> address = new(TaskCreationOptions.RunContinuationsAsynchronously);
            FirstLine output = new(address);
            StringWriter error = new();
            string[] site = Published is { } published ? ["--site", published] : [];
            string[] args = ["view", .. data is null ? Array.Empty<string>() : [data], "--no-browser", .. site];
            view._run = Task.Run(() => ToolApp.Run(args, new ToolConsole(output, error) { Interrupted = view._stop.Token }));
            Task first = await Task.WhenAny(address.Task, view._run, Task.Delay(TimeSpan.FromSeconds(60)));
            Assert.True(first == address.Task, $"memsim view did not start: {error}");
            view.Address = new Uri(await address.Task);
            return view;
        }

        public async ValueTask DisposeAsync()
        {
            await _stop.CancelAsync();
            await _run!;
            _stop.Dispose();
        }
    }

    /// <summary>Tells the first line that is written.</summary>
    private sealed class FirstLine(TaskCompletionSource<string> line) : StringWriter
    {
        public override void WriteLine(string? value)
        {
            base.WriteLine(value);
            line.TrySetResult(value ?? string.Empty);
        }
    }
}
