#pragma warning disable CA1822 // being built
namespace MemSim.Slab;

/// <summary>Debugging of caches: patterns, tracking, checks and reports.</summary>
internal sealed unsafe partial class SlabDebug
{
    private readonly SlabAllocator _allocator;
    private readonly SlabMemory _memory;

    public SlabDebug(SlabAllocator allocator)
    {
        _allocator = allocator;
        _memory = allocator.Memory;
    }

    public void PrepareSlab(KmemCache cache, int head)
    {
    }

    public bool CheckAllocated(Cpu cpu, KmemCache cache, int head, uint index) => true;

    public bool CheckFreed(Cpu cpu, KmemCache cache, int head, uint index) => true;

    public void CheckDiscarded(Cpu cpu, KmemCache cache, int head)
    {
    }

    public void Requested(KmemCache cache, ulong address, int size)
    {
    }

    public void NotAnObject(Cpu cpu, VirtualAddress obj, string what) =>
        cpu.Machine.Bugs.Raise(KernelBugKind.InvalidObject, $"BUG: {what}: object pointer: 0x{obj} is not an object of the slab layer", "");

    public void WrongCache(Cpu cpu, KmemCache cache, KmemCache owner, VirtualAddress obj) =>
        cpu.Machine.Bugs.Raise(KernelBugKind.WrongCache, $"cache_from_obj: Wrong slab cache. {cache.Name} but object is from {owner.Name}", "");

    public void InvalidObject(Cpu cpu, KmemCache cache, int head, VirtualAddress obj, string what) =>
        cpu.Machine.Bugs.Raise(KernelBugKind.InvalidObject, $"BUG {cache.Name}: {what}: Invalid object pointer 0x{obj}", "");

    public void DoubleFree(Cpu cpu, KmemCache cache, int head, VirtualAddress obj, string what) =>
        cpu.Machine.Bugs.Raise(KernelBugKind.DoubleFree, $"BUG {cache.Name}: {what}: Object already free", "");

    public void Forget(KmemCache cache)
    {
    }

    /// <summary>Whether any object of a cache is handed out.</summary>
    public bool HasLiveObjects(KmemCache cache)
    {
        foreach (int head in _memory.SlabsOf(cache))
        {
            if (_memory.LiveIn(head) != 0)
            {
                return true;
            }
        }

        return false;
    }

    public string DescribeLive(KmemCache cache)
    {
        System.Text.StringBuilder text = new();
        foreach (int head in _memory.SlabsOf(cache))
        {
            ref SlabPage slab = ref _memory[head];
            for (uint i = 0; i < slab.Objects; i++)
            {
                if (slab.Links[i] == SlabPage.Allocated)
                {
                    text.Append(System.Globalization.CultureInfo.InvariantCulture, $"Object 0x{slab.AddressOf(i):x16} @offset={slab.AddressOf(i) & (PageGeometry.PageSize - 1)}\n");
                }
            }
        }

        return text.ToString();
    }
}
