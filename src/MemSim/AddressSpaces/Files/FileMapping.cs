using System.Runtime.InteropServices;
using MemSim.Pages;

namespace MemSim.AddressSpaces.Files;

/// <summary>The pages of a file in memory, by index, and the areas that map them (<c>struct address_space</c>).</summary>
/// <remarks>
/// Holds one reference to each of its pages. A page whose read or change is under way is <see cref="PageFlags.Locked"/>. What a page is filled from and written
/// to is up to the kind of mapping.
/// </remarks>
internal abstract partial class FileMapping
{
    private readonly Machine _machine;
    private readonly FrameArray _frames;
    private readonly List<IMappedArea> _areas = [];

    protected FileMapping(SimFile host, Machine machine, Gfp gfp)
    {
        Host = host;
        _machine = machine;
        _frames = machine.Frames;
        Gfp = gfp;
        Id = machine.Mappings.Add(this);
    }

    public Machine Machine => _machine;

    /// <summary>The file whose pages these are (<c>mapping->host</c>).</summary>
    public SimFile Host { get; }

    /// <summary>Its number in <see cref="Machine.Mappings"/>.</summary>
    public uint Id { get; private set; }

    /// <summary>What its pages have in <see cref="PageFrame.Mapping"/>.</summary>
    public uint MappingValue => MappingTable.Value(Id);

    /// <summary>How its pages are allocated (<c>mapping_gfp_mask()</c>).</summary>
    public Gfp Gfp { get; }

    /// <summary>Pages in the cache (<c>nrpages</c>).</summary>
    public long PageCount { get; private set; }

    /// <summary>Whether its pages are shared memory: swap-backed, on the anonymous lists.</summary>
    public virtual bool IsShmem => false;

    /// <summary>Whether dirty pages are tagged, counted and written back to a device.</summary>
    public virtual bool WritesBack => true;

    /// <summary>Pages up to the end of the file.</summary>
    public long SizePages => (Host.Size + PageGeometry.PageSize - 1) >> PageGeometry.PageShift;

    /// <summary>The areas that map part of the file (<c>i_mmap</c>), in the order in which they were added.</summary>
    public ReadOnlySpan<IMappedArea> Areas => CollectionsMarshal.AsSpan(_areas);

    /// <summary>Adds an area that maps part of the file (<c>vma_interval_tree_insert()</c>).</summary>
    public void AddArea(IMappedArea area) => _areas.Add(area);

    /// <summary>Removes an area.</summary>
    public void RemoveArea(IMappedArea area) => _areas.Remove(area);
}
