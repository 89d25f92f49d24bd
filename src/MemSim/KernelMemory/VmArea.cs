namespace MemSim.KernelMemory;

/// <summary>What a mapping in vmalloc space is (<c>struct vm_struct</c>).</summary>
internal sealed class VmArea(int id)
{
    /// <summary>Its place among the records, which its range has as its number.</summary>
    public readonly int Id = id;

    /// <summary>The first address.</summary>
    public ulong Start;

    /// <summary>Bytes of address space, the guard page included.</summary>
    public ulong Bytes;

    /// <summary>The mapped pages; the array may be longer.</summary>
    public Page[] Pages = [];

    /// <summary>Mapped pages.</summary>
    public int Count;

    /// <summary>The area owns its pages (<c>VM_ALLOC</c>); else they are the caller's (<c>VM_MAP</c>).</summary>
    public bool OwnsPages;

    /// <summary>Where the kernel keeps the table of pages.</summary>
    public VirtualAddress Table;

    /// <summary>The table has an area of its own.</summary>
    public bool HasTableArea;

    /// <summary>Who asked for it.</summary>
    public string Caller = "";

    public ReadOnlySpan<Page> Mapped => Pages.AsSpan(0, Count);
}
