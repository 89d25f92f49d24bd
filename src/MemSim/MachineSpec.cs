using MemSim.Boot;
using MemSim.Captures;
using MemSim.Hardware;
using MemSim.Kernels;
using Microsoft.Extensions.Logging;

namespace MemSim;

/// <summary>What machine to boot: architecture, memory, nodes, CPUs, kernel command line and options of the simulation.</summary>
/// <remarks>Immutable: each <c>With...</c> method returns a changed copy. Nothing is planned or allocated before the boot.</remarks>
public sealed record MachineSpec
{
    /// <summary>The largest number of CPUs (the kernel's <c>NR_CPUS</c> on amd64).</summary>
    public const int MaxCpus = 8192;

    private MachineSpec(Architecture architecture, int cpus)
    {
        if (cpus is < 1 or > MaxCpus)
        {
            throw new ArgumentOutOfRangeException(nameof(cpus), $"a machine of {cpus} CPUs: 1 to {MaxCpus} are possible");
        }

        if (PageGeometry.Refuses(architecture) is { } why)
        {
            throw new ArgumentException(why, nameof(architecture));
        }

        Architecture = architecture;
        CpuCount = cpus;
        MemoryModel = ArchitectureInfo.Of(architecture).SparseVmemmap ? MemoryModel.SparseVmemmap : MemoryModel.Flat;
    }

    /// <summary>The architecture.</summary>
    public Architecture Architecture { get; }

    /// <summary>CPUs of the machine, before <c>nr_cpus=</c> and <c>maxcpus=</c>.</summary>
    public int CpuCount { get; }

    /// <summary>The firmware's memory map; null when <see cref="Zones"/> are given.</summary>
    public MemoryMap? Memory { get; private init; }

    /// <summary>The zones as they shall be, instead of a memory map; null when <see cref="Memory"/> is given.</summary>
    public IReadOnlyList<BootZone>? Zones { get; private init; }

    /// <summary>The nodes, or null for one node with everything.</summary>
    public NumaTopology? Topology { get; private init; }

    /// <summary>The kernel command line.</summary>
    public KernelCommandLine CommandLine { get; private init; } = KernelCommandLine.Empty;

    /// <summary>The kernel image: where it lies, how large its parts and its early allocations are; Debian's of <see cref="Personality"/>'s line unless another was given.</summary>
    public KernelImage Kernel { get => field ?? KernelImage.Debian(Architecture, Personality); private init; }

    /// <summary>Size of the initial RAM disk; 0 for none.</summary>
    public ByteSize Initrd { get; private init; }

    /// <summary>Whether memory has contents, or only page frames are simulated.</summary>
    public bool HasContents { get; private init; } = true;

    /// <summary>Whether several host threads may drive CPUs at the same time.</summary>
    public bool ParallelCpus { get; private init; }

    /// <summary>Whether every page remembers who allocated it (also <c>page_owner=on</c>).</summary>
    public bool PageOwner => (Recorded & PageRecords.Owners) != 0 || CommandLine.PageOwner;

    /// <summary>How frame numbers lead to page frames.</summary>
    public MemoryModel MemoryModel { get; private init; }

    /// <summary>What happens on misuse.</summary>
    public BugPolicy BugPolicy { get; private init; }

    /// <summary>Sysctls to set once the machine runs: names below <c>vm.</c> with the text to write, in order; those of the command line come first.</summary>
    public IReadOnlyList<(string Name, string Text)> Sysctls => sysctls.Count == 0 ? CommandLine.VmSysctls : [.. CommandLine.VmSysctls, .. sysctls];

    /// <summary>Where the machine logs to; null for nowhere.</summary>
    public ILoggerFactory? LoggerFactory { get; private init; }

    /// <summary>The kernel whose rules the machine follows.</summary>
    public KernelPersonality Personality { get; private init; } = KernelLines.Linux6_1;

    /// <summary>What the user must know about the machine's rules, e.g. that they are those of another kernel than the one asked for.</summary>
    public IReadOnlyList<string> Warnings { get; private init; } = [];

    /// <summary>How the MMU is built.</summary>
    public MmuOptions Mmu { get; private init; } = MmuOptions.Default;

    /// <summary>How kernel stacks are made.</summary>
    public KernelStackOptions Stacks { get; private init; } = KernelStackOptions.Default;

    /// <summary>Memory of a device to hot-plug; 0 for none.</summary>
    public ByteSize DeviceMemory { get; private init; }

    /// <summary>The node of <see cref="DeviceMemory"/>.</summary>
    public int DeviceNode { get; private init; }

    /// <summary>How much memory can be plugged in while the machine runs; 0 for none.</summary>
    public ByteSize HotplugMemory { get; private init; }

    /// <summary>How memory is taken from the host; what fits it unless a test wants to see another way.</summary>
    internal HostMemory HostMemory { get; init; } = HostMemoryChoice.OfThisHost;

    /// <summary>The captured machine this one is the twin of.</summary>
    internal TwinOrigin? Twin { get; private init; }

    /// <summary>The state the allocator starts in; null for a boot.</summary>
    internal StartState? Start { get; init; }

    private IReadOnlyList<(string Name, string Text)> sysctls { get; init; } = [];

    /// <summary>What the kernel remembers of each page beside its descriptor.</summary>
    internal PageRecords Recorded { get; init; }

    /// <summary>The contiguous memory areas asked for by <see cref="WithCma"/>.</summary>
    internal IReadOnlyList<CmaRequest> CmaAreas { get; private init; } = [];

    /// <summary>A 64-bit PC, like QEMU's with so much memory.</summary>
    /// <param name="memory">RAM, whole pages, up to 64 TiB.</param>
    /// <param name="cpus">Number of CPUs.</param>
    public static MachineSpec X86_64(ByteSize memory, int cpus = 1) => Preset(Architecture.X86_64, memory, cpus);

    /// <summary>A 32-bit PC without PAE, like QEMU's with so much memory.</summary>
    /// <param name="memory">RAM, whole pages, up to 4 GiB (what QEMU puts above the 4 GiB boundary is lost).</param>
    /// <param name="cpus">Number of CPUs.</param>
    public static MachineSpec X86_32(ByteSize memory, int cpus = 1) => Preset(Architecture.X86_32, memory, cpus);

    /// <summary>A 32-bit PC with PAE, like QEMU's with so much memory.</summary>
    /// <param name="memory">RAM, whole pages, up to 64 GiB.</param>
    /// <param name="cpus">Number of CPUs.</param>
    public static MachineSpec X86_32Pae(ByteSize memory, int cpus = 1) => Preset(Architecture.X86_32Pae, memory, cpus);

    /// <summary>A 64-bit ARM machine, like QEMU's <c>virt</c> with so much memory.</summary>
    /// <param name="memory">RAM, whole pages, up to 128 TiB.</param>
    /// <param name="cpus">Number of CPUs.</param>
    public static MachineSpec Arm64(ByteSize memory, int cpus = 1) => Preset(Architecture.Arm64, memory, cpus);

    /// <summary>A machine of any architecture with the preset memory map.</summary>
    /// <param name="architecture">The architecture.</param>
    /// <param name="memory">RAM, whole pages.</param>
    /// <param name="cpus">Number of CPUs.</param>
    /// <exception cref="ArgumentOutOfRangeException">The memory is 0, not whole pages or more than the architecture can have; or the number of CPUs is impossible.</exception>
    public static MachineSpec Preset(Architecture architecture, ByteSize memory, int cpus = 1)
    {
        ByteSize limit = MemoryLimit(architecture);
        if (memory.Bytes == 0 || memory.Bytes % PageGeometry.PageSize != 0 || memory.Bytes > limit.Bytes)
        {
            string name = ArchitectureInfo.Of(architecture).Name;
            throw new ArgumentOutOfRangeException(nameof(memory), $"{memory} ({memory.Bytes} bytes) of memory: {name} machines have whole pages of {PageGeometry.PageSize >> 10}K, more than 0 and at most {limit}");
        }

        return new MachineSpec(architecture, cpus) { Memory = MemoryMap.Preset(architecture, memory) };
    }

    /// <summary>A machine with an explicit firmware memory map.</summary>
    /// <param name="architecture">The architecture.</param>
    /// <param name="memory">The map.</param>
    /// <param name="cpus">Number of CPUs.</param>
    public static MachineSpec FromMemoryMap(Architecture architecture, MemoryMap memory, int cpus = 1)
    {
        ArgumentNullException.ThrowIfNull(memory);
        return new MachineSpec(architecture, cpus) { Memory = memory };
    }

    /// <summary>A machine whose zones are given instead of derived, such as the twin of a real one.</summary>
    /// <param name="architecture">The architecture.</param>
    /// <param name="zones">The zones with start, spanned, present and managed pages. Where a zone does not say where its holes and reserved pages are, they lie at its start: first the holes, then the reserved pages.</param>
    /// <param name="cpus">Number of CPUs.</param>
    /// <exception cref="ArgumentException">Zones overlap, are not of the architecture, or their page counts contradict each other.</exception>
    public static MachineSpec FromZones(Architecture architecture, IReadOnlyList<BootZone> zones, int cpus = 1)
    {
        ArgumentNullException.ThrowIfNull(zones);
        return new MachineSpec(architecture, cpus) { Zones = ExplicitZones.Check(ArchitectureInfo.Of(architecture), zones) };
    }

    /// <summary>The twin of a real machine: its layout is read, every derived figure is computed from it; where <c>buddyinfo</c> is there, it starts in the recorded state.</summary>
    /// <remarks>
    /// Free blocks are as many of each order (and, where <c>pagetypeinfo</c> is there, which root alone may read, of each migrate type) as recorded, per-CPU lists as long, watermarks, boost and
    /// reserves the recorded ones. Where the blocks lie and whose the pages in use are, no file tells: <see cref="Machine.Warnings"/> says what was invented. <see cref="AsBooted"/> frees all memory.
    /// </remarks>
    /// <param name="directory">A captured folder with <c>zoneinfo</c> and, where present, <c>buddyinfo</c>, <c>pagetypeinfo</c>, <c>sysctl-vm.txt</c>, <c>uname</c>, <c>proc-cmdline</c>, <c>node/</c>; or <c>/proc</c> itself on a live Linux.</param>
    /// <param name="kernel">Whose rules to follow; null for the kernel that the folder names.</param>
    /// <exception cref="InputFileException">A file is missing or malformed.</exception>
    public static MachineSpec FromProc(string directory, KernelChoice? kernel = null)
    {
        TwinOrigin twin = TwinOrigin.Read(directory, kernel);
        CapturedMachine captured = twin.Captured;
        List<BootZone> zones = [.. twin.Zones.Select(zone => new BootZone(zone.Node, zone.Type, new Pfn(zone.StartPfn), zone.SpannedPages, zone.PresentPages, zone.ManagedPages))];
        try
        {
            MachineSpec spec = FromZones(captured.Layout.Architecture.Architecture, zones, captured.Layout.Cpus.Max(c => c.Cpu) + 1);
            return spec with { Twin = twin, Personality = captured.Layout.Kernel, Warnings = twin.Remarks };
        }
        catch (ArgumentException e)
        {
            throw new InputFileException(directory, 0, e.ParamName is { } name ? e.Message.Replace($" (Parameter '{name}')", "", StringComparison.Ordinal) : e.Message, e);
        }
    }

    /// <summary>A twin made by <see cref="FromProc"/> with all of its memory free, as after the boot, and every figure computed.</summary>
    public MachineSpec AsBooted() => this with { Twin = Twin?.AsBooted() };

    /// <summary>The most memory a machine of an architecture can have.</summary>
    /// <param name="architecture">The architecture.</param>
    public static ByteSize MemoryLimit(Architecture architecture) => architecture switch
    {
        Architecture.X86_64 => ByteSize.FromGiB(64 << 10),
        Architecture.X86_32 => ByteSize.FromGiB(4),
        Architecture.X86_32Pae => ByteSize.FromGiB(64),
        Architecture.Arm64 => new ByteSize(1UL << (PageGeometry.AddressBits - 1)),
        _ => throw new ArgumentOutOfRangeException(nameof(architecture)),
    };

    /// <summary>With these nodes.</summary>
    /// <param name="topology">The nodes; CPUs that no node has go to the nodes in turn.</param>
    public MachineSpec WithNodes(NumaTopology topology)
    {
        ArgumentNullException.ThrowIfNull(topology);
        foreach (NumaNode node in topology.Nodes)
        {
            foreach (int cpu in node.Cpus)
            {
                if (cpu < 0 || cpu >= CpuCount)
                {
                    throw new ArgumentException($"node {node.Id} has CPU {cpu}, the machine has CPUs 0 to {CpuCount - 1}", nameof(topology));
                }
            }
        }

        return this with { Topology = topology };
    }

    /// <summary>With nodes of these sizes, laid out one after the other as QEMU does; CPUs are dealt out evenly in runs.</summary>
    /// <param name="sizes">Memory of each node; together all of the machine.</param>
    public MachineSpec WithNodes(params IReadOnlyList<ByteSize> sizes) =>
        Memory is null ? throw new InvalidOperationException("a machine made from zones has the nodes of its zones") : WithNodes(NodeLayout.Sequential(Memory, sizes, CpuCount));

    /// <summary>With a kernel command line.</summary>
    /// <param name="text">The line.</param>
    /// <exception cref="ArgumentException">A parameter has an impossible value.</exception>
    public MachineSpec WithCommandLine(string text) => this with { CommandLine = KernelCommandLine.Parse(text) };

    /// <summary>With another kernel image.</summary>
    /// <param name="kernel">The image.</param>
    public MachineSpec WithKernel(KernelImage kernel) => this with { Kernel = kernel ?? throw new ArgumentNullException(nameof(kernel)) };

    /// <summary>With an initial RAM disk of this size, which is freed at the end of the boot.</summary>
    /// <param name="size">Its size.</param>
    public MachineSpec WithInitrd(ByteSize size) => this with { Initrd = size };

    /// <summary>Without contents of memory: only page frames are simulated, for machines of terabytes.</summary>
    public MachineSpec WithoutContents() => this with { HasContents = false };

    /// <summary>With locks that let several host threads drive CPUs at the same time, one thread each: allocations, memory accesses, processes and reclaim are safe then.</summary>
    /// <remarks>
    /// TLB shootdowns wait until the other CPUs are out of the accesses they are in the middle of. Locks cost time, and which frames are used depends on the threads' timing: a
    /// machine driven by one thread is faster without. Setting things up and taking them down (trace sinks, swap areas, sysctls, <see cref="Machine.Verify"/>) is for times when
    /// only one thread is at work.
    /// </remarks>
    public MachineSpec WithParallelCpus() => this with { ParallelCpus = true };

    /// <summary>With a record of who allocated each page.</summary>
    public MachineSpec WithPageOwner() => this with { Recorded = Recorded | PageRecords.Owners };

    /// <summary>With another memory model than the architecture's usual one.</summary>
    /// <param name="model">The model.</param>
    /// <exception cref="ArgumentException">Sections on a 32-bit architecture.</exception>
    public MachineSpec WithMemoryModel(MemoryModel model) =>
        model.HasSections() && !ArchitectureInfo.Of(Architecture).SparseVmemmap ? throw new ArgumentException($"{Architecture} has no sections: its kernels have one array of frames, or one for each node", nameof(model)) : this with { MemoryModel = model };

    /// <summary>With another answer to misuse.</summary>
    /// <param name="policy">The answer.</param>
    public MachineSpec WithBugPolicy(BugPolicy policy) => this with { BugPolicy = policy };

    /// <summary>With a sysctl set once the machine runs.</summary>
    /// <param name="name">Its name, with or without <c>vm.</c>.</param>
    /// <param name="text">What one would write to the file of that name.</param>
    public MachineSpec WithSysctl(string name, string text)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        ArgumentNullException.ThrowIfNull(text);
        return this with { sysctls = [.. sysctls, (name.StartsWith("vm.", StringComparison.Ordinal) ? name[3..] : name, text)] };
    }

    /// <summary>With the rules of the kernel that a version names; what is to be said about the choice is in <see cref="Warnings"/>.</summary>
    /// <param name="version">A version like <c>7.3</c>, or the text of <c>uname -a</c>, <c>uname -r</c> or <c>/proc/version</c>.</param>
    /// <exception cref="ArgumentException">No version number is in the text.</exception>
    public MachineSpec WithKernel(string version)
    {
        ArgumentNullException.ThrowIfNull(version);
        return KernelChoice.TryFor(version, out KernelChoice? choice)
            ? WithKernel(choice)
            : throw new ArgumentException($"no kernel version (like 7.3) in '{version}'", nameof(version));
    }

    /// <summary>With the rules of a kernel that was chosen before.</summary>
    /// <param name="choice">The choice.</param>
    public MachineSpec WithKernel(KernelChoice choice)
    {
        ArgumentNullException.ThrowIfNull(choice);
        TwinOrigin? twin = Twin is null ? null : TwinOrigin.Read(Twin.Captured.Directory, choice);
        twin = Twin is { FreeBlocks: null } ? twin?.AsBooted() : twin;
        return this with { Personality = twin?.Captured.Layout.Kernel ?? choice.Line, Warnings = twin?.Remarks ?? choice.Warnings, Twin = twin };
    }

    /// <summary>With rules of one's own, or those of a line of <see cref="KernelLines"/>.</summary>
    /// <param name="personality">The rules.</param>
    public MachineSpec WithPersonality(KernelPersonality personality) => WithKernel(KernelChoice.Of(personality));

    /// <summary>With memory of a device (persistent memory, a graphics card) that is hot-plugged above RAM once the machine runs: zone Device of a node, which the buddy allocator never hands out.</summary>
    /// <param name="size">Its size, whole sections of 128 MiB.</param>
    /// <param name="node">The node it is near.</param>
    /// <exception cref="ArgumentException">The size is not whole sections, or the architecture's kernel has no zone Device.</exception>
    public MachineSpec WithDeviceMemory(ByteSize size, int node = 0)
    {
        if (size.Bytes == 0 || size.Pages % MemoryMapCost.PagesPerSection != 0 || size.Bytes > 1UL << 42)
        {
            throw new ArgumentException($"{size} of device memory: whole sections of 128M up to 4T are possible", nameof(size));
        }

        if (ArchitectureInfo.Of(Architecture).IndexOf(ZoneType.Device) < 0)
        {
            throw new ArgumentException($"Debian's {ArchitectureInfo.Of(Architecture).Name} kernel has no zone Device");
        }

        return this with { DeviceMemory = size, DeviceNode = node };
    }

    /// <summary>With room for memory to be plugged in while the machine runs (QEMU: <c>-m 1G,maxmem=…</c>): <see cref="MemoryHotplug.Add"/> fills it.</summary>
    /// <param name="most">How much, whole sections of 128 MiB.</param>
    /// <exception cref="ArgumentException">The size is not whole sections or above 4 TiB, or the architecture's kernel cannot take memory in.</exception>
    public MachineSpec WithHotplugMemory(ByteSize most)
    {
        if (most.Pages % MemoryMapCost.PagesPerSection != 0 || most.Bytes % (ulong)PageGeometry.PageSize != 0 || most.Bytes > 1UL << 42)
        {
            throw new ArgumentException($"{most} of room for memory: whole sections of 128M up to 4T are possible", nameof(most));
        }

        return ArchitectureInfo.Of(Architecture).Bits == 64
            ? this with { HotplugMemory = most }
            : throw new ArgumentException($"Debian's {ArchitectureInfo.Of(Architecture).Name} kernel has no memory hot-plug");
    }

    /// <summary>With a contiguous memory area, as a reserved-memory node of a device tree describes it; the kernel is then one with CMA, whatever Debian's has.</summary>
    /// <param name="name">The area's name, unique on the machine.</param>
    /// <param name="size">Its size, rounded up to whole page blocks.</param>
    /// <param name="start">Where it must lie, a multiple of a page block; null for anywhere.</param>
    /// <param name="below">The address it must end at or below; null for 4 GiB, or the end of memory that lies higher than that.</param>
    /// <param name="above">The address it must start at or above; null for any. With <paramref name="below"/> the window that a device tree gives as <c>alloc-ranges</c>.</param>
    /// <exception cref="ArgumentException">The size is 0, the name is taken, both a place and limits are given, or the window is smaller than the area.</exception>
    public MachineSpec WithCma(string name, ByteSize size, PhysicalAddress? start = null, PhysicalAddress? below = null, PhysicalAddress? above = null)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        if (size.Bytes == 0)
        {
            throw new ArgumentException($"contiguous memory area {name}: the size is 0", nameof(size));
        }

        if (above is { } low && below is { } high && (high.Value < low.Value || high.Value - low.Value < size.Bytes))
        {
            throw new ArgumentException($"contiguous memory area {name}: its window from {low} to {high} is smaller than {size}", nameof(above));
        }

        if (start is not null && (below is not null || above is not null))
        {
            throw new ArgumentException($"contiguous memory area {name}: give a place or a limit, not both", nameof(below));
        }

        if (Zones is not null)
        {
            throw new ArgumentException($"contiguous memory area {name}: a machine made from zones has no firmware memory map to reserve it in", nameof(name));
        }

        return CmaAreas.Any(area => area.Name == name) || name == CmaRequest.DefaultName
            ? throw new ArgumentException($"there is a contiguous memory area {name} already", nameof(name))
            : this with { CmaAreas = [.. CmaAreas, new CmaRequest(name, size.Bytes, start?.Value, below?.Value, above?.Value)] };
    }


    /// <summary>With an MMU built in a certain way.</summary>
    /// <param name="options">How.</param>
    public MachineSpec WithMmu(MmuOptions options) => this with { Mmu = options ?? throw new ArgumentNullException(nameof(options)) };

    /// <summary>Kernel stacks made in another way.</summary>
    /// <param name="options">The options.</param>
    /// <exception cref="ArgumentException">The options contradict each other.</exception>
    public MachineSpec WithStacks(KernelStackOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        return options.Pages is not (0 or 1 or 2 or 4) || options.ThreadInfoBytes is < 0 or > 1024
            ? throw new ArgumentException("stacks have 1, 2 or 4 pages, and thread_info has up to 1024 bytes", nameof(options))
            : this with { Stacks = options };
    }

    /// <summary>With a place to log to.</summary>
    /// <param name="factory">Makes the loggers.</param>
    public MachineSpec WithLogging(ILoggerFactory factory) => this with { LoggerFactory = factory };
}
