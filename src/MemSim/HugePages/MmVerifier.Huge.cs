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
        if ((at & (spaces.Huge.Bytes - 1)) != 0)
        {
            BugReporter.Corrupt($"the huge page at {at:x} of {mm.Tables} begins before {vma}");
        }

        _hugeEntries++;
        int head = layout.Pfn(entry);
        if (spaces.Huge.IsZero(entry))
        {
            if (layout.IsWritable(entry) || !mm.MapsHugeZero)
            {
                BugReporter.Corrupt($"{mm.Tables}: the huge zero page at {at:x} is {(mm.MapsHugeZero ? "writable" : "not this address space's to map")}");
            }

            return;
        }

        ref PageFrame frame = ref spaces.Frames[head];
        if (frame.RefCount == 0 || frame.Order != spaces.Huge.Order || !spaces.Pages.IsAnon(head))
        {
            BugReporter.Corrupt($"{mm.Tables}: frame 0x{head:x}, mapped as a huge page at {at:x}, is none");
        }

        seen.Anon += spaces.Huge.Pages;
        _mappedWhole[head] = _mappedWhole.GetValueOrDefault(head) + 1;
        if (!spaces.Machine.Frames.Mappings.TryFind(frame.Mapping, out AnonVma? anon) || anon.IsFreed || !anon.Areas.Exists(link => ReferenceEquals(link.Vma, vma))
            || !vma.TryAddressOf(frame.Index, out ulong found) || found != at)
        {
            BugReporter.Corrupt($"huge page 0x{head:x} at {at:x} of {mm.Tables} is not found by reverse mapping");
        }

        if (at + spaces.Huge.Bytes > vma.EndValue)
        {
            BugReporter.Corrupt($"the huge page at {at:x} of {mm.Tables} reaches beyond {vma}");
        }

        if (layout.IsWritable(entry) && !spaces.Pages.IsExclusive(head))
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
            if (spaces.Pages.IsPartOfHuge(pfn))
            {
                int head = spaces.Pages.HeadOf(pfn);
                totals[head] = totals.GetValueOrDefault(head) + count;
            }
        }

        long whole = 0;
        foreach ((int head, int total) in totals)
        {
            int wholeMaps = _mappedWhole.GetValueOrDefault(head);
            whole += wholeMaps != 0 ? spaces.Huge.Pages : 0;
            if (spaces.Maps.TotalMapCount(head) != total || spaces.Maps.WholeMaps(head) != wholeMaps || spaces.Pages.RefCount(head) < total)
            {
                BugReporter.Corrupt($"huge page 0x{head:x} is mapped by {total} entries, {wholeMaps} of them whole, but counts {spaces.Maps.TotalMapCount(head)} and {spaces.Maps.WholeMaps(head)}, with {spaces.Pages.RefCount(head)} references");
            }

            for (int i = 0; i < 1 << spaces.Frames[head].Order; i++)
            {
                if (spaces.Maps.SmallMaps(head + i) != _mapped.GetValueOrDefault(head + i))
                {
                    BugReporter.Corrupt($"part {i} of huge page 0x{head:x} is mapped by {_mapped.GetValueOrDefault(head + i)} small entries but counts {spaces.Maps.SmallMaps(head + i)}");
                }
            }
        }

        long counted = 0;
        foreach (Node node in spaces.Machine.Nodes)
        {
            counted += node.Counters.AnonHugePages;
        }

        if (counted != whole)
        {
            BugReporter.Corrupt($"nr_anon_transparent_hugepages says {counted} pages but {whole} are mapped as huge pages");
        }

        spaces.Huge.CheckDeferred();
    }
}
