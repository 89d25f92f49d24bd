using System.IO.Compression;
using FluentAssertions;
using Xunit;

namespace MemSim.Tool.Tests;

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
        using InstalledTool tool = await InstalledTool.Install(package);
        await tool.ShouldServeItsExplorer();
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
}
