namespace MemSim.Reports.Reading;

/// <summary>
/// Lines of reports that CPUs wrote at the same time, none of which says who wrote it: held back until the reports are over, then dealt out by what the order of a report's parts
/// and its sums tell. What nothing tells is given to nobody.
/// </summary>
internal sealed class Interleaving
{
    /// <summary>Lines held back at most.</summary>
    public const int MaxLines = 8192;

    /// <summary>To be dealt out as lines of reports that follow each other are.</summary>
    public const int AsEver = -2;

    /// <summary>Nobody's.</summary>
    public const int Nobody = -1;

    private readonly List<ReportBuilder> _reports;
    private readonly List<LogicalLine> _lines = [];

    public Interleaving(IEnumerable<ReportBuilder> reports)
    {
        _reports = [.. reports];
    }

    public IReadOnlyList<ReportBuilder> Reports => _reports;

    public IReadOnlyList<LogicalLine> Lines => _lines;

    public bool IsFull => _lines.Count >= MaxLines;

    public void Add(in LogicalLine line) => _lines.Add(line);

    public void Add(ReportBuilder report) => _reports.Add(report);

    /// <summary>Whether nothing more of these reports is to come, as far as their parts tell.</summary>
    public bool IsOver()
    {
        List<Slot> slots = Slots();
        return slots.TrueForAll(static s => s.IsOld)
            || (slots.Exists(static s => s.Place > ReportPart.Lists) && (!IsMixed(slots) || slots.TrueForAll(s => s.Place < ReportPart.Body || s.Lines.Count >= _reports.Count)));
    }

    /// <summary>Says for each line whose it is: the index of a report, <see cref="Nobody"/> or <see cref="AsEver"/>.</summary>
    public int[] Deal()
    {
        int[] owners = new int[_lines.Count];
        Array.Fill(owners, AsEver);
        List<Slot> slots = Slots();
        if (!IsMixed(slots))
        {
            return owners;
        }

        List<Mark> marks = Marks(owners);
        foreach (Slot slot in slots)
        {
            Narrow(slot, marks);
        }

        if (_reports.Count == 2)
        {
            new PairedParts(slots).Solve();
        }

        foreach (Slot slot in slots)
        {
            slot.Settle();
            foreach (Occurrence line in slot.Lines.Where(l => l.Index >= 0))
            {
                owners[line.Index] = line.Owner ?? Nobody;
            }
        }

        return owners;
    }

    /// <summary>Whether a part came twice between two heads, or behind the last: then reports are mixed, and not one behind another that was cut off.</summary>
    private bool IsMixed(List<Slot> slots) =>
        slots.Exists(s => s.Place >= ReportPart.Body && s.Lines.GroupBy(l => _reports.Count(r => r.Report.Line <= l.Position)).Any(g => g.Key > 1 && g.Count() > 1));

    /// <summary>The parts that came, in the order in which they first did.</summary>
    private List<Slot> Slots()
    {
        Dictionary<string, Slot> slots = new(StringComparer.Ordinal);
        void Take(string name, int place, in LogicalLine line, int index, int? owner)
        {
            if (!slots.TryGetValue(name, out Slot? slot))
            {
                slots[name] = slot = new Slot(name, place, _reports.Count);
            }

            slot.Lines.Add(new Occurrence(line.First, line.Text, index) { Owner = owner });
        }

        for (int report = 0; report < _reports.Count; report++)
        {
            foreach ((string name, (int place, LogicalLine line)) in _reports[report].Parts)
            {
                Take(name, place, line, index: -1, report);
            }
        }

        for (int i = 0; i < _lines.Count; i++)
        {
            if (_lines[i].Caller is null && ReportPart.Of(_lines[i]) is { } part)
            {
                Take(part.Name, part.Place, _lines[i], i, owner: null);
            }
        }

        List<Slot> sorted = [.. slots.Values];
        foreach (Slot slot in sorted)
        {
            slot.Lines.Sort(static (a, b) => a.Position.CompareTo(b.Position));
        }

        sorted.Sort(static (a, b) => a.Lines[0].Position.CompareTo(b.Lines[0].Position));
        return sorted;
    }

    /// <summary>Lines whose report is known by what they say: heads, the CPU's by its task with the trace below, and the tasks where only one report is the OOM killer's.</summary>
    private List<Mark> Marks(int[] owners)
    {
        List<Mark> marks = [];
        for (int i = 0; i < _reports.Count; i++)
        {
            marks.Add(new Mark(i, _reports[i].Report.Line, ReportPart.Head));

            // The oldest kernels write some of the last lines before the zones.
            bool hasLists = _reports[i].Parts.Values.Any(static p => p.Place == ReportPart.Lists);
            marks.AddRange(_reports[i].Parts.Values.Where(p => hasLists || p.Place < ReportPart.Lists).Select(p => new Mark(i, p.Line.First, p.Place)));
        }

        int[] killers = [.. Enumerable.Range(0, _reports.Count).Where(i => _reports[i].Report.Kind is ReportKind.Oom or ReportKind.MemcgOom)];
        int? traced = null;
        for (int i = 0; i < _lines.Count; i++)
        {
            LogicalLine line = _lines[i];
            if (line.Kind == LineKind.CpuLine)
            {
                traced = OfTask(line);
                owners[i] = traced ?? AsEver;
            }
            else if (line.Kind == LineKind.Trace)
            {
                // Behind a line of another kind the trace may be the other report's.
                owners[i] = traced ?? Nobody;
            }
            else if (ReportPart.IsOfVictims(line.Kind) && killers.Length == 1)
            {
                marks.Add(new Mark(killers[0], line.First, ReportPart.Tasks));
                traced = null;
                continue;
            }
            else
            {
                traced = line.Kind is LineKind.Other or LineKind.Blank ? traced : null;
                continue;
            }

            if (traced is { } report)
            {
                marks.Add(new Mark(report, line.First, ReportPart.Cpu));
            }
        }

        return marks;
    }

    /// <summary>The report whose task the line about the CPU names; null where none or several can be meant.</summary>
    private int? OfTask(in LogicalLine line)
    {
        if (ReportPart.TaskOf(line) is not { } task)
        {
            return null;
        }

        long position = line.First;
        int[] some = [.. Enumerable.Range(0, _reports.Count).Where(i => _reports[i].Report.Line <= position && _reports[i].Report.Task is { } asked && ReportBuilder.SameTask(asked, task))];
        int[] exact = [.. some.Where(i => _reports[i].Report.Task == task)];
        return exact.Length == 1 ? exact[0] : some.Length == 1 ? some[0] : null;
    }

    /// <summary>Takes away whose a line cannot be: what a report has said by then, or says only later, has its place.</summary>
    private void Narrow(Slot slot, List<Mark> marks)
    {
        foreach (Occurrence line in slot.Lines)
        {
            if (line.Owner is not null)
            {
                continue;
            }

            int? named = slot.Place == ReportPart.Cpu && line.Index >= 0 ? OfTask(_lines[line.Index]) : null;
            int[] some = named is { } report
                ? [report]
                : [.. Enumerable.Range(0, _reports.Count).Where(r => !marks.Exists(m => m.Report == r && ((m.Place > slot.Place && m.Position < line.Position) || (m.Place < slot.Place && m.Position > line.Position))))];
            line.Owner = some.Length == 1 ? some[0] : null;
        }
    }

    /// <summary>A line whose report is known.</summary>
    private readonly record struct Mark(int Report, long Position, int Place);
}

/// <summary>A part of reports, and the lines that are it.</summary>
/// <param name="name">Its name.</param>
/// <param name="place">Its place in a report.</param>
/// <param name="reports">How many reports there are.</param>
internal sealed class Slot(string name, int place, int reports)
{
    public string Name { get; } = name;

    public int Place { get; } = place;

    public List<Occurrence> Lines { get; } = [];

    /// <summary>Whether it came before lines were held back, and not since.</summary>
    public bool IsOld => Lines.TrueForAll(static l => l.Index < 0);

    /// <summary>Whether each of two reports has it.</summary>
    public bool IsPair => reports == 2 && Lines.Count == 2;

    /// <summary>Lets each report have it once, and gives lines that say the same to whoever has none.</summary>
    public void Settle()
    {
        foreach (Occurrence twice in Lines.Where(l => l.Owner is not null).GroupBy(l => l.Owner).Where(g => g.Count() > 1).SelectMany(g => g).Where(l => l.Index >= 0).ToArray())
        {
            twice.Owner = null;
        }

        Occurrence[] open = [.. Lines.Where(l => l.Owner is null)];
        List<int> without = [.. Enumerable.Range(0, reports).Where(r => !Lines.Exists(l => l.Owner == r))];
        bool same = Array.TrueForAll(open, l => l.Text == open[0].Text);
        if (open.Length == without.Count && (open.Length == 1 ? Lines.Count == reports : same))
        {
            for (int i = 0; i < open.Length; i++)
            {
                open[i].Owner = without[i];
            }
        }
    }
}

/// <summary>A line that is a part.</summary>
/// <param name="position">Its number.</param>
/// <param name="text">Its text.</param>
/// <param name="index">Its index among the lines that were held back; -1 for one that came before.</param>
internal sealed class Occurrence(long position, string text, int index)
{
    public long Position { get; } = position;

    public string Text { get; } = text;

    public int Index { get; } = index;

    /// <summary>The report it belongs to; null while that is not known.</summary>
    public int? Owner { get; set; }
}
