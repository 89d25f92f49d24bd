using System.Runtime.InteropServices;
using FluentAssertions;
using MemSim.Reclaim;
using MemSim.Swap;

namespace MemSim.Tests.Pressure;

/// <summary>Everything that uses memory at once on a machine far too small for it, and a model that knows what each page must hold.</summary>
internal sealed partial class PressureWorld : IDisposable
{
    public const int PageSize = PageGeometry.PageSize;
    private const int MaxProcesses = 8;

    private readonly Random _random;
    private readonly long _budget;
    private readonly bool _mayKill;
    private readonly bool _writesFail;
    private readonly List<PressureProcess> _processes = [];
    private readonly List<PressureFile> _files = [];
    private readonly List<(Page Page, int Order)> _raw = [];
    private readonly List<(Page Page, int Pages, int Stamp)> _contiguous = [];
    private readonly SlabHoard _slab;
    private readonly BlockDevice _disk;
    private readonly byte[] _buffer = new byte[PageSize];
    private readonly List<MemorySwapBacking> _swaps = [];
    private readonly List<SwapArea> _areas = [];
    private readonly long _swapPages;
    private readonly CmaArea? _cma;
    private int _stamp;
    private bool _isOver;

    /// <summary>Boots the machine.</summary>
    /// <param name="spec">The machine.</param>
    /// <param name="seed">For what happens.</param>
    /// <param name="swap">Swap, as a multiple of memory; what is touched is three times memory.</param>
    /// <param name="hugePages">Whether processes get huge pages.</param>
    /// <param name="writesFail">Whether the disk fails to write now and then.</param>
    public PressureWorld(MachineSpec spec, int seed, double swap = 3.5, bool hugePages = false, bool writesFail = false)
    {
        _writesFail = writesFail;
        DevicesFail = writesFail;
        _random = new Random(seed);
        Machine = Machine.Boot(spec);
        long managed = Machine.Zones.Sum(z => z.ManagedPages);
        _budget = 3 * managed;
        _mayKill = swap < 3;
        _swapPages = (long)(managed * swap / 2);
        Machine.Sysctl.Set("overcommit_memory", "1");
        if (hugePages)
        {
            Machine.HugePages.Enabled = TransparentHugePages.Always;
            Machine.HugePages.Defrag = HugePageDefrag.Always;
        }

        for (int i = 0; i < 2 && swap != 0; i++)
        {
            SwapOn();
        }

        _disk = new BlockDevice("sda", ByteSize.FromPages(managed * 2));
        DiskFileSystem files = Machine.Files.Mount(_disk);
        TmpFileSystem shared = Machine.Files.MountTmpfs();
        for (int i = 0; i < 4; i++)
        {
            _files.Add(new PressureFile(files.Create($"f{i}").Value, (int)(managed / 4)) { Older = writesFail ? [] : null });
        }

        _files.Add(new PressureFile(shared.Create("shm").Value, (int)(managed / 8)));
        _slab = new SlabHoard(Machine);
        _cma = Machine.Cma.Areas.Count != 0 ? Machine.Cma.Areas[0] : null;
    }

    public Machine Machine { get; }

    public BlockDevice Disk => _disk;

    public IReadOnlyList<MemorySwapBacking> Swaps => _swaps;

    /// <summary>Accesses that a process did not survive because it was chosen by the OOM killer.</summary>
    public int Killed { get; private set; }

    /// <summary>Accesses that failed because a device did.</summary>
    public int BusErrors { get; private set; }

    /// <summary>Calls that failed with an error of a device.</summary>
    public int InputErrors { get; private set; }

    /// <summary>Pages looked at and found right.</summary>
    public long Checked { get; private set; }

    /// <summary>Errors told by fsync, and pages of files that hold what was written before.</summary>
    public (int Told, int Lost) FileErrors => (_files.Sum(f => f.ErrorsTold), _files.Sum(f => f.Lost));

    public int CmaSuccesses { get; private set; }

    public int CmaFailures { get; private set; }

    /// <summary>Whether devices fail now and then.</summary>
    public bool DevicesFail { get; init; }

    /// <summary>Whether <c>lru_gen/enabled</c> is written now and then.</summary>
    public bool SwitchesEngines { get; init; }

    /// <summary>How often it changed the engine.</summary>
    public int EngineChanges { get; private set; }

    private Cpu AnyCpu => Machine.Cpus[_random.Next(Machine.Cpus.Count)];

    public void Run(int steps, int verifyEvery = 5000)
    {
        Fill();
        Machine.Verify();
        for (int step = 1; step <= steps; step++)
        {
            Step(step);
            if (step % verifyEvery == 0)
            {
                Machine.Verify();
            }
        }
    }

    /// <summary>Looks at everything that was ever written, ends everything, and finds all memory free.</summary>
    public void End()
    {
        Machine.Background.Mode = BackgroundWork.Inline;
        Machine.Background.Run();
        Repair();
        if (DevicesFail)
        {
            ForgetUnread();
        }

        _isOver = true;
        Machine.Verify();
        AskForErrors();
        foreach (PressureProcess process in _processes.ToArray())
        {
            CheckAll(process);
            if (process.Process.State == ProcessState.Running)
            {
                process.Process.Exit();
            }
        }

        _processes.Clear();
        foreach (PressureFile file in _files)
        {
            for (int i = 0; i < file.Stamps.Length; i++)
            {
                CheckFile(Machine.Cpus[0], file, i);
            }
        }

        _files.Should().NotContain(file => file.Lost != 0 && file.ErrorsTold == 0, "what is lost is told");
        FreeRaw(_raw.Count);
        while (_contiguous.Count != 0)
        {
            ReleaseContiguous(0);
        }

        _slab.Clear(Machine.Cpus[0]);
        Machine.Verify();
        foreach (SwapArea area in _areas)
        {
            Machine.Swap.SwapOff(Machine.Cpus[0], area).Should().Be(Errno.None);
        }

        foreach (PressureFile file in _files)
        {
            file.File.File.FileSystem.Delete(Machine.Cpus[0], file.File.File.Name).Should().Be(Errno.None);
            file.File.Close(Machine.Cpus[0]);
        }

        Machine.Lru.DrainAll();
        Machine.Verify();
        NodeCounters[] nodes = [.. Machine.Nodes.Select(n => n.Counters)];
        nodes.Sum(n => n.AnonPages + n.FilePages + n.Mapped + n.Dirty + n.Writeback + n.SwapCached + n.Shmem).Should().Be(0);
        nodes.Sum(n => n.ActiveAnon + n.InactiveAnon + n.ActiveFile + n.InactiveFile + n.Unevictable).Should().Be(0, "nothing is left on a list");
        Machine.SystemFigures.CommittedPages.Should().Be(0);
    }

    public void Dispose()
    {
        Machine.Dispose();
        _disk.Dispose();
    }

    private void Step(int step)
    {
        if (DevicesFail && step % 199 == 0)
        {
            BreakOrRepair();
        }

        if (SwitchesEngines && step % 499 == 0)
        {
            bool before = Machine.Reclaim.LruGen.IsEnabled;
            Machine.Reclaim.LruGen.Enabled = _random.Next(8);
            EngineChanges += before != Machine.Reclaim.LruGen.IsEnabled ? 1 : 0;
        }

        if (Machine.Background.Mode == BackgroundWork.Manual && _random.Next(40) == 0)
        {
            Machine.Background.Run();
        }

        switch (_random.Next(1000))
        {
            case < 620:
                Touch();
                break;
            case < 760:
                FileAccess();
                break;
            case < 860:
                _slab.Step(AnyCpu, _random, Machine);
                break;
            case < 900:
                RawPages();
                break;
            case < 925:
                Contiguous();
                break;
            case < 955:
                Advise();
                break;
            case < 965:
                MapOrUnmap();
                break;
            case < 972:
                Lock();
                break;
            case < 980:
                NewProcess();
                break;
            case < 984:
                EndProcess();
                break;
            case < 990:
                Fork();
                break;
            case < 996:
                Sync();
                break;
            default:
                Rare();
                break;
        }
    }

    private void Rare()
    {
        switch (_random.Next(40))
        {
            case 0:
                Machine.Files.DropCaches(1 + _random.Next(3));
                break;
            case 1:
                Machine.Compaction.CompactMemory();
                break;
            case 2:
                Machine.AdvanceTime(TimeSpan.FromSeconds(_random.Next(40)));
                break;
            case 3 when _areas.Count == 2 && _areas[0].UsedPages < Machine.Zones.Sum(z => z.ManagedPages) / 4 && !DevicesFail:
                if (Machine.Swap.SwapOff(AnyCpu, _areas[0]) == Errno.None)
                {
                    _areas.RemoveAt(0);
                    _swaps.RemoveAt(0);
                    SwapOn();
                }

                break;
            case 4:
                Machine.Compaction.TickKcompactd();
                break;
            case < 9:
                // Kernel threads that come late leave the work to those who need memory.
                Machine.Background.Mode = Machine.Background.Mode == BackgroundWork.Manual ? BackgroundWork.Inline : BackgroundWork.Manual;
                break;
            case 9:
                Machine.Sysctl.Set("swappiness", $"{_random.Next(201)}");
                break;
            default:
                break;
        }
    }

    private void SwapOn()
    {
        MemorySwapBacking backing = new($"swap{_stamp++}", _swapPages, solidState: _swaps.Count == 0, synchronous: false);
        _swaps.Add(backing);
        _areas.Add(Machine.Swap.SwapOn(backing));
    }

    private void BreakOrRepair()
    {
        if (_writesFail && _random.Next(2) == 0)
        {
            if (_random.Next(4) == 0)
            {
                // A swap device is pulled out for a while.
                MemorySwapBacking gone = _swaps[_random.Next(_swaps.Count)];
                gone.FailsReads = gone.FailsWrites = true;
            }
            else
            {
                _disk.FailSectors(_random.Next((int)_disk.CapacityPages * 4), 1 + _random.Next((int)_disk.CapacityPages * 4), reads: false);
            }

            return;
        }

        switch (_random.Next(6))
        {
            case 0 when _swaps.Count != 0:
                _swaps[_random.Next(_swaps.Count)].FailsWrites = true;
                break;
            case 1 when _swaps.Count != 0:
                _swaps[_random.Next(_swaps.Count)].FailsReads = true;
                break;
            case 2 when _swaps.Count != 0:
                _swaps[_random.Next(_swaps.Count)].HoldsWrites = true;
                break;
            case 3:
                long first = _random.Next((int)_disk.CapacityPages * 4);
                _disk.FailSectors(first, 1 + _random.Next((int)_disk.CapacityPages * 4), writes: false);
                break;
            default:
                Repair();
                break;
        }
    }

    private void Repair()
    {
        _disk.RepairSectors();
        foreach (MemorySwapBacking swap in _swaps)
        {
            swap.FailsReads = swap.FailsWrites = swap.HoldsWrites = false;
        }

        if (_swaps.Count != 0)
        {
            _ = Machine.Swap.CompleteWrites(Machine.Cpus[0]);
        }
    }

    /// <summary>Pages that could not be read stay in the swap cache, as in 6.1, and whoever needs them gets SIGBUS until reclaim has taken them.</summary>
    private void ForgetUnread()
    {
        ScanControl sc = new();
        foreach (Node node in Machine.Nodes)
        {
            for (int i = 0; i < 8; i++)
            {
                sc.Start(Gfp.Kernel, 0, Machine.Architecture.ZoneTypes.Count - 1, long.MaxValue / 2, isKswapd: false);
                sc.Priority = 0;
                sc.ForceDeactivate = true;
                Machine.Reclaim.Vmscan.ShrinkNode(Machine.Cpus[0], Machine.Reclaim.Vmscan.StateOf(node), sc);
            }
        }
    }

    private void RawPages()
    {
        if (_raw.Count > 60 || _random.Next(3) == 0)
        {
            FreeRaw(_random.Next(1 + Math.Min(_raw.Count, 8)));
            return;
        }

        Gfp gfp = _random.Next(8) switch { 0 => Gfp.Atomic, 1 => Gfp.NoFs, 2 => Gfp.NoIo, 3 => Gfp.HighUser, 4 => Gfp.Kernel | Gfp.RetryMayFail, _ => Gfp.Kernel };
        int order = _random.Next(50) == 0 ? 9 : _random.Next(4);
        Page page = AnyCpu.AllocPages(gfp | Gfp.NoWarn | (_mayKill ? Gfp.NoRetry : Gfp.None), order);
        if (!page.IsNull)
        {
            _raw.Add((page, order));
        }
    }

    private void FreeRaw(int count)
    {
        for (int i = 0; i < count; i++)
        {
            (Page page, int order) = _raw[^1];
            _raw.RemoveAt(_raw.Count - 1);
            Machine.Cpus[0].FreePages(page, order);
        }
    }

    private void Contiguous()
    {
        if (_cma is null)
        {
            return;
        }

        if (_contiguous.Count > 3)
        {
            ReleaseContiguous(_random.Next(_contiguous.Count));
            return;
        }

        int pages = 1 << _random.Next(9);
        Cpu cpu = AnyCpu;
        Page page = Machine.Cma.Alloc(cpu, _cma, pages);
        if (page.IsNull)
        {
            CmaFailures++;
            return;
        }

        CmaSuccesses++;
        int stamp = ++_stamp;
        for (int i = 0; i < pages; i++)
        {
            MemoryMarshal.Cast<byte, int>(Machine.Ram.Frame(page.FrameIndex + i)).Fill(stamp + i);
        }

        _contiguous.Add((page, pages, stamp));
    }

    private void ReleaseContiguous(int index)
    {
        (Page page, int pages, int stamp) = _contiguous[index];
        _contiguous.RemoveAt(index);
        for (int i = 0; i < pages; i++)
        {
            ReadOnlySpan<int> words = MemoryMarshal.Cast<byte, int>(Machine.Ram.Frame(page.FrameIndex + i));
            if (words.ContainsAnyExcept(stamp + i))
            {
                throw new InvalidOperationException($"somebody wrote to page {i} of {pages} that were allocated from CMA");
            }
        }

        Machine.Cma.Free(Machine.Cpus[0], _cma!, page, pages).Should().BeTrue();
    }
}
