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
    public void Objects_come_from_the_node_asked_for()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("512M", cpus: 2).WithNodes("256M", "256M"));
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("nodes", 300, flags: SlabFlags.TypesafeByRcu);
        for (int i = 0; i < 200; i++)
        {
            int node = i % 3 == 0 ? 1 : 0;
            VirtualAddress obj = i % 3 == 2 ? cpu.Alloc(cache, Gfp.Kernel) : cpu.AllocNode(cache, Gfp.Kernel | Gfp.ThisNode, node);
            if (i % 3 != 2)
            {
                cpu.VirtToPage(obj).Zone.Node.Id.Should().Be(node);
            }
        }

        cpu.VirtToPage(cpu.KmallocNode(100, Gfp.Kernel, 1)).Zone.Node.Id.Should().Be(1);
        machine.Verify();
    }

    [Fact]
    public void Under_fragmentation_slabs_of_the_smallest_order_serve()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 4));
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("fallback", 1024, flags: SlabFlags.TypesafeByRcu);
        cache.Order.Should().BeGreaterThan(0);
        machine.DrainAllPages();
        List<Page> pages = [];
        for (Page page = cpu.AllocPages(Gfp.NoWait | Gfp.NoWarn | Gfp.MemAlloc); !page.IsNull; page = cpu.AllocPages(Gfp.NoWait | Gfp.NoWarn | Gfp.MemAlloc))
        {
            pages.Add(page);
        }

        foreach (Page page in pages.Where(p => (p.Pfn.Value & 1) == 0))
        {
            cpu.FreePage(page);
        }

        machine.DrainAllPages();
        VirtualAddress obj = cpu.Alloc(cache, Gfp.Kernel);
        obj.IsNull.Should().BeFalse();
        cpu.VirtToPage(obj).Order.Should().Be(0);
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
        machine.Slab.AttachTrace(recorder);
        VirtualAddress obj;
        using (cpu.CallSite("caller+0x10"))
        {
            obj = cpu.Kmalloc(100, Gfp.Kernel);
        }

        cpu.Kfree(obj);
        machine.Slab.DetachTrace(recorder);
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
}
