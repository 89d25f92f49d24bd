using MemSim.Hardware;

namespace MemSim;

/// <content>Calls of the user's code.</content>
public sealed partial class Cpu
{
    /// <summary>Whether the slab layer's fast paths may be taken: it exists, nobody listens to its tracepoints, no contents have to be zeroed, and no code of the user's runs.</summary>
    private bool _slabReady;

    /// <summary>Lets code of the user's run on this CPU until the scope is disposed: allocating and freeing are refused meanwhile.</summary>
    internal UserCodeScope EnterUserCode() => new(this);

    /// <summary>Until it is disposed, fast paths are closed, and what would change the machine is refused.</summary>
    internal readonly ref struct UserCodeScope
    {
        private readonly Cpu _cpu;
        private readonly bool _slabReady;

        public UserCodeScope(Cpu cpu)
        {
            _cpu = cpu;
            _slabReady = cpu._slabReady;
            cpu._slabReady = false;
            cpu.Machine.Callouts.BeginUserCode();

            // What UpdateMode() would find: user code runs.
            cpu._knowsModeBefore = false;
            cpu.Mode = CpuMode.Special;
        }

        public void Dispose()
        {
            _cpu.Machine.Callouts.EndUserCode();
            _cpu._slabReady = _slabReady;
            _cpu.UpdateMode();
        }
    }
}
