using System.Globalization;
using System.Text.RegularExpressions;
using FluentAssertions;
using MemSim.Swap;
using MemSim.Tests.VirtualMemory;
using Xunit;

namespace MemSim.Tests.Processes;

/// <summary>What the files below /proc say of a process, against each other and against what the machine counts.</summary>
public class ProcessViewTests
{
    private const int Page = PageGeometry.PageSize;
    private const Prot ReadWrite = Prot.Read | Prot.Write;

    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void Smaps_status_statm_and_pagemap_agree_with_the_counters(string architecture)
    {
        using Machine machine = Boot(architecture);
        Cpu cpu = machine.Cpus[0];
        machine.Swap.SwapOn(new MemorySwapBacking("swap", 1024)).Succeeded.Should().BeTrue();
        using BlockDevice disk = new("sda", "16M");
        OpenFile file = machine.Files.Mount(disk).Create("file");
        _ = cpu.Files.Write(file, 0, new byte[12 * Page]).Value;
        OpenFile memory = machine.Files.MountTmpfs().Create("memory");
        cpu.Files.Truncate(memory, 8 * Page).Should().Be(Errno.None);
        Process parent = machine.CreateProcess("parent");
        Process child;
        using (cpu.Run(parent))
        {
            MemoryDescriptor mm = parent.Mm;
            VirtualAddress anonymous = mm.Mmap(40 * Page, ReadWrite);
            Touch(cpu, anonymous, 24, write: true);
            Touch(cpu, anonymous + (24 * Page), 8, write: false);
            mm.Madvise(anonymous, 5 * Page, MemoryAdvice.PageOut).Should().Be(Errno.None);
            Touch(cpu, mm.Mmap(default, 12 * Page, Prot.Read, MapFlags.Private, file), 12, write: false);
            Touch(cpu, mm.Mmap(default, 4 * Page, ReadWrite, MapFlags.Private, file), 3, write: true);
            Touch(cpu, mm.Mmap(default, 8 * Page, ReadWrite, MapFlags.Shared, memory), 6, write: true);
            VirtualAddress huge = mm.Mmap(default, 8 << 20, ReadWrite, MapFlags.Private | MapFlags.Anonymous);
            mm.Madvise(huge, 8 << 20, MemoryAdvice.HugePage).Should().Be(Errno.None);
            cpu.Write(huge + (4 << 20), 1);
            mm.Mlock(anonymous + (10 * Page), 4 * Page).Should().Be(Errno.None);
            child = parent.Fork();
            cpu.Write(anonymous + (15 * Page), 9);
        }

        using (cpu.Run(child))
        {
            Touch(cpu, child.Mm.Mmap(7 * Page, ReadWrite), 7, write: true);
        }

        machine.Verify();
        foreach (Process process in (Process[])[parent, child])
        {
            MemoryDescriptor mm = process.Mm;
            string smaps = process.Smaps;
            long resident = mm.ResidentPages * 4;
            mm.AnonPages.Should().BeGreaterThan(512);
            mm.SwapEntries.Should().Be(5);
            Sum(smaps, "Rss").Should().Be(resident);
            Sum(smaps, "Size").Should().Be(mm.TotalPages * 4);
            Sum(smaps, "Anonymous").Should().Be(mm.AnonPages * 4);
            Sum(smaps, "Swap").Should().Be(mm.SwapEntries * 4);
            (Sum(smaps, "Shared_Clean") + Sum(smaps, "Shared_Dirty") + Sum(smaps, "Private_Clean") + Sum(smaps, "Private_Dirty")).Should().Be(resident);
            foreach (string kind in (string[])["Rss", "Shared_Clean", "Shared_Dirty", "Private_Clean", "Private_Dirty", "Referenced", "Anonymous", "AnonHugePages", "Swap"])
            {
                Sum(process.SmapsRollup, kind).Should().Be(Sum(smaps, kind), kind);
            }

            string status = process.Status;
            Sum(status, "VmRSS").Should().Be(resident);
            (Sum(status, "RssAnon") + Sum(status, "RssFile") + Sum(status, "RssShmem")).Should().Be(resident);
            Sum(status, "VmSize").Should().Be(mm.TotalPages * 4);
            Sum(status, "VmSwap").Should().Be(20);
            Sum(status, "VmPTE").Should().Be(mm.PageTableBytes >> 10);
            Sum(status, "VmLck").Should().Be(process == parent ? 16 : 0, "locks are not inherited");
            Sum(status, "VmHWM").Should().BeGreaterThanOrEqualTo(resident);
            process.Statm.Should().StartWith($"{mm.TotalPages} {mm.ResidentPages} {mm.FilePages + mm.SharedMemoryPages} ");
            ulong[] words = [.. mm.Areas.SelectMany(vma => process.PageMap(vma.Start, (int)vma.Pages))];
            words.Count(w => w >> 63 == 1 && (w & uint.MaxValue) != (uint)machine.Mm!.ZeroPfn).Should().Be((int)mm.ResidentPages);
            words.Count(w => (w & (1UL << 62)) != 0).Should().Be(5);
            words.Count(w => (w & (1UL << 61)) != 0).Should().Be((int)(mm.FilePages + mm.SharedMemoryPages));
        }

        // Each page's shares add up to one page: all that the two map, once; rounding may lose a little an area.
        long shares = Sum(parent.Smaps, "Pss") + Sum(child.Smaps, "Pss");
        HashSet<ulong> frames = [.. Frames(parent), .. Frames(child)];
        frames.Remove((uint)machine.Mm!.ZeroPfn);
        shares.Should().BeInRange((frames.Count * 4) - 20, frames.Count * 4);
        Sum(machine.Proc.MemInfo, "AnonPages").Should().Be(frames.Count(f => machine.Mm.Pages.IsAnon((int)f)) * 4);
        Sum(machine.Proc.MemInfo, "Mapped").Should().Be(frames.Count(f => !machine.Mm.Pages.IsAnon((int)f)) * 4);
        Sum(machine.Proc.MemInfo, "PageTables").Should().BeGreaterThanOrEqualTo((parent.Mm.PageTableBytes + child.Mm.PageTableBytes) >> 11);
    }

    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void Vmstat_counts_each_fault_and_each_page_that_came_and_went(string architecture)
    {
        using Machine machine = Boot(architecture);
        Cpu cpu = machine.Cpus[0];
        using BlockDevice disk = new("sda", "16M");
        OpenFile file = machine.Files.Mount(disk).Create("file");
        _ = cpu.Files.Write(file, 0, new byte[4 * Page]).Value;
        _ = cpu.Files.Fsync(file);
        machine.CreateProcess("warm").Exit();
        long free = machine.FreePagesAtRest();
        Dictionary<string, long> before = VmStat(machine);
        Process process = machine.CreateProcess("counted");
        using (cpu.Run(process))
        {
            VirtualAddress at = process.Mm.Mmap(100 * Page, ReadWrite);
            Touch(cpu, at, 100, write: true);
            Touch(cpu, at, 100, write: false);
            VirtualAddress huge = process.Mm.Mmap(8 << 20, ReadWrite);
            process.Mm.Madvise(huge, 8 << 20, MemoryAdvice.HugePage).Should().Be(Errno.None);
            cpu.Write(huge + (4 << 20), 1);
            process.Mm.Munmap(huge + (4 << 20), Page).Should().Be(Errno.None);
            machine.Files.DropCaches(1);
            cpu.Read<int>(process.Mm.Mmap(default, Page, Prot.Read, MapFlags.Shared, file));
        }

        process.MinorFaults.Should().Be(101);
        process.MajorFaults.Should().Be(1);
        process.Exit();
        machine.Files.DropCaches(1);
        long freeNow = machine.FreePagesAtRest();
        Dictionary<string, long> after = VmStat(machine);
        Grown("pgfault").Should().Be(102);
        Grown("pgmajfault").Should().Be(1);
        Grown("thp_fault_alloc").Should().Be(1);
        Grown("thp_fault_fallback").Should().Be(0);
        Grown("thp_split_pmd").Should().Be(1);
        long allocated = before.Keys.Where(k => k.StartsWith("pgalloc_", StringComparison.Ordinal)).Sum(Grown);
        allocated.Should().BeGreaterThan(100 + 512);
        (Grown("pgfree") - allocated).Should().Be(freeNow - free, "what was freed and not allocated is free");

        long Grown(string name) => after[name] - before[name];
    }

    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void Nothing_that_a_process_can_reach_holds_old_bytes(string architecture)
    {
        using Machine machine = Boot(architecture);
        Cpu cpu = machine.Cpus[0];
        foreach (int order in (int[])[9, 0])
        {
            List<Page> pages = cpu.AllocateAll(Gfp.HighUserMovable, order);
            pages.Should().NotBeEmpty();
            foreach (Page page in pages)
            {
                for (int i = 0; i < 1 << order; i++)
                {
                    machine.Ram.Frame(page.FrameIndex + i).Fill(0xa5);
                }
            }

            pages.ForEach(page => cpu.FreePages(page, order));
        }

        machine.Sysctl.Set("vm.nr_hugepages", "2");
        using BlockDevice disk = new("sda", "16M");
        OpenFile file = machine.Files.Mount(disk).Create("file");
        _ = cpu.Files.Write(file, 0, [.. Enumerable.Repeat((byte)0x11, 100)]).Value;
        _ = cpu.Files.Write(file, 3 * Page, [0x11]).Value;
        OpenFile memory = machine.Files.MountTmpfs().Create("memory");
        cpu.Files.Truncate(memory, 4 * Page).Should().Be(Errno.None);
        Process process = machine.CreateProcess("reader");
        using ContextScope scope = cpu.Run(process);
        MemoryDescriptor mm = process.Mm;
        const MapFlags anonymous = MapFlags.Private | MapFlags.Anonymous;
        VirtualAddress huge = mm.Mmap(default, 8 << 20, ReadWrite, anonymous);
        mm.Madvise(huge, 8 << 20, MemoryAdvice.HugePage).Should().Be(Errno.None);
        cpu.Write(huge + (4 << 20), (byte)0);
        mm.AnonPages.Should().BeGreaterThan(500);
        AllZero(cpu, huge, 8 << 20);
        AllZero(cpu, mm.Mmap(default, 4 << 20, ReadWrite, anonymous | MapFlags.HugeTlb | MapFlags.Populate), 4 << 20);
        mm.Brk(mm.HeapStart + (64 * Page)).Succeeded.Should().BeTrue();
        Touch(cpu, mm.HeapStart, 64, write: true, 0);
        AllZero(cpu, mm.HeapStart, 64 * Page);
        AllZero(cpu, mm.Mmap(default, 16 * Page, ReadWrite, MapFlags.Shared | MapFlags.Anonymous | MapFlags.Populate), 16 * Page);
        AllZero(cpu, mm.Mmap(default, 4 * Page, ReadWrite, MapFlags.Shared, memory), 4 * Page);
        AllZero(cpu, mm.StackStart + (-64 * Page), 32 * Page);
        VirtualAddress mapped = mm.Mmap(default, 4 * Page, ReadWrite, MapFlags.Private, file);
        for (int round = 0; round < 2; round++)
        {
            // What the file does not have: a hole, and the rest of its last page; in a copy as well.
            AllZero(cpu, mapped + 100, (3 * Page) - 100);
            AllZero(cpu, mapped + (3 * Page) + 1, Page - 1);
            Touch(cpu, mapped, 4, write: true, 0);
            machine.Files.DropCaches(1);
        }

        machine.Verify();
    }

    private static Machine Boot(string architecture)
    {
        Machine machine = ForkTests.Boot(architecture);
        machine.HugePages.Enabled = TransparentHugePages.Madvise;
        return machine;
    }

    private static void AllZero(Cpu cpu, VirtualAddress at, int bytes)
    {
        byte[] seen = new byte[bytes];
        cpu.Read(at, seen);
        seen.AsSpan().IndexOfAnyExcept((byte)0).Should().Be(-1);
    }

    private static void Touch(Cpu cpu, VirtualAddress at, int pages, bool write, byte value = 7)
    {
        for (int i = 0; i < pages; i++)
        {
            if (write)
            {
                cpu.Write(at + (i * Page), value);
            }
            else
            {
                _ = cpu.Read<byte>(at + (i * Page));
            }
        }
    }

    private static IEnumerable<ulong> Frames(Process process) =>
        process.Mm.Areas.SelectMany(vma => process.PageMap(vma.Start, (int)vma.Pages)).Where(w => w >> 63 == 1).Select(w => w & uint.MaxValue);

    private static long Sum(string text, string name) =>
        Regex.Matches(text, $@"^{name}:\s+(\d+) kB$", RegexOptions.Multiline).Sum(m => long.Parse(m.Groups[1].Value, CultureInfo.InvariantCulture));

    private static Dictionary<string, long> VmStat(Machine machine) =>
        machine.Proc.VmStat.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line.Split(' ')).ToDictionary(w => w[0], w => long.Parse(w[1], CultureInfo.InvariantCulture));
}
