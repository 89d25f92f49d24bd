namespace MemSim.Explorer.Sessions.Commands;

/// <summary>Commands of the slab allocator.</summary>
internal static class SlabCommands
{
    private const int MostObjects = 100_000;

    public static IReadOnlyList<CommandInfo> All { get; } =
    [
        new("kmalloc", "kmalloc BYTES [GFP] [count=N] [as NAME]", "Allocates objects of any size from the kmalloc caches.", Kmalloc),
        new("kfree", "kfree NAME [every=N]", "Frees them, or every Nth of them.", Kfree),
        new("cache", "cache NAME BYTES [align=N]", "Creates a cache of objects of one size (kmem_cache_create()).", Cache),
        new("object", "object CACHE [count=N] [as NAME]", "Allocates objects of a cache.", Object),
        new("shrink", "shrink CACHE", "Gives empty slabs back to the page allocator.", Shrink),
    ];

    private static string Kmalloc(Session session, CommandArguments arguments)
    {
        long size = arguments.Size(0, "the size", 4 << 20);
        Gfp gfp = arguments.Mask(1);
        int count = arguments.Option("count", 1, 1, MostObjects);
        string name = session.NameFor(arguments, "k");
        List<VirtualAddress> objects = Take(count, () => session.Cpu.Kmalloc(size, gfp));
        if (objects.Count == 0)
        {
            return $"no memory for {size} bytes";
        }

        session.Hold(new HeldObjects(name, null, objects, size));
        return $"{name}: {objects.Count} x {size} bytes asked for, {session.Cpu.Slab.Ksize(objects[0])} got each, the first at {objects[0]}";
    }

    private static string Cache(Session session, CommandArguments arguments)
    {
        string name = arguments.Word(0, "the name");
        int size = (int)arguments.Size(1, "the size", 1 << 16);
        if (session.Machine.Slab.Find(name) is not null)
        {
            throw new CommandException($"there is a cache '{name}' already; take another name");
        }

        KmemCache cache = session.Machine.Slab.CreateCache(name, size, arguments.Option("align", 0, 0, 4096), SlabFlags.Panic);
        return $"{cache.Name}: objects of {cache.ObjectSize} bytes, {cache.Size} apart, {cache.ObjectsPerSlab} in a slab of {1 << cache.Order} page{(cache.Order == 0 ? string.Empty : "s")}{(cache.Aliases.Count > 0 ? $" (shared with {string.Join(", ", cache.Aliases)})" : string.Empty)}";
    }

    private static string Object(Session session, CommandArguments arguments)
    {
        string cacheName = arguments.Word(0, "the cache");
        KmemCache cache = session.Machine.Slab.Find(cacheName) ?? throw new CommandException($"there is no cache '{cacheName}': create it with 'cache {cacheName} 128'");
        int count = arguments.Option("count", 1, 1, MostObjects);
        string name = session.NameFor(arguments, "o");
        List<VirtualAddress> objects = Take(count, () => session.Cpu.Alloc(cache, Gfp.Kernel));
        if (objects.Count == 0)
        {
            return "no memory for an object";
        }

        session.Hold(new HeldObjects(name, cache, objects, cache.ObjectSize));
        return $"{name}: {objects.Count} object{(objects.Count == 1 ? string.Empty : "s")} of {cache.Name}, the first at {objects[0]}";
    }

    private static string Kfree(Session session, CommandArguments arguments)
    {
        HeldObjects held = session.Find<HeldObjects>(arguments.Word(0, "the name of objects"));
        int every = arguments.Option("every", 1, 1, MostObjects);
        List<VirtualAddress> kept = [];
        for (int i = 0; i < held.Objects.Count; i++)
        {
            if (i % every != 0)
            {
                kept.Add(held.Objects[i]);
            }
            else if (held.Cache is null)
            {
                session.Cpu.Kfree(held.Objects[i]);
            }
            else
            {
                session.Cpu.Free(held.Cache, held.Objects[i]);
            }
        }

        session.Release(held.Name);
        if (kept.Count > 0)
        {
            session.Hold(held with { Objects = kept });
        }

        return $"{held.Name}: {held.Objects.Count - kept.Count} freed, {kept.Count} left";
    }

    private static string Shrink(Session session, CommandArguments arguments)
    {
        string name = arguments.Word(0, "the cache");
        KmemCache cache = session.Machine.Slab.Find(name) ?? throw new CommandException($"there is no cache '{name}'");
        return $"{session.Machine.Slab.ShrinkCache(cache, session.Cpu)} slabs of {cache.Name} left";
    }

    private static List<VirtualAddress> Take(int count, Func<VirtualAddress> allocate)
    {
        List<VirtualAddress> objects = [];
        for (int i = 0; i < count; i++)
        {
            VirtualAddress address = allocate();
            if (address.IsNull)
            {
                break;
            }

            objects.Add(address);
        }

        return objects;
    }
}
