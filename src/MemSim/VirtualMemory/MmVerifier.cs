using MemSim.Diagnostics;
using MemSim.Hardware;
using MemSim.Pages;

namespace MemSim.VirtualMemory;

/// <summary>Checks address spaces: areas in order, counts as the page tables say, every entry found by reverse mapping.</summary>
internal sealed partial class MmVerifier(AddressSpaces spaces)
{
    private readonly Dictionary<int, int> _mapped = [];
    private readonly Dictionary<int, int> _mappedWhole = [];

    public void Verify()
    {
        long committed = 0;
        foreach (MemoryDescriptor mm in spaces.All)
        {
            committed += Verify(mm);
        }

        if (spaces.Machine.SystemFigures.CommittedPages < committed)
        {
            BugReporter.Corrupt($"{spaces.Machine.SystemFigures.CommittedPages} pages are committed but areas account for {committed}");
        }

        VerifyHuge();
        VerifyHugetlb();
        foreach ((int pfn, int small) in _mapped)
        {
            int count = small + _mappedWhole.GetValueOrDefault(spaces.Pages.HeadOf(pfn));
            if (spaces.Maps.MapCount(pfn) != count)
            {
                BugReporter.Corrupt($"frame 0x{pfn:x} has a mapcount of {spaces.Maps.MapCount(pfn)} but {count} entries map it");
            }

            if (spaces.Pages.RefCount(pfn) < count)
            {
                BugReporter.Corrupt($"frame 0x{pfn:x} has {spaces.Pages.RefCount(pfn)} references but {count} entries map it");
            }

            if (count > 1 && spaces.Pages.IsAnon(pfn) && spaces.Pages.IsExclusive(pfn))
            {
                BugReporter.Corrupt($"anonymous frame 0x{pfn:x} is marked exclusive but {count} entries map it");
            }
        }
    }

    private long Verify(MemoryDescriptor mm)
    {
        if (mm.Tree.Check() is { } wrong)
        {
            BugReporter.Corrupt($"{mm.Tables}: {wrong}");
        }

        long committed = 0;
        long total = 0;
        long locked = 0;
        (long Anon, long File, long Shared, long Swap) seen = default;
        PteLayout layout = spaces.Layout;
        long presentInAreas = 0;
        long hugetlb = 0;
        foreach (Vma vma in mm.Areas)
        {
            total += vma.Pages;
            locked += (vma.Flags & VmaFlags.Locked) != 0 ? vma.Pages : 0;
            committed += (vma.Flags & VmaFlags.Account) != 0 ? vma.Pages : 0;
            CheckChain(vma);
            if (vma.Hugetlb is not null)
            {
                hugetlb += CheckHugetlb(mm, vma, layout);
                continue;
            }

            PageTableCursor cursor = new(spaces, vma, vma.StartValue, vma.EndValue, BadEntries.Tell);
            while (cursor.Next())
            {
                if (cursor.Step == PageTableStep.Bad)
                {
                    BugReporter.Corrupt($"{mm.Tables}: the entry {cursor.Entry:x16} at {cursor.Address:x} leads neither to a table nor to a huge page mapped there");
                }

                if (cursor.IsHuge)
                {
                    CheckHuge(mm, vma, cursor.Address, cursor.Entry, layout, ref seen);
                    continue;
                }

                TableEntries table = cursor.Entries;
                while (table.Next(out ulong entry))
                {
                    presentInAreas++;
                    CheckEntry(mm, vma, table.Address, entry, layout, ref seen);
                }
            }
        }

        if (total != mm.TotalPages || locked != mm.LockedPages)
        {
            BugReporter.Corrupt($"{mm.Tables}: total_vm {mm.TotalPages}, locked_vm {mm.LockedPages}, but the areas have {total} and {locked} pages");
        }

        if (seen != (mm.AnonPages, mm.FilePages, mm.SharedMemoryPages, mm.SwapEntries))
        {
            BugReporter.Corrupt($"{mm.Tables}: anon, file, shmem, swap are counted as {(mm.AnonPages, mm.FilePages, mm.SharedMemoryPages, mm.SwapEntries)} but the tables hold {seen}");
        }

        if (mm.Tables.CountHuge(layout.IsHuge) - hugetlb is var huge && (huge != mm.Tables.Deposits || huge != _hugeEntries))
        {
            BugReporter.Corrupt($"{mm.Tables}: {huge} entries map huge pages, {_hugeEntries} of them in areas, and {mm.Tables.Deposits} tables are put by for them");
        }

        if (_hugetlbPages != mm.HugetlbPages)
        {
            BugReporter.Corrupt($"{mm.Tables}: {_hugetlbPages} pages of pools are mapped but {mm.HugetlbPages} counted");
        }

        _hugetlbPages = 0;
        _hugeEntries = 0;
        long all = mm.Tables.CountEntries();
        if (all != presentInAreas)
        {
            BugReporter.Corrupt($"{mm.Tables}: {all} entries are used but only {presentInAreas} belong to areas");
        }

        return committed;
    }

    private void CheckEntry(MemoryDescriptor mm, Vma vma, ulong at, ulong entry, PteLayout layout, ref (long Anon, long File, long Shared, long Swap) seen)
    {
        if (!layout.IsPresent(entry))
        {
            SoftEntry soft = spaces.Entries.Decode(entry);
            if (soft.Kind == SoftEntryKind.Bad)
            {
                BugReporter.Corrupt($"{mm.Tables}: entry {entry:x16} at {at:x} stands for nothing that this machine has (type {soft.Type}, offset 0x{soft.Offset:x})");
            }

            if (soft.Kind == SoftEntryKind.Swap)
            {
                seen.Swap++;
            }
            else if (soft.Kind is SoftEntryKind.MigrationRead or SoftEntryKind.MigrationWrite)
            {
                Count(spaces.Frames[(int)soft.Offset], ref seen);
            }

            return;
        }

        int pfn = layout.Pfn(entry);
        if (pfn == spaces.ZeroPfn)
        {
            if (layout.IsWritable(entry))
            {
                BugReporter.Corrupt($"{mm.Tables}: the zero page is writable at {at:x}");
            }

            return;
        }

        if (PageEntries.IsFrameOf(vma, at, pfn))
        {
            if (layout.IsWritable(entry) && !vma.IsShared)
            {
                BugReporter.Corrupt($"{mm.Tables}: frame 0x{pfn:x} of {vma.Device} is writable at {at:x}, a private area");
            }

            return;
        }

        if (!spaces.Entries.IsMappedAt(vma, at, pfn))
        {
            BugReporter.Corrupt($"{mm.Tables}: entry {entry:x16} at {at:x} maps frame 0x{pfn:x}, which {spaces.Entries.WhyNotMappedAt(vma, at, pfn)}");
        }

        int head = spaces.Pages.HeadOf(pfn);
        ref PageFrame frame = ref spaces.Frames[head];
        uint index = frame.Index + (uint)(pfn - head);
        Count(frame, ref seen);
        _mapped[pfn] = _mapped.GetValueOrDefault(pfn) + 1;
        if (frame.IsMerged)
        {
            if (Ksm.SamepageMerger.NodeOf(spaces.Machine, pfn) is not null and { } node && node.Pfn != pfn)
            {
                BugReporter.Corrupt($"merged frame 0x{pfn:x} at {at:x} of {mm.Tables} is known as 0x{node.Pfn:x}");
            }

            if (layout.IsWritable(entry) || spaces.Pages.IsExclusive(pfn))
            {
                BugReporter.Corrupt($"merged frame 0x{pfn:x} is writable at {at:x} of {mm.Tables}, or marked as one process's alone");
            }
        }
        else if (frame.IsAnonymous)
        {
            if (!spaces.Machine.Frames.Mappings.TryFind(frame.Mapping, out AnonVma? anon) || anon.IsFreed)
            {
                BugReporter.Corrupt($"anonymous frame 0x{pfn:x} at {at:x} has no anon_vma");
            }
            else if (!anon.Areas.Exists(link => ReferenceEquals(link.Vma, vma)) || !vma.TryAddressOf(index, out ulong found) || found != at)
            {
                BugReporter.Corrupt($"anonymous frame 0x{pfn:x} at {at:x} of {mm.Tables} is not found by reverse mapping");
            }

            if (layout.IsWritable(entry) && !spaces.Pages.IsExclusive(pfn))
            {
                BugReporter.Corrupt($"anonymous frame 0x{pfn:x} is writable at {at:x} of {mm.Tables} but not marked exclusive");
            }
        }
        else if (vma.Mapping is null || !vma.Mapping.Areas.Contains(vma) || !vma.TryAddressOf(frame.Index, out ulong found) || found != at)
        {
            BugReporter.Corrupt($"frame 0x{pfn:x} of a file at {at:x} of {mm.Tables} is not found by reverse mapping");
        }
    }

    private static void Count(in PageFrame frame, ref (long Anon, long File, long Shared, long Swap) seen)
    {
        if (frame.IsAnonymous)
        {
            seen.Anon++;
        }
        else if (frame.IsSwapBacked)
        {
            seen.Shared++;
        }
        else
        {
            seen.File++;
        }
    }

    private static void CheckChain(Vma vma)
    {
        if (((vma.Flags & (VmaFlags.UserfaultMissing | VmaFlags.UserfaultProtect | VmaFlags.UserfaultMinor)) != 0) != (vma.Userfaults is not null))
        {
            BugReporter.Corrupt($"area {vma} has modes of userfaultfd but nobody to tell, or the other way round");
        }

        if (vma.AnonVma is { } own && (vma.Chain is null || !vma.Chain.Exists(link => ReferenceEquals(link.Anon, own))))
        {
            BugReporter.Corrupt($"area {vma} is not linked to its own anon_vma");
        }

        foreach (AnonVmaChain link in vma.Chain ?? [])
        {
            if (link.Anon.IsFreed || !ReferenceEquals(link.Anon.Areas[link.Place], link))
            {
                BugReporter.Corrupt($"area {vma} is linked to an anon_vma that does not know it");
            }
        }
    }
}
