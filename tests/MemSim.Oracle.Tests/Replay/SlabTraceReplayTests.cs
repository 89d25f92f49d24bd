using FluentAssertions;
using MemSim.Recordings;
using Xunit;

namespace MemSim.Oracle.Tests.Replay;

/// <summary>Recorded slab events drive the slab layer.</summary>
public sealed class SlabTraceReplayTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("memsim").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Every_object_of_a_recording_gets_the_recorded_size_and_every_cache_the_recorded_layout()
    {
        using TraceReplay replay = TraceReplay.Open(ReplayData.Trace("amd64-256M-smp1-idle-full"));

        TraceReplayResult result = replay.Run();

        TraceSlabReplay slab = result.SlabReplay!;
        slab.Comparison.IsExact.Should().BeTrue(string.Join('\n', slab.Comparison.Mismatches));
        Total(slab, "kmalloc bytes_alloc").Should().Be(27);
        Total(slab, "cache bytes_alloc, by rule").Should().Be(140);
        Total(slab, "slab layout").Should().Be(54);
        (slab.Freed + slab.FreesOfUnknown).Should().Be(result.Slab.Frees);
        slab.FreesOfUnknown.Should().Be(result.Slab.FreesOfUnknown);
        slab.LiveObjects.Should().Be(27 + 140 - slab.Freed);
        replay.SlabMachine!.Slab.FindLiveObjects().Sum(o => o.Count).Should().Be(slab.LiveObjects);
        slab.Caches.Should().ContainSingle(c => c.Cache == "maple_node").Which.FreesOfUnknown.Should().Be(38, "maple nodes are allocated in bulk, without an event");
        slab.Caches.Sum(c => c.BytesAllocated).Should().Be(result.Slab.BytesAllocated);
        slab.SlabPages.Should().BePositive().And.BeLessThanOrEqualTo(slab.PeakSlabPages);
        replay.SlabMachine!.Verify();
    }

    [Fact]
    public void The_slab_layer_does_not_disturb_the_prediction_of_frames()
    {
        using TraceReplay replay = TraceReplay.Open(ReplayData.Trace("amd64-256M-smp1-idle-full"));

        TraceReplayResult result = replay.Run();

        replay.SlabMachine.Should().NotBeSameAs(replay.Machine);
        replay.Machine!.Slab.IsUsed.Should().BeFalse();
        result.Predicted.Should().Be(66);
        result.Comparison.Counts.Should().NotContain(c => c.Kind.Contains("bytes_alloc"));
    }

    [Fact]
    public void Two_cpus_hashed_addresses_and_no_known_start_are_no_obstacle()
    {
        using TraceReplay replay = TraceReplay.Open(Path.Combine(AppContext.BaseDirectory, "Data", "import", "smp2-fork-full-hash.head.trace.txt.gz"), _folder);

        TraceSlabReplay slab = replay.Run().SlabReplay!;

        replay.Machine.Should().BeNull();
        replay.SlabMachine!.Cpus.Should().HaveCount(2);
        slab.Comparison.IsExact.Should().BeTrue(string.Join('\n', slab.Comparison.Mismatches));
        slab.Comparison.Total.Should().BeGreaterThan(100);
    }

    [Fact]
    public void An_object_of_another_size_is_shown_with_its_line()
    {
        TraceSlabReplay slab = Replay("kmalloc: call_site=a+0x1/0x2 ptr=ffff888004000000 bytes_req=100 bytes_alloc=192 gfp_flags=GFP_KERNEL node=-1 accounted=false");

        slab.Comparison.Total.Should().Be(1);
        slab.Comparison.Mismatches.Should().ContainSingle().Which.Should().Contain("line 2").And.Contain("192 delivered, 128 here");
    }

    [Fact]
    public void A_slot_that_no_rule_gives_is_shown()
    {
        TraceSlabReplay slab = Replay(
            "kmem_cache_alloc: call_site=a+0x1/0x2 ptr=ffff888004000000 bytes_req=100 bytes_alloc=104 gfp_flags=GFP_KERNEL node=-1 accounted=false",
            "kmem_cache_alloc: call_site=b+0x1/0x2 ptr=ffff888004001000 bytes_req=100 bytes_alloc=114 gfp_flags=GFP_KERNEL node=-1 accounted=false");

        slab.Comparison.Matched.Should().Be(1);
        slab.Comparison.Mismatches.Should().ContainSingle().Which.Should().Contain("114 delivered, 104 here");
    }

    [Fact]
    public void Sysfs_beside_the_trace_tells_the_properties_of_caches()
    {
        string[] events =
        [
            "kmem_cache_alloc: call_site=a+0x1/0x2 ptr=ffff888004000000 bytes_req=100 bytes_alloc=104 gfp_flags=GFP_KERNEL node=-1 accounted=false",
            "kmem_cache_free: call_site=b+0x1/0x2 ptr=ffff888004000000 name=thing",
        ];
        TraceSlabReplay guessed = Replay(events);
        File.WriteAllText(
            Path.Combine(_folder, "slab-sysfs.txt"),
            "name\tobject_size\talign\tred_zone\tpoison\tstore_user\thwcache_align\tcache_dma\treclaim_account\tsanity_checks\tdestroy_by_rcu\tctor\n:0000128\t100\t64\t0\t0\t0\t1\t0\t0\t0\t0\t\n");
        File.WriteAllText(Path.Combine(_folder, "slab-aliases.txt"), "thing\t:0000128\n");
        TraceSlabReplay told = Replay(events);

        guessed.Comparison.IsExact.Should().BeTrue();
        guessed.Caches.Should().ContainSingle().Which.PropertiesKnown.Should().BeFalse();
        told.Comparison.Mismatches.Should().ContainSingle().Which.Should().Contain("104 delivered, 128 here");
        told.Caches.Should().ContainSingle().Which.PropertiesKnown.Should().BeTrue();
    }

    [Fact]
    public void Objects_freed_without_an_event_and_objects_never_seen_allocated_are_counted_apart()
    {
        const string allocation = "kmalloc: call_site=a+0x1/0x2 ptr=ffff888004000000 bytes_req=10000 bytes_alloc=16384 gfp_flags=GFP_KERNEL node=-1 accounted=false";
        TraceSlabReplay slab = Replay(
            allocation,
            allocation,
            "kfree: call_site=b+0x1/0x2 ptr=ffff888004000000",
            "kfree: call_site=b+0x1/0x2 ptr=ffff888004000000",
            "kfree: call_site=b+0x1/0x2 ptr=0000000000000000",
            "kmem_cache_free: call_site=b+0x1/0x2 ptr=ffff888004009000 name=thing");

        slab.FreedWithoutEvent.Should().Be(1);
        slab.Freed.Should().Be(1);
        slab.FreesOfUnknown.Should().Be(2);
        slab.LiveObjects.Should().Be(0);
        slab.PeakSlabPages.Should().Be(4);
        slab.SlabPages.Should().Be(0);
        slab.Caches.Should().ContainSingle().Which.Cache.Should().Be("(pages)");
    }

    [Fact]
    public void Impossible_objects_are_refused_with_their_line()
    {
        Action replay = () => Replay("kmem_cache_alloc: call_site=a+0x1/0x2 ptr=ffff888004000000 bytes_req=0 bytes_alloc=8 gfp_flags=GFP_KERNEL node=-1 accounted=false");

        replay.Should().Throw<InputFileException>().WithMessage("*(2)*impossible*");
    }

    private static long Total(TraceSlabReplay slab, string kind) => slab.Comparison.Counts.Single(c => c.Kind == kind).Total;

    private TraceSlabReplay Replay(params string[] events)
    {
        string path = Path.Combine(_folder, "trace.txt");
        File.WriteAllLines(path, events.Select((e, i) => $"          memcap-98      [000] .....     3.{427140 + i}: {e}").Prepend("# tracer: nop"));
        using TraceReplay replay = TraceReplay.Open(path);
        return replay.Run().SlabReplay!;
    }
}
