using System.Globalization;
using MemSim.Tool.Recordings;

namespace MemSim.Tool.Watching;

/// <summary>Shows frames as a run goes: over each other on a terminal, one after the other elsewhere.</summary>
/// <param name="console">Where to.</param>
/// <param name="name">What is run.</param>
/// <param name="every">Operations from one frame to the next.</param>
/// <param name="delay">How long a frame stands on a terminal at least.</param>
/// <param name="quiet">Whether to keep the frames instead.</param>
internal sealed class TopView(ToolConsole console, string name, int every, TimeSpan delay, bool quiet) : IReplayWatcher
{
    private const string Home = "\e[H";
    private const string ClearLine = "\e[K";
    private const string ClearBelow = "\e[J";
    private const int KiBPerPage = PageGeometry.PageSize >> 10;

    private readonly List<TopFrame> _frames = [];
    private TopFrame? _last;
    private long _next;

    /// <summary>The frames kept, where nothing is shown.</summary>
    public IReadOnlyList<TopFrame> Frames => _frames;

    /// <summary>Whether there was anything to show: a trace by itself has no machine.</summary>
    public bool SawMachine => _last is not null;

    /// <inheritdoc/>
    public int? Every => every;

    /// <inheritdoc/>
    public void Before(Machine machine) => Show(machine, 0);

    /// <inheritdoc/>
    public void During(Machine machine, long operations)
    {
        if (operations >= _next)
        {
            Show(machine, operations);
        }
    }

    /// <inheritdoc/>
    public void After(Machine machine) => Show(machine, (_last?.At ?? 0) + 1);

    private void Show(Machine machine, long at)
    {
        TopFrame frame = TopFrame.Of(machine, at);
        _next = at + every;
        if (quiet)
        {
            _frames.Add(frame);
        }
        else
        {
            Write(frame);
        }

        _last = frame;
    }

    private void Write(TopFrame frame)
    {
        using StringWriter text = new(CultureInfo.InvariantCulture) { NewLine = "\n" };
        ToolConsole frameConsole = new(text, text) { Width = console.Width, OutputIsTerminal = console.OutputIsTerminal };
        text.WriteLine($"memsim top: {name}, at {frame.At}");
        frameConsole.WriteItems("memory KiB", frame.Memory.Select(row => $"{row.Key} {row.Value}"));
        frameConsole.WriteItems("since the frame before", frame.Events.Select(row => $"{row.Key} {row.Value - (_last?.Events.GetValueOrDefault(row.Key) ?? 0)}"));
        text.WriteLine();
        frameConsole.WriteTable(
            ["node", "zone", "free", "min", "low", "high", .. Enumerable.Range(0, PageGeometry.OrderCount).Select(order => $"{order}")],
            frame.Zones.Select(z => (string[])[$"{z.Node}", z.Name, $"{z.FreePages}", $"{z.Min}", $"{z.Low}", $"{z.High}", .. z.FreeBlocks.Select(b => $"{b}")]),
            textColumns: 2);
        if (frame.Processes.Count != 0)
        {
            text.WriteLine();
            frameConsole.WriteTable(
                ["process", "pid", "RSS KiB", "swap KiB", "minor faults", "major faults"],
                frame.Processes.Select(p => (string[])[p.Name, $"{p.Pid}", $"{p.ResidentPages * KiBPerPage}", $"{p.SwapEntries * KiBPerPage}", $"{p.MinorFaults}", $"{p.MajorFaults}"]));
        }

        if (!console.OutputIsTerminal)
        {
            console.Out.WriteLine(text.ToString());
            return;
        }

        console.Out.Write((_last is null ? Home + ClearBelow : Home) + text.ToString().ReplaceLineEndings("\n").Replace("\n", ClearLine + "\n", StringComparison.Ordinal) + ClearBelow);
        console.Out.Flush();
        _ = console.Interrupted.WaitHandle.WaitOne(delay);
        console.Interrupted.ThrowIfCancellationRequested();
    }
}
