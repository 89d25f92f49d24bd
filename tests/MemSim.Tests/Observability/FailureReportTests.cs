using FluentAssertions;
using Microsoft.Extensions.Logging;
using Xunit;

namespace MemSim.Tests.Observability;

public sealed class FailureReportTests
{
    [Fact]
    public void A_logged_failure_reads_as_the_kernel_writes_it()
    {
        using Recorder log = new();
        using Machine machine = Machine.Boot(Small().WithLogging(log));
        log.Messages.Clear(); // the boot log
        KernelTask task = new("nic-irq", 77);
        using (machine.Cpus[0].Run(task))
        {
            while (!machine.Cpus[0].AllocPages(Gfp.Atomic, 4).IsNull)
            {
            }
        }

        string[] lines = machine.Reports.LastAllocationFailure!.Split('\n');
        lines[0].Should().Be("nic-irq: page allocation failure: order:4, mode:0xa20(GFP_ATOMIC), nodemask=(null),cpuset=/,mems_allowed=0");
        lines[1].Should().StartWith("CPU: 0 PID: 77 Comm: nic-irq Not tainted 6.1");
        lines[2].Should().Be("Mem-Info:");
        string.Join('\n', lines.Skip(2)).Should().Be(machine.Proc.ShowMem());
        log.Messages.Should().ContainSingle().Which.Should().Be((LogLevel.Warning, machine.Reports.LastAllocationFailure));
    }

    [Fact]
    public void A_request_with_nowarn_leaves_no_report()
    {
        using Recorder log = new();
        using Machine machine = Machine.Boot(Small().WithLogging(log));
        log.Messages.Clear(); // the boot log
        while (!machine.Cpus[0].AllocPages(Gfp.Atomic | Gfp.NoWarn, 4).IsNull)
        {
        }

        machine.Reports.LastAllocationFailure.Should().BeNull();
        machine.Reports.AllocationFailures.Should().Be(1);
        log.Messages.Should().BeEmpty();
    }

    [Fact]
    public void Without_a_listener_only_the_head_is_kept_unless_whole_reports_are_asked_for()
    {
        using Machine machine = Machine.Boot(Small());
        while (!machine.Cpus[0].AllocPages(Gfp.Atomic, 4).IsNull)
        {
        }

        machine.Reports.LastAllocationFailure.Should().Contain("page allocation failure: order:4").And.NotContain("Mem-Info");
        machine.Reports.KeepsAllocationFailures = true;
        machine.Cpus[0].AllocPages(Gfp.Atomic, 4).IsNull.Should().BeTrue();
        machine.Reports.LastAllocationFailure.Should().Contain("Mem-Info");
    }

    [Fact]
    public void A_report_leaves_out_zones_that_the_request_could_not_use()
    {
        using Machine machine = Machine.Boot(Small());
        machine.Reports.KeepsAllocationFailures = true;
        while (!machine.Cpus[0].AllocPages(Gfp.Atomic | Gfp.Dma, 4).IsNull)
        {
        }

        machine.Reports.LastAllocationFailure.Should().Contain("Node 0 DMA free:").And.NotContain("Node 0 DMA32 free:");
    }

    private static MachineSpec Small() => MachineSpec.X86_64(ByteSize.FromMiB(128)).WithoutContents();

    private sealed class Recorder : ILoggerFactory, ILogger
    {
        public List<(LogLevel Level, string Text)> Messages { get; } = [];

        public void AddProvider(ILoggerProvider provider)
        {
        }

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public ILogger CreateLogger(string categoryName) => this;

        public void Dispose()
        {
        }

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            Messages.Add((logLevel, formatter(state, exception)));
    }
}
