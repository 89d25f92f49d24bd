using System.Runtime.CompilerServices;
using MemSim.Hardware;

namespace MemSim.KernelMemory;

/// <summary>A CPU's slots for short-term mappings in the fixmap: where they are and where their page-table entries lie.</summary>
internal sealed class LocalSlots
{
    private readonly ulong _top;
    private readonly ulong _classicTop;
    private readonly ulong[] _classicEntries = new ulong[KmTypes.Count];
    private readonly ulong _template;
    private readonly bool _wide;
    private readonly CpuMmu _mmu;
    private readonly TlbCounters _counters;
    private readonly PhysicalMemory _memory;

    public LocalSlots(Cpu cpu)
    {
        Machine machine = cpu.Machine;
        if (cpu.Id >= Fixmap.Cpus32)
        {
            throw new InvalidOperationException($"CPU {cpu.Id} has no slots for short-term mappings: Debian's 32-bit kernels are built for {Fixmap.Cpus32} CPUs");
        }

        _mmu = cpu.UseMmu();
        _counters = _mmu.Statistics;
        _memory = _mmu.Memory;
        Fixmap fixmap = machine.Memory.Fixmap;
        PageTables kernel = machine.Mmu.Kernel;
        _template = kernel.MakeEntry(new Pfn(0), PageProtection.Kernel);
        _wide = machine.Architecture.Architecture == Architecture.X86_32Pae;
        int first = fixmap.Local + (cpu.Id * KernelAddressSpace.LocalSlots);
        _top = fixmap.AddressOf(first).Value;
        Entries = new ulong[KernelAddressSpace.LocalSlots];
        for (int slot = 0; slot < KernelAddressSpace.LocalSlots; slot++)
        {
            Entries[slot] = kernel.EntryAddress(cpu, fixmap.AddressOf(first + slot));
        }

        int classic = fixmap.Classic + (cpu.Id * KmTypes.Count);
        _classicTop = fixmap.AddressOf(classic).Value;
        for (int type = 0; type < KmTypes.Count; type++)
        {
            _classicEntries[type] = kernel.EntryAddress(cpu, fixmap.AddressOf(classic + type));
        }
    }

    /// <summary>Where the entries lie in physical memory.</summary>
    public ulong[] Entries { get; }

    public long Walks => _counters.Walks;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong AddressOf(int slot) => _top - ((ulong)(uint)slot << PageGeometry.PageShift);

    public ulong ClassicAddressOf(int type) => _classicTop - ((ulong)(uint)type << PageGeometry.PageShift);

    /// <summary>The slot of an address; one that does not exist for addresses elsewhere.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong SlotOf(ulong address) => (_top + (PageGeometry.PageSize - 1) - address) >> PageGeometry.PageShift;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Set(int slot, int frame) => Write(Entries[slot], _template | ((ulong)(uint)frame << PageGeometry.PageShift));

    /// <summary>Empties a slot and makes this CPU forget it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Clear(int slot, long walks)
    {
        Write(Entries[slot], 0);
        _mmu.ForgetPage(AddressOf(slot), walks);
    }

    public void SetClassic(int type, int frame) => Write(_classicEntries[type], _template | ((ulong)(uint)frame << PageGeometry.PageShift));

    public void ClearClassic(int type)
    {
        Write(_classicEntries[type], 0);
        _mmu.ForgetPage(ClassicAddressOf(type), -1);
    }

    /// <summary>Whether the entries are what a task's mappings say; null when they are.</summary>
    public string? Check(Cpu cpu, TaskMappings? maps)
    {
        const ulong hardwareBits = X86Entry.Accessed | X86Entry.Dirty;
        for (int slot = 0; slot < Entries.Length; slot++)
        {
            ulong expected = maps is not null && slot < maps.Depth ? _template | ((ulong)maps.Stack[slot].Frame << PageGeometry.PageShift) : 0;
            if ((Read(Entries[slot]) & ~hardwareBits) != (expected & ~hardwareBits))
            {
                return $"kmap_local: slot {slot} of CPU {cpu.Id} has the entry {Read(Entries[slot]):x}, the mappings of {cpu.Current} say {expected:x}";
            }
        }

        for (int type = 0; type < _classicEntries.Length; type++)
        {
            ulong expected = maps is not null && (maps.ClassicSlots >> type & 1) != 0 ? _template | ((ulong)maps.ClassicFrames[type] << PageGeometry.PageShift) : 0;
            if ((Read(_classicEntries[type]) & ~hardwareBits) != (expected & ~hardwareBits))
            {
                return $"kmap_atomic: slot {(KmType)type} of CPU {cpu.Id} has the entry {Read(_classicEntries[type]):x}, the mappings of {cpu.Current} say {expected:x}";
            }
        }

        return null;
    }

    private ulong Read(ulong entry) => _wide ? _memory.Read<ulong>(entry) : _memory.Read<uint>(entry);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Write(ulong at, ulong entry)
    {
        if (_wide)
        {
            _memory.Write(at, entry);
        }
        else
        {
            _memory.Write(at, (uint)entry);
        }
    }
}
