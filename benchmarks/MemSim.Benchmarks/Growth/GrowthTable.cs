using MemSim.Benchmarks.Harness;

namespace MemSim.Benchmarks.Growth;

/// <summary>What grows, and which calls are followed while it does.</summary>
internal static class GrowthTable
{
    private const long GiB = 1L << 30;
    private const long PageBytes = 4096;
    private const string SmallPages = "transparent_hugepage=never";

    public static IReadOnlyList<GrowthAxis> All { get; } =
    [
        new("live blocks", [100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000], LiveBlocks),
        new("free-list length", [100, 1_000, 10_000, 100_000, 1_000_000], FreeList),
        new("RAM, GiB", [1, 4, 16, 64, 256, 1024, 4096], Ram),
        new("CPUs", [1, 4, 16, 64, 256], Cpus),
        new("nodes", [1, 2, 4, 8, 16, 32], Nodes),
        new("areas of a process", [10, 100, 1_000, 10_000, 100_000], Areas),
        new("processes", [1, 10, 100, 1_000, 10_000], Processes),
        new("files", [1, 10, 100, 1_000, 10_000], Files),
        new("cached pages of a file", [100, 1_000, 10_000, 100_000], CachedPages),
        new("pages of a process", [100, 1_000, 10_000, 100_000], ProcessPages),
        new("cgroups", [1, 10, 100, 1_000], Cgroups),
    ];

    private static ByteSize Bytes(long bytes) => new((ulong)bytes);

    private static GrowthCall Pair(Cpu cpu) => new("page pair", false, () => cpu.FreePage(cpu.AllocPage(Gfp.Kernel)));

    private static GrowthCall Text(string name, bool linear, Func<string> text) => new(name, linear, () => _ = text().Length);

    private static GrowthCall Verify(Machine machine, bool linear) => new("Verify", linear, machine.Verify);

    private static GrowthState LiveBlocks(long blocks)
    {
        Machine machine = Machine.Boot(MachineSpec.X86_64(Bytes(Math.Max(GiB, blocks * PageBytes * 3 / 2))).WithoutContents());
        Cpu cpu = machine.Cpus[0];
        Page[] live = new Page[blocks];
        for (long i = 0; i < blocks; i++)
        {
            live[i] = cpu.AllocPage(Gfp.Kernel);
        }

        Xorshift64 random = new();
        return new GrowthState(machine,
        [
            new("random free and page", false, () =>
            {
                ref Page page = ref live[random.Next() % (ulong)blocks];
                cpu.FreePage(page);
                page = cpu.AllocPage(Gfp.Kernel);
            }),
            Text("buddyinfo", false, () => machine.Proc.BuddyInfo),
            Verify(machine, true),
        ]);
    }

    /// <summary>Every second page free: lists of single pages of that length, and nothing above.</summary>
    private static GrowthState FreeList(long length)
    {
        Machine machine = Machine.Boot(MachineSpec.X86_64(Bytes(Math.Max(GiB, length * PageBytes * 3))).WithoutContents());
        Cpu cpu = machine.Cpus[0];
        List<Page> all = [];
        for (long i = 0; i < 2 * length; i++)
        {
            all.Add(cpu.AllocPage(Gfp.Kernel));
        }

        for (int i = 0; i < all.Count; i += 2)
        {
            cpu.FreePage(all[i]);
        }

        Page[] batch = new Page[256];
        return new GrowthState(machine,
        [
            Pair(cpu),
            new("256 pages and back", false, () =>
            {
                for (int i = 0; i < batch.Length; i++)
                {
                    batch[i] = cpu.AllocPage(Gfp.Kernel);
                }

                foreach (Page page in batch)
                {
                    cpu.FreePage(page);
                }
            }),
            Text("buddyinfo", false, () => machine.Proc.BuddyInfo),
            Text("pagetypeinfo", true, () => machine.Proc.PageTypeInfo),
        ]);
    }

    private static GrowthState Ram(long gibibytes)
    {
        MachineSpec spec = MachineSpec.X86_64(Bytes(gibibytes * GiB)).WithoutContents();
        Machine machine = Machine.Boot(spec);
        return new GrowthState(machine,
        [
            Pair(machine.Cpus[0]),
            new("boot", true, () => Machine.Boot(spec).Dispose()),
            Verify(machine, true),
            Text("buddyinfo", false, () => machine.Proc.BuddyInfo),
            Text("zoneinfo", false, () => machine.Proc.ZoneInfo),
            Text("meminfo", false, () => machine.Proc.MemInfo),
            Text("vmstat", false, () => machine.Proc.VmStat),
            new("write min_free_kbytes", true, () => machine.Sysctl.Set("min_free_kbytes", "65536")),
            new("Snapshot", true, () => _ = machine.Snapshot()),
        ]);
    }

    private static GrowthState Cpus(long cpus)
    {
        Machine machine = Machine.Boot(MachineSpec.X86_64("4G", cpus: (int)cpus).WithoutContents());
        return new GrowthState(machine,
        [
            Pair(machine.Cpus[^1]),
            new("kmalloc pair", false, () => machine.Cpus[^1].Kfree(machine.Cpus[^1].Kmalloc(64, Gfp.Kernel))),
            Text("zoneinfo", true, () => machine.Proc.ZoneInfo),
            Text("meminfo", true, () => machine.Proc.MemInfo),
            Text("vmstat", true, () => machine.Proc.VmStat),
            Verify(machine, true),
        ]);
    }

    private static GrowthState Nodes(long nodes)
    {
        Machine machine = Machine.Boot(MachineSpec.X86_64("32G", cpus: 2).WithNodes([.. Enumerable.Repeat(Bytes(32 * GiB / nodes), (int)nodes)]).WithoutContents());
        return new GrowthState(machine,
        [
            Pair(machine.Cpus[0]),
            Text("buddyinfo", true, () => machine.Proc.BuddyInfo),
            Text("zoneinfo", true, () => machine.Proc.ZoneInfo),
            Text("meminfo", true, () => machine.Proc.MemInfo),
            Verify(machine, true),
        ]);
    }

    private static (Machine Machine, Cpu Cpu, Process Process) WithProcess(string memory)
    {
        Machine machine = Machine.Boot(MachineSpec.X86_64(memory, cpus: 1).WithCommandLine(SmallPages));
        Process process = machine.CreateProcess("grower");
        Cpu cpu = machine.Cpus[0];
        _ = cpu.Run(process);
        return (machine, cpu, process);
    }

    private static GrowthState Areas(long areas)
    {
        (Machine machine, Cpu cpu, Process process) = WithProcess("2G");
        machine.Sysctl.Set("max_map_count", "2000000");
        VirtualAddress[] at = new VirtualAddress[areas];
        for (long i = 0; i < areas; i++)
        {
            // Neighbours of different rights do not merge.
            at[i] = process.Mm.Mmap(2 * PageBytes, (i & 1) == 0 ? Prot.Read | Prot.Write : Prot.Read).Value;
        }

        Xorshift64 random = new();
        VirtualAddress Any() => at[random.Next() % (ulong)areas & ~1UL];
        return new GrowthState(machine,
        [
            new("mmap and munmap", false, () => process.Mm.Munmap(process.Mm.Mmap(PageBytes, Prot.None), PageBytes)),
            new("fault and drop", false, () =>
            {
                VirtualAddress address = Any();
                cpu.Write(address, 1);
                _ = process.Mm.Madvise(address, PageBytes, MemoryAdvice.DontNeed);
            }),
            new("mprotect there and back", false, () =>
            {
                VirtualAddress address = Any();
                _ = process.Mm.Mprotect(address, PageBytes, Prot.Read | Prot.Execute);
                _ = process.Mm.Mprotect(address, PageBytes, Prot.Read | Prot.Write);
            }),
            new("fork and exit", true, () => ForkAndExit(process)),
            Text("maps", true, () => process.Maps),
            Text("statm", false, () => process.Statm),
        ]);
    }

    private static void ForkAndExit(Process process)
    {
        Process child = process.Fork();
        child.Exit();
        _ = process.Wait();
    }

    private static GrowthState Processes(long processes)
    {
        (Machine machine, Cpu cpu, Process process) = WithProcess("4G");
        for (long i = 1; i < processes; i++)
        {
            _ = machine.CreateProcess("other");
        }

        VirtualAddress buffer = process.Mm.Mmap(PageBytes, Prot.Read | Prot.Write).Value;
        return new GrowthState(machine,
        [
            new("fork and exit", false, () => ForkAndExit(process)),
            new("fault and drop", false, () =>
            {
                cpu.Write(buffer, 1);
                _ = process.Mm.Madvise(buffer, PageBytes, MemoryAdvice.DontNeed);
            }),
            Text("meminfo", false, () => machine.Proc.MemInfo),
            Text("slabinfo", false, () => machine.Proc.SlabInfo),
            Text("status", false, () => process.Status),
            Verify(machine, true),
        ]);
    }

    private static GrowthState Files(long files)
    {
        (Machine machine, Cpu cpu, _) = WithProcess("2G");
        DiskFileSystem disk = machine.Files.Mount(new BlockDevice("sda", "8G"));
        byte[] page = new byte[PageBytes];
        OpenFile[] open = new OpenFile[files];
        for (long i = 0; i < files; i++)
        {
            open[i] = disk.Create($"file{i}").Value;
            _ = cpu.Files.Write(open[i], 0, page);
        }

        cpu.Files.Sync();

        Xorshift64 random = new();
        return new GrowthState(machine,
        [
            new("read a cached page", false, () => _ = cpu.Files.Read(open[random.Next() % (ulong)files], 0, page)),
            new("open", false, () => disk.Open("file0").Value.Close(cpu)),
            new("write and fsync", false, () =>
            {
                OpenFile file = open[random.Next() % (ulong)files];
                _ = cpu.Files.Write(file, 0, page);
                _ = cpu.Files.Fsync(file);
            }),
            Text("meminfo", false, () => machine.Proc.MemInfo),
            new("sync", false, cpu.Files.Sync),
        ]);
    }

    private static GrowthState CachedPages(long pages)
    {
        (Machine machine, Cpu cpu, Process process) = WithProcess("2G");
        DiskFileSystem disk = machine.Files.Mount(new BlockDevice("sda", "8G"));
        byte[] page = new byte[PageBytes];
        OpenFile file = disk.Create("file").Value;
        for (long i = 0; i < pages; i++)
        {
            _ = cpu.Files.Write(file, i * PageBytes, page);
        }

        _ = cpu.Files.Fsync(file);
        VirtualAddress mapped = process.Mm.Mmap(default, pages * PageBytes, Prot.Read, MapFlags.Shared, file).Value;
        Xorshift64 random = new();
        return new GrowthState(machine,
        [
            new("read a cached page", false, () => _ = cpu.Files.Read(file, (long)(random.Next() % (ulong)pages) * PageBytes, page)),
            new("fault and drop", false, () =>
            {
                VirtualAddress address = mapped + ((long)(random.Next() % (ulong)pages) * PageBytes);
                _ = cpu.Read<int>(address);
                _ = process.Mm.Madvise(address, PageBytes, MemoryAdvice.DontNeed);
            }),
            new("write and fsync a page", false, () =>
            {
                _ = cpu.Files.Write(file, (long)(random.Next() % (ulong)pages) * PageBytes, page);
                _ = cpu.Files.Fsync(file);
            }),
            Text("meminfo", false, () => machine.Proc.MemInfo),
        ]);
    }

    /// <summary>Pages of a process: as many on the LRU lists.</summary>
    private static GrowthState ProcessPages(long pages)
    {
        (Machine machine, Cpu cpu, Process process) = WithProcess("2G");
        VirtualAddress buffer = process.Mm.Mmap(pages * PageBytes, Prot.Read | Prot.Write).Value;
        for (long i = 0; i < pages; i++)
        {
            cpu.Write(buffer + (i * PageBytes), i);
        }

        Xorshift64 random = new();
        return new GrowthState(machine,
        [
            new("fault and drop", false, () =>
            {
                VirtualAddress address = buffer + ((long)(random.Next() % (ulong)pages) * PageBytes);
                _ = process.Mm.Madvise(address, PageBytes, MemoryAdvice.DontNeed);
                cpu.Write(address, 1);
            }),
            new("write a mapped page", false, () => cpu.Write(buffer + ((long)(random.Next() % (ulong)pages) * PageBytes), 1)),
            new("fork and exit", true, () => ForkAndExit(process)),
            Text("statm", false, () => process.Statm),
            Text("smaps", true, () => process.Smaps),
            Verify(machine, true),
        ]);
    }

    private static GrowthState Cgroups(long cgroups)
    {
        (Machine machine, Cpu cpu, Process process) = WithProcess("2G");
        for (long i = 0; i < cgroups; i++)
        {
            _ = machine.Cgroups.Create($"/group{i}");
        }

        process.Cgroup = machine.Cgroups.Find("/group0")!;
        VirtualAddress buffer = process.Mm.Mmap(PageBytes, Prot.Read | Prot.Write).Value;
        return new GrowthState(machine,
        [
            new("fault and drop", false, () =>
            {
                cpu.Write(buffer, 1);
                _ = process.Mm.Madvise(buffer, PageBytes, MemoryAdvice.DontNeed);
            }),
            new("create and remove", false, () =>
            {
                _ = machine.Cgroups.Create("/another");
                _ = machine.Cgroups.Remove("/another");
            }),
            Text("memory.stat", false, () => machine.Cgroups.Find("/group0")!["memory.stat"]),
            Text("meminfo", false, () => machine.Proc.MemInfo),
            Verify(machine, true),
        ]);
    }
}
