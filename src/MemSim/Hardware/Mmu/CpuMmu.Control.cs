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
    private int _pendingInterrupts;
    private readonly Lock _inbox = new();
    private readonly List<(ulong Start, ulong End, int Space, int Asid)> _requests = [];

    public TlbCounters Statistics = new();

    public bool IsLazy { get; private set; }

    public long DataAccesses => _dataAccesses;

    public void SetUserMode(bool user)
    {
        InUserMode = user;
        SetContext();
    }

    public void SetUserAccess(bool may)
    {
        MayTouchUser = may;
        SetContext();
    }

    /// <summary>A process starts to run here, on its own tables.</summary>
    public void EnterProcess(PageTables tables)
    {
        Load(tables);
        if (!InProcess)
        {
            InProcess = true;
            SetContext();
        }
    }

    /// <summary>A kernel thread runs here from now on, on the tables of the last process.</summary>
    public void LeaveProcess()
    {
        if (InProcess)
        {
            InProcess = false;
            EnterLazy();
            SetContext();
        }
    }

    /// <summary>Touches user memory on behalf of a process: faults are the kernel's.</summary>
    /// <returns>What to give back to <see cref="EndCopy"/>.</returns>
    public (bool InProcess, bool InUserMode, bool MayTouchUser) BeginCopy()
    {
        (bool InProcess, bool InUserMode, bool MayTouchUser) before = (InProcess, InUserMode, MayTouchUser);
        (InProcess, InUserMode, MayTouchUser) = (false, false, true);
        SetContext();
        return before;
    }

    public void EndCopy((bool InProcess, bool InUserMode, bool MayTouchUser) before)
    {
        (InProcess, InUserMode, MayTouchUser) = before;
        SetContext();
    }

    /// <summary>Loads an address space (<c>switch_mm()</c>).</summary>
    public void Load(PageTables tables)
    {
        AnswerInterrupts();
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
        bool mustFlush = _isArm64 ? ChooseAsid(tables) : ChooseProcessContext(tables, generation);
        if (mustFlush)
        {
            FlushSpace(_asid);
        }

        SetContext();
    }

    /// <summary>Goes on with the tables of the last user while a kernel thread runs: shootdowns for them are not needed until it comes back.</summary>
    public void EnterLazy() => IsLazy = !Tables.IsKernel;

    /// <summary>Flushes a range here: page by page up to the ceiling, else the whole space.</summary>
    public void FlushHere(ulong start, ulong end, bool kernel)
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

    public void FlushPage(ulong address, int asid)
    {
        _l1Data.FlushPage(address, asid);
        _l1Instruction.FlushPage(address, asid);
        _l2.FlushPage(address, asid);
        FlushWalkCaches();
    }

    /// <summary>Flushes a page of the kernel here that had no entry when the CPU had done so many walks: without another one no TLB can know it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void ForgetPage(ulong address, long walksBefore)
    {
        Statistics.PageFlushes++;
        _cycles += _costs.FlushPageCycles;
        if (Statistics.Walks != walksBefore)
        {
            FlushPage(address, TlbEntry.EverySpace);
        }
    }

    public void FlushSpace(int asid)
    {
        _l1Data.FlushSpace(asid);
        _l1Instruction.FlushSpace(asid);
        _l2.FlushSpace(asid);
        FlushWalkCaches();
    }

    public void FlushAll(bool global)
    {
        _l1Data.FlushAll(global);
        _l1Instruction.FlushAll(global);
        _l2.FlushAll(global);
        FlushWalkCaches();
    }

    /// <summary>Receives a shootdown. With parallel CPUs the request waits for this CPU's next translation that leaves the front.</summary>
    public void Interrupt(ulong start, ulong end, PageTables tables)
    {
        lock (_inbox)
        {
            _requests.Add((start, end, tables.Number, 0));
            _pendingInterrupts = 1;
            // The context matches no line of the front: the next access takes the slow way and finds the request.
            Volatile.Write(ref _context, 0);
        }

        if (!_mmu.Machine.IsParallel)
        {
            AnswerInterrupts();
        }
    }

    /// <summary>arm64's flushes reach all CPUs without interrupting them (<c>TLBI …IS</c>): entries of an address space that is not loaded now go as well.</summary>
    public void Broadcast(ulong start, ulong end, PageTables tables)
    {
        int asid = (int)(tables.HardwareAsid & 0xffff);
        if (asid == 0)
        {
            // It never ran: no TLB knows it.
            return;
        }

        if (!_mmu.Machine.IsParallel)
        {
            FlushAsid(start, end, asid);
            return;
        }

        lock (_inbox)
        {
            _requests.Add((start, end, tables.Number, asid));
            _pendingInterrupts = 1;
            Volatile.Write(ref _context, 0);
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

    public bool NeedsInterrupt(PageTables tables) => tables.IsKernel || (ReferenceEquals(Tables, tables) && !IsLazy);

    public void Forget(PageTables tables)
    {
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
            Load(_mmu.Kernel);
        }
    }

    /// <summary>Does what other CPUs asked for.</summary>
    private void AnswerInterrupts()
    {
        if (Volatile.Read(ref _pendingInterrupts) == 0)
        {
            return;
        }

        lock (_inbox)
        {
            foreach ((ulong start, ulong end, int space, int asid) in _requests)
            {
                if (asid != 0)
                {
                    FlushAsid(start, end, asid);
                    continue;
                }

                Statistics.InterruptsReceived++;
                _cycles += _costs.InterruptReceiveCycles;
                if (space == 0 || space == Tables.Number)
                {
                    FlushHere(start, end, space == 0);
                    _loadedGeneration = space == 0 ? _loadedGeneration : Volatile.Read(ref Tables.FlushGeneration);
                    RememberGeneration(_loadedGeneration);
                }
            }

            _requests.Clear();
            _pendingInterrupts = 0;
            SetContext();
        }
    }

    public void RememberFlush()
    {
        _loadedGeneration = Volatile.Read(ref Tables.FlushGeneration);
        RememberGeneration(_loadedGeneration);
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

    private bool ChooseAsid(PageTables tables)
    {
        if (tables.IsKernel)
        {
            _asid = 0;
            return false;
        }

        _asid = _mmu.AsidOf(tables, out bool rolledOver);
        if (rolledOver)
        {
            _mmu.FlushAllSpaces();
        }

        return false;
    }

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

        Volatile.Write(ref _context, (ulong)(uint)index + 1);
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
