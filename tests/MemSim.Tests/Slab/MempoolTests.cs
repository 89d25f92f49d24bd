using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Slab;

public class MempoolTests
{
    [Theory]
    [InlineData("slub")]
    [InlineData("slab")]
    public void The_reserve_serves_when_memory_is_gone_and_is_refilled_first(string implementation)
    {
        using Machine machine = Boot(implementation);
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("bio", 2048);
        Mempool pool = machine.Slab.CreateMempool(8, cache)!;
        pool.Reserved.Should().Be(8);
        VirtualAddress first = pool.Alloc(cpu, Gfp.NoIo);
        pool.Reserved.Should().Be(8, "there is memory: the reserve is not touched");

        List<Page> hog = TakeEverything(machine);
        List<VirtualAddress> elements = [];
        while (pool.Alloc(cpu, Gfp.NoWait) is { IsNull: false } element)
        {
            elements.Add(element);
        }

        pool.Reserved.Should().Be(0);
        pool.ServedFromReserve.Should().Be(8);
        elements.Count.Should().BeGreaterThanOrEqualTo(8);
        pool.Alloc(cpu, Gfp.NoWait).IsNull.Should().BeTrue("it may not wait");

        pool.Free(cpu, elements[0]);
        pool.Reserved.Should().Be(1);
        pool.Alloc(cpu, Gfp.NoIo).Should().Be(elements[0]);

        elements.ForEach(element => pool.Free(cpu, element));
        pool.Free(cpu, first);
        pool.Reserved.Should().Be(8);
        pool.Outstanding.Should().Be(0);
        machine.Verify();
        pool.Destroy(cpu);
        machine.Slab.DestroyCache(cache).Should().BeTrue();
        hog.ForEach(page => cpu.FreePages(page, page.Order));
        machine.Verify();
    }

    [Fact]
    public void Waiting_for_nobody_is_reported_as_the_deadlock_it_is()
    {
        using Machine machine = Boot("slub");
        Cpu cpu = machine.Cpus[0];
        Mempool pool = machine.Slab.CreateMempool(2, 4096)!;
        List<Page> hog = TakeEverything(machine);
        List<VirtualAddress> elements = [];
        while (pool.Reserved > 0)
        {
            elements.Add(pool.Alloc(cpu, Gfp.NoWait));
        }

        KernelBugException bug = pool.Invoking(p => p.Alloc(cpu, Gfp.NoIo)).Should().Throw<KernelBugException>().Which;
        bug.Kind.Should().Be(KernelBugKind.Deadlock);
        bug.Message.Should().Contain("mempool_alloc");

        int waits = 0;
        pool.Waiting = (p, c) =>
        {
            waits++;
            p.Free(c, elements[^1]);
            elements.RemoveAt(elements.Count - 1);
            return true;
        };
        VirtualAddress got = pool.Alloc(cpu, Gfp.NoIo);
        got.IsNull.Should().BeFalse();
        waits.Should().Be(1);
        using (cpu.HardIrq())
        {
            pool.Alloc(cpu, Gfp.Atomic).IsNull.Should().BeTrue();
            pool.Invoking(p => p.Alloc(cpu, Gfp.NoIo)).Should().Throw<KernelBugException>().Which.Kind.Should().Be(KernelBugKind.SleepingInAtomic);
        }

        elements.ForEach(element => pool.Free(cpu, element));
        pool.Free(cpu, got);
        pool.Destroy(cpu);
        hog.ForEach(page => cpu.FreePages(page, page.Order));
        machine.Verify();
    }

    [Fact]
    public void Pools_are_resized_and_destroyed_without_a_leak()
    {
        using Machine machine = Boot("slub");
        Cpu cpu = machine.Cpus[0];

        // A first pool leaves slabs behind for the pools and their tables of elements.
        Mempool first = machine.Slab.CreatePageMempool(4, order: 2)!;
        first.Resize(cpu, 10);
        first.Destroy(cpu);
        machine.Memory.DrainAllPages();
        long before = machine.Zones.Sum(zone => zone.TrueFreePages);
        Mempool pool = machine.Slab.CreatePageMempool(4, order: 2)!;
        pool.Resize(cpu, 10).Should().BeTrue();
        pool.Reserved.Should().Be(10);
        pool.Resize(cpu, 2).Should().BeTrue();
        pool.Reserved.Should().Be(2);
        VirtualAddress element = pool.Alloc(cpu, Gfp.Kernel);
        machine.TryGetPage(element, out Page page).Should().BeTrue();
        page.Order.Should().Be(2);

        Refused(() => pool.Destroy(cpu), KernelBugKind.StillInUse);
        Refused(() => pool.Free(cpu, element + 4096), KernelBugKind.NotAllocated);
        Refused(() => pool.Alloc(cpu, Gfp.Kernel | Gfp.Zero), KernelBugKind.IllegalFlags);
        pool.Free(cpu, element);
        Refused(() => pool.Free(cpu, element), KernelBugKind.NotAllocated);
        pool.Destroy(cpu);
        Refused(() => pool.Alloc(cpu, Gfp.Kernel), KernelBugKind.NotAllocated);
        machine.Invoking(m => m.Slab.CreateMempool(0, 64)).Should().Throw<ArgumentOutOfRangeException>();
        machine.Invoking(m => m.Slab.CreateMempool(1, 0)).Should().Throw<ArgumentOutOfRangeException>();
        machine.Verify();
        machine.Memory.DrainAllPages();
        machine.Zones.Sum(zone => zone.TrueFreePages).Should().Be(before);
    }

    private static Machine Boot(string implementation) => Machine.Boot(MachineSpec.X86_64("96M").WithCommandLine($"slab_allocator={implementation}"));

    private static List<Page> TakeEverything(Machine machine)
    {
        List<Page> hog = [];
        for (int order = PageGeometry.MaxOrder; order >= 0; order--)
        {
            while (machine.Cpus[0].AllocPages(Gfp.Atomic | Gfp.NoWarn, order) is { IsNull: false } page)
            {
                hog.Add(page);
            }
        }

        return hog;
    }

    private static void Refused(Action action, KernelBugKind kind) => action.Should().Throw<KernelBugException>().Which.Kind.Should().Be(kind);
}
