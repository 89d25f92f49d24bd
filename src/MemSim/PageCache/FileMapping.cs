using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using MemSim.Lru;
using MemSim.Pages;

namespace MemSim.PageCache;

/// <summary>The pages of a file in memory, by index, and the areas that map them (<c>struct address_space</c>).</summary>
/// <remarks>
/// Holds one reference to each of its pages. A page whose read or change is under way is <see cref="PageFlags.Locked"/>; whatever is held across an allocation
/// is locked or referenced, because reclaim may run inside it. What a page is filled from and written to is up to the kind of mapping.
/// </remarks>
internal abstract partial class FileMapping : IUnevictableMapping
{
    private readonly Machine _machine;
    private readonly FrameArray _frames;
    private readonly FileCache _cache;
    private readonly LruManager _lru;
    private readonly PageTree _tree;
    private readonly List<IMappedArea> _areas = [];

    // Whether its pages are counted as something else besides pages of files.
    private readonly bool _isCountedTwice;

    protected FileMapping(SimFile host, Machine machine, Gfp gfp, bool tracksShadows)
    {
        Host = host;
        _machine = machine;
        _frames = machine.Frames.Array;
        _cache = machine.Files.PageCache;
        _lru = machine.Lru;
        _tree = new PageTree(_cache.Nodes, tracksShadows);
        Gfp = gfp;
        Id = machine.Frames.Mappings.Add(this);
        _cache.Add(this);
    }

    public Machine Machine => _machine;

    /// <summary>The file whose pages these are (<c>mapping->host</c>).</summary>
    public SimFile Host { get; }

    /// <summary>Its number in <see cref="FrameTable.Mappings"/>.</summary>
    public uint Id { get; }

    /// <summary>What its pages have in <see cref="PageFrame.Mapping"/>.</summary>
    public uint MappingValue => MappingTable.Value(Id);

    /// <summary>How its pages are allocated (<c>mapping_gfp_mask()</c>).</summary>
    public Gfp Gfp { get; }

    /// <summary>Pages in the cache (<c>nrpages</c>).</summary>
    public long PageCount => _tree.Pages;

    /// <summary>Shadows of reclaimed pages, or swap entries of shared memory.</summary>
    public long ValueCount => _tree.Values;

    /// <summary>Whether its pages are shared memory: swap-backed, on the anonymous lists.</summary>
    public bool IsShmem
    {
        get;
        protected init
        {
            field = value;
            _isCountedTwice |= value;
        }
    }

    /// <summary>Whether its pages are those of a device itself, counted as buffers.</summary>
    protected bool IsDevice
    {
        get;
        init
        {
            field = value;
            _isCountedTwice |= value;
        }
    }

    /// <summary>Whether dirty pages are tagged, counted and written back to a device.</summary>
    public bool WritesBack => Writeback is not null;

    /// <summary>Whether the first write through a shared mapping must be noticed (<c>page_mkwrite</c>, dirty accounting).</summary>
    public bool WantsWriteNotify => WritesBack;

    /// <summary>Whether its pages must stay in memory (<c>AS_UNEVICTABLE</c>).</summary>
    public bool IsUnevictable
    {
        get;
        set
        {
            if (field != value)
            {
                field = value;
                _machine.Frames.Mappings.NoteKeeping(value);
            }
        }
    }

    /// <summary>The name shown in <c>/proc/pid/maps</c>.</summary>
    public string DisplayName => Host.DisplayName;

    /// <summary>The number of the device, as maps shows it.</summary>
    public string Device => Writeback?.Number ?? "00:01";

    /// <summary>The inode number.</summary>
    public long Inode => Host.Number;

    /// <summary>Pages up to the end of the file.</summary>
    public long SizePages => (Host.Size + PageGeometry.PageSize - 1) >> PageGeometry.PageShift;

    /// <summary>The areas that map part of the file (<c>i_mmap</c>), in the order in which they were added.</summary>
    public ReadOnlySpan<IMappedArea> Areas => CollectionsMarshal.AsSpan(_areas);

    /// <summary>Where it is in the list of all mappings.</summary>
    public int ListIndex { get; set; }

    /// <summary>What writes it back; null for shared memory.</summary>
    public virtual DeviceWriteback? Writeback => null;

    /// <summary>Adds an area that maps part of the file (<c>vma_interval_tree_insert()</c>).</summary>
    public void AddArea(IMappedArea area)
    {
        Debug.Assert(area.Pages > 0 && (_areas.Count == 0 || !ReferenceEquals(_areas[^1], area)), "an area that is not linked yet");
        _areas.Add(area);
    }

    /// <summary>Removes an area.</summary>
    public void RemoveArea(IMappedArea area)
    {
        bool removed = _areas.Remove(area);
        Debug.Assert(removed, "an area that is linked");
    }

    /// <summary>Whether somebody could write to the file through a shared mapping (<c>mapping_deny_writable()</c> fails).</summary>
    public bool IsMappedForWriting
    {
        get
        {
            foreach (IMappedArea area in Areas)
            {
                if (area.MayWriteFile)
                {
                    return true;
                }
            }

            return false;
        }
    }

    /// <summary>Whether somebody but the cache and page tables holds a page: it may be pinned (<c>memfd_wait_for_pins()</c>).</summary>
    public bool HasHeldPages(Cpu cpu)
    {
        _lru.DrainAll(cpu);
        for (uint index = 0; FindNext(ref index, uint.MaxValue, PageTag.Any, out int pfn); index++)
        {
            if (_frames[pfn].RefCount - _frames[pfn].MapCount != 1 << _frames[pfn].Order)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>The page of the device that holds a page of the file; -1 for a hole.</summary>
    protected virtual long BlockOf(uint index) => -1;

    /// <summary>Gives a page of the file room on the device (<c>get_block()</c>).</summary>
    protected virtual Errno EnsureBlock(uint index) => Errno.None;

    /// <summary>The file is gone: no page names it any more.</summary>
    public virtual void Retire(Cpu cpu)
    {
        Host.Size = 0;
        RemoveRange(cpu, 0, uint.MaxValue, evenCopies: true);
        Writeback?.NoteClean(this);
        IsUnevictable = false;
        _cache.Remove(this);
        _machine.Frames.Mappings.Remove(Id);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool Has(int pfn, PageFlags flag) => _frames[pfn].Has(flag);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Set(int pfn, PageFlags flags) => _lru.SetFlags(ref _frames[pfn], flags);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool Clear(int pfn, PageFlags flags) => (_lru.ClearFlags(ref _frames[pfn], flags) & flags) != 0;

    /// <summary>Locks a page unless somebody else has (<c>folio_trylock()</c>). Nobody on a simulated CPU could wait for another one here.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool TryLock(int pfn)
    {
        if (Has(pfn, PageFlags.Locked))
        {
            return false;
        }

        Set(pfn, PageFlags.Locked);
        return true;
    }

    private void Unlock(int pfn) => _ = Clear(pfn, PageFlags.Locked);

    private bool Owns(int pfn) => _frames[pfn].Mapping == MappingValue;

    /// <summary>Whether the file has the page where the page says: its index may be anybody's.</summary>
    private bool HasInPlace(int pfn)
    {
        long entry = Owns(pfn) ? _tree.Get(_frames[pfn].Index) : 0;
        return PageTree.IsPage(entry) && PageTree.PfnOf(entry) == pfn;
    }

    private NodeCounters CountersOf(int pfn) => _cache.CountersOf(_frames[pfn].ZoneId);
}
