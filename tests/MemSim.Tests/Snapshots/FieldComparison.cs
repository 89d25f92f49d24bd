using System.Collections;
using System.Reflection;
using System.Runtime.CompilerServices;
using MemSim.Diagnostics;

namespace MemSim.Tests.Snapshots;

/// <summary>
/// Walks two machines in lockstep, field by field, and says where they differ. It knows nothing of how snapshots carry a field: only marks on fields (<see cref="NotStateAttribute"/>), addresses of
/// the host and the types of <see cref="HostTypes"/> are left out. What lies in host tables (frames, RAM, tables of slabs) is compared by the texts and futures of the machines.
/// </summary>
internal sealed class FieldComparison
{
    /// <summary>What is made anew for a copy, or compared by other means.</summary>
    private static readonly HashSet<string> HostTypes = ["PhysicalMemory", "MemMap", "HostRange", "SlabMemory", "ArrayMemory", "SlabCpuTables", "HostMemory", "Lock", "NullLogger", "NullLoggerFactory", "FrameArray", "FrontLine"];

    private readonly Queue<(object Mine, object Theirs, string At)> _pairs = [];
    private readonly Dictionary<object, object> _partners = new(ReferenceEqualityComparer.Instance);
    private readonly Dictionary<Type, FieldInfo[]> _fields = [];
    private readonly List<string> _differences = [];
    private long _compared;

    private FieldComparison()
    {
    }

    /// <summary>The first differences, at most twenty, and how many values were compared.</summary>
    public static (IReadOnlyList<string> Differences, long Compared) Of(object mine, object theirs)
    {
        FieldComparison comparison = new();
        comparison.Meet(mine, theirs, mine.GetType().Name);
        while (comparison._pairs.TryDequeue(out (object Mine, object Theirs, string At) pair) && comparison._differences.Count < 20)
        {
            comparison.Contents(pair.Mine, pair.Theirs, pair.At);
        }

        return (comparison._differences, comparison._compared);
    }

    private void Differ(string at, object? mine, object? theirs)
    {
        if (_differences.Count < 20)
        {
            _differences.Add($"{at}: {mine ?? "null"} instead of {theirs ?? "null"}");
        }
    }

    /// <summary>Compares two values of one place.</summary>
    private void Meet(object? mine, object? theirs, string at)
    {
        _compared++;
        if (mine is null || theirs is null)
        {
            if (!ReferenceEquals(mine, theirs))
            {
                Differ(at, mine, theirs);
            }

            return;
        }

        Type type = mine.GetType();
        if (HostTypes.Contains(type.Name) || mine is nint or nuint or Pointer)
        {
            return;
        }

        if (type != theirs.GetType())
        {
            Differ(at, type, theirs.GetType());
        }
        else if (type.IsPrimitive || type.IsEnum || mine is string or decimal or Type or MemberInfo)
        {
            if (!mine.Equals(theirs))
            {
                Differ(at, mine, theirs);
            }
        }
        else if (type.IsValueType)
        {
            Fields(mine, theirs, at);
        }
        else if (!_partners.TryGetValue(mine, out object? partner))
        {
            _partners.Add(mine, theirs);
            _pairs.Enqueue((mine, theirs, at));
        }
        else if (!ReferenceEquals(partner, theirs))
        {
            Differ(at, $"{type} that was met elsewhere", "another one");
        }
    }

    private void Contents(object mine, object theirs, string at)
    {
        Type type = mine.GetType();
        if (mine is Delegate call)
        {
            MulticastDelegate other = (MulticastDelegate)theirs;
            Meet(call.Method, other.Method, at + ".Method");
            Meet(call.Target, other.Target, at + ".Target");
        }
        else if (type.IsArray && OfTheHost(type.GetElementType()!))
        {
            Meet(((Array)mine).Length, ((Array)theirs).Length, at + ".Length");
        }
        else if (type.IsArray && type.GetElementType()!.IsPrimitive)
        {
            Primitives((Array)mine, (Array)theirs, at);
        }
        else if (type.Namespace is { } space && (space == "MemSim" || space.StartsWith("MemSim.", StringComparison.Ordinal)) && !type.IsArray)
        {
            Fields(mine, theirs, at);
        }
        else if (mine is IEnumerable items)
        {
            Items(items, (IEnumerable)theirs, at);
        }
        else
        {
            Fields(mine, theirs, at);
        }
    }

    /// <summary>Whether items of an array are addresses of the host, or what was found with them and is found again.</summary>
    private static bool OfTheHost(Type item) => item.IsPointer || item == typeof(nint) || item == typeof(nuint)
        || item is { IsValueType: true, IsPrimitive: false, IsEnum: false } && Array.Exists(item.GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic), f => f.FieldType.IsPointer || f.FieldType == typeof(nint) || f.FieldType == typeof(nuint));

    private void Primitives(Array mine, Array theirs, string at)
    {
        _compared += mine.Length;
        if (mine.Length != theirs.Length)
        {
            Differ(at + ".Length", mine.Length, theirs.Length);
            return;
        }

        for (int i = 0; i < mine.Length; i++)
        {
            if (!mine.GetValue(i)!.Equals(theirs.GetValue(i)))
            {
                Differ($"{at}[{i}]", mine.GetValue(i), theirs.GetValue(i));
            }
        }
    }

    private void Items(IEnumerable mine, IEnumerable theirs, string at)
    {
        IEnumerator others = theirs.GetEnumerator();
        int count = 0;
        foreach (object? item in mine)
        {
            if (!others.MoveNext())
            {
                Differ($"{at}[{count}]", item, "nothing");
                return;
            }

            Meet(item, others.Current, $"{at}[{count++}]");
        }

        if (others.MoveNext())
        {
            Differ($"{at}[{count}]", "nothing", others.Current);
        }
    }

    private void Fields(object mine, object theirs, string at)
    {
        foreach (FieldInfo field in FieldsOf(mine.GetType()))
        {
            Meet(field.GetValue(mine), field.GetValue(theirs), $"{at}.{field.Name}");
        }
    }

    private FieldInfo[] FieldsOf(Type type)
    {
        if (_fields.TryGetValue(type, out FieldInfo[]? known))
        {
            return known;
        }

        List<FieldInfo> all = [];
        for (Type? part = type; part is not null && part != typeof(object) && part != typeof(ValueType); part = part.BaseType)
        {
            all.AddRange(part.GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly)
                .Where(f => !f.IsDefined(typeof(NotStateAttribute)) && !f.FieldType.IsPointer && !f.FieldType.IsFunctionPointer && !f.FieldType.IsDefined(typeof(InlineArrayAttribute))));
        }

        return _fields[type] = [.. all];
    }
}
