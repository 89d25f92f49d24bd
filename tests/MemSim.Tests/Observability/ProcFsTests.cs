using System.Globalization;
using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Observability;

public sealed class ProcFsTests
{
    [Fact]
    public void Vmstat_counts_allocated_and_freed_pages()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64(ByteSize.FromMiB(128)).WithoutContents());
        Cpu cpu = machine.Cpus[0];
        long allocated = Value(machine, "pgalloc_dma32");
        long freed = Value(machine, "pgfree");
        Page kept = cpu.AllocPages(Gfp.Kernel, 3);
        cpu.FreePages(cpu.AllocPages(Gfp.Kernel, 5), 5);

        Value(machine, "pgalloc_dma32").Should().Be(allocated + 8 + 32);
        Value(machine, "pgfree").Should().Be(freed + 32);
        cpu.FreePages(kept, 3);
        Value(machine, "pgfree").Should().Be(freed + 40);
    }

    [Fact]
    public void A_count_that_has_no_list_end_in_sight_is_cut_off_as_in_the_kernel()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64(ByteSize.FromGiB(1)).WithoutContents());
        Cpu cpu = machine.Cpus[0];
        List<Page> pages = [];
        for (Page page = cpu.AllocPage(Gfp.Kernel | Gfp.NoWarn); !page.IsNull; page = cpu.AllocPage(Gfp.Kernel | Gfp.NoWarn))
        {
            pages.Add(page);
        }

        foreach (Page page in pages.Where(p => p.Pfn.Value % 2 == 0))
        {
            cpu.FreePage(page);
        }

        machine.Memory.DrainAllPages();

        machine.Proc.PageTypeInfo.Should().Contain("zone    DMA32, type    Unmovable >100000 ");
    }

    [Fact]
    public void Views_of_a_disposed_machine_are_refused()
    {
        Machine machine = Machine.Boot(MachineSpec.X86_64(ByteSize.FromMiB(128)).WithoutContents());
        machine.Dispose();

        machine.Proc.Invoking(p => p.BuddyInfo).Should().Throw<ObjectDisposedException>();
    }

    private static long Value(Machine machine, string name) =>
        long.Parse(machine.Proc.VmStat.Split('\n').Single(l => l.StartsWith(name + " ", StringComparison.Ordinal)).Split(' ')[1], CultureInfo.InvariantCulture);
}
