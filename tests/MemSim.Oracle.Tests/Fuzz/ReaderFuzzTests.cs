using System.Diagnostics;
using System.Globalization;
using FluentAssertions;
using MemSim.Oracle.Tests.Figures;
using Xunit;

namespace MemSim.Oracle.Tests.Fuzz;

/// <summary>
/// Whatever a file holds, its reader reads it or refuses it with a word: in bounded time and memory. <c>MEMSIM_FUZZ_SECONDS</c> makes it a long run of so many
/// seconds a reader, <c>MEMSIM_FUZZ_SEED</c> another one, <c>MEMSIM_FUZZ_INPUT</c> repeats one input.
/// </summary>
public sealed class ReaderFuzzTests : IDisposable
{
    private const long MostBytes = 1L << 30;
    private static readonly TimeSpan MostTime = TimeSpan.FromMinutes(2);

    private readonly Lazy<CaptureArchive> _captures = new(() => new CaptureArchive());

    public static TheoryData<string> Names() => [.. FuzzTargets.Names];

    [Theory]
    [MemberData(nameof(Names))]
    public void A_damaged_file_is_read_or_refused(string name)
    {
        using FuzzTarget target = FuzzTargets.Of(name, _captures);
        FuzzRun run = new(target);
        Thread thread = new(run.Go) { IsBackground = true, Name = name };
        thread.Start();
        for (long last = -1; !thread.Join(MostTime); last = run.Inputs)
        {
            run.Inputs.Should().NotBe(last, $"{target.Name}, seed {run.Seed}: an input is read in less than {MostTime.TotalSeconds} s");
        }

        TestContext.Current.TestOutputHelper?.WriteLine(run.ToString());
        Assert.True(run.Faults.Count == 0, string.Join('\n', run.Faults));
        run.MostBytes.Should().BeLessThan(MostBytes, run.ToString());
        run.Read.Should().BePositive("some damage does no harm");
        run.Refused.Should().BePositive("some does");
    }

    public void Dispose()
    {
        if (_captures.IsValueCreated)
        {
            _captures.Value.Dispose();
        }
    }

    /// <summary>Damaged inputs for one reader, one after another.</summary>
    private sealed class FuzzRun(FuzzTarget target)
    {
        private readonly int? _only = Setting("MEMSIM_FUZZ_INPUT");
        private readonly int? _seconds = Setting("MEMSIM_FUZZ_SECONDS");
        private readonly Dictionary<string, string> _faults = new(StringComparer.Ordinal);

        public int Seed { get; } = Setting("MEMSIM_FUZZ_SEED") ?? 1;

        public long Inputs;

        public long Read;

        public long Refused;

        public long MostBytes;

        public double LongestSeconds;

        public double Seconds;

        public Dictionary<string, string>.ValueCollection Faults => _faults.Values;

        public void Go()
        {
            Stopwatch clock = Stopwatch.StartNew();
            for (int input = _only ?? 0; Goes(input, clock.Elapsed); input++, Inputs++)
            {
                long before = GC.GetAllocatedBytesForCurrentThread();
                TimeSpan began = clock.Elapsed;
                try
                {
                    target.Read(new Random(unchecked(Seed * 1_000_003 + input)));
                    Read++;
                }
                catch (InputFileException e) when (e.Reason.Length != 0)
                {
                    Refused++;
                }
                catch (Exception e) when (target.Documented(e) && e.Message.Length != 0)
                {
                    Refused++;
                }
                catch (Exception e)
                {
                    string where = string.Join('\n', (e.StackTrace ?? "").Split('\n').Where(l => l.Contains("MemSim", StringComparison.Ordinal)).Take(4));
                    _faults.TryAdd(e.GetType().Name + where, $"{target.Name}, seed {Seed}, input {input}: {e.GetType().Name}: {e.Message}\n{where}\n");
                }

                MostBytes = Math.Max(MostBytes, GC.GetAllocatedBytesForCurrentThread() - before);
                LongestSeconds = Math.Max(LongestSeconds, (clock.Elapsed - began).TotalSeconds);
            }

            Seconds = clock.Elapsed.TotalSeconds;
        }

        public override string ToString() => string.Create(CultureInfo.InvariantCulture,
            $"{target.Name}, seed {Seed}: {Inputs} inputs, {Read} read, {Refused} refused, {_faults.Count} kinds of fault; at most {MostBytes >> 10} KiB and {LongestSeconds:F2} s an input, {Seconds:F1} s in all");

        private static int? Setting(string name) => int.TryParse(Environment.GetEnvironmentVariable(name), NumberStyles.None, CultureInfo.InvariantCulture, out int value) ? value : null;

        private bool Goes(int input, TimeSpan passed) => _only is { } only ? input == only : _seconds is { } seconds ? passed.TotalSeconds < seconds : input < target.Inputs;
    }
}
