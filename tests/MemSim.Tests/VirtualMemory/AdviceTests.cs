using FluentAssertions;
using MemSim.Statistics;
using Xunit;

namespace MemSim.Tests.VirtualMemory;

/// <summary>Advice about anonymous memory, with the real LRU lists, swap and reclaim.</summary>
public class AdviceTests
{
    private const int Page = PageGeometry.PageSize;
    private const int Pages = 200;

    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void Memory_freed_lazily_is_dropped_by_reclaim_unless_it_is_written_again(string architecture)
    {
        using Machine machine = ForkTests.Boot(architecture);
        Cpu cpu = machine.Cpus[0];
        machine.Sysctl.Set("vm.swappiness", "0");
        Process process = machine.CreateProcess("lazy");
        using ContextScope scope = cpu.Run(process);
        VirtualAddress data = Filled(cpu, process);
        machine.Lru.DrainAll();
        process.Mm.Madvise(data, Pages * Page, MemoryAdvice.Free).Should().Be(Errno.None);
        machine.Lru.DrainAll();
        machine.Events[VmEvent.LazyFree].Should().Be(Pages);
        cpu.Read<int>(data + Page).Should().Be(2, "nothing has happened yet");
        for (int i = 0; i < Pages; i += 2)
        {
            cpu.Write(data + (i * Page) + 8, i);
        }

        // What was only read is lost all the same when memory gets short; the mark of the read needs a second look.
        process.Mm.Madvise(data, Pages * Page, MemoryAdvice.PageOut).Should().Be(Errno.None);
        process.Mm.Madvise(data, Pages * Page, MemoryAdvice.PageOut).Should().Be(Errno.None);
        machine.Verify();
        machine.Events[VmEvent.LazyFreed].Should().Be(Pages / 2);
        for (int i = 0; i < Pages; i++)
        {
            cpu.Read<int>(data + (i * Page)).Should().Be(i % 2 == 0 ? i + 1 : 0, "page {0}", i);
        }

        process.Exit();
        machine.Verify();
    }

    [Fact]
    public void Cold_pages_are_the_first_to_go()
    {
        using Machine machine = ForkTests.Boot("x86_64");
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("cold");
        using ContextScope scope = cpu.Run(process);
        VirtualAddress data = Filled(cpu, process);
        machine.Lru.DrainAll();
        for (int i = 0; i < Pages; i++)
        {
            machine.Mm!.Pages.MarkAccessed(cpu, Pfn(process, data + (i * Page)));
            machine.Mm.Pages.MarkAccessed(cpu, Pfn(process, data + (i * Page)));
        }

        machine.Lru.DrainAll();
        machine.GetPage(new Pfn(Pfn(process, data))).Flags.Should().HaveFlag(PageFlags.Active);
        process.Mm.Madvise(data, Pages * Page / 2, MemoryAdvice.Cold).Should().Be(Errno.None);
        machine.Lru.DrainAll();
        machine.GetPage(new Pfn(Pfn(process, data))).Flags.Should().NotHaveFlag(PageFlags.Active);
        machine.GetPage(new Pfn(Pfn(process, data + ((Pages - 1) * Page)))).Flags.Should().HaveFlag(PageFlags.Active);
        process.Mm.AnonPages.Should().Be(Pages, "cold pages stay");
        cpu.Read<int>(data).Should().Be(1);
        machine.Verify();
    }

    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void Paged_out_memory_is_in_swap_at_once_and_comes_back(string architecture)
    {
        using Machine machine = ForkTests.Boot(architecture);
        Cpu cpu = machine.Cpus[0];
        using BlockDevice disk = new("sdb", "16M");
        machine.Swap.SwapOn(disk).Succeeded.Should().BeTrue();
        Process process = machine.CreateProcess("out");
        using ContextScope scope = cpu.Run(process);
        VirtualAddress data = Filled(cpu, process);
        process.Mm.Madvise(data, Pages * Page, MemoryAdvice.PageOut).Should().Be(Errno.None);
        process.Mm.SwapEntries.Should().Be(Pages);
        process.Mm.AnonPages.Should().Be(0);
        disk.PagesWritten.Should().Be(Pages);
        long majors = process.MajorFaults;
        process.Mm.Madvise(data, Pages * Page, MemoryAdvice.WillNeed).Should().Be(Errno.None);
        for (int i = 0; i < Pages; i++)
        {
            cpu.Read<int>(data + (i * Page)).Should().Be(i + 1);
        }

        process.MajorFaults.Should().Be(majors);
        machine.Verify();
    }

    private static VirtualAddress Filled(Cpu cpu, Process process)
    {
        VirtualAddress data = process.Mm.Mmap(Pages * Page, Prot.Read | Prot.Write);
        process.Mm.Madvise(data, Pages * Page, MemoryAdvice.NoHugePage).Should().Be(Errno.None);
        for (int i = 0; i < Pages; i++)
        {
            cpu.Write(data + (i * Page), i + 1);
        }

        return data;
    }

    private static int Pfn(Process process, VirtualAddress at) => (int)(process.PageMap(at, 1)[0] & uint.MaxValue);
}
