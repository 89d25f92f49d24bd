using Microsoft.Extensions.Logging;

namespace MemSim.Snapshots;

/// <summary>Stands in a copy where the original had whoever reads its log: factory and logger in one, as some of those are.</summary>
internal sealed class SilentLog : ILoggerFactory, ILogger
{
    private SilentLog()
    {
    }

    public static SilentLog Instance { get; } = new();

    public ILogger CreateLogger(string categoryName) => this;

    public void AddProvider(ILoggerProvider provider)
    {
    }

    public bool IsEnabled(LogLevel logLevel) => false;

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
    }

    public void Dispose()
    {
    }
}
