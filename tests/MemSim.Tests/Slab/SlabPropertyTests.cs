using FluentAssertions;
using FsCheck;
using FsCheck.Fluent;
using Xunit;

namespace MemSim.Tests.Slab;

/// <summary>Both implementations against a naive model: a set of live objects with their sizes and what was written into them.</summary>
public class SlabPropertyTests
{
    private static readonly int[] CacheSizes = [24, 100, 256, 700, 2000, 5000];

    [Theory]
    [InlineData("slub", false, "6.1")]
    [InlineData("slab", false, "6.1")]
    [InlineData("slub", true, "6.1")]
    [InlineData("slab", true, "6.1")]
    [InlineData("slub", false, "7.3")]
    [InlineData("slub", true, "7.3")]
    [InlineData("slub", true, "6.18")]
    public void Agrees_with_a_naive_model(string implementation, bool twoNodes, string kernel)
    {
        var op = Gen.Choose(0, 19).Zip(Gen.Choose(0, 1 << 20), (kind, value) => (Kind: kind, Value: value));
        Prop.ForAll(Arb.From(op.ArrayOf(300)), operations => AgreesWithModel(implementation, twoNodes, kernel, operations))
            .Check(Config.QuickThrowOnFailure.WithMaxTest(25).WithReplay(2026, 1));
    }

    private static bool AgreesWithModel(string implementation, bool twoNodes, string kernel, (int Kind, int Value)[] operations)
    {
        MachineSpec spec = MachineSpec.X86_64("128M", cpus: 2).WithKernel(kernel).WithCommandLine($"slab_allocator={implementation} slab_nomerge");
        using Machine machine = Machine.Boot(twoNodes ? spec.WithNodes("64M", "64M") : spec);
        machine.Memory.DrainAllPages();
        long before = machine.Zones.Sum(zone => zone.TrueFreePages);
        KmemCache[] caches = [.. CacheSizes.Select((size, i) => machine.Slab.CreateCache($"cache{size}", size, flags: i % 2 == 0 ? SlabFlags.HwCacheAlign : SlabFlags.None, constructor: i == 3 ? (_, _) => { } : null))];
        List<(VirtualAddress Address, KmemCache? Cache, int Size, byte Mark)> live = [];
        byte mark = 0;
        foreach ((int kind, int value) in operations)
        {
            Cpu cpu = machine.Cpus[value & 1];
            int which = (value >> 4) % (caches.Length + 2);
            switch (kind)
            {
                case < 9:
                    Take(cpu, which, 1 + (value & 15));
                    break;
                case < 17 when live.Count != 0:
                    for (int i = 0; i < 1 + (value & 15) && live.Count != 0; i++)
                    {
                        Give(cpu, (value + (i * 7)) % live.Count);
                    }

                    break;
                case 17:
                    machine.Slab.ReapCaches();
                    break;
                case 18:
                    machine.Slab.ShrinkCache(caches[which % caches.Length]);
                    break;
                case 19:
                    machine.Verify();
                    break;
                default:
                    break;
            }
        }

        machine.Verify();
        foreach (KmemCache cache in caches)
        {
            machine.Slab.DescribeSlabs(cache).Sum(slab => slab.Objects.Count(o => o == SlabObjectState.Allocated)).Should().Be(live.Count(o => o.Cache == cache));
        }

        while (live.Count != 0)
        {
            Give(machine.Cpus[live.Count & 1], live.Count - 1);
        }

        foreach (KmemCache cache in caches)
        {
            machine.Slab.DestroyCache(cache).Should().BeTrue();
        }

        long kept = SlabLeftovers.ShrinkAll(machine);
        machine.Memory.DrainAllPages();
        (machine.Zones.Sum(zone => zone.TrueFreePages) + kept).Should().Be(before);
        return true;

        void Take(Cpu cpu, int which, int count)
        {
            for (int i = 0; i < count; i++)
            {
                KmemCache? cache = which < caches.Length ? caches[which] : null;
                int size = cache?.ObjectSize ?? (which == caches.Length ? 1 + (count * 37 % 512) : 1 + (count * 1000));
                VirtualAddress obj = cache is not null ? cpu.Alloc(cache, Gfp.Kernel) : cpu.Kmalloc(size, Gfp.Kernel);
                if (obj.IsNull)
                {
                    continue;
                }

                mark++;
                Bytes(obj, size).Fill(mark);
                live.Add((obj, cache, size, mark));
            }
        }

        void Give(Cpu cpu, int index)
        {
            (VirtualAddress address, KmemCache? cache, int size, byte expected) = live[index];
            Bytes(address, size).ContainsAnyExcept(expected).Should().BeFalse("no other object overlaps");
            if (cache is not null)
            {
                cpu.Free(cache, address);
            }
            else
            {
                cpu.Kfree(address);
            }

            live[index] = live[^1];
            live.RemoveAt(live.Count - 1);
        }

        Span<byte> Bytes(VirtualAddress address, int size) => machine.Cpus[0].Slab.Span(address, size);
    }
}
