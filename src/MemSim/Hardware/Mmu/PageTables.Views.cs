using System.Globalization;
using System.Text;

namespace MemSim.Hardware;

/// <content>What is mapped, as objects and as text; freeing and checking the tables.</content>
internal sealed partial class PageTables<TFormat>
{
    public override IEnumerable<PageMapping> Mappings()
    {
        ObjectDisposedException.ThrowIf(IsDestroyed, this);
        PageMapping current = default;
        foreach ((ulong at, int level, ulong entry) in Entries())
        {
            if (!MapsPage(entry, level))
            {
                continue;
            }

            PageMapping next = new(new VirtualAddress(at), new PhysicalAddress(TFormat.LeafBase(entry, level)).Pfn, 1L << (TFormat.Shift(level) - PageGeometry.PageShift),
                (MappingSize)TFormat.Shift(level), TFormat.Decode(entry, level));
            bool joins = current.Pages != 0 && current.Size == next.Size && current.Protection == next.Protection
                && current.Start + (current.Pages << PageGeometry.PageShift) == next.Start && current.First + current.Pages == next.First;
            if (joins)
            {
                current = current with { Pages = current.Pages + next.Pages };
                continue;
            }

            if (current.Pages != 0)
            {
                yield return current;
            }

            current = next;
        }

        if (current.Pages != 0)
        {
            yield return current;
        }
    }

    public override string Dump(IReadOnlyList<(VirtualAddress Start, string Name)>? markers = null)
    {
        StringBuilder text = new();
        (ulong Start, int Level, string Flags)? range = null;
        int marker = 0;
        ulong end = 0;
        foreach ((ulong at, int level, ulong entry) in Entries())
        {
            bool atMarker = markers is not null && marker < markers.Count && at >= markers[marker].Start.Value;
            string flags = MapsPage(entry, level) ? Flags(entry, level) : "";
            if (range is not { } open || open.Level != level || open.Flags != flags || atMarker)
            {
                Line(text, range, end);
                range = (at, level, flags);
            }

            while (markers is not null && marker < markers.Count && at >= markers[marker].Start.Value)
            {
                text.Append(CultureInfo.InvariantCulture, $"---[ {markers[marker].Name} ]---\n");
                marker++;
            }

            end = (at | (Size(level) - 1)) + 1;
        }

        Line(text, range, end);
        return text.ToString();
    }

    public override void Destroy(Cpu cpu)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        _ = Mmu.Machine.CpuTable.Own(cpu);
        ObjectDisposedException.ThrowIf(IsDestroyed, this);
        if (IsKernel)
        {
            throw new InvalidOperationException("the kernel's page tables live as long as the machine");
        }

        Mmu.Leave(this);
        ReleaseDetached(cpu);
        List<(long Pfn, int Level)> tables = [];
        VisitTables((pfn, level) => tables.Add((pfn, level)));
        IsDestroyed = true;
        (Mmu.Kernel as PageTables<TFormat>)?.ForgetSharer(this);
        for (int i = tables.Count - 1; i >= 0; i--)
        {
            // A table that an overwritten entry led to is somebody else's, or goes only once.
            if (Mmu.Frames.Owns(tables[i].Pfn, TableTag(tables[i].Level)))
            {
                FreeTable(cpu, (ulong)tables[i].Pfn << PageGeometry.PageShift, tables[i].Level);
            }
        }
    }

    internal override void ReleaseDetached(Cpu cpu)
    {
        if (_detached.Count == 0)
        {
            return;
        }

        using LockScope scope = Enter();
        foreach ((long pfn, int level) in _detached)
        {
            FreeTable(cpu, (ulong)pfn << PageGeometry.PageShift, level);
        }

        _detached.Clear();
    }

    internal override void CopyKernelEntries(PageTables kernel)
    {
        if (Mmu.HasTwoRoots || kernel is not PageTables<TFormat> from)
        {
            return;
        }

        using LockScope scope = from.Enter();
        int entries = 1 << TFormat.IndexBits(TFormat.Levels);
        for (int index = FirstKernelIndex; index < entries; index++)
        {
            WriteEntry(_memory, Root.Value, index, from.Read(from.Root.Value, index));
        }

        from._sharers.Add(this);
    }

    private void ForgetSharer(PageTables<TFormat> tables)
    {
        using LockScope scope = Enter();
        _sharers.Remove(tables);
    }

    /// <summary>Visits the frame of every table of its own, the top one first, tables detached but not yet flushed last.</summary>
    internal override void VisitTables(Action<long> visit) => VisitTables((pfn, _) => visit(pfn));

    private void VisitTables(Action<long, int> visit)
    {
        visit(Root.Pfn.Value, TFormat.Levels);
        Stack<(ulong Table, int Level)> open = new();
        open.Push((Root.Value, TFormat.Levels));
        while (open.TryPop(out (ulong Table, int Level) at))
        {
            int entries = 1 << TFormat.IndexBits(at.Level);
            bool shares = at.Level == TFormat.Levels && !IsKernel && !Mmu.HasTwoRoots;
            for (int index = 0; at.Level > 1 && index < (shares ? FirstKernelIndex : entries); index++)
            {
                ulong entry = Read(at.Table, index);
                if (LeadsToTable(entry, at.Level))
                {
                    visit((long)(TFormat.TableBase(entry) >> PageGeometry.PageShift), at.Level - 1);
                    if (Owns(entry, at.Level - 1))
                    {
                        open.Push((TFormat.TableBase(entry), at.Level - 1));
                    }
                }
            }
        }

        foreach ((long pfn, int level) in _detached)
        {
            visit(pfn, level);
        }

        foreach (long pfn in _deposits)
        {
            visit(pfn, 1);
        }
    }

    private int FirstKernelIndex => IndexOf(Mmu.KernelStart, TFormat.Levels);

    /// <summary>Every entry that is not a table, ascending; large holes are one entry of a high level.</summary>
    private IEnumerable<(ulong Address, int Level, ulong Entry)> Entries()
    {
        ulong at = Base;
        do
        {
            (_, int level, ulong entry) = Descend(at, 1);
            yield return (at, level, entry);
            at = (at | (Size(level) - 1)) + 1;
            if (!TFormat.IsCanonical(at))
            {
                at = TFormat.EntryShift == 2 || TFormat.Levels == 3 || Mmu.HasTwoRoots ? 0 : Mmu.KernelHalf;
            }
        }
        while (at != 0);
    }

    private static void Line(StringBuilder text, (ulong Start, int Level, string Flags)? range, ulong end)
    {
        if (range is not { } r)
        {
            return;
        }

        const string units = "KMGTPE";
        ulong size = (end - r.Start) >> 10;
        int unit = 0;
        while (size != 0 && (size & 1023) == 0 && unit < units.Length - 1)
        {
            size >>= 10;
            unit++;
        }

        int digits = TFormat.EntryShift == 2 || TFormat.Levels == 3 ? 8 : 16;
        string first = r.Start.ToString("x" + digits, CultureInfo.InvariantCulture);
        string last = (digits == 8 ? end & uint.MaxValue : end).ToString("x" + digits, CultureInfo.InvariantCulture);
        text.Append(CultureInfo.InvariantCulture, $"0x{first}-0x{last} {size,9}{units[unit]} {r.Flags,-36} {TFormat.Name(r.Level)}\n");
    }

    private string Flags(ulong entry, int level)
    {
        PageProtection p = TFormat.Decode(entry, level);
        if (Mmu.HasTwoRoots)
        {
            return $"{((p & PageProtection.Write) != 0 ? "RW" : "ro")} {((entry & Arm64Format.PrivilegedExecuteNever) != 0 ? "NX" : "x ")} SHD {((p & PageProtection.Accessed) != 0 ? "AF" : "  ")} "
                + $"{((p & PageProtection.Global) != 0 ? "  " : "NG")} {(level > 1 ? "BLK" : "   ")} {((entry & Arm64Format.UserExecuteNever) != 0 ? "UXN" : "   ")} {((p & PageProtection.User) != 0 ? "USR" : "   ")} "
                + ((p & PageProtection.NoCache) != 0 ? "DEVICE" : "NORMAL");
        }

        return $"{((p & PageProtection.User) != 0 ? "USR" : "   ")} {((p & PageProtection.Write) != 0 ? "RW" : "ro")} {((p & PageProtection.WriteThrough) != 0 ? "PWT" : "   ")} "
            + $"{((p & PageProtection.NoCache) != 0 ? "PCD" : "   ")} {(level > 1 ? "PSE" : "   ")}     {((p & PageProtection.Global) != 0 ? "GLB" : "   ")} {((p & PageProtection.Execute) != 0 ? "x " : "NX")}";
    }
}
