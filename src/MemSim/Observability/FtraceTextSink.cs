using System.Globalization;
using System.Text;
using MemSim.Observability;

namespace MemSim;

/// <summary>Writes tracepoints as the text of ftrace's <c>trace</c> file, which trace-cmd users' scripts, and MemSim's own reader, read.</summary>
/// <remarks>
/// The clock is the number of the event, counted in microseconds: a machine has no other time that is the same on every run. The context column tells what the
/// machine knows of the CPU, with the locks that the kernel holds where it emits the event. A <c>trace</c> file says at its top how many entries follow, so the
/// text is kept in memory until <see cref="Dispose"/>; a streaming sink writes each line at once, without that count, like <c>trace_pipe</c>.
/// Attach it with <see cref="MachineTracing.Attach"/>, and detach it before it is disposed. Events may come from several threads.
/// </remarks>
public sealed partial class FtraceTextSink : IPageTraceSink, IDisposable
{
    private readonly TextWriter _writer;
    private readonly Machine _machine;
    private readonly StringBuilder? _body;
    private readonly StringBuilder _line = new(200);
    // Guards _writer, _body and Entries.
    private readonly Lock _lock = new();
    private readonly int _pointerDigits;
    private bool _disposed;

    /// <summary>Prepares a recording.</summary>
    /// <param name="machine">The machine to be recorded.</param>
    /// <param name="writer">Receives the text; stays open.</param>
    /// <param name="streaming">Whether each line is written at once, which needs no memory however long the recording, but leaves the number of entries out.</param>
    public FtraceTextSink(Machine machine, TextWriter writer, bool streaming = false)
    {
        ArgumentNullException.ThrowIfNull(machine);
        ArgumentNullException.ThrowIfNull(writer);
        _machine = machine;
        _writer = writer;
        _pointerDigits = machine.Architecture.Bits / 4;
        _body = streaming ? null : new StringBuilder();
        if (streaming)
        {
            _writer.Write("# tracer: nop\n#\n" + Columns);
        }
    }

    /// <summary>Events recorded so far.</summary>
    public long Entries { get; private set; }

    private static string Columns =>
        "#                                _-----=> irqs-off/BH-disabled\n"
        + "#                               / _----=> need-resched\n"
        + "#                              | / _---=> hardirq/softirq\n"
        + "#                              || / _--=> preempt-depth\n"
        + "#                              ||| / _-=> migrate-disable\n"
        + "#                              |||| /     delay\n"
        + "#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION\n"
        + "#              | |         |   |||||     |         |\n";

    /// <inheritdoc/>
    public void MmPageAlloc(Cpu cpu, long pfn, int order, MigrateType migrateType, Gfp gfp) =>
        Write(cpu, "mm_page_alloc", pfn, 0, string.Create(CultureInfo.InvariantCulture, $" order={order} migratetype={Number(migrateType)} gfp_flags={GfpText.Format(gfp, _machine.Personality)}"));

    /// <inheritdoc/>
    public void MmPageFree(Cpu cpu, long pfn, int order) => Write(cpu, "mm_page_free", pfn, 0, string.Create(CultureInfo.InvariantCulture, $" order={order}"));

    /// <inheritdoc/>
    public void MmPageFreeBatched(Cpu cpu, long pfn) => Write(cpu, "mm_page_free_batched", pfn, 2, " order=0");

    /// <inheritdoc/>
    public void MmPageAllocZoneLocked(Cpu cpu, long pfn, int order, MigrateType migrateType, bool percpuRefill) =>
        Write(cpu, "mm_page_alloc_zone_locked", pfn, 3, string.Create(CultureInfo.InvariantCulture, $" order={order} migratetype={Number(migrateType)} percpu_refill={(percpuRefill ? 1 : 0)}"));

    /// <inheritdoc/>
    public void MmPagePcpuDrain(Cpu cpu, long pfn, int order, MigrateType migrateType) =>
        Write(cpu, "mm_page_pcpu_drain", pfn, 3, string.Create(CultureInfo.InvariantCulture, $" order={order} migratetype={Number(migrateType)}"));

    /// <inheritdoc/>
    public void MmPageAllocExtfrag(Cpu cpu, long pfn, int allocOrder, int fallbackOrder, MigrateType allocType, MigrateType fallbackType, bool changeOwnership)
    {
        int pageblockOrder = _machine.ZoneTable.PageblockOrder;
        Write(cpu, "mm_page_alloc_extfrag", pfn, 3, string.Create(CultureInfo.InvariantCulture,
            $" alloc_order={allocOrder} fallback_order={fallbackOrder} pageblock_order={pageblockOrder} alloc_migratetype={Number(allocType)}"
            + $" fallback_migratetype={Number(fallbackType)} fragmenting={(fallbackOrder < pageblockOrder ? 1 : 0)} change_ownership={(changeOwnership ? 1 : 0)}"));
    }

    /// <summary>Ends the recording: writes what was kept, with the number of entries at the top.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
            if (_body is not null)
            {
                _writer.Write(string.Create(CultureInfo.InvariantCulture, $"# tracer: nop\n#\n# entries-in-buffer/entries-written: {Entries}/{Entries}   #P:{_machine.Cpus.Count}\n#\n"));
                _writer.Write(Columns);
                foreach (ReadOnlyMemory<char> chunk in _body.GetChunks())
                {
                    _writer.Write(chunk.Span);
                }
            }

            _writer.Flush();
        }
    }

    /// <summary>A kernel without contiguous memory areas calls the isolate type 4.</summary>
    private int Number(MigrateType type) => type == MigrateType.Isolate && !_machine.Cma.IsConfigured ? 4 : (int)type;

    /// <summary>Writes a line.</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="name">The event.</param>
    /// <param name="pfn">The frame; -1 is printed as a null page, as the kernel does.</param>
    /// <param name="locks">How many locks the kernel holds there; from three on with interrupts off.</param>
    /// <param name="fields">The fields after page and frame.</param>
    private void Write(Cpu cpu, string name, long pfn, int locks, string fields)
    {
        string pointer = (pfn < 0 ? 0 : StructPages.AddressOf(_machine, pfn)).ToString("x", CultureInfo.InvariantCulture);
        WriteEvent(cpu, name, locks, string.Create(CultureInfo.InvariantCulture, $"page={pointer.PadLeft(_pointerDigits, '0')} pfn=0x{Math.Max(0, pfn):x}{fields}"));
    }

    private void WriteEvent(Cpu cpu, string name, int locks, string fields)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            long time = ++Entries;
            string task = cpu.Current.Pid == 0 ? "<idle>" : cpu.Current.Name;
            _line.Clear();
            _line.Append(CultureInfo.InvariantCulture, $"{task,16}-{cpu.Current.Pid,-7} [{cpu.Id:000}] ");
            AppendContext(cpu, locks);
            _line.Append(CultureInfo.InvariantCulture, $" {time / 1_000_000,5}.{time % 1_000_000:000000}: {name}: {fields}\n");
            if (_body is null)
            {
                _writer.Write(_line);
            }
            else
            {
                _body.Append(_line);
            }
        }
    }

    private void AppendContext(Cpu cpu, int locks)
    {
        int depth = cpu.Context.PreemptDepth + locks;
        _line.Append(cpu.Context.InterruptsDisabled || cpu.Context.InHardIrq || locks >= 3 ? 'd' : '.').Append('.');
        _line.Append(cpu.Context.InNmi ? 'z' : cpu.Context.InHardIrq ? (cpu.Context.InSoftIrq ? 'H' : 'h') : cpu.Context.InSoftIrq ? 's' : '.');
        _line.Append(depth == 0 ? '.' : "0123456789abcdef"[Math.Min(depth, 15)]).Append('.');
    }
}
