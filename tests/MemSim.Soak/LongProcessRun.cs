namespace MemSim.Soak;

/// <summary>
/// Processes that map, write, read, drop, fork and exit by the hundred million, with swap and a file behind them, on a machine that is sometimes too small for them. The model is an array of stamps
/// for each area: what was written last is what must be read.
/// </summary>
internal sealed class LongProcessRun : IDisposable
{
    private const int MostProcesses = 10;
    private const int Areas = 6;
    private const int FilePages = 256;
    private const int Batch = 64;
    private const long Verifications = 1 << 21;
    private static readonly string[] Kernels = ["6.1", "6.12", "6.18", "7.0", "7.3"];

    private readonly Machine _machine;
    private readonly BlockDevice _swapDevice;
    private readonly BlockDevice _disk = new("sda", "32M");
    private readonly OpenFile _file;
    private readonly long[] _filePages = new long[FilePages];
    private readonly List<Runner> _runners = [];
    private readonly int _mostPages;
    private readonly SoakPressure? _pressure;
    private readonly Zram? _zram;
    private ulong _random;
    private long _stamp;

    public LongProcessRun(ulong seed, bool pressed = false)
    {
        _random = (seed * 0x9e37_79b9_7f4a_7c15) | 1;
        Architecture architecture = Soaks.ArchitectureOf(pressed ? 0 : seed % 5);
        string kernel = architecture == Architecture.X86_64 ? Kernels[(pressed ? seed : seed / 5) % (ulong)Kernels.Length] : "6.1";
        string thp = (seed % 3) switch { 0 => "always", 1 => "madvise", _ => "never" };
        _machine = Machine.Boot(MachineSpec.Preset(architecture, architecture == Architecture.X86_32 ? "1G" : Soaks.Memory("96M"), 2).WithKernel(kernel).WithCommandLine($"transparent_hugepage={thp}"));
        _machine.Reclaim.Enable();
        _swapDevice = new BlockDevice("swap", Soaks.Memory("64M"));
        if (pressed)
        {
            // Small enough that its limit is met, too.
            _zram = seed % 2 == 1 ? new Zram(_machine, "zram0", Soaks.Memory("48M")) : null;
            _pressure = new SoakPressure(_machine, seed);
        }

        _machine.Swap.SwapOn(_zram?.Disk ?? _swapDevice);
        _file = _machine.Files.Mount(_disk).Create("file").Value;
        _machine.Cpus[0].Files.Truncate(_file, (long)FilePages << PageGeometry.PageShift);
        _mostPages = architecture == Architecture.X86_32 ? 1500 : 300 + (int)(seed % 4 * 300);
        Name = $"{architecture} {kernel} thp={thp} areas of up to {_mostPages} pages{(pressed ? _zram is null ? ", cgroups, zswap" : ", cgroups, zram" : "")}";
    }

    public string Name { get; }

    public long Operations { get; private set; }

    public long Refused { get; private set; }

    public long Killed { get; private set; }

    public long Forks { get; private set; }

    public long Verified { get; private set; }

    /// <summary>How often reclaim changed its engine, and the most pages merged at once, in words; empty without pressure.</summary>
    public string Pressure => _pressure is null ? "" : $", {_pressure.Switches} changes of engine, up to {_pressure.Merged} pages merged, {_pressure.Refused} writes refused";

    /// <summary>Pages written to swap.</summary>
    public string SwappedOut => _machine.Proc.VmStat.Split('\n').First(line => line.StartsWith("pswpout ", StringComparison.Ordinal))[8..];

    /// <summary>The number of operations after which what a process wrote is overwritten behind the model's back, for the test of the test; negative for never.</summary>
    public long SpoilsAt { get; init; } = -1;

    public void Dispose()
    {
        _machine.Dispose();
        _zram?.Dispose();
        _swapDevice.Dispose();
        _disk.Dispose();
    }

    /// <summary>Runs about so many operations, then reads all that is left, ends everybody and looks whether all is back.</summary>
    /// <exception cref="InvalidOperationException">The machine did not do what the model does.</exception>
    public void Run(long operations)
    {
        long between = _pressure is null ? Verifications : Verifications / 64;
        long verify = between;
        for (long end = Operations + operations; Operations < end;)
        {
            Cpu cpu = _machine.Cpus[(int)(Next() & 1)];
            if (_runners.Count == 0 || (Next() % 4096 == 0 && _runners.Count < MostProcesses))
            {
                Start(cpu);
                continue;
            }

            int number = (int)(Next() % (uint)_runners.Count);
            Runner runner = _runners[number];
            if (!runner.Process.IsAlive)
            {
                Killed++;
                _runners.RemoveAt(number);
                continue;
            }

            Guarded(cpu, runner, Drive);
            if (SpoilsAt >= 0 && Operations >= SpoilsAt)
            {
                Guarded(cpu, runner, Spoil);
            }

            if (Operations >= verify)
            {
                verify += between;
                Verified++;
                _machine.Verify();
            }
        }

        while (_runners.Count != 0)
        {
            Runner runner = _runners[^1];
            if (runner.Process.IsAlive)
            {
                Guarded(_machine.Cpus[0], runner, ReadAll);
            }

            if (runner.Process.IsAlive)
            {
                runner.Process.Exit(0, _machine.Cpus[0]);
            }

            _ = _runners.Remove(runner);
        }

        Verified++;
        _machine.Verify();
    }

    private void Guarded(Cpu cpu, Runner runner, Action<Cpu, Runner> what)
    {
        try
        {
            what(cpu, runner);
        }
        catch (SignalException e) when (e.SignalInfo.Signal == Signal.SIGKILL)
        {
            Killed++;
            if (runner.Process.IsAlive)
            {
                runner.Process.Exit(cpu, new ExitStatus(0, Signal.SIGKILL));
            }

            _ = _runners.Remove(runner);
        }
    }

    private void Start(Cpu cpu)
    {
        try
        {
            _runners.Add(new Runner(_machine.CreateProcess("runner", on: cpu)));
            _pressure?.Place(_runners[^1].Process, Next());
        }
        catch (InvalidOperationException)
        {
            // There is no memory for a process.
            Refused++;
        }

        Operations++;
    }

    private void Drive(Cpu cpu, Runner runner)
    {
        ulong dice = Next();
        Operations++;
        if (_pressure is not null && (dice >> 48) % 8 == 0)
        {
            Area area = runner.Areas[(dice >> 8) % Areas];
            _pressure.Turn(cpu, runner.Process, area.Start, (long)area.Stamps.Length << PageGeometry.PageShift, Next());
            return;
        }

        switch (dice % 64)
        {
            case 0 when dice % 256 == 0:
                Fork(cpu, runner);
                return;
            case 0 when dice % 1024 == 64 && _runners.Count > 1:
                runner.Process.Exit(0, cpu);
                _ = _runners.Remove(runner);
                return;
            case < 6:
                Map(runner, (int)((dice >> 16) % Areas), dice >> 24);
                return;
            case < 10:
                Drop(runner, (int)((dice >> 16) % Areas), dice >> 24);
                return;
            case 10:
                Protect(cpu, runner, (int)((dice >> 16) % Areas), dice >> 24);
                return;
            case 11:
                if (_pressure is null)
                {
                    UseFile(cpu, dice >> 16);
                    return;
                }

                using (cpu.Run(runner.Process))
                {
                    UseFile(cpu, dice >> 16);
                }

                return;
            default:
                Access(cpu, runner);
                return;
        }
    }

    private void Access(Cpu cpu, Runner runner)
    {
        using var running = cpu.Run(runner.Process);
        for (int i = 0; i < Batch; i++)
        {
            ulong dice = Next();
            ref Area area = ref runner.Areas[dice % Areas];
            if (area.Stamps.Length == 0)
            {
                continue;
            }

            Operations++;
            int page = (int)((dice >> 8) % (uint)area.Stamps.Length);
            VirtualAddress at = area.Start + (((ulong)page << PageGeometry.PageShift) | 16);
            if ((dice >> 60 & 1) == 0)
            {
                // Under pressure pages shall have equal bytes.
                long stamp = _pressure is null ? ++_stamp : (long)(dice >> 32 & 7);
                cpu.Write(at, stamp);
                area.Stamps[page] = stamp;
            }
            else
            {
                long found = cpu.Read<long>(at);
                if (found != area.Stamps[page])
                {
                    throw Wrong($"{runner.Process} reads {found:x} at {at}, not {area.Stamps[page]:x}");
                }
            }
        }
    }

    private void ReadAll(Cpu cpu, Runner runner)
    {
        using var running = cpu.Run(runner.Process);
        foreach (Area area in runner.Areas)
        {
            for (int page = 0; page < area.Stamps.Length; page++)
            {
                long found = cpu.Read<long>(area.Start + (((ulong)page << PageGeometry.PageShift) | 16));
                if (found != area.Stamps[page])
                {
                    throw Wrong($"{runner.Process} reads {found:x} in page {page} of the area at {area.Start}, not {area.Stamps[page]:x}");
                }
            }
        }
    }

    private void Spoil(Cpu cpu, Runner runner)
    {
        using var running = cpu.Run(runner.Process);
        foreach (Area area in runner.Areas.Where(a => a.Stamps.Length != 0))
        {
            cpu.Write(area.Start + 16, -1L);
        }
    }

    private void Fork(Cpu cpu, Runner parent)
    {
        if (_runners.Count >= MostProcesses)
        {
            return;
        }

        Result<Process> child = parent.Process.Fork(cpu);
        if (!child.Succeeded)
        {
            Refused++;
            return;
        }

        Forks++;
        Runner copy = new(child.Value);
        for (int i = 0; i < Areas; i++)
        {
            copy.Areas[i] = new Area(parent.Areas[i].Start, [.. parent.Areas[i].Stamps]);
        }

        _runners.Add(copy);
    }

    /// <summary>Maps an area anew in the place of one, which goes.</summary>
    private void Map(Runner runner, int number, ulong dice)
    {
        ref Area area = ref runner.Areas[number];
        if (area.Stamps.Length != 0)
        {
            Errno gone = runner.Process.Mm.Munmap(area.Start, (long)area.Stamps.Length << PageGeometry.PageShift);
            if (gone != Errno.None)
            {
                Refused++;
                return;
            }

            area = new Area(default, []);
        }

        int pages = 1 + (int)(dice % (uint)_mostPages);
        Result<VirtualAddress> at = runner.Process.Mm.Mmap(default, (long)pages << PageGeometry.PageShift, Prot.Read | Prot.Write, MapFlags.Private | MapFlags.Anonymous);
        if (at.Succeeded)
        {
            area = new Area(at.Value, new long[pages]);
        }
        else
        {
            Refused++;
        }
    }

    private void Drop(Runner runner, int number, ulong dice)
    {
        Area area = runner.Areas[number];
        if (area.Stamps.Length == 0)
        {
            return;
        }

        int first = (int)(dice % (uint)area.Stamps.Length);
        int count = 1 + (int)((dice >> 20) % (uint)(area.Stamps.Length - first));
        MemoryAdvice advice = (dice >> 50 & 7) switch { 0 => MemoryAdvice.PageOut, 1 => MemoryAdvice.Cold, 2 => MemoryAdvice.WillNeed, _ => MemoryAdvice.DontNeed };
        Errno result = runner.Process.Mm.Madvise(area.Start + ((ulong)first << PageGeometry.PageShift), (long)count << PageGeometry.PageShift, advice);
        if (result != Errno.None)
        {
            Refused++;
        }
        else if (advice == MemoryAdvice.DontNeed)
        {
            area.Stamps.AsSpan(first, count).Clear();
        }
    }

    /// <summary>Forbids and allows a part of an area to be written: what is there stays.</summary>
    private void Protect(Cpu cpu, Runner runner, int number, ulong dice)
    {
        Area area = runner.Areas[number];
        if (area.Stamps.Length == 0)
        {
            return;
        }

        int first = (int)(dice % (uint)area.Stamps.Length);
        VirtualAddress at = area.Start + ((ulong)first << PageGeometry.PageShift);
        long bytes = (long)(area.Stamps.Length - first) << PageGeometry.PageShift;
        if (runner.Process.Mm.Mprotect(at, bytes, Prot.Read) != Errno.None)
        {
            Refused++;
            return;
        }

        using (cpu.Run(runner.Process))
        {
            long found = cpu.Read<long>(at + 16);
            if (found != area.Stamps[first])
            {
                throw Wrong($"{runner.Process} reads {found:x} at {at} where it must not write, not {area.Stamps[first]:x}");
            }
        }

        if (runner.Process.Mm.Mprotect(area.Start, (long)area.Stamps.Length << PageGeometry.PageShift, Prot.Read | Prot.Write) != Errno.None)
        {
            // No memory for the area's description: what it may not do any more it cannot be asked for.
            Refused++;
            runner.Process.Exit(0, cpu);
            _ = _runners.Remove(runner);
        }
    }

    private void UseFile(Cpu cpu, ulong dice)
    {
        int page = (int)(dice % FilePages);
        Span<byte> bytes = stackalloc byte[8];
        if ((dice >> 20 & 1) == 0)
        {
            long stamp = ++_stamp;
            BitConverter.TryWriteBytes(bytes, stamp);
            if (cpu.Files.Write(_file, (long)page << PageGeometry.PageShift, bytes).Succeeded)
            {
                _filePages[page] = stamp;
                return;
            }
        }
        else if (cpu.Files.Read(_file, (long)page << PageGeometry.PageShift, bytes).Succeeded)
        {
            long found = BitConverter.ToInt64(bytes);
            if (found != _filePages[page])
            {
                throw Wrong($"page {page} of the file reads {found:x}, not {_filePages[page]:x}");
            }

            return;
        }

        Refused++;
    }

    private InvalidOperationException Wrong(string why) => new($"{Name}, after {Operations} operations: {why}");

    private ulong Next()
    {
        _random ^= _random << 13;
        _random ^= _random >> 7;
        _random ^= _random << 17;
        return _random * 0x2545_f491_4f6c_dd1d;
    }

    private record struct Area(VirtualAddress Start, long[] Stamps);

    private sealed class Runner
    {
        public Runner(Process process)
        {
            Process = process;
            Array.Fill(Areas, new Area(default, []));
        }

        public Process Process { get; }

        public Area[] Areas { get; } = new Area[LongProcessRun.Areas];
    }
}
