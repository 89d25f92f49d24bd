using MemSim.Hardware;

namespace MemSim.VirtualMemory;

/// <summary>What the entries of an area, or of several, use, in bytes (<c>struct mem_size_stats</c>).</summary>
internal sealed class PageUse
{
    // The proportional share is summed with twelve more bits, as in the kernel.
    private const int PssShift = 12;

    private ulong _pss;
    private ulong _pssDirty;
    private ulong _pssAnon;
    private ulong _pssFile;
    private ulong _pssShmem;
    private ulong _pssLocked;

    public ulong Rss { get; private set; }

    public ulong SharedClean { get; private set; }

    public ulong SharedDirty { get; private set; }

    public ulong PrivateClean { get; private set; }

    public ulong PrivateDirty { get; private set; }

    public ulong Referenced { get; private set; }

    public ulong Anonymous { get; private set; }

    public ulong LazyFree { get; private set; }

    public ulong Swap { get; private set; }

    /// <summary>Bytes of merged pages.</summary>
    public ulong Merged { get; private set; }

    /// <summary>Bytes mapped by entries of huge pages.</summary>
    public ulong AnonHuge { get; private set; }

    /// <summary>Bytes of huge pages of a pool that others map as well.</summary>
    public ulong SharedHugetlb { get; private set; }

    /// <summary>Bytes of huge pages of a pool that only this area maps.</summary>
    public ulong PrivateHugetlb { get; private set; }

    public ulong Pss => _pss >> PssShift;

    public ulong PssDirty => _pssDirty >> PssShift;

    public ulong PssAnon => _pssAnon >> PssShift;

    public ulong PssFile => _pssFile >> PssShift;

    public ulong PssShmem => _pssShmem >> PssShift;

    public ulong Locked => _pssLocked >> PssShift;

    /// <summary>Adds the entries of an area.</summary>
    public void Add(AddressSpaces spaces, Vma vma)
    {
        if (vma.Hugetlb is not null)
        {
            AddHugetlb(spaces, vma);
            return;
        }

        PageTableCursor cursor = new(spaces, vma, vma.StartValue, vma.EndValue, BadEntries.Skip);
        while (cursor.Next())
        {
            if (cursor.IsHuge)
            {
                AddHuge(spaces, vma, cursor.Entry);
                continue;
            }

            TableEntries table = cursor.Entries;
            while (table.Next(out ulong entry))
            {
                Add(spaces, vma, table.Address, entry);
            }
        }
    }

    private void Add(AddressSpaces spaces, Vma vma, ulong address, ulong entry)
    {
        const ulong page = PageGeometry.PageSize;
        if (!spaces.Layout.IsPresent(entry))
        {
            Swap += spaces.Layout.TryDecodeSwapEntry(entry, out SoftEntry soft) && soft.Kind == SoftEntryKind.Swap ? page : 0;
            return;
        }

        int pfn = spaces.Entries.PeekPage(vma, address, entry);
        if (pfn < 0)
        {
            return;
        }

        bool anon = spaces.Pages.IsAnon(pfn);
        bool dirty = spaces.Layout.IsDirty(entry) || spaces.Pages.HasFlag(pfn, PageFlags.Dirty);
        int users = Math.Max(spaces.Maps.MapCount(pfn), 1);
        Add(spaces, vma, pfn, anon, dirty, users, spaces.Layout.IsYoung(entry));
    }

    /// <summary>Huge pages of a pool are in figures of their own (<c>smaps_hugetlb_range()</c>).</summary>
    private void AddHugetlb(AddressSpaces spaces, Vma vma)
    {
        ulong bytes = vma.Hugetlb!.Bytes;
        for (ulong at = vma.StartValue; at < vma.EndValue; at += bytes)
        {
            if (spaces.Hugetlb.Find(vma, at, out ulong entry) != 0 && entry != 0)
            {
                bool shared = spaces.Maps.TotalMapCount(spaces.Layout.Pfn(entry)) >= 2;
                SharedHugetlb += shared ? bytes : 0;
                PrivateHugetlb += shared ? 0 : bytes;
            }
        }
    }

    /// <summary>A huge page counts as its parts, all in the same state.</summary>
    private void AddHuge(AddressSpaces spaces, Vma vma, ulong entry)
    {
        if (spaces.Huge.IsZero(entry))
        {
            return;
        }

        int head = spaces.Layout.Pfn(entry);
        bool dirty = spaces.Layout.IsDirty(entry) || spaces.Pages.HasFlag(head, PageFlags.Dirty);
        for (int i = 0; i < spaces.Huge.Pages; i++)
        {
            Add(spaces, vma, head + i, anon: true, dirty, Math.Max(spaces.Maps.MapCount(head + i), 1), spaces.Layout.IsYoung(entry));
        }

        AnonHuge += spaces.Huge.Bytes;
    }

    private void Add(AddressSpaces spaces, Vma vma, int pfn, bool anon, bool dirty, int users, bool young)
    {
        const ulong page = PageGeometry.PageSize;
        ulong share = (page << PssShift) / (ulong)users;
        Rss += page;
        _pss += share;
        _pssDirty += dirty ? share : 0;
        _pssAnon += anon ? share : 0;
        _pssShmem += !anon && spaces.Pages.HasFlag(pfn, PageFlags.SwapBacked) ? share : 0;
        _pssFile += !anon && !spaces.Pages.HasFlag(pfn, PageFlags.SwapBacked) ? share : 0;
        _pssLocked += (vma.Flags & VmaFlags.Locked) != 0 ? share : 0;
        Anonymous += anon ? page : 0;
        Merged += anon && spaces.Frames[spaces.Pages.HeadOf(pfn)].IsMerged ? page : 0;
        LazyFree += anon && !spaces.Pages.HasFlag(pfn, PageFlags.SwapBacked) && !dirty ? page : 0;
        Referenced += young || spaces.Pages.WasNotedUsed(pfn) ? page : 0;
        SharedClean += users > 1 && !dirty ? page : 0;
        SharedDirty += users > 1 && dirty ? page : 0;
        PrivateClean += users == 1 && !dirty ? page : 0;
        PrivateDirty += users == 1 && dirty ? page : 0;
    }
}
