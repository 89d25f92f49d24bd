using System.Collections;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Reflection;
using System.Runtime.CompilerServices;

namespace MemSim.Mutants;

/// <summary>One test with one row of its data, called without the runner: attributes are known by their names, so that any copy of xunit will do.</summary>
internal sealed class TestCase
{
    private readonly Type _type;
    private readonly MethodInfo _method;
    private readonly object?[] _arguments;

    private TestCase(Type type, MethodInfo method, object?[] arguments, int row)
    {
        (_type, _method, _arguments) = (type, method, arguments);
        Name = $"{type.FullName}.{method.Name}#{row.ToString(CultureInfo.InvariantCulture)}";
    }

    /// <summary>Class, method and number of the row.</summary>
    public string Name { get; }

    /// <summary>All tests of an assembly that are not skipped.</summary>
    public static IEnumerable<TestCase> In(Assembly assembly)
    {
        foreach (Type type in assembly.GetTypes().Where(t => t is { IsClass: true, ContainsGenericParameters: false } && (!t.IsAbstract || t.IsSealed)).OrderBy(t => t.FullName, StringComparer.Ordinal))
        {
            foreach (MethodInfo method in type.GetMethods(BindingFlags.Public | BindingFlags.Instance | BindingFlags.Static).OrderBy(m => m.Name, StringComparer.Ordinal))
            {
                if (method.GetCustomAttributesData().FirstOrDefault(a => a.AttributeType.Name is "FactAttribute" or "TheoryAttribute") is not { } fact || fact.NamedArguments.Any(a => a.MemberName is "Skip"))
                {
                    continue;
                }

                if (fact.AttributeType.Name is "FactAttribute")
                {
                    yield return new TestCase(type, method, [], 0);
                    continue;
                }

                int row = 0;
                foreach (object?[] data in method.GetCustomAttributesData().SelectMany(a => Rows(a, type)))
                {
                    yield return new TestCase(type, method, Fitted(data, method.GetParameters()), row++);
                }
            }
        }
    }

    /// <summary>Runs the test: <see langword="null"/> when it passes or skips itself, else what it says.</summary>
    public string? Failure()
    {
        Dictionary<Type, object> fixtures = [];
        object? instance = null;
        try
        {
            instance = _method.IsStatic ? null : Create(_type, fixtures);
            switch (_method.Invoke(instance, _arguments))
            {
                case Task task:
                    task.GetAwaiter().GetResult();
                    break;
                case ValueTask task:
                    task.AsTask().GetAwaiter().GetResult();
                    break;
            }

            Leave(instance);
            instance = null;
            return null;
        }
        catch (Exception thrown)
        {
            Exception cause = thrown is TargetInvocationException { InnerException: { } inner } ? inner : thrown;
            return cause.GetType().Name is "SkipException" ? null : $"{cause.GetType().Name}: {cause.Message}";
        }
        finally
        {
            try
            {
                Leave(instance);
            }
            catch (Exception)
            {
                // The first failure is the one that counts.
            }

            foreach (object fixture in fixtures.Values)
            {
                (fixture as IDisposable)?.Dispose();
            }
        }
    }

    private static void Leave(object? instance)
    {
        switch (instance)
        {
            case IAsyncDisposable asynchronous:
                asynchronous.DisposeAsync().AsTask().GetAwaiter().GetResult();
                break;
            case IDisposable disposable:
                disposable.Dispose();
                break;
        }
    }

    private static object Create(Type type, Dictionary<Type, object> fixtures)
    {
        object?[] arguments = [.. type.GetConstructors()[0].GetParameters().Select(p => p.ParameterType.IsInterface ? Silent(p.ParameterType) : Fixture(p.ParameterType, fixtures))];
        return Activator.CreateInstance(type, arguments)!;
    }

    private static object Fixture(Type type, Dictionary<Type, object> fixtures)
    {
        if (!fixtures.TryGetValue(type, out object? fixture))
        {
            fixtures[type] = fixture = Activator.CreateInstance(type)!;
        }

        return fixture;
    }

    private static object Silent(Type type) => typeof(DispatchProxy).GetMethod(nameof(DispatchProxy.Create), 2, [])!.MakeGenericMethod(type, typeof(SilentOutput)).Invoke(null, null)!;

    private static IEnumerable<object?[]> Rows(CustomAttributeData attribute, Type type)
    {
        if (attribute.AttributeType.Name is "InlineDataAttribute")
        {
            CustomAttributeTypedArgument only = attribute.ConstructorArguments[0];
            return [only.Value is IReadOnlyList<CustomAttributeTypedArgument> values ? [.. values.Select(Plain)] : [null]];
        }

        if (attribute.AttributeType.Name is not "MemberDataAttribute")
        {
            return [];
        }

        string name = (string)attribute.ConstructorArguments[0].Value!;
        Type owner = attribute.NamedArguments.Where(a => a.MemberName is "MemberType").Select(a => (Type)a.TypedValue.Value!).FirstOrDefault(type);
        object?[] with = attribute.ConstructorArguments is [_, { Value: IReadOnlyList<CustomAttributeTypedArgument> given }] ? [.. given.Select(Plain)] : [];
        const BindingFlags All = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static | BindingFlags.FlattenHierarchy;
        object? rows = owner.GetProperty(name, All)?.GetValue(null) ?? owner.GetField(name, All)?.GetValue(null) ?? owner.GetMethod(name, All)?.Invoke(null, with);
        return [.. ((IEnumerable)rows!).Cast<object?>().Select(Row)];
    }

    private static object?[] Row(object? row) => row switch
    {
        object?[] plain => plain,
        ITuple tuple => [.. Enumerable.Range(0, tuple.Length).Select(i => tuple[i])],
        not null when row.GetType().GetInterfaces().FirstOrDefault(i => i.Name is "ITheoryDataRow") is { } data => (object?[])data.GetMethod("GetData")!.Invoke(row, null)!,
        _ => [row],
    };

    private static object? Plain(CustomAttributeTypedArgument argument)
    {
        if (argument.Value is IReadOnlyList<CustomAttributeTypedArgument> values)
        {
            Array array = Array.CreateInstance(argument.ArgumentType.GetElementType()!, values.Count);
            for (int i = 0; i < values.Count; i++)
            {
                array.SetValue(Plain(values[i]), i);
            }

            return array;
        }

        return argument.ArgumentType.IsEnum ? Enum.ToObject(argument.ArgumentType, argument.Value!) : argument.Value;
    }

    private static object?[] Fitted(object?[] data, ParameterInfo[] parameters)
    {
        object?[] fitted = new object?[parameters.Length];
        for (int i = 0; i < parameters.Length; i++)
        {
            Type type = Nullable.GetUnderlyingType(parameters[i].ParameterType) ?? parameters[i].ParameterType;
            object? value = i < data.Length ? data[i] : parameters[i].DefaultValue;
            fitted[i] = value is null || type.IsInstanceOfType(value) || value is not IConvertible || !typeof(IConvertible).IsAssignableFrom(type)
                ? value
                : type.IsEnum ? Enum.ToObject(type, value) : Convert.ChangeType(value, type, CultureInfo.InvariantCulture);
        }

        return fitted;
    }

    /// <summary>Takes what tests print.</summary>
    [SuppressMessage("Performance", "CA1852:Seal internal types", Justification = "A proxy is a subtype made at run time.")]
    public class SilentOutput : DispatchProxy
    {
        protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) => targetMethod?.ReturnType == typeof(string) ? "" : null;
    }
}
