using System.Diagnostics;
using FluentAssertions;
using Xunit;

namespace MemSim.Tool.Tests;

using Process = System.Diagnostics.Process;

/// <summary>The tool as <c>dotnet tool install</c> puts it into a folder of its own, from the folder with its package.</summary>
internal sealed class InstalledTool : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("memsim-packed-").FullName;

    private InstalledTool()
    {
    }

    private string Command => Path.Combine(_folder, OperatingSystem.IsWindows() ? "memsim.exe" : "memsim");

    /// <summary>Where its files are: <c>.store/memsim.tool/VERSION/...</c>.</summary>
    public IEnumerable<string> Files => Directory.EnumerateFiles(_folder, "*", SearchOption.AllDirectories);

    public static async Task<InstalledTool> Install(string package)
    {
        InstalledTool tool = new();
        string version = Path.GetFileNameWithoutExtension(package)["MemSim.Tool.".Length..];
        ToolRun installed = await RunProgram("dotnet", ["tool", "install", "MemSim.Tool", "--version", version, "--tool-path", tool._folder, "--add-source", Path.GetDirectoryName(package)!, "--no-cache"]);
        if (installed.ExitCode != 0)
        {
            tool.Dispose();
            Assert.Fail(installed.Out + installed.Error);
        }

        return tool;
    }

    public Task<ToolRun> Run(params string[] args) => RunProgram(Command, args);

    public static async Task<ToolRun> RunProgram(string program, string[] args)
    {
        using Process process = Start(program, args);
        Task<string> error = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        string text = await process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        return new ToolRun(process.ExitCode, text, await error);
    }

    public async Task ShouldServeItsExplorer()
    {
        using Process view = Start(Command, ["view", "--no-browser"]);
        try
        {
            Uri address = new((await view.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken))!);
            using HttpClient client = new();
            foreach (string file in new[] { "", "_framework/blazor.webassembly.js", "_framework/MemSim.Explorer.wasm", "js/map.js", "css/app.css" })
            {
                (await client.GetByteArrayAsync(new Uri(address, file), TestContext.Current.CancellationToken)).Should().NotBeEmpty(file);
            }
        }
        finally
        {
            view.Kill(entireProcessTree: true);
        }
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static Process Start(string program, string[] args) =>
        Process.Start(new ProcessStartInfo(program, args) { RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false })!;
}
