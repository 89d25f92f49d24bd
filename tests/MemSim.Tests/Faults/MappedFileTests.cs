using FluentAssertions;
using MemSim.Tests.VirtualMemory;
using Xunit;

namespace MemSim.Tests.Faults;

/// <summary>Files on a disk, mapped by processes: page tables, page cache and device together.</summary>
public class MappedFileTests
{
    private const int Page = PageGeometry.PageSize;
    private const MapFlags Shared = MapFlags.Shared;
    private const MapFlags Private = MapFlags.Private;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Who_writes_through_a_shared_mapping_is_held_up_as_who_calls_write(bool readFirst)
    {
        const int pages = 512;
        using Rig rig = new("x86_64", pages);
        rig.Machine.Sysctl.Set("dirty_background_bytes", "262144");
        rig.Machine.Sysctl.Set("dirty_bytes", "1048576");
        VirtualAddress at = rig.Map(pages, Shared);
        for (int i = 0; i < pages; i++)
        {
            if (readFirst)
            {
                _ = rig.Cpu.Read<byte>(at + (i * Page));
            }

            rig.Cpu.Write(at + (i * Page), (byte)1);
            rig.Machine.Nodes[0].Counters.Dirty.Should().BeLessThanOrEqualTo(64 + 33);
        }
    }

    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void A_private_mapping_reads_the_file_and_writes_to_itself(string architecture)
    {
        using Rig rig = new(architecture, pages: 8);
        VirtualAddress at = rig.Map(8, Private);
        for (int i = 0; i < 8; i++)
        {
            rig.Cpu.Read<byte>(at + (i * Page)).Should().Be((byte)(i + 1));
        }

        int filePage = rig.Pfn(at);
        filePage.Should().Be(rig.File.Mapping.Find(0));
        rig.Cpu.Write(at, (byte)0x55);
        rig.Cpu.Write(at + (7 * Page), (byte)0x77);
        rig.Pfn(at).Should().NotBe(filePage);
        rig.Mm.AnonPages.Should().Be(2);
        rig.Mm.FilePages.Should().Be(6);
        rig.ReadFile(0).Should().Be(1, "the file knows nothing of the copy");
        rig.Cpu.Read<byte>(at + 1).Should().Be(1, "the rest of the page was copied");
        rig.Cpu.Files.Fsync(rig.File).Should().Be(Errno.None);
        rig.Disk.PagesWritten.Should().Be(rig.WrittenBefore);
        rig.Machine.Nodes[0].Counters.Dirty.Should().Be(0);
    }

    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void A_first_write_to_a_private_mapping_copies_without_mapping_the_file(string architecture)
    {
        using Rig rig = new(architecture, pages: 2);
        VirtualAddress at = rig.Map(2, Private);
        rig.Cpu.Write(at + Page, (byte)9);
        rig.Mm.FilePages.Should().Be(0);
        rig.Mm.AnonPages.Should().Be(1);
        rig.Cpu.Read<byte>(at + Page + 1).Should().Be(2);
        rig.Process.MajorFaults.Should().Be(1);
        rig.Process.MinorFaults.Should().Be(0);
    }

    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void What_a_shared_mapping_wrote_reaches_the_device_with_msync(string architecture)
    {
        using Rig rig = new(architecture, pages: 4);
        VirtualAddress at = rig.Map(4, Shared);
        rig.Cpu.Read<byte>(at).Should().Be(1);
        rig.Machine.Nodes[0].Counters.Dirty.Should().Be(0, "reading makes nothing dirty");
        rig.Cpu.Write(at, (byte)0x11);
        rig.Cpu.Write(at + Page, (byte)0x22);
        rig.Machine.Nodes[0].Counters.Dirty.Should().Be(2);
        rig.Machine.Nodes[0].Counters.Mapped.Should().Be(2);
        rig.ReadFile(0).Should().Be(0x11, "read and mapping share the page");
        rig.Mm.Msync(at, 4 * Page, SyncFlags.Async).Should().Be(Errno.None);
        rig.Disk.PagesWritten.Should().Be(rig.WrittenBefore);
        rig.Mm.Msync(at, 4 * Page, SyncFlags.Sync).Should().Be(Errno.None);
        rig.Disk.PagesWritten.Should().Be(rig.WrittenBefore + 2);
        rig.Machine.Nodes[0].Counters.Dirty.Should().Be(0);

        // Clean pages are read-only again: the next write is noticed and counted.
        long faults = rig.Process.MinorFaults;
        rig.Cpu.Write(at, (byte)0x12);
        rig.Process.MinorFaults.Should().Be(faults + 1);
        rig.Machine.Nodes[0].Counters.Dirty.Should().Be(1);
        rig.Cpu.Write(at + 8, (byte)0x13);
        rig.Process.MinorFaults.Should().Be(faults + 1);
        rig.Cpu.Files.Fsync(rig.File).Should().Be(Errno.None);
        rig.Mm.Munmap(at, 4 * Page).Should().Be(Errno.None);
        rig.Machine.Files.DropCaches(1);
        rig.File.File.CachedPages.Should().Be(0);
        rig.ReadFile(0).Should().Be(0x12);
        rig.ReadFile(1).Should().Be(0x22);
    }

    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void Sixteen_pages_are_mapped_around_a_fault(string architecture)
    {
        using Rig rig = new(architecture, pages: 64);
        for (int i = 0; i < 64; i++)
        {
            _ = rig.ReadFile(i);
        }

        VirtualAddress at = rig.Map(64, Private);
        _ = rig.Cpu.Read<byte>(at);
        rig.Mm.FilePages.Should().Be(16, "they are counted from the start of the area when the aligned 64 KiB begin before it");
        _ = rig.Cpu.Read<byte>(at + (21 * Page));
        rig.Mm.FilePages.Should().Be(32);
        int aligned = (int)(((at.Value + (21 * Page)) & ~0xffffUL) - at.Value) / Page;
        rig.Process.PageMap(at, 64).Select(word => word >> 63).Should().Equal(Enumerable.Range(0, 64).Select(i => i < 16 || (i >= aligned && i < aligned + 16) ? 1UL : 0));
        rig.Process.MinorFaults.Should().Be(2);
        rig.Process.MajorFaults.Should().Be(0);
    }

    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void Truncation_takes_pages_and_their_copies_and_leaves_bus_errors(string architecture)
    {
        using Rig rig = new(architecture, pages: 8);
        VirtualAddress shared = rig.Map(8, Shared);
        VirtualAddress copies = rig.Map(8, Private);
        for (int i = 0; i < 8; i++)
        {
            rig.Cpu.Write(shared + (i * Page), (byte)(0x40 + i));
            rig.Cpu.Write(copies + (i * Page), (byte)(0x80 + i));
        }

        rig.Cpu.Files.Truncate(rig.File, (3 * Page) + 100).Should().Be(Errno.None);
        rig.Machine.Verify();
        rig.Mm.AnonPages.Should().Be(4);
        rig.Mm.FilePages.Should().Be(4);
        rig.Cpu.Read<byte>(copies + (3 * Page)).Should().Be(0x83, "a copy within the file stays as it is");
        rig.Cpu.Read<byte>(shared + (3 * Page)).Should().Be(0x43);
        rig.Cpu.Read<byte>(shared + (3 * Page) + 100).Should().Be(0);
        foreach (VirtualAddress base_ in (VirtualAddress[])[shared, copies])
        {
            Signal(() => rig.Cpu.Read<byte>(base_ + (4 * Page))).Signal.Should().Be(MemSim.Signal.SIGBUS);
            Signal(() => rig.Cpu.Write(base_ + (7 * Page), 1)).Signal.Should().Be(MemSim.Signal.SIGBUS);
        }

        rig.Cpu.Files.Truncate(rig.File, 8 * Page).Should().Be(Errno.None);
        rig.Cpu.Read<byte>(shared + (7 * Page)).Should().Be(0, "the file is longer again, but empty there");
        rig.Cpu.Read<byte>(copies + (7 * Page)).Should().Be(0, "the copies are gone");
        rig.Cpu.Write(shared + (7 * Page), (byte)3);
        rig.Cpu.Files.Fsync(rig.File).Should().Be(Errno.None);
    }

    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void A_hole_takes_pages_of_the_file_and_leaves_private_copies(string architecture)
    {
        using Rig rig = new(architecture, pages: 8);
        VirtualAddress shared = rig.Map(8, Shared);
        VirtualAddress copies = rig.Map(8, Private);
        rig.Cpu.Write(copies + (2 * Page), (byte)0x99);
        for (int i = 0; i < 8; i++)
        {
            rig.Cpu.Write(shared + (i * Page), (byte)(0x40 + i));
            _ = rig.Cpu.Read<byte>(copies + (i * Page));
        }

        rig.Cpu.Files.PunchHole(rig.File, Page, 3 * Page).Should().Be(Errno.None);
        rig.Machine.Verify();
        rig.Cpu.Read<byte>(copies + (2 * Page)).Should().Be(0x99, "even_cows is 0 for holes");
        rig.Cpu.Read<byte>(copies + Page).Should().Be(0);
        rig.Cpu.Read<byte>(shared + (2 * Page)).Should().Be(0);
        rig.Cpu.Read<byte>(shared + (4 * Page)).Should().Be(0x44);
        rig.Cpu.Write(shared + (2 * Page), (byte)0x23);
        rig.ReadFile(2).Should().Be(0x23);
    }

    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void After_fork_shared_pages_stay_shared_and_private_ones_part(string architecture)
    {
        using Rig rig = new(architecture, pages: 4);
        VirtualAddress shared = rig.Map(4, Shared);
        VirtualAddress own = rig.Map(4, Private);
        rig.Cpu.Write(shared, (byte)0x10);
        rig.Cpu.Write(own, (byte)0x20);
        _ = rig.Cpu.Read<byte>(own + Page);
        Process child = rig.Process.Fork();
        rig.Machine.Verify();
        using (rig.Cpu.Run(child))
        {
            rig.Cpu.Read<byte>(own).Should().Be(0x20);
            rig.Cpu.Write(own, (byte)0x21);
            rig.Cpu.Write(own + Page, (byte)0x22);
            rig.Cpu.Write(shared, (byte)0x11);
            rig.Cpu.Write(shared + Page, (byte)0x12);
        }

        rig.Cpu.Read<byte>(shared).Should().Be(0x11);
        rig.Cpu.Read<byte>(shared + Page).Should().Be(0x12);
        rig.Cpu.Read<byte>(own).Should().Be(0x20);
        rig.Cpu.Read<byte>(own + Page).Should().Be(0x12, "not copied yet: it is the file's page");
        int pfn = rig.File.Mapping.Find(0);
        rig.Machine.Mm!.Maps.MapCount(pfn).Should().Be(2);
        child.Exit();
        rig.Machine.Mm.Maps.MapCount(pfn).Should().Be(1);
        rig.Machine.Verify();
    }

    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void Faults_that_read_the_device_are_major(string architecture)
    {
        using Rig rig = new(architecture, pages: 4);
        VirtualAddress at = rig.Map(4, Private);
        _ = rig.Cpu.Read<byte>(at + (3 * Page));
        (rig.Process.MajorFaults, rig.Process.MinorFaults).Should().Be((1, 0));
        rig.Machine.Proc.VmStat.Should().Contain("pgmajfault 1\n").And.Contain("pgfault 1\n");
        _ = rig.Cpu.Read<byte>(at);
        (rig.Process.MajorFaults, rig.Process.MinorFaults).Should().Be((1, 1), "the whole file was read around the first fault");
        rig.Mm.Munmap(at, 4 * Page).Should().Be(Errno.None);
        at = rig.Map(4, Private);
        _ = rig.Cpu.Read<byte>(at);
        rig.Process.MajorFaults.Should().Be(1);
    }

    [Fact]
    public void The_mode_of_the_open_file_limits_the_mapping()
    {
        using Rig rig = new("x86_64", pages: 2);
        OpenFile readOnly = rig.Files.Open("file", OpenMode.Read).Value;
        OpenFile writeOnly = rig.Files.Open("file", OpenMode.Write).Value;
        rig.Mm.Mmap(default, Page, Prot.Read | Prot.Write, Shared, readOnly).Error.Should().Be(Errno.EACCES);
        rig.Mm.Mmap(default, Page, Prot.Read, Shared, writeOnly).Error.Should().Be(Errno.EACCES);
        rig.Mm.Mmap(default, Page, Prot.Write, Private, writeOnly).Error.Should().Be(Errno.EACCES);
        VirtualAddress at = rig.Mm.Mmap(default, Page, Prot.Read, Shared, readOnly);
        rig.Mm.Mprotect(at, Page, Prot.Read | Prot.Write).Should().Be(Errno.EACCES);
        Signal(() => rig.Cpu.Write(at, 1)).Code.Should().Be(SignalCode.AccessError);
        VirtualAddress own = rig.Mm.Mmap(default, Page, Prot.Read | Prot.Write, Private, readOnly);
        rig.Cpu.Write(own, 5);
        rig.ReadFile(0).Should().Be(1);
        readOnly.Close(rig.Cpu);
        writeOnly.Close(rig.Cpu);
        rig.Cpu.Read<byte>(at).Should().Be(1, "the area keeps the file open");
    }

    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void A_program_is_mapped_as_text_and_data_of_one_file(string architecture)
    {
        using Rig rig = new(architecture, pages: 8);
        VirtualAddress text = new(0x400000);
        VirtualAddress data = new(0x410000);
        rig.Mm.Mmap(text, 4 * Page, Prot.Read | Prot.Execute, Private | MapFlags.Fixed, rig.File).Value.Should().Be(text);
        rig.Mm.Mmap(data, 4 * Page, Prot.Read | Prot.Write, Private | MapFlags.Fixed, rig.File, 4 * Page).Value.Should().Be(data);
        rig.Cpu.Mmu.Fetch(text + 16);
        rig.Cpu.Read<byte>(text + Page).Should().Be(2);
        Signal(() => rig.Cpu.Write(text, 1)).Code.Should().Be(SignalCode.AccessError);
        rig.Cpu.Read<byte>(data).Should().Be(5);
        rig.Cpu.Write(data, (byte)0xee);
        rig.ReadFile(4).Should().Be(5);
        if (architecture != "x86_32")
        {
            // Without PAE x86-32 has no bit that forbids execution.
            Signal(() => rig.Cpu.Mmu.Fetch(data)).Code.Should().Be(SignalCode.AccessError);
        }

        Process child = rig.Process.Fork();
        using (rig.Cpu.Run(child))
        {
            rig.Cpu.Mmu.Fetch(text);
            child.MinorFaults.Should().Be(1, "entries of files are not copied, the child faults");
            rig.Cpu.Read<byte>(data).Should().Be(0xee);
        }

        child.Exit();
    }

    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void A_page_that_cannot_be_read_is_a_bus_error_until_it_can(string architecture)
    {
        using Rig rig = new(architecture, pages: 4);
        VirtualAddress at = rig.Map(4, Shared);
        VirtualAddress own = rig.Map(4, Private);
        rig.Disk.Vanish();
        Signal(() => rig.Cpu.Read<byte>(at)).Should().Be(new SignalInfo(MemSim.Signal.SIGBUS, SignalCode.NoPage, at));
        Signal(() => rig.Cpu.Write(at, 1)).Signal.Should().Be(MemSim.Signal.SIGBUS);
        Signal(() => rig.Cpu.Write(own, 1)).Signal.Should().Be(MemSim.Signal.SIGBUS);
        rig.Cpu.User.CopyFromUser(new byte[10], at).Should().Be(10);
        rig.Mm.AnonPages.Should().Be(0, "the page for the copy was given back");
        rig.Machine.Verify();
        rig.Disk.Reappear();
        rig.Cpu.Read<byte>(at).Should().Be(1);
        rig.Cpu.Write(own, (byte)7);
    }

    [Fact]
    public void A_shared_write_into_a_hole_of_a_full_file_system_is_a_bus_error()
    {
        using Rig rig = new("x86_64", pages: 2);
        rig.Cpu.Files.Truncate(rig.File, 4 * Page).Should().Be(Errno.None);
        VirtualAddress at = rig.Map(4, Shared);
        rig.Cpu.Read<byte>(at + (3 * Page)).Should().Be(0);
        rig.Disk.IsFull = true;
        Signal(() => rig.Cpu.Write(at + (3 * Page), 1)).Signal.Should().Be(MemSim.Signal.SIGBUS);
        Signal(() => rig.Cpu.Write(at + (2 * Page), 1)).Signal.Should().Be(MemSim.Signal.SIGBUS);
        Signal(() => rig.Cpu.Write(at + (3 * Page), 1)).Signal.Should().Be(MemSim.Signal.SIGBUS, "the page that was refused did not become writable");
        rig.Disk.IsFull = false;
        rig.Cpu.Write(at + (3 * Page), (byte)1);
        rig.Machine.Nodes[0].Counters.Dirty.Should().Be(1);
    }

    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void Dropping_caches_leaves_mapped_pages(string architecture)
    {
        using Rig rig = new(architecture, pages: 32);
        for (int i = 0; i < 32; i++)
        {
            _ = rig.ReadFile(i);
        }

        VirtualAddress at = rig.Map(32, Private, Prot.Read);
        _ = rig.Cpu.Read<byte>(at + (20 * Page));
        long mapped = rig.Mm.FilePages;
        mapped.Should().BeInRange(1, 16);
        rig.Machine.Lru.DrainAll();
        rig.Machine.Files.DropCaches(1);
        rig.File.File.CachedPages.Should().Be(mapped);
        rig.Mm.FilePages.Should().Be(mapped);
        rig.Cpu.Read<byte>(at + (20 * Page)).Should().Be(21);
    }

    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void Reclaim_unmaps_cleans_and_frees_mapped_pages(string architecture)
    {
        using Rig rig = new(architecture, pages: 4);
        VirtualAddress at = rig.Map(4, Shared);
        rig.Cpu.Write(at, (byte)0x66);
        int pfn = rig.Pfn(at);
        rig.Machine.Lru.DrainAll();
        rig.Machine.Lru.Owners!.Referenced(rig.Cpu, pfn).Count.Should().Be(1);
        rig.Machine.Mm!.Pages.SetFlag(pfn, PageFlags.Locked);
        rig.Machine.Lru.Owners.TryToUnmap(rig.Cpu, pfn).Should().BeTrue();
        rig.Machine.Mm.Pages.ClearFlag(pfn, PageFlags.Locked);
        rig.Machine.Mm!.Pages.HasFlag(pfn, PageFlags.Dirty).Should().BeTrue();
        rig.Cpu.Read<byte>(at).Should().Be(0x66);
        rig.Process.MajorFaults.Should().Be(1);
        rig.Machine.Verify();
    }

    [Fact]
    public void A_writer_of_a_mapping_is_held_up_as_one_that_calls_write()
    {
        using Rig rig = new("x86_64", pages: 1, disk: "512M");
        rig.Machine.Sysctl.Set("vm.dirty_bytes", "8388608");
        rig.Machine.Sysctl.Set("vm.dirty_background_bytes", "4194304");
        const int pages = 8192;
        rig.Cpu.Files.Truncate(rig.File, pages * (long)Page).Should().Be(Errno.None);
        VirtualAddress at = rig.Map(pages, Shared);
        for (int i = 0; i < pages; i++)
        {
            rig.Cpu.Write(at + ((long)i * Page), i);
            (rig.Machine.Nodes[0].Counters.Dirty + rig.Machine.Nodes[0].Counters.Writeback).Should().BeLessThan(3000);
        }

        rig.Disk.PagesWritten.Should().BeGreaterThan(pages - 3000);
        rig.Cpu.Files.Fsync(rig.File).Should().Be(Errno.None);
        for (int i = 0; i < pages; i += 100)
        {
            rig.Cpu.Read<int>(at + ((long)i * Page)).Should().Be(i);
        }
    }

    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void A_write_under_way_does_not_lose_a_write_that_comes_meanwhile(string architecture)
    {
        using Rig rig = new(architecture, pages: 1);
        VirtualAddress at = rig.Map(1, Shared);
        rig.Cpu.Write(at, (byte)1);
        rig.Disk.HoldsWrites = true;
        rig.Mm.Msync(at, Page, SyncFlags.Sync).Should().Be(Errno.None);
        rig.Cpu.Write(at, (byte)2);
        rig.Machine.Nodes[0].Counters.Dirty.Should().Be(1);
        rig.Disk.HoldsWrites = false;
        _ = rig.Disk.CompleteWrites(rig.Cpu);
        rig.Cpu.Files.Fsync(rig.File).Should().Be(Errno.None);
        rig.Mm.Munmap(at, Page).Should().Be(Errno.None);
        rig.Machine.Files.DropCaches(1);
        rig.ReadFile(0).Should().Be(2);
    }

    [Fact]
    public void Maps_name_the_device_and_the_inode_of_each_file()
    {
        using Rig rig = new("x86_64", pages: 1);
        using BlockDevice other = new("vdb1", "16M");
        DiskFileSystem second = rig.Machine.Files.Mount(other);
        OpenFile elsewhere = second.Create("elsewhere").Value;
        TmpFileSystem memory = rig.Machine.Files.MountTmpfs("1M");
        OpenFile inMemory = memory.Create("tmp").Value;
        VirtualAddress at = rig.Map(1, Private, Prot.Read);
        VirtualAddress two = rig.Mm.Mmap(default, Page, Prot.Read, Shared, elsewhere);
        VirtualAddress three = rig.Mm.Mmap(default, Page, Prot.Read | Prot.Write, Shared, inMemory);
        VirtualAddress four = rig.Mm.Mmap(default, Page, Prot.Read, Shared | MapFlags.Anonymous);
        string[] lines = rig.Process.Maps.Split('\n');
        lines.Should().Contain(line => line.StartsWith($"{at.Value:x}-{at.Value + Page:x} r--p 00000000 08:00 12 ", StringComparison.Ordinal));
        lines.Should().Contain(line => line.StartsWith($"{two.Value:x}-{two.Value + Page:x} r--s 00000000 fe:11 12 ", StringComparison.Ordinal));
        lines.Should().Contain(line => line.StartsWith($"{three.Value:x}-{three.Value + Page:x} rw-s 00000000 00:19 2 ", StringComparison.Ordinal));
        lines.Should().Contain(line => line.StartsWith($"{four.Value:x}-{four.Value + Page:x} r--s 00000000 00:01 ", StringComparison.Ordinal));
        rig.Process.Status.Should().EndWith("VmSwap:\t       0 kB\nHugetlbPages:\t       0 kB\nCoreDumping:\t0\nTHP_enabled:\t1\nThreads:\t1\n");
        rig.Mm.Munmap(two, Page).Should().Be(Errno.None);
        elsewhere.Close(rig.Cpu);
        second.Delete(rig.Cpu, "elsewhere").Should().Be(Errno.None);
        inMemory.Close(rig.Cpu);
        rig.Mm.Munmap(three, Page).Should().Be(Errno.None);
        memory.Delete(rig.Cpu, "tmp").Should().Be(Errno.None);
    }

    [Theory]
    [InlineData("x86_64")]
    [InlineData("x86_32")]
    [InlineData("arm64")]
    public void Every_allocation_that_fails_while_files_are_mapped_leaves_nothing_behind(string architecture)
    {
        for (int nth = 1; nth < 200; nth++)
        {
            using Rig rig = new(architecture, pages: 8);
            ArmedFault injector = rig.Machine.FailOnly(nth);
            try
            {
                Program(rig);
            }
            catch (SignalException signal)
            {
                signal.SignalInfo.Signal.Should().Be(MemSim.Signal.SIGKILL);
            }

            rig.Machine.FaultInjection.Clear();
            rig.Machine.Verify();
            if (injector.Failed == 0)
            {
                nth.Should().BeGreaterThan(20);
                return;
            }
        }

        Assert.Fail("the program has an end");
    }

    private static void Program(Rig rig)
    {
        Result<VirtualAddress> own = rig.Mm.Mmap(default, 8 * Page, Prot.Read | Prot.Write, Private, rig.File);
        Result<VirtualAddress> shared = rig.Mm.Mmap(default, 8 * Page, Prot.Read | Prot.Write, Shared, rig.File);
        if (!own.Succeeded || !shared.Succeeded)
        {
            return;
        }

        rig.Cpu.Read<byte>(own.Value + Page).Should().Be(2);
        rig.Cpu.Write(own.Value, (byte)9);
        rig.Cpu.Write(shared.Value + (2 * Page), (byte)8);
        Result<Process> child = rig.Process.Fork();
        rig.Cpu.Write(own.Value, (byte)10);
        _ = rig.Mm.Msync(shared, 8 * Page, SyncFlags.Sync);
        _ = rig.Mm.Munmap(own.Value + (4 * Page), Page);
        if (child.Succeeded)
        {
            using ContextScope inner = rig.Cpu.Run(child.Value);
            rig.Cpu.Read<byte>(own).Should().Be(9);
            rig.Cpu.Write(own.Value + Page, (byte)7);
            rig.Cpu.Read<byte>(shared.Value + (2 * Page)).Should().Be(8);
        }

        rig.Cpu.Read<byte>(own.Value + Page).Should().Be(2);
    }

    private static SignalInfo Signal(Action access) => access.Should().Throw<SignalException>().Which.SignalInfo;

    /// <summary>A process, a disk, and a file of which nothing is in memory; page n is full of n + 1.</summary>
    private sealed class Rig : IDisposable
    {
        private readonly ContextScope _scope;
        private readonly long _free;

        public Rig(string architecture, int pages, string disk = "64M")
        {
            Machine = ForkTests.Boot(architecture);
            Cpu = Machine.Cpus[0];
            Disk = new BlockDevice("sda", disk);
            Files = Machine.Files.Mount(Disk);
            Machine.CreateProcess("warm").Exit();
            _free = Machine.FreePagesAtRest();
            OpenFile file = Files.Create("file").Value;
            byte[] page = new byte[Page];
            for (int i = 0; i < pages; i++)
            {
                Array.Fill(page, (byte)(i + 1));
                _ = Cpu.Files.Write(file, (long)i * Page, page).Value;
            }

            _ = Cpu.Files.Fsync(file);
            file.Close(Cpu);
            Machine.Files.DropCaches(1);
            File = Files.Open("file", OpenMode.ReadWrite).Value;
            WrittenBefore = Disk.PagesWritten;
            Process = Machine.CreateProcess("mapper");
            _scope = Cpu.Run(Process);
        }

        public Machine Machine { get; }

        public Cpu Cpu { get; }

        public BlockDevice Disk { get; }

        public DiskFileSystem Files { get; }

        public OpenFile File { get; }

        public Process Process { get; }

        public MemoryDescriptor Mm => Process.Mm;

        public long WrittenBefore { get; }

        public VirtualAddress Map(int pages, MapFlags flags, Prot prot = Prot.Read | Prot.Write) => Mm.Mmap(default, (long)((ulong)pages * Page), prot, flags, File);

        public int Pfn(VirtualAddress at) => (int)(Process.PageMap(at, 1)[0] & uint.MaxValue);

        public byte ReadFile(int page)
        {
            byte[] one = new byte[1];
            Cpu.Files.Read(File, (long)page * Page, one).Value.Should().Be(1);
            return one[0];
        }

        public void Dispose()
        {
            Machine.Verify();
            _scope.Dispose();
            foreach (Process process in Machine.Processes.ToArray())
            {
                process.Exit();
            }

            Machine.Verify();
            File.Close(Cpu);
            Files.Delete(Cpu, "file").Should().Be(Errno.None);
            Machine.Verify();
            Machine.Nodes[0].Counters.FilePages.Should().Be(0);
            Machine.Nodes[0].Counters.Dirty.Should().Be(0);
            Machine.FreePagesAtRest().Should().BeGreaterThanOrEqualTo(_free, "every page is back");
            Machine.Dispose();
            Disk.Dispose();
        }
    }
}
