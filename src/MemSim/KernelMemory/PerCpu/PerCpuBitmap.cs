using System.Numerics;
using System.Runtime.CompilerServices;

namespace MemSim.KernelMemory;

/// <summary>Runs of bits in a bitmap: find, set, clear. One bit stands for four bytes of a per-CPU area.</summary>
internal static class PerCpuBitmap
{
    /// <summary>The first set bit at or after a position, or <paramref name="end"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int NextSet(ulong[] map, int from, int end)
    {
        if (from >= end)
        {
            return end;
        }

        ulong word = map[from >> 6] >> from;
        return word != 0 ? Math.Min(from + BitOperations.TrailingZeroCount(word), end) : NextOtherWord(map, 0, (from >> 6) + 1, end);
    }

    /// <summary>The first clear bit at or after a position, or <paramref name="end"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int NextClear(ulong[] map, int from, int end)
    {
        if (from >= end)
        {
            return end;
        }

        ulong word = ~map[from >> 6] >> from;
        return word != 0 ? Math.Min(from + BitOperations.TrailingZeroCount(word), end) : NextOtherWord(map, ulong.MaxValue, (from >> 6) + 1, end);
    }

    /// <summary>The last set bit before a position, or -1.</summary>
    public static int PreviousSet(ulong[] map, int before)
    {
        if (before <= 0)
        {
            return -1;
        }

        int index = (before - 1) >> 6;
        ulong word = map[index] << (63 - ((before - 1) & 63));
        if (word != 0)
        {
            return before - 1 - BitOperations.LeadingZeroCount(word);
        }

        int last = map.AsSpan(0, index).LastIndexOfAnyExcept(0UL);
        return last < 0 ? -1 : (last << 6) + 63 - BitOperations.LeadingZeroCount(map[last]);
    }

    public static void Set(ulong[] map, int start, int count)
    {
        int end = start + count;
        int first = start >> 6;
        int last = (end - 1) >> 6;
        ulong head = ulong.MaxValue << start;
        ulong tail = ulong.MaxValue >> -end;
        if (first == last)
        {
            map[first] |= head & tail;
            return;
        }

        map[first] |= head;
        map.AsSpan((first + 1)..last).Fill(ulong.MaxValue);
        map[last] |= tail;
    }

    public static void Clear(ulong[] map, int start, int count)
    {
        int end = start + count;
        int first = start >> 6;
        int last = (end - 1) >> 6;
        ulong head = ulong.MaxValue << start;
        ulong tail = ulong.MaxValue >> -end;
        if (first == last)
        {
            map[first] &= ~(head & tail);
            return;
        }

        map[first] &= ~head;
        map.AsSpan((first + 1)..last).Clear();
        map[last] &= ~tail;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool IsSet(ulong[] map, int bit) => (map[bit >> 6] >> bit & 1) != 0;

    /// <summary>Skips words that hold nothing but <paramref name="dull"/>.</summary>
    private static int NextOtherWord(ulong[] map, ulong dull, int word, int end)
    {
        if (word << 6 >= end)
        {
            return end;
        }

        int found = map.AsSpan(word, ((end + 63) >> 6) - word).IndexOfAnyExcept(dull);
        return found < 0 ? end : Math.Min(((word + found) << 6) + BitOperations.TrailingZeroCount(map[word + found] ^ dull), end);
    }
}
