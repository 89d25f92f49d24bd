using MemSim.PageAllocation;

namespace MemSim.Boot;

/// <summary>First phase: the firmware's map with the command line applied becomes memblock's memory, and the ends of memory are known.</summary>
internal sealed class FirmwareStage
{
    private const ulong FourGiB = 1UL << 32;

    // 32-bit x86: the end of the vmalloc area, below the persistent and fixed mappings of Debian's kernels.
    private const ulong VmallocEnd = 0xfebf_e000, VmallocEndPae = 0xfeff_e000, DefaultVmalloc = 128 << 20, VmallocGuardOffset = 8 << 20;
    private const long SmallestLowPages = (64 << 20) >> PageGeometry.PageShift;

    private readonly MachineSpec spec;
    private readonly List<string> log;

    public FirmwareStage(MachineSpec spec, List<string> log)
    {
        this.spec = spec;
        this.log = log;
        Map = spec.Memory!;
    }

    /// <summary>The map after the command line's changes.</summary>
    public MemoryMap Map { get; private set; }

    /// <summary>Memory, without anything reserved.</summary>
    public Memblock Memblock { get; } = new();

    /// <summary>The frame after the last that is used (<c>max_pfn</c>).</summary>
    public long MaxPfn { get; private set; }

    /// <summary>The frame after the last that the kernel maps permanently (<c>max_low_pfn</c>).</summary>
    public long MaxLowPfn { get; private set; }

    public void Run()
    {
        if (spec.Architecture == Architecture.Arm64)
        {
            RunArm64();
        }
        else
        {
            RunX86();
        }
    }

    private void RunArm64()
    {
        foreach (MemoryRange range in Map.Ranges)
        {
            if (range.Kind == MemoryRangeKind.Usable)
            {
                Memblock.Add(range.Start, range.Length);
            }
        }

        Memblock.TrimToPages();
        if (spec.CommandLine.MemoryLimit is { } limit)
        {
            log.Add($"Memory limited to {limit.Bytes >> 20}MB");
            KeepFirst(limit.Bytes & ~(ulong)(PageGeometry.PageSize - 1));
        }

        if (Memblock.Memory.Count == 0)
        {
            throw new ArgumentException($"mem={spec.CommandLine.MemoryLimit}: no memory is left");
        }

        MaxPfn = MaxLowPfn = (long)(Memblock.Memory[^1].End >> PageGeometry.PageShift);
    }

    // mem= on arm64 is an amount, not an address.
    private void KeepFirst(ulong bytes)
    {
        foreach (MemblockRegion region in Memblock.Memory.ToList())
        {
            ulong kept = Math.Min(bytes, region.Length);
            Memblock.Remove(region.Start + kept, region.Length - kept);
            bytes -= kept;
        }
    }

    private void RunX86()
    {
        log.Add("BIOS-provided physical RAM map:");
        LogMap("BIOS-e820: ");
        ApplyCommandLine();
        EditMap($"e820: update [mem 0x00000000-0x00000fff] {Name(MemoryRangeKind.Usable)} ==> {Name(MemoryRangeKind.Reserved)}", Map.WithUsableAs(0, PageGeometry.PageSize, MemoryRangeKind.Reserved));
        EditMap($"e820: remove [mem 0x000a0000-0x000fffff] {Name(MemoryRangeKind.Usable)}", Map.WithoutUsable(0xa0000, 0x60000));

        long archLimit = spec.Architecture switch { Architecture.X86_64 => 1L << 34, Architecture.X86_32Pae => 1L << 24, _ => 1L << 20 };
        MaxPfn = EndOfUsable(archLimit);
        log.Add($"last_pfn = 0x{MaxPfn:x} max_arch_pfn = 0x{archLimit:x}");
        if (spec.Architecture == Architecture.X86_64)
        {
            MaxLowPfn = MaxPfn;
            if (MaxPfn > (long)(FourGiB >> PageGeometry.PageShift))
            {
                log.Add($"last_pfn = 0x{EndOfUsable((long)(FourGiB >> PageGeometry.PageShift)):x} max_arch_pfn = 0x{archLimit:x}");
            }
        }
        else
        {
            SplitLowAndHigh();
            Memblock.CurrentLimit = (ulong)MaxLowPfn << PageGeometry.PageShift;
        }

        foreach (MemoryRange range in Map.Ranges)
        {
            // Without PAE a range that ends above 4 GiB cannot even be described.
            if (range.Kind == MemoryRangeKind.Usable && (spec.Architecture != Architecture.X86_32 || range.End < FourGiB))
            {
                Memblock.Add(range.Start, range.Length);
            }
        }

        Memblock.TrimToPages();
        if (Memblock.Memory.Count == 0 || MaxPfn == 0)
        {
            throw new ArgumentException($"command line '{spec.CommandLine}': no usable memory is left");
        }
    }

    private void ApplyCommandLine()
    {
        KernelCommandLine line = spec.CommandLine;
        if (line.MemoryLimit is { } limit)
        {
            RemoveFrom(limit.Bytes);
        }

        if (line.ExactMemoryMap)
        {
            List<MemoryRange> exact = [.. line.MemoryMapChanges.Where(change => change.Kind is not null).Select(change => new MemoryRange(change.Start, change.Size.Bytes, change.Kind!.Value))];
            Map = exact.Exists(range => range.Kind == MemoryRangeKind.Usable) ? MemoryMap.Of(exact) : throw new ArgumentException("memmap=exactmap without any usable memory (memmap=nn@ss)");
        }

        foreach (MemoryMapChange change in line.MemoryMapChanges)
        {
            if (change.Kind is null)
            {
                RemoveFrom(change.Size.Bytes);
            }
            else if (!line.ExactMemoryMap)
            {
                Map = Map.With(change.Start, change.Size.Bytes, change.Kind.Value);
            }
        }

        if (line.MemoryLimit is not null || line.ExactMemoryMap || line.MemoryMapChanges.Count > 0)
        {
            log.Add("user-defined physical RAM map:");
            LogMap("user: ");
        }
    }

    private void RemoveFrom(ulong address) => EditMap($"e820: remove [mem 0x{address:x8}-0xfffffffffffffffe] {Name(MemoryRangeKind.Usable)}", Map.WithoutUsable(address, ulong.MaxValue - address));

    private void LogMap(string prefix)
    {
        if (!spec.Personality.Views.FirmwareMapHasGaps)
        {
            log.AddRange(Map.Ranges.Select(range => prefix + range));
            return;
        }

        ulong end = 0;
        foreach (MemoryRange range in Map.Ranges)
        {
            if (range.Start > end)
            {
                log.Add($"{prefix}[gap 0x{end:x16}-0x{range.Start - 1:x16}]");
            }

            log.Add($"{prefix}[mem 0x{range.Start:x16}-0x{range.End - 1:x16}]  {Name(range.Kind)}");
            end = range.End;
        }
    }

    // Of the newer words those for RAM and for reserved ranges were recorded.
    private string Name(MemoryRangeKind kind) => (spec.Personality.Views.FirmwareMapHasGaps, kind) switch
    {
        (true, MemoryRangeKind.Usable) => "System RAM",
        (true, MemoryRangeKind.Reserved) => "device reserved",
        _ => Enum.IsDefined(kind) ? MemoryMap.KernelName(kind) : $"type {(int)kind}",
    };

    private void EditMap(string line, MemoryMap edited)
    {
        log.Add(line);
        Map = edited;
    }

    private long EndOfUsable(long limitPfn)
    {
        long last = 0;
        foreach (MemoryRange range in Map.Ranges)
        {
            long start = (long)(range.Start >> PageGeometry.PageShift), end = (long)(range.End >> PageGeometry.PageShift);
            if (range.Kind == MemoryRangeKind.Usable && start < limitPfn)
            {
                last = Math.Max(last, Math.Min(end, limitPfn));
            }
        }

        return last;
    }

    private void SplitLowAndHigh()
    {
        ulong reserve = spec.CommandLine.Vmalloc is { } vmalloc ? vmalloc.Bytes + VmallocGuardOffset : DefaultVmalloc;
        ulong room = (spec.Architecture == Architecture.X86_32Pae ? VmallocEndPae : VmallocEnd) - ArchitectureInfo.X86_32.PageOffset;
        if (reserve >= room || (long)((room - reserve) >> PageGeometry.PageShift) < SmallestLowPages)
        {
            throw new ArgumentException($"vmalloc={spec.CommandLine.Vmalloc}: less than 64M of directly mapped memory would be left");
        }

        long maxMapped = (long)((room - reserve) >> PageGeometry.PageShift);
        long? wanted = spec.CommandLine.HighMemory?.Pages;
        if (MaxPfn > maxMapped)
        {
            long available = MaxPfn - maxMapped;
            MaxLowPfn = maxMapped;
            if (wanted > available)
            {
                log.Add($"only {available >> 8}MB highmem pages available, ignoring highmem size of {wanted >> 8}MB!");
            }
            else
            {
                MaxPfn = wanted is { } pages ? maxMapped + pages : MaxPfn;
            }
        }
        else
        {
            MaxLowPfn = MaxPfn;
            if (wanted >= MaxPfn)
            {
                log.Add($"highmem size ({wanted >> 8}MB) is bigger than pages available ({MaxPfn >> 8}MB)!:");
            }
            else if (wanted is { } pages && MaxPfn - pages < SmallestLowPages)
            {
                log.Add($"highmem size ({wanted >> 8}MB) results in <64MB lowmem, ignoring it!");
            }
            else
            {
                MaxLowPfn -= wanted ?? 0;
            }
        }
    }
}
