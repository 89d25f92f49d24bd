using MemSim.Processes;

namespace MemSim;

/// <content>Kernel objects of processes and files.</content>
public sealed partial class Machine
{
    private KernelObjects? _kernelObjects;

    /// <summary>Where the kernel objects of processes and files come from; made, without a page, when first asked for.</summary>
    internal KernelObjects KernelObjects => Volatile.Read(ref _kernelObjects) ?? MakeKernelObjects();

    private KernelObjects MakeKernelObjects()
    {
        ThrowIfDisposed();
        _ = Slab;
        lock (_slabLock)
        {
            if (_kernelObjects is null)
            {
                Volatile.Write(ref _kernelObjects, new KernelObjects(this));
            }

            return _kernelObjects!;
        }
    }
}
