using MemSim.Hardware;
using MemSim.HugePages;
using MemSim.Lru;

namespace MemSim;

/// <summary>How hard a fault tries to get a huge page (<c>/sys/kernel/mm/transparent_hugepage/defrag</c>).</summary>
public enum HugePageDefrag
{
    /// <summary>Reclaims and compacts at once.</summary>
    Always,

    /// <summary>Leaves that to kswapd and kcompactd.</summary>
    Defer,

    /// <summary>At once where a process asked for huge pages, else as <see cref="Defer"/>.</summary>
    DeferMadvise,

    /// <summary>At once where a process asked for huge pages, else not at all: the default.</summary>
    Madvise,

    /// <summary>Not at all.</summary>
    Never,
}

/// <summary>Transparent huge pages: the files of <c>/sys/kernel/mm/transparent_hugepage</c>. Those of pools are <see cref="Machine.Hugetlb"/>.</summary>
/// <remarks>
/// Everything begins as Debian's kernels have it: <see cref="Enabled"/> is what <c>transparent_hugepage=</c> says, else <see cref="TransparentHugePages.Always"/>; on a machine
/// with less than 512 MiB the boot switches all of it off. A huge page has 2 MiB, on x86-32 without PAE 4 MiB.
/// </remarks>
public sealed class HugePageSettings
{
    private readonly Machine _machine;
    private readonly HugePageSize[] _sizes;
    private TransparentHugePages _enabled;

    internal HugePageSettings(Machine machine)
    {
        _machine = machine;
        _enabled = machine.Settings.HugePages;
        IsAvailable = _enabled != TransparentHugePages.Unavailable;
        Defrag = machine.Settings.HasRoomForHugePages ? HugePageDefrag.Madvise : HugePageDefrag.Never;
        UseZeroPage = machine.Settings.HasRoomForHugePages;
        Khugepaged = new Khugepaged(machine, this);
        int largest = PteLayout.HugeOrderOf(machine.Architecture.Architecture);
        _sizes = [.. Enumerable.Range(1, largest).Select(order => new HugePageSize(this, order, order == largest ? HugePageSizePolicy.Inherit : HugePageSizePolicy.Never))];
    }

    /// <summary>Whether the kernel has transparent huge pages: all simulated ones do, but not that of every captured machine.</summary>
    public bool IsAvailable { get; }

    /// <summary>Bytes of a huge page (<c>hpage_pmd_size</c>).</summary>
    public ByteSize PageSize => new((ulong)PageGeometry.PageSize << PteLayout.HugeOrderOf(_machine.Architecture.Architecture));

    /// <summary>Who gets huge pages (<c>enabled</c>); a change makes the kernel choose <c>min_free_kbytes</c> anew.</summary>
    /// <exception cref="InvalidOperationException">The kernel has none.</exception>
    public TransparentHugePages Enabled
    {
        get => _enabled;
        set
        {
            if (IsAvailable == (value == TransparentHugePages.Unavailable))
            {
                throw new InvalidOperationException(IsAvailable ? "transparent huge pages are there: they can only be switched off" : "this kernel has no transparent huge pages");
            }

            Assume(value);
            _machine.Settings.SetHugePages(value);
        }
    }

    /// <summary>A captured machine was found with this setting: its watermarks are as they were found, too.</summary>
    internal void Assume(TransparentHugePages value)
    {
        _enabled = value;
        SizesChanged();
    }

    /// <summary>Each size of large pages by itself, the smallest first (<c>hugepages-8kB</c> … <c>hugepages-2048kB</c>); empty on kernels before 6.8.</summary>
    public IReadOnlyList<HugePageSize> Sizes => _machine.Personality.Views.HugePagesBySize ? _sizes : [];

    /// <summary>The size of an order; null where there is none.</summary>
    internal HugePageSize? SizeOf(int order) => (uint)(order - 1) < (uint)_sizes.Length ? _sizes[order - 1] : null;

    /// <summary>Counts something of a large page.</summary>
    internal void Count(int order, HugePageStat stat, long change = 1) => SizeOf(order)?.Count(stat, change);

    /// <summary>Who gets which size has changed: whether faults have to think of it.</summary>
    internal void SizesChanged()
    {
        if (_machine.Mm is not { } mm)
        {
            return;
        }

        int orders = 0;
        foreach (HugePageSize size in _sizes)
        {
            orders |= MayAnybodyHave(size) ? 1 << size.Order : 0;
        }

        mm.Huge.EnabledOrders = orders & ((1 << mm.HugeOrder) - 1);
        mm.UsesHugePages |= _enabled == TransparentHugePages.Always || mm.Huge.EnabledOrders != 0 || _sizes[^1].Enabled == HugePageSizePolicy.Always;
    }

    /// <summary>Whether somebody may have huge pages: khugepaged has something to look for.</summary>
    internal bool MayAnybodyHaveWhole => IsAvailable && MayAnybodyHave(_sizes[^1]);

    private bool MayAnybodyHave(HugePageSize size) => size.Enabled is HugePageSizePolicy.Always or HugePageSizePolicy.Madvise
        || (size.Enabled == HugePageSizePolicy.Inherit && _enabled is TransparentHugePages.Always or TransparentHugePages.Madvise);

    /// <summary>How hard faults try (<c>defrag</c>).</summary>
    public HugePageDefrag Defrag { get; set; }

    /// <summary>Whether reading untouched memory maps the huge zero page (<c>use_zero_page</c>).</summary>
    public bool UseZeroPage { get; set; }

    /// <summary>The thread that makes huge pages of small ones.</summary>
    public Khugepaged Khugepaged { get; }

    /// <summary>Huge pages that are partly unmapped and will be split when memory runs short.</summary>
    public int DeferredSplits => _machine.Mm?.Huge.Deferred ?? 0;

    /// <summary>Splits a huge page into small ones now (<c>split_huge_page()</c>).</summary>
    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="page">A page of it.</param>
    /// <returns>False when it is no huge page of a process, or somebody unexpected holds it.</returns>
    public bool Split(Cpu cpu, Page page)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        _ = _machine.CpuTable.Own(cpu);
        if (!page.IsNull && !page.BelongsTo(_machine))
        {
            throw new ArgumentException($"{page} belongs to another machine", nameof(page));
        }

        if (page.IsNull || _machine.Mm is not { } spaces)
        {
            return false;
        }

        TransparentHugeMemory huge = spaces.Huge;

        using OwnersLock.Scope scope = spaces.Enter();
        int head = page.CompoundHead.FrameIndex;
        if (spaces.Frames[head].Order == 0 || spaces.Frames[head].RefCount == 0 || !spaces.Pages.IsAnon(head))
        {
            return false;
        }

        spaces.Pages.Get(head);
        bool split = huge.SplitPage(cpu, head);
        spaces.Pages.Put(cpu, head);
        return split;
    }
}
