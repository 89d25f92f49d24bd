using MemSim.Kernels;

namespace MemSim.Tool.Plots;

/// <summary>Runs a small machine short of memory and writes down what can be drawn: samples, marks, phases.</summary>
/// <remarks>Nothing depends on the host or on time: the same calls give the same samples. kswapd runs when this class lets it, which is how it can be too late.</remarks>
internal sealed class PressureRun : IReclaimTraceSink, IDisposable
{
    private const int ChunkPages = 16;
    private const string FileName = "archive";

    private readonly List<PressureSample> _samples = [];
    private readonly List<PressureMark> _marks = [];
    private readonly List<PressurePhase> _phases = [];
    private readonly BlockDevice _disk = new("vda", "256M");
    private readonly BlockDevice _swapDevice = new("vdb", "128M", BlockDeviceCosts.Memory);
    private readonly DiskFileSystem _files;
    private readonly int _sampleEvery;
    private long _asked;
    private long _sinceKswapdRan;
    private long _nextSample;
    private bool _records;

    private PressureRun(int sampleEvery, KernelChoice? kernel)
    {
        _sampleEvery = sampleEvery;
        MachineSpec spec = MachineSpec.X86_64("128M");
        Machine = Machine.Boot(kernel is null ? spec : spec.WithKernel(kernel));
        Zone = Machine.Zones.MaxBy(z => z.ManagedPages)!;

        // Wide marks, which can be told apart in a picture; no boost, which would move them.
        Machine.Sysctl.Set("vm.watermark_scale_factor", "300");
        Machine.Sysctl.Set("vm.watermark_boost_factor", "0");
        Machine.Background.Mode = BackgroundWork.Manual;
        Machine.Tracing.Attach(this);
        _files = Machine.Files.Mount(_disk);
        _files.Adopt(FileName).Value.Close(Cpu);
        if (!Machine.Swap.SwapOn(_swapDevice).Succeeded)
        {
            throw new InvalidOperationException("the swap device is refused");
        }
    }

    public Machine Machine { get; }

    /// <summary>The zone whose free pages are watched.</summary>
    public Zone Zone { get; }

    public IReadOnlyList<PressureSample> Samples => _samples;

    public IReadOnlyList<PressureMark> Marks => _marks;

    public IReadOnlyList<PressurePhase> Phases => _phases;

    /// <summary>All that was asked for, in pages.</summary>
    public long Asked => _asked;

    private Cpu Cpu => Machine.Cpus[0];

    /// <summary>Page cache fills memory, then a process that needs more than there is; kswapd in time, then late.</summary>
    public static PressureRun Reclaim(KernelChoice? kernel = null)
    {
        PressureRun run = new(sampleEvery: 64, kernel) { _records = true };
        run.Begin("a file is read, its first 20 MiB twice");
        run.Read(0, PagesOf(20), kswapdEvery: ChunkPages);
        run.Read(0, PagesOf(20), kswapdEvery: ChunkPages);
        run.Read(PagesOf(20), PagesOf(108), kswapdEvery: ChunkPages);
        Process hog = run.Machine.CreateProcess("hog");
        run.Begin("a process fills 96 MiB");
        run.Fill(hog, PagesOf(96), kswapdEvery: ChunkPages);
        run.Begin("32 MiB more, kswapd late");
        run.Fill(hog, PagesOf(32), kswapdEvery: 2048);
        run.Begin("it ends");
        hog.Exit();
        run.Read(PagesOf(128), PagesOf(48), kswapdEvery: ChunkPages);
        run.End();
        return run;
    }

    /// <summary>The three watermarks at work: kswapd in time, kswapd too late, interrupts that may not wait.</summary>
    public static PressureRun Watermarks(KernelChoice? kernel = null)
    {
        PressureRun run = new(sampleEvery: ChunkPages, kernel);
        run.Read(0, PagesOf(96), kswapdEvery: ChunkPages);
        run._asked = 0;
        run._nextSample = 0;
        run._records = true;
        run.Begin("kswapd in time");
        run.Read(PagesOf(96), PagesOf(10), kswapdEvery: ChunkPages);
        run.Begin("kswapd is late: direct reclaim");
        run.Read(PagesOf(106), PagesOf(6), kswapdEvery: long.MaxValue);
        run._sinceKswapdRan = 0;
        run.Begin("interrupts allocate");
        List<Page> taken = run.TakeInInterrupts();
        run.Begin("kswapd comes");
        run.Read(PagesOf(112), PagesOf(1), kswapdEvery: ChunkPages);
        foreach (Page page in taken)
        {
            run.Cpu.FreePages(page, 0);
        }

        run.Read(PagesOf(113), PagesOf(2), kswapdEvery: ChunkPages);
        run.End();
        return run;
    }

    void IReclaimTraceSink.KswapdWake(Cpu cpu, int node, int highestZoneIndex, int order) => Mark(PressureMarkKind.KswapdWakes);

    void IReclaimTraceSink.KswapdSleep(Cpu cpu, int node) => Mark(PressureMarkKind.KswapdSleeps);

    void IReclaimTraceSink.DirectReclaimBegin(Cpu cpu, int order, Gfp gfp) => Mark(PressureMarkKind.DirectReclaim);

    public void Dispose()
    {
        Machine.Dispose();
        _disk.Dispose();
        _swapDevice.Dispose();
    }

    private static long PagesOf(int mebibytes) => (long)mebibytes << (20 - PageGeometry.PageShift);

    /// <summary>Reads pages of the file.</summary>
    private void Read(long first, long pages, long kswapdEvery)
    {
        OpenFile file = _files.Open(FileName).Value;
        byte[] buffer = new byte[ChunkPages << PageGeometry.PageShift];
        for (long page = first; page < first + pages; page += ChunkPages)
        {
            _ = Cpu.Files.Read(file, page << PageGeometry.PageShift, buffer).Value;
            Pass(ChunkPages, kswapdEvery);
        }

        file.Close(Cpu);
    }

    /// <summary>A process maps memory and writes into each page.</summary>
    private void Fill(Process process, long pages, long kswapdEvery)
    {
        VirtualAddress start = process.Mm.Mmap(pages << PageGeometry.PageShift, Prot.Read | Prot.Write).Value;
        for (long page = 0; page < pages; page += ChunkPages)
        {
            using (Cpu.Run(process))
            {
                for (long i = page; i < page + ChunkPages; i++)
                {
                    if (Cpu.User.PutUser(new VirtualAddress(start.Value + ((ulong)i << PageGeometry.PageShift)), i) != Errno.None)
                    {
                        throw new InvalidOperationException("the process cannot write its memory");
                    }
                }
            }

            Pass(ChunkPages, kswapdEvery);
        }
    }

    /// <summary>Interrupts allocate until the reserve that they may use has gone as well.</summary>
    private List<Page> TakeInInterrupts()
    {
        List<Page> taken = [];
        while (true)
        {
            Page page;
            using (Cpu.HardIrq())
            {
                page = Cpu.AllocPages(Gfp.Atomic | Gfp.NoWarn);
            }

            if (page.IsNull)
            {
                Mark(PressureMarkKind.AtomicFails);
                return taken;
            }

            taken.Add(page);
            Pass(1, long.MaxValue);
        }
    }

    private void Pass(long pages, long kswapdEvery)
    {
        _asked += pages;
        _sinceKswapdRan += pages;
        if (_asked >= _nextSample)
        {
            Sample();
            _nextSample = _asked + _sampleEvery;
        }

        if (_sinceKswapdRan >= kswapdEvery)
        {
            _sinceKswapdRan = 0;
            _ = Machine.Background.Run();
        }
    }

    private void Begin(string phase)
    {
        _phases.Add(new PressurePhase(_asked, phase));
        Sample();
    }

    private void End()
    {
        Sample();
        Machine.Tracing.Detach(this);
        Machine.Verify();
    }

    private void Mark(PressureMarkKind kind)
    {
        if (_records)
        {
            _marks.Add(new PressureMark(kind, _asked, Zone.TrueFreePages));
            Sample();
        }
    }

    private void Sample()
    {
        if (!_records)
        {
            return;
        }

        NodeCounters node = Zone.Node.Counters;
        long swap = Machine.Swap.Areas.Sum(a => a.UsedPages);
        _samples.Add(new PressureSample(_asked, Zone.TrueFreePages, node.ActiveAnon, node.InactiveAnon, node.ActiveFile, node.InactiveFile, swap));
    }
}
