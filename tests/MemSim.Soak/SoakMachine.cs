namespace MemSim.Soak;

/// <summary>A machine, and what a naive model knows of it: who has which frame, and what is in it.</summary>
internal sealed partial class SoakMachine : IDisposable
{
    private const int MostFrames = 24_000;
    private const long MostUnaccounted = 400;
    private static readonly string[] Kernels = ["6.1", "6.1", "6.12", "6.18", "7.0", "7.3"];

    private readonly SoakTally _tally;
    private readonly Machine _machine;
    private readonly BlockDevice _disk = new("sda", "32M");
    private readonly BlockDevice _swapDevice = new("swap", "48M");
    private readonly List<Block> _blocks = [];
    private readonly HashSet<long> _owned = [];
    private readonly List<KmemCache> _caches = [];
    private readonly List<Thing> _things = [];
    private readonly List<(VirtualAddress Address, int Pages, long Token)> _areas = [];
    private readonly List<(PerCpuVar<long> Variable, long[] Values)> _variables = [];
    private SwapArea? _swap;
    private long _token;
    private int _failingFor;
    private int _cacheNumber;
    private long _frames;
    private readonly long _unaccountedAtBoot;

    public SoakMachine(ulong seed, SoakTally tally)
    {
        _tally = tally;
        ulong kind = seed % 5;
        Architecture architecture = Soaks.ArchitectureOf(kind);
        string thp = (seed / 5 % 3) switch { 0 => "always", 1 => "madvise", _ => "never" };
        MachineSpec spec = MachineSpec.Preset(architecture, architecture == Architecture.X86_32 ? "1G" : Soaks.Memory("256M"), 2)
            .WithKernel(architecture == Architecture.X86_64 ? Kernels[seed / 15 % (ulong)Kernels.Length] : "6.1").WithCommandLine($"transparent_hugepage={thp}");
        _machine = Machine.Boot(architecture == Architecture.X86_32 ? spec : spec.WithHotplugMemory(Soaks.Memory("256M")));
        _machine.Reclaim.Enable();
        _swap = _machine.Swap.SwapOn(_swapDevice).Value;
        DiskFileSystem disk = _machine.Files.Mount(_disk);
        for (int i = 0; i < _files.Length; i++)
        {
            _files[i] = (disk.Create($"file{i}").Value, new long[FilePages]);
            Require(_machine.Cpus[0].Files.Truncate(_files[i].File, (long)FilePages << PageGeometry.PageShift) == Errno.None, "a file could not be made");
        }

        _unaccountedAtBoot = Unaccounted();
    }

    public void Dispose()
    {
        _machine.Dispose();
        _disk.Dispose();
        _swapDevice.Dispose();
    }

    public void Do(Step step)
    {
        if (_failingFor > 0 && --_failingFor == 0)
        {
            _machine.FaultInjection.Clear();
        }

        Cpu cpu = _machine.Cpus[_machine.Cpus[1].IsOnline ? (int)(step.C >> 8) & 1 : 0];
        switch (step.Kind)
        {
            case StepKind.AllocPages:
                AllocPages(cpu, step);
                break;
            case StepKind.FreePages:
                FreePages(cpu, step);
                break;
            case StepKind.CheckPages:
                CheckPages(cpu, step);
                break;
            case StepKind.Kmalloc:
                Kmalloc(cpu, step);
                break;
            case StepKind.AllocObject:
                AllocObject(cpu, step);
                break;
            case StepKind.FreeObject:
                FreeObject(cpu, step);
                break;
            case StepKind.CreateCache:
                CreateCache(step);
                break;
            case StepKind.DestroyCache:
                DestroyCache(cpu, step);
                break;
            case StepKind.Vmalloc:
                Vmalloc(cpu, step);
                break;
            case StepKind.Vfree:
                Vfree(cpu, step);
                break;
            case StepKind.AllocPerCpu or StepKind.FreePerCpu or StepKind.WritePerCpu:
                PerCpu(cpu, step);
                break;
            case StepKind.Kmap:
                Kmap(cpu, step);
                break;
            case >= StepKind.StartProcess and <= StepKind.SyncFiles:
                DoInProcess(cpu, step);
                break;
            default:
                DoToMachine(cpu, step);
                break;
        }
    }

    /// <summary>Gives everything back and looks whether it is back.</summary>
    public void Finish()
    {
        _machine.FaultInjection.Clear();
        Cpu cpu = _machine.Cpus[0];
        EndProcesses(cpu);
        while (_blocks.Count != 0)
        {
            FreeBlock(cpu, _blocks.Count - 1);
        }

        while (_things.Count != 0)
        {
            FreeThing(cpu, _things.Count - 1);
        }

        while (_areas.Count != 0)
        {
            FreeArea(cpu, _areas.Count - 1);
        }

        foreach ((PerCpuVar<long> variable, _) in _variables)
        {
            _machine.PerCpu.Free(variable);
        }

        foreach (KmemCache cache in _caches)
        {
            Require(_machine.Slab.DestroyCache(cache, cpu), $"cache {cache.Name} could not be destroyed though all of its objects are freed");
        }

        CheckFiles(cpu);
        Verify();
        foreach ((OpenFile file, _) in _files)
        {
            file.Close(cpu);
        }

        _machine.Sysctl.Set("vm.drop_caches", "3");
        _machine.Memory.DrainAllPages();
        Verify();
        long left = Unaccounted() - _unaccountedAtBoot;
        _tally.LargestLeft = Math.Max(_tally.LargestLeft, left);
        Require(Math.Abs(left) <= MostUnaccounted, $"{left} pages are in use, and nobody has them");
    }

    /// <summary>Pages in use that no figure of <c>/proc/meminfo</c> and no page table tells of.</summary>
    private long Unaccounted()
    {
        long pages = 0;
        long tables = 0;
        foreach (Zone zone in _machine.Zones)
        {
            pages += zone.ManagedPages - zone.TrueFreePages - _machine.Cpus.Sum(cpu => zone.Pageset(cpu.Id).Count);
            for (Pfn pfn = zone.StartPfn; pfn.Value < zone.EndPfn.Value; pfn += 1)
            {
                tables += _machine.TryGetPage(pfn, out Page page) && (page.Flags & (PageFlags.Table | PageFlags.Reserved)) == PageFlags.Table ? 1 : 0;
            }
        }

        Dictionary<string, long> kib = [];
        foreach (string[] words in _machine.Proc.MemInfo.Split('\n').Select(line => line.Split([' ', ':'], StringSplitOptions.RemoveEmptyEntries)).Where(words => words.Length >= 2))
        {
            kib[words[0]] = long.Parse(words[1], System.Globalization.CultureInfo.InvariantCulture);
        }

        string[] told = ["Slab", "Cached", "Buffers", "SwapCached", "AnonPages", "VmallocUsed", "Percpu", "Hugetlb"];
        long maps = _machine.Hotplug.Memory.Blocks.Count(block => block.IsPluggedIn) * (MemoryMapCost.PagesPerSection * 64 / PageGeometry.PageSize);
        return pages - tables - maps - told.Sum(name => kib.GetValueOrDefault(name) / (PageGeometry.PageSize >> 10));
    }

    private void Verify()
    {
        _tally.Verified++;
        _machine.Verify();
    }

    private static void Require(bool holds, string what)
    {
        if (!holds)
        {
            throw new InvalidOperationException(what);
        }
    }

    private long NextToken() => ++_token * 0x1000_0000_01b3;

    // ---- pages

    private void AllocPages(Cpu cpu, Step step)
    {
        int order = (step.A % 64) switch { < 40 => 0, < 50 => 1, < 56 => 2, < 60 => 3, 60 => 4, 61 => 6, 62 => 9, _ => 10 };
        if (_frames + (1 << order) > MostFrames)
        {
            return;
        }

        Gfp gfp = (step.B % 6) switch { 0 => Gfp.Atomic, 1 => Gfp.HighUser | Gfp.Movable, 2 => Gfp.Kernel | Gfp.Reclaimable, 3 => Gfp.Kernel | Gfp.Comp, 4 => Gfp.NoWait | Gfp.Zero, _ => Gfp.Kernel };
        Page page = cpu.AllocPages(gfp | Gfp.NoWarn, order);
        if (page.IsNull)
        {
            _tally.Failed++;
            return;
        }

        long pfn = page.Pfn.Value;
        Require((pfn & ((1L << order) - 1)) == 0, $"{page} of order {order} is not aligned");
        bool mapped = page.Address != default;
        long token = NextToken();
        for (int i = 0; i < 1 << order; i++)
        {
            Require(_owned.Add(pfn + i), $"frame {pfn + i} was handed out though somebody has it");
            if (mapped)
            {
                VirtualAddress at = page.Address + ((ulong)i << PageGeometry.PageShift);
                Require((gfp & Gfp.Zero) == 0 || cpu.Read<long>(at + 64) == 0, $"{page} was to be zeroed");
                cpu.Write(at, token + i);
            }
        }

        _frames += 1 << order;
        _blocks.Add(new Block(page, order, token, mapped, (gfp & Gfp.Comp) != 0));
    }

    private void FreePages(Cpu cpu, Step step)
    {
        if (_blocks.Count != 0)
        {
            FreeBlock(cpu, (int)(step.A % (uint)_blocks.Count));
        }
    }

    private void FreeBlock(Cpu cpu, int number)
    {
        Block block = _blocks[number];
        Check(cpu, block);
        for (int i = 0; i < 1 << block.Order; i++)
        {
            _ = _owned.Remove(block.Page.Pfn.Value + i);
        }

        _frames -= 1 << block.Order;
        _blocks[number] = _blocks[^1];
        _blocks.RemoveAt(_blocks.Count - 1);
        cpu.FreePages(block.Page, block.Order);
    }

    private void CheckPages(Cpu cpu, Step step)
    {
        if (_blocks.Count != 0)
        {
            Check(cpu, _blocks[(int)(step.A % (uint)_blocks.Count)]);
        }
    }

    private static void Check(Cpu cpu, Block block)
    {
        Require(block.Page.Count == 1, $"{block.Page} has {block.Page.Count} references");
        for (int i = 0; block.Mapped && i < 1 << block.Order; i++)
        {
            Require(cpu.Read<long>(block.Page.Address + ((ulong)i << PageGeometry.PageShift)) == block.Token + i, $"frame {i} of {block.Page} was overwritten");
        }
    }

    private void Kmap(Cpu cpu, Step step)
    {
        if (_blocks.Count == 0)
        {
            return;
        }

        Block block = _blocks[(int)(step.A % (uint)_blocks.Count)];
        VirtualAddress at = cpu.HighMemory.KmapLocal(block.Page);
        if (block.Mapped)
        {
            Require(cpu.Read<long>(at) == block.Token, $"{block.Page} reads otherwise where it is mapped for a while");
        }
        else
        {
            cpu.Write(at + 128, (int)step.B);
            Require(cpu.Read<int>(at + 128) == (int)step.B, $"{block.Page} does not keep what is written");
        }

        cpu.HighMemory.KunmapLocal(at);
    }

    // ---- objects

    private void CreateCache(Step step)
    {
        if (_caches.Count < 12)
        {
            SlabFlags flags = (step.B % 5) switch { 0 => SlabFlags.HwCacheAlign, 1 => SlabFlags.ReclaimAccount, 2 => SlabFlags.RedZone | SlabFlags.ConsistencyChecks, _ => SlabFlags.None };
            if (_machine.Slab.TryCreateCache($"soak-{_cacheNumber++}", 16 + (int)(step.A % 3000), new KmemCacheArgs(), flags, out KmemCache? cache))
            {
                _caches.Add(cache!);
            }
            else
            {
                _tally.Failed++;
            }
        }
    }

    private void DestroyCache(Cpu cpu, Step step)
    {
        if (_caches.Count == 0)
        {
            return;
        }

        KmemCache cache = _caches[(int)(step.A % (uint)_caches.Count)];
        for (int i = _things.Count - 1; i >= 0; i--)
        {
            if (_things[i].Cache == cache)
            {
                FreeThing(cpu, i);
            }
        }

        Require(_machine.Slab.DestroyCache(cache, cpu), $"cache {cache.Name} could not be destroyed");
        _caches.Remove(cache);
    }

    private void Kmalloc(Cpu cpu, Step step)
    {
        if (_things.Count < 6000)
        {
            long size = (step.A % 16) switch { 0 => 8192 + (step.B % 100_000), < 4 => 1024 + (step.B % 7000), _ => 8 + (step.B % 1000) };
            Keep(cpu, cpu.Kmalloc(size, (step.C & 1) == 0 ? Gfp.Kernel | Gfp.NoWarn : Gfp.Atomic | Gfp.NoWarn), size, null);
        }
    }

    private void AllocObject(Cpu cpu, Step step)
    {
        if (_caches.Count != 0 && _things.Count < 6000)
        {
            KmemCache cache = _caches[(int)(step.A % (uint)_caches.Count)];
            Keep(cpu, cpu.Alloc(cache, Gfp.Kernel | Gfp.NoWarn), cache.ObjectSize, cache);
        }
    }

    private void Keep(Cpu cpu, VirtualAddress at, long size, KmemCache? cache)
    {
        if (at == default)
        {
            _tally.Failed++;
            return;
        }

        long token = NextToken();
        cpu.Write(at, token);
        cpu.Write(at + (ulong)((size - 8) & ~7L), token);
        _things.Add(new Thing(at, size, token, cache));
    }

    private void FreeObject(Cpu cpu, Step step)
    {
        if (_things.Count != 0)
        {
            FreeThing(cpu, (int)(step.A % (uint)_things.Count));
        }
    }

    private void FreeThing(Cpu cpu, int number)
    {
        Thing thing = _things[number];
        Require(cpu.Read<long>(thing.Address) == thing.Token && cpu.Read<long>(thing.Address + (ulong)((thing.Size - 8) & ~7L)) == thing.Token, $"the object of {thing.Size} bytes at {thing.Address} was overwritten");
        _things[number] = _things[^1];
        _things.RemoveAt(_things.Count - 1);
        if (thing.Cache is { } cache)
        {
            cpu.Free(cache, thing.Address);
        }
        else
        {
            cpu.Kfree(thing.Address);
        }
    }

    // ---- vmalloc, per-CPU memory

    private void Vmalloc(Cpu cpu, Step step)
    {
        int pages = 1 + (int)(step.A % 40);
        if (_areas.Count >= 60)
        {
            return;
        }

        VirtualAddress at = cpu.Vmalloc((long)pages << PageGeometry.PageShift);
        if (at == default)
        {
            _tally.Failed++;
            return;
        }

        long token = NextToken();
        for (int i = 0; i < pages; i++)
        {
            cpu.Write(at + ((ulong)i << PageGeometry.PageShift), token + i);
        }

        _areas.Add((at, pages, token));
    }

    private void Vfree(Cpu cpu, Step step)
    {
        if (_areas.Count != 0)
        {
            FreeArea(cpu, (int)(step.A % (uint)_areas.Count));
        }
    }

    private void FreeArea(Cpu cpu, int number)
    {
        (VirtualAddress at, int pages, long token) = _areas[number];
        for (int i = 0; i < pages; i++)
        {
            Require(cpu.Read<long>(at + ((ulong)i << PageGeometry.PageShift)) == token + i, $"page {i} of the area at {at} was overwritten");
        }

        _areas.RemoveAt(number);
        cpu.Vfree(at);
    }

    private void PerCpu(Cpu cpu, Step step)
    {
        if (step.Kind == StepKind.AllocPerCpu && _variables.Count < 200)
        {
            PerCpuVar<long> made = cpu.PerCpu.AllocPercpu<long>();
            if (made.IsNull)
            {
                _tally.Failed++;
                return;
            }

            for (int i = 0; i < _machine.Cpus.Count; i++)
            {
                Require(made[i] == 0, $"a new per-CPU variable holds {made[i]}");
            }

            _variables.Add((made, new long[_machine.Cpus.Count]));
            return;
        }

        if (_variables.Count == 0)
        {
            return;
        }

        int number = (int)(step.A % (uint)_variables.Count);
        (PerCpuVar<long> variable, long[] values) = _variables[number];
        for (int i = 0; i < values.Length; i++)
        {
            Require(variable[i] == values[i], $"the copy of CPU {i} holds {variable[i]}, not {values[i]}");
        }

        if (step.Kind == StepKind.FreePerCpu)
        {
            _variables.RemoveAt(number);
            _machine.PerCpu.Free(variable);
            return;
        }

        values[cpu.Id] = NextToken();
        variable[cpu.Id] = values[cpu.Id];
    }

    private sealed record Block(Page Page, int Order, long Token, bool Mapped, bool Compound);

    private sealed record Thing(VirtualAddress Address, long Size, long Token, KmemCache? Cache);
}
