namespace MemSim;

/// <summary>An object of the user's that a machine had and that its snapshot therefore cannot hold: a shrinker, an owner of movable pages, a delegate, a disk in a file of the host.</summary>
/// <param name="Name">Where it was found, from the machine on, as <c>Machine.Shrinkers._list[0]</c>: the same for the same program, hence a name by which <see cref="MachineSnapshot.Boot(Func{SnapshotAttachment, object})"/> can ask for it.</param>
/// <param name="TypeName">What it was.</param>
/// <param name="Description">What it called itself.</param>
public sealed record SnapshotAttachment(string Name, string TypeName, string Description)
{
    /// <summary>The class of the library's from which its class is derived, whose fields the snapshot holds; null when it is from none.</summary>
    internal Type? LibraryPart { get; init; }

    /// <summary>As <c>LruCache "dentries" at Machine.Shrinkers._list[0]</c>.</summary>
    public override string ToString() => $"{TypeName}{(Description.Length == 0 ? "" : $" \"{Description}\"")} at {Name}";
}
