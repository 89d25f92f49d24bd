using MemSim.Slab;

namespace MemSim;

/// <summary>An amount of memory given as bytes or as a share of all memory (<c>kernelcore=512M</c>, <c>movablecore=40%</c>).</summary>
/// <param name="Size">The amount, when it is not a share.</param>
/// <param name="Percent">The share in percent, 1 to 100; 0 when <paramref name="Size"/> counts.</param>
public readonly record struct CoreSize(ByteSize Size, int Percent)
{
    /// <summary>The amount in pages on a machine of so many.</summary>
    /// <param name="totalPages">Pages of memory in all nodes.</param>
    internal long Pages(long totalPages) => Percent == 0 ? Size.Pages : totalPages * 100 * Percent / 10000;

    /// <summary>As it is written on the command line.</summary>
    public override string ToString() => Percent == 0 ? Size.ToString() : $"{Percent}%";
}

/// <summary>A <c>memmap=</c> parameter: a change of the firmware's memory map.</summary>
/// <param name="Size">Length of the range.</param>
/// <param name="Start">Address of its first byte; 0 when <paramref name="Kind"/> is null.</param>
/// <param name="Kind">What the range becomes; null for <c>memmap=nn</c>, which ends usable memory at nn.</param>
public readonly record struct MemoryMapChange(ByteSize Size, ulong Start, MemoryRangeKind? Kind);

/// <summary>The <c>cma=</c> parameter: a contiguous memory area.</summary>
/// <param name="Size">Its size; 0 means none, not even the built-in one.</param>
/// <param name="Base">Where it has to lie, or from where on when there is a <paramref name="Limit"/>; null when anywhere.</param>
/// <param name="Limit">The address it has to end at, or null.</param>
public readonly record struct CmaParameter(ByteSize Size, ulong? Base, ulong? Limit);

/// <summary>The <c>crashkernel=</c> parameter.</summary>
/// <param name="Size">Memory reserved.</param>
/// <param name="Base">Where it has to lie, or null.</param>
/// <param name="High">Whether it may lie above 4 GiB (<c>,high</c>).</param>
public readonly record struct CrashKernelParameter(ByteSize Size, ulong? Base, bool High);

/// <summary>The <c>numa=fake=</c> parameter: exactly one of the two is not 0.</summary>
/// <param name="Nodes">Nodes to cut the machine into.</param>
/// <param name="NodeSize">Memory of each node.</param>
public readonly record struct NumaFakeParameter(int Nodes, ByteSize NodeSize);

/// <summary>The kernel command line: its parameters that have to do with memory as typed values, the rest by name.</summary>
/// <remarks>Parsed as the kernel does: words separated by blanks, quotes around blanks, <c>-</c> and <c>_</c> alike in names, the last of several values counts, <c>--</c> ends it.</remarks>
public sealed partial class KernelCommandLine
{
    private readonly List<(string Name, string? Value)> parameters = [];
    private readonly List<(string Parameter, string Why)> withoutEffect = [];
    private readonly List<string> unknown = [];
    private readonly List<(string Name, string Value)> zswap = [];
    private readonly List<MemoryMapChange> memoryMapChanges = [];
    private readonly List<(string Name, string Text)> sysctls = [];
    private readonly List<HugePagesParameter> hugePages = [];

    private KernelCommandLine(string text) => Text = text;

    /// <summary>The empty command line.</summary>
    public static KernelCommandLine Empty { get; } = Parse("");

    /// <summary>The line as it was given.</summary>
    public string Text { get; }

    /// <summary>Parameters no part of the kernel knows, as written: the kernel passes them on to user space.</summary>
    public IReadOnlyList<string> UnknownParameters => unknown;

    /// <summary>Parameters about memory that this simulation does not act on, as written, each with what it does instead.</summary>
    public IReadOnlyList<(string Parameter, string Why)> WithoutEffect => withoutEffect;

    /// <summary><c>dhash_entries=</c>: buckets of the hash table of dentries; null or 0 to derive them from memory.</summary>
    public long? DentryHashEntries { get; private set; }

    /// <summary><c>ihash_entries=</c>: buckets of the hash table of inodes; null or 0 to derive them from memory.</summary>
    public long? InodeHashEntries { get; private set; }

    /// <summary><c>log_buf_len=</c>: size of the kernel's log, rounded up to a power of two; smaller than the built-in one it changes nothing.</summary>
    public ByteSize? LogBuffer { get; private set; }

    /// <summary><c>swiotlb=</c>: slabs of 2 KiB of the bounce buffers of devices; null for the usual 64 MiB.</summary>
    public long? BounceSlots { get; private set; }

    /// <summary><c>swiotlb=force</c> or <c>noforce</c>: whether there are bounce buffers whatever memory there is; null where memory beyond 4 GiB decides.</summary>
    public bool? BounceBuffersForced { get; private set; }

    /// <summary><c>mem=</c>: where usable memory ends (x86) or how much of it is used (arm64).</summary>
    public ByteSize? MemoryLimit { get; private set; }

    /// <summary><c>memmap=</c>: changes of the firmware's memory map, in order (x86).</summary>
    public IReadOnlyList<MemoryMapChange> MemoryMapChanges => memoryMapChanges;

    /// <summary><c>memmap=exactmap</c>: only the ranges of later <c>memmap=</c> parameters exist.</summary>
    public bool ExactMemoryMap { get; private set; }

    /// <summary><c>kernelcore=</c>: memory that stays outside ZONE_MOVABLE.</summary>
    public CoreSize? KernelCore { get; private set; }

    /// <summary><c>movablecore=</c>: memory that goes into ZONE_MOVABLE.</summary>
    public CoreSize? MovableCore { get; private set; }

    /// <summary><c>movable_node</c>: hot-pluggable nodes get only movable memory.</summary>
    public bool MovableNode { get; private set; }

    /// <summary><c>numa=off</c>: what firmware says about nodes is not used.</summary>
    public bool NumaOff { get; private set; }

    /// <summary><c>numa=fake=</c>: cut the machine into emulated nodes.</summary>
    public NumaFakeParameter? NumaFake { get; private set; }

    /// <summary><c>numa_balancing=</c>: <c>enable</c> or <c>disable</c>; null where it says nothing.</summary>
    public bool? NumaBalancing { get; private set; }

    /// <summary><c>cma=</c>: the default contiguous memory area.</summary>
    public CmaParameter? Cma { get; private set; }

    /// <summary><c>crashkernel=</c>: memory for the kernel that takes over after a crash.</summary>
    public CrashKernelParameter? CrashKernel { get; private set; }

    /// <summary><c>nr_cpus=</c>: CPUs that can exist at all.</summary>
    public int? CpuLimit { get; private set; }

    /// <summary><c>maxcpus=</c>: CPUs brought up at boot.</summary>
    public int? MaxCpus { get; private set; }

    /// <summary><c>highmem=</c>: size of high memory (32-bit x86).</summary>
    public ByteSize? HighMemory { get; private set; }

    /// <summary><c>vmalloc=</c>: size of the vmalloc area (32-bit x86).</summary>
    public ByteSize? Vmalloc { get; private set; }

    /// <summary><c>hugepagesz=</c> / <c>hugepages=</c>: pools of huge pages; the size is 0 where the default size is meant.</summary>
    public IReadOnlyList<(ByteSize PageSize, long Pages)> HugePages => [.. hugePages.Select(pool => (pool.PageSize, pool.Pages))];

    /// <summary>The same pools, with what is asked for on single nodes.</summary>
    public IReadOnlyList<HugePagesParameter> HugePagePools => hugePages;

    /// <summary><c>default_hugepagesz=</c>: the size of the huge pages meant where none is named; null for the architecture's usual one.</summary>
    public ByteSize? DefaultHugePageSize { get; private set; }

    /// <summary><c>transparent_hugepage=</c>: <c>always</c>, <c>madvise</c> or <c>never</c>.</summary>
    public string? TransparentHugePage { get; private set; }

    /// <summary><c>zswap.enabled=</c> and its like: parameters of zswap, as <see cref="Zswap"/> takes them.</summary>
    public IReadOnlyList<(string Name, string Value)> ZswapParameters => zswap;

    /// <summary><c>page_owner=on</c>.</summary>
    public bool PageOwner { get; private set; }

    /// <summary><c>init_on_alloc=</c>: whether memory is zeroed when it is allocated; null without the parameter.</summary>
    public bool? ZeroesOnAlloc { get; private set; }

    /// <summary><c>init_on_free=</c>: whether memory is zeroed when it is freed; null without the parameter.</summary>
    public bool? ZeroesOnFree { get; private set; }

    /// <summary><c>page_alloc.shuffle=1</c>: free lists are shuffled.</summary>
    public bool ShufflePageAllocator { get; private set; }

    /// <summary><c>slub_debug</c> (or <c>slab_debug</c>): its value, empty when there is none, null without the parameter.</summary>
    public string? SlubDebug { get; private set; }

    /// <summary><c>slab_nomerge</c> (or <c>slub_nomerge</c>).</summary>
    public bool SlabNoMerge { get; private set; }

    /// <summary>What is said about slabs, as the slab layer takes it.</summary>
    internal SlabParameters Slab => new(SlabAllocator, SlubDebug, SlabNoMerge, SlubMinObjects, SlubMinOrder, SlubMaxOrder, SlabMaxOrder);

    /// <summary><c>slub_min_objects=</c>: objects a slab of SLUB should have; 0 or null to derive it from the CPUs.</summary>
    public int? SlubMinObjects { get; private set; }

    /// <summary><c>slub_min_order=</c>: log2 of the pages that a slab of SLUB has at least.</summary>
    public int? SlubMinOrder { get; private set; }

    /// <summary><c>slub_max_order=</c>: log2 of the pages beyond which slabs of SLUB grow only where an object needs it.</summary>
    public int? SlubMaxOrder { get; private set; }

    /// <summary><c>slab_max_order=</c>: log2 of the pages beyond which slabs of the classic SLAB grow only where an object needs it.</summary>
    public int? SlabMaxOrder { get; private set; }

    /// <summary><c>slab_allocator=</c>: the allocator below kmalloc, a parameter of this simulator (<c>slub</c> or <c>slab</c>).</summary>
    public string? SlabAllocator { get; private set; }

    /// <summary><c>fail_page_alloc=</c>: which requests to the page allocator fail on purpose; null without the parameter.</summary>
    public FaultRule? FailPageAlloc { get; private set; }

    /// <summary><c>failslab=</c>: which requests for objects fail on purpose; null without the parameter.</summary>
    public FaultRule? FailSlab { get; private set; }

    /// <summary><c>fail_usercopy=</c>: which copies from and to processes fail on purpose; null without the parameter.</summary>
    public FaultRule? FailUsercopy { get; private set; }

    /// <summary><c>mminit_loglevel=</c>: how much of memory initialisation the boot log tells, 0 to 4.</summary>
    public int MemoryInitLogLevel { get; private set; }

    /// <summary><c>memblock=debug</c>: the boot log shows the early allocator's state.</summary>
    public bool MemblockDebug { get; private set; }

    /// <summary><c>sysctl.vm.NAME=</c>: sysctls set at boot, without the <c>sysctl.vm.</c>.</summary>
    public IReadOnlyList<(string Name, string Text)> VmSysctls => sysctls;

    /// <summary>Reads a command line.</summary>
    /// <param name="text">The line.</param>
    /// <exception cref="ArgumentException">A parameter that concerns memory has a value that makes no sense; the message names it and says why.</exception>
    public static KernelCommandLine Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        KernelCommandLine line = new(text);
        foreach (string token in Split(text))
        {
            if (token == "--")
            {
                break;
            }

            int equals = token.IndexOf('=', StringComparison.Ordinal);
            string name = equals < 0 ? token : token[..equals];
            string? value = equals < 0 ? null : token[(equals + 1)..];
            line.parameters.Add((name, value));
            line.Apply(token, name.Replace('-', '_'), value);
        }

        return line;
    }

    /// <summary>The value of the last parameter of a name; null without one or without a value.</summary>
    /// <param name="name">The parameter's name.</param>
    public string? ValueOf(string name)
    {
        string wanted = name.Replace('-', '_');
        for (int i = parameters.Count - 1; i >= 0; i--)
        {
            if (parameters[i].Name.Replace('-', '_') == wanted)
            {
                return parameters[i].Value;
            }
        }

        return null;
    }

    /// <summary>The line as it was given.</summary>
    public override string ToString() => Text;

    private static List<string> Split(string text)
    {
        List<string> tokens = [];
        System.Text.StringBuilder token = new();
        bool quoted = false;
        foreach (char c in text)
        {
            if (c == '"')
            {
                quoted = !quoted;
            }
            else if (char.IsWhiteSpace(c) && !quoted)
            {
                Flush();
            }
            else
            {
                token.Append(c);
            }
        }

        if (quoted)
        {
            throw new ArgumentException($"kernel command line: '{text}': a quote is not closed", nameof(text));
        }

        Flush();
        return tokens;

        void Flush()
        {
            if (token.Length > 0)
            {
                tokens.Add(token.ToString());
                token.Clear();
            }
        }
    }
}
