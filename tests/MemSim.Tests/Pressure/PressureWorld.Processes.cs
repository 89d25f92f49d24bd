using FluentAssertions;

namespace MemSim.Tests.Pressure;

/// <content>Processes and their memory.</content>
internal sealed partial class PressureWorld
{
    private void NewProcess()
    {
        if (_processes.Count >= MaxProcesses)
        {
            return;
        }

        Result<Process> made = Machine.Processes.Create($"p{_stamp++}");
        if (made.Succeeded)
        {
            PressureProcess process = new(made.Value);
            _processes.Add(process);
            MapMore(process);
        }
    }

    /// <summary>Makes processes that together have written to nearly all they are allowed to.</summary>
    private void Fill()
    {
        for (int i = 0; i < 100 && Committed() < _budget * 9 / 10; i++)
        {
            NewProcess();
            MapOrUnmap();
            foreach (PressureProcess process in _processes.ToArray())
            {
                foreach (PressureRegion region in process.Regions.Where(r => !r.IsFilled))
                {
                    region.IsFilled = true;
                    for (int page = 0; page < region.Pages && process.Process.State == ProcessState.Running; page += 16)
                    {
                        Use(process, region, page, Math.Min(16, region.Pages - page), write: true);
                    }
                }
            }

            ForgetDead();
        }
    }

    private void EndProcess()
    {
        if (_processes.Count <= 2)
        {
            return;
        }

        PressureProcess process = _processes[_random.Next(_processes.Count)];
        _processes.Remove(process);
        process.Process.Exit(0, AnyCpu);
    }

    private void Fork()
    {
        if (_processes.Count is 0 or >= MaxProcesses)
        {
            return;
        }

        PressureProcess parent = _processes[_random.Next(_processes.Count)];
        if (Committed() + parent.Pages > _budget)
        {
            return;
        }

        Result<Process> child = parent.Process.Fork(AnyCpu);
        if (child.Succeeded)
        {
            _processes.Add(parent.Copy(child.Value));
        }

        ForgetDead();
    }

    private long Committed() => _processes.Sum(p => p.Pages);

    private void MapOrUnmap()
    {
        if (PickProcess() is not { } process)
        {
            return;
        }

        if (process.Regions.Count != 0 && _random.Next(3) == 0)
        {
            PressureRegion region = process.Regions[_random.Next(process.Regions.Count)];
            process.Process.Mm.Munmap(region.Start, (long)((ulong)region.Pages * PageSize)).Should().Be(Errno.None);
            process.Regions.Remove(region);
            return;
        }

        MapMore(process);
    }

    private void MapMore(PressureProcess process)
    {
        // File mappings share what they map; only anonymous memory counts.
        PressureFile? file = _random.Next(3) == 0 ? _files[_random.Next(_files.Count)] : null;
        int pages = (int)Math.Min(_budget / 6, Math.Max(16, _random.Next((int)(_budget / 8))));
        if (file is not null)
        {
            pages = Math.Min(file.Stamps.Length, pages);
        }
        else if (Committed() + pages > _budget)
        {
            return;
        }

        Result<VirtualAddress> at = file is null
            ? process.Process.Mm.Mmap((long)pages * PageSize, Prot.Read | Prot.Write)
            : process.Process.Mm.Mmap(default, (long)((ulong)pages * PageSize), Prot.Read | Prot.Write, MapFlags.Shared, file.File);
        if (at.Succeeded)
        {
            process.Regions.Add(new PressureRegion(at.Value, file?.Stamps ?? new int[pages], file) { Pages = pages });
        }
    }

    private PressureProcess? PickProcess()
    {
        ForgetDead();
        return _processes.Count == 0 ? null : _processes[_random.Next(_processes.Count)];
    }

    private (PressureProcess Process, PressureRegion Region)? PickRegion() =>
        PickProcess() is { Regions.Count: > 0 } process ? (process, process.Regions[_random.Next(process.Regions.Count)]) : null;

    /// <summary>Pages are touched near one another, as programs do: some of them often.</summary>
    private int PickPage(int pages)
    {
        int i = _random.Next(pages);
        return _random.Next(3) == 0 ? _random.Next(1 + (i / 8)) : i;
    }

    private void Touch()
    {
        if (PickRegion() is not { } where)
        {
            NewProcess();
            return;
        }

        (PressureProcess process, PressureRegion region) = where;
        int length = region.Pages;
        int page = PickPage(length);
        int count = Math.Min(_random.Next(1, 8), length - page);
        Use(process, region, page, _random.Next(10) == 0 ? Math.Min(64, length - page) : count, _random.Next(5) < 2);
    }

    private void Use(PressureProcess process, PressureRegion region, int first, int count, bool write)
    {
        try
        {
            using ContextScope scope = AnyCpu.Run(process.Process);
            Cpu cpu = process.Process.RunsOn!;
            for (int i = first; i < first + count; i++)
            {
                if (write)
                {
                    int stamp = ++_stamp;
                    cpu.Write(region.Start + ((long)i * PageSize) + 8, stamp);
                    region.File?.NoteWrite(i);
                    region.Stamps[i] = stamp;
                    region.MayBeZero?.Set(i, false);
                }
                else
                {
                    CheckPage(cpu, region, i);
                }
            }
        }
        catch (SignalException signal)
        {
            OnSignal(process, signal);
        }
    }

    private void CheckPage(Cpu cpu, PressureRegion region, int page)
    {
        VirtualAddress at = region.Start + ((long)page * PageSize);
        int found = cpu.Read<int>(at + 8);
        bool right = found == region.Stamps[page] || (found == 0 && region.MayBeZero is { } zero && zero[page]);
        right |= region.File?.MayHaveLost(page, found) == true;
        if (!right || (region.File is null && cpu.Read<int>(at + 4092) != 0))
        {
            throw new InvalidOperationException($"page {page} of {region.Stamps.Length} at {at} ({(region.File is null ? "anonymous" : region.File.File.File.Name)}) holds {found} instead of {region.Stamps[page]}");
        }

        Checked++;
    }

    private void OnSignal(PressureProcess process, SignalException signal)
    {
        if (signal.SignalInfo.Signal == Signal.SIGBUS && DevicesFail && !_isOver)
        {
            BusErrors++;
            return;
        }

        if (!_mayKill || signal.SignalInfo.Signal != Signal.SIGKILL)
        {
            throw new InvalidOperationException($"{process.Process} got {signal.SignalInfo}\n{Machine.Oom.LastReport}\n{Machine.Proc.MemInfo}", signal);
        }

        ForgetDead();
    }

    private void ForgetDead()
    {
        for (int i = _processes.Count - 1; i >= 0; i--)
        {
            PressureProcess process = _processes[i];
            if (process.Process.State == ProcessState.Running)
            {
                continue;
            }

            if (!_mayKill)
            {
                throw new InvalidOperationException($"{process.Process} was killed\n{Machine.Oom.LastReport}");
            }

            Killed++;
            _processes.RemoveAt(i);
        }
    }

    private void CheckAll(PressureProcess process)
    {
        try
        {
            using ContextScope scope = Machine.Cpus[0].Run(process.Process);
            foreach (PressureRegion region in process.Regions)
            {
                for (int i = 0; i < region.Pages; i++)
                {
                    CheckPage(Machine.Cpus[0], region, i);
                }
            }
        }
        catch (SignalException signal)
        {
            OnSignal(process, signal);
        }
    }

    private void Advise()
    {
        if (PickRegion() is not { } where)
        {
            return;
        }

        (PressureProcess process, PressureRegion region) = where;
        int length = region.Pages;
        int page = _random.Next(length);
        int count = Math.Min(_random.Next(1, 64), length - page);
        MemoryAdvice advice = _random.Next(8) switch
        {
            0 => MemoryAdvice.DontNeed,
            1 => MemoryAdvice.Free,
            2 => MemoryAdvice.Cold,
            3 => MemoryAdvice.WillNeed,
            _ => MemoryAdvice.PageOut,
        };
        if (advice == MemoryAdvice.Free && region.File is not null)
        {
            return;
        }

        Errno error = process.Process.Mm.Madvise(region.Start + ((long)page * PageSize), (long)((ulong)count * PageSize), advice);
        if (region.File is not null || error is not (Errno.None or Errno.EINVAL))
        {
            return;
        }

        for (int i = page; i < page + count && advice is MemoryAdvice.DontNeed or MemoryAdvice.Free; i++)
        {
            if (error == Errno.None && advice == MemoryAdvice.DontNeed)
            {
                region.Stamps[i] = 0;
            }
            else
            {
                // Freed when memory is short, or not: until the next write either is right. A locked part refuses, perhaps halfway.
                (region.MayBeZero ??= new System.Collections.BitArray(region.Stamps.Length)).Set(i, true);
            }
        }
    }

    private void Lock()
    {
        if (PickRegion() is not { } where)
        {
            return;
        }

        (PressureProcess process, PressureRegion region) = where;
        int length = region.Pages;
        int page = _random.Next(length);
        int count = Math.Min(_random.Next(1, 24), length - page);
        VirtualAddress at = region.Start + ((long)page * PageSize);
        if (_random.Next(2) == 0)
        {
            // Locking only succeeds below the limit; nothing that was locked may hinder the others for ever.
            _ = process.Process.Mm.Mlock(at, (long)((ulong)count * PageSize));
        }
        else
        {
            process.Process.Mm.Munlock(region.Start, (long)((ulong)length * PageSize)).Should().Be(Errno.None);
        }

        ForgetDead();
    }
}

/// <summary>A process and what its memory must hold.</summary>
internal sealed class PressureProcess(Process process)
{
    public Process Process { get; } = process;

    public List<PressureRegion> Regions { get; private init; } = [];

    public long Pages => Regions.Sum(r => r.File is null ? r.Stamps.Length : 0);

    public PressureProcess Copy(Process child) => new(child)
    {
        Regions = [.. Regions.Select(r => r.File is not null ? r : new PressureRegion(r.Start, [.. r.Stamps], null) { MayBeZero = r.MayBeZero is null ? null : new(r.MayBeZero) })],
    };
}

/// <summary>A mapping: a stamp for each page; those of a file belong to the file.</summary>
internal sealed class PressureRegion(VirtualAddress start, int[] stamps, PressureFile? file)
{
    public VirtualAddress Start { get; } = start;

    public int[] Stamps { get; } = stamps;

    public int Pages { get; init; } = stamps.Length;

    public PressureFile? File { get; } = file;

    public bool IsFilled { get; set; }

    public System.Collections.BitArray? MayBeZero { get; set; }
}
