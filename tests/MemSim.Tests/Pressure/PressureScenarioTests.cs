using FluentAssertions;
using MemSim.Statistics;
using MemSim.Swap;
using MemSim.Tests.Reclaim;
using Xunit;

namespace MemSim.Tests.Pressure;

/// <summary>The whole chain on small machines, one mechanism at a time: real processes, real files, real swap.</summary>
public sealed class PressureScenarioTests : IDisposable
{
    private const int PageSize = PageGeometry.PageSize;
    private readonly RecordingSink _trace = new();
    private Machine _machine = null!;

    private Cpu Cpu => _machine.Cpus[0];

    private NodeCounters Counters => _machine.Nodes[0].Counters;

    private int ManagedPages => (int)_machine.Zones.Sum(z => z.ManagedPages);

    public void Dispose()
    {
        _machine.Verify();
        _machine.Dispose();
    }

    [Fact]
    public void More_anonymous_memory_than_fits_goes_to_swap_and_comes_back()
    {
        Boot(swapMiB: 256);
        int pages = ManagedPages * 2;
        (Process process, VirtualAddress data) = Touched("hog", pages);
        _trace.Log.Should().ContainInOrder("wakeup 0", "wake 0", "sleep");
        _trace.Direct.Should().Be(0, "kswapd was in time");
        _machine.Events[VmEvent.SwapOut].Should().BeGreaterThanOrEqualTo(pages - ManagedPages);
        Check(process, data, pages);
        _machine.Events[VmEvent.SwapIn].Should().BeGreaterThanOrEqualTo(pages - ManagedPages);
        process.MajorFaults.Should().BePositive();
        _machine.Events[VmEvent.OomKill].Should().Be(0);
        _machine.Reclaim.Pressure.SomeMicroseconds.Should().BePositive();
        process.Exit();
        _machine.Swap.FreePages.Should().Be(_machine.Swap.TotalPages);
    }

    [Fact]
    public void Without_kswapd_the_process_reclaims_for_itself()
    {
        Boot(swapMiB: 256);
        _machine.Background.Mode = BackgroundWork.Manual;
        int pages = ManagedPages * 2;
        (Process process, VirtualAddress data) = Touched("hog", pages);
        _trace.Direct.Should().BePositive();
        _trace.Woken.Should().Be(1, "kswapd was woken and never got to run");
        Check(process, data, pages);
        _machine.Background.Run().Should().BePositive();
    }

    [Fact]
    public void A_file_larger_than_memory_is_read_and_written_by_dropping_what_was_read_before()
    {
        Boot();
        using BlockDevice disk = new("sda", "400M");
        OpenFile file = _machine.Files.Mount(disk).Create("large").Value;
        int pages = ManagedPages * 2;
        byte[] buffer = new byte[PageSize];
        for (int i = 0; i < pages; i++)
        {
            BitConverter.TryWriteBytes(buffer, i);
            Cpu.Files.Write(file, (long)i * PageSize, buffer).Value.Should().Be(PageSize);
        }

        for (int i = 0; i < pages; i++)
        {
            Cpu.Files.Read(file, (long)i * PageSize, buffer).Value.Should().Be(PageSize);
            BitConverter.ToInt32(buffer).Should().Be(i);
        }

        _machine.Reports.AllocationFailures.Should().Be(0);
        (_machine.Events[VmEvent.StealKswapd] + _machine.Events[VmEvent.StealDirect]).Should().BeGreaterThan(pages);
        Counters.VmscanWrite.Should().Be(0, "the flushers write, not reclaim");
    }

    [Fact]
    public void Memory_full_of_dirty_pages_of_mappings_is_written_by_the_flushers()
    {
        Boot();
        using BlockDevice disk = new("sda", "400M");
        int pages = ManagedPages * 2;
        OpenFile file = _machine.Files.Mount(disk).Create("mapped").Value;
        Cpu.Files.Truncate(file, (long)pages * PageSize).Should().Be(Errno.None);
        Process process = _machine.CreateProcess("writer");
        VirtualAddress at = process.Mm.Mmap(default, (long)((ulong)pages * PageSize), Prot.Read | Prot.Write, MapFlags.Shared, file);
        Write(process, at, pages);
        (long threshold, _) = _machine.Files.PageCache.DirtyLimits.Now();
        Counters.Dirty.Should().BeLessThanOrEqualTo(threshold + 64, "faults hold writers up");
        disk.PagesWritten.Should().BeGreaterThanOrEqualTo(pages - threshold - 64);
        Check(process, at, pages);
    }

    [Fact]
    public void A_large_block_is_made_by_compaction_of_process_memory()
    {
        Boot(swapMiB: 64);
        int pages = ManagedPages * 8 / 10;
        (Process process, VirtualAddress data) = Touched("holes", pages);
        for (int i = 0; i < pages; i += 2)
        {
            process.Mm.Munmap(data + ((long)i * PageSize), PageSize).Should().Be(Errno.None);
        }

        _machine.Lru.DrainAll();
        _machine.Memory.DrainAllPages();
        _machine.Zones.Sum(z => Enumerable.Range(9, 2).Sum(o => z.FreeBlocks(o))).Should().BeLessThan(8, "memory is fragmented");
        List<Page> blocks = [];
        for (int i = 0; i < 12; i++)
        {
            Page block = Cpu.AllocPages(Gfp.HighUserMovable | Gfp.NoWarn | Gfp.RetryMayFail, 9);
            block.IsNull.Should().BeFalse();
            blocks.Add(block);
        }

        _machine.Events[VmEvent.CompactSuccess].Should().BePositive();
        _machine.Events[VmEvent.MigrateSuccess].Should().BePositive();
        using (Cpu.Run(process))
        {
            for (int i = 1; i < pages; i += 2)
            {
                Cpu.Read<int>(data + ((long)i * PageSize) + 16).Should().Be(i + 1);
            }
        }

        blocks.ForEach(block => Cpu.FreePages(block, 9));
    }

    [Fact]
    public void Atomic_requests_for_large_blocks_wake_kcompactd()
    {
        Boot();
        int pages = ManagedPages * 8 / 10;
        (Process process, VirtualAddress data) = Touched("holes", pages);
        for (int i = 0; i < pages; i += 2)
        {
            process.Mm.Munmap(data + ((long)i * PageSize), PageSize);
        }

        _machine.Lru.DrainAll();
        _machine.Memory.DrainAllPages();
        List<Page> blocks = [];
        for (int i = 0; i < 40; i++)
        {
            // Kswapd cannot help: after sixteen rounds in vain it is given up, and kcompactd is asked.
            Page block = Cpu.AllocPages((Gfp.HighUserMovable & ~Gfp.DirectReclaim) | Gfp.NoWarn, 9);
            if (!block.IsNull)
            {
                blocks.Add(block);
            }
        }

        Counters.KswapdFailures.Should().Be(16);
        _machine.Events[VmEvent.CompactDaemonWake].Should().BePositive();
        blocks.ForEach(b => Cpu.FreePages(b, 9));
    }

    [Fact]
    public void Without_swap_the_largest_process_dies_and_its_memory_comes_back()
    {
        Boot();
        _machine.Sysctl.Set("overcommit_memory", "1");
        (Process small, VirtualAddress data) = Touched("small", 1000);
        Process hog = _machine.CreateProcess("hog");
        VirtualAddress at = hog.Mm.Mmap((long)ManagedPages * PageSize, Prot.Read | Prot.Write);
        Action fill = () => Write(hog, at, ManagedPages);
        fill.Should().Throw<SignalException>().Which.SignalInfo.Signal.Should().Be(Signal.SIGKILL);
        hog.State.Should().NotBe(ProcessState.Running);
        _machine.Events[VmEvent.OomKill].Should().Be(1);
        _machine.Oom.LastReport.Should().Contain("hog");
        _machine.Zones.Sum(z => z.FreePages).Should().BeGreaterThan(ManagedPages / 2);
        Check(small, data, 1000);
    }

    [Fact]
    public void Cache_is_dropped_before_anybody_is_killed()
    {
        Boot();
        using BlockDevice disk = new("sda", "400M");
        ReadFile(_machine.Files.Mount(disk), ManagedPages);
        (Process process, VirtualAddress data) = Touched("large", ManagedPages * 7 / 10);
        _machine.Events[VmEvent.OomKill].Should().Be(0);
        Check(process, data, ManagedPages * 7 / 10);
    }

    [Fact]
    public void Atomic_requests_fail_where_others_reclaim()
    {
        Boot();
        using BlockDevice disk = new("sda", "400M");
        ReadFile(_machine.Files.Mount(disk), ManagedPages);
        _machine.Background.Mode = BackgroundWork.Manual;
        List<Page> taken = Cpu.AllocateAll(Gfp.Atomic);
        taken.Should().NotBeEmpty();
        Cpu.AllocPage(Gfp.Atomic | Gfp.NoWarn).IsNull.Should().BeTrue();
        Cpu.AllocPage(Gfp.NoWait | Gfp.NoWarn).IsNull.Should().BeTrue();
        for (int i = 0; i < 1000; i++)
        {
            Page page = Cpu.AllocPage(Gfp.Kernel);
            page.IsNull.Should().BeFalse();
            taken.Add(page);
        }

        _trace.Direct.Should().BePositive();
        _machine.Background.Run();
        Page late = Cpu.AllocPage(Gfp.Atomic);
        late.IsNull.Should().BeFalse("kswapd has freed some");
        Cpu.FreePage(late);
        taken.ForEach(page => Cpu.FreePage(page));
    }

    [Fact]
    public void Slab_caches_shrink_when_a_process_needs_the_memory()
    {
        Boot(swapMiB: 64);
        SlabHoard hoard = new(_machine);
        Random random = new(1);
        while (hoard.Kept < ManagedPages / 2)
        {
            hoard.Step(Cpu, random, _machine);
        }

        int before = hoard.Kept;
        (Process process, VirtualAddress data) = Touched("hog", ManagedPages * 9 / 10);
        hoard.Shrunk.Should().BeGreaterThan(before / 4);
        _machine.Events[VmEvent.SlabsScanned].Should().BeGreaterThanOrEqualTo(hoard.Shrunk);
        Check(process, data, ManagedPages * 9 / 10);
        _machine.Files.DropCaches(2);
        hoard.Kept.Should().BeLessThan(4);
        hoard.Clear(Cpu);
    }

    [Fact]
    public void Nodes_of_the_page_cache_that_hold_only_shadows_are_freed()
    {
        Boot();
        using BlockDevice disk = new("sda", "4M");
        OpenFile file = _machine.Files.Mount(disk).Create("sparse").Value;
        const int nodes = 40_000;
        Cpu.Files.Truncate(file, 64L * nodes * PageSize).Should().Be(Errno.None);
        file.ReadAhead.MaxPages = 0;
        byte[] buffer = new byte[8];
        for (int i = 0; i < nodes; i++)
        {
            Cpu.Files.Read(file, 64L * i * PageSize, buffer).Value.Should().Be(8);
        }

        Counters.WorkingsetNodeReclaim.Should().BePositive();
        _machine.Files.PageCache.Nodes.ShadowNodes.Should().BeLessThan(nodes / 2);
        _machine.Reports.AllocationFailures.Should().Be(0);
    }

    [Fact]
    public void Advice_to_page_out_is_followed_at_once()
    {
        Boot(swapMiB: 64);
        (Process process, VirtualAddress data) = Touched("advised", 500);
        process.Mm.Madvise(data, 500 * PageSize, MemoryAdvice.PageOut).Should().Be(Errno.None);
        _machine.Events[VmEvent.SwapOut].Should().Be(500);
        process.Mm.AnonPages.Should().BeLessThan(5);
        Check(process, data, 500);
    }

    [Fact]
    public void Memory_given_up_holds_what_was_written_last_or_zeroes_but_nothing_older()
    {
        Boot(swapMiB: 64);
        (Process process, VirtualAddress data) = Touched("free", 64);
        process.Mm.Madvise(data, 64 * PageSize, MemoryAdvice.PageOut).Should().Be(Errno.None);
        Check(process, data, 64);
        using ContextScope scope = Cpu.Run(process);
        for (int i = 0; i < 64; i++)
        {
            Cpu.Write(data + ((long)i * PageSize) + 16, 1000);
        }

        process.Mm.Madvise(data, 64 * PageSize, MemoryAdvice.Free).Should().Be(Errno.None);
        process.Mm.Madvise(data, 64 * PageSize, MemoryAdvice.PageOut).Should().Be(Errno.None);
        for (int i = 0; i < 64; i++)
        {
            Cpu.Read<int>(data + ((long)i * PageSize) + 16).Should().BeOneOf(0, 1000);
        }
    }

    [Fact]
    public void Swap_is_switched_off_under_load_or_stays_when_its_pages_would_not_fit()
    {
        Boot(swapMiB: 128);
        SwapArea second = _machine.Swap.SwapOn(new MemorySwapBacking("second", 128 << 8), priority: 10);
        int pages = ManagedPages * 2;
        (Process process, VirtualAddress data) = Touched("hog", pages);
        second.UsedPages.Should().BeGreaterThan(ManagedPages / 2);
        _machine.Swap.SwapOff(Cpu, second).Should().Be(Errno.None);
        second.IsOn.Should().BeFalse();
        SwapArea first = _machine.Swap.Areas[0];
        _machine.Sysctl.Set("overcommit_memory", "2");
        _machine.Swap.SwapOff(Cpu, first).Should().Be(Errno.ENOMEM);
        first.IsOn.Should().BeTrue();
        Check(process, data, pages);
    }

    [Fact]
    public void Locked_memory_is_never_reclaimed()
    {
        Boot(swapMiB: 256);
        Process process = _machine.CreateProcess("locked", new Rlimits { LockedMemory = 64 << 20 });
        VirtualAddress data = process.Mm.Mmap(2000L * PageSize, Prot.Read | Prot.Write);
        Write(process, data, 2000);
        process.Mm.Mlock(data, 2000 * PageSize).Should().Be(Errno.None);
        (Process hog, VirtualAddress large) = Touched("hog", ManagedPages * 2);
        long faults = process.MajorFaults + process.MinorFaults;
        Check(process, data, 2000);
        (process.MajorFaults + process.MinorFaults).Should().Be(faults);
        Counters.Unevictable.Should().Be(2000);
        Check(hog, large, ManagedPages * 2);
    }

    [Fact]
    public void Contiguous_memory_is_had_out_of_the_memory_of_processes()
    {
        _machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 1).WithCma("pool", "16M"));
        SwapOn(256);
        int pages = ManagedPages * 3 / 2;
        (Process process, VirtualAddress data) = Touched("user", pages);
        CmaArea area = _machine.Cma.Areas[0];
        Page first = _machine.Cma.Alloc(Cpu, area, area.Pages);
        first.IsNull.Should().BeFalse();
        Check(process, data, pages);
        _machine.Cma.Free(Cpu, area, first, area.Pages).Should().BeTrue();
        Check(process, data, pages);
    }

    [Theory]
    [InlineData(0, false)]
    [InlineData(1, true)]
    public void Zone_reclaim_mode_drops_cache_at_home_before_it_goes_abroad(int mode, bool staysHome)
    {
        _machine = Machine.Boot(MachineSpec.X86_64("256M", cpus: 2).WithNodes("128M", "128M"));
        using BlockDevice disk = new("sda", "400M");
        ReadFile(_machine.Files.Mount(disk), (int)_machine.Nodes[0].Zones.Sum(z => z.ManagedPages) * 9 / 10);
        _machine.Sysctl.Set("zone_reclaim_mode", $"{mode}");
        long far = _machine.Nodes[1].Zones.Sum(z => z.FreePages);
        (Process process, VirtualAddress data) = Touched("home", 8000);
        long moved = far - _machine.Nodes[1].Zones.Sum(z => z.FreePages);
        if (staysHome)
        {
            moved.Should().BeLessThan(500);
            _machine.Nodes[0].Counters.AnonPages.Should().BeGreaterThan(7500);
        }
        else
        {
            moved.Should().BeGreaterThan(4000);
        }

        Check(process, data, 8000);
    }

    [Fact]
    public void A_swap_device_that_fails_keeps_pages_in_memory_and_loses_none()
    {
        Boot();
        MemorySwapBacking backing = new("failing", 256 << 8);
        _machine.Swap.SwapOn(backing).Succeeded.Should().BeTrue();
        (Process process, VirtualAddress data) = Touched("hog", ManagedPages);
        backing.FailsReads = true;
        int errors = 0;
        using (Cpu.Run(process))
        {
            for (int i = 0; i < ManagedPages; i += 97)
            {
                try
                {
                    Cpu.Read<int>(data + ((long)i * PageSize) + 16).Should().Be(i + 1);
                }
                catch (SignalException signal)
                {
                    signal.SignalInfo.Signal.Should().Be(Signal.SIGBUS);
                    errors++;
                }
            }
        }

        errors.Should().BePositive();
        // The pages that could not be read go first when memory is needed, and are read again then.
        backing.FailsReads = false;
        (Process other, _) = Touched("other", ManagedPages);
        Check(process, data, ManagedPages);
        other.Exit();
    }

    private void Boot(int swapMiB = 0)
    {
        _machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 1));
        _machine.Tracing.Attach(_trace);
        SwapOn(swapMiB);
    }

    private void SwapOn(int megabytes)
    {
        _machine.Sysctl.Set("overcommit_memory", "1");
        if (megabytes != 0)
        {
            _machine.Swap.SwapOn(new MemorySwapBacking("swap", megabytes << 8)).Succeeded.Should().BeTrue();
        }
    }

    private (Process Process, VirtualAddress Data) Touched(string name, int pages)
    {
        Process process = _machine.CreateProcess(name);
        VirtualAddress data = process.Mm.Mmap((long)pages * PageSize, Prot.Read | Prot.Write);
        Write(process, data, pages);
        return (process, data);
    }

    private void Write(Process process, VirtualAddress data, int pages)
    {
        using ContextScope scope = Cpu.Run(process);
        for (int i = 0; i < pages; i++)
        {
            Cpu.Write(data + ((long)i * PageSize) + 16, i + 1);
        }
    }

    private void Check(Process process, VirtualAddress data, int pages)
    {
        using ContextScope scope = Cpu.Run(process);
        for (int i = 0; i < pages; i++)
        {
            int found = Cpu.Read<int>(data + ((long)i * PageSize) + 16);
            if (found != i + 1)
            {
                throw new InvalidOperationException($"page {i} holds {found}");
            }
        }
    }

    private void ReadFile(DiskFileSystem files, int pages)
    {
        OpenFile file = files.Create("read").Value;
        Cpu.Files.Truncate(file, (long)pages * PageSize).Should().Be(Errno.None);
        byte[] buffer = new byte[PageSize];
        for (int i = 0; i < pages; i++)
        {
            Cpu.Files.Read(file, (long)i * PageSize, buffer).Value.Should().Be(PageSize);
        }
    }
}
