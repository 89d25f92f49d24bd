using MemSim.Observability;
using Microsoft.Extensions.Logging;
using Xunit;

namespace MemSim.Testing.Xunit;

/// <summary>A test class whose machines are verified, checked for leaks and disposed after every test, and log into its output.</summary>
public abstract class MachineTest : IDisposable
{
    private readonly List<(Machine Machine, AllocationMark? Mark)> _machines = [];

    /// <summary>Verifies and disposes the test's machines.</summary>
    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Boots a machine for this test.</summary>
    /// <param name="spec">The machine.</param>
    /// <param name="mayLeak">Whether the test may end with memory that was not given back.</param>
    protected Machine Boot(MachineSpec spec, bool mayLeak = false)
    {
        ArgumentNullException.ThrowIfNull(spec);
        Machine machine = Machine.Boot(TestContext.Current.TestOutputHelper is { } output ? spec.WithLogging(new OutputLoggerFactory(output)) : spec);
        _machines.Add((machine, mayLeak ? null : machine.Leaks.Mark()));
        return machine;
    }

    /// <summary>Verifies and disposes the test's machines; the first that is wrong fails the test.</summary>
    /// <param name="disposing">Whether this is not a finalizer.</param>
    protected virtual void Dispose(bool disposing)
    {
        if (!disposing)
        {
            return;
        }

        try
        {
            foreach ((Machine machine, AllocationMark? mark) in _machines)
            {
                machine.Should().BeConsistent();
                if (mark is not null)
                {
                    machine.Should().HaveNoLeaks(mark);
                }
            }
        }
        finally
        {
            _machines.ForEach(m => m.Machine.Dispose());
            _machines.Clear();
        }
    }

    private sealed class OutputLoggerFactory(ITestOutputHelper output) : ILoggerFactory, ILogger
    {
        public void AddProvider(ILoggerProvider provider)
        {
        }

        public ILogger CreateLogger(string categoryName) => this;

        public void Dispose()
        {
        }

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Information;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (IsEnabled(logLevel))
            {
                output.WriteLine($"{logLevel}: {formatter(state, exception)}");
            }
        }
    }
}
