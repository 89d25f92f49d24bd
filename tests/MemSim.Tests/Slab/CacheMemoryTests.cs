using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Slab;

/// <summary>A cache needs memory for itself: what happens when there is none.</summary>
public sealed class CacheMemoryTests : MachineTests
{
    [Theory]
    [InlineData("kmem_cache")]
    [InlineData("kmem_cache_node")]
    public void Without_memory_for_the_cache_itself_the_answer_is_NULL_and_nothing_has_changed(string what)
    {
        Machine machine = Boot(MachineSpec.X86_64("96M"));
        int caches = machine.Slab.Caches.Count;
        using (machine.FaultInjection.Arm(FaultRule.EveryNth(1) with { Points = FaultPoints.FailSlab, Cache = what }))
        {
            machine.Slab.TryCreateCache("wanted", 2000, new KmemCacheArgs(), SlabFlags.None, out KmemCache? none).Should().BeFalse();
            none.Should().BeNull();
            machine.Slab.Invoking(s => s.CreateCache("wanted", 2000)).Should().Throw<InvalidOperationException>().WithMessage("kmem_cache_create(wanted) failed with error -12*");
        }

        machine.Slab.Caches.Should().HaveCount(caches);
        machine.Slab.Find("wanted").Should().BeNull();
        machine.Slab.TryCreateCache("wanted", 2000, new KmemCacheArgs(), SlabFlags.None, out KmemCache? cache).Should().BeTrue();
        machine.Slab.Find("wanted").Should().BeSameAs(cache);
    }

    [Fact]
    public void With_SLAB_PANIC_the_kernel_stops()
    {
        Machine machine = Boot(MachineSpec.X86_64("96M"));
        using ArmedFault armed = machine.FaultInjection.Arm(FaultRule.Next(1) with { Cache = "kmem_cache" });
        KernelBugException panic = machine.Slab.Invoking(s => s.CreateCache("vital", 2000, flags: SlabFlags.Panic)).Should().Throw<KernelBugException>().Which;
        panic.Kind.Should().Be(KernelBugKind.Panic);
        panic.Message.Should().StartWith("Kernel panic - not syncing: kmem_cache_create: Failed to create slab 'vital'. Error -12");
        machine.Slab.Find("vital").Should().BeNull();
    }

    [Theory]
    [InlineData(SlabFlags.RedZone)]
    [InlineData(SlabFlags.StoreUser)]
    public void Objects_that_fill_the_largest_block_are_refused_with_a_word_where_something_must_lie_beside_them(SlabFlags flags)
    {
        Machine machine = Boot(MachineSpec.X86_64("96M"));
        machine.Slab.CreateCache("fits", 4 << 20).ObjectsPerSlab.Should().Be(1);
        machine.Slab.Invoking(s => s.CreateCache("too large", 4 << 20, flags: flags)).Should().Throw<ArgumentException>().WithMessage("*does not fit into the largest block*");
    }

    [Fact]
    public void Another_name_of_a_cache_needs_none()
    {
        Machine machine = Boot(MachineSpec.X86_64("96M"));
        KmemCache first = machine.Slab.CreateCache("first", 2000);
        using ArmedFault armed = machine.FaultInjection.Arm(FaultRule.EveryNth(1) with { Points = FaultPoints.FailSlab });
        machine.Slab.CreateCache("second", 2000).Should().BeSameAs(first);
    }

    [Fact]
    public void A_machine_that_is_out_of_memory_makes_no_cache_until_a_page_is_free()
    {
        Machine machine = Boot(MachineSpec.X86_64("96M"));
        Cpu cpu = machine.Cpus[0];
        List<Page> all = [];
        while (cpu.AllocPage(Gfp.Atomic | Gfp.MemAlloc | Gfp.NoWarn) is { IsNull: false } page)
        {
            all.Add(page);
        }

        machine.Slab.TryCreateCache("late", 2000, new KmemCacheArgs(), SlabFlags.None, out _).Should().BeFalse();
        all.ForEach(cpu.FreePage);
        machine.Slab.TryCreateCache("late", 2000, new KmemCacheArgs(), SlabFlags.None, out _).Should().BeTrue();
        machine.Verify();
    }
}
