using MemSim.Hardware;

namespace MemSim;

/// <summary>Translations on a CPU, and the page tables it uses. <see cref="Cpu.Mmu"/>.</summary>
public sealed class CpuTranslation
{
    private readonly Cpu _cpu;

    internal CpuTranslation(Cpu cpu) => _cpu = cpu;

    /// <summary>Translates an address as an access would, TLB and all, without touching the data.</summary>
    /// <param name="address">The address.</param>
    /// <param name="access">The access.</param>
    /// <param name="physical">The physical address.</param>
    /// <param name="fault">The fault, when there is one.</param>
    /// <returns>Whether the access is possible.</returns>
    public bool TryTranslate(VirtualAddress address, MemoryAccess access, out PhysicalAddress physical, out PageFault fault)
    {
        CpuMmu mmu = _cpu.UseMmu();
        fault = default;
        ulong where = 0;
        bool found = access != MemoryAccess.Execute && mmu.TryFront(address.Value, 1u << (int)access, out where, out _);
        if (!found)
        {
            found = mmu.IsGated ? mmu.TranslateGated(address.Value, access, out where, out fault) : mmu.Translate(address.Value, access, out where, out _, out fault);
        }

        physical = new PhysicalAddress(where);
        return found;
    }

    /// <summary>Runs an instruction fetch through the instruction TLB (nothing is executed).</summary>
    /// <param name="address">The address.</param>
    /// <returns>The physical address.</returns>
    /// <exception cref="PageFaultException">The address cannot be executed.</exception>
    public PhysicalAddress Fetch(VirtualAddress address) => new(_cpu.Accesses.Resolve(address.Value, MemoryAccess.Execute));

    /// <summary>Loads an address space (<c>switch_mm()</c>).</summary>
    /// <param name="tables">Its page tables.</param>
    public void LoadPageTables(PageTables tables)
    {
        ArgumentNullException.ThrowIfNull(tables);
        if (!ReferenceEquals(tables.Mmu, _cpu.Machine.Mmu))
        {
            throw new ArgumentException($"{tables} belong to another machine", nameof(tables));
        }

        ObjectDisposedException.ThrowIf(tables.IsDestroyed, tables);
        _cpu.UseMmu().Load(tables);
    }

    /// <summary>The page tables loaded: those of the kernel before the MMU comes into use.</summary>
    public PageTables PageTables
    {
        get
        {
            _cpu.Machine.ThrowIfDisposed();
            return _cpu.MmuOrNull?.Tables ?? _cpu.Machine.Mmu.Kernel;
        }
    }

    /// <summary>Enters lazy TLB mode: a kernel thread runs on the last process's tables, whose flushes this CPU makes up for when it comes back to them.</summary>
    public void EnterLazyTlb() => _cpu.UseMmu().EnterLazy();

    /// <summary>Explains what an access to an address would do now, without doing it: nothing is changed, counted or charged.</summary>
    /// <param name="address">The address; any.</param>
    /// <param name="access">The access.</param>
    public TranslationExplanation Explain(VirtualAddress address, MemoryAccess access = MemoryAccess.Read)
    {
        _cpu.Machine.ThrowIfDisposed();
        CpuMmu mmu = _cpu.MmuOrNull ?? new CpuMmu(_cpu.Machine.Mmu, _cpu);
        using CpuMmu.GateScope gate = mmu.OwnGate();
        PageWalker walker = _cpu.Machine.Mmu.Walker;
        MemoryCosts costs = _cpu.Machine.Mmu.Options.Costs;
        ulong root = mmu.RootOf(address.Value);
        string rootName = !_cpu.Machine.Mmu.HasTwoRoots ? "CR3" : (long)address.Value < 0 ? "TTBR1" : "TTBR0";
        if (!walker.IsCanonical(address.Value) || (_cpu.Machine.Mmu.HasTwoRoots && root == 0))
        {
            PageFaultReason reason = walker.IsCanonical(address.Value) ? PageFaultReason.NotPresent : PageFaultReason.NotCanonical;
            return new TranslationExplanation(address, access, rootName, new PhysicalAddress(root)) { Fault = mmu.MakeFault(address.Value, access, reason, reason == PageFaultReason.NotPresent ? walker.Levels : 0) };
        }

        int tlb = mmu.PeekTlb(address.Value, access);
        int cached = tlb == 0 ? mmu.PeekWalkCache(address.Value) : 0;
        List<TranslationStep> steps = [];
        long walkCycles = 0;
        walker.Look(mmu.Memory, root, address.Value, (level, at, entry) =>
        {
            bool read = tlb == 0 && (cached == 0 || level < cached);
            walkCycles += !read ? 0 : mmu.DataCache is { } cache ? CacheCycles(cache, at) : costs.WalkStepCycles;
            steps.Add(walker.Describe(level, address.Value, at, entry, read));
        }, out WalkResult walk);
        uint need = 1u << (int)access;
        PageFault? fault = walk.Outcome switch
        {
            WalkOutcome.Found => (mmu.Allowed(walk.Permissions) & need) != 0 ? null : mmu.MakeFault(address.Value, access, PageFaultReason.Protection, walk.Level),
            WalkOutcome.ReservedBits => mmu.MakeFault(address.Value, access, PageFaultReason.ReservedBits, walk.Level),
            WalkOutcome.NoMemory => mmu.MakeFault(address.Value, access, PageFaultReason.NoMemory, walk.Level),
            _ => mmu.MakeFault(address.Value, access, PageFaultReason.NotPresent, walk.Level),
        };
        ulong physical = walk.Outcome == WalkOutcome.Found ? walk.Base | (address.Value & ((1UL << walk.Shift) - 1)) : 0;
        if (fault is null && !_cpu.Machine.Mmu.IsRam(physical))
        {
            fault = mmu.MakeFault(address.Value, access, PageFaultReason.NoMemory, walk.Level);
        }

        long data = fault is not null ? 0 : mmu.DataCache is { } dataCache ? CacheCycles(dataCache, physical) : _cpu.Machine.Mmu.AccessCycles(_cpu, physical);
        long translation = tlb switch { 1 => costs.L1TlbHitCycles, 2 => costs.L2TlbHitCycles, _ => walkCycles };
        return new TranslationExplanation(address, access, rootName, new PhysicalAddress(root))
        {
            TlbLevel = tlb,
            WalkCacheLevel = cached,
            Steps = steps,
            MemoryReads = steps.Count(s => s.IsRead) + (fault is null ? 1 : 0),
            Cycles = translation + data,
            Physical = fault is null ? new PhysicalAddress(physical) : null,
            PageSize = fault is null ? (MappingSize)walk.Shift : null,
            Fault = fault,
        };
    }

    private long CacheCycles(DataCache cache, ulong physical)
    {
        int cycles = cache.Peek(physical);
        return cycles >= 0 ? cycles : _cpu.Machine.Mmu.DramCycles(_cpu, physical);
    }
}

/// <content>The page tables in use, and how an address is translated by them.</content>
public sealed partial class Cpu
{
    /// <summary>The page tables in use, and how an address is translated by them.</summary>
    public CpuTranslation Mmu { get; internal set; } = null!;
}
