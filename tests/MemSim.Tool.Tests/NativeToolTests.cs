using FluentAssertions;
using Xunit;

namespace MemSim.Tool.Tests;

/// <summary>
/// The tool packed as native code, installed from the folder that <c>MEMSIM_NATIVE_TOOL</c> names (docs/publishing.md): it prints and draws what the tool prints and draws that the runtime compiles.
/// For who publishes them: CI makes no such packages.
/// </summary>
public sealed class NativeToolTests(RecordingsFixture recordings)
{
    [Fact]
    public async Task The_tool_as_native_code_prints_and_draws_what_the_other_does()
    {
        string? packages = Environment.GetEnvironmentVariable("MEMSIM_NATIVE_TOOL");
        Assert.SkipWhen(packages is null, "left out, no packages: docs/publishing.md says how to make them, MEMSIM_NATIVE_TOOL=DIR tests them");
        string package = Directory.EnumerateFiles(packages!, "MemSim.Tool.*.nupkg").MinBy(file => file.Length)!;
        string folder = recordings.EmptyFolder();
        string log = Path.Combine(folder, "kern.log");
        await File.WriteAllTextAsync(log, ExplainTests.Failure, TestContext.Current.CancellationToken);
        string svg = Path.Combine(folder, "out.svg");
        string png = Path.Combine(folder, "out.png");

        using InstalledTool tool = await InstalledTool.Install(package);

        // Else the package for all runtimes was installed, which has this program.
        tool.Files.Select(Path.GetFileName).Should().NotContain("MemSim.Tool.dll").And.Contain(["MemSim.Tool", "index.html"]);
        foreach (string[] args in new string[][]
        {
            ["--help"],
            ["replay", "--help"],
            ["boot", "--memory", "1G"],
            ["boot", "--memory", "512M", "--show", "zoneinfo", "--quiet", "--kernel", "7.3"],
            ["boot", "--memory", "256M", "--json"],
            ["twin", recordings.Twin, "--json"],
            ["stat", recordings.Trace, "--json"],
            ["explain", log],
            ["explain", log, "--json"],
            ["explain", log, "--svg", svg, "--png", png],
            ["scenario", "pod-reads-file", "--json"],
            ["plot", "two-services", "--out", svg],
            ["completion", "bash"],
            ["explain", "no-such-file"],
            ["boot", "--memory", "much"],
            ["no-such-verb"],
        })
        {
            ToolRun native = await tool.Run(args);
            byte[][] drawn = [.. new[] { svg, png }.Where(File.Exists).Select(File.ReadAllBytes)];
            ToolRun compiled = await InstalledTool.RunProgram("dotnet", [Path.Combine(AppContext.BaseDirectory, "MemSim.Tool.dll"), .. args]);

            native.Should().Be(compiled, string.Join(' ', args));
            drawn.Should().BeEquivalentTo(new[] { svg, png }.Where(File.Exists).Select(File.ReadAllBytes), options => options.WithStrictOrdering(), string.Join(' ', args));
            if (args.Contains("--svg"))
            {
                drawn.Should().HaveCount(2);
            }
        }

        // What it says of its own speed differs: the figures alone.
        foreach (string recording in new[] { recordings.Trace, recordings.Run })
        {
            (await tool.Run("replay", recording)).ShouldMatchAsMuchAs(await InstalledTool.RunProgram("dotnet", [Path.Combine(AppContext.BaseDirectory, "MemSim.Tool.dll"), "replay", recording]));
        }

        await tool.ShouldServeItsExplorer();
    }
}
