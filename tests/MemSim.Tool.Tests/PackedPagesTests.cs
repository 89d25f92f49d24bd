using System.IO.Compression;
using System.Text.RegularExpressions;
using FluentAssertions;
using Xunit;

namespace MemSim.Tool.Tests;

/// <summary>The pages in the packages that <c>MEMSIM_PACKAGES</c> names: who has only a package can follow every link of them. CI packs and requires it.</summary>
public sealed partial class PackedPagesTests
{
    private static readonly string[] Packages = ["MemSim", "MemSim.Recordings", "MemSim.Reports", "MemSim.Testing", "MemSim.Testing.FluentAssertions", "MemSim.Testing.Xunit", "MemSim.Tool", "MemSim.Pages8K", "MemSim.Pages16K", "MemSim.Pages64K"];

    [Fact]
    public void Every_link_leads_out_or_to_a_file_of_the_same_package()
    {
        List<string> broken = [];
        int links = 0;
        foreach ((string name, ZipArchive package) in Opened())
        {
            using ZipArchive opened = package;
            HashSet<string> files = [.. package.Entries.Select(e => Uri.UnescapeDataString(e.FullName))];
            foreach (ZipArchiveEntry page in package.Entries.Where(e => e.FullName.EndsWith(".md", StringComparison.Ordinal)))
            {
                foreach (Match link in Link().Matches(CodeBlock().Replace(Text(page), "")))
                {
                    links++;
                    string target = link.Groups[1].Value;
                    if (!target.Contains("://", StringComparison.Ordinal) && !target.StartsWith('#') && !Exists(files, page.FullName, target.Split('#')[0]))
                    {
                        broken.Add($"{name}: {page.FullName}: {target}");
                    }
                }
            }
        }

        links.Should().BeGreaterThan(100, "the package of the core brings the documentation");
        broken.Should().BeEmpty();
    }

    [Fact]
    public void The_first_pages_name_files_that_the_package_of_the_core_has()
    {
        Dictionary<string, ZipArchive> opened = Opened().ToDictionary(p => p.Name, p => p.Package);
        HashSet<string> files = [.. opened["MemSim"].Entries.Select(e => e.FullName)];
        foreach ((string name, ZipArchive package) in opened)
        {
            foreach (string page in (string[])["README.md", "changes.md"])
            {
                string text = Text(package.GetEntry(page)!);
                Link().Matches(CodeBlock().Replace(text, "")).Where(m => !m.Groups[1].Value.Contains("://", StringComparison.Ordinal)).Should().BeEmpty($"{name}: {page}");
                string[] named = [.. Path().Matches(text).Select(m => m.Groups[1].Value)];
                named.Should().NotBeEmpty();
                files.Should().Contain(named.Where(path => path.Contains('.', StringComparison.Ordinal)));
            }

            Text(package.GetEntry("README.md")!).Should().StartWith("# MemSim\n\nPages named here").And.Contain("[", "nothing but links was taken away").And.Contain("machine.Verify();       ").And.Contain("| page allocator |");
            package.GetEntry("icon.png").Should().NotBeNull();
            package.Dispose();
        }
    }

    [Fact]
    public void A_list_of_packages_shows_names_and_words()
    {
        foreach ((string name, ZipArchive package) in Opened())
        {
            using ZipArchive opened = package;
            string nuspec = Text(package.GetEntry(name + ".nuspec")!);
            nuspec.Should().Contain($"<id>{name}</id>").And.Contain("<icon>icon.png</icon>").And.Contain("<readme>README.md</readme>").And.Contain("<releaseNotes>").And.MatchRegex("<description>[A-Z][^<]{20,}</description>");
            Regex.Match(nuspec, "<title>([^<]*)</title>", RegexOptions.None, TimeSpan.FromSeconds(1)).Groups[1].Value.Should().BeOneOf("", name);
        }
    }

    private static bool Exists(HashSet<string> files, string page, string target)
    {
        List<string> parts = [.. page.Split('/')[..^1]];
        foreach (string part in target.TrimEnd('/').Split('/'))
        {
            if (part != "..")
            {
                parts.Add(part);
            }
            else if (parts.Count != 0)
            {
                parts.RemoveAt(parts.Count - 1);
            }
        }

        string path = string.Join('/', parts);
        return files.Contains(path) || files.Any(f => f.StartsWith(path + "/", StringComparison.Ordinal));
    }

    private static IEnumerable<(string Name, ZipArchive Package)> Opened()
    {
        string? folder = Environment.GetEnvironmentVariable("MEMSIM_PACKAGES");
        Assert.SkipWhen(folder is null, "left out, no packages: dotnet pack -c Release -o DIR makes them, MEMSIM_PACKAGES=DIR tests them");
        foreach (string name in Packages)
        {
            yield return (name, ZipFile.OpenRead(Directory.EnumerateFiles(folder!, name + ".*.nupkg").Single(file => char.IsAsciiDigit(System.IO.Path.GetFileName(file)[name.Length + 1]))));
        }
    }

    private static string Text(ZipArchiveEntry entry)
    {
        using StreamReader reader = new(entry.Open());
        return reader.ReadToEnd().ReplaceLineEndings("\n");
    }

    [GeneratedRegex(@"\]\(([^)\s]+)\)", RegexOptions.None, 1000)]
    private static partial Regex Link();

    [GeneratedRegex("^```.*?^```$|`[^`\n]*`", RegexOptions.Singleline | RegexOptions.Multiline, 1000)]
    private static partial Regex CodeBlock();

    [GeneratedRegex(@"`((?:docs|benchmarks)/[A-Za-z0-9./-]+)`", RegexOptions.None, 1000)]
    private static partial Regex Path();
}
