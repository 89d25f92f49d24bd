namespace MemSim.Tests.Snapshots;

/// <content>What a wide program does besides: huge pages of both kinds, contiguous ranges, memory and CPUs that come and go, compressed swap, cgroups in depth, migration, kernel stacks, pools, settings.</content>
internal sealed partial class RandomProgram
{
    private const Prot ReadWrite = Prot.Read | Prot.Write;

    /// <summary>Objects that the program holds for a while; a snapshot keeps them as handles.</summary>
    private readonly List<object> _held = [];

    private readonly List<(Pfn First, int Pages)> _contiguous = [];
    private readonly List<(Pfn First, int Pages, string Area)> _cma = [];
    private readonly List<(Mempool Pool, VirtualAddress Element)> _elements = [];
    private readonly List<VirtualAddress> _kvmalloced = [];

    private string WideStep(int what, Cpu cpu) => what switch
    {
        0 or 1 => InProcess(cpu, p => HugeArea(cpu, p)),
        2 => Khugepaged(cpu),
        3 => HugetlbPool(cpu),
        4 => InProcess(cpu, p => HugetlbArea(cpu, p)),
        5 => Contiguous(cpu),
        6 => Cma(cpu),
        7 => Blocks(cpu),
        8 => SwitchCpu(),
        9 => ZswapSetting(),
        10 => ZramFile(cpu),
        11 => SwitchSwap(cpu),
        12 or 13 => DeepGroup(cpu),
        14 => Stack(cpu),
        15 => Pool(cpu),
        16 => Setting(),
        17 or 18 => InProcess(cpu, p => Advise(p)),
        19 => InProcess(cpu, p => Migrate(cpu, p)),
        20 => Kernel(cpu),
        21 => HeldFile(cpu),
        22 => Cache(cpu),
        23 => Life(cpu),
        24 => Movable(cpu),
        _ => InInterrupt(cpu),
    };

    private void EquipWide()
    {
        Zram zram = new(Machine, "zram0", "32M");
        _handles.AddRange([zram, Machine.Files.MountHugetlbfs(), Machine.Migration.CreateMovablePool()]);
        Machine.Swap.SwapOn(zram.Disk, priority: 10).Succeeded.ToString();
        Machine.Swap.Zswap.Enabled = true;
    }

    private void CopyWide(RandomProgram other, IReadOnlyList<object> handles)
    {
        for (int i = 0; i < other._held.Count; i++)
        {
            _held.Add(handles[_handles.Count + i]);
        }

        _contiguous.AddRange(other._contiguous);
        _cma.AddRange(other._cma);
        _kvmalloced.AddRange(other._kvmalloced);
        _elements.AddRange(other._elements.Select(e => ((Mempool)_held[other._held.IndexOf(e.Pool)], e.Element)));
    }

    private string Pick(params ReadOnlySpan<string> of) => of[_random.Next(of.Length)];

    private string HugeArea(Cpu cpu, Process process)
    {
        ulong huge = Machine.HugePages.IsAvailable ? Machine.HugePages.PageSize.Bytes : 2 << 20;
        List<(int Pid, VirtualAddress Start, int Pages)> own = _mapped.FindAll(m => m.Pid == process.Pid && m.Pages >= 1024);
        if (own.Count < 2)
        {
            int pages = (int)(3 * huge >> 12);
            Result<VirtualAddress> mapped = process.Mm.Mmap((long)pages << 12, ReadWrite);
            if (!mapped.Succeeded)
            {
                return $"huge {mapped}";
            }

            _mapped.Add((process.Pid, mapped.Value, pages));
            Errno advised = process.Mm.Madvise(mapped, (long)pages << 12, _random.Next(4) == 0 ? MemoryAdvice.NoHugePage : MemoryAdvice.HugePage);
            for (int i = 0; i < 6; i++)
            {
                cpu.Write(mapped.Value + ((long)_random.Next(pages) << 12), _random.Next());
            }

            return $"huge {mapped} {advised}";
        }

        (int pid, VirtualAddress start, int count) = own[_random.Next(own.Count)];
        long from = (long)_random.Next(count - 20) << 12;
        long length = (long)(1 + _random.Next(20)) << 12;
        switch (_random.Next(5))
        {
            case 0:
                return $"huge protect {process.Mm.Mprotect(start + from, length, Prot.Read)} {process.Mm.Mprotect(start + from, length, ReadWrite)}";
            case 1:
                return $"huge zap {process.Mm.Madvise(start + from, length, MemoryAdvice.DontNeed)}";
            case 2:
                return $"huge out {process.Mm.Madvise(start + from, (long)huge, MemoryAdvice.PageOut)}";
            case 3:
                _mapped.Remove((pid, start, count));
                return $"huge unmap {process.Mm.Munmap(start, (long)count << 12)}";
            default:
                int sum = 0;
                for (int i = 0; i < 20; i++)
                {
                    VirtualAddress at = start + ((long)_random.Next(count) << 12);
                    cpu.Write(at, cpu.Read<int>(at) + 1);
                    sum += cpu.Read<int>(at);
                }

                return $"huge touch {sum}";
        }
    }

    private string Khugepaged(Cpu cpu)
    {
        if (!Machine.HugePages.IsAvailable)
        {
            return "no huge pages";
        }

        switch (_random.Next(4))
        {
            case 0:
                Machine.HugePages.Enabled = _random.Next(2) == 0 ? TransparentHugePages.Always : TransparentHugePages.Madvise;
                return Machine.HugePages.Enabled.ToString();
            case 1:
                Machine.HugePages.Defrag = (HugePageDefrag)_random.Next(Enum.GetValues<HugePageDefrag>().Length);
                return Machine.HugePages.Defrag.ToString();
            case 2:
                Machine.HugePages.Khugepaged.MaxEmpty = _random.Next(512);
                return "max_ptes_none";
            default:
                Machine.HugePages.Khugepaged.Run(cpu);
                return $"collapsed {Machine.HugePages.Khugepaged.PagesCollapsed} deferred {Machine.HugePages.DeferredSplits}";
        }
    }

    private string HugetlbPool(Cpu cpu)
    {
        HugetlbPool pool = Machine.Hugetlb.Pool;
        if (_random.Next(3) == 0)
        {
            pool.Overcommit = _random.Next(3);
        }

        return $"pool {pool.Resize(cpu, _random.Next(5))} {pool.Total} {pool.Free} {pool.Reserved} {pool.Surplus}";
    }

    private string HugetlbArea(Cpu cpu, Process process)
    {
        long huge = (long)Machine.Hugetlb.Pool.PageSize.Bytes;
        MapFlags flags = MapFlags.HugeTlb | MapFlags.Anonymous | (_random.Next(2) == 0 ? MapFlags.Private : MapFlags.Shared);
        Result<VirtualAddress> mapped = process.Mm.Mmap(default, huge, ReadWrite, flags);
        if (!mapped.Succeeded)
        {
            return $"hugetlb {mapped}";
        }

        cpu.Write(mapped.Value + _random.Next((int)huge - 8), _random.Next());
        if (_random.Next(2) == 0)
        {
            return $"hugetlb {mapped}, left to the end of the process";
        }

        return $"hugetlb {mapped} {process.Mm.Munmap(mapped, huge)}";
    }

    private string Contiguous(Cpu cpu)
    {
        if (_contiguous.Count > 2)
        {
            (Pfn first, int pages) = Take(_contiguous);
            Machine.Cma.FreeContigRange(cpu, Machine.GetPage(first), pages);
            return $"range {first} back";
        }

        int wanted = 1 + _random.Next(1500);
        Page range = Machine.Cma.AllocContigPages(cpu, wanted, Gfp.Kernel | Gfp.NoWarn);
        if (!range.IsNull)
        {
            _contiguous.Add((range.Pfn, wanted));
        }

        return range.IsNull ? $"no range of {wanted}" : $"range {range.Pfn} of {wanted}";
    }

    private string Cma(Cpu cpu)
    {
        if (Machine.Cma.Areas.Count == 0)
        {
            return "no area";
        }

        if (_cma.Count > 3 || (_cma.Count > 0 && _random.Next(2) == 0))
        {
            (Pfn first, int pages, string name) = Take(_cma);
            return $"cma {first} back {Machine.Cma.Free(cpu, Machine.Cma.Get(name), Machine.GetPage(first), pages)}";
        }

        CmaArea area = Machine.Cma.Areas[_random.Next(Machine.Cma.Areas.Count)];
        int wanted = 1 + _random.Next(300);
        Page taken = Machine.Cma.Alloc(cpu, area, wanted, _random.Next(4));
        if (!taken.IsNull)
        {
            _cma.Add((taken.Pfn, wanted, area.Name));
        }

        return $"cma {(taken.IsNull ? "none" : taken.Pfn.ToString())} of {wanted}, {area.UsedPages} {area.BusyRetries}";
    }

    private string Blocks(Cpu cpu)
    {
        MemoryHotplug memory = Machine.Hotplug.Memory;
        if (memory.Blocks.Count == 0)
        {
            return "no blocks";
        }

        int block = memory.Blocks[_random.Next(memory.Blocks.Count)].Id;
        switch (_random.Next(5))
        {
            case 0:
                return $"block {block} offline {memory.Offline(block, cpu)}";
            case 1 or 2:
                return $"block {block} online {memory.Online(block, (MemoryOnlineType)_random.Next(3), cpu)}";
            case 3:
                return $"plugged {memory.Add(ByteSize.FromMiB(128), out int first, 0, cpu)} {first}";
            default:
                return $"block {block} pulled {memory.Remove(block, cpu)}";
        }
    }

    private string SwitchCpu()
    {
        if (Machine.Cpus[1].IsOnline)
        {
            Machine.Hotplug.OfflineCpu(1);
        }
        else
        {
            Machine.Hotplug.OnlineCpu(1);
        }

        return Machine.Cpus[1].IsOnline.ToString();
    }

    private string ZswapSetting()
    {
        Zswap zswap = Machine.Swap.Zswap;
        string parameter = Pick("enabled", "compressor", "zpool", "max_pool_percent", "accept_threshold_percent", "shrinker_enabled", "same_filled_pages_enabled");
        string value = parameter switch
        {
            "compressor" => Pick("lz4", "lzo"),
            "zpool" => Pick("zbud", "zsmalloc"),
            "max_pool_percent" => Pick("1", "2", "5", "20"),
            "accept_threshold_percent" => Pick("50", "90"),
            "enabled" => Pick("Y", "Y", "Y", "N"),
            _ => Pick("Y", "N"),
        };
        return $"zswap {parameter} {value} {zswap.Write(parameter, value)} {zswap}\n{zswap.Statistics}";
    }

    private string ZramFile(Cpu cpu)
    {
        Zram zram = (Zram)_handles[5];
        string answer = _random.Next(5) switch
        {
            0 => $"compact {zram.Write("compact", "1", cpu)}",
            1 => $"idle {zram.Write("idle", "all", cpu)}",
            2 => $"limit {zram.Write("mem_limit", Pick("1M", "4M", "0"), cpu)}",
            3 => $"used_max {zram.Write("mem_used_max", "0", cpu)}",
            _ => $"reset {zram.Write("reset", "1", cpu)}",
        };
        return $"zram {answer} {zram["mm_stat"]} {zram["io_stat"]}";
    }

    private string SwitchSwap(Cpu cpu)
    {
        BlockDevice zram = ((Zram)_handles[5]).Disk;
        if (_random.Next(2) == 0 && Machine.Swap.Areas.FirstOrDefault(a => a.Name.Contains(zram.Name, StringComparison.Ordinal)) is { } on)
        {
            return $"swapoff zram {Machine.Swap.SwapOff(cpu, on)}";
        }

        return Machine.Swap.Areas.Any(a => a.Name.Contains(zram.Name, StringComparison.Ordinal)) ? "zram is on" : $"swapon zram {Machine.Swap.SwapOn(zram, priority: 10).Error}";
    }
}
