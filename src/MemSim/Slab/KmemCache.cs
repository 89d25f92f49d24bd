using MemSim.Slab;

namespace MemSim;

/// <summary>Prepares an object when its slab is made, not when it is allocated (<c>ctor</c> of <c>kmem_cache_create()</c>).</summary>
/// <param name="cpu">The CPU on which the slab is made.</param>
/// <param name="obj">The object's address.</param>
public delegate void ObjectConstructor(Cpu cpu, VirtualAddress obj);

/// <summary>A cache of objects of one size (<c>struct kmem_cache</c>): create it with <see cref="SlabAllocator.CreateCache(string, int, int, SlabFlags, ObjectConstructor?, int, int)"/>, allocate with <see cref="Cpu.Alloc(KmemCache, Gfp)"/>.</summary>
public sealed class KmemCache
{
    private readonly List<string> _aliases = [];

    /// <summary>The per-CPU states by CPU number.</summary>
    internal CpuSlabs Cpus;

    /// <summary>The CPUs' current slabs and partial lists by CPU number: <see cref="Cpus"/>, but apart from it where sheaves lie before them, so that fast paths find the sheaves only.</summary>
    internal CpuSlabs CurrentSlabs;

    /// <summary>The state of a CPU, whose number is one of the machine's.</summary>
    internal ref CpuSlab SlabOf(int cpu) => ref CurrentSlabs[cpu];

    internal KmemCache(SlabAllocator allocator, int id, string name, int objectSize, CacheLayout layout, ObjectConstructor? constructor, int userOffset, int userSize)
    {
        Allocator = allocator;
        Machine = allocator.Machine;
        Id = id;
        Name = name;
        ObjectSize = objectSize;
        Layout = layout;
        Constructor = constructor;
        UserOffset = userOffset;
        UserSize = userSize;
        InUse = layout.InUse;
        Cpus = CurrentSlabs = TakeCpuSlabs();
    }

    /// <summary>The machine the cache belongs to.</summary>
    public Machine Machine { get; }

    /// <summary>The name it was created with.</summary>
    public string Name { get; }

    /// <summary>Names of the caches that were merged into this one.</summary>
    public IReadOnlyList<string> Aliases => _aliases;

    /// <summary>Bytes an object may use: of merged caches the largest.</summary>
    public int ObjectSize { get; private set; }

    /// <summary>Bytes from one object to the next.</summary>
    public int Size => Layout.Size;

    /// <summary>The alignment of objects in bytes.</summary>
    public int Align => Layout.Align;

    /// <summary>The flags, those included that the kernel adds.</summary>
    public SlabFlags Flags => Layout.Flags;

    /// <summary>log2 of the pages of a slab.</summary>
    public int Order => Layout.Order;

    /// <summary>Objects in a slab.</summary>
    public int ObjectsPerSlab => Layout.Objects;

    /// <summary>Empty slabs that each node keeps.</summary>
    public int MinPartial => Layout.MinPartial;

    /// <summary>Free objects a CPU may keep in partial slabs.</summary>
    public int CpuPartial => Layout.CpuPartial;

    /// <summary>Objects that a CPU's sheaf holds; 0 for a cache without sheaves (<c>sheaf_capacity</c>, 6.18 and later).</summary>
    public int SheafCapacity => Layout.SheafCapacity;

    /// <summary>The cache's sheaves in numbers; null for a cache without.</summary>
    public SheafCounts? Sheaves => (BackendState as SheafCache)?.Count();

    /// <summary>Prepares objects when their slab is made; null for none.</summary>
    public ObjectConstructor? Constructor { get; }

    /// <summary>Where the part starts that may be copied to and from user space, in bytes.</summary>
    public int UserOffset { get; }

    /// <summary>Bytes that may be copied to and from user space.</summary>
    public int UserSize { get; }

    /// <summary>How many creators share the cache; 0 once it is destroyed.</summary>
    public int References { get; internal set; } = 1;

    /// <summary>The name below <c>/sys/kernel/slab</c>: the cache's own, or one made from its properties where merging is possible.</summary>
    public string SysfsName => Allocator.SysfsNameOf(this);

    internal SlabAllocator Allocator { get; }

    internal int Id { get; }

    internal CacheLayout Layout { get; }

    /// <summary>Where the object's own part ends: grows when larger objects are merged in.</summary>
    internal int InUse { get; private set; }

    internal bool IsDebugged => (Layout.Flags & SlabFlags.DebugFlags) != 0;

    /// <summary>Whether nothing may be merged into the cache (the boot caches, kmalloc's).</summary>
    internal bool RefusesAliases { get; init; }

    /// <summary>Whether its creator named a size for its sheaves, which keeps it from being merged.</summary>
    internal bool AsksForSheaves { get; init; }

    /// <summary>SLUB's lists, by node number.</summary>
    internal SlubNode[] Nodes { get; set; } = [];

    /// <summary>Whatever another implementation keeps for the cache.</summary>
    internal object? BackendState { get; set; }

    /// <summary>The cache as <c>kmalloc-64 (64 bytes)</c>.</summary>
    public override string ToString() => $"{Name} ({ObjectSize} bytes)";

    /// <summary>Per-CPU states of its own for the copy of a cache.</summary>
    internal void Reopen() => Cpus = CurrentSlabs = TakeCpuSlabs();

    internal CpuSlabs TakeCpuSlabs()
    {
        CpuSlabs states = Allocator.Memory.TakeCpuSlabs(Machine.Cpus.Count);
        for (int cpu = 0; cpu < Machine.Cpus.Count; cpu++)
        {
            states[cpu].Cache = Id;
        }

        return states;
    }

    internal void AddAlias(string name, int objectSize, int wordBytes)
    {
        _aliases.Add(name);
        References++;
        ObjectSize = Math.Max(ObjectSize, objectSize);
        InUse = Math.Max(InUse, SlabRules.AlignUp(objectSize, wordBytes));
    }

    /// <summary>Drops the reference of the creator that came last, with its name.</summary>
    internal string RemoveAlias()
    {
        string name = _aliases[^1];
        _aliases.RemoveAt(_aliases.Count - 1);
        References--;
        return name;
    }
}
