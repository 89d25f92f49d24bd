using System.Globalization;
using FluentAssertions;
using Xunit;

namespace MemSim.Pages.Tests;

/// <summary>Page tables as the architecture has them: each level, block entries, what is refused. The walk here is written anew, on raw memory.</summary>
public sealed class TableTests
{
    private static readonly Shape Here = Shape.Here;

    [Fact]
    public void Every_level_is_indexed_by_its_own_bits_of_the_address()
    {
        using Machine machine = Shape.Boot();
        Cpu cpu = machine.Cpus[0];
        PageTables tables = machine.Mmu.CreateTables(cpu)!;
        tables.Levels.Should().Be(Here.Levels);
        Random random = new(11);
        Dictionary<ulong, Page> mapped = [];
        List<ulong> addresses = [0, (1UL << Here.AddressBits) - (ulong)Here.PageBytes, 1UL << (Here.AddressBits - 1), (1UL << (Here.AddressBits - 1)) - (ulong)Here.PageBytes];
        for (int level = 0; level < Here.Levels; level++)
        {
            // Neighbours on each level, across each table's end.
            addresses.Add(1UL << Here.Shifts[level]);
            addresses.Add(((ulong)Here.Entries[level] << Here.Shifts[level]) - (1UL << Here.Shifts[level]) + (level == Here.Levels - 1 ? 0 : 1UL << (Here.AddressBits - 2)));
        }

        for (int i = 0; i < 40; i++)
        {
            addresses.Add((ulong)random.NextInt64(1L << Here.AddressBits) & ~(ulong)(Here.PageBytes - 1));
        }

        foreach (ulong address in addresses)
        {
            Page page = cpu.AllocPage(Gfp.Kernel);
            if (mapped.TryAdd(address & ~(ulong)(Here.PageBytes - 1), page))
            {
                tables.Map(cpu, new VirtualAddress(address & ~(ulong)(Here.PageBytes - 1)), page.Pfn, 1, PageProtection.UserData).Should().BeTrue();
                cpu.Write(page.Address + 24, page.Pfn.Value);
            }
        }

        cpu.Mmu.LoadPageTables(tables);
        foreach ((ulong address, Page page) in mapped)
        {
            (ulong physical, int level) = Walk(machine, tables, address + 24);
            (physical, level).Should().Be((page.PhysicalAddress.Value + 24, 1), "of {0:x}", address);
            tables.Lookup(new VirtualAddress(address)).Frame.Should().Be(page.Pfn);
            using (cpu.User.UserAccess())
            {
                cpu.Translate(new VirtualAddress(address + 24)).Should().Be(page.PhysicalAddress + 24);
                cpu.Read<long>(new VirtualAddress(address + 24)).Should().Be(page.Pfn.Value);
            }
        }

        machine.Verify();
    }

    [Fact]
    public void A_block_of_the_second_level_maps_a_huge_page_and_is_split_where_a_part_goes()
    {
        using Machine machine = Shape.Boot("512M");
        Cpu cpu = machine.Cpus[0];
        Page block = cpu.AllocPages(Gfp.Kernel | Gfp.Comp, Here.HugeOrder);
        block.IsNull.Should().BeFalse();
        PageTables kernel = machine.Mmu.Kernel;
        VirtualAddress at = new(((machine.AddressSpace.Vmalloc.Start.Value + (4UL << 30)) | ((ulong)Here.HugeBytes - 1)) + 1);
        kernel.Map(cpu, at, block.Pfn, 1L << Here.HugeOrder, PageProtection.Kernel, Here.HugeSize).Should().BeTrue();

        PageTableEntry entry = kernel.Lookup(at);
        (entry.Level, entry.Pages).Should().Be((2, Here.HugeBytes / Here.PageBytes));
        Walk(machine, kernel, at.Value + (ulong)Here.HugeBytes - 8).Should().Be((block.PhysicalAddress.Value + (ulong)Here.HugeBytes - 8, 2));
        cpu.Write(at + (Here.HugeBytes - 8), 4711L);
        cpu.Read<long>(block.Address + (Here.HugeBytes - 8)).Should().Be(4711);

        kernel.Unmap(cpu, at + Here.PageBytes, 1).Should().BeTrue();
        machine.Mmu.FlushRange(cpu, kernel, at, Here.HugeBytes);
        kernel.Lookup(at).Level.Should().Be(1, "the block became a table");
        cpu.Read<long>(at + (Here.HugeBytes - 8)).Should().Be(4711);
        cpu.Invoking(c => c.Read<long>(at + Here.PageBytes)).Should().Throw<PageFaultException>();
        machine.Verify();
    }

    [Fact]
    public void Blocks_exist_on_the_second_level_alone()
    {
        using Machine machine = Shape.Boot("512M");

        machine.Mmu.Kernel.Mappings().Select(m => m.Size).Distinct().Should().BeSubsetOf([Here.SmallSize, Here.HugeSize]);
        machine.Mmu.DirectMapKiB().Values.Sum().Should().Be(machine.Zones.Sum(z => z.PresentPages) * Here.Kib);
    }

    [Fact]
    public void Entries_have_the_bits_of_the_manual()
    {
        using Machine machine = Shape.Boot();

        // As with pages of 4 KiB (0x0068_0000_4e00_d703 of frame 0x4e00d), the address alone is another.
        machine.Mmu.Kernel.MakeEntry(new Pfn(0x1234), PageProtection.Kernel).Should().Be(0x0068_0000_0000_0703UL | (0x1234UL << Here.Shifts[0]));
    }

    [Fact]
    public void Areas_of_the_kernels_address_space_lie_where_the_page_size_puts_them()
    {
        using Machine machine = Shape.Boot();

        machine.AddressSpace.Vmemmap!.Value.Start.Value.Should().Be(Here.Vmemmap);
        machine.AddressSpace.Vmalloc.End.Value.Should().Be(Here.Vmemmap - (256UL << 20));
        machine.AddressSpace.Fixmap.End.Value.Should().Be(Here.Vmemmap - (32UL << 20));
        machine.Memory.Fixmap.Find("FIX_BTMAP").Pages.Should().Be(7 * 256 / Here.Kib, "seven slots of 256 KiB");
    }

    [Fact]
    public void The_tlb_holds_pages_of_this_size()
    {
        using Machine machine = Shape.Boot("512M");
        Cpu cpu = machine.Cpus[0];
        Page page = cpu.AllocPage(Gfp.Kernel);
        cpu.Write(page.Address, 5);
        VirtualAddress small = cpu.Vmalloc(Here.PageBytes);
        cpu.Write(small, 6);

        string[] sizes = [.. cpu.Tlb.Entries.Select(e => e.Size.ToString()).Distinct()];

        sizes.Should().Contain(string.Create(CultureInfo.InvariantCulture, $"{Here.Kib}K"));
    }

    /// <summary>Walks as the manual says: bits of the address above the page offset, cut into indexes, highest level first.</summary>
    private static (ulong Physical, int Level) Walk(Machine machine, PageTables tables, ulong address)
    {
        Cpu cpu = machine.Cpus[0];
        ulong table = tables.Root.Value;
        for (int level = Here.Levels; ; level--)
        {
            int shift = Here.Shifts[level - 1];
            ulong index = (address >> shift) % (ulong)Here.Entries[level - 1];
            ulong entry = cpu.Read<ulong>(machine.Memory.ToVirtual(new PhysicalAddress(table + (index * 8))));
            (entry & 1).Should().Be(1, "of {0:x} on level {1}", address, level);
            ulong output = entry & 0x0000_ffff_ffff_ffff & ~(ulong)(Here.PageBytes - 1);
            if (level == 1 || (entry & 2) == 0)
            {
                (level <= 2).Should().BeTrue();
                return ((output & ~((1UL << shift) - 1)) | (address & ((1UL << shift) - 1)), level);
            }

            table = output;
        }
    }
}
