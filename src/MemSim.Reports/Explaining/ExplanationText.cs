using System.Globalization;
using System.Text;

namespace MemSim.Reports.Explaining;

/// <summary>Writes an explanation for people: why and what now in the first lines, then a line per zone, what-ifs, the rest.</summary>
internal static class ExplanationText
{
    private static readonly CultureInfo Plain = CultureInfo.InvariantCulture;

    public static string Of(ReportExplanation explanation)
    {
        StringBuilder text = new();
        text.Append(Title(explanation)).Append('\n');
        string[] why = [.. explanation.Why];
        text.Append("why: ").Append(why.Length == 0 ? explanation.Verdict.ToString() : why[0]).Append('\n');
        Saving[] working = [.. explanation.SavedBy.Where(s => s.Works == true).Take(3)];
        if (working.Length == 0)
        {
            working = [.. explanation.SavedBy.Where(s => s.Works is null).Take(2)];
        }

        for (int i = 0; i < working.Length; i++)
        {
            text.Append(i == 0 ? "now: " : "     ").Append(working[i].Text).Append('\n');
        }

        // What else was so when it failed, apart from what would help now.
        for (int i = 1; i < why.Length; i++)
        {
            text.Append(i == 1 ? "also: " : "      ").Append(why[i]).Append('\n');
        }

        text.Append("rules: ").Append(explanation.Rules).Append('\n');
        foreach (OtherAnswer other in explanation.Others)
        {
            text.Append(Plain, $"  since {other.Since}: {Word(other.Verdict)}{(other.Text.Length == 0 ? "" : $" ({other.Text})")}\n");
        }

        Zones(explanation, text);
        if (explanation.SavedBy.Count != 0)
        {
            text.Append("what if:\n");
            foreach (Saving saving in explanation.SavedBy)
            {
                text.Append(saving.Works switch { true => "  works     ", false => "  does not  ", null => "  perhaps   " }).Append(saving.Text);
                text.Append(saving.OnMachine is { } machine ? machine ? " [the rebuilt machine: passes]" : " [the rebuilt machine: fails]" : "").Append('\n');
            }
        }

        if (explanation.OnMachine is { } machineDid)
        {
            text.Append("rebuilt machine: the request as reported ").Append(machineDid ? "passes" : "fails").Append(" there\n");
        }

        else if (explanation.NotRebuilt.Length != 0)
        {
            text.Append("rebuilt machine: none, because ").Append(explanation.NotRebuilt).Append('\n');
        }

        if (explanation.Consumers.Count != 0)
        {
            text.Append("who holds it: ").AppendJoin(", ", explanation.Consumers.Take(6).Select(c => $"{c.Name} {Amount.KiB(c.KiB)}")).Append('\n');
        }

        foreach (string note in explanation.Notes)
        {
            text.Append("note: ").Append(note).Append('\n');
        }

        return text.ToString();
    }

    /// <summary>The first line: where, who, what.</summary>
    private static string Title(ReportExplanation explanation)
    {
        KernelReport report = explanation.Report;
        string what = (report.Kind, report.Head) switch
        {
            (ReportKind.MemcgOom, _) => "OOM kill of a memory cgroup",
            (ReportKind.Oom, _) => "OOM kill",
            (_, ReportHead.Vmalloc) => "vmalloc failure",
            (_, ReportHead.Cma) => "CMA allocation failure",
            (ReportKind.AllocationFailure, ReportHead.NoMmu) => "no-MMU allocation failure",
            (ReportKind.AllocationFailure, ReportHead.Slub) => "slab allocation failure",
            (_, ReportHead.Stall) => "page allocation that waits",
            (ReportKind.AllocationFailure, _) => "page allocation failure",
            _ => "state of memory",
        };
        StringBuilder text = new();
        text.Append(Plain, $"line {report.Line}: {what}: {Word(explanation.Verdict).ToUpperInvariant()}");
        if (explanation.Order is { } order)
        {
            text.Append(Plain, $"; order {order}{(order >= 0 ? $" ({Amount.Block(order, explanation.PageSizeKiB ?? 4)})" : "")}");
        }

        if (explanation.GfpNames is { Count: > 0 } names)
        {
            text.Append(", ").AppendJoin('|', names);
        }

        text.Append(report.Task is null ? "" : $", by {report.Task}");
        return text.Append(report.Release is null ? "" : $", Linux {report.Release}").ToString();
    }

    /// <summary>A verdict as the contract of the tool writes it.</summary>
    public static string Word(Verdict verdict) => verdict.ToString().ToLowerInvariant();

    private static void Zones(ReportExplanation explanation, StringBuilder text)
    {
        foreach (ZoneOutcome zone in explanation.Zones)
        {
            string outcome = zone.Eligible == false ? "not for this request" : zone.Passes switch { true => "passes", false => "fails", null => "not known" };
            text.Append(Plain, $"Node {zone.Node}, zone {zone.Name}: {outcome}\n");
            foreach (string line in zone.Arithmetic)
            {
                text.Append("    ").Append(line).Append('\n');
            }
        }
    }
}
