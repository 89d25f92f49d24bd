using System.Net;
using System.Text;
using FluentAssertions;
using Xunit;

namespace MemSim.Tool.Tests;

/// <summary><c>memsim view</c>: a server for this machine's browser and nobody else.</summary>
public sealed class ViewTests : IDisposable
{
    private const string Log = "app: page allocation failure: order:4, mode:0xcc0(GFP_KERNEL)";
    private readonly string _folder = Directory.CreateTempSubdirectory("memsim-view-").FullName;

    public ViewTests()
    {
        Directory.CreateDirectory(Path.Combine(_folder, "site", "_framework"));
        File.WriteAllText(Path.Combine(_folder, "site", "index.html"), "<title>MemSim</title>");
        File.WriteAllText(Path.Combine(_folder, "site", "_framework", "blazor.webassembly.js"), "// runtime");
        File.WriteAllBytes(Path.Combine(_folder, "site", "_framework", "MemSim.wasm"), [0, 97, 115, 109]);
        File.WriteAllText(Path.Combine(_folder, "log.txt"), Log);
        File.WriteAllText(Path.Combine(_folder, "secret.txt"), "not for the page");
    }

    private string Site => Path.Combine(_folder, "site");

    [Fact]
    public async Task Page_and_data_are_served_until_it_is_told_to_stop()
    {
        await using Served served = await Served.Start("view", Path.Combine(_folder, "log.txt"), "--site", Site, "--no-browser");
        served.Address.Host.Should().Be("127.0.0.1");
        served.Address.Query.Should().Be("?report&file=log.txt");

        (await served.Text("")).Should().Contain("MemSim");
        (await served.Text("data/log.txt")).Should().Be(Log);
        using HttpResponseMessage wasm = await served.Get("_framework/MemSim.wasm");
        wasm.Content.Headers.ContentType!.MediaType.Should().Be("application/wasm");
        using HttpResponseMessage page = await served.Get("index.html?report&file=log.txt");
        page.Content.Headers.ContentType!.ToString().Should().Be("text/html; charset=utf-8");

        (await served.Stop()).Should().Be(0);
        Func<Task> after = () => served.Get("");
        await after.Should().ThrowAsync<HttpRequestException>("nobody listens any more");
    }

    [Fact]
    public async Task Nothing_else_is_served_and_nothing_is_taken()
    {
        await using Served served = await Served.Start("view", "--site", Site, "--no-browser");
        foreach (string path in new[] { "secret.txt", "../secret.txt", "..%2fsecret.txt", "%2e%2e/secret.txt", "data/log.txt", "data/../../secret.txt", "no-such-file" })
        {
            using HttpResponseMessage answer = await served.Get(path);
            answer.StatusCode.Should().Be(HttpStatusCode.NotFound, path);
        }

        using HttpResponseMessage posted = await served.Client.PostAsync(new Uri(served.Address, "index.html"), new StringContent("x"), TestContext.Current.CancellationToken);
        posted.StatusCode.Should().Be(HttpStatusCode.MethodNotAllowed);
    }

    [Fact]
    public async Task A_folder_of_proc_files_is_one_report()
    {
        string folder = Directory.CreateDirectory(Path.Combine(_folder, "proc")).FullName;
        await File.WriteAllTextAsync(Path.Combine(folder, "zoneinfo"), "Node 0, zone DMA\n", TestContext.Current.CancellationToken);
        await File.WriteAllTextAsync(Path.Combine(folder, "buddyinfo"), "Node 0, zone DMA 1\n", TestContext.Current.CancellationToken);
        await using Served served = await Served.Start("view", folder, "--site", Site, "--no-browser");

        served.Address.Query.Should().Be("?report&file=proc.txt");
        (await served.Text("data/proc.txt")).Should().Be("Node 0, zone DMA\nNode 0, zone DMA 1\n");
    }

    [Fact]
    public void What_cannot_be_shown_is_refused_with_what_can()
    {
        ToolRun.Of("view", Path.Combine(_folder, "none"), "--site", Site, "--no-browser").ShouldBeRefused("no such file or folder");
        ToolRun.Of("view", Site, "--site", Site, "--no-browser").ShouldBeRefused("neither a trace");
        ToolRun.Of("view", "--site", _folder, "--no-browser").ShouldBeRefused("dotnet publish src/MemSim.Explorer");
        ToolRun.Of("view", "--site", Site, "--port", "70000", "--no-browser").ShouldBeRefused("is no port");
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    /// <summary>A running <c>memsim view</c>.</summary>
    private sealed class Served : IAsyncDisposable
    {
        private readonly CancellationTokenSource _stop = new();
        private Task<int> _run = Task.FromResult(0);

        public HttpClient Client { get; } = new();

        public Uri Address { get; private set; } = null!;

        public static async Task<Served> Start(params string[] args)
        {
            Served served = new();
            FirstLine output = new();
            StringWriter error = new();
            served._run = Task.Run(() => ToolApp.Run(args, new ToolConsole(output, error) { Interrupted = served._stop.Token }));
            await Task.WhenAny(output.Line, served._run);
            output.Line.IsCompleted.Should().BeTrue(error.ToString());
            served.Address = new Uri(await output.Line);
            return served;
        }

        public Task<HttpResponseMessage> Get(string path) => Client.GetAsync(new Uri(Address.GetLeftPart(UriPartial.Authority) + "/" + path, new UriCreationOptions { DangerousDisablePathAndQueryCanonicalization = true }), TestContext.Current.CancellationToken);

        public async Task<string> Text(string path)
        {
            using HttpResponseMessage answer = await Get(path);
            answer.StatusCode.Should().Be(HttpStatusCode.OK, path);
            return await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        }

        public async Task<int> Stop()
        {
            await _stop.CancelAsync();
            return await _run;
        }

        public async ValueTask DisposeAsync()
        {
            await Stop();
            _stop.Dispose();
            Client.Dispose();
        }
    }

    private sealed class FirstLine : StringWriter
    {
        private readonly TaskCompletionSource<string> _line = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task<string> Line => _line.Task;

        public override Encoding Encoding => Encoding.UTF8;

        public override void WriteLine(string? value) => _line.TrySetResult(value ?? string.Empty);
    }
}
