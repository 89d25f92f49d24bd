using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace MemSim.Hardware;

/// <summary>The MMU of one CPU: registers, TLBs, walk caches, statistics, clock.</summary>
/// <remarks>
/// In front of the L1 data TLB lies a table that the simulated hardware does not have: it finds the entry of a page in one look instead of comparing all ways.
/// A line of it is good while the L1 entry it was made from still has the same serial number, so it never knows more than the TLB does, and flushing or
/// evicting the TLB entry is enough. Hits are counted, and made most recently used, exactly as without it.
/// </remarks>
internal sealed partial class CpuMmu
{
    private const int FrontLines = 512;
    private const ulong OffsetMask = PageGeometry.PageSize - 1;

    // Numbers of contexts fit into the low bits of a line's key; the last one matches no line.
    private const int MaxContexts = 4094;
    private const ulong NoContext = MaxContexts + 1;

    public readonly PhysicalMemory Memory;
    public readonly ulong ReservedMask;
    public readonly bool HasWalkCache;
    public readonly bool HasDataCache;

    // Readable pages in the first half, writable (and dirty) ones in the second: a copy's source and target never compete for a line.
    private readonly FrontLine[] _front = new FrontLine[2 * FrontLines];
    private readonly TlbLevel _l1Data;
    private readonly TlbEntry[] _slots;
    private readonly long[] _stamps;
    private readonly TlbLevel _l1Instruction;
    private readonly TlbLevel _l2;
    private readonly TlbLevel?[] _walkCache;
    private readonly Cpu _cpu;
    private readonly Mmu _mmu;
    private readonly PageWalker _walker;
    private readonly MemoryCosts _costs;
    private readonly DataCache? _dataCache;
    private readonly bool _usesFront;
    private readonly bool _walksPlainly;
    private readonly int _plainWalkCycles;
    private readonly bool _checks;
    private readonly bool _isArm64;
    private readonly bool _globalPages;

    // What says without a call whether an address is canonical: with the bias its high bits are 0.
    private readonly ulong _canonicalBias;
    private readonly ulong _canonicalMask;
    private readonly List<long> _contexts = [];

    /// <summary>What lines of the front must have in their low 12 bits.</summary>
    private ulong _context;

    /// <summary>The same for accesses that need not go through the gate; <see cref="NoContext"/> where all have to.</summary>
    private ulong _openContext;
    private ulong _allowed;
    private int _asid;
    private long _serial;

    // What no TLB knew when the last data access faulted. Entries only come with new serial numbers: until the next one no TLB knows it, and the access that is tried again need not look.
    private ulong _missedAddress;
    private long _missedSerial;
    private int _missedAsid;
    private long _dataAccesses;
    private long _cycles;

    // The entry of the lowest walk cache used last, good while it has the same serial number: accesses that miss the TLBs mostly go on in the same table.
    private readonly TlbLevel _lastTableCache;
    private readonly int _lowestTableShift;
    private ulong _lastTableRegion = ulong.MaxValue;
    private ulong _lastTableSerial;
    private int _lastTableAsid;
    private int _lastTableSlot;

    /// <summary>Plain walks: each one an access, a miss, a walk of all levels and its cycles, added up when somebody asks.</summary>
    private long _plainWalks;

    public CpuMmu(Mmu mmu, Cpu cpu)
    {
        _mmu = mmu;
        _cpu = cpu;
        IsGated = mmu.Machine.IsParallel;
        _watched = mmu.Machine.Interleaver?.Watch("CpuMmu._inside");

        // Who watches is somebody that always waits: the shortest way in asks nothing more than it did.
        _callers = _watched is null ? 0 : 1;
        MmuOptions options = mmu.Options;
        TlbGeometry geometry = mmu.Geometry;
        Memory = mmu.Memory;
        _walker = mmu.Walker;
        _costs = options.Costs;
        _isArm64 = mmu.HasTwoRoots;
        _checks = options.CheckStaleEntries;
        _globalPages = options.GlobalPages || _isArm64;
        ReservedMask = options.NoExecute || _isArm64 ? 0 : X86Entry.NoExecute;
        uint seed = options.Seed + ((uint)cpu.Id * 7919);
        _l1Data = new TlbLevel(geometry.L1Data, mmu.Walker, geometry.Replacement, seed);
        _slots = _l1Data.Entries;
        _stamps = _l1Data.Stamps;
        _l1Instruction = new TlbLevel(geometry.L1Instruction, mmu.Walker, geometry.Replacement, seed + 1);
        _l2 = new TlbLevel(geometry.L2, mmu.Walker, geometry.Replacement, seed + 2);
        _walkCache = new TlbLevel?[mmu.Walker.Levels + 1];
        for (int level = 2; level <= mmu.Walker.Levels && level - 2 < geometry.WalkCacheSets.Count; level++)
        {
            _walkCache[level] = new TlbLevel([(geometry.WalkCacheSets[level - 2], 4, [mmu.Walker.Shift(level)])], TlbReplacement.Lru, seed);
            HasWalkCache = true;
        }

        int bits = 0;
        while (bits < 63 && _walker.IsCanonical((2UL << bits) - 1))
        {
            bits++;
        }

        bool hasHighHalf = _walker.IsCanonical(ulong.MaxValue);
        _canonicalBias = hasHighHalf ? 1UL << bits : 0;
        _canonicalMask = ~0UL << (hasHighHalf ? bits + 1 : bits);
        _lastTableCache = _walkCache[2] ?? _l2;
        _lowestTableShift = mmu.Walker.Shift(2);
        _dataCache = options.DataCache is { } cache ? new DataCache(cache, _costs) : null;
        HasDataCache = _dataCache is not null;
        _usesFront = !HasDataCache && !_checks && !_l1Data.IsEmpty && geometry.Replacement != TlbReplacement.TreeLru;
        _walksPlainly = !HasDataCache && !HasWalkCache && _l1Data.IsEmpty && _l2.IsEmpty && ReservedMask == 0;
        _plainWalkCycles = mmu.Walker.Levels * _costs.WalkStepCycles;
        Tables = mmu.Kernel;
        KernelRoot = mmu.Kernel.Root.Value;
        UserRoot = _isArm64 ? 0 : KernelRoot;
        SetContext();
    }

    /// <summary>The tables loaded; a CPU that is lazy keeps those of the last user.</summary>
    public PageTables Tables { get; private set; }

    /// <summary>Where walks of kernel addresses start: TTBR1; the same as <see cref="UserRoot"/> on x86.</summary>
    public ulong KernelRoot { get; private set; }

    /// <summary>CR3 or TTBR0; 0 when translation through TTBR0 is off.</summary>
    public ulong UserRoot { get; private set; }

    public int Asid => _asid;

    public bool InUserMode { get; private set; }

    public bool MayTouchUser { get; private set; }

    /// <summary>A process runs: addresses of its own half are used with user rights, those of the kernel's half with the kernel's (as if in a system call).</summary>
    public bool InProcess { get; private set; }

    public long Cycles => _cycles + (_plainWalks * _plainWalkCycles);

    public long PlainWalks => _plainWalks;

    public int WalkLevels => _walker.Levels;

    public DataCache? DataCache => _dataCache;

    public void AddCycles(long cycles) => _cycles += cycles;

    /// <summary>The rights (1 read, 2 write, 4 execute) that permissions give in the current mode.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public uint Allowed(uint permissions) => (uint)(_allowed >> (int)((permissions & Permission.Mask) * 4)) & 15;

    /// <summary>Translates a data access; a hit in the front of the L1 TLB stays in line. Never on a CPU with a gate.</summary>
    /// <param name="address">The address.</param>
    /// <param name="need">1 to read, 2 to write.</param>
    /// <param name="physical">The physical address.</param>
    /// <param name="cycles">What a data access there costs.</param>
    /// <returns>False when the slow way has to be taken.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryFront(ulong address, uint need, out ulong physical, out uint cycles) => TryFront(address, need, _openContext, out physical, out cycles);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool TryFront(ulong address, uint need, ulong context, out ulong physical, out uint cycles)
    {
        // In range: the index is masked to half the table's length and need is 1 or 2; a line's slot was an index of _slots when it was written, and lines start out with key 0, which
        // matches no context: they begin at 1.
        ref FrontLine line = ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(_front), (nint)(((address >> PageGeometry.PageShift) & (FrontLines - 1)) + ((need >> 1) * FrontLines)));
        if (line.Key == ((address & ~OffsetMask) | context))
        {
            if (Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(_slots), (nint)(uint)line.Slot).Serial == line.Serial)
            {
                Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(_stamps), (nint)(uint)line.Slot) = ++_dataAccesses;
                physical = line.Base | (address & OffsetMask);
                cycles = line.Cycles;
                return true;
            }
        }

        physical = 0;
        cycles = 0;
        return false;
    }

    /// <summary>Translates a data access by a walk, on a CPU without TLBs and caches, where nothing is out of the ordinary.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryPlainWalk(ulong address, uint need, out ulong physical)
    {
        physical = PageWalker.NoPlainWalk;
        if (!_walksPlainly || need > 2)
        {
            return false;
        }

        physical = _walker.TryWalk(this, RootOf(address), address, need);
        if (physical == PageWalker.NoPlainWalk || !_mmu.IsFullChunk(physical))
        {
            return false;
        }

        _plainWalks++;
        return true;
    }

    /// <summary>Translates any access the way the hardware does: L1, L2, walk.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public bool Translate(ulong address, MemoryAccess access, out ulong physical, out uint cycles, out PageFault fault)
    {
        uint need = 1u << (int)access;
        if (TryPlainWalk(address, need, out physical))
        {
            cycles = _mmu.AccessCycles(_cpu, physical);
            fault = default;
            return true;
        }

        cycles = 0;
        physical = 0;
        if (((address + _canonicalBias) & _canonicalMask) != 0)
        {
            fault = MakeFault(address, access, PageFaultReason.NotCanonical, 0);
            return false;
        }

        bool isFetch = access == MemoryAccess.Execute;
        long now = isFetch ? ++Statistics.InstructionFetches : ++_dataAccesses;
        TlbLevel l1 = isFetch ? _l1Instruction : _l1Data;
        bool misses = address == _missedAddress && _serial == _missedSerial && _asid == _missedAsid && !isFetch;
        int slot = misses ? -1 : l1.Find(address, _asid);
        if (slot >= 0 && IsUsable(l1, slot, need))
        {
            l1.Touch(slot, now);
            _cycles += _costs.L1TlbHitCycles;
            CheckStale(l1.Entries[slot], address, access);
        }
        else
        {
            slot = Miss(l1, slot, misses, address, access, now, out WalkResult walk);
            if (walk.Outcome != WalkOutcome.Found)
            {
                fault = MakeFault(address, access, walk.Outcome switch
                {
                    WalkOutcome.Refused => PageFaultReason.Protection,
                    WalkOutcome.ReservedBits => PageFaultReason.ReservedBits,
                    WalkOutcome.NoMemory => PageFaultReason.NoMemory,
                    _ => PageFaultReason.NotPresent,
                }, walk.Level);
                return false;
            }

            if (slot < 0)
            {
                // No TLB holds such pages.
                physical = walk.Base | (address & ((1UL << walk.Shift) - 1));
                return Finish(address, access, physical, walk.Level, out cycles, out fault);
            }
        }

        ref TlbEntry entry = ref l1.Entries[slot];
        physical = entry.Base | (address & ((1UL << entry.Shift) - 1));
        if (!Finish(address, access, physical, 1, out cycles, out fault))
        {
            return false;
        }

        if (_usesFront && !isFetch)
        {
            FillFront(address, physical, slot, entry, need, cycles);
        }

        return true;
    }

    /// <summary>L2, then a walk; fills what missed.</summary>
    private int Miss(TlbLevel l1, int denied, bool misses, ulong address, MemoryAccess access, long now, out WalkResult walk)
    {
        uint need = 1u << (int)access;
        bool isFetch = access == MemoryAccess.Execute;
        walk = default;
        bool known = denied >= 0;
        if (denied < 0)
        {
            _ = isFetch ? Statistics.L1InstructionMisses++ : Statistics.L1DataMisses++;
            int second = misses ? -1 : _l2.Find(address, _asid);
            known = second >= 0;
            if (second >= 0 && IsUsable(_l2, second, need))
            {
                Statistics.L2Hits++;
                _cycles += _costs.L2TlbHitCycles;
                _l2.Touch(second, now);
                CheckStale(_l2.Entries[second], address, access);
                ref TlbEntry found = ref _l2.Entries[second];
                int copy = l1.Insert(address, found.Base, found.Shift, found.Permissions, found.Asid, NextSerial(), now);
                walk.Base = found.Base;
                walk.Shift = found.Shift;
                return copy;
            }
        }

        // A hit that does not allow the access, or a first write to a clean page: the hardware looks at the tables again before it faults.
        _walker.Walk(this, RootOf(address), address, need, out walk);
        Statistics.Walks++;
        Statistics.WalkLoads += walk.Loads;
        _cycles += HasDataCache ? walk.Cycles : (long)walk.Loads * _costs.WalkStepCycles;
        if (walk.Outcome != WalkOutcome.Found)
        {
            if (known || isFetch)
            {
                // The hardware forgets what it knew about an address that faults.
                FlushPage(address, _asid);
            }
            else
            {
                (_missedAddress, _missedSerial, _missedAsid) = (address, _serial, _asid);
            }

            return -1;
        }

        uint permissions = _globalPages ? walk.Permissions : walk.Permissions & ~Permission.Global;
        _ = _l2.IsEmpty ? -1 : _l2.Insert(address, walk.Base, walk.Shift, permissions, _asid, NextSerial(), now);
        return l1.IsEmpty ? -1 : l1.Insert(address, walk.Base, walk.Shift, permissions, _asid, NextSerial(), now);
    }

    /// <summary>Whether a hit can be used as it is: allowed, and for a write dirty already.</summary>
    private bool IsUsable(TlbLevel level, int slot, uint need)
    {
        uint permissions = level.Entries[slot].Permissions;
        return (Allowed(permissions) & need) != 0 && (need != 2 || (permissions & Permission.Dirty) != 0);
    }

    /// <summary>Refuses physical addresses without memory and says what an access costs.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool Finish(ulong address, MemoryAccess access, ulong physical, int level, out uint cycles, out PageFault fault)
    {
        fault = default;
        if (!_mmu.IsFullChunk(physical) && !_mmu.IsRam(physical))
        {
            cycles = 0;
            fault = MakeFault(address, access, PageFaultReason.NoMemory, level);
            return false;
        }

        cycles = HasDataCache ? (uint)CacheAccess(physical) : _mmu.AccessCycles(_cpu, physical);
        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void FillFront(ulong address, ulong physical, int slot, in TlbEntry entry, uint need, uint cycles)
    {
        _front[((int)(address >> PageGeometry.PageShift) & (FrontLines - 1)) + ((int)(need >> 1) * FrontLines)] = new FrontLine
        {
            Key = (address & ~OffsetMask) | _context,
            Serial = entry.Serial,
            Base = physical & ~OffsetMask,
            Slot = slot,
            Cycles = cycles,
        };
    }

    public long CacheAccess(ulong physical)
    {
        int cycles = _dataCache!.Access(physical);
        return cycles >= 0 ? cycles : _mmu.DramCycles(_cpu, physical);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong RootOf(ulong address) => _isArm64 && (long)address >= 0 ? UserRoot : KernelRoot;

    public PageFault MakeFault(ulong address, MemoryAccess access, PageFaultReason reason, int level) => _isArm64
        ? PageFault.Arm64(address, access, IsUserAccess(address), reason, level)
        : PageFault.X86(address, access, IsUserAccess(address), reason, level, access == MemoryAccess.Execute && _mmu.ReportsFetch);

    private bool IsUserAccess(ulong address) => InUserMode || (InProcess && !_mmu.IsKernelAddress(address));

    /// <summary>Which TLB would answer: 1, 2, or 0 for none.</summary>
    public int PeekTlb(ulong address, MemoryAccess access)
    {
        TlbLevel l1 = access == MemoryAccess.Execute ? _l1Instruction : _l1Data;
        uint need = 1u << (int)access;
        int slot = l1.Find(address, _asid);
        if (slot >= 0)
        {
            return IsUsable(l1, slot, need) ? 1 : 0;
        }

        slot = _l2.Find(address, _asid);
        return slot >= 0 && IsUsable(_l2, slot, need) ? 2 : 0;
    }

    /// <summary>Bytes from an address to the end of its page, of which the caller knows that it is in the front.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int RunLength(ulong address, ulong physical)
    {
        // Pages larger than a chunk are cut there: RAM is known by chunks.
        const ulong chunk = (1 << 21) - 1;
        ref FrontLine line = ref _front[(int)(address >> PageGeometry.PageShift) & (FrontLines - 1)];
        ref FrontLine written = ref _front[((int)(address >> PageGeometry.PageShift) & (FrontLines - 1)) + FrontLines];
        ulong key = (address & ~OffsetMask) | _context;
        int slot = line.Key == key && _slots[line.Slot].Serial == line.Serial ? line.Slot : written.Key == key && _slots[written.Slot].Serial == written.Serial ? written.Slot : -1;
        bool large = slot >= 0 && _slots[slot].Shift >= 21 && _mmu.IsFullChunk(physical);
        return (int)(large ? chunk + 1 - (physical & chunk) : OffsetMask + 1 - (address & OffsetMask));
    }

    private ulong NextSerial() => (ulong)++_serial;

    private void CheckStale(in TlbEntry entry, ulong address, MemoryAccess access)
    {
        if (!_checks)
        {
            return;
        }

        _walker.Look(Memory, RootOf(address), address, null, out WalkResult now);
        ulong cached = entry.Base | (address & ((1UL << entry.Shift) - 1));
        bool agrees = now.Outcome == WalkOutcome.Found
            && (now.Base | (address & ((1UL << now.Shift) - 1))) == cached
            && (Allowed(now.Permissions) & (1u << (int)access)) != 0;
        if (!agrees)
        {
            Statistics.StaleEntriesUsed++;
            _mmu.ReportStale(new StaleTlbEntry(_cpu.Id, new VirtualAddress(address), access, new PhysicalAddress(cached),
                now.Outcome == WalkOutcome.Found ? new PhysicalAddress(now.Base | (address & ((1UL << now.Shift) - 1))) : null, now.Entry));
        }
    }

    internal struct FrontLine
    {
        public ulong Key;
        public ulong Serial;
        public ulong Base;
        public int Slot;
        public uint Cycles;
    }
}
