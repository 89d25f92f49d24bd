using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using MemSim.Pages;

namespace MemSim.Tests.Snapshots;

/// <summary>A random program on a machine: pages, slabs, vmalloc, processes, files, swap, cgroups, per-CPU memory, kmap, reclaim, time. The same seed does the same on machines in the same state.</summary>
/// <remarks>What it holds of its machine are handles, which a snapshot keeps, and numbers, which are the same in a copy.</remarks>
internal sealed partial class RandomProgram
{
    private readonly List<(Pfn Pfn, int Order)> _pages = [];
    private readonly List<VirtualAddress> _objects = [];
    private readonly List<(int Cache, VirtualAddress Address)> _cached = [];
    private readonly List<VirtualAddress> _areas = [];
    private readonly List<(int Pid, VirtualAddress Start, int Pages)> _mapped = [];
    private readonly List<(PerCpuPointer Pointer, int Bytes)> _perCpu = [];
    private readonly List<Pfn> _kmapped = [];
    private readonly List<string> _groups = [];
    private readonly StringBuilder _log = new();
    private readonly List<object> _handles;
    private readonly bool _wide;
    private Random _random;
    private int _names;

    /// <param name="machine">Where it runs.</param>
    /// <param name="seed">What its first steps are.</param>
    /// <param name="wide">Whether it also does what not every machine has.</param>
    public RandomProgram(Machine machine, int seed, bool wide = false)
    {
        Machine = machine;
        _wide = wide;
        _random = new Random(seed);
        BlockDevice disk = new("vda", "64M");
        _handles = [machine.Files.Mount(disk), machine.Files.MountTmpfs(), machine.Slab.CreateCache("small", 40), machine.Slab.CreateCache("ctor", 300, constructor: static (_, _) => { }), machine.Slab.CreateCache("big", 3000, flags: SlabFlags.ReclaimAccount)];
        machine.Swap.SwapOn(new BlockDevice("vdb", "32M")).Succeeded.ToString();
        if (wide)
        {
            EquipWide();
        }
    }

    private RandomProgram(RandomProgram other, Machine machine, IReadOnlyList<object> handles)
    {
        Machine = machine;
        _wide = other._wide;
        _random = other._random;
        _handles = [.. handles.Take(other._handles.Count)];
        _pages.AddRange(other._pages);
        _objects.AddRange(other._objects);
        _cached.AddRange(other._cached);
        _areas.AddRange(other._areas);
        _mapped.AddRange(other._mapped);
        _perCpu.AddRange(other._perCpu);
        _kmapped.AddRange(other._kmapped);
        _groups.AddRange(other._groups);
        _names = other._names;
        CopyWide(other, handles);
    }

    public Machine Machine { get; }

    /// <summary>What a snapshot is to keep for a copy of the program.</summary>
    public IReadOnlyList<object> Handles => [.. _handles, .. _held];

    /// <summary>What its calls answered since it began or was copied.</summary>
    public string Log => _log.ToString();

    /// <summary>The same program, in the state in which it is, on a copy of its machine.</summary>
    public RandomProgram On(Machine copy, IReadOnlyList<object> handles) => new(this, copy, handles);

    public void Run(int seed, int steps)
    {
        _random = new Random(seed);
        for (int i = 0; i < steps; i++)
        {
            int what = _random.Next(_wide ? 52 : 26);
            Cpu cpu = Machine.Cpus[_random.Next(Machine.Cpus.Count)];
            cpu = cpu.IsOnline ? cpu : Machine.Cpus[0];
            string answer;
            try
            {
                answer = what < 26 ? Step(what, cpu) : WideStep(what - 26, cpu);
            }
            catch (Exception e) when (e is KernelBugException or PageFaultException or SignalException)
            {
                answer = e.GetType().Name + " " + e.Message;
            }

            _log.Append(CultureInfo.InvariantCulture, $"{i} {what}: {answer}\n");
        }
    }

    private string Step(int what, Cpu cpu)
    {
        switch (what)
        {
            case 0 or 1:
                int order = _random.Next(5);
                Page page = cpu.AllocPages((_random.Next(2) == 0 ? Gfp.Kernel : Gfp.HighUserMovable) | Gfp.NoWarn, order);
                if (!page.IsNull)
                {
                    _pages.Add((page.Pfn, order));
                }

                return page.IsNull ? "none" : page.Pfn.ToString();
            case 2 when _pages.Count > 0:
                (Pfn pfn, int freed) = Take(_pages);
                cpu.FreePages(Machine.GetPage(pfn), freed);
                return pfn.ToString();
            case 3 or 4:
                VirtualAddress obj = cpu.Kmalloc(1 << _random.Next(14), _random.Next(4) == 0 ? Gfp.Kernel | Gfp.Zero : Gfp.Kernel);
                _objects.Add(obj);
                return obj.ToString();
            case 5 when _objects.Count > 0:
                VirtualAddress gone = Take(_objects);
                cpu.Kfree(gone);
                return gone.ToString();
            case 6 or 7:
                int cache = 2 + _random.Next(3);
                VirtualAddress made = cpu.Alloc((KmemCache)_handles[cache], Gfp.Kernel);
                _cached.Add((cache, made));
                return made.ToString();
            case 8 when _cached.Count > 0:
                (int of, VirtualAddress given) = Take(_cached);
                cpu.Free((KmemCache)_handles[of], given);
                return given.ToString();
            case 9:
                VirtualAddress area = cpu.Vmalloc(1 + _random.Next(60_000), caller: "program");
                cpu.Write(area, _random.Next());
                _areas.Add(area);
                return area.ToString();
            case 10 when _areas.Count > 0:
                VirtualAddress released = Take(_areas);
                int read = cpu.Read<int>(released);
                cpu.Vfree(released);
                return $"{released} {read}";
            case 11:
                return NewProcess(cpu);
            case 12 or 13 or 14:
                return InProcess(cpu, p => Touch(cpu, p));
            case 15:
                return InProcess(cpu, p => Change(cpu, p));
            case 16:
                return Fork(cpu);
            case 17 or 18:
                return File(cpu);
            case 19:
                PerCpuPointer pointer = cpu.PerCpu.AllocPercpu(8 << _random.Next(6), 8);
                Machine.PerCpu.Bytes(pointer, cpu.Id, 8).Fill((byte)_random.Next(256));
                _perCpu.Add((pointer, 8));
                return pointer.ToString();
            case 20 when _perCpu.Count > 0:
                (PerCpuPointer old, int bytes) = Take(_perCpu);
                string held = Convert.ToHexString(Machine.PerCpu.Bytes(old, cpu.Id, bytes));
                cpu.PerCpu.FreePercpu(old);
                return $"{old} {held}";
            case 21:
                return Kmap(cpu);
            case 22:
                Machine.AdvanceTime(TimeSpan.FromMilliseconds(_random.Next(4000)));
                return Machine.Uptime.ToString();
            case 23:
                return Group(cpu);
            case 24:
                return Pressure(cpu);
            default:
                Machine.Background.Mode = _random.Next(2) == 0 ? BackgroundWork.Inline : BackgroundWork.Manual;
                return Machine.Background.Run().ToString(CultureInfo.InvariantCulture);
        }
    }

    private T Take<T>(List<T> from)
    {
        int at = _random.Next(from.Count);
        T taken = from[at];
        from[at] = from[^1];
        from.RemoveAt(from.Count - 1);
        return taken;
    }

    private string NewProcess(Cpu cpu)
    {
        if (Machine.Processes.Count > 8)
        {
            Process victim = Machine.Processes.ElementAt(_random.Next(Machine.Processes.Count));
            victim.Exit(_random.Next(3), cpu);
            _mapped.RemoveAll(m => m.Pid == victim.Pid);
            return $"{victim.Pid} ends";
        }

        Result<Process> process = Machine.Processes.Create($"p{_names++}", on: cpu);
        if (process.Succeeded && _groups.Count > 0 && _random.Next(2) == 0)
        {
            process.Value.Cgroup = Machine.Cgroups.Find(_groups[_random.Next(_groups.Count)])!;
        }

        return process.Succeeded ? process.Value.Pid.ToString(CultureInfo.InvariantCulture) : process.Error.ToString();
    }

    private string InProcess(Cpu cpu, Func<Process, string> act)
    {
        if (Machine.Processes.Count == 0)
        {
            return "nobody";
        }

        Process process = Machine.Processes.ElementAt(_random.Next(Machine.Processes.Count));
        if (process.RunsOn is not null || !process.IsAlive)
        {
            return $"{process.Pid} cannot run";
        }

        using (cpu.Run(process))
        {
            return $"{process.Pid} {act(process)}";
        }
    }

    private string Touch(Cpu cpu, Process process)
    {
        List<(int Pid, VirtualAddress Start, int Pages)> own = _mapped.FindAll(m => m.Pid == process.Pid);
        if (own.Count < 4)
        {
            int pages = 1 + _random.Next(200);
            OpenFile? file = null;
            MapFlags flags = _random.Next(3) == 0 ? MapFlags.Shared | MapFlags.Anonymous : MapFlags.Private | MapFlags.Anonymous;
            SimFileSystem files = (SimFileSystem)_handles[_random.Next(2)];
            if (_random.Next(3) == 0 && files.Names.Any())
            {
                file = files.Open(files.Names.First(), OpenMode.ReadWrite, cpu).Value;
                flags = _random.Next(2) == 0 ? MapFlags.Shared : MapFlags.Private;
            }

            Result<VirtualAddress> mapped = process.Mm.Mmap(default, (long)pages << 12, Prot.Read | Prot.Write, flags, file);
            file?.Close(cpu);
            if (mapped.Succeeded)
            {
                _mapped.Add((process.Pid, mapped.Value, pages));
            }

            return $"mmap {mapped}";
        }

        (_, VirtualAddress start, int count) = own[_random.Next(own.Count)];
        int first = _random.Next(count);
        int sum = 0;
        for (int i = first; i < Math.Min(count, first + 40); i++)
        {
            if (_random.Next(3) != 0)
            {
                cpu.Write(start + ((long)i << 12), _random.Next());
            }
            else
            {
                sum += cpu.Read<int>(start + ((long)i << 12));
            }
        }

        return $"touch {start} {sum}";
    }

    private string Change(Cpu cpu, Process process)
    {
        List<(int Pid, VirtualAddress Start, int Pages)> own = _mapped.FindAll(m => m.Pid == process.Pid);
        if (own.Count == 0)
        {
            return $"brk {process.Mm.Brk(default)}";
        }

        (int pid, VirtualAddress start, int pages) = own[_random.Next(own.Count)];
        long part = (long)(1 + _random.Next(pages)) << 12;
        switch (_random.Next(6))
        {
            case 0:
                _mapped.Remove((pid, start, pages));
                return $"munmap {process.Mm.Munmap(start, (long)pages << 12)}";
            case 1:
                Errno done = process.Mm.Mprotect(start, part, Prot.Read);
                return $"mprotect {done} {process.Mm.Mprotect(start, part, Prot.Read | Prot.Write)}";
            case 2:
                return $"madvise {process.Mm.Madvise(start, part, _random.Next(2) == 0 ? MemoryAdvice.DontNeed : MemoryAdvice.WillNeed)}";
            case 3:
                return $"mlock {process.Mm.Mlock(start, part)} {process.Mm.Munlock(start, part)}";
            case 4:
                Result<VirtualAddress> moved = process.Mm.Mremap(start, (long)pages << 12, ((long)pages + 5) << 12);
                if (moved.Succeeded)
                {
                    _mapped.Remove((pid, start, pages));
                    _mapped.Add((pid, moved.Value, pages + 5));
                }

                return $"mremap {moved}";
            default:
                return $"msync {process.Mm.Msync(start, (long)pages << 12, SyncFlags.Sync)} on {cpu.Id}";
        }
    }

    private string Fork(Cpu cpu)
    {
        if (Machine.Processes.Count is 0 or > 8)
        {
            return "no fork";
        }

        Process process = Machine.Processes.ElementAt(_random.Next(Machine.Processes.Count));
        Result<Process> child = process.Fork(cpu);
        if (!child.Succeeded)
        {
            return child.Error.ToString();
        }

        foreach ((int _, VirtualAddress start, int pages) in _mapped.FindAll(m => m.Pid == process.Pid))
        {
            _mapped.Add((child.Value.Pid, start, pages));
        }

        return $"{process.Pid} forks {child.Value.Pid}";
    }

    private string File(Cpu cpu)
    {
        SimFileSystem files = (SimFileSystem)_handles[_random.Next(2)];
        string name = $"f{_random.Next(5)}";
        Result<OpenFile> opened = files.TryFind(name, out _) ? files.Open(name, OpenMode.ReadWrite, cpu) : files.Create(name, OpenMode.ReadWrite, cpu);
        if (!opened.Succeeded)
        {
            return $"{name} {opened.Error}";
        }

        OpenFile file = opened.Value;
        string answer = OnFile(cpu, files, name, file);
        file.Close(cpu);
        return answer;
    }

    private string OnFile(Cpu cpu, SimFileSystem files, string name, OpenFile file)
    {
        long offset = _random.Next(300_000);
        byte[] bytes = new byte[_random.Next(50_000)];
        switch (_random.Next(5))
        {
            case 0 or 1:
                _random.NextBytes(bytes);
                return $"{name} write {cpu.Files.Write(file, offset, bytes)}";
            case 2:
                Result<int> read = cpu.Files.Read(file, offset, bytes);
                return $"{name} read {read} {bytes.Sum(b => (long)b)}";
            case 3:
                return $"{name} fsync {cpu.Files.Fsync(file)}";
            default:
                return _random.Next(3) == 0 ? $"{name} delete {files.Delete(cpu, name)}" : $"{name} truncate {cpu.Files.Truncate(file, offset)}";
        }
    }

    private string Kmap(Cpu cpu)
    {
        if (_kmapped.Count > 20 || (_kmapped.Count > 0 && _random.Next(2) == 0))
        {
            Pfn mapped = Take(_kmapped);
            cpu.Kunmap(Machine.GetPage(mapped));
            cpu.FreePages(Machine.GetPage(mapped), 0);
            return $"kunmap {mapped}";
        }

        Page page = cpu.AllocPages(Gfp.HighUser | Gfp.NoWarn, 0);
        if (page.IsNull)
        {
            return "none";
        }

        VirtualAddress address = cpu.Kmap(page);
        cpu.Write(address, _random.Next());
        _kmapped.Add(page.Pfn);
        return $"kmap {page.Pfn} at {address}";
    }

    private string Group(Cpu cpu)
    {
        if (_groups.Count < 3)
        {
            string path = $"/g{_names++}";
            Result<Cgroup> made = Machine.Cgroups.TryCreate(path);
            if (made.Succeeded)
            {
                _groups.Add(path);
            }

            return $"{path} {made.Error}";
        }

        Cgroup group = Machine.Cgroups.Find(_groups[_random.Next(_groups.Count)])!;
        return _random.Next(4) switch
        {
            0 => $"{group.Path} high {group.Write("memory.high", $"{1 + _random.Next(8)}M", cpu)}",
            1 => $"{group.Path} max {group.Write("memory.max", "max", cpu)}",
            2 => $"{group.Path} reclaim {group.Write("memory.reclaim", "256K", cpu)}",
            _ => $"{group.Path} {group.CurrentBytes} {group["memory.stat"]}",
        };
    }

    private string Pressure(Cpu cpu)
    {
        switch (_random.Next(4))
        {
            case 0:
                Machine.Compaction.CompactMemory();
                return "compacted";
            case 1:
                Machine.Files.DropCaches(_random.Next(1, 4));
                return "dropped";
            default:
                List<Page> taken = [];
                for (int i = 0; i < 3000; i++)
                {
                    Page page = cpu.AllocPages(Gfp.HighUser | Gfp.NoWarn | Gfp.NoRetry, 2);
                    if (page.IsNull)
                    {
                        break;
                    }

                    taken.Add(page);
                }

                string last = taken.Count == 0 ? "none" : taken[^1].Pfn.ToString();
                foreach (Page page in taken)
                {
                    cpu.FreePages(page, 2);
                }

                return $"pressure {taken.Count} {last}";
        }
    }

    /// <summary>Everything that is said of a machine: every file of /proc, every frame, every process, every cgroup.</summary>
    public static string StateOf(Machine machine)
    {
        StringBuilder text = new();
        ProcFs proc = machine.Proc;
        foreach ((string name, string content) in ((string, string)[])[("buddyinfo", proc.BuddyInfo), ("zoneinfo", proc.ZoneInfo), ("pagetypeinfo", proc.PageTypeInfo), ("meminfo", proc.MemInfo), ("vmstat", proc.VmStat),
            ("slabinfo", proc.SlabInfo), ("vmallocinfo", proc.VmallocInfo), ("pressure", proc.PressureMemory), ("swaps", proc.Swaps), ("mm", proc.SysKernelMm), ("lru_gen", proc.LruGenFull), ("show_mem", proc.ShowMem())])
        {
            text.Append(CultureInfo.InvariantCulture, $"== {name}\n{content}\n");
        }

        foreach (Node node in machine.Nodes)
        {
            text.Append(CultureInfo.InvariantCulture, $"== node{node.Id}\n{proc.NodeMemInfo(node.Id)}\n{proc.NodeVmStat(node.Id)}\n");
        }

        foreach (Process process in machine.Processes)
        {
            text.Append(CultureInfo.InvariantCulture, $"== {process.Pid} {process.Name} {process.State}\n");
            if (process.IsAlive)
            {
                text.Append(process.Maps).Append(process.Smaps).Append(process.Statm).Append(process.Status).Append('\n');
            }
        }

        Groups(machine.Cgroups.Root, text);
        text.Append(CultureInfo.InvariantCulture, $"uptime {machine.Uptime} oom {machine.Oom.Reports.Count}\n");
        ReadOnlySpan<PageFrame> frames = machine.Frames.Map.All;
        for (int pfn = 0; pfn < frames.Length; pfn++)
        {
            ReadOnlySpan<byte> bytes = MemoryMarshal.AsBytes(frames.Slice(pfn, 1));
            if (bytes.ContainsAnyExcept((byte)0))
            {
                text.Append(CultureInfo.InvariantCulture, $"{pfn:x} ").Append(Convert.ToHexString(bytes)).Append('\n');
            }
        }

        return text.ToString();
    }

    private static void Groups(Cgroup group, StringBuilder text)
    {
        text.Append(CultureInfo.InvariantCulture, $"== {group.Path} {group.CurrentBytes} {group.SwapBytes} {group.PeakBytes}\n{group["memory.stat"]}\n");
        foreach (Cgroup child in group.Children)
        {
            Groups(child, text);
        }
    }
}
