using System.Globalization;
using System.Text;
using MemSim.PageAllocation;
using MemSim.Pages;

namespace MemSim.Observability;

/// <summary><c>/sys/kernel/debug/page_owner</c>.</summary>
internal static class PageOwnerText
{
    private static readonly (PageFlags Flag, string Name)[] FlagNames =
    [
        (PageFlags.Locked, "locked"), (PageFlags.Waiters, "waiters"), (PageFlags.Error, "error"), (PageFlags.Referenced, "referenced"), (PageFlags.UpToDate, "uptodate"),
        (PageFlags.Dirty, "dirty"), (PageFlags.Lru, "lru"), (PageFlags.Active, "active"), (PageFlags.WorkingSet, "workingset"), (PageFlags.Slab, "slab"),
        (PageFlags.OwnerPrivate1, "owner_priv_1"), (PageFlags.Arch1, "arch_1"), (PageFlags.Reserved, "reserved"), (PageFlags.Private, "private"), (PageFlags.Private2, "private_2"),
        (PageFlags.Writeback, "writeback"), (PageFlags.Head, "head"), (PageFlags.MappedToDisk, "mappedtodisk"), (PageFlags.Reclaim, "reclaim"), (PageFlags.SwapBacked, "swapbacked"),
        (PageFlags.Unevictable, "unevictable"), (PageFlags.Mlocked, "mlocked"), (PageFlags.Uncached, "uncached"), (PageFlags.HwPoison, "hwpoison"),
    ];

    public static string Of(Machine machine)
    {
        if (machine.Hooks.OwnerTracker is not { } owners)
        {
            return "";
        }

        StringBuilder text = new();
        FrameViewer viewer = new(machine);
        FrameRun[] runs = new FrameRun[FrameViewer.BlockPages];
        for (long first = 0; first < viewer.Frames; first += FrameViewer.BlockPages)
        {
            foreach (FrameRun run in runs.AsSpan(0, viewer.Read(new Pfn(first), runs)))
            {
                if (run.Order >= 0 && run.Use is not (FrameUse.Free or FrameUse.PerCpu) && owners.TryFind(run.Start.Value, out PageHistory history) && history.Allocated is { } allocated)
                {
                    Append(text, machine, (int)run.Start.Value, allocated, history);
                }
            }
        }

        return text.ToString();
    }

    private static void Append(StringBuilder text, Machine machine, int pfn, PageEvent allocated, PageHistory history)
    {
        bool recent = machine.Personality.Views.PageOwnerRecent;
        string mask = GfpText.FormatWithHex(allocated.Gfp, machine.Personality);
        text.Append(CultureInfo.InvariantCulture, $"Page allocated via order {allocated.Order}, mask {mask}, pid {allocated.Task.Pid}, tgid {allocated.Task.Pid} ({allocated.Task.Name}), ts {allocated.Nanoseconds} ns");
        if (!recent)
        {
            text.Append(CultureInfo.InvariantCulture, $", free_ts {history.Freed?.Nanoseconds ?? 0} ns");
        }

        MigrateType asked = (MigrateType)((uint)allocated.Gfp >> 3 & 3);
        MigrateType block = machine.ZoneTable.ZoneOf(pfn) is { } zone ? (MigrateType)zone.BlockType(pfn) : MigrateType.Movable;
        string frame = recent ? $"0x{pfn:x}" : pfn.ToString(CultureInfo.InvariantCulture);
        text.Append(CultureInfo.InvariantCulture, $"\nPFN {frame} type {NameOf(asked)} Block {pfn >> machine.ZoneTable.PageblockOrder} type {NameOf(block)} Flags {FlagsText(machine, pfn)}\n");
        if (allocated.CallSite.Length != 0)
        {
            text.Append(' ').Append(allocated.CallSite).Append('\n');
        }

        if (history.Migration is { } reason)
        {
            text.Append("Page has been migrated, last migrate reason: ").Append(reason).Append('\n');
        }

        text.Append('\n');
    }

    private static string NameOf(MigrateType type) => type == MigrateType.Cma ? "CMA" : type.ToString();

    /// <summary>The flags word as <c>%pGp</c> prints it: where a kernel of this architecture keeps node, zone and the last CPU.</summary>
    private static string FlagsText(Machine machine, int pfn)
    {
        ref PageFrame frame = ref machine.Frames.Array[pfn];
        PageFlags flags = frame.StoredFlags;
        Zone zone = machine.Zones[frame.ZoneId];
        ulong value = (ulong)(long)(flags & PageFlags.StoredMask);
        string names = string.Concat(FlagNames.Where(f => (flags & f.Flag) != 0).Select(f => f.Name + "|"));
        switch (machine.Architecture.Architecture)
        {
            case Architecture.X86_64:
                value |= ((ulong)zone.Node.Id << 54) | ((ulong)zone.Index << 51) | (0x1fffffUL << 30);
                return string.Create(CultureInfo.InvariantCulture, $"0x{value:x}({names}node={zone.Node.Id}|zone={zone.Index}|lastcpupid=0x1fffff)");
            case Architecture.Arm64:
                value |= ((ulong)zone.Node.Id << 60) | ((ulong)zone.Index << 58) | (0x1ffffUL << 41);
                return string.Create(CultureInfo.InvariantCulture, $"0x{value:x}({names}node={zone.Node.Id}|zone={zone.Index}|lastcpupid=0x1ffff)");
            default:
                value |= (ulong)zone.Index << 30;
                return string.Create(CultureInfo.InvariantCulture, $"0x{value:x}({names}zone={zone.Index})");
        }
    }
}
