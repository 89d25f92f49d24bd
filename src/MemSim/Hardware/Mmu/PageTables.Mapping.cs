namespace MemSim.Hardware;

/// <content>Mapping, unmapping, protection, huge-page splits.</content>
internal sealed partial class PageTables<TFormat>
{
    public override bool Map(Cpu cpu, VirtualAddress address, Pfn first, long pages, PageProtection protection, MappingSize largest = PageGeometry.SmallMapping)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        _ = Mmu.Machine.CpuTable.Own(cpu);
        ulong last = Check(address, pages);
        CheckFrames(first, pages);
        using LockScope scope = Enter();
        List<(ulong Address, int Level, ulong Table)>? created = null;
        try
        {
            // First pass: every table exists and nothing is in the way. The second cannot fail.
            if (!Prepare(cpu, address.Value, last, (ulong)first.Value, (protection & PageProtection.User) != 0, largest, ref created))
            {
                UndoCreated(cpu, created);
                return false;
            }
        }
        catch
        {
            UndoCreated(cpu, created);
            throw;
        }

        ulong at = address.Value;
        ulong physical = first.PhysicalAddress.Value;
        while (true)
        {
            int level = LeafLevel(at, last, physical, largest);
            ulong table = Descend(at, level).Table;
            ulong bytes = Size(level);
            int end = 1 << TFormat.IndexBits(level);
            for (int index = IndexOf(at, level); index < end; index++)
            {
                Write(table, level, index, TFormat.MakeLeaf(physical, level, protection));
                physical += bytes;
                at += bytes;
                if (at - 1 == last)
                {
                    return true;
                }

                if (last - at < bytes - 1)
                {
                    break;
                }

                if (level == 1 && LeafLevel(at, last, physical, largest) != 1)
                {
                    break;
                }
            }
        }
    }

    public override bool Map(Cpu cpu, VirtualAddress address, ReadOnlySpan<Page> pages, PageProtection protection)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        _ = Mmu.Machine.CpuTable.Own(cpu);
        foreach (Page page in pages)
        {
            if (!page.BelongsTo(Mmu.Machine))
            {
                _ = Check(address, pages.Length);
                throw new ArgumentException(page.IsNull ? "one of the pages is null" : $"{page} belongs to another machine", nameof(pages));
            }
        }

        return TryMapInLastTable(address.Value, pages, protection) || MapAnywhere(cpu, address, pages, protection);
    }

    private bool MapAnywhere(Cpu cpu, VirtualAddress address, ReadOnlySpan<Page> pages, PageProtection protection)
    {
        ulong last = Check(address, pages.Length);
        using LockScope scope = Enter();
        List<(ulong Address, int Level, ulong Table)>? created = null;
        try
        {
            // Frames that are not contiguous are never mapped by huge pages: an odd frame number rules them out.
            if (!Prepare(cpu, address.Value, last, 1, (protection & PageProtection.User) != 0, PageGeometry.SmallMapping, ref created))
            {
                UndoCreated(cpu, created);
                return false;
            }
        }
        catch
        {
            UndoCreated(cpu, created);
            throw;
        }

        ulong at = address.Value;
        int next = 0;
        while (next < pages.Length)
        {
            ulong table = Descend(at, 1).Table;
            int end = 1 << TFormat.IndexBits(1);
            for (int index = IndexOf(at, 1); index < end && next < pages.Length; index++)
            {
                Write(table, 1, index, TFormat.MakeLeaf(pages[next].PhysicalAddress.Value, 1, protection));
                next++;
                at += PageGeometry.PageSize;
            }
        }

        if (_lock is null)
        {
            // The next call is mostly for what lies behind.
            _ = DescendToSlot(last);
        }

        return true;
    }

    public override bool Unmap(Cpu cpu, VirtualAddress address, long pages, bool mayHaveHoles = false)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        _ = Mmu.Machine.CpuTable.Own(cpu);
        return TryUnmapInLastTable(address.Value, pages) || UnmapAnywhere(cpu, address, pages, mayHaveHoles);
    }

    private bool UnmapAnywhere(Cpu cpu, VirtualAddress address, long pages, bool mayHaveHoles)
    {
        ulong last = Check(address, pages);
        using LockScope scope = Enter();
        if (pages == 1 && TryUnmapSmall(address.Value))
        {
            return true;
        }

        if (!mayHaveHoles)
        {
            CheckMapped(address.Value, last);
        }

        if (!SplitEnds(cpu, address.Value, last))
        {
            return false;
        }

        ulong at = address.Value;
        while (at - 1 != last)
        {
            (ulong table, int level, ulong entry) = Descend(at, 1);
            ulong bytes = Size(level);
            if (level > 1 && !MapsPage(entry, level))
            {
                at = Next(at, bytes, last);
                continue;
            }

            int end = 1 << TFormat.IndexBits(level);
            ulong firstInTable = at;
            for (int index = IndexOf(at, level); index < end && at - 1 != last; index++)
            {
                entry = Read(table, index);
                if (level > 1 && !MapsPage(entry, level))
                {
                    break;
                }

                if (level > 1 && last - at < bytes - 1)
                {
                    break;
                }

                Write(table, level, index, 0);
                at = Next(at, bytes, last);
            }

            if (!KeepsEmptyTables)
            {
                Detach(firstInTable, level);
            }
        }

        return true;
    }

    public override bool Protect(Cpu cpu, VirtualAddress address, long pages, PageProtection protection, bool mayHaveHoles = false)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        _ = Mmu.Machine.CpuTable.Own(cpu);
        ulong last = Check(address, pages);
        using LockScope scope = Enter();
        if (!mayHaveHoles)
        {
            CheckMapped(address.Value, last);
        }

        if (!SplitEnds(cpu, address.Value, last))
        {
            return false;
        }

        const PageProtection hardwareBits = PageProtection.Accessed | PageProtection.Dirty;
        ulong at = address.Value;
        while (at - 1 != last)
        {
            (ulong table, int level, ulong entry) = Descend(at, 1);
            if (MapsPage(entry, level))
            {
                ulong slot = table + ((ulong)(uint)IndexOf(at, level) << TFormat.EntryShift);
                while (!TryChangeSlot(slot, ref entry, TFormat.MakeLeaf(TFormat.LeafBase(entry, level), level, protection | (TFormat.Decode(entry, level) & hardwareBits))))
                {
                }
            }

            at = Next(at, Size(level), last);
        }

        return true;
    }

    public override PageTableEntry Lookup(VirtualAddress address)
    {
        CheckAddress(address.Value);
        (_, int level, ulong entry) = Descend(address.Value, 1);
        return Decode(level, entry);
    }

    public override ulong MakeEntry(Pfn pfn, PageProtection protection)
    {
        CheckFrames(pfn, 1);
        return TFormat.MakeLeaf(pfn.PhysicalAddress.Value, 1, protection);
    }

    internal override ulong EntryAddress(Cpu cpu, VirtualAddress address)
    {
        ulong page = address.Value & ~(ulong)(PageGeometry.PageSize - 1);
        _ = Check(new VirtualAddress(page), 1);
        using LockScope scope = Enter();
        List<(ulong Address, int Level, ulong Table)>? created = null;
        ulong table = EnsureTable(cpu, page, 1, user: !IsKernel, ref created);
        if (table == 0)
        {
            UndoCreated(cpu, created);
            return 0;
        }

        return table + ((ulong)(uint)IndexOf(page, 1) << TFormat.EntryShift);
    }

    public override bool SetEntry(Cpu cpu, VirtualAddress address, ulong entry)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        _ = Mmu.Machine.CpuTable.Own(cpu);
        ulong page = address.Value & ~(ulong)(PageGeometry.PageSize - 1);
        _ = Check(new VirtualAddress(page), 1);
        using LockScope scope = Enter();
        List<(ulong Address, int Level, ulong Table)>? created = null;
        ulong table;
        try
        {
            table = EnsureTable(cpu, page, 1, user: !IsKernel, ref created);
            if (table == 0)
            {
                UndoCreated(cpu, created);
                return false;
            }
        }
        catch
        {
            UndoCreated(cpu, created);
            throw;
        }

        Write(table, 1, IndexOf(page, 1), entry);
        if (entry == 0 && !KeepsEmptyTables)
        {
            Detach(page, 1);
        }

        return true;
    }

    private static PageTableEntry Decode(int level, ulong entry) => MapsPage(entry, level)
        ? new PageTableEntry(level, TFormat.Name(level), entry, true, new PhysicalAddress(TFormat.LeafBase(entry, level)).Pfn, 1L << (TFormat.Shift(level) - PageGeometry.PageShift), TFormat.Decode(entry, level))
        : new PageTableEntry(level, TFormat.Name(level), entry, false, default, 0, PageProtection.None);

    private static void CheckFrames(Pfn first, long pages)
    {
        // What an entry's address field can hold; 4 MiB entries reach 40 bits, others of x86-32 only 32.
        int bits = TFormat.EntryShift == 2 ? 32 : Arm64Format.AddressMask == TFormat.TableBase(ulong.MaxValue) ? 48 : TFormat.Levels == 3 ? 36 : 52;
        if (first.Value < 0 || first.Value + pages > 1L << (bits - PageGeometry.PageShift))
        {
            throw new ArgumentOutOfRangeException(nameof(first), first, $"frames beyond the {bits} address bits of an entry");
        }
    }

    /// <summary>The level of the largest page that fits.</summary>
    private static int LeafLevel(ulong address, ulong last, ulong physical, MappingSize largest)
    {
        for (int level = Math.Min(TFormat.Levels, 3); level > 1; level--)
        {
            ulong bytes = Size(level);
            if (TFormat.CanBeLeaf(level) && TFormat.Shift(level) <= (int)largest && ((address | physical) & (bytes - 1)) == 0 && last - address >= bytes - 1)
            {
                return level;
            }
        }

        return 1;
    }

    /// <summary>Unmaps a single page, the case that needs neither splits nor a second look.</summary>
    private bool TryUnmapSmall(ulong address)
    {
        (ulong table, int level, ulong entry) = Descend(address, 1);
        if (level != 1 || !TFormat.IsPresent(entry))
        {
            return false;
        }

        Write(table, 1, IndexOf(address, 1), 0);
        if (!KeepsEmptyTables)
        {
            Detach(address, 1);
        }

        return true;
    }

    /// <summary>Makes the tables of a range and looks that nothing is in the way; on a machine with parallel CPUs again until it did not let go of the lock.</summary>
    private bool Prepare(Cpu cpu, ulong at, ulong last, ulong firstPfn, bool user, MappingSize largest, ref List<(ulong Address, int Level, ulong Table)>? created)
    {
        int before;
        do
        {
            before = created?.Count ?? 0;
            if (!PrepareOnce(cpu, at, last, firstPfn, user, largest, ref created))
            {
                return false;
            }
        }
        while (_lock is not null && (created?.Count ?? 0) != before);

        return true;
    }

    private bool PrepareOnce(Cpu cpu, ulong at, ulong last, ulong firstPfn, bool user, MappingSize largest, ref List<(ulong Address, int Level, ulong Table)>? created)
    {
        ulong physical = firstPfn << PageGeometry.PageShift;
        while (true)
        {
            int level = LeafLevel(at, last, physical, largest);
            ulong table = EnsureTable(cpu, at, level, user, ref created);
            if (table == 0)
            {
                return false;
            }

            // An entry of a higher level that leads to a table is in the way as well: something below may be mapped.
            int end = 1 << TFormat.IndexBits(level);
            ulong bytes = Size(level);
            for (int index = IndexOf(at, level); index < end; index++)
            {
                ulong entry = Read(table, index);
                if (TFormat.IsPresent(entry) && !MakeRoom(table, level, index, entry, created))
                {
                    AlreadyMapped(at, level, entry);
                }

                physical += bytes;
                at += bytes;
                if (at - 1 == last)
                {
                    return true;
                }

                if (LeafLevel(at, last, physical, largest) != level)
                {
                    break;
                }
            }
        }
    }

    /// <summary>Makes room for a huge page where an empty table is kept.</summary>
    private bool MakeRoom(ulong table, int level, int index, ulong entry, List<(ulong Address, int Level, ulong Table)>? created)
    {
        if (level == 1 || !LeadsToTable(entry, level))
        {
            return false;
        }

        ulong child = TFormat.TableBase(entry);
        if (!IsEmpty(child, level - 1) || !Owns(entry, level - 1) || created?.Exists(c => c.Table == child) == true)
        {
            return false;
        }

        // The kernel frees the empty table as well (pmd_free_pte_page()); a CPU may still know it, so it waits for the flush.
        Write(table, level, index, 0);
        _detached.Add(((long)(child >> PageGeometry.PageShift), level - 1));
        return true;
    }

    private static ulong Next(ulong at, ulong bytes, ulong last)
    {
        ulong end = (at | (bytes - 1)) + 1;
        return end - 1 > last ? last + 1 : end;
    }

    private void CheckMapped(ulong at, ulong last)
    {
        while (at - 1 != last)
        {
            (_, int level, ulong entry) = Descend(at, 1);
            if (!MapsPage(entry, level))
            {
                NotMapped(at, level, entry);
            }

            at = Next(at, Size(level), last);
        }
    }

    /// <summary>Splits huge pages that reach over the ends of a range.</summary>
    private bool SplitEnds(Cpu cpu, ulong first, ulong last) => SplitAt(cpu, first) && SplitAt(cpu, last + 1);

    /// <summary>Splits huge pages until one begins at an address, or none covers it.</summary>
    private bool SplitAt(Cpu cpu, ulong address)
    {
        long spare = -1;
        while (address != 0 && TFormat.IsCanonical(address) && address != Base)
        {
            (ulong table, int level, ulong entry) = Descend(address, 1);
            if (level == 1 || !MapsPage(entry, level) || (address & (Size(level) - 1)) == 0)
            {
                break;
            }

            if (spare < 0)
            {
                spare = FrameForTable(cpu);
                if (spare < 0)
                {
                    return false;
                }

                if (_lock is not null)
                {
                    continue;
                }
            }

            Split(spare, table, level, IndexOf(address, level), entry);
            spare = -1;
        }

        GiveBack(cpu, spare);
        return true;
    }

    private void Split(long pfn, ulong table, int level, int index, ulong entry)
    {
        // The new table is complete before it is hooked in: a walk sees the huge page or all of its parts. A split changes no translation, so it stays
        // when the call fails later on.
        PageProtection protection = TFormat.Decode(entry, level);
        TablePages++;
        CountTable(pfn, level - 1, 1);
        ulong child = (ulong)pfn << PageGeometry.PageShift;
        ulong page = TFormat.LeafBase(entry, level);
        int entries = 1 << TFormat.IndexBits(level - 1);
        for (int i = 0; i < entries; i++)
        {
            WriteEntry(_memory, child, i, TFormat.MakeLeaf(page + ((ulong)i * Size(level - 1)), level - 1, protection));
        }

        Write(table, level, index, TFormat.MakeTable(child, level, (protection & PageProtection.User) != 0));
    }

    /// <summary>Unhooks the tables on the way to an address that are empty now, from the lowest upwards; they are freed after the next flush.</summary>
    private void Detach(ulong address, int level)
    {
        for (int at = level; at < TFormat.Levels; at++)
        {
            (ulong parent, int parentLevel, ulong entry) = Descend(address, at + 1);
            if (parentLevel != at + 1 || !LeadsToTable(entry, parentLevel) || !IsEmpty(TFormat.TableBase(entry), at) || !Owns(entry, at))
            {
                return;
            }

            Write(parent, parentLevel, IndexOf(address, parentLevel), 0);
            _detached.Add(((long)(TFormat.TableBase(entry) >> PageGeometry.PageShift), at));
        }
    }

    private LockScope Enter() => new(_lock);
}
