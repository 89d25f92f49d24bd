using System.Globalization;

namespace MemSim.Reports.Reading;

/// <summary>Reads the last lines of the OOM killer: whom it chose, whom it killed, and that nobody was left.</summary>
internal static class OomText
{
    /// <summary>What the kernel says when nobody is left to kill.</summary>
    public static void End(string text, KernelReport report)
    {
        if (text.IndexOf("Kernel panic", StringComparison.Ordinal) is >= 0 and int panic)
        {
            report.Notes.Add($"the kernel panicked: {text[panic..].Trim()}");
        }
        else if (text.Contains("killed due to memory.oom.group", StringComparison.Ordinal))
        {
            report.Notes.Add("memory.oom.group is set: every task of the group is killed, not the largest alone");
        }
        else if (text.Contains("no killable", StringComparison.Ordinal))
        {
            report.Notes.Add("the OOM killer found no process that it may kill");
        }
    }

    /// <summary>Reads <c>oom-kill:</c>: the constraint, the groups and the task that was chosen.</summary>
    public static void Choice(string text, KernelReport report)
    {
        foreach (string part in text[(text.IndexOf("oom-kill:", StringComparison.Ordinal) + 9)..].Split(','))
        {
            int equals = part.IndexOf('=', StringComparison.Ordinal);
            if (equals <= 0)
            {
                continue;
            }

            string value = part[(equals + 1)..].Trim();
            switch (part[..equals].Trim())
            {
                case "constraint":
                    report.Constraint = value;
                    break;
                case "oom_memcg":
                    (report.Cgroup ??= new ReportedCgroup()).Path ??= value;
                    break;
                case "task_memcg" when report.Constraint == "CONSTRAINT_MEMCG":
                    (report.Cgroup ??= new ReportedCgroup()).TaskPath ??= value;
                    break;
                case "task":
                    report.Victim ??= new ReportedTask { Name = value };
                    break;
                case "pid" when long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out long pid):
                    report.Victim = (report.Victim ?? new ReportedTask()) with { Pid = pid };
                    break;
            }
        }

        HeadText.Places(text, report);
        report.Kind = report.Constraint == "CONSTRAINT_MEMCG" ? ReportKind.MemcgOom : report.Kind == ReportKind.State ? ReportKind.Oom : report.Kind;
    }

    /// <summary>Whether a line about a victim says that a group's limit was the reason, or that it was not; null where it says neither.</summary>
    public static bool? IsOfGroup(string text) =>
        text.Contains("emory cgroup out of memory", StringComparison.Ordinal) ? true
        : text.Contains("ut of memory", StringComparison.Ordinal) ? false
        : null;

    /// <summary>Reads a line about a victim.</summary>
    public static void Killed(string text, KernelReport report)
    {
        End(text, report);
        if (text.Contains("emory cgroup out of memory", StringComparison.Ordinal))
        {
            report.Kind = ReportKind.MemcgOom;
        }
        else if (report.Kind == ReportKind.State)
        {
            report.Kind = ReportKind.Oom;
        }

        if (TaskText.Victim(text) is { } victim && (report.Victim?.AnonKiB is null || victim.AnonKiB > report.Victim.AnonKiB))
        {
            report.Victim = victim.AnonKiB is null && report.Victim?.Pid == victim.Pid ? report.Victim : victim;
        }
    }
}
