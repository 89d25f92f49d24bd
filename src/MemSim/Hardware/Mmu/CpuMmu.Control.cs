using System.Runtime.CompilerServices;

namespace MemSim.Hardware;

/// <content>Control registers, address-space switches, flushes, shootdowns.</content>
internal sealed partial class CpuMmu
{
    // Linux keeps the TLB entries of the last six address spaces of a CPU (TLB_NR_DYN_ASIDS); identifier 0 is not used with PCID.
    private const int DynamicSpaces = 6;

    private readonly (int Number, long Generation)[] _spaces = new (int, long)[DynamicSpaces];
    private int _nextSpace;
    private long _loadedGeneration;

    public readonly TlbCounters Statistics = new();

    public bool IsLazy { get; private set; }

    public long DataAccesses => _dataAccesses;

    /// <summary>What the TLBs hold, level by level.</summary>
    public IEnumerable<TlbEntryInfo> Entries() => [.. _l1Data.Describe("L1 data"), .. _l1Instruction.Describe("L1 instruction"), .. _l2.Describe("L2")];

    public void SetUserMode(bool user)
    {
        using GateScope gate = OwnGate();
        InUserMode = user;
        SetContext();
    }

    public void SetUserAccess(bool may)
    {
        using GateScope gate = OwnGate();
        MayTouchUser = may;
        SetContext();
    }

    /// <summary>A process starts to run here, on its own tables.</summary>
    public void EnterProcess(PageTables tables)
    {
        int asid = ChooseAsid(tables);
        using GateScope gate = OwnGate();
        Load(tables, asid);
        if (!InProcess)
        {
            InProcess = true;
            SetContext();
        }
    }

    /// <summary>A kernel thread runs here from now on, on the tables of the last process.</summary>
    public void LeaveProcess()
    {
        using GateScope gate = OwnGate();
        if (InProcess)
        {
            InProcess = false;
            EnterLazyInside();
            SetContext();
        }
    }

    /// <summary>Another CPU gives up tables: if they are loaded here, nothing of a process is left.</summary>
    public void Leave(PageTables tables)
    {
        using GateScope gate = OthersGate();
        if (ReferenceEquals(Tables, tables))
        {
            InProcess = false;
            Load(_mmu.Kernel, 0);
        }
    }

    /// <summary>Touches user memory on behalf of a process: faults are the kernel's.</summary>
    /// <returns>What to give back to <see cref="EndCopy"/>.</returns>
    public (bool InProcess, bool InUserMode, bool MayTouchUser) BeginCopy()
    {
        using GateScope gate = OwnGate();
        (bool InProcess, bool InUserMode, bool MayTouchUser) before = (InProcess, InUserMode, MayTouchUser);
        (InProcess, InUserMode, MayTouchUser) = (false, false, true);
        SetContext();
        return before;
    }

    public void EndCopy((bool InProcess, bool InUserMode, bool MayTouchUser) before)
    {
        using GateScope gate = OwnGate();
        (InProcess, InUserMode, MayTouchUser) = before;
        SetContext();
    }

    /// <summary>Loads an address space (<c>switch_mm()</c>).</summary>
    public void Load(PageTables tables)
    {
        int asid = ChooseAsid(tables);
        using GateScope gate = OwnGate();
        Load(tables, asid);
    }

    private void Load(PageTables tables, int asid)
    {
        // Inside the gate: a flush that has not come through it yet finds these tables loaded, one that has been here has raised the generation.
        long generation = Volatile.Read(ref tables.FlushGeneration);
        if (ReferenceEquals(Tables, tables))
        {
            // Back from lazy mode: flushes that this CPU was spared are made up for.
            if (IsLazy && generation != _loadedGeneration)
            {
                FlushSpace(_asid);
                Statistics.AddressSpaceFlushes++;
            }

            IsLazy = false;
            _loadedGeneration = generation;
            RememberGeneration(generation);
            return;
        }

        Statistics.Switches++;
        _cycles += _costs.SwitchCycles;
        IsLazy = false;
        Tables = tables;
        UserRoot = _isArm64 && tables.IsKernel ? 0 : tables.Root.Value;
        KernelRoot = _isArm64 ? _mmu.Kernel.Root.Value : tables.Root.Value;
        _loadedGeneration = generation;
        if (_isArm64)
        {
            _asid = asid;
        }
        else if (ChooseProcessContext(tables, generation))
        {
            FlushSpace(_asid);
        }

        SetContext();
    }

    /// <summary>Goes on with the tables of the last user while a kernel thread runs: shootdowns for them are not needed until it comes back.</summary>
    public void EnterLazy()
    {
        using GateScope gate = OwnGate();
        EnterLazyInside();
    }

    /// <summary>This CPU flushes a range of its own TLB.</summary>
    /// <param name="start">The first address.</param>
    /// <param name="end">The address behind the last one.</param>
    /// <param name="tables">The address space.</param>
    /// <param name="generation">The number of this flush in that space.</param>
    public void FlushOwn(ulong start, ulong end, PageTables tables, long generation)
    {
        using GateScope gate = OwnGate();
        if (!tables.IsKernel && !ReferenceEquals(Tables, tables))
        {
            Broadcast(start, end, tables);
            return;
        }

        FlushHere(start, end, tables.IsKernel);
        RememberFlush(tables, generation);
    }

    /// <summary>Another CPU flushes a range: this one is interrupted, spared because it is lazy, or not concerned. What it knew is gone when this returns, and no access uses it any more.</summary>
    public Shootdown ShootDown(ulong start, ulong end, PageTables tables, long generation)
    {
        using GateScope gate = OthersGate();
        if (!NeedsInterrupt(tables))
        {
            Broadcast(start, end, tables);
            return IsLazy && ReferenceEquals(Tables, tables) ? Shootdown.SparedByLazyMode : Shootdown.NotConcerned;
        }

        Statistics.InterruptsReceived++;
        _cycles += _costs.InterruptReceiveCycles;
        FlushHere(start, end, tables.IsKernel);
        RememberFlush(tables, generation);
        return Shootdown.Interrupted;
    }

    /// <summary>Flushes a range here: page by page up to the ceiling, else the whole space.</summary>
    private void FlushHere(ulong start, ulong end, bool kernel)
    {
        ulong pages = (end - start) >> PageGeometry.PageShift;
        if (pages > (ulong)_mmu.Options.SinglePageFlushCeiling)
        {
            _cycles += _costs.FlushAllCycles;
            if (kernel)
            {
                FlushAll(global: true);
                Statistics.FullFlushes++;
            }
            else
            {
                FlushSpace(_asid);
                Statistics.AddressSpaceFlushes++;
            }

            return;
        }

        for (ulong at = start; at < end; at += PageGeometry.PageSize)
        {
            // A kernel page that is not global may be known under every address space.
            FlushPage(at, kernel ? TlbEntry.EverySpace : _asid);
            Statistics.PageFlushes++;
            _cycles += _costs.FlushPageCycles;
        }
    }

    private void FlushPage(ulong address, int asid)
    {
        if (!IsKnownToMiss(address, asid))
        {
            _l1Data.FlushPage(address, asid);
            _l2.FlushPage(address, asid);
        }

        _l1Instruction.FlushPage(address, asid);
        FlushWalkCaches();
    }

    /// <summary>Whether neither the L1 for data nor the L2 knows a page, because the last data access that faulted did not find it and nothing came in since.</summary>
    private bool IsKnownToMiss(ulong address, int asid) =>
        ((address ^ _missedAddress) & ~OffsetMask) == 0 && _serial == _missedSerial && asid == _missedAsid && !_l1Data.HasFragments && !_l2.HasFragments;

    /// <summary>Flushes a page of the kernel here that had no entry when the CPU had done so many walks: without another one no TLB can know it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void ForgetPage(ulong address, long walksBefore)
    {
        if (IsGated)
        {
            FlushKernelPage(address);
            return;
        }

        Statistics.PageFlushes++;
        _cycles += _costs.FlushPageCycles;
        if (Statistics.Walks != walksBefore)
        {
            FlushPage(address, TlbEntry.EverySpace);
        }
    }

    private void FlushKernelPage(ulong address)
    {
        using GateScope gate = OwnGate();
        FlushPage(address, TlbEntry.EverySpace);
        Statistics.PageFlushes++;
        _cycles += _costs.FlushPageCycles;
    }

    /// <summary>Flushes the page of an address for the address space loaded, and global entries (<c>invlpg</c>).</summary>
    public void FlushLoadedPage(ulong address)
    {
        using GateScope gate = OwnGate();
        FlushPage(address, _asid);
        Statistics.PageFlushes++;
        _cycles += _costs.FlushPageCycles;
    }

    /// <summary>Flushes the address space loaded.</summary>
    public void FlushLoadedSpace()
    {
        using GateScope gate = OwnGate();
        FlushSpace(_asid);
        Statistics.AddressSpaceFlushes++;
        _cycles += _costs.FlushAllCycles;
    }

    /// <summary>Flushes everything.</summary>
    public void FlushEverything()
    {
        using GateScope gate = OwnGate();
        FlushAll(global: true);
        Statistics.FullFlushes++;
        _cycles += _costs.FlushAllCycles;
    }

    /// <summary>Flushes every address space, because their numbers are given out anew.</summary>
    public void FlushForNewNumbers()
    {
        using GateScope gate = OthersGate();
        FlushAll(global: false);
    }

    private void FlushSpace(int asid)
    {
        _l1Data.FlushSpace(asid);
        _l1Instruction.FlushSpace(asid);
        _l2.FlushSpace(asid);
        FlushWalkCaches();
    }

    private void FlushAll(bool global)
    {
        _l1Data.FlushAll(global);
        _l1Instruction.FlushAll(global);
        _l2.FlushAll(global);
        FlushWalkCaches();
    }

    /// <summary>arm64's flushes reach all CPUs without interrupting them (<c>TLBI …IS</c>): entries of an address space that is not loaded now go as well.</summary>
    private void Broadcast(ulong start, ulong end, PageTables tables)
    {
        int asid = (int)(tables.HardwareAsid & 0xffff);

        // One that never ran is known to no TLB.
        if (_isArm64 && asid != 0)
        {
            FlushAsid(start, end, asid);
        }
    }

    private void FlushAsid(ulong start, ulong end, int asid)
    {
        if ((end - start) >> PageGeometry.PageShift > (ulong)_mmu.Options.SinglePageFlushCeiling)
        {
            FlushSpace(asid);
            return;
        }

        for (ulong at = start; at < end; at += PageGeometry.PageSize)
        {
            FlushPage(at, asid);
        }
    }

    private bool NeedsInterrupt(PageTables tables) => tables.IsKernel || (ReferenceEquals(Tables, tables) && !IsLazy);

    public void Forget(PageTables tables)
    {
        using GateScope gate = OthersGate();
        for (int i = 0; i < _spaces.Length; i++)
        {
            if (_spaces[i].Number == tables.Number + 1)
            {
                _spaces[i] = default;
                FlushSpace(i + 1);
            }
        }

        if (ReferenceEquals(Tables, tables))
        {
            Load(_mmu.Kernel, 0);
        }
    }

    /// <summary>This CPU is up to date, if it did all flushes before this one: a lazy CPU that was spared some has to make up for them all the same.</summary>
    private void RememberFlush(PageTables tables, long generation)
    {
        if (!tables.IsKernel && _loadedGeneration == generation - 1)
        {
            _loadedGeneration = generation;
            RememberGeneration(generation);
        }
    }

    private void RememberGeneration(long generation)
    {
        if (!_isArm64 && _mmu.UsesProcessContexts && _asid > 0)
        {
            _spaces[_asid - 1].Generation = generation;
        }
    }

    private bool ChooseProcessContext(PageTables tables, long generation)
    {
        if (!_mmu.UsesProcessContexts)
        {
            // Writing CR3 without PCID flushes everything that is not global.
            _asid = 0;
            return true;
        }

        for (int i = 0; i < _spaces.Length; i++)
        {
            // Number 0 is the kernel's; slots are kept with 1 added so that an empty one matches nothing.
            if (_spaces[i].Number == tables.Number + 1)
            {
                _asid = i + 1;
                bool behind = _spaces[i].Generation != generation;
                _spaces[i].Generation = generation;
                return behind;
            }
        }

        _spaces[_nextSpace] = (tables.Number + 1, generation);
        _asid = _nextSpace + 1;
        _nextSpace = (_nextSpace + 1) % DynamicSpaces;
        return true;
    }

    /// <summary>The address space number of arm64. When all were used every CPU is flushed: outside of any gate.</summary>
    private int ChooseAsid(PageTables tables)
    {
        if (!_isArm64 || tables.IsKernel || ReferenceEquals(Tables, tables))
        {
            return 0;
        }

        int asid = _mmu.AsidOf(tables, out bool rolledOver);
        if (rolledOver)
        {
            _mmu.FlushAllSpaces();
        }

        return asid;
    }

    private void EnterLazyInside() => IsLazy = !Tables.IsKernel;

    private void FlushWalkCaches()
    {
        if (!HasWalkCache)
        {
            return;
        }

        for (int level = 2; level < _walkCache.Length; level++)
        {
            _walkCache[level]?.FlushAll(global: true);
        }
    }

    private void SetContext()
    {
        ulong allowed = 0;
        for (uint permissions = 0; permissions < 16; permissions++)
        {
            allowed |= (ulong)Rights(permissions) << (int)(permissions * 4);
        }

        _allowed = allowed;
        long key = ((long)_asid << 3) | (InUserMode ? 1L : 0) | (MayTouchUser ? 2L : 0) | (InProcess ? 4L : 0);
        int index = _contexts.IndexOf(key);
        if (index < 0)
        {
            if (_contexts.Count == MaxContexts)
            {
                _contexts.Clear();
                Array.Clear(_front);
            }

            index = _contexts.Count;
            _contexts.Add(key);
        }

        _context = (ulong)(uint)index + 1;
        _openContext = IsGated ? NoContext : _context;
    }

    private uint Rights(uint permissions)
    {
        bool user = (permissions & Permission.User) != 0;
        bool write = (permissions & Permission.Write) != 0;
        if (InUserMode || (InProcess && user))
        {
            return !user ? 0 : 1u | (write ? 2u : 0) | ((permissions & Permission.UserExecute) != 0 ? 4u : 0);
        }

        MmuOptions options = _mmu.Options;
        bool data = !user || MayTouchUser || !options.Smap;
        bool mayWrite = write || (!options.WriteProtect && !_isArm64);
        bool execute = (permissions & Permission.KernelExecute) != 0 && (_isArm64 || !user || !options.Smep);
        return (data ? 1u | (mayWrite ? 2u : 0) : 0) | (execute ? 4u : 0);
    }
}

/// <summary>What a flush by another CPU means to one.</summary>
internal enum Shootdown
{
    NotConcerned,
    SparedByLazyMode,
    Interrupted,
}

/// <summary>What a CPU's MMU counts.</summary>
internal sealed class TlbCounters
{
    public long InstructionFetches;
    public long L1DataMisses;
    public long L1InstructionMisses;
    public long L2Hits;
    public long Walks;
    public long WalkLoads;
    public long WalkCacheHits;
    public long AccessedBitsSet;
    public long DirtyBitsSet;
    public long PageFlushes;
    public long AddressSpaceFlushes;
    public long FullFlushes;
    public long Shootdowns;
    public long InterruptsSent;
    public long InterruptsReceived;
    public long InterruptsSparedByLazyMode;
    public long StaleEntriesUsed;
    public long Switches;
}
