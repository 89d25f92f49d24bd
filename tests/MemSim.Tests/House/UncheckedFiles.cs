namespace MemSim.Tests.House;

/// <summary>The files of <c>src</c> in which the compiler and the runtime do not look at every access, and why each may.</summary>
/// <remarks>
/// What lies in simulated memory may be anything, so a slip in such a file is not an exception but the host's memory. Each file says in its own remarks why what it reads or writes is in range,
/// and asserts it. Whoever needs another place uses one of these types; a new file here wants a reason as good as theirs.
/// </remarks>
internal static class UncheckedFiles
{
    /// <summary>Files with pointers (<c>unsafe</c>): small types that own the host's memory, or a view of it.</summary>
    public static IReadOnlyDictionary<string, string> Pointers { get; } = new Dictionary<string, string>
    {
        ["MemSim/Hardware/HostRange.cs"] = "maps, allocates and frees the host's memory, and cuts it into tables.",
        ["MemSim/Hardware/HostTable.cs"] = "is the view of such memory that hot code holds: a table indexed by a number.",
        ["MemSim/Hardware/PhysicalMemory.cs"] = "is RAM: every access is compared with its size, and then one addition.",
        ["MemSim/Hardware/PhysicalMemory.Pieces.cs"] = "is RAM on hosts that cannot reserve address space: pieces of a block of the largest order.",
        ["MemSim/Slab/ArrayCache.cs"] = "owns the arrays and sheaves of free objects, and puts in and takes out.",
        ["MemSim/Slab/BulkRuns.cs"] = "walks the addresses of a bulk call: a bound looked at for each costs as much as the object.",
        ["MemSim/Slab/CpuSlabs.cs"] = "is the view of the CPUs' states of a cache.",
        ["MemSim/Slab/SlabLinks.cs"] = "is the view of the words that say of each object of a slab where it is.",
        ["MemSim/Slab/SlabMemory.cs"] = "owns the tables of slabs, the space for those words and the CPUs' states.",
    };

    /// <summary>Files without pointers that reach past a check of the runtime's all the same.</summary>
    public static IReadOnlyDictionary<string, string> Others { get; } = new Dictionary<string, string>
    {
        ["MemSim/Diagnostics/DriverGuard.cs"] = "asks where on its stack a host thread is, to know it without a call; nothing is read or written there.",
        ["MemSim/Hardware/FrozenRam.cs"] = "calls the host for files in memory, which copies of a machine share.",
        ["MemSim/Hardware/Mmu/CpuMmu.cs"] = "looks a translation up in a table of a power of two, with a number masked to it, on every access to simulated memory.",
        ["MemSim/Hardware/Mmu/TlbLevel.cs"] = "compares the tags of a set, whose number is masked to the sets there are.",
        ["MemSim/Pages/PageFrame.cs"] = "reads and writes two fields of a frame, which lie side by side, as one word.",
        ["MemSim/Slab/Classic/ClassicSlab.cs"] = "casts the state of a cache, which only this implementation sets.",
        ["MemSim/Slab/Slub/Slub.cs"] = "casts the state of a cache, which only this implementation sets.",
        ["MemSim/Slab/Slub/Slub.Bulk.cs"] = "does not clear the room for its lists, which are written before they are read.",
        ["MemSim/Slab/Slub/Slub.Sheaves.cs"] = "does not clear the room for addresses, which are written before they are read.",
        ["MemSim/Snapshots/StateBytes.cs"] = "copies the bytes of boxed values and of arrays whose type is only known at run time.",
    };
}
