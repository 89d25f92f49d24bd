using MemSim.Hardware;

namespace MemSim.Snapshots;

/// <summary>The complete state of a machine at one moment: its objects, what they hold, and its host tables.</summary>
/// <remarks>Nobody changes it: any number of machines are made of it, also at once.</remarks>
internal sealed class StateImage
{
    /// <summary>In <see cref="Objects"/>: held by reference, with its number in <see cref="Constants"/>.</summary>
    public const int Constant = -1;

    /// <summary>In <see cref="Objects"/>: the user's, with its number in <see cref="Missing"/>.</summary>
    public const int UserObject = -2;

    public required StateShapes Types { get; init; }

    /// <summary>The shapes in use, numbered.</summary>
    public required IReadOnlyList<Shape> Shapes { get; init; }

    /// <summary>Each object's shape by number, or what is said above, and its length. Object 0 is null, object 1 the machine.</summary>
    public required IReadOnlyList<(int Shape, int Length)> Objects { get; init; }

    /// <summary>What objects hold, in their order.</summary>
    public required ReadOnlyMemory<byte> Contents { get; init; }

    /// <summary>What never changes, so that machines share it: texts, the kernel's rules, methods, static delegates of the user's.</summary>
    public required IReadOnlyList<object> Constants { get; init; }

    /// <summary>Delegates of the library's own: the number of the target, 0 for none, and that of the method among <see cref="Constants"/>.</summary>
    public required IReadOnlyList<(int Target, int Method)> Delegates { get; init; }

    /// <summary>Where static delegates of the user's among <see cref="Constants"/> were found, by their numbers.</summary>
    public required IReadOnlyDictionary<int, string> Places { get; init; }

    /// <summary>The names of what all machines share.</summary>
    public required SharedObjects Shared { get; init; }

    /// <summary>How host memory is taken for the machines made of it.</summary>
    public required HostMemory Host { get; init; }

    /// <summary>The objects that the user asked to be kept, by number.</summary>
    public required IReadOnlyList<int> Handles { get; init; }

    /// <summary>The user's objects.</summary>
    public required IReadOnlyList<SnapshotAttachment> Missing { get; init; }

    /// <summary>Frames, slabs and whatever else lies in host memory.</summary>
    public required ReadOnlyMemory<byte> Tables { get; init; }

    /// <summary>Contents of RAM; null on a machine without.</summary>
    public required FrozenRam? Ram { get; init; }
}
