using System.Text;
using FluentAssertions;
using Xunit;

namespace MemSim.Reports.Tests;

/// <summary>Measures what the process holds, so nothing else may run beside it.</summary>
[CollectionDefinition(nameof(StreamTests), DisableParallelization = true)]
[Collection(nameof(StreamTests))]
public sealed class StreamTests
{
    [Fact]
    public void A_long_log_with_a_thousand_reports_is_read_in_bounded_memory()
    {
        string report = Logs.Case("01");
        using LongLog log = new(report, copies: 500, between: 100_000);
        KernelLog reader = new(log);
        long before = GC.GetTotalMemory(forceFullCollection: true);
        long peak = 0;
        int reports = 0;
        List<long> progress = [];
        foreach (KernelReport read in reader.Reports(new Told(progress)))
        {
            reports++;
            read.Zones.Should().HaveCount(3);
            if (reports % 200 == 0)
            {
                peak = Math.Max(peak, GC.GetTotalMemory(forceFullCollection: true) - before);
            }
        }

        reports.Should().Be(1000);
        peak.Should().BeLessThan(24 << 20);
        reader.Position.Should().Be(log.Length);
        progress.Should().BeInAscendingOrder().And.HaveCountGreaterThan(20);
        reader.UnknownLines.Should().BeEmpty();
    }

    private sealed class Told(List<long> list) : IProgress<long>
    {
        public void Report(long value) => list.Add(value);
    }

    /// <summary>A log that is made while it is read.</summary>
    private sealed class LongLog(string report, int copies, int between) : TextReader
    {
        private readonly string _report = report + "\n";
        private readonly string _other = Other(between);
        private int _part;
        private int _at;

        public long Length => (long)copies * (_report.Length + _other.Length);

        public override int Read(char[] buffer, int index, int count)
        {
            if (_part == 2 * copies)
            {
                return 0;
            }

            string text = (_part & 1) == 0 ? _other : _report;
            int length = Math.Min(count, text.Length - _at);
            text.CopyTo(_at, buffer, index, length);
            _at += length;
            if (_at == text.Length)
            {
                (_at, _part) = (0, _part + 1);
            }

            return length;
        }

        private static string Other(int length)
        {
            StringBuilder text = new();
            for (int i = 0; text.Length < length; i++)
            {
                text.Append(System.Globalization.CultureInfo.InvariantCulture, $"[{i,6}.123456] usb 1-1.{i % 7}: new high-speed USB device number {i} using xhci_hcd\n");
            }

            return text.ToString();
        }
    }
}
