using MemSim.Slab;

namespace MemSim;

/// <content>The slab layer.</content>
public sealed partial class Machine
{
    private readonly Lock _slabLock = new();
    private SlabAllocator? _slab;

    /// <summary>The slab layer: object caches and kmalloc. Made, without a page, when it is first asked for.</summary>
    public SlabAllocator Slab => Volatile.Read(ref _slab) ?? MakeSlab();

    /// <summary>The slab layer's parameters, of a machine that did not boot; set before it is first asked for.</summary>
    internal KernelCommandLine? SlabOptions { get; set; }

    /// <summary>The slab layer if it was ever used.</summary>
    internal SlabAllocator? SlabIfUsed => _slab;

    private SlabAllocator MakeSlab()
    {
        ThrowIfDisposed();
        lock (_slabLock)
        {
            if (_slab is null)
            {
                SlabAllocator slab = new(this, SlabOptions ?? BootPlan?.Spec.CommandLine ?? KernelCommandLine.Empty);
                foreach (Cpu cpu in _cpus)
                {
                    cpu.AttachSlab(slab);
                }

                foreach (Node node in Nodes)
                {
                    node.Counters.AttachSlab(slab.Pages, node.Id);
                }

                Volatile.Write(ref _slab, slab);
            }

            return _slab;
        }
    }

    private void VerifySlab()
    {
        if (_slab is not null)
        {
            new SlabVerifier(_slab).Verify();
        }
    }
}
