using FluentAssertions;
using MemSim.Lru;
using MemSim.Statistics;
using Xunit;

namespace MemSim.Tests.Reclaim;

/// <summary>Reclaim by generations, with real files and processes: what surprised us of real kernels (README of the pressure recordings), each as a test.</summary>
public sealed class GenerationReclaimTests : IDisposable
{
    private const int Anon = 0;
    private const int Files = 1;
    private const int MiB = 1 << 20;

    private readonly List<IDisposable> _used = [];
    private readonly RecordingSink _trace = new();

    public void Dispose()
    {
        _used.Reverse();
        _used.ForEach(u => u.Dispose());
    }

    [Theory]
    [InlineData("6.12", 1, 3)]
    [InlineData("6.18", 0, 2)]
    [InlineData("7.3", 0, 2)]
    public void A_file_read_once_is_old_and_memory_just_touched_is_not(string kernel, int fileGeneration, int anonGeneration)
    {
        Machine machine = Boot(kernel, "256M");
        OpenFile file = MakeFile(machine, 64);
        Read(machine, file, 64);
        Process process = Touch(machine, 32);

        LruGenerations generations = machine.Lru.Vectors[0].Generations!;
        generations.Pages(fileGeneration, Files).Should().BeGreaterThanOrEqualTo(64 * 256 - 16);
        generations.Pages(anonGeneration, Anon).Should().BeGreaterThanOrEqualTo(32 * 256 - 16);
        process.Exit();
        machine.Verify();
    }

    [Theory]
    [InlineData("6.12")]
    [InlineData("6.18")]
    [InlineData("7.3")]
    public void Reading_in_circles_misses_every_page(string kernel)
    {
        Machine machine = Boot(kernel, "128M");
        OpenFile file = MakeFile(machine, 160);
        machine.Sysctl.Set("watermark_boost_factor", "0");
        Read(machine, file, 160);
        NodeCounters counters = machine.Nodes[0].Counters;
        counters.WorkingsetRefaultFile.Should().Be(0);
        Read(machine, file, 160);

        counters.WorkingsetRefaultFile.Should().BeGreaterThanOrEqualTo(160 * 256 - machine.Zones[0].ManagedPages, "not only the part that did not fit; zone DMA comes last and keeps its pages");
        counters.WorkingsetActivateFile.Should().Be(kernel == "6.12" ? counters.WorkingsetRefaultFile : 0);
        machine.Verify();
    }

    [Theory]
    [InlineData("6.12", 0)]
    [InlineData("6.12", 60)]
    [InlineData("6.12", 200)]
    [InlineData("6.18", 0)]
    [InlineData("6.18", 60)]
    [InlineData("6.18", 200)]
    [InlineData("7.3", 0)]
    [InlineData("7.3", 60)]
    [InlineData("7.3", 200)]
    public void Whatever_the_swappiness_clean_pages_read_once_go_first(string kernel, int swappiness)
    {
        Machine machine = Boot(kernel, "128M", swap: 64);
        machine.Sysctl.Set("swappiness", $"{swappiness}");
        OpenFile file = MakeFile(machine, 64);
        Process process = Touch(machine, 24);
        Read(machine, file, 64);
        long before = machine.Events[VmEvent.StealAnon];
        Process second = Touch(machine, 8);

        machine.Events[VmEvent.StealFile].Should().BeGreaterThan(0);
        (machine.Events[VmEvent.StealAnon] - before).Should().Be(0);
        machine.Events[VmEvent.SwapOut].Should().Be(0);
        process.Exit();
        second.Exit();
        machine.Verify();
    }

    [Theory]
    [InlineData("6.18")]
    [InlineData("7.3")]
    public void Swappiness_max_takes_anonymous_memory_only(string kernel)
    {
        Machine machine = Boot(kernel, "128M", swap: 64);
        OpenFile file = MakeFile(machine, 24);
        Read(machine, file, 24);
        Process process = Touch(machine, 24);
        Reclaim(machine, pages: 2048, swappiness: Swappiness.AnonOnly);

        machine.Events[VmEvent.StealFile].Should().Be(0);
        machine.Events[VmEvent.StealAnon].Should().BeInRange(2048, 2048 + 128);
        process.Exit();
        machine.Verify();
    }

    [Theory]
    [InlineData("6.12", 4096, 64)]
    [InlineData("6.18", 4096, 4)]
    [InlineData("7.3", 4, 4)]
    public void A_step_looks_at_as_much_as_its_kernel_allows(string kernel, int asked, int scanned)
    {
        Machine machine = Boot(kernel, "128M");
        OpenFile file = MakeFile(machine, 64);
        Read(machine, file, 64);
        machine.Tracing.Attach(_trace);
        Reclaim(machine, pages: 1, swappiness: 60);

        LruIsolateEvent first = _trace.Isolations.First(e => e.Scanned != 0);
        first.Requested.Should().Be(asked);
        first.Scanned.Should().Be(scanned);
        first.Taken.Should().Be(first.Scanned);
    }

    [Theory]
    [InlineData(Swappiness.AnonOnly, 0)]
    [InlineData(0, 2)]
    public void The_trace_of_isolation_names_the_inactive_list_of_the_kind(int swappiness, int list)
    {
        Machine machine = Boot("7.3", "128M", swap: 64);
        Read(machine, MakeFile(machine, 24), 24);
        Process process = Touch(machine, 24);
        machine.Tracing.Attach(_trace);
        Reclaim(machine, pages: 64, swappiness);

        _trace.Isolations.Should().NotBeEmpty().And.OnlyContain(e => e.List == list);
        process.Exit();
    }

    [Theory]
    [InlineData(63, false)]
    [InlineData(64, true)]
    public void Anonymous_memory_is_evicted_only_while_swap_has_room_for_a_batch(int room, bool evicted)
    {
        Machine machine = Boot("6.18", "128M");
        FakeOwners owners = new(machine, swapPages: room);
        for (int i = 0; i < 4096; i++)
        {
            owners.Touch(machine.Cpus[0]);
        }

        machine.Lru.DrainAll();
        Reclaim(machine, pages: 32, swappiness: 100);

        (machine.Events[VmEvent.ScanAnon] != 0).Should().Be(evicted);
    }

    [Fact]
    public void Pages_read_often_stay_when_pages_read_once_are_evicted()
    {
        Machine machine = Boot("7.3", "128M");
        OpenFile hot = MakeFile(machine, 16, "hot");
        OpenFile cold = MakeFile(machine, 200, "cold");
        for (int i = 0; i < 6; i++)
        {
            Read(machine, hot, 16);
        }

        Read(machine, cold, 100);
        for (int i = 0; i < 4; i++)
        {
            Read(machine, hot, 16);
        }

        long before = machine.Nodes[0].Counters.WorkingsetRefaultFile;
        Read(machine, cold, 200);
        Read(machine, hot, 16);
        (machine.Nodes[0].Counters.WorkingsetRefaultFile - before).Should().BeLessThan(100 * 256 + 64);
        hot.File.CachedPages.Should().BeGreaterThan(15 * 256);
    }

    [Theory]
    [InlineData("6.12", true)]
    [InlineData("6.18", true)]
    [InlineData("6.1", false)]
    public void Generations_younger_than_min_ttl_are_not_evicted_somebody_dies_instead(string kernel, bool dies)
    {
        Machine machine = Boot(kernel, "128M", swap: 256);
        machine.Reclaim.LruGen.MinTimeToLiveMilliseconds = 1_000_000;
        Process process = machine.CreateProcess("hog");
        using (machine.Cpus[0].Run(process))
        {
            VirtualAddress start = process.Mm.Mmap(160 << 20, Prot.Read | Prot.Write).Value;
            for (long at = 0; at < 160 << 20 && process.State == ProcessState.Running; at += 4096)
            {
                try
                {
                    machine.Cpus[0].Write(start + at, 1L);
                }
                catch (SignalException)
                {
                    break;
                }
            }
        }

        (process.State != ProcessState.Running).Should().Be(dies);
        machine.Events[VmEvent.OomKill].Should().Be(dies ? 1 : 0);
    }

    [Theory]
    [InlineData("6.12")]
    [InlineData("7.3")]
    public void Pages_whose_file_keeps_them_are_taken_off_the_generations_where_reclaim_meets_them_and_counted(string kernel)
    {
        Machine machine = Boot(kernel, "256M");
        OpenFile file = MakeFile(machine, 32);
        Read(machine, file, 32);
        file.Mapping.IsUnevictable = true;

        Reclaim(machine, 1000, 60);

        machine.Events[VmEvent.UnevictablePagesCulled].Should().BeGreaterThan(1000);
        machine.Verify();
    }

    private Machine Boot(string kernel, string memory, int swap = 0)
    {
        Machine machine = Machine.Boot(MachineSpec.X86_64(memory, cpus: 1).WithKernel(kernel).WithCommandLine("transparent_hugepage=never"));
        _used.Add(machine);
        if (swap != 0)
        {
            _ = machine.Swap.SwapOn(new MemSim.Swap.MemorySwapBacking("swap", swap * 256, solidState: false, synchronous: false));
        }

        return machine;
    }

    private OpenFile MakeFile(Machine machine, int mebibytes, string name = "f")
    {
        BlockDevice disk = new($"vd{name}", "1G", BlockDeviceCosts.Rotating);
        _used.Add(disk);
        OpenFile file = machine.Files.Mount(disk).Create(name).Value;
        byte[] megabyte = new byte[MiB];
        for (int i = 0; i < mebibytes; i++)
        {
            machine.Cpus[0].Files.Write(file, (long)i * MiB, megabyte).Value.Should().Be(MiB);
            machine.Cpus[0].Files.Fsync(file).Should().Be(Errno.None);
            machine.Files.DropCaches(1);
        }

        return file;
    }

    private static void Read(Machine machine, OpenFile file, int mebibytes)
    {
        byte[] buffer = new byte[65536];
        for (long at = 0; at < (long)mebibytes << 20; at += buffer.Length)
        {
            machine.Cpus[0].Files.Read(file, at, buffer).Value.Should().Be(buffer.Length);
        }

        machine.Lru.DrainAll();
    }

    private static Process Touch(Machine machine, int mebibytes)
    {
        Process process = machine.CreateProcess($"touch{mebibytes}");
        using (machine.Cpus[0].Run(process))
        {
            long bytes = (long)mebibytes << 20;
            VirtualAddress start = process.Mm.Mmap(bytes, Prot.Read | Prot.Write).Value;
            for (long at = 0; at < bytes; at += 4096)
            {
                machine.Cpus[0].Write(start + at, 1L);
            }
        }

        machine.Lru.DrainAll();
        return process;
    }

    /// <summary>As <c>memory.reclaim</c> of the whole machine: priorities from 12 down, again and again, until so much is reclaimed.</summary>
    private static void Reclaim(Machine machine, long pages, int swappiness)
    {
        MemSim.Reclaim.ScanControl sc = machine.Reclaim.Vmscan.Rent();
        Node node = machine.Nodes[0];
        using (machine.Cpus[0].Context.MemAlloc())
        {
            for (int attempt = 0; attempt < 16 && pages > 0; attempt++)
            {
                sc.Start(Gfp.Kernel, 0, node.Zones.Count - 1, pages, isKswapd: false);
                sc.Swappiness = swappiness;
                for (; sc.Priority >= 0 && sc.Reclaimed < pages; sc.Priority--)
                {
                    machine.Reclaim.Vmscan.ShrinkNode(machine.Cpus[0], machine.Reclaim.Vmscan.StateOf(node), sc);
                }

                pages -= sc.Reclaimed;
            }
        }

        machine.Reclaim.Vmscan.Return(sc);
    }
}
