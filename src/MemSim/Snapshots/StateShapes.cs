using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using System.Runtime.CompilerServices;
using MemSim.BlockDevices;
using MemSim.Diagnostics;
using MemSim.Hardware;
using MemSim.Pages;
using MemSim.Slab;

namespace MemSim.Snapshots;

/// <summary>How an object is carried.</summary>
internal enum Carry
{
    /// <summary>Field by field.</summary>
    Fields,

    /// <summary>An array of values without references: its bytes.</summary>
    RawItems,

    /// <summary>An array of anything else, item by item.</summary>
    Items,

    /// <summary>An array of the host's addresses, or of what is found again by itself: its length.</summary>
    BlankItems,

    /// <summary>A list: its items.</summary>
    List,

    /// <summary>A dictionary: keys and values, in the order in which it tells them.</summary>
    Map,

    /// <summary>A set, queue or stack: its items, the one to be put in first in front.</summary>
    Bag,

    /// <summary>A boxed value.</summary>
    Box,

    /// <summary>A delegate of the library's own: its target and method.</summary>
    Delegate,

    /// <summary>A new one of the type does: a lock.</summary>
    Blank,

    /// <summary>Null does: what belongs to the host, or was on its way to somebody who asked the original.</summary>
    Nothing,

    /// <summary>Whoever the machine's log goes to: <see cref="SilentLog"/>.</summary>
    Logger,

    /// <summary>Tables in host memory: made anew, and filled by <see cref="HostTables"/>.</summary>
    HostTable,

    /// <summary>Not the library's: the user attaches one.</summary>
    Foreign,
}

/// <summary>How the value in a field, an array or a collection is carried.</summary>
internal enum SlotKind
{
    Raw,
    Struct,
    Nullable,
    Reference,
    Page,
    Frames,
    Blank,
}

/// <summary>A place for a value of a declared type.</summary>
internal sealed class Slot(SlotKind kind, Type type)
{
    public SlotKind Kind { get; } = kind;

    public Type Type { get; } = type;

    /// <summary>Bytes of a raw value.</summary>
    public int Size { get; init; }

    /// <summary>The parts of a struct.</summary>
    public FieldSlot[] Fields { get; init; } = [];

    /// <summary>What a nullable holds.</summary>
    public Slot? Inner { get; init; }
}

internal sealed record FieldSlot(FieldInfo Field, Slot Slot);

/// <summary>How objects of a type are carried.</summary>
internal sealed class Shape(Type type, Carry carry)
{
    public Type Type { get; } = type;

    public Carry Carry { get; } = carry;

    public FieldSlot[] Fields { get; init; } = [];

    /// <summary>What an array or collection holds; of a dictionary the keys.</summary>
    public Slot? Item { get; init; }

    /// <summary>The values of a dictionary.</summary>
    public Slot? Value { get; init; }

    /// <summary>How a set, queue or stack takes an item.</summary>
    public MethodInfo? Add { get; init; }
}

/// <summary>Finds out how each type is carried: the one place that says what a machine's state is made of.</summary>
/// <remarks>
/// Every field of every object that can be reached from the machine is state, unless it stands here. So a new subsystem is carried without a line of its own, and what cannot be is found by the
/// first snapshot of a machine that has it (<c>SnapshotShapeTests</c> looks at all types).
/// </remarks>
[UnconditionalSuppressMessage("Trimming", "IL2070", Justification = "ILLink.Descriptors.xml keeps the fields of the library's types.")]
[UnconditionalSuppressMessage("Trimming", "IL2075", Justification = "ILLink.Descriptors.xml keeps the fields of the library's types; public members of collections are kept by DynamicDependency.")]
[UnconditionalSuppressMessage("Trimming", "IL2067", Justification = "ILLink.Descriptors.xml keeps the library's types.")]
[UnconditionalSuppressMessage("AOT", "IL3050", Justification = "Only instantiations that the library itself has in its fields.")]
internal sealed class StateShapes
{
    private static readonly Assembly Core = typeof(Machine).Assembly;

    private readonly Dictionary<Type, Shape> _shapes = [];
    private readonly Dictionary<Type, Slot> _slots = [];

    public Shape Of(Type type)
    {
        if (!_shapes.TryGetValue(type, out Shape? shape))
        {
            shape = Make(type);
            _shapes.Add(type, shape);
        }

        return shape;
    }

    /// <summary>The fields that the library declares of a type that the user derived from one of its own.</summary>
    public FieldSlot[] LibraryFieldsOf(Type? part) => part is null ? [] : FieldsOf(part);

    /// <summary>The type of the library's from which the user derived one; null when it is from none.</summary>
    public static Type? LibraryPartOf(Type type)
    {
        Type? declared = type;
        while (declared is not null && !IsOurs(declared))
        {
            declared = declared.BaseType;
        }

        return declared == typeof(HostFileStore) || typeof(Delegate).IsAssignableFrom(type) ? null : declared;
    }

    /// <summary>Whether a type, with all its arguments, is the library's or the runtime's.</summary>
    public static bool IsKnown(Type type) =>
        type.HasElementType ? IsKnown(type.GetElementType()!)
        : (type.Assembly == Core || IsRuntimes(type)) && (!type.IsGenericType || type.GetGenericArguments().All(IsKnown));

    public static bool IsOurs(Type type) => type.Assembly == Core && IsKnown(type);

    private static bool IsRuntimes(Type type) => type.Assembly == typeof(object).Assembly || type.Assembly == typeof(Queue<int>).Assembly || type.Assembly == typeof(SortedSet<int>).Assembly;

    [DynamicDependency(DynamicallyAccessedMemberTypes.PublicParameterlessConstructor, typeof(Lock))]
    [DynamicDependency(DynamicallyAccessedMemberTypes.PublicMethods | DynamicallyAccessedMemberTypes.PublicConstructors, typeof(HashSet<>))]
    [DynamicDependency(DynamicallyAccessedMemberTypes.PublicMethods | DynamicallyAccessedMemberTypes.PublicConstructors, typeof(Queue<>))]
    [DynamicDependency(DynamicallyAccessedMemberTypes.PublicMethods | DynamicallyAccessedMemberTypes.PublicConstructors, typeof(Stack<>))]
    [DynamicDependency(DynamicallyAccessedMemberTypes.PublicMethods | DynamicallyAccessedMemberTypes.PublicConstructors, typeof(SortedSet<>))]
    [DynamicDependency(DynamicallyAccessedMemberTypes.PublicMethods | DynamicallyAccessedMemberTypes.PublicConstructors, typeof(LinkedList<>))]
    [DynamicDependency(DynamicallyAccessedMemberTypes.PublicMethods | DynamicallyAccessedMemberTypes.PublicConstructors, typeof(List<>))]
    [DynamicDependency(DynamicallyAccessedMemberTypes.PublicMethods | DynamicallyAccessedMemberTypes.PublicConstructors, typeof(Dictionary<,>))]
    [DynamicDependency(DynamicallyAccessedMemberTypes.PublicMethods | DynamicallyAccessedMemberTypes.PublicConstructors, typeof(SortedDictionary<,>))]
    [DynamicDependency(DynamicallyAccessedMemberTypes.PublicMethods | DynamicallyAccessedMemberTypes.PublicConstructors, typeof(SortedList<,>))]
    private Shape Make(Type type)
    {
        if (type.IsArray)
        {
            return MakeArray(type);
        }

        if (typeof(Delegate).IsAssignableFrom(type))
        {
            return new Shape(type, Carry.Delegate);
        }

        if (type == typeof(object) || type == typeof(Lock))
        {
            return new Shape(type, Carry.Blank);
        }

        if (typeof(Exception).IsAssignableFrom(type) || type == typeof(System.Runtime.ExceptionServices.ExceptionDispatchInfo) || type.IsGenericType && type.GetGenericTypeDefinition() == typeof(ThreadLocal<>)
            || type == typeof(SlabCpuTables) || type == typeof(HostRange))
        {
            return new Shape(type, Carry.Nothing);
        }

        if (typeof(Microsoft.Extensions.Logging.ILoggerFactory).IsAssignableFrom(type) || typeof(Microsoft.Extensions.Logging.ILogger).IsAssignableFrom(type))
        {
            return new Shape(type == typeof(Microsoft.Extensions.Logging.Abstractions.NullLogger) || type == typeof(Microsoft.Extensions.Logging.Abstractions.NullLoggerFactory) ? type : typeof(SilentLog), Carry.Logger);
        }

        if (type == typeof(MemMap) || type == typeof(PhysicalMemory))
        {
            return new Shape(type, Carry.HostTable);
        }

        if (type.IsGenericType && IsRuntimes(type) && IsKnown(type))
        {
            return MakeCollection(type, type.GetGenericTypeDefinition());
        }

        if (!IsOurs(type) && !(type.IsValueType && IsKnown(type)) || type == typeof(HostFileStore))
        {
            return new Shape(type, Carry.Foreign);
        }

        return type.IsValueType ? new Shape(type, Carry.Box) { Item = SlotOf(type) } : new Shape(type, Carry.Fields) { Fields = FieldsOf(type) };
    }

    private Shape MakeArray(Type type)
    {
        Type item = type.GetElementType()!;
        if (item.IsPointer || item == typeof(nint) || IsHostView(item) || item == typeof(CpuMmu.FrontLine))
        {
            return new Shape(type, Carry.BlankItems);
        }

        if (!IsKnown(item) || type.GetArrayRank() != 1)
        {
            return new Shape(type, Carry.Foreign);
        }

        Slot slot = SlotOf(item);
        return new Shape(type, slot.Kind == SlotKind.Raw ? Carry.RawItems : Carry.Items) { Item = slot };
    }

    private Shape MakeCollection(Type type, Type definition)
    {
        Type[] of = type.GetGenericArguments();
        if (definition == typeof(List<>))
        {
            return of[0] == typeof(nint) || IsHostView(of[0]) ? new Shape(type, Carry.Blank) : new Shape(type, Carry.List) { Item = SlotOf(of[0]) };
        }

        if (definition == typeof(Dictionary<,>) || definition == typeof(SortedDictionary<,>))
        {
            return new Shape(type, Carry.Map) { Item = SlotOf(of[0]), Value = SlotOf(of[1]) };
        }

        string? add = definition == typeof(HashSet<>) || definition == typeof(SortedSet<>) ? "Add" : definition == typeof(Queue<>) ? "Enqueue" : definition == typeof(Stack<>) ? "Push" : definition == typeof(LinkedList<>) ? "AddLast" : null;
        return add is null
            ? new Shape(type, type.IsValueType ? Carry.Box : Carry.Foreign) { Item = type.IsValueType ? SlotOf(type) : null }
            : new Shape(type, Carry.Bag) { Item = SlotOf(of[0]), Add = type.GetMethod(add, [of[0]]) };
    }

    private FieldSlot[] FieldsOf(Type type)
    {
        List<FieldSlot> fields = [];
        for (Type? declared = type; declared is not null && declared != typeof(object) && declared != typeof(ValueType); declared = declared.BaseType)
        {
            FieldInfo[] own = declared.GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly);

            // In the order of their names: that of a file must not depend on how the library was compiled.
            Array.Sort(own, (a, b) => string.CompareOrdinal(a.Name, b.Name));
            fields.AddRange(own.Where(f => !f.IsDefined(typeof(NotStateAttribute), inherit: false)).Select(f => new FieldSlot(f, SlotOf(f.FieldType))).Where(f => f.Slot.Kind != SlotKind.Blank));
        }

        return [.. fields];
    }

    public Slot SlotOf(Type type)
    {
        if (!_slots.TryGetValue(type, out Slot? slot))
        {
            slot = MakeSlot(type);
            _slots[type] = slot;
        }

        return slot;
    }

    /// <summary>Whether values of a type are nothing but addresses of the host.</summary>
    private static bool IsHostView(Type type) => type.IsValueType && typeof(IHostView).IsAssignableFrom(type);

    private Slot MakeSlot(Type type)
    {
        if (type.IsPointer || type.IsFunctionPointer || type == typeof(nint) || type == typeof(nuint) || IsHostView(type))
        {
            return new Slot(SlotKind.Blank, type);
        }

        if (type == typeof(Page))
        {
            return new Slot(SlotKind.Page, type);
        }

        if (type == typeof(FrameArray))
        {
            return new Slot(SlotKind.Frames, type);
        }

        if (!type.IsValueType)
        {
            return new Slot(SlotKind.Reference, type);
        }

        if (Nullable.GetUnderlyingType(type) is { } inner)
        {
            return new Slot(SlotKind.Nullable, type) { Inner = SlotOf(inner) };
        }

        return IsRaw(type) ? new Slot(SlotKind.Raw, type) { Size = RuntimeHelpers.SizeOf(type.TypeHandle) } : new Slot(SlotKind.Struct, type) { Fields = FieldsOf(type) };
    }

    /// <summary>Whether a value is nothing but its bytes. What lies between fields is the host's, and another one each time.</summary>
    private static bool IsRaw(Type type) =>
        type.IsPrimitive ? type != typeof(nint) && type != typeof(nuint)
        : type.IsEnum || type.IsValueType && type != typeof(Page) && type != typeof(FrameArray)
            && type.GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic) is var fields && fields.All(f => IsRaw(f.FieldType))
            && (type.IsDefined(typeof(InlineArrayAttribute)) || fields.Sum(f => RuntimeHelpers.SizeOf(f.FieldType.TypeHandle)) >= RuntimeHelpers.SizeOf(type.TypeHandle));
}
