using System.Text.Json;
using FluentAssertions;
using MemSim.Observability;
using MemSim.Pages;
using Xunit;

namespace MemSim.Tests.Pages;

/// <summary>Frames of free blocks that nobody used are not written by the boot: what the machine does and shows must be the same as if they were.</summary>
public sealed class UntouchedBlocksTests : MachineTests
{
    private static MachineSpec Spec(string memory) => MachineSpec.X86_64(memory, cpus: 2).WithoutContents();

    [Fact]
    public void A_machine_that_wrote_every_frame_at_boot_has_the_same_lists_and_gives_the_same_frames()
    {
        Machine lazy = Boot(Spec("2G"));
        Machine eager = Boot(Spec("2G"));
        eager.Frames.Untouched.TouchAll(0, eager.Frames.Count);
        eager.Frames.Untouched.Count.Should().Be(0);
        lazy.Frames.Untouched.Count.Should().BeGreaterThan(400);
        StateOf(lazy).Should().Be(StateOf(eager));

        Xorshift random = new(88172645463325252);
        List<(Page Lazy, Page Eager, int Order)> live = [];
        for (int call = 0; call < 20_000; call++)
        {
            if (live.Count != 0 && (random.Next() & 3) == 0)
            {
                int i = (int)(random.Next() % (ulong)live.Count);
                lazy.Cpus[0].FreePages(live[i].Lazy, live[i].Order);
                eager.Cpus[0].FreePages(live[i].Eager, live[i].Order);
                live[i] = live[^1];
                live.RemoveAt(live.Count - 1);
                continue;
            }

            int order = (int)(random.Next() % 11);
            Gfp gfp = (random.Next() & 1) == 0 ? Gfp.Kernel | Gfp.NoWarn : Gfp.HighUserMovable | Gfp.NoWarn;
            Page a = lazy.Cpus[0].AllocPages(gfp, order);
            Page b = eager.Cpus[0].AllocPages(gfp, order);
            a.IsNull.Should().Be(b.IsNull);
            if (!a.IsNull)
            {
                a.Pfn.Should().Be(b.Pfn);
                live.Add((a, b, order));
            }
        }

        StateOf(lazy).Should().Be(StateOf(eager));
        lazy.Verify();
    }

    [Fact]
    public void Reading_frames_lists_and_snapshots_shows_blocks_as_free_and_in_their_order()
    {
        Machine machine = Boot(Spec("1G"));
        long before = machine.Frames.Untouched.Count;
        Zone zone = machine.Zones.Single(z => z.Type == ZoneType.Dma32);
        long[] listed = [.. zone.FreeList(PageGeometry.MaxOrder, MigrateType.Movable).Select(p => p.Value)];
        listed.Should().HaveCount((int)zone.FreeBlocks(PageGeometry.MaxOrder));
        FrameRun[] runs = new FrameRun[FrameViewer.BlockPages];
        foreach (long pfn in listed)
        {
            new FrameViewer(machine).Read(new Pfn(pfn), runs).Should().Be(1);
            runs[0].Should().Be(new FrameRun(new Pfn(pfn), FrameViewer.BlockPages, FrameUse.Free, PageGeometry.MaxOrder, FrameLru.None));
        }

        using Machine copy = machine.Snapshot().Boot();
        StateOf(copy).Should().Be(StateOf(machine));
        machine.Verify();
        machine.Frames.Untouched.Count.Should().Be(before, "reading writes no frame");

        Page inner = machine.GetPage(new Pfn(listed[5]));
        inner.Order.Should().Be(PageGeometry.MaxOrder);
        inner.Flags.Should().HaveFlag(PageFlags.Buddy);
        inner.Lru.Previous.Pfn.Value.Should().Be(listed[4]);
        inner.Lru.Next.Pfn.Value.Should().Be(listed[6]);
        machine.Verify();
    }

    [Fact]
    public void What_is_wrong_beside_untouched_blocks_is_found_as_before()
    {
        Machine machine = Machine.Boot(Spec("1G"));
        Zone zone = machine.Zones.Single(z => z.Type == ZoneType.Dma32);
        int last = (int)zone.FreeList(PageGeometry.MaxOrder, MigrateType.Movable).Last().Value;
        machine.Frames.Array[last].Prev += 1024;
        machine.Invoking(m => m.Verify()).Should().Throw<KernelBugException>().WithMessage("*list corruption*");
        machine.Frames.Array[last].Prev -= 1024;
        machine.Verify();
        machine.Frames.Array[last + 3].State = PageFrame.SinglePageState;
        machine.Frames.Array[last + 3].Identity = machine.Frames.Array[last].Identity;
        machine.Invoking(m => m.Verify()).Should().Throw<KernelBugException>().WithMessage("*a block of its own inside*");
        machine.Dispose();
    }

    private static string StateOf(Machine machine) => JsonSerializer.Serialize(StateCapture.Capture(machine, "state").Zones.Select(z => new { z.StartPfn, z.FreePages, z.FreePagesCpuDiff, z.FreeLists, Pcp = z.Pcp.Select(p => p.Lists) }));

    private sealed class Xorshift(ulong seed)
    {
        private ulong _state = seed;

        public ulong Next()
        {
            _state ^= _state << 13;
            _state ^= _state >> 7;
            return _state ^= _state << 17;
        }
    }
}
