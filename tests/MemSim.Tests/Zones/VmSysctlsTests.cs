using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Zones;

public class VmSysctlsTests
{
    private readonly VmSysctls _vm = new(ArchitectureInfo.X86_64.ZoneTypes);

    [Fact]
    public void A_boot_finds_the_defaults_of_the_kernel()
    {
        _vm.Get("lowmem_reserve_ratio").Should().Be("256\t256\t32\t0\t0");
        _vm.WatermarkScaleFactor.Should().Be(10);
        _vm.WatermarkBoostFactor.Should().Be(15000);
        _vm.PercpuPagelistHighFraction.Should().Be(0);
        _vm.Swappiness.Should().Be(60);
        _vm.UserMinFreeKbytes.Should().Be(-1);
        new VmSysctls(ArchitectureInfo.X86_32.ZoneTypes).Get("lowmem_reserve_ratio").Should().Be("256\t32\t0\t0");
    }

    [Theory]
    [InlineData("min_free_kbytes", "65536", "65536")]
    [InlineData("min_free_kbytes", " 0x10000\n", "65536")]
    [InlineData("min_free_kbytes", "010", "8")]
    [InlineData("min_free_kbytes", "0", "0")]
    [InlineData("watermark_scale_factor", "3000", "3000")]
    [InlineData("percpu_pagelist_high_fraction", "8", "8")]
    [InlineData("percpu_pagelist_high_fraction", "0", "0")]
    [InlineData("lowmem_reserve_ratio", "128 128\t16 0 0", "128\t128\t16\t0\t0")]
    [InlineData("lowmem_reserve_ratio", "1 1", "1\t1\t32\t0\t0")]
    [InlineData("lowmem_reserve_ratio", "1 2 3 4 5 6 7", "1\t2\t3\t4\t5")]
    [InlineData("lowmem_reserve_ratio", "-5 7", "0\t7\t32\t0\t0")]
    [InlineData("swappiness", "200", "200")]
    [InlineData("numa_zonelist_order", "Default", "Node")]
    public void What_the_kernel_accepts_is_read_back_as_it_prints_it(string name, string text, string expected)
    {
        _vm.TrySet(name, text, out string? error).Should().BeTrue(error);
        _vm.Get(name).Should().Be(expected);
    }

    [Theory]
    [InlineData("min_free_kbytes", "-1", "out of range")]
    [InlineData("min_free_kbytes", "2147483648", "not a number that fits")]
    [InlineData("min_free_kbytes", "99999999999999999999", "not a number that fits")]
    [InlineData("min_free_kbytes", "12k", "not a number that fits")]
    [InlineData("min_free_kbytes", "08", "not a number that fits")]
    [InlineData("min_free_kbytes", "-", "not a number that fits")]
    [InlineData("min_free_kbytes", " ", "nothing was written")]
    [InlineData("watermark_scale_factor", "0", "1 to 3000")]
    [InlineData("watermark_scale_factor", "3001", "1 to 3000")]
    [InlineData("percpu_pagelist_high_fraction", "7", "neither 0 nor at least 8")]
    [InlineData("percpu_pagelist_high_fraction", "-8", "out of range")]
    [InlineData("swappiness", "201", "0 to 200")]
    [InlineData("extfrag_threshold", "1001", "0 to 1000")]
    [InlineData("numa_zonelist_order", "zone", "not Node or Default")]
    [InlineData("no_such_file", "1", "no file")]
    public void What_the_kernel_refuses_changes_nothing_and_says_why(string name, string text, string reason)
    {
        string before = string.Join(';', VmSysctls.Names.Select(_vm.Get));

        _vm.TrySet(name, text, out string? error).Should().BeFalse();

        error.Should().Contain(reason);
        string.Join(';', VmSysctls.Names.Select(_vm.Get)).Should().Be(before);
    }

    [Fact]
    public void Writing_a_ratio_clears_the_amount_that_says_the_same()
    {
        _vm.TrySet("dirty_bytes", "1048576", out _).Should().BeTrue();
        _vm.Get("dirty_ratio").Should().Be("0");
        _vm.TrySet("dirty_ratio", "30", out _).Should().BeTrue();
        _vm.Get("dirty_bytes").Should().Be("0");
    }

    [Fact]
    public void A_copy_changes_independently()
    {
        VmSysctls copy = _vm.Clone();
        copy.TrySet("lowmem_reserve_ratio", "1", out _).Should().BeTrue();
        copy.TrySet("min_free_kbytes", "5", out _).Should().BeTrue();

        _vm.LowmemReserveRatio(0).Should().Be(256);
        _vm.UserMinFreeKbytes.Should().Be(-1);
        copy.UserMinFreeKbytes.Should().Be(5);
    }
}
