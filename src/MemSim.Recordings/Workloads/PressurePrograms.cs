using System.Buffers.Binary;
using System.Globalization;

namespace MemSim.Recordings.Workloads;

/// <summary>The commands of the recorded programs under pressure: cgroups, readers of one large file, agents that touch memory when they are told to.</summary>
internal sealed class PressurePrograms : IDisposable
{
    private const int Killed = 137;
    private const int BlockBytes = 64 << 10;

    /// <summary>What a reader has beside its buffer, stack and data: three pages less are charged after it than before.</summary>
    private const int OwnBytes = 3 << PageGeometry.PageShift;
    private const long FileBytes = 320L << 20;
    private const string Cgroups = "/cg/";
    private const string Sysctls = "/proc/sys/vm/";
    private const string Generations = "/sys/kernel/mm/lru_gen/";
    private const string ZswapParameters = "/sys/module/zswap/parameters/";
    private const string ZramFiles = "/sys/block/zram0/";
    private const string ZramDevice = "/dev/zram0";
    private const string HugePages = "/sys/kernel/mm/transparent_hugepage/";

    private readonly Machine _machine;
    private readonly TimeShares _time;
    private readonly WorkCosts _costs;
    private readonly string _path;
    private readonly Action<string, Zram?> _snap;
    private readonly Dictionary<string, Agent> _agents = new(StringComparer.Ordinal);
    private readonly BlockDevice _disk = new("vda", new ByteSize(1UL << 30), new BlockDeviceCosts(0, 1, 0));
    private readonly DiskFileSystem _files;
    private BlockDevice? _swap;
    private Zram? _zram;
    private string _zramAlgorithm;

    /// <summary>Prepares to run a program.</summary>
    /// <param name="machine">The machine.</param>
    /// <param name="time">Who shares its time.</param>
    /// <param name="costs">What the work costs.</param>
    /// <param name="path">The script's name, for what is wrong with it.</param>
    /// <param name="snap">Called at each step with its name and the compressed disk, if there is one by then.</param>
    public PressurePrograms(Machine machine, TimeShares time, WorkCosts costs, string path, Action<string, Zram?> snap)
    {
        _machine = machine;
        _time = time;
        _costs = costs;
        _path = path;
        _snap = snap;
        DiskFileSystem files = machine.Files.Mount(_disk);
        files.Adopt("f", 0, FileBytes).Value.Close(machine.Cpus[0]);
        _files = files;
        // As Debian builds them: lzo-rle on 6.1, lz4 since.
        _zramAlgorithm = machine.Personality.CompressedMemory.ZspagesChain ? "lz4" : "lzo";
    }

    private Cpu Cpu => _machine.Cpus[0];

    /// <summary>Pages that read-ahead brings at most (<c>read_ahead_kb</c>).</summary>
    public uint ReadAheadPages { get; init; } = 32;

    /// <inheritdoc/>
    public void Dispose()
    {
        _disk.Dispose();
        _swap?.Dispose();
        _zram?.Dispose();
    }

    /// <summary>Reads so many pages that the recorded machine had cached already when the program began, and that nobody uses: reclaim takes them first.</summary>
    public void Cache(long pages)
    {
        if (pages <= 0)
        {
            return;
        }

        OpenFile cached = _files.Adopt("cached", FileBytes >> PageGeometry.PageShift, pages << PageGeometry.PageShift).Value;
        cached.ReadAhead.MaxPages = 0;
        _ = Cpu.Files.Read(cached, 0, new byte[pages << PageGeometry.PageShift]);
        cached.Close(Cpu);
    }

    /// <summary>Runs a command.</summary>
    /// <returns>Its exit status.</returns>
    public int Run(ShellCommand command)
    {
        int status = command.Words[0] switch
        {
            "box" => Box(command),
            "set_" => Set(Word(command, 1), string.Join(' ', command.Words.Skip(2))),
            "rd" => Read(command),
            "start" => Start(command),
            "ask" => Ask(command),
            "reap" => Reap(command),
            "swapdisk" => SwapDisk(),
            "snap" => Snap(command),
            "echo" => Echo(command),
            "mkswap" => MakeSwap(command),
            "swapon" => SwapOn(command),
            "insmod" or "modprobe" => 0,
            "." or "rec" or "trap" or "exec" or "rm" or "ls" or "cat" or "grep" or "true" => 0,
            _ => throw new InputFileException(_path, command.Line, $"'{command.Words[0]}' is no program that can be run here"),
        };
        _time.Breathe(Cpu);
        return status;
    }

    private string Word(ShellCommand command, int index) =>
        index < command.Words.Count ? command.Words[index] : throw new InputFileException(_path, command.Line, $"'{command.Words[0]}' lacks an argument");

    private long Number(ShellCommand command, int index, long largest) =>
        long.TryParse(Word(command, index), NumberStyles.None, CultureInfo.InvariantCulture, out long value) && value <= largest
            ? value
            : throw new InputFileException(_path, command.Line, $"'{Word(command, index)}' is no number up to {largest}");

    private Cgroup CgroupOf(ShellCommand command, int index) => Word(command, index) is var name and not "-"
        ? _machine.Cgroups.Find(name) ?? throw new InputFileException(_path, command.Line, $"there is no cgroup '{name}'")
        : _machine.Cgroups.Root;

    private int Box(ShellCommand command) => _machine.Cgroups.TryCreate(Word(command, 1)).Succeeded ? 0 : 1;

    private int Set(string file, string text)
    {
        int slash = file.LastIndexOf('/');
        return slash > 0 && _machine.Cgroups.Find(file[..slash]) is { } cgroup && cgroup.Write(file[(slash + 1)..], text, Cpu) == Errno.None ? 0 : 1;
    }

    private int Snap(ShellCommand command)
    {
        _snap(Word(command, 1), _zram);
        return 0;
    }

    private int Echo(ShellCommand command)
    {
        string text = string.Join(' ', command.Words.Skip(1));
        if (command.Output is not { } file)
        {
            return 0;
        }

        if (file.StartsWith(Sysctls, StringComparison.Ordinal))
        {
            _machine.Sysctl.Set("vm." + file[Sysctls.Length..], text);
            return 0;
        }

        if (file.StartsWith(Generations, StringComparison.Ordinal))
        {
            return SetGenerations(command, file[Generations.Length..], text);
        }

        if (file == HugePages + "enabled")
        {
            return SetHugePages(text);
        }

        if (SizeOf(file) is { } size)
        {
            return SetSize(size, text);
        }

        if (file.StartsWith(ZswapParameters, StringComparison.Ordinal))
        {
            return _machine.Swap.Zswap.Write(file[ZswapParameters.Length..], text) == Errno.None ? 0 : 1;
        }

        if (file.StartsWith(ZramFiles, StringComparison.Ordinal))
        {
            return SetZram(file[ZramFiles.Length..], text);
        }

        return file.StartsWith(Cgroups, StringComparison.Ordinal) ? Set(file[Cgroups.Length..], text) : file == "/dev/null" ? 0 : 1;
    }

    /// <summary>Whether a script finds a file: of those that it asks for, only those of sizes of huge pages.</summary>
    public bool Exists(string file) => SizeOf(file) is not null;

    /// <summary>The size of large pages whose file <c>enabled</c> it is.</summary>
    private HugePageSize? SizeOf(string file)
    {
        foreach (HugePageSize size in _machine.HugePages.Sizes)
        {
            if (size.IsOfAnonymous && file == $"{HugePages}{size}/enabled")
            {
                return size;
            }
        }

        return null;
    }

    private int SetSize(HugePageSize size, string text)
    {
        if (!_machine.HugePages.IsAvailable || !Enum.TryParse(text, ignoreCase: true, out HugePageSizePolicy who))
        {
            return 1;
        }

        size.Enabled = who;
        return 0;
    }

    private int SetHugePages(string text)
    {
        if (!_machine.HugePages.IsAvailable || !Enum.TryParse(text, ignoreCase: true, out TransparentHugePages who) || who == TransparentHugePages.Unavailable)
        {
            return 1;
        }

        // Watermarks stay: all huge pages are off in the file that the kernel goes by.
        _machine.HugePages.Assume(who);
        return 0;
    }

    private int SetGenerations(ShellCommand command, string file, string text)
    {
        switch (file)
        {
            case "enabled":
                _machine.Reclaim.LruGen.Write(text);
                return 0;
            case "min_ttl_ms":
                _machine.Reclaim.LruGen.MinTimeToLiveMilliseconds = Number(command, 1, int.MaxValue);
                return 0;
            default:
                return 1;
        }
    }

    private int SwapDisk()
    {
        _swap = new BlockDevice("vdb", new ByteSize(1UL << 30), new BlockDeviceCosts(0, 1, 0)) { HoldsWrites = true };
        return _machine.Swap.SwapOn(_swap).Succeeded ? 0 : 1;
    }

    /// <summary>Writes a file of <c>/sys/block/zram0</c>: the disk is there once it has a size.</summary>
    private int SetZram(string file, string text)
    {
        if (file == "disksize")
        {
            if (_zram is not null || !ByteSize.TryParse(text, out ByteSize size) || size.Pages < 1)
            {
                return 1;
            }

            _zram = new Zram(_machine, "zram0", size, _zramAlgorithm);
            return 0;
        }

        if (file == "comp_algorithm")
        {
            // Debian's 6.1 compresses with lzo-rle; its figures are those of lzo here.
            bool known = _zram is null && text is "lz4" or "lzo" or "lzo-rle";
            _zramAlgorithm = !known ? _zramAlgorithm : text == "lz4" ? text : "lzo";
            return known ? 0 : 1;
        }

        return _zram?.Write(file, text, Cpu) == Errno.None ? 0 : 1;
    }

    /// <summary><c>mkswap</c> clears the first page of a disk and writes the header there: on a compressed disk it takes memory from now on.</summary>
    private int MakeSwap(ShellCommand command)
    {
        if (Word(command, 1) != ZramDevice || _zram is null)
        {
            return 1;
        }

        byte[] header = new byte[PageGeometry.PageSize];
        BinaryPrimitives.WriteUInt32LittleEndian(header.AsSpan(1024), 1);
        BinaryPrimitives.WriteUInt32LittleEndian(header.AsSpan(1028), (uint)(_zram.Disk.CapacityPages - 1));
        "SWAPSPACE2"u8.CopyTo(header.AsSpan(PageGeometry.PageSize - 10));
        return _zram.Disk.WriteBytes(Cpu, 0, header) == Errno.None ? 0 : 1;
    }

    private int SwapOn(ShellCommand command) =>
        Word(command, 1) == ZramDevice && _zram is not null && _machine.Swap.SwapOn(_zram.Disk).Succeeded ? 0 : 1;

    /// <summary>A program begins in its cgroup: the shell moves there, and what it becomes is charged there.</summary>
    private Process Begin(Cgroup cgroup, string name)
    {
        Process process = _machine.CreateProcess("sh");
        process.Cgroup = cgroup;
        using (Cpu.Run(process))
        {
            _ = process.Exec(name);
        }

        return process;
    }

    /// <summary><c>rd CGROUP FROM MIB</c>: <c>dd</c> reads that much of the file in blocks of 64 KiB.</summary>
    private int Read(ShellCommand command)
    {
        long offset = Number(command, 2, 1 << 20) << 20;
        long end = Math.Min(offset + (Number(command, 3, 1 << 20) << 20), FileBytes);
        Process dd = Begin(CgroupOf(command, 1), "dd");
        byte[] buffer = new byte[BlockBytes];
        OpenFile? file = null;
        try
        {
            using (Cpu.Run(dd))
            {
                file = _files.Open("f").Value;
                file.ReadAhead.MaxPages = ReadAheadPages;
                Touch(dd.Mm.Mmap(BlockBytes + OwnBytes, Prot.Read | Prot.Write).Value, BlockBytes + OwnBytes);
                for (; offset < end; offset += BlockBytes)
                {
                    long before = _disk.PagesRead;
                    _ = Cpu.Files.Read(file, offset, buffer);
                    long pages = _disk.PagesRead - before;
                    _time.Breathe(Cpu);
                    _time.Spend(Cpu, BlockBytes / PageGeometry.PageSize * _costs.ReadPage);
                    _time.Sleep(Cpu, pages == 0 ? 0 : _costs.ReadWait + (pages * _costs.ReadWaitPage));
                }
            }
        }
        catch (SignalException e)
        {
            dd.Exit(Cpu, new ExitStatus(0, e.SignalInfo.Signal));
            return Killed;
        }
        finally
        {
            file?.Close(Cpu);
        }

        dd.Exit(0, Cpu);
        return 0;
    }

    /// <summary><c>start NUMBER CGROUP</c>: an agent that waits for commands.</summary>
    private int Start(ShellCommand command)
    {
        _agents[Word(command, 1)] = new Agent(Begin(CgroupOf(command, 2), "press"));
        return 0;
    }

    private int Ask(ShellCommand command)
    {
        if (!_agents.TryGetValue(Word(command, 1), out Agent? agent) || agent.Process.State != ProcessState.Running)
        {
            return 1;
        }

        try
        {
            using (Cpu.Run(agent.Process))
            {
                switch (Word(command, 2))
                {
                    case "anon" or "half":
                        agent.Bytes = Number(command, 3, 1 << 20) << 20;
                        agent.HalfRandom = Word(command, 2) == "half";
                        agent.Memory = agent.Process.Mm.Mmap(agent.Bytes, Prot.Read | Prot.Write).Value;
                        return Fill(agent);
                    case "touch":
                        return Touch(agent);
                    case "drop":
                        _ = agent.Process.Mm.Munmap(agent.Memory, agent.Bytes);
                        agent.Bytes = 0;
                        break;
                    case "exit":
                        break;
                    default:
                        throw new InputFileException(_path, command.Line, $"an agent does not know '{Word(command, 2)}'");
                }
            }
        }
        catch (SignalException e)
        {
            agent.Process.Exit(Cpu, new ExitStatus(0, e.SignalInfo.Signal));
            return Killed;
        }

        if (Word(command, 2) == "exit")
        {
            agent.Process.Exit(0, Cpu);
        }

        return 0;
    }

    private int Reap(ShellCommand command)
    {
        if (_agents.Remove(Word(command, 1), out Agent? agent) && agent.Process.State == ProcessState.Running)
        {
            agent.Process.Exit(0, Cpu);
        }

        return 0;
    }

    private void Touch(VirtualAddress start, long bytes)
    {
        for (long at = 0; at < bytes; at += PageGeometry.PageSize)
        {
            Cpu.Write(start + at, at);
        }
    }

    /// <summary>Fills an agent's new memory, from front to back.</summary>
    /// <returns>Its exit status: whoever runs meanwhile may have had it killed.</returns>
    private int Fill(Agent agent)
    {
        Span<byte> half = stackalloc byte[PageGeometry.PageSize / 2];
        for (long at = 0; at < agent.Bytes; at += PageGeometry.PageSize)
        {
            if (agent.HalfRandom)
            {
                ulong state = (ulong)at + 88172645463325252;
                for (int i = 0; i < half.Length; i++)
                {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    half[i] = (byte)state;
                }

                Cpu.Write(agent.Memory + at, half);
            }
            else
            {
                Cpu.Write(agent.Memory + at, at);
            }

            if (!GoesOn(agent))
            {
                return Killed;
            }
        }

        return 0;
    }

    /// <summary>Reads a number of each page, then writes it: on 6.1 a page back from swap faults twice.</summary>
    /// <returns>Its exit status.</returns>
    private int Touch(Agent agent)
    {
        for (long at = 0; at < agent.Bytes; at += PageGeometry.PageSize)
        {
            long old = Cpu.Read<long>(agent.Memory + at);
            Cpu.Write(agent.Memory + at, old + 1);
            if (!GoesOn(agent))
            {
                return Killed;
            }
        }

        return 0;
    }

    private bool GoesOn(Agent agent)
    {
        _time.Breathe(Cpu);
        return agent.Process.State == ProcessState.Running;
    }

    private sealed class Agent(Process process)
    {
        public Process Process => process;

        public VirtualAddress Memory { get; set; }

        public long Bytes { get; set; }

        public bool HalfRandom { get; set; }
    }
}
