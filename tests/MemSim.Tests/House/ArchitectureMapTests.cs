using System.Globalization;
using System.Reflection;
using System.Text;
using System.Text.RegularExpressions;
using FluentAssertions;
using Xunit;

namespace MemSim.Tests.House;

/// <summary>The map in <c>docs/architecture.md</c> and its picture are drawn from the table of rooms: run with <c>MEMSIM_UPDATE_MAP=1</c> after a change.</summary>
public sealed class ArchitectureMapTests
{
    private const string Begin = "<!-- rooms: drawn by ArchitectureMapTests -->\n";
    private const string End = "<!-- end of rooms -->";
    private const int Width = 800;
    private const int Gap = 8;
    private const int Margin = 10;
    private const int SubjectLeft = 190;
    private const int LineHeight = 16;

    /// <summary>What a character takes of a line in the widest of the usual fonts, in the sizes of names (14) and subjects (12).</summary>
    private const double NameAdvance = 14 * 0.66;
    private const double SubjectAdvance = 12 * 0.56;

    private static readonly string Docs = Path.GetFullPath(Path.Combine(SourceTree.TestFolder(), "..", "..", "docs"));

    [Fact]
    public void The_table_of_rooms_is_the_one_that_the_edge_test_holds()
    {
        string path = Path.Combine(Docs, "architecture.md");
        string text = File.ReadAllText(path);
        int start = text.IndexOf(Begin, StringComparison.Ordinal) + Begin.Length;
        int end = text.IndexOf(End, StringComparison.Ordinal);
        if (Environment.GetEnvironmentVariable("MEMSIM_UPDATE_MAP") == "1")
        {
            File.WriteAllText(path, text[..start] + Table() + text[end..]);
        }

        File.ReadAllText(path).Should().Contain(Begin + Table() + End);
    }

    [Fact]
    public void The_picture_shows_the_rooms()
    {
        string path = Path.Combine(Docs, "architecture.svg");
        if (Environment.GetEnvironmentVariable("MEMSIM_UPDATE_MAP") == "1")
        {
            File.WriteAllText(path, Picture());
        }

        File.ReadAllText(path).Should().Be(Picture());
    }

    /// <summary>Every file, type and member that the page names in code: paths from the core's folder or from the top, files by name alone, <c>Room/Type</c>, <c>Type.Member</c>, members by name alone.</summary>
    [Fact]
    public void What_the_page_names_exists()
    {
        string top = Path.GetFullPath(Path.Combine(Docs, ".."));
        string core = Path.Combine(top, "src", "MemSim");
        HashSet<string> files = [.. Directory.EnumerateFiles(core, "*.cs", SearchOption.AllDirectories).Select(f => Path.GetFileName(f))];
        Names names = new(typeof(Machine).Assembly, typeof(ArchitectureMapTests).Assembly);
        List<string> missing = [];
        int looked = 0;
        foreach (Match match in Regex.Matches(File.ReadAllText(Path.Combine(Docs, "architecture.md")), "`([^`\n]+)`", RegexOptions.None, TimeSpan.FromSeconds(5)))
        {
            string name = match.Groups[1].Value;
            bool? exists = name switch
            {
                _ when Regex.IsMatch(name, @"^[\w.]+(/[\w.]+)+$", RegexOptions.None, TimeSpan.FromSeconds(1)) => IsPath(core, name) || IsPath(top, name),
                _ when name.EndsWith(".cs", StringComparison.Ordinal) => files.Contains(name),
                _ when name.StartsWith("cpu.", StringComparison.Ordinal) => names.HasMember("Cpu", name[4..]),
                _ when name.StartsWith("machine.", StringComparison.Ordinal) => names.HasMember("Machine", name[8..].TrimEnd('(', ')')),
                _ when Regex.IsMatch(name, @"^_[a-z]\w+$", RegexOptions.None, TimeSpan.FromSeconds(1)) => names.Has(name),
                _ when Regex.Match(name, @"^([A-Z]\w*)(?:\.(\w+))?(?:\(.*\))?$", RegexOptions.None, TimeSpan.FromSeconds(1)) is { Success: true } dotted && !name.Contains("PG_", StringComparison.Ordinal) =>
                    dotted.Groups[2].Success ? names.HasMember(dotted.Groups[1].Value, dotted.Groups[2].Value) : names.Has(dotted.Groups[1].Value) || Directory.Exists(Path.Combine(core, name)) || Slabs(core, name),
                _ => null,
            };
            looked += exists is null ? 0 : 1;
            if (exists == false)
            {
                missing.Add(name);
            }
        }

        string.Join(", ", missing).Should().BeEmpty("who reads the page looks for them");
        looked.Should().BeGreaterThan(150);
    }

    /// <summary>A file or folder, or the file of a type, below a folder.</summary>
    private static bool IsPath(string folder, string name) => File.Exists(Path.Combine(folder, name)) || File.Exists(Path.Combine(folder, name + ".cs")) || Directory.Exists(Path.Combine(folder, name));

    /// <summary>The rooms of the slab layer have rooms of their own, which the page names beside their own.</summary>
    private static bool Slabs(string core, string name) => Directory.Exists(Path.Combine(core, "Slab", name));

    private static string Table()
    {
        StringBuilder text = new("| room | what lives there |\n| --- | --- |\n");
        foreach ((string room, string subject) in Rooms.Map)
        {
            text.Append(CultureInfo.InvariantCulture, $"| {(room == SourceUses.Facade ? "beside the rooms" : $"`{room}`")} | {subject} |\n");
        }

        return text.ToString();
    }

    /// <summary>Every room uses those below it.</summary>
    private static string Picture()
    {
        StringBuilder boxes = new();
        int top = Gap;
        foreach ((string room, string subject) in Rooms.Map.Reverse())
        {
            List<string> lines = Lines(Regex.Replace(subject, " ?\\(\\[[^)]*\\)\\)|`", "", RegexOptions.None, TimeSpan.FromSeconds(1)), (Width - Gap - Margin - SubjectLeft) / SubjectAdvance);
            int height = 10 + (lines.Count * LineHeight);
            string name = room == SourceUses.Facade ? "Machine" : room;
            (Gap + Margin + (int)(name.Length * NameAdvance)).Should().BeLessThan(SubjectLeft, $"{name} ends before its subject begins");
            boxes.Append(CultureInfo.InvariantCulture, $"<rect x=\"{Gap}\" y=\"{top}\" width=\"{Width - (2 * Gap)}\" height=\"{height}\"/><text x=\"{Gap + Margin}\" y=\"{top + (height / 2) + 5}\">{name}</text>");
            for (int i = 0; i < lines.Count; i++)
            {
                string line = lines[i].Replace("&", "&amp;", StringComparison.Ordinal).Replace("<", "&lt;", StringComparison.Ordinal);
                boxes.Append(CultureInfo.InvariantCulture, $"<text class=\"s\" x=\"{SubjectLeft}\" y=\"{top + 4 + ((i + 1) * LineHeight) - 3}\">{line}</text>");
            }

            boxes.Append('\n');
            top += height + Gap;
        }

        StringBuilder text = new();
        text.Append(CultureInfo.InvariantCulture, $"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {Width} {top}\" font-family=\"sans-serif\" font-size=\"14\" role=\"img\" aria-label=\"Rooms of src/MemSim; each uses those below it\">\n");
        text.Append("<style>rect{fill:#eef3fa;stroke:#456;rx:4}text{fill:#123}.s{font-size:12px;fill:#456}</style>\n");
        text.Append(CultureInfo.InvariantCulture, $"<rect width=\"{Width}\" height=\"{top}\" style=\"fill:#fff;stroke:none\"/>\n");
        return text.Append(boxes).Append("</svg>\n").ToString();
    }

    /// <summary>A text in lines of so many characters.</summary>
    private static List<string> Lines(string text, double longest)
    {
        List<string> lines = [];
        foreach (string word in text.Split(' '))
        {
            if (lines.Count != 0 && lines[^1].Length + 1 + word.Length <= longest)
            {
                lines[^1] += " " + word;
            }
            else
            {
                lines.Add(word);
            }
        }

        return lines;
    }

    /// <summary>Types, with all that is in them, and names of members of any type.</summary>
    private sealed class Names
    {
        private const BindingFlags All = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static;
        private readonly Dictionary<string, HashSet<string>> _members = [];
        private readonly HashSet<string> _any = [];

        public Names(params Assembly[] assemblies)
        {
            foreach (Type type in assemblies.SelectMany(a => a.GetTypes()))
            {
                string name = type.Name.Split('`')[0];
                if (!_members.TryGetValue(name, out HashSet<string>? members))
                {
                    _members.Add(name, members = []);
                }

                for (Type? part = type; part is not null && part != typeof(object); part = part.BaseType)
                {
                    members.UnionWith(part.GetMembers(All).Select(m => m.Name));
                }

                _any.UnionWith(members);
            }
        }

        public bool Has(string name) => _members.ContainsKey(name) || _any.Contains(name);

        public bool HasMember(string type, string member) => _members.TryGetValue(type, out HashSet<string>? members) && members.Contains(member);
    }
}
