using System.Globalization;

namespace MemSim.Recordings.Workloads;

/// <summary>The programs of recorded workloads, done on a machine: the hog, <c>dd</c>, <c>mount</c> of a tmpfs, writes to <c>/proc/sys/vm</c>.</summary>
internal sealed class WorkloadPrograms : IDisposable
{
    private const int Killed = 137;
    private const int MaxBlock = 64 << 20;

    private readonly Machine _machine;
    private readonly string _path;
    private readonly TimeShares _time;
    private readonly WorkCosts _costs;
    private readonly Dictionary<string, BlockDevice> _devices = new(StringComparer.Ordinal);
    private readonly List<Process> _background = [];
    private readonly List<OpenFile> _openFiles = [];
    private string _mountPoint = "";
    private TmpFileSystem? _tmpfs;

    /// <summary>Prepares to run programs.</summary>
    /// <param name="machine">The machine.</param>
    /// <param name="time">Who shares its time.</param>
    /// <param name="costs">What the work costs.</param>
    /// <param name="path">The script's name, for what is wrong with it.</param>
    public WorkloadPrograms(Machine machine, TimeShares time, WorkCosts costs, string path)
    {
        _machine = machine;
        _time = time;
        _costs = costs;
        _path = path;
    }

    private Cpu Cpu => _machine.Cpus[0];

    /// <summary>A disk that the programs may read.</summary>
    public void AddDevice(BlockDevice device) => _devices["/dev/" + device.Name] = device;

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (BlockDevice device in _devices.Values)
        {
            device.Dispose();
        }
    }

    /// <summary>Runs a program.</summary>
    /// <returns>Its exit status.</returns>
    public int Run(ShellCommand command)
    {
        int status = command.Words[0] switch
        {
            "memcap" => Memcap(command),
            "dd" => Dd(command),
            "echo" => Echo(command),
            "mount" => Mount(command),
            "umount" => Unmount(),
            "rm" => Remove(command),
            "sleep" => Pause(command),
            "cat" or "md5sum" or "mkdir" or "wait" or "true" or ":" => 0,
            _ => throw Bad(command, $"'{command.Words[0]}' is no program that can be run here"),
        };
        _time.Breathe(Cpu);
        return status;
    }

    private InputFileException Bad(ShellCommand command, string reason) => new(_path, command.Line, reason);

    private long Number(ShellCommand command, int index, long largest)
    {
        string word = index < command.Words.Count ? command.Words[index] : throw Bad(command, $"'{command.Words[0]}' lacks an argument");
        return long.TryParse(word, NumberStyles.None, CultureInfo.InvariantCulture, out long value) && value <= largest
            ? value
            : throw Bad(command, $"'{word}' is no number up to {largest}");
    }

    /// <summary><c>memcap hog MIB SECONDS THP</c>: maps that much and writes to each page once, in order.</summary>
    private int Memcap(ShellCommand command)
    {
        if (command.Words.Count < 3 || command.Words[1] != "hog")
        {
            throw Bad(command, "of memcap only 'hog' is known");
        }

        long pages = Number(command, 2, 1 << 24) << (20 - PageGeometry.PageShift);
        bool stays = command.IsBackground;
        bool huge = command.Words.Count > 4 && Number(command, 4, 1) != 0;
        Process hog = _machine.CreateProcess("memcap");
        ulong length = (ulong)pages << PageGeometry.PageShift;
        ulong start;
        try
        {
            using (Cpu.Run(hog))
            {
                Result<VirtualAddress> mapped = hog.Mm.Mmap(default, (long)length, Prot.Read | Prot.Write, MapFlags.Private | MapFlags.Anonymous | MapFlags.NoReserve);
                if (!mapped.Succeeded)
                {
                    hog.Exit(1, Cpu);
                    return 1;
                }

                start = mapped.Value.Value;
                if (huge)
                {
                    _ = hog.Mm.Madvise(mapped.Value, (long)length, MemoryAdvice.HugePage);
                }

                for (long page = 0; page < pages; page++)
                {
                    Cpu.Write(new VirtualAddress(start + ((ulong)page << PageGeometry.PageShift)), (byte)1);
                    _time.Breathe(Cpu);
                }
            }
        }
        catch (SignalException e)
        {
            hog.Exit(Cpu, new ExitStatus(0, e.SignalInfo.Signal));
            return Killed;
        }

        if (stays)
        {
            _background.Add(hog);
        }
        else if (hog.State == ProcessState.Running)
        {
            hog.Exit(0, Cpu);
        }

        return 0;
    }

    /// <summary><c>dd</c> from a disk to nowhere, or of zeroes to a file.</summary>
    private int Dd(ShellCommand command)
    {
        string input = "";
        string output = "";
        long block = 512;
        long count = long.MaxValue;
        long skip = 0;
        foreach (string word in command.Words.Skip(1))
        {
            int equals = word.IndexOf('=', StringComparison.Ordinal);
            string value = equals < 0 ? "" : word[(equals + 1)..];
            switch (equals < 0 ? word : word[..equals])
            {
                case "if":
                    input = value;
                    break;
                case "of":
                    output = value;
                    break;
                case "bs":
                    block = Size(command, value);
                    break;
                case "count":
                    count = Size(command, value);
                    break;
                case "skip":
                    skip = Size(command, value);
                    break;
                default:
                    throw Bad(command, $"dd: '{word}' is not known");
            }
        }

        if (block is < 1 or > MaxBlock || skip > long.MaxValue / MaxBlock)
        {
            throw Bad(command, $"dd: a block of {block} bytes");
        }

        byte[] buffer = new byte[block];
        return _devices.TryGetValue(input, out BlockDevice? device) ? ReadDevice(device, buffer, count, skip * block)
            : input == "/dev/zero" && InTmpfs(output) is { } name ? WriteFile(name, buffer, count)
            : throw Bad(command, $"dd: from '{input}' to '{output}' is not known");
    }

    private int ReadDevice(BlockDevice device, byte[] buffer, long count, long offset)
    {
        OpenFile file = _machine.Files.OpenDevice(device).Value;
        Process dd = _machine.CreateProcess("dd");
        long end = device.CapacityPages << PageGeometry.PageShift;
        try
        {
            using (Cpu.Run(dd))
            {
                // The buffer is memory of the process.
                if (dd.Mm.Mmap(buffer.Length, Prot.Read | Prot.Write) is { Succeeded: true, Value: var address })
                {
                    for (long at = 0; at < buffer.Length; at += PageGeometry.PageSize)
                    {
                        Cpu.Write(address + at, (byte)1);
                    }
                }

                for (; count > 0 && offset < end; count--)
                {
                    long before = device.PagesRead;
                    Result<int> read = Cpu.Files.Read(file, offset, buffer);
                    if (!read.Succeeded || read.Value == 0)
                    {
                        break;
                    }

                    offset += read.Value;
                    long pages = device.PagesRead - before;
                    _time.Breathe(Cpu);
                    _time.Spend(Cpu, read.Value / PageGeometry.PageSize * _costs.ReadPage);
                    _time.Sleep(Cpu, pages == 0 ? 0 : _costs.ReadWait + (pages * _costs.ReadWaitPage));
                }
            }
        }
        catch (SignalException e)
        {
            dd.Exit(Cpu, new ExitStatus(0, e.SignalInfo.Signal));
            return Killed;
        }

        dd.Exit(0, Cpu);
        _openFiles.Add(file);
        return 0;
    }

    private int WriteFile(string name, byte[] buffer, long count)
    {
        Result<OpenFile> opened = _tmpfs!.TryFind(name, out _) ? _tmpfs.Open(name, OpenMode.Write) : _tmpfs.Create(name);
        if (!opened.Succeeded)
        {
            return 1;
        }

        OpenFile file = opened.Value;
        long offset = 0;
        for (; count > 0; count--)
        {
            Result<int> written = Cpu.Files.Write(file, offset, buffer);
            _time.Breathe(Cpu);
            if (!written.Succeeded)
            {
                file.Close(Cpu);
                return 1;
            }

            offset += written.Value;
        }

        file.Close(Cpu);
        return 0;
    }

    private int Echo(ShellCommand command)
    {
        const string sysctls = "/proc/sys/vm/";
        if (command.Output is not { } file)
        {
            return 0;
        }

        string text = string.Join(' ', command.Words.Skip(1));
        if (file.EndsWith("/oom_score_adj", StringComparison.Ordinal))
        {
            if (_background.Count == 0 || !int.TryParse(text, CultureInfo.InvariantCulture, out int adj) || adj is < -1000 or > 1000)
            {
                throw Bad(command, $"'{text}' cannot be written to {file}");
            }

            _background[^1].OomScoreAdj = adj;
        }
        else if (file == sysctls + "compact_memory")
        {
            _machine.Compaction.CompactMemory();
        }
        else if (file.StartsWith(sysctls, StringComparison.Ordinal))
        {
            _machine.Sysctl.Set("vm." + file[sysctls.Length..], text);
        }

        return 0;
    }

    private int Mount(ShellCommand command)
    {
        int type = -1;
        int options = -1;
        for (int i = 1; i < command.Words.Count - 1; i++)
        {
            type = command.Words[i] == "-t" ? i + 1 : type;
            options = command.Words[i] == "-o" ? i + 1 : options;
        }

        if (type < 0 || command.Words[type] != "tmpfs")
        {
            throw Bad(command, "only a tmpfs can be mounted here");
        }

        ByteSize limit = options >= 0 && command.Words[options].StartsWith("size=", StringComparison.Ordinal) ? new ByteSize((ulong)Size(command, command.Words[options][5..])) : default;
        _tmpfs = _machine.Files.MountTmpfs(limit);
        _mountPoint = command.Words[^1].TrimEnd('/') + "/";
        return 0;
    }

    private int Unmount()
    {
        foreach (string name in _tmpfs?.Names.ToArray() ?? [])
        {
            _ = _tmpfs!.Delete(Cpu, name);
        }

        _tmpfs = null;
        return 0;
    }

    private int Remove(ShellCommand command)
    {
        int status = 0;
        foreach (string word in command.Words.Skip(1).Where(w => !w.StartsWith('-')))
        {
            status |= InTmpfs(word) is { } name && _tmpfs!.Delete(Cpu, name) == Errno.None ? 0 : 1;
        }

        return status;
    }

    private int Pause(ShellCommand command)
    {
        // In the background it only keeps a device open.
        if (!command.IsBackground)
        {
            _time.Sleep(Cpu, Number(command, 1, 3600) * 1_000_000_000);
        }

        return 0;
    }

    private string? InTmpfs(string path) =>
        _tmpfs is not null && path.StartsWith(_mountPoint, StringComparison.Ordinal) && path.Length > _mountPoint.Length ? path[_mountPoint.Length..] : null;

    private long Size(ShellCommand command, string text)
    {
        int shift = text.Length == 0 ? 0 : char.ToUpperInvariant(text[^1]) switch { 'K' => 10, 'M' => 20, 'G' => 30, _ => 0 };
        return long.TryParse(shift == 0 ? text : text[..^1], NumberStyles.None, CultureInfo.InvariantCulture, out long value) && value <= long.MaxValue >> 40
            ? value << shift
            : throw Bad(command, $"'{text}' is no size");
    }
}
