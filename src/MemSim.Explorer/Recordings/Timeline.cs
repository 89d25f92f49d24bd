using System.Globalization;
using System.Text;
using MemSim.Recordings;

namespace MemSim.Explorer.Recordings;

/// <summary>A recording in stretches of equally many lines: enough to draw it, however long it is.</summary>
public sealed class Timeline
{
    /// <summary>The most stretches.</summary>
    public const int MostBuckets = 240;

    private readonly List<TimelineBucket> _buckets = [];
    private int _linesPerBucket = 16;

    /// <summary>The stretches, in order.</summary>
    public IReadOnlyList<TimelineBucket> Buckets => _buckets;

    /// <summary>Events read.</summary>
    public long Events { get; private set; }

    /// <summary>Takes an event in.</summary>
    public void Add(TraceEvent traceEvent)
    {
        while (_buckets.Count > 0 && (traceEvent.Line - _buckets[0].FirstLine) / _linesPerBucket >= MostBuckets)
        {
            Halve();
        }

        if (_buckets.Count == 0 || (traceEvent.Line - _buckets[0].FirstLine) / _linesPerBucket >= _buckets.Count)
        {
            // A gap in the lines leaves no stretch empty: it is part of the one before.
            while (_buckets.Count > 0 && (traceEvent.Line - _buckets[0].FirstLine) / _linesPerBucket > _buckets.Count)
            {
                TimelineBucket before = _buckets[^1];
                _buckets.Add(new TimelineBucket(_buckets[0].FirstLine + (_buckets.Count * _linesPerBucket), before.StartNs) { Balance = before.Balance });
            }

            _buckets.Add(new TimelineBucket(traceEvent.Line, traceEvent.TimestampNs) { Balance = _buckets.Count > 0 ? _buckets[^1].Balance : 0 });
        }

        Count(_buckets[^1], traceEvent);
        Events++;
    }

    /// <summary>Marks what a replay did not predict.</summary>
    public void Mark(IReadOnlyList<int> missedLines)
    {
        ArgumentNullException.ThrowIfNull(missedLines);
        foreach (int line in missedLines)
        {
            if (BucketOf(line) is { } bucket)
            {
                bucket.Missed++;
            }
        }
    }

    /// <summary>Gives stretches without a sample of free pages that of the one before.</summary>
    public void FillSamples()
    {
        long? last = _buckets.Find(b => b.FreePages is not null)?.FreePages;
        foreach (TimelineBucket bucket in _buckets)
        {
            last = bucket.FreePages ?? last;
            bucket.FreePages = last;
        }
    }

    /// <summary>The stretch that a line is part of; null before the first one.</summary>
    public TimelineBucket? BucketOf(int line) => _buckets.FindLast(b => b.FirstLine <= line);

    /// <summary>The stretches as a table.</summary>
    public string ToCsv()
    {
        StringBuilder text = new("first_line,start_seconds,events,pages_allocated,pages_freed,balance_pages,failed,fallbacks,reclaim_events,missed,free_pages");
        for (int order = 0; order < PageGeometry.OrderCount; order++)
        {
            text.Append(",order_").Append(order);
        }

        text.Append('\n');
        foreach (TimelineBucket b in _buckets)
        {
            text.Append(CultureInfo.InvariantCulture, $"{b.FirstLine},{b.StartNs / 1e9:0.000000000},{b.Events},{b.PagesAllocated},{b.PagesFreed},{b.Balance},{b.Failed},{b.Fallbacks},{b.Reclaim},{b.Missed},{b.FreePages}");
            foreach (long blocks in b.ByOrder)
            {
                text.Append(',').Append(blocks);
            }

            text.Append('\n');
        }

        return text.ToString();
    }

    private static void Count(TimelineBucket bucket, TraceEvent e)
    {
        bucket.Events++;
        switch (e.Kind)
        {
            case TraceEventKind.PageAlloc when e.Failed:
                bucket.Failed++;
                break;
            case TraceEventKind.PageAlloc:
                bucket.PagesAllocated += 1L << e.Order;
                bucket.Balance += 1L << e.Order;
                bucket.ByOrder[Math.Clamp(e.Order, 0, PageGeometry.MaxOrder)]++;
                break;
            case TraceEventKind.PageFree:
                bucket.PagesFreed += 1L << e.Order;
                bucket.Balance -= 1L << e.Order;
                break;
            case TraceEventKind.PageAllocExtfrag:
                bucket.Fallbacks++;
                break;
            case TraceEventKind.Other when e.EventName is { } name && (name.StartsWith("mm_vmscan", StringComparison.Ordinal) || name.StartsWith("mm_compaction", StringComparison.Ordinal) || name == "mark_victim"):
                bucket.Reclaim++;
                break;
        }
    }

    private void Halve()
    {
        for (int i = 0; i + 1 < _buckets.Count; i += 2)
        {
            TimelineBucket a = _buckets[i];
            TimelineBucket b = _buckets[i + 1];
            a.Events += b.Events;
            a.PagesAllocated += b.PagesAllocated;
            a.PagesFreed += b.PagesFreed;
            a.Failed += b.Failed;
            a.Fallbacks += b.Fallbacks;
            a.Reclaim += b.Reclaim;
            a.Balance = b.Balance;
            for (int order = 0; order < a.ByOrder.Length; order++)
            {
                a.ByOrder[order] += b.ByOrder[order];
            }

            _buckets[i / 2] = a;
        }

        int left = (_buckets.Count + 1) / 2;
        if (_buckets.Count % 2 == 1)
        {
            _buckets[left - 1] = _buckets[^1];
        }

        _buckets.RemoveRange(left, _buckets.Count - left);
        _linesPerBucket *= 2;
    }
}
