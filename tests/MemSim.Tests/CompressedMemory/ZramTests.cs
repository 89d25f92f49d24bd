using System.Globalization;
using FluentAssertions;
using MemSim.Statistics;
using Xunit;

namespace MemSim.Tests.CompressedMemory;

/// <summary>Swap on compressed memory: what comes back, what the files say, limits, write-back, damage.</summary>
public sealed class ZramTests : IDisposable
{
    private const long MiB = 1 << 20;
    private readonly CompressedRig _rig = new("7.3");

    private Machine Machine => _rig.Machine;

    public void Dispose() => _rig.Dispose();

    [Theory]
    [InlineData("6.1", 2340, 2345)]
    [InlineData("7.3", 2184, 2190)]
    public void Half_random_pages_take_the_frames_that_were_recorded(string kernel, int least, int most)
    {
        using CompressedRig rig = new(kernel);
        using Zram zram = new(rig.Machine, "zram0", "64M");
        rig.Machine.Swap.SwapOn(zram.Disk).Succeeded.Should().BeTrue();
        rig.Fill(24 * MiB);
        rig.Reclaim(16 * MiB);

        long[] stat = Figures(zram["mm_stat"]);
        stat.Should().HaveCount(9);
        long pages = stat[0] / 4096;
        pages.Should().BeInRange(4096, 5200);
        (stat[1] / (double)pages).Should().BeApproximately(2081.8, 3);
        (stat[2] / (double)pages).Should().BeInRange(least, most, "as mem_used_total of the recorded kernels");
        Counter(rig.Machine, "nr_zspages").Should().Be(stat[2] / 4096);
        rig.Check();
        rig.Machine.Verify();
        rig.Exit();
        Figures(zram["mm_stat"])[..4].Should().Equal(0, 0, 0, 0);
        Figures(zram["io_stat"])[3].Should().Be(rig.Machine.Events[VmEvent.SwapOut], "each slot was freed");
        rig.Machine.Verify();
    }

    [Fact]
    public void What_the_device_kept_of_a_page_goes_with_the_write_that_makes_it_worthless()
    {
        using Zram zram = new(Machine, "zram0", "64M");
        Machine.Swap.SwapOn(zram.Disk).Succeeded.Should().BeTrue();
        Cpu cpu = Machine.Cpus[0];
        Process parent = Machine.CreateProcess("parent");
        using (cpu.Run(parent))
        {
            VirtualAddress at = parent.Mm.Mmap(64 * 1024, Prot.Read | Prot.Write).Value;
            for (int i = 0; i < 16; i++)
            {
                cpu.Write(at + (i * 4096), 0x1234_5678_9abc_def0UL + ((ulong)i << 8));
                cpu.Write(at + (i * 4096) + 512, (ulong)i);
            }

            parent.Mm.Madvise(at, 64 * 1024, MemoryAdvice.PageOut).Should().Be(Errno.None);
            Process child = parent.Fork();
            _ = cpu.Read<byte>(at);
            child.Exit();
            long before = Figures(zram["mm_stat"])[0];
            before.Should().Be(16 * 4096, "who only reads may be one of several, and the slot stays");
            cpu.Write(at, (byte)1);
            Figures(zram["mm_stat"])[0].Should().Be(before - 4096);
        }

        Machine.Verify();
        parent.Exit();
    }

    [Fact]
    public void Files_are_written_as_the_kernel_writes_them()
    {
        using Zram zram = new(Machine, "zram0", "64M");
        zram["mm_stat"].Should().Be("       0        0        0        0        0        0        0        0        0\n");
        zram["io_stat"].Should().Be("       0        0 0        0\n");
        zram["bd_stat"].Should().Be("       0        0        0\n");
        zram["disksize"].Should().Be("67108864\n");
        zram["comp_algorithm"].Should().Be("lzo [lz4]\n");
        using (CompressedRig old = new("6.1"))
        {
            using Zram older = new(old.Machine, "zram0", "64M");
            older["io_stat"].Should().Be("       0        0        0        0\n");
        }

        (zram.Write("nothing", "1"), zram.Write("mm_stat", "1"), zram.Write("mem_limit", "much"), zram.Write("idle", "some"), zram.Write("writeback", "idle"))
            .Should().Be((Errno.ENOENT, Errno.EINVAL, Errno.EINVAL, Errno.EINVAL, Errno.ENODEV));
        Action unknown = () => _ = new Zram(Machine, "zram1", "1M", "zstd");
        unknown.Should().Throw<ArgumentException>().WithMessage("*lz4 or lzo, not by zstd*");
    }

    [Fact]
    public void Pages_of_one_word_take_no_memory_and_pages_that_do_not_compress_a_whole_frame()
    {
        using Zram zram = new(Machine, "zram0", "64M");
        Machine.Swap.SwapOn(zram.Disk);
        _rig.Fill(4 * MiB, PageContent.OneWord);
        _rig.Reclaim(4 * MiB);
        long[] stat = Figures(zram["mm_stat"]);
        (stat[5] > 900, stat[5] == stat[0] / 4096 || stat[1] < 100_000).Should().Be((true, true));
        _rig.Check();
        _rig.Exit();

        _rig.Fill(4 * MiB, PageContent.Random);
        _rig.Reclaim(4 * MiB);
        stat = Figures(zram["mm_stat"]);
        stat[7].Should().BeGreaterThan(900);
        stat[8].Should().Be(stat[7]);
        stat[2].Should().BeGreaterThanOrEqualTo(stat[7] * 4096);
        _rig.Check();
        Machine.Verify();
    }

    [Fact]
    public void Above_its_limit_writes_fail_and_pages_stay_in_memory()
    {
        using Zram zram = new(Machine, "zram0", "64M");
        zram["mem_limit"] = "1M";
        SwapArea area = Machine.Swap.SwapOn(zram.Disk);
        _rig.Fill(8 * MiB);
        _rig.Reclaim(8 * MiB);

        zram.MemoryBytes.Should().BeLessThanOrEqualTo(MiB);
        area.WriteErrors.Should().BePositive();
        Figures(zram["io_stat"])[1].Should().Be(area.WriteErrors);
        _rig.Check();
        Machine.Verify();
    }

    [Fact]
    public void Idle_pages_move_to_the_backing_disk_and_come_back_from_there()
    {
        using BlockDevice disk = new("sdb", "16M");
        using Zram zram = new(Machine, "zram0", "64M", backing: disk);
        Machine.Swap.SwapOn(zram.Disk);
        _rig.Fill(8 * MiB);
        _rig.Reclaim(8 * MiB);
        long stored = zram.OriginalBytes;
        zram["idle"] = "all";
        zram["writeback"] = "idle";

        (zram.MemoryBytes, zram.CompressedBytes, zram.OriginalBytes).Should().Be((0, 0, stored));
        long[] backed = Figures(zram["bd_stat"]);
        backed.Should().Equal(stored / 4096, 0, stored / 4096);
        disk.PagesWritten.Should().Be(stored / 4096);
        _rig.Check();
        Figures(zram["bd_stat"])[1].Should().BeGreaterThan(1000);
        Machine.Verify();
        _rig.Exit();
        Figures(zram["bd_stat"])[0].Should().Be(0);
        Machine.Verify();
    }

    [Fact]
    public void Compaction_by_hand_gives_frames_back()
    {
        using Zram zram = new(Machine, "zram0", "64M");
        Machine.Swap.SwapOn(zram.Disk);
        _rig.Fill(16 * MiB);
        _rig.Reclaim(16 * MiB);
        _rig.Check(every: 2);
        _rig.Write(every: 2);
        long before = zram.MemoryBytes;
        zram["compact"] = "1";

        Figures(zram["mm_stat"])[6].Should().Be((before - zram.MemoryBytes) / 4096);
        zram.MemoryBytes.Should().BeLessThan(before * 3 / 4);
        Machine.Verify();
        _rig.Check();
    }

    [Fact]
    public void Damaged_compressed_bytes_end_in_an_error_of_that_page_alone()
    {
        using Zram zram = new(Machine, "zram0", "64M");
        SwapArea area = Machine.Swap.SwapOn(zram.Disk);
        _rig.Fill(MiB);
        _rig.Reclaim(MiB);
        List<int> frames = [];
        Machine.Swap.CompressedPools.AddFrames(frames);
        foreach (int pfn in frames)
        {
            Machine.Ram.Frame(pfn).Fill(0xff);
        }

        Func<int> read = () => _rig.ReadAll();

        read.Should().Throw<SignalException>().WithMessage("*SIGBUS*");
        area.ReadErrors.Should().BePositive();
        Machine.Verify();
    }

    [Fact]
    public void A_disk_in_use_cannot_be_thrown_away_and_a_free_one_gives_all_back()
    {
        using CompressedRig rig = new("7.3");
        Zram zram = new(rig.Machine, "zram0", "16M");
        SwapArea area = rig.Machine.Swap.SwapOn(zram.Disk);
        rig.Fill(MiB);
        rig.Reclaim(MiB);
        zram.Dispose();
        zram.Write("reset", "1").Should().Be(Errno.EBUSY);
        zram.OriginalBytes.Should().BePositive("it is in use");

        rig.Machine.Swap.SwapOff(rig.Machine.Cpus[0], area).Should().Be(Errno.None);
        zram.Dispose();
        rig.Machine.Swap.CompressedPools.All.Should().BeEmpty();
        Counter(rig.Machine, "nr_zspages").Should().Be(0);
        rig.Check();
        rig.Machine.Verify();
    }

    internal static long Counter(Machine machine, string name) =>
        long.Parse(machine.Proc.VmStat.Split('\n').Single(line => line.StartsWith(name + " ", StringComparison.Ordinal))[(name.Length + 1)..], CultureInfo.InvariantCulture);

    private static long[] Figures(string line) => [.. line.Split(' ', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Select(word => long.Parse(word, CultureInfo.InvariantCulture))];
}
