using FluentAssertions;
using MemSim.Slab;
using Xunit;

namespace MemSim.Tests.Slab;

/// <summary>What both implementations promise: derive a class a piece that says how to boot.</summary>
public abstract class SlabConformance
{
    private const long Object256 = 256;

    /// <summary>The value of <c>slab_allocator=</c>.</summary>
    protected abstract string Implementation { get; }

    /// <summary>The kernel's version.</summary>
    protected virtual string Kernel => "6.1";

    /// <summary>Bytes of the smallest kmalloc object.</summary>
    protected virtual int SmallestKmalloc => 8;

    protected Machine Boot(string memory = "128M", int cpus = 1, string options = "") =>
        Machine.Boot(MachineSpec.X86_64(memory, cpus).WithKernel(Kernel).WithCommandLine($"slab_allocator={Implementation} {options}"));

    [Fact]
    public void Objects_are_distinct_aligned_and_inside_slab_pages()
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("distinct", 100, align: 32);
        HashSet<ulong> seen = [];
        for (int i = 0; i < 5000; i++)
        {
            VirtualAddress obj = cpu.Alloc(cache, Gfp.Kernel);
            (obj.Value % 32).Should().Be(0);
            seen.Add(obj.Value).Should().BeTrue();
            cpu.Pages.VirtToPage(obj).CompoundHead.Flags.Should().HaveFlag(PageFlags.Slab);
        }

        seen.Order().Zip(seen.Order().Skip(1), (a, b) => b - a).Should().OnlyContain(distance => distance >= 100);
        machine.Verify();
    }

    [Theory]
    [InlineData(8, 8)]
    [InlineData(9, 16)]
    [InlineData(65, 96)]
    [InlineData(97, 128)]
    [InlineData(129, 192)]
    [InlineData(193, 256)]
    [InlineData(8192, 8192)]
    [InlineData(8193, 16384)]
    public void Kmalloc_rounds_up_to_its_size_class(int size, int expected)
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        VirtualAddress obj = cpu.Kmalloc(size, Gfp.Kernel);
        cpu.Slab.Ksize(obj).Should().Be(Math.Max(expected, SmallestKmalloc));
        cpu.Kfree(obj);
        machine.Verify();
    }

    [Fact]
    public void Nothing_is_leaked_after_destroy()
    {
        using Machine machine = Boot(cpus: 2);
        Cpu cpu = machine.Cpus[0];
        machine.Memory.DrainAllPages();
        long before = FreePages(machine);
        KmemCache cache = machine.Slab.CreateCache("short_lived", 700, flags: SlabFlags.HwCacheAlign);
        VirtualAddress[] objects = new VirtualAddress[1000];
        for (int i = 0; i < objects.Length; i++)
        {
            objects[i] = machine.Cpus[i % 2].Alloc(cache, Gfp.Kernel);
        }

        machine.Verify();
        for (int i = 0; i < objects.Length; i++)
        {
            machine.Cpus[i / 3 % 2].Free(cache, objects[i]);
        }

        machine.Verify();
        machine.Slab.DestroyCache(cache).Should().BeTrue();
        machine.Verify();
        long kept = machine.Slab.Caches.Any(c => c.SheafCapacity != 0) ? SlabLeftovers.ShrinkAll(machine) : 0;
        machine.Memory.DrainAllPages();
        (FreePages(machine) + kept).Should().Be(before);
        machine.Slab.Find("short_lived").Should().BeNull();
        cpu.Invoking(c => c.Alloc(cache, Gfp.Kernel)).Should().Throw<KernelBugException>().Which.Kind.Should().Be(KernelBugKind.NotAllocated);
    }

    [Fact]
    public void Destroy_is_refused_with_a_report_while_objects_live()
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("in_use", 64, flags: SlabFlags.HwCacheAlign | SlabFlags.TypesafeByRcu);
        VirtualAddress obj = cpu.Alloc(cache, Gfp.Kernel);
        KernelBugException bug = machine.Slab.Invoking(s => s.DestroyCache(cache)).Should().Throw<KernelBugException>().Which;
        bug.Kind.Should().Be(KernelBugKind.StillInUse);
        bug.Report.Should().Contain(obj.ToString());
        machine.Verify();
        cpu.Free(cache, obj);
        machine.Slab.DestroyCache(cache).Should().BeTrue();
        machine.Verify();
    }

    [Fact]
    public void Bad_frees_are_refused_and_change_nothing()
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        KmemCache mine = machine.Slab.CreateCache("mine", 200, flags: SlabFlags.TypesafeByRcu);
        KmemCache other = machine.Slab.CreateCache("other", 200, flags: SlabFlags.TypesafeByRcu);
        VirtualAddress a = cpu.Alloc(mine, Gfp.Kernel);
        VirtualAddress b = cpu.Alloc(other, Gfp.Kernel);
        VirtualAddress freed = cpu.Alloc(mine, Gfp.Kernel);
        cpu.Free(mine, freed);
        Page page = cpu.AllocPages(Gfp.Kernel, 0);
        Page compound = cpu.AllocPages(Gfp.Kernel | Gfp.Comp, 3);
        string before = machine.Slab.SlabInfo;

        Refused(() => cpu.Free(mine, a + 8), KernelBugKind.InvalidObject);
        Refused(() => cpu.Free(mine, b), KernelBugKind.WrongCache);
        Refused(() => cpu.Free(mine, freed), KernelBugKind.DoubleFree);
        Refused(() => cpu.Free(mine, page.Address), KernelBugKind.InvalidObject);
        Refused(() => cpu.Free(mine, new VirtualAddress(0x1000)), KernelBugKind.InvalidObject);
        Refused(() => cpu.Kfree(a + 1), KernelBugKind.InvalidObject);
        Refused(() => cpu.Kfree(freed), KernelBugKind.DoubleFree);
        Refused(() => cpu.Kfree(page.Address), KernelBugKind.InvalidObject);
        Refused(() => cpu.Kfree(compound.Address), KernelBugKind.InvalidObject);
        Refused(() => cpu.Slab.FreeBulk(mine, [a, a]), KernelBugKind.DoubleFree);
        Refused(() => cpu.Slab.FreeBulk(mine, [a, b]), KernelBugKind.WrongCache);
        Refused(() => cpu.FreePages(cpu.Pages.VirtToPage(a).CompoundHead, cpu.Pages.VirtToPage(a).CompoundHead.Order), KernelBugKind.StillInUse);

        machine.Slab.SlabInfo.Should().Be(before);
        machine.Verify();
        cpu.Kfree(a);
        cpu.Free(other, b);
        cpu.FreePages(page);
        cpu.FreePages(compound, 3);
        machine.Verify();
    }

    [Fact]
    public void Null_and_zero_sized_objects_may_be_freed()
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        VirtualAddress none = cpu.Kmalloc(0, Gfp.Kernel);
        none.Should().Be(new VirtualAddress(0x10));
        cpu.Slab.Ksize(none).Should().Be(0);
        cpu.Kfree(none);
        cpu.Kfree(VirtualAddress.Null);
        cpu.Invoking(c => c.Kmalloc(-1, Gfp.Kernel)).Should().Throw<ArgumentOutOfRangeException>();
        cpu.Kmalloc((4 << 20) + 1, Gfp.Kernel).IsNull.Should().BeTrue();
        cpu.Slab.Kcalloc(1L << 40, 1L << 40, Gfp.Kernel).IsNull.Should().BeTrue();
    }

    [Fact]
    public void Sleeping_flags_in_atomic_context_are_refused()
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("atomic", 64);
        cpu.Kfree(cpu.Kmalloc(64, Gfp.Kernel));
        using (cpu.HardIrq())
        {
            VirtualAddress obj = cpu.Kmalloc(64, Gfp.Atomic);
            obj.IsNull.Should().BeFalse();
            cpu.Kfree(obj);
            Refused(() => cpu.Kmalloc(64, Gfp.Kernel), KernelBugKind.SleepingInAtomic);
            Refused(() => cpu.Alloc(cache, Gfp.Kernel), KernelBugKind.SleepingInAtomic);
            Refused(() => machine.Slab.DestroyCache(cache), KernelBugKind.SleepingInAtomic);
        }

        machine.Verify();
    }

    [Theory]
    [InlineData("", 64, 0)]
    [InlineData("taken", 64, 0)]
    [InlineData("zero", 0, 0)]
    [InlineData("negative", -5, 0)]
    [InlineData("huge", (4 << 20) + 1, 0)]
    [InlineData("align", 64, 48)]
    [InlineData("align", 64, -8)]
    public void Bad_caches_are_refused(string name, int size, int align)
    {
        using Machine machine = Boot();
        machine.Slab.CreateCache("taken", 64);
        int caches = machine.Slab.Caches.Count;
        machine.Slab.Invoking(s => s.CreateCache(name, size, align)).Should().Throw<ArgumentException>();
        machine.Slab.Caches.Count.Should().Be(caches);
    }

    [Fact]
    public void Constructors_run_when_a_slab_is_made_and_only_then()
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        int constructed = 0;
        KmemCache cache = machine.Slab.CreateCache("constructed", 512, constructor: (c, obj) =>
        {
            constructed++;
            SlabContents.Span(c.Machine, obj.Value, 8).Fill(0xc7);
        });
        VirtualAddress obj = cpu.Alloc(cache, Gfp.Kernel);
        int first = constructed;
        ((long)first).Should().Be(machine.Slab.UsageOf(cache).TotalObjects);
        cpu.Slab.Span(obj, 8).ToArray().Should().OnlyContain(b => b == 0xc7);
        cpu.Slab.Span(obj, 8).Fill(1);
        cpu.Free(cache, obj);
        cpu.Alloc(cache, Gfp.Kernel).Should().Be(obj);
        constructed.Should().Be(first);
        cpu.Slab.Span(obj, 8).ToArray().Should().OnlyContain(b => b == 1);
        Refused(() => cpu.Slab.Zalloc(cache, Gfp.Kernel), KernelBugKind.IllegalFlags);
    }

    [Fact]
    public void An_object_too_large_with_its_debugging_data_has_no_cache()
    {
        using Machine machine = Boot();
        machine.Slab.Invoking(s => s.CreateCache("padded", 4 << 20, flags: SlabFlags.RedZone | SlabFlags.StoreUser)).Should().Throw<ArgumentException>();
        machine.Slab.Find("padded").Should().BeNull();
        machine.Verify();
    }

    [Fact]
    public void Another_machine_s_cpu_is_refused()
    {
        using Machine machine = Boot();
        using Machine other = Boot();
        KmemCache cache = machine.Slab.CreateCache("mine", 500);
        VirtualAddress window = machine.AddressSpace.Vmalloc.Start;
        Action[] calls = [() => machine.Slab.ShrinkCache(cache, other.Cpus[0]), () => machine.Slab.DestroyCache(cache, other.Cpus[0]), () => machine.Slab.CreateMempool(2, cache, other.Cpus[0]), () => machine.Mmu.Kernel.Map(other.Cpus[0], window, new Pfn(3), 1, PageProtection.Kernel),
            () => machine.Mmu.CreateTables(other.Cpus[0]), () => machine.Mmu.FlushRange(other.Cpus[0], machine.Mmu.Kernel, window, 4096), () => machine.PerCpu.Balance(other.Cpus[0]),
            () => machine.Memory.Fixmap.Set(other.Cpus[0], machine.Memory.Fixmap.Mappings[0].Name, new PhysicalAddress(4096)), () => machine.Memory.Fixmap.Clear(other.Cpus[0], machine.Memory.Fixmap.Mappings[0].Name)];
        foreach (Action call in calls)
        {
            call.Should().Throw<ArgumentException>();
        }

        machine.Verify();
        other.Verify();
    }

    [Fact]
    public void A_constructor_that_throws_leaves_no_slab()
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        int calls = 0;
        KmemCache cache = machine.Slab.CreateCache("throws", 600, constructor: (_, _) =>
        {
            if (++calls == 3)
            {
                throw new InvalidOperationException("the third object");
            }
        });
        machine.Memory.DrainAllPages();
        long before = FreePages(machine);

        cpu.Invoking(c => c.Alloc(cache, Gfp.Kernel)).Should().Throw<InvalidOperationException>();

        machine.Verify();
        machine.Memory.DrainAllPages();
        FreePages(machine).Should().Be(before);
        cpu.Free(cache, cpu.Alloc(cache, Gfp.Kernel));
        machine.Verify();
        machine.Slab.DestroyCache(cache).Should().BeTrue();
    }

    [Fact]
    public void A_constructor_that_needs_its_own_cache_is_stopped_before_the_host_s_stack_ends()
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        KmemCache? cache = null;
        cache = machine.Slab.CreateCache("nested", 64, constructor: (c, _) => c.Alloc(cache!, Gfp.Kernel));
        Refused(() => cpu.Alloc(cache, Gfp.Kernel), KernelBugKind.StackOverflow);
        machine.Verify();
        machine.Slab.FindLiveObjects().Should().BeEmpty();
    }

    [Fact]
    public void The_largest_object_is_one_span_and_can_be_copied()
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        byte[] bytes = new byte[3 << 20];
        bytes[^1] = 7;
        VirtualAddress copy = cpu.Slab.Kmemdup(bytes, Gfp.Kernel);
        Span<byte> all = cpu.Slab.Span(copy, 4 << 20);
        all[(3 << 20) - 1].Should().Be(7);
        all[^1] = 8;
        cpu.Read<byte>(copy + ((4 << 20) - 1)).Should().Be(8);
        cpu.Kfree(copy);
    }

    [Fact]
    public void Compatible_caches_are_merged_unless_forbidden()
    {
        using Machine merging = Boot();
        KmemCache first = merging.Slab.CreateCache("first", 120);
        merging.Slab.CreateCache("second", 116).Should().BeSameAs(first);
        merging.Slab.CreateCache("reclaimable", 120, flags: SlabFlags.ReclaimAccount).Should().NotBeSameAs(first);
        merging.Slab.Find("second").Should().BeSameAs(first);
        merging.Slab.DestroyCache(first).Should().BeTrue();
        merging.Cpus[0].Alloc(first, Gfp.Kernel).IsNull.Should().BeFalse();

        using Machine apart = Boot(options: "slab_nomerge");
        apart.Slab.CreateCache("first", 120).Should().NotBeSameAs(apart.Slab.CreateCache("second", 116));
    }

    [Fact]
    public void Objects_freed_on_another_cpu_come_back()
    {
        using Machine machine = Boot(cpus: 2);
        KmemCache cache = machine.Slab.CreateCache("remote", (int)Object256, flags: SlabFlags.TypesafeByRcu);
        for (int round = 0; round < 50; round++)
        {
            VirtualAddress[] objects = new VirtualAddress[300];
            for (int i = 0; i < objects.Length; i++)
            {
                objects[i] = machine.Cpus[0].Alloc(cache, Gfp.Kernel);
            }

            foreach (VirtualAddress obj in objects)
            {
                machine.Cpus[1].Free(cache, obj);
            }
        }

        machine.Verify();
        machine.Slab.ShrinkCache(cache).Should().Be(0);
        machine.Verify();
    }

    [Fact]
    public void Bulk_allocations_are_all_or_nothing()
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("bulk", 2048);
        VirtualAddress[] few = new VirtualAddress[100];
        cpu.Slab.AllocBulk(cache, Gfp.Kernel, few).Should().Be(100);
        few.Should().OnlyHaveUniqueItems();
        machine.Verify();
        VirtualAddress[] many = new VirtualAddress[40000];
        cpu.Slab.AllocBulk(cache, Gfp.NoWait | Gfp.NoWarn, many).Should().Be(0);
        machine.Verify();
        cpu.Slab.FreeBulk(cache, few);
        machine.Verify();
        machine.Slab.ShrinkCache(cache).Should().Be(0);
    }

    [Fact]
    public void Without_memory_the_null_address_comes_back()
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        List<VirtualAddress> objects = [];
        for (; ; )
        {
            VirtualAddress obj = cpu.Kmalloc(4000, Gfp.NoWait);
            if (obj.IsNull)
            {
                break;
            }

            objects.Add(obj);
        }

        objects.Should().NotBeEmpty();
        machine.Slab.LastFailureReport.Should().Contain("kmalloc-4k");
        machine.Verify();
        objects.ForEach(cpu.Kfree);
        machine.Verify();
    }

    [Fact]
    public void Works_without_contents_of_ram_and_without_managed_garbage()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M").WithCommandLine($"slab_allocator={Implementation}").WithoutContents());
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("plain", 256);
        VirtualAddress[] objects = new VirtualAddress[1000];
        Run();
        ManagedBytes.TakenBy(Run).Should().Be(0);
        machine.Verify();

        void Run()
        {
            for (int i = 0; i < objects.Length; i++)
            {
                objects[i] = (i & 1) != 0 ? cpu.Kzalloc(i, Gfp.Kernel) : cpu.Alloc(cache, Gfp.Kernel);
            }

            for (int i = 0; i < objects.Length; i++)
            {
                cpu.Kfree(objects[i]);
            }

            cpu.Slab.AllocBulk(cache, Gfp.Kernel, objects);
            cpu.Slab.FreeBulk(cache, objects);
        }
    }

    [Fact]
    public void Krealloc_keeps_the_contents()
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        VirtualAddress small = cpu.Slab.Kmemdup([1, 2, 3, 4, 5], Gfp.Kernel);
        cpu.Slab.Krealloc(small, 8, Gfp.Kernel).Should().Be(small);
        VirtualAddress large = cpu.Slab.Krealloc(small, 10000, Gfp.Kernel | Gfp.Zero);
        cpu.Slab.Ksize(large).Should().Be(16384);
        cpu.Slab.Span(large, 5).ToArray().Should().Equal(1, 2, 3, 4, 5);
        Refused(() => cpu.Slab.Span(large, 16385), KernelBugKind.NotAllocated);
        Refused(() => cpu.Kfree(small), KernelBugKind.DoubleFree);
        cpu.Slab.Krealloc(large, 0, Gfp.Kernel).Should().Be(SlabAllocator.ZeroSizePointer);
        machine.Verify();
    }

    [Fact]
    public void Kinds_of_kmalloc_memory_come_from_their_zone_and_are_counted()
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        VirtualAddress dma = cpu.Kmalloc(64, Gfp.Kernel | Gfp.Dma);
        cpu.Pages.VirtToPage(dma).Zone.Type.Should().Be(ZoneType.Dma);
        long reclaimable = machine.Slab.ReclaimablePages(0);
        VirtualAddress obj = cpu.Kmalloc(64, Gfp.Kernel | Gfp.Reclaimable);
        machine.Slab.ReclaimablePages(0).Should().BeGreaterThan(reclaimable);
        long unreclaimable = machine.Slab.UnreclaimablePages(0);
        VirtualAddress large = cpu.Kmalloc(100_000, Gfp.Kernel);
        machine.Slab.UnreclaimablePages(0).Should().Be(unreclaimable + 32);
        machine.Verify();
        cpu.Kfree(large);
        cpu.Kfree(obj);
        cpu.Kfree(dma);
        machine.Verify();
    }

    [Fact]
    public void A_disposed_machine_refuses_every_call()
    {
        Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("gone", 100);
        VirtualAddress obj = cpu.Alloc(cache, Gfp.Kernel);
        VirtualAddress other = cpu.Alloc(cache, Gfp.Kernel);
        VirtualAddress small = cpu.Kmalloc(64, Gfp.Kernel);
        VirtualAddress large = cpu.Kmalloc(100_000, Gfp.Kernel);
        machine.Dispose();

        Action[] calls =
        [
            () => cpu.Kmalloc(64, Gfp.Kernel), () => cpu.Kmalloc(0, Gfp.Kernel), () => cpu.Kmalloc(100_000, Gfp.Kernel), () => cpu.Kzalloc(64, Gfp.Kernel), () => cpu.Slab.KmallocNode(64, Gfp.Kernel, 0),
            () => cpu.Kfree(small), () => cpu.Kfree(large), () => cpu.Kfree(default), () => cpu.Kfree(obj), () => cpu.Slab.Ksize(small), () => cpu.Slab.Krealloc(small, 200, Gfp.Kernel),
            () => cpu.Alloc(cache, Gfp.Kernel), () => cpu.Free(cache, obj), () => cpu.Free(cache, default), () => cpu.Slab.AllocBulk(cache, Gfp.Kernel, new VirtualAddress[2]),
            () => cpu.Slab.FreeBulk(cache, new[] { obj, other }), () => machine.Slab.CreateCache("another", 8), () => machine.Slab.DestroyCache(cache), () => machine.Slab.ShrinkCache(cache),
            () => machine.Slab.Tick(), () => _ = machine.Slab.SlabInfo, () => machine.Slab.SetSlabInfo("gone 1 1 0"),
        ];
        foreach (Action call in calls)
        {
            call.Should().Throw<ObjectDisposedException>();
        }
    }

    [Fact]
    public void Node_counters_and_proc_views_count_slab_pages()
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        VirtualAddress obj = cpu.Kmalloc(64, Gfp.Kernel | Gfp.Reclaimable);
        VirtualAddress large = cpu.Kmalloc(100_000, Gfp.Kernel);
        long reclaimable = machine.Slab.ReclaimablePages(0);
        long unreclaimable = machine.Slab.UnreclaimablePages(0);

        reclaimable.Should().BePositive();
        unreclaimable.Should().BeGreaterThanOrEqualTo(32);
        machine.Nodes[0].Counters.SlabReclaimable.Should().Be(reclaimable);
        machine.Nodes[0].Counters.SlabUnreclaimable.Should().Be(unreclaimable);
        machine.Proc.VmStat.Should().Contain($"nr_slab_reclaimable {reclaimable}\n").And.Contain($"nr_slab_unreclaimable {unreclaimable}\n");
        machine.Proc.MemInfo.Should().MatchRegex($"Slab: +{(reclaimable + unreclaimable) * 4} kB");
        cpu.Kfree(large);
        cpu.Kfree(obj);
    }

    protected static void Refused(Action action, KernelBugKind kind) =>
        action.Should().Throw<KernelBugException>().Which.Kind.Should().Be(kind);

    private static long FreePages(Machine machine) => machine.Zones.Sum(z => z.TrueFreePages);
}

public sealed class SlubConformanceTests : SlabConformance
{
    protected override string Implementation => "slub";
}

/// <summary>SLUB of the kernel whose caches all have sheaves.</summary>
public sealed class SlubOf7_3ConformanceTests : SlabConformance
{
    protected override string Implementation => "slub";

    protected override string Kernel => "7.3";
}
