using FluentAssertions;
using MemSim.Swap;
using Xunit;

namespace MemSim.Tests.Swap;

/// <summary>How many requests the pages of swap make (<c>nrswpin</c>, <c>nrswpout</c> of 7.3), and what reclaim put back (<c>pgrotate_*</c>).</summary>
public sealed class SwapRequestTests
{
    [Fact]
    public void Slots_that_follow_one_another_make_one_request_of_at_most_32()
    {
        SwapOperations operations = new();
        Requests(operations, Enumerable.Range(100, 33)).Should().Be(2);
        Requests(operations, [133, 134, 136, 135]).Should().Be(2, "one goes on, 136 is further, 135 is before it");
        operations.End();
        Requests(operations, [136]).Should().Be(1);
        operations.Begins(new SwapEntry(1, 137), isSynchronous: false).Should().BeTrue("that is another area");
        operations.Begins(new SwapEntry(1, 138), isSynchronous: true).Should().BeTrue();
        operations.Begins(new SwapEntry(1, 139), isSynchronous: true).Should().BeTrue();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_disk_gets_many_pages_at_once_and_a_device_in_memory_each_by_itself(bool synchronous)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M").WithKernel("7.3").WithCommandLine("transparent_hugepage=never"));
        Cpu cpu = machine.Cpus[0];
        machine.Swap.SwapOn(new MemorySwapBacking("vdb", 4096, solidState: false, synchronous), null, SwapDiscard.None);
        Process process = machine.CreateProcess("test");
        using ContextScope scope = cpu.Run(process);
        const int pages = 64;
        VirtualAddress data = process.Mm.Mmap(pages * 4096, Prot.Read | Prot.Write);
        for (int i = 0; i < pages; i++)
        {
            cpu.Write(data + (i * 4096), i);
        }

        process.Mm.Madvise(data, pages * 4096, MemoryAdvice.PageOut).Should().Be(Errno.None);
        long written = Row(machine, "pswpout"), requests = Row(machine, "nrswpout");
        written.Should().BeGreaterThanOrEqualTo(pages / 2);
        requests.Should().BeInRange(synchronous ? written : 1, synchronous ? written : written / 4);

        for (int i = 0; i < pages; i++)
        {
            cpu.Read<int>(data + (i * 4096)).Should().Be(i);
        }

        long read = Row(machine, "pswpin");
        read.Should().BePositive();
        Row(machine, "nrswpin").Should().BeInRange(synchronous ? read : 1, synchronous ? read : read / 4);
    }

    // cg-max-anon-swap, cg-low-min-nomglru and global-nomglru of 7.3, last step: scanned, stolen, put back.
    [Theory]
    [InlineData("anon", 131236, 49332, 81904)]
    [InlineData("anon", 438896, 144081, 294815)]
    [InlineData("file", 159754, 159744, 10)]
    public void What_reclaim_looked_at_and_did_not_free_was_put_back(string kind, long scanned, long stolen, long putBack)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M").WithKernel("7.3"));
        machine.Nodes[0].Counters.CountScanned(scanned, isKswapd: true, file: kind == "file");
        machine.Nodes[0].Counters.CountStolen(stolen, isKswapd: true, file: kind == "file");
        Row(machine, "pgrotate_" + kind).Should().Be(putBack);
    }

    private static int Requests(SwapOperations operations, IEnumerable<int> slots) => slots.Count(slot => operations.Begins(new SwapEntry(0, slot), isSynchronous: false));

    private static long Row(Machine machine, string name) =>
        long.Parse(machine.Proc.VmStat.Split('\n').Single(l => l.StartsWith(name + " ", StringComparison.Ordinal)).Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture);
}
