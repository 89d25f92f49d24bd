using System.Collections;
using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using System.Runtime.CompilerServices;
using MemSim.Diagnostics;
using MemSim.Pages;
using Microsoft.Extensions.Logging.Abstractions;

namespace MemSim.Snapshots;

/// <summary>Makes a machine of an image.</summary>
/// <remarks>
/// First every object, empty; then what each holds; then what is found by its contents (dictionaries, sets), when all contents are there. Whatever an image of a file says, an object only gets
/// values of the types of its fields, and what lies in host memory is compared with its bounds (<see cref="HostTables"/>).
/// </remarks>
[UnconditionalSuppressMessage("Trimming", "IL2072", Justification = "ILLink.Descriptors.xml keeps the library's types.")]
[UnconditionalSuppressMessage("Trimming", "IL2067", Justification = "ILLink.Descriptors.xml keeps the library's types.")]
[UnconditionalSuppressMessage("AOT", "IL3050", Justification = "Only array types that the library itself has in its fields.")]
internal sealed class StateReader
{
    /// <summary>Items that take no bytes: an array that starts empty has no more.</summary>
    private const int MostBlank = 1 << 20;

    private readonly StateImage _image;
    private readonly object?[] _objects;
    private readonly object?[] _attached;
    private readonly HostTables _tables;
    private readonly List<Action> _last = [];
    private readonly StateCursor _in;
    private Machine? _machine;

    private StateReader(StateImage image, object?[] attached)
    {
        _image = image;
        _attached = attached;
        _in = new StateCursor(image.Contents);
        _objects = new object?[image.Objects.Count];
        _tables = new HostTables(image.Tables, image.Ram, image.Host);
    }

    /// <summary>Makes the machine.</summary>
    /// <param name="image">What it is made of.</param>
    /// <param name="attached">An object for each that the image does not hold.</param>
    /// <exception cref="FormatException">The image contradicts itself.</exception>
    public static Machine Read(StateImage image, object?[] attached) => Read(image, attached, out _);

    /// <inheritdoc cref="Read(StateImage, object[])"/>
    /// <param name="image">What it is made of.</param>
    /// <param name="attached">An object for each that the image does not hold.</param>
    /// <param name="handles">The copies of the objects that the user asked to be kept.</param>
    public static Machine Read(StateImage image, object?[] attached, out IReadOnlyList<object> handles)
    {
        StateReader reader = new(image, attached);
        Machine machine = reader.Read();
        handles = [.. image.Handles.Select(id => reader._objects[id]!)];
        return machine;
    }

    private Machine Read()
    {
        for (int id = 1; id < _objects.Length; id++)
        {
            _objects[id] = Create(_image.Objects[id]);
        }

        // After everything that may be their target.
        for (int id = 1; id < _objects.Length; id++)
        {
            (int shape, int number) = _image.Objects[id];
            if (shape >= 0 && _image.Shapes[shape].Carry == Carry.Delegate)
            {
                (int target, int method) = _image.Delegates[number];
                _objects[id] = Delegate.CreateDelegate(_image.Shapes[shape].Type, target == 0 ? null : _objects[target], (MethodInfo)_image.Constants[method]);
            }
        }

        Machine machine = _objects.Length > 1 && _objects[1] is Machine root ? root : throw new FormatException("object 1 is no machine");
        _machine = machine;
        for (int id = 1; id < _objects.Length; id++)
        {
            Fill(_objects[id], _image.Objects[id]);
        }

        if (!_in.IsAtEnd)
        {
            throw new FormatException($"{_in.Left} bytes are left when everything is read");
        }

        foreach (Action fill in _last)
        {
            fill();
        }

        _tables.Finish(machine, [.. _objects.OfType<KmemCache>()], [.. _objects.OfType<SlabSheaf>()]);
        foreach (IReopened part in _objects.OfType<IReopened>())
        {
            part.Reopen();
        }

        return machine;
    }

    private object? Create((int Shape, int Length) entry)
    {
        if (entry.Shape == StateImage.Constant)
        {
            return _image.Constants[entry.Length];
        }

        if (entry.Shape == StateImage.UserObject)
        {
            return _attached[entry.Length];
        }

        Shape shape = _image.Shapes[entry.Shape];
        Type type = shape.Type;
        if (entry.Length > Math.Max(_image.Contents.Length, MostBlank))
        {
            throw new FormatException($"an object of type {type.Name} says that it has {entry.Length} items, more than there are bytes");
        }

        switch (shape.Carry)
        {
            case Carry.Fields:
            case Carry.Box:
                return type == typeof(UntouchedBlocks) ? _tables.Map.Untouched : RuntimeHelpers.GetUninitializedObject(type);
            case Carry.RawItems:
            case Carry.Items:
            case Carry.BlankItems:
                return Array.CreateInstance(type.GetElementType()!, entry.Length);
            case Carry.Blank:
            case Carry.List:
            case Carry.Map:
            case Carry.Bag:
                return type == typeof(object) ? new object() : Activator.CreateInstance(type);
            case Carry.Logger:
                return type == typeof(NullLogger) ? NullLogger.Instance : type == typeof(NullLoggerFactory) ? NullLoggerFactory.Instance : SilentLog.Instance;
            case Carry.HostTable:
                return type == typeof(MemMap) ? _tables.Map : _tables.Ram;
            default:
                return null;
        }
    }

    private void Fill(object? target, (int Shape, int Length) entry)
    {
        if (entry.Shape == StateImage.Constant)
        {
            return;
        }

        if (entry.Shape == StateImage.UserObject)
        {
            Type? part = _image.Missing[entry.Length].LibraryPart;
            if (target is not null && part is not null && !part.IsInstanceOfType(target))
            {
                throw new ArgumentException($"{_image.Missing[entry.Length]} must be a {part.Name}, not a {target.GetType().Name}");
            }

            FillFields(target, _image.Types.LibraryFieldsOf(part));
            return;
        }

        Shape shape = _image.Shapes[entry.Shape];
        switch (shape.Carry)
        {
            case Carry.Fields:
                FillFields(target!, shape.Fields);
                break;
            case Carry.RawItems:
                _in.Take(checked(entry.Length * shape.Item!.Size)).CopyTo(RawValues.OfItems((Array)target!, shape.Item.Size));
                break;
            case Carry.Items:
                FillItems((Array)target!, shape.Item!);
                break;
            case Carry.List:
                IList list = (IList)target!;
                for (int i = 0; i < entry.Length; i++)
                {
                    _ = list.Add(Value(shape.Item!));
                }

                break;
            case Carry.Bag:
                object?[] items = new object?[entry.Length];
                for (int i = 0; i < items.Length; i++)
                {
                    items[i] = Value(shape.Item!);
                }

                _last.Add(() =>
                {
                    foreach (object? item in items)
                    {
                        _ = shape.Add!.Invoke(target, [item]);
                    }
                });
                break;
            case Carry.Map:
                (object? Key, object? Value)[] pairs = new (object?, object?)[entry.Length];
                for (int i = 0; i < pairs.Length; i++)
                {
                    pairs[i] = (Value(shape.Item!), Value(shape.Value!));
                }

                _last.Add(() =>
                {
                    IDictionary map = (IDictionary)target!;
                    foreach ((object? key, object? value) in pairs)
                    {
                        map.Add(key!, value);
                    }
                });
                break;
            case Carry.HostTable when target is MemMap:
                _ = Reference();
                break;
            case Carry.Box:
                FillBox(target!, shape.Item!);
                break;
        }
    }

    private void FillItems(Array items, Slot slot)
    {
        if (slot.Kind == SlotKind.Reference)
        {
            object?[] references = (object?[])items;
            for (int i = 0; i < references.Length; i++)
            {
                references[i] = Reference();
            }

            return;
        }

        for (int i = 0; i < items.Length; i++)
        {
            items.SetValue(Value(slot), i);
        }
    }

    /// <summary>Reads the fields of an object, or passes them over where there is none.</summary>
    private void FillFields(object? target, FieldSlot[] fields)
    {
        foreach (FieldSlot field in fields)
        {
            object? value = Value(field.Slot);
            if (target is not null)
            {
                field.Field.SetValue(target, value);
            }
        }
    }

    private void FillBox(object box, Slot slot)
    {
        if (slot.Kind == SlotKind.Raw)
        {
            _in.Take(slot.Size).CopyTo(RawValues.OfBox(box, slot.Size));
        }
        else
        {
            FillFields(box, slot.Fields);
        }
    }

    private object? Reference()
    {
        int id = _in.Count(_objects.Length - 1, "objects");
        return _objects[id];
    }

    private object? Value(Slot slot)
    {
        switch (slot.Kind)
        {
            case SlotKind.Reference:
                return Reference();
            case SlotKind.Nullable:
                return _in.Byte() == 0 ? null : Value(slot.Inner!);
            case SlotKind.Page:
                int page = _in.Count(_tables.Frames, "frames");
                return page == 0 ? default(Page) : new Page(_machine!, page - 1);
            case SlotKind.Frames:
                return _tables.Map.Array;
            default:
                object box = RuntimeHelpers.GetUninitializedObject(slot.Type);
                FillBox(box, slot);
                return box;
        }
    }
}
