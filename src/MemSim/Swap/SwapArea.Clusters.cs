using System.Diagnostics;
using MemSim.Diagnostics;

namespace MemSim;

/// <content>Which slot is next: clusters for each CPU on solid-state devices, runs from the lowest free slot on rotating ones.</content>
public sealed partial class SwapArea
{
    private const int NoCluster = -1;
    private int[] _clusterUse = [];
    private int[] _clusterNext = [];
    private int _firstFree = NoCluster;
    private int _lastFree = NoCluster;
    private int _firstDiscard = NoCluster;
    private int _lastDiscard = NoCluster;

    // Each CPU's cluster, the slot to try next in it, and where its search goes on once there is no free cluster.
    private int[] _cpuCluster = [];
    private long[] _cpuNext = [];
    private long[] _cpuScan = [];

    // A rotating device: the slot to try next, and how many are left of the run.
    private long _next;
    private int _left;

    /// <summary>Finds and takes a free slot (<c>scan_swap_map_slots()</c>).</summary>
    /// <returns>The slot, or 0 when there is none.</returns>
    internal long TakeSlot(Cpu cpu, int use)
    {
        if (!IsWritable || _highest == 0)
        {
            return 0;
        }

        long slot = IsSolidState ? NextInCluster(cpu) : NextInRun();
        if (slot == 0)
        {
            slot = Scan(cpu, IsSolidState ? Math.Max(_cpuScan[cpu.Id], HeaderSlots) : _next);
        }
        else if (!IsUsable(cpu, slot))
        {
            slot = Scan(cpu, slot);
        }

        if (slot == 0)
        {
            return 0;
        }

        Take(slot, use);
        _next = slot + 1;
        if (IsSolidState)
        {
            _cpuScan[cpu.Id] = slot + 1;
        }

        return slot;
    }

    /// <summary>Tells the device about the clusters that became free, which can be used again then.</summary>
    internal void DiscardClusters()
    {
        while (_firstDiscard != NoCluster)
        {
            int cluster = _firstDiscard;
            _firstDiscard = _clusterNext[cluster];
            long first = Math.Max((long)cluster * ClusterSlots, HeaderSlots);
            Backing.Discard(first, Math.Min(((long)cluster + 1) * ClusterSlots, Slots) - first);
            AddFree(cluster);
        }

        _lastDiscard = NoCluster;
    }

    /// <summary>Checks the clusters against the slots.</summary>
    internal void VerifyClusters()
    {
        int free = 0;
        for (int i = _firstFree; i != NoCluster; i = _clusterNext[i])
        {
            free++;
            if (_clusterUse[i] != 0)
            {
                BugReporter.Corrupt($"swap: {Name}: cluster {i} is on the free list, but {_clusterUse[i]} of its slots are in use");
            }
        }

        if (free != FreeClusters)
        {
            BugReporter.Corrupt($"swap: {Name}: {FreeClusters} clusters are counted as free, but {free} are listed");
        }

        long used = 0;
        foreach (int use in _clusterUse)
        {
            used += use;
        }

        long unusable = ((long)_clusterUse.Length * ClusterSlots) - Pages;
        if (IsSolidState && used - unusable != UsedPages)
        {
            BugReporter.Corrupt($"swap: {Name}: {UsedPages} slots are in use, but {used - unusable} in the clusters");
        }
    }

    private void InitClusters()
    {
        if (!IsSolidState)
        {
            return;
        }

        int clusters = (int)((Slots + ClusterSlots - 1) / ClusterSlots);
        _clusterUse = new int[clusters];
        _clusterNext = new int[clusters];

        // The header, and what is missing of the last cluster, count as used.
        _clusterUse[0] = HeaderSlots;
        _clusterUse[^1] += (int)(((long)clusters * ClusterSlots) - Slots);
        // In columns, one cluster of every 64 MiB after the other: CPUs that take clusters in turn do not share a cache line of the kernel's tables.
        int columns = Math.Max(ChunkSlots / ClusterSlots, 1);
        for (int column = 0; column < columns; column++)
        {
            for (int i = column; i < clusters; i += columns)
            {
                if (_clusterUse[i] == 0)
                {
                    AddFree(i);
                }
            }
        }

        int cpus = _space.Machine.Cpus.Count;
        _cpuCluster = new int[cpus];
        _cpuNext = new long[cpus];
        _cpuScan = new long[cpus];
        Array.Fill(_cpuCluster, NoCluster);
    }

    /// <summary>The next slot of the CPU's cluster, or the first of a new one (<c>scan_swap_map_try_ssd_cluster()</c>); 0 when no cluster is free.</summary>
    private long NextInCluster(Cpu cpu)
    {
        ref int cluster = ref _cpuCluster[cpu.Id];
        ref long next = ref _cpuNext[cpu.Id];
        if (_firstFree == NoCluster && _firstDiscard != NoCluster)
        {
            DiscardClusters();
        }

        // A cluster that became wholly free has gone back to the list of free ones: it may be another CPU's by now.
        if (cluster != NoCluster && _clusterUse[cluster] != 0)
        {
            long end = Math.Min(((long)cluster + 1) * ClusterSlots, Slots);
            for (; next < end; next++)
            {
                if (UseOf(next) == 0)
                {
                    return next++;
                }
            }
        }

        cluster = _firstFree;
        if (cluster == NoCluster)
        {
            return 0;
        }

        next = (long)cluster * ClusterSlots;
        return next++;
    }

    /// <summary>The next slot of the run; a new run is the first that is wholly free, counted from the lowest free slot, to keep the span small. 0 asks for a scan.</summary>
    private long NextInRun()
    {
        if (_left-- > 0)
        {
            return _next;
        }

        _left = ClusterSlots - 1;
        if (Pages - UsedPages < ClusterSlots)
        {
            return _next;
        }

        long last = _lowest + ClusterSlots - 1;
        for (long slot = _lowest; last <= _highest; slot++)
        {
            if (UseOf(slot) != 0)
            {
                last = slot + ClusterSlots;
            }
            else if (slot == last)
            {
                return slot - (ClusterSlots - 1);
            }
        }

        return _lowest;
    }

    /// <summary>The next usable slot from one on, then from the lowest.</summary>
    private long Scan(Cpu cpu, long from)
    {
        for (long slot = Math.Max(from, _lowest); slot <= _highest; slot++)
        {
            if (IsUsable(cpu, slot))
            {
                return slot;
            }
        }

        for (long slot = _lowest; slot < from && slot <= _highest; slot++)
        {
            if (IsUsable(cpu, slot))
            {
                return slot;
            }
        }

        return 0;
    }

    /// <summary>Whether a slot is free, or can be made so: when swap is more than half full, pages of the swap cache that no entry names give theirs up.</summary>
    private bool IsUsable(Cpu cpu, long slot)
    {
        if ((ulong)slot > (ulong)_highest)
        {
            return false;
        }

        int use = UseOf(slot);
        return (use == 0 || (use == HasCache && _space.IsHalfFull && _space.TryReclaimSlot(cpu, this, slot))) && !IsInDiscard(slot);
    }

    /// <summary>A wholly free cluster that is not on the free list waits for its discard.</summary>
    private bool IsInDiscard(long slot) => _firstDiscard != NoCluster && _clusterUse[slot / ClusterSlots] == 0 && !IsListedFree((int)(slot / ClusterSlots));

    private bool IsListedFree(int cluster)
    {
        for (int i = _firstFree; i != NoCluster; i = _clusterNext[i])
        {
            if (i == cluster)
            {
                return true;
            }
        }

        return false;
    }

    private void TakeFromCluster(long slot)
    {
        if (IsSolidState)
        {
            int cluster = (int)(slot / ClusterSlots);
            if (_clusterUse[cluster]++ == 0)
            {
                RemoveFree(cluster);
            }

            Debug.Assert(_clusterUse[cluster] <= ClusterSlots, "no more of a cluster are used than there are");
        }
    }

    private void ReturnToCluster(long slot)
    {
        if (!IsSolidState)
        {
            return;
        }

        int cluster = (int)(slot / ClusterSlots);
        Debug.Assert(_clusterUse[cluster] > 0, "a slot of the cluster is in use");
        if (--_clusterUse[cluster] != 0)
        {
            return;
        }

        if ((Discard & SwapDiscard.Pages) != 0)
        {
            Append(cluster, ref _firstDiscard, ref _lastDiscard);
        }
        else
        {
            AddFree(cluster);
        }
    }

    private void AddFree(int cluster)
    {
        Append(cluster, ref _firstFree, ref _lastFree);
        FreeClusters++;
    }

    private void Append(int cluster, ref int first, ref int last)
    {
        _clusterNext[cluster] = NoCluster;
        if (first == NoCluster)
        {
            first = cluster;
        }
        else
        {
            _clusterNext[last] = cluster;
        }

        last = cluster;
    }

    /// <summary>Takes a cluster off the free list: nearly always its first.</summary>
    private void RemoveFree(int cluster)
    {
        int previous = NoCluster;
        for (int i = _firstFree; i != cluster; i = _clusterNext[i])
        {
            previous = i;
        }

        int next = _clusterNext[cluster];
        if (previous == NoCluster)
        {
            _firstFree = next;
        }
        else
        {
            _clusterNext[previous] = next;
        }

        if (_lastFree == cluster)
        {
            _lastFree = previous;
        }

        FreeClusters--;
    }
}
