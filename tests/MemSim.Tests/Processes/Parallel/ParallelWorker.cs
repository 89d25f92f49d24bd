using System.Collections.Concurrent;
using System.Runtime.InteropServices;

namespace MemSim.Tests.Processes.Parallel;

/// <summary>One host thread with its CPU and process: does things to memory in an order that a seed decides, and knows what every page must hold.</summary>
internal sealed class ParallelWorker
{
    private const int AreaPages = 256;
    private const int PageBytes = PageGeometry.PageSize;

    private readonly ParallelStage _stage;
    private readonly Cpu _cpu;
    private readonly Process _process;
    private readonly Random _random;
    private readonly List<Area> _areas = [];
    private readonly ulong[] _sharedWords;
    private readonly ulong[] _fileWords;
    private readonly byte[] _page = new byte[PageBytes];
    private readonly List<(Page Page, int Order, ulong Word)> _kernelPages = [];
    private readonly int _wantAreas;
    private ulong _serial;

    public ParallelWorker(ParallelStage stage, Cpu cpu, Process process, int pages, int seed)
    {
        _stage = stage;
        _cpu = cpu;
        _process = process;
        _random = new Random(seed);
        _wantAreas = Math.Max(1, pages / AreaPages);
        _sharedWords = new ulong[ParallelStage.SharedPages];
        _fileWords = new ulong[ParallelStage.FilePages];
    }

    /// <summary>Steps done: what a hanging test says.</summary>
    public int Steps { get; private set; }

    public void Run(int steps)
    {
        // Now and then another thread gets its turn when an address is translated and the bytes are not yet copied.
        int accesses = 0;
        _cpu.UseMmu().InsideAccess = () => _ = ++accesses % 64 == 0 && Thread.Yield();
        try
        {
            for (Steps = 0; Steps < steps && _stage.Wrong.IsEmpty; Steps++)
            {
                if (_random.Next(64) == 0)
                {
                    KernelWork();
                }

                using (_cpu.Run(_process))
                {
                    for (int i = 0; i < 8; i++)
                    {
                        Step();
                    }
                }
            }

            End();
        }
        catch (Exception e)
        {
            _stage.Wrong.Enqueue($"CPU {_cpu.Id}, step {Steps}: {e}");
        }
    }

    private void Step()
    {
        if (_areas.Count < _wantAreas && (_areas.Count == 0 || _random.Next(4) == 0))
        {
            Map();
            return;
        }

        Area area = _areas[_random.Next(_areas.Count)];
        int page = _random.Next(AreaPages);
        switch (_random.Next(100))
        {
            case < 35:
                for (int i = 0; i < 8; i++)
                {
                    Write(area, (page + i) % AreaPages);
                }

                break;
            case < 60:
                for (int i = 0; i < 8; i++)
                {
                    Check(area, (page + i) % AreaPages);
                }

                break;
            case < 75:
                Shared();
                break;
            case < 85:
                FileWork();
                break;
            case < 88:
                Advise(area, page, MemoryAdvice.DontNeed);
                break;
            case < 90:
                Advise(area, page, MemoryAdvice.PageOut);
                break;
            case < 92:
                Advise(area, page, MemoryAdvice.Free);
                break;
            case < 95:
                Protect(area, page);
                break;
            case < 96:
                Move(area);
                break;
            case < 97:
                Unmap(area);
                break;
            case < 98:
                CopyAround(area, page);
                break;
            default:
                ForkAndCheck();
                break;
        }
    }

    private void Map()
    {
        VirtualAddress at = _process.Mm.Mmap((long)AreaPages * PageBytes, Prot.Read | Prot.Write);
        if (_stage.UsesHugePages && _random.Next(2) == 0)
        {
            Expect(_process.Mm.Madvise(at, AreaPages * PageBytes, MemoryAdvice.HugePage), "madvise(HUGEPAGE)");
        }

        _areas.Add(new Area(at));
    }

    private void Unmap(Area area)
    {
        Expect(_process.Mm.Munmap(area.Start, AreaPages * PageBytes), "munmap");
        _areas.Remove(area);
    }

    private void Write(Area area, int page)
    {
        ulong word = NextWord();
        MemoryMarshal.Cast<byte, ulong>(_page.AsSpan()).Fill(word);
        _cpu.Write(area.At(page), _page);
        area.Words[page] = word;
        area.MayBeZero[page] = false;
    }

    private void Check(Area area, int page) => Check(area, page, "its own page");

    private void Check(Area area, int page, string what)
    {
        _cpu.Read(area.At(page), _page);
        ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(_page.AsSpan());
        ulong expected = area.MayBeZero[page] && words[0] == 0 ? 0 : area.Words[page];
        int bad = words.IndexOfAnyExcept(expected);
        if (bad >= 0)
        {
            Wrong($"{what} {page} of {area.Start}: word {bad} is {words[bad]:x}, not {expected:x}");
        }

        area.Words[page] = expected;
        area.MayBeZero[page] &= expected != 0;
    }

    private void Advise(Area area, int page, MemoryAdvice advice)
    {
        int count = Math.Min(1 + _random.Next(32), AreaPages - page);
        Expect(_process.Mm.Madvise(area.At(page), (long)((ulong)count * PageBytes), advice), $"madvise({advice})");
        for (int i = page; i < page + count; i++)
        {
            area.Words[i] = advice == MemoryAdvice.DontNeed ? 0 : area.Words[i];
            area.MayBeZero[i] |= advice == MemoryAdvice.Free;
        }
    }

    private void Protect(Area area, int page)
    {
        int count = Math.Min(1 + _random.Next(16), AreaPages - page);
        Expect(_process.Mm.Mprotect(area.At(page), (long)((ulong)count * PageBytes), Prot.Read), "mprotect(READ)");
        Check(area, page);
        try
        {
            _cpu.Write(area.At(page), 1L);
            Wrong($"page {page} of {area.Start} could be written in spite of mprotect");
        }
        catch (SignalException)
        {
            Check(area, page);
        }

        Expect(_process.Mm.Mprotect(area.At(page), (long)((ulong)count * PageBytes), Prot.Read | Prot.Write), "mprotect(READ | WRITE)");
    }

    private void Move(Area area)
    {
        VirtualAddress at = _process.Mm.Mmap((long)AreaPages * PageBytes, Prot.Read | Prot.Write);
        area.Start = _process.Mm.Mremap(area.Start, AreaPages * PageBytes, AreaPages * PageBytes, RemapFlags.MayMove | RemapFlags.Fixed, at);
        Check(area, _random.Next(AreaPages));
    }

    /// <summary>Copies between pages, also a store that crosses into the next one.</summary>
    private void CopyAround(Area area, int page)
    {
        int to = (page + 7) % AreaPages;
        Check(area, page);
        _cpu.Memory.Copy(area.At(to), area.At(page), PageBytes);
        area.Words[to] = area.Words[page];
        area.MayBeZero[to] = false;
        Check(area, to);
        int low = Math.Min(page, AreaPages - 2);
        Write(area, low);
        Write(area, low + 1);
        VirtualAddress edge = area.At(low + 1) + -4;
        _cpu.Write(edge, 0x1122_3344_5566_7788UL);
        if (_cpu.Read<ulong>(edge) != 0x1122_3344_5566_7788UL)
        {
            Wrong($"a store across pages at {edge} is not what a load finds");
        }

        Write(area, low);
        Write(area, low + 1);
    }

    private void ForkAndCheck()
    {
        Result<Process> forked = _process.Fork(_cpu);
        if (!forked.Succeeded)
        {
            return;
        }

        Process child = forked.Value;
        using (_cpu.Run(child))
        {
            Area area = _areas[_random.Next(_areas.Count)];
            int first = _random.Next(AreaPages);
            for (int i = 0; i < 16; i++)
            {
                int page = (first + i) % AreaPages;
                if (area.MayBeZero[page])
                {
                    continue;
                }

                Check(area, page, "the child's page");
                _cpu.Write(area.At(page), ~0UL);
            }

            child.Exit(0, _cpu);
        }

        _ = _process.Wait();
        for (int i = 0; i < 16; i++)
        {
            Check(_areas[_random.Next(_areas.Count)], _random.Next(AreaPages));
        }
    }

    /// <summary>A word of its own in pages that all write at the same time, and the others' words, which only ever grow.</summary>
    private void Shared()
    {
        for (int i = 0; i < 4; i++)
        {
            int page = _random.Next(ParallelStage.SharedPages);
            VirtualAddress at = _stage.Shared + ((long)page * PageBytes);
            if (_cpu.Read<ulong>(at + (_cpu.Id * 8L)) != _sharedWords[page])
            {
                Wrong($"shared page {page}: {_cpu.Read<ulong>(at + (_cpu.Id * 8L)):x}, not {_sharedWords[page]:x}");
            }

            _sharedWords[page] = ++_serial;
            _cpu.Write(at + (_cpu.Id * 8L), _sharedWords[page]);
            for (int other = 0; other < _cpu.Machine.Cpus.Count; other++)
            {
                VirtualAddress word = at + (other * 8L);
                ulong first = _cpu.Read<ulong>(word);
                ulong second = _cpu.Read<ulong>(word);
                if (second < first)
                {
                    Wrong($"shared page {page}: the word of CPU {other} went back from {first:x} to {second:x}");
                }
            }
        }
    }

    private void FileWork()
    {
        for (int i = 0; i < 4; i++)
        {
            int page = _random.Next(ParallelStage.FilePages);
            VirtualAddress at = _stage.File + ((long)page * PageBytes) + (_cpu.Id * 8L);
            if (_cpu.Read<ulong>(at) != _fileWords[page])
            {
                Wrong($"page {page} of the file: {_cpu.Read<ulong>(at):x}, not {_fileWords[page]:x}");
            }

            _fileWords[page] = ++_serial;
            _cpu.Write(at, _fileWords[page]);
        }

        if (_random.Next(16) == 0)
        {
            Expect(_process.Mm.Msync(_stage.File, (long)((ulong)ParallelStage.FilePages * PageBytes), SyncFlags.Sync), "msync");
        }
    }

    /// <summary>Kernel allocations, which reclaim without any lock of address spaces, compaction, and background threads.</summary>
    private void KernelWork()
    {
        for (int i = 0; i < 16; i++)
        {
            int order = _random.Next(4);
            Page page = _cpu.AllocPages(Gfp.Kernel | Gfp.NoWarn | Gfp.NoRetry, order);
            if (page.IsNull)
            {
                continue;
            }

            ulong word = NextWord();
            for (int at = 0; at < 1 << order; at++)
            {
                _cpu.Write(page.Address + ((long)at * PageBytes), word);
            }

            _kernelPages.Add((page, order, word));
        }

        if (_kernelPages.Count > 64)
        {
            FreeKernelPages();
        }

        switch (_random.Next(_stage.UsesHugePages ? 4 : 8))
        {
            case 0:
                _cpu.Machine.Compaction.CompactMemory();
                break;
            case 1 when _stage.UsesHugePages:
                _cpu.Machine.HugePages.Khugepaged.Run(_cpu);
                break;
        }
    }

    private void FreeKernelPages()
    {
        foreach ((Page page, int order, ulong word) in _kernelPages)
        {
            for (int at = 0; at < 1 << order; at++)
            {
                ulong found = _cpu.Read<ulong>(page.Address + ((long)at * PageBytes));
                if (found != word)
                {
                    Wrong($"page {page} of the kernel: {found:x}, not {word:x}");
                }
            }

            _cpu.FreePages(page, order);
        }

        _kernelPages.Clear();
    }

    private void End()
    {
        FreeKernelPages();
        using (_cpu.Run(_process))
        {
            foreach (Area area in _areas)
            {
                for (int page = 0; page < AreaPages; page++)
                {
                    Check(area, page);
                }
            }

            for (int page = 0; page < ParallelStage.SharedPages; page++)
            {
                ulong found = _cpu.Read<ulong>(_stage.Shared + ((long)page * PageBytes) + (_cpu.Id * 8L));
                if (found != _sharedWords[page])
                {
                    Wrong($"shared page {page} at the end: {found:x}, not {_sharedWords[page]:x}");
                }
            }
        }

        _process.Exit(0, _cpu);
        byte[] page8 = new byte[8];
        for (int page = 0; page < ParallelStage.FilePages; page++)
        {
            _cpu.Files.Read(_stage.OpenFile, ((long)page * PageBytes) + (_cpu.Id * 8L), page8);
            if (BitConverter.ToUInt64(page8) != _fileWords[page])
            {
                Wrong($"page {page} of the file at the end: {BitConverter.ToUInt64(page8):x}, not {_fileWords[page]:x}");
            }
        }
    }

    private ulong NextWord() => ((ulong)(uint)(_cpu.Id + 1) << 56) | ++_serial;

    private void Wrong(string what) => _stage.Wrong.Enqueue($"CPU {_cpu.Id}, step {Steps}: {what}");

    private void Expect(Errno error, string what)
    {
        if (error != Errno.None)
        {
            Wrong($"{what}: {error}");
        }
    }

    private sealed class Area(VirtualAddress start)
    {
        public VirtualAddress Start { get; set; } = start;

        /// <summary>What every word of a page is.</summary>
        public ulong[] Words { get; } = new ulong[AreaPages];

        /// <summary>Pages that reclaim may have dropped (MADV_FREE).</summary>
        public bool[] MayBeZero { get; } = new bool[AreaPages];

        public VirtualAddress At(int page) => Start + ((long)page * PageBytes);
    }
}

/// <summary>A machine with too little memory for what its workers do, and what they share.</summary>
internal sealed class ParallelStage : IDisposable
{
    public const int SharedPages = 128;
    public const int FilePages = 128;

    private readonly BlockDevice _swap;
    private readonly BlockDevice _disk;

    public ParallelStage(int cpus, bool hugePages, Architecture architecture = Architecture.X86_64)
    {
        MachineSpec spec = architecture == Architecture.Arm64 ? MachineSpec.Arm64("96M", cpus) : MachineSpec.X86_64("96M", cpus);
        Machine = Machine.Boot(spec.WithParallelCpus());
        _swap = new BlockDevice("zram0", "256M", BlockDeviceCosts.Memory);
        _disk = new BlockDevice("sda", "64M");
        UsesHugePages = hugePages;
        _ = Machine.Swap.SwapOn(_swap);
        Machine.HugePages.Enabled = hugePages ? TransparentHugePages.Madvise : TransparentHugePages.Never;
        OpenFile = Machine.Files.Mount(_disk).Create("data");
        Cpu cpu = Machine.Cpus[0];
        cpu.Files.Write(OpenFile, 0, new byte[FilePages * PageGeometry.PageSize]);
        Parent = Machine.CreateProcess("parent");
        using ContextScope scope = cpu.Run(Parent);
        Shared = Parent.Mm.Mmap(default, SharedPages * PageGeometry.PageSize, Prot.Read | Prot.Write, MapFlags.Shared | MapFlags.Anonymous);
        File = Parent.Mm.Mmap(default, FilePages * PageGeometry.PageSize, Prot.Read | Prot.Write, MapFlags.Shared, OpenFile);
    }

    public Machine Machine { get; }

    public Process Parent { get; }

    public bool UsesHugePages { get; }

    public OpenFile OpenFile { get; }

    /// <summary>Shared memory that all processes map.</summary>
    public VirtualAddress Shared { get; }

    /// <summary>A file that all processes map.</summary>
    public VirtualAddress File { get; }

    public ConcurrentQueue<string> Wrong { get; } = new();

    /// <summary>Runs threads until they are done.</summary>
    public void Run(IReadOnlyList<Action> threads, Func<string> progress)
    {
        Thread[] started = [.. threads.Select(run => new Thread(() => run()) { IsBackground = true })];
        Array.ForEach(started, thread => thread.Start());

        // Only a deadlock takes minutes.
        if (!Array.TrueForAll(started, thread => thread.Join(TimeSpan.FromMinutes(4))))
        {
            Wrong.Enqueue($"no end: {progress()}");
        }
    }

    public void Dispose()
    {
        Machine.Dispose();
        _disk.Dispose();
        _swap.Dispose();
    }
}
