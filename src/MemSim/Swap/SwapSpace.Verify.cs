using MemSim.Diagnostics;
using MemSim.Swap;
using MemSim.Zones;

namespace MemSim;

/// <content>Self-check.</content>
public sealed partial class SwapSpace
{
    /// <summary>Checks slots, entries, the cache and the figures against each other.</summary>
    /// <exception cref="KernelBugException">They do not fit together.</exception>
    internal void Verify()
    {
        SwapCensus census = new();
        foreach (ISwapUser user in Users)
        {
            user.CountEntries(census);
        }

        long total = 0;
        long free = 0;
        long cached = 0;
        foreach (SwapArea? area in _areas)
        {
            if (area is null)
            {
                continue;
            }

            total += area.Pages;
            free += area.Pages - area.UsedPages;
            cached += VerifySlots(area, census);
            area.VerifyClusters();
            if (area.WrongNodes() is { } wrong)
            {
                Fail($"{area.Name}: {wrong}");
            }

        }

        foreach (SwapEntry entry in census.Entries)
        {
            if (CountOf(entry) == 0)
            {
                Fail($"entry {entry} is kept {census.CountOf(entry)} times, but its slot is not in use");
            }
        }

        if (total != TotalPages || free != FreePages)
        {
            Fail($"SwapTotal {TotalPages} and SwapFree {FreePages} pages, but the areas have {total} and {free}");
        }

        VerifyFrames(cached);
    }

    private long VerifySlots(SwapArea area, SwapCensus census)
    {
        long used = 0;
        long cached = 0;
        for (long slot = SwapArea.HeaderSlots; slot < area.Slots; slot++)
        {
            int use = area.UseOf(slot);
            int pfn = area.CachedPage(slot);
            used += use != 0 ? 1 : 0;
            cached += pfn >= 0 ? 1 : 0;
            SwapEntry entry = new(area.Type, slot);
            if (pfn >= 0 != use >= SwapArea.HasCache)
            {
                Fail($"{area.Name} slot {slot}: use 0x{use:x}, but the swap cache has {(pfn >= 0 ? $"pfn 0x{pfn:x}" : "nothing")}");
            }

            if (Users.Count != 0 && (use & SwapArea.CountMask) != census.CountOf(entry))
            {
                Fail($"{area.Name} slot {slot}: counts {use & SwapArea.CountMask} entries, but there are {census.CountOf(entry)}");
            }

            if (pfn >= 0 && (!IsCached(pfn) || EntryOf(pfn) != entry || _frames[pfn].RefCount < 1))
            {
                Fail($"{area.Name} slot {slot}: pfn 0x{pfn:x} says of itself: {_frames[pfn].StoredFlags}, entry {EntryOf(pfn)}, {_frames[pfn].RefCount} references");
            }
        }

        if (used != area.UsedPages)
        {
            Fail($"{area.Name}: {area.UsedPages} slots are counted as used, but {used} are");
        }

        return cached;
    }

    private void VerifyFrames(long cached)
    {
        long counted = 0;
        foreach (Node node in Machine.Nodes)
        {
            counted += node.Counters.SwapCached;
        }

        if (cached != counted || cached != CachedPages)
        {
            Fail($"{counted} pages are counted in the swap cache, but {cached} are there");
        }

        long flagged = 0;
        foreach (PresentRange range in Machine.ZoneTable.PresentRanges)
        {
            FramesInUse used = new(Machine, range.Start, range.End);
            while (used.MoveNext())
            {
                flagged += IsCached(used.Pfn) ? 1 : 0;
            }
        }

        if (flagged != cached)
        {
            Fail($"{flagged} pages say they are in the swap cache, but {cached} are");
        }
    }

    private static void Fail(string what) => BugReporter.Corrupt("swap: " + what);
}
