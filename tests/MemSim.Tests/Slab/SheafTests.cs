using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Slab;

/// <summary>Sheaves and barns: arrays of free objects before the slabs (6.18 for some caches, 7.0 for all).</summary>
public class SheafTests
{
    [Theory]
    [InlineData(8, 60)]
    [InlineData(248, 60)]
    [InlineData(256, 28)]
    [InlineData(1016, 28)]
    [InlineData(1024, 12)]
    [InlineData(4088, 12)]
    [InlineData(4096, 4)]
    public void Capacity_follows_the_slot_size(int size, int capacity)
    {
        using Machine machine = Boot("7.3");
        machine.Slab.CreateCache("objects", size).SheafCapacity.Should().Be(capacity);
    }

    [Fact]
    public void Only_the_boot_caches_and_debugged_ones_have_no_sheaves()
    {
        using Machine machine = Boot("7.0");
        machine.Slab.Caches.Where(c => c.SheafCapacity == 0).Select(c => c.Name).Should().Equal("kmem_cache", "kmem_cache_node");
        machine.Slab.CreateCache("checked", 64, flags: SlabFlags.RedZone).SheafCapacity.Should().Be(0);
        machine.Slab.Caches.Should().OnlyContain(c => c.CpuPartial == 0);
    }

    [Fact]
    public void Linux_6_18_has_sheaves_where_they_were_asked_for_and_cpu_slabs_behind_them()
    {
        using Machine machine = Boot("6.18");
        KmemCache asks = machine.Slab.CreateCache("asks", 256, new KmemCacheArgs { SheafCapacity = 32 });
        machine.Slab.Caches.Where(c => c.SheafCapacity != 0).Should().Equal(asks);
        asks.CpuPartial.Should().Be(52);
        VirtualAddress obj = machine.Cpus[0].Alloc(asks, Gfp.Kernel);
        machine.Slab.SysfsAttribute(asks, "cpu_slabs").Should().Be("1 N0=1");
        asks.Sheaves!.Value.ObjectsOfCpus.Should().Be(31, "a sheaf was filled and one object taken");
        machine.Cpus[0].Free(asks, obj);
        machine.Slab.SysfsAttribute(asks, "sheaf_capacity").Should().Be("32");
        machine.Verify();
    }

    [Fact]
    public void Linux_6_12_ignores_what_is_asked_for()
    {
        using Machine machine = Boot("6.12");
        KmemCache cache = machine.Slab.CreateCache("asks", 256, new KmemCacheArgs { SheafCapacity = 32 });
        cache.SheafCapacity.Should().Be(0);
        cache.Sheaves.Should().BeNull();
        FluentActions.Invoking(() => machine.Slab.SysfsAttribute(cache, "sheaf_capacity")).Should().Throw<ArgumentException>();
    }

    [Fact]
    public void Linux_7_fills_a_sheaf_also_for_who_may_not_sleep_and_6_18_does_not()
    {
        foreach ((string kernel, long left) in (ReadOnlySpan<(string, long)>)[("6.18", 0), ("7.0", 31)])
        {
            using Machine machine = Boot(kernel);
            KmemCache cache = machine.Slab.CreateCache("asks", 256, new KmemCacheArgs { SheafCapacity = 32 });
            machine.Cpus[0].Alloc(cache, Gfp.Atomic);
            cache.Sheaves!.Value.ObjectsOfCpus.Should().Be(left);
            machine.Verify();
        }
    }

    [Fact]
    public void The_object_freed_last_is_allocated_first_whatever_its_slab()
    {
        using Machine machine = Boot("7.3");
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("objects", 700);
        VirtualAddress[] objects = [.. Enumerable.Range(0, 100).Select(_ => cpu.Alloc(cache, Gfp.Kernel))];
        cpu.Free(cache, objects[3]);
        cpu.Free(cache, objects[90]);
        cpu.Alloc(cache, Gfp.Kernel).Should().Be(objects[90]);
        cpu.Alloc(cache, Gfp.Kernel).Should().Be(objects[3]);
        machine.Verify();
    }

    [Fact]
    public void A_refill_takes_just_a_sheaf_and_leaves_the_rest_of_the_slab_to_the_node()
    {
        using Machine machine = Boot("7.3");
        KmemCache cache = machine.Slab.CreateCache("objects", 192, flags: SlabFlags.TypesafeByRcu);
        machine.Cpus[0].Alloc(cache, Gfp.Kernel);
        int perSlab = cache.ObjectsPerSlab;
        int slabs = (cache.SheafCapacity + perSlab - 1) / perSlab;
        machine.Slab.SysfsAttribute(cache, "slabs").Should().Be($"{slabs} N0={slabs}");
        machine.Slab.SysfsAttribute(cache, "objects").Should().Be($"{cache.SheafCapacity} N0={cache.SheafCapacity}", "objects in sheaves are in use for their slabs");
        machine.Slab.SysfsAttribute(cache, "cpu_slabs").Should().Be("0");
        cache.Sheaves!.Value.Refills.Should().Be(1);
        machine.Verify();
    }

    [Fact]
    public void A_full_main_sheaf_becomes_the_spare_then_goes_to_the_barn_until_that_has_ten()
    {
        using Machine machine = Boot("7.3");
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("objects", 2048);
        int capacity = cache.SheafCapacity;
        VirtualAddress[] objects = [.. Enumerable.Range(0, capacity * 20).Select(_ => cpu.Alloc(cache, Gfp.Kernel))];
        long slabs = machine.Slab.UsageOf(cache).Slabs;
        for (int i = 0; i < 2 * capacity; i++)
        {
            cpu.Free(cache, objects[i]);
        }

        cache.Sheaves!.Value.FullInBarns.Should().Be(0, "main sheaf and spare take two");
        for (int i = 2 * capacity; i < 12 * capacity; i++)
        {
            cpu.Free(cache, objects[i]);
        }

        cache.Sheaves!.Value.Should().Match<SheafCounts>(c => c.FullInBarns == 10 && c.BarnPuts == 10 && c.Flushes == 0 && c.ObjectsInBarns == 10 * capacity);
        cpu.Free(cache, objects[12 * capacity]);
        cache.Sheaves!.Value.Should().Match<SheafCounts>(c => c.FullInBarns == 10 && c.BarnPutFails == 1 && c.Flushes == 1);
        machine.Slab.UsageOf(cache).Slabs.Should().BeLessThanOrEqualTo((int)slabs);
        machine.Verify();

        // Another CPU of the node lives on what the barn has.
        machine.Cpus[1].Alloc(cache, Gfp.Kernel);
        cache.Sheaves!.Value.Should().Match<SheafCounts>(c => c.FullInBarns == 9 && c.EmptyInBarns == 1 && c.BarnGets == 1);
        machine.Verify();
    }

    [Fact]
    public void A_barn_that_is_full_takes_no_sheaf_of_objects_whose_grace_period_is_over()
    {
        using Machine machine = Boot("7.3");
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("objects", 2048);
        int capacity = cache.SheafCapacity;
        VirtualAddress[] objects = [.. Enumerable.Range(0, capacity * 14).Select(_ => cpu.Alloc(cache, Gfp.Kernel))];
        Array.ForEach(objects[..(12 * capacity)], obj => cpu.Free(cache, obj));
        cache.Sheaves!.Value.Should().Match<SheafCounts>(c => c.FullInBarns == 10 && c.BarnPutFails == 0);
        Array.ForEach(objects[(12 * capacity)..], cpu.Slab.KfreeRcu);
        long flushes = cache.Sheaves!.Value.Flushes;
        cpu.Slab.RcuBarrier();
        cache.Sheaves!.Value.Should().Match<SheafCounts>(c => c.FullInBarns == 10 && c.ObjectsAwaitingRcu == 0 && c.BarnPutFails == 2 && c.Flushes == flushes + 2);
        machine.Verify();
    }

    [Fact]
    public void Shrinking_a_cache_empties_sheaves_barns_and_slabs()
    {
        using Machine machine = Boot("7.3");
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("objects", 2048);
        VirtualAddress[] objects = [.. Enumerable.Range(0, 300).Select(_ => cpu.Alloc(cache, Gfp.Kernel))];
        Array.ForEach(objects, obj => cpu.Free(cache, obj));
        machine.Cpus[1].Free(cache, machine.Cpus[1].Alloc(cache, Gfp.Kernel));
        machine.Slab.ShrinkCache(cache).Should().Be(0);
        cache.Sheaves!.Value.Should().Match<SheafCounts>(c => c.ObjectsOfCpus == 0 && c.FullInBarns == 0 && c.EmptyInBarns == 0);
        machine.Verify();
        machine.Slab.DestroyCache(cache).Should().BeTrue();
    }

    [Theory]
    [InlineData("6.1")]
    [InlineData("6.18")]
    [InlineData("7.3")]
    public void A_cpu_that_goes_offline_leaves_nothing_behind(string kernel)
    {
        using Machine machine = Boot(kernel);
        KmemCache cache = machine.Slab.CreateCache("objects", 256, new KmemCacheArgs { SheafCapacity = 16 });
        VirtualAddress[] objects = [.. Enumerable.Range(0, 200).Select(_ => machine.Cpus[1].Alloc(cache, Gfp.Kernel))];
        Array.ForEach(objects, obj => machine.Cpus[1].Free(cache, obj));
        machine.Hotplug.OfflineCpu(1);
        (cache.Sheaves?.ObjectsOfCpus ?? 0).Should().Be(0);
        machine.Slab.SysfsAttribute(cache, "slabs_cpu_partial").Should().NotContain("C1=");
        machine.Verify();
    }

    [Fact]
    public void Objects_of_another_node_go_to_their_slab()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M", cpus: 2).WithKernel("7.3").WithNodes("128M", "128M"));
        Cpu away = machine.Cpus.First(c => c.Node.Id == 1);
        Cpu home = machine.Cpus.First(c => c.Node.Id == 0);
        KmemCache cache = machine.Slab.CreateCache("objects", 2048);
        VirtualAddress obj = home.Alloc(cache, Gfp.Kernel);
        long before = cache.Sheaves!.Value.ObjectsOfCpus;
        away.Free(cache, obj);
        cache.Sheaves!.Value.ObjectsOfCpus.Should().Be(before);
        machine.Verify();
    }

    [Fact]
    public void Bulk_calls_take_a_sheafs_objects_in_the_order_they_lie_in_it()
    {
        using Machine machine = Boot("7.3");
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("objects", 1024);
        VirtualAddress[] objects = new VirtualAddress[40];
        cpu.Slab.AllocBulk(cache, Gfp.Kernel, objects).Should().Be(40);
        cpu.Slab.FreeBulk(cache, [objects[5], objects[7], objects[6]]);
        VirtualAddress[] again = new VirtualAddress[3];
        cpu.Slab.AllocBulk(cache, Gfp.Kernel, again);
        again.Should().Equal(objects[5], objects[7], objects[6]);
        cpu.Slab.FreeBulk(cache, objects);
        machine.Verify();
        machine.Slab.UsageOf(cache).LiveObjects.Should().Be(0);
    }

    [Theory]
    [InlineData("6.18")]
    [InlineData("7.3")]
    public void A_snapshot_has_the_same_sheaves(string kernel)
    {
        using Machine machine = Boot(kernel);
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("objects", 512, new KmemCacheArgs { SheafCapacity = 8 });
        VirtualAddress[] objects = [.. Enumerable.Range(0, 150).Select(_ => cpu.Alloc(cache, Gfp.Kernel))];
        Array.ForEach(objects[..100], obj => cpu.Free(cache, obj));
        using Machine twin = machine.Snapshot().Boot();
        KmemCache copy = twin.Slab.Find("objects")!;
        copy.Sheaves.Should().Be(cache.Sheaves);
        twin.Verify();
        for (int i = 0; i < 120; i++)
        {
            twin.Cpus[0].Alloc(copy, Gfp.Kernel).Should().Be(cpu.Alloc(cache, Gfp.Kernel));
        }
    }

    [Fact]
    public void Freeing_an_object_twice_is_noticed_while_it_lies_in_a_sheaf()
    {
        using Machine machine = Boot("7.3");
        Cpu cpu = machine.Cpus[0];
        VirtualAddress obj = cpu.Kmalloc(100, Gfp.Kernel);
        cpu.Kfree(obj);
        FluentActions.Invoking(() => cpu.Kfree(obj)).Should().Throw<KernelBugException>();
        machine.Verify();
    }

    [Fact]
    public void A_free_pointer_inside_keeps_an_rcu_freed_object_small()
    {
        using Machine machine = Boot("7.3");
        KmemCache behind = machine.Slab.CreateCache("behind", 192, new KmemCacheArgs { Align = 64 }, SlabFlags.TypesafeByRcu);
        KmemCache inside = machine.Slab.CreateCache("inside", 192, new KmemCacheArgs { Align = 64, FreePointerOffset = 8 }, SlabFlags.TypesafeByRcu);
        (behind.Size, inside.Size).Should().Be((256, 192));
        FluentActions.Invoking(() => machine.Slab.CreateCache("outside", 192, new KmemCacheArgs { FreePointerOffset = 192 }, SlabFlags.TypesafeByRcu)).Should().Throw<ArgumentException>();
    }

    private static Machine Boot(string kernel) => Machine.Boot(MachineSpec.X86_64("128M", cpus: 2).WithKernel(kernel));
}
