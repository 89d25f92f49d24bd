using MemSim.Hardware;
using MemSim.PageAllocation;

namespace MemSim;

/// <content>The MMU and the direct map.</content>
public sealed partial class Machine
{
    private readonly Lock _mmuCreation = new();
    private Mmu? _mmu;
    private MmuOptions _mmuOptions = MmuOptions.Default;

    /// <summary>The memory management unit with the kernel's page tables; built, direct map included, when first asked for.</summary>
    /// <exception cref="InvalidOperationException">The machine was booted without contents of RAM, which page tables need.</exception>
    public Mmu Mmu => _mmu ?? CreateMmu();

    /// <summary>Whether the MMU was used yet.</summary>
    internal Mmu? MmuOrNull => _mmu;

    /// <summary>Chooses how the MMU is built.</summary>
    /// <param name="options">The options.</param>
    /// <exception cref="InvalidOperationException">It is in use already.</exception>
    public void ConfigureMmu(MmuOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        ThrowIfDisposed();
        _mmuOptions = _mmu is null ? options : throw new InvalidOperationException("the MMU is in use: configure it before the first access to memory");
    }

    private Mmu CreateMmu()
    {
        ThrowIfDisposed();
        lock (_mmuCreation)
        {
            if (_mmu is null)
            {
                PageTableFrames frames = new(this);
                Mmu mmu = new(this, _mmuOptions, frames);
                DirectMap.Build(mmu, _cpus[0], _directMapEndPfn, _directMapPhysicalBase);
                frames.EndBoot();
                _mmu = mmu;
            }

            return _mmu;
        }
    }
}
