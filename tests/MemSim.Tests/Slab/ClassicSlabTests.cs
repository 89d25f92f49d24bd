using System.Globalization;
using FluentAssertions;
using MemSim.Kernels;
using MemSim.Slab;
using Xunit;

namespace MemSim.Tests.Slab;

public class ClassicSlabTests
{
    [Theory]
    [InlineData(32, 0, 124, FreelistPlace.OnSlab)]
    [InlineData(64, 0, 64, FreelistPlace.InObject)]
    [InlineData(192, 0, 21, FreelistPlace.InObject)]
    [InlineData(256, 0, 16, FreelistPlace.InObject)]
    [InlineData(4096, 0, 1, FreelistPlace.InObject)]
    [InlineData(1400, 1, 5, FreelistPlace.InObject)]
    [InlineData(8192, 1, 1, FreelistPlace.InObject)]
    public void Slabs_are_laid_out_as_mm_slab_does(int size, int order, int objects, object place)
    {
        ClassicFigures figures = Figures(size, hasConstructor: false);
        (figures.Order, figures.Objects, figures.Place).Should().Be((order, objects, (FreelistPlace)place));
    }

    [Theory]
    [InlineData(512, 8, FreelistPlace.OffSlab)]
    [InlineData(192, 21, FreelistPlace.OnSlab)]
    [InlineData(48, 83, FreelistPlace.OnSlab)]
    public void Constructed_objects_keep_their_contents_so_the_list_lies_elsewhere(int size, int objects, object place)
    {
        ClassicFigures figures = Figures(size, hasConstructor: true);
        (figures.Objects, figures.Place).Should().Be((objects, (FreelistPlace)place));
    }

    [Theory]
    [InlineData(64, 120, 60, 8)]
    [InlineData(512, 54, 27, 8)]
    [InlineData(2048, 24, 12, 8)]
    [InlineData(8192, 8, 4, 0)]
    [InlineData(262144, 1, 1, 0)]
    public void Arrays_are_smaller_for_larger_objects(int size, int limit, int batch, int shared) =>
        ClassicGeometry.Arrays(size, cpus: 2).Should().Be((limit, batch, shared));

    [Fact]
    public void A_poisoned_object_is_handed_out_full_of_5a_and_lies_free_full_of_6b()
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("poisoned", 64, flags: SlabFlags.Poison);
        VirtualAddress obj = cpu.Alloc(cache, Gfp.Kernel);
        byte[] inUse = cpu.Slab.Span(obj, 64).ToArray();
        inUse[..63].Should().OnlyContain(b => b == 0x5a);
        inUse[63].Should().Be(0xa5);
        ulong at = machine.Memory.ToPhysical(obj).Value;
        cpu.Free(cache, obj);
        machine.Ram.Read<byte>(at).Should().Be(0x6b);
        machine.Ram.Read<byte>(at + 63).Should().Be(0xa5);
        machine.Verify();
    }

    [Fact]
    public void Neighbouring_slabs_have_different_colours()
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("coloured", 600, flags: SlabFlags.HwCacheAlign);
        for (int i = 0; i < cache.ObjectsPerSlab * 6; i++)
        {
            cpu.Alloc(cache, Gfp.Kernel);
        }

        // 640 bytes a slot, 6 in a page: 256 bytes are left over, four steps of a cache line. The first slab has colour 1: the counter moves first.
        IReadOnlyList<SlabDescriptor> slabs = machine.Slab.DescribeSlabs(cache);
        slabs.Select(slab => slab.ColourOffset).Distinct().Order().Should().Equal(0, 64, 128, 192);
        slabs.Should().OnlyContain(slab => (slab.SMem - slab.Page.Address) == slab.ColourOffset);
        machine.Verify();
    }

    [Fact]
    public void Objects_come_in_batches_and_go_back_in_batches()
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("batches", 256, flags: SlabFlags.TypesafeByRcu);
        VirtualAddress first = cpu.Alloc(cache, Gfp.Kernel);
        SlabDescriptor slab = machine.Slab.DescribeSlabAt(first)!;
        slab.InUse.Should().Be(Math.Min(16, cache.ObjectsPerSlab), "a CPU that was idle gets at most 16 at a time");
        slab.Objects.Count(o => o == SlabObjectState.Allocated).Should().Be(1);

        List<VirtualAddress> objects = [first];
        for (int i = 0; i < 1000; i++)
        {
            objects.Add(cpu.Alloc(cache, Gfp.Kernel));
        }

        machine.Verify();
        machine.Slab.DescribeSlabs(cache).Count(s => s.State == SlabState.Full).Should().BeGreaterThan(50);
        objects.ForEach(obj => cpu.Free(cache, obj));
        machine.Verify();
        machine.Slab.DescribeSlabs(cache).Sum(s => s.Objects.Count).Should().BeLessThan(400, "beyond the free limit empty slabs go back at once");
        machine.Slab.SlabInfo.Should().MatchRegex(@"batches +\d+ +\d+ +256 +\d+ +\d+ : tunables  120   60    0 :");
    }

    [Fact]
    public void Array_sizes_can_be_written_to_slabinfo()
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("tuned", 256, flags: SlabFlags.TypesafeByRcu);
        List<VirtualAddress> objects = [];
        for (int i = 0; i < 500; i++)
        {
            objects.Add(cpu.Alloc(cache, Gfp.Kernel));
        }

        objects[..200].ForEach(obj => cpu.Free(cache, obj));
        machine.Slab.SetSlabInfo("tuned 6 2 3");
        machine.Verify();
        machine.Slab.SlabInfo.Should().MatchRegex(@"tuned +300 +\d+ +256 +\d+ +\d+ : tunables    6    2    3 : slabdata +\d+ +\d+ +0\n");
        machine.Slab.DescribeSlabs(cache).SelectMany(s => s.Objects).Should().NotContain(SlabObjectState.Cached, "what the old arrays held went back to the slabs");

        objects[200..].ForEach(obj => cpu.Free(cache, obj));
        machine.Slab.DescribeSlabs(cache).SelectMany(s => s.Objects).Count(o => o == SlabObjectState.Cached).Should().BeLessThanOrEqualTo(6 + (3 * 2));
        machine.Verify();
        machine.Slab.DestroyCache(cache).Should().BeTrue();
        machine.Verify();
    }

    [Fact]
    public void A_shared_array_is_as_large_as_its_batches_and_comes_and_goes_with_its_figure()
    {
        using Machine machine = Boot(cpus: 2);
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("shared", 256, flags: SlabFlags.TypesafeByRcu);
        Cached(machine, cpu, cache).Should().Be((120, 60 * 8), "an array of 120 for the CPU, and 8 batches of 60 for the node");
        machine.Slab.SetSlabInfo("shared 20 10 0");
        Cached(machine, cpu, cache).Should().Be((20, 0));
        machine.Slab.SetSlabInfo("shared 20 10 4");
        Cached(machine, cpu, cache).Should().Be((20, 40));
        machine.Slab.DestroyCache(cache).Should().BeTrue();
        machine.Verify();

        // What the arrays of the CPU and of the node hold at most.
        static (int Own, int Shared) Cached(Machine machine, Cpu cpu, KmemCache cache)
        {
            VirtualAddress[] objects = [.. Enumerable.Range(0, 2000).Select(_ => cpu.Alloc(cache, Gfp.Kernel))];
            (int own, int shared) = (0, 0);
            foreach (VirtualAddress obj in objects)
            {
                cpu.Free(cache, obj);
                int now = SharedObjects(machine, "shared");
                shared = Math.Max(shared, now);
                own = Math.Max(own, machine.Slab.DescribeSlabs(cache).SelectMany(s => s.Objects).Count(o => o == SlabObjectState.Cached) - now);
            }

            return (own, shared);
        }
    }

    [Theory]
    [InlineData(256, 120, 60, 8)]
    [InlineData(257, 54, 27, 8)]
    [InlineData(1024, 54, 27, 8)]
    [InlineData(1025, 24, 12, 8)]
    [InlineData(4096, 24, 12, 8)]
    [InlineData(4097, 8, 4, 0)]
    [InlineData(131072, 8, 4, 0)]
    [InlineData(131073, 1, 1, 0)]
    public void The_larger_an_object_the_fewer_are_kept_in_arrays(int size, int limit, int batch, int shared)
    {
        ClassicGeometry.Arrays(size, 2).Should().Be((limit, batch, shared));
        ClassicGeometry.Arrays(size, 1).Should().Be((limit, batch, 0), "one CPU has nobody to share with");
    }

    [Theory]
    [InlineData("tuned 6 2")]
    [InlineData("tuned 6 2 x")]
    [InlineData("tuned 6 2 -1")]
    [InlineData("tuned 0 0 0")]
    [InlineData("tuned 2 6 0")]
    [InlineData("tuned 6 0 0")]
    [InlineData("tuned 100000 1 0")]
    [InlineData("tuned 60000 60000 60000")]
    [InlineData("unheard_of 6 2 0")]
    [InlineData("")]
    public void Bad_lines_for_slabinfo_change_nothing(string line)
    {
        using Machine machine = Boot();
        machine.Slab.CreateCache("tuned", 256);
        string before = machine.Slab.SlabInfo;
        machine.Slab.Invoking(s => s.SetSlabInfo(line)).Should().Throw<ArgumentException>();
        machine.Slab.SlabInfo.Should().Be(before);
    }

    [Fact]
    public void There_is_no_sysfs_for_the_classic_slab_and_no_tunables_for_slub()
    {
        using Machine machine = Boot();
        machine.Slab.Invoking(s => s.SysfsAttribute(s.Find("kmalloc-64")!, "slabs")).Should().Throw<InvalidOperationException>().WithMessage("*no /sys/kernel/slab*");
        using Machine slub = Machine.Boot(MachineSpec.X86_64("128M"));
        slub.Slab.Invoking(s => s.SetSlabInfo("kmalloc-64 6 2 0")).Should().Throw<InvalidOperationException>();
    }

    [Fact]
    public void Slabs_from_the_reserves_serve_only_those_who_may_use_them()
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("reserves", 500, flags: SlabFlags.TypesafeByRcu);
        while (!cpu.AllocPages(Gfp.NoWait | Gfp.NoWarn).IsNull)
        {
        }

        while (machine.Zones.Any(z => z.IsPopulated && z.TrueFreePages > z.MarkMin))
        {
            cpu.AllocPages(Gfp.Atomic | Gfp.NoWarn | Gfp.MemAlloc).IsNull.Should().BeFalse();
        }

        VirtualAddress first = cpu.Alloc(cache, Gfp.NoWait | Gfp.MemAlloc);
        first.IsNull.Should().BeFalse();
        for (int i = 0; i < 3; i++)
        {
            cpu.Alloc(cache, Gfp.NoWait | Gfp.NoWarn).IsNull.Should().BeTrue("the slab has free objects, but not for everybody");
        }

        machine.Verify();
        VirtualAddress second = cpu.Alloc(cache, Gfp.NoWait | Gfp.MemAlloc);
        second.IsNull.Should().BeFalse();
        machine.Slab.DescribeSlabAt(second)!.InUse.Should().BeGreaterThanOrEqualTo(2, "both come from one slab");
        machine.Slab.DescribeSlabAt(first)!.Objects.Should().HaveCountGreaterThan(2);
        cpu.Free(cache, first);
        cpu.Alloc(cache, Gfp.NoWait | Gfp.NoWarn).IsNull.Should().BeTrue("what was freed is still of the reserves");
        cpu.Free(cache, second);
        machine.Verify();
    }

    [Fact]
    public void Ticks_wake_the_reaper_in_the_background()
    {
        using Machine machine = Boot();
        machine.Background.Mode = BackgroundWork.Manual;
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("ticking", 1000);
        VirtualAddress[] objects = [.. Enumerable.Range(0, 40).Select(_ => cpu.Alloc(cache, Gfp.Kernel))];
        Array.ForEach(objects, obj => cpu.Free(cache, obj));
        int before = machine.Slab.DescribeSlabs(cache).Count;

        machine.Slab.Tick();
        machine.Slab.Tick();
        machine.Slab.DescribeSlabs(cache).Should().HaveCount(before, "nothing runs before its time");
        machine.Background.Run().Should().Be(1, "woken twice, it runs once");
        for (int i = 0; i < 50; i++)
        {
            machine.Slab.Tick();
            machine.Background.Run();
        }

        machine.Slab.DescribeSlabs(cache).Should().HaveCountLessThan(before);
        machine.Verify();
    }

    [Fact]
    public void Slabs_grow_beyond_slab_max_order_only_where_an_object_needs_it()
    {
        using Machine machine = Boot();
        using Machine small = Machine.Boot(MachineSpec.X86_64("128M").WithCommandLine("slab_allocator=slab slab_max_order=0"));
        machine.Slab.CreateCache("odd", 1400).Order.Should().Be(1);
        small.Slab.CreateCache("odd", 1400).Order.Should().Be(0);
        small.Slab.CreateCache("large", 5000).Order.Should().Be(1);
    }

    [Fact]
    public void The_reaper_gives_unused_memory_back_bit_by_bit()
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("reaped", 1000);
        List<VirtualAddress> objects = [];
        for (int i = 0; i < 40; i++)
        {
            objects.Add(cpu.Alloc(cache, Gfp.Kernel));
        }

        objects.ForEach(obj => cpu.Free(cache, obj));
        int slabs = machine.Slab.DescribeSlabs(cache).Count;
        slabs.Should().BeGreaterThan(5);
        machine.Slab.ReapCaches();
        machine.Slab.DescribeSlabs(cache).Count.Should().Be(slabs, "everything was in use since the last time");
        for (int i = 0; i < 40; i++)
        {
            machine.Slab.ReapCaches();
            machine.Verify();
        }

        machine.Slab.DescribeSlabs(cache).Should().BeEmpty();
    }

    [Fact]
    public void The_shared_array_hands_objects_to_the_other_cpu()
    {
        using Machine machine = Boot(cpus: 2);
        KmemCache cache = machine.Slab.CreateCache("handed_over", 256, flags: SlabFlags.TypesafeByRcu);
        List<VirtualAddress> objects = [];
        for (int i = 0; i < 300; i++)
        {
            objects.Add(machine.Cpus[0].Alloc(cache, Gfp.Kernel));
        }

        objects.ForEach(obj => machine.Cpus[0].Free(cache, obj));
        machine.Verify();
        objects.Should().Contain(machine.Cpus[1].Alloc(cache, Gfp.Kernel));
        machine.Verify();
    }

    [Fact]
    public void Objects_of_another_node_go_home_in_alien_arrays()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("512M", cpus: 2).WithNodes("256M", "256M").WithCommandLine("slab_allocator=slab"));
        Cpu here = machine.Cpus[0];
        Cpu there = machine.Cpus[1];
        here.Node.Should().NotBe(there.Node);
        KmemCache cache = machine.Slab.CreateCache("travelling", 256, flags: SlabFlags.TypesafeByRcu);
        List<VirtualAddress> objects = [];
        for (int i = 0; i < 200; i++)
        {
            objects.Add(here.Alloc(cache, Gfp.Kernel));
        }

        machine.Slab.DescribeSlabs(cache).Should().OnlyContain(slab => slab.Node == here.Node.Id);
        objects.ForEach(obj => there.Free(cache, obj));
        machine.Verify();
        VirtualAddress remote = here.Slab.AllocNode(cache, Gfp.Kernel, there.Node.Id);
        machine.Slab.DescribeSlabAt(remote)!.Node.Should().Be(there.Node.Id);
        here.Free(cache, remote);
        machine.Verify();
        machine.Slab.ShrinkCache(cache).Should().Be(0);
        machine.Slab.DestroyCache(cache).Should().BeTrue();
        machine.Verify();
    }

    [Fact]
    public void Objects_of_another_node_wait_in_the_array_for_it_until_that_is_full()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("512M", cpus: 2).WithNodes("256M", "256M").WithCommandLine("slab_allocator=slab"));
        Cpu here = machine.Cpus[0];
        Cpu there = machine.Cpus[1];
        KmemCache cache = machine.Slab.CreateCache("travelling", 256, flags: SlabFlags.TypesafeByRcu);
        VirtualAddress[] objects = [.. Enumerable.Range(0, 200).Select(_ => here.Alloc(cache, Gfp.Kernel))];
        (int kept, int shared) = (Kept(), Shared());
        for (int i = 0; i < 12; i++)
        {
            there.Free(cache, objects[i]);
        }

        (Kept(), Shared()).Should().Be((kept + 12, shared), "an array for so many is not full yet");
        there.Free(cache, objects[12]);
        (Kept(), Shared()).Should().Be((kept + 13, shared + 12), "they went home, to the array all CPUs there share");
        machine.Verify();

        int Kept() => machine.Slab.DescribeSlabs(cache).SelectMany(s => s.Objects).Count(o => o == SlabObjectState.Cached);

        int Shared() => SharedObjects(machine, "travelling");
    }

    [Fact]
    public void An_off_slab_list_is_a_kmalloc_object_that_goes_with_its_slab()
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("constructed", 512, constructor: (_, _) => { });
        VirtualAddress obj = cpu.Alloc(cache, Gfp.Kernel);
        SlabDescriptor slab = machine.Slab.DescribeSlabAt(obj)!;
        slab.Freelist.Should().Be("off slab");
        machine.Slab.DescribeSlabAt(slab.FreelistAddress)!.Cache.Should().Be("kmalloc-32");
        cpu.Free(cache, obj);
        machine.Slab.DestroyCache(cache).Should().BeTrue();
        machine.Slab.DescribeSlabAt(slab.FreelistAddress)!.Objects.Should().NotContain(SlabObjectState.Allocated);
        machine.Verify();
    }

    [Fact]
    public void A_slab_is_drawn_with_its_fields()
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("drawn", 256, flags: SlabFlags.TypesafeByRcu | SlabFlags.HwCacheAlign);
        VirtualAddress obj = cpu.Alloc(cache, Gfp.Kernel);
        string text = machine.Slab.DescribeSlabAt(obj)!.Draw();
        text.Should().Contain("drawn: slab at pfn 0x").And.Contain("full, inuse 16 of 16").And.Contain("off slab at ").And.Contain("[ooooooooooooooo#]");
        machine.Slab.Draw(cache).Should().Be(text);
    }

    private static ClassicFigures Figures(int size, bool hasConstructor)
    {
        SlabRules rules = SlabRules.For(Architecture.X86_64, KernelLines.Linux6_1, cpus: 2);
        int slot = ClassicGeometry.SizeOf(size, 8, 8);
        return ClassicGeometry.Compute(rules, slot, size, 8, SlabFlags.None, hasConstructor, maxOrder: 1);
    }

    /// <summary>What the nodes' shared arrays hold.</summary>
    private static int SharedObjects(Machine machine, string cache) =>
        int.Parse(machine.Slab.SlabInfo.Split('\n').Single(l => l.StartsWith($"{cache} ", StringComparison.Ordinal)).Split(' ')[^1], CultureInfo.InvariantCulture);

    private static Machine Boot(int cpus = 1) => Machine.Boot(MachineSpec.X86_64("128M", cpus).WithCommandLine("slab_allocator=slab"));
}
