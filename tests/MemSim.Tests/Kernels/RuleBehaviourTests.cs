using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Kernels;

/// <summary>Rules of kernel lines that no handed-out recording tells, each by what it does: with the value of the line before, the test fails.</summary>
public sealed class RuleBehaviourTests
{
    private const long Page = 4096;

    [Theory]
    [InlineData("6.17", false)]
    [InlineData("6.18", true)]
    public void Charging_another_cgroup_leaves_the_stock_of_the_first_where_cpus_have_several(string kernel, bool keeps)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithKernel(kernel));
        Cgroup[] cgroups = [.. Enumerable.Range(0, 7).Select(i => machine.Cgroups.Create($"/g{i}"))];
        Touch(machine, cgroups[0], 3);
        long first = cgroups[0].CurrentBytes;
        (first / Page % 64).Should().Be(0, "charged in batches");
        foreach (Cgroup other in cgroups[1..])
        {
            Touch(machine, other, 3);
        }

        (cgroups[0].CurrentBytes == first).Should().Be(keeps);
    }

    [Theory]
    [InlineData("6.17", true)]
    [InlineData("6.18", false)]
    public void A_batch_that_does_not_fit_is_a_failed_charge_where_the_kernel_counts_it(string kernel, bool counts)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithKernel(kernel));
        Cgroup cgroup = machine.Cgroups.Create("/g");
        cgroup["memory.max"] = (40 * Page).ToString(System.Globalization.CultureInfo.InvariantCulture);

        Touch(machine, cgroup, 2);

        (cgroup["memory.failcnt"].Trim() != "0").Should().Be(counts, "single pages fit, a batch of 64 does not");
    }

    [Theory]
    [InlineData("6.1", true)]
    [InlineData("6.12", false)]
    public void Direct_reclaim_walks_the_whole_tree_or_stops_when_it_has_enough(string kernel, bool whole)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M").WithKernel(kernel));
        using BlockDevice disk = new("vda", "128M");
        machine.Swap.SwapOn(disk).Succeeded.Should().BeTrue();
        Cgroup parent = machine.Cgroups.Create("/p");
        Cgroup[] children = [.. Enumerable.Range(0, 8).Select(i => machine.Cgroups.Create($"/p/c{i}"))];
        foreach (Cgroup child in children)
        {
            Touch(machine, child, 1024);
        }

        machine.Lru.DrainAll();
        parent["memory.max"] = parent.CurrentBytes.ToString(System.Globalization.CultureInfo.InvariantCulture);
        Touch(machine, children[0], 40);

        int walked = children.Count(c => Row(c["memory.stat"], "pgscan") > 0);
        walked.Should().BePositive();
        (walked == children.Length).Should().Be(whole, $"{walked} of 8 were looked at");
        machine.Verify();
    }

    [Theory]
    [InlineData("6.1", false)]
    [InlineData("6.12", true)]
    public void Pages_of_a_list_are_freed_in_its_order_or_from_its_end(string kernel, bool inOrder)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithKernel(kernel));
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("p");
        List<long> frames = [];
        using (cpu.Run(process))
        {
            VirtualAddress at = process.Mm.Mmap(8 * Page, Prot.Read | Prot.Write).Value;
            for (int i = 0; i < 8; i++)
            {
                cpu.Write(at + (i * Page), (long)i);
                frames.Add((long)(cpu.Translate(at + (i * Page)).Value >> 12));
            }

            machine.Lru.DrainAll();
            process.Mm.Munmap(at, 8 * Page).Should().Be(default(Errno));
        }

        List<int> handedOut = [.. Enumerable.Range(0, 40).Select(_ => frames.IndexOf(cpu.AllocPage(Gfp.HighUserMovable).Pfn.Value)).Where(i => i >= 0)];

        // Each goes to the front of its CPU's list: the one freed last comes first.
        handedOut.Should().HaveCountGreaterThan(5);
        if (inOrder)
        {
            handedOut.Should().BeInDescendingOrder();
        }
        else
        {
            handedOut.Should().BeInAscendingOrder();
        }
    }

    private static void Touch(Machine machine, Cgroup cgroup, int pages)
    {
        Process process = machine.CreateProcess("p");
        process.Cgroup = cgroup;
        using (machine.Cpus[0].Run(process))
        {
            VirtualAddress at = process.Mm.Mmap(pages * Page, Prot.Read | Prot.Write).Value;
            for (int i = 0; i < pages; i++)
            {
                machine.Cpus[0].Write(at + (i * Page), (long)i);
            }
        }
    }

    private static long Row(string text, string row) =>
        long.Parse(text.Split('\n').Single(line => line.StartsWith(row + " ", StringComparison.Ordinal))[(row.Length + 1)..], System.Globalization.CultureInfo.InvariantCulture);
}
