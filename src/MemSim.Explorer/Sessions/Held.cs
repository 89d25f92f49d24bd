namespace MemSim.Explorer.Sessions;

/// <summary>Something a session got from its machine and has a name for.</summary>
/// <param name="Name">The name.</param>
public abstract record Held(string Name)
{
    /// <summary>What it is, for lists.</summary>
    public abstract string Text { get; }
}

/// <summary>Blocks of pages.</summary>
/// <param name="Name">The name.</param>
/// <param name="Blocks">First frame and order of each.</param>
public sealed record HeldPages(string Name, IReadOnlyList<(Pfn Pfn, int Order)> Blocks) : Held(Name)
{
    /// <inheritdoc/>
    public override string Text => Blocks.Count == 1 ? $"order {Blocks[0].Order} at pfn {Blocks[0].Pfn}" : $"{Blocks.Count} blocks, {Blocks.Sum(b => 1L << b.Order)} pages";
}

/// <summary>Objects of kmalloc (no cache) or of a cache.</summary>
/// <param name="Name">The name.</param>
/// <param name="Cache">The cache; null for kmalloc's.</param>
/// <param name="Objects">Their addresses.</param>
/// <param name="Size">The bytes asked for, each.</param>
public sealed record HeldObjects(string Name, KmemCache? Cache, IReadOnlyList<VirtualAddress> Objects, long Size) : Held(Name)
{
    /// <inheritdoc/>
    public override string Text => Objects.Count == 1 ? $"{Size} bytes at {Objects[0]}" : $"{Objects.Count} objects of {Size} bytes";
}

/// <summary>A virtually contiguous area of the kernel.</summary>
/// <param name="Name">The name.</param>
/// <param name="Start">Its first address.</param>
/// <param name="Bytes">How long it is.</param>
public sealed record HeldArea(string Name, VirtualAddress Start, long Bytes) : Held(Name)
{
    /// <inheritdoc/>
    public override string Text => $"vmalloc {Bytes >> 10} KiB at {Start}";
}

/// <summary>A window to a page of high memory.</summary>
/// <param name="Name">The name.</param>
/// <param name="Page">The page.</param>
/// <param name="Window">Where it is mapped.</param>
public sealed record HeldWindow(string Name, Page Page, VirtualAddress Window) : Held(Name)
{
    /// <inheritdoc/>
    public override string Text => $"pfn {Page.Pfn} seen at {Window}";
}

/// <summary>A process.</summary>
/// <param name="Name">The name.</param>
/// <param name="Process">The process.</param>
public sealed record HeldProcess(string Name, Process Process) : Held(Name)
{
    /// <inheritdoc/>
    public override string Text => Process.MemoryOrNull() is { } mm ? $"process {Process.Pid}, {mm.ResidentPages} pages resident" : $"process {Process.Pid}, ended";
}

/// <summary>Memory that a process mapped.</summary>
/// <param name="Name">The name.</param>
/// <param name="Owner">The process.</param>
/// <param name="Start">Its first address.</param>
/// <param name="Bytes">How long it is.</param>
public sealed record HeldMapping(string Name, Process Owner, VirtualAddress Start, long Bytes) : Held(Name)
{
    /// <inheritdoc/>
    public override string Text => $"{Bytes >> 10} KiB of {Owner.Name} at {Start}";
}

/// <summary>A contiguous area's pages.</summary>
/// <param name="Name">The name.</param>
/// <param name="Area">The area.</param>
/// <param name="First">The first page.</param>
/// <param name="Pages">How many.</param>
public sealed record HeldContiguous(string Name, CmaArea Area, Page First, long Pages) : Held(Name)
{
    /// <inheritdoc/>
    public override string Text => $"{Pages} contiguous pages at pfn {First.Pfn}";
}

/// <summary>A disk with files.</summary>
/// <param name="Name">The name.</param>
/// <param name="FileSystem">Its file system.</param>
public sealed record HeldDisk(string Name, DiskFileSystem FileSystem) : Held(Name)
{
    /// <inheritdoc/>
    public override string Text => $"{FileSystem.Names.Count()} files";
}

/// <summary>Pages that may be moved.</summary>
/// <param name="Name">The name.</param>
/// <param name="Pool">What owns them.</param>
/// <param name="Numbers">Their numbers in the pool.</param>
public sealed record HeldMovable(string Name, MovablePool Pool, IReadOnlyList<int> Numbers) : Held(Name)
{
    /// <inheritdoc/>
    public override string Text => $"{Numbers.Count} movable pages";
}
