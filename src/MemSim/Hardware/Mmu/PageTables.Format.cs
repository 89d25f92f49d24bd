using System.Runtime.CompilerServices;

namespace MemSim.Hardware;

/// <summary>Page tables of one format. This file: entries, tables and how one is reached; mapping is beside it.</summary>
/// <remarks>
/// <c>_lock</c> guards the tables of <see cref="Map(Cpu, VirtualAddress, Pfn, long, PageProtection, MappingSize)"/>, <c>Unmap</c>, <c>Protect</c> and <c>FreeTables</c>, <c>_detached</c>
/// and <c>_sharers</c>. Entries of a process's lowest tables, its deposits and the table found last are guarded by the owners' lock, under which all faults and memory calls run.
/// A frame for a table is asked for without <c>_lock</c>: asking may reclaim, and reclaim takes locks that come before it.
/// </remarks>
internal sealed partial class PageTables<TFormat> : PageTables
    where TFormat : struct, IPageTableFormat
{
    private readonly PhysicalMemory _memory;
    private readonly List<PageTables<TFormat>> _sharers = [];
    private readonly List<(long Pfn, int Level)> _detached = [];
    private readonly Stack<long> _deposits = [];
    // Guards tables made and freed, _detached and _sharers.
    private readonly MachineLock? _lock;

    private PageTables(Mmu mmu, bool isKernel, int number, long rootPfn)
        : base(mmu, isKernel, number)
    {
        _memory = mmu.Memory;
        _lock = mmu.Machine.NewLock("PageTables._lock");
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
    private ulong Base => Mmu.HasTwoRoots && IsKernel ? PageGeometry.KernelHalf : 0;

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

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void CheckAddress(ulong address)
    {
        bool kernelHalf = Mmu.IsKernelAddress(address);
        if (!TFormat.IsCanonical(address) || (Mmu.HasTwoRoots ? kernelHalf != IsKernel : kernelHalf && !IsKernel))
        {
            RefuseAddress(address);
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void RefuseAddress(ulong address) =>
        throw new ArgumentException($"address {new VirtualAddress(address)} {(TFormat.IsCanonical(address) ? $"does not belong to {this}" : "is not canonical")}", nameof(address));

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
    /// <param name="cpu">The CPU.</param>
    /// <param name="address">The address.</param>
    /// <param name="level">The level.</param>
    /// <param name="user">Whether what it maps may be used from user mode.</param>
    /// <param name="created">The tables that the call has made so far.</param>
    /// <returns>0 without memory.</returns>
    private ulong EnsureTable(Cpu cpu, ulong address, int level, bool user, ref List<(ulong Address, int Level, ulong Table)>? created)
    {
        ulong table = Root.Value;
        long spare = -1;
        for (int at = TFormat.Levels; at > level; at--)
        {
            int index = IndexOf(address, at);
            ulong entry = Read(table, index);
            if (TFormat.IsPresent(entry) && TFormat.IsLeaf(entry, at))
            {
                GiveBack(cpu, spare);
                AlreadyMapped(address, at, entry);
            }

            if (!LeadsToTable(entry, at))
            {
                if (entry != 0)
                {
                    ClearBad(table + ((ulong)(uint)index << TFormat.EntryShift), TFormat.Name(at));
                }

                if (spare < 0)
                {
                    spare = FrameForTable(cpu);
                    if (spare < 0)
                    {
                        return 0;
                    }

                    if (_lock is not null)
                    {
                        // The lock was let go: what was seen on the way down may have changed.
                        (table, at) = (Root.Value, TFormat.Levels + 1);
                        continue;
                    }
                }

                Mmu.Machine.Interleaver?.Pass("PageTables.AddTable");
                TablePages++;
                CountTable(spare, at - 1, 1);
                ulong child = (ulong)spare << PageGeometry.PageShift;
                spare = -1;
                entry = TFormat.MakeTable(child, at, user);
                Write(table, at, index, entry);
                (created ??= []).Add((address, at, child));
            }

            table = TFormat.TableBase(entry);
        }

        GiveBack(cpu, spare);
        return table;
    }

    /// <summary>A frame for a table, asked for without the lock.</summary>
    private long FrameForTable(Cpu cpu)
    {
        _lock?.Exit();
        long pfn = Mmu.Frames.Allocate(cpu, IsKernel);
        _lock?.Enter();
        return pfn;
    }

    private void GiveBack(Cpu cpu, long spare)
    {
        if (spare >= 0)
        {
            Mmu.Frames.Free(cpu, spare);
        }
    }

    /// <summary>Takes back the tables that a call made: they are empty, but for what another CPU put into them meanwhile.</summary>
    private void UndoCreated(Cpu cpu, List<(ulong Address, int Level, ulong Table)>? created)
    {
        for (int i = (created?.Count ?? 0) - 1; i >= 0; i--)
        {
            (ulong address, int level, ulong table) = created![i];
            (ulong parent, int parentLevel, ulong entry) = Descend(address, level);
            if (parentLevel == level && LeadsToTable(entry, level) && TFormat.TableBase(entry) == table && IsEmpty(table, level - 1))
            {
                Write(parent, level, IndexOf(address, level), 0);
                FreeUnhooked(cpu, table, level - 1);
            }
        }
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
