using FluentAssertions;
using MemSim.Lru;
using MemSim.Pages;
using MemSim.Statistics;
using MemSim.Tests.Processes.Programs;
using MemSim.Tests.VirtualMemory;
using MemSim.Zones;
using Xunit;

namespace MemSim.Tests.Swap;

/// <summary>Processes whose pages leave memory and come back, on every architecture.</summary>
public sealed class SwapProcessTests
{
    private const int Pages = 64;

    [Theory]
    [InlineData("x86_64")]
    [InlineData("x86_32")]
    [InlineData("pae")]
    [InlineData("arm64")]
    public void Pages_of_a_process_come_back_from_a_disk(string architecture)
    {
        using Machine machine = ForkTests.Boot(architecture);
        Cpu cpu = machine.Cpus[0];
        using BlockDevice disk = new("sdb", "16M");
        SwapArea area = machine.Swap.SwapOn(disk);
        Process process = machine.CreateProcess("test");
        using ContextScope scope = cpu.Run(process);
        VirtualAddress data = Fill(cpu, process, 1000);
        ReclaimAll(machine).Should().BeGreaterThanOrEqualTo(Pages);
        process.Mm.SwapEntries.Should().BeGreaterThanOrEqualTo(Pages);
        area.UsedPages.Should().Be(process.Mm.SwapEntries);
        disk.PagesWritten.Should().Be(area.UsedPages);
        machine.Verify();

        long majors = process.MajorFaults;
        Check(cpu, data, 1000);
        (process.MajorFaults - majors).Should().BeLessThan(Pages / 2, "read-ahead saves most of them");
        machine.Events[VmEvent.SwapRaHit].Should().BeGreaterThan(Pages / 2);
        machine.Verify();
        process.Exit();
        (area.UsedPages, machine.Swap.CachedPages).Should().Be((0, 0));
        machine.Verify();
    }

    [Fact]
    public void A_write_after_a_read_fault_needs_no_copy()
    {
        using Machine machine = ForkTests.Boot("x86_64");
        Cpu cpu = machine.Cpus[0];
        using BlockDevice disk = new("sdb", "16M");
        SwapArea area = machine.Swap.SwapOn(disk);
        Process process = machine.CreateProcess("test");
        using ContextScope scope = cpu.Run(process);
        VirtualAddress data = Fill(cpu, process, 0);
        ReclaimAll(machine);
        cpu.Read<int>(data).Should().Be(0);
        int pfn = process.PageAt(machine, data);
        machine.Swap.IsCached(pfn).Should().BeTrue();
        cpu.Write(data, 77);
        process.PageAt(machine, data).Should().Be(pfn, "the entry said that the page is the process's alone");
        ReclaimAll(machine);
        cpu.Read<int>(data).Should().Be(77);
        machine.Verify();
        area.WriteErrors.Should().Be(0);
    }

    [Fact]
    public void Parent_and_child_share_slots_and_see_their_own_writes()
    {
        using Machine machine = ForkTests.Boot("x86_64");
        Cpu cpu = machine.Cpus[0];
        using BlockDevice disk = new("zram0", "16M", BlockDeviceCosts.Memory);
        SwapArea area = machine.Swap.SwapOn(disk);
        Process parent = machine.CreateProcess("parent");
        VirtualAddress data;
        Process child;
        using (cpu.Run(parent))
        {
            data = Fill(cpu, parent, 0);
            ReclaimAll(machine);
            child = parent.Fork();
            machine.Verify();
            child.Mm.SwapEntries.Should().Be(parent.Mm.SwapEntries);
            for (int i = 0; i < Pages; i += 2)
            {
                cpu.Write(data + (i << 12), 5000 + i);
            }
        }

        machine.Verify();
        using (cpu.Run(child))
        {
            Check(cpu, data, 0);
            for (int i = 0; i < Pages; i += 3)
            {
                cpu.Write(data + (i << 12), 9000 + i);
            }
        }

        machine.Verify();
        ReclaimAll(machine);
        machine.Verify();
        using (cpu.Run(parent))
        {
            for (int i = 0; i < Pages; i++)
            {
                cpu.Read<int>(data + (i << 12)).Should().Be(i % 2 == 0 ? 5000 + i : i);
            }
        }

        child.Exit();
        parent.Exit();
        area.UsedPages.Should().Be(0);
        machine.Verify();
    }

    [Fact]
    public void Shared_memory_goes_to_swap_and_comes_back()
    {
        using Machine machine = ForkTests.Boot("x86_64");
        Cpu cpu = machine.Cpus[0];
        using BlockDevice disk = new("sdb", "16M");
        SwapArea area = machine.Swap.SwapOn(disk);
        Process parent = machine.CreateProcess("parent");
        using ContextScope scope = cpu.Run(parent);
        VirtualAddress shared = parent.Mm.Mmap(default, Pages << 12, Prot.Read | Prot.Write, MapFlags.Shared | MapFlags.Anonymous);
        for (int i = 0; i < Pages; i++)
        {
            cpu.Write(shared + (i << 12), 300 + i);
        }

        Process child = parent.Fork();
        ReclaimAll(machine);
        area.UsedPages.Should().BeGreaterThanOrEqualTo(Pages);
        machine.Verify();
        using (cpu.Run(child))
        {
            cpu.Read<int>(shared + (5 << 12)).Should().Be(305);
            cpu.Write(shared + (6 << 12), -1);
        }

        Check(cpu, shared, 300, except: 6);
        cpu.Read<int>(shared + (6 << 12)).Should().Be(-1);
        machine.Verify();
        ReclaimAll(machine);
        machine.Swap.SwapOff(cpu, area).Should().Be(Errno.None);
        Check(cpu, shared, 300, except: 6);
        machine.Verify();
        child.Exit();
        parent.Exit();
        machine.Verify();
    }

    [Fact]
    public void A_device_that_is_on_for_swap_cannot_be_mounted_until_it_is_off()
    {
        using Machine machine = ForkTests.Boot("x86_64");
        using BlockDevice disk = new("sdb", "16M");
        SwapArea area = machine.Swap.SwapOn(disk);
        Action mount = () => machine.Files.Mount(disk);
        mount.Should().Throw<InvalidOperationException>().WithMessage("*swap*");
        machine.Swap.SwapOff(machine.Cpus[0], area).Should().Be(Errno.None);
        mount.Should().NotThrow();
        machine.Verify();
    }

    [Fact]
    public void A_vanished_disk_ends_in_a_bus_error_and_nothing_is_lost_when_it_is_back()
    {
        using Machine machine = ForkTests.Boot("x86_64");
        Cpu cpu = machine.Cpus[0];
        using BlockDevice disk = new("sdb", "16M");
        SwapArea area = machine.Swap.SwapOn(disk);
        machine.Swap.SwapOn(disk).Error.Should().Be(Errno.EBUSY);
        Process process = machine.CreateProcess("test");
        using ContextScope scope = cpu.Run(process);
        VirtualAddress data = Fill(cpu, process, 0);
        ReclaimAll(machine);
        disk.Vanish();
        Action read = () => cpu.Read<int>(data);
        read.Should().Throw<SignalException>().Which.SignalInfo.Signal.Should().Be(Signal.SIGBUS);
        machine.Swap.SwapOff(cpu, area).Should().Be(Errno.EIO);
        machine.Verify();

        disk.Reappear();
        ReclaimAll(machine);
        Check(cpu, data, 0);
        machine.Swap.SwapOff(cpu, area).Should().Be(Errno.None);
        Check(cpu, data, 0);
        machine.Verify();
    }

    [Theory]
    [InlineData("x86_64", true)]
    [InlineData("x86_64", false)]
    [InlineData("arm64", true)]
    public void More_memory_than_there_is_fits_with_swap(string architecture, bool synchronous)
    {
        using Machine machine = Machine.Boot(architecture == "arm64" ? MachineSpec.Arm64("128M") : MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        machine.Reclaim.Enable();
        using BlockDevice disk = new("sdb", "256M", synchronous ? BlockDeviceCosts.Memory : BlockDeviceCosts.SolidState);
        SwapArea area = machine.Swap.SwapOn(disk);
        Process process = machine.CreateProcess("greedy");
        using ContextScope scope = cpu.Run(process);
        long pages = machine.Zones.Sum(z => z.ManagedPages) * 3 / 2;
        VirtualAddress data = process.Mm.Mmap(pages << 12, Prot.Read | Prot.Write);
        for (long i = 0; i < pages; i++)
        {
            cpu.Write(data + (i << 12), (int)i + 1);
            cpu.Write(data + (i << 12) + 4092, ~(int)i);
        }

        area.UsedPages.Should().BeGreaterThan(pages / 4);
        machine.Verify();
        for (long i = pages - 1; i >= 0; i--)
        {
            (cpu.Read<int>(data + (i << 12)), cpu.Read<int>(data + (i << 12) + 4092)).Should().Be(((int)i + 1, ~(int)i));
        }

        machine.Verify();
        process.Exit();
        (area.UsedPages, machine.Swap.CachedPages).Should().Be((0, 0));
        machine.Verify();
    }

    [Fact]
    public void Willneed_brings_pages_back_before_they_are_used()
    {
        using Machine machine = ForkTests.Boot("x86_64");
        Cpu cpu = machine.Cpus[0];
        using BlockDevice disk = new("sdb", "16M");
        machine.Swap.SwapOn(disk).Succeeded.Should().BeTrue();
        Process process = machine.CreateProcess("test");
        using ContextScope scope = cpu.Run(process);
        VirtualAddress data = Fill(cpu, process, 0);
        ReclaimAll(machine);
        process.Mm.Madvise(data, Pages << 12, MemoryAdvice.WillNeed).Should().Be(Errno.None);
        long majors = process.MajorFaults;
        Check(cpu, data, 0);
        process.MajorFaults.Should().Be(majors);
        machine.Verify();
    }

    [Theory]
    [InlineData("x86_64", 1)]
    [InlineData("x86_64", 2)]
    [InlineData("x86_32", 3)]
    [InlineData("pae", 4)]
    [InlineData("arm64", 5)]
    public void Random_programs_see_what_they_wrote_while_their_pages_come_and_go(string architecture, int seed)
    {
        using Machine machine = ForkTests.Boot(architecture);
        Cpu cpu = machine.Cpus[0];
        using BlockDevice solid = new("sdb", "2M");
        using BlockDevice rotating = new("sdc", "2M", BlockDeviceCosts.Rotating);
        using BlockDevice memory = new("zram0", "2M", BlockDeviceCosts.Memory);
        BlockDevice[] disks = [solid, rotating, memory];
        long out0 = machine.Events[VmEvent.SwapOut];
        Random random = new(seed);
        ProgramRun.Run(machine, ProgramShape.Small, RandomProgram.FromSeed(seed, 800, ProgramStep.Small), _ =>
        {
            BlockDevice disk = disks[random.Next(3)];
            SwapArea? area = machine.Swap.Areas.FirstOrDefault(a => a.Name == disk.Name);
            switch (random.Next(12))
            {
                case < 4:
                    ReclaimSome(machine, random);
                    break;
                case 4 when area is null:
                    machine.Swap.SwapOn(disk, random.Next(2) == 0 ? 3 : null, SwapDiscard.Pages).Succeeded.Should().BeTrue();
                    break;
                case 5 when area is not null && random.Next(6) == 0:
                    disk.HoldsWrites = false;
                    machine.Swap.SwapOff(cpu, area).Should().Be(Errno.None);
                    break;
                case 6:
                    disk.HoldsWrites = random.Next(2) == 0;
                    break;
                case 7:
                    disk.RepairSectors();
                    if (random.Next(2) == 0)
                    {
                        disk.FailSectors(0, 1 << 20, reads: false);
                    }

                    break;
                case 8:
                    disk.CompleteWrites(cpu);
                    break;
            }
        }, atEnd: () =>
        {
            foreach (BlockDevice disk in disks)
            {
                disk.RepairSectors();
                disk.HoldsWrites = false;
                disk.CompleteWrites(cpu);
            }

            foreach (SwapArea on in machine.Swap.Areas.ToArray())
            {
                machine.Swap.SwapOff(cpu, on).Should().Be(Errno.None);
            }

            ReclaimSome(machine, random);
        });
        (machine.Events[VmEvent.SwapOut] - out0).Should().BeGreaterThan(100);
    }

    private static VirtualAddress Fill(Cpu cpu, Process process, int first)
    {
        VirtualAddress data = process.Mm.Mmap(Pages << 12, Prot.Read | Prot.Write);
        for (int i = 0; i < Pages; i++)
        {
            cpu.Write(data + (i << 12), first + i);
            cpu.Write(data + (i << 12) + 4088, ~(first + i));
        }

        return data;
    }

    private static void Check(Cpu cpu, VirtualAddress data, int first, int except = -1)
    {
        for (int i = 0; i < Pages; i++)
        {
            if (i != except)
            {
                cpu.Read<int>(data + (i << 12)).Should().Be(first + i);
            }
        }
    }

    private static int ReclaimAll(Machine machine)
    {
        int reclaimed = 0;
        foreach (int pfn in SwapBackedPages(machine))
        {
            reclaimed += Reclaim(machine, pfn) ? 1 : 0;
        }

        return reclaimed;
    }

    private static void ReclaimSome(Machine machine, Random random)
    {
        foreach (int pfn in SwapBackedPages(machine))
        {
            if (random.Next(3) == 0)
            {
                _ = Reclaim(machine, pfn);
            }
        }
    }

    private static List<int> SwapBackedPages(Machine machine)
    {
        const PageFlags wanted = PageFlags.Lru | PageFlags.SwapBacked;
        machine.Lru.DrainAll();
        List<int> pages = [];
        foreach (PresentRange range in machine.ZoneTable.PresentRanges)
        {
            for (int pfn = (int)range.Start; pfn < range.End; pfn++)
            {
                if (machine.Frames.Array.Named(pfn) is { RefCount: not 0 } frame && frame.HasAll(wanted))
                {
                    pages.Add(pfn);
                }
            }
        }

        return pages;
    }

    /// <summary>Reclaims one page as <c>shrink_folio_list()</c> would, whatever its age.</summary>
    private static bool Reclaim(Machine machine, int pfn)
    {
        Cpu cpu = machine.Cpus[0];
        IPageOwners owners = machine.Lru.Owners!;
        ref PageFrame frame = ref machine.Frames.Array[pfn];
        if (frame.RefCount == 0 || !machine.Lru.Isolate(pfn))
        {
            return false;
        }

        frame.Set(PageFlags.Locked);
        bool free = !frame.Has(PageFlags.Writeback | PageFlags.Mlocked);
        if (free && frame.IsAnonymous && !machine.Swap.IsCached(pfn))
        {
            free = owners.AddToSwap(cpu, pfn);
        }

        free = free && (frame.MapCount == 0 || owners.TryToUnmap(cpu, pfn));
        if (free && frame.IsDirty)
        {
            free = owners.PageOut(cpu, pfn) is PageOutOutcome.Success or PageOutOutcome.Clean;
        }

        free = free && !frame.Has(PageFlags.Dirty | PageFlags.Writeback) && owners.RemoveFromCache(cpu, pfn);
        frame.Clear(PageFlags.Locked);
        if (free)
        {
            machine.Lru.Put(cpu, pfn);
        }
        else
        {
            machine.Lru.PutBack(cpu, pfn);
        }

        return free;
    }
}

internal static class SwapProcessExtensions
{
    /// <summary>The page mapped at an address.</summary>
    public static int PageAt(this Process process, Machine machine, VirtualAddress address)
    {
        ulong slot = process.Mm.Tables.FindSlot(address.Value);
        return machine.Mm!.Layout.Pfn(process.Mm.Tables.ReadSlot(slot));
    }
}
