using FluentAssertions;
using MemSim.Statistics;
using MemSim.Tests.Filesystems;
using Xunit;

namespace MemSim.Tests.PageCache;

public class WritebackTests
{
    private const int PageSize = FileMachine.PageSize;

    [Fact]
    public void A_write_stays_in_memory_until_fsync()
    {
        using FileMachine m = new();
        OpenFile file = m.Files.Create("f").Value;
        m.Cpu.Files.Write(file, 0, new byte[3 * PageSize]).Value.Should().Be(3 * PageSize);
        m.Disk.PagesWritten.Should().Be(0);
        m.Counters.Dirty.Should().Be(3);
        m.Machine.Proc.MemInfo.Should().MatchRegex("Dirty: +12 kB");
        m.Cpu.Files.Fsync(file).Should().Be(Errno.None);
        m.Disk.PagesWritten.Should().Be(3);
        m.Disk.WriteRequests.Should().Be(1, "the pages lie next to each other");
        m.Counters.Dirty.Should().Be(0);
        m.Counters.Dirtied.Should().Be(3);
        m.Counters.Written.Should().Be(3);
        m.Machine.Events[VmEvent.PagesOut].Should().Be(12);
        m.Cpu.Files.Fsync(file).Should().Be(Errno.None);
        m.Disk.PagesWritten.Should().Be(3);
    }

    [Fact]
    public void A_failed_write_is_reported_once_to_each_open_file()
    {
        using FileMachine m = new();
        OpenFile first = m.Files.Create("f").Value;
        OpenFile second = m.Files.Open("f", OpenMode.ReadWrite).Value;
        m.Cpu.Files.Write(first, 0, new byte[PageSize]);
        m.Disk.FailSectors(0, 8, reads: false);
        m.Cpu.Files.Sync();
        m.Cpu.Files.Fsync(first).Should().Be(Errno.EIO);
        m.Cpu.Files.Fsync(first).Should().Be(Errno.None);
        m.Cpu.Files.Fsync(second).Should().Be(Errno.EIO);
        m.Cpu.Files.Fsync(second).Should().Be(Errno.None);
        OpenFile late = m.Files.Open("f", OpenMode.ReadWrite).Value;
        m.Cpu.Files.Fsync(late).Should().Be(Errno.None, "it was opened after the error had been told");
        m.Cpu.Files.Write(late, 0, new byte[PageSize]);
        m.Cpu.Files.Fsync(late).Should().Be(Errno.EIO);
    }

    [Fact]
    public void An_error_that_nobody_heard_of_is_told_to_whoever_opens_the_file_next()
    {
        using FileMachine m = new();
        OpenFile file = m.Files.Create("f").Value;
        m.Cpu.Files.Write(file, 0, new byte[PageSize]);
        m.Disk.Vanish();
        m.Cpu.Files.Sync();
        file.Close(m.Cpu);
        m.Disk.Reappear();
        m.Cpu.Files.Fsync(m.Files.Open("f").Value).Should().Be(Errno.EIO);
    }

    [Fact]
    public void A_full_file_system_takes_what_fits()
    {
        using FileMachine m = new(disk: "16K");
        OpenFile file = m.Files.Create("f").Value;
        m.Cpu.Files.Write(file, 0, new byte[6 * PageSize]).Value.Should().Be(4 * PageSize);
        m.Cpu.Files.Write(file, 4 * PageSize, new byte[1]).Error.Should().Be(Errno.ENOSPC);
        file.File.CachedPages.Should().Be(4, "a page that has no room does not stay");
        m.Cpu.Files.Fsync(file).Should().Be(Errno.None);
        m.Cpu.Files.PunchHole(file, PageSize, PageSize).Should().Be(Errno.None);
        m.Cpu.Files.Write(file, 5 * PageSize, new byte[] { 3 }).Value.Should().Be(1);
        m.ReadPage(file, 1).Should().Be(0);
        m.Disk.IsFull = true;
        m.Cpu.Files.Write(file, 1 * PageSize, new byte[1]).Error.Should().Be(Errno.ENOSPC);
        m.Cpu.Files.Fsync(file).Should().Be(Errno.ENOSPC);
    }

    [Fact]
    public void Pages_that_are_dirty_for_thirty_seconds_are_written()
    {
        using FileMachine m = new();
        OpenFile file = m.Files.Create("f").Value;
        m.Cpu.Files.Write(file, 0, new byte[PageSize]);
        m.Machine.AdvanceTime(TimeSpan.FromSeconds(29));
        m.Disk.PagesWritten.Should().Be(0);
        m.Machine.AdvanceTime(TimeSpan.FromSeconds(7));
        m.Disk.PagesWritten.Should().Be(1);
    }

    [Fact]
    public void Too_many_dirty_pages_wake_the_flusher_far_too_many_hold_the_writer_up()
    {
        using FileMachine m = new();
        m.Machine.Sysctl.Set("dirty_background_bytes", "262144");
        m.Machine.Sysctl.Set("dirty_bytes", "1048576");
        OpenFile file = m.Files.Create("f").Value;
        for (int i = 0; i < 512; i++)
        {
            m.Cpu.Files.Write(file, i * PageSize, new byte[PageSize]);
            m.Counters.Dirty.Should().BeLessThanOrEqualTo(64 + 33);
        }

        m.Machine.Files.PageCache.Throttled.Should().Be(0);
        m.Machine.Background.Mode = BackgroundWork.Manual;
        for (int i = 0; i < 512; i++)
        {
            m.Cpu.Files.Write(file, i * PageSize, new byte[PageSize]);
            m.Counters.Dirty.Should().BeLessThanOrEqualTo(256);
        }

        m.Machine.Files.PageCache.Throttled.Should().BePositive();
    }

    [Fact]
    public void Writes_under_way_show_as_writeback_until_they_end()
    {
        using FileMachine m = new();
        m.Disk.HoldsWrites = true;
        OpenFile file = m.Files.Create("f").Value;
        m.Cpu.Files.Write(file, 0, new byte[2 * PageSize]);
        m.Machine.AdvanceTime(TimeSpan.FromSeconds(40));
        m.Counters.Writeback.Should().Be(2);
        m.Machine.Verify();
        m.Cpu.Files.Write(file, 0, new byte[] { 5 });
        m.Counters.Dirty.Should().Be(1, "a page can get dirty again while it is being written");
        m.Machine.Verify();
        m.Disk.CompleteWrites(m.Cpu).Should().Be(2);
        m.Counters.Writeback.Should().Be(0);
        m.Cpu.Files.Fsync(file).Should().Be(Errno.None);
        m.Counters.Writeback.Should().Be(0);
        m.Machine.Files.DropCaches(1);
        m.ReadPage(file, 0, 1).Should().Be(5);
    }

    [Fact]
    public void Writing_back_makes_mapped_pages_clean_first()
    {
        using FileMachine m = new();
        OpenFile file = m.FileOnDisk(2);
        m.ReadPage(file, 1);
        m.Machine.Lru.DrainAll();
        FakeArea area = new() { StartIndex = 0, Pages = 2 };
        file.Mapping.AddArea(area);
        Page page = m.Machine.GetPage(new Pfn(FileMachine.PageOf(file, 1)));
        page.AddMapCount(1);
        m.Cpu.Pages.GetPage(page);
        file.Mapping.PageMkWrite(m.Cpu, page.FrameIndex).Should().BeTrue();
        m.Cpu.Files.Fsync(file).Should().Be(Errno.None);
        area.Cleaned.Should().Equal(1u);
        page.AddMapCount(-1);
        m.Cpu.Pages.PutPage(page);
        file.Mapping.RemoveArea(area);
    }

    [Theory]
    [InlineData(-1, Errno.EINVAL)]
    [InlineData(long.MaxValue - 1, Errno.EFBIG)]
    public void Offsets_that_make_no_sense_are_refused(long offset, Errno expected)
    {
        using FileMachine m = new();
        OpenFile file = m.Files.Create("f").Value;
        m.Cpu.Files.Write(file, offset, new byte[1]).Error.Should().Be(expected);
        m.Cpu.Files.Truncate(file, offset).Should().Be(expected);
        m.Files.Create("f").Error.Should().Be(Errno.EEXIST);
        m.Files.Create("").Error.Should().Be(Errno.EINVAL);
        m.Files.Open("g").Error.Should().Be(Errno.ENOENT);
        OpenFile reader = m.Files.Open("f").Value;
        m.Cpu.Files.Write(reader, 0, new byte[1]).Error.Should().Be(Errno.EBADF);
    }
}
