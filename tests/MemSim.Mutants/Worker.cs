using System.Diagnostics;
using System.Globalization;
using System.Threading.Channels;

namespace MemSim.Mutants;

/// <summary>What a test said.</summary>
/// <param name="Kind">ok, fail, or how the process was lost: crash, hang.</param>
/// <param name="Milliseconds">How long it took.</param>
/// <param name="Rest">The mutants met, or the failure.</param>
internal sealed record Answer(string Kind, double Milliseconds, string Rest)
{
    /// <summary>Whether the test passed.</summary>
    public bool Passed => Kind is "ok";
}

/// <summary>A process that runs single tests (<see cref="WorkerLoop"/>), started again after it was lost.</summary>
/// <param name="tests">The assembly of the tests.</param>
internal sealed class Worker(string tests) : IDisposable
{
    /// <summary>More than any test takes without a mutant.</summary>
    private const long MostBytes = 6L << 30;

    private Process? _process;
    private ChannelReader<string>? _lines;

    /// <summary>The names of the tests, their numbers their places.</summary>
    public IReadOnlyList<string> Names { get; private set; } = [];

    /// <summary>Starts the process.</summary>
    /// <param name="mutant">The mutant that is in force already while statics are made; −1: none.</param>
    public void Start(int mutant)
    {
        Stop();
        ProcessStartInfo start = new(Environment.ProcessPath!) { UseShellExecute = false, RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        if (Path.GetFileNameWithoutExtension(Environment.ProcessPath) is "dotnet")
        {
            start.ArgumentList.Add(typeof(Worker).Assembly.Location);
        }

        start.ArgumentList.Add("worker");
        start.ArgumentList.Add(tests);
        start.Environment["MEMSIM_MUTANT"] = mutant.ToString(CultureInfo.InvariantCulture);
        Channel<string> lines = Channel.CreateUnbounded<string>();
        _lines = lines.Reader;
        _process = Process.Start(start)!;
        _process.ErrorDataReceived += (_, _) => { };
        _process.OutputDataReceived += (_, said) =>
        {
            if (said.Data is null)
            {
                lines.Writer.TryComplete();
            }
            else if (said.Data is ['+' or '=', ..])
            {
                lines.Writer.TryWrite(said.Data);
            }
        };
        _process.BeginErrorReadLine();
        _process.BeginOutputReadLine();
        List<string> names = [];
        while (Next(TimeSpan.FromMinutes(5)) is ['+', ..] line)
        {
            names.Add(line[1..]);
        }

        Names = names;
    }

    /// <summary>Runs one test; a process that ends, or takes too long or too much memory, is lost.</summary>
    public Answer Run(int test, int mutant, bool met, TimeSpan most)
    {
        if (_process is null || _process.HasExited)
        {
            Start(-1);
        }

        _process!.StandardInput.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{test} {mutant} {(met ? 1 : 0)}"));
        _process.StandardInput.Flush();
        Stopwatch clock = Stopwatch.StartNew();
        string? said = Next(most);
        if (said is null)
        {
            bool ended = _process.WaitForExit(50);
            Stop();
            return new Answer(ended ? "crash" : "hang", clock.Elapsed.TotalMilliseconds, "");
        }

        string[] fields = said[1..].Split('\t', 3);
        return new Answer(fields[0], double.Parse(fields[1], CultureInfo.InvariantCulture), fields[2]);
    }

    public void Dispose() => Stop();

    private void Stop()
    {
        if (_process is { HasExited: false })
        {
            _process.Kill(entireProcessTree: true);
            _process.WaitForExit();
        }

        _process?.Dispose();
        _process = null;
    }

    private string? Next(TimeSpan most)
    {
        Stopwatch clock = Stopwatch.StartNew();
        ValueTask<bool> waiting = _lines!.WaitToReadAsync();
        Task<bool> task = waiting.AsTask();
        while (!task.Wait(TimeSpan.FromMilliseconds(500)))
        {
            _process!.Refresh();
            if (clock.Elapsed > most || (!_process.HasExited && _process.WorkingSet64 > MostBytes))
            {
                return null;
            }
        }

        return task.Result && _lines!.TryRead(out string? line) ? line : null;
    }
}
