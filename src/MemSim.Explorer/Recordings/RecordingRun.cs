using System.IO.Compression;
using MemSim.Recordings;

namespace MemSim.Explorer.Recordings;

/// <summary>A recording that was given to the page: read, replayed a little at a time, compared.</summary>
public sealed class RecordingRun : IDisposable
{
    private const int EventsAtATime = 2000;
    private const int MostUnreadable = 1000;

    private readonly string _folder;
    private TraceReplay? _replay;

    private RecordingRun(string folder, string trace)
    {
        _folder = folder;
        Trace = trace;
    }

    /// <summary>The file with the events.</summary>
    public string Trace { get; }

    /// <summary>The recording, drawn.</summary>
    public Timeline Timeline { get; } = new();

    /// <summary>What came of the replay; null until it is done.</summary>
    public TraceReplayResult? Result { get; private set; }

    /// <summary>The machine that replays; null where the files do not tell how it began.</summary>
    public Machine? Machine => _replay?.Machine;

    /// <summary>How far the replay is, from 0 to 1.</summary>
    public double Progress => _replay is null ? 0 : _replay.Length == 0 ? 1 : (double)_replay.Position / _replay.Length;

    /// <summary>Whether all is replayed.</summary>
    public bool IsDone => Result is not null;

    /// <summary>Takes files: a trace, and beside it what was recorded of the machine before (<c>before-mmlists</c>, or <c>before-zoneinfo</c> and <c>before-buddyinfo</c>).</summary>
    /// <exception cref="InputFileException">None of them is a trace, or one is malformed: which, where and why.</exception>
    public static RecordingRun Open(IReadOnlyList<(string Name, byte[] Content)> files)
    {
        ArgumentNullException.ThrowIfNull(files);
        string folder = Directory.CreateTempSubdirectory("recording").FullName;
        try
        {
            foreach ((string name, byte[] content) in files)
            {
                File.WriteAllBytes(Path.Combine(folder, Path.GetFileName(name)), content);
            }

            string trace = FindTrace(folder, files);
            RecordingRun run = new(folder, trace);
            run.Read();
            run._replay = TraceReplay.Open(trace, files.Count > 1 ? folder : null);
            return run;
        }
        catch
        {
            Directory.Delete(folder, recursive: true);
            throw;
        }
    }

    /// <summary>Replays some events more.</summary>
    /// <returns>Whether there are more.</returns>
    public bool Advance()
    {
        // Short recordings in steps of their stretches, so that each gets its sample; long ones in steps that leave the page alive.
        bool more = _replay!.Advance(Math.Clamp(_replay.Length / Math.Max(1, Timeline.Buckets.Count), 1, EventsAtATime));
        if (_replay.Machine is { } machine && _replay.Length > 0 && Timeline.Buckets.Count > 0)
        {
            // The line reached is not told: the share of events is near enough to put a sample into its stretch.
            int bucket = Math.Min(Timeline.Buckets.Count - 1, (int)(Progress * Timeline.Buckets.Count));
            Timeline.Buckets[bucket].FreePages = machine.Zones.Sum(z => z.TrueFreePages);
        }

        if (!more)
        {
            Result = _replay.Finish();
            Timeline.Mark(_replay.MissedLines);
            Timeline.FillSamples();
        }

        return more;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _replay?.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private static string FindTrace(string folder, IReadOnlyList<(string Name, byte[] Content)> files)
    {
        if (TraceReplay.TracesIn(folder) is [string known, ..])
        {
            return Path.IsPathRooted(known) ? known : Path.Combine(folder, known);
        }

        foreach ((string name, byte[] content) in files.OrderByDescending(f => f.Content.Length))
        {
            if (LooksLikeTrace(content))
            {
                return Path.Combine(folder, Path.GetFileName(name));
            }
        }

        throw new InputFileException(files.Count > 0 ? files[0].Name : "nothing", 0, "no events of kmem were found: record with 'trace-cmd record -e kmem' or 'perf record -e kmem:*', and give the text of 'trace-cmd report' or 'perf script'");
    }

    private static bool LooksLikeTrace(byte[] content)
    {
        byte[] start = new byte[1 << 16];
        int length;
        if (content is [0x1f, 0x8b, ..])
        {
            using GZipStream packed = new(new MemoryStream(content), CompressionMode.Decompress);
            length = packed.ReadAtLeast(start, start.Length, throwOnEndOfStream: false);
        }
        else
        {
            length = Math.Min(content.Length, start.Length);
            content.AsSpan(0, length).CopyTo(start);
        }

        return start.AsSpan(0, length).IndexOf("mm_page_alloc"u8) >= 0 || start.AsSpan(0, length).IndexOf("kmem"u8) >= 0 || start.AsSpan(0, length).IndexOf("kmalloc"u8) >= 0;
    }

    private void Read()
    {
        using TraceReader reader = new(Trace, MostUnreadable);
        while (reader.TryRead(out TraceEvent traceEvent))
        {
            Timeline.Add(traceEvent);
        }

        if (Timeline.Events == 0)
        {
            throw new InputFileException(Trace, 0, "not a single event could be read");
        }
    }
}
