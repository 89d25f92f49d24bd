namespace MemSim.Observability;

/// <summary>Who asked for an object.</summary>
/// <param name="Nanoseconds">When, since the boot.</param>
/// <param name="Task">By whom.</param>
/// <param name="Gfp">The flags.</param>
/// <param name="Bytes">Bytes asked for.</param>
/// <param name="CallSite">What <see cref="Cpu.CallSite"/> said.</param>
internal sealed record ObjectEvent(long Nanoseconds, KernelTask Task, Gfp Gfp, long Bytes, string CallSite);

/// <summary>Remembers who asked for each live object, by the slab layer's tracepoints: the layout of caches stays as it is, other than with <c>slub_debug=U</c>.</summary>
internal sealed class ObjectOwnerTracker(Machine machine) : ISlabTraceSink
{
    private readonly Dictionary<ulong, ObjectEvent> _owners = [];
    // Guards _owners.
    private readonly Lock _lock = new();

    public void Kmalloc(Cpu cpu, string callSite, VirtualAddress ptr, long bytesReq, long bytesAlloc, Gfp gfp, int node) => Note(cpu, callSite, ptr, bytesReq, gfp);

    public void Kfree(Cpu cpu, string callSite, VirtualAddress ptr) => Forget(ptr);

    public void KmemCacheAlloc(Cpu cpu, string callSite, VirtualAddress ptr, KmemCache cache, Gfp gfp, int node) => Note(cpu, callSite, ptr, cache.ObjectSize, gfp);

    public void KmemCacheFree(Cpu cpu, string callSite, VirtualAddress ptr, KmemCache cache) => Forget(ptr);

    public ObjectEvent? Find(ulong address)
    {
        lock (_lock)
        {
            return _owners.GetValueOrDefault(address);
        }
    }

    private void Note(Cpu cpu, string callSite, VirtualAddress ptr, long bytes, Gfp gfp)
    {
        if (ptr.Value > SlabAllocator.ZeroSizePointer.Value)
        {
            lock (_lock)
            {
                _owners[ptr.Value] = new ObjectEvent(machine.Clock.Nanoseconds, cpu.Current, gfp, bytes, callSite);
            }
        }
    }

    private void Forget(VirtualAddress ptr)
    {
        lock (_lock)
        {
            _owners.Remove(ptr.Value);
        }
    }
}
