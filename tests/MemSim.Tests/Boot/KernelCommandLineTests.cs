using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Boot;

public class KernelCommandLineTests
{
    [Fact]
    public void Parameters_about_memory_are_typed()
    {
        KernelCommandLine line = KernelCommandLine.Parse(
            "quiet mem=2G kernelcore=1536M movablecore=40% cma=64M@1G-2G crashkernel=128M nr_cpus=4 maxcpus=2 vmalloc=256M highmem=512M "
            + "memmap=64M$256M,1M#700M memmap=16M hugepages=3 hugepagesz=1G hugepages=2 transparent_hugepage=never page_owner=on slub_debug=FZ slab_nomerge "
            + "numa=fake=4 movable_node sysctl.vm.min_free_kbytes=4096 page_alloc.shuffle=1 slab_allocator=slab");

        line.MemoryLimit.Should().Be((ByteSize)"2G");
        line.KernelCore.Should().Be(new CoreSize("1536M", 0));
        line.MovableCore.Should().Be(new CoreSize(default, 40));
        line.Cma.Should().Be(new CmaParameter("64M", 1 << 30, 2UL << 30));
        line.CrashKernel.Should().Be(new CrashKernelParameter("128M", null, false));
        (line.CpuLimit, line.MaxCpus).Should().Be((4, 2));
        (line.Vmalloc, line.HighMemory).Should().Be(((ByteSize)"256M", (ByteSize)"512M"));
        line.MemoryMapChanges.Should().Equal(
            new MemoryMapChange("64M", 256 << 20, MemoryRangeKind.Reserved),
            new MemoryMapChange("1M", 700 << 20, MemoryRangeKind.AcpiData),
            new MemoryMapChange("16M", 0, null));
        line.HugePages.Should().Equal((default, 3), ((ByteSize)"1G", 2));
        (line.TransparentHugePage, line.PageOwner, line.SlubDebug, line.SlabNoMerge, line.SlabAllocator).Should().Be(("never", true, "FZ", true, "slab"));
        line.NumaFake.Should().Be(new NumaFakeParameter(4, default));
        line.VmSysctls.Should().Equal(("min_free_kbytes", "4096"));
        line.ShufflePageAllocator.Should().BeTrue();
        line.UnknownParameters.Should().BeEmpty();
    }

    [Fact]
    public void Unknown_parameters_are_kept_names_with_dots_are_for_modules_and_two_dashes_end_the_line()
    {
        KernelCommandLine line = KernelCommandLine.Parse("""nokaslr foo="a b" cap.out=ttyS1 no-hash-pointers -- mem=1""");
        line.UnknownParameters.Should().Equal("nokaslr", "foo=a b");
        line.ValueOf("foo").Should().Be("a b");
        line.MemoryLimit.Should().BeNull();
    }

    [Theory]
    [InlineData("kernelcore=mirror", "mirrored")]
    [InlineData("kernelcore=120%", "1 to 100")]
    [InlineData("movablecore=1Q", "not an amount")]
    [InlineData("mem=", "not an amount")]
    [InlineData("mem=0", "must not be 0")]
    [InlineData("memmap=1M$", "not an amount")]
    [InlineData("memmap=16E$0xffffffffffffffff", "not an amount")]
    [InlineData("memmap=8E$0xf000000000000000", "beyond the address space")]
    [InlineData("nr_cpus=8193", "1 to 8192")]
    [InlineData("numa=fake=0", "1 to 1024")]
    [InlineData("cma=64M@1G-1G", "does not fit")]
    [InlineData("transparent_hugepage=maybe", "always, madvise, never")]
    [InlineData("slub_debug=FX", "'X' is unknown")]
    [InlineData("slub_min_objects=many", "is not a number")]
    [InlineData("slub_min_order=11", "0 to 10")]
    [InlineData("slub_max_order=-1", "is not a number")]
    [InlineData("failslab", "is not interval,probability,space,times")]
    [InlineData("failslab=1,2,3", "is not interval,probability,space,times")]
    [InlineData("fail_page_alloc=often,1,0,-1", "is not interval,probability,space,times")]
    [InlineData("fail_usercopy=1,1,0,-1,9", "is not interval,probability,space,times")]
    [InlineData("quiet=\"x", "quote")]
    public void A_malformed_value_is_refused_with_token_and_reason(string token, string reason)
    {
        Action parse = () => KernelCommandLine.Parse("quiet " + token);
        parse.Should().Throw<ArgumentException>().WithMessage($"kernel command line: '*{token}*': *{reason}*");
    }
}
