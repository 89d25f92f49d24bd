using System.Runtime.CompilerServices;

namespace MemSim.Hardware;

/// <content>Paging-structure caches: where walks start, and what they leave there.</content>
internal sealed partial class CpuMmu
{
    /// <summary>Starts a walk as low as the walk caches allow.</summary>
    public void StartFromWalkCache(ulong address, ref int level, ref ulong table, ref uint permissions)
    {
        for (int at = 2; at <= level; at++)
        {
            if (_walkCache[at] is not { } cache)
            {
                continue;
            }

            int slot = cache.Find(address, _asid);
            if (slot >= 0)
            {
                if (at == 2 && !HasDataCache)
                {
                    (_lastTableRegion, _lastTableAsid, _lastTableSlot, _lastTableSerial) = (address >> _lowestTableShift, _asid, slot, cache.Entries[slot].Serial);
                }

                Statistics.WalkCacheHits++;
                cache.Touch(slot, _dataAccesses);
                table = cache.Entries[slot].Base;
                permissions = cache.Entries[slot].Permissions;
                level = at - 1;
                return;
            }
        }
    }

    /// <summary>The lowest level the walk caches know for an address, or 0.</summary>
    public int PeekWalkCache(ulong address)
    {
        for (int at = 2; at < _walkCache.Length; at++)
        {
            if (_walkCache[at]?.Find(address, _asid) >= 0)
            {
                return at;
            }
        }

        return 0;
    }

    /// <summary>Starts a walk at the lowest-level table used last, when the walk caches still know it: what <see cref="StartFromWalkCache"/> would find.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryLastTable(ulong address, out ulong table, out uint permissions)
    {
        TlbEntry[] entries = _lastTableCache.Entries;
        int slot = _lastTableSlot;
        if (address >> _lowestTableShift != _lastTableRegion || _asid != _lastTableAsid || (uint)slot >= (uint)entries.Length || entries[slot].Serial != _lastTableSerial)
        {
            table = 0;
            permissions = 0;
            return false;
        }

        Statistics.WalkCacheHits++;
        _lastTableCache.Touch(slot, _dataAccesses);
        table = entries[slot].Base;
        permissions = entries[slot].Permissions;
        return true;
    }

    public void FillWalkCache(ulong address, int level, ulong table, uint permissions) =>
        _walkCache[level]?.Insert(address, table, _walker.Shift(level), permissions & Permission.Mask, _asid, NextSerial(), _dataAccesses);

    /// <summary>Counts accessed and dirty bits that a walk set.</summary>
    public void CountMarked(ulong before, ulong after)
    {
        bool dirty = _isArm64 ? ((before ^ after) & Arm64Format.ReadOnly) != 0 : ((before ^ after) & X86Entry.Dirty) != 0;
        bool accessed = _isArm64 ? ((before ^ after) & Arm64Format.AccessFlag) != 0 : ((before ^ after) & X86Entry.Accessed) != 0;
        Statistics.DirtyBitsSet += dirty ? 1 : 0;
        Statistics.AccessedBitsSet += accessed ? 1 : 0;
    }
}
