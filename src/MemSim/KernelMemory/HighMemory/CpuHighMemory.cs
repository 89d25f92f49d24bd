using System.Runtime.CompilerServices;
using MemSim.Diagnostics;
using MemSim.Hardware;
using MemSim.KernelMemory;
using MemSim.Pages;

namespace MemSim;

/// <summary>Short-term mappings of high memory. <see cref="Cpu.HighMemory"/>; <see cref="Cpu.Kmap"/> and <see cref="Cpu.Kunmap"/> are on the CPU itself.</summary>
public sealed class CpuHighMemory
{
    private readonly Cpu _cpu;
    private readonly Machine _machine;
    private readonly CpuContext _context;
    private readonly PageAddresses _addresses;
    private readonly FrameArray _frames;
    private readonly ulong _pageOffset;

    internal CpuHighMemory(Cpu cpu)
    {
        _cpu = cpu;
        _machine = cpu.Machine;
        _context = cpu.Context;
        _addresses = cpu.Machine.Addresses;
        _frames = cpu.Machine.Frames.Array;
        _pageOffset = cpu.Machine.Architecture.PageOffset;
    }

    private LocalSlots? _localSlots;

    /// <summary>The mappings of the task that runs here, which every switch tells; null while it never had one.</summary>
    private TaskMappings? _maps;

    private ulong _lowBytes;

    /// <summary>Short-term mappings of the current task that have a slot.</summary>
    public int LocalMappings => _maps?.Depth ?? 0;

    /// <summary>Empties all slots of <see cref="Cpu.Kmap"/> that nobody uses (<c>kmap_flush_unused()</c>).</summary>
    public void KmapFlushUnused() => _cpu.Machine.Memory.Kmaps?.FlushUnused(_cpu);

    /// <summary>Maps a page on this CPU for a short time, preemption and page faults disabled (<c>kmap_atomic()</c>).</summary>
    /// <param name="page">The page.</param>
    /// <returns>The address, for the current task on this CPU only.</returns>
    /// <exception cref="KernelBugException">The page is not allocated or another machine's, or the task has too many such mappings.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public VirtualAddress KmapAtomic(Page page)
    {
        TaskMappings maps = _maps ?? MakeMappings();
        if (!IsMappable(page, "kmap_atomic") || IsTooDeep(maps))
        {
            return default;
        }

        maps.Atomic++;
        _context.EnterAtomicMapping();
        if (_addresses.IsLowMemory(page.FrameIndex))
        {
            return _addresses.AddressOfLow(page.FrameIndex);
        }

        maps.AtomicSlots |= 1u << maps.Depth;
        return Push(maps, page.FrameIndex);
    }

    /// <summary>Undoes the last <see cref="KmapAtomic(Page)"/> (<c>kunmap_atomic()</c>).</summary>
    /// <param name="address">Any address in the page, as mapped.</param>
    /// <exception cref="KernelBugException">Nothing is mapped, the address is not the last one mapped, or it is foreign. Nothing has changed.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void KunmapAtomic(VirtualAddress address)
    {
        TaskMappings? maps = _maps;
        if (maps is null || maps.Atomic == 0)
        {
            Misused("kunmap_atomic", address, "no atomic mapping is left to be undone");
            return;
        }

        if (Pop(maps, address, atomic: true))
        {
            maps.Atomic--;
            _context.LeaveAtomicMapping();
        }
    }

    /// <summary>Maps a page in this CPU's slot of a type, as the 2.6 kernels do (<c>kmap_atomic(page, type)</c>); preemption and page faults are disabled.</summary>
    /// <param name="page">The page.</param>
    /// <param name="type">What for: each type has one slot on a CPU.</param>
    /// <returns>The address.</returns>
    /// <exception cref="KernelBugException">The slot is in use, the type is not for the context the CPU is in, or the page is not allocated or another machine's.</exception>
    public VirtualAddress KmapAtomic(Page page, KmType type)
    {
        TaskMappings maps = _maps ?? MakeMappings();
        if (!IsMappable(page, "kmap_atomic") || IsTooDeep(maps) || !MayUse(type))
        {
            return default;
        }

        bool low = _addresses.IsLowMemory(page.FrameIndex);
        if (!low && (maps.ClassicSlots >> (int)type & 1) != 0)
        {
            Misused("kmap_atomic", new VirtualAddress(UseSlots().ClassicAddressOf((int)type)), $"slot {type} of CPU {_cpu.Id} is in use for page frame 0x{maps.ClassicFrames[(int)type]:x}: BUG_ON(!pte_none(*(kmap_pte-idx)))");
            return default;
        }

        maps.Atomic++;
        _context.EnterAtomicMapping();
        if (low)
        {
            return _addresses.AddressOfLow(page.FrameIndex);
        }

        maps.Home = _cpu;
        maps.ClassicSlots |= 1u << (int)type;
        maps.ClassicFrames[(int)type] = page.FrameIndex;
        UseSlots().SetClassic((int)type, page.FrameIndex);
        return new VirtualAddress(UseSlots().ClassicAddressOf((int)type));
    }

    /// <summary>Undoes <see cref="KmapAtomic(Page, KmType)"/> (<c>kunmap_atomic(address, type)</c>).</summary>
    /// <param name="address">Any address in the page, as mapped.</param>
    /// <param name="type">The type it was mapped with.</param>
    /// <exception cref="KernelBugException">The slot is not in use, is another one than the address's, or the address is foreign. Nothing has changed.</exception>
    public void KunmapAtomic(VirtualAddress address, KmType type)
    {
        TaskMappings? maps = _maps;
        if (maps is null || maps.Atomic == 0 || (uint)type >= KmTypes.Count)
        {
            Misused("kunmap_atomic", address, (uint)type >= KmTypes.Count ? $"there is no type {(int)type}" : "no atomic mapping is left to be undone");
            return;
        }

        if (!_cpu.Machine.TryGetPage(address, out _))
        {
            ulong page = address.Value & ~CpuAccesses.PageOffsetMask;
            if (_localSlots is null || page != UseSlots().ClassicAddressOf((int)type) || (maps.ClassicSlots >> (int)type & 1) == 0)
            {
                Misused("kunmap_atomic", address, _localSlots is not null && page == UseSlots().ClassicAddressOf((int)type) ? $"slot {type} of CPU {_cpu.Id} is not in use" : $"the address is not that of slot {type} of CPU {_cpu.Id}");
                return;
            }

            maps.ClassicSlots &= ~(1u << (int)type);
            UseSlots().ClearClassic((int)type);
        }

        maps.Atomic--;
        _context.LeaveAtomicMapping();
    }

    /// <summary>Maps a page for the current task on this CPU (<c>kmap_local_page()</c>): a stack, undone in reverse. The task may sleep meanwhile.</summary>
    /// <param name="page">The page.</param>
    /// <returns>The address, for the current task only.</returns>
    /// <exception cref="KernelBugException">The page is not allocated or another machine's, or the task has too many such mappings.</exception>
    public VirtualAddress KmapLocal(Page page)
    {
        TaskMappings maps = _maps ?? MakeMappings();
        if (!IsMappable(page, "kmap_local_page"))
        {
            return default;
        }

        if (_addresses.IsLowMemory(page.FrameIndex))
        {
            return _addresses.AddressOfLow(page.FrameIndex);
        }

        if (IsTooDeep(maps))
        {
            return default;
        }

        maps.AtomicSlots &= ~(1u << maps.Depth);
        return Push(maps, page.FrameIndex);
    }

    /// <summary>Undoes the last <see cref="KmapLocal"/> (<c>kunmap_local()</c>).</summary>
    /// <param name="address">Any address in the page, as mapped.</param>
    /// <exception cref="KernelBugException">Nothing is mapped, the address is not the last one mapped, or it is foreign. Nothing has changed.</exception>
    public void KunmapLocal(VirtualAddress address)
    {
        if (_maps is { } maps)
        {
            _ = Pop(maps, address, atomic: false);
        }
        else if (!_cpu.Machine.TryGetPage(address, out _))
        {
            Misused("kunmap_local", address, "nothing is mapped");
        }
    }

    /// <summary>Takes the short-term mappings of a task that stops running out of the slots, and puts those of the one that runs next in (<c>kmap_local_sched_out()</c>, <c>_in()</c>).</summary>
    internal void SwitchMappings(KernelTask from, KernelTask to)
    {
        _maps = to.Mappings;
        if (from.Mappings is { HasSlots: true } left && ReferenceEquals(left.Home, _cpu))
        {
            for (int slot = 0; slot < left.Depth; slot++)
            {
                UseSlots().Clear(slot, -1);
            }

            for (int type = 0; type < KmTypes.Count; type++)
            {
                if ((left.ClassicSlots >> type & 1) != 0)
                {
                    UseSlots().ClearClassic(type);
                }
            }
        }

        if (to.Mappings is { HasSlots: true } back && ReferenceEquals(back.Home, _cpu))
        {
            for (int slot = 0; slot < back.Depth; slot++)
            {
                UseSlots().Set(slot, back.Stack[slot].Frame);
                back.Stack[slot].Walks = -1;
            }

            for (int type = 0; type < KmTypes.Count; type++)
            {
                if ((back.ClassicSlots >> type & 1) != 0)
                {
                    UseSlots().SetClassic(type, back.ClassicFrames[type]);
                }
            }
        }
    }

    internal void VerifyMappings()
    {
        if (!ReferenceEquals(_maps, _cpu.Current.Mappings))
        {
            BugReporter.Corrupt($"kmap_local: CPU {_cpu.Id} has the mappings of another task than {_cpu.Current}");
        }

        if (_localSlots?.Check(_cpu, _maps is { } maps && ReferenceEquals(maps.Home, _cpu) ? maps : null) is { } wrong)
        {
            BugReporter.Corrupt(wrong);
        }
    }

    /// <summary>The window, made by the first mapping.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private LocalSlots UseSlots() => _localSlots ?? MakeSlots();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private VirtualAddress Push(TaskMappings maps, int frame)
    {
        LocalSlots slots = UseSlots();
        int slot = maps.Depth++;
        if (!ReferenceEquals(maps.Home, _cpu))
        {
            maps.Home = _cpu;
        }

        ref StackedMapping made = ref maps.Stack[slot];
        made.Frame = frame;
        made.Walks = slots.Walks;
        slots.Set(slot, frame);
        return new VirtualAddress(slots.AddressOf(slot));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool Pop(TaskMappings maps, VirtualAddress address, bool atomic)
    {
        int slot = maps.Depth - 1;
        if (slot < 0 && address.Value - _pageOffset < _lowBytes)
        {
            return true;
        }

        if (slot >= 0 && _localSlots is { } slots && slots.SlotOf(address.Value) == (ulong)slot && (maps.AtomicSlots >> slot & 1) == (atomic ? 1u : 0u))
        {
            maps.Depth = slot;
            slots.Clear(slot, maps.Stack[slot].Walks);
            return true;
        }

        return PopOther(maps, address, atomic);
    }

    /// <summary>Low memory, which has no slot, or misuse.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool PopOther(TaskMappings maps, VirtualAddress address, bool atomic)
    {
        if (address.Value >= _addresses.DirectMapStart.Value && address.Value < _addresses.DirectMapEnd.Value)
        {
            return true;
        }

        string what = atomic ? "kunmap_atomic" : "kunmap_local";
        ulong slot = _localSlots?.SlotOf(address.Value) ?? ulong.MaxValue;
        string why = slot >= KernelAddressSpace.LocalSlots ? "the address is not one of this CPU's short-term mappings"
            : slot >= (ulong)maps.Depth ? $"slot {slot} of CPU {_cpu.Id} is not in use by {_cpu.Current}"
            : slot != (ulong)(maps.Depth - 1) ? $"wrong order: slot {slot} is not the last one mapped, {maps.Depth - 1} is: WARN_ON(addr != __fix_to_virt(FIX_KMAP_BEGIN + idx))"
            : atomic ? "the page was mapped by kmap_local_page: use KunmapLocal" : "the page was mapped by kmap_atomic: use KunmapAtomic";
        Misused(what, address, why);
        return false;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal bool IsMappable(Page page, string what) =>
        (page.BelongsTo(_machine) && _frames[page.FrameIndex].RefCount > 0) || IsMappableSlow(page, what);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool IsMappableSlow(Page page, string what)
    {
        if (!IsOfMachine(page, what))
        {
            return false;
        }

        // The later pages of a block that is not compound have no count of their own.
        int pfn = page.FrameIndex;
        int head = _cpu.Machine.ZoneTable.BlockHeadOf(pfn, out _);
        if (page.IsCompound || _cpu.Machine.Frames.IsReserved(pfn) || (head >= 0 && _cpu.Machine.Frames.FrameOf(head).RefCount > 0))
        {
            return true;
        }

        return !_cpu.Machine.Bugs.AllocatedHead(_cpu, page, what).IsNull;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal bool IsOfMachine(Page page, string what) => (page.BelongsTo(_machine) && !_machine.IsDisposed) || IsOfMachineSlow(page, what);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool IsOfMachineSlow(Page page, string what)
    {
        if (page.IsNull)
        {
            throw new ArgumentException($"{what} of the null page: the allocation that returned it failed", nameof(page));
        }

        _cpu.Machine.ThrowIfDisposed();
        return page.BelongsTo(_machine) || !_cpu.Machine.Bugs.AllocatedHead(_cpu, page, what).IsNull;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal bool IsWrongContext(string what) => _context.InAtomic && ReportSleeping(what);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool ReportSleeping(string what)
    {
        _cpu.Machine.Bugs.SleepingInAtomic(_cpu, what);
        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool IsTooDeep(TaskMappings maps) => (maps.Depth >= KernelAddressSpace.LocalSlots || _context.PreemptDepth == CpuContext.PreemptMask) && ReportTooDeep(maps);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool ReportTooDeep(TaskMappings maps)
    {
        Misused("kmap", default, $"{_cpu.Current} has {maps.Depth} mappings, and preemption is disabled {_cpu.Context.PreemptDepth} times: BUG_ON(kmap_ctrl.idx >= KM_MAX_IDX), which is {KernelAddressSpace.LocalSlots}");
        return true;
    }

    /// <summary>The rules of <c>debug_kmap_atomic()</c>: a type that others use in the same context would be overwritten under their feet.</summary>
    private bool MayUse(KmType type)
    {
        string? wrong = type switch
        {
            _ when (uint)type >= KmTypes.Count => $"there is no type {(int)type}",
            KmType.Irq0 or KmType.Irq1 or KmType.BioSrcIrq or KmType.BioDstIrq or KmType.BounceRead => _cpu.Context.InterruptsDisabled || _cpu.Context.InHardIrq ? null : "this type is for code with interrupts disabled",
            KmType.SoftIrq0 or KmType.SoftIrq1 or KmType.SkbDataSoftIrq or KmType.SkbSunrpcData => _cpu.Context.InHardIrq ? "this type must not be used in hardware interrupts" : null,
            _ => _cpu.Context.InInterrupt ? "this type must not be used in interrupts" : null,
        };
        if (wrong is null)
        {
            return true;
        }

        Misused("kmap_atomic", default, $"{type}: {wrong}");
        return false;
    }

    private void Misused(string what, VirtualAddress address, string why) => _cpu.Machine.Bugs.Raise(KernelBugKind.WrongMapping, $"kernel BUG at {what}{(address.IsNull ? "" : $"({address})")}: {why}",
        $"CPU: {_cpu.Id} PID: {_cpu.Current.Pid} Comm: {_cpu.Current.Name}, mappings of the task: {_cpu.Current.Mappings?.Depth ?? 0}, preempt_count {_cpu.Context.PreemptCount:x}\n");

    private TaskMappings MakeMappings()
    {
        _lowBytes = _addresses.DirectMapEnd.Value - _addresses.DirectMapStart.Value;
        _maps = new TaskMappings();
        _cpu.Current.Mappings = _maps;
        return _maps;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private LocalSlots MakeSlots() => _localSlots = new LocalSlots(_cpu);
}

/// <content>Short-term mappings of high memory: kmap_local and kmap_atomic.</content>
public sealed partial class Cpu
{
    /// <summary>Short-term mappings of high memory: kmap_local and kmap_atomic.</summary>
    public CpuHighMemory HighMemory { get; internal set; } = null!;
}
