using System.Collections;
using System.Reflection;
using System.Runtime.CompilerServices;
using MemSim.BlockDevices;
using MemSim.Pages;

namespace MemSim.Snapshots;

/// <summary>Writes down a machine: every object that can be reached from it, each once, in the order in which they are found.</summary>
internal sealed class StateWriter
{
    private readonly Machine _machine;
    private readonly StateShapes _types = new();
    private readonly SharedObjects _shared;
    private readonly StateBytes _out = new();
    private readonly Dictionary<object, int> _ids = new(ReferenceEqualityComparer.Instance);
    private readonly List<object> _objects = [new()];
    private readonly List<(int Shape, int Length)> _table = [(0, 0)];
    private readonly List<(int By, string At)> _found = [(0, "")];
    private readonly Dictionary<Shape, int> _shapeNumbers = [];
    private readonly List<Shape> _shapes = [];
    private readonly List<object> _constants = [];
    private readonly Dictionary<object, int> _constantNumbers = [];
    private readonly List<SnapshotAttachment> _missing = [];
    private readonly List<(int Target, int Method)> _delegates = [];
    private readonly Dictionary<int, string> _places = [];
    private int _current;
    private string _place = "";

    private StateWriter(Machine machine)
    {
        _machine = machine;
        _shared = new SharedObjects(machine.Personality, machine.Architecture);
    }

    /// <summary>Writes a machine down, apart from what lies in its host tables and RAM.</summary>
    /// <param name="machine">The machine.</param>
    /// <param name="handles">Objects that the user holds, perhaps alone: they are carried too.</param>
    /// <exception cref="ArgumentException">A handle is not an object of the library's.</exception>
    public static StateImage Write(Machine machine, IReadOnlyList<object> handles)
    {
        StateWriter writer = new(machine);
        _ = writer.Number(machine);
        int[] kept = new int[handles.Count];
        for (int i = 0; i < kept.Length; i++)
        {
            ArgumentNullException.ThrowIfNull(handles[i]);
            writer._place = $"handles[{i}]";
            kept[i] = StateShapes.IsOurs(handles[i].GetType()) && !handles[i].GetType().IsValueType ? writer.Number(handles[i]) : throw new ArgumentException($"{handles[i].GetType().Name} is no object of a machine that a snapshot can keep", nameof(handles));
        }

        for (writer._current = 1; writer._current < writer._objects.Count; writer._current++)
        {
            writer.WriteContents(writer._objects[writer._current], writer._table[writer._current]);
        }

        return new StateImage
        {
            Types = writer._types,
            Shapes = writer._shapes,
            Objects = writer._table,
            Contents = writer._out.Memory,
            Constants = writer._constants,
            Handles = kept,
            Missing = writer._missing,
            Places = writer._places,
            Shared = writer._shared,
            Host = machine.Ram.Host,
            Delegates = writer._delegates,
            Tables = HostTables.Write(machine, [.. writer._objects.OfType<KmemCache>()], [.. writer._objects.OfType<SlabSheaf>()]),
            Ram = Hardware.FrozenRam.Of(machine.Ram),
        };
    }

    /// <summary>The number of an object, which is new or was found before.</summary>
    private int Number(object? value) => Number(value, typeof(object));

    /// <param name="value">The object.</param>
    /// <param name="declared">The type of where it was found.</param>
    private int Number(object? value, Type declared)
    {
        if (value is null)
        {
            return 0;
        }

        if (_ids.TryGetValue(value, out int known))
        {
            return known;
        }

        if (AsArray(value, declared) is { } array)
        {
            int same = Number(array);
            _ids.Add(value, same);
            return same;
        }

        Shape shape = ShapeOf(value, out int constant);
        if (constant == 0 && shape.Carry == Carry.Nothing)
        {
            return 0;
        }

        int id = _objects.Count;
        _ids.Add(value, id);
        _objects.Add(value);
        _found.Add((_current, _place));
        if (constant != 0)
        {
            int constantNumber = constant == StateImage.Constant ? ConstantNumber(value) : Miss(value, id);
            _table.Add((constant, constantNumber));
            if (constant == StateImage.Constant && value is Delegate)
            {
                _ = _places.TryAdd(constantNumber, PathOf(id));
            }

            return id;
        }

        if (!_shapeNumbers.TryGetValue(shape, out int number))
        {
            number = _shapes.Count;
            _shapes.Add(shape);
            _shapeNumbers.Add(shape, number);
        }

        _table.Add((number, LengthOf(value, shape)));
        if (shape.Carry == Carry.Delegate)
        {
            _delegates.Add(default);
        }

        return id;
    }

    /// <summary>A list of whatever kind that the user gave, as an array; null where it is not one, or must stay as it is.</summary>
    [System.Diagnostics.CodeAnalysis.UnconditionalSuppressMessage("AOT", "IL3050", Justification = "Arrays of what the library declares lists of.")]
    private Array? AsArray(object value, Type declared)
    {
        if (!declared.IsInterface || !declared.IsGenericType || value is not IEnumerable items || declared.GetGenericTypeDefinition() is var list && list != typeof(IReadOnlyList<>) && list != typeof(IReadOnlyCollection<>) && list != typeof(IEnumerable<>)
            || _types.Of(value.GetType()).Carry != Carry.Foreign)
        {
            return null;
        }

        object?[] all = [.. items.Cast<object?>()];
        Array array = Array.CreateInstance(declared.GetGenericArguments()[0], all.Length);
        for (int i = 0; i < all.Length; i++)
        {
            array.SetValue(all[i], i);
        }

        return array;
    }

    private Shape ShapeOf(object value, out int constant)
    {
        Shape shape = _types.Of(value.GetType());
        (value as BlockChunk)?.Freeze();
        constant = value is string or BlockChunk || _shared.NameOf(value) is not null ? StateImage.Constant
            : shape.Carry == Carry.Foreign ? StateImage.UserObject
            : value is Delegate called ? Kind(called)
            : 0;
        if (constant == StateImage.UserObject && value is ITraceSink)
        {
            // Whoever listened to the original does not listen to its copies.
            constant = 0;
            return new Shape(value.GetType(), Carry.Nothing);
        }

        return shape;
    }

    /// <summary>A delegate of the library's is state; one of the user's without state of its own is the same for all machines; others are the user's.</summary>
    private static int Kind(Delegate called)
    {
        if (called.GetInvocationList().Length != 1)
        {
            return StateImage.UserObject;
        }

        bool ours = called.Method.DeclaringType is { } declaring && StateShapes.IsOurs(declaring);
        if (ours && StateShapes.IsKnown(called.GetType()))
        {
            return 0;
        }

        return called.Target is null || called.Target.GetType().IsDefined(typeof(CompilerGeneratedAttribute), false) && !HasFields(called.Target.GetType()) ? StateImage.Constant : StateImage.UserObject;
    }

    [System.Diagnostics.CodeAnalysis.UnconditionalSuppressMessage("Trimming", "IL2070", Justification = "A field that was trimmed away is nobody's state.")]
    private static bool HasFields(Type type) => type.GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic).Length != 0;

    private int ConstantNumber(object constant)
    {
        if (!_constantNumbers.TryGetValue(constant, out int number))
        {
            number = _constants.Count;
            _constants.Add(constant);
            _constantNumbers.Add(constant, number);
        }

        return number;
    }

    /// <summary>Where an object was found first.</summary>
    private string PathOf(int id)
    {
        string path = "";
        for (int at = id; at > 1; at = _found[at].By)
        {
            path = _found[at].At + path;
        }

        return "Machine" + path;
    }

    private int Miss(object value, int id)
    {
        string description = value switch
        {
            Shrinker shrinker => shrinker.Name,
            Delegate called => called.Method.Name,
            _ => "",
        };
        _missing.Add(new SnapshotAttachment(PathOf(id), value.GetType().Name, description) { LibraryPart = StateShapes.LibraryPartOf(value.GetType()) });
        return _missing.Count - 1;
    }

    private int LengthOf(object value, Shape shape) => shape.Carry switch
    {
        Carry.Delegate => _delegates.Count,
        Carry.RawItems or Carry.BlankItems => ((Array)value).Length,
        Carry.Items => Listened((Array)value).Length,
        Carry.List or Carry.Map => ((ICollection)value).Count,
        Carry.Bag => ((IEnumerable)value).Cast<object?>().Count(),
        _ => 0,
    };

    /// <summary>Of an array of receivers of tracepoints those that are the machine's own.</summary>
    private static Array Listened(Array items)
    {
        if (!typeof(ITraceSink).IsAssignableFrom(items.GetType().GetElementType()))
        {
            return items;
        }

        object?[] kept = [.. items.Cast<object?>().Where(sink => sink is not null && IsOwnSink(sink))];
        return kept;
    }

    private static bool IsOwnSink(object sink) => StateShapes.IsOurs(sink.GetType()) && !sink.GetType().IsPublic;

    private void WriteContents(object value, (int Shape, int Length) entry)
    {
        if (entry.Shape == StateImage.UserObject)
        {
            WriteFields(value, _types.LibraryFieldsOf(StateShapes.LibraryPartOf(value.GetType())));
            return;
        }

        if (entry.Shape == StateImage.Constant)
        {
            return;
        }

        Shape shape = _shapes[entry.Shape];
        switch (shape.Carry)
        {
            case Carry.Fields:
                WriteFields(value, shape.Fields);
                break;
            case Carry.RawItems:
                RawValues.OfItems((Array)value, shape.Item!.Size).CopyTo(_out.Take(checked(entry.Length * shape.Item.Size)));
                break;
            case Carry.Items:
                WriteItems(Listened((Array)value), shape.Item!);
                break;
            case Carry.List:
                WriteItems((IEnumerable)value, shape.Item!);
                break;
            case Carry.Bag:
                object?[] items = [.. ((IEnumerable)value).Cast<object?>()];
                if (shape.Type.GetGenericTypeDefinition() == typeof(Stack<>))
                {
                    // A stack tells the top first.
                    Array.Reverse(items);
                }

                WriteItems(items, shape.Item!);
                break;
            case Carry.Map:
                foreach (DictionaryEntry pair in (IDictionary)value)
                {
                    _place = $"[{pair.Key}]";
                    WriteValue(pair.Key, shape.Item!);
                    WriteValue(pair.Value, shape.Value!);
                }

                break;
            case Carry.HostTable when value is MemMap map:
                _place = ".Untouched";
                _out.Number(Number(map.Untouched));
                break;
            case Carry.Box:
                WriteValue(value, shape.Item!);
                break;
            case Carry.Delegate:
                Delegate called = (Delegate)value;
                _place = ".Target";
                _delegates[entry.Length] = (Number(called.Target), ConstantNumber(called.Method));
                break;
        }
    }

    private void WriteItems(IEnumerable items, Slot slot)
    {
        int index = 0;
        foreach (object? item in items)
        {
            _place = slot.Kind == SlotKind.Reference ? $"[{index}]" : _place;
            index++;
            WriteValue(item, slot);
        }
    }

    private void WriteFields(object value, FieldSlot[] fields)
    {
        foreach (FieldSlot field in fields)
        {
            _place = "." + NameOf(field.Field);
            WriteValue(field.Field.GetValue(value), field.Slot);
        }
    }

    private static string NameOf(FieldInfo field) => field.Name.StartsWith('<') ? field.Name[1..field.Name.IndexOf('>', StringComparison.Ordinal)] : field.Name;

    private void WriteValue(object? value, Slot slot)
    {
        switch (slot.Kind)
        {
            case SlotKind.Raw:
                RawValues.OfBox(value!, slot.Size).CopyTo(_out.Take(slot.Size));
                break;
            case SlotKind.Reference:
                _out.Number(Number(value is ITraceSink && !IsOwnSink(value) ? null : value, slot.Type));
                break;
            case SlotKind.Struct:
                WriteFields(value!, slot.Fields);
                break;
            case SlotKind.Nullable:
                _out.Byte(value is null ? (byte)0 : (byte)1);
                if (value is not null)
                {
                    WriteValue(value, slot.Inner!);
                }

                break;
            case SlotKind.Page:
                Page page = (Page)value!;
                _out.Number(page.IsNull ? 0 : page.BelongsTo(_machine) ? page.FrameIndex + 1L : throw new InvalidOperationException($"{page} at {_place} belongs to another machine"));
                break;
        }
    }
}
