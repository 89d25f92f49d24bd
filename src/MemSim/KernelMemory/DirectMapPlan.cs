using System.Globalization;

namespace MemSim.KernelMemory;

/// <summary>A range of the direct map as the boot maps it in one go.</summary>
/// <param name="Start">The first physical address.</param>
/// <param name="End">The physical address after the last one.</param>
/// <param name="Size">The largest pages used for it.</param>
public readonly record struct DirectMapStep(ulong Start, ulong End, MappingSize Size)
{
    /// <summary>The step as the kernel's debugging output has it: <c>[mem 0x00100000-0x001fffff] page 4k</c>.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"[mem 0x{Start:x8}-0x{End - 1:x8}] page {Size switch { MappingSize.Page1G => "1G", MappingSize.Page2M => "2M", MappingSize.Page4M => "4M", _ => "4k" }}");
}

/// <summary>In which order and with which pages an x86 kernel maps memory at boot (<c>init_mem_mapping()</c>), and what it counts meanwhile.</summary>
/// <remarks>
/// The first MiB comes first, then steps from the top of memory down, each up to 64 times as large as the one before: tables for a step lie in memory mapped by
/// those before. A page that two steps touch is mapped once and counted twice, which is why DirectMap lines of a machine may add up to more than its memory.
/// </remarks>
internal sealed class DirectMapPlan
{
    private const ulong FirstMiB = 1 << 20;
    private const ulong Gigabyte = 1 << 30;
    private const ulong Small = PageGeometry.PageSize;

    private readonly List<(ulong Start, ulong End)> _memory;
    private readonly List<DirectMapStep> _steps = [];
    private readonly HashSet<ulong> _gigabytes = [];
    private readonly HashSet<ulong> _gigabyteTables = [];
    private readonly HashSet<ulong> _large = [];
    private readonly HashSet<ulong> _tables = [];
    private readonly ulong _largeBytes;
    private readonly bool _is64;
    private readonly bool _usesGigabytes;
    private readonly MappingSize _largeSize;

    private DirectMapPlan(Architecture architecture, List<(ulong Start, ulong End)> memory, bool gigabytePages)
    {
        _memory = memory;
        _is64 = architecture == Architecture.X86_64;
        _largeSize = architecture == Architecture.X86_32 ? MappingSize.Page4M : MappingSize.Page2M;
        _largeBytes = 1UL << (int)_largeSize;
        _usesGigabytes = gigabytePages && _is64;
    }

    /// <summary>The steps, in order.</summary>
    public IReadOnlyList<DirectMapStep> Steps => _steps;

    /// <summary>KiB counted as mapped with 4 KiB pages.</summary>
    public long SmallKiB { get; private set; }

    /// <summary>KiB counted as mapped with 2 or 4 MiB pages.</summary>
    public long LargeKiB { get; private set; }

    /// <summary>KiB counted as mapped with 1 GiB pages.</summary>
    public long GigabyteKiB { get; private set; }

    public long TotalKiB => SmallKiB + LargeKiB + GigabyteKiB;

    /// <summary>Plans the direct map.</summary>
    /// <param name="architecture">An x86 architecture.</param>
    /// <param name="ranges">RAM as the firmware tells, ascending.</param>
    /// <param name="lowEnd">The end of low memory.</param>
    /// <param name="gigabytePages">Whether the CPU has 1 GiB pages.</param>
    public static DirectMapPlan Make(Architecture architecture, IEnumerable<(ulong Start, ulong End)> ranges, ulong lowEnd, bool gigabytePages)
    {
        List<(ulong Start, ulong End)> memory = [];
        foreach ((ulong start, ulong end) in ranges)
        {
            ulong from = (start + Small - 1) & ~(Small - 1);
            ulong to = Math.Min(end, lowEnd) & ~(Small - 1);
            if (from < to)
            {
                memory.Add((from, to));
            }
        }

        DirectMapPlan plan = new(architecture, memory, gigabytePages);
        plan.Run();
        return plan;
    }

    private void Run()
    {
        if (_memory.Count == 0)
        {
            return;
        }

        MapRange(0, FirstMiB);
        ulong end = _memory[^1].End;
        ulong realEnd = TopOfLargeBlock() ?? FirstMiB;
        ulong last = realEnd;
        ulong step = _largeBytes;
        ulong mapped = 0;
        while (last > FirstMiB)
        {
            ulong start = last > step ? Math.Max((last - 1) / step * step, FirstMiB) : FirstMiB;
            mapped += MapMemory(start, last);
            last = start;
            if (mapped >= step && step < 1UL << 50)
            {
                step <<= (int)_largeSize - PageGeometry.PageShift - 3;
            }
        }

        if (realEnd < end)
        {
            _ = MapMemory(realEnd, end);
        }
    }

    /// <summary>The end of the highest large page that lies in memory: the tables of the first step come from there.</summary>
    private ulong? TopOfLargeBlock()
    {
        for (int i = _memory.Count - 1; i >= 0; i--)
        {
            ulong start = Math.Max(_memory[i].Start, FirstMiB);
            ulong end = _memory[i].End & ~(_largeBytes - 1);
            if (end >= _largeBytes && end - _largeBytes >= start)
            {
                return end;
            }
        }

        return null;
    }

    private ulong MapMemory(ulong start, ulong end)
    {
        ulong mapped = 0;
        foreach ((ulong from, ulong to) in _memory)
        {
            ulong first = Math.Max(from, start);
            ulong last = Math.Min(to, end);
            if (first < last)
            {
                MapRange(first, last);
                mapped += last - first;
            }
        }

        return mapped;
    }

    /// <summary>Cuts a range where page sizes change (<c>split_mem_range()</c>) and maps the parts.</summary>
    private void MapRange(ulong start, ulong end)
    {
        List<DirectMapStep> parts = [];
        ulong at = start;
        Cut(at == 0 && _largeSize == MappingSize.Page4M ? _largeBytes : Up(at, _largeBytes), MappingSize.Page4K);
        if (_is64)
        {
            Cut(Math.Min(Up(at, Gigabyte), Down(end, _largeBytes)), MappingSize.Page2M);
            Cut(Down(end, Gigabyte), _usesGigabytes ? MappingSize.Page1G : MappingSize.Page2M);
        }

        Cut(Down(end, _largeBytes), _largeSize);
        Cut(end, MappingSize.Page4K);
        for (int i = 0; i < parts.Count; i++)
        {
            // A part smaller than a page is mapped by the whole page where that is memory too.
            MappingSize size = parts[i].Size;
            size = size == MappingSize.Page4K && IsMemory(Down(parts[i].Start, _largeBytes), Up(parts[i].End, _largeBytes)) ? _largeSize : size;
            size = _usesGigabytes && IsMemory(Down(parts[i].Start, Gigabyte), Up(parts[i].End, Gigabyte)) ? MappingSize.Page1G : size;
            parts[i] = parts[i] with { Size = size };
        }

        for (int i = 0; i < parts.Count;)
        {
            DirectMapStep step = parts[i++];
            while (i < parts.Count && parts[i].Size == step.Size && parts[i].Start == step.End)
            {
                step = step with { End = parts[i++].End };
            }

            _steps.Add(step);
            Count(step);
        }

        void Cut(ulong to, MappingSize size)
        {
            to = Math.Min(to, end);
            if (to > at)
            {
                parts.Add(new DirectMapStep(at, to, size));
                at = to;
            }
        }
    }

    private void Count(DirectMapStep step)
    {
        for (ulong at = step.Start; at < step.End;)
        {
            ulong gigabyte = at / Gigabyte;
            ulong next = _is64 ? Math.Min(step.End, (gigabyte + 1) * Gigabyte) : step.End;
            bool known = _gigabytes.Contains(gigabyte);
            if (step.Size == MappingSize.Page1G && (known || !_gigabyteTables.Contains(gigabyte)))
            {
                _gigabytes.Add(gigabyte);
                GigabyteKiB += (long)(Gigabyte >> 10);
            }
            else
            {
                _gigabyteTables.Add(gigabyte);
                CountLarge(at, next, step.Size != MappingSize.Page4K);
            }

            at = next;
        }
    }

    private void CountLarge(ulong at, ulong end, bool mayBeLarge)
    {
        while (at < end)
        {
            ulong page = at / _largeBytes;
            ulong next = Math.Min(end, (page + 1) * _largeBytes);
            if (mayBeLarge && (_large.Contains(page) || !_tables.Contains(page)))
            {
                _large.Add(page);
                LargeKiB += (long)(_largeBytes >> 10);
            }
            else
            {
                _tables.Add(page);
                SmallKiB += (long)((Up(next, Small) - Down(at, Small)) >> 10);
            }

            at = next;
        }
    }

    private bool IsMemory(ulong start, ulong end) => _memory.Exists(r => r.Start <= start && end <= r.End);

    private static ulong Up(ulong value, ulong unit) => (value + unit - 1) / unit * unit;

    private static ulong Down(ulong value, ulong unit) => value / unit * unit;
}
