using System.Globalization;
using FluentAssertions;
using Xunit;

namespace MemSim.Oracle.Tests.Slab;

/// <summary>Every kmalloc recorded inside the kernel, done again: what <c>ksize()</c> says and where the object comes from.</summary>
public class KmallocTests
{
    [Fact]
    public void Every_recorded_size_and_flag_is_served_by_the_same_cache_with_the_same_size()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("2G").WithCommandLine("slab_nomerge").WithoutContents());
        Cpu cpu = machine.Cpus[0];
        List<string> differences = [];
        int compared = 0;
        foreach (string line in SlabRecords.Lines("kmalloc.txt.gz"))
        {
            string[] fields = line.Split(' ');
            if (line.StartsWith('#') || fields.Length != 4)
            {
                continue;
            }

            Gfp gfp = Gfp.Kernel;
            foreach (string flag in fields[0].Split('_'))
            {
                gfp |= flag switch { "DMA" => Gfp.Dma, "RECLAIMABLE" => Gfp.Reclaimable, "ACCOUNT" => Gfp.Account, _ => Gfp.None };
            }

            compared++;
            VirtualAddress obj = cpu.Kmalloc(long.Parse(fields[1], CultureInfo.InvariantCulture), gfp);
            string here = Describe(machine, cpu, obj);
            cpu.Kfree(obj);
            if (here != $"{fields[2]} {fields[3]}" && differences.Count < 20)
            {
                differences.Add($"{line}: here {here}");
            }
        }

        differences.Should().BeEmpty();
        compared.Should().BeGreaterThan(290_000);
    }

    private static string Describe(Machine machine, Cpu cpu, VirtualAddress obj)
    {
        if (obj.IsNull)
        {
            return "NULL -";
        }

        if (obj == SlabAllocator.ZeroSizePointer)
        {
            return "ZERO_SIZE_PTR -";
        }

        Page page = cpu.VirtToPage(obj).CompoundHead;
        return page.Flags.HasFlag(PageFlags.Slab)
            ? $"{cpu.Ksize(obj)} {machine.Slab.CacheOf(machine.Slab.Memory[page.FrameIndex].Cache).Name}"
            : $"{cpu.Ksize(obj)} page:order{page.CompoundOrder}:{page.Zone.Type.KernelName()}";
    }
}
