#:project ../../src/MemSim/MemSim.csproj
using MemSim;

// The allocator of the textbooks: slab_allocator=slab. The default is SLUB, see below.
using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithCommandLine("slab_allocator=slab"));
Cpu cpu = machine.Cpus[0];
KmemCache cache = machine.Slab.CreateCache("task", size: 950, flags: SlabFlags.HwCacheAlign);
Console.WriteLine($"{cache.Name}: objects of {cache.ObjectSize} bytes take {cache.Size}, {cache.ObjectsPerSlab} in a slab of {1 << cache.Order} page(s)");
machine.Slab.SetSlabInfo("task 2 1 0");              // a CPU keeps two objects, moves one at a time: else all that follows would stay in its array

// kmem_cache_alloc(), twelve times: slabs fill one after the other.
List<VirtualAddress> tasks = [.. Enumerable.Range(0, 12).Select(_ => cpu.Alloc(cache, Gfp.Kernel))];
Draw("twelve objects");

// kmem_cache_free(): the CPU keeps some (o), the others go back to their slabs (.).
foreach (VirtualAddress task in (VirtualAddress[])[.. tasks[..5], tasks[6], tasks[5]])
{
    cpu.Free(cache, task);
}

Draw("seven freed");

// The next object comes from the CPU's array, then from a partial slab, then from an empty one.
VirtualAddress again = cpu.Alloc(cache, Gfp.Kernel);
Console.WriteLine($"the one freed last comes first: {again == tasks[5]}");

// kmem_cache_shrink(): arrays are emptied, empty slabs go back to the page allocator.
machine.Slab.ShrinkCache(cache);
Draw("shrunk");

foreach (VirtualAddress task in (VirtualAddress[])[again, .. tasks[7..]])
{
    cpu.Free(cache, task);
}

Console.WriteLine($"kmem_cache_destroy(): {machine.Slab.DestroyCache(cache)}");

void Draw(string when)
{
    Console.WriteLine(when);
    foreach (SlabDescriptor slab in machine.Slab.DescribeSlabs(cache))
    {
        string objects = string.Concat(slab.Objects.Select(o => o switch { SlabObjectState.Allocated => '#', SlabObjectState.Cached => 'o', _ => '.' }));
        Console.WriteLine($"  page {slab.Page.Pfn} [{objects}] {slab.State.ToString().ToLowerInvariant(),-7} inuse {slab.InUse}, s_mem {slab.SMem}, colour {slab.ColourOffset,3}");
    }
}
