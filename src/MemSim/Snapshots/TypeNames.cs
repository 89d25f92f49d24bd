using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;

namespace MemSim.Snapshots;

/// <summary>The names that types have in files, and what a file says of their fields: it can only be read by a library whose types have the same.</summary>
[UnconditionalSuppressMessage("Trimming", "IL2026", Justification = "ILLink.Descriptors.xml keeps the library's types.")]
[UnconditionalSuppressMessage("Trimming", "IL2055", Justification = "ILLink.Descriptors.xml keeps the library's types.")]
[UnconditionalSuppressMessage("AOT", "IL3050", Justification = "Only instantiations that the library itself has in its fields.")]
internal static class TypeNames
{
    /// <summary>Types of the runtime that a machine may consist of, apart from those of the library.</summary>
    private static readonly Type[] Runtimes =
    [
        typeof(bool), typeof(byte), typeof(sbyte), typeof(short), typeof(ushort), typeof(int), typeof(uint), typeof(long), typeof(ulong), typeof(float), typeof(double), typeof(char), typeof(nint),
        typeof(Int128), typeof(UInt128), typeof(decimal), typeof(TimeSpan), typeof(string), typeof(object), typeof(Lock), typeof(List<>), typeof(Dictionary<,>), typeof(SortedDictionary<,>), typeof(HashSet<>), typeof(SortedSet<>),
        typeof(LinkedList<>), typeof(Queue<>), typeof(Stack<>), typeof(Nullable<>), typeof(Action), typeof(Action<>), typeof(Action<,>), typeof(Action<,,>), typeof(Func<>), typeof(Func<,>), typeof(Func<,,>),
        typeof(Microsoft.Extensions.Logging.Abstractions.NullLogger), typeof(Microsoft.Extensions.Logging.Abstractions.NullLoggerFactory), typeof(ValueTuple<,>), typeof(ValueTuple<,,>), typeof(ValueTuple<,,,>), typeof(ValueTuple<,,,,>), typeof(KeyValuePair<,>),
    ];

    /// <summary>The name of a type, its arguments in braces: names that the compiler made have angle brackets themselves.</summary>
    public static string Of(Type type)
    {
        if (type.IsArray)
        {
            return Of(type.GetElementType()!) + "[]";
        }

        if (type.IsPointer)
        {
            return Of(type.GetElementType()!) + "*";
        }

        if (!type.IsGenericType)
        {
            return type.FullName!;
        }

        return type.GetGenericTypeDefinition().FullName + "{" + string.Join(';', type.GetGenericArguments().Select(Of)) + "}";
    }

    /// <summary>The type of a name.</summary>
    /// <exception cref="FormatException">There is none.</exception>
    public static Type Find(string name)
    {
        int at = 0;
        Type type = Parse(name, ref at, 0);
        return at == name.Length ? type : throw new FormatException($"'{name}' is no name of a type");
    }

    private static Type Parse(string name, ref int at, int depth)
    {
        int end = name.AsSpan(at).IndexOfAny('{', ';', '}') is int found and >= 0 ? at + found : name.Length;
        int array = name.AsSpan(at, end - at).IndexOfAny('[', '*') is int bracket and >= 0 ? at + bracket : end;
        string simple = name[at..array];
        at = array;
        Type type = Simple(simple);
        if (at < name.Length && name[at] == '{')
        {
            List<Type> of = [];
            do
            {
                at++;
                of.Add(depth < 8 ? Parse(name, ref at, depth + 1) : throw new FormatException($"'{name}' is nested too deeply"));
            }
            while (at < name.Length && name[at] == ';');
            if (at >= name.Length || name[at] != '}' || !type.IsGenericTypeDefinition || type.GetGenericArguments().Length != of.Count)
            {
                throw new FormatException($"'{name}' is no name of a type");
            }

            at++;
            type = type.MakeGenericType([.. of]);
        }

        for (; at < name.Length && (name[at] == '*' || name.AsSpan(at).StartsWith("[]")); at += name[at] == '*' ? 1 : 2)
        {
            type = name[at] == '*' ? type.MakePointerType() : type.MakeArrayType();
        }

        return type;
    }

    private static Type Simple(string name) =>
        typeof(Machine).Assembly.GetType(name) ?? Array.Find(Runtimes, type => type.FullName == name) ?? throw new FormatException($"this version of the library has no type {name}");

    /// <summary>What a file says of a shape.</summary>
    public static string Describe(Shape shape)
    {
        StringBuilder text = new();
        text.Append(shape.Carry);
        foreach (FieldSlot field in shape.Fields)
        {
            text.Append(' ').Append(field.Field.Name).Append(':');
            Describe(field.Slot, text);
        }

        foreach (Slot? slot in (Slot?[])[shape.Item, shape.Value])
        {
            if (slot is not null)
            {
                text.Append(" of ");
                Describe(slot, text);
            }
        }

        return text.ToString();
    }

    private static void Describe(Slot slot, StringBuilder text)
    {
        text.Append(slot.Kind == SlotKind.Reference ? "Object" : Of(slot.Type));
        if (slot.Kind == SlotKind.Raw)
        {
            text.Append('#').Append(slot.Size.ToString(CultureInfo.InvariantCulture));
        }

        foreach (FieldSlot field in slot.Fields)
        {
            text.Append('(').Append(field.Field.Name).Append(':');
            Describe(field.Slot, text);
            text.Append(')');
        }
    }
}
