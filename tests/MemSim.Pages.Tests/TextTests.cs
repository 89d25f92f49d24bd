using System.Globalization;
using System.Text.RegularExpressions;
using FluentAssertions;
using Xunit;

namespace MemSim.Pages.Tests;

/// <summary>What <c>/proc</c> and the reports print: KiB are KiB, whatever a page is, and lists have the orders there are.</summary>
public sealed partial class TextTests
{
    private static readonly Shape Here = Shape.Here;

    [Fact]
    public void Meminfo_counts_whole_pages_in_kib()
    {
        using Machine machine = Shape.Boot();
        string text = machine.Proc.MemInfo;

        Dictionary<string, long> kib = Values(text);
        kib["MemTotal"].Should().Be(machine.Zones.Sum(z => z.ManagedPages) * Here.Kib);
        foreach (string name in (string[])["MemTotal", "MemFree", "Cached", "AnonPages", "PageTables", "KernelStack", "Slab", "SUnreclaim", "Percpu", "CmaTotal"])
        {
            (kib[name] % Here.Kib).Should().Be(0, name);
        }

        kib["Hugepagesize"].Should().Be(Here.HugeMib * 1024L);
        kib["CmaTotal"].Should().Be(Math.Max(64, Here.HugeMib) * 1024L, "64 MiB, in whole page blocks");
        kib["VmallocTotal"].Should().Be((long)((machine.AddressSpace.Vmalloc.End.Value - machine.AddressSpace.Vmalloc.Start.Value) >> 10));
    }

    [Fact]
    public void Free_blocks_have_an_order_up_to_that_of_a_huge_page()
    {
        using Machine machine = Shape.Boot("512M");

        foreach (string line in machine.Proc.BuddyInfo.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            long[] counts = [.. words.Skip(4).Select(word => long.Parse(word, CultureInfo.InvariantCulture))];
            counts.Should().HaveCount(Here.Orders);
        }

        machine.Proc.PageTypeInfo.Should().StartWith($"Page block order: {Here.HugeOrder}\nPages per block:  {1 << Here.HugeOrder}\n");
        machine.Memory.PageblockOrder.Should().Be(Here.HugeOrder);
        string report = machine.Proc.ShowMem();
        report.Should().MatchRegex($@"\d+\*{Here.Kib}kB .* \d+\*{Here.HugeMib * 1024}kB .*= \d+kB");
        foreach (long size in Here.PoolKib)
        {
            report.Should().Contain($"hugepages_size={size}kB");
        }
    }

    [Fact]
    public void Blocks_listed_in_a_report_add_up_to_what_is_free()
    {
        using Machine machine = Shape.Boot();
        machine.Memory.DrainAllPages();

        foreach (Match line in BlockLine().Matches(machine.Proc.ShowMem()))
        {
            long sum = Block().Matches(line.Value).Sum(b => long.Parse(b.Groups[1].Value, CultureInfo.InvariantCulture) * long.Parse(b.Groups[2].Value, CultureInfo.InvariantCulture));
            sum.Should().Be(long.Parse(line.Groups[1].Value, CultureInfo.InvariantCulture));
        }
    }

    [Fact]
    public void Slabs_are_of_these_pages_and_kmalloc_has_caches_up_to_two_of_them()
    {
        using Machine machine = Shape.Boot(cpus: 4);
        string[] names = [.. machine.Slab.Caches.Select(c => c.Name)];
        names.Where(n => KmallocName().IsMatch(n)).Should().Contain(Here.LargestKmalloc).And.NotContain($"kmalloc-{4 * Here.Kib}k");

        foreach (KmemCache cache in machine.Slab.Caches)
        {
            (cache.ObjectsPerSlab * cache.Size).Should().BeLessThanOrEqualTo((int)(Here.PageBytes << cache.Order), cache.Name);
        }

        Cpu cpu = machine.Cpus[0];
        VirtualAddress two = cpu.Kmalloc(2 * Here.PageBytes, Gfp.Kernel);
        machine.Slab.CacheAt(two)!.Name.Should().Be(Here.LargestKmalloc);
        VirtualAddress more = cpu.Kmalloc((2 * Here.PageBytes) + 1, Gfp.Kernel);
        cpu.Slab.Ksize(more).Should().Be(4 * Here.PageBytes, "it comes from the page allocator");
        cpu.Kfree(two);
        cpu.Kfree(more);
        machine.Proc.SlabInfo.Split('\n').Should().Contain(line => line.StartsWith(Here.LargestKmalloc + " ", StringComparison.Ordinal));
        machine.Verify();
    }

    [Fact]
    public void Smaps_and_pagemap_tell_the_page_size()
    {
        using Machine machine = Shape.Boot();
        Process process = machine.CreateProcess("smaps");
        VirtualAddress at = process.Mm.Mmap(3 * Here.PageBytes, Prot.Read | Prot.Write);
        using (machine.Cpus[0].Run(process))
        {
            machine.Cpus[0].Write(at + Here.PageBytes, 1);
        }

        string smaps = process.Smaps;
        smaps.Should().Contain($"Size:           {3 * Here.Kib,8} kB\n").And.Contain($"KernelPageSize: {Here.Kib,8} kB\n").And.Contain($"MMUPageSize:    {Here.Kib,8} kB\n").And.Contain($"Rss:            {Here.Kib,8} kB\n");
        process.PageMap(at, 3).Select(word => word >> 63).Should().Equal(0UL, 1UL, 0UL);
        process.Status.Should().Contain($"VmRSS:\t{Here.Kib,8} kB\n");
        process.Mm.Mmap(at + 4096, Here.PageBytes, Prot.Read, MapFlags.Fixed | MapFlags.Private | MapFlags.Anonymous).Error.Should().Be(Errno.EINVAL, "4096 is no page's address");
    }

    [Fact]
    public void Swap_areas_and_memory_blocks_are_counted_in_these_pages()
    {
        using Machine machine = Shape.Boot();
        using BlockDevice disk = new("vdb", "64M");
        SwapArea area = machine.Swap.SwapOn(disk).Value;

        area.Pages.Should().Be(((64L << 20) / Here.PageBytes) - 1, "a page is the header");
        machine.Proc.Swaps.Should().Contain($"{(64 * 1024) - Here.Kib}");
        machine.Hotplug.Memory.BlockSize.Bytes.Should().Be((ulong)Here.SectionMib << 20);
        machine.Stacks.PagesEach.Should().Be(Here.StackPages);
    }

    [Fact]
    public void The_batch_of_per_cpu_lists_is_a_quarter_of_a_mebibyte_at_most()
    {
        using Machine machine = Shape.Boot("4G");
        Zone zone = machine.Zones.MaxBy(z => z.ManagedPages)!;

        // 1 MiB is 128, 64 or 16 pages; a quarter, half more, down to a power of two less one.
        zone.Pcp[0].Batch.Should().Be(Here.Kib switch { 8 => 31, 16 => 15, _ => 3 });
    }

    private static Dictionary<string, long> Values(string text) => text.Split('\n', StringSplitOptions.RemoveEmptyEntries)
        .Select(line => line.Split([' ', ':'], StringSplitOptions.RemoveEmptyEntries))
        .ToDictionary(words => words[0], words => long.Parse(words[1], CultureInfo.InvariantCulture));

    [GeneratedRegex(@"Node 0 \w+: \d+\*.*= (\d+)kB")]
    private static partial Regex BlockLine();

    [GeneratedRegex(@"(\d+)\*(\d+)kB")]
    private static partial Regex Block();

    [GeneratedRegex(@"^kmalloc-\d+k?$")]
    private static partial Regex KmallocName();
}
