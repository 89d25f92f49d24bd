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
    public void Add(MmCore core, Vma vma)
    {
        if (vma.Hugetlb is not null)
        {
            AddHugetlb(core, vma);
            return;
        }

        PageTableCursor cursor = new(core, vma, vma.StartValue, vma.EndValue, BadEntries.Skip);
        while (cursor.Next())
        {
            if (cursor.IsHuge)
            {
                AddHuge(core, vma, cursor.Entry);
                continue;
            }

            TableEntries table = cursor.Entries;
            while (table.Next(out ulong entry))
            {
                Add(core, vma, table.Address, entry);
            }
        }
    }

    private void Add(MmCore core, Vma vma, ulong address, ulong entry)
    {
        const ulong page = PageGeometry.PageSize;
        if (!core.Layout.IsPresent(entry))
        {
            Swap += core.Layout.TryDecodeSwapEntry(entry, out SoftEntry soft) && soft.Kind == SoftEntryKind.Swap ? page : 0;
            return;
        }

        int pfn = core.PeekPage(vma, address, entry);
        if (pfn < 0)
        {
            return;
        }

        bool anon = core.IsAnon(pfn);
        bool dirty = core.Layout.IsDirty(entry) || core.HasFlag(pfn, PageFlags.Dirty);
        int users = Math.Max(core.MapCount(pfn), 1);
        Add(core, vma, pfn, anon, dirty, users, core.Layout.IsYoung(entry));
    }

    /// <summary>Huge pages of a pool are in figures of their own (<c>smaps_hugetlb_range()</c>).</summary>
    private void AddHugetlb(MmCore core, Vma vma)
    {
        ulong bytes = vma.Hugetlb!.Bytes;
        for (ulong at = vma.StartValue; at < vma.EndValue; at += bytes)
        {
            if (core.Hugetlb.Find(vma, at, out ulong entry) != 0 && entry != 0)
            {
                bool shared = core.TotalMapCount(core.Layout.Pfn(entry)) >= 2;
                SharedHugetlb += shared ? bytes : 0;
                PrivateHugetlb += shared ? 0 : bytes;
            }
        }
    }

    /// <summary>A huge page counts as its parts, all in the same state.</summary>
    private void AddHuge(MmCore core, Vma vma, ulong entry)
    {
        if (core.Huge.IsZero(entry))
        {
            return;
        }

        int head = core.Layout.Pfn(entry);
        bool dirty = core.Layout.IsDirty(entry) || core.HasFlag(head, PageFlags.Dirty);
        for (int i = 0; i < core.Huge.Pages; i++)
        {
            Add(core, vma, head + i, anon: true, dirty, Math.Max(core.MapCount(head + i), 1), core.Layout.IsYoung(entry));
        }

        AnonHuge += core.Huge.Bytes;
    }

    private void Add(MmCore core, Vma vma, int pfn, bool anon, bool dirty, int users, bool young)
    {
        const ulong page = PageGeometry.PageSize;
        ulong share = (page << PssShift) / (ulong)users;
        Rss += page;
        _pss += share;
        _pssDirty += dirty ? share : 0;
        _pssAnon += anon ? share : 0;
        _pssShmem += !anon && core.HasFlag(pfn, PageFlags.SwapBacked) ? share : 0;
        _pssFile += !anon && !core.HasFlag(pfn, PageFlags.SwapBacked) ? share : 0;
        _pssLocked += (vma.Flags & VmaFlags.Locked) != 0 ? share : 0;
        Anonymous += anon ? page : 0;
        LazyFree += anon && !core.HasFlag(pfn, PageFlags.SwapBacked) && !dirty ? page : 0;
        Referenced += young || core.HasFlag(pfn, PageFlags.Referenced) ? page : 0;
        SharedClean += users > 1 && !dirty ? page : 0;
        SharedDirty += users > 1 && dirty ? page : 0;
        PrivateClean += users == 1 && !dirty ? page : 0;
        PrivateDirty += users == 1 && dirty ? page : 0;
    }
}
