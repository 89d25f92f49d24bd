using System.Globalization;
using System.Text;
using MemSim.Hardware;
using MemSim.VirtualMemory;

namespace MemSim;

/// <content>The files below <c>/proc/pid</c>, in the kernel's format.</content>
public sealed partial class Process
{
    private static readonly (VmaFlags Flag, string Name)[] FlagNames =
    [
        (VmaFlags.Read, "rd"), (VmaFlags.Write, "wr"), (VmaFlags.Exec, "ex"), (VmaFlags.Shared, "sh"), (VmaFlags.MayRead, "mr"), (VmaFlags.MayWrite, "mw"), (VmaFlags.MayExec, "me"),
        (VmaFlags.MayShare, "ms"), (VmaFlags.GrowsDown, "gd"), (VmaFlags.UserfaultMissing, "um"), (VmaFlags.PfnMap, "pf"), (VmaFlags.MaybeGuard, "gu"), (VmaFlags.UserfaultProtect, "uw"), (VmaFlags.Locked, "lo"), (VmaFlags.Io, "io"), (VmaFlags.SequentialRead, "sr"), (VmaFlags.RandomRead, "rr"), (VmaFlags.DontCopy, "dc"),
        (VmaFlags.DontExpand, "de"), (VmaFlags.LockOnFault, "lf"), (VmaFlags.Account, "ac"), (VmaFlags.NoReserve, "nr"), (VmaFlags.HugeTlb, "ht"), (VmaFlags.WipeOnFork, "wf"),
        (VmaFlags.DontDump, "dd"), (VmaFlags.HugePage, "hg"), (VmaFlags.NoHugePage, "nh"), (VmaFlags.Mergeable, "mg"), (VmaFlags.UserfaultMinor, "ui"),
    ];

    /// <summary>The number of the file system of <c>/dev</c>, as Debian mounts it.</summary>
    private const int DevTmpfs = 5;

    /// <summary>A page that userfaultfd protects, in words of pagemap.</summary>
    private const ulong ProtectedWord = 1UL << 57;

    /// <summary><c>/proc/pid/maps</c>; empty when it has ended.</summary>
    public string Maps
    {
        get
        {
            StringBuilder text = new();
            foreach (Vma vma in MmOrNull?.Areas ?? [])
            {
                AppendHeader(text, vma);
            }

            return text.ToString();
        }
    }

    /// <summary><c>/proc/pid/smaps</c>: what the pages of each area are.</summary>
    public string Smaps
    {
        get
        {
            StringBuilder text = new();
            foreach (Vma vma in MmOrNull?.Areas ?? [])
            {
                PageUse use = new();
                use.Add(_spaces, vma);
                AppendHeader(text, vma);
                Line(text, "Size", vma.EndValue - vma.StartValue);
                Line(text, "KernelPageSize", vma.Hugetlb?.Bytes ?? PageGeometry.PageSize);
                Line(text, "MMUPageSize", vma.Hugetlb?.Bytes ?? PageGeometry.PageSize);
                AppendUse(text, use, rollup: false);
                text.Append(CultureInfo.InvariantCulture, $"THPeligible:    {(_spaces.Huge.IsEligible(vma) ? "1" : "0").PadLeft(CountsKsm ? 8 : 1)}\nVmFlags: ");
                foreach ((VmaFlags flag, string name) in FlagNames)
                {
                    _ = (vma.Flags & flag) != 0 ? text.Append(name).Append(' ') : text;
                }

                text.Append('\n');
            }

            return text.ToString();
        }
    }

    /// <summary><c>/proc/pid/smaps_rollup</c>: the sums of <see cref="Smaps"/>.</summary>
    public string SmapsRollup
    {
        get
        {
            if (MmOrNull?.Tree is not { First: { } first, Last: { } last })
            {
                return "";
            }

            PageUse use = new();
            foreach (Vma vma in MmOrNull.Areas)
            {
                use.Add(_spaces, vma);
            }

            StringBuilder text = new();
            text.Append(CultureInfo.InvariantCulture, $"{first.StartValue:x8}-{last.EndValue:x8} ---p 00000000 00:00 0 ");
            AppendName(text, 0, "[rollup]");
            AppendUse(text, use, rollup: true);
            return text.ToString();
        }
    }

    /// <summary><c>/proc/pid/statm</c>: pages of all areas, resident, of files, of the program, libraries (0), data and stack, dirty (0).</summary>
    public string Statm => MmOrNull is { } mm
        ? string.Create(CultureInfo.InvariantCulture, $"{mm.TotalPages} {mm.ResidentPages} {mm.FilePages + mm.SharedMemoryPages} {mm.ExecutablePages} 0 {mm.DataPages + mm.StackPages} 0\n")
        : "0 0 0 0 0 0 0\n";

    /// <summary>The lines of <c>/proc/pid/status</c> that memory management has to do with.</summary>
    public string Status
    {
        get
        {
            StringBuilder text = new();
            string state = State switch { ProcessState.Zombie => "Z (zombie)", ProcessState.Dead => "X (dead)", _ => RunsOn is null ? "S (sleeping)" : "R (running)" };
            text.Append(CultureInfo.InvariantCulture, $"Name:\t{Name}\nState:\t{state}\nTgid:\t{Pid}\nNgid:\t0\nPid:\t{Pid}\nPPid:\t{Parent?.Pid ?? 1}\n");
            if (MmOrNull is { } mm)
            {
                Kib("VmPeak", mm.PeakTotalPages);
                Kib("VmSize", mm.TotalPages);
                Kib("VmLck", mm.LockedPages);
                Kib("VmPin", 0);
                Kib("VmHWM", mm.PeakResidentPages);
                Kib("VmRSS", mm.ResidentPages);
                Kib("RssAnon", mm.AnonPages);
                Kib("RssFile", mm.FilePages);
                Kib("RssShmem", mm.SharedMemoryPages);
                Kib("VmData", mm.DataPages);
                Kib("VmStk", mm.StackPages);
                Kib("VmExe", 0);
                Kib("VmLib", mm.ExecutablePages);
                Kib("VmPTE", mm.PageTableBytes >> PageGeometry.PageShift);
                Kib("VmSwap", mm.SwapEntries);
                Kib("HugetlbPages", mm.HugetlbPages);
                text.Append("CoreDumping:\t0\nTHP_enabled:\t1\n");
            }

            return text.Append("Threads:\t1\n").ToString();

            void Kib(string name, long pages) => text.Append(CultureInfo.InvariantCulture, $"{name}:\t{pages << (PageGeometry.PageShift - 10),8} kB\n");
        }
    }

    /// <summary>The words of <c>/proc/pid/pagemap</c> for a range: bit 63 present, 62 swapped, 61 of a file or shared, 58 a guard (<see cref="MemoryAdvice.GuardInstall"/>), 57 protected by <see cref="Userfaultfd.WriteProtect"/>, 56 mapped here alone, below the frame number or swap type and offset.</summary>
    /// <param name="start">The first address.</param>
    /// <param name="pages">How many pages.</param>
    public IReadOnlyList<ulong> PageMap(VirtualAddress start, int pages)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(pages);
        ulong[] words = new ulong[pages];
        for (int i = 0; i < pages && MmOrNull is { } mm; i++)
        {
            ulong address = start.Value + ((ulong)i << PageGeometry.PageShift);
            ulong slot = mm.Tables.FindSlot(address);
            Vma? vma = mm.At(address);
            ulong entry = vma is null ? 0 : slot != 0 ? mm.Tables.ReadSlot(slot) : _spaces.Huge.PartOf(vma, address);
            if (entry == 0)
            {
                continue;
            }

            if (_spaces.Layout.IsPresent(entry))
            {
                int pfn = _spaces.Layout.Pfn(entry);
                bool zero = _spaces.Entries.PeekPage(vma!, address, entry) < 0;
                words[i] = (1UL << 63) | (uint)pfn | (!zero && !_spaces.Pages.IsAnon(pfn) ? 1UL << 61 : 0) | (!zero && _spaces.Maps.MapCount(pfn) == 1 ? 1UL << 56 : 0) | (_spaces.Layout.IsProtected(entry) ? ProtectedWord : 0);
            }
            else if (_spaces.Layout.TryDecodeSwapEntry(entry, out SoftEntry soft))
            {
                PteMarkers markers = _spaces.Layout.Markers(entry);
                bool isProtected = markers == PteMarkers.None ? _spaces.Layout.IsSoftProtected(entry) : (markers & PteMarkers.WriteProtected) != 0;
                words[i] = (1UL << 62) | ((ulong)soft.Offset << 5) | (uint)soft.Type | ((markers & PteMarkers.Guard) != 0 ? 1UL << 58 : 0) | (isProtected ? ProtectedWord : 0);
            }
        }

        return words;
    }

    private bool CountsKsm => _spaces.Machine.Personality.Views.SmapsCountsKsm;

    private static void Line(StringBuilder text, string name, ulong bytes) => text.Append(CultureInfo.InvariantCulture, $"{name + ":",-16}{bytes >> 10,8} kB\n");

    private void AppendUse(StringBuilder text, PageUse use, bool rollup)
    {
        Line(text, "Rss", use.Rss);
        Line(text, "Pss", use.Pss);
        Line(text, "Pss_Dirty", use.PssDirty);
        if (rollup)
        {
            Line(text, "Pss_Anon", use.PssAnon);
            Line(text, "Pss_File", use.PssFile);
            Line(text, "Pss_Shmem", use.PssShmem);
        }

        Line(text, "Shared_Clean", use.SharedClean);
        Line(text, "Shared_Dirty", use.SharedDirty);
        Line(text, "Private_Clean", use.PrivateClean);
        Line(text, "Private_Dirty", use.PrivateDirty);
        Line(text, "Referenced", use.Referenced);
        Line(text, "Anonymous", use.Anonymous);
        if (CountsKsm)
        {
            Line(text, "KSM", use.Merged);
        }

        Line(text, "LazyFree", use.LazyFree);
        Line(text, "AnonHugePages", use.AnonHuge);
        Line(text, "ShmemPmdMapped", 0);
        Line(text, "FilePmdMapped", 0);
        Line(text, "Shared_Hugetlb", use.SharedHugetlb);
        Line(text, "Private_Hugetlb", use.PrivateHugetlb);
        Line(text, "Swap", use.Swap);
        Line(text, "SwapPss", use.Swap);
        Line(text, "Locked", use.Locked);
    }

    private void AppendHeader(StringBuilder text, Vma vma)
    {
        int begin = text.Length;
        ulong offset = vma.File is null && vma.Device is null ? 0 : vma.PgOff << PageGeometry.PageShift;
        long inode = vma.File?.File.Number ?? 0;
        int device = vma.File?.File.FileSystem.DeviceNumber ?? (vma.Device is null ? 0 : DevTmpfs);
        text.Append(CultureInfo.InvariantCulture, $"{vma} {offset:x8} {device >> 20:x2}:{device & 0xfffff:x2} {inode} ");
        MemoryDescriptor mm = vma.Mm;
        string name = vma.File is { } file ? file.File.DisplayName
            : vma.Device is { } owner ? owner
            : vma.Hugetlb is not null ? "/anon_hugepage (deleted)"
            : vma.StartValue <= mm.HeapEnd.Value && vma.EndValue >= mm.HeapStart.Value && mm.HeapEnd != mm.HeapStart ? "[heap]"
            : vma.StartValue <= mm.StackStart.Value && vma.EndValue >= mm.StackStart.Value ? "[stack]"
            : "";
        AppendName(text, begin, name);
    }

    /// <summary>Names begin in a column of their own, as wide as addresses may be.</summary>
    private void AppendName(StringBuilder text, int begin, string name)
    {
        if (name.Length != 0)
        {
            int width = 25 + (_spaces.Machine.Architecture.Bits / 8 * 6);
            text.Append(' ', Math.Max(0, width - (text.Length - begin))).Append(name);
        }

        text.Append('\n');
    }
}
