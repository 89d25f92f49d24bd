using System.Globalization;
using FluentAssertions;
using MemSim.Statistics;
using Xunit;

namespace MemSim.Tests.CompressedMemory;

/// <summary>zswap: what it keeps, its limits, write-back, cgroups, and where kernels differ.</summary>
public sealed class ZswapTests : IDisposable
{
    private const long MiB = 1 << 20;
    private readonly BlockDevice _disk = new("sdb", "128M");

    public static TheoryData<string> Kernels => ["6.1", "6.12", "7.3"];

    public void Dispose() => _disk.Dispose();

    [Theory]
    [MemberData(nameof(Kernels))]
    public void Pages_stay_in_memory_and_nothing_reaches_the_disk(string kernel)
    {
        using CompressedRig rig = Rig(kernel);
        rig.Fill(8 * MiB);
        rig.Reclaim(4 * MiB);

        Zswap zswap = rig.Machine.Swap.Zswap;
        zswap.StoredPages.Should().BeGreaterThan(900);
        (rig.Machine.Events[VmEvent.Zswpout] >= zswap.StoredPages, rig.Machine.Events[VmEvent.SwapOut], _disk.PagesWritten).Should().Be((true, 0, 0));
        rig.Machine.Proc.MemInfo.Should().Contain($"Zswapped:{zswap.StoredPages * 4,15} kB").And.Contain($"Zswap:{zswap.PoolBytes / 1024,18} kB");
        ZramTests.Counter(rig.Machine, "nr_zspages").Should().Be(kernel == "6.1" ? 0 : zswap.PoolBytes / 4096, "zbud's frames count nowhere");
        rig.Machine.Verify();

        rig.Check();
        (rig.Machine.Events[VmEvent.Zswpin] > 900, rig.Machine.Events[VmEvent.SwapIn]).Should().Be((true, 0));
        rig.Machine.Verify();
        if (kernel == "6.1")
        {
            zswap.StoredPages.Should().BeGreaterThan(900, "a page that was only read stays there, too");
        }
        else
        {
            zswap.StoredPages.Should().Be(0, "what is read is kept no longer");
        }

        rig.Exit();
        (zswap.StoredPages, zswap.PoolBytes).Should().Be((0, 0));
        rig.Machine.Verify();
    }

    [Fact]
    public void Frames_a_page_are_those_recorded()
    {
        // 6.1: 23,481 pages in 23,418 frames of zbud; 7.3: 39,735 in 88,866,816 bytes.
        foreach ((string kernel, double bytes) in new[] { ("6.1", 4096.0), ("6.12", 2236.5), ("7.3", 2236.5) })
        {
            using BlockDevice disk = new("sdc", "64M");
            using CompressedRig rig = Rig(kernel, disk);
            rig.Fill(20 * MiB);
            rig.Reclaim(16 * MiB);
            Zswap zswap = rig.Machine.Swap.Zswap;
            (zswap.PoolBytes / (double)zswap.StoredPages).Should().BeApproximately(bytes, bytes * 0.01, kernel);
        }
    }

    [Theory]
    [MemberData(nameof(Kernels))]
    public void A_full_pool_sends_pages_to_the_disk_and_writes_its_oldest_back(string kernel)
    {
        using CompressedRig rig = Rig(kernel);
        Zswap zswap = rig.Machine.Swap.Zswap;
        zswap["max_pool_percent"] = "2";
        rig.Fill(48 * MiB);
        for (int i = 0; i < 6; i++)
        {
            rig.Check(every: 3);
            rig.Reclaim(8 * MiB);
        }

        long limit = rig.Machine.Zones.Sum(zone => zone.ManagedPages) * 2 / 100;
        (zswap.PoolBytes / 4096).Should().BeInRange(100, limit + 8);
        Statistic(zswap, "pool_limit_hit").Should().BePositive();
        zswap.WrittenBackPages.Should().BePositive();
        if (kernel == "6.1")
        {
            zswap.WrittenBackPages.Should().BeLessThanOrEqualTo(2 * Statistic(zswap, "pool_limit_hit"), "a frame of two pages for each time that it was met full");
        }

        ((int)_disk.PagesWritten).Should().Be((int)rig.Machine.Events[VmEvent.SwapOut], "written back or past it");
        rig.Machine.Events[VmEvent.Zswpwb].Should().Be(zswap.WrittenBackPages);
        rig.Machine.Verify();
        rig.Check();
        rig.Exit();
        rig.Machine.Verify();
        zswap.StoredPages.Should().Be(0);
    }

    [Fact]
    public void Write_back_gives_every_page_a_second_chance()
    {
        using CompressedRig rig = Rig("7.3");
        Zswap zswap = rig.Machine.Swap.Zswap;
        rig.Fill(8 * MiB);
        rig.Reclaim(4 * MiB);
        long stored = zswap.StoredPages;
        zswap["max_pool_percent"] = "0";
        rig.Reclaim(64 << 10);

        zswap.WrittenBackPages.Should().Be(0, "a run looks at sixteen pages that were stored since the last look, and gives up");
        Statistic(zswap, "pool_limit_hit").Should().BePositive();
        for (int i = 0; i < 200 && zswap.WrittenBackPages == 0; i++)
        {
            rig.Reclaim(256 << 10);
        }

        zswap.WrittenBackPages.Should().BePositive();
        Statistic(zswap, "pool_limit_hit").Should().BeGreaterThanOrEqualTo(stored / 16);
        rig.Check();
        rig.Machine.Verify();
    }

    [Fact]
    public void A_cgroup_pays_for_its_compressed_pages()
    {
        using CompressedRig rig = Rig("7.3");
        rig.Fill(8 * MiB);
        rig.Reclaim(4 * MiB);
        Zswap zswap = rig.Machine.Swap.Zswap;

        long bytes = long.Parse(rig.Cgroup["memory.zswap.current"], CultureInfo.InvariantCulture);
        (bytes / (double)zswap.StoredPages).Should().BeApproximately(2212.5, 12);
        Stat(rig.Cgroup, "zswap").Should().Be(bytes);
        Stat(rig.Cgroup, "zswapped").Should().Be(zswap.StoredPages * 4096);
        Stat(rig.Cgroup, "zswpout").Should().Be(rig.Machine.Events[VmEvent.Zswpout]);
        Stat(rig.Cgroup, "kernel").Should().BeGreaterThan(bytes);
        rig.Machine.Verify();
        rig.Check();
        Stat(rig.Cgroup, "zswpin").Should().Be(rig.Machine.Events[VmEvent.Zswpin]);
        rig.Cgroup["memory.zswap.current"].Should().Be("0\n");
    }

    [Theory]
    [InlineData("6.1")]
    [InlineData("7.3")]
    public void The_limit_of_a_cgroup_sends_its_pages_past_zswap(string kernel)
    {
        using CompressedRig rig = Rig(kernel);
        rig.Cgroup["memory.zswap.max"].Should().Be("max\n");
        rig.Cgroup["memory.zswap.max"] = "1M";
        rig.Fill(8 * MiB);
        rig.Reclaim(6 * MiB);
        Stat(rig.Cgroup, "zswap").Should().BeInRange(MiB - 8192, MiB + 4096);
        rig.Machine.Events[VmEvent.SwapOut].Should().BeGreaterThan(500);
        rig.Machine.Verify();

        rig.Cgroup["memory.zswap.max"] = "0";
        rig.Check();
        rig.Write(1);
        long before = rig.Machine.Events[VmEvent.Zswpout];
        rig.Reclaim(4 * MiB);
        rig.Machine.Events[VmEvent.Zswpout].Should().Be(before);
        rig.Machine.Verify();
    }

    [Fact]
    public void Without_writeback_a_page_that_is_not_kept_stays_where_it_is()
    {
        using CompressedRig rig = Rig("7.3");
        rig.Cgroup["memory.zswap.writeback"] = "0";
        rig.Cgroup["memory.zswap.max"] = "1M";
        rig.Fill(8 * MiB);
        rig.Reclaim(6 * MiB);

        (_disk.PagesWritten, rig.Machine.Events[VmEvent.SwapOut]).Should().Be((0, 0));
        rig.Machine.Swap.Zswap.StoredPages.Should().BeGreaterThan(400);
        rig.Check();
        rig.Machine.Verify();
        rig.Cgroup.Write("memory.zswap.writeback", "maybe").Should().Be(Errno.EINVAL);
        using CompressedRig old = new("6.1");
        Action none = () => _ = old.Cgroup["memory.zswap.writeback"];
        none.Should().Throw<ArgumentException>();
    }

    [Fact]
    public void What_a_removed_cgroup_had_compressed_is_charged_above()
    {
        using CompressedRig rig = Rig("7.3", path: "/a");
        Cgroup child = rig.Machine.Cgroups.Create("/a/child");
        Process keeper = rig.Machine.CreateProcess("keeper");
        rig.Fill(4 * MiB);
        rig.Process.Cgroup = child;
        rig.Write(1);
        rig.Reclaim(2 * MiB);
        rig.Process.Cgroup = rig.Cgroup;
        long bytes = Stat(rig.Cgroup, "zswap");
        bytes.Should().BePositive();
        rig.Machine.Cgroups.Remove("/a/child").Should().Be(Errno.None);

        Stat(rig.Cgroup, "zswap").Should().Be(bytes);
        rig.Machine.Verify();
        rig.Check();
        rig.Machine.Verify();
        keeper.Exit();
    }

    [Theory]
    [InlineData("6.1", 0)]
    [InlineData("6.12", 1)]
    [InlineData("7.3", 1)]
    public void Pages_of_zeroes_need_a_bit_since_6_12_and_an_entry_before(string kernel, int bits)
    {
        using CompressedRig rig = Rig(kernel);
        rig.Fill(4 * MiB, PageContent.Zero);
        rig.Reclaim(3 * MiB);
        (long zero, long stored) = (rig.Machine.Events[VmEvent.SwapOutZero], rig.Machine.Swap.Zswap.StoredPages);
        (bits == 1 ? zero : stored).Should().BeGreaterThan(700);
        (bits == 1 ? stored : zero).Should().BeLessThan(40);
        rig.Machine.Swap.Zswap.PoolBytes.Should().BeLessThan(200 << 10);
        if (bits == 0)
        {
            Statistic(rig.Machine.Swap.Zswap, "same_filled_pages").Should().BeGreaterThan(700);
        }
        else
        {
            Stat(rig.Cgroup, "swpout_zero").Should().Be(zero);
        }

        _disk.PagesWritten.Should().BeLessThan(40);
        rig.Machine.Verify();
        rig.Check();
        rig.Machine.Verify();
        rig.Machine.Events[VmEvent.SwapInZero].Should().Be(bits == 0 ? 0 : rig.Machine.Events[VmEvent.SwapInZero]).And.BeGreaterThanOrEqualTo(bits * 700);
    }

    [Theory]
    [InlineData("6.1", "reject_compress_poor")]
    [InlineData("6.12", "reject_compress_fail")]
    [InlineData("7.3", "stored_incompressible_pages")]
    public void Pages_that_do_not_compress(string kernel, string counted)
    {
        using CompressedRig rig = Rig(kernel);
        rig.Fill(4 * MiB, PageContent.Random);
        rig.Reclaim(3 * MiB);

        Statistic(rig.Machine.Swap.Zswap, counted).Should().BeGreaterThan(600);
        (_disk.PagesWritten > 600).Should().Be(kernel != "7.3", "since 6.18 they are kept as they are");
        rig.Check();
        rig.Machine.Verify();
    }

    [Fact]
    public void The_shrinker_writes_back_before_the_pool_is_full()
    {
        using CompressedRig rig = Rig("7.3");
        Zswap zswap = rig.Machine.Swap.Zswap;
        zswap["shrinker_enabled"].Should().Be("N\n");
        zswap["shrinker_enabled"] = "Y";
        rig.Fill(32 * MiB);
        rig.Reclaim(24 * MiB);
        long stored = zswap.StoredPages;
        for (int i = 0; i < 3; i++)
        {
            rig.Machine.Sysctl.Set("vm.drop_caches", "2");
        }

        zswap.WrittenBackPages.Should().BePositive();
        zswap.StoredPages.Should().BeLessThan(stored);
        Statistic(zswap, "pool_limit_hit").Should().Be(0);
        rig.Check();
        rig.Machine.Verify();
        zswap["shrinker_enabled"] = "N";
        rig.Machine.Shrinkers.All.Should().NotContain(shrinker => shrinker.Name == "mm-zswap");
    }

    [Fact]
    public void Another_compressor_or_pool_serves_what_is_stored_from_now_on()
    {
        using CompressedRig rig = Rig("6.12");
        Zswap zswap = rig.Machine.Swap.Zswap;
        rig.Fill(8 * MiB);
        rig.Reclaim(2 * MiB);
        zswap["compressor"] = "lz4";
        rig.Reclaim(2 * MiB);
        zswap["zpool"] = "zbud";
        rig.Reclaim(2 * MiB);

        rig.Machine.Swap.CompressedPools.All.Should().HaveCount(3);
        rig.Machine.Verify();
        rig.Check();
        rig.Write(1);
        rig.Exit();
        rig.Machine.Swap.CompressedPools.All.Should().ContainSingle();
        rig.Machine.Verify();
    }

    [Fact]
    public void Parameters_are_those_of_the_kernel()
    {
        using CompressedRig rig = new("6.1");
        Zswap zswap = rig.Machine.Swap.Zswap;
        (zswap["enabled"], zswap["compressor"], zswap["zpool"], zswap["max_pool_percent"], zswap["accept_threshold_percent"], zswap["same_filled_pages_enabled"])
            .Should().Be(("N\n", "lzo\n", "zbud\n", "20\n", "90\n", "Y\n"));
        (zswap.Write("compressor", "zstd"), zswap.Write("shrinker_enabled", "Y"), zswap.Write("max_pool_percent", "x"), zswap.Write("enabled", "perhaps"))
            .Should().Be((Errno.EINVAL, Errno.ENOENT, Errno.EINVAL, Errno.EINVAL));
        Names(zswap).Should().Equal(
            "duplicate_entry", "pool_limit_hit", "pool_total_size", "reject_alloc_fail", "reject_compress_poor", "reject_kmemcache_fail", "reject_reclaim_fail", "same_filled_pages", "stored_pages",
            "written_back_pages");
        using CompressedRig new73 = new("7.3");
        Names(new73.Machine.Swap.Zswap).Should().Equal(
            "decompress_fail", "pool_limit_hit", "pool_total_size", "reject_alloc_fail", "reject_compress_fail", "reject_compress_poor", "reject_kmemcache_fail", "reject_reclaim_fail",
            "stored_incompressible_pages", "stored_pages", "written_back_pages");
        new73.Machine.Swap.Zswap.Write("zpool", "zsmalloc").Should().Be(Errno.ENOENT);
    }

    [Fact]
    public void An_area_in_front_of_which_pages_are_kept_can_be_switched_off()
    {
        using CompressedRig rig = Rig("7.3");
        rig.Fill(8 * MiB);
        rig.Reclaim(4 * MiB);
        rig.Machine.Swap.SwapOff(rig.Machine.Cpus[0], rig.Machine.Swap.Areas[0]).Should().Be(Errno.None);

        rig.Machine.Swap.Zswap.StoredPages.Should().Be(0);
        rig.Check();
        rig.Machine.Verify();
    }

    [Theory]
    [MemberData(nameof(Kernels))]
    public void Random_pressure_keeps_every_byte(string kernel)
    {
        using CompressedRig rig = Rig(kernel, memory: "128M");
        rig.Machine.Swap.Zswap["max_pool_percent"] = "5";
        Random random = new(9);
        Process[] processes = new Process[4];
        byte[][] contents = new byte[4][];
        const int Pages = 1500;
        VirtualAddress[] memory = new VirtualAddress[4];
        Cpu cpu = rig.Machine.Cpus[0];
        for (int i = 0; i < processes.Length; i++)
        {
            processes[i] = rig.Machine.CreateProcess("p" + i);
            processes[i].Cgroup = i % 2 == 0 ? rig.Cgroup : rig.Machine.Cgroups.Root;
            memory[i] = processes[i].Mm.Mmap(Pages << 12, Prot.Read | Prot.Write).Value;
            contents[i] = new byte[Pages];
        }

        byte[] page = new byte[4096];
        for (int step = 0; step < 30_000; step++)
        {
            int who = random.Next(processes.Length);
            int at = random.Next(Pages);
            using (cpu.Run(processes[who]))
            {
                if (random.Next(2) == 0)
                {
                    contents[who][at] = (byte)random.Next(1, 256);
                    new Random(contents[who][at]).NextBytes(page.AsSpan(0, contents[who][at] * 16));
                    page.AsSpan(contents[who][at] * 16).Clear();
                    cpu.Write<byte>(memory[who] + (at << 12), page);
                }
                else
                {
                    byte first = cpu.Read<byte>(memory[who] + (at << 12));
                    byte[] expected = new byte[1];
                    new Random(contents[who][at]).NextBytes(expected);
                    first.Should().Be(contents[who][at] == 0 ? (byte)0 : expected[0]);
                }
            }

            if (step % 500 == 499)
            {
                rig.Cgroup.Write("memory.reclaim", "2M");
                rig.Machine.Cgroups.Root.Write("memory.reclaim", "3M");
            }

            if (step % 5000 == 4999)
            {
                rig.Machine.Verify();
            }
        }

        rig.Machine.Events[VmEvent.Zswpout].Should().BeGreaterThan(1000);
        foreach (Process process in processes)
        {
            process.Exit();
        }

        rig.Machine.Swap.Zswap.StoredPages.Should().Be(0);
        rig.Machine.Verify();
    }

    private CompressedRig Rig(string kernel, BlockDevice? disk = null, string path = "/a", string memory = "256M")
    {
        CompressedRig rig = new(kernel, memory, path);
        rig.Machine.Swap.SwapOn(disk ?? _disk).Succeeded.Should().BeTrue();
        rig.Machine.Swap.Zswap["enabled"] = "Y";
        return rig;
    }

    private static List<string> Names(Zswap zswap) => [.. zswap.Statistics.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line[..line.IndexOf(' ', StringComparison.Ordinal)])];

    private static long Statistic(Zswap zswap, string name) =>
        long.Parse(zswap.Statistics.Split('\n').Single(line => line.StartsWith(name + " ", StringComparison.Ordinal))[(name.Length + 1)..], CultureInfo.InvariantCulture);

    private static long Stat(Cgroup cgroup, string name) =>
        long.Parse(cgroup["memory.stat"].Split('\n').Single(line => line.StartsWith(name + " ", StringComparison.Ordinal))[(name.Length + 1)..], CultureInfo.InvariantCulture);
}
