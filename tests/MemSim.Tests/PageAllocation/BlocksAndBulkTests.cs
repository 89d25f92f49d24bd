using FluentAssertions;
using Xunit;

namespace MemSim.Tests.PageAllocation;

/// <summary>Pages asked for many at once that somebody pays for, and pages freed together as the block they make.</summary>
public class BlocksAndBulkTests
{
    [Fact]
    public void A_bulk_request_that_a_cgroup_pays_for_gets_one_page_that_is_charged_and_uncharged()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M"));
        Cpu cpu = machine.Cpus[0];
        Cgroup payer = machine.Cgroups.Create("/payer");
        Process process = machine.CreateProcess("payer");
        process.Cgroup = payer;
        Page[] pages = new Page[256];
        long before;
        using (cpu.Run(process))
        {
            before = payer.CurrentBytes;
            cpu.Pages.AllocPagesBulk(Gfp.KernelAccount, pages).Should().Be(1, "the bulk path knows no payer, and its caller asks again for each");
        }

        (payer.CurrentBytes - before).Should().BeGreaterThanOrEqualTo(4096);
        pages.Count(page => !page.IsNull).Should().Be(1);
        machine.Verify();
        long charged = payer.CurrentBytes;
        cpu.FreePages(pages[0]);

        payer.CurrentBytes.Should().BeLessThanOrEqualTo(charged, "what is charged ahead may keep it");
        machine.Verify();
    }

    [Fact]
    public void A_vmalloc_area_freed_as_blocks_leaves_those_of_costly_order_on_the_lists_of_the_cpu()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M").WithKernel("7.3"));
        Cpu cpu = machine.Cpus[0];
        VirtualAddress area = cpu.Vmalloc(8 * PageGeometry.PageSize);
        Page first = cpu.Vm.VmallocToPage(area);
        Enumerable.Range(0, 8).Should().OnlyContain(i => cpu.Vm.VmallocToPage(area + ((long)i * PageGeometry.PageSize)).Pfn == first.Pfn + i, "the pages follow each other");
        (first.Pfn.Value % 8).Should().Be(0);
        machine.Memory.DrainAllPages();
        cpu.Vfree(area);
        cpu.Lists.Pcp[first.Zone.Id].Count.Should().Be(8);
        cpu.AllocPages(Gfp.Kernel, 3).Should().Be(first, "the block freed last is the first to go");
        machine.Verify();
    }

    [Theory]
    [InlineData("6.1")]
    [InlineData("7.3")]
    public void The_order_that_a_free_block_had_is_forgotten_when_it_is_handed_out(string kernel)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithKernel(kernel));
        Cpu cpu = machine.Cpus[0];
        for (int order = 0; order <= PageGeometry.MaxOrder; order++)
        {
            for (int i = 0; i < 4; i++)
            {
                Page page = cpu.AllocPages(Gfp.Kernel | Gfp.NoWarn, order);
                if (!page.IsNull)
                {
                    page.Private.Should().Be(0);
                }
            }
        }
    }

    [Fact]
    public void Beyond_the_limit_a_bulk_request_gets_what_can_be_charged()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M"));
        Cpu cpu = machine.Cpus[0];
        Cgroup payer = machine.Cgroups.Create("/payer");
        Process process = machine.CreateProcess("payer");
        process.Cgroup = payer;
        payer["memory.max"] = "1M";
        Page[] pages = new Page[400];
        using (cpu.Run(process))
        {
            cpu.Pages.AllocPagesBulk(Gfp.NoWait | Gfp.Account | Gfp.NoWarn, pages).Should().BeLessThanOrEqualTo(256);
        }

        payer.CurrentBytes.Should().BeLessThanOrEqualTo(1 << 20);
        machine.Verify();
    }
}
