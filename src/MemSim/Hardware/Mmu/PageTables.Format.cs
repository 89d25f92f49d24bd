using System.Runtime.CompilerServices;

namespace MemSim.Hardware;

/// <summary>Page tables of one format. This file: entries, tables and how one is reached; mapping is beside it.</summary>
internal sealed partial class PageTables<TFormat> : PageTables
    where TFormat : struct, IPageTableFormat
{
    private readonly PhysicalMemory _memory;
    private readonly List<PageTables<TFormat>> _sharers = [];
    private readonly List<(ulong Parent, int ParentLevel, int Index, ulong Table)> _created = [];
    private readonly List<(long Pfn, int Level)> _detached = [];
    private readonly Stack<long> _deposits = [];
    private readonly Lock? _lock;

    private PageTables(Mmu mmu, bool isKernel, int number, long rootPfn)
        : base(mmu, isKernel, number)
    {
        _memory = mmu.Memory;
        _lock = mmu.Machine.IsParallel ? new Lock() : null;
        Root = new Pfn(rootPfn).PhysicalAddress;
        TablePages = 1;
        CountTable(rootPfn, TFormat.Levels, 1);
        KeepsEmptyTables = isKernel;
        EntryShift = TFormat.EntryShift;
    }

    public override int Levels => TFormat.Levels;

    public static PageTables<TFormat>? Create(Mmu mmu, Cpu cpu, bool isKernel, int number)
    {
        long root = mmu.Frames.Allocate(cpu, isKernel);
        return root < 0 ? null : new PageTables<TFormat>(mmu, isKernel, number, root);
    }

    /// <summary>The first address that the tables' upper half translates on architectures with two roots, else 0.</summary>
    private ulong Base => Mmu.HasTwoRoots && IsKernel ? ~0UL << 48 : 0;

    private static ulong Size(int level) => 1UL << TFormat.Shift(level);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static int IndexOf(ulong address, int level) => (int)(address >> TFormat.Shift(level)) & ((1 << TFormat.IndexBits(level)) - 1);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static ulong ReadEntry(PhysicalMemory memory, ulong table, int index) =>
        TFormat.EntryShift == 3 ? memory.Read<ulong>(table + ((ulong)(uint)index << 3)) : memory.Read<uint>(table + ((ulong)(uint)index << 2));

    internal static void WriteEntry(PhysicalMemory memory, ulong table, int index, ulong entry)
    {
        if (TFormat.EntryShift == 3)
        {
            memory.Write(table + ((ulong)(uint)index << 3), entry);
        }
        else
        {
            memory.Write(table + ((ulong)(uint)index << 2), (uint)entry);
        }
    }

    private ulong Read(ulong table, int index) => ReadEntry(_memory, table, index);

    private void Write(ulong table, int level, int index, ulong entry)
    {
        WriteEntry(_memory, table, index, entry);
        if (level == TFormat.Levels && IsKernel)
        {
            foreach (PageTables<TFormat> sharer in _sharers)
            {
                WriteEntry(_memory, sharer.Root.Value, index, entry);
            }
        }
    }

    private ulong Check(VirtualAddress address, long pages)
    {
        ObjectDisposedException.ThrowIf(IsDestroyed, this);
        ulong start = address.Value;
        if ((start & (PageGeometry.PageSize - 1)) != 0)
        {
            throw new ArgumentException($"address {address} is not page aligned", nameof(address));
        }

        if (pages <= 0 || pages > 1L << 45)
        {
            throw new ArgumentOutOfRangeException(nameof(pages), pages, "a range has at least one page and fits into the address space");
        }

        ulong last = start + ((ulong)pages << PageGeometry.PageShift) - 1;
        CheckAddress(start);
        CheckAddress(last);
        if (last < start || ((start ^ last) >> 63) != 0)
        {
            throw new ArgumentException($"{pages} pages from {address} wrap around or cross the hole in the middle of the address space", nameof(pages));
        }

        return last;
    }

    private void CheckAddress(ulong address)
    {
        if (!TFormat.IsCanonical(address))
        {
            throw new ArgumentException($"address {new VirtualAddress(address)} is not canonical", nameof(address));
        }

        bool kernelHalf = Mmu.IsKernelAddress(address);
        if (Mmu.HasTwoRoots ? kernelHalf != IsKernel : kernelHalf && !IsKernel)
        {
            throw new ArgumentException($"address {new VirtualAddress(address)} does not belong to {this}", nameof(address));
        }
    }

    /// <summary>Goes down to the entry of a level for an address, or to where the walk ends before.</summary>
    private (ulong Table, int Level, ulong Entry) Descend(ulong address, int level)
    {
        ulong table = Root.Value;
        int at = TFormat.Levels;
        while (true)
        {
            ulong entry = Read(table, IndexOf(address, at));
            if (at == level || !LeadsToTable(entry, at))
            {
                return (table, at, entry);
            }

            table = TFormat.TableBase(entry);
            at--;
        }
    }

    /// <summary>The table of a level for an address, made where there is none.</summary>
    /// <returns>0 without memory.</returns>
    private ulong EnsureTable(Cpu cpu, ulong address, int level, bool user)
    {
        ulong table = Root.Value;
        for (int at = TFormat.Levels; at > level; at--)
        {
            int index = IndexOf(address, at);
            ulong entry = Read(table, index);
            if (TFormat.IsPresent(entry) && TFormat.IsLeaf(entry, at))
            {
                AlreadyMapped(address, at, entry);
            }

            if (!LeadsToTable(entry, at))
            {
                if (entry != 0)
                {
                    ClearBad(table + ((ulong)(uint)index << TFormat.EntryShift), TFormat.Name(at));
                }

                long pfn = Mmu.Frames.Allocate(cpu, IsKernel);
                if (pfn < 0)
                {
                    return 0;
                }

                TablePages++;
                CountTable(pfn, at - 1, 1);
                ulong child = (ulong)pfn << PageGeometry.PageShift;
                entry = TFormat.MakeTable(child, at, user);
                Write(table, at, index, entry);
                _created.Add((table, at, index, child));
            }

            table = TFormat.TableBase(entry);
        }

        return table;
    }

    /// <summary>Takes back the tables that the current call made: they are empty.</summary>
    private void UndoCreated(Cpu cpu)
    {
        for (int i = _created.Count - 1; i >= 0; i--)
        {
            (ulong parent, int level, int index, ulong table) = _created[i];
            Write(parent, level, index, 0);
            FreeUnhooked(cpu, table, level - 1);
        }

        _created.Clear();
    }

    private void AlreadyMapped(ulong address, int level, ulong entry) =>
        throw new KernelBugException(KernelBugKind.StillInUse, $"kernel BUG: {new VirtualAddress(address)} is mapped already", $"{this}: {TFormat.Name(level)} entry {entry:x16}. Unmap the old mapping first.\n");

    private void NotMapped(ulong address, int level, ulong entry) =>
        throw new KernelBugException(KernelBugKind.NotAllocated, $"kernel BUG: {new VirtualAddress(address)} is not mapped", $"{this}: {TFormat.Name(level)} entry {entry:x16} is not present.\n");

    private bool IsEmpty(ulong table, int level)
    {
        ReadOnlySpan<byte> bytes = _memory.ReadOnly(table, 1 << (TFormat.IndexBits(level) + TFormat.EntryShift));
        return !bytes.ContainsAnyExcept((byte)0);
    }
}
