using System.Collections;
using System.Reflection;

namespace MemSim.Tests.House;

/// <summary>Reads every public property of every public object that can be reached from one, as a debugger or a serializer would.</summary>
/// <param name="inside">Whether properties inside the library are read as well, of all its objects.</param>
internal sealed class PropertyReader(bool inside = false)
{
    private const int MostOfAType = 200;
    private const int MostElements = 40;

    private readonly HashSet<object> _seen = new(ReferenceEqualityComparer.Instance);
    private readonly Dictionary<Type, int> _ofType = [];
    private readonly Queue<object> _waiting = new();

    /// <summary>Properties read, by name with their type.</summary>
    public HashSet<string> Read { get; } = [];

    public void ReadAll(object root)
    {
        Add(root);
        while (_waiting.TryDequeue(out object? next))
        {
            ReadOne(next);
        }
    }

    private void Add(object? value)
    {
        if (value is null or string or Pointer || value.GetType() is { IsPrimitive: true } or { IsEnum: true } or { IsPointer: true })
        {
            return;
        }

        if (value is IEnumerable elements)
        {
            int taken = 0;
            foreach (object? element in elements)
            {
                Add(element);
                if (++taken == MostElements)
                {
                    break;
                }
            }
        }

        Type type = value.GetType();
        if (type.Assembly != typeof(Machine).Assembly || (!type.IsValueType && !_seen.Add(value)))
        {
            return;
        }

        int known = _ofType.GetValueOrDefault(type);
        if (known < MostOfAType)
        {
            _ofType[type] = known + 1;
            _waiting.Enqueue(value);
        }
    }

    private void ReadOne(object target)
    {
        for (Type? type = target.GetType(); type is not null && type != typeof(object); type = type.BaseType)
        {
            if (!inside && !type.IsVisible)
            {
                continue;
            }

            foreach (PropertyInfo property in type.GetProperties(BindingFlags.Public | (inside ? BindingFlags.NonPublic : 0) | BindingFlags.Instance | BindingFlags.DeclaredOnly))
            {
                if (property.GetMethod is null || (!inside && !property.GetMethod.IsPublic) || property.GetIndexParameters().Length != 0 || property.PropertyType.IsByRefLike || property.PropertyType.IsByRef)
                {
                    continue;
                }

                Read.Add($"{type.Name}.{property.Name}");
                object? value;
                try
                {
                    value = property.GetValue(target);
                }
                catch (TargetInvocationException e) when (e.InnerException is InvalidOperationException or KernelBugException or ArgumentException or NotSupportedException)
                {
                    // A property may refuse; it may not change anything.
                    continue;
                }

                Add(value);
            }
        }
    }
}
