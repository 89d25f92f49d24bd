using System.Globalization;

namespace MemSim;

/// <summary>What firmware says about a range of physical addresses; the numbers are those of the e820 table.</summary>
public enum MemoryRangeKind
{
    /// <summary>Memory the kernel may use.</summary>
    Usable = 1,

    /// <summary>Firmware, devices: not to be touched.</summary>
    Reserved = 2,

    /// <summary>ACPI tables that could be reclaimed after they were read.</summary>
    AcpiData = 3,

    /// <summary>ACPI non-volatile storage.</summary>
    AcpiNvs = 4,

    /// <summary>Memory in which errors were found.</summary>
    Unusable = 5,

    /// <summary>Persistent memory.</summary>
    Persistent = 7,

    /// <summary>Memory declared persistent on the command line (<c>memmap=nn!ss</c>).</summary>
    PersistentByCommandLine = 12,
}

/// <summary>A range of physical addresses of one kind.</summary>
/// <param name="Start">Address of the first byte.</param>
/// <param name="Length">Length in bytes, more than 0.</param>
/// <param name="Kind">What the range is.</param>
public readonly record struct MemoryRange(ulong Start, ulong Length, MemoryRangeKind Kind)
{
    /// <summary>Address of the byte after the last; the range must not reach beyond 2^64 - 1.</summary>
    public ulong End => Start + Length;

    /// <summary>The range as dmesg prints it: <c>[mem 0x0000000000000000-0x000000000009fbff] usable</c>.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"[mem 0x{Start:x16}-0x{End - 1:x16}] {(Enum.IsDefined(Kind) ? MemoryMap.KernelName(Kind) : $"type {(int)Kind}")}");
}

/// <summary>The map of physical memory that firmware hands to the kernel: sorted ranges without overlap; what no range covers is a hole.</summary>
/// <remarks>Immutable; counterpart: the e820 table of x86, the memory nodes of a device tree on arm64.</remarks>
public sealed class MemoryMap
{
    private readonly MemoryRange[] ranges;

    private MemoryMap(MemoryRange[] ranges) => this.ranges = ranges;

    /// <summary>The ranges, lowest address first, adjacent ones of one kind merged.</summary>
    public IReadOnlyList<MemoryRange> Ranges => ranges;

    /// <summary>Bytes of usable memory.</summary>
    public ulong UsableBytes
    {
        get
        {
            ulong sum = 0;
            foreach (MemoryRange range in ranges)
            {
                sum += range.Kind == MemoryRangeKind.Usable ? range.Length : 0;
            }

            return sum;
        }
    }

    /// <summary>A map of the given ranges; where several overlap, the kind with the highest number wins, as in the kernel's e820 code.</summary>
    /// <param name="ranges">The ranges in any order.</param>
    /// <exception cref="ArgumentException">There is no range, a range is empty or reaches beyond the address space, or none is usable.</exception>
    public static MemoryMap Of(params IEnumerable<MemoryRange> ranges)
    {
        ArgumentNullException.ThrowIfNull(ranges);
        MemoryMap map = Resolve([.. ranges]);
        return map.UsableBytes == 0 ? throw new ArgumentException("the memory map has no usable range", nameof(ranges)) : map;
    }

    /// <summary>Starts an empty map to which ranges are added one by one.</summary>
    public static MemoryMapBuilder Build() => new();

    /// <summary>The map of QEMU's PC (i440FX): 640 KiB hole, RAM below 3 GiB or 3.5 GiB with its last 128 KiB reserved for ACPI tables, the rest from 4 GiB on.</summary>
    /// <param name="memory">RAM of the machine, at least 2 MiB, whole pages.</param>
    /// <param name="hyperTransportHole">Whether the range below 1 TiB that AMD CPUs reserve is there (QEMU: for CPUs with 40 or more address bits).</param>
    /// <remarks>From 3.5 GiB of RAM on, the split is at 3 GiB. RAM that would run into the hole below 1 TiB starts at 1 TiB instead of 4 GiB.</remarks>
    public static MemoryMap Pc(ByteSize memory, bool hyperTransportHole = true)
    {
        const ulong FourGiB = 1UL << 32, TopOfLow = 0xe000_0000, AlignedTopOfLow = 0xc000_0000, AcpiBytes = 128 << 10;
        const ulong HoleStart = 0xfd_0000_0000, HoleEnd = 0x100_0000_0000;
        if (memory.Bytes < 2 << 20 || memory.Bytes % PageGeometry.PageSize != 0)
        {
            throw new ArgumentOutOfRangeException(nameof(memory), $"a PC with {memory} of memory: at least 2M and whole pages of 4K are needed");
        }

        ulong below = memory.Bytes < TopOfLow ? memory.Bytes : AlignedTopOfLow;
        ulong above = memory.Bytes - below;
        MemoryMapBuilder map = Build()
            .Usable(0, 0x9fc00)
            .Add(0x9fc00, 0x400, MemoryRangeKind.Reserved)
            .Add(0xf0000, 0x10000, MemoryRangeKind.Reserved)
            .Usable(0x100000, below - 0x100000 - AcpiBytes)
            .Add(below - AcpiBytes, AcpiBytes, MemoryRangeKind.Reserved)
            .Add(0xfffc_0000, 0x4_0000, MemoryRangeKind.Reserved);
        if (above > 0)
        {
            map.Usable(hyperTransportHole && FourGiB + above > HoleStart ? HoleEnd : FourGiB, above);
        }

        return hyperTransportHole ? map.Add(HoleStart, HoleEnd - HoleStart, MemoryRangeKind.Reserved).ToMap() : map.ToMap();
    }

    /// <summary>The map of QEMU's arm64 <c>virt</c> machine: all RAM in one range from 1 GiB on.</summary>
    /// <param name="memory">RAM of the machine, whole pages.</param>
    public static MemoryMap Virt(ByteSize memory) => Build().Usable(0x4000_0000, memory.Bytes).ToMap();

    /// <summary>The preset map of an architecture: <see cref="Pc"/> or <see cref="Virt"/>.</summary>
    /// <param name="architecture">The architecture.</param>
    /// <param name="memory">RAM of the machine.</param>
    public static MemoryMap Preset(Architecture architecture, ByteSize memory) => architecture switch
    {
        Architecture.X86_64 or Architecture.X86_32Pae => Pc(memory),
        Architecture.X86_32 => Pc(memory, hyperTransportHole: false),
        Architecture.Arm64 => Virt(memory),
        _ => throw new ArgumentOutOfRangeException(nameof(architecture)),
    };

    /// <summary>The map with a range added; where it overlaps others, the kind with the highest number wins.</summary>
    /// <param name="start">Address of the first byte.</param>
    /// <param name="length">Length in bytes.</param>
    /// <param name="kind">What the range is.</param>
    public MemoryMap With(ulong start, ulong length, MemoryRangeKind kind) => Resolve([.. ranges, new MemoryRange(start, length, kind)]);

    /// <summary>The map with the usable parts of a range taken out, leaving holes.</summary>
    /// <param name="start">Address of the first byte.</param>
    /// <param name="length">Length in bytes; a range that would wrap ends at the end of the address space.</param>
    public MemoryMap WithoutUsable(ulong start, ulong length) => Resolve(Cut(start, EndOf(start, length), MemoryRangeKind.Usable));

    /// <summary>The map with the usable parts of a range changed to another kind.</summary>
    /// <param name="start">Address of the first byte.</param>
    /// <param name="length">Length in bytes.</param>
    /// <param name="kind">What the usable parts become.</param>
    public MemoryMap WithUsableAs(ulong start, ulong length, MemoryRangeKind kind)
    {
        ulong end = EndOf(start, length);
        List<MemoryRange> changed = Cut(start, end, MemoryRangeKind.Usable);
        foreach (MemoryRange range in ranges)
        {
            ulong from = Math.Max(range.Start, start), to = Math.Min(range.End, end);
            if (range.Kind == MemoryRangeKind.Usable && from < to)
            {
                changed.Add(new MemoryRange(from, to - from, kind));
            }
        }

        return Resolve(changed);
    }

    /// <summary>The kernel's word for a kind, as in the <c>BIOS-e820:</c> lines.</summary>
    internal static string KernelName(MemoryRangeKind kind) => kind switch
    {
        MemoryRangeKind.Usable => "usable",
        MemoryRangeKind.Reserved => "reserved",
        MemoryRangeKind.AcpiData => "ACPI data",
        MemoryRangeKind.AcpiNvs => "ACPI NVS",
        MemoryRangeKind.Unusable => "unusable",
        MemoryRangeKind.Persistent or MemoryRangeKind.PersistentByCommandLine => $"persistent (type {(int)kind})",
        _ => throw new ArgumentOutOfRangeException(nameof(kind)),
    };

    /// <summary>The kind with a kernel name (<see cref="KernelName"/>).</summary>
    /// <param name="name">The name, e.g. <c>ACPI NVS</c>.</param>
    /// <param name="kind">The kind, when there is one of that name.</param>
    public static bool TryParseKind(string name, out MemoryRangeKind kind)
    {
        foreach (MemoryRangeKind candidate in Enum.GetValues<MemoryRangeKind>())
        {
            if (KernelName(candidate) == name)
            {
                kind = candidate;
                return true;
            }
        }

        kind = default;
        return false;
    }

    /// <summary>The ranges as dmesg prints them, one a line.</summary>
    public override string ToString() => string.Join('\n', ranges);

    // A map of which editing may leave nothing usable; the caller of the edit decides whether that is an error.
    private static MemoryMap Resolve(List<MemoryRange> input)
    {
        if (input.Count == 0)
        {
            throw new ArgumentException("the memory map is empty");
        }

        SortedSet<ulong> edges = [];
        foreach (MemoryRange range in input)
        {
            if (range.Length == 0)
            {
                throw new ArgumentException($"memory map: the range at 0x{range.Start:x} is empty");
            }

            if (range.Start + range.Length < range.Start)
            {
                throw new ArgumentException($"memory map: the range at 0x{range.Start:x} of 0x{range.Length:x} bytes reaches beyond the address space");
            }

            if (!Enum.IsDefined(range.Kind))
            {
                throw new ArgumentException($"memory map: the range at 0x{range.Start:x} has the unknown kind {(int)range.Kind}");
            }

            edges.Add(range.Start);
            edges.Add(range.End);
        }

        List<MemoryRange> resolved = [];
        ulong previous = 0;
        foreach (ulong edge in edges)
        {
            MemoryRangeKind? winner = null;
            foreach (MemoryRange range in input)
            {
                winner = range.Start <= previous && edge <= range.End && range.Kind > (winner ?? default) ? range.Kind : winner;
            }

            if (winner is { } kind && edge > previous)
            {
                Append(resolved, new MemoryRange(previous, edge - previous, kind));
            }

            previous = edge;
        }

        return new MemoryMap([.. resolved]);
    }

    private static void Append(List<MemoryRange> sorted, MemoryRange range)
    {
        if (sorted.Count > 0 && sorted[^1].Kind == range.Kind && sorted[^1].End == range.Start)
        {
            sorted[^1] = sorted[^1] with { Length = sorted[^1].Length + range.Length };
        }
        else
        {
            sorted.Add(range);
        }
    }

    private static ulong EndOf(ulong start, ulong length) => start + length < start ? ulong.MaxValue : start + length;

    // The ranges without [start, end), only those of one kind being cut when a kind is given.
    private List<MemoryRange> Cut(ulong start, ulong end, MemoryRangeKind? kind)
    {
        List<MemoryRange> kept = [];
        foreach (MemoryRange range in ranges)
        {
            if ((kind is not null && range.Kind != kind) || range.End <= start || range.Start >= end)
            {
                kept.Add(range);
                continue;
            }

            if (range.Start < start)
            {
                kept.Add(range with { Length = start - range.Start });
            }

            if (range.End > end)
            {
                kept.Add(new MemoryRange(end, range.End - end, range.Kind));
            }
        }

        return kept;
    }
}

/// <summary>Collects the ranges of a <see cref="MemoryMap"/>.</summary>
public sealed class MemoryMapBuilder
{
    private readonly List<MemoryRange> ranges = [];

    internal MemoryMapBuilder()
    {
    }

    /// <summary>Adds a range.</summary>
    /// <param name="start">Address of the first byte.</param>
    /// <param name="length">Length in bytes.</param>
    /// <param name="kind">What the range is.</param>
    public MemoryMapBuilder Add(ulong start, ulong length, MemoryRangeKind kind)
    {
        ranges.Add(new MemoryRange(start, length, kind));
        return this;
    }

    /// <summary>Adds usable memory.</summary>
    /// <param name="start">Address of the first byte.</param>
    /// <param name="length">Length in bytes.</param>
    public MemoryMapBuilder Usable(ulong start, ulong length) => Add(start, length, MemoryRangeKind.Usable);

    /// <summary>The finished map.</summary>
    /// <exception cref="ArgumentException">As for <see cref="MemoryMap.Of"/>.</exception>
    public MemoryMap ToMap() => MemoryMap.Of(ranges);
}
