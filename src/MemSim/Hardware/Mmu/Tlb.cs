using MemSim.Hardware;

namespace MemSim;

/// <summary>A CPU's TLBs as a user sees them: statistics, and flushes of this CPU alone.</summary>
/// <remarks>Flushes that other CPUs take part in belong to <see cref="Mmu"/>.</remarks>
public sealed class Tlb
{
    private readonly Cpu _cpu;

    internal Tlb(Cpu cpu) => _cpu = cpu;

    /// <summary>What was counted since the MMU came into use.</summary>
    public TlbStatistics Statistics
    {
        get
        {
            if (_cpu.MmuOrNull is not { } mmu)
            {
                return default;
            }

            TlbCounters c = mmu.Statistics;
            return new TlbStatistics
            {
                DataAccesses = mmu.DataAccesses + mmu.PlainWalks,
                InstructionFetches = c.InstructionFetches,
                L1DataMisses = c.L1DataMisses + mmu.PlainWalks,
                L1InstructionMisses = c.L1InstructionMisses,
                L2Hits = c.L2Hits,
                Walks = c.Walks + mmu.PlainWalks,
                WalkLoads = c.WalkLoads + (mmu.PlainWalks * mmu.WalkLevels),
                WalkCacheHits = c.WalkCacheHits,
                AccessedBitsSet = c.AccessedBitsSet,
                DirtyBitsSet = c.DirtyBitsSet,
                PageFlushes = c.PageFlushes,
                AddressSpaceFlushes = c.AddressSpaceFlushes,
                FullFlushes = c.FullFlushes,
                Shootdowns = c.Shootdowns,
                InterruptsSent = c.InterruptsSent,
                InterruptsReceived = c.InterruptsReceived,
                InterruptsSparedByLazyMode = c.InterruptsSparedByLazyMode,
                StaleEntriesUsed = c.StaleEntriesUsed,
                AddressSpaceSwitches = c.Switches,
            };
        }
    }

    /// <summary>The translations that the TLBs hold now, level by level; empty before the MMU comes into use. Reading changes nothing.</summary>
    public IReadOnlyList<TlbEntryInfo> Entries => _cpu.MmuOrNull is { } mmu ? [.. mmu.Entries()] : [];

    /// <summary>Flushes the page of an address, for the address space loaded and global (<c>invlpg</c>, <c>tlbi vae1</c>).</summary>
    /// <param name="address">An address in the page.</param>
    public void FlushPage(VirtualAddress address) => _cpu.UseMmu().FlushLoadedPage(address.Value);

    /// <summary>Flushes the address space loaded, except global pages (a write to CR3, <c>tlbi aside1</c>).</summary>
    public void FlushAddressSpace() => _cpu.UseMmu().FlushLoadedSpace();

    /// <summary>Flushes everything, global pages included.</summary>
    public void FlushAll() => _cpu.UseMmu().FlushEverything();
}

/// <summary>What a CPU's MMU counted.</summary>
public readonly record struct TlbStatistics
{
    /// <summary>Data translations asked for.</summary>
    public long DataAccesses { get; init; }

    /// <summary>Instruction translations asked for.</summary>
    public long InstructionFetches { get; init; }

    /// <summary>Data translations that the L1 TLB did not have.</summary>
    public long L1DataMisses { get; init; }

    /// <summary>Instruction translations that the L1 TLB did not have.</summary>
    public long L1InstructionMisses { get; init; }

    /// <summary>Of those, found in the L2 TLB.</summary>
    public long L2Hits { get; init; }

    /// <summary>Page-table walks, those to set a dirty bit or before a fault included.</summary>
    public long Walks { get; init; }

    /// <summary>Page-table entries read by walks.</summary>
    public long WalkLoads { get; init; }

    /// <summary>Walks that a paging-structure cache shortened.</summary>
    public long WalkCacheHits { get; init; }

    /// <summary>Accessed bits that walks set.</summary>
    public long AccessedBitsSet { get; init; }

    /// <summary>Dirty bits that walks set.</summary>
    public long DirtyBitsSet { get; init; }

    /// <summary>Pages flushed singly.</summary>
    public long PageFlushes { get; init; }

    /// <summary>Flushes of an address space.</summary>
    public long AddressSpaceFlushes { get; init; }

    /// <summary>Flushes of everything.</summary>
    public long FullFlushes { get; init; }

    /// <summary>Flushes for which other CPUs had to be interrupted.</summary>
    public long Shootdowns { get; init; }

    /// <summary>Interrupts sent for them.</summary>
    public long InterruptsSent { get; init; }

    /// <summary>Interrupts received from others.</summary>
    public long InterruptsReceived { get; init; }

    /// <summary>Interrupts not sent because the other CPU was lazy.</summary>
    public long InterruptsSparedByLazyMode { get; init; }

    /// <summary>Stale entries used; counted when <see cref="MmuOptions.CheckStaleEntries"/> is on.</summary>
    public long StaleEntriesUsed { get; init; }

    /// <summary>Loads of another address space.</summary>
    public long AddressSpaceSwitches { get; init; }

    /// <summary>Data translations that the L1 TLB had.</summary>
    public long L1DataHits => DataAccesses - L1DataMisses;
}
