using MemSim.Zones;

namespace MemSim;

/// <content>Nodes and zones.</content>
public sealed partial class Machine
{
    /// <summary>The nodes, ascending by number.</summary>
    public IReadOnlyList<Node> Nodes => ZoneTable.Nodes;

    /// <summary>All zones of all nodes, empty ones included, by node and kernel index.</summary>
    public IReadOnlyList<Zone> Zones => ZoneTable.Zones;

    /// <summary>Nodes, zones and the ranges of frames that exist.</summary>
    internal ZoneTable ZoneTable { get; }

    /// <summary>The sysctls and derived figures.</summary>
    internal MachineSettings Settings { get; set; }

    /// <summary>The node with a number.</summary>
    /// <param name="id">The number.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is none.</exception>
    public Node GetNode(int id) => ZoneTable.NodeOrDefault(id) ?? throw new ArgumentOutOfRangeException(nameof(id), id, "the machine has no such node");

    /// <summary>The page with a frame number (<c>pfn_to_page()</c>).</summary>
    /// <param name="pfn">The frame number.</param>
    /// <exception cref="ArgumentOutOfRangeException">No zone of the machine spans the frame.</exception>
    public Page GetPage(Pfn pfn) =>
        TryGetPage(pfn, out Page page) ? page : throw new ArgumentOutOfRangeException(nameof(pfn), pfn, "no zone of this machine has such a frame");

    /// <summary>The page with a frame number, where the machine has that frame (<c>pfn_valid()</c> and <c>pfn_to_page()</c>).</summary>
    /// <param name="pfn">The frame number.</param>
    /// <param name="page">The page, or a null page.</param>
    /// <returns>Whether the machine has the frame.</returns>
    public bool TryGetPage(Pfn pfn, out Page page)
    {
        ThrowIfDisposed();
        bool exists = (ulong)pfn.Value < (ulong)Frames.Count && ZoneTable.ZoneOf((int)pfn.Value) is not null;
        page = default;
        if (exists)
        {
            Frames.Untouched.Touch((int)pfn.Value);
            page = new Page(this, (int)pfn.Value);
        }

        return exists;
    }

    /// <summary>The page behind an address of the direct map (<c>virt_addr_valid()</c> and <c>virt_to_page()</c>).</summary>
    /// <param name="address">The address.</param>
    /// <param name="page">The page, or a null page.</param>
    /// <returns>Whether the address belongs to the direct map and to memory that exists.</returns>
    public bool TryGetPage(VirtualAddress address, out Page page)
    {
        page = default;
        return address.Value >= Architecture.PageOffset && address.Value < Addresses.DirectMapEnd.Value
            && TryGetPage(new Pfn((long)((address.Value - Architecture.PageOffset + Addresses.PhysicalBase) >> PageGeometry.PageShift)), out page);
    }
}
