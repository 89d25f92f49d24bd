using System.Runtime.CompilerServices;

namespace MemSim.Hardware;

internal enum WalkOutcome
{
    Found,
    NotPresent,
    ReservedBits,
    NoMemory,
    Refused,
}

/// <summary>What a walk came to.</summary>
internal struct WalkResult
{
    public ulong Base;
    public ulong Entry;
    public uint Permissions;
    public int Shift;
    public int Level;
    public int Loads;
    public long Cycles;
    public WalkOutcome Outcome;
}

/// <summary>The hardware that walks page tables: one virtual call leads into code compiled for the format.</summary>
internal abstract class PageWalker
{
    public const ulong NoPlainWalk = ulong.MaxValue;

    public abstract int Levels { get; }

    public abstract int Shift(int level);

    public abstract string Name(int level);

    public abstract bool IsCanonical(ulong address);

    /// <summary>An entry in words.</summary>
    public abstract TranslationStep Describe(int level, ulong address, ulong at, ulong entry, bool isRead);

    /// <summary>Walks as an access does: through the walk caches, setting accessed and dirty bits.</summary>
    /// <param name="mmu">The CPU's side.</param>
    /// <param name="root">The top-level table.</param>
    /// <param name="address">The address.</param>
    /// <param name="need">The right needed: 1 read, 2 write, 4 execute.</param>
    /// <param name="result">What it came to.</param>
    public abstract void Walk(CpuMmu mmu, ulong root, ulong address, uint need, out WalkResult result);

    /// <summary>Walks where nothing is out of the ordinary: tables all the way down to a 4 KiB page, accessed (for a write dirty) already, allowed.</summary>
    /// <returns>The physical address; <see cref="NoPlainWalk"/> when anything is: <see cref="Walk"/> then finds out what.</returns>
    public abstract ulong TryWalk(CpuMmu mmu, ulong root, ulong address, uint need);

    /// <summary>Walks without leaving a trace, telling every entry read.</summary>
    public abstract void Look(PhysicalMemory memory, ulong root, ulong address, Action<int, ulong, ulong>? visit, out WalkResult result);
}

/// <summary>The walker of one format.</summary>
internal sealed class PageWalker<TFormat> : PageWalker
    where TFormat : struct, IPageTableFormat
{
    public override int Levels => TFormat.Levels;

    public override int Shift(int level) => TFormat.Shift(level);

    public override string Name(int level) => TFormat.Name(level);

    public override bool IsCanonical(ulong address) => TFormat.IsCanonical(address);

    public override void Walk(CpuMmu mmu, ulong root, ulong address, uint need, out WalkResult result)
    {
        while (!(mmu.TryLastTable(address, out ulong table, out uint permissions)
            ? WalkLastTable(mmu, table, permissions, address, need, out result)
            : WalkFromRoot(mmu, root, address, need, out result)))
        {
        }
    }

    /// <summary>The rest of a walk that starts at a lowest-level table: one load.</summary>
    /// <returns>False when another CPU changed an entry that was about to be marked: the walk starts again.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool WalkLastTable(CpuMmu mmu, ulong table, uint permissions, ulong address, uint need, out WalkResult result)
    {
        PhysicalMemory memory = mmu.Memory;
        ulong at = table + ((ulong)(uint)PageTables<TFormat>.IndexOf(address, 1) << TFormat.EntryShift);
        result = default;
        result.Level = 1;
        if (at >= memory.Bytes)
        {
            result.Outcome = WalkOutcome.NoMemory;
            return true;
        }

        ulong entry = TFormat.EntryShift == 3 ? memory.ReadInside<ulong>(at) : memory.ReadInside<uint>(at);
        result.Loads = 1;
        result.Entry = entry;
        if (!TFormat.IsPresent(entry))
        {
            result.Outcome = WalkOutcome.NotPresent;
        }
        else if (TFormat.HasReservedBits(entry, 1) || (entry & mmu.ReservedMask) != 0)
        {
            result.Outcome = WalkOutcome.ReservedBits;
        }
        else
        {
            return FinishLeaf(mmu, at, entry, 1, permissions, need, ref result);
        }

        return true;
    }

    /// <returns>False when another CPU changed an entry that was about to be marked: the walk starts again.</returns>
    private static bool WalkFromRoot(CpuMmu mmu, ulong root, ulong address, uint need, out WalkResult result)
    {
        PhysicalMemory memory = mmu.Memory;
        ulong table = root;
        uint permissions = Permission.Mask;
        int level = TFormat.Levels;
        result = default;
        if (mmu.HasWalkCache)
        {
            mmu.StartFromWalkCache(address, ref level, ref table, ref permissions);
        }

        while (true)
        {
            ulong at = table + ((ulong)(uint)PageTables<TFormat>.IndexOf(address, level) << TFormat.EntryShift);
            result.Level = level;
            if (at >= memory.Bytes)
            {
                result.Outcome = WalkOutcome.NoMemory;
                return true;
            }

            ulong entry = TFormat.EntryShift == 3 ? memory.ReadInside<ulong>(at) : memory.ReadInside<uint>(at);
            result.Loads++;
            result.Entry = entry;
            if (mmu.HasDataCache)
            {
                result.Cycles += mmu.CacheAccess(at);
            }

            if (!TFormat.IsPresent(entry))
            {
                result.Outcome = WalkOutcome.NotPresent;
                return true;
            }

            if (TFormat.HasReservedBits(entry, level) || (entry & mmu.ReservedMask) != 0)
            {
                result.Outcome = WalkOutcome.ReservedBits;
                return true;
            }

            if (TFormat.IsLeaf(entry, level))
            {
                return FinishLeaf(mmu, at, entry, level, permissions, need, ref result);
            }

            permissions &= TFormat.TablePermissions(entry, level);
            ulong marked = TFormat.MarkAccessed(entry, false, level);
            if (marked != entry && !Update(mmu, at, entry, marked))
            {
                return false;
            }

            table = TFormat.TableBase(entry);
            if (mmu.HasWalkCache)
            {
                mmu.FillWalkCache(address, level, table, permissions);
            }

            level--;
        }
    }

    /// <summary>The end of a walk at the entry of a page: its rights, then its accessed and dirty bits.</summary>
    /// <returns>False when another CPU changed the entry meanwhile.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool FinishLeaf(CpuMmu mmu, ulong at, ulong entry, int level, uint permissions, uint need, ref WalkResult result)
    {
        uint leaf = TFormat.LeafPermissions(entry, level);
        result.Permissions = (permissions & leaf) | (leaf & (Permission.Global | Permission.Dirty));
        result.Base = TFormat.LeafBase(entry, level);
        result.Shift = TFormat.Shift(level);
        if ((mmu.Allowed(result.Permissions) & need) == 0)
        {
            result.Outcome = WalkOutcome.Refused;
            return true;
        }

        ulong after = TFormat.MarkAccessed(entry, true, level);
        if (need == 2)
        {
            after = TFormat.MarkDirty(after);
            result.Permissions |= Permission.Dirty;
        }

        if (after != entry)
        {
            if (!Update(mmu, at, entry, after))
            {
                return false;
            }

            result.Entry = after;
        }

        result.Outcome = WalkOutcome.Found;
        return true;
    }

    public override ulong TryWalk(CpuMmu mmu, ulong root, ulong address, uint need)
    {
        PhysicalMemory.WholeMemory memory = mmu.Memory.Whole;
        ulong bytes = memory.Bytes;
        ulong table = root;
        uint permissions = Permission.Mask;
        if (!TFormat.IsCanonical(address))
        {
            return NoPlainWalk;
        }

        for (int level = TFormat.Levels; level > 1; level--)
        {
            ulong at = table + ((ulong)(uint)PageTables<TFormat>.IndexOf(address, level) << TFormat.EntryShift);
            if (at >= bytes)
            {
                return NoPlainWalk;
            }

            ulong entry = TFormat.EntryShift == 3 ? memory.Read<ulong>(at) : memory.Read<uint>(at);
            if (!TFormat.IsPlainTable(entry, level))
            {
                return NoPlainWalk;
            }

            permissions &= TFormat.TablePermissions(entry, level);
            table = TFormat.TableBase(entry);
        }

        ulong last = table + ((ulong)(uint)PageTables<TFormat>.IndexOf(address, 1) << TFormat.EntryShift);
        if (last >= bytes)
        {
            return NoPlainWalk;
        }

        ulong leaf = TFormat.EntryShift == 3 ? memory.Read<ulong>(last) : memory.Read<uint>(last);
        uint rights = TFormat.LeafPermissions(leaf, 1);
        ulong physical = TFormat.LeafBase(leaf, 1) | (address & (PageGeometry.PageSize - 1));
        bool isPlain = TFormat.IsPresent(leaf) && !TFormat.HasReservedBits(leaf, 1) && TFormat.MarkAccessed(leaf, true, 1) == leaf
            && (need != 2 || (rights & Permission.Dirty) != 0) && (mmu.Allowed(rights & permissions) & need) != 0;
        GC.KeepAlive(mmu);
        return isPlain ? physical : NoPlainWalk;
    }

    public override void Look(PhysicalMemory memory, ulong root, ulong address, Action<int, ulong, ulong>? visit, out WalkResult result)
    {
        result = default;
        ulong table = root;
        uint permissions = Permission.Mask;
        for (int level = TFormat.Levels; ; level--)
        {
            ulong at = table + ((ulong)(uint)PageTables<TFormat>.IndexOf(address, level) << TFormat.EntryShift);
            result.Level = level;
            if (at >= memory.Bytes)
            {
                result.Outcome = WalkOutcome.NoMemory;
                return;
            }

            ulong entry = TFormat.EntryShift == 3 ? memory.Read<ulong>(at) : memory.Read<uint>(at);
            result.Loads++;
            result.Entry = entry;
            visit?.Invoke(level, at, entry);
            if (!TFormat.IsPresent(entry) || TFormat.HasReservedBits(entry, level))
            {
                result.Outcome = TFormat.IsPresent(entry) ? WalkOutcome.ReservedBits : WalkOutcome.NotPresent;
                return;
            }

            if (TFormat.IsLeaf(entry, level))
            {
                uint leaf = TFormat.LeafPermissions(entry, level);
                result.Permissions = (permissions & leaf) | (leaf & (Permission.Global | Permission.Dirty));
                result.Base = TFormat.LeafBase(entry, level);
                result.Shift = TFormat.Shift(level);
                return;
            }

            permissions &= TFormat.TablePermissions(entry, level);
            table = TFormat.TableBase(entry);
        }
    }

    public override TranslationStep Describe(int level, ulong address, ulong at, ulong entry, bool isRead)
    {
        bool present = TFormat.IsPresent(entry);
        bool leaf = present && TFormat.IsLeaf(entry, level);
        ulong target = !present ? 0 : leaf ? TFormat.LeafBase(entry, level) : TFormat.TableBase(entry);
        return new TranslationStep(level, TFormat.Name(level), PageTables<TFormat>.IndexOf(address, level), new PhysicalAddress(at), entry, present, leaf,
            new PhysicalAddress(target), leaf ? TFormat.Decode(entry, level) : PageProtection.None, isRead);
    }

    /// <summary>Marks an entry; in one step where other CPUs may change it meanwhile, as the hardware does.</summary>
    private static bool Update(CpuMmu mmu, ulong at, ulong before, ulong after)
    {
        if (mmu.IsGated)
        {
            if (mmu.Memory.CompareExchange(at, after, before, TFormat.EntryShift == 3) != before)
            {
                return false;
            }
        }
        else if (TFormat.EntryShift == 3)
        {
            mmu.Memory.Write(at, after);
        }
        else
        {
            mmu.Memory.Write(at, (uint)after);
        }

        mmu.CountMarked(before, after);
        return true;
    }
}
