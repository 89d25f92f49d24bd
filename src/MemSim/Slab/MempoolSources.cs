namespace MemSim.Slab;

/// <summary>Says where a pool's elements come from and go to.</summary>
internal abstract class MempoolSource
{
    /// <summary>Allocates an element.</summary>
    /// <returns>Its address; the null address when there is no memory.</returns>
    public abstract VirtualAddress Allocate(Cpu cpu, Gfp gfp);

    public abstract void Free(Cpu cpu, VirtualAddress element);

    /// <summary>Whether an address can be an element.</summary>
    public abstract bool CanBeElement(VirtualAddress element);

    public abstract string Describe();
}

/// <summary>Elements are objects of a cache (<c>mempool_alloc_slab()</c>).</summary>
internal sealed class CacheMempoolSource(KmemCache cache) : MempoolSource
{
    public override VirtualAddress Allocate(Cpu cpu, Gfp gfp) => cpu.Alloc(cache, gfp);

    public override void Free(Cpu cpu, VirtualAddress element) => cpu.Free(cache, element);

    public override bool CanBeElement(VirtualAddress element) => cache.Allocator.IsLiveObject(element, cache);

    public override string Describe() => $"objects of {cache.Name}";
}

/// <summary>Elements come from kmalloc (<c>mempool_kmalloc()</c>).</summary>
internal sealed class KmallocMempoolSource(Machine machine, long size) : MempoolSource
{
    public override VirtualAddress Allocate(Cpu cpu, Gfp gfp) => cpu.Kmalloc(size, gfp);

    public override void Free(Cpu cpu, VirtualAddress element) => cpu.Kfree(element);

    public override bool CanBeElement(VirtualAddress element) => size > SlabAllocator.KmallocMaxCached || machine.Slab.IsLiveObject(element, null);

    public override string Describe() => $"{size} bytes each";
}

/// <summary>Elements are blocks of pages (<c>mempool_alloc_pages()</c>), named by their addresses in the direct map.</summary>
internal sealed class PageMempoolSource(Machine machine, int order) : MempoolSource
{
    public override VirtualAddress Allocate(Cpu cpu, Gfp gfp) => cpu.Pages.GetFreePages(gfp, order);

    public override void Free(Cpu cpu, VirtualAddress element) => cpu.FreePages(element, order);

    public override bool CanBeElement(VirtualAddress element) => machine.TryGetPage(element, out Page page) && page.Address == element && machine.Frames.MayFree(page, order);

    public override string Describe() => $"{1 << order} pages each";
}
