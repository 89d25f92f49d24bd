using MemSim.Compaction;
using MemSim.Diagnostics;

namespace MemSim;

/// <summary>Compaction of a machine. <see cref="Machine.Compaction"/>.</summary>
public sealed class MachineCompaction
{
    private readonly Machine _machine;

    internal MachineCompaction(Machine machine) => _machine = machine;

    /// <summary>Compacts all zones of a node as far as possible (<c>/sys/devices/system/node/nodeN/compact</c>).</summary>
    /// <param name="node">The node.</param>
    public void CompactNode(Node node)
    {
        using Callouts.OperationScope operation = _machine.Callouts.Enter();
        ArgumentNullException.ThrowIfNull(node);
        _machine.ThrowIfDisposed();
        Compactor.CompactNode(_machine.CpuTable.CallersCpu(), _machine.ZoneTable.Owned(node));
    }

    /// <summary>Compacts all nodes, as a write to <c>/proc/sys/vm/compact_memory</c> does.</summary>
    public void CompactMemory()
    {
        using Callouts.OperationScope operation = _machine.Callouts.Enter();
        _machine.ThrowIfDisposed();
        _machine.Migration.Migrator.DrainAllLru(_machine.CpuTable.CallersCpu());
        foreach (Node node in _machine.Nodes)
        {
            Compactor.CompactNode(_machine.CpuTable.CallersCpu(), node);
        }
    }

    /// <summary>Lets half a second pass for the kcompactd threads: what was asked of them and not done is done, and fragmented nodes are compacted by themselves.</summary>
    /// <remarks><see cref="Machine.AdvanceTime"/> does this every half second, once memory was compacted for any reason; this call does it without time passing for others (<c>vm.compaction_proactiveness</c>).</remarks>
    public void TickKcompactd()
    {
        using Callouts.OperationScope operation = _machine.Callouts.Enter();
        _machine.ThrowIfDisposed();
        foreach (Node node in _machine.Nodes)
        {
            if (node.Zones.Any(zone => zone.IsPopulated))
            {
                Compactor.Daemon(node).Tick(_machine.CpuTable.CallersCpu(), left: 1);
            }
        }
    }

    /// <summary>What compaction remembers of a zone; all zeroes while it never ran there.</summary>
    /// <param name="zone">A zone of this machine.</param>
    public CompactionInfo Info(Zone zone)
    {
        ArgumentNullException.ThrowIfNull(zone);
        _machine.ThrowIfDisposed();
        return Compactor.KnownScannersOf(_machine.ZoneTable.Owned(zone)) is not { } state
            ? default
            : new CompactionInfo(state.CachedFreePfn, state.CachedMigratePfnAsync, state.CachedMigratePfnSync, state.Considered, state.DeferShift, state.OrderFailed, state.SkippedBlocks);
    }

    /// <summary>How fragmented a node is, 0 to 100: the part of its free memory that is in blocks smaller than a huge page, by zone size.</summary>
    /// <param name="node">The node.</param>
    public int FragmentationScore(Node node)
    {
        ArgumentNullException.ThrowIfNull(node);
        _machine.ThrowIfDisposed();
        return Suitability.Score(_machine.ZoneTable.Owned(node));
    }

    internal void Verify()
    {
        foreach (Zone zone in _machine.Zones)
        {
            if (Compactor.KnownScannersOf(zone) is not { } state)
            {
                continue;
            }

            if (state.IsBusy)
            {
                BugReporter.Corrupt($"{zone}: marked as being compacted although nobody is");
            }

            foreach (int pfn in (ReadOnlySpan<int>)[state.CachedFreePfn, state.CachedMigratePfnAsync, state.CachedMigratePfnSync])
            {
                // One block beyond the zone is where 6.1 leaves a migration scanner that reached the end.
                if (pfn != 0 && (pfn < (zone.StartPfn.Value & ~((1L << _machine.ZoneTable.PageblockOrder) - 1)) || pfn > zone.EndPfn.Value + (1L << _machine.ZoneTable.PageblockOrder)))
                {
                    BugReporter.Corrupt($"{zone}: a compaction scanner stands at pfn 0x{pfn:x}, outside of the zone");
                }
            }
        }

        if (_machine.Migration.Migrator.IsolatedMovable != 0)
        {
            BugReporter.Corrupt($"{_machine.Migration.Migrator.IsolatedMovable} driver pages are isolated although nobody migrates");
        }

        foreach (Node node in _machine.Nodes)
        {
            if (node.Counters.IsolatedAnon != 0 || node.Counters.IsolatedFile != 0)
            {
                BugReporter.Corrupt($"{node}: {node.Counters.IsolatedAnon} anonymous and {node.Counters.IsolatedFile} file pages are counted as isolated although nobody reclaims or migrates");
            }
        }
    }

    /// <summary>Who compacts.</summary>
    internal Compactor Compactor { get; set; } = null!;
}

/// <content>Compaction: room for large blocks by moving pages.</content>
public sealed partial class Machine
{
    /// <summary>Compaction: room for large blocks by moving pages.</summary>
    public MachineCompaction Compaction { get; }
}
