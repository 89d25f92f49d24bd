using MemSim.Hardware;
using MemSim.Pages;
using MemSim.Statistics;
using MemSim.VirtualMemory;

namespace MemSim;

/// <content>Scans: entries lose their rights, so that the next use is noticed.</content>
public sealed partial class NumaBalancing
{
    /// <summary>The smallest part of <see cref="ScanPeriodMin"/> that a scan waits for, whatever the size (<c>MAX_SCAN_WINDOW</c>), in MiB a second.</summary>
    private const long MaxScanMiBPerSecond = 2560;

    private long ScanPages => Math.Max(1, (long)(ScanSize.Bytes >> PageGeometry.PageShift));

    /// <summary>The part of a period in which all of what is resident can be scanned in one (<c>task_scan_min()</c>).</summary>
    private long ShortestPeriod(MemoryDescriptor mm) => Math.Max(Nanoseconds(TimeSpan.FromSeconds(1)) * Math.Max(1, ScanPages >> 8) / MaxScanMiBPerSecond, Nanoseconds(ScanPeriodMin) / Windows(mm));

    private long LongestPeriod(MemoryDescriptor mm) => Math.Max(ShortestPeriod(mm), Nanoseconds(ScanPeriodMax) / Windows(mm));

    private long Windows(MemoryDescriptor mm) => Math.Max(1, (mm.ResidentPages + ScanPages - 1) / ScanPages);

    private long ScanPart(Cpu cpu, MemoryDescriptor mm, NumaScanState state)
    {
        long pages = ScanPages;
        long addresses = pages * 8;
        long marked = 0;
        ulong huge = mm.Spaces.Huge.Bytes - 1;
        ulong start = state.Offset;
        Vma? vma = mm.Find(start);
        if (vma is null)
        {
            EndRound(state);
            start = 0;
            vma = mm.Tree.First;
        }

        for (; vma is not null; vma = vma.Next)
        {
            if (!IsScanned(vma, cpu.Current as Process))
            {
                continue;
            }

            ulong end;
            do
            {
                start = Math.Max(start, vma.StartValue);
                end = Math.Min((start + ((ulong)pages << PageGeometry.PageShift) + huge) & ~huge, vma.EndValue);
                long updated = Mark(cpu, mm, vma, start, end);
                marked += updated;
                pages -= updated != 0 ? (long)((end - start) >> PageGeometry.PageShift) : 0;
                addresses -= (long)((end - start) >> PageGeometry.PageShift);
                start = end;
            }
            while (pages > 0 && addresses > 0 && end != vma.EndValue);

            if (pages <= 0 || addresses <= 0)
            {
                break;
            }
        }

        state.MarkedThisRound += marked;
        state.Offset = start;
        if (vma is null)
        {
            EndRound(state);
        }

        return marked;
    }

    private static void EndRound(NumaScanState state)
    {
        state.Sequence++;
        state.Offset = 0;
    }

    /// <summary>Whether an area's pages may be moved for who uses them: not where a policy says where they belong, and not what everybody maps for reading, like libraries.</summary>
    private static bool IsScanned(Vma vma, Process? task)
    {
        const VmaFlags access = VmaFlags.Read | VmaFlags.Write | VmaFlags.Exec;
        return (vma.Policy ?? task?.Policy) is null && vma.Hugetlb is null && (vma.Flags & VmaFlags.HugeTlb) == 0 && (vma.Flags & access) != 0
            && (vma.File is null || (vma.Flags & (VmaFlags.Read | VmaFlags.Write)) != VmaFlags.Read);
    }

    /// <summary>Takes the rights of a range's entries away (<c>change_prot_numa()</c>).</summary>
    /// <returns>Pages.</returns>
    private long Mark(Cpu cpu, MemoryDescriptor mm, Vma vma, ulong start, ulong end)
    {
        AddressSpaces spaces = mm.Spaces;
        PteLayout layout = spaces.Layout;
        ulong bits = spaces.Protection.Bits(vma.Flags & ~(VmaFlags.Read | VmaFlags.Write | VmaFlags.Exec), vma.File);
        Node? passed = !vma.IsShared && mm.Users == 1 ? cpu.Node : null;
        long marked = 0;
        long huge = 0;
        PageTableCursor cursor = new(spaces, vma, start, end, BadEntries.Skip);
        while (cursor.Next())
        {
            if (cursor.IsHuge)
            {
                ulong whole = cursor.Entry;
                if (cursor.IsCut || spaces.Huge.IsZero(whole) || layout.IsProtNone(layout.MakeSmall(whole)) || !IsAsked(mm, vma, layout.Pfn(whole), passed))
                {
                    continue;
                }

                spaces.Huge.TakeRights(vma, cursor.Slot, whole, bits);
                huge++;
                marked += spaces.Huge.Pages;
                continue;
            }

            TableEntries table = cursor.Entries;
            while (table.Next(out ulong entry))
            {
                if (!layout.IsPresent(entry) || layout.IsProtNone(entry) || spaces.Entries.PeekPage(vma, table.Address, entry) is var pfn && (pfn < 0 || !IsAsked(mm, vma, pfn, passed)))
                {
                    continue;
                }

                while (!mm.Tables.TryChangeSlot(table.Slot, ref entry, layout.Modify(entry, bits)))
                {
                }

                marked++;
            }
        }

        if (marked != 0)
        {
            mm.Tables.Mmu.FlushRange(cpu, mm.Tables, new VirtualAddress(start), end - start);
            _machine.Events.Count(VmEvent.NumaPteUpdates, marked);
            _machine.Events.Count(VmEvent.NumaHugePteUpdates, huge);
        }

        return marked;
    }

    /// <summary>Whether the next use of a page is of interest.</summary>
    private bool IsAsked(MemoryDescriptor mm, Vma vma, int pfn, Node? passed)
    {
        AddressSpaces spaces = mm.Spaces;
        int head = spaces.Pages.HeadOf(pfn);
        ref PageFrame frame = ref spaces.Frames[head];

        // What several processes have, copied only when one writes, would only go back and forth; what a device may be using cannot move.
        if (vma.IsCow && (spaces.Maps.MapCount(pfn) > 1 || frame.MayBePinned))
        {
            return false;
        }

        Node node = _machine.Zones[frame.ZoneId].Node;
        if ((!frame.IsSwapBacked && !frame.IsAnonymous && frame.IsDirty) || ReferenceEquals(node, passed))
        {
            return false;
        }

        bool top = (_mode & NumaBalancingModes.MemoryTiering) == 0 || _machine.Migration.Tiers.IsTop(node);
        if ((_mode & NumaBalancingModes.Normal) == 0 && top)
        {
            return false;
        }

        if (!top)
        {
            _ = _uses!.Exchange(head, (uint)(_machine.Clock.Nanoseconds / Millisecond));
        }

        return true;
    }
}
