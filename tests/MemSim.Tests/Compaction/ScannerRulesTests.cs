using FluentAssertions;
using MemSim.Compaction;
using MemSim.Tests.Reclaim;
using Xunit;

namespace MemSim.Tests.Compaction;

/// <summary>Which pages the scanners of compaction leave alone: rules that only show when they are missing.</summary>
public class ScannerRulesTests : MachineTests
{
    [Fact]
    public void A_pinned_anonymous_page_is_not_even_isolated()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        List<Page> pages = Fragment(machine, 32 << 20);
        pages.ForEach(page => cpu.Pages.GetPage(page));

        machine.Compaction.CompactMemory();

        machine.Events("pgmigrate_fail").Should().Be(0, "somebody holds the pages besides their page tables: they are not tried");
        machine.Events("pgmigrate_success").Should().BeLessThan(16, "only the program's own pages can move");
        pages.ForEach(page => cpu.Pages.PutPage(page));
        machine.Compaction.CompactMemory();
        machine.Events("pgmigrate_success").Should().BeGreaterThan(1000);
        machine.Verify();
    }

    [Fact]
    public void A_request_that_may_not_call_file_systems_leaves_the_pages_of_files_alone()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        OnlyCompaction reclaim = new(machine);
        OpenFile file = machine.Files.MountTmpfs("100M").Create("file").Value;
        byte[] page = new byte[4096];
        long pages = 0;
        machine.Reclaim.Policy = NoReclaim.Instance;
        while (pages < 16000 && cpu.Files.Write(file, pages * 4096, page).Succeeded)
        {
            pages++;
        }

        for (long i = 0; i < pages; i += 2)
        {
            cpu.Files.PunchHole(file, i * 4096, 4096).Should().Be(Errno.None);
        }

        cpu.AllocateAll(Gfp.NoWait, 9);
        machine.Reclaim.Policy = reclaim;
        long before = machine.Events("compact_isolated");

        cpu.AllocPages((Gfp.HighUserMovable & ~Gfp.Fs) | Gfp.NoWarn, 9).IsNull.Should().BeTrue();

        machine.Events("compact_migrate_scanned").Should().BePositive("it did look");
        machine.Events("compact_isolated").Should().Be(before);

        // The failure put compaction off for a while.
        Page page9 = default;
        for (int i = 0; i < 64 && page9.IsNull; i++)
        {
            page9 = cpu.AllocPages(Gfp.HighUserMovable | Gfp.NoWarn, 9);
        }

        page9.IsNull.Should().BeFalse("with __GFP_FS the pages of the file move out of the way");
        machine.Events("compact_isolated").Should().BeGreaterThan(before);
        machine.Verify();
    }

    [Fact]
    public void The_free_scanner_takes_no_page_that_the_zone_needs_for_its_min_watermark()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        MovablePool pool = machine.Migration.CreateMovablePool();
        pool.KeepEvery(cpu, pool.Fill(cpu), 2);
        machine.Sysctl.Set("vm.min_free_kbytes", "100000");
        machine.Zones.Where(z => z.IsPopulated).Should().OnlyContain(z => z.FreePages < z.GetWatermark(Watermark.Min));

        machine.Compaction.CompactMemory();

        pool.Moves.Should().Be(0);
        machine.Verify();
        machine.Sysctl.Set("vm.min_free_kbytes", "1024");
        machine.Compaction.CompactMemory();
        pool.Moves.Should().BePositive();
    }

    [Fact]
    public void Nothing_is_moved_into_a_page_block_that_is_free_as_a_whole()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        MovablePool pool = machine.Migration.CreateMovablePool();
        List<int> numbers = pool.Fill(cpu);
        long top = numbers.Max(n => pool[n].Pfn.Value) & ~1023L;
        List<int> rest = [];
        foreach (int number in numbers)
        {
            long pfn = pool[number].Pfn.Value;
            if (pfn >= top - 4096 && pfn < top)
            {
                pool.Free(cpu, number);
            }
            else
            {
                rest.Add(number);
            }
        }

        pool.KeepEvery(cpu, rest, 2);
        machine.Memory.DrainAllPages();
        Zone zone = machine.Nodes[0].GetZone(ZoneType.Dma32);
        long[] whole = [.. zone.FreeList(10, MigrateType.Movable).Select(p => p.Value).Where(p => p >= top - 4096 && p < top)];
        whole.Should().HaveCountGreaterThan(1, "the test freed four megabytes of the top");

        machine.Compaction.CompactMemory();

        machine.Memory.DrainAllPages();
        pool.Moves.Should().BePositive();
        zone.FreeList(10, MigrateType.Movable).Select(p => p.Value).Should().Contain(whole, "they are what compaction wants to make");
        machine.Verify();
    }

    [Theory]
    [InlineData("1", true)]
    [InlineData("0", false)]
    public void Locked_memory_moves_unless_the_administrator_wants_it_to_stay(string allowed, bool moves)
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        machine.Sysctl.Set("compact_unevictable_allowed", allowed);
        _ = Fragment(machine, 32 << 20, locked: true);

        machine.Compaction.CompactMemory();

        (machine.Events("pgmigrate_success") > 1000).Should().Be(moves);
        machine.Verify();
    }

    [Theory]
    [InlineData(MigrationMode.Async, false)]
    [InlineData(MigrationMode.SyncLight, true)]
    public void Only_asynchronous_compaction_gives_up_when_half_of_all_pages_are_isolated_already(MigrationMode mode, bool moves)
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        _ = Fragment(machine, 32 << 20);
        NodeCounters counters = machine.Nodes[0].Counters;
        counters.IsolatedFile += 100_000;
        Zone zone = machine.Zones.Last(z => z.IsPopulated);

        machine.Compaction.Compactor.CompactZone(machine.Cpus[0], new CompactControl(zone, machine.Compaction.Compactor.ScannersOf(zone), CompactControl.NoGoal) { Mode = mode });

        counters.IsolatedFile -= 100_000;
        (machine.Events("pgmigrate_success") > 0).Should().Be(moves);
        machine.Verify();
    }

    [Fact]
    public void All_pages_that_the_scanners_take_count_as_isolated_those_of_the_fast_search_too()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        MovablePool pool = machine.Migration.CreateMovablePool();
        pool.KeepEvery(cpu, pool.Fill(cpu), 2);
        OnlyCompaction reclaim = new(machine);
        machine.Reclaim.Policy = reclaim;
        cpu.AllocateAll(Gfp.NoWait, 9);
        TakenSink taken = new();
        machine.Tracing.Attach(taken);

        cpu.AllocPages(Gfp.HighUser | Gfp.Movable, 9).IsNull.Should().BeFalse();

        pool.Moves.Should().BePositive();
        machine.Events("compact_isolated").Should().BeGreaterThan(taken.Pages, "the fast search takes pages without a scan of their block");
    }

    [Fact]
    public void Neither_scanner_looks_at_a_page_twice()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        MovablePool pool = machine.Migration.CreateMovablePool();
        pool.KeepEvery(cpu, pool.Fill(cpu), 2);
        TakenSink taken = new();
        machine.Tracing.Attach(taken);

        machine.Compaction.CompactMemory();

        taken.FreeRuns.Should().NotBeEmpty().And.OnlyContain(run => run.Scanned <= run.End - run.Start);
        taken.MigrateRuns.Should().NotBeEmpty().And.OnlyContain(run => run.Scanned <= run.End - run.Start);
    }

    [Theory]
    [InlineData(CompactionPriority.Async, false)]
    [InlineData(CompactionPriority.SyncFull, true)]
    public void Movable_pages_go_into_page_blocks_of_unmovable_ones_only_when_nothing_else_helped(CompactionPriority priority, bool mixes)
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        machine.Reclaim.Policy = NoReclaim.Instance;

        // The kernel's pages lie where the free scanner begins.
        List<Page> others = [.. Enumerable.Range(0, 8000).Select(_ => cpu.AllocPage(Gfp.HighUserMovable))];
        List<Page> kernels = [.. Enumerable.Range(0, 6000).Select(_ => cpu.AllocPage(Gfp.Kernel))];
        others.ForEach(cpu.FreePage);
        MovablePool pool = machine.Migration.CreateMovablePool();
        List<int> numbers = pool.Fill(cpu);
        pool.KeepEvery(cpu, numbers, 2);
        for (int i = 0; i < kernels.Count; i += 2)
        {
            cpu.FreePage(kernels[i]);
        }

        machine.Memory.DrainAllPages();
        HashSet<long> unmovable = [.. machine.Zones.Where(z => z.IsPopulated).SelectMany(z => kernels.Where((p, i) => i % 2 == 1 && p.Zone == z && z.BlockType(p.FrameIndex) == (int)MigrateType.Unmovable)).Select(p => p.Pfn.Value >> 9)];
        Zone zone = machine.Nodes[0].GetZone(ZoneType.Dma32);

        // Several times, as each run ends with the block it was for.
        List<int> caught = [];
        for (int run = 0; run < 40; run++)
        {
            _ = machine.Compaction.Compactor.TryToCompact(new ReclaimRequest(cpu, Gfp.HighUserMovable | Gfp.NoWarn, 9, zone.Index, [zone]), priority);
            int captured = machine.Compaction.Compactor.TakeCaptured(cpu);
            if (captured >= 0)
            {
                caught.Add(captured);
            }
        }

        caught.ForEach(pfn => machine.Pages.FreeCaptured(cpu, pfn, 9));
        pool.Moves.Should().BePositive();
        numbers.Any(n => !pool[n].IsNull && unmovable.Contains(pool[n].Pfn.Value >> 9)).Should().Be(mixes);
    }

    private sealed class TakenSink : ICompactionTraceSink
    {
        public long Pages { get; private set; }

        public List<(long Start, long End, long Scanned)> FreeRuns { get; } = [];

        public List<(long Start, long End, long Scanned)> MigrateRuns { get; } = [];

        public void MmCompactionIsolateMigratePages(Cpu cpu, long startPfn, long endPfn, long scanned, long taken)
        {
            Pages += taken;
            MigrateRuns.Add((startPfn, endPfn, scanned));
        }

        public void MmCompactionIsolateFreePages(Cpu cpu, long startPfn, long endPfn, long scanned, long taken)
        {
            Pages += taken;
            FreeRuns.Add((startPfn, endPfn, scanned));
        }
    }

    /// <summary>A process's memory of which every other page is gone.</summary>
    private static List<Page> Fragment(Machine machine, long bytes, bool locked = false)
    {
        Cpu cpu = machine.Cpus[0];
        machine.HugePages.Enabled = TransparentHugePages.Never;
        Process process = machine.CreateProcess("process", new Rlimits { MayLockAll = true });
        List<Page> pages = [];
        using (cpu.Run(process))
        {
            VirtualAddress start = process.Mm.Mmap(bytes, Prot.Read | Prot.Write).Value;
            for (long at = 0; at < bytes; at += 4096)
            {
                cpu.Write(start + at, at);
            }

            for (long at = 0; at < bytes; at += 4096)
            {
                if ((at >> 12) % 2 == 0)
                {
                    process.Mm.Madvise(start + at, 4096, MemoryAdvice.DontNeed).Should().Be(Errno.None);
                }
                else
                {
                    pages.Add(machine.GetPage(new Pfn((long)(process.PageMap(start + at, 1)[0] & ((1UL << 55) - 1)))));
                }
            }
        }

        if (locked)
        {
            using (cpu.Run(process))
            {
                process.Mm.MlockAll(LockAll.Current | LockAll.OnFault).Should().Be(Errno.None);
            }
        }

        return pages;
    }
}
