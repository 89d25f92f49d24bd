using MemSim.Faults;
using MemSim.Hardware;
using MemSim.HugePages;
using MemSim.Hugetlb;
using MemSim.Kernels;
using MemSim.Lru;
using MemSim.Pages;
using MemSim.Slab;
using MemSim.Swap;

namespace MemSim.VirtualMemory;

/// <summary>All address spaces of a machine, and where those find what they share: the layout of their entries, who counts maps, who handles faults.</summary>
/// <remarks>The composition root makes it and what hangs on it, in the order of <see cref="Machine"/>'s construction; nothing is made when first asked for.</remarks>
internal sealed class AddressSpaces
{
    private readonly SwapSpace _swap;

    /// <summary>Makes it, with no address space.</summary>
    /// <param name="machine">The machine.</param>
    /// <param name="zeroPfn">The page of zeroes.</param>
    public AddressSpaces(Machine machine, int zeroPfn)
    {
        Machine = machine;
        _swap = machine.Swap;
        Rules = machine.Personality.Areas;
        Mmu = machine.Mmu;
        Frames = machine.Frames.Array;
        Objects = machine.Slab.KernelObjects;
        Anon = new AnonVmas(machine.Frames.Mappings, machine.Slab.KernelObjects);
        Commit = new CommitCharge(machine);
        Layout = new PteLayout(machine.Architecture.Architecture, machine.Frames.Count);
        Addresses = new UserAddresses(machine.Architecture, Mmu.Options.FiveLevels);
        Protection = new ProtectionMap(Layout, Mmu.Kernel);
        HugeOrder = PteLayout.HugeOrderOf(machine.Architecture.Architecture);
        ZeroPfn = zeroPfn;
        Pages = new MappedPages(machine, HugeOrder);
        Maps = new MapCounts(this);
        Entries = new PageEntries(this);
        Forked = new ForkedEntries(this);
        Huge = new TransparentHugeMemory(this);
        Hugetlb = new HugetlbMemory(this);
        Faults = new PageFaults(this);
    }

    public Machine Machine { get; }

    /// <summary>The machine's MMU.</summary>
    public Mmu Mmu { get; }

    public FrameArray Frames { get; }

    public PteLayout Layout { get; }

    public UserAddresses Addresses { get; }

    /// <summary>What rights are in entries.</summary>
    public ProtectionMap Protection { get; }

    /// <summary>The frame of the <see cref="ZeroPage"/>.</summary>
    public int ZeroPfn { get; }

    /// <summary>log2 of the small pages that an entry of the second level maps: 10 on x86-32 without PAE, else 9.</summary>
    public int HugeOrder { get; }

    /// <summary>Mapped pages, by the number of any of their frames.</summary>
    public MappedPages Pages { get; }

    /// <summary>How many entries map a page.</summary>
    public MapCounts Maps { get; }

    /// <summary>What entries say, checked.</summary>
    public PageEntries Entries { get; }

    /// <summary>What fork makes of entries.</summary>
    public ForkedEntries Forked { get; }

    /// <summary>What a fault does.</summary>
    public PageFaults Faults { get; }

    /// <summary>Who marks entries to learn of the use of their pages; null while nobody does.</summary>
    public IHintFaults? Hints { get; set; }

    /// <summary>Transparent huge pages.</summary>
    public TransparentHugeMemory Huge { get; }

    /// <summary>Whether faults have to think of huge pages.</summary>
    public bool UsesHugePages { get; set; }

    /// <summary>Mappings of the pools of huge pages.</summary>
    public HugetlbMemory Hugetlb { get; }

    /// <summary>Swap, once there is any.</summary>
    public ISwapSpace? Swap => _swap.WasUsed ? _swap : null;

    /// <summary>What kernels differ in.</summary>
    public AreaRules Rules { get; }

    /// <summary>Whether there was ever a process.</summary>
    public bool WasUsed { get; set; }

    /// <summary>All address spaces, oldest first.</summary>
    public AddressSpaceList All { get; } = new();

    /// <summary>What was promised.</summary>
    public CommitCharge Commit { get; }

    /// <summary>Anonymous-memory objects.</summary>
    public AnonVmas Anon { get; }

    /// <summary>The kernel's objects that areas and address spaces are.</summary>
    public KernelObjects Objects { get; }

    /// <summary>Pages collected before the TLBs are flushed once for all.</summary>
    public int[] GatherBuffer { get; } = new int[512];

    /// <summary>Begins an operation on address spaces: on a machine with parallel CPUs one lock guards all.</summary>
    public OwnersLock.Scope Enter() => Machine.OwnersLock.EnterOperation();

    /// <summary>The same for a page fault.</summary>
    public OwnersLock.Scope EnterFault() => Machine.OwnersLock.EnterFault();

    /// <summary>Makes an empty address space (<c>mm_alloc()</c>).</summary>
    /// <returns>Null without memory.</returns>
    public MemoryDescriptor? Create(Cpu cpu, Rlimits limits)
    {
        VirtualAddress memory = Objects.Take(cpu, KernelObject.Mm);
        if (memory.IsNull)
        {
            return null;
        }

        PageTables? tables = Mmu.CreateTables(cpu);
        if (tables is null)
        {
            Objects.Give(cpu, KernelObject.Mm, memory);
            return null;
        }

        return new MemoryDescriptor(this, tables, limits, memory);
    }

    /// <summary>Checks all address spaces.</summary>
    public void Verify() => new MmVerifier(this).Verify();
}
