using System.Diagnostics;
using System.IO.Compression;
using FluentAssertions;
using Xunit;

namespace MemSim.Tool.Tests;

using Process = System.Diagnostics.Process;

/// <summary>The package as somebody installs it: the folder that <c>MEMSIM_PACKAGES</c> names, where <c>dotnet pack src/MemSim.Tool</c> put it. CI packs and requires it.</summary>
public sealed class PackedToolTests
{
    private const int MostBytes = 5 << 20;

    [Fact]
    public void The_explorer_in_the_package_is_at_most_5_MiB_compressed()
    {
        using ZipArchive package = ZipFile.OpenRead(Package());
        ZipArchiveEntry[] files = [.. package.Entries.Where(e => e.FullName.Contains("/explorer/", StringComparison.Ordinal))];
        files.Select(f => f.Name).Should().Contain(["index.html", "blazor.webassembly.js", "dotnet.native.wasm", "MemSim.wasm", "map.js"]);

        long bytes = files.Sum(Compressed);
        TestContext.Current.TestOutputHelper?.WriteLine($"{files.Length} files, {bytes} bytes with brotli");
        bytes.Should().BeLessThan(MostBytes);
    }

    [Fact]
    public async Task The_installed_tool_serves_its_explorer()
    {
        string package = Package();
        string folder = Directory.CreateTempSubdirectory("memsim-packed-").FullName;
        try
        {
            string tools = Path.Combine(folder, "tools");
            string version = Path.GetFileNameWithoutExtension(package)["MemSim.Tool.".Length..];
            (int installed, string said) = await Run("dotnet", "tool", "install", "MemSim.Tool", "--version", version, "--tool-path", tools, "--add-source", Path.GetDirectoryName(package)!, "--no-cache");
            installed.Should().Be(0, said);

            using Process view = Start(Path.Combine(tools, OperatingSystem.IsWindows() ? "memsim.exe" : "memsim"), "view", "--no-browser");
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
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static string Package()
    {
        string? folder = Environment.GetEnvironmentVariable("MEMSIM_PACKAGES");
        Assert.SkipWhen(folder is null, "left out, no package: dotnet pack src/MemSim.Tool -c Release -o DIR makes one, MEMSIM_PACKAGES=DIR tests it");
        return Directory.EnumerateFiles(folder!, "MemSim.Tool.*.nupkg").Single();
    }

    private static long Compressed(ZipArchiveEntry entry)
    {
        using MemoryStream packed = new();
        using (BrotliStream brotli = new(packed, CompressionLevel.Optimal, leaveOpen: true))
        using (Stream content = entry.Open())
        {
            content.CopyTo(brotli);
        }

        return packed.Length;
    }

    private static async Task<(int ExitCode, string Text)> Run(string program, params string[] args)
    {
        using Process process = Start(program, args);
        Task<string> error = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        string text = await process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        return (process.ExitCode, text + await error);
    }

    private static Process Start(string program, params string[] args) =>
        Process.Start(new ProcessStartInfo(program, args) { RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false })!;
}
