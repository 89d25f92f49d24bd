using MemSim.AddressSpaces.Huge;

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

/// <summary>Huge pages of processes: the files of <c>/sys/kernel/mm/transparent_hugepage</c>.</summary>
/// <remarks>
/// Faults follow <see cref="Enabled"/>, which begins as the kernel command line says, else as <see cref="TransparentHugePages.Madvise"/>. There are none on x86-32 without PAE.
/// </remarks>
public sealed class HugePages
{
    private readonly Machine _machine;

    internal HugePages(Machine machine, TransparentHugePages enabled)
    {
        _machine = machine;
        IsAvailable = machine.Architecture.Architecture != Architecture.X86_32;
        Enabled = IsAvailable ? enabled : TransparentHugePages.Unavailable;
        Khugepaged = new Khugepaged(machine, this);
    }

    /// <summary>Whether the architecture's page tables have pages of 2 MiB.</summary>
    public bool IsAvailable { get; }

    /// <summary>Who gets huge pages (<c>enabled</c>).</summary>
    /// <exception cref="InvalidOperationException">The architecture has none.</exception>
    public TransparentHugePages Enabled
    {
        get;
        set
        {
            if (!IsAvailable && value != TransparentHugePages.Unavailable)
            {
                throw new InvalidOperationException("pages of the second level have 4 MiB here: there are no transparent huge pages");
            }

            field = value;
            if (value == TransparentHugePages.Always && _machine.MmOrNull is { } mm)
            {
                mm.UsesHugePages = true;
            }
        }
    }

    /// <summary>How hard faults try (<c>defrag</c>).</summary>
    public HugePageDefrag Defrag { get; set; } = HugePageDefrag.Madvise;

    /// <summary>Whether reading untouched memory maps the huge zero page (<c>use_zero_page</c>).</summary>
    public bool UseZeroPage { get; set; } = true;

    /// <summary>The thread that makes huge pages of small ones.</summary>
    public Khugepaged Khugepaged { get; }

    /// <summary>Huge pages that are partly unmapped and will be split when memory runs short.</summary>
    public int DeferredSplits => _machine.MmOrNull?.Huge?.Deferred ?? 0;

    /// <summary>Splits a huge page into small ones now (<c>split_huge_page()</c>).</summary>
    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="page">A page of it.</param>
    /// <returns>False when it is no huge page of a process, or somebody unexpected holds it.</returns>
    public bool Split(Cpu cpu, Page page)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        if (page.IsNull || _machine.MmOrNull is not { Huge: { } huge } core)
        {
            return false;
        }

        using AddressSpaces.MmCore.LockScope scope = core.Enter();
        int head = page.CompoundHead.FrameIndex;
        if (core.Frames[head].Order != HugeCore.Order || core.Frames[head].RefCount == 0 || !core.IsAnon(head))
        {
            return false;
        }

        core.Get(head);
        bool split = huge.SplitPage(cpu, head);
        core.Put(cpu, head);
        return split;
    }
}
