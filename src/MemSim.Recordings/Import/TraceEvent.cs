namespace MemSim.Recordings;

/// <summary>The recorded tracepoints that the simulator has a meaning for.</summary>
public enum TraceEventKind : byte
{
    /// <summary>Any other event; <see cref="TraceEvent.EventName"/> says which.</summary>
    Other,

    /// <summary><c>kmem:mm_page_alloc</c>.</summary>
    PageAlloc,

    /// <summary><c>kmem:mm_page_free</c>; before 3.3 <c>mm_page_free_direct</c>.</summary>
    PageFree,

    /// <summary><c>kmem:mm_page_free_batched</c>: repeats a free already reported; before 3.3 <c>mm_pagevec_free</c>.</summary>
    PageFreeBatched,

    /// <summary><c>kmem:mm_page_alloc_zone_locked</c>: taken from the buddy lists, for a per-CPU list or directly.</summary>
    PageAllocZoneLocked,

    /// <summary><c>kmem:mm_page_pcpu_drain</c>: given back from a per-CPU list to the buddy lists.</summary>
    PagePcpuDrain,

    /// <summary><c>kmem:mm_page_alloc_extfrag</c>: a block of another migrate type was used.</summary>
    PageAllocExtfrag,

    /// <summary><c>kmem:kmalloc</c>, and <c>kmalloc_node</c> of kernels before 6.1.</summary>
    Kmalloc,

    /// <summary><c>kmem:kfree</c>.</summary>
    Kfree,

    /// <summary><c>kmem:kmem_cache_alloc</c>, and <c>kmem_cache_alloc_node</c> of kernels before 6.1.</summary>
    KmemCacheAlloc,

    /// <summary><c>kmem:kmem_cache_free</c>.</summary>
    KmemCacheFree,
}

/// <summary>In which context an event happened, as the flags column of ftrace tells it.</summary>
[Flags]
public enum TraceContext : byte
{
    /// <summary>A task with nothing switched off; or unknown, when <see cref="Known"/> is missing.</summary>
    None = 0,

    /// <summary>The line had the flags.</summary>
    Known = 1,

    /// <summary>Interrupts are off.</summary>
    InterruptsOff = 2,

    /// <summary>Bottom halves are off.</summary>
    BottomHalvesOff = 4,

    /// <summary>A reschedule is due.</summary>
    NeedReschedule = 8,

    /// <summary>In a hardware interrupt.</summary>
    HardInterrupt = 16,

    /// <summary>In a software interrupt.</summary>
    SoftInterrupt = 32,

    /// <summary>In a non-maskable interrupt.</summary>
    NonMaskableInterrupt = 64,
}

/// <summary>One recorded event. What the event does not tell is -1 for frames, orders and types, 0 for sizes and pointers, and an empty string for names.</summary>
/// <remarks>Names are shared between events: reading a million events makes as many strings as there are different names. Migrate types are the recording kernel's numbers.</remarks>
public readonly struct TraceEvent
{
    /// <summary>The 1-based line in the file.</summary>
    public int Line { get; init; }

    /// <summary>Which event.</summary>
    public TraceEventKind Kind { get; init; }

    /// <summary>The kernel's name of the event, without the subsystem.</summary>
    public string EventName { get; init; }

    /// <summary>The CPU it happened on.</summary>
    public int Cpu { get; init; }

    /// <summary>The thread that ran (the kernel's pid); 0 is the idle task.</summary>
    public int Pid { get; init; }

    /// <summary>The thread's name, as far as the recording has it.</summary>
    public string TaskName { get; init; }

    /// <summary>The time stamp in nanoseconds; with a clock that counts (<see cref="TraceReader.ClockCounts"/>), the count.</summary>
    public long TimestampNs { get; init; }

    /// <summary>The context flags.</summary>
    public TraceContext Context { get; init; }

    /// <summary>The preemption depth; 0 where the line does not tell.</summary>
    public byte PreemptDepth { get; init; }

    /// <summary>The first frame of the block; -1 for events without one and for a failed allocation.</summary>
    public long Pfn { get; init; }

    /// <summary>log2 of the pages of the block (of an extfrag event: asked for).</summary>
    public int Order { get; init; }

    /// <summary>The migrate type that was asked for (of a drain: of the list; of an extfrag event: asked for).</summary>
    public int MigrateType { get; init; }

    /// <summary>The GFP flags of an allocation.</summary>
    public Gfp Gfp { get; init; }

    /// <summary>Whether a page was taken to refill a per-CPU list (<see cref="TraceEventKind.PageAllocZoneLocked"/>).</summary>
    public bool PercpuRefill { get; init; }

    /// <summary>Whether the event reports an allocation that found no page.</summary>
    public bool Failed { get; init; }

    /// <summary>The order of the block that an extfrag event found.</summary>
    public int FallbackOrder { get; init; }

    /// <summary>The page block order that an extfrag event reports.</summary>
    public int PageblockOrder { get; init; }

    /// <summary>The migrate type of the block that an extfrag event found.</summary>
    public int FallbackMigrateType { get; init; }

    /// <summary>Whether the block found was smaller than a page block, so that types get mixed (extfrag).</summary>
    public bool Fragmenting { get; init; }

    /// <summary>Whether the page block changed its type (extfrag).</summary>
    public bool ChangeOwnership { get; init; }

    /// <summary>The object of a slab event, as printed: an address, or a hash of it; 0 for a null pointer.</summary>
    public ulong Ptr { get; init; }

    /// <summary>Bytes asked for.</summary>
    public long BytesRequested { get; init; }

    /// <summary>Bytes of the object delivered.</summary>
    public long BytesAllocated { get; init; }

    /// <summary>The node asked for; -1 for any.</summary>
    public int Node { get; init; }

    /// <summary>Whether the object was charged to a memory cgroup.</summary>
    public bool Accounted { get; init; }

    /// <summary>The slab cache's name, where the event tells it.</summary>
    public string CacheName { get; init; }

    /// <summary>The calling function and offset of a slab event, e.g. <c>copy_process+0x20e/0x1ae0</c>.</summary>
    public string CallSite { get; init; }

    /// <summary>The kernel's name of the event with time, CPU and thread, for messages.</summary>
    public override string ToString() => $"line {Line}: {TaskName}-{Pid} [{Cpu:d3}] {TimestampNs} ns {EventName}";
}
