using System.Globalization;
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
    private const int BoxHeight = 34;
    private const int Width = 720;

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

    [Fact]
    public void Files_that_the_map_names_exist()
    {
        string core = Path.GetFullPath(Path.Combine(Docs, "..", "src", "MemSim"));
        foreach (Match match in Regex.Matches(File.ReadAllText(Path.Combine(Docs, "architecture.md")), "`((?:[A-Za-z]+/)+[A-Za-z.]+\\.cs)`", RegexOptions.None, TimeSpan.FromSeconds(5)))
        {
            File.Exists(Path.Combine(core, match.Groups[1].Value)).Should().BeTrue($"the map says that there is a {match.Groups[1].Value}");
        }
    }

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
        int height = 20 + (Rooms.Map.Count * BoxHeight);
        StringBuilder text = new();
        text.Append(CultureInfo.InvariantCulture, $"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {Width} {height}\" font-family=\"sans-serif\" font-size=\"14\" role=\"img\" aria-label=\"Rooms of src/MemSim; each uses those below it\">\n");
        text.Append("<style>rect{fill:#eef3fa;stroke:#456;rx:4}text{fill:#123}.s{font-size:11px;fill:#456}</style>\n");
        text.Append(CultureInfo.InvariantCulture, $"<rect width=\"{Width}\" height=\"{height}\" style=\"fill:#fff;stroke:none\"/>\n");
        for (int i = 0; i < Rooms.Map.Count; i++)
        {
            (string room, string subject) = Rooms.Map[^(i + 1)];
            int top = 10 + (i * BoxHeight);
            string plain = Regex.Replace(subject, " ?\\(\\[[^)]*\\)\\)|`", "", RegexOptions.None, TimeSpan.FromSeconds(1)).Replace("&", "&amp;", StringComparison.Ordinal);
            int cut = plain.Length <= 96 ? plain.Length : plain.LastIndexOf(' ', 92);
            text.Append(CultureInfo.InvariantCulture, $"<rect x=\"10\" y=\"{top}\" width=\"{Width - 20}\" height=\"{BoxHeight - 6}\"/><text x=\"20\" y=\"{top + 19}\">{(room == SourceUses.Facade ? "Machine" : room)}</text>");
            text.Append(CultureInfo.InvariantCulture, $"<text class=\"s\" x=\"150\" y=\"{top + 19}\">{plain[..cut]}{(cut < plain.Length ? " …" : "")}</text>\n");
        }

        return text.Append("</svg>\n").ToString();
    }
}
