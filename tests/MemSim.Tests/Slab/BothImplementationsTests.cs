using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Slab;

/// <summary>More cases that hold for both implementations: several host threads, debugging, other architectures, destroyed caches.</summary>
public class BothImplementationsTests
{
    [Theory]
    [InlineData("slub", false)]
    [InlineData("slab", false)]
    [InlineData("slub", true)]
    [InlineData("slab", true)]
    public void Threads_driving_cpus_exchange_objects_without_losing_one(string implementation, bool twoNodes)
    {
        MachineSpec spec = MachineSpec.X86_64("256M", cpus: 2).WithCommandLine($"slab_allocator={implementation}").WithParallelCpus().WithoutContents();
        using Machine machine = Machine.Boot(twoNodes ? spec.WithNodes("128M", "128M") : spec);
        KmemCache cache = machine.Slab.CreateCache("exchanged", 256, flags: SlabFlags.TypesafeByRcu);
        long[] mailbox = new long[256];
        void Drive(int id)
        {
            Cpu cpu = machine.Cpus[id];
            ulong random = 88172645463325252 + (ulong)id;
            for (int i = 0; i < 30_000; i++)
            {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                VirtualAddress mine = (random & 256) != 0 ? cpu.Alloc(cache, Gfp.Kernel) : VirtualAddress.Null;
                long theirs = Interlocked.Exchange(ref mailbox[random % 256], (long)mine.Value);
                cpu.Free(cache, new VirtualAddress((ulong)theirs));
                cpu.Kfree(cpu.Kmalloc((long)(random % 4000), Gfp.Atomic));
            }
        }

        Thread[] threads = [new(() => Drive(0)), new(() => Drive(1))];
        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());
        machine.Verify();
        machine.Slab.DescribeSlabs(cache).Sum(slab => slab.Objects.Count(o => o == SlabObjectState.Allocated)).Should().Be(mailbox.Count(address => address != 0));
        foreach (long address in mailbox)
        {
            machine.Cpus[0].Free(cache, new VirtualAddress((ulong)address));
        }

        machine.Slab.DestroyCache(cache).Should().BeTrue();
        machine.Verify();
    }

    [Theory]
    [InlineData("slub")]
    [InlineData("slab")]
    public void Writing_beyond_an_object_and_after_free_is_found(string implementation)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithCommandLine($"slab_allocator={implementation}"));
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("watched", 100, flags: SlabFlags.Poison | SlabFlags.RedZone | SlabFlags.ConsistencyChecks | SlabFlags.StoreUser);
        VirtualAddress obj = cpu.Alloc(cache, Gfp.Kernel);
        cpu.Slab.Span(obj, 100).Fill(1);
        cpu.Free(cache, obj);
        cpu.Alloc(cache, Gfp.Kernel).Should().Be(obj);
        machine.Ram.Frame(machine.Memory.ToPhysical(obj).Pfn.Value)[(int)(obj.Value & 4095) + 100] = 7;
        cpu.Invoking(c => c.Free(cache, obj)).Should().Throw<KernelBugException>().Which.Kind.Should().Be(KernelBugKind.Overwritten);
        machine.Verify();
        cpu.Free(cache, obj);
        machine.Ram.Frame(machine.Memory.ToPhysical(obj).Pfn.Value)[(int)(obj.Value & 4095) + 10] = 7;
        cpu.Invoking(c => c.Alloc(cache, Gfp.Kernel)).Should().Throw<KernelBugException>().Which.Kind.Should().Be(KernelBugKind.Overwritten);
        machine.Verify();
        machine.Slab.DestroyCache(cache).Should().BeTrue();
    }

    [Theory]
    [InlineData("slub", Architecture.X86_32)]
    [InlineData("slab", Architecture.X86_32)]
    [InlineData("slub", Architecture.X86_32Pae)]
    [InlineData("slab", Architecture.X86_32Pae)]
    [InlineData("slub", Architecture.Arm64)]
    [InlineData("slab", Architecture.Arm64)]
    public void Every_architecture_serves_every_size(string implementation, Architecture architecture)
    {
        using Machine machine = Machine.Boot(MachineSpec.Preset(architecture, "512M", cpus: 2).WithCommandLine($"slab_allocator={implementation}"));
        Cpu cpu = machine.Cpus[1];
        List<VirtualAddress> objects = [];
        for (int size = 1; size < 20_000; size += 1 + (size / 9))
        {
            VirtualAddress obj = cpu.Kmalloc(size, Gfp.Kernel);
            cpu.Slab.Ksize(obj).Should().BeGreaterThanOrEqualTo(size);
            objects.Add(obj);
        }

        objects.Should().OnlyHaveUniqueItems();
        machine.Verify();
        objects.ForEach(machine.Cpus[0].Kfree);
        machine.Verify();
    }

    [Theory]
    [InlineData("slub")]
    [InlineData("slab")]
    public void A_destroyed_cache_and_its_objects_are_refused(string implementation)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithCommandLine($"slab_allocator={implementation}"));
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("gone", 300, flags: SlabFlags.TypesafeByRcu);
        VirtualAddress obj = cpu.Alloc(cache, Gfp.Kernel);
        cpu.Free(cache, obj);
        machine.Slab.DestroyCache(cache).Should().BeTrue();
        cpu.Invoking(c => c.Alloc(cache, Gfp.Kernel)).Should().Throw<KernelBugException>();
        cpu.Invoking(c => c.Free(cache, obj)).Should().Throw<KernelBugException>();
        machine.Slab.Invoking(s => s.DescribeSlabs(cache)).Should().Throw<ArgumentException>();
        machine.Slab.DescribeSlabAt(obj).Should().BeNull();
        machine.Verify();
    }

    [Theory]
    [InlineData("6.1", "slub")]
    [InlineData("6.18", "slub")]
    [InlineData("7.3", "slub")]
    [InlineData("6.1", "slab")]
    public void An_object_asked_for_on_a_node_lies_there_whatever_the_cpu_has_at_hand(string kernel, string implementation)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M", cpus: 2).WithNodes("128M", "128M").WithKernel(kernel).WithCommandLine($"slab_allocator={implementation}"));
        KmemCache cache = machine.Slab.CreateCache("placed", 256, flags: SlabFlags.TypesafeByRcu);
        foreach (Cpu cpu in machine.Cpus)
        {
            VirtualAddress[] own = [.. Enumerable.Range(0, 20).Select(_ => cpu.Alloc(cache, Gfp.Kernel))];
            Array.ForEach(own, obj => cpu.Free(cache, obj));
        }

        foreach (Cpu cpu in machine.Cpus)
        {
            for (int i = 0; i < 8; i++)
            {
                machine.Slab.DescribeSlabAt(cpu.Slab.AllocNode(cache, Gfp.Kernel, i % 2))!.Node.Should().Be(i % 2, "CPU {0} asked for it", cpu.Id);
            }
        }

        machine.Verify();
    }
}
