using FluentAssertions;
using MemSim.Tests.Reclaim;
using Xunit;

namespace MemSim.Tests.Cma;

public class CmaTests : MachineTests
{
    private static MachineSpec WithArea => MachineSpec.X86_64("256M").WithCma("video", ByteSize.FromMiB(64));

    [Fact]
    public void Pages_that_cannot_be_moved_never_come_from_the_area_however_much_of_the_free_memory_it_is()
    {
        Machine machine = Boot(WithArea);
        Cpu cpu = machine.Cpus[0];
        CmaArea area = machine.Cma.Get("video");
        List<Page> pages = cpu.AllocateAll(Gfp.NoWait);
        pages.Should().HaveCountGreaterThan(30_000);
        pages.Should().NotContain(p => p.Pfn.Value >= area.Start.Value && p.Pfn.Value < area.End.Value);
        area.Zone.FreeCmaPages.Should().Be(16384);
    }

    [Fact]
    public void An_area_is_lent_to_movable_pages_and_cleared_when_it_is_needed()
    {
        Machine machine = Boot(WithArea);
        Cpu cpu = machine.Cpus[0];
        CmaArea area = machine.Cma.Get("video");
        area.Pages.Should().Be(16384);
        area.Zone.CmaPages.Should().Be(16384);
        MovablePool pool = machine.Migration.CreateMovablePool();
        List<int> numbers = pool.Fill(cpu);
        area.Zone.FreeCmaPages.Should().BeLessThan(1024, "movable pages use the area");
        for (int i = 0; i < numbers.Count; i++)
        {
            if (pool[numbers[i]].Pfn.Value < area.Start.Value || pool[numbers[i]].Pfn.Value >= area.End.Value)
            {
                pool.Free(cpu, numbers[i]);
                numbers[i] = -1;
            }
        }

        numbers.RemoveAll(number => number < 0);
        Page first = machine.Cma.Alloc(cpu, area, 16384);

        first.Pfn.Should().Be(area.Start);
        pool.Moves.Should().BeGreaterThan(15000);
        numbers.Should().OnlyContain(number => pool.IsIntact(cpu, number));
        area.UsedPages.Should().Be(16384);
        machine.Events("cma_alloc_success").Should().Be(1);
        area.Zone.IsolatedPageblocks.Should().Be(0);
        machine.Verify();
        machine.Cma.Free(cpu, area, first, 16384).Should().BeTrue();
        machine.Memory.DrainAllPages();
        area.UsedPages.Should().Be(0);
        area.LargestChunk.Should().Be(16384);
        area.Zone.FreeCmaPages.Should().Be(16384);
    }

    [Fact]
    public void Clean_cache_in_the_way_is_dropped_though_a_process_maps_it()
    {
        Machine machine = Boot(WithArea);
        Cpu cpu = machine.Cpus[0];
        CmaArea area = machine.Cma.Get("video");
        using BlockDevice disk = new("sda", "300M");
        OpenFile file = machine.Files.Mount(disk).Create("cache").Value;
        const long bytes = 150L << 20;
        cpu.Files.Truncate(file, bytes).Should().Be(Errno.None);
        Process process = machine.CreateProcess("reader");
        using ContextScope scope = cpu.Run(process);
        VirtualAddress map = process.Mm.Mmap(default, bytes, Prot.Read, MapFlags.Shared, file).Value;
        for (long at = 0; at < bytes; at += PageGeometry.PageSize)
        {
            cpu.Read<byte>(map + at).Should().Be(0);
        }

        long inArea = 16384 - area.Zone.FreeCmaPages;
        inArea.Should().BeGreaterThan(8192, "the cache uses the area");
        long moved = machine.Events("pgmigrate_success");

        machine.Cma.Alloc(cpu, area, 16384).Pfn.Should().Be(area.Start);

        (machine.Events("pgmigrate_success") - moved).Should().BeLessThan(inArea / 8);
        machine.Verify();
    }

    [Fact]
    public void Clean_cache_in_the_way_is_dropped_and_dirty_cache_moved()
    {
        Machine machine = Boot(WithArea);
        Cpu cpu = machine.Cpus[0];
        CmaArea area = machine.Cma.Get("video");
        using BlockDevice disk = new("sda", "300M");
        OpenFile file = machine.Files.Mount(disk).Create("cache").Value;
        const int pages = 51200;
        cpu.Files.Truncate(file, (long)pages << PageGeometry.PageShift).Should().Be(Errno.None);
        byte[] buffer = new byte[8];
        for (int round = 0; round < 2; round++)
        {
            // Twice: that the pages are in use does not save them.
            for (long page = 0; page < pages; page++)
            {
                cpu.Files.Read(file, page << PageGeometry.PageShift, buffer).Succeeded.Should().BeTrue();
            }
        }

        for (long page = 0; page < pages; page += 100)
        {
            BitConverter.TryWriteBytes(buffer, page + 1);
            cpu.Files.Write(file, page << PageGeometry.PageShift, buffer).Succeeded.Should().BeTrue();
        }

        area.Zone.FreeCmaPages.Should().BeLessThan(4096, "the cache uses the area");
        NodeCounters counters = machine.Nodes[0].Counters;
        long cached = counters.FilePages;
        long inArea = 16384 - area.Zone.FreeCmaPages;
        long moved = machine.Events("pgmigrate_success");
        long scanned = machine.Events("pgscan_direct");

        Page first = machine.Cma.Alloc(cpu, area, 16384);

        first.Pfn.Should().Be(area.Start);
        moved = machine.Events("pgmigrate_success") - moved;
        moved.Should().BeInRange(20, 600, "only the dirty pages");
        (cached - counters.FilePages).Should().BeGreaterThan(inArea - 1200);
        machine.Events("pgscan_direct").Should().Be(scanned, "this is no scan of the lists");
        (counters.IsolatedFile + counters.IsolatedAnon).Should().Be(0);
        machine.Verify();
        for (long page = 0; page < pages; page += 50)
        {
            cpu.Files.Read(file, page << PageGeometry.PageShift, buffer).Succeeded.Should().BeTrue();
            BitConverter.ToInt64(buffer).Should().Be(page % 100 == 0 ? page + 1 : 0);
        }

        machine.Cma.Free(cpu, area, first, 16384).Should().BeTrue();
    }

    [Fact]
    public void A_page_that_is_being_written_is_waited_for()
    {
        Machine machine = Boot(WithArea);
        Cpu cpu = machine.Cpus[0];
        CmaArea area = machine.Cma.Get("video");
        using BlockDevice disk = new("sda", "300M");
        OpenFile file = machine.Files.Mount(disk).Create("cache").Value;
        const int pages = 51200;
        cpu.Files.Truncate(file, (long)pages << PageGeometry.PageShift).Should().Be(Errno.None);
        for (long page = 0; page < pages; page++)
        {
            cpu.Files.Read(file, page << PageGeometry.PageShift, new byte[8]).Succeeded.Should().BeTrue();
        }

        uint index = (uint)Enumerable.Range(0, pages).First(i => file.Mapping.Find((uint)i) is var pfn && pfn >= area.Start.Value && pfn < area.End.Value);
        cpu.Files.Write(file, (long)index << PageGeometry.PageShift, [7]).Succeeded.Should().BeTrue();
        disk.HoldsWrites = true;
        machine.AdvanceTime(TimeSpan.FromSeconds(40));
        Page busy = machine.GetPage(new Pfn(file.Mapping.Find(index)));
        busy.Flags.Should().HaveFlag(PageFlags.Writeback);

        Page first = machine.Cma.Alloc(cpu, area, 16384);

        first.Pfn.Should().Be(area.Start, "the write of the page in the way is waited for, as migrate_pages() with MIGRATE_SYNC does: the stutter");
        machine.Nodes[0].Counters.Writeback.Should().Be(0);
        file.Mapping.Find(index).Should().NotBe((int)busy.Pfn.Value);
        byte[] read = new byte[1];
        cpu.Files.Read(file, (long)index << PageGeometry.PageShift, read).Succeeded.Should().BeTrue();
        read[0].Should().Be(7);
        machine.Cma.Free(cpu, area, first, 16384).Should().BeTrue();
    }

    [Fact]
    public void An_area_lies_in_the_window_that_the_device_tree_gives_it()
    {
        MachineSpec plain = MachineSpec.Arm64("1G");
        PhysicalAddress from = new(0x4000_0000 + (256UL << 20));
        PhysicalAddress to = new(0x4000_0000 + (384UL << 20));
        CmaArea area = Boot(plain.WithCma("isp", ByteSize.FromMiB(32), below: to, above: from)).Cma.Get("isp");
        area.End.PhysicalAddress.Should().Be(to, "memblock gives the highest place");
        area.Start.PhysicalAddress.Value.Should().BeGreaterThanOrEqualTo(from.Value);
        plain.Invoking(spec => spec.WithCma("isp", ByteSize.FromMiB(256), below: to, above: from)).Should().Throw<ArgumentException>().WithMessage("*smaller than 256M*");
        plain.Invoking(spec => Machine.Boot(spec.WithCma("isp", ByteSize.FromMiB(32), above: new PhysicalAddress(0x1_0000_0000)))).Should().Throw<ArgumentException>().WithMessage("*no free memory*");
    }

    [Fact]
    public void Only_movable_requests_get_pages_of_an_area()
    {
        Machine machine = Boot(WithArea);
        CmaArea area = machine.Cma.Get("video");

        List<Page> pages = machine.Cpus[0].AllocateAll(Gfp.NoWait);

        pages.Should().NotContain(page => page.Pfn.Value >= area.Start.Value && page.Pfn.Value < area.End.Value);
        area.Zone.FreeCmaPages.Should().Be(16384);
    }

    [Fact]
    public void A_movable_request_takes_from_the_area_first_once_more_than_half_of_what_is_free_lies_there()
    {
        Machine machine = Boot(WithArea);
        Cpu cpu = machine.Cpus[0];
        CmaArea area = machine.Cma.Get("video");
        bool InArea(Page page) => page.Pfn.Value >= area.Start.Value && page.Pfn.Value < area.End.Value;
        Page first = cpu.AllocPages(Gfp.HighUser | Gfp.Movable, 4);
        InArea(first).Should().BeFalse();
        while (area.Zone.FreeCmaPages <= area.Zone.FreePages / 2)
        {
            cpu.AllocPages(Gfp.Kernel, 4).IsNull.Should().BeFalse();
        }

        InArea(cpu.AllocPages(Gfp.HighUser | Gfp.Movable, 4)).Should().BeTrue();
    }

    [Fact]
    public void A_busy_page_makes_the_allocation_go_on_behind_it()
    {
        Machine machine = Boot(WithArea);
        Cpu cpu = machine.Cpus[0];
        CmaArea area = machine.Cma.Get("video");
        CompactionLog log = new();
        machine.Tracing.Attach(log);
        MovablePool pool = machine.Migration.CreateMovablePool();
        List<int> numbers = pool.Fill(cpu);
        int inArea = numbers.First(number => pool[number].Pfn.Value >= area.Start.Value + 100 && pool[number].Pfn.Value < area.Start.Value + 200);
        cpu.Pages.GetPage(pool[inArea]);
        foreach (int number in numbers.Where(number => pool[number].Pfn.Value < area.Start.Value))
        {
            pool.Free(cpu, number);
        }

        Page page = machine.Cma.Alloc(cpu, area, 256, alignOrder: 8);

        page.IsNull.Should().BeFalse();
        (page.Pfn.Value % 256).Should().Be(0);
        page.Pfn.Value.Should().Be(area.Start.Value + 256);
        log.Lines.Should().Contain($"busy 0x{area.Start.Value:x} 256");
        area.BusyRetries.Should().Be(1);
        pool.IsIntact(cpu, inArea).Should().BeTrue();
        cpu.Pages.PutPage(pool[inArea]);
        machine.Cma.Free(cpu, area, page, 256).Should().BeTrue();
    }

    [Fact]
    public void When_nothing_can_move_away_the_allocation_fails_and_is_counted()
    {
        Machine machine = Boot(WithArea);
        Cpu cpu = machine.Cpus[0];
        CmaArea area = machine.Cma.Get("video");
        MovablePool pool = machine.Migration.CreateMovablePool();
        List<int> numbers = pool.Fill(cpu);

        Page page = machine.Cma.Alloc(cpu, area, 16384);

        page.IsNull.Should().BeTrue();
        area.AllocPagesFail.Should().Be(16384);
        area.UsedPages.Should().Be(0);
        machine.Events("cma_alloc_fail").Should().Be(1);
        area.Zone.PageblockType(area.Start).Should().Be(MigrateType.Cma);
        numbers.Should().OnlyContain(number => pool.IsIntact(cpu, number));
    }

    [Fact]
    public void Atomic_context_is_refused()
    {
        Machine machine = Boot(WithArea);
        Cpu cpu = machine.Cpus[0];
        CmaArea area = machine.Cma.Get("video");
        using ContextScope irq = cpu.HardIrq();

        Refuses(machine, () => machine.Cma.Alloc(cpu, area, 1)).Kind.Should().Be(KernelBugKind.SleepingInAtomic);
        Refuses(machine, () => machine.Cma.AllocContigRange(cpu, area.Start, 1)).Kind.Should().Be(KernelBugKind.SleepingInAtomic);
    }

    [Fact]
    public void Releasing_what_is_not_handed_out_is_refused()
    {
        Machine machine = Boot(WithArea);
        Cpu cpu = machine.Cpus[0];
        CmaArea area = machine.Cma.Get("video");
        Page page = machine.Cma.Alloc(cpu, area, 8);

        machine.Cma.Free(cpu, area, machine.GetPage(new Pfn(4096)), 1).Should().BeFalse("it is not of the area");
        Refuses(machine, () => machine.Cma.Free(cpu, area, page, 9)).Kind.Should().Be(KernelBugKind.NotAllocated);
        machine.Cma.Free(cpu, area, page, 8).Should().BeTrue();
        Refuses(machine, () => machine.Cma.Free(cpu, area, page, 8));
    }

    [Fact]
    public void Areas_that_cannot_be_are_refused_with_their_name()
    {
        MachineSpec spec = MachineSpec.X86_64("256M");

        Error(() => spec.WithCma("a", default)).Should().Contain("size is 0");
        Error(() => spec.WithCma("a", ByteSize.FromMiB(4)).WithCma("a", ByteSize.FromMiB(4))).Should().Contain("already");
        Error(() => Machine.Boot(spec.WithCma("high", ByteSize.FromMiB(16), new PhysicalAddress(1UL << 32)))).Should().Contain("high").And.Contain("no memory");
        Error(() => Machine.Boot(spec.WithCma("odd", ByteSize.FromMiB(16), new PhysicalAddress((100 << 20) + 4096)))).Should().Contain("odd").And.Contain("multiple of a page block");
        Error(() => Machine.Boot(spec.WithCma("big", ByteSize.FromGiB(1)))).Should().Contain("big").And.Contain("no free memory");
        Error(() => Machine.Boot(spec.WithCma("one", ByteSize.FromMiB(16), new PhysicalAddress(128 << 20)).WithCma("two", ByteSize.FromMiB(16), new PhysicalAddress(136 << 20))))
            .Should().Contain("two").And.Contain("overlaps").And.Contain("one");
        Error(() => Machine.Boot(MachineSpec.Arm64("4G").WithoutContents().WithCma("cross", ByteSize.FromMiB(8), new PhysicalAddress(0xffc0_0000)))).Should().Contain("cross").And.Contain("DMA");
    }

    [Fact]
    public void The_command_line_of_an_arm_machine_places_the_default_area()
    {
        Machine machine = Boot(MachineSpec.Arm64("512M").WithCommandLine("cma=32M@0x50000000"));
        CmaArea area = machine.Cma.Areas.Should().ContainSingle().Subject;

        area.Name.Should().Be("reserved");
        area.Start.PhysicalAddress.Value.Should().Be(0x50000000);
        area.Pages.Should().Be(8192);
        machine.Cma.Text().Should().Contain("reserved/count 8192\n").And.Contain("reserved/maxchunk 8192\n");
    }

    [Fact]
    public void A_range_with_a_page_that_stays_is_left_as_it_was()
    {
        Machine machine = Boot(MachineSpec.X86_64("256M"));
        Cpu cpu = machine.Cpus[0];
        MovablePool pool = machine.Migration.CreateMovablePool();
        List<int> numbers = [];
        for (int i = 0; i < 20000; i++)
        {
            numbers.Add(pool.Allocate(cpu));
            pool.Stamp(cpu, numbers[^1]);
        }

        int stays = numbers.First(number => number > 10000 && FirstUnmovable(machine, pool[number]) < 0);
        Page held = pool[stays];
        cpu.Pages.GetPage(held);
        machine.Memory.DrainAllPages();
        long block = held.Pfn.Value & ~511;
        string before = machine.Proc.PageTypeInfo;
        long free = held.Zone.TrueFreePages;

        machine.Cma.AllocContigRange(cpu, new Pfn(block), 512).Should().BeFalse();

        machine.Memory.DrainAllPages();
        held.Zone.TrueFreePages.Should().Be(free);
        held.Zone.IsolatedPageblocks.Should().Be(0);
        pool[stays].Should().Be(held);
        machine.Events("pgmigrate_fail").Should().BePositive();
        held.MigrateType.Should().Be(MigrateType.Movable);
        numbers.Should().OnlyContain(number => pool.IsIntact(cpu, number));
        machine.Proc.PageTypeInfo.Split("Number of blocks")[1].Should().Be(before.Split("Number of blocks")[1]);
        cpu.Pages.PutPage(held);
        machine.Cma.AllocContigRange(cpu, new Pfn(block), 512).Should().BeTrue();
        numbers.Should().OnlyContain(number => pool.IsIntact(cpu, number));
        machine.Cma.FreeContigRange(cpu, machine.GetPage(new Pfn(block)), 512);
    }

    [Fact]
    public void A_range_with_kernel_memory_is_refused_at_once()
    {
        Machine machine = Boot(MachineSpec.X86_64("256M"));
        Cpu cpu = machine.Cpus[0];
        Page kernel = cpu.AllocPages(Gfp.Kernel, 0);
        machine.Memory.DrainAllPages();
        string before = machine.StateText();

        machine.Cma.AllocContigRange(cpu, new Pfn(kernel.Pfn.Value & ~511), 512).Should().BeFalse();

        machine.StateText().Should().Be(before);
    }

    [Fact]
    public void A_huge_range_comes_from_wherever_it_can_be_cleared()
    {
        Machine machine = Boot(MachineSpec.X86_64("256M"));
        Cpu cpu = machine.Cpus[0];
        MovablePool pool = machine.Migration.CreateMovablePool();
        List<int> kept = pool.KeepEvery(cpu, pool.Fill(cpu), 2);

        Page first = machine.Cma.AllocContigPages(cpu, 4096);

        first.IsNull.Should().BeFalse("16 MiB in one piece out of single free pages");
        (first.Pfn.Value % 4096).Should().Be(0);
        kept.Should().OnlyContain(number => pool.IsIntact(cpu, number));
        machine.Cma.FreeContigRange(cpu, first, 4096);
    }

    [Fact]
    public void A_device_gets_memory_it_reaches()
    {
        Machine machine = Boot(MachineSpec.X86_64("6G").WithCma("video", ByteSize.FromMiB(64), new PhysicalAddress(0x1_4000_0000)).WithoutContents());
        Cpu cpu = machine.Cpus[0];
        DmaDevice old = machine.Hotplug.AddDevice("isa", 24), pci = machine.Hotplug.AddDevice("pci", 32), modern = machine.Hotplug.AddDevice("nvme", 64);

        DmaBuffer isa = cpu.Dma.AllocCoherent(old, 100);
        DmaBuffer ring = cpu.Dma.AllocCoherent(pci, 1 << 20);
        DmaBuffer frames = cpu.Dma.AllocCoherent(modern, 5 << 20);

        isa.First.Zone.Type.Should().Be(ZoneType.Dma);
        ring.Area.Should().BeNull("the area lies beyond 4 GiB");
        pci.CanReach(ring.DmaAddress, 1 << 20).Should().BeTrue();
        frames.Area.Should().BeSameAs(machine.Cma.Areas[0]);
        (frames.First.Pfn.Value % 256).Should().Be(0);
        using (cpu.HardIrq())
        {
            DmaBuffer atomic = cpu.Dma.AllocCoherent(modern, 8192, Gfp.Atomic);
            atomic.Area.Should().BeNull("an area may only be used where one may sleep");
            cpu.Dma.FreeCoherent(atomic);
        }

        cpu.Dma.FreeCoherent(isa);
        cpu.Dma.FreeCoherent(ring);
        cpu.Dma.FreeCoherent(frames);
        machine.Cma.Areas[0].UsedPages.Should().Be(0);
        Refuses(machine, () => cpu.Dma.FreeCoherent(frames));
    }

    private static int FirstUnmovable(Machine machine, Page page) =>
        machine.Cma.Contig.Isolation.FindUnmovable(page.Zone, (int)page.Pfn.Value & ~511, ((int)page.Pfn.Value & ~511) + 512, MigrateType.Movable);

    private static string Error(Action act) => Assert.ThrowsAny<ArgumentException>(act).Message;
}
