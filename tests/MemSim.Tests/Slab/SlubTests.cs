using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Slab;

/// <summary>What only SLUB does: its order of places, nodes, reserves, fallback, and parallel CPUs.</summary>
public class SlubTests
{
    [Fact]
    public void The_last_freed_object_of_the_current_slab_comes_first()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("lifo", 500, flags: SlabFlags.TypesafeByRcu);
        VirtualAddress a = cpu.Alloc(cache, Gfp.Kernel);
        VirtualAddress b = cpu.Alloc(cache, Gfp.Kernel);
        b.Should().Be(a + cache.Size);
        cpu.Free(cache, a);
        cpu.Free(cache, b);
        cpu.Alloc(cache, Gfp.Kernel).Should().Be(b);
        cpu.Alloc(cache, Gfp.Kernel).Should().Be(a);
    }

    [Fact]
    public void Empty_slabs_beyond_the_minimum_are_given_back()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M"));
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("discarded", 1024, flags: SlabFlags.TypesafeByRcu);
        VirtualAddress[] objects = new VirtualAddress[cache.ObjectsPerSlab * 100];
        for (int i = 0; i < objects.Length; i++)
        {
            objects[i] = cpu.Alloc(cache, Gfp.Kernel);
        }

        machine.Slab.SysfsAttribute(cache, "slabs").Should().Be("100 N0=100");
        foreach (VirtualAddress obj in objects)
        {
            cpu.Free(cache, obj);
        }

        machine.Verify();
        long left = machine.Slab.UsageOf(cache).Slabs;
        left.Should().BeGreaterThanOrEqualTo(cache.MinPartial).And.BeLessThanOrEqualTo(cache.MinPartial + cache.Layout.CpuPartialSlabs + 2);
        machine.Slab.ShrinkCache(cache).Should().Be(0);
    }

    [Fact]
    public void A_cpu_keeps_as_many_partial_slabs_as_the_cache_allows_and_gives_all_of_them_to_the_node_with_the_next()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M"));
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("partial", 256, flags: SlabFlags.TypesafeByRcu);
        int most = cache.Layout.CpuPartialSlabs;
        most.Should().BeGreaterThan(3);
        List<VirtualAddress> firsts = [];
        for (int slab = 0; slab < most + 4; slab++)
        {
            firsts.Add(cpu.Alloc(cache, Gfp.Kernel));
            for (int i = 1; i < cache.ObjectsPerSlab; i++)
            {
                cpu.Alloc(cache, Gfp.Kernel);
            }
        }

        for (int freed = 1; freed <= most + 2; freed++)
        {
            cpu.Free(cache, firsts[freed - 1]);
            KeptPartialSlabs(machine, cache).Should().Be(freed <= most ? freed : freed - most, "after {0} slabs got a free object", freed);
        }

        machine.Verify();
    }

    [Fact]
    public void A_refill_from_the_node_takes_more_than_half_of_what_the_cpu_may_keep_besides_the_slab_it_goes_on_with()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M"));
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("partial", 256, flags: SlabFlags.TypesafeByRcu);
        int most = cache.Layout.CpuPartialSlabs;
        List<VirtualAddress> firsts = [];
        for (int slab = 0; slab < most + 2; slab++)
        {
            firsts.Add(cpu.Alloc(cache, Gfp.Kernel));
            for (int i = 1; i < cache.ObjectsPerSlab; i++)
            {
                cpu.Alloc(cache, Gfp.Kernel);
            }
        }

        // With the last one all others go to the node.
        firsts.Take(most + 1).ToList().ForEach(first => cpu.Free(cache, first));
        KeptPartialSlabs(machine, cache).Should().Be(1);
        cpu.Alloc(cache, Gfp.Kernel);
        KeptPartialSlabs(machine, cache).Should().Be(0);

        cpu.Alloc(cache, Gfp.Kernel);

        KeptPartialSlabs(machine, cache).Should().Be(Math.Min((most / 2) + 1, most - 1));
        machine.Verify();
    }

    [Fact]
    public void Objects_come_from_the_node_asked_for()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("512M", cpus: 2).WithNodes("256M", "256M"));
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("nodes", 300, flags: SlabFlags.TypesafeByRcu);
        for (int i = 0; i < 200; i++)
        {
            int node = i % 3 == 0 ? 1 : 0;
            VirtualAddress obj = i % 3 == 2 ? cpu.Alloc(cache, Gfp.Kernel) : cpu.Slab.AllocNode(cache, Gfp.Kernel | Gfp.ThisNode, node);
            if (i % 3 != 2)
            {
                cpu.Pages.VirtToPage(obj).Zone.Node.Id.Should().Be(node);
            }
        }

        cpu.Pages.VirtToPage(cpu.Slab.KmallocNode(100, Gfp.Kernel, 1)).Zone.Node.Id.Should().Be(1);
        machine.Verify();
    }

    [Fact]
    public void Under_fragmentation_slabs_of_the_smallest_order_serve()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 4));
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("fallback", 1024, flags: SlabFlags.TypesafeByRcu);
        cache.Order.Should().BeGreaterThan(0);
        machine.Memory.DrainAllPages();
        List<Page> pages = [];
        for (Page page = cpu.AllocPages(Gfp.NoWait | Gfp.NoWarn | Gfp.MemAlloc); !page.IsNull; page = cpu.AllocPages(Gfp.NoWait | Gfp.NoWarn | Gfp.MemAlloc))
        {
            pages.Add(page);
        }

        foreach (Page page in pages.Where(p => (p.Pfn.Value & 1) == 0))
        {
            cpu.FreePage(page);
        }

        machine.Memory.DrainAllPages();
        VirtualAddress obj = cpu.Alloc(cache, Gfp.Kernel);
        obj.IsNull.Should().BeFalse();
        cpu.Pages.VirtToPage(obj).Order.Should().Be(0);
        machine.Verify();
    }

    [Theory]
    [InlineData("", 2, 16)]
    [InlineData("slub_max_order=0", 0, 4)]
    [InlineData("slub_max_order=1", 1, 8)]
    [InlineData("slub_max_order=99 slub_min_objects=64", 4, 64)]
    [InlineData("slub_min_order=5 slub_max_order=6", 5, 128)]
    [InlineData("slub_min_objects=8", 1, 8)]
    public void The_command_line_sets_how_large_slabs_are(string options, int order, int objects)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 4).WithCommandLine(options));
        KmemCache cache = machine.Slab.CreateCache("sized", 1000, align: 1024);
        (cache.Order, cache.ObjectsPerSlab).Should().Be((order, objects));
        machine.Cpus[0].Free(cache, machine.Cpus[0].Alloc(cache, Gfp.Kernel));
        machine.Verify();
    }

    [Theory]
    [InlineData("")]
    [InlineData("slub_debug=FZPU")]
    public void A_snapshot_carries_caches_and_objects(string options)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 2).WithCommandLine(options));
        machine.Slab.DestroyCache(machine.Slab.CreateCache("destroyed", 700));
        KmemCache cache = machine.Slab.CreateCache("kept", 300, flags: SlabFlags.TypesafeByRcu);
        machine.Slab.CreateCache("alias", 64);
        Random random = new(5);
        List<VirtualAddress> objects = [];
        VirtualAddress large = machine.Cpus[0].Kmalloc(50_000, Gfp.Kernel);
        Churn(machine, objects, random, 3000);
        machine.Cpus[1].Slab.Span(objects[0], 8).Fill(0x42);

        MachineSnapshot snapshot = machine.Snapshot();
        snapshot.NotCarried.Should().BeEmpty();
        string info = machine.Slab.SlabInfo;
        using Machine first = snapshot.Boot();
        using Machine second = snapshot.Boot();
        first.Verify();
        first.Slab.SlabInfo.Should().Be(info);
        first.Slab.FindLiveObjects().Select(g => g.ToString()).Should().Equal(machine.Slab.FindLiveObjects().Select(g => g.ToString()));
        first.Cpus[0].Slab.Span(objects[0], 8).ToArray().Should().OnlyContain(b => b == 0x42);
        first.Slab.Find("alias")!.Name.Should().Be(machine.Slab.Find("alias")!.Name);

        // The same future, and an independent one.
        List<VirtualAddress> here = [.. objects];
        List<VirtualAddress> there = [.. objects];
        Churn(first, there, new Random(6), 3000);
        Churn(machine, here, new Random(6), 3000);
        there.Should().Equal(here);
        first.Verify();
        first.Cpus[0].Kfree(large);
        foreach (VirtualAddress obj in there)
        {
            first.Cpus[0].Kfree(obj);
        }

        first.Slab.FindLiveObjects().Should().BeEmpty();
        first.Slab.DestroyCache(first.Slab.Find("kept")).Should().BeTrue();
        first.Verify();
        second.Verify();
        second.Slab.SlabInfo.Should().Be(info);
        second.Slab.CreateCache("new", 5000).Id.Should().Be(machine.Slab.CreateCache("new", 5000).Id);
    }

    [Fact]
    public void A_snapshot_carries_the_classic_slab_per_cpu_memory_and_vmalloc()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithCommandLine("slab_allocator=slab"));
        VirtualAddress obj = machine.Cpus[0].Kmalloc(64, Gfp.Kernel);
        VirtualAddress large = machine.Cpus[0].Kmalloc(50_000, Gfp.Kernel);
        PerCpuVar<long> variable = machine.PerCpu.Define("ticks", 5L);
        variable[0] = 9;
        VirtualAddress area = machine.Cpus[0].Vmalloc(8192);
        machine.Cpus[0].Write(area, 42);
        MachineSnapshot snapshot = machine.Snapshot();
        snapshot.NotCarried.Should().BeEmpty();
        using Machine twin = snapshot.Boot();
        twin.Verify();
        twin.Cpus[0].Kfree(obj);
        twin.Cpus[0].Kfree(large);
        twin.PerCpu.Get<long>("ticks")[0].Should().Be(9);
        twin.Cpus[0].Read<int>(area).Should().Be(42);
        twin.Cpus[0].Vfree(area);
        twin.Slab.FindLiveObjects().Should().HaveCountLessThan(machine.Slab.FindLiveObjects().Count + 1);
        twin.Verify();
    }

    private static void Churn(Machine machine, List<VirtualAddress> objects, Random random, int steps)
    {
        KmemCache cache = machine.Slab.Find("kept")!;
        for (int i = 0; i < steps; i++)
        {
            Cpu cpu = machine.Cpus[random.Next(2)];
            if (objects.Count != 0 && random.Next(5) < 2)
            {
                int at = random.Next(objects.Count);
                cpu.Kfree(objects[at]);
                objects.RemoveAt(at);
            }
            else
            {
                objects.Add(random.Next(2) == 0 ? cpu.Alloc(cache, Gfp.Kernel) : cpu.Kmalloc(1 << random.Next(3, 12), Gfp.Kernel));
            }
        }
    }

    [Fact]
    public void Slabs_from_the_reserves_are_kept_for_those_who_may_use_them()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("reserves", 2048, flags: SlabFlags.TypesafeByRcu);
        while (!cpu.AllocPages(Gfp.NoWait | Gfp.NoWarn).IsNull)
        {
        }

        cpu.Alloc(cache, Gfp.NoWait | Gfp.NoWarn).IsNull.Should().BeTrue();
        while (machine.Zones.Any(z => z.IsPopulated && z.TrueFreePages > z.MarkMin))
        {
            cpu.AllocPages(Gfp.Atomic | Gfp.NoWarn | Gfp.MemAlloc).IsNull.Should().BeFalse();
        }

        VirtualAddress mine = cpu.Alloc(cache, Gfp.NoWait | Gfp.MemAlloc);
        mine.IsNull.Should().BeFalse();
        machine.Verify();
        cpu.Free(cache, mine);
        machine.Verify();
    }

    [Fact]
    public async Task Parallel_cpus_share_caches()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M", cpus: 4).WithParallelCpus().WithoutContents());
        KmemCache cache = machine.Slab.CreateCache("shared", 128, flags: SlabFlags.TypesafeByRcu);
        System.Collections.Concurrent.ConcurrentQueue<VirtualAddress> handed = new();
        await Task.WhenAll(Enumerable.Range(0, 4).Select(id => Task.Run(() =>
        {
            Cpu cpu = machine.Cpus[id];
            ulong random = 88172645463325252UL + (ulong)id;
            for (int i = 0; i < 40_000; i++)
            {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                if (random % 5 < 3 || !handed.TryDequeue(out VirtualAddress obj))
                {
                    handed.Enqueue(random % 2 == 0 ? cpu.Alloc(cache, Gfp.NoWait) : cpu.Kmalloc(128, Gfp.NoWait));
                }
                else
                {
                    cpu.Kfree(obj);
                }
            }
        }, TestContext.Current.CancellationToken)));

        machine.Verify();
        while (handed.TryDequeue(out VirtualAddress obj))
        {
            machine.Cpus[0].Kfree(obj);
        }

        machine.Verify();
        machine.Slab.DestroyCache(cache).Should().BeTrue();
        machine.Verify();
    }

    [Fact]
    public void A_shuffled_free_list_is_a_permutation_and_repeats_with_its_seed()
    {
        List<VirtualAddress> first = Order(1);
        List<VirtualAddress> again = Order(1);
        again.Should().Equal(first);
        Order(2).Should().NotEqual(first).And.BeEquivalentTo(first);
        first.Should().NotBeInAscendingOrder();

        static List<VirtualAddress> Order(long seed)
        {
            using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
            machine.Slab.ShuffleFreelists(seed);
            KmemCache cache = machine.Slab.CreateCache("shuffled", 64, flags: SlabFlags.TypesafeByRcu);
            return [.. Enumerable.Range(0, cache.ObjectsPerSlab).Select(_ => machine.Cpus[0].Alloc(cache, Gfp.Kernel))];
        }
    }

    [Fact]
    public void Tracepoints_carry_the_fields_of_the_kernel()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        Recorder recorder = new();
        machine.Tracing.Attach(recorder);
        VirtualAddress obj;
        using (cpu.CallSite("caller+0x10"))
        {
            obj = cpu.Kmalloc(100, Gfp.Kernel);
        }

        cpu.Kfree(obj);
        machine.Tracing.Detach(recorder);
        cpu.Kfree(cpu.Kmalloc(100, Gfp.Kernel));
        recorder.Lines.Should().Equal($"kmalloc caller+0x10 {obj} 100 128 Kernel -1", $"kfree  {obj}");
    }

    [Fact]
    public void Slabinfo_has_the_kernel_s_format()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 2));
        machine.Cpus[0].Kmalloc(64, Gfp.Kernel);
        machine.Slab.SlabInfo.Should().Contain("\nkmalloc-64            64     64     64   64    1 : tunables    0    0    0 : slabdata      1      1      0\n");
        machine.Slab.SysfsAttribute(machine.Slab.Find("kmalloc-64")!, "cpu_slabs").Should().Be("1 N0=1");
    }

    [Fact]
    public void An_object_made_as_small_as_nothing_is_freed()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        VirtualAddress obj = cpu.Kmalloc(100, Gfp.Kernel);
        machine.Slab.FindLiveObjects().Should().ContainSingle();
        cpu.Slab.Krealloc(obj, 0, Gfp.Kernel).Should().Be(SlabAllocator.ZeroSizePointer);
        machine.Slab.FindLiveObjects().Should().BeEmpty();
    }

    [Fact]
    public void Traced_is_the_node_that_was_asked_for_and_all_the_memory_that_was_given()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        NodeRecorder recorder = new();
        machine.Tracing.Attach(recorder);
        machine.Cpus[0].Kmalloc(100, Gfp.Kernel);
        machine.Cpus[0].Slab.KmallocNode(100, Gfp.Kernel, 0);
        machine.Cpus[0].Kmalloc(50_000, Gfp.Kernel);
        recorder.Lines.Should().Equal("kmalloc 100 128 -1", "kmalloc_node 100 128 0", "kmalloc 50000 65536 -1");
    }

    [Fact]
    public void Lists_of_caches_leave_none_out_and_lists_of_objects_begin_with_the_largest_share()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        machine.Slab.SlabInfo.Split('\n', StringSplitOptions.RemoveEmptyEntries).Skip(2).Select(l => l.Split(' ')[0]).Should().BeEquivalentTo(machine.Slab.Caches.Select(c => c.Name));
        foreach ((string name, int count) in (ReadOnlySpan<(string, int)>)[("few", 3), ("most", 50), ("some", 20)])
        {
            KmemCache cache = machine.Slab.CreateCache(name, 256, flags: SlabFlags.TypesafeByRcu);
            for (int i = 0; i < count; i++)
            {
                cpu.Alloc(cache, Gfp.Kernel);
            }
        }

        machine.Slab.FindLiveObjects().Select(o => o.Cache.Name).Should().Equal("most", "some", "few");
    }

    [Fact]
    public void The_part_that_may_be_copied_to_processes_lies_inside_the_object_and_such_caches_stay_alone()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        machine.Slab.CreateCache("plain", 72);
        KmemCache copied = machine.Slab.CreateCache("copied", 72, userOffset: 8, userSize: 16);
        (copied.UserOffset, copied.UserSize).Should().Be((8, 16));
        machine.Slab.SysfsAttribute(copied, "usersize").Should().Be("16");
        machine.Slab.Caches.Should().Contain(c => c.Name == "copied" && c.ObjectSize == 72);
        foreach ((int offset, int size) in (ReadOnlySpan<(int, int)>)[(60, 16), (-8, 16), (8, -1), (0, 73)])
        {
            machine.Slab.Invoking(s => s.CreateCache("bad", 72, userOffset: offset, userSize: size)).Should().Throw<ArgumentException>();
        }
    }

    private sealed class NodeRecorder : ISlabTraceSink
    {
        public List<string> Lines { get; } = [];

        public void Kmalloc(Cpu cpu, string callSite, VirtualAddress ptr, long bytesReq, long bytesAlloc, Gfp gfp, int node) => Lines.Add($"kmalloc {bytesReq} {bytesAlloc} {node}");

        public void KmallocNode(Cpu cpu, string callSite, VirtualAddress ptr, long bytesReq, long bytesAlloc, Gfp gfp, int node) => Lines.Add($"kmalloc_node {bytesReq} {bytesAlloc} {node}");

        public void Kfree(Cpu cpu, string callSite, VirtualAddress ptr)
        {
        }

        public void KmemCacheAlloc(Cpu cpu, string callSite, VirtualAddress ptr, KmemCache cache, Gfp gfp, int node)
        {
        }

        public void KmemCacheFree(Cpu cpu, string callSite, VirtualAddress ptr, KmemCache cache)
        {
        }
    }

    [Fact]
    public void Ordinary_code_runs_on_simulated_memory()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        using SlabMemoryPool pool = new(cpu);
        using (System.Buffers.IMemoryOwner<byte> owner = pool.Rent(5000))
        {
            owner.Memory.Length.Should().Be(8192);
            owner.Memory.Span.Fill(3);
            using System.Buffers.MemoryHandle pin = owner.Memory.Pin();
            machine.Slab.FindLiveObjects().Should().ContainSingle();
        }

        machine.Slab.FindLiveObjects().Should().BeEmpty();
        KmemCache<Inode> inodes = machine.Slab.CreateCache<Inode>("inodes");
        VirtualAddress obj = inodes.Alloc(cpu, Gfp.Kernel, new Inode(7, 42));
        inodes.Get(cpu, obj).Links++;
        inodes.Get(cpu, obj).Should().Be(new Inode(8, 42));
        inodes.Free(cpu, obj);
        cpu.Invoking(c => inodes.Get(c, obj)).Should().Throw<KernelBugException>();
    }

    private record struct Inode(int Links, long Number);

    private sealed class Recorder : ISlabTraceSink
    {
        public List<string> Lines { get; } = [];

        public void Kmalloc(Cpu cpu, string callSite, VirtualAddress ptr, long bytesReq, long bytesAlloc, Gfp gfp, int node) =>
            Lines.Add($"kmalloc {callSite} {ptr} {bytesReq} {bytesAlloc} {gfp} {node}");

        public void Kfree(Cpu cpu, string callSite, VirtualAddress ptr) => Lines.Add($"kfree {callSite} {ptr}");

        public void KmemCacheAlloc(Cpu cpu, string callSite, VirtualAddress ptr, KmemCache cache, Gfp gfp, int node) => Lines.Add($"kmem_cache_alloc {cache.Name} {ptr}");

        public void KmemCacheFree(Cpu cpu, string callSite, VirtualAddress ptr, KmemCache cache) => Lines.Add($"kmem_cache_free {cache.Name} {ptr}");
    }

    [Fact]
    public void An_array_whose_size_overflows_is_refused()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];

        cpu.Slab.KmallocArray(long.MaxValue / 4, 16, Gfp.Kernel).IsNull.Should().BeTrue();
        VirtualAddress array = cpu.Slab.KmallocArray(12, 16, Gfp.Kernel);
        cpu.Slab.Ksize(array).Should().Be(192);
        cpu.Kfree(array);
    }

    [Fact]
    public void Free_objects_of_partial_slabs_are_told_from_those_in_use()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M", cpus: 1).WithNodes("128M", "128M"));
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("checked", 1000, flags: SlabFlags.RedZone);
        for (int i = 0; i < 2; i++)
        {
            cpu.Slab.AllocNode(cache, Gfp.Kernel, 0).IsNull.Should().BeFalse();
        }

        int each = cache.ObjectsPerSlab;
        machine.Slab.SysfsAttribute(cache, "objects").Should().Be("2 N0=2", "a debugged cache keeps its slabs on the node's list");
        machine.Slab.SysfsAttribute(cache, "objects_partial").Should().Be("2 N0=2");
        machine.Slab.SysfsAttribute(cache, "total_objects").Should().Be($"{each} N0={each}");
        using (machine.FaultInjection.Arm(FaultRule.EveryNth(1) with { Points = FaultPoints.FailPageAlloc }))
        {
            cpu.Slab.AllocNode(cache, Gfp.Kernel | Gfp.ThisNode, 1).IsNull.Should().BeTrue();
        }

        machine.Slab.LastFailureReport.Should().Contain($"  node 0: slabs: 1, objs: {each}, free: {each - 2}\n").And.Contain("  node 1: slabs: 0, objs: 0, free: 0\n");
    }

    private static int KeptPartialSlabs(Machine machine, KmemCache cache) =>
        int.Parse(System.Text.RegularExpressions.Regex.Match(machine.Slab.SysfsAttribute(cache, "slabs_cpu_partial"), @"\((\d+)\)").Groups[1].Value, System.Globalization.CultureInfo.InvariantCulture);
}
