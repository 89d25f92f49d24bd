using FluentAssertions;
using MemSim.Slab;
using Xunit;

namespace MemSim.Tests.Slab;

/// <summary>Sheaves are objects of kmalloc's caches themselves; those of <c>kfree_rcu()</c>; those that are lent.</summary>
public class SheafMemoryTests
{
    [Theory]
    [InlineData(64, "kmalloc-512", 60)]
    [InlineData(512, "kmalloc-256", 28)]
    [InlineData(1024, "kmalloc-128", 12)]
    [InlineData(4096, "kmalloc-64", 4)]
    public void A_cache_has_a_sheaf_for_each_cpu_of_the_class_that_it_fills(int size, string kmalloc, int capacity)
    {
        using Machine machine = Boot("7.3");
        machine.Slab.DestroyCache(machine.Slab.CreateCache("first", size));
        Sites sites = Listen(machine);
        long before = InUse(machine, kmalloc);

        KmemCache cache = machine.Slab.CreateCache("objects", size);

        cache.SheafCapacity.Should().Be(capacity);
        sites.Requests.Should().HaveCount(2).And.OnlyContain(r => r == $"alloc_empty_sheaf {32 + (8 * capacity)} of {32 + (8 * capacity)} GFP_KERNEL|__GFP_ZERO");
        InUse(machine, kmalloc).Should().Be(before + 2);
        machine.Verify();

        machine.Slab.DestroyCache(cache).Should().BeTrue();
        InUse(machine, kmalloc).Should().Be(before);
        machine.Slab.FindLiveObjects().Should().BeEmpty();
        machine.Verify();
    }

    [Fact]
    public void A_free_that_needs_a_sheaf_asks_as_recorded()
    {
        using Machine machine = Boot("6.18");
        KmemCache cache = machine.Slab.CreateCache("areas", 192, new KmemCacheArgs { SheafCapacity = 32 });
        Cpu cpu = machine.Cpus[0];
        VirtualAddress[] objects = [.. Enumerable.Range(0, 200).Select(_ => cpu.Alloc(cache, Gfp.Kernel))];
        long before = InUse(machine, "kmalloc-512");
        before.Should().Be(3, "two main sheaves, and one that was filled");
        Sites sites = Listen(machine);
        int made = 0;
        foreach (VirtualAddress obj in objects)
        {
            cpu.Free(cache, obj);
            made += sites.Requests.Count > made ? 1 : 0;
        }

        // amd64k618-256M-smp1-fork-full: bytes_req=288 bytes_alloc=512 gfp_flags=GFP_NOWAIT|__GFP_ZERO.
        sites.Requests.Should().HaveCountGreaterThan(3).And.OnlyContain(r => r == "alloc_empty_sheaf 288 of 512 GFP_NOWAIT|__GFP_ZERO");
        made.Should().Be(sites.Requests.Count, "each was asked for by a free of its own");
        InUse(machine, "kmalloc-512").Should().Be(before + made);
        machine.Verify();

        machine.Slab.ShrinkCache(cache);
        InUse(machine, "kmalloc-512").Should().Be(2, "the CPUs' main sheaves stay");
        machine.Verify();
    }

    [Fact]
    public void Without_memory_for_a_sheaf_frees_and_allocations_go_to_the_slabs()
    {
        using Machine machine = Boot("7.3");
        KmemCache cache = machine.Slab.CreateCache("objects", 512);
        Cpu cpu = machine.Cpus[0];
        VirtualAddress[] objects = [.. Enumerable.Range(0, 200).Select(_ => cpu.Alloc(cache, Gfp.Kernel))];
        using (machine.FaultInjection.Arm(FaultRule.EveryNth(1) with { Points = FaultPoints.FailSlab, Cache = "kmalloc-256" }))
        {
            Array.ForEach(objects, obj => cpu.Free(cache, obj));
            cache.Sheaves!.Value.Should().Match<SheafCounts>(c => c.ObjectsOfCpus <= 2 * 28 && c.FullInBarns == 0 && c.Flushes >= 5);
            machine.Verify();
            machine.Slab.ShrinkCache(cache);
            cpu.Alloc(cache, Gfp.Kernel).IsNull.Should().BeFalse();
        }

        machine.Verify();
    }

    [Fact]
    public void A_cache_that_gets_no_sheaf_is_not_made()
    {
        using Machine machine = Boot("7.3");
        using (machine.FaultInjection.Arm(FaultRule.EveryNth(1) with { Points = FaultPoints.FailSlab, Cache = "kmalloc-512" }))
        {
            machine.Slab.TryCreateCache("objects", 64, new KmemCacheArgs(), SlabFlags.None, out KmemCache? none).Should().BeFalse();
            none.Should().BeNull();
        }

        machine.Slab.Find("objects").Should().BeNull();
        machine.Slab.CreateCache("objects", 64).SheafCapacity.Should().Be(60);
        machine.Verify();
    }

    [Fact]
    public void A_kmalloc_cache_whose_sheaves_are_its_own_objects_comes_to_an_end()
    {
        using Machine machine = Boot("7.3");
        Cpu cpu = machine.Cpus[0];
        VirtualAddress[] objects = [.. Enumerable.Range(0, 2000).Select(_ => cpu.Kmalloc(256, Gfp.Kernel))];
        Array.ForEach(objects, cpu.Kfree);
        machine.Verify();
        KmemCache cache = machine.Slab.Find("kmalloc-256")!;
        cache.Sheaves!.Value.FullInBarns.Should().Be(10);
        machine.Slab.FindLiveObjects().Should().BeEmpty();
    }

    [Theory]
    [InlineData("6.1")]
    [InlineData("6.18")]
    [InlineData("7.3")]
    public void Objects_freed_after_a_grace_period_stay_until_it_has_ended(string kernel)
    {
        using Machine machine = Boot(kernel);
        Cpu cpu = machine.Cpus[0];
        VirtualAddress obj = cpu.Kmalloc(1000, Gfp.Kernel);
        VirtualAddress large = cpu.Kmalloc(100_000, Gfp.Kernel);
        cpu.Slab.Span(obj, 4)[0] = 42;

        cpu.Slab.KfreeRcu(obj);
        cpu.Slab.KfreeRcu(large);
        cpu.Slab.KfreeRcu(default);

        VirtualAddress other = cpu.Kmalloc(1000, Gfp.Kernel);
        other.Should().NotBe(obj);
        FluentActions.Invoking(() => cpu.Slab.KfreeRcu(obj)).Should().Throw<KernelBugException>();
        machine.Verify();
        machine.Slab.FindLiveObjects().Should().ContainSingle().Which.Count.Should().Be(1, "only the other one is live");
        cpu.Slab.RcuBarrier();
        cpu.Kfree(other);
        machine.Verify();
        cpu.Slab.KfreeRcu(cpu.Kmalloc(1000, Gfp.Kernel));
        machine.AdvanceTime(TimeSpan.FromSeconds(6));
        machine.Slab.FindLiveObjects().Should().BeEmpty();
        machine.Verify();
    }

    [Fact]
    public void A_full_sheaf_of_freed_objects_is_in_the_barn_after_its_grace_period()
    {
        using Machine machine = Boot("7.3");
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("nodes", 256, new KmemCacheArgs { SheafCapacity = 32 });
        VirtualAddress[] objects = [.. Enumerable.Range(0, 128).Select(_ => cpu.Alloc(cache, Gfp.Kernel))];
        Sites sites = Listen(machine);
        foreach (VirtualAddress obj in objects[..40])
        {
            cpu.Slab.KfreeRcu(obj);
        }

        cache.Sheaves!.Value.Should().Match<SheafCounts>(c => c.ObjectsAwaitingRcu == 40 && c.FullInBarns == 0);
        sites.Requests.Should().OnlyContain(r => r.StartsWith("alloc_empty_sheaf 288", StringComparison.Ordinal));
        machine.Verify();
        machine.AdvanceTime(TimeSpan.FromMilliseconds(11));
        cache.Sheaves!.Value.FullInBarns.Should().Be(0, "readers may still be there");
        machine.AdvanceTime(TimeSpan.FromMilliseconds(1));
        cache.Sheaves!.Value.Should().Match<SheafCounts>(c => c.ObjectsAwaitingRcu == 8 && c.FullInBarns == 1 && c.ObjectsInBarns == 32);
        machine.Verify();
        machine.Slab.DestroyCache(null);
        foreach (VirtualAddress obj in objects[40..])
        {
            cpu.Slab.KfreeRcu(obj);
        }

        machine.Slab.DestroyCache(cache).Should().BeTrue("what waits for a grace period is waited for");
        machine.Verify();
    }

    [Fact]
    public void Shrinking_lets_freed_objects_wait_but_keeps_them_from_the_barn()
    {
        using Machine machine = Boot("7.3");
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("nodes", 1024);
        VirtualAddress[] objects = [.. Enumerable.Range(0, 5).Select(_ => cpu.Alloc(cache, Gfp.Kernel))];
        Array.ForEach(objects, cpu.Slab.KfreeRcu);
        machine.Slab.ShrinkCache(cache).Should().BePositive();
        cache.Sheaves!.Value.ObjectsAwaitingRcu.Should().Be(5);
        cpu.Slab.RcuBarrier();
        cache.Sheaves!.Value.Should().Match<SheafCounts>(c => c.ObjectsAwaitingRcu == 0 && c.FullInBarns == 0);
        machine.Slab.ShrinkCache(cache).Should().Be(0);
    }

    [Theory]
    [InlineData("6.18", 32, 20)]
    [InlineData("6.18", 0, 20)]
    [InlineData("7.3", 32, 20)]
    [InlineData("7.3", 32, 100)]
    [InlineData("7.3", 0, 20)]
    public void A_lent_sheaf_cannot_fail_and_goes_back(string kernel, int capacity, int count)
    {
        using Machine machine = Boot(kernel);
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("nodes", 256, new KmemCacheArgs { SheafCapacity = capacity });
        SlabSheaf sheaf = cpu.Slab.PrefillSheaf(cache, Gfp.Kernel, count)!;
        sheaf.Count.Should().BeGreaterThanOrEqualTo(count);
        machine.Verify();
        HashSet<VirtualAddress> taken = [];
        using (machine.FaultInjection.Arm(FaultRule.EveryNth(1) with { Points = FaultPoints.FailSlab | FaultPoints.FailPageAlloc }))
        {
            for (int i = 0; i < count / 2; i++)
            {
                VirtualAddress obj = cpu.Slab.AllocFromSheaf(sheaf, Gfp.Zero);
                obj.IsNull.Should().BeFalse();
                taken.Add(obj).Should().BeTrue();
            }
        }

        machine.Verify();
        cpu.Slab.RefillSheaf(sheaf, Gfp.Kernel, count + 50).Should().BeTrue();
        sheaf.Count.Should().BeGreaterThanOrEqualTo(count + 50);
        machine.Verify();
        cpu.Slab.ReturnSheaf(sheaf);
        sheaf.IsReturned.Should().BeTrue();
        FluentActions.Invoking(() => cpu.Slab.AllocFromSheaf(sheaf)).Should().Throw<KernelBugException>();
        FluentActions.Invoking(() => cpu.Slab.ReturnSheaf(sheaf)).Should().Throw<KernelBugException>();
        machine.Verify();
        foreach (VirtualAddress obj in taken)
        {
            cpu.Free(cache, obj);
        }

        machine.Slab.FindLiveObjects().Should().BeEmpty();
        machine.Slab.DestroyCache(cache).Should().BeTrue();
        machine.Verify();
    }

    [Fact]
    public void A_lent_sheaf_is_filled_up_in_its_place_and_less_than_all_is_a_failure()
    {
        using Machine machine = Boot("7.3");
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("nodes", 256);
        int capacity = cache.SheafCapacity;
        int slab = cache.ObjectsPerSlab;
        slab.Should().BeLessThan(capacity);
        SlabSheaf sheaf = cpu.Slab.PrefillSheaf(cache, Gfp.Kernel, 5)!;
        while (sheaf.Count != 0)
        {
            cpu.Slab.AllocFromSheaf(sheaf);
        }

        using (machine.FaultInjection.Arm(FaultRule.EveryNth(1) with { Points = FaultPoints.FailPageAlloc, First = 2 }))
        {
            cpu.Slab.RefillSheaf(sheaf, Gfp.Kernel | Gfp.NoWarn, 5).Should().BeFalse("refill_sheaf() answers ENOMEM unless the sheaf is full, whatever was asked for");
            sheaf.Count.Should().BeInRange(5, capacity - 1, "but what one slab more had is in it");
            cpu.Slab.RefillSheaf(sheaf, Gfp.Kernel | Gfp.NoWarn, 5).Should().BeTrue("it has that many");
            int had = sheaf.Count;
            cpu.Slab.RefillSheaf(sheaf, Gfp.Kernel | Gfp.NoWarn, capacity).Should().BeFalse();
            sheaf.Count.Should().Be(had, "it keeps what it had");
        }

        cpu.Slab.RefillSheaf(sheaf, Gfp.Kernel, capacity).Should().BeTrue();
        sheaf.Count.Should().Be(capacity);
        cpu.Slab.ReturnSheaf(sheaf);
        machine.Verify();
    }

    [Fact]
    public void A_returned_sheaf_becomes_the_spare_one_and_the_next_is_filled_up_for_the_barn()
    {
        using Machine machine = Boot("7.3");
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("nodes", 256);
        SlabSheaf first = cpu.Slab.PrefillSheaf(cache, Gfp.Kernel, 5)!;
        SlabSheaf second = cpu.Slab.PrefillSheaf(cache, Gfp.Kernel, 5)!;
        VirtualAddress last = cpu.Slab.AllocFromSheaf(first);
        cpu.Free(cache, last);
        cpu.Slab.AllocFromSheaf(second);
        cpu.Slab.ReturnSheaf(first);
        cache.Sheaves!.Value.FullInBarns.Should().Be(0);
        cpu.Slab.ReturnSheaf(second, Gfp.Kernel);
        cache.Sheaves!.Value.Should().Match<SheafCounts>(c => c.FullInBarns == 1 && c.ObjectsInBarns == 28 && c.ObjectsLent == 0);
        machine.Verify();
    }

    [Theory]
    [InlineData("6.1")]
    [InlineData("6.18")]
    [InlineData("7.3")]
    public void A_large_object_freed_after_a_grace_period_gives_its_pages_back(string kernel)
    {
        using Machine machine = Boot(kernel);
        Cpu cpu = machine.Cpus[0];
        long before = machine.FreePagesAtRest();
        VirtualAddress large = cpu.Kmalloc(50_000, Gfp.Kernel);
        (before - machine.FreePagesAtRest()).Should().Be(16);
        cpu.Slab.KfreeRcu(large);
        machine.FreePagesAtRest().Should().BeLessThan(before, "readers may still look at it");
        cpu.Slab.RcuBarrier();
        machine.FreePagesAtRest().Should().Be(before);
        machine.Verify();
    }

    [Fact]
    public void A_spare_sheaf_with_objects_is_lent_before_any_other()
    {
        using Machine machine = Boot("7.3");
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("nodes", 256);
        SlabSheaf first = cpu.Slab.PrefillSheaf(cache, Gfp.Kernel, 5)!;
        int had = first.Count;
        cpu.Slab.ReturnSheaf(first);
        SheafCounts before = cache.Sheaves!.Value;
        SlabSheaf second = cpu.Slab.PrefillSheaf(cache, Gfp.Kernel, 5)!;
        second.Count.Should().Be(had);
        cache.Sheaves!.Value.Refills.Should().Be(before.Refills, "it was the CPU's spare one");
        cpu.Slab.ReturnSheaf(second);
        machine.Verify();
    }

    [Fact]
    public void The_place_of_a_sheaf_given_back_is_used_for_the_next_of_its_size_and_for_no_larger_one()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithKernel("7.3"));
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("places", 256);
        SheafCache sheaves = (SheafCache)cache.BackendState!;
        ArrayCache own = sheaves.TakeEmpty(cpu, Gfp.Kernel);
        sheaves.GiveEmpty(cpu, own);

        ArrayCache large = sheaves.TakeEmpty(cpu, Gfp.Kernel, 300);
        ArrayCache next = sheaves.TakeEmpty(cpu, Gfp.Kernel);

        large.Equals(own).Should().BeFalse();
        next.Equals(own).Should().BeTrue();
        sheaves.GiveEmpty(cpu, large);
        sheaves.GiveEmpty(cpu, next);
        machine.Verify();
    }

    [Fact]
    public void Kernels_before_6_18_lend_no_sheaf()
    {
        using Machine machine = Boot("6.12");
        KmemCache cache = machine.Slab.CreateCache("nodes", 256);
        FluentActions.Invoking(() => machine.Cpus[0].Slab.PrefillSheaf(cache, Gfp.Kernel, 5)).Should().Throw<InvalidOperationException>().WithMessage("*6.12*6.18*");
    }

    [Fact]
    public void A_snapshot_has_the_sheaves_places_and_what_waits()
    {
        using Machine machine = Boot("7.3");
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("nodes", 2048);
        VirtualAddress[] objects = [.. Enumerable.Range(0, 100).Select(_ => cpu.Alloc(cache, Gfp.Kernel))];
        Array.ForEach(objects[..50], cpu.Slab.KfreeRcu);
        VirtualAddress large = cpu.Kmalloc(50_000, Gfp.Kernel);
        cpu.Slab.KfreeRcu(large);
        SlabSheaf lent = cpu.Slab.PrefillSheaf(cache, Gfp.Kernel, 3)!;
        using Machine copy = machine.Snapshot().Boot();
        copy.Verify();
        InUse(copy, "kmalloc-128").Should().Be(InUse(machine, "kmalloc-128"));
        copy.Cpus[0].Slab.RcuBarrier();
        copy.Verify();
        copy.Slab.Find("nodes")!.Sheaves!.Value.ObjectsAwaitingRcu.Should().Be(0);
        cpu.Slab.ReturnSheaf(lent);
        machine.Verify();
    }

    private static long InUse(Machine machine, string cache) => machine.Slab.UsageOf(machine.Slab.Find(cache)!).LiveObjects;

    private static Sites Listen(Machine machine)
    {
        Sites sites = new();
        machine.Tracing.Attach(sites);
        return sites;
    }

    private static Machine Boot(string kernel) => Machine.Boot(MachineSpec.X86_64("128M", cpus: 2).WithKernel(kernel));

    private sealed class Sites : ISlabTraceSink
    {
        public List<string> Requests { get; } = [];

        public void Kmalloc(Cpu cpu, string callSite, VirtualAddress ptr, long bytesReq, long bytesAlloc, Gfp gfp, int node) => Requests.Add($"{callSite} {bytesReq} of {bytesAlloc} {GfpText.Format(gfp, cpu.Machine.Personality)}");

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
