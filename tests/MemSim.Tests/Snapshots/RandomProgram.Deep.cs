using System.Globalization;

namespace MemSim.Tests.Snapshots;

/// <content>What a wide program does with cgroups, tasks, pools, files that stay open, caches of its own and settings.</content>
internal sealed partial class RandomProgram
{
    private string DeepGroup(Cpu cpu)
    {
        if (_groups.Count == 0)
        {
            return "no groups";
        }

        string parent = _groups[_random.Next(_groups.Count)];
        Cgroup group = Machine.Cgroups.Find(parent)!;
        switch (_random.Next(8))
        {
            case 0 when _groups.Count < 8:
                string path = $"{parent}/c{_names++}";
                Result<Cgroup> made = Machine.Cgroups.TryCreate(path);
                if (made.Succeeded)
                {
                    _groups.Add(path);
                }

                return $"{path} {made.Error}";
            case 1 when parent.LastIndexOf('/') > 0:
                foreach (Process process in Machine.Processes.Where(p => p.IsAlive && p.Cgroup == group))
                {
                    process.Cgroup = Machine.Cgroups.Root;
                }

                Errno removed = Machine.Cgroups.Remove(parent);
                if (removed == Errno.None)
                {
                    _ = _groups.Remove(parent);
                }

                return $"{parent} removed {removed}";
            case 2 when Machine.Processes.Count > 0:
                Process moved = Machine.Processes.ElementAt(_random.Next(Machine.Processes.Count));
                if (moved.IsAlive)
                {
                    moved.Cgroup = group;
                }

                return $"{moved.Pid} to {parent}";
            case 3:
                return $"{parent} swap.max {group.Write("memory.swap.max", Pick("max", "2M", "0"), cpu)}";
            case 4:
                return $"{parent} zswap {group.Write("memory.zswap.max", Pick("max", "512K", "0"), cpu)} {group.Write("memory.zswap.writeback", Pick("0", "1"), cpu)}";
            case 5:
                return $"{parent} low {group.Write("memory.low", $"{_random.Next(6)}M", cpu)} min {group.Write("memory.min", $"{_random.Next(3)}M", cpu)}";
            case 6:
                return $"{parent} reclaim {group.Write("memory.reclaim", "1M", cpu)} {group.CurrentBytes} {group.SwapBytes}";
            default:
                return $"{parent} max {group.Write("memory.max", Pick("max", "max", "6M"), cpu)} {group["memory.stat"]}";
        }
    }

    private string Stack(Cpu cpu)
    {
        if (_held.OfType<KernelTask>().Where(t => t is not Process).ToList() is { Count: > 4 } tasks)
        {
            KernelTask task = tasks[_random.Next(tasks.Count)];
            _ = _held.Remove(task);
            Machine.Stacks.Free(cpu, task);
            return $"{task.Name} ends, {Machine.Stacks.Cached} cached";
        }

        KernelTask worker = new($"w{_names++}", 10_000 + _names);
        KernelStack? stack = Machine.Stacks.Create(cpu, worker);
        if (stack is not null)
        {
            _held.Add(worker);
        }

        return $"{worker.Name} {stack?.Bottom}";
    }

    private string Pool(Cpu cpu)
    {
        List<Mempool> pools = [.. _held.OfType<Mempool>()];
        if (pools.Count < 2)
        {
            Mempool? made = _random.Next(2) == 0 ? Machine.Slab.CreateMempool(1 + _random.Next(6), 30 + _random.Next(500), cpu) : Machine.Slab.CreatePageMempool(1 + _random.Next(3), 1, cpu);
            if (made is not null)
            {
                _held.Add(made);
            }

            return $"pool {made?.Minimum}";
        }

        Mempool pool = pools[_random.Next(pools.Count)];
        switch (_random.Next(4))
        {
            case 0:
                return $"resize {pool.Resize(cpu, 1 + _random.Next(9))}";
            case 1 when _elements.Count > 0:
                (Mempool of, VirtualAddress element) = Take(_elements);
                of.Free(cpu, element);
                return $"element {element} back, {of.Reserved}";
            case 2 when pool.Outstanding == 0:
                pool.Destroy(cpu);
                _ = _held.Remove(pool);
                return "pool gone";
            default:
                VirtualAddress taken = pool.Alloc(cpu, Gfp.Kernel);
                _elements.Add((pool, taken));
                return $"element {taken} {pool.Outstanding} {pool.ServedFromReserve}";
        }
    }

    private string Setting()
    {
        (string Name, int Least, int Most)[] all =
        [
            ("vm.min_free_kbytes", 500, 3000), ("vm.watermark_scale_factor", 10, 300), ("vm.swappiness", 0, 100), ("vm.percpu_pagelist_high_fraction", 8, 200), ("vm.vfs_cache_pressure", 50, 200),
            ("vm.overcommit_memory", 0, 1), ("vm.watermark_boost_factor", 0, 20000), ("vm.extfrag_threshold", 0, 1000), ("vm.compact_unevictable_allowed", 0, 1), ("vm.dirty_ratio", 5, 60), ("vm.page-cluster", 0, 5),
        ];
        (string name, int least, int most) = all[_random.Next(all.Length)];
        string value = _random.Next(least, most + 1).ToString(CultureInfo.InvariantCulture);
        try
        {
            Machine.Sysctl.Set(name, value);
        }
        catch (ArgumentException)
        {
            return $"{name} is not there";
        }

        return $"{name} = {value}";
    }

    private string Advise(Process process)
    {
        List<(int Pid, VirtualAddress Start, int Pages)> own = _mapped.FindAll(m => m.Pid == process.Pid);
        if (own.Count == 0)
        {
            return "nothing mapped";
        }

        (_, VirtualAddress start, int pages) = own[_random.Next(own.Count)];
        long part = (long)(1 + _random.Next(pages)) << 12;
        MemoryAdvice[] all =
        [
            MemoryAdvice.PageOut, MemoryAdvice.PageOut, MemoryAdvice.PageOut, MemoryAdvice.Cold, MemoryAdvice.Free, MemoryAdvice.PopulateRead, MemoryAdvice.PopulateWrite, MemoryAdvice.Random, MemoryAdvice.Sequential,
            MemoryAdvice.Remove, MemoryAdvice.DontFork, MemoryAdvice.DoFork, MemoryAdvice.WipeOnFork, MemoryAdvice.KeepOnFork,
        ];
        MemoryAdvice advice = all[_random.Next(all.Length)];
        return $"{advice} {process.Mm.Madvise(start, part, advice)}";
    }

    private string Migrate(Cpu cpu, Process process)
    {
        List<(int Pid, VirtualAddress Start, int Pages)> own = _mapped.FindAll(m => m.Pid == process.Pid);
        if (own.Count == 0 || Machine.Nodes.Count < 2)
        {
            return "one node";
        }

        (_, VirtualAddress start, int pages) = own[_random.Next(own.Count)];
        int node = _random.Next(2);
        switch (_random.Next(3))
        {
            case 0:
                MemoryPolicy policy = _random.Next(3) switch { 0 => MemoryPolicy.Bind([node]), 1 => MemoryPolicy.Interleave([0, 1]), _ => MemoryPolicy.Preferred(node) };
                return $"mbind {process.Mm.Mbind(start, (long)pages << 12, policy)}";
            case 1:
                return $"migrate_pages {ProcessMigration.MigratePages(process, cpu, [node], [1 - node])}";
            default:
                VirtualAddress[] asked = [.. Enumerable.Range(0, 8).Select(_ => start + ((long)_random.Next(pages) << 12))];
                int[] status = new int[asked.Length];
                Errno moved = ProcessMigration.MovePages(process, cpu, asked, [.. asked.Select(_ => node)], status);
                return $"move_pages {moved} {string.Join(' ', status)}";
        }
    }

    private string Kernel(Cpu cpu)
    {
        switch (_random.Next(6))
        {
            case 0 when _objects.Count > 0:
                VirtualAddress later = Take(_objects);
                if (Machine.Slab.Implementation == "slab" || later.IsNull)
                {
                    cpu.Kfree(later);
                    return "freed at once";
                }

                cpu.Slab.KfreeRcu(later);
                return $"{later} after a grace period";
            case 1:
                cpu.Slab.RcuBarrier();
                return "barrier";
            case 2:
                VirtualAddress large = cpu.Slab.Kvmalloc(1 + _random.Next(3_000_000), Gfp.Kernel | Gfp.NoWarn);
                if (!large.IsNull)
                {
                    _kvmalloced.Add(large);
                }

                return $"kvmalloc {large}";
            case 3 when _kvmalloced.Count > 0:
                cpu.Slab.Kvfree(Take(_kvmalloced));
                return "kvfree";
            case 4:
                VirtualAddress area = cpu.Vm.VmallocHuge(_random.Next(1, 5_000_000));
                if (!area.IsNull)
                {
                    _areas.Add(area);
                }

                return $"vmalloc_huge {area}";
            default:
                cpu.Vm.VmUnmapAliases();
                Machine.Memory.DrainAllPages();
                return "drained";
        }
    }

    private string HeldFile(Cpu cpu)
    {
        List<OpenFile> open = [.. _held.OfType<OpenFile>()];
        if (open.Count < 4)
        {
            SimFileSystem files = (SimFileSystem)_handles[Pick("0", "1", "6")[0] - '0'];
            string name = $"h{_random.Next(3)}";
            Result<OpenFile> opened = files.TryFind(name, out _) ? files.Open(name, OpenMode.ReadWrite, cpu) : files.Create(name, OpenMode.ReadWrite, cpu);
            if (opened.Succeeded)
            {
                _held.Add(opened.Value);
            }

            return $"{name} {opened.Error}";
        }

        OpenFile file = open[_random.Next(open.Count)];
        byte[] bytes = new byte[_random.Next(20_000)];
        long offset = _random.Next(400_000);
        switch (_random.Next(6))
        {
            case 0:
                _ = _held.Remove(file);
                file.Close(cpu);
                return "closed";
            case 1:
                return $"read-ahead {cpu.Files.ReadAhead(file, offset, 200_000)}";
            case 2:
                return $"hole {cpu.Files.PunchHole(file, offset, 50_000)}";
            case 3:
                Result<int> read = cpu.Files.Read(file, offset, bytes);
                return $"read {read} {bytes.Sum(b => (long)b)}";
            case 4:
                SimFileSystem files = (SimFileSystem)_handles[_random.Next(2)];
                return $"delete {files.Delete(cpu, $"h{_random.Next(3)}")}";
            default:
                _random.NextBytes(bytes);
                return $"write {cpu.Files.Write(file, offset, bytes)}";
        }
    }

    private string Cache(Cpu cpu)
    {
        List<KmemCache> caches = [.. _held.OfType<KmemCache>()];
        if (caches.Count < 3)
        {
            SlabFlags[] all = [SlabFlags.None, SlabFlags.HwCacheAlign, SlabFlags.ReclaimAccount, SlabFlags.RedZone | SlabFlags.Poison | SlabFlags.StoreUser | SlabFlags.ConsistencyChecks];
            if (Machine.Slab.TryCreateCache($"made{_names++}", 20 + _random.Next(2000), new KmemCacheArgs(), all[_random.Next(all.Length)], out KmemCache? made))
            {
                _held.Add(made);
            }

            return $"cache {made?.Name}";
        }

        KmemCache cache = caches[_random.Next(caches.Count)];
        switch (_random.Next(4))
        {
            case 0:
                _ = _held.Remove(cache);
                return $"{cache.Name} destroyed {Machine.Slab.DestroyCache(cache, cpu)}";
            case 1:
                return $"{cache.Name} shrunk {Machine.Slab.ShrinkCache(cache, cpu)}";
            case 2:
                return Sheaf(cpu);
            default:
                VirtualAddress[] bulk = new VirtualAddress[1 + _random.Next(60)];
                int got = cpu.Slab.AllocBulk(cache, Gfp.Kernel, bulk);
                string text = $"{cache.Name} {got} {bulk[0]} {bulk[^1]}";
                if (got != 0)
                {
                    cpu.Slab.FreeBulk(cache, bulk);
                }

                return text;
        }
    }

    private string Sheaf(Cpu cpu)
    {
        if (_held.OfType<SlabSheaf>().FirstOrDefault() is not { } sheaf)
        {
            int count = 1 + _random.Next(20);
            try
            {
                SlabSheaf? made = cpu.Slab.PrefillSheaf((KmemCache)_handles[2], Gfp.Kernel, count);
                if (made is not null)
                {
                    _held.Add(made);
                }

                return $"sheaf {made?.Count}";
            }
            catch (InvalidOperationException e)
            {
                return e.Message;
            }
        }

        VirtualAddress from = cpu.Slab.AllocFromSheaf(sheaf);
        if (!from.IsNull && _random.Next(3) != 0)
        {
            _cached.Add((2, from));
            return $"from the sheaf {from}, {sheaf.Count} left";
        }

        if (!from.IsNull)
        {
            cpu.Free(sheaf.Cache, from);
        }

        _ = _held.Remove(sheaf);
        cpu.Slab.ReturnSheaf(sheaf);
        return $"sheaf back, {from}";
    }

    private string Life(Cpu cpu)
    {
        Process? process = Machine.Processes.Count == 0 ? null : Machine.Processes.ElementAt(_random.Next(Machine.Processes.Count));
        if (process is null || !process.IsAlive || process.RunsOn is not null)
        {
            return "nobody";
        }

        switch (_random.Next(4))
        {
            case 0:
                process.OomScoreAdj = _random.Next(-500, 1000);
                return $"{process.Pid} {process.OomScore}";
            case 1:
                _mapped.RemoveAll(m => m.Pid == process.Pid);
                return $"{process.Pid} exec {process.Exec($"e{_names++}", cpu)}";
            case 2:
                process.Kill(cpu);
                _mapped.RemoveAll(m => m.Pid == process.Pid);
                return $"{process.Pid} killed {process.State}";
            default:
                return $"{process.Pid} {process.Mm.MlockAll(_random.Next(3) == 0 ? LockAll.Current : LockAll.Current | LockAll.OnFault)} {process.MinorFaults} {process.MajorFaults}";
        }
    }

    private string Movable(Cpu cpu)
    {
        MovablePool pool = (MovablePool)_handles[7];
        if (pool.Count > 200)
        {
            pool.FreeAll(cpu);
            return $"pool empty after {pool.Moves} moves";
        }

        int got = 0;
        for (int i = 0; i < 40; i++)
        {
            got = pool.Allocate(cpu);
        }

        return $"pool {got} {pool.Count}";
    }

    private string InInterrupt(Cpu cpu)
    {
        using ContextScope scope = _random.Next(2) == 0 ? cpu.HardIrq() : cpu.SoftIrq();
        Page page = cpu.AllocPages(Gfp.Atomic | Gfp.NoWarn, _random.Next(3));
        if (page.IsNull)
        {
            return "none";
        }

        VirtualAddress window = cpu.HighMemory.KmapLocal(page);
        cpu.Write(window, _random.Next());
        cpu.HighMemory.KunmapLocal(window);
        string answer = page.Pfn.ToString();
        cpu.FreePages(page, page.Order);
        return answer;
    }
}
