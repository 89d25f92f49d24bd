using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Faults;

/// <summary>When a page that was shared once is written in place (<c>do_wp_page()</c>).</summary>
public class ReuseTests
{
    [Fact]
    public void A_page_back_from_swap_with_three_references_comes_down_to_one_and_is_written_in_place()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 1));
        using BlockDevice device = new("swap", "16M");
        machine.Swap.SwapOn(device).Succeeded.Should().BeTrue();
        Cpu cpu = machine.Cpus[0];
        machine.Sysctl.Set("vm.page-cluster", "0");
        Process parent = machine.CreateProcess("parent");
        VirtualAddress at = parent.Mm.Mmap(4096, Prot.Read | Prot.Write).Value;
        using (cpu.Run(parent))
        {
            cpu.Write(at, 1234);
        }

        Process child = parent.Fork().Value;
        child.Exit();
        parent.Wait();
        using (cpu.Run(parent))
        {
            parent.Mm.Madvise(at, 4096, MemoryAdvice.PageOut).Should().Be(Errno.None);
            (parent.PageMap(at, 1)[0] >> 62).Should().Be(1, "the page is swapped out");
            cpu.Read<int>(at).Should().Be(1234);
            Page page = machine.GetPage(new Pfn((long)(parent.PageMap(at, 1)[0] & ((1UL << 55) - 1))));
            page.Count.Should().Be(3, "the page table's, the swap cache's and that of the batch on its way to the LRU lists");

            cpu.Write(at, 5678);

            (parent.PageMap(at, 1)[0] & ((1UL << 55) - 1)).Should().Be((ulong)page.Pfn.Value, "nobody else has it: it is not copied");
            page.Count.Should().BeLessThan(3);
            machine.Swap.Areas[0].UsedPages.Should().Be(0, "its slot was given back");
        }

        machine.Verify();
    }
}
