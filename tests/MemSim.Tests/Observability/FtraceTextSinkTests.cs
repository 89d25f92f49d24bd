using System.Text;
using FluentAssertions;
using MemSim.Recordings;
using Xunit;

namespace MemSim.Tests.Observability;

public sealed class FtraceTextSinkTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void What_is_written_is_read_back_equal(bool streaming)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64(ByteSize.FromMiB(128), cpus: 2).WithoutContents());
        List<Seen> expected = [];
        StringWriter text = new();
        FtraceTextSink sink = new(machine, text, streaming);
        machine.Tracing.Attach(new Witness(machine, expected));
        machine.Tracing.Attach(sink, TraceEvents.Pages);
        Work(machine);
        machine.Tracing.Detach(sink, TraceEvents.Pages);
        sink.Dispose();

        using TraceReader reader = new(new MemoryStream(Encoding.UTF8.GetBytes(text.ToString())), "trace");
        List<Seen> read = [];
        long time = 0;
        while (reader.TryRead(out TraceEvent e))
        {
            e.TimestampNs.Should().Be(++time * 1000);
            read.Add(new Seen(e.EventName, e.Cpu, e.Pid, e.Pfn, e.Order, e.MigrateType, e.Gfp, e.PercpuRefill, e.FallbackOrder, e.FallbackMigrateType, e.ChangeOwnership));
        }

        read.Should().Equal(expected);
        read.Select(e => e.Name).Distinct().Should().HaveCount(6);
        read.Should().Contain(e => e.Pfn == -1);
        reader.EntriesWritten.Should().Be(streaming ? -1 : expected.Count);
        sink.Entries.Should().Be(expected.Count);
    }

    [Fact]
    public void Lines_look_as_ftrace_prints_them()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64(ByteSize.FromMiB(128)).WithoutContents());
        StringWriter text = new();
        using (FtraceTextSink sink = new(machine, text))
        {
            Cpu cpu = machine.Cpus[0];
            sink.MmPageAllocZoneLocked(cpu, 0x59fe, 0, MigrateType.Unmovable, percpuRefill: true);
            using (cpu.Run(new KernelTask("busybox", 99)))
            using (cpu.Context.DisablePreemption())
            {
                sink.MmPageAlloc(cpu, 0x62ce, 1, MigrateType.Unmovable, Gfp.KernelAccount | Gfp.Zero);
                sink.MmPageAlloc(cpu, -1, 9, MigrateType.Movable, Gfp.HighUserMovable);
            }
        }

        text.ToString().Should().StartWith("# tracer: nop\n#\n# entries-in-buffer/entries-written: 3/3   #P:1\n#\n#                                _-----=> irqs-off/BH-disabled\n");
        text.ToString().Should().EndWith("         |\n"
            + "          <idle>-0       [000] d..3.     0.000001: mm_page_alloc_zone_locked: page=ffffea0000167f80 pfn=0x59fe order=0 migratetype=0 percpu_refill=1\n"
            + "         busybox-99      [000] ...1.     0.000002: mm_page_alloc: page=ffffea000018b380 pfn=0x62ce order=1 migratetype=0 gfp_flags=GFP_KERNEL_ACCOUNT|__GFP_ZERO\n"
            + "         busybox-99      [000] ...1.     0.000003: mm_page_alloc: page=0000000000000000 pfn=0x0 order=9 migratetype=1 gfp_flags=GFP_HIGHUSER_MOVABLE\n");
    }

    [Fact]
    public void A_closed_sink_refuses_events()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64(ByteSize.FromMiB(128)).WithoutContents());
        FtraceTextSink sink = new(machine, new StringWriter());
        sink.Dispose();

        sink.Invoking(s => s.MmPageFree(machine.Cpus[0], 1, 0)).Should().Throw<ObjectDisposedException>();
    }

    private static void Work(Machine machine)
    {
        using ContextScope run = machine.Cpus[1].Run(new KernelTask("a [b]: c", 1234));
        List<Page> pages = [];
        Random random = new(7);
        for (int i = 0; i < 20000; i++)
        {
            Cpu cpu = machine.Cpus[i & 1];
            Page page = cpu.AllocPages((random.Next(2) == 0 ? Gfp.Kernel : Gfp.HighUserMovable) | Gfp.NoWarn, 0);
            if (!page.IsNull)
            {
                pages.Add(page);
            }
        }

        machine.Cpus[0].AllocPages(Gfp.Kernel | Gfp.NoWarn, 10);
        while (!machine.Cpus[0].AllocPages(Gfp.Kernel | Gfp.NoWarn, 9).IsNull)
        {
        }

        machine.Cpus[0].Pages.FreePagesBulk([.. pages.Take(10)]);
        foreach (Page page in pages.Skip(10))
        {
            machine.Cpus[1].FreePage(page);
        }

        machine.Memory.DrainAllPages();
    }

    private sealed record Seen(string Name, int Cpu, int Pid, long Pfn, int Order, int Type, Gfp Gfp, bool Refill, int FallbackOrder, int FallbackType, bool Change);

    private sealed class Witness(Machine machine, List<Seen> seen) : IPageTraceSink
    {
        public void MmPageAlloc(Cpu cpu, long pfn, int order, MigrateType migrateType, Gfp gfp) => Add(cpu, "mm_page_alloc", pfn, order, (int)migrateType, gfp);

        public void MmPageFree(Cpu cpu, long pfn, int order) => Add(cpu, "mm_page_free", pfn, order);

        public void MmPageFreeBatched(Cpu cpu, long pfn) => Add(cpu, "mm_page_free_batched", pfn, 0);

        public void MmPageAllocZoneLocked(Cpu cpu, long pfn, int order, MigrateType migrateType, bool percpuRefill) =>
            Add(cpu, "mm_page_alloc_zone_locked", pfn, order, (int)migrateType, refill: percpuRefill);

        public void MmPagePcpuDrain(Cpu cpu, long pfn, int order, MigrateType migrateType) => Add(cpu, "mm_page_pcpu_drain", pfn, order, (int)migrateType);

        public void MmPageAllocExtfrag(Cpu cpu, long pfn, int allocOrder, int fallbackOrder, MigrateType allocType, MigrateType fallbackType, bool changeOwnership) =>
            seen.Add(new Seen("mm_page_alloc_extfrag", cpu.Id, cpu.Current.Pid, pfn, allocOrder, (int)allocType, Gfp.None, false, fallbackOrder, (int)fallbackType, changeOwnership));

        private void Add(Cpu cpu, string name, long pfn, int order, int type = -1, Gfp gfp = Gfp.None, bool refill = false)
        {
            machine.Nodes.Should().NotBeEmpty();
            seen.Add(new Seen(name, cpu.Id, cpu.Current.Pid, pfn, order, type, gfp, refill, -1, -1, false));
        }
    }
}
