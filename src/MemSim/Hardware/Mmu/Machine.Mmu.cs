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

    /// <summary>What was mapped in each phase of the boot: identity mapping, kernel image, direct map step by step.</summary>
    public IReadOnlyList<BootPhase> BootPhases => KernelMemory.BootPhases.Of(this);

    /// <summary>Chooses how the MMU is built.</summary>
    /// <param name="options">The options.</param>
    /// <exception cref="InvalidOperationException">It is in use already.</exception>
    public void ConfigureMmu(MmuOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        ThrowIfDisposed();
        _mmuOptions = _mmu is null ? options : throw new InvalidOperationException("the MMU is in use: configure it before the first access to memory");
    }

    /// <summary>Makes the tables of the fixed mappings and of kmap's window: the kernel image has them, or memblock gave them.</summary>
    private void PrepareFixedTables(Mmu mmu)
    {
        ulong table = Architecture.Architecture == MemSim.Architecture.X86_32 ? 1UL << 22 : 1UL << 21;
        foreach (KernelRegion? region in (KernelRegion?[])[AddressSpace.Fixmap, AddressSpace.PersistentKmap])
        {
            for (ulong at = region?.Start.Value & ~(table - 1) ?? 0; region is { } fixedRegion && at < fixedRegion.End.Value; at += table)
            {
                if (mmu.Kernel.EntryAddress(_cpus[0], new VirtualAddress(at)) == 0)
                {
                    throw new InvalidOperationException("there is no memory for the page tables of the fixed mappings");
                }
            }
        }
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
                PrepareFixedTables(mmu);
                frames.EndBoot();
                _mmu = mmu;
            }

            return _mmu;
        }
    }
}
