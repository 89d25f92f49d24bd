using System.Runtime.CompilerServices;
using MemSim.Diagnostics;

namespace MemSim.Hardware;

/// <summary>Code of the user's runs on a CPU: until it is disposed, fast paths are closed, and what would change the machine is refused.</summary>
internal readonly ref struct UserCodeScope
{
    private readonly Cpu _cpu;
    private readonly Callouts _callouts;
    private readonly bool _slabReady;
    private readonly CpuContext.ClosedPaths _closed;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public UserCodeScope(Cpu cpu)
    {
        _cpu = cpu;
        _slabReady = cpu.SlabReady;
        cpu.SlabReady = false;
        _callouts = cpu.Machine.Callouts;
        _callouts.BeginUserCode();

        // What UpdateMode() would find: user code runs.
        _closed = cpu.Context.CloseFastPaths();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Dispose()
    {
        _callouts.EndUserCode();
        _cpu.SlabReady = _slabReady;
        _cpu.Context.ReopenFastPaths(_closed);
    }
}
