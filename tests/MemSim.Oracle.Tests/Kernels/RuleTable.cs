using System.Collections;
using System.Globalization;
using System.Reflection;
using System.Text;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using MemSim.Kernels;

namespace MemSim.Oracle.Tests.Kernels;

/// <summary>Writes the rules of all kernel lines as a page: what is said comes from the rules themselves.</summary>
internal static partial class RuleTable
{
    private const BindingFlags Public = BindingFlags.Public | BindingFlags.Instance;

    public static string Write()
    {
        Dictionary<string, string> summaries = Summaries();
        StringBuilder page = new();
        page.Append("""
            # Kernels

            A machine follows the rules of one kernel line: `MachineSpec.X86_64("2G").WithKernel("7.3")`, `memsim boot --kernel 7.3`. A capture or recording names its
            kernel by itself. Versions between known lines take the nearest older one; older and vendors' kernels say what is known to differ
            (`machine.Warnings`, on standard error and in `warnings` of `--json`). Kernels before 6.1 get 6.1's rules with what is known to differ.

            Rules are data (`src/MemSim/Kernels`, one file a line): each line is the one before it with what changed. The tables below are made from them by a
            test of MemSim.Oracle.Tests; each cell has the value and the recording that shows it (`?`: no recording tells, the value is the nearest
            older line's). That a recording shows a rule is tested too: with another value it does not replay.


            """.ReplaceLineEndings("\n"));
        page.Append("| line | recorded |\n| --- | --- |\n");
        foreach (KernelPersonality line in KernelLines.Recorded)
        {
            page.Append(CultureInfo.InvariantCulture, $"| {line.Name} | {line.Recorded} |\n");
        }

        foreach (PropertyInfo group in typeof(KernelPersonality).GetProperties(Public).Where(p => p.PropertyType.Namespace == typeof(KernelPersonality).Namespace))
        {
            page.Append(CultureInfo.InvariantCulture, $"\n## {group.Name}\n\n{Summary(summaries, group)}\n\n| rule | {string.Join(" | ", KernelLines.Recorded.Select(l => l.Name))} |\n|");
            page.Append(string.Concat(Enumerable.Repeat(" --- |", KernelLines.Recorded.Count + 1))).Append('\n');
            foreach (PropertyInfo rule in group.PropertyType.GetProperties(Public).Where(p => p.CanWrite))
            {
                page.Append(CultureInfo.InvariantCulture, $"| **{rule.Name}**: {Summary(summaries, rule)} |");
                string? before = null;
                foreach (KernelPersonality line in KernelLines.Recorded)
                {
                    string value = Text(rule.GetValue(group.GetValue(line)));
                    page.Append(CultureInfo.InvariantCulture, $" {(value == before || before is null ? value : $"**{value}**")}<br>{RuleEvidence.Of(group.Name, rule.Name, line.Name)} |");
                    before = value;
                }

                page.Append('\n');
            }
        }

        return page.ToString();
    }

    private static string Text(object? value) => value switch
    {
        null => "none",
        bool yes => yes ? "yes" : "no",
        string text => text.Length == 0 ? "none" : text,
        IDictionary dictionary => dictionary.Count == 0 ? "none" : string.Join(", ", dictionary.Keys.Cast<object>().Select(k => $"{k} {dictionary[k]}").Order(StringComparer.Ordinal)),
        IEnumerable list => list.Cast<object>().Any() ? string.Join(", ", list.Cast<object>()) : "none",
        _ => Convert.ToString(value, CultureInfo.InvariantCulture)!,
    };

    private static string Summary(Dictionary<string, string> summaries, PropertyInfo property) =>
        summaries.GetValueOrDefault($"P:{property.DeclaringType!.FullName}.{property.Name}") ?? throw new InvalidOperationException($"{property.DeclaringType}.{property.Name} says nothing of itself");

    private static Dictionary<string, string> Summaries()
    {
        XDocument documentation = XDocument.Load(Path.Combine(AppContext.BaseDirectory, "MemSim.xml"));
        return documentation.Descendants("member").ToDictionary(m => m.Attribute("name")!.Value, m => Plain(m.Element("summary")), StringComparer.Ordinal);
    }

    private static string Plain(XElement? summary)
    {
        if (summary is null)
        {
            return "";
        }

        string text = string.Concat(summary.Nodes().Select(n => n switch
        {
            XElement { Name.LocalName: "see" } see => $"`{see.Attribute("cref")?.Value.Split('.')[^1]}`",
            XElement code => $"`{code.Value}`",
            XText words => words.Value,
            _ => "",
        }));
        return Spaces().Replace(text, " ").Trim().TrimEnd('.').Replace("|", "\\|", StringComparison.Ordinal);
    }

    [GeneratedRegex(@"\s+", RegexOptions.None, 1000)]
    private static partial Regex Spaces();
}
