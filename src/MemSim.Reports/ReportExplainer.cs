using MemSim.Reports.Explaining;

namespace MemSim.Reports;

/// <summary>Explains reports: the kernel's arithmetic by the rules of its version, and what would have changed the outcome.</summary>
public static class ReportExplainer
{
    /// <summary>Explains a report.</summary>
    /// <param name="report">The report.</param>
    /// <param name="kernel">The kernel whose rules apply; null for the one the report names, or those its form allows.</param>
    /// <param name="onMachine">Whether to rebuild the machine of the report where that is possible, and to try each change on a fork of it beside the arithmetic.</param>
    public static ReportExplanation Explain(KernelReport report, KernelRelease? kernel = null, bool onMachine = false)
    {
        ArgumentNullException.ThrowIfNull(report);
        ReportExplanation explanation = new(report) { PageSizeKiB = report.PageSizeKiB };
        Explanations.Fill(explanation, kernel, onMachine);
        return explanation;
    }
}
