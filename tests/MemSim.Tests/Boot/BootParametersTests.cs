using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Boot;

/// <summary>Boot parameters that move memory do so; those that this simulation does not act on are named in the machine's warnings.</summary>
public sealed class BootParametersTests
{
    [Theory]
    [InlineData("dhash_entries=4096", "Dentry cache hash table entries: 4096 (order: 3, 32768 bytes, linear)")]
    [InlineData("dhash_entries=5000", "Dentry cache hash table entries: 4096 (order: 3, 32768 bytes, linear)")]
    [InlineData("ihash_entries=4294967295", "Inode-cache hash table entries: 4194304 (order: 13, 33554432 bytes, linear)")]
    [InlineData("dhash_entries=0", "Dentry cache hash table entries: 131072 (order: 8, 1048576 bytes, linear)")]
    [InlineData("log_buf_len=4M", "log_buf_len: 4194304 bytes")]
    [InlineData("log_buf_len=3M", "log_buf_len: 4194304 bytes")]
    public void Tables_have_the_size_that_was_asked_for(string parameter, string line)
    {
        using Machine machine = Boot("1G", parameter);
        machine.BootLog.Should().Contain(line);
        machine.Warnings.Should().BeEmpty();
    }

    [Theory]
    [InlineData("1G", "", "dhash_entries=4096", 256 - 8)]
    [InlineData("1G", "", "dhash_entries=262144", -256)]
    [InlineData("1G", "", "log_buf_len=64K", 0)]
    [InlineData("1G", "", "log_buf_len=1M", -(256 + 192 + 704))]
    [InlineData("1G", "", "swiotlb=force", -(16384 + 192))]
    [InlineData("1G", "", "swiotlb=65536", 0)]
    [InlineData("6G", "", "swiotlb=noforce", 16384 + 192)]
    [InlineData("6G", "", "swiotlb=65536", -(16384 + 192))]
    [InlineData("6G", "", "swiotlb=16000,4", 8192 + 96)]
    public void Boot_tables_take_and_leave_so_many_pages(string memory, string before, string after, long pages)
    {
        using Machine one = Boot(memory, before);
        using Machine other = Boot(memory, after);
        (other.Zones.Sum(z => z.ManagedPages) - one.Zones.Sum(z => z.ManagedPages)).Should().Be(pages);
        other.Verify();
    }

    [Fact]
    public void Shuffled_lists_hold_the_same_blocks_in_another_order_which_is_the_same_each_time()
    {
        using Machine plain = Boot("2G", "");
        using Machine shuffled = Boot("2G", "page_alloc.shuffle=1");
        using Machine again = Boot("2G", "page_alloc.shuffle=1");
        long[] before = [.. Dma32(plain).FreeList(10, MigrateType.Movable).Select(p => p.Value)];
        long[] after = [.. Dma32(shuffled).FreeList(10, MigrateType.Movable).Select(p => p.Value)];

        after.Should().BeEquivalentTo(before).And.NotEqual(before);
        after.Where((pfn, i) => pfn == before[i]).Count().Should().BeLessThan(before.Length / 4, "nearly every block has another place");
        Dma32(again).FreeList(10, MigrateType.Movable).Select(p => p.Value).Should().Equal(after);
        shuffled.Proc.BuddyInfo.Should().Be(plain.Proc.BuddyInfo);
        shuffled.Verify();
    }

    [Fact]
    public void With_shuffling_a_coin_decides_to_which_end_a_largest_block_is_freed()
    {
        using Machine machine = Boot("1G", "page_alloc.shuffle=1");
        Cpu cpu = machine.Cpus[0];
        int front = 0;
        for (int i = 0; i < 64; i++)
        {
            Page page = cpu.AllocPages(Gfp.Kernel | Gfp.Movable, 10);
            cpu.FreePages(page, 10);
            front += Dma32(machine).FreeList(10, MigrateType.Movable).First() == page.Pfn ? 1 : 0;
        }

        front.Should().BeInRange(16, 48);
        machine.Verify();
    }

    [Theory]
    [InlineData("hugetlb_cma=1G")]
    [InlineData("percpu_alloc=page")]
    [InlineData("page_poison=1")]
    [InlineData("debug_pagealloc=on")]
    [InlineData("debug_guardpage_minorder=2")]
    [InlineData("memtest=4")]
    [InlineData("kasan=on")]
    [InlineData("kmemleak=on")]
    [InlineData("movable_node")]
    [InlineData("kaslr")]
    [InlineData("hugetlb_free_vmemmap=on")]
    [InlineData("hugetlb_optimize_vmemmap=on")]
    [InlineData("nogbpages")]
    [InlineData("mem_encrypt=on")]
    [InlineData("zswap.compressor=842")]
    [InlineData("kfence.sample_interval=100")]
    [InlineData("mhash_entries=1024")]
    public void A_parameter_that_is_not_acted_on_is_named_in_the_warnings(string parameter)
    {
        using Machine machine = Boot("256M", parameter);
        machine.Warnings.Should().ContainSingle().Which.Should().StartWith($"{parameter} has no effect here: ");
        machine.BootLog.Should().NotContain(l => l.StartsWith("Unknown kernel command line parameters", StringComparison.Ordinal));
    }

    [Fact]
    public void Parameters_of_zswap_are_its_settings()
    {
        using Machine machine = Boot("256M", "zswap.enabled=1 zswap.max_pool_percent=7 zswap.compressor=lz4");

        machine.Warnings.Should().BeEmpty();
        (machine.Swap.Zswap.Enabled, machine.Swap.Zswap.MaxPoolPercent, machine.Swap.Zswap["compressor"]).Should().Be((true, 7, "lz4\n"));
    }

    [Fact]
    public void Switched_off_they_need_no_warning()
    {
        using Machine machine = Boot("256M", "page_poison=0 debug_pagealloc=off zswap.enabled=N kfence.sample_interval=0 quiet");
        machine.Warnings.Should().BeEmpty();
    }

    [Theory]
    [InlineData("dhash_entries=many")]
    [InlineData("swiotlb=sometimes")]
    [InlineData("log_buf_len=")]
    public void Values_that_make_no_sense_are_refused_by_name(string parameter) =>
        FluentActions.Invoking(() => KernelCommandLine.Parse(parameter)).Should().Throw<ArgumentException>().WithMessage($"*{parameter.Split('=')[0]}*");

    private static Machine Boot(string memory, string commandLine) => Machine.Boot(MachineSpec.X86_64(memory, cpus: 1).WithoutContents().WithCommandLine(commandLine));

    private static Zone Dma32(Machine machine) => machine.Nodes[0].GetZone(ZoneType.Dma32);

    [Theory]
    [InlineData("cma=64M", true)]
    [InlineData("cma=64M@0-6G", true)]
    [InlineData("cma=64M@0-3G", false)]
    public void With_memory_enough_beyond_4_GiB_contiguous_memory_lies_right_there(string parameter, bool beyond)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("6G").WithKernel("7.3").WithCommandLine(parameter));
        long start = machine.Cma.Areas.Single().Start.Value;
        (beyond ? start == 4096 << 8 : start + (64 << 8) <= 3072 << 8).Should().BeTrue("it starts at {0} MiB", start >> 8);
    }
}
