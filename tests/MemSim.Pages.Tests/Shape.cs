namespace MemSim.Pages.Tests;

/// <summary>What the architecture's manual and the kernel's documentation say of the page size that these tests are compiled for, written down rather than derived.</summary>
/// <param name="Kib">KiB of a page.</param>
/// <param name="Shifts">log2 of the bytes that an entry of each level maps, lowest first.</param>
/// <param name="Entries">Entries of a table of each level.</param>
/// <param name="HugeMib">MiB of a huge page: an entry of the second level.</param>
/// <param name="Orders">Orders of free blocks.</param>
/// <param name="PoolKib">Sizes of hugetlb's pools in KiB, the largest first.</param>
/// <param name="SectionMib">MiB of a section of memory.</param>
/// <param name="StackPages">Pages of a kernel stack.</param>
/// <param name="LargestKmalloc">The largest of kmalloc's caches.</param>
/// <param name="Vmemmap">Where the memory map starts.</param>
internal sealed record Shape(int Kib, int[] Shifts, int[] Entries, int HugeMib, int Orders, long[] PoolKib, int SectionMib, int StackPages, string LargestKmalloc, ulong Vmemmap)
{
    public static Shape Here { get; } = PageGeometry.PageShift switch
    {
        13 => new(8, [13, 23, 33], [1024, 1024, 1024], 8, 11, [8 << 10], 128, 2, "kmalloc-16k", 0xffff_fff0_0000_0000),
        14 => new(16, [14, 25, 36, 47], [2048, 2048, 2048, 2], 32, 12, [1 << 20, 32 << 10, 2 << 10], 128, 1, "kmalloc-32k", 0xffff_ff00_0000_0000),
        16 => new(64, [16, 29, 42], [8192, 8192, 64], 512, 14, [16 << 20, 512 << 10, 2 << 10], 512, 1, "kmalloc-128k", 0xffff_ffc0_0000_0000),
        _ => throw new InvalidOperationException($"pages of {PageGeometry.PageSize} bytes: nothing is written down of them"),
    };

    public long PageBytes => Kib * 1024L;

    public long HugeBytes => (long)HugeMib << 20;

    /// <summary>Memory of 32 huge pages, and more than the 512 MiB below which a kernel has transparent ones off.</summary>
    public ByteSize RoomForHuge => new(Math.Max((ulong)HugeBytes * 32, 1UL << 30));

    public int HugeOrder => Orders - 1;

    public MappingSize HugeSize => (MappingSize)Shifts[1];

    public MappingSize SmallSize => (MappingSize)Shifts[0];

    public int Levels => Shifts.Length;

    /// <summary>Bits of addresses.</summary>
    public int AddressBits => Shifts[^1] + int.Log2(Entries[^1]);

    /// <summary>A machine with as many pages as one of 4 KiB pages and this memory.</summary>
    public static Machine Boot(string memoryOf4K = "256M", int cpus = 1, string commandLine = "")
    {
        MachineSpec spec = MachineSpec.Arm64(Soak.Soaks.Memory(memoryOf4K), cpus);
        return Machine.Boot(commandLine.Length == 0 ? spec : spec.WithCommandLine(commandLine));
    }
}
