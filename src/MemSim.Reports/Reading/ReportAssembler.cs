namespace MemSim.Reports.Reading;

/// <summary>Deals lines out to the reports they belong to: several may be open, when CPUs wrote at the same time.</summary>
internal sealed class ReportAssembler
{
    /// <summary>Reports that may be open at the same time; the oldest is closed for another one.</summary>
    private const int MaxOpen = 4;

    /// <summary>Lines after which a report without another line of its own is over.</summary>
    private const int MaxGap = 4000;

    private readonly List<ReportBuilder> _open = [];
    private readonly PriorityQueue<KernelReport, long> _done = new();
    private readonly UnknownLineList _unknown;
    private ReportBuilder? _latest;
    private (string Release, KernelRelease Version)? _lastKernel;
    private Interleaving? _mixed;
    private ReportBuilder? _told;
    private bool _byHand;
    private long _suppressed;

    public ReportAssembler(UnknownLineList unknown)
    {
        _unknown = unknown;
    }

    /// <summary>Lines since the last one that was understood.</summary>
    public long Idle { get; private set; }

    /// <summary>Takes a line.</summary>
    public void Add(in LogicalLine line)
    {
        if (_mixed is not null && (_mixed.IsFull || (BeginsReport(line.Kind) && (_open.Count == MaxOpen || _mixed.IsOver()))))
        {
            Deal();
        }

        if (_mixed is null || BeginsReport(line.Kind))
        {
            bool known = Dispatch(line);
            Idle = known ? 0 : Idle + line.Last - line.First + 1;
            HoldBack(line);
            return;
        }

        _mixed.Add(line);
        if (line.Kind != LineKind.Trace)
        {
            Idle = line.Kind == LineKind.Other ? Idle + line.Last - line.First + 1 : 0;
        }
    }

    /// <summary>Closes every report.</summary>
    public void Finish()
    {
        Deal();
        while (_open.Count != 0)
        {
            Close(0);
        }
    }

    /// <summary>Gives the next report that is complete, in the order in which they begin.</summary>
    public KernelReport? Next()
    {
        if (!_done.TryPeek(out KernelReport? report, out long line) || _open.Exists(o => o.Report.Line < line))
        {
            return null;
        }

        _done.Dequeue();
        return report;
    }

    /// <summary>Holds lines back from the head of a second report on, while the first is not over and no line tells who writes it.</summary>
    private void HoldBack(in LogicalLine head)
    {
        if (!BeginsReport(head.Kind) || _latest is not { Caller: null } newest || newest.Report.Line != head.First)
        {
            return;
        }

        if (_mixed is not null)
        {
            _mixed.Add(newest);
        }
        else if (_open.FindAll(static b => b.Caller is null && b.MayHaveBody) is { Count: > 1 } open)
        {
            _mixed = new Interleaving(open);
        }
    }

    private static bool BeginsReport(LineKind kind) => kind is LineKind.AllocationFailureHead or LineKind.StallHead or LineKind.OomHead or LineKind.VmallocHead or LineKind.NoMmuHead or LineKind.ShowMemoryHead;

    /// <summary>Deals out what was held back.</summary>
    private void Deal()
    {
        if (_mixed is not { } mixed)
        {
            return;
        }

        _mixed = null;
        int[] owners = mixed.Deal();
        ReportBuilder? latest = null;
        for (int i = 0; i < owners.Length; i++)
        {
            LogicalLine line = mixed.Lines[i];
            ReportBuilder? begun = mixed.Reports.LastOrDefault(r => r.Report.Line <= line.First);
            if (begun != latest)
            {
                (_latest, latest) = (begun, begun);
            }

            if (owners[i] == Interleaving.Nobody && line.Kind == LineKind.Trace)
            {
                continue;
            }

            if (owners[i] == Interleaving.Nobody || IsAnyReserve(mixed, i))
            {
                LeaveOut(mixed, line);
                continue;
            }

            _told = owners[i] != Interleaving.AsEver && _open.Contains(mixed.Reports[owners[i]]) ? mixed.Reports[owners[i]] : null;
            Dispatch(line);
            _told = null;
        }
    }

    /// <summary>Whether a row of reserves, which names no zone, may be of several zones and is not the same for all.</summary>
    private static bool IsAnyReserve(Interleaving mixed, int index)
    {
        LogicalLine line = mixed.Lines[index];
        return line.Kind == LineKind.Reserve && line.Caller is null
            && mixed.Reports.Count(r => r.Report.Line <= line.First && r.Accepts(line)) > 1
            && mixed.Lines.Any(l => l.Kind == LineKind.Reserve && Math.Abs(l.First - line.First) <= 2 * mixed.Reports.Count && l.Text != line.Text);
    }

    private static void LeaveOut(Interleaving mixed, in LogicalLine line)
    {
        foreach (ReportBuilder report in mixed.Reports)
        {
            if (report.Report.Line <= line.First)
            {
                report.AddMixed(line, mixed.Reports.First(r => r != report).Report.Line);
            }
        }
    }

    private bool Dispatch(in LogicalLine line)
    {
        CloseForgotten(line.First);
        switch (line.Kind)
        {
            case LineKind.Blank:
                return true;
            case LineKind.Cut:
                _latest?.AddCut();
                return true;
            case LineKind.Suppressed:
                if (line.Text.Contains("warn_alloc", StringComparison.Ordinal) || line.Text.Contains("alloc", StringComparison.Ordinal) || line.Text.Contains("messages suppressed", StringComparison.Ordinal))
                {
                    long count = HeadText.NumberBefore(line.Text, "callbacks") ?? HeadText.NumberBefore(line.Text, "messages") ?? 0;
                    _suppressed += Math.Min(count, int.MaxValue);
                }

                return true;
            case LineKind.AllocationFailureHead or LineKind.StallHead or LineKind.OomHead or LineKind.VmallocHead or LineKind.NoMmuHead or LineKind.ShowMemoryHead or LineKind.CmaHead:
                Begin(line);
                return true;
            case LineKind.SlubHead:
                Slub(line);
                return true;
            case LineKind.Other:
                if (_latest is { } asked && HeadText.Completes(line.Text, asked.Report))
                {
                    return true;
                }

                _latest?.AddUnknown(line);
                _unknown.AddNear(line);
                return false;
        }

        if (IsBeside(line))
        {
            return true;
        }

        if (line.Kind == LineKind.CpuLine)
        {
            _lastKernel = HeadText.ReleaseOf(line.Text) ?? _lastKernel;
        }

        ReportBuilder? owner = Owner(line);
        if (owner is null && CanBegin(line))
        {
            owner = Open(line);
            owner.Report.Kind = line.Kind is LineKind.OomKill or LineKind.Killed ? ReportKind.Oom : line.Kind is LineKind.CgroupStats or LineKind.CgroupUsage ? ReportKind.MemcgOom : ReportKind.State;
            owner.Report.Head = line.Kind == LineKind.Killed ? ReportHead.KilledProcess : line.Kind == LineKind.MemInfoHead ? ReportHead.ShowMemory : ReportHead.Missing;
        }

        if (owner is null)
        {
            if (line.Kind is LineKind.CgroupStatRow or LineKind.SlabRow or LineKind.MemInfoFile or LineKind.Totals or LineKind.FigureTail or LineKind.ListTail or LineKind.TaskRow)
            {
                _latest?.AddUnknown(line);
                _unknown.AddNear(line);
                return false;
            }

            return line.Kind != LineKind.Trace;
        }

        owner.Add(line);
        _latest = owner;
        return true;
    }

    /// <summary>Lines that belong to no report but tell something of the next one, or of none.</summary>
    private bool IsBeside(in LogicalLine line)
    {
        switch (line.Kind)
        {
            case LineKind.Closing when line.Text.Contains("Manual OOM", StringComparison.Ordinal):
                _byHand = true;
                return true;
            case LineKind.LowMemoryKiller:
                _latest?.AddLowMemoryKill(line.Text);
                return true;
            default:
                return false;
        }
    }

    /// <summary>The open report a line belongs to; null for none.</summary>
    private ReportBuilder? Owner(in LogicalLine line)
    {
        if (_told is not null)
        {
            return _told;
        }

        if (line.Caller is not null)
        {
            foreach (ReportBuilder builder in _open)
            {
                if (builder.Caller == line.Caller && builder.Accepts(line))
                {
                    return builder;
                }
            }
        }

        List<ReportBuilder> some = [];
        foreach (ReportBuilder builder in _open)
        {
            if (builder.Report.Line <= line.First && (line.Caller is null || builder.Caller is null || line.Caller == builder.Caller) && builder.Accepts(line))
            {
                some.Add(builder);
            }
        }

        if (some.Count < 2)
        {
            return some.Count == 0 ? null : some[0];
        }

        // Of two states the one whose counter is nearer to the sum of the list is meant.
        if (line.Kind == LineKind.FreeList)
        {
            string text = line.Text;
            return some.MinBy(b => b.DistanceOf(text));
        }

        if (line.Kind is not (LineKind.MemInfoHead or LineKind.Trace) && _latest is { } latest && some.Contains(latest))
        {
            return latest;
        }

        // Reports that are written at the same time: the one that began first is ahead. Otherwise the older one was cut off, and the newer one is meant.
        ReportBuilder newest = some[^1];
        return line.Kind != LineKind.Trace && some[0].Report.LastLine > newest.Report.Line ? some[0] : newest;
    }

    /// <summary>Whether a line without a report is the first one left of a report whose head is cut off.</summary>
    private static bool CanBegin(in LogicalLine line) => line.Kind switch
    {
        LineKind.MemInfoHead or LineKind.ZoneLine or LineKind.FreeList or LineKind.NodeLine or LineKind.CgroupStats or LineKind.OomKill => true,
        LineKind.Killed => TaskText.Victim(line.Text) is not null,
        LineKind.Totals => !ZoneText.TryZone(line.Text, out _, out _) && (line.Text.Contains("free:", StringComparison.Ordinal) || line.Text.Contains("active_anon:", StringComparison.Ordinal) || line.Text.Contains("Active:", StringComparison.Ordinal)),
        LineKind.CgroupUsage => line.Text.Contains("memory: usage", StringComparison.Ordinal) || line.Text.Contains("killed as a result", StringComparison.Ordinal),
        LineKind.PerCpuHead => true,
        _ => false,
    };

    private void Begin(in LogicalLine line)
    {
        // Until 4.8 vmalloc's complaint comes first, and the flags in a line of their own behind it: one report.
        if (line.Kind == LineKind.AllocationFailureHead && _latest is { HasBody: false, Report: { Head: ReportHead.Vmalloc, Gfp: null } } area && line.First - area.Report.LastLine <= 2)
        {
            HeadText.Request(line.Text, "page allocation failure", area.Report);
            area.Add(line);
            return;
        }

        // What stands without a head directly before a no-MMU complaint is what it had to say about memory.
        if (line.Kind == LineKind.NoMmuHead && _latest is { Report: { Head: ReportHead.Missing, Zones.Count: > 0 } } state && line.First - state.Report.LastLine <= 2)
        {
            state.Report.Head = ReportHead.NoMmu;
            state.Report.Kind = ReportKind.AllocationFailure;
            ReadNoMmu(line, state.Report);
            state.Add(line);
            state.MayRestart();
            return;
        }

        ReportBuilder builder = Open(line);
        KernelReport report = builder.Report;
        report.Suppressed = _suppressed;
        _suppressed = 0;
        switch (line.Kind)
        {
            case LineKind.StallHead:
                (report.Kind, report.Head) = (ReportKind.AllocationFailure, ReportHead.Stall);
                HeadText.Request(line.Text, "page allocation stalls", report);
                report.WaitedMilliseconds = HeadText.NumberAfter(line.Text, "stalls for ");
                break;
            case LineKind.AllocationFailureHead:
                (report.Kind, report.Head) = (ReportKind.AllocationFailure, ReportHead.PageAllocationFailure);
                HeadText.Request(line.Text, "page allocation failure", report);
                break;
            case LineKind.OomHead:
                (report.Kind, report.Head) = (ReportKind.Oom, ReportHead.OomKiller);
                HeadText.Request(line.Text, " invoked oom-killer", report);
                Hint(line.Text, report);
                report.IsByHand = _byHand;
                _byHand = false;
                break;
            case LineKind.VmallocHead:
                (report.Kind, report.Head) = (ReportKind.Other, ReportHead.Vmalloc);
                HeadText.Request(line.Text, ": vmalloc", report);
                report.RequestBytes = HeadText.NumberAfter(line.Text, "size ") ?? HeadText.NumberAfter(line.Text, "allocation failure: ") ?? HeadText.NumberAfter(line.Text, "allocated ");
                report.Order = HeadText.NumberAfter(line.Text, "page order ") is { } pageOrder and < 64 && line.Text.Contains("failed to allocate pages", StringComparison.Ordinal) ? (int)pageOrder : report.Order;
                report.Notes.Add(line.Text.Trim());
                break;
            case LineKind.NoMmuHead:
                (report.Kind, report.Head) = (ReportKind.AllocationFailure, ReportHead.NoMmu);
                ReadNoMmu(line, report);
                break;
            case LineKind.CmaHead:
                (report.Kind, report.Head) = (ReportKind.Other, ReportHead.Cma);
                CmaText.Head(line.Text, report);
                report.Notes.Add(line.Text.Trim());
                break;
            default:
                (report.Kind, report.Head) = (ReportKind.State, ReportHead.ShowMemory);
                break;
        }

        _latest = builder;
    }

    /// <summary>What the words for the adjustment of the score tell about the kernel's age.</summary>
    private static void Hint(string text, KernelReport report)
    {
        if (text.Contains("oomkilladj=", StringComparison.Ordinal))
        {
            (report.OldestHint, report.NewestHint) = (new KernelRelease(2, 6, 20), new KernelRelease(2, 6, 33));
        }
        else if (text.Contains("oom_adj=", StringComparison.Ordinal))
        {
            (report.OldestHint, report.NewestHint) = (new KernelRelease(2, 6, 31), new KernelRelease(3, 7));
        }
        else if (text.Contains("oom_score_adj=", StringComparison.Ordinal))
        {
            report.OldestHint = new KernelRelease(2, 6, 36);
        }
    }

    private static void ReadNoMmu(in LogicalLine line, KernelReport report)
    {
        report.RequestBytes = HeadText.NumberAfter(line.Text, "length ");
        int open = line.Text.IndexOf('(', StringComparison.Ordinal);
        int close = open < 0 ? -1 : line.Text.IndexOf(')', open);
        report.Task = close > open + 1 && close - open < 64 ? line.Text[(open + 1)..close] : report.Task;
    }

    private void Slub(in LogicalLine line)
    {
        GfpReading? gfp = (HeadText.Flags(line.Text, "gfp=") ?? HeadText.Flags(line.Text, "(gfp:") ?? HeadText.Flags(line.Text, "gfp:")) is { } flags ? GfpReading.Parse(flags.Contains('(', StringComparison.Ordinal) ? flags : flags.TrimEnd(')')) : null;
        ReportBuilder? owner = _latest is { Report.Kind: ReportKind.AllocationFailure } latest && line.First - latest.Report.LastLine < 200 ? latest : null;
        if (owner is null)
        {
            owner = Open(line);
            owner.Report.Kind = ReportKind.AllocationFailure;
            owner.Report.Head = ReportHead.Slub;
            owner.Report.Gfp = gfp;
            _latest = owner;
        }

        if (owner.Report.SlabFailures.Count < 64)
        {
            owner.Report.SlabFailures.Add(new SlabFailure(line.First, gfp));
        }

        owner.Add(line);
    }

    private ReportBuilder Open(in LogicalLine line)
    {
        if (_open.Count == MaxOpen)
        {
            Close(0);
        }

        // One caller writes one report after the other.
        for (int i = _open.Count - 1; i >= 0; i--)
        {
            if (_open[i].IsOver(line) || (line.Caller is not null && _open[i].Caller == line.Caller))
            {
                Close(i);
            }
        }

        ReportBuilder builder = new(line);
        _open.Add(builder);
        return builder;
    }

    private void CloseForgotten(long number)
    {
        while (_open.Count != 0 && number - _open[0].Report.LastLine > MaxGap)
        {
            Close(0);
        }
    }

    private void Close(int index)
    {
        ReportBuilder builder = _open[index];
        _open.RemoveAt(index);
        KernelReport report = builder.Finish();
        if (report.Version is null && _lastKernel is { } kernel)
        {
            report.NearbyKernel = kernel;
        }

        _unknown.AddInside(report.UnknownLines);
        _done.Enqueue(report, report.Line);
        _latest = ReferenceEquals(_latest, builder) ? null : _latest;
    }
}
