namespace MemSim.Soak;

/// <summary>What presses on a machine in a run of <see cref="LongProcessRun"/>: a tree of cgroups whose limits change, compressed swap, ksmd, and reclaim that changes its engine at work.</summary>
internal sealed class SoakPressure
{
    private static readonly string[] Paths = ["/a", "/a/web", "/a/batch", "/a/batch/job", "/b", "/b/db"];
    private readonly Machine _machine;
    private readonly Cgroup?[] _cgroups = new Cgroup?[Paths.Length];

    public SoakPressure(Machine machine, ulong seed)
    {
        _machine = machine;
        for (int i = 0; i < Paths.Length; i++)
        {
            _cgroups[i] = machine.Cgroups.Create(Paths[i]);
        }

        machine.Swap.Zswap.Enabled = seed % 2 == 0;
        machine.Processes.Ksm.Run = KsmRun.Run;
        machine.Processes.Ksm.MaxPageSharing = 2 + (int)(seed % 30);
        machine.Processes.Ksm.UseZeroPages = seed % 3 == 0;
    }

    /// <summary>Times that reclaim changed its engine.</summary>
    public long Switches { get; private set; }

    /// <summary>Pages that were merged at the end of a look.</summary>
    public long Merged { get; private set; }

    /// <summary>Calls that were refused.</summary>
    public long Refused { get; private set; }

    /// <summary>A process comes into a cgroup, or the root.</summary>
    public void Place(Process process, ulong dice)
    {
        if (_cgroups[dice % (uint)Paths.Length] is { } cgroup)
        {
            process.Cgroup = dice % 8 == 7 ? _machine.Cgroups.Root : cgroup;
        }
    }

    /// <summary>Something changes from outside, while a process runs or not.</summary>
    public void Turn(Cpu cpu, Process process, VirtualAddress area, long bytes, ulong dice)
    {
        int number = (int)((dice >> 8) % (uint)Paths.Length);
        Cgroup? cgroup = _cgroups[number];
        long pages = (long)((dice >> 16) % 6000);
        switch (dice % 16)
        {
            case 0:
                _machine.Reclaim.LruGen.Enabled = _machine.Reclaim.LruGen.IsEnabled ? 0 : 7;
                Switches++;
                break;
            case 1 or 2:
                Write(cgroup, "memory.max", pages + 300);
                break;
            case 3:
                // Far below what a process has, each page that comes back is taken before it is used.
                Write(cgroup, "memory.high", pages + 200);
                break;
            case 4:
                Write(cgroup, "memory.low", pages / 4);
                break;
            case 5:
                Write(cgroup, "memory.min", pages / 8);
                break;
            case 6:
                Write(cgroup, "memory.swap.max", pages);
                break;
            case 7:
                Write(cgroup, "memory.reclaim", pages / 16);
                break;
            case 8:
                Place(process, dice >> 24);
                break;
            case 9 or 10 when bytes != 0:
                Refused += process.Mm.Madvise(area, bytes, dice % 16 == 9 || (dice >> 40) % 4 != 0 ? MemoryAdvice.Mergeable : MemoryAdvice.Unmergeable) == Errno.None ? 0 : 1;
                break;
            case 11:
                // Nobody is in a leaf that is removed; what it had stays charged to it.
                if (number is 3 or 5)
                {
                    Recreate(number);
                }

                break;
            case 12:
                _machine.AdvanceTime(TimeSpan.FromMilliseconds(pages));
                break;
            default:
                KsmSettings ksm = _machine.Processes.Ksm;
                if (ksm.Files.Contains("advisor_mode"))
                {
                    ksm.Advises = pages % 4 == 0;
                }

                if (!ksm.Advises)
                {
                    ksm.PagesToScan = 50 + (pages / 4);
                }

                ksm.Scan(cpu);
                Merged = Math.Max(Merged, ksm.PagesSharing);
                break;
        }
    }

    private void Write(Cgroup? cgroup, string file, long pages)
    {
        Refused += cgroup?.Write(file, pages % 16 == 15 && file != "memory.reclaim" ? "max" : $"{pages << PageGeometry.PageShift}") == Errno.None ? 0 : 1;
    }

    private void Recreate(int number)
    {
        if (_cgroups[number] is { } old)
        {
            _cgroups[number] = _machine.Cgroups.Remove(old.Path) == Errno.None ? null : old;
            return;
        }

        Result<Cgroup> made = _machine.Cgroups.TryCreate(Paths[number]);
        _cgroups[number] = made.Succeeded ? made.Value : null;
    }
}
