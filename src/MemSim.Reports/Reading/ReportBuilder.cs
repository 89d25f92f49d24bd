namespace MemSim.Reports.Reading;

/// <summary>One report that is being read: which lines it still waits for, and what they say.</summary>
internal sealed class ReportBuilder(LogicalLine first)
{
    /// <summary>Parts remembered at most: of a machine with some hundred nodes.</summary>
    private const int MaxParts = 4096;

    /// <summary>Lines that others may write between two of a report's last ones: a head with its call trace.</summary>
    private const int MaxPause = 64;

    private readonly List<long> _pending = [];
    private readonly PriorityQueue<ReportedTask, long> _smallest = new();
    private bool _hasCpuLine;
    private bool _hasMemInfo;
    private bool _hasTaskHead;
    private bool _inStats;
    private bool _inSlabs;
    private string[]? _columns;
    private ReportedZone? _lastZone;
    private bool _listsSeen;
    private bool _closingSeen;
    private bool _mayRestart;

    public KernelReport Report { get; } = new() { Line = first.First, LastLine = first.Last };

    public string? Caller { get; } = first.Caller;

    /// <summary>Release of the package a distribution built, where it tells more than the kernel's own.</summary>
    public KernelRelease? Build { get; private set; }

    /// <summary>Whether zones, lists or totals have come.</summary>
    public bool HasBody => _hasMemInfo || Report.Zones.Count != 0 || Report.Totals.Count != 0;

    public bool HasCpuLine => _hasCpuLine;

    /// <summary>Its parts so far, where nothing in a line tells who wrote it.</summary>
    public Dictionary<string, (int Place, LogicalLine Line)> Parts { get; } = new(StringComparer.Ordinal);

    /// <summary>Whether reports of its kind tell the state of zones, so that such lines may be its own.</summary>
    public bool MayHaveBody => Report.Head is ReportHead.PageAllocationFailure or ReportHead.Stall or ReportHead.OomKiller or ReportHead.Vmalloc or ReportHead.NoMmu or ReportHead.ShowMemory;

    /// <summary>Whether it is of 2.4: its lists have neither names of zones nor watermarks.</summary>
    private bool IsAncient => Report.Totals.ContainsKey("inactive_dirty");

    /// <summary>Whether the lines after the zones have begun.</summary>
    public bool IsComplete => _listsSeen && _closingSeen;

    /// <summary>Whether a head that comes now is of a later report: the last lines have come, or nothing for some time.</summary>
    public bool IsOver(in LogicalLine head) =>
        IsComplete && (Caller is not null || Report.Closing.ContainsKey("reserved") || Report.Victim is not null || head.First - Report.LastLine > MaxPause);

    /// <summary>Whether it is known to be of the whole machine's OOM killer: it has told the state of the zones and of no group, or was called by the page allocator.</summary>
    private bool IsOfMachine => Report.Kind == ReportKind.Oom && Report.Cgroup is null && (HasBody || (Report.CallTrace.Contains("out_of_memory") && !Report.CallTrace.Any(static f => f.Contains("mem_cgroup", StringComparison.Ordinal))));

    /// <summary>Whether it is known to be of a group's OOM killer.</summary>
    private bool IsOfGroup => Report.Kind == ReportKind.MemcgOom && Report.Cgroup is not null;

    /// <summary>Whether figures of a group may be its own: they stand before tasks and victims.</summary>
    private bool MayTakeGroup => Report.Kind is ReportKind.Oom or ReportKind.MemcgOom && !HasBody && !IsOfMachine && !_hasTaskHead && Report.Constraint is null && Report.Victim is null;

    /// <summary>Whether a line can belong to this report.</summary>
    public bool Accepts(in LogicalLine line)
    {
        if (_mayRestart && line.Kind is LineKind.MemInfoHead or LineKind.Totals or LineKind.NodeLine or LineKind.ZoneLine)
        {
            return true;
        }

        switch (line.Kind)
        {
            case LineKind.MemInfoHead:
                return !_hasMemInfo && Report.Zones.Count == 0 && Report.Totals.Count == 0;
            case LineKind.CpuLine:
                return !_hasCpuLine && !HasBody && (HeadText.TaskOf(line.Text) is not { } task || Report.Task is null || SameTask(Report.Task, task));
            case LineKind.CpusetLine:
                return !HasBody && Report.Cpuset is null && Report.MemsAllowed is null;
            case LineKind.PerCpuHead or LineKind.PerCpuRow:
                return Report.Zones.Count == 0 && Report.Head != ReportHead.KilledProcess;
            case LineKind.Totals:
                return Report.Zones.Count == 0 && !TotalsText.IsKnown(line.Text, Report) && Report.Head != ReportHead.KilledProcess;
            case LineKind.NodeLine:
                return NodeOf(line.Text) is { } node && !Report.Nodes.ContainsKey(node) && !_listsSeen;
            case LineKind.ZoneLine:
                return ZoneText.TryZone(line.Text, out int zoneNode, out string name) && Report.Zone(zoneNode, name) is null && !_listsSeen && !_closingSeen;
            case LineKind.Reserve:
                return _lastZone is { LowmemReserve: null } && !_listsSeen;
            case LineKind.FreeList:
                return ZoneText.TryFreeList(line.Text, out int listNode, out string listName, out _, out _) && Report.Zone(listNode, listName)?.Blocks is null && !_closingSeen;
            case LineKind.HugePages:
                return HasBody;
            case LineKind.SlabHead:
                return HasBody || Report.Kind == ReportKind.Oom;
            case LineKind.Closing:
                return Report.Head is not (ReportHead.KilledProcess or ReportHead.Slub or ReportHead.Cma) && !HasClosing(line.Text);
            case LineKind.TaskHead:
                // Tasks are told when one of them is to be killed.
                return Report.Kind is not (ReportKind.AllocationFailure or ReportKind.Other) && (!_hasTaskHead || (_columns is null && line.Text.Contains("total_vm", StringComparison.Ordinal)));
            case LineKind.TaskRow:
                return _hasTaskHead;
            case LineKind.OomKill:
                return Report.Constraint is null && Report.Kind is not (ReportKind.AllocationFailure or ReportKind.Other) && Report.Victim is null && !(IsOfMachine && line.Text.Contains("CONSTRAINT_MEMCG", StringComparison.Ordinal));
            case LineKind.Killed:
                return OomText.IsOfGroup(line.Text) is { } group && (group ? IsOfMachine : IsOfGroup)
                    ? false
                    : Report.Kind is ReportKind.Oom or ReportKind.MemcgOom || (Report.Kind == ReportKind.State && (_hasTaskHead || Report.Constraint is not null));
            case LineKind.Reaper:
                return Report.Kind is ReportKind.Oom or ReportKind.MemcgOom;
            case LineKind.CgroupUsage:
                return MayTakeGroup && CgroupText.MayFollow(line, Report);
            case LineKind.CgroupStats:
                return MayTakeGroup && CgroupText.MayFollow(line, Report);
            case LineKind.CgroupStatRow:
                return _inStats && CgroupText.MayFollow(line, Report);
            case LineKind.SlabRow:
                return _inSlabs;
            case LineKind.HeadDetail:
                return Report.SlabFailures.Count != 0 || Report.Head is ReportHead.Cma or ReportHead.Vmalloc;
            case LineKind.Trace:
                return !HasBody || Report.Head is ReportHead.Vmalloc;
            case LineKind.ListTail:
                return IsAncient;
            case LineKind.MemInfoFile:
                return _closingSeen || _listsSeen;
            case LineKind.FigureTail:
                return _inStats;
            default:
                return false;
        }
    }

    /// <summary>How far the sum of a line of free lists is from what the zone's counter says, in KiB.</summary>
    public long DistanceOf(string list) =>
        ZoneText.TryFreeList(list, out int node, out string name, out List<FreeBlocks> blocks, out long? total) && Report.Zone(node, name)?.KiB("free") is { } free
            ? Math.Abs(free - (total ?? blocks.Sum(b => b.Count * b.KiB)))
            : long.MaxValue;

    /// <summary>Takes a line that belongs to this report.</summary>
    public void Add(in LogicalLine line)
    {
        foreach (long number in _pending)
        {
            if (Report.UnknownLines.Count < KernelReport.MaxUnknownLines)
            {
                Report.UnknownLines.Add(number);
            }
        }

        _pending.Clear();
        Report.LastLine = Math.Max(Report.LastLine, line.Last);
        if (line.Kind is not (LineKind.CgroupStatRow or LineKind.FigureTail))
        {
            _inStats = false;
        }

        if (line.Kind != LineKind.SlabRow)
        {
            _inSlabs = false;
        }

        if (Caller is null && Parts.Count < MaxParts && ReportPart.Of(line) is { } part)
        {
            Parts.TryAdd(part.Name, (part.Place, line));
        }

        Read(line);
    }

    /// <summary>Leaves out a line that is this report's or another's, nothing tells whose; what both say of the machine is taken.</summary>
    /// <param name="line">The line.</param>
    /// <param name="other">First line of the other report.</param>
    public void AddMixed(in LogicalLine line, long other)
    {
        Report.MixedLines++;
        Report.MixedWith ??= other;
        Report.LastLine = Math.Max(Report.LastLine, line.Last);
        switch (line.Kind)
        {
            case LineKind.CpuLine:
                _hasCpuLine = true;
                HeadText.Machine(line.Text, Report, out KernelRelease? build);
                (Build, Report.Cpu) = (build ?? Build, null);
                break;
            case LineKind.MemInfoHead:
                _hasMemInfo = true;
                break;
            case LineKind.ZoneLine when ZoneText.TryZone(line.Text, out int node, out string name):
                Report.MixedZones.Add((node, name));
                break;
            case LineKind.FreeList when ZoneText.TryFreeList(line.Text, out int listNode, out string listName, out _, out _):
                Report.MixedZones.Add((listNode, listName));
                _listsSeen = true;
                break;
            case LineKind.Closing:
                _closingSeen |= _listsSeen;
                break;
        }
    }

    /// <summary>Remembers a line that was not understood; it counts once another line of the report follows.</summary>
    public void AddUnknown(in LogicalLine line)
    {
        for (long number = line.First; number <= line.Last && _pending.Count < 64; number++)
        {
            _pending.Add(number);
        }
    }

    /// <summary>Lets a second state replace the one that was read: the kernel writes one of its own below this head.</summary>
    public void MayRestart() => _mayRestart = true;

    /// <summary>Remembers a kill by Android's low memory killer in between.</summary>
    public void AddLowMemoryKill(string text)
    {
        int at = text.IndexOf("Killing '", StringComparison.Ordinal);
        int end = at < 0 ? -1 : text.IndexOf('\'', at + 9);
        if (end > 0 && Report.Notes.Count < 16)
        {
            Report.Notes.Add($"Android's low memory killer killed {text[(at + 9)..end]} beside it: a policy of its own, by the size of the page cache");
        }
    }

    /// <summary>Remembers a mark of lines left out.</summary>
    public void AddCut() => Report.IsCut = true;

    /// <summary>Completes what only the whole report tells.</summary>
    public KernelReport Finish()
    {
        List<ReportedTask> tasks = [];
        while (_smallest.TryDequeue(out ReportedTask? task, out _))
        {
            tasks.Add(task);
        }

        tasks.Reverse();
        foreach (ReportedTask task in tasks)
        {
            Report.Tasks.Add(task);
        }

        bool memcg = Report.Constraint == "CONSTRAINT_MEMCG" || Report.Cgroup is not null || Report.CallTrace.Contains("mem_cgroup_out_of_memory");
        if (memcg && Report.Kind is ReportKind.Oom or ReportKind.State)
        {
            Report.Kind = ReportKind.MemcgOom;
        }
        else if (Report.Kind == ReportKind.State && (Report.Constraint is not null || Report.Victim is not null))
        {
            Report.Kind = ReportKind.Oom;
        }

        if (Build is { } build && Report.Version is { } version && (build.Major, build.Minor) == (version.Major, version.Minor) && build.Patch > version.Patch)
        {
            Report.BuildVersion = build;
        }

        return Report;
    }

    private void Read(in LogicalLine line)
    {
        if (_mayRestart && line.Kind == LineKind.ZoneLine)
        {
            _mayRestart = false;
            Report.Zones.Clear();
            Report.Totals.Clear();
            (_listsSeen, _closingSeen) = (false, false);
        }

        switch (line.Kind)
        {
            case LineKind.MemInfoHead:
                _hasMemInfo = true;
                break;
            case LineKind.CpuLine:
                _hasCpuLine = true;
                if (Report.Task is { } task && HeadText.TaskOf(line.Text) is { } comm && task.Length > comm.Length && task.EndsWith(comm, StringComparison.Ordinal))
                {
                    // A console had written something else into the same line.
                    Report.Task = comm;
                }

                HeadText.Machine(line.Text, Report, out KernelRelease? build);
                Build = build ?? Build;
                break;
            case LineKind.CpusetLine:
                HeadText.Places(line.Text, Report);
                break;
            case LineKind.Totals:
                TotalsText.Read(line.Text, Report);
                break;
            case LineKind.NodeLine:
                Dictionary<string, long> figures = new(StringComparer.Ordinal);
                ZoneText.ReadFigures(line.Text, figures);
                Report.Nodes[NodeOf(line.Text) ?? 0] = figures;
                break;
            case LineKind.ZoneLine:
                ReadZone(line.Text);
                break;
            case LineKind.Reserve:
                _lastZone!.LowmemReserve = ZoneText.Reserves(line.Text);
                Report.HasProtections |= line.Text.Contains("protections", StringComparison.Ordinal);
                break;
            case LineKind.FreeList:
                ReadList(line.Text);
                break;
            case LineKind.HugePages:
                Report.HasHugePages = true;
                ClosingText.HugePages(line.Text, Report);
                break;
            case LineKind.Closing:
                // Pools of huge pages stand between the lists and this line, where the kernel has any.
                if (_listsSeen && !_closingSeen && line.Text.Contains("total pagecache", StringComparison.Ordinal))
                {
                    Report.HasHugePages ??= false;
                }

                ReadClosing(line.Text);
                break;
            case LineKind.TaskHead:
                _hasTaskHead = true;
                _columns = TaskText.Columns(line.Text) ?? _columns;
                break;
            case LineKind.TaskRow:
                ReadTask(line.Text);
                break;
            case LineKind.OomKill:
                OomText.Choice(line.Text, Report);
                break;
            case LineKind.Killed:
                OomText.Killed(line.Text, Report);
                break;
            case LineKind.CgroupUsage or LineKind.CgroupStats or LineKind.CgroupStatRow or LineKind.FigureTail:
                CgroupText.Read(line, Report, ref _inStats);
                break;
            case LineKind.SlabHead:
                _inSlabs = true;
                break;
            case LineKind.SlabRow:
                if (TaskText.SlabRow(line.Text.AsSpan().Trim(), out string cache, out long used, out long total) && Report.SlabCaches.Count < 512)
                {
                    Report.SlabCaches.Add((cache, used, total));
                }

                _inSlabs = true;
                break;
            case LineKind.HeadDetail:
                ReadDetail(line.Text);
                break;
            case LineKind.Trace:
                ReadTrace(line.Text);
                break;
            case LineKind.MemInfoFile:
                int colon = line.Text.IndexOf(':', StringComparison.Ordinal);
                if (Report.MemInfo.Count < 128 && HeadText.Number(line.Text.AsSpan(colon + 1)) is { } kib)
                {
                    Report.MemInfo.TryAdd(line.Text[..colon].Trim(), kib);
                }

                break;
        }
    }

    private void ReadZone(string text)
    {
        if (!ZoneText.TryZone(text, out int node, out string name) || Report.Zones.Count >= 4096)
        {
            return;
        }

        ReportedZone zone = new(node, name);
        int free = Math.Max(0, text.IndexOf(" free:", StringComparison.Ordinal));
        int reserve = text.IndexOf("lowmem_reserve[]", free, StringComparison.Ordinal);
        reserve = reserve < 0 ? text.IndexOf("protections[]", free, StringComparison.Ordinal) : reserve;
        zone.AllUnreclaimable = ZoneText.ReadFigures(text.AsSpan(free, (reserve < 0 ? text.Length : reserve) - free), zone.Figures);
        zone.LowmemReserve = reserve < 0 ? null : ZoneText.Reserves(text.AsSpan(reserve));
        Report.Zones.Add(zone);
        _lastZone = zone;
    }

    private void ReadList(string text)
    {
        if (!ZoneText.TryFreeList(text, out int node, out string name, out List<FreeBlocks> blocks, out long? total) || Report.Zones.Count >= 4096)
        {
            return;
        }

        ReportedZone? zone = Report.Zone(node, name);
        if (zone is null)
        {
            zone = new ReportedZone(node, name);
            Report.Zones.Add(zone);
        }

        zone.Blocks = blocks;
        zone.ListTotalKiB = total;
        _listsSeen = true;
    }

    /// <summary>Whether a closing line would say again what another said; some kernels print the free swap in two forms.</summary>
    private bool HasClosing(string text) => ClosingText.Name(text) is { } name && name is not ("swap free" or "swap cache") && Report.Closing.ContainsKey(name);

    private void ReadClosing(string text)
    {
        OomText.End(text, Report);
        if (ClosingText.Name(text) is not { } name)
        {
            return;
        }

        // Some of these lines stand before the zones in the oldest kernels.
        _closingSeen |= _listsSeen;
        if (ClosingText.Value(text, name) is { } number)
        {
            Report.Closing.TryAdd(name, number);
        }
    }

    private void ReadTask(string text)
    {
        if (TaskText.Row(text, _columns) is not { } task)
        {
            return;
        }

        Report.TaskRows++;
        _smallest.Enqueue(task, task.RssPages ?? 0);
        if (_smallest.Count > KernelReport.MaxTasks)
        {
            _smallest.Dequeue();
        }
    }

    private void ReadDetail(string text)
    {
        if (Report.Head == ReportHead.Cma)
        {
            CmaText.Areas(text, Report);
            return;
        }

        int cache = text.IndexOf("cache: ", StringComparison.Ordinal);
        if (cache >= 0 && Report.SlabFailures.Count != 0)
        {
            int comma = text.IndexOf(',', cache);
            SlabFailure last = Report.SlabFailures[^1];
            Report.SlabFailures[^1] = last with
            {
                Cache = text[(cache + 7)..(comma < 0 ? text.Length : comma)].Trim(),
                MinOrder = (int?)HeadText.NumberAfter(text, "min order:") is { } order && order < 64 ? order : null,
            };
            Report.Order ??= Report.Head == ReportHead.Slub ? Report.SlabFailures[^1].MinOrder : null;
        }
    }

    private void ReadTrace(string text)
    {
        if (Report.CallTrace.Count >= 64)
        {
            return;
        }

        int plus = text.IndexOf("+0x", StringComparison.Ordinal);
        int start = plus;
        while (start > 0 && (char.IsAsciiLetterOrDigit(text[start - 1]) || text[start - 1] is '_' or '.'))
        {
            start--;
        }

        if (plus > start && start >= 0)
        {
            Report.CallTrace.Add(text[start..plus]);
        }
    }

    /// <summary>The task's name is cut to 15 characters in one place and not in another.</summary>
    public static bool SameTask(string one, string other) =>
        one == other || one.EndsWith(other, StringComparison.Ordinal) || other.EndsWith(one, StringComparison.Ordinal) || one.StartsWith(other, StringComparison.Ordinal) || other.StartsWith(one, StringComparison.Ordinal);

    private static int? NodeOf(string text)
    {
        int at = text.IndexOf("Node ", StringComparison.Ordinal);
        return at < 0 ? null : (int?)Math.Min(int.MaxValue, HeadText.Number(text.AsSpan(at + 5)) ?? 0);
    }
}
