using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Slab;

/// <summary>Where one way of serving objects ends and the next begins: shared arrays before slabs, old slabs before new ones, the last object of a slab, the last frame of memory.</summary>
public class SlabEdgeTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Free_objects_of_old_slabs_serve_before_a_new_slab_is_made(int cpus)
    {
        using Machine machine = Classic(cpus);
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("filled_up", 256, flags: SlabFlags.TypesafeByRcu);
        VirtualAddress[] objects = [.. Enumerable.Range(0, 3200).Select(_ => cpu.Alloc(cache, Gfp.Kernel))];
        Array.ForEach(objects.Where((_, i) => i % 4 == 0).ToArray(), obj => cpu.Free(cache, obj));
        machine.Slab.ShrinkCache(cache);
        int before = machine.Slab.DescribeSlabs(cache).Count;
        int free = machine.Slab.DescribeSlabs(cache).Sum(s => s.Objects.Count(o => o != SlabObjectState.Allocated));
        free.Should().BeGreaterThan(100);
        for (int i = 0; i < free; i++)
        {
            cpu.Alloc(cache, Gfp.Kernel).IsNull.Should().BeFalse();
        }

        machine.Slab.DescribeSlabs(cache).Count.Should().Be(before);
        machine.Verify();
    }

    [Fact]
    public void A_cpu_that_the_shared_array_served_takes_nothing_of_the_slabs()
    {
        using Machine machine = Classic(2);
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("shared_first", 256, flags: SlabFlags.TypesafeByRcu);
        VirtualAddress[] objects = [.. Enumerable.Range(0, 1600).Select(_ => cpu.Alloc(cache, Gfp.Kernel))];
        Array.ForEach(objects.Where((_, i) => i % 2 == 0).ToArray(), obj => cpu.Free(cache, obj));
        int inSlabs = FreeInSlabs();
        inSlabs.Should().BePositive();
        machine.Cpus[1].Alloc(cache, Gfp.Kernel).IsNull.Should().BeFalse();
        FreeInSlabs().Should().Be(inSlabs);
        machine.Verify();

        int FreeInSlabs() => machine.Slab.DescribeSlabs(cache).Sum(s => s.Objects.Count(o => o == SlabObjectState.Free));
    }

    [Theory]
    [InlineData("slab")]
    [InlineData("slub")]
    public void Shrinking_holds_no_lock_when_it_is_done(string implementation)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 2).WithCommandLine($"slab_allocator={implementation}").WithParallelCpus());
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("shrunk", 256, flags: SlabFlags.TypesafeByRcu);
        for (int round = 0; round < 2; round++)
        {
            VirtualAddress[] objects = [.. Enumerable.Range(0, 500).Select(_ => cpu.Alloc(cache, Gfp.Kernel))];
            Array.ForEach(objects, obj => cpu.Free(cache, obj));
            machine.Slab.ShrinkCache(cache).Should().Be(0);
        }

        machine.Verify();
    }

    [Theory]
    [InlineData("slab", "6.1")]
    [InlineData("slub", "6.1")]
    [InlineData("slub", "7.3")]
    public void An_address_just_beyond_memory_is_no_object(string implementation, string kernel)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithKernel(kernel).WithCommandLine($"slab_allocator={implementation}"));
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("objects", 64, flags: SlabFlags.TypesafeByRcu);
        VirtualAddress beyond = machine.Addresses.AddressOf((int)machine.Frames.Count - 1) + PageGeometry.PageSize;
        ((Action)(() => cpu.Kfree(beyond))).Should().Throw<KernelBugException>();
        ((Action)(() => cpu.Free(cache, beyond))).Should().Throw<KernelBugException>();
        machine.Verify();
    }

    [Theory]
    [InlineData("slab", "6.1")]
    [InlineData("slub", "6.1")]
    [InlineData("slub", "7.3")]
    public void What_a_slab_has_left_over_behind_its_last_object_is_no_object(string implementation, string kernel)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithKernel(kernel).WithCommandLine($"slab_allocator={implementation}"));
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("left_over", 192, flags: SlabFlags.TypesafeByRcu);
        VirtualAddress[] objects = [.. Enumerable.Range(0, 200).Select(_ => cpu.Alloc(cache, Gfp.Kernel))];
        foreach (SlabDescriptor slab in machine.Slab.DescribeSlabs(cache))
        {
            VirtualAddress behind = slab.SMem + (slab.Objects.Count * cache.Size);
            ((Action)(() => cpu.Free(cache, behind))).Should().Throw<KernelBugException>();
            ((Action)(() => cpu.Kfree(behind))).Should().Throw<KernelBugException>();
        }

        machine.Verify();
        Array.ForEach(objects, obj => cpu.Free(cache, obj));
        machine.Verify();
    }

    [Theory]
    [InlineData("slab", "6.1")]
    [InlineData("slub", "6.1")]
    [InlineData("slub", "7.3")]
    public void Every_object_is_traced_from_when_somebody_listens_until_nobody_does(string implementation, string kernel)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithKernel(kernel).WithCommandLine($"slab_allocator={implementation}"));
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("listened", 64, flags: SlabFlags.TypesafeByRcu);
        Round();
        Counting sink = new();
        machine.Tracing.Attach(sink);
        Round();
        (sink.Allocated, sink.Freed).Should().Be((2, 2));
        machine.Tracing.Detach(sink);
        Round();
        (sink.Allocated, sink.Freed).Should().Be((2, 2));

        void Round()
        {
            VirtualAddress own = cpu.Alloc(cache, Gfp.Kernel);
            VirtualAddress plain = cpu.Kmalloc(100, Gfp.Kernel);
            cpu.Free(cache, own);
            cpu.Kfree(plain);
        }
    }

    [Fact]
    public void A_sheaf_larger_than_the_cache_s_own_does_not_lie_in_the_place_of_one()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 2).WithKernel("7.3"));
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("nodes", 256);
        VirtualAddress[] objects = [.. Enumerable.Range(0, 400).Select(_ => cpu.Alloc(cache, Gfp.Kernel))];
        Array.ForEach(objects, obj => cpu.Free(cache, obj));
        machine.Slab.ShrinkCache(cache).Should().Be(0);
        cpu.Free(cache, cpu.Alloc(cache, Gfp.Kernel));
        SlabSheaf large = cpu.Slab.PrefillSheaf(cache, Gfp.Kernel, 300)!;
        large.Count.Should().Be(300);
        HashSet<VirtualAddress> taken = [];
        while (large.Count != 0)
        {
            taken.Add(cpu.Slab.AllocFromSheaf(large)).Should().BeTrue();
        }

        cpu.Slab.ReturnSheaf(large);
        machine.Verify();
        foreach (VirtualAddress obj in taken)
        {
            cpu.Free(cache, obj);
        }

        machine.Verify();
        machine.Slab.UsageOf(cache).LiveObjects.Should().Be(0);
    }

    [Fact]
    public void A_refill_gathers_the_free_objects_of_as_many_slabs_as_it_needs()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithKernel("7.3"));
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("gathered", 256);
        VirtualAddress[] objects = new VirtualAddress[cache.ObjectsPerSlab * 100];
        cpu.Slab.AllocBulk(cache, Gfp.Kernel, objects).Should().Be(objects.Length);
        VirtualAddress[] some = [.. objects.Where((_, i) => i % cache.ObjectsPerSlab == 3)];
        cpu.Slab.FreeBulk(cache, some);
        machine.Slab.ShrinkCache(cache).Should().Be(100, "of each slab one object is free");
        VirtualAddress[] again = new VirtualAddress[90];
        cpu.Slab.AllocBulk(cache, Gfp.Kernel, again).Should().Be(90);
        machine.Slab.DescribeSlabs(cache).Should().HaveCount(100);
        machine.Verify();
    }

    [Fact]
    public void An_object_of_another_node_in_a_sheaf_is_not_handed_out_to_who_asked_for_node_0()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M", cpus: 2).WithKernel("7.3").WithNodes("128M", "128M"));
        Cpu cpu = machine.Cpus.First(c => c.Node.Id == 0);
        KmemCache cache = machine.Slab.CreateCache("far_objects", 2048);
        List<Page> local = cpu.AllocateAll(Gfp.Kernel | Gfp.ThisNode);
        VirtualAddress near = cpu.Alloc(cache, Gfp.Kernel);
        machine.Slab.DescribeSlabAt(near)!.Node.Should().Be(1, "node 0 has no memory left");
        cache.Sheaves!.Value.ObjectsOfCpus.Should().BePositive("the sheaf was filled with more of node 1");
        cpu.FreePages(local[0]);
        local.Skip(1).Take(200).ToList().ForEach(page => cpu.FreePages(page));
        VirtualAddress exact = cpu.Slab.AllocNode(cache, Gfp.Kernel | Gfp.ThisNode, 0);
        machine.Slab.DescribeSlabAt(exact)!.Node.Should().Be(0);
        machine.Verify();
    }

    [Theory]
    [InlineData("slab", "6.1")]
    [InlineData("slub", "6.1")]
    [InlineData("slub", "7.3")]
    public void Where_the_own_node_has_nothing_left_objects_come_from_the_next(string implementation, string kernel)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M", cpus: 2).WithKernel(kernel).WithNodes("128M", "128M").WithCommandLine($"slab_allocator={implementation}"));
        Cpu cpu = machine.Cpus.First(c => c.Node.Id == 0);
        KmemCache cache = machine.Slab.CreateCache("elsewhere", 1024, flags: SlabFlags.TypesafeByRcu);
        cpu.AllocateAll(Gfp.NoWait | Gfp.ThisNode);
        VirtualAddress[] objects = [.. Enumerable.Range(0, 200).Select(_ => cpu.Alloc(cache, Gfp.NoWait))];
        objects.Should().NotContain(default(VirtualAddress));
        machine.Slab.DescribeSlabAt(objects[^1])!.Node.Should().Be(1);
        machine.Verify();
    }

    [Theory]
    [InlineData("slab", "6.1")]
    [InlineData("slub", "6.1")]
    [InlineData("slub", "6.18")]
    [InlineData("slub", "7.3")]
    public void A_constructor_may_take_an_object_of_the_same_cache(string implementation, string kernel)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithKernel(kernel).WithCommandLine($"slab_allocator={implementation}"));
        Cpu cpu = machine.Cpus[0];
        KmemCache? itself = null;
        List<VirtualAddress> inner = [];
        bool isInside = false;
        itself = machine.Slab.CreateCache("inward", 512, new KmemCacheArgs
        {
            Constructor = (cpu, _) =>
            {
                if (!isInside)
                {
                    isInside = true;
                    inner.Add(cpu.Alloc(itself!, Gfp.Kernel));
                    isInside = false;
                }
            },
        });
        List<VirtualAddress> all = [.. Enumerable.Range(0, 100).Select(_ => cpu.Alloc(itself, Gfp.Kernel))];
        all.AddRange(inner);
        all.Should().OnlyHaveUniqueItems().And.NotContain(default(VirtualAddress));
        machine.Verify();
        all.ForEach(obj => cpu.Free(itself, obj));
        machine.Verify();
        machine.Slab.DestroyCache(itself).Should().BeTrue();
    }

    [Theory]
    [InlineData("slab", "6.1")]
    [InlineData("slub", "6.1")]
    [InlineData("slub", "6.18")]
    [InlineData("slub", "7.3")]
    public void A_constructor_that_takes_an_object_of_its_cache_each_time_overflows_the_stack(string implementation, string kernel)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithKernel(kernel).WithCommandLine($"slab_allocator={implementation}"));
        Cpu cpu = machine.Cpus[0];
        KmemCache? itself = null;
        itself = machine.Slab.CreateCache("endless", 512, new KmemCacheArgs { Constructor = (cpu, _) => cpu.Alloc(itself!, Gfp.Kernel) });
        ((Action)(() => cpu.Alloc(itself, Gfp.Kernel))).Should().Throw<KernelBugException>().Which.Kind.Should().Be(KernelBugKind.StackOverflow);
        machine.Verify();
    }

    [Fact]
    public void Who_is_told_of_an_object_must_not_create_a_cache_meanwhile()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        Creating sink = new();
        machine.Tracing.Attach(sink);
        cpu.Kfree(cpu.Kmalloc(100, Gfp.Kernel));
        machine.Tracing.Detach(sink);
        sink.Said.Should().NotBeNull();
        sink.Said!.Kind.Should().Be(KernelBugKind.Deadlock);
        machine.Slab.Find("within").Should().BeNull();
        machine.Verify();
    }

    [Fact]
    public void Who_is_told_of_an_object_must_not_be_given_a_cache_that_is_there_already()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        KmemCache first = machine.Slab.CreateCache("first", 64);
        machine.Slab.CreateCache("alike", 64).Should().BeSameAs(first, "it is merged, and takes no memory");
        Creating sink = new();
        machine.Tracing.Attach(sink);
        cpu.Kfree(cpu.Kmalloc(100, Gfp.Kernel));
        machine.Tracing.Detach(sink);
        sink.Said!.Kind.Should().Be(KernelBugKind.Deadlock);
        machine.Verify();
    }

    [Theory]
    [InlineData("slub", "6.1")]
    [InlineData("slub", "6.12")]
    [InlineData("slub", "6.18")]
    [InlineData("slub", "7.3")]
    public void A_bulk_allocation_that_memory_does_not_suffice_for_leaves_nothing_behind_and_nobody_hears_of_it(string implementation, string kernel)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithKernel(kernel).WithCommandLine($"slab_allocator={implementation}"));
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("all_or_nothing", 2048, new KmemCacheArgs { SheafCapacity = 16 }, SlabFlags.TypesafeByRcu);
        VirtualAddress[] few = new VirtualAddress[40];
        cpu.Slab.AllocBulk(cache, Gfp.Kernel, few).Should().Be(few.Length);
        cpu.Slab.FreeBulk(cache, few);
        long inSheaves = cache.Sheaves?.ObjectsOfCpus ?? 0;
        Counting sink = new();
        machine.Tracing.Attach(sink);

        cpu.Slab.AllocBulk(cache, Gfp.NoWait | Gfp.NoWarn, new VirtualAddress[80_000]).Should().Be(0);

        (sink.Allocated, sink.Freed).Should().Be((0, 0));
        machine.Tracing.Detach(sink);
        machine.Slab.UsageOf(cache).LiveObjects.Should().Be(0);
        (cache.Sheaves?.ObjectsOfCpus ?? 0).Should().Be(0, "what came out of sheaves goes to the slabs: without memory there are bigger problems than empty sheaves");
        (inSheaves > 0).Should().Be(cache.SheafCapacity != 0);
        machine.Verify();
    }

    [Fact]
    public void A_cache_that_has_neither_sheaves_nor_slabs_of_cpus_gives_what_is_freed_in_bulk_back_to_its_slabs()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 2).WithKernel("7.3"));
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.Find("kmem_cache_node")!;
        cache.SheafCapacity.Should().Be(0);
        VirtualAddress[] objects = new VirtualAddress[500];
        cpu.Slab.AllocBulk(cache, Gfp.Kernel, objects).Should().Be(objects.Length);

        cpu.Slab.FreeBulk(cache, objects);

        machine.Slab.SysfsAttribute(cache, "cpu_slabs").Should().Be("0");
        machine.Verify();
    }

    private static Machine Classic(int cpus) => Machine.Boot(MachineSpec.X86_64("128M", cpus).WithCommandLine("slab_allocator=slab"));

    private sealed class Counting : ISlabTraceSink
    {
        public int Allocated { get; private set; }

        public int Freed { get; private set; }

        public void Kmalloc(Cpu cpu, string callSite, VirtualAddress ptr, long bytesReq, long bytesAlloc, Gfp gfp, int node) => Allocated++;

        public void Kfree(Cpu cpu, string callSite, VirtualAddress ptr) => Freed++;

        public void KmemCacheAlloc(Cpu cpu, string callSite, VirtualAddress ptr, KmemCache cache, Gfp gfp, int node) => Allocated++;

        public void KmemCacheFree(Cpu cpu, string callSite, VirtualAddress ptr, KmemCache cache) => Freed++;
    }

    private sealed class Creating : ISlabTraceSink
    {
        public KernelBugException? Said { get; private set; }

        public void Kmalloc(Cpu cpu, string callSite, VirtualAddress ptr, long bytesReq, long bytesAlloc, Gfp gfp, int node)
        {
            try
            {
                cpu.Machine.Slab.CreateCache("within", 64);
            }
            catch (KernelBugException bug)
            {
                Said = bug;
            }
        }

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
}
