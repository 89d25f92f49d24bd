using MemSim.Diagnostics;
using MemSim.Hardware;
using MemSim.Pages;

namespace MemSim.VirtualMemory;

/// <content>Huge pages.</content>
internal sealed partial class MmVerifier
{
    private long _hugeEntries;

    private void CheckHuge(MemoryDescriptor mm, Vma vma, ulong at, ulong entry, PteLayout layout, ref (long Anon, long File, long Shared, long Swap) seen)
    {
        if ((at & (core.Huge.Bytes - 1)) != 0)
        {
            BugReporter.Corrupt($"the huge page at {at:x} of {mm.Tables} begins before {vma}");
        }

        _hugeEntries++;
        int head = layout.Pfn(entry);
        if (core.Huge.IsZero(entry))
        {
            if (layout.IsWritable(entry) || !mm.MapsHugeZero)
            {
                BugReporter.Corrupt($"{mm.Tables}: the huge zero page at {at:x} is {(mm.MapsHugeZero ? "writable" : "not this address space's to map")}");
            }

            return;
        }

        ref PageFrame frame = ref core.Frames[head];
        if (frame.RefCount == 0 || frame.Order != core.Huge.Order || !core.IsAnon(head))
        {
            BugReporter.Corrupt($"{mm.Tables}: frame 0x{head:x}, mapped as a huge page at {at:x}, is none");
        }

        seen.Anon += core.Huge.Pages;
        _mappedWhole[head] = _mappedWhole.GetValueOrDefault(head) + 1;
        if (!core.Machine.Mappings.TryFind(frame.Mapping, out AnonVma? anon) || anon.IsFreed || !anon.Areas.Exists(link => ReferenceEquals(link.Vma, vma))
            || !vma.TryAddressOf(frame.Index, out ulong found) || found != at)
        {
            BugReporter.Corrupt($"huge page 0x{head:x} at {at:x} of {mm.Tables} is not found by reverse mapping");
        }

        if (at + core.Huge.Bytes > vma.EndValue)
        {
            BugReporter.Corrupt($"the huge page at {at:x} of {mm.Tables} reaches beyond {vma}");
        }

        if (layout.IsWritable(entry) && !core.IsExclusive(head))
        {
            BugReporter.Corrupt($"huge page 0x{head:x} is writable at {at:x} of {mm.Tables} but not marked exclusive");
        }
    }

    /// <summary>The sums of huge pages: of whole and partial mappings, of references, and what the nodes count.</summary>
    private void VerifyHuge()
    {
        Dictionary<int, int> totals = new(_mappedWhole);
        foreach ((int pfn, int count) in _mapped)
        {
            if (core.IsPartOfHuge(pfn))
            {
                int head = core.HeadOf(pfn);
                totals[head] = totals.GetValueOrDefault(head) + count;
            }
        }

        long whole = 0;
        foreach ((int head, int total) in totals)
        {
            int wholeMaps = _mappedWhole.GetValueOrDefault(head);
            whole += wholeMaps != 0 ? core.Huge.Pages : 0;
            if (core.TotalMapCount(head) != total || core.WholeMaps(head) != wholeMaps || core.RefCount(head) < total)
            {
                BugReporter.Corrupt($"huge page 0x{head:x} is mapped by {total} entries, {wholeMaps} of them whole, but counts {core.TotalMapCount(head)} and {core.WholeMaps(head)}, with {core.RefCount(head)} references");
            }

            for (int i = 0; i < core.Huge.Pages; i++)
            {
                if (core.SmallMaps(head + i) != _mapped.GetValueOrDefault(head + i))
                {
                    BugReporter.Corrupt($"part {i} of huge page 0x{head:x} is mapped by {_mapped.GetValueOrDefault(head + i)} small entries but counts {core.SmallMaps(head + i)}");
                }
            }
        }

        long counted = 0;
        foreach (Node node in core.Machine.Nodes)
        {
            counted += node.Counters.AnonHugePages;
        }

        if (counted != whole)
        {
            BugReporter.Corrupt($"nr_anon_transparent_hugepages says {counted} pages but {whole} are mapped as huge pages");
        }

        core.Huge.CheckDeferred();
    }
}
