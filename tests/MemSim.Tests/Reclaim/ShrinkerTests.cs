using FluentAssertions;
using MemSim.Statistics;
using Xunit;

namespace MemSim.Tests.Reclaim;

/// <summary>Shrinkers: how much they are asked for, what is deferred, and what happens when one misbehaves.</summary>
public sealed class ShrinkerTests : IDisposable
{
    private readonly Machine _machine = Machine.Boot(MachineSpec.X86_64("256M", cpus: 1));
    private readonly RecordingSink _trace = new();

    public ShrinkerTests() => _machine.Tracing.Attach(_trace);

    private Cpu Cpu => _machine.Cpus[0];

    public void Dispose() => _machine.Dispose();

    [Theory]
    [InlineData(12, 2, 4096 * 2 / 4096)]
    [InlineData(6, 2, 4096 * 2 / 64)]
    [InlineData(0, 2, 4096 * 2)]
    [InlineData(6, 4, 4096 / 64)]
    [InlineData(6, 0, 2048)]
    public void The_priority_and_the_seeks_say_how_much_is_asked_for(int priority, int seeks, int scan)
    {
        CountingShrinker shrinker = new(seeks) { Objects = 4096, FreesThem = false };
        _machine.Reclaim.RegisterShrinker(shrinker);
        _machine.Shrinkers.Shrink(Cpu, Gfp.Kernel, _machine.Nodes[0], priority);
        _trace.Log[0].Should().Be($"shrink counting {scan} of 4096 at {priority}, deferred 0");
        shrinker.Asked.Sum().Should().Be(scan / 128 * 128, "128 objects are asked for at a time");
        _trace.Log[1].Should().Be($"shrunk counting 0, deferred {scan - (scan / 128 * 128)}");
    }

    [Fact]
    public void What_was_not_scanned_is_asked_for_later()
    {
        CountingShrinker shrinker = new() { Objects = 4096 };
        _machine.Reclaim.RegisterShrinker(shrinker);
        for (int i = 0; i < 64; i++)
        {
            _machine.Shrinkers.Shrink(Cpu, Gfp.Kernel, _machine.Nodes[0], 12);
        }

        shrinker.Asked.Should().BeEmpty("two objects a time are deferred 64 times, but at this priority only a part of what was deferred counts");
        _machine.Shrinkers.Shrink(Cpu, Gfp.Kernel, _machine.Nodes[0], 0);
        shrinker.FreedObjects.Should().Be(4096);
        _machine.Events[VmEvent.SlabsScanned].Should().Be(8192, "at priority 0 twice the objects are scanned, since each had its chance before");
    }

    [Fact]
    public void A_cache_of_slab_objects_gives_its_pages_back_when_memory_runs_out()
    {
        ObjectCache shrinker = new(_machine);
        _machine.Reclaim.RegisterShrinker(shrinker);
        long managed = _machine.Zones.Sum(z => z.ManagedPages);
        for (long i = 0; i < 3 * managed; i++)
        {
            shrinker.Add(Cpu);
        }

        shrinker.FreedObjects.Should().BeGreaterThan(managed);
        _machine.Verify();
        shrinker.DropAll(Cpu);
        _machine.Verify();
    }

    [Fact]
    public void A_shrinker_that_frees_nothing_delays_nothing_for_ever()
    {
        _machine.Reclaim.RegisterShrinker(new CountingShrinker { Objects = 1 << 20, FreesThem = false });
        List<Page> pages = Cpu.AllocateAll(Gfp.Kernel | Gfp.NoRetry);
        pages.Should().NotBeEmpty();
        _machine.Nodes[0].Counters.KswapdFailures.Should().Be(16);
        foreach (Page page in pages)
        {
            Cpu.FreePages(page, 0);
        }

        _machine.Verify();
    }

    [Fact]
    public void What_a_shrinker_throws_is_reported_and_nothing_is_lost()
    {
        CountingShrinker shrinker = new() { Objects = 4096, Throws = true };
        _machine.Reclaim.RegisterShrinker(shrinker);
        Action allocate = () => Cpu.AllocateAll(Gfp.Kernel | Gfp.NoRetry);
        allocate.Should().Throw<KernelBugException>().WithMessage("BUG: shrinker counting threw InvalidOperationException*the cache is broken*");
        shrinker.LastFailure.Should().BeOfType<InvalidOperationException>();
        _trace.Log.Should().Contain(e => e.StartsWith("shrunk counting 0", StringComparison.Ordinal));
        _machine.Verify();
        shrinker.Throws = false;
        _machine.Shrinkers.Shrink(Cpu, Gfp.Kernel, _machine.Nodes[0], 0);
        shrinker.FreedObjects.Should().Be(4096);
        Cpu.Current.Flags.Should().Be(TaskFlags.None);
        _machine.Verify();
    }

    [Fact]
    public void A_shrinker_is_registered_once_and_asked_only_while_it_is()
    {
        CountingShrinker shrinker = new() { Objects = 4096 };
        _machine.Reclaim.RegisterShrinker(shrinker);
        Action again = () => _machine.Reclaim.RegisterShrinker(shrinker);
        again.Should().Throw<ArgumentException>().WithMessage("shrinker counting is registered already*");
        _machine.Reclaim.UnregisterShrinker(shrinker).Should().BeTrue();
        _machine.Reclaim.UnregisterShrinker(shrinker).Should().BeFalse();
        _machine.Shrinkers.Shrink(Cpu, Gfp.Kernel, _machine.Nodes[0], 0);
        shrinker.Asked.Should().BeEmpty();
    }

    private sealed class CountingShrinker(int seeks = 2) : Shrinker("counting", seeks)
    {
        public long Objects { get; set; }

        public bool FreesThem { get; init; } = true;

        public bool Throws { get; set; }

        public List<long> Asked { get; } = [];

        protected override long CountObjects(in ShrinkRequest request) => Objects;

        protected override long ScanObjects(in ShrinkRequest request)
        {
            if (Throws)
            {
                throw new InvalidOperationException("the cache is broken");
            }

            Asked.Add(request.ToScan);
            long freed = FreesThem ? Math.Min(Objects, request.ToScan) : 0;
            Objects -= freed;
            return freed;
        }
    }

    /// <summary>Objects of a page each that nobody needs.</summary>
    private sealed class ObjectCache(Machine machine) : Shrinker("objects")
    {
        private readonly KmemCache _cache = machine.Slab.CreateCache("objects", 4096, flags: SlabFlags.ReclaimAccount);
        private readonly Queue<VirtualAddress> _objects = [];

        public void Add(Cpu cpu)
        {
            VirtualAddress address = cpu.Alloc(_cache, Gfp.Kernel);
            address.IsNull.Should().BeFalse();
            _objects.Enqueue(address);
        }

        public void DropAll(Cpu cpu)
        {
            while (_objects.TryDequeue(out VirtualAddress address))
            {
                cpu.Free(_cache, address);
            }
        }

        protected override long CountObjects(in ShrinkRequest request) => _objects.Count;

        protected override long ScanObjects(in ShrinkRequest request)
        {
            long freed = 0;
            while (freed < request.ToScan && _objects.TryDequeue(out VirtualAddress address))
            {
                request.Cpu.Free(_cache, address);
                freed++;
            }

            return freed;
        }
    }
}
