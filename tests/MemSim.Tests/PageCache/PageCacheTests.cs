using FluentAssertions;
using MemSim.Filesystems;
using MemSim.Lru;
using MemSim.Observability;
using MemSim.PageCache;
using MemSim.Statistics;
using MemSim.Tests.Filesystems;
using Xunit;

namespace MemSim.Tests.PageCache;

public class PageCacheTests
{
    private const int PageSize = FileMachine.PageSize;

    [Fact]
    public void A_second_read_of_the_same_page_asks_the_disk_for_nothing()
    {
        using FileMachine m = new();
        OpenFile file = m.FileOnDisk(1);
        m.ReadPage(file, 0).Should().Be(1);
        long requests = m.Disk.ReadRequests;
        TimeSpan before = m.Machine.Uptime;
        m.ReadPage(file, 0).Should().Be(1);
        m.Disk.ReadRequests.Should().Be(requests);
        m.Machine.Uptime.Should().Be(before, "only waiting for a device takes simulated time");
        m.Counters.FilePages.Should().Be(1);
    }

    [Fact]
    public void Readahead_brings_the_range_and_waits_for_nothing()
    {
        using FileMachine m = new();
        OpenFile file = m.FileOnDisk(20);

        m.Cpu.Files.ReadAhead(file, 4 * PageSize, 6 * PageSize).Should().Be(Errno.None);

        Enumerable.Range(0, 20).Where(i => FileMachine.PageOf(file, (uint)i) >= 0).Should().Equal(4, 5, 6, 7, 8, 9);
        long requests = m.Disk.ReadRequests;
        m.ReadPage(file, 7).Should().Be(8);
        m.Disk.ReadRequests.Should().Be(requests);
        m.Cpu.Files.ReadAhead(file, -1, 1).Should().Be(Errno.EINVAL);
    }

    [Fact]
    public void Reading_in_order_doubles_the_window_up_to_32_pages()
    {
        using FileMachine m = new();
        OpenFile file = m.FileOnDisk(256);
        List<long> windows = [];
        for (int i = 0; i < 256; i++)
        {
            long before = m.Disk.PagesRead;
            m.ReadPage(file, i).Should().Be((byte)(i + 1));
            if (m.Disk.PagesRead != before)
            {
                windows.Add(m.Disk.PagesRead - before);
            }
        }

        // One page asked for: 4; then 8, 16, 32, 32 …, the last one what is left.
        windows.Should().Equal(4, 8, 16, 32, 32, 32, 32, 32, 32, 32, 4);
        m.Disk.ReadRequests.Should().Be(windows.Count);
    }

    [Fact]
    public void Reading_here_and_there_brings_single_pages()
    {
        using FileMachine m = new();
        OpenFile file = m.FileOnDisk(200);
        foreach (int page in new[] { 150, 40, 190, 90 })
        {
            long before = m.Disk.PagesRead;
            m.ReadPage(file, page).Should().Be((byte)(page + 1));
            (m.Disk.PagesRead - before).Should().Be(1);
        }
    }

    [Fact]
    public void The_page_that_starts_the_next_window_carries_the_mark()
    {
        using FileMachine m = new();
        OpenFile file = m.FileOnDisk(64);
        m.ReadPage(file, 0);
        file.File.CachedPages.Should().Be(4);
        m.Machine.GetPage(new Pfn(FileMachine.PageOf(file, 1))).Flags.Should().HaveFlag(PageFlags.Reclaim, "one page was asked for, the other three are ahead");
        m.ReadPage(file, 1);
        file.File.CachedPages.Should().Be(12);
        m.Machine.GetPage(new Pfn(FileMachine.PageOf(file, 1))).Flags.Should().NotHaveFlag(PageFlags.Reclaim);
    }

    [Fact]
    public void Two_reads_activate_a_page_two_writes_do_not()
    {
        using FileMachine m = new();
        OpenFile file = m.FileOnDisk(2);
        byte[] page = new byte[PageSize];
        m.ReadPage(file, 0);
        m.ReadPage(file, 1);
        m.ReadPage(file, 0);
        m.Machine.Lru.DrainAll();
        m.Counters.ActiveFile.Should().Be(1);
        OpenFile written = m.Files.Create("written").Value;
        m.Cpu.Files.Write(written, 0, page);
        m.Cpu.Files.Write(written, 0, page);
        m.Machine.Lru.DrainAll();
        m.Counters.ActiveFile.Should().Be(1);
    }

    [Fact]
    public void Pages_of_files_may_be_moved_and_buffers_may_not()
    {
        using FileMachine m = new();
        OpenFile file = m.FileOnDisk(1);
        m.ReadPage(file, 0);
        file.Mapping.Gfp.Should().Be(Gfp.HighUserMovable);
        OpenFile device = m.Machine.Files.OpenDevice(m.Disk).Value;
        device.Mapping.Gfp.Should().Be(Gfp.User);
        m.ReadPage(device, 10);
        m.Machine.SystemFigures.BufferPages.Should().Be(device.File.CachedPages).And.BePositive();
        m.Machine.Proc.MemInfo.Should().Contain("Buffers:").And.MatchRegex($"Cached: +{4 * file.File.CachedPages} kB");
    }

    [Fact]
    public void Pages_of_a_file_that_keeps_them_go_to_no_list_that_reclaim_looks_at()
    {
        using FileMachine m = new();
        OpenFile file = m.FileOnDisk(4);
        file.Mapping.IsUnevictable = true;
        file.Mapping.IsUnevictable = true;
        m.Machine.Frames.Mappings.KeepingOwners.Should().Be(1);
        m.ReadPage(file, 0);
        m.Machine.Lru.DrainAll();
        m.Counters.Unevictable.Should().BePositive().And.Be(file.File.CachedPages);
        m.Counters.InactiveFile.Should().Be(0);
        file.Mapping.IsUnevictable = false;
        m.Machine.Frames.Mappings.KeepingOwners.Should().Be(0);
    }

    [Fact]
    public void What_reclaim_took_comes_back_as_a_refault()
    {
        using FileMachine m = new();
        OpenFile file = m.FileOnDisk(1);
        m.ReadPage(file, 0);
        m.Machine.Lru.DrainAll();
        int pfn = FileMachine.PageOf(file, 0);
        m.Machine.Lru.Isolate(pfn).Should().BeTrue();
        m.Machine.GetPage(new Pfn(pfn)).SetFlags(PageFlags.Locked);
        PageCacheOwners.RemoveFromCache(m.Cpu, pfn).Should().BeTrue();
        m.Machine.GetPage(new Pfn(pfn)).ClearFlags(PageFlags.Locked);
        m.Machine.Lru.Put(m.Cpu, pfn);
        file.Mapping.ValueCount.Should().Be(1);
        m.ReadPage(file, 0).Should().Be(1);
        file.Mapping.ValueCount.Should().Be(0);
        m.Counters.WorkingsetRefaultFile.Should().Be(1);
    }

    [Fact]
    public void A_page_that_somebody_else_holds_or_that_is_dirty_stays()
    {
        using FileMachine m = new();
        OpenFile file = m.FileOnDisk(2);
        m.ReadPage(file, 0);
        m.Machine.Lru.DrainAll();
        Page page = m.Machine.GetPage(new Pfn(FileMachine.PageOf(file, 0)));
        m.Cpu.Pages.GetPage(page);
        m.Cpu.Pages.GetPage(page);
        page.SetFlags(PageFlags.Locked);
        PageCacheOwners.RemoveFromCache(m.Cpu, page.FrameIndex).Should().BeFalse();
        m.Cpu.Pages.PutPage(page);
        file.Mapping.SetDirty(m.Cpu, page.FrameIndex).Should().BeTrue();
        PageCacheOwners.RemoveFromCache(m.Cpu, page.FrameIndex).Should().BeFalse();
        PageCacheOwners.PageOut(m.Cpu, page.FrameIndex).Should().Be(PageOutOutcome.Success);
        PageCacheOwners.RemoveFromCache(m.Cpu, page.FrameIndex).Should().BeTrue();
        page.ClearFlags(PageFlags.Locked);
        m.Machine.Lru.Put(m.Cpu, page.FrameIndex);
        m.Counters.VmscanWrite.Should().Be(0, "reclaim counts what it wrote");
    }

    [Fact]
    public void A_moved_page_keeps_place_dirt_and_counts()
    {
        using FileMachine m = new();
        OpenFile file = m.Files.Create("f").Value;
        m.Cpu.Files.Write(file, 5 * PageSize, new byte[] { 7 });
        m.Machine.Lru.DrainAll();
        int from = FileMachine.PageOf(file, 5);
        m.Machine.Lru.Isolate(from).Should().BeTrue();
        int to = m.Cpu.AllocPage(Gfp.HighUserMovable).FrameIndex;
        m.Machine.Ram.ReadOnly((ulong)from << 12, PageSize).CopyTo(m.Machine.Ram.Frame(to));
        m.Machine.GetPage(new Pfn(to)).SetFlags(PageFlags.UpToDate);
        PageCacheOwners.MoveMapping(m.Cpu, from, to).Should().BeTrue();
        m.Machine.Lru.Put(m.Cpu, from);
        m.Machine.Lru.Add(m.Cpu, to);
        m.Machine.Lru.Put(m.Cpu, to);
        FileMachine.PageOf(file, 5).Should().Be(to);
        m.Machine.Verify();
        m.Cpu.Files.Fsync(file).Should().Be(Errno.None);
        m.ReadPage(file, 5).Should().Be(7);
    }

    [Fact]
    public void Truncation_unmaps_zeroes_the_rest_and_gives_everything_back()
    {
        using FileMachine m = new();
        long free = m.Files.FreePages;
        OpenFile file = m.FileOnDisk(10);
        FakeArea area = new() { StartIndex = 0, Pages = 10 };
        file.Mapping.AddArea(area);
        m.ReadPage(file, 9);
        m.Cpu.Files.Truncate(file, (3 * PageSize) + 100).Should().Be(Errno.None);
        area.Unmapped.Should().Equal((4u, uint.MaxValue, true));
        file.File.Blocks.Should().Be(4);
        m.Files.FreePages.Should().Be(free - 4);
        m.Cpu.Files.Truncate(file, 5 * PageSize).Should().Be(Errno.None);
        byte[] page = new byte[PageSize];
        m.Cpu.Files.Read(file, 3 * PageSize, page).Value.Should().Be(PageSize);
        page[99].Should().Be(4);
        page[100].Should().Be(0);
        m.Cpu.Files.Read(file, 4 * PageSize, page).Value.Should().Be(PageSize);
        page.Should().OnlyContain(b => b == 0);
        file.Mapping.RemoveArea(area);
        file.Close(m.Cpu);
        m.Files.Delete(m.Cpu, "file").Should().Be(Errno.None);
        m.Files.FreePages.Should().Be(free);
        m.Counters.FilePages.Should().Be(0);
    }

    [Fact]
    public void A_deleted_file_lives_until_it_is_closed()
    {
        using FileMachine m = new();
        OpenFile file = m.FileOnDisk(3);
        m.Files.Delete(m.Cpu, "file").Should().Be(Errno.None);
        m.Files.Open("file").Error.Should().Be(Errno.ENOENT);
        m.ReadPage(file, 2).Should().Be(3);
        file.Close(m.Cpu);
        m.Counters.FilePages.Should().Be(0);
        m.Cpu.Files.Read(file, 0, new byte[1]).Error.Should().Be(Errno.EBADF);
    }

    [Fact]
    public void A_fault_reads_around_behind_the_end_is_a_bus_error()
    {
        using FileMachine m = new();
        OpenFile file = m.FileOnDisk(100);
        file.Mapping.GetPageForFault(m.Cpu, 50, out int pfn, file).Should().Be(FaultResult.Major);
        file.File.CachedPages.Should().Be(32);
        FileMachine.PageOf(file, 34).Should().BePositive("the window begins 16 pages before");
        file.Mapping.Peek(49).Should().Be(FileMachine.PageOf(file, 49));
        m.Machine.Lru.Put(m.Cpu, pfn);
        file.Mapping.GetPageForFault(m.Cpu, 51, out pfn, file).Should().Be(FaultResult.None);
        m.Machine.Lru.Put(m.Cpu, pfn);
        file.Mapping.GetPageForFault(m.Cpu, 100, out pfn, file).Should().Be(FaultResult.SigBus);
        pfn.Should().Be(-1);
        m.Disk.FailSectors(0, 1_000_000);
        file.Mapping.GetPageForFault(m.Cpu, 5, out _, file).Should().Be(FaultResult.SigBus);
        m.Disk.RepairSectors();
        m.ReadPage(file, 5).Should().Be(6, "a page that could not be read is read again");
    }

    [Fact]
    public void Shared_memory_is_zero_counted_as_shmem_and_limited()
    {
        using FileMachine m = new();
        TmpFileSystem tmp = m.Machine.Files.MountTmpfs("16K");
        OpenFile file = tmp.Create("t").Value;
        m.Cpu.Files.Write(file, 0, new byte[3 * PageSize]).Value.Should().Be(3 * PageSize);
        m.Cpu.Files.Write(file, 8 * PageSize, new byte[] { 9 }).Value.Should().Be(1);
        m.Cpu.Files.Write(file, 10 * PageSize, new byte[] { 9 }).Error.Should().Be(Errno.ENOSPC);
        m.ReadPage(file, 5).Should().Be(0);
        file.File.CachedPages.Should().Be(4, "reading a hole makes no page");
        m.Machine.Lru.DrainAll();
        m.Counters.Shmem.Should().Be(4);
        m.Counters.InactiveAnon.Should().Be(4);
        m.Counters.Dirty.Should().Be(0);
        m.Machine.Files.DropCaches(1);
        m.ReadPage(file, 8, 1).Should().Be(9);
        OpenFile anonymous = ShmemFile.Create(m.Cpu, 4 * PageSize).Value;
        anonymous.Mapping.GetPageForFault(m.Cpu, 2, out int pfn).Should().Be(FaultResult.None);
        m.Machine.Lru.Put(m.Cpu, pfn);
        m.Counters.Shmem.Should().Be(5);
        anonymous.Close(m.Cpu);
        file.Close(m.Cpu);
        tmp.Delete(m.Cpu, "t").Should().Be(Errno.None);
        m.Counters.Shmem.Should().Be(0);
        tmp.FreePages.Should().Be(4);
    }

    [Fact]
    public void Shared_memory_that_was_swapped_out_comes_back()
    {
        using FileMachine m = new();
        FakeShmemSwap swap = new();
        m.Machine.Files.ShmemSwap = swap;
        OpenFile file = m.Machine.Files.MountTmpfs("1M").Create("t").Value;
        for (int i = 0; i < 3; i++)
        {
            m.Cpu.Files.Write(file, i * PageSize, new[] { (byte)(i + 1) });
        }

        m.Machine.Lru.DrainAll();
        for (uint i = 0; i < 3; i++)
        {
            int pfn = FileMachine.PageOf(file, i);
            m.Machine.Lru.Isolate(pfn).Should().BeTrue();
            m.Machine.GetPage(new Pfn(pfn)).SetFlags(PageFlags.Locked);
            PageCacheOwners.PageOut(m.Cpu, pfn).Should().Be(PageOutOutcome.Success);
            m.Machine.GetPage(new Pfn(pfn)).ClearFlags(PageFlags.Locked);
            m.Machine.Lru.Put(m.Cpu, pfn);
        }

        file.File.CachedPages.Should().Be(0);
        file.File.Blocks.Should().Be(3);
        m.Machine.Verify();
        m.ReadPage(file, 1, 1).Should().Be(2);
        m.Cpu.Files.Write(file, 1, new byte[] { 77 }).Value.Should().Be(1);
        m.ReadPage(file, 0, 1).Should().Be(1);
        swap.Used.Should().Be(1);
        m.Cpu.Files.Truncate(file, 0).Should().Be(Errno.None);
        swap.Used.Should().Be(0);
        file.File.Blocks.Should().Be(0);
    }

    [Fact]
    public void Metadata_alone_can_be_simulated()
    {
        using FileMachine m = new(contents: false);
        OpenFile file = m.FileOnDisk(40);
        _ = m.ReadPage(file, 39);
        m.Cpu.Files.Write(file, 5, new byte[10]).Value.Should().Be(10);
        m.Cpu.Files.Truncate(file, 100).Should().Be(Errno.None);
        m.Counters.FilePages.Should().Be(1);
        m.Cpu.Files.Fsync(file).Should().Be(Errno.None);
        m.Machine.Memory.ContentBytes.Should().Be(0);
    }

    [Fact]
    public void Files_use_high_memory_where_there_is_some()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_32("1G"));
        Cpu cpu = machine.Cpus[0];
        OpenFile file = machine.Files.Mount(new BlockDevice("hda", "1M")).Create("f").Value;
        cpu.Files.Write(file, PageSize, new byte[] { 1, 2, 3 }).Value.Should().Be(3);
        machine.GetPage(new Pfn(file.Mapping.Find(1))).Zone.Type.Should().Be(ZoneType.HighMem);
        byte[] read = new byte[3];
        cpu.Files.Fsync(file).Should().Be(Errno.None);
        machine.Files.DropCaches(1);
        cpu.Files.Read(file, PageSize, read).Value.Should().Be(3);
        read.Should().Equal(1, 2, 3);
        machine.Verify();
    }

    [Fact]
    public void Limits_are_those_that_vmstat_shows()
    {
        using FileMachine m = new();
        OpenFile file = m.FileOnDisk(100);
        m.ReadPage(file, 0);
        m.Machine.Files.PageCache.DirtyLimits.Now().Should().Be(Available.DirtyLimits(m.Machine));
        m.Machine.Sysctl.Set("dirty_bytes", "10000000");
        m.Machine.Files.PageCache.DirtyLimits.Now().Should().Be(Available.DirtyLimits(m.Machine));
    }

    [Fact]
    public void A_file_of_the_host_can_be_read_and_written()
    {
        string path = Path.GetTempFileName();
        try
        {
            File.WriteAllBytes(path, [.. Enumerable.Range(0, 10_000).Select(i => (byte)i)]);
            using FileMachine m = new();
            using BlockDevice device = BlockDevice.FromHostFile(path, readOnly: false);
            OpenFile file = m.Machine.Files.Mount(device).Adopt("host", mode: OpenMode.ReadWrite).Value;
            file.File.Size.Should().Be(10_000);
            byte[] all = new byte[20_000];
            m.Cpu.Files.Read(file, 0, all).Value.Should().Be(10_000);
            all.Take(10_000).Should().Equal(HostFiles.ReadAllBytesShared(path));
            m.Cpu.Files.Write(file, 5_000, "hello"u8).Value.Should().Be(5);
            m.Cpu.Files.Fsync(file).Should().Be(Errno.None);
            file.Close(m.Cpu);
            byte[] host = HostFiles.ReadAllBytesShared(path);
            host.Should().HaveCount(10_000);
            host.AsSpan(5_000, 5).ToArray().Should().Equal("hello"u8.ToArray());
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void Drop_caches_forgets_clean_pages_only()
    {
        using FileMachine m = new();
        OpenFile clean = m.FileOnDisk(8);
        m.ReadPage(clean, 0);
        OpenFile dirty = m.Files.Create("dirty").Value;
        m.Cpu.Files.Write(dirty, 0, new byte[PageSize]);
        m.Machine.Sysctl.Set("vm.drop_caches", "1");
        clean.File.CachedPages.Should().Be(0);
        dirty.File.CachedPages.Should().Be(1);
        m.Machine.Events[VmEvent.DropPagecache].Should().Be(2);
        m.Machine.Invoking(x => x.Sysctl.Set("drop_caches", "9")).Should().Throw<ArgumentException>();
    }

    [Fact]
    public void Nothing_is_left_on_the_managed_heap_by_cached_reads_and_writes()
    {
        using FileMachine m = new();
        OpenFile file = m.FileOnDisk(64);
        byte[] page = new byte[PageSize];
        ManagedBytes.TakenBy(() =>
        {
            for (int i = 0; i < 64; i++)
            {
                _ = m.Cpu.Files.Read(file, i * PageSize, page);
                _ = m.Cpu.Files.Write(file, i * PageSize, page);
            }
        }).Should().Be(0);
        ManagedBytes.TakenBy(() =>
        {
            m.Machine.Files.DropCaches(1);
            _ = m.Cpu.Files.Fsync(file);
            m.Machine.Files.DropCaches(1);
            for (int i = 0; i < 64; i++)
            {
                _ = m.Cpu.Files.Read(file, i * PageSize, page);
            }
        }).Should().Be(0, "reads that miss take pooled nodes");
    }
}

internal static class HostFiles
{
    /// <summary>Reads a file that somebody else has open.</summary>
    public static byte[] ReadAllBytesShared(string path)
    {
        using FileStream stream = new(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        byte[] bytes = new byte[stream.Length];
        stream.ReadExactly(bytes);
        return bytes;
    }
}
