using MemSim.Reports;

namespace MemSim.Tool.Explaining;

/// <summary>Makes the document of an explanation.</summary>
internal static class ExplainDocuments
{
    public static ExplainedReportDocument Of(string file, ReportExplanation explanation)
    {
        KernelReport report = explanation.Report;
        return new ExplainedReportDocument(
            file,
            Kind(report.Kind),
            report.Version?.ToString(),
            explanation.PageSizeKiB,
            explanation.Order,
            explanation.GfpNames,
            Word(explanation.Verdict),
            [.. explanation.Zones.Select(Of)],
            [.. explanation.SavedBy.Select(s => new SavingDocument(s.Knob, s.Value, s.Works, s.Text, s.OnMachine))],
            report.Line,
            report.LastLine,
            report.Task,
            explanation.Rules,
            explanation.Why,
            [.. explanation.Others.Select(o => new OtherAnswerDocument(o.Since.ToString(), Word(o.Verdict), o.Text))],
            [.. explanation.Consumers.Select(c => new ConsumerDocument(c.Name, c.KiB, c.Text))],
            explanation.Notes,
            report.Suppressed,
            report.Victim is { } victim ? new VictimDocument(victim.Name, victim.Pid, victim.AnonKiB, victim.ScoreAdj) : null,
            report.Cgroup is { } group ? new CgroupDocument(group.Path, group.TaskPath, group.UsageKiB, group.LimitKiB) : null,
            [.. report.UnknownLines],
            explanation.OnMachine,
            explanation.NotRebuilt.Length == 0 ? null : explanation.NotRebuilt);
    }

    private static ExplainedZoneDocument Of(ZoneOutcome zone) => new(
        zone.Node,
        zone.Name,
        zone.Eligible,
        zone.FreePages,
        zone.UnusablePages,
        zone.LimitPages,
        zone.MissingPages,
        zone.LargestUsableOrder,
        zone.Passes,
        zone.Reason is { } reason ? Word(reason) : null,
        zone.MinPages,
        zone.BoostPages,
        zone.ReservePages,
        zone.HighAtomicPages,
        zone.HighAtomicIsLeast,
        zone.CmaPages,
        zone.UsableBlocks,
        zone.PassesHigh,
        zone.Arithmetic);

    private static string Word(Verdict verdict) => verdict.ToString().ToLowerInvariant();

    private static string Kind(ReportKind kind) => kind switch
    {
        ReportKind.AllocationFailure => "allocation-failure",
        ReportKind.Oom => "oom",
        ReportKind.MemcgOom => "memcg-oom",
        ReportKind.State => "state",
        _ => "other",
    };
}
