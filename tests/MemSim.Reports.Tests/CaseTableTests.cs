using FluentAssertions;
using Xunit;

namespace MemSim.Reports.Tests;

/// <summary>The table of docs/explain.md is what the code says.</summary>
public sealed class CaseTableTests
{
    public static TheoryData<string, string, string> Rows()
    {
        TheoryData<string, string, string> rows = new();
        foreach (string line in File.ReadLines(Path.Combine(Logs.Folder, "explain.md")))
        {
            string[] cells = [.. line.Split('|').Select(c => c.Trim())];
            if (cells.Length >= 6 && cells[1].Length >= 2 && char.IsAsciiDigit(cells[1][0]))
            {
                rows.Add(cells[1], cells[3], cells[4]);
            }
        }

        return rows;
    }

    [Fact]
    public void The_table_has_a_row_for_each_log()
    {
        string[] logs = [.. Directory.GetFiles(Path.Combine(Logs.Folder, "cases")).Select(f => Path.GetFileName(f)[..2]).Order()];
        string[] rows = [.. Rows().Select(r => r.Data.Item1[..2]).Order()];
        rows.Should().Equal(logs);
    }

    [Theory]
    [MemberData(nameof(Rows))]
    public void A_log_has_the_reason_and_the_remedies_of_the_table(string id, string reason, string savedBy)
    {
        IReadOnlyList<ReportExplanation> explanations = Logs.Explain(Logs.Case(id[..2]));

        string.Join(", ", explanations.Select(e => e.Verdict.ToString().ToLowerInvariant())).Should().Be(reason);
        foreach (string entry in savedBy.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).Where(e => e != "-"))
        {
            string[] parts = entry.Trim('`').Split('=', 2);
            explanations[0].SavedBy.Should().Contain(s => s.Knob == parts[0] && s.Works == true && (parts.Length == 1 || s.Value == parts[1]), "of {0}", entry);
        }
    }
}
