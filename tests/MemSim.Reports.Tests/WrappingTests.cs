using System.Globalization;
using FluentAssertions;
using Xunit;

namespace MemSim.Reports.Tests;

/// <summary>A report says the same in every wrapping.</summary>
public sealed class WrappingTests
{
    public static TheoryData<string> Names() => [.. Wrappings.All.Keys];

    private static string[] Bases => [.. new[] { "01", "05", "07", "09", "11", "21" }.Select(Logs.Case), .. Directory.GetFiles(Path.Combine(Logs.Folder, "reports")).Order().Select(File.ReadAllText)];

    [Theory]
    [MemberData(nameof(Names))]
    public void A_report_is_read_from_it(string wrapping)
    {
        foreach (string text in Bases)
        {
            // Padding and a last line that is broken already belong to one of the logs; here they are undone first.
            string plain = string.Join('\n', text.Split('\n').Select(l => l.TrimEnd())).Replace("oom\n_score", "oom_score", StringComparison.Ordinal);
            string[] expected = [.. KernelLog.Read(plain).Select(Facts)];
            string[] actual = [.. KernelLog.Read(Wrappings.All[wrapping](plain)).Select(Facts)];
            string[] left = string.Join('\n', expected).Split('\n');
            string[] right = string.Join('\n', actual).Split('\n');
            int differs = Enumerable.Range(0, Math.Min(left.Length, right.Length)).FirstOrDefault(i => left[i] != right[i], -1);
            (differs < 0 ? "" : right[differs]).Should().Be(differs < 0 ? "" : left[differs], "line {0} of {1}", differs, text[..60]);
            right.Should().HaveSameCount(left, "of {0}", text[..60]);
        }
    }

    /// <summary>What a report says, as text.</summary>
    internal static string Facts(KernelReport report)
    {
        CultureInfo plain = CultureInfo.InvariantCulture;
        List<string> lines = [string.Create(plain, $"{report.Kind} {report.Head} {report.Order} {report.Gfp?.Hex} {string.Join('|', report.Gfp?.Names ?? [])} {report.Release} {report.Task} {report.NodeMask} {report.Constraint} {report.HasHugePages} {report.TaskRows}")];
        foreach (ReportedZone zone in report.Zones)
        {
            lines.Add($"{zone} {string.Join(' ', zone.Figures.OrderBy(f => f.Key, StringComparer.Ordinal).Select(f => $"{f.Key}={f.Value}"))} reserve {string.Join(' ', zone.LowmemReserve ?? [])} blocks {string.Join(' ', (zone.Blocks ?? []).Select(b => $"{b.Count}*{b.KiB}{b.Types}"))} = {zone.ListTotalKiB}");
        }

        lines.Add(string.Join(' ', report.Totals.OrderBy(t => t.Key, StringComparer.Ordinal).Select(t => $"{t.Key}={t.Value}")));
        lines.Add(string.Join(' ', report.Closing.OrderBy(t => t.Key, StringComparer.Ordinal).Select(t => $"{t.Key}={t.Value}")));
        lines.Add(string.Join(' ', report.Nodes.SelectMany(n => n.Value.OrderBy(f => f.Key, StringComparer.Ordinal).Select(f => $"{n.Key}:{f.Key}={f.Value}"))));
        lines.Add($"{report.Victim} {report.Cgroup?.Path} {report.Cgroup?.UsageKiB} {report.Cgroup?.LimitKiB} {report.Cgroup?.Stat.Count}");
        return string.Join('\n', lines);
    }
}
