using System.Diagnostics;
using System.Globalization;
using System.Text;

namespace MemSim.PageAllocation;

/// <summary>Properties of a <see cref="MemblockRegion"/>; the numbers are the kernel's.</summary>
[Flags]
public enum MemblockFlags
{
    /// <summary>Ordinary memory.</summary>
    None = 0,

    /// <summary>Memory that may be taken away while the machine runs.</summary>
    Hotplug = 1,

    /// <summary>Memory that firmware mirrors.</summary>
    Mirror = 2,

    /// <summary>Memory that the direct map leaves out, and that is never handed out.</summary>
    NoMap = 4,
}

/// <summary>A range of physical addresses as the early allocator knows it.</summary>
/// <param name="Start">Address of the first byte.</param>
/// <param name="Length">Length in bytes.</param>
/// <param name="Node">The node it belongs to, or <see cref="Memblock.AnyNode"/>.</param>
/// <param name="Flags">Its properties.</param>
public readonly record struct MemblockRegion(ulong Start, ulong Length, int Node, MemblockFlags Flags)
{
    /// <summary>Address of the byte after the last.</summary>
    public ulong End => Start + Length;
}

/// <summary>The allocator that serves the kernel while it boots: what memory there is, and which of it is in use. Everything in bytes.</summary>
/// <remarks>
/// Counterpart: <c>mm/memblock.c</c>. Two sorted arrays without overlap, neighbours of one node with the same flags merged. Free is what <see cref="Memory"/> has
/// and <see cref="Reserved"/> has not; ranges reserved outside of memory are allowed and without effect.
/// </remarks>
public sealed class Memblock
{
    /// <summary>Stands for all nodes in questions, for "not known" in a region.</summary>
    public const int AnyNode = -1;

    private readonly List<MemblockRegion> memory = [];
    private readonly List<MemblockRegion> reserved = [];

    /// <summary>All memory, lowest address first.</summary>
    public IReadOnlyList<MemblockRegion> Memory => memory;

    /// <summary>All memory in use, lowest address first.</summary>
    public IReadOnlyList<MemblockRegion> Reserved => reserved;

    /// <summary>Allocations without a limit of their own end below this address (the end of the direct map on 32-bit machines).</summary>
    public ulong CurrentLimit { get; set; } = ulong.MaxValue;

    /// <summary>Whether allocations take the lowest address that fits instead of the highest.</summary>
    public bool BottomUp { get; set; }

    /// <summary>Bytes of memory.</summary>
    public ulong MemoryBytes => Sum(memory);

    /// <summary>Bytes reserved, those outside of memory included.</summary>
    public ulong ReservedBytes => Sum(reserved);

    /// <summary>Adds memory; parts that are there already keep their node and flags.</summary>
    /// <param name="start">Address of the first byte.</param>
    /// <param name="length">Length in bytes; 0 does nothing.</param>
    /// <param name="node">The node it belongs to.</param>
    /// <param name="flags">Its properties.</param>
    public void Add(ulong start, ulong length, int node = AnyNode, MemblockFlags flags = MemblockFlags.None) => Insert(memory, start, length, node, flags);

    /// <summary>Takes memory out.</summary>
    /// <param name="start">Address of the first byte.</param>
    /// <param name="length">Length in bytes.</param>
    public void Remove(ulong start, ulong length) => Delete(memory, start, length);

    /// <summary>Marks a range as used; parts that are marked already stay so.</summary>
    /// <param name="start">Address of the first byte.</param>
    /// <param name="length">Length in bytes.</param>
    public void Reserve(ulong start, ulong length) => Insert(reserved, start, length, AnyNode, MemblockFlags.None);

    /// <summary>Marks a range as not used, whatever part of it was.</summary>
    /// <param name="start">Address of the first byte.</param>
    /// <param name="length">Length in bytes.</param>
    public void Free(ulong start, ulong length) => Delete(reserved, start, length);

    /// <summary>Gives the memory in a range to a node.</summary>
    /// <param name="start">Address of the first byte.</param>
    /// <param name="length">Length in bytes.</param>
    /// <param name="node">The node.</param>
    public void SetNode(ulong start, ulong length, int node)
    {
        ulong end = Check(start, length);
        List<MemblockRegion> changed = [];
        foreach (MemblockRegion region in memory)
        {
            ulong from = Math.Clamp(start, region.Start, region.End), to = Math.Clamp(end, region.Start, region.End);
            AppendMerged(changed, region with { Length = from - region.Start });
            AppendMerged(changed, region with { Start = from, Length = to - from, Node = node });
            AppendMerged(changed, region with { Start = to, Length = region.End - to });
        }

        memory.Clear();
        memory.AddRange(changed);
    }

    /// <summary>Cuts each range of memory to whole pages and drops what is left of less than one.</summary>
    internal void TrimToPages()
    {
        const ulong Mask = PageGeometry.PageSize - 1;
        for (int i = memory.Count - 1; i >= 0; i--)
        {
            ulong start = (memory[i].Start + Mask) & ~Mask, end = memory[i].End & ~Mask;
            if (start < end)
            {
                memory[i] = memory[i] with { Start = start, Length = end - start };
            }
            else
            {
                memory.RemoveAt(i);
            }
        }
    }

    /// <summary>Finds free memory and reserves it.</summary>
    /// <param name="length">Length in bytes, more than 0.</param>
    /// <param name="align">A power of two that the address is a multiple of.</param>
    /// <param name="min">The lowest address wanted; page 0 is never handed out.</param>
    /// <param name="max">The address the range has to end at; 0 for <see cref="CurrentLimit"/>.</param>
    /// <param name="node">The node wanted; another is taken when it has nothing, unless <paramref name="exactNode"/>.</param>
    /// <param name="exactNode">Whether no other node will do.</param>
    /// <returns>The address, or null when nothing fits. As in the kernel, <paramref name="min"/> is given up before failing unless <paramref name="exactNode"/>.</returns>
    public ulong? Allocate(ulong length, ulong align, ulong min = 0, ulong max = 0, int node = AnyNode, bool exactNode = false)
    {
        ulong limit = max == 0 ? CurrentLimit : max;
        ulong? found = Find(length, align, min, limit, node);
        if (found is null && !exactNode)
        {
            found = (node == AnyNode ? null : Find(length, align, min, limit, AnyNode)) ?? (min == 0 ? null : Find(length, align, 0, limit, AnyNode));
        }

        if (found is { } address)
        {
            Reserve(address, length);
        }

        return found;
    }

    /// <summary>Finds free memory without reserving it.</summary>
    /// <param name="length">Length in bytes, more than 0.</param>
    /// <param name="align">A power of two that the address is a multiple of.</param>
    /// <param name="min">The lowest address wanted.</param>
    /// <param name="max">The address the range has to end at.</param>
    /// <param name="node">The node wanted, or <see cref="AnyNode"/>.</param>
    /// <returns>The address, or null when nothing fits.</returns>
    internal ulong? Find(ulong length, ulong align, ulong min, ulong max, int node = AnyNode)
    {
        ArgumentOutOfRangeException.ThrowIfZero(length);
        if (align == 0 || (align & (align - 1)) != 0)
        {
            throw new ArgumentOutOfRangeException(nameof(align), $"alignment {align} is not a power of two");
        }

        ulong? best = null;
        min = Math.Max(min, PageGeometry.PageSize);
        foreach ((ulong freeStart, ulong freeEnd) in FreeRanges(node))
        {
            ulong start = Math.Max(freeStart, min), end = Math.Min(freeEnd, max);
            if (end <= start || end - start < length)
            {
                continue;
            }

            ulong address = BottomUp ? (start + align - 1) & ~(align - 1) : (end - length) & ~(align - 1);
            if (address >= start && address <= end - length)
            {
                best = address;
                if (BottomUp)
                {
                    break;
                }
            }
        }

        return best;
    }

    /// <summary>As <see cref="Find"/>, lowest address first whatever <see cref="BottomUp"/> says.</summary>
    internal ulong? FindUpwards(ulong length, ulong align, ulong min, ulong max)
    {
        bool before = BottomUp;
        BottomUp = true;
        ulong? start = Find(length, align, min, max);
        BottomUp = before;
        return start;
    }

    /// <summary>The free ranges as (start, end) in bytes, lowest address first; memory of different nodes is not joined.</summary>
    /// <param name="node">The node wanted, or <see cref="AnyNode"/>.</param>
    public IEnumerable<(ulong Start, ulong End)> FreeRanges(int node = AnyNode)
    {
        int next = 0;
        foreach (MemblockRegion region in memory)
        {
            if ((node != AnyNode && region.Node != node) || region.Flags.HasFlag(MemblockFlags.NoMap))
            {
                continue;
            }

            ulong from = region.Start;
            while (next > 0 && reserved[next - 1].End > region.Start)
            {
                next--;
            }

            for (; next < reserved.Count && reserved[next].Start < region.End; next++)
            {
                if (reserved[next].End <= region.Start)
                {
                    continue;
                }

                if (reserved[next].Start > from)
                {
                    yield return (from, reserved[next].Start);
                }

                from = reserved[next].End;
            }

            if (from < region.End)
            {
                yield return (from, region.End);
            }
        }
    }

    /// <summary>Whole pages of memory in a range of frames.</summary>
    /// <param name="start">The first frame.</param>
    /// <param name="end">The frame after the last.</param>
    /// <param name="node">The node wanted, or <see cref="AnyNode"/>.</param>
    public long PresentPages(Pfn start, Pfn end, int node = AnyNode)
    {
        long pages = 0;
        foreach ((long from, long to, int owner) in PageRanges())
        {
            if (node == AnyNode || owner == node)
            {
                pages += Math.Max(0, Math.Min(to, end.Value) - Math.Max(from, start.Value));
            }
        }

        return pages;
    }

    /// <summary>A deep copy.</summary>
    internal Memblock Clone()
    {
        Memblock copy = new() { CurrentLimit = CurrentLimit, BottomUp = BottomUp };
        copy.memory.AddRange(memory);
        copy.reserved.AddRange(reserved);
        return copy;
    }

    /// <summary>Both arrays as <c>memblock=debug</c> prints them.</summary>
    /// <param name="addressDigits">Hexadecimal digits of an address: 16, or 8 on 32-bit machines without PAE.</param>
    public string Dump(int addressDigits = 16)
    {
        StringBuilder text = new();
        text.Append("MEMBLOCK configuration:\n");
        text.Append(CultureInfo.InvariantCulture, $" memory size = {Hex(MemoryBytes)} reserved size = {Hex(ReservedBytes)}\n");
        Print("memory", memory);
        Print("reserved", reserved);
        return text.ToString();

        string Hex(ulong value) => "0x" + value.ToString("x" + addressDigits, CultureInfo.InvariantCulture);

        void Print(string name, List<MemblockRegion> regions)
        {
            text.Append(CultureInfo.InvariantCulture, $" {name}.cnt  = 0x{regions.Count:x}\n");
            for (int i = 0; i < regions.Count; i++)
            {
                MemblockRegion region = regions[i];
                string onNode = region.Node == AnyNode ? "" : $" on node {region.Node}";
                text.Append(CultureInfo.InvariantCulture, $" {name}[0x{i:x}]\t[{Hex(region.Start)}-{Hex(region.End - 1)}], {Hex(region.Length)} bytes{onNode} flags: 0x{(int)region.Flags:x}\n");
            }
        }
    }

    /// <summary>Checks that both arrays are sorted, without overlap and merged.</summary>
    /// <exception cref="InvalidOperationException">They are not; the message names the first region that is wrong.</exception>
    public void Verify()
    {
        Verify("memory", memory);
        Verify("reserved", reserved);
    }

    // Memory as (first frame, frame after the last, node), ranges of less than a page left out.
    internal IEnumerable<(long Start, long End, int Node)> PageRanges()
    {
        foreach (MemblockRegion region in memory)
        {
            long start = (long)((region.Start + PageGeometry.PageSize - 1) >> PageGeometry.PageShift), end = (long)(region.End >> PageGeometry.PageShift);
            if (start < end)
            {
                yield return (start, end, region.Node);
            }
        }
    }

    private static ulong Sum(List<MemblockRegion> regions)
    {
        ulong sum = 0;
        foreach (MemblockRegion region in regions)
        {
            sum += region.Length;
        }

        return sum;
    }

    private static ulong Check(ulong start, ulong length) => start + length >= start
        ? start + length
        : throw new ArgumentOutOfRangeException(nameof(length), $"the range at 0x{start:x} of 0x{length:x} bytes reaches beyond the address space");

    private static void Insert(List<MemblockRegion> regions, ulong start, ulong length, int node, MemblockFlags flags)
    {
        ulong end = Check(start, length);
        if (length == 0)
        {
            return;
        }

        // Only the regions that touch the new range are rebuilt, so that the many small reservations of a boot stay cheap.
        int first = FirstEndingAtOrAfter(regions, start), last = first;
        List<MemblockRegion> merged = [];
        for (; last < regions.Count && regions[last].Start <= end; last++)
        {
            MemblockRegion region = regions[last];
            if (region.Start > start)
            {
                AppendMerged(merged, new MemblockRegion(start, region.Start - start, node, flags));
            }

            AppendMerged(merged, region);
            start = Math.Max(start, region.End);
        }

        if (start < end)
        {
            AppendMerged(merged, new MemblockRegion(start, end - start, node, flags));
        }

        regions.RemoveRange(first, last - first);
        regions.InsertRange(first, merged);
        Debug.Assert(first == 0 || regions[first - 1].End < regions[first].Start || !Mergeable(regions[first - 1], regions[first]), "neighbours are merged");
    }

    private static void Delete(List<MemblockRegion> regions, ulong start, ulong length)
    {
        ulong end = Check(start, length);
        if (length == 0)
        {
            return;
        }

        int first = FirstEndingAtOrAfter(regions, start), last = first;
        List<MemblockRegion> kept = [];
        for (; last < regions.Count && regions[last].Start < end; last++)
        {
            MemblockRegion region = regions[last];
            if (region.Start < start)
            {
                kept.Add(region with { Length = Math.Min(region.End, start) - region.Start });
            }

            if (region.End > end)
            {
                kept.Add(region with { Start = end, Length = region.End - end });
            }
        }

        regions.RemoveRange(first, last - first);
        regions.InsertRange(first, kept);
    }

    private static int FirstEndingAtOrAfter(List<MemblockRegion> regions, ulong address)
    {
        int low = 0, high = regions.Count;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (regions[middle].End < address)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low;
    }

    private static bool Mergeable(MemblockRegion left, MemblockRegion right) => left.End == right.Start && left.Node == right.Node && left.Flags == right.Flags;

    private static void AppendMerged(List<MemblockRegion> sorted, MemblockRegion region)
    {
        if (region.Length == 0)
        {
            return;
        }

        if (sorted.Count > 0 && Mergeable(sorted[^1], region))
        {
            sorted[^1] = sorted[^1] with { Length = sorted[^1].Length + region.Length };
        }
        else
        {
            sorted.Add(region);
        }
    }

    private static void Verify(string name, List<MemblockRegion> regions)
    {
        for (int i = 0; i < regions.Count; i++)
        {
            if (regions[i].Length == 0)
            {
                throw new InvalidOperationException($"memblock: {name}[{i}] is empty");
            }

            if (i > 0 && (regions[i].Start < regions[i - 1].End || Mergeable(regions[i - 1], regions[i])))
            {
                throw new InvalidOperationException($"memblock: {name}[{i}] at 0x{regions[i].Start:x} overlaps its predecessor or should be merged with it");
            }
        }
    }
}
