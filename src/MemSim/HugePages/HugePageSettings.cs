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
    private TransparentHugePages _enabled;

    internal HugePageSettings(Machine machine)
    {
        _machine = machine;
        _enabled = machine.Settings.HugePages;
        IsAvailable = _enabled != TransparentHugePages.Unavailable;
        Defrag = machine.Settings.HasRoomForHugePages ? HugePageDefrag.Madvise : HugePageDefrag.Never;
        UseZeroPage = machine.Settings.HasRoomForHugePages;
        Khugepaged = new Khugepaged(machine, this);
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
        if (value == TransparentHugePages.Always && _machine.Mm is { } mm)
        {
            mm.UsesHugePages = true;
        }
    }

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
        if (spaces.Frames[head].Order != huge.Order || spaces.Frames[head].RefCount == 0 || !spaces.Pages.IsAnon(head))
        {
            return false;
        }

        spaces.Pages.Get(head);
        bool split = huge.SplitPage(cpu, head);
        spaces.Pages.Put(cpu, head);
        return split;
    }
}
