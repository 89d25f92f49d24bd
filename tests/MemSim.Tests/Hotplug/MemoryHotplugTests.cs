using FluentAssertions;
using MemSim.Boot;
using MemSim.Tests.Reclaim;
using Xunit;

namespace MemSim.Tests.Hotplug;

/// <summary>Memory blocks: offline and online again, in which zone, what stays where it is.</summary>
public sealed class MemoryHotplugTests : MachineTests
{
    [Fact]
    public void A_block_has_128_MiB_and_on_large_machines_more()
    {
        Machine small = Boot(MachineSpec.X86_64("1G"));
        small.Hotplug.Memory.BlockSize.Should().Be(ByteSize.FromMiB(128));
        small.Hotplug.Memory.Blocks.Select(b => b.Id).Should().Equal(0, 1, 2, 3, 4, 5, 6, 7);
        small.Hotplug.Memory.Find(0)!.Value.ValidZones.Should().Be("none", "it has pages of DMA and of DMA32");
        small.Hotplug.Memory.Find(3)!.Value.ToString().Should().Be("memory3: online, DMA32");
        small.Hotplug.Memory.Find(8).Should().BeNull();

        Boot(MachineSpec.X86_64("66G").WithoutContents()).Hotplug.Memory.BlockSize.Should().Be(ByteSize.FromGiB(1), "memory ends at 67 GiB");
        Boot(MachineSpec.X86_32("1G")).Hotplug.Memory.Blocks.Should().BeEmpty("Debian's kernel for 32-bit PCs has no memory hot-plug");
    }

    [Fact]
    public void What_is_in_a_block_moves_away_and_keeps_its_contents()
    {
        Machine machine = Boot(MachineSpec.X86_64("1G"));
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("p");
        const int pages = 200 << 8;
        VirtualAddress at = process.Mm.Mmap((long)pages << 12, Prot.Read | Prot.Write).Value;
        process.Mm.Madvise(at, (long)pages << 12, MemoryAdvice.NoHugePage);
        MovablePool pool = machine.Migration.CreateMovablePool();
        List<int> numbers = [.. Enumerable.Range(0, 2000).Select(_ => pool.Allocate(cpu))];
        using (cpu.Run(process))
        {
            for (int i = 0; i < pages; i++)
            {
                cpu.Write(at + ((ulong)i << 12), i);
            }
        }

        Zone zone = machine.Nodes[0].GetZone(ZoneType.Dma32);
        int used = FramesOf(cpu, process, at, pages).Select(pfn => (int)(pfn >> 15)).GroupBy(b => b).OrderByDescending(g => g.Count()).First().Key;
        (long present, long managed, long spanned) = (zone.PresentPages, zone.ManagedPages, zone.SpannedPages);

        machine.Hotplug.Memory.Offline(used, cpu).Should().Be(Errno.None);

        machine.Verify();
        (zone.PresentPages, zone.ManagedPages, zone.SpannedPages).Should().Be((present - 32768, managed - 32768, spanned), "a hole in the middle is spanned");
        zone.IsolatedPageblocks.Should().Be(0);
        machine.Hotplug.Memory.Find(used)!.Value.ToString().Should().Be($"memory{used}: offline, DMA32 Movable");
        machine.TryGetPage(new Pfn((long)used << 15), out _).Should().BeFalse();
        using (cpu.Run(process))
        {
            for (int i = 0; i < pages; i++)
            {
                cpu.Read<int>(at + ((ulong)i << 12)).Should().Be(i);
            }
        }

        FramesOf(cpu, process, at, pages).Should().OnlyContain(pfn => pfn >> 15 != used);
        numbers.Should().OnlyContain(n => pool[n].Pfn.Value >> 15 != used);
        machine.Events("pgmigrate_success").Should().BeGreaterThan(1000);

        machine.Hotplug.Memory.Online(used, MemoryOnlineType.Default, cpu).Should().Be(Errno.None);
        machine.Verify();
        (zone.PresentPages, zone.ManagedPages, zone.SpannedPages).Should().Be((present, managed, spanned));
        process.Exit();
        machine.Verify();
    }

    [Fact]
    public void The_end_of_a_zone_shrinks_and_what_lies_beyond_it_comes_back_as_Normal_in_largest_pieces_at_the_back()
    {
        Machine machine = Boot(MachineSpec.FromZones(Architecture.X86_64, [new BootZone(0, ZoneType.Dma32, new Pfn(0x1000), 0x3f000, 0x3f000, 0x3f000)], 1));
        Zone zone = machine.Nodes[0].GetZone(ZoneType.Dma32);
        machine.Hotplug.Memory.Offline(7).Should().Be(Errno.None);
        zone.EndPfn.Value.Should().Be(0x38000);
        machine.Hotplug.Memory.Offline(5).Should().Be(Errno.None);
        machine.Hotplug.Memory.Offline(6).Should().Be(Errno.None);
        zone.EndPfn.Value.Should().Be(0x28000, "the hole that block 5 left goes with block 6");
        machine.Verify();

        machine.Hotplug.Memory.Online(6).Should().Be(Errno.None);

        zone.EndPfn.Value.Should().Be(0x28000, "no zone of the kernel spans the block any more, and then it is Normal");
        machine.Hotplug.Memory.Find(7)!.Value.ValidZones.Should().Be("Normal Movable");
        machine.Hotplug.Memory.Online(7).Should().Be(Errno.None);
        machine.Hotplug.Memory.Online(5).Should().Be(Errno.None);
        Zone normal = machine.Nodes[0].GetZone(ZoneType.Normal);
        (normal.StartPfn.Value, normal.EndPfn.Value).Should().Be((0x28000, 0x40000), "zones grow at both ends");
        machine.Hotplug.Memory.Offline(5).Should().Be(Errno.None);
        normal.StartPfn.Value.Should().Be(0x30000);
        machine.Hotplug.Memory.Offline(7).Should().Be(Errno.None);
        machine.Verify();
        normal.FreeList(10, MigrateType.Movable).TakeLast(32).Select(pfn => pfn.Value).Should().Equal(Enumerable.Range(0, 32).Select(i => 0x30000L + (i << 10)));
        machine.Verify();
    }

    [Fact]
    public void Online_movable_makes_a_zone_that_only_movable_requests_use_and_that_goes_again_with_its_last_block()
    {
        Machine machine = Boot(MachineSpec.X86_64("1G"));
        Cpu cpu = machine.Cpus[0];
        Zone movable = machine.Nodes[0].GetZone(ZoneType.Movable);
        Zone dma32 = machine.Nodes[0].GetZone(ZoneType.Dma32);
        int block = FirstThatLeaves(machine);
        machine.Hotplug.Memory.Online(block, MemoryOnlineType.Movable).Should().Be(Errno.None);
        (movable.StartPfn.Value, movable.SpannedPages, movable.ManagedPages).Should().Be(((long)block << 15, 32768, 32768));
        machine.Hotplug.Memory.Find(block)!.Value.ValidZones.Should().Be("Movable");
        dma32.LowmemReserve[movable.Index].Should().BeGreaterThan(0);
        machine.Verify();

        Page page = cpu.AllocPage(Gfp.HighUser | Gfp.Movable);
        page.Zone.Should().BeSameAs(movable);
        cpu.AllocPage(Gfp.Kernel).Zone.Should().NotBeSameAs(movable);
        machine.Hotplug.Memory.Offline(block).Should().Be(Errno.EINTR, "in Movable nothing is refused beforehand, but the page of a driver that cannot be moved does not go");
        machine.Verify();
        movable.ManagedPages.Should().Be(32768);
        cpu.FreePage(page);

        machine.Hotplug.Memory.Offline(block).Should().Be(Errno.None);
        (movable.IsPopulated, movable.SpannedPages, movable.GetWatermark(Watermark.High)).Should().Be((false, 0, 0));
        cpu.AllocPage(Gfp.HighUser | Gfp.Movable).Zone.Should().BeSameAs(dma32);
        machine.Hotplug.Memory.Find(block)!.Value.ValidZones.Should().Be("DMA32 Movable");
        machine.Verify();
    }

    [Fact]
    public void Errors_are_the_kernels_and_change_nothing()
    {
        Machine machine = Boot(MachineSpec.X86_64("1G").WithBugPolicy(BugPolicy.Throw));
        Cpu cpu = machine.Cpus[0];
        int block = FirstThatLeaves(machine);
        MemoryHotplug memory = machine.Hotplug.Memory;
        memory.Offline(block).Should().Be(Errno.EINVAL, "it is offline");
        memory.Online(block).Should().Be(Errno.None);
        memory.Online(block).Should().Be(Errno.EINVAL, "it is online");
        memory.Offline(99).Should().Be(Errno.ENOENT);
        memory.Online(-1).Should().Be(Errno.ENOENT);
        memory.Offline(0).Should().Be(Errno.EINVAL, "there is a hole below 1 MiB");
        memory.Remove(block).Should().Be(Errno.EBUSY);
        memory.Add(ByteSize.FromMiB(128), out _).Should().Be(Errno.ENOSPC);
        memory.Add(ByteSize.FromMiB(100), out _).Should().Be(Errno.EINVAL);

        List<Page> kernel = cpu.AllocateAll(Gfp.Kernel);
        memory.Offline(block).Should().Be(Errno.EBUSY, "pages of the kernel cannot be moved");
        machine.Memory.DrainAllPages();
        machine.Verify();
        machine.Nodes[0].GetZone(ZoneType.Dma32).Pageset(0).High.Should().BeGreaterThan(0, "the limits of the per-CPU lists are back");
        kernel.ForEach(page => cpu.FreePage(page));
        machine.Verify();
        using (cpu.Context.DisablePreemption())
        {
            FluentActions.Invoking(() => memory.Offline(block, cpu)).Should().Throw<KernelBugException>();
        }

        machine.Verify();
    }

    [Fact]
    public void Memory_that_an_arm64_machine_booted_with_stays()
    {
        Machine machine = Boot(MachineSpec.Arm64("1G").WithHotplugMemory("256M"));
        machine.Hotplug.Memory.Blocks.Where(b => machine.Hotplug.Memory.Offline(b.Id) == Errno.EPERM).Should().NotBeEmpty();
        machine.Hotplug.Memory.Blocks.Should().OnlyContain(b => b.IsOnline);
        machine.Hotplug.Memory.Add(ByteSize.FromMiB(256), out int first).Should().Be(Errno.None);
        machine.Hotplug.Memory.Online(first).Should().Be(Errno.None);
        machine.Verify();
        machine.Hotplug.Memory.Offline(first).Should().Be(Errno.None);
        machine.Verify();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Memory_plugged_in_costs_its_memory_map_can_be_used_and_pulled_out_again(bool contents)
    {
        MachineSpec spec = MachineSpec.X86_64("512M").WithHotplugMemory("1G");
        Machine machine = Boot(contents ? spec : spec.WithoutContents());
        Cpu cpu = machine.Cpus[0];
        MemoryHotplug memory = machine.Hotplug.Memory;
        long total = machine.Zones.Sum(z => z.ManagedPages);
        long free = machine.Zones.Sum(z => z.TrueFreePages);

        memory.Add(ByteSize.FromMiB(512), out int first).Should().Be(Errno.None);

        first.Should().Be(32, "PCs have room from 4 GiB on");
        (free - machine.Zones.Sum(z => z.TrueFreePages)).Should().BeInRange(4 * 512, (4 * 512) + 63 + 8, "2 MiB for 128 MiB, and a table of the direct map");
        memory.Find(32)!.Value.Should().Be(new MemoryBlock(32, new Pfn(32 << 15), 32768, 0, IsOnline: false, "Normal Movable", IsPluggedIn: true));
        machine.Zones.Sum(z => z.ManagedPages).Should().Be(total, "it is offline");
        for (int block = first; block < first + 4; block++)
        {
            memory.Online(block).Should().Be(Errno.None);
        }

        machine.Zones.Sum(z => z.ManagedPages).Should().Be(total + (4 * 32768));
        machine.Verify();
        Page page = cpu.AllocPage(Gfp.Kernel);
        page.Zone.Type.Should().Be(ZoneType.Normal, "the machine has a zone Normal now, and it comes first");
        if (contents)
        {
            cpu.Write(page.Address + 8, 77);
            cpu.Read<int>(page.Address + 8).Should().Be(77);
        }

        memory.Offline((int)(page.Pfn.Value >> 15)).Should().Be(Errno.EBUSY);
        cpu.FreePage(page);
        memory.Remove(first).Should().Be(Errno.EBUSY, "it is online");
        for (int block = first + 3; block >= first; block--)
        {
            memory.Offline(block).Should().Be(Errno.None);
            memory.Remove(block).Should().Be(Errno.None);
        }

        memory.Find(first).Should().BeNull();
        machine.Nodes[0].GetZone(ZoneType.Normal).IsPopulated.Should().BeFalse();
        machine.Memory.DrainAllPages();
        (free - machine.Zones.Sum(z => z.TrueFreePages)).Should().BeLessThan(8, "tables of the direct map may stay, the memory map does not");
        machine.Verify();
        memory.Add(ByteSize.FromGiB(1), out _).Should().Be(Errno.None);
        memory.Add(ByteSize.FromMiB(128), out _).Should().Be(Errno.ENOSPC);
    }

    [Fact]
    public void A_failed_addition_gives_everything_back()
    {
        Machine machine = Boot(MachineSpec.X86_64("256M").WithHotplugMemory("64G").WithoutContents());
        machine.Memory.DrainAllPages();
        long free = machine.Zones.Sum(z => z.TrueFreePages);

        machine.Hotplug.Memory.Add(ByteSize.FromGiB(32), out int first).Should().Be(Errno.ENOMEM, "the memory map alone takes 512 MiB");

        first.Should().Be(-1);
        machine.Memory.DrainAllPages();
        machine.Zones.Sum(z => z.TrueFreePages).Should().Be(free);
        machine.Hotplug.Memory.Blocks.Should().HaveCount(2);
        machine.Verify();
    }

    [Fact]
    public void Counters_go_on_and_snapshots_know_what_is_offline()
    {
        Machine machine = Boot(MachineSpec.X86_64("1G").WithHotplugMemory("128M"));
        int block = FirstThatLeaves(machine);
        machine.Hotplug.Memory.Add(ByteSize.FromMiB(128), out int added).Should().Be(Errno.None);
        long freed = machine.Events("pgfree");
        machine.Hotplug.Memory.Online(added).Should().Be(Errno.None);
        machine.Events("pgfree").Should().Be(freed + 32768);
        machine.Hotplug.Memory.Offline(added).Should().Be(Errno.None);
        machine.Events("pgfree").Should().Be(freed + 32768, "pages that leave are not freed once more, nor less often");

        using Machine twin = machine.Snapshot().Boot();

        twin.Verify();
        twin.Hotplug.Memory.Blocks.Should().Equal(machine.Hotplug.Memory.Blocks);
        twin.Hotplug.Memory.Online(block, MemoryOnlineType.Movable).Should().Be(Errno.None);
        twin.Hotplug.Memory.Online(added).Should().Be(Errno.None);
        twin.Verify();
        machine.Snapshot().NotCarried.Should().BeEmpty();
    }

    [Fact]
    public void Pages_go_to_another_node_where_there_is_one()
    {
        Machine machine = Boot(MachineSpec.X86_64("2G", 2).WithNodes("1G", "1G"));
        Cpu cpu = machine.Cpus[0];
        MovablePool pool = machine.Migration.CreateMovablePool();
        List<int> numbers = [.. Enumerable.Range(0, 60000).Select(_ => pool.Allocate(cpu))];
        int block = numbers.Select(n => (int)(pool[n].Pfn.Value >> 15)).Distinct().First(b => b is > 0 and < 7);
        numbers.RemoveAll(n => pool[n].Pfn.Value >> 15 != block);

        machine.Hotplug.Memory.Offline(block).Should().Be(Errno.None);

        numbers.Should().OnlyContain(n => pool[n].Zone.Node.Id == 1);
        machine.Verify();
    }

    [Fact]
    public void Compaction_does_not_go_on_where_its_zone_has_ended_meanwhile()
    {
        // Found by MemSim.Soak: five steps of seed 6.
        Machine machine = Boot(MachineSpec.X86_64("256M").WithHotplugMemory("256M"));
        machine.Hotplug.Memory.Add(ByteSize.FromMiB(256), out int first).Should().Be(Errno.None);
        machine.Hotplug.Memory.Online(first).Should().Be(Errno.None);
        machine.Hotplug.Memory.Online(first + 1).Should().Be(Errno.None);
        machine.Sysctl.Set("vm.compact_memory", "1");
        machine.Hotplug.Memory.Offline(first + 1).Should().Be(Errno.None);
        machine.Verify();
        machine.Hotplug.Memory.Offline(first).Should().Be(Errno.None);
        machine.Verify();
        machine.Sysctl.Set("vm.compact_memory", "1");
    }

    private static List<long> FramesOf(Cpu cpu, Process process, VirtualAddress at, int pages)
    {
        using (cpu.Run(process))
        {
            return [.. Enumerable.Range(0, pages).Select(i => cpu.Mmu.TryTranslate(at + ((ulong)i << 12), MemoryAccess.Read, out PhysicalAddress physical, out _) ? (long)(physical.Value >> 12) : -1)];
        }
    }

    private static int FirstThatLeaves(Machine machine)
    {
        foreach (MemoryBlock block in machine.Hotplug.Memory.Blocks.Reverse())
        {
            if (machine.Hotplug.Memory.Offline(block.Id) == Errno.None)
            {
                return block.Id;
            }
        }

        throw new InvalidOperationException("no block goes offline");
    }

    [Fact]
    public void Who_is_told_of_blocks_may_refuse_and_is_told_how_it_ended()
    {
        Machine machine = Boot(MachineSpec.X86_64("1G"));
        MemoryHotplug memory = machine.Hotplug.Memory;
        Notebook first = new();
        Notebook second = new();
        memory.Attach(second);
        memory.Attach(first, priority: 10);

        memory.Offline(5).Should().Be(Errno.None);
        memory.Online(5).Should().Be(Errno.None);
        second.Refuses = MemoryNotice.GoingOffline;
        long free = machine.Zones.Sum(zone => zone.ManagedPages);
        memory.Offline(5).Should().Be(Errno.EBUSY);
        machine.Zones.Sum(zone => zone.ManagedPages).Should().Be(free);
        memory.Offline(0).Should().Be(Errno.EINVAL, "nobody is asked");

        MemoryNotice[] seen = [MemoryNotice.GoingOffline, MemoryNotice.Offline, MemoryNotice.GoingOnline, MemoryNotice.Online, MemoryNotice.GoingOffline, MemoryNotice.CancelOffline];
        first.Seen.Should().Equal(seen);
        second.Seen.Should().Equal(seen);
        first.Blocks.Select(block => block.IsOnline).Should().Equal(true, false, false, true, true, true);

        second.Refuses = null;
        memory.Offline(5).Should().Be(Errno.None);
        first.Refuses = MemoryNotice.GoingOnline;
        second.Seen.Clear();
        memory.Online(5).Should().Be(Errno.EBUSY);
        second.Seen.Should().Equal([MemoryNotice.CancelOnline], "the first refused");
        memory.Find(5)!.Value.IsOnline.Should().BeFalse();

        first.Refuses = null;
        first.Throws = true;
        memory.Invoking(m => m.Online(5)).Should().Throw<NotSupportedException>();
        memory.Find(5)!.Value.IsOnline.Should().BeFalse("what is thrown is a refusal");
        memory.Detach(first).Should().BeTrue();
        memory.Detach(first).Should().BeFalse();
        memory.Online(5).Should().Be(Errno.None);
    }

    private sealed class Notebook : IMemoryNotifier
    {
        public List<MemoryNotice> Seen { get; } = [];

        public List<MemoryBlock> Blocks { get; } = [];

        public MemoryNotice? Refuses { get; set; }

        public bool Throws { get; set; }

        public Errno Notify(MemoryNotice notice, MemoryBlock block)
        {
            Seen.Add(notice);
            Blocks.Add(block);
            return Throws ? throw new NotSupportedException() : notice == Refuses ? Errno.EBUSY : Errno.None;
        }
    }
}
