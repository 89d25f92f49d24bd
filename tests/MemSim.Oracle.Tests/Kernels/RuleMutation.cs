using System.Reflection;
using MemSim.Kernels;

namespace MemSim.Oracle.Tests.Kernels;

/// <summary>A rule that changed with a line, and each later line that still has the new value: with the old one instead, something recorded must come out differently.</summary>
internal sealed record RuleMutation(string Rule, PropertyInfo Group, PropertyInfo Property, object? Older, IReadOnlyList<KernelPersonality> Lines)
{
    /// <summary>All changes of rules but those of the page allocator, which have runs of their own.</summary>
    public static IEnumerable<RuleMutation> All()
    {
        const BindingFlags flags = BindingFlags.Public | BindingFlags.Instance;
        IReadOnlyList<KernelPersonality> lines = KernelLines.Recorded;
        foreach (PropertyInfo group in typeof(KernelPersonality).GetProperties(flags).Where(p => p.PropertyType.Namespace == typeof(KernelPersonality).Namespace && p.Name != "Allocator"))
        {
            foreach (PropertyInfo rule in group.PropertyType.GetProperties(flags).Where(p => p.CanWrite))
            {
                object? Value(int line) => rule.GetValue(group.GetValue(lines[line]));
                for (int i = 1; i < lines.Count; i++)
                {
                    if (!Equals(Value(i), Value(i - 1)))
                    {
                        int end = i + 1;
                        while (end < lines.Count && Equals(Value(end), Value(i)))
                        {
                            end++;
                        }

                        yield return new RuleMutation($"{lines[i].Name} {group.Name}.{rule.Name}", group, rule, Value(i - 1), [.. lines.Skip(i).Take(end - i)]);
                    }
                }
            }
        }
    }

    /// <summary>The rules of a line with this one as it was before.</summary>
    public KernelPersonality Applied(KernelPersonality line)
    {
        object group = CopyOf(Group.GetValue(line)!);
        Property.SetValue(group, Older);
        KernelPersonality other = (KernelPersonality)CopyOf(line);
        Group.SetValue(other, group);
        return other;
    }

    // What "with" does.
    private static object CopyOf(object record) => record.GetType().GetMethod("<Clone>$")!.Invoke(record, null)!;
}
