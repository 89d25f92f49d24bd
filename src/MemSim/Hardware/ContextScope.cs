using MemSim.Hardware;

namespace MemSim
{
    /// <summary>An execution context entered on a CPU; disposing it leaves the context. Scopes are left in the reverse order of entering.</summary>
    public readonly struct ContextScope : IDisposable
    {
        private readonly Cpu? _cpu;
        private readonly ContextKind _kind;
        private readonly KernelTask? _task;
        private readonly TaskFlags _added;

        internal ContextScope(Cpu cpu, ContextKind kind, KernelTask? task, TaskFlags added)
        {
            _cpu = cpu;
            _kind = kind;
            _task = task;
            _added = added;
        }

        /// <summary>Leaves the context.</summary>
        public void Dispose() => _cpu?.Context.Leave(_kind, _task, _added);
    }
}

namespace MemSim.Hardware
{
    internal enum ContextKind
    {
        HardIrq,
        SoftIrq,
        Nmi,
        Preempt,
        Irq,
        Spinlock,
        Task,
        TaskFlag,
    }
}
