namespace MemSim.Reports.Reading;

/// <summary>
/// The parts that both of two reports have. Of each the first line is the one report's and the second the other's; the question is which. Order links neighbours: who writes a part before
/// the other report wrote the one before it has written that one first as well. Sums link what counts the same pages.
/// </summary>
internal sealed class PairedParts
{
    /// <summary>Sums that fit so many times better decide.</summary>
    private const long Better = 4;

    /// <summary>A difference that counters of two moments may have, in KiB.</summary>
    private const long Drift = 1024;

    /// <summary>A difference that is none of chance where the other way fits exactly, in KiB.</summary>
    private const long Block = 4;

    /// <summary>Zones or nodes that are tried in every way.</summary>
    private const int MaxTried = 10;

    private readonly List<Slot> _all;
    private readonly List<Slot> _pairs;

    // Union-find: a part's leader is its parent's, or the other one. The last entry is known: report 0.
    private readonly int[] _parent;
    private readonly bool[] _turned;
    private readonly bool[] _contradicted;

    public PairedParts(List<Slot> slots)
    {
        _all = slots;
        _pairs = [.. slots.Where(s => s.IsPair)];
        _parent = [.. Enumerable.Range(0, _pairs.Count + 1)];
        _turned = new bool[_pairs.Count + 1];
        _contradicted = new bool[_pairs.Count + 1];
    }

    /// <summary>Gives every line the report that it must be of, where that can be told.</summary>
    public void Solve()
    {
        int known = _pairs.Count;
        for (int i = 0; i < _pairs.Count; i++)
        {
            if ((_pairs[i].Lines[0].Owner ?? 1 - _pairs[i].Lines[1].Owner) is { } first)
            {
                Link(i, known, turned: first == 1);
            }

            if (i > 0 && _pairs[i].Lines[0].Position < _pairs[i - 1].Lines[1].Position)
            {
                Link(i, i - 1, turned: false);
            }
        }

        Lists();
        Sums(FreeOfTotals, FreeOfZone, "zone ");
        Sums(AnonOfTotals, AnonOfNode, "node ");
        for (int i = 0; i < _pairs.Count; i++)
        {
            (int root, bool turned) = Find(i);
            bool told = root == Find(known).Root && !_contradicted[root];
            int first = turned == Find(known).Turned ? 0 : 1;
            _pairs[i].Lines[0].Owner = told ? first : null;
            _pairs[i].Lines[1].Owner = told ? 1 - first : null;
        }

        Singles();
    }

    /// <summary>What only one report has: of the one that was ahead, where it came between the two lines of an earlier part.</summary>
    private void Singles()
    {
        foreach (Slot single in _all.Where(s => s.Lines is [{ Owner: null }]))
        {
            Occurrence line = single.Lines[0];
            line.Owner = _pairs.Find(p => p.Place <= single.Place && p.Lines[0].Position < line.Position && line.Position < p.Lines[1].Position)?.Lines[0].Owner;
        }
    }

    /// <summary>A zone's counter and the sum of its lists.</summary>
    private void Lists()
    {
        for (int i = 0; i < _pairs.Count; i++)
        {
            int list = _pairs[i].Name.StartsWith("zone ", StringComparison.Ordinal) ? _pairs.FindIndex(p => p.Name == string.Concat("list ", _pairs[i].Name.AsSpan(5))) : -1;
            if (list < 0 || Values(_pairs[i], FreeOfZone) is not { } zones || Values(_pairs[list], FreeOfList) is not { } lists)
            {
                continue;
            }

            Decide(i, list, Math.Abs(zones.First - lists.First) + Math.Abs(zones.Second - lists.Second), Math.Abs(zones.First - lists.Second) + Math.Abs(zones.Second - lists.First));
        }
    }

    /// <summary>A total and what zones or nodes add up to, in every way in which these can lie.</summary>
    private void Sums(Func<string, long?> total, Func<string, long?> part, string prefix)
    {
        int whole = _pairs.FindIndex(p => p.Name.StartsWith("totals ", StringComparison.Ordinal) && Values(p, total) is not null);
        List<int> parts = [.. Enumerable.Range(0, _pairs.Count).Where(i => _pairs[i].Name.StartsWith(prefix, StringComparison.Ordinal))];
        if (whole < 0 || parts.Count == 0 || parts.Count != _all.Count(s => s.Name.StartsWith(prefix, StringComparison.Ordinal)))
        {
            return;
        }

        int[] roots = [.. parts.Select(p => Find(p).Root).Where(r => r != Find(whole).Root).Distinct()];
        if (roots.Length is 0 or > MaxTried || Values(_pairs[whole], total) is not { } sum)
        {
            return;
        }

        long[] misses = new long[1 << roots.Length];
        for (int way = 0; way < misses.Length; way++)
        {
            (long first, long second) = (0, 0);
            foreach (int p in parts)
            {
                if (Values(_pairs[p], part) is not { } values)
                {
                    return;
                }

                (int root, bool turned) = Find(p);
                int at = Array.IndexOf(roots, root);
                turned ^= at < 0 ? Find(whole).Turned : ((way >> at) & 1) != 0;
                (first, second) = turned ? (first + values.Second, second + values.First) : (first + values.First, second + values.Second);
            }

            misses[way] = Math.Abs(first - sum.First) + Math.Abs(second - sum.Second);
        }

        int best = Array.IndexOf(misses, misses.Min());
        (int Root, bool Turned) anchor = Find(whole);
        for (int at = 0; at < roots.Length; at++)
        {
            int bit = 1 << at;
            long other = Enumerable.Range(0, misses.Length).Where(w => ((w ^ best) & bit) != 0).Min(w => misses[w]);
            if (IsBetter(misses[best], other))
            {
                Link(roots[at], anchor.Root, ((best & bit) != 0) ^ anchor.Turned);
            }
        }
    }

    private void Decide(int one, int other, long straight, long turned)
    {
        if (IsBetter(straight, turned) || IsBetter(turned, straight))
        {
            Link(one, other, turned < straight);
        }
    }

    private static bool IsBetter(long good, long bad) => (good == 0 && bad >= Block) || (good <= bad / Better && bad - good >= Drift);

    private (int Root, bool Turned) Find(int part)
    {
        bool turned = false;
        while (_parent[part] != part)
        {
            turned ^= _turned[part];
            part = _parent[part];
        }

        return (part, turned);
    }

    /// <summary>Says that two parts have the same leader, or not.</summary>
    private void Link(int one, int other, bool turned)
    {
        (int root, bool rootTurned) = Find(one);
        (int to, bool toTurned) = Find(other);
        bool between = turned ^ rootTurned ^ toTurned;
        if (root == to)
        {
            _contradicted[root] |= between;
            return;
        }

        (_parent[root], _turned[root]) = (to, between);
        _contradicted[to] |= _contradicted[root];
    }

    private static (long First, long Second)? Values(Slot slot, Func<string, long?> of) =>
        of(slot.Lines[0].Text) is { } first && of(slot.Lines[1].Text) is { } second ? (first, second) : null;

    private static long? FreeOfZone(string text) => Figure(text[Math.Max(0, text.IndexOf(" free:", StringComparison.Ordinal))..], "free");

    private static long? FreeOfList(string text) =>
        ZoneText.TryFreeList(text, out _, out _, out List<FreeBlocks> blocks, out long? total) ? total ?? blocks.Sum(b => b.Count * b.KiB) : null;

    private long? FreeOfTotals(string text) => Figure(text, "free") * PageKiB;

    private long? AnonOfTotals(string text) => Figure(text, "active_anon") * PageKiB;

    private static long? AnonOfNode(string text) => Figure(text, "active_anon");

    /// <summary>Size of a page: of the smallest block in a list.</summary>
    private long PageKiB => _all.Where(s => s.Place == ReportPart.Lists)
        .Select(s => ZoneText.TryFreeList(s.Lines[0].Text, out _, out _, out List<FreeBlocks> blocks, out _) && blocks.Count != 0 ? blocks[0].KiB : 0).FirstOrDefault(kib => kib != 0, 4);

    private static long? Figure(string text, string name)
    {
        Figures figures = new(text);
        while (figures.Next())
        {
            if (figures.Name.SequenceEqual(name))
            {
                return figures.Value;
            }
        }

        return null;
    }
}
