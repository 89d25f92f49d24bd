using System.Numerics;
using MemSim.KernelMemory;
using MemSim.PageAllocation;

namespace MemSim.Boot;

/// <summary>What the kernel reserves before its page allocator works: the image, what the boot loader left, memory map, per-CPU areas, hash tables.</summary>
/// <remarks>A model with the order of Debian's 6.1 kernels and the sizes of each line's: the large pieces are exact, the many small ones are one piece (<see cref="KernelImage.SmallAllocationPages"/>).</remarks>
internal sealed partial class EarlyAllocationStage
{
    private const ulong Page = PageGeometry.PageSize, HugePage = 2 << 20, FourGiB = 1UL << 32, LowestPreferred = 16 << 20, CacheLine = 64;
    private const ulong SwiotlbBytes = 64 << 20, SwiotlbSlotBytes = 2048, DefaultCmaBytes = 64 << 20;

    private readonly MachineSpec spec;
    private readonly Memblock memblock;
    private readonly List<string> log;
    private readonly KernelImage kernel;
    private readonly bool x86;

    public EarlyAllocationStage(MachineSpec spec, Memblock memblock, List<string> log)
    {
        this.spec = spec;
        this.memblock = memblock;
        this.log = log;
        kernel = spec.Kernel;
        x86 = spec.Architecture != Architecture.Arm64;
    }

    /// <summary>What was reserved, in order.</summary>
    public List<EarlyAllocation> Done { get; } = [];

    /// <summary>The default contiguous memory area.</summary>
    public PfnRange? Cma { get; private set; }

    /// <summary>All contiguous memory areas by name.</summary>
    public List<(string Name, PfnRange Range)> CmaAreas { get; } = [];

    /// <summary>Pages of hash tables of the file system caches that come from the page allocator: those for mounts, and where they are spread over nodes all.</summary>
    public long LateTablePages { get; private set; }

    /// <summary>The log's lines about hash tables, which come after those about zonelists.</summary>
    public List<string> TableLog { get; } = [];

    /// <summary>Whether memory beyond 4 GiB made the kernel reserve bounce buffers.</summary>
    public bool HasBounceBuffers { get; private set; }

    /// <summary>Where each CPU's per-CPU area lies and how it is divided.</summary>
    public PercpuLayout? Percpu { get; private set; }

    /// <summary>Where the kernel image starts.</summary>
    public ulong ImageStart => kernel.LoadOffset + (x86 ? 0 : memblock.Memory[0].Start);

    /// <summary>Where the initial RAM disk is, or null.</summary>
    public (ulong Start, ulong Length)? Initrd { get; private set; }

    /// <summary>What boot loader and kernel image occupy, before anything is allocated.</summary>
    public void ReserveImage()
    {
        ulong end = ImageStart + kernel.Length;
        if (!memblock.Memory.Any(region => region.Start <= ImageStart && region.End >= end))
        {
            throw new ArgumentException($"no usable memory from 0x{ImageStart:x} to 0x{end:x}, where the kernel image lies: the machine has {ByteSize.FromKiB(memblock.MemoryBytes >> 10)} of memory");
        }

        if (x86)
        {
            Reserve("first megabyte", 0, 1 << 20);
        }

        Reserve("kernel image", ImageStart, kernel.Length);
        if (!x86)
        {
            ReserveArm64Blobs();
        }
        else if (spec.Initrd.Bytes > 0)
        {
            PlaceInitrd();
        }
    }

    /// <summary>Descriptors of the nodes.</summary>
    public void AllocateNodes(IEnumerable<(int Id, bool HasMemory)> nodes)
    {
        foreach ((int id, bool hasMemory) in nodes)
        {
            if (kernel.NodeDataBytes > 0)
            {
                ulong start = Allocate("node data", (ulong)kernel.NodeDataBytes, kernel.NodeDataBytes % PageGeometry.PageSize == 0 ? Page : CacheLine, node: hasMemory ? id : Memblock.AnyNode)!.Value;
                string range = $"[mem 0x{start:x8}-0x{start + (ulong)kernel.NodeDataBytes - 1:x8}]";
                log.Add(x86 ? $"NODE_DATA({id}) allocated {range}" : $"NUMA: NODE_DATA {range}");
            }
        }
    }

    /// <summary>Page tables of the direct map: arm64 maps it page by page, x86-64 in pages of 1 GiB, of which only those beyond 4 GiB need new tables.</summary>
    public void AllocatePageTables()
    {
        if (spec.Architecture == Architecture.X86_64 && memblock.Memory[^1].End > FourGiB)
        {
            Allocate("page tables", 2 * Page, Page);
        }
        else if (!x86)
        {
            ulong tables = 0;
            foreach (MemblockRegion region in memblock.Memory)
            {
                tables += Units(region.Length, PageGeometry.HugeBytes) + Units(region.Length, Page << PageGeometry.GiantOrder) + 1;
            }

            Allocate("page tables", tables * Page, Page);
        }
    }

    /// <summary><c>log_buf_len=</c>: a log larger than the one in the image, with the descriptors of its records.</summary>
    public void AllocateLogBuffer()
    {
        const ulong builtIn = 128 << 10, averageRecord = 32, descriptor = 24, info = 88;
        ulong length = Math.Min(BitOperations.RoundUpToPowerOf2(spec.CommandLine.LogBuffer?.Bytes ?? 0), 1UL << 31);
        if (length > builtIn)
        {
            Allocate("kernel log", length, 64);
            Allocate("descriptors of the kernel log", length / averageRecord * descriptor, 64);
            Allocate("records of the kernel log", length / averageRecord * info, 64);
            log.Add($"log_buf_len: {length} bytes");
        }
    }

    /// <summary><c>crashkernel=</c>.</summary>
    public void ReserveCrashKernel()
    {
        if (spec.CommandLine.CrashKernel is not { } crash)
        {
            return;
        }

        const ulong Align = 16 << 20;
        ulong highest = spec.Architecture switch
        {
            Architecture.X86_64 or Architecture.Arm64 => crash.High ? ulong.MaxValue : FourGiB,
            _ => Math.Min(512UL << 20, memblock.CurrentLimit),
        };
        ulong align = x86 ? Align : HugePage, min = crash.Base ?? (x86 ? Align : 0), max = crash.Base is { } at ? at + crash.Size.Bytes : highest;
        ulong? start = memblock.Find(crash.Size.Bytes, align, min, max);
        if (start is null)
        {
            throw new ArgumentException($"crashkernel={spec.CommandLine.ValueOf("crashkernel")}: there is no free memory of {crash.Size} {(crash.Base is null ? "the kernel could use" : $"at 0x{crash.Base:x}")}");
        }

        Reserve("crash kernel", start.Value, crash.Size.Bytes);
        log.Add($"Reserving {crash.Size.Bytes >> 20}MB of memory at {start.Value >> 20}MB for crashkernel (System RAM: {memblock.MemoryBytes >> 20}MB)");
    }

    /// <summary>Descriptors of the page frames.</summary>
    public void AllocateMemoryMap(IReadOnlyList<int> nodes)
    {
        if (!spec.MemoryModel.HasSections())
        {
            foreach (int node in nodes)
            {
                AllocateFlatMap(node);
            }

            return;
        }

        Allocate("section roots", x86 ? 32UL << 10 : (1UL << (48 - PageGeometry.SectionShift)) / (Page / 32) * 8, Page);
        ulong bytesOfSection = (ulong)UnavailableRanges.SectionPages * (ulong)kernel.StructPageBytes;
        foreach (int node in nodes)
        {
            ulong sections = 0;
            foreach ((long start, long end) in UnavailableRanges.SectionsOf(memblock, node))
            {
                sections += (ulong)((end - start) / UnavailableRanges.SectionPages);
            }

            if (sections == 0)
            {
                continue;
            }

            Allocate("memory map", sections * bytesOfSection, PageGeometry.Is4K ? HugePage : Page, LowestPreferred, node);
            _ = spec.MemoryModel == MemoryModel.SparseVmemmap ? Allocate("memory map page tables", (1 + Units(sections * bytesOfSection, PageGeometry.Is4K ? 1 << 30 : PageGeometry.HugeBytes)) * Page, Page, LowestPreferred, node) : null;
        }
    }

    /// <summary>Contiguous memory areas that the machine's description names.</summary>
    public void ReserveCmaAreas()
    {
        ulong block = (ulong)PageGeometry.PageSize << ArchitectureInfo.Of(spec.Architecture).PageblockOrder;
        foreach (CmaRequest area in spec.CmaAreas)
        {
            ulong length = (area.Bytes + block - 1) & ~(block - 1);
            if (area.Start is { } wanted && (wanted & (block - 1)) != 0)
            {
                throw new ArgumentException($"contiguous memory area {area.Name}: 0x{wanted:x} is not a multiple of a page block ({block >> 20}M)");
            }

            foreach ((string name, PfnRange range) in CmaAreas)
            {
                if (area.Start is { } at && at < range.End.PhysicalAddress.Value && at + length > range.Start.PhysicalAddress.Value)
                {
                    throw new ArgumentException($"contiguous memory area {area.Name} (0x{at:x} to 0x{at + length:x}) overlaps area {name} (0x{range.Start.PhysicalAddress.Value:x} to 0x{range.End.PhysicalAddress.Value:x})");
                }
            }

            ulong limit = area.Start is { } fixedAt ? fixedAt + length : area.Limit ?? Math.Max(FourGiB, memblock.Memory[^1].End);
            if (memblock.Find(length, block, area.Start ?? area.From ?? 0, limit) is not { } start)
            {
                bool outside = area.Start is { } place && !memblock.Memory.Any(region => region.Start <= place && region.End >= place + length);
                throw new ArgumentException($"contiguous memory area {area.Name}: {(outside ? "there is no memory" : $"there is no free memory of {length >> 20}M")} {(area.Start is { } where ? $"at 0x{where:x} to 0x{where + length:x}" : $"below 0x{limit:x}")}");
            }

            Reserve("contiguous memory area", start, length);
            CmaAreas.Add((area.Name, new PfnRange(new PhysicalAddress(start).Pfn, (long)(length >> PageGeometry.PageShift))));
            log.Add($"Reserved memory: created CMA memory pool at 0x{start:x16}, size {length >> 20} MiB");
        }
    }

    /// <summary>Contiguous memory area: <c>cma=</c>; without it arm64 has a built-in one of 64 MiB, and amd64 none. Nothing where the kernel has no CMA.</summary>
    public void ReserveCma()
    {
        if (!CmaRequest.IsServedBy(spec))
        {
            return;
        }

        bool x86 = spec.Architecture != Architecture.Arm64;
        CmaParameter cma = spec.CommandLine.Cma ?? new CmaParameter(new ByteSize(x86 ? 0 : DefaultCmaBytes), null, null);
        ulong block = (ulong)PageGeometry.PageSize << ArchitectureInfo.Of(spec.Architecture).PageblockOrder;
        ulong length = (cma.Size.Bytes + block - 1) & ~(block - 1);
        if (length == 0)
        {
            return;
        }

        bool fixedPlace = cma is { Base: not null, Limit: null };
        if (fixedPlace && (cma.Base & (block - 1)) != 0)
        {
            throw new ArgumentException($"cma={spec.CommandLine.ValueOf("cma")}: the base is not a multiple of {block >> 20}M");
        }

        ulong end = memblock.Memory[^1].End;
        ulong limit = cma.Limit ?? (fixedPlace ? cma.Base!.Value + length : x86 ? end : FourGiB);

        // With enough memory beyond 4 GiB the kernel looks from there upwards first, to spare what 32-bit devices reach.
        ulong? start = x86 && !fixedPlace && end >= FourGiB + length && limit > FourGiB ? memblock.FindUpwards(length, block, FourGiB, limit) : null;
        start ??= memblock.Find(length, block, cma.Base ?? 0, limit);
        if (start is null)
        {
            // The built-in area is optional; one that was asked for is not.
            log.Add($"cma: Failed to reserve {length >> 20} MiB");
            if (spec.CommandLine.Cma is not null)
            {
                throw new ArgumentException($"cma={spec.CommandLine.ValueOf("cma")}: there is no free memory of {length >> 20}M {(fixedPlace ? $"at 0x{cma.Base:x}" : $"below 0x{limit:x}")}");
            }

            return;
        }

        Reserve("contiguous memory area", start.Value, length);
        Cma = new PfnRange(new PhysicalAddress(start.Value).Pfn, (long)(length >> PageGeometry.PageShift));
        CmaAreas.Add((CmaRequest.DefaultName, Cma.Value));
        log.Add($"cma: Reserved {length >> 20} MiB at 0x{start:x16}");
    }

    /// <summary>Per-CPU areas and the many small allocations.</summary>
    public void AllocatePercpu(IReadOnlyList<IReadOnlyList<int>> cpusOfNodes, int possible)
    {
        Allocate("small allocations", (ulong)kernel.SmallAllocationPages * Page, Page);
        ulong area = (ulong)kernel.PercpuPages * Page;
        int[] groups = [.. cpusOfNodes.Select(cpus => cpus.Count(cpu => cpu < possible)).Where(count => count > 0)];
        ulong unit = spec.Architecture == Architecture.X86_64 ? PercpuUnit(area, groups, possible) : area;
        ulong align = spec.Architecture == Architecture.X86_64 ? HugePage : Page;
        ulong dynamic = area - (ulong)kernel.PercpuStaticBytes - (ulong)kernel.PercpuReservedBytes;
        log.Add($"percpu: Embedded {kernel.PercpuPages} pages/cpu s{kernel.PercpuStaticBytes} r{kernel.PercpuReservedBytes} d{dynamic} u{unit}");
        PhysicalAddress[] units = new PhysicalAddress[possible];
        for (int node = 0; node < cpusOfNodes.Count; node++)
        {
            ulong cpus = (ulong)cpusOfNodes[node].Count(cpu => cpu < possible);
            if (cpus == 0)
            {
                continue;
            }

            ulong length = (cpus * unit + align - 1) & ~(align - 1);
            ulong start = Allocate("per-CPU areas", length, align, LowestPreferred, node)!.Value;
            for (ulong offset = 0; offset < length; offset += unit)
            {
                ulong used = offset / unit < cpus ? area : 0;
                memblock.Free(start + offset + used, unit - used);
            }

            ulong next = start;
            foreach (int cpu in cpusOfNodes[node].Where(cpu => cpu < possible))
            {
                units[cpu] = new PhysicalAddress(next);
                next += unit;
            }
        }

        Percpu = new PercpuLayout(kernel.PercpuPages, kernel.PercpuStaticBytes, kernel.PercpuReservedBytes, (long)unit, units);
    }

    /// <summary>Huge pages beyond what the page allocator has, round the nodes (<c>alloc_bootmem_huge_page()</c>): fewer than wanted when there is no room.</summary>
    public List<PfnRange> AllocateGiganticPages(int[] nodes)
    {
        List<PfnRange> pages = [];
        HashSet<ulong> seen = [];
        foreach (HugePagesParameter wanted in spec.CommandLine.HugePagePools)
        {
            ulong bytes = wanted.PageSize.Bytes != 0 ? wanted.PageSize.Bytes : spec.CommandLine.DefaultHugePageSize?.Bytes ?? 0;
            bool gigantic = bytes > Page << PageGeometry.MaxOrder && MachineHugetlb.OrdersOf(spec.Architecture, spec.Mmu.GigabytePages).Contains(BitOperations.Log2(bytes / Page)) && BitOperations.IsPow2(bytes);
            if (!gigantic || !seen.Add(bytes))
            {
                continue;
            }

            long got = 0;
            foreach ((int node, long count) in wanted.Nodes.Count != 0 ? wanted.Nodes : [(Memblock.AnyNode, wanted.Pages)])
            {
                for (long i = 0; i < count; i++, got++)
                {
                    int on = node == Memblock.AnyNode ? nodes[(int)(got % nodes.Length)] : node;
                    if (memblock.Allocate(bytes, bytes, 0, 0, on) is not { } start)
                    {
                        break;
                    }

                    Done.Add(new EarlyAllocation("gigantic page", start, bytes, on));
                    pages.Add(new PfnRange(new PhysicalAddress(start).Pfn, (long)(bytes >> PageGeometry.PageShift)));
                }
            }

            if (got < wanted.Pages)
            {
                log.Add($"HugeTLB: allocating {wanted.Pages} of page size {MachineHugetlb.SizeText(new ByteSize(bytes))} failed.  Only allocated {got} hugepages.");
            }
        }

        return pages;
    }

    /// <summary>Hash tables of the file system caches, and the bounce buffers of devices that cannot reach all memory.</summary>
    public void AllocateTables(long kernelPages, long allPages, bool distributed, long maxPfn)
    {
        int bits = ArchitectureInfo.Of(spec.Architecture).Bits;
        Hash("Dentry cache", 13, spec.CommandLine.DentryHashEntries ?? 0, late: distributed);
        Hash("Inode-cache", 14, spec.CommandLine.InodeHashEntries ?? 0, late: distributed);
        Hash("Mount-cache", 19, 0, late: true);
        Hash("Mountpoint-cache", 19, 0, late: true);

        if (spec.PageOwner || spec.CommandLine.SlubDebug is { } debug && (debug.Length == 0 || debug.Contains('U', StringComparison.OrdinalIgnoreCase)))
        {
            Hash("stackdepot", 14, 0, spec.Personality.Image.StackDepotBucketPointers);
            AllocateIfAny("pools of stack traces", spec.Personality.Image.StackDepotPoolPages);
        }

        bool beyondDevices = (ulong)maxPfn << PageGeometry.PageShift > FourGiB && spec.Architecture != Architecture.X86_32;
        if (spec.CommandLine.BounceBuffersForced ?? beyondDevices)
        {
            ulong slots = BitOperations.RoundUpToPowerOf2((ulong)((spec.CommandLine.BounceSlots + 127 & ~127L) ?? (long)(SwiotlbBytes / SwiotlbSlotBytes)));
            Allocate("software IO TLB", slots * SwiotlbSlotBytes, Page, max: Math.Min(FourGiB, memblock.CurrentLimit));
            Allocate("software IO TLB slots", slots * (bits == 64 ? 24UL : 16UL), Page);
            HasBounceBuffers = true;
        }

        void Hash(string name, int scale, long wanted, int pointers = 1, bool late = false)
        {
            ulong bucket = (ulong)(pointers * bits / 8), entries = (ulong)((kernelPages + 255) & ~255L);
            ulong most = BitOperations.RoundUpToPowerOf2(Math.Max(1, ((ulong)allPages << PageGeometry.PageShift) / 16 / bucket + 1) / 2);
            if (wanted != 0)
            {
                // As asked for, down to a power of two and to a sixteenth of memory.
                Table(name, Math.Min(1UL << BitOperations.Log2((ulong)wanted), most), bucket, late);
                return;
            }

            // With 64 bits four times the memory, beyond 64 GiB, only doubles the table.
            for (ulong adapt = (64UL << 30) >> PageGeometry.PageShift; bits == 64 && adapt < entries; adapt <<= 2)
            {
                scale++;
            }

            entries = Math.Max(entries >> (scale - PageGeometry.PageShift), Page / bucket);
            Table(name, Math.Min(BitOperations.RoundUpToPowerOf2(entries), most), bucket, late);
        }

        void Table(string name, ulong entries, ulong bucket, bool late)
        {
            ulong length = entries * bucket;
            LateTablePages += late ? (long)BitOperations.RoundUpToPowerOf2((length + Page - 1) / Page) : 0;
            if (!late)
            {
                Allocate(name + " hash table", length, 64);
                TableLog.Add($"{name} hash table entries: {entries} (order: {BitOperations.Log2(Math.Max(1, length / Page))}, {length} bytes, linear)");
            }
        }
    }

    // As many units as possible share a 2 MiB page, unless more than a third of all units would stay empty or more pages would be needed.
    private static ulong PercpuUnit(ulong area, int[] groups, int possible)
    {
        int best = 1, bestPages = int.MaxValue;
        for (int units = (int)(HugePage / area); units > 0; units--)
        {
            if (HugePage % (ulong)units != 0 || HugePage / (ulong)units % Page != 0)
            {
                continue;
            }

            int pages = groups.Sum(cpus => (cpus + units - 1) / units), wasted = pages * units - groups.Sum();
            if (wasted > possible / 3)
            {
                continue;
            }

            if (pages > bestPages)
            {
                break;
            }

            (best, bestPages) = (units, pages);
        }

        return HugePage / (ulong)best;
    }

    private static ulong Units(ulong length, ulong unit) => (length + unit - 1) / unit;

    // The boot loader puts it as high as the kernel accepts, below a multiple of 64 KiB; a 32-bit kernel moves it into memory it maps.
    private void PlaceInitrd()
    {
        const ulong TwoGiB = 2UL << 30, LoaderUnit = 64 << 10;
        ulong length = (spec.Initrd.Bytes + Page - 1) & ~(Page - 1), highest = spec.Architecture == Architecture.X86_64 ? FourGiB : TwoGiB;
        ulong top = memblock.Memory.Where(region => region.Start < highest).Max(region => Math.Min(region.End, highest)) & ~(LoaderUnit - 1);
        if (memblock.Find(length, Page, 0, top) is not { } loaded)
        {
            throw new ArgumentException($"{ByteSize.FromKiB(memblock.MemoryBytes >> 10)} of memory are not enough to boot: no room for an initrd of {spec.Initrd}");
        }

        log.Add($"RAMDISK: [mem 0x{loaded:x8}-0x{loaded + length - 1:x8}]");
        if (loaded + length <= memblock.CurrentLimit)
        {
            Reserve("initrd", loaded, length);
            Initrd = (loaded, length);
            return;
        }

        ulong moved = Allocate("initrd", length, Page)!.Value;
        Initrd = (moved, length);
        log.Add($"Allocated new RAMDISK: [mem 0x{moved:x8}-0x{moved + spec.Initrd.Bytes - 1:x8}]");
        log.Add($"Move RAMDISK from [mem 0x{loaded:x8}-0x{loaded + spec.Initrd.Bytes - 1:x8}] to [mem 0x{moved:x8}-0x{moved + spec.Initrd.Bytes - 1:x8}]");
    }

    // QEMU's arm64 boot loader: the RAM disk 128 MiB (at most half of memory) into memory, the device tree behind it.
    private void ReserveArm64Blobs()
    {
        MemblockRegion first = memblock.Memory[0];
        ulong start = first.Start + Math.Min(first.Length / 2, 128 << 20);
        if (spec.Initrd.Bytes > 0)
        {
            ulong length = (spec.Initrd.Bytes + Page - 1) & ~(Page - 1);
            Reserve("initrd", start, length);
            Initrd = (start, length);
            start += (length + HugePage - 1) & ~(HugePage - 1);
        }

        Reserve("device tree", start, 1 << 20);
    }

    private void AllocateFlatMap(int node)
    {
        const long MaxOrderPages = 1L << PageGeometry.MaxOrder;
        List<(long Start, long End, int Node)> ranges = [.. memblock.PageRanges().Where(range => range.Node == node)];
        if (ranges.Count > 0)
        {
            long pages = ((ranges[^1].End + MaxOrderPages - 1) & ~(MaxOrderPages - 1)) - (ranges[0].Start & ~(MaxOrderPages - 1));
            Allocate("memory map", (ulong)pages * (ulong)kernel.StructPageBytes, 64, node: node);
        }
    }

    private void Reserve(string what, ulong start, ulong length)
    {
        memblock.Reserve(start, length);
        Done.Add(new EarlyAllocation(what, start, length, Memblock.AnyNode));
    }

    private void AllocateIfAny(string what, int pages) => _ = pages > 0 ? Allocate(what, (ulong)pages * Page, Page) : null;

    private ulong? Allocate(string what, ulong length, ulong align, ulong min = 0, int node = Memblock.AnyNode, ulong max = 0)
    {
        ulong start = memblock.Allocate(length, align, min, max, node)
            ?? throw new ArgumentException($"{ByteSize.FromKiB(memblock.MemoryBytes >> 10)} of memory are not enough to boot: no room for {what} ({ByteSize.FromKiB(length >> 10)})");
        Done.Add(new EarlyAllocation(what, start, length, node));
        return start;
    }
}
