using MemSim.Pages;

namespace MemSim.VirtualMemory;

/// <summary>Finds the areas in which anonymous pages may be mapped (<c>struct anon_vma</c>): what <c>page->mapping</c> of an anonymous page points at.</summary>
/// <remarks>
/// As in 6.1: an area's own one is made at its first fault; a forked child's areas are linked to all of the parent's and get one of their own, whose parent is
/// the parent's; one without areas and with at most one child is used again instead.
/// </remarks>
internal sealed class AnonVma
{
    public AnonVma(MappingTable mappings, AnonVma? parent, VirtualAddress memory)
    {
        Memory = memory;
        Id = mappings.Add(this);
        Parent = parent ?? this;
        Root = parent?.Root ?? this;
    }

    /// <summary>Its number in the machine's table of owners.</summary>
    public uint Id { get; }

    /// <summary>What <c>page->mapping</c> holds for its pages.</summary>
    public uint MappingValue => MappingTable.Value(Id, MappingTable.Anonymous);

    /// <summary>The object of <c>anon_vma</c> that it is.</summary>
    public VirtualAddress Memory { get; }

    public AnonVma Root { get; }

    public AnonVma Parent { get; }

    /// <summary>Chains that link areas to it.</summary>
    public List<AnonVmaChain> Areas { get; } = [];

    /// <summary>Those that have it as parent, itself included when it is the root (<c>num_children</c>).</summary>
    public int Children { get; set; }

    /// <summary>Areas whose own one it is (<c>num_active_vmas</c>).</summary>
    public int ActiveAreas { get; set; }

    /// <summary>Whoever keeps it alive: it with its areas, one for each whose root it is.</summary>
    public int References { get; set; }

    public bool IsFreed { get; set; }
}

/// <summary>Links an area and an <see cref="AnonVma"/> (<c>struct anon_vma_chain</c>).</summary>
internal sealed class AnonVmaChain(Vma vma, AnonVma anon, VirtualAddress memory)
{
    /// <summary>The object of <c>anon_vma_chain</c> that it is.</summary>
    public VirtualAddress Memory { get; } = memory;

    public Vma Vma { get; } = vma;

    public AnonVma Anon { get; } = anon;

    /// <summary>Its place in <see cref="AnonVma.Areas"/>.</summary>
    public int Place { get; set; }
}
