using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Slab;

/// <summary>Bulk calls: the quick way does what the careful way does, and a bulk free with a bad object changes nothing.</summary>
public sealed class SlabBulkTests
{
    private const int Objects = 200;

    [Theory]
    [InlineData("slub", 1)]
    [InlineData("slub", 2)]
    [InlineData("slab", 1)]
    [InlineData("slab", 2)]
    public void Quick_and_careful_bulk_frees_give_the_same_machine(string implementation, int seed)
    {
        using Machine quick = Boot(implementation);
        using Machine careful = Boot(implementation);

        // Whoever listens to tracepoints wants each object on its own: that is the careful way.
        careful.Tracing.Attach(new Deaf());
        List<ulong> expected = Churn(careful, seed);
        List<ulong> actual = Churn(quick, seed);
        actual.Should().Equal(expected);
        quick.Slab.SlabInfo.Should().Be(careful.Slab.SlabInfo);
        quick.Verify();
    }

    [Theory]
    [InlineData("slub")]
    [InlineData("slab")]
    public void A_bad_object_anywhere_in_a_bulk_free_changes_nothing(string implementation)
    {
        using Machine machine = Boot(implementation);
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("mine", 256, flags: SlabFlags.TypesafeByRcu);
        KmemCache other = machine.Slab.CreateCache("other", 256, flags: SlabFlags.TypesafeByRcu);
        VirtualAddress[] objects = new VirtualAddress[60];
        cpu.Slab.AllocBulk(cache, Gfp.Kernel, objects).Should().Be(objects.Length);
        VirtualAddress foreign = cpu.Alloc(other, Gfp.Kernel);
        VirtualAddress freed = cpu.Alloc(cache, Gfp.Kernel);
        cpu.Free(cache, freed);
        string before = machine.Slab.SlabInfo;
        foreach (int place in (int[])[0, 1, 15, 16, 17, 30, 58, 59])
        {
            Refused(place, objects[place] + 8, KernelBugKind.InvalidObject);
            Refused(place, objects[(place + 1) % 60], KernelBugKind.DoubleFree);
            Refused(place, objects[(place + 30) % 60], KernelBugKind.DoubleFree);
            Refused(place, freed, KernelBugKind.DoubleFree);
            Refused(place, foreign, KernelBugKind.WrongCache);
            Refused(place, default, KernelBugKind.InvalidObject);
        }

        machine.Slab.SlabInfo.Should().Be(before);
        machine.Verify();
        cpu.Slab.FreeBulk(cache, [.. objects]);
        machine.Verify();
        cpu.Free(other, foreign);
        machine.Slab.DestroyCache(cache);

        void Refused(int place, VirtualAddress bad, KernelBugKind kind)
        {
            VirtualAddress[] list = [.. objects];
            list[place] = bad;
            Action free = () => cpu.Slab.FreeBulk(cache, list);
            free.Should().Throw<KernelBugException>().Which.Kind.Should().Be(kind);
        }
    }

    private static Machine Boot(string implementation) =>
        Machine.Boot(MachineSpec.X86_64("128M", cpus: 2).WithoutContents().WithCommandLine($"slab_allocator={implementation}"));

    private static List<ulong> Churn(Machine machine, int seed)
    {
        Random random = new(seed);
        KmemCache cache = machine.Slab.CreateCache("churned", 256, flags: SlabFlags.TypesafeByRcu);
        List<VirtualAddress> live = [];
        List<ulong> seen = [];
        for (int round = 0; round < 300; round++)
        {
            Cpu cpu = machine.Cpus[random.Next(2)];
            VirtualAddress[] some = new VirtualAddress[random.Next(1, Objects)];
            cpu.Slab.AllocBulk(cache, Gfp.Kernel, some);
            live.AddRange(some);
            foreach (VirtualAddress obj in some)
            {
                seen.Add(obj.Value);
            }

            if (round % 3 == 0)
            {
                // Now and then in an order in which slabs alternate.
                VirtualAddress[] mixed = [.. live];
                random.Shuffle(mixed);
                live = [.. mixed];
            }

            int count = random.Next(Math.Min(live.Count, Objects) + 1);
            int from = random.Next(live.Count - count + 1);
            VirtualAddress[] gone = [.. live.GetRange(from, count)];
            live.RemoveRange(from, count);
            machine.Cpus[random.Next(2)].Slab.FreeBulk(cache, gone);
        }

        return seen;
    }

    /// <summary>Hears everything and does nothing.</summary>
    private sealed class Deaf : ISlabTraceSink
    {
        public void Kmalloc(Cpu cpu, string callSite, VirtualAddress ptr, long bytesReq, long bytesAlloc, Gfp gfp, int node)
        {
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
