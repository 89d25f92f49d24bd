using FluentAssertions;
using MemSim.Boot;
using MemSim.Hardware;
using MemSim.Pages;

namespace MemSim.Tests.Interleavings;

/// <summary>What allocators of the kernel do to each other: pages, slabs, vmalloc, per-CPU memory.</summary>
internal static class MemoryScenarios
{
    public static IReadOnlyList<Scenario> All { get; } =
    [
        new("page lists and a drain of all", 2, PageLists),
        new("page lists on three CPUs", 3, PageListsOfThree),
        new("page blocks stolen from another type", 2, Stealing),
        new("the last two references of a page", 2, LastReferences),
        new("slab: allocated here, freed there, shrunk", 2, seam => Slabs(seam, "slub")),
        new("classic slab: allocated here, freed there, shrunk", 2, seam => Slabs(seam, "slab")),
        new("classic slab: a shared array drained here and taken from there", 2, SharedArray),
        new("slab: two CPUs free into one slab", 2, OneSlab),
        new("slab: slabs of a node emptied here and taken there", 2, NodeSlabs),
        new("slab with sheaves: allocated here, freed there, shrunk", 2, Sheaves),
        new("vmalloc and a purge", 2, Vmalloc),
        new("per-CPU memory", 2, PerCpu),
        new("vmap: two areas whose pages need the same new table", 2, SharedTable),
        new("LRU: a page put back here is isolated there", 2, PutBackAndIsolate),
        new("LRU: a batch that is filled here is drained there", 2, FilledAndDrained),
        new("two swap areas switched on at once", 2, SwapAreas),
    ];

    private static Stage PageLists(IInterleaver seam)
    {
        Machine machine = Lists(seam, 2);
        string start = machine.OnlyZone().FreeBlockCounts();
        PageHolders pages = new(machine);
        Page held = pages.Take(machine.Cpus[1], 0);
        return new Stage(machine,
            [
                () =>
                {
                    Cpu cpu = machine.Cpus[0];
                    Page single = pages.Take(cpu, 0);
                    Page block = pages.Take(cpu, 3);
                    pages.Give(cpu, single);
                    _ = pages.Take(cpu, 0);
                    pages.Give(cpu, block);
                },
                () =>
                {
                    Cpu cpu = machine.Cpus[1];
                    pages.Give(cpu, held);
                    machine.Memory.DrainAllPages();
                    Page block = pages.Take(cpu, 3);
                    pages.Give(cpu, block);
                    _ = pages.Take(cpu, 0);
                },
            ],
            () => AllFree(machine, pages, start));
    }

    private static Stage PageListsOfThree(IInterleaver seam)
    {
        Machine machine = Lists(seam, 3);
        string start = machine.OnlyZone().FreeBlockCounts();
        PageHolders pages = new(machine);
        void Use(int id, int order)
        {
            Cpu cpu = machine.Cpus[id];
            Page first = pages.Take(cpu, order);
            _ = pages.Take(cpu, 0);
            pages.Give(cpu, first);
        }

        return new Stage(machine, [() => Use(0, 0), () => Use(1, 3), () => machine.Memory.DrainAllPages()], () => AllFree(machine, pages, start));
    }

    private static Stage Stealing(IInterleaver seam)
    {
        Machine machine = TestMachines.With().Zone(ZoneType.Dma32, 8192).FreeBlocks(10, 1).FreeBlocks(6, 3).FreeBlocks(4, 3)
            .Pcp(high: 6, batch: 2).CpusOnNodes(0, 0).ParallelCpus(seam).Build();
        PageHolders pages = new(machine);
        void Use(int id)
        {
            Cpu cpu = machine.Cpus[id];
            Page block = pages.Take(cpu, 4, Gfp.Kernel);
            _ = pages.Take(cpu, 0, id == 0 ? Gfp.Kernel : Gfp.Kernel | Gfp.Reclaimable);
            pages.Give(cpu, block);
        }

        return new Stage(machine, [() => Use(0), () => Use(1)], () =>
        {
            machine.Verify();
            pages.GiveAll();
        });
    }

    private static Stage LastReferences(IInterleaver seam)
    {
        Machine machine = Lists(seam, 2);
        string start = machine.OnlyZone().FreeBlockCounts();
        Page page = machine.Cpus[0].AllocPages(Gfp.Kernel | Gfp.Comp, 2);
        machine.Cpus[0].Pages.GetPage(page);
        return new Stage(machine,
            [.. machine.Cpus.Select(cpu => (Action)(() => cpu.Pages.PutPage(page)))],
            () => AllFree(machine, new PageHolders(machine), start));
    }

    private static Stage Slabs(IInterleaver seam, string implementation)
    {
        Machine machine = MachineBooter.Boot(MachineSpec.X86_64("96M", 2).WithCommandLine($"slab_allocator={implementation}").WithParallelCpus().WithoutContents(), seam);
        KmemCache cache = machine.Slab.CreateCache("met", 1024, flags: SlabFlags.TypesafeByRcu);
        ObjectHolders objects = new(machine, cache);
        VirtualAddress[] old = [.. Enumerable.Range(0, 10).Select(_ => objects.Take(machine.Cpus[0]))];
        return new Stage(machine,
            [
                () =>
                {
                    Cpu cpu = machine.Cpus[0];
                    _ = objects.Take(cpu);
                    objects.Give(cpu, old[0]);
                    objects.Give(cpu, old[5]);
                    _ = objects.Take(cpu);
                    _ = objects.Take(cpu);
                },
                () =>
                {
                    Cpu cpu = machine.Cpus[1];
                    objects.Give(cpu, old[1]);
                    objects.Give(cpu, old[4]);
                    objects.Give(cpu, old[6]);
                    objects.Give(cpu, old[7]);
                    _ = machine.Slab.ShrinkCache(cache, cpu);
                    _ = objects.Take(cpu);
                },
            ],
            objects.GiveAll);
    }

    private static Stage SharedArray(IInterleaver seam)
    {
        Machine machine = MachineBooter.Boot(MachineSpec.X86_64("96M", 2).WithCommandLine("slab_allocator=slab").WithParallelCpus().WithoutContents(), seam);
        KmemCache cache = machine.Slab.CreateCache("met", PageGeometry.PageSize, flags: SlabFlags.TypesafeByRcu);
        ObjectHolders objects = new(machine, cache);
        VirtualAddress[] old = [.. Enumerable.Range(0, 80).Select(_ => objects.Take(machine.Cpus[0]))];
        foreach (VirtualAddress each in old)
        {
            // More than the CPU's array holds: the rest goes to the node's.
            objects.Give(machine.Cpus[0], each);
        }

        return new Stage(machine,
            [
                () =>
                {
                    for (int i = 0; i < 40; i++)
                    {
                        _ = objects.Take(machine.Cpus[0]);
                    }
                },
                () =>
                {
                    _ = objects.Take(machine.Cpus[1]);
                    _ = machine.Slab.ShrinkCache(cache, machine.Cpus[1]);
                },
            ],
            objects.GiveAll);
    }

    private static Stage OneSlab(IInterleaver seam)
    {
        Machine machine = MachineBooter.Boot(MachineSpec.X86_64("96M", 2).WithParallelCpus().WithoutContents(), seam);
        KmemCache cache = machine.Slab.CreateCache("met", 1024, flags: SlabFlags.TypesafeByRcu);
        ObjectHolders objects = new(machine, cache);

        // Full slabs, of which none is a CPU's.
        VirtualAddress[] old = [.. Enumerable.Range(0, (2 * cache.ObjectsPerSlab) + 1).Select(_ => objects.Take(machine.Cpus[0]))];
        return new Stage(machine, [.. machine.Cpus.Select(cpu => (Action)(() =>
        {
            objects.Give(cpu, old[cpu.Id]);
            objects.Give(cpu, old[2 + cpu.Id]);
            objects.Give(cpu, old[cache.ObjectsPerSlab + cpu.Id]);
            _ = objects.Take(cpu);
        }))], objects.GiveAll);
    }

    private static Stage NodeSlabs(IInterleaver seam)
    {
        const int slabs = 12;
        Machine machine = MachineBooter.Boot(MachineSpec.X86_64("96M", 2).WithParallelCpus().WithoutContents(), seam);
        KmemCache cache = machine.Slab.CreateCache("met", 1024, flags: SlabFlags.TypesafeByRcu);
        ObjectHolders objects = new(machine, cache);
        VirtualAddress[] old = [.. Enumerable.Range(0, slabs * cache.ObjectsPerSlab).Select(_ => objects.Take(machine.Cpus[0]))];
        for (int i = 0; i < old.Length; i++)
        {
            if (i % cache.ObjectsPerSlab != 0)
            {
                objects.Give(machine.Cpus[0], old[i]);
            }
        }

        // All slabs have one object now, and are on the node's list: more than it keeps when they are empty.
        _ = machine.Slab.ShrinkCache(cache, machine.Cpus[0]);
        return new Stage(machine, [.. machine.Cpus.Select(cpu => (Action)(() =>
        {
            if (cpu.Id == 1)
            {
                _ = objects.Take(cpu);
                return;
            }

            for (int i = 0; i < slabs; i += 2)
            {
                objects.Give(cpu, old[i * cache.ObjectsPerSlab]);
            }
        }))], objects.GiveAll);
    }

    private static Stage Sheaves(IInterleaver seam)
    {
        Machine machine = MachineBooter.Boot(MachineSpec.X86_64("96M", 2).WithKernel("7.0").WithParallelCpus().WithoutContents(), seam);
        KmemCache cache = machine.Slab.CreateCache("met", 1024, flags: SlabFlags.TypesafeByRcu);
        ObjectHolders objects = new(machine, cache);
        VirtualAddress[] old = [.. Enumerable.Range(0, 70).Select(_ => objects.Take(machine.Cpus[0]))];
        return new Stage(machine, [.. machine.Cpus.Select(cpu => (Action)(() =>
        {
            for (int i = 0; i < 30; i++)
            {
                objects.Give(cpu, old[(i * 2) + cpu.Id]);
            }

            _ = objects.Take(cpu);
            if (cpu.Id == 1)
            {
                _ = machine.Slab.ShrinkCache(cache, cpu);
            }
        }))], objects.GiveAll);
    }

    private static Stage Vmalloc(IInterleaver seam)
    {
        Machine machine = MachineBooter.Boot(MachineSpec.X86_64("96M", 2).WithParallelCpus(), seam);
        void Use(Cpu cpu)
        {
            VirtualAddress kept = cpu.Vmalloc(2 * PageGeometry.PageSize);
            cpu.Write(kept, 0x77UL + (ulong)cpu.Id);
            VirtualAddress other = cpu.Vmalloc(PageGeometry.PageSize);
            cpu.Write(other, 1L);
            cpu.Vfree(other);
            if (cpu.Id == 1)
            {
                cpu.Vm.VmUnmapAliases();
            }

            cpu.Read<ulong>(kept).Should().Be(0x77UL + (ulong)cpu.Id);
            cpu.Vfree(kept);
        }

        return new Stage(machine, [.. machine.Cpus.Select(cpu => (Action)(() => Use(cpu)))], () => machine.Cpus[0].Vm.VmUnmapAliases());
    }

    private static Stage PerCpu(IInterleaver seam)
    {
        Machine machine = MachineBooter.Boot(MachineSpec.X86_64("96M", 2).WithParallelCpus(), seam);
        long before = machine.PerCpu.LiveAllocations;
        HashSet<ulong> live = [];
        void Use(Cpu cpu)
        {
            PerCpuPointer first = cpu.PerCpu.AllocPercpu(20_000, 8);
            live.Add(first.Value).Should().BeTrue("it is nobody else's");
            PerCpuPointer second = cpu.PerCpu.AllocPercpu(20_000, 8);
            live.Add(second.Value).Should().BeTrue("it is nobody else's");
            live.Remove(first.Value);
            cpu.PerCpu.FreePercpu(first);
            live.Remove(second.Value);
            cpu.PerCpu.FreePercpu(second);
        }

        return new Stage(machine, [.. machine.Cpus.Select(cpu => (Action)(() => Use(cpu)))], () => machine.PerCpu.LiveAllocations.Should().Be(before));
    }

    private static Stage SharedTable(IInterleaver seam)
    {
        Machine machine = MachineBooter.Boot(MachineSpec.X86_64("96M", 2).WithParallelCpus(), seam);

        // An area is longer than what a table maps: where one ends and the next begins they have a table in common.
        Page[] same = [.. Enumerable.Repeat(machine.Cpus[0].AllocPage(Gfp.Kernel), 600)];
        machine.Cpus[0].Write(same[0].Address, 0x55UL);
        return new Stage(machine,
            [.. machine.Cpus.Select(cpu => (Action)(() =>
            {
                VirtualAddress area = cpu.Vm.Vmap(same);
                cpu.Read<ulong>(area).Should().Be(0x55);
                cpu.Read<ulong>(area + ((same.Length - 1) * PageGeometry.PageSize)).Should().Be(0x55);
                cpu.Vm.Vunmap(area);
            }))],
            () =>
            {
                machine.Cpus[0].Vm.VmUnmapAliases();
                machine.Cpus[0].FreePages(same[0]);
            });
    }

    private static Stage PutBackAndIsolate(IInterleaver seam)
    {
        Machine machine = MachineBooter.Boot(MachineSpec.X86_64("96M", 2).WithParallelCpus().WithoutContents(), seam);
        int[] pages = Listed(machine, 4);
        machine.Lru.DrainAll();
        return new Stage(machine,
            [
                () =>
                {
                    foreach (int pfn in pages)
                    {
                        if (machine.Lru.Isolate(pfn))
                        {
                            _ = machine.Lru.PutBackAll(machine.Cpus[0], machine.Lru.OfPage(pfn), [pfn], out int unused);
                            unused.Should().Be(0, "somebody holds it");
                        }
                    }
                },
                () =>
                {
                    foreach (int pfn in pages)
                    {
                        if (machine.Lru.Isolate(pfn))
                        {
                            machine.Lru.PutBack(machine.Cpus[1], pfn);
                        }
                    }
                },
            ],
            () => AllListed(machine, pages));
    }

    private static Stage FilledAndDrained(IInterleaver seam)
    {
        Machine machine = MachineBooter.Boot(MachineSpec.X86_64("96M", 2).WithParallelCpus().WithoutContents(), seam);
        int[] pages = Listed(machine, 4, add: 1);
        return new Stage(machine,
            [
                () =>
                {
                    foreach (int pfn in pages[1..])
                    {
                        machine.Lru.Add(machine.Cpus[0], pfn);
                    }
                },
                () =>
                {
                    machine.Lru.DrainAll(machine.Cpus[1]);
                    machine.Lru.DrainAll(machine.Cpus[1]);
                },
            ],
            () => AllListed(machine, pages));
    }

    private static Stage SwapAreas(IInterleaver seam)
    {
        Machine machine = MachineBooter.Boot(MachineSpec.X86_64("96M", 2).WithParallelCpus(), seam);
        BlockDevice[] disks = [new("vda", "4M"), new("vdb", "8M")];
        SwapArea[] areas = new SwapArea[2];
        return new Stage(machine, [.. machine.Cpus.Select(cpu => (Action)(() => areas[cpu.Id] = machine.Swap.SwapOn(disks[cpu.Id]).Value))], () =>
        {
            areas.Select(area => area.Type).Should().BeEquivalentTo([0, 1]);
            machine.Swap.TotalPages.Should().Be(areas.Sum(area => area.Pages));
            Array.ForEach(areas, area => machine.Swap.SwapOff(machine.Cpus[0], area).Should().Be(Errno.None));
            machine.Swap.TotalPages.Should().Be(0);
        }, disks);
    }

    /// <summary>Anonymous pages that nobody maps, each with one reference; the first of them in the batch of CPU 0.</summary>
    private static int[] Listed(Machine machine, int count, int add = int.MaxValue)
    {
        uint anonymous = MappingTable.Value(machine.Frames.Mappings.Add(new object()), MappingTable.Anonymous);
        return [.. Enumerable.Range(0, count).Select(i =>
        {
            int pfn = machine.Pages.Allocate(machine.Cpus[0], Gfp.HighUserMovable, 0);
            machine.Frames.Array[pfn].Set(PageFlags.SwapBacked | PageFlags.UpToDate);
            machine.Frames.Array[pfn].Mapping = anonymous;
            if (i < add)
            {
                machine.Lru.Add(machine.Cpus[0], pfn);
            }

            return pfn;
        })];
    }

    private static void AllListed(Machine machine, int[] pages)
    {
        machine.Lru.DrainAll();
        machine.Verify();
        foreach (int pfn in pages)
        {
            machine.Frames.Array[pfn].IsOnLru.Should().BeTrue();
            machine.Frames.Array[pfn].RefCount.Should().Be(1);
            machine.Lru.Put(machine.Cpus[0], pfn);
        }
    }

    private static Machine Lists(IInterleaver seam, int cpus) =>
        TestMachines.With().Zone(ZoneType.Dma32, 4096).FreeBlocks(10, 2).Pcp(high: 6, batch: 2).CpusOnNodes([.. new int[cpus]]).ParallelCpus(seam).Build();

    private static void AllFree(Machine machine, PageHolders pages, string start)
    {
        machine.Verify();
        pages.GiveAll();
        machine.OnlyZone().FreeBlockCounts().Should().Be(start, "what was split merges again");
    }
}
