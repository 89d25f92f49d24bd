using System.Globalization;
using System.Text;
using MemSim.Diagnostics;
using MemSim.Hardware;

namespace MemSim.KernelMemory;

/// <content>Misuse, consistency, <c>/proc/vmallocinfo</c>.</content>
internal sealed partial class VmallocAllocator
{
    /// <summary>The areas in address order, or by node, and what was put aside, as <c>/proc/vmallocinfo</c> lists them.</summary>
    public string Info()
    {
        using LockScope scope = Enter();
        StringBuilder text = new();
        foreach (AddressRange range in ByNode(_space.Busy))
        {
            VmArea area = _areas[range.Value];
            Begin(text, range).Append(' ').Append(area.Caller.Length == 0 ? "0x0" : area.Caller);
            if (area.OwnsPages)
            {
                text.Append(CultureInfo.InvariantCulture, $" pages={area.Count} vmalloc");
            }
            else
            {
                text.Append(" vmap");
            }

            text.Append(area.HasTableArea ? " vpages" : "");
            if (area.OwnsPages && _machine.Architecture.Bits == 64)
            {
                AppendNodes(text, area);
            }

            text.Append('\n');
        }

        foreach (AddressRange range in _space.Aside)
        {
            Begin(text, range).Append(" unpurged vm_area\n");
        }

        return text.ToString();
    }

    /// <summary>The areas that are mapped and not the boot's own, in no particular order.</summary>
    public List<VmArea> Areas()
    {
        using LockScope scope = Enter();
        return [.. _space.Busy.Where(range => range.Value >= _atBoot).Select(range => _areas[range.Value])];
    }

    /// <summary>Ranges as the kernel lists them: by address, and since 6.9 node after node, whose zones of address space alternate.</summary>
    private IEnumerable<AddressRange> ByNode(List<AddressRange> ranges) =>
        _nodes > 1 ? ranges.OrderBy(range => (range.Start >> NodeZoneShift) % (ulong)_nodes) : ranges;

    /// <summary>Checks areas against page tables and pages.</summary>
    public void Verify()
    {
        if (_space.Check() is { } wrong)
        {
            BugReporter.Corrupt($"vmalloc: {wrong}");
        }

        long owned = 0;
        Dictionary<ulong, Page> mapped = [];
        foreach (AddressRange range in _space.Busy)
        {
            VmArea area = _areas[range.Value];
            if (area.Start != range.Start || area.Bytes != range.End - range.Start || area.Count != (int)(area.Bytes >> PageGeometry.PageShift) - 1)
            {
                BugReporter.Corrupt($"vmalloc: the area of 0x{range.Start:x}-0x{range.End:x} says of itself 0x{area.Start:x}, {area.Bytes} bytes, {area.Count} pages");
            }

            owned += area.OwnsPages ? area.Count : 0;
            for (int i = 0; i < area.Count; i++)
            {
                mapped.Add(area.Start + ((ulong)i << PageGeometry.PageShift), area.Pages[i]);
            }
        }

        if (owned != UsedPages)
        {
            BugReporter.Corrupt($"vmalloc: {UsedPages} pages are counted but the areas have {owned}");
        }

        foreach (PageMapping mapping in _mmu.Kernel.Mappings())
        {
            for (long i = 0; mapping.Start.Value >= _space.Start && mapping.Start.Value < _space.End && i < mapping.Pages; i++)
            {
                ulong address = mapping.Start.Value + ((ulong)i << PageGeometry.PageShift);
                if (!mapped.Remove(address, out Page page) || page.FrameIndex != mapping.First.Value + i)
                {
                    BugReporter.Corrupt($"vmalloc: 0x{address:x} maps frame 0x{mapping.First.Value + i:x}, but {(page.IsNull ? "no area covers it" : $"its area has {page}")}");
                }

                if (_machine.Frames.FrameOf(page.FrameIndex).RefCount <= 0 && !page.IsCompound && !_machine.Frames.IsReserved(page.FrameIndex))
                {
                    BugReporter.Corrupt($"vmalloc: 0x{address:x} maps {page}, which is not allocated");
                }
            }
        }

        if (mapped.Count != 0)
        {
            BugReporter.Corrupt($"vmalloc: 0x{mapped.Keys.Min():x} belongs to an area and is not mapped");
        }
    }

    private StringBuilder Begin(StringBuilder text, AddressRange range)
    {
        string digits = _machine.Architecture.Bits == 64 ? "x16" : "x8";
        string start = range.Start.ToString(digits, CultureInfo.InvariantCulture);
        string end = range.End.ToString(digits, CultureInfo.InvariantCulture);
        return text.Append(CultureInfo.InvariantCulture, $"0x{start}-0x{end} {range.End - range.Start,7}");
    }

    private void AppendNodes(StringBuilder text, VmArea area)
    {
        foreach (Node node in _machine.Nodes)
        {
            int pages = 0;
            foreach (Page page in area.Mapped)
            {
                pages += ReferenceEquals(page.Zone.Node, node) ? 1 : 0;
            }

            if (pages != 0)
            {
                text.Append(CultureInfo.InvariantCulture, $" N{node.Id}={pages}");
            }
        }
    }

    /// <summary>The area that begins at an address; null after a logged complaint.</summary>
    private VmArea? Find(Cpu cpu, VirtualAddress address, string what)
    {
        AddressRange range;
        bool found;
        bool aside;
        using (Enter())
        {
            found = _space.TryFind(address.Value, out range);
            aside = !found && _space.IsAside(address.Value);
            if (found && range.Start == address.Value)
            {
                return _areas[range.Value];
            }
        }

        (KernelBugKind kind, string why) = found
            ? (KernelBugKind.NotFirstPage, $"the address lies inside the area 0x{range.Start:x}-0x{range.End:x} of {_areas[range.Value].Caller}")
            : aside ? (KernelBugKind.DoubleFree, "the area was freed already")
            : (KernelBugKind.ForeignAddress, $"no area is there; vmalloc space is {_machine.AddressSpace.Vmalloc}");
        _machine.Bugs.Raise(kind, $"WARNING: Trying to {what}() {((address.Value & (PageGeometry.PageSize - 1)) != 0 ? "bad address" : "nonexistent vm area")} ({address})", $"{why}\nCPU: {cpu.Id}\n");
        return null;
    }

    private bool MayFree(Cpu cpu, VmArea area, bool unmapOnly)
    {
        if (!area.OwnsPages)
        {
            return true;
        }

        if (unmapOnly)
        {
            _machine.Bugs.Raise(KernelBugKind.ForeignAddress, $"BUG: vunmap of {new VirtualAddress(area.Start)}, which came from vmalloc: its pages would be lost", $"Use Vfree.\nCPU: {cpu.Id}\n");
            return false;
        }

        foreach (Page page in area.Mapped)
        {
            if (!_machine.Frames.MayFree(page, 0))
            {
                _machine.Bugs.BadFree(cpu, page, 0, "vfree");
                return false;
            }
        }

        return true;
    }
}
