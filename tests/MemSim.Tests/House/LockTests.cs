using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using FluentAssertions;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp.Syntax;
using Xunit;

namespace MemSim.Tests.House;

/// <summary>Which lock guards what, and in what order they are taken, is written in one table, in <c>docs/architecture.md</c> and beside each lock; the sources are read to hold it.</summary>
public sealed class LockTests
{
    private const string Begin = "<!-- locks: drawn by LockTests -->\n";
    private const string End = "<!-- end of locks -->";

    private static readonly Lazy<SourceUses> Sources = new(() => new SourceUses(Path.GetFullPath(Path.Combine(SourceTree.TestFolder(), "..", "..", "src", "MemSim"))));

    private static readonly Lazy<LockUses> Uses = new(() => new LockUses(Sources.Value));

    [Fact]
    public void Every_lock_is_in_the_table_and_the_table_has_no_other() =>
        Uses.Value.Locks().Should().BeEquivalentTo(Locks.All.Select(row => row.Lock));

    [Fact]
    public void Each_lock_is_taken_in_one_way()
    {
        Dictionary<string, SortedSet<string>> ways = Uses.Value.WaysIn();
        foreach (LockRow row in Locks.All)
        {
            ways[row.Lock].Should().Equal([row.TakenBy], $"{row.Lock} has one way in");
        }
    }

    [Fact]
    public void Locks_are_taken_in_the_order_of_the_table()
    {
        Dictionary<string, int> place = Locks.Order.Select((row, i) => (row.Lock, i)).Concat(Locks.Last.Select(row => (row.Lock, int.MaxValue))).ToDictionary();
        Dictionary<string, LockRow> rows = Locks.All.ToDictionary(row => row.Lock);
        List<LockEdge> edges = Uses.Value.Edges(Locks.NotTaken.Keys.ToHashSet());

        IEnumerable<string> wrong = edges.Where(edge => !rows[edge.Taken].Tried && (edge.Held == edge.Taken ? !rows[edge.Held].Again : place[edge.Held] >= place[edge.Taken]))
            .Select(edge => $"{edge.Taken} is taken under {edge.Held}, in {edge.Place}: {edge.Way}");

        string.Join('\n', wrong).Should().BeEmpty();
        edges.Should().Contain(edge => edge.Held == "OwnersLock._lock" && edge.Taken == "Zone.Lock", "calls are followed to the end")
            .And.Contain(edge => edge.Held == "PerCpuPages.Lock" && edge.Taken == "Zone.Lock");
        Locks.NotTaken.Values.Should().OnlyContain(reason => reason.Length > 20 && reason.EndsWith('.'));
    }

    [Fact]
    public void Who_tries_interleavings_knows_every_lock_under_which_others_are_taken()
    {
        HashSet<string> watched = [.. Sources.Value.Trees.SelectMany(tree => Regex.Matches(tree.ToString(), "(?:Watch|NewLock|MachineLock)\\((?:\\w+, )?\"(\\w+\\.\\w+)\"", RegexOptions.None, TimeSpan.FromSeconds(5)).Select(m => m.Groups[1].Value))];
        Dictionary<string, LockRow> rows = Locks.All.ToDictionary(row => row.Lock);

        watched.Should().BeSubsetOf(rows.Keys).And.Contain(["OwnersLock._lock", "Zone.Lock", "SlabPage.LockWord"]);
        Uses.Value.Edges(Locks.NotTaken.Keys.ToHashSet()).Where(edge => watched.Contains(edge.Taken)).Select(edge => edge.Held).Distinct().Where(held => !rows[held].Tried && !watched.Contains(held))
            .Should().Equal(["PersistentKmaps._lock"], "only who sleeps for a slot of kmap() waits for the host");
    }

    [Fact]
    public void An_exception_that_nobody_needs_is_taken_out()
    {
        HashSet<(string, string)> all = [.. Locks.NotTaken.Keys];
        int least = Uses.Value.Edges(all).Count;
        foreach ((string, string) pair in all)
        {
            Uses.Value.Edges([.. all.Where(p => p != pair)]).Count.Should().BeGreaterThan(least, $"{pair} hides nothing");
        }
    }

    [Fact]
    public void Each_lock_says_beside_it_what_it_guards()
    {
        Dictionary<string, ISymbol> fields = Sources.Value.Types().SelectMany(type => type.GetMembers().OfType<IFieldSymbol>()).Where(f => f.DeclaringSyntaxReferences.Length != 0)
            .GroupBy(f => $"{f.ContainingType.Name}.{f.Name}").ToDictionary(g => g.Key, g => (ISymbol)g.First());
        foreach (LockRow row in Locks.All)
        {
            ISymbol field = fields[row.Lock];
            FieldDeclarationSyntax declaration = field.DeclaringSyntaxReferences[0].GetSyntax(TestContext.Current.CancellationToken).FirstAncestorOrSelf<FieldDeclarationSyntax>()!;
            Match said = Regex.Match(declaration.GetLeadingTrivia().ToFullString(), "// Guards (.+)\\.", RegexOptions.None, TimeSpan.FromSeconds(5));
            said.Success.Should().BeTrue($"{row.Lock} says what it guards");
            foreach (Match name in Regex.Matches(said.Groups[1].Value, "(?<![A-Za-z])_[a-z]\\w+", RegexOptions.None, TimeSpan.FromSeconds(5)))
            {
                field.ContainingType.GetMembers(name.Value).Should().NotBeEmpty($"{row.Lock} guards {name.Value}");
            }
        }
    }

    [Fact]
    public void A_lock_taken_under_another_is_found_through_interfaces_scopes_and_methods_that_enter_for_their_caller()
    {
        string folder = Directory.CreateTempSubdirectory("memsim-locks").FullName;
        try
        {
            File.WriteAllText(Path.Combine(folder, "Sample.cs"), """
                namespace Sample;
                interface ICalled { void Call(); }
                sealed class Outer(ICalled called)
                {
                    private readonly Lock _outer = new();
                    public void Run() { Enter(); called.Call(); Exit(); called.ToString(); }
                    public void Leave(bool early) { Enter(); if (early) { Exit(); called.Call(); return; } Exit(); }
                    private void Enter() => _outer.Enter();
                    private void Exit() => _outer.Exit();
                }
                sealed class Inner : ICalled
                {
                    private readonly object _inner = new();
                    public void Call() { lock (_inner) { } }
                }
                """);
            LockUses uses = new(new SourceUses(folder));

            uses.Locks().Should().Equal("Inner._inner", "Outer._outer");
            uses.WaysIn()["Inner._inner"].Should().Equal("lock");
            uses.WaysIn()["Outer._outer"].Should().Equal("Outer");
            uses.Edges([]).Should().ContainSingle().Which.Should().Be(new LockEdge("Outer._outer", "Inner._inner", "Outer.Run", "Inner.Call"));
            uses.Edges([("Outer.Run", "Inner.Call")]).Should().BeEmpty();
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void The_table_in_the_map_is_this_one()
    {
        string path = Path.GetFullPath(Path.Combine(SourceTree.TestFolder(), "..", "..", "docs", "architecture.md"));
        string text = File.ReadAllText(path);
        int start = text.IndexOf(Begin, StringComparison.Ordinal) + Begin.Length;
        int end = text.IndexOf(End, StringComparison.Ordinal);
        if (Environment.GetEnvironmentVariable("MEMSIM_UPDATE_MAP") == "1")
        {
            File.WriteAllText(path, text[..start] + Table() + text[end..]);
        }

        File.ReadAllText(path).Should().Contain(Begin + Table() + End);
    }

    private static string Table()
    {
        StringBuilder text = new("| | lock | taken by | guards |\n| --- | --- | --- | --- |\n");
        int number = 0;
        foreach (LockRow row in Locks.Order)
        {
            Add((++number).ToString(CultureInfo.InvariantCulture), row);
        }

        foreach (LockRow row in Locks.Last)
        {
            Add("last", row);
        }

        return text.ToString();

        void Add(string place, LockRow row) => text.Append(CultureInfo.InvariantCulture,
            $"| {place} | `{row.Lock}` | {(row.TakenBy == "lock" ? "`lock`" : row.TakenBy.EndsWith("Scope", StringComparison.Ordinal) ? $"`{row.TakenBy}`" : $"methods of `{row.TakenBy}`")}{(row.Tried ? ", tried only" : "")}{(row.Again ? ", again by its holder" : "")} | {row.Guards} |\n");
    }
}
