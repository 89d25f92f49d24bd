using MemSim.Pages;

namespace MemSim;

/// <summary>A handle to a page frame of a machine: what kernel code holds as <c>struct page *</c>.</summary>
/// <remarks>Nullable through <see cref="IsNull"/>, as a failed allocation returns it. 16 bytes; equality is identity of the frame. Reading a null handle's properties throws <see cref="InvalidOperationException"/>.</remarks>
public readonly partial struct Page : IEquatable<Page>
{
    private readonly Machine? _machine;
    private readonly int _pfn;

    internal Page(Machine machine, int pfn)
    {
        _machine = machine;
        _pfn = pfn;
    }

    /// <summary>Whether this is the null handle.</summary>
    public bool IsNull => _machine is null;

    /// <summary>The machine the page belongs to; null for the null handle.</summary>
    public Machine? Machine => _machine;

    /// <summary>The page frame number.</summary>
    public Pfn Pfn => new(_pfn);

    /// <summary>The physical address of the first byte.</summary>
    public PhysicalAddress PhysicalAddress => Pfn.PhysicalAddress;

    /// <summary>The address in the direct map, of high memory the one <see cref="Cpu.Kmap"/> gave it (<c>page_address()</c>); null for high memory that is not mapped.</summary>
    public VirtualAddress Address => Owner.Addresses.AddressOf(_pfn);

    /// <summary>The page's flags: those stored, and those the kernel encodes elsewhere (tail, buddy, table, …).</summary>
    public PageFlags Flags => Owner.Frames.FlagsOf(_pfn);

    /// <summary>The number of references to the page, or to the compound page it is part of; 0 for a free page (<c>page_count()</c>).</summary>
    public int Count => Owner.Frames.FrameOf(IsTail ? CompoundHead._pfn : _pfn).RefCount;

    /// <summary>The raw <c>_refcount</c> of this frame: 0 for the tail pages of a compound page.</summary>
    public int RefCount => Owner.Frames.FrameOf(_pfn).RefCount;

    /// <summary>The word that kernels before 2.6.10 stored in <c>_count</c>: one less than the references, so -1 for a free page. Their <c>page_count()</c> added one.</summary>
    public int StoredCount => RefCount - 1;

    /// <summary>How many page tables map the page (<c>page_mapcount()</c>).</summary>
    public int MapCount => Owner.Frames.FrameOf(_pfn).MapCount;

    /// <summary>The raw <c>_mapcount</c> as the kernel encodes it: -1 when not mapped; a page type reads as a large negative number with its bit cleared.</summary>
    public int RawMapCount => Owner.Frames.RawMapCountOf(_pfn);

    /// <summary>What kind of unmapped page it is.</summary>
    public PageType Type => Owner.Frames.TypeOf(_pfn);

    /// <summary>The owner's word (<c>page->private</c>): of a free block in the buddy lists its order.</summary>
    public int Private => Owner.Frames.FrameOf(_pfn).Private;

    /// <summary>The address space the page belongs to, with the kernel's low bits (1 anonymous, 2 driver-movable); 0 for none (<c>page->mapping</c>).</summary>
    public uint Mapping => Owner.Frames.FrameOf(_pfn).Mapping;

    /// <summary>The page's offset in its address space in pages (<c>page->index</c>); of a free page the migrate type it is kept under.</summary>
    public uint Index => Owner.Frames.FrameOf(_pfn).Index;

    /// <summary>The neighbours on whatever list the page is on (<c>page->lru</c>): null handles at the ends and for pages that are on none.</summary>
    public (Page Previous, Page Next) Lru => Owner.Frames.LruOf(_pfn);

    /// <summary>The order of the block whose first page this is: as allocated, or as free in the buddy lists; 0 for other pages.</summary>
    public int Order
    {
        get
        {
            ref readonly PageFrame frame = ref Owner.Frames.FrameOf(_pfn);
            return frame.IsBuddy ? frame.Private : frame.Order;
        }
    }

    /// <summary>Whether the page is part of a compound page.</summary>
    public bool IsCompound => IsHead || IsTail;

    /// <summary>Whether it is the first page of a compound page.</summary>
    public bool IsHead => Owner.Frames.FrameOf(_pfn).IsCompoundHead;

    /// <summary>Whether it is a page of a compound page other than the first.</summary>
    public bool IsTail => Owner.Frames.CompoundHeadOf(_pfn) != _pfn;

    /// <summary>The first page of the compound page this one is part of, or the page itself (<c>compound_head()</c>).</summary>
    public Page CompoundHead => new(Owner, Owner.Frames.CompoundHeadOf(_pfn));

    /// <summary>The order of the compound page this one is part of; 0 for others (<c>compound_order()</c>).</summary>
    public int CompoundOrder => IsCompound ? Owner.Frames.FrameOf(Owner.Frames.CompoundHeadOf(_pfn)).Order : 0;

    internal int FrameIndex => _pfn;

    /// <summary>Sets stored flags of the page, of a compound page's head (<c>SetPage…()</c>).</summary>
    /// <param name="flags">Flags among <see cref="PageFlags.StoredMask"/>, without <see cref="PageFlags.Head"/> and <see cref="PageFlags.Reserved"/>.</param>
    /// <exception cref="KernelBugException">The page is not allocated, or it is on an LRU list and the flags say on which.</exception>
    /// <exception cref="ArgumentException">The flags are derived ones, or ones that only the allocator sets.</exception>
    public void SetFlags(PageFlags flags) => Owner.Frames.ChangeFlags(this, flags, PageFlags.None);

    /// <summary>Clears stored flags of the page, of a compound page's head (<c>ClearPage…()</c>).</summary>
    /// <param name="flags">As for <see cref="SetFlags"/>.</param>
    /// <exception cref="KernelBugException">The page is not allocated.</exception>
    public void ClearFlags(PageFlags flags) => Owner.Frames.ChangeFlags(this, PageFlags.None, flags);

    /// <summary>Sets the owner's word (<c>set_page_private()</c>).</summary>
    /// <param name="value">The value.</param>
    /// <exception cref="KernelBugException">The page is not allocated.</exception>
    public void SetPrivate(int value) => Owner.Frames.OwnedFrame(this, "set_page_private").Private = value;

    /// <summary>Says which address space the page belongs to, and where in it; 0 takes it out. A page with a mapping cannot be freed.</summary>
    /// <param name="mapping">The address space's number with the kernel's low bits (1 anonymous, 2 driver-movable).</param>
    /// <param name="index">The offset in pages.</param>
    /// <exception cref="KernelBugException">The page is not allocated, or it is on an LRU list and would become one that a driver moves.</exception>
    public void SetMapping(uint mapping, uint index) => Owner.Frames.ChangeMapping(this, mapping, index);

    /// <summary>Counts page table entries that map the page (<c>_mapcount</c>). A mapped page cannot be freed.</summary>
    /// <param name="change">Entries added, negative for removed.</param>
    /// <exception cref="KernelBugException">The page is not allocated.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The count would become negative.</exception>
    public void AddMapCount(int change)
    {
        ref PageFrame frame = ref Owner.Frames.OwnedFrame(this, "change page->_mapcount");
        int count = frame.MapCount + change;
        ArgumentOutOfRangeException.ThrowIfNegative(count, nameof(change));
        frame.InvertedMapCount = -count;
    }

    /// <summary>Says what kind of unmapped page it is (<c>__SetPageTable()</c> and others); <see cref="PageType.None"/> takes the type back.</summary>
    /// <param name="type">The type; only the allocator makes <see cref="PageType.Buddy"/> pages.</param>
    /// <exception cref="KernelBugException">The page is not allocated.</exception>
    /// <exception cref="ArgumentException">The type is the allocator's, or the page is mapped.</exception>
    public void SetType(PageType type)
    {
        ref PageFrame frame = ref Owner.Frames.OwnedFrame(this, "set page->page_type");
        if (type == PageType.Buddy || frame.MapCount > 0)
        {
            throw new ArgumentException(type == PageType.Buddy ? "only the page allocator makes buddy pages" : "a mapped page has no type", nameof(type));
        }

        frame.InvertedMapCount = (int)type;
    }

    private Machine Owner => _machine ?? throw new InvalidOperationException("the page handle is null: the allocation that returned it failed");

    /// <summary>Whether two handles name the same frame.</summary>
    public static bool operator ==(Page left, Page right) => left.Equals(right);

    /// <summary>Whether two handles name different frames.</summary>
    public static bool operator !=(Page left, Page right) => !left.Equals(right);

    /// <inheritdoc/>
    public bool Equals(Page other) => ReferenceEquals(_machine, other._machine) && _pfn == other._pfn;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is Page other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => _pfn;

    /// <summary>The handle as <c>page pfn:0x62ce</c>, or <c>null</c>.</summary>
    public override string ToString() => IsNull ? "null" : $"page pfn:{Pfn}";

    internal bool BelongsTo(Machine machine) => ReferenceEquals(_machine, machine);
}
