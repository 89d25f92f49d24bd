namespace MemSim.Soak;

/// <content>Processes and files.</content>
internal sealed partial class SoakMachine
{
    private const int FilePages = 64;
    private const int MostProcesses = 12;

    private readonly (OpenFile File, long[] Pages)[] _files = new (OpenFile, long[])[4];
    private readonly List<Soaker> _processes = [];

    private void DoInProcess(Cpu cpu, Step step)
    {
        Bury();
        switch (step.Kind)
        {
            case StepKind.StartProcess:
                Start(cpu);
                return;
            case StepKind.WriteFile or StepKind.ReadFile:
                UseFile(cpu, step);
                return;
            case StepKind.SyncFiles:
                cpu.Files.Sync();
                return;
            default:
                if (_processes.Count != 0)
                {
                    Drive(cpu, step, _processes[(int)(step.A % (uint)_processes.Count)]);
                }

                return;
        }
    }

    /// <summary>Those whom the OOM killer ended leave the model.</summary>
    private void Bury()
    {
        for (int i = _processes.Count - 1; i >= 0; i--)
        {
            if (!_processes[i].Process.IsAlive)
            {
                _tally.Killed++;
                _processes.RemoveAt(i);
            }
        }
    }

    private void Start(Cpu cpu)
    {
        if (_processes.Count >= MostProcesses)
        {
            return;
        }

        try
        {
            _processes.Add(new Soaker(_machine.CreateProcess("soaker", on: cpu)));
        }
        catch (InvalidOperationException)
        {
            // There is no memory for a process.
            _tally.Failed++;
        }
    }

    private void Drive(Cpu cpu, Step step, Soaker soaker)
    {
        try
        {
            switch (step.Kind)
            {
                case StepKind.Fork:
                    Fork(cpu, soaker);
                    break;
                case StepKind.Exit:
                    soaker.Process.Exit(0, cpu);
                    _ = _processes.Remove(soaker);
                    break;
                case StepKind.Mmap:
                    Map(soaker, 1 + (int)(step.B % 700), -1);
                    break;
                case StepKind.MmapFile:
                    Map(soaker, FilePages, (int)(step.B % (uint)_files.Length));
                    break;
                default:
                    if (soaker.Areas.Count != 0)
                    {
                        DoInArea(cpu, step, soaker, (int)(step.B % (uint)soaker.Areas.Count));
                    }

                    break;
            }
        }
        catch (SignalException e)
        {
            // Without memory for a page a process ends, and where a failure was injected reading may fail.
            Require(e.SignalInfo.Signal == Signal.SIGKILL || (e.SignalInfo.Signal == Signal.SIGBUS && _failedLately), $"{e.Message}");
            _tally.Killed++;
            if (soaker.Process.IsAlive)
            {
                soaker.Process.Exit(cpu, new ExitStatus(0, e.SignalInfo.Signal));
            }

            _ = _processes.Remove(soaker);
        }
    }

    private void Fork(Cpu cpu, Soaker parent)
    {
        if (_processes.Count >= MostProcesses)
        {
            return;
        }

        Result<Process> child = parent.Process.Fork(cpu);
        if (!child.Succeeded)
        {
            _tally.Failed++;
            return;
        }

        Soaker copy = new(child.Value);
        copy.Areas.AddRange(parent.Areas);
        foreach ((ulong page, long value) in parent.Memory)
        {
            copy.Memory[page] = value;
        }

        _processes.Add(copy);
    }

    private void Map(Soaker soaker, int pages, int file)
    {
        if (soaker.Areas.Count >= 12)
        {
            return;
        }

        Result<VirtualAddress> at = file < 0
            ? soaker.Process.Mm.Mmap((long)pages << PageGeometry.PageShift, Prot.Read | Prot.Write)
            : soaker.Process.Mm.Mmap(default, (long)pages << PageGeometry.PageShift, Prot.Read | Prot.Write, MapFlags.Shared, _files[file].File);
        if (!at.Succeeded)
        {
            _tally.Failed++;
            return;
        }

        ulong start = at.Value.Value;
        Require(soaker.Areas.TrueForAll(a => a.Start + ((ulong)a.Pages << PageGeometry.PageShift) <= start || a.Start >= start + ((ulong)pages << PageGeometry.PageShift)), $"an area at {start:x} overlaps another one");
        soaker.Areas.Add((start, pages, file));
    }

    private void DoInArea(Cpu cpu, Step step, Soaker soaker, int number)
    {
        (ulong start, int pages, int file) = soaker.Areas[number];
        ulong page = start + ((ulong)(step.C % (uint)pages) << PageGeometry.PageShift);
        MemoryDescriptor mm = soaker.Process.Mm;
        int run = 1 + (int)(step.A >> 8) % pages;
        int first = (int)((page - start) >> PageGeometry.PageShift);
        int count = Math.Min(run, pages - first);
        switch (step.Kind)
        {
            case StepKind.Write:
                using (cpu.Run(soaker.Process))
                {
                    // Now and then a whole stretch, so that memory runs short.
                    for (int i = 0; i < (step.A % 7 == 0 ? count : 1); i++)
                    {
                        long token = NextToken();
                        cpu.Write(new VirtualAddress(page + ((ulong)i << PageGeometry.PageShift) + 16), token);
                        Set(soaker, page + ((ulong)i << PageGeometry.PageShift), start, file, token);
                    }
                }

                break;
            case StepKind.Read:
                using (cpu.Run(soaker.Process))
                {
                    for (int i = 0; i < (step.A % 7 == 0 ? count : 1); i++)
                    {
                        ulong at = page + ((ulong)i << PageGeometry.PageShift);
                        long found = cpu.Read<long>(new VirtualAddress(at + 16));
                        long expected = file >= 0 ? _files[file].Pages[(int)((at - start) >> PageGeometry.PageShift)] : soaker.Memory.GetValueOrDefault(at);
                        Require(found == expected, $"{soaker.Process} reads {found:x} at {at:x}, not {expected:x}");
                    }
                }

                break;
            case StepKind.Munmap:
                Unmap(soaker, number, first, count);
                break;
            case StepKind.Advise:
                Advise(cpu, soaker, step, page, count, file);
                break;
            case StepKind.Lock:
                Errno locked = (step.C & 0x10000) == 0 ? mm.Mlock(new VirtualAddress(page), Math.Min(count, 8) << PageGeometry.PageShift) : mm.Munlock(new VirtualAddress(start), (long)pages << PageGeometry.PageShift);
                _tally.Failed += locked == Errno.None ? 0 : 1;
                break;
            default:
                throw new InvalidOperationException($"{step.Kind} is nothing that is done in an area");
        }
    }

    private void Set(Soaker soaker, ulong page, ulong start, int file, long token)
    {
        if (file >= 0)
        {
            _files[file].Pages[(int)((page - start) >> PageGeometry.PageShift)] = token;
        }
        else
        {
            soaker.Memory[page] = token;
        }
    }

    private void Unmap(Soaker soaker, int number, int first, int count)
    {
        (ulong start, int pages, int file) = soaker.Areas[number];
        if (file >= 0)
        {
            first = 0;
            count = pages;
        }

        ulong at = start + ((ulong)first << PageGeometry.PageShift);
        Errno result = soaker.Process.Mm.Munmap(new VirtualAddress(at), (long)count << PageGeometry.PageShift);
        if (result != Errno.None)
        {
            Require(result == Errno.ENOMEM, $"munmap: {result}");
            _tally.Failed++;
            return;
        }

        Forget(soaker, at, count);
        soaker.Areas.RemoveAt(number);
        if (first > 0)
        {
            soaker.Areas.Add((start, first, file));
        }

        if (first + count < pages)
        {
            soaker.Areas.Add((at + ((ulong)count << PageGeometry.PageShift), pages - first - count, file));
        }
    }

    private static void Forget(Soaker soaker, ulong at, int pages)
    {
        for (int i = 0; i < pages; i++)
        {
            _ = soaker.Memory.Remove(at + ((ulong)i << PageGeometry.PageShift));
        }
    }

    private void Advise(Cpu cpu, Soaker soaker, Step step, ulong page, int count, int file)
    {
        MemoryAdvice[] advices = [MemoryAdvice.DontNeed, MemoryAdvice.Cold, MemoryAdvice.PageOut, MemoryAdvice.WillNeed, MemoryAdvice.HugePage, MemoryAdvice.NoHugePage, MemoryAdvice.PopulateRead, MemoryAdvice.PopulateWrite];
        MemoryAdvice advice = advices[(step.C >> 16) % (uint)advices.Length];
        Errno result = soaker.Process.Mm.Madvise(new VirtualAddress(page), (long)count << PageGeometry.PageShift, advice);
        _tally.Failed += result == Errno.None ? 0 : 1;
        if (advice != MemoryAdvice.DontNeed || file >= 0)
        {
            return;
        }

        // Refused for an area that is locked: those before it have been emptied already, as in the kernel.
        for (int i = 0; result != Errno.None && i < count; i++)
        {
            ulong at = page + ((ulong)i << PageGeometry.PageShift);
            if (soaker.Memory.TryGetValue(at, out long old))
            {
                using (cpu.Run(soaker.Process))
                {
                    long found = cpu.Read<long>(new VirtualAddress(at + 16));
                    Require(found == old || found == 0, $"{soaker.Process} reads {found:x} at {at:x} after advice that was refused, neither {old:x} nor 0");
                    soaker.Memory[at] = found;
                }
            }
        }

        if (result == Errno.None)
        {
            Forget(soaker, page, count);
        }
    }

    private void UseFile(Cpu cpu, Step step)
    {
        (OpenFile file, long[] pages) = _files[step.A % (uint)_files.Length];
        int page = (int)(step.B % FilePages);
        Span<byte> bytes = stackalloc byte[8];
        if (step.Kind == StepKind.WriteFile)
        {
            long token = NextToken();
            BitConverter.TryWriteBytes(bytes, token);
            if (cpu.Files.Write(file, ((long)page << PageGeometry.PageShift) + 16, bytes).Succeeded)
            {
                pages[page] = token;
            }
            else
            {
                _tally.Failed++;
            }

            return;
        }

        Result<int> read = cpu.Files.Read(file, ((long)page << PageGeometry.PageShift) + 16, bytes);
        if (read.Succeeded)
        {
            Require(BitConverter.ToInt64(bytes) == pages[page], $"page {page} of file {step.A % (uint)_files.Length} reads {BitConverter.ToInt64(bytes):x}, not {pages[page]:x}");
        }
        else
        {
            _tally.Failed++;
        }
    }

    private void CheckFiles(Cpu cpu)
    {
        Span<byte> bytes = stackalloc byte[8];
        foreach ((OpenFile file, long[] pages) in _files)
        {
            for (int page = 0; page < FilePages; page++)
            {
                Require(cpu.Files.Read(file, ((long)page << PageGeometry.PageShift) + 16, bytes).Succeeded && BitConverter.ToInt64(bytes) == pages[page], $"page {page} of a file reads {BitConverter.ToInt64(bytes):x}, not {pages[page]:x}");
            }
        }
    }

    /// <summary>Reads all that processes have, then ends them.</summary>
    private void EndProcesses(Cpu cpu)
    {
        Bury();
        while (_processes.Count != 0)
        {
            Soaker soaker = _processes[^1];
            foreach ((ulong page, long value) in soaker.Memory)
            {
                if (!soaker.Process.IsAlive)
                {
                    break;
                }

                try
                {
                    using (cpu.Run(soaker.Process))
                    {
                        long found = cpu.Read<long>(new VirtualAddress(page + 16));
                        Require(found == value, $"{soaker.Process} reads {found:x} at {page:x}, not {value:x}");
                    }
                }
                catch (SignalException e) when (e.SignalInfo.Signal == Signal.SIGKILL)
                {
                    _tally.Killed++;
                }
            }

            if (soaker.Process.IsAlive)
            {
                soaker.Process.Exit(0, cpu);
            }

            _ = _processes.Remove(soaker);
        }
    }

    /// <summary>A process, its areas, and what is in its pages; a page that was never written reads as zero.</summary>
    private sealed class Soaker(Process process)
    {
        public Process Process { get; } = process;

        public List<(ulong Start, int Pages, int File)> Areas { get; } = [];

        public Dictionary<ulong, long> Memory { get; } = [];
    }
}
