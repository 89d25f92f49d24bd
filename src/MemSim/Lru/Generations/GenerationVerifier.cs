using MemSim.Diagnostics;
using MemSim.Pages;

namespace MemSim.Lru;

/// <summary>Checks the generations of an LRU vector: lists, bytes, flags and counts agree, and all generations are inside the window.</summary>
internal sealed class GenerationVerifier(LruVec vec, FrameArray frames, PageAges ages, Func<int, LruVec> listsOf)
{
    private readonly LruGenerations _generations = vec.Generations!;
    private readonly IReadOnlyList<Zone> _zones = vec.Node.Zones;

    /// <summary>Checks that generations, flags and counts agree; adds what is listed, by zone and as the lists that views show.</summary>
    /// <param name="listed">Pages by the machine's number of the zone and by list.</param>
    /// <param name="own">Receives the same for these lists alone.</param>
    /// <param name="frameCount">Frames of the machine.</param>
    /// <param name="inUse">Whether pages are kept by generation now.</param>
    public void Verify(long[,] listed, long[] own, long frameCount, bool inUse)
    {
        for (int kind = 0; kind < LruGenerations.Kinds; kind++)
        {
            if (_generations.Generations(kind) is < LruGenerations.MinGenerations or > LruGenerations.MaxGenerations)
            {
                Fail($"generations {_generations.MinSequence(kind)} to {_generations.MaxSequence} of {NameOf(kind)} pages: there are always two to four");
            }
        }

        long[] found = new long[LruGenerations.ListHeads(_zones.Count)];
        for (int slot = 0; slot < LruGenerations.MaxGenerations; slot++)
        {
            for (int kind = 0; kind < LruGenerations.Kinds; kind++)
            {
                for (int zone = 0; zone < _zones.Count; zone++)
                {
                    VerifyList(slot, kind, zone, frameCount, inUse, found, listed, own);
                }
            }
        }

        for (int i = 0; i < found.Length; i++)
        {
            if (found[i] != _generations.Counted(i))
            {
                int kind = i / _zones.Count % LruGenerations.Kinds;
                Fail($"{_generations.Counted(i)} {NameOf(kind)} pages of {_zones[i % _zones.Count].Name} are counted in slot {i / _zones.Count / LruGenerations.Kinds}, but {found[i]} are there");
            }
        }
    }

    private void VerifyList(int slot, int kind, int zone, long frameCount, bool inUse, long[] found, long[,] listed, long[] own)
    {
        int head = _generations.Head(slot, kind, zone);
        for (int previous = head; ;)
        {
            int pfn = frames[previous].Next;
            if (pfn == head && frames[pfn].Prev == previous)
            {
                return;
            }

            if ((uint)pfn >= (ulong)frameCount || frames[pfn].Prev != previous)
            {
                Fail($"list corruption in slot {slot} of {NameOf(kind)} pages: 0x{previous:x} points to 0x{pfn:x}, which does not point back");
            }

            ref PageFrame frame = ref frames[pfn];
            int slotOfPage = ages.Generation(pfn);
            if (!inUse || !frame.IsOnLru || frame.RefCount == 0 || frame.IsActive || frame.IsUnevictable || LruGenerations.KindOf(frame) != kind || _generations.ZoneOf(frame)?.Index != zone)
            {
                Fail($"pfn 0x{pfn:x} is in slot {slot} of {NameOf(kind)} pages but says of itself: {frame.StoredFlags}, {_generations.ZoneOf(frame)}{(inUse ? "" : ", and generations are off")}");
            }

            if (listsOf(pfn) != vec)
            {
                Fail($"pfn 0x{pfn:x} is on the lists of cgroup {vec.CgroupId}, but cgroup {listsOf(pfn).CgroupId} pays for it");
            }

            if (!Exists(slotOfPage, kind) || !Exists(slot, kind))
            {
                Fail($"pfn 0x{pfn:x} says that it is in slot {slotOfPage} and lies in slot {slot}: generations {_generations.MinSequence(kind)} to {_generations.MaxSequence} exist");
            }

            found[_generations.Index(slotOfPage, kind, zone)] += 1L << frame.Order;
            listed[frame.ZoneId, (int)_generations.ListOf(slotOfPage, kind)] += 1L << frame.Order;
            own[(int)_generations.ListOf(slotOfPage, kind)] += 1L << frame.Order;
            previous = pfn;
        }
    }

    private bool Exists(int slot, int kind)
    {
        for (long seq = _generations.MinSequence(kind); seq <= _generations.MaxSequence; seq++)
        {
            if (LruGenerations.Slot(seq) == slot)
            {
                return true;
            }
        }

        return false;
    }

    private static string NameOf(int kind) => kind == 0 ? "anonymous" : "file";

    private void Fail(string what) => BugReporter.Corrupt($"LRU of {vec.Node}: {what}");
}
