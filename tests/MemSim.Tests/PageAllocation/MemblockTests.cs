using FluentAssertions;
using FsCheck;
using FsCheck.Fluent;
using MemSim.PageAllocation;
using Xunit;

namespace MemSim.Tests.PageAllocation;

public class MemblockTests
{
    private const int Units = 64;
    private const ulong Unit = 0x1000;

    private enum Kind
    {
        Add,
        Remove,
        Reserve,
        Free,
        SetNode,
        Allocate,
        AllocateBottomUp,
    }

    [Fact]
    public void Random_operations_agree_with_a_bitmap()
    {
        var operation =
            from kind in Gen.Elements(Enum.GetValues<Kind>())
            from start in Gen.Choose(0, Units - 1)
            from length in Gen.Choose(0, 12)
            from node in Gen.Choose(0, 1)
            select (Kind: kind, Start: start, Length: Math.Min(length, Units - start), Node: node);
        Prop.ForAll(Arb.From(operation.ArrayOf(60)), AgreesWithBitmap).Check(Config.QuickThrowOnFailure.WithMaxTest(400).WithReplay(2026, 1));
    }

    [Fact]
    public void Ranges_are_cut_to_whole_pages_and_those_without_one_vanish_the_first_too()
    {
        Memblock memblock = new();
        memblock.Add(0x1400, 0x800);
        memblock.Add(0x4400, 0x2000);
        memblock.Add(0x8400, 0x800);
        memblock.TrimToPages();
        memblock.Memory.Select(r => (r.Start, r.End)).Should().Equal((0x5000, 0x6000));
    }

    [Fact]
    public void Allocation_takes_the_highest_aligned_address_below_the_limit()
    {
        Memblock memblock = new();
        memblock.Add(0, 0x10_0000);
        memblock.Reserve(0xf_0000, 0x1000);

        memblock.Allocate(0x2000, 0x4000).Should().Be(0xf_c000);
        memblock.Allocate(0x2000, 0x1000, max: 0xf_1000).Should().Be(0xe_e000);
        memblock.BottomUp = true;
        memblock.Allocate(0x1000, 0x1000).Should().Be(0x1000, "page 0 is never handed out");
    }

    [Fact]
    public void Allocation_prefers_its_node_and_falls_back_to_others()
    {
        Memblock memblock = new();
        memblock.Add(0x10000, 0x10000, node: 0);
        memblock.Add(0x20000, 0x10000, node: 1);

        memblock.Allocate(0x8000, 0x1000, node: 0).Should().Be(0x18000);
        memblock.Allocate(0x10000, 0x1000, node: 0, exactNode: true).Should().BeNull();
        memblock.Allocate(0x10000, 0x1000, node: 0).Should().Be(0x20000);
    }

    [Fact]
    public void Dump_reads_like_the_kernels()
    {
        Memblock memblock = new();
        memblock.Add(0x1000, 0x9e000, node: 0);
        memblock.Add(0x100000, 0x3fee0000);
        memblock.Reserve(0, 0x10000);

        memblock.Dump(8).Should().Be(
            "MEMBLOCK configuration:\n memory size = 0x3ff7e000 reserved size = 0x00010000\n memory.cnt  = 0x2\n"
            + " memory[0x0]\t[0x00001000-0x0009efff], 0x0009e000 bytes on node 0 flags: 0x0\n memory[0x1]\t[0x00100000-0x3ffdffff], 0x3fee0000 bytes flags: 0x0\n"
            + " reserved.cnt  = 0x1\n reserved[0x0]\t[0x00000000-0x0000ffff], 0x00010000 bytes flags: 0x0\n");
    }

    [Fact]
    public void A_range_beyond_the_address_space_is_refused()
    {
        Action add = () => new Memblock().Add(ulong.MaxValue - 10, 20);
        add.Should().Throw<ArgumentOutOfRangeException>().WithMessage("*0xfffffffffffffff5*address space*");
    }

    private static bool AgreesWithBitmap((Kind Kind, int Start, int Length, int Node)[] operations)
    {
        Memblock memblock = new();
        int?[] memory = new int?[Units];
        bool[] reserved = new bool[Units];
        foreach ((Kind kind, int start, int pages, int node) in operations)
        {
            int length = pages;
            (ulong from, ulong bytes) = ((ulong)start * Unit, (ulong)length * Unit);
            switch (kind)
            {
                case Kind.Add:
                    memblock.Add(from, bytes, node);
                    ForEach(start, length, i => memory[i] ??= node);
                    break;
                case Kind.Remove:
                    memblock.Remove(from, bytes);
                    ForEach(start, length, i => memory[i] = null);
                    break;
                case Kind.Reserve:
                    memblock.Reserve(from, bytes);
                    ForEach(start, length, i => reserved[i] = true);
                    break;
                case Kind.Free:
                    memblock.Free(from, bytes);
                    ForEach(start, length, i => reserved[i] = false);
                    break;
                case Kind.SetNode:
                    memblock.SetNode(from, bytes, node);
                    ForEach(start, length, i => memory[i] = memory[i] is null ? null : node);
                    break;
                default:
                    length = Math.Max(1, length);
                    bytes = (ulong)length * Unit;
                    memblock.BottomUp = kind == Kind.AllocateBottomUp;
                    ulong align = Unit << (start % 3);
                    ulong? found = memblock.Allocate(bytes, align, node: node, exactNode: true);
                    int? expected = FindNaively(memory, reserved, length, 1 << (start % 3), node, memblock.BottomUp);
                    if (found != (expected is { } at ? (ulong)at * Unit : null))
                    {
                        return false;
                    }

                    ForEach(expected ?? 0, expected is null ? 0 : length, i => reserved[i] = true);
                    break;
            }

            memblock.Verify();
            if (!Same(memblock, memory, reserved))
            {
                return false;
            }
        }

        return true;
    }

    private static bool Same(Memblock memblock, int?[] memory, bool[] reserved)
    {
        bool[] free = new bool[Units];
        foreach ((ulong start, ulong end) in memblock.FreeRanges())
        {
            ForEach((int)(start / Unit), (int)((end - start) / Unit), i => free[i] = true);
        }

        for (int i = 0; i < Units; i++)
        {
            ulong address = (ulong)i * Unit;
            MemblockRegion? region = memblock.Memory.Where(region => region.Start <= address && address < region.End).Select(region => (MemblockRegion?)region).SingleOrDefault();
            if (region?.Node != memory[i] || memblock.Reserved.Any(region => region.Start <= address && address < region.End) != reserved[i] || free[i] != (memory[i] is not null && !reserved[i]))
            {
                return false;
            }
        }

        return memblock.PresentPages(new Pfn(0), new Pfn(Units)) == memory.Count(node => node is not null);
    }

    private static int? FindNaively(int?[] memory, bool[] reserved, int length, int align, int node, bool bottomUp)
    {
        IEnumerable<int> candidates = Enumerable.Range(1, Units - 1).Where(i => i % align == 0 && i + length <= Units);
        foreach (int start in bottomUp ? candidates : candidates.Reverse())
        {
            if (Enumerable.Range(start, length).All(i => memory[i] == node && !reserved[i]))
            {
                return start;
            }
        }

        return null;
    }

    private static void ForEach(int start, int length, Action<int> action)
    {
        for (int i = start; i < start + length; i++)
        {
            action(i);
        }
    }
}
