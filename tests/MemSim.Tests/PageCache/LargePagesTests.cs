using FluentAssertions;
using MemSim.Pages;
using MemSim.Statistics;
using Xunit;

namespace MemSim.Tests.PageCache;

/// <summary>Files in large pages: read-ahead brings them (6.17 and later), reading and reclaim take them whole, everything else splits them.</summary>
public sealed class LargePagesTests : IDisposable
{
    private const int FilePages = 32 * 256;
    private readonly BlockDevice _disk = new("vda", "64M");
    private Machine? _machine;

    private Machine Machine => _machine!;

    private Cpu Cpu => Machine.Cpus[0];

    public void Dispose()
    {
        _machine?.Dispose();
        _disk.Dispose();
    }

    [Theory]
    [InlineData("6.17")]
    [InlineData("6.18")]
    [InlineData("7.3")]
    public void A_stream_is_read_in_pages_of_order_0_2_4_6_8_and_9(string kernel)
    {
        OpenFile file = Open(kernel);
        Read(file, 0, FilePages);
        List<(uint Index, int Order)> found = Orders(file);
        found.Select(f => f.Order).Distinct().Should().Equal(0, 2, 4, 6, 7, 8, 9);
        found.Where(f => f.Order == 2).Select(f => f.Index).Should().Equal(Enumerable.Range(0, 64).Select(i => (uint)(64 + (4 * i))), "256 pages after the first 64");
        found.Should().OnlyContain(f => (f.Index & ((1u << f.Order) - 1)) == 0);
        found.Count(f => f.Order == 9).Should().Be(8, "from page 4096 to the end");
        Machine.Nodes[0].Counters.FileHugePages.Should().Be(8 * 512);
        Machine.Proc.VmStat.Should().Contain("nr_file_hugepages 8\n");
        Machine.Verify();
    }

    [Theory]
    [InlineData("6.1")]
    [InlineData("6.12")]
    public void Older_kernels_read_single_pages(string kernel)
    {
        OpenFile file = Open(kernel);
        Read(file, 0, FilePages);
        Orders(file).Should().OnlyContain(f => f.Order == 0);
    }

    [Fact]
    public void What_is_read_is_what_was_written_whatever_the_size_of_pages()
    {
        OpenFile file = Open("7.3");
        Read(file, 0, FilePages, check: true);
        Read(file, 0, FilePages, check: true);
        byte[] odd = new byte[3000];
        Cpu.Files.Read(file, (5000L * 4096) + 4000, odd).Value.Should().Be(3000);
        odd.Should().StartWith(Enumerable.Repeat(ByteOf(5000), 96)).And.EndWith(Enumerable.Repeat(ByteOf(5001), 2904));
    }

    [Fact]
    public void A_write_splits_the_page_it_meets_and_no_other()
    {
        OpenFile file = Open("7.3");
        Read(file, 0, FilePages);
        Cpu.Files.Write(file, (5000L * 4096) + 10, new byte[] { 42 }).Succeeded.Should().BeTrue();
        Orders(file).Count(f => f.Order == 9).Should().Be(7);
        Machine.Nodes[0].Counters.Dirty.Should().Be(1);
        Machine.Verify();
        Cpu.Files.Fsync(file).Should().Be(Errno.None);
        Machine.Files.DropCaches(1);
        byte[] page = new byte[4096];
        Cpu.Files.Read(file, 5000L * 4096, page).Value.Should().Be(4096);
        page[10].Should().Be(42);
        page[11].Should().Be(ByteOf(5000));
        Machine.Verify();
    }

    [Fact]
    public void Truncation_in_the_middle_of_a_page_leaves_its_first_part()
    {
        OpenFile file = Open("7.3");
        Read(file, 0, FilePages);
        Cpu.Files.Truncate(file, (5000L * 4096) + 100).Should().Be(Errno.None);
        file.Mapping.PageCount.Should().Be(5001);
        Machine.Verify();
        Read(file, 4900, 100, check: true);
        Cpu.Files.Truncate(file, 0).Should().Be(Errno.None);
        file.Mapping.PageCount.Should().Be(0);
        file.Mapping.ValueCount.Should().Be(0);
        Machine.Verify();
    }

    [Fact]
    public void A_mapping_splits_the_pages_around_a_fault_and_maps_them()
    {
        OpenFile file = Open("7.3");
        Read(file, 0, FilePages);
        Process process = Machine.CreateProcess("map");
        using (Cpu.Run(process))
        {
            VirtualAddress at = process.Mm.Mmap(default, FilePages * 4096L, Prot.Read, MapFlags.Private, file).Value;
            Cpu.Read<byte>(at + (5000L * 4096)).Should().Be(ByteOf(5000));
        }

        process.Mm.FilePages.Should().Be(16, "the 64 KiB around it");
        Orders(file).Count(f => f.Order == 9).Should().Be(7);
        Machine.Verify();
        process.Exit();
        Machine.Verify();
    }

    [Fact]
    public void Dropped_caches_take_large_pages_whole()
    {
        OpenFile file = Open("7.3");
        Read(file, 0, FilePages);
        long free = Machine.Nodes[0].Zones.Sum(z => z.FreePages);
        Machine.Files.DropCaches(1);
        file.Mapping.PageCount.Should().Be(0);
        Machine.Nodes[0].Counters.FileHugePages.Should().Be(0);
        (Machine.Nodes[0].Zones.Sum(z => z.FreePages) - free).Should().BeGreaterThan(FilePages - 600);
        Machine.Verify();
    }

    [Fact]
    public void A_large_page_above_the_limit_makes_reclaim_take_as_much()
    {
        OpenFile file = Open("7.3");
        Cgroup a = Machine.Cgroups.Create("/a");
        a["memory.max"] = "16M";
        Process reader = Machine.CreateProcess("dd");
        reader.Cgroup = a;
        using (Cpu.Run(reader))
        {
            Read(file, 0, FilePages);
        }

        Orders(file).Count(f => f.Order == 9).Should().BeGreaterThan(4);
        Machine.Events[VmEvent.StealFile].Should().Be(9 * 512, "whole large pages, and as many of the smaller ones");
        a["memory.stat"].Should().MatchRegex("(?m)^file_thp [1-9]");
        file.Mapping.ValueCount.Should().BeGreaterThan(8 * 512 - 16, "each index of a page that went remembers when");
        Machine.Verify();
    }

    [Fact]
    public void A_limit_below_the_size_of_a_page_makes_them_smaller()
    {
        OpenFile file = Open("7.3");
        Cgroup a = Machine.Cgroups.Create("/a");
        a["memory.max"] = "1M";
        Process reader = Machine.CreateProcess("dd");
        reader.Cgroup = a;
        using (Cpu.Run(reader))
        {
            Read(file, 0, FilePages, check: true);
        }

        Orders(file).Should().OnlyContain(f => f.Order < 9);
        a["memory.events"].Should().Contain("oom 0\n");
        Machine.Verify();
    }

    [Fact]
    public void A_large_page_that_comes_back_is_a_refault_of_all_its_pages()
    {
        OpenFile file = Open("7.3");
        Cgroup a = Machine.Cgroups.Create("/a");
        a["memory.max"] = "16M";
        for (int round = 0; round < 2; round++)
        {
            Process reader = Machine.CreateProcess("dd");
            reader.Cgroup = a;
            using (Cpu.Run(reader))
            {
                Read(file, 0, FilePages);
            }
        }

        Machine.Nodes[0].Counters.WorkingsetRefaultFile.Should().Be(FilePages, "reading in circles misses everything");
        Machine.Verify();
    }

    private static byte ByteOf(int page) => (byte)((page * 7) + 1);

    private OpenFile Open(string kernel, string memory = "256M")
    {
        _machine = Machine.Boot(MachineSpec.X86_64(memory, cpus: 1).WithKernel(kernel));
        DiskFileSystem files = Machine.Files.Mount(_disk);
        OpenFile file = files.Create("f").Value;
        byte[] page = new byte[4096];
        for (int i = 0; i < FilePages; i++)
        {
            Array.Fill(page, ByteOf(i));
            Cpu.Files.Write(file, i * 4096L, page).Succeeded.Should().BeTrue();
        }

        Cpu.Files.Fsync(file);
        Machine.Files.DropCaches(1);
        file.ReadAhead.MaxPages = 2048;
        return file;
    }

    private void Read(OpenFile file, int first, int pages, bool check = false)
    {
        byte[] block = new byte[16 * 4096];
        for (int at = first; at < first + pages; at += 16)
        {
            int bytes = Cpu.Files.Read(file, at * 4096L, block.AsSpan(0, Math.Min(16, first + pages - at) * 4096)).Value;
            for (int i = 0; i < bytes && check; i += 4096)
            {
                block[i].Should().Be(ByteOf(at + (i / 4096)));
                block[i + 4095].Should().Be(ByteOf(at + (i / 4096)));
            }
        }
    }

    private List<(uint Index, int Order)> Orders(OpenFile file)
    {
        List<(uint, int)> found = [];
        for (uint index = 0; index < FilePages; index++)
        {
            int pfn = file.Mapping.Find(index);
            if (pfn >= 0)
            {
                ref PageFrame frame = ref Machine.Frames.Array[pfn];
                found.Add((frame.Index, frame.Order));
                index = file.Mapping.LastIndexOf(pfn);
            }
        }

        return found;
    }
}
