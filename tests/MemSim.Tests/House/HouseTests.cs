using FluentAssertions;
using Xunit;

namespace MemSim.Tests.House;

/// <summary>Arrows between rooms go one way, files and types stay small, and nothing is global.</summary>
public sealed class HouseTests
{
    private const int LongestFile = 500;
    private const int MostMembers = 60;

    private static readonly Lazy<SourceUses> Sources = new(() => new SourceUses(Path.GetFullPath(Path.Combine(SourceTree.TestFolder(), "..", "..", "src", "MemSim"))));

    [Fact]
    public void No_room_uses_one_above_it_but_those_that_the_table_names()
    {
        List<Use> uses = Sources.Value.AcrossRooms(Rooms.Order);
        Dictionary<string, int> rank = Rooms.Order.Select((room, i) => (room, i)).ToDictionary(r => r.room, r => r.i);
        uses.Select(use => use.From).Concat(uses.Select(use => use.To)).Distinct().Should().BeSubsetOf(Rooms.Order, "every folder has its place in the order");
        HashSet<(string, string)> allowed = [.. Rooms.Upward.Select(edge => (edge.From, edge.To))];

        List<Use> upward = uses.FindAll(use => rank[use.To] > rank[use.From]);

        Lines(upward.FindAll(use => !allowed.Contains((use.From, use.To))).Select(use => $"{use.From} may not use {use.To}: {use.File}({use.Line}) names {use.Symbol}"))
            .Should().BeEmpty();
        Lines(allowed.Except(upward.Select(use => (use.From, use.To))).Select(edge => $"{edge.Item1} to {edge.Item2}")).Should().BeEmpty("an exception that nobody needs is taken out of the table");
        Rooms.Upward.Should().OnlyContain(edge => edge.Reason.Length > 20 && edge.Reason.EndsWith('.'), "each exception has a sentence of reason");
        Rooms.Upward.Should().OnlyContain(edge => rank[edge.To] > rank[edge.From]);
        uses.Should().HaveCountGreaterThan(5000, "uses inside method bodies are seen");
    }

    [Fact]
    public void Every_room_is_a_folder_and_every_folder_is_a_room() =>
        Sources.Value.Files.Where(file => file.Contains('/', StringComparison.Ordinal)).Select(file => file[..file.IndexOf('/', StringComparison.Ordinal)]).Distinct()
            .Should().BeEquivalentTo(Rooms.Order.Where(room => room != SourceUses.Facade));

    [Fact]
    public void Tests_have_the_namespace_of_their_folder()
    {
        string tests = Path.GetFullPath(Path.Combine(SourceTree.TestFolder(), ".."));
        string[] projects = ["MemSim.Tests", "MemSim.Oracle.Tests"];
        (string File, string Folder, string Namespace)[] files = [.. projects.SelectMany(project => Directory.EnumerateFiles(Path.Combine(tests, project), "*.cs", SearchOption.AllDirectories))
            .Select(file => (Path: file, Name: Path.GetRelativePath(tests, file).Replace('\\', '/')))
            .Where(file => !file.Name.Split('/').Any(part => part is "obj" or "bin"))
            .Select(file => (file.Name, file.Name[..file.Name.LastIndexOf('/')].Replace('/', '.'), File.ReadLines(file.Path).FirstOrDefault(line => line.StartsWith("namespace ", StringComparison.Ordinal))?[10..].TrimEnd(';') ?? ""))];

        Lines(files.Where(file => file.Namespace.Length != 0 && file.Namespace != file.Folder).Select(file => $"{file.File}: {file.Namespace}")).Should().BeEmpty("a test is found where what it tests is");
        files.Should().HaveCountGreaterThan(250);
    }

    [Fact]
    public void Nothing_static_can_change() =>
        Lines(Sources.Value.MutableStatics().Except(Rooms.HarmlessStatics.Keys)).Should().BeEmpty("a machine has no state outside itself");

    [Fact]
    public void No_file_is_longer_than_500_lines()
    {
        string src = Path.GetFullPath(Path.Combine(SourceTree.TestFolder(), "..", "..", "src"));
        Lines(Directory.EnumerateFiles(src, "*.cs", SearchOption.AllDirectories)
            .Where(f => !f.Contains($"{Path.DirectorySeparatorChar}obj{Path.DirectorySeparatorChar}", StringComparison.Ordinal) && !f.Contains($"{Path.DirectorySeparatorChar}bin{Path.DirectorySeparatorChar}", StringComparison.Ordinal))
            .Select(f => (Name: Path.GetRelativePath(src, f).Replace('\\', '/'), Lines: File.ReadLines(f).Count()))
            .Where(f => f.Lines > LongestFile).Select(f => $"{f.Name}: {f.Lines}")).Should().BeEmpty();
    }

    [Fact]
    public void No_type_has_more_than_60_members_but_those_that_the_table_names()
    {
        List<(string Type, int Members)> large = [.. Sources.Value.MemberCounts().Where(t => t.Members > MostMembers)];

        Lines(large.Where(t => !Rooms.LargeTypes.ContainsKey(t.Type)).Select(t => $"{t.Type}: {t.Members}")).Should().BeEmpty();
        Rooms.LargeTypes.Keys.Except(large.Select(t => t.Type)).Should().BeEmpty("a type that became small is taken out of the table");
    }

    /// <summary>Owner, references and type of a frame share words; what bits they are is said once, in <c>Pages</c>.</summary>
    [Fact]
    public void Bits_of_a_frame_are_taken_apart_in_Pages_alone() =>
        Lines(Sources.Value.BitsTakenApart(["PageFrame", "MappingTable"], ["State", "Identity", "Mapping", "InvertedMapCount", "Anonymous", "Movable", "PcpFree", "BuddyFree", "BuddyState", "PcpState", "SinglePageState", "AllocatedState"], "Pages"))
            .Should().BeEmpty("others ask for a word of the field: IsAnonymous, IsOfFile, IsSinglePage, TryFreeze, ...");

    private static string Lines(IEnumerable<string> lines) => string.Join('\n', lines);
}
