using MemSim.Diagnostics;
using MemSim.Hardware;
using MemSim.Zones;

namespace MemSim;

/// <summary>A machine's memory management: the kernel's page tables, address spaces, flushes on all CPUs.</summary>
/// <remarks>
/// Built when first used; a machine that never asks for it pays nothing. Page tables have contents, so a machine booted with
/// <see cref="MachineSpec.WithoutContents"/> has no MMU. The kernel's tables start with the direct map; whoever builds more of the kernel's address space uses
/// <see cref="Kernel"/> with <see cref="PageTables.Map(Cpu, VirtualAddress, Pfn, long, PageProtection, MappingSize)"/>, <see cref="PageTables.Unmap"/> and
/// <see cref="FlushRange(Cpu, PageTables, VirtualAddress, long)"/>.
/// </remarks>
public sealed partial class Mmu
{
    private const int MaxStaleReports = 1000;
    private const int AsidBits = 16;

    /// <summary>Pages in 2 MiB: by such chunks the MMU remembers where memory is.</summary>
    private const long ChunkPages = 1L << (21 - PageGeometry.PageShift);

    private readonly byte[] _fullChunks;
    private readonly Cpu[] _cpus;
    // Guards itself.
    private readonly List<StaleTlbEntry> _stale = [];
    private readonly List<PageTables> _spaces = [];
    // Guards _spaces, _nextNumber and _nextAsid.
    private readonly Lock _registry = new();
    private readonly uint[]?[] _accessCycles;
    private readonly bool _hasOneNode;
    private readonly uint _localAccessCycles;
    private long _nextAsid = 1L << AsidBits;
    private int _nextNumber;

    internal Mmu(Machine machine, MmuOptions options, IPageTableFrames frames)
    {
        if (!machine.Ram.HasContents)
        {
            throw new InvalidOperationException("page tables live in simulated RAM, and this machine was booted without contents of RAM (MachineSpec.WithoutContents): it has no MMU");
        }

        Machine = machine;
        Options = options;
        Frames = frames;
        Memory = machine.Ram;
        Geometry = options.Tlb ?? TlbGeometry.Default(machine.Architecture.Architecture);
        Geometry.Check();
        HasTwoRoots = machine.Architecture.Architecture == Architecture.Arm64;
        if (options.FiveLevels && machine.Architecture.Architecture != Architecture.X86_64)
        {
            throw new ArgumentException($"five levels exist on x86_64 only, not on {machine.Architecture.Name}", nameof(options));
        }

        KernelStart = machine.Architecture.Architecture switch
        {
            Architecture.X86_64 => options.FiveLevels ? 0xff00_0000_0000_0000 : 0xffff_8000_0000_0000,
            Architecture.Arm64 => PageGeometry.KernelHalf,
            _ => machine.Architecture.PageOffset,
        };
        Walker = machine.Architecture.Architecture switch
        {
            Architecture.X86_64 => options.FiveLevels ? new PageWalker<X86FiveLevel>() : new PageWalker<X86FourLevel>(),
            Architecture.X86_32 => new PageWalker<X86TwoLevel>(),
            Architecture.X86_32Pae => new PageWalker<X86Pae>(),
            _ => new PageWalker<Arm64Format>(),
        };
        _cpus = [.. machine.Cpus];
        _fullChunks = new byte[(Memory.Bytes >> 21) + 1];
        _hasOneNode = machine.Nodes.Count == 1;
        _localAccessCycles = (uint)options.Costs.AverageAccessCycles;
        _accessCycles = new uint[]?[machine.Cpus.Count];
        UsesProcessContexts = options.ProcessContextIds && machine.Architecture.Architecture == Architecture.X86_64;
        Kernel = Make(machine.Cpus[0], isKernel: true) ?? throw new InvalidOperationException("there is no memory for the kernel's page tables");
    }

    /// <summary>The options it was built with.</summary>
    public MmuOptions Options { get; }

    /// <summary>The TLBs of its CPUs.</summary>
    public TlbGeometry Geometry { get; }

    /// <summary>The kernel's page tables (<c>init_mm</c>, <c>swapper_pg_dir</c>).</summary>
    public PageTables Kernel { get; }

    /// <summary>The first address that belongs to the kernel.</summary>
    public ulong KernelStart { get; }

    /// <summary>What handles page faults of memory accesses; null: every fault is an oops.</summary>
    public IPageFaultHandler? FaultHandler { get; set; }

    /// <summary>The stale TLB entries that were used, when <see cref="MmuOptions.CheckStaleEntries"/> is on: the first thousand.</summary>
    public IReadOnlyList<StaleTlbEntry> StaleEntriesUsed => _stale;

    /// <summary>Frames that hold page tables of any address space.</summary>
    public long TablePages
    {
        get
        {
            long pages = Kernel.TablePages;
            foreach (PageTables space in _spaces)
            {
                pages += space.TablePages;
            }

            return pages;
        }
    }

    internal Machine Machine { get; }

    internal PhysicalMemory Memory { get; }

    internal IPageTableFrames Frames { get; }

    internal PageWalker Walker { get; }

    /// <summary>Kernel and user addresses have tables of their own (arm64).</summary>
    internal bool HasTwoRoots { get; }

    internal bool UsesProcessContexts { get; }

    internal ulong KernelHalf => KernelStart;

    internal bool ReportsFetch => Options.NoExecute ? Machine.Architecture.Architecture != Architecture.X86_32 || Options.Smep : Options.Smep;

    /// <summary>Makes page tables for a process; the kernel's part is shared.</summary>
    /// <param name="cpu">The CPU that does it.</param>
    /// <returns>Null without memory.</returns>
    public PageTables? CreateTables(Cpu cpu)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        _ = Machine.CpuTable.Own(cpu);
        return Make(cpu, isKernel: false);
    }

    /// <summary>Makes CPUs forget a range after its mappings or permissions were taken away (<c>flush_tlb_range()</c>, <c>flush_tlb_kernel_range()</c>), then frees tables that became empty.</summary>
    /// <param name="cpu">The CPU that does it; others that may know the range are interrupted.</param>
    /// <param name="tables">The address space.</param>
    /// <param name="start">The first address.</param>
    /// <param name="bytes">The length; more than <see cref="MmuOptions.SinglePageFlushCeiling"/> pages flush the whole space (all, for the kernel).</param>
    public void FlushRange(Cpu cpu, PageTables tables, VirtualAddress start, long bytes) => FlushRange(cpu, tables, start, (ulong)bytes);

    internal void FlushRange(Cpu cpu, PageTables tables, VirtualAddress start, ulong bytes)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        ArgumentNullException.ThrowIfNull(tables);
        _ = Machine.CpuTable.Own(cpu);
        if (!ReferenceEquals(tables.Mmu, this))
        {
            throw new ArgumentException($"{tables} belong to another machine", nameof(tables));
        }

        const ulong pageMask = PageGeometry.PageSize - 1;
        ulong first = start.Value & ~pageMask;
        ulong end = bytes > ulong.MaxValue - start.Value - pageMask ? ~pageMask : (start.Value + bytes + pageMask) & ~pageMask;
        if (end > first)
        {
            Flush(cpu, tables, first, end);
        }

        tables.ReleaseDetached(cpu);
    }

    /// <summary>Makes CPUs forget one page (<c>flush_tlb_page()</c>).</summary>
    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="tables">The address space.</param>
    /// <param name="address">An address in the page.</param>
    public void FlushPage(Cpu cpu, PageTables tables, VirtualAddress address) => FlushRange(cpu, tables, new VirtualAddress(address.Value & PageGeometry.PageMask), PageGeometry.PageSize);

    /// <summary>Makes CPUs forget an address space (<c>flush_tlb_mm()</c>); for the kernel's, everything.</summary>
    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="tables">The address space.</param>
    public void FlushAddressSpace(Cpu cpu, PageTables tables) => FlushRange(cpu, tables, default, ulong.MaxValue);

    /// <summary>Makes CPUs forget everything, global pages included (<c>flush_tlb_all()</c>).</summary>
    /// <param name="cpu">The CPU that does it.</param>
    public void FlushAll(Cpu cpu) => FlushRange(cpu, Kernel, default, ulong.MaxValue);

    /// <summary>Says how much of the direct map is mapped with which page size, in KiB, as <c>/proc/meminfo</c> does (<c>DirectMap4k</c>, …).</summary>
    /// <returns>KiB by page size.</returns>
    public IReadOnlyDictionary<MappingSize, long> DirectMapKiB()
    {
        Dictionary<MappingSize, long> sizes = [];
        foreach (PageMapping mapping in Kernel.Mappings())
        {
            if (mapping.Start.Value >= Machine.Addresses.DirectMapStart.Value && mapping.Start.Value < Machine.Addresses.DirectMapEnd.Value)
            {
                sizes[mapping.Size] = sizes.GetValueOrDefault(mapping.Size) + (mapping.Pages * (PageGeometry.PageSize >> 10));
            }
        }

        return sizes;
    }

    internal bool IsKernelAddress(ulong address) => address >= KernelStart;

    /// <summary>Whether the 2 MiB around a physical address are known to be memory.</summary>
    [System.Runtime.CompilerServices.MethodImpl(System.Runtime.CompilerServices.MethodImplOptions.AggressiveInlining)]
    internal bool IsFullChunk(ulong physical) => physical >> 21 < (ulong)_fullChunks.Length && _fullChunks[physical >> 21] != 0;

    /// <summary>Whether the machine has memory at a physical address.</summary>
    internal bool IsRam(ulong physical)
    {
        if (physical >= Memory.Bytes)
        {
            return false;
        }

        ref byte full = ref _fullChunks[physical >> 21];
        return full != 0 || LookForRam(physical, ref full);
    }

    /// <summary>What a data access costs when no cache is simulated.</summary>
    [System.Runtime.CompilerServices.MethodImpl(System.Runtime.CompilerServices.MethodImplOptions.AggressiveInlining)]
    internal uint AccessCycles(Cpu cpu, ulong physical) => _hasOneNode ? _localAccessCycles : CyclesByNode(cpu, physical);

    private uint CyclesByNode(Cpu cpu, ulong physical)
    {
        uint[] byNode = _accessCycles[cpu.Id] ??= [.. cpu.Node.Distances.Select(d => (uint)(Options.Costs.AverageAccessCycles * d / 10))];
        return Machine.ZoneTable.ZoneOf((int)(physical >> PageGeometry.PageShift)) is { } zone ? byNode[zone.Node.Id] : byNode[cpu.Node.Id];
    }

    internal long DramCycles(Cpu cpu, ulong physical)
    {
        long local = Options.Costs.DramCycles;
        return Machine.Nodes.Count > 1 && physical < Memory.Bytes && Machine.ZoneTable.ZoneOf((int)(physical >> PageGeometry.PageShift)) is { } zone
            ? local * cpu.Node.Distances[zone.Node.Id] / 10
            : local;
    }

    internal void ReportStale(StaleTlbEntry entry)
    {
        lock (_stale)
        {
            if (_stale.Count < MaxStaleReports)
            {
                _stale.Add(entry);
            }
        }
    }

    /// <summary>The address space number of arm64: one for the machine, renewed when all were used.</summary>
    internal int AsidOf(PageTables tables, out bool rolledOver)
    {
        lock (_registry)
        {
            rolledOver = false;
            if (tables.HardwareAsid >> AsidBits != _nextAsid >> AsidBits || tables.HardwareAsid == 0)
            {
                _nextAsid++;
                if ((_nextAsid & ((1 << AsidBits) - 1)) == 0)
                {
                    _nextAsid++;
                    rolledOver = true;
                }

                tables.HardwareAsid = _nextAsid;
            }

            return (int)(tables.HardwareAsid & ((1 << AsidBits) - 1));
        }
    }

    internal void FlushAllSpaces()
    {
        foreach (Cpu cpu in Machine.Cpus)
        {
            cpu.MmuOrNull?.FlushForNewNumbers();
        }
    }

    /// <summary>Makes every CPU let go of tables that are about to be destroyed.</summary>
    internal void Leave(PageTables tables)
    {
        foreach (Cpu cpu in Machine.Cpus)
        {
            if (cpu.MmuOrNull is { } mmu && ReferenceEquals(mmu.Tables, tables) && !mmu.IsLazy)
            {
                throw new InvalidOperationException($"CPU {cpu.Id} has {tables} loaded");
            }
        }

        foreach (Cpu cpu in Machine.Cpus)
        {
            cpu.MmuOrNull?.Forget(tables);
        }

        lock (_registry)
        {
            _spaces.Remove(tables);
        }
    }

    /// <summary>Checks that every table lies in a frame that is allocated for it, once, and that the counts agree.</summary>
    internal void Verify()
    {
        HashSet<long> seen = [];
        foreach (PageTables tables in (PageTables[])[Kernel, .. _spaces])
        {
            long count = 0;
            tables.VisitTables(pfn =>
            {
                count++;
                if (!seen.Add(pfn))
                {
                    BugReporter.Corrupt($"{tables}: frame 0x{pfn:x} holds two tables");
                }

                if (Frames.Check(pfn) is { } wrong)
                {
                    BugReporter.Corrupt($"{tables}: the table in frame 0x{pfn:x} {wrong}");
                }
            });
            if (count != tables.TablePages)
            {
                BugReporter.Corrupt($"{tables}: {tables.TablePages} table pages are counted but there are {count}");
            }
        }
    }

    /// <summary>Makes tables; asking for the frame of the top one may reclaim, so that happens without the lock.</summary>
    private PageTables? Make(Cpu cpu, bool isKernel)
    {
        int number = TakeNumber();
        PageTables? tables = Machine.Architecture.Architecture switch
        {
            Architecture.X86_64 => Options.FiveLevels ? PageTables<X86FiveLevel>.Create(this, cpu, isKernel, number) : PageTables<X86FourLevel>.Create(this, cpu, isKernel, number),
            Architecture.X86_32 => PageTables<X86TwoLevel>.Create(this, cpu, isKernel, number),
            Architecture.X86_32Pae => PageTables<X86Pae>.Create(this, cpu, isKernel, number),
            _ => PageTables<Arm64Format>.Create(this, cpu, isKernel, number),
        };
        if (tables is null)
        {
            GiveNumberBack(number);
        }
        else if (!isKernel)
        {
            tables.CopyKernelEntries(Kernel);
            lock (_registry)
            {
                _spaces.Add(tables);
            }
        }

        return tables;
    }

    private int TakeNumber()
    {
        lock (_registry)
        {
            return _nextNumber++;
        }
    }

    /// <summary>There was no memory for the tables: the next ones have their number, unless somebody took one meanwhile.</summary>
    private void GiveNumberBack(int number)
    {
        lock (_registry)
        {
            if (_nextNumber == number + 1)
            {
                _nextNumber = number;
            }
        }
    }

    private void Flush(Cpu cpu, PageTables tables, ulong start, ulong end)
    {
        long generation = Machine.IsParallel ? Interlocked.Increment(ref tables.FlushGeneration) : ++tables.FlushGeneration;
        CpuMmu own = cpu.UseMmu();
        Machine.Interleaver?.Pass("Mmu.Flush");
        int interrupted = 0;
        int spared = 0;
        foreach (Cpu other in _cpus)
        {
            if (ReferenceEquals(other, cpu) || other.MmuOrNull is not { } mmu || !other.IsOnline)
            {
                continue;
            }

            Shootdown answer = mmu.ShootDown(start, end, tables, generation);
            interrupted += answer == Shootdown.Interrupted ? 1 : 0;
            spared += answer == Shootdown.SparedByLazyMode ? 1 : 0;
        }

        own.FlushOwn(start, end, tables, generation);
        own.Statistics.InterruptsSparedByLazyMode += spared;
        if (interrupted > 0)
        {
            own.Statistics.Shootdowns++;
            own.Statistics.InterruptsSent += interrupted;
            own.AddCycles(Options.Costs.InterruptSendCycles);
        }
    }

    private bool LookForRam(ulong physical, ref byte full)
    {
        long pfn = (long)(physical >> PageGeometry.PageShift);
        long chunk = pfn & -ChunkPages;
        foreach (PresentRange range in Machine.ZoneTable.PresentRanges)
        {
            if (range.Start <= chunk && range.End >= chunk + ChunkPages)
            {
                full = 1;
                return true;
            }

            if (pfn >= range.Start && pfn < range.End)
            {
                return true;
            }
        }

        foreach (OfflineRange range in Machine.ZoneTable.OfflineRanges)
        {
            if (pfn >= range.Start && pfn < range.End)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Memory was pulled out.</summary>
    internal void ForgetRam(long start, long end)
    {
        for (long chunk = start / ChunkPages; chunk <= (end - 1) / ChunkPages; chunk++)
        {
            _fullChunks[chunk] = 0;
        }
    }
}

/// <summary>A TLB entry that was used although the page tables say something else by now: a flush was forgotten.</summary>
/// <param name="Cpu">The CPU's number.</param>
/// <param name="Address">The address used.</param>
/// <param name="Access">What it was used for.</param>
/// <param name="Used">Where the stale entry led.</param>
/// <param name="Current">Where the tables lead; null when nowhere.</param>
/// <param name="Entry">The last entry of a walk now.</param>
public sealed record StaleTlbEntry(int Cpu, VirtualAddress Address, MemoryAccess Access, PhysicalAddress Used, PhysicalAddress? Current, ulong Entry);
