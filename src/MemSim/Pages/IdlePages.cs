using System.Runtime.CompilerServices;

namespace MemSim.Pages;

/// <summary>Which pages were not used since somebody marked them idle, and which of those used were found out by idle page tracking (<c>PG_idle</c>, <c>PG_young</c>): a bit each of every frame.</summary>
/// <remarks>
/// 64-bit kernels have them among the flags of the page, which are gone when it is freed; in 32 bits there is no room, and what lies in <c>page_ext</c> outlives the page:
/// the next one in the frame is idle before it was ever used.
/// </remarks>
internal sealed class IdlePages
{
    private const int FramesShift = 6;

    private readonly ulong[] _idle;
    private readonly ulong[] _young;
    private readonly bool _outlivesPages;

    public IdlePages(long frames, bool outlivesPages)
    {
        _idle = new ulong[(frames + 63) >> FramesShift];
        _young = new ulong[_idle.Length];
        _outlivesPages = outlivesPages;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool IsIdle(int pfn) => (Volatile.Read(ref _idle[pfn >> FramesShift]) & Bit(pfn)) != 0;

    public bool IsYoung(int pfn) => (Volatile.Read(ref _young[pfn >> FramesShift]) & Bit(pfn)) != 0;

    /// <summary>The flags as they show (<see cref="PageFlags.Idle"/>, <see cref="PageFlags.Young"/>).</summary>
    public PageFlags FlagsOf(int pfn) => (IsIdle(pfn) ? PageFlags.Idle : 0) | (IsYoung(pfn) ? PageFlags.Young : 0);

    /// <summary>Marks a page idle (<c>folio_set_idle()</c>).</summary>
    public void MarkIdle(int pfn) => Interlocked.Or(ref _idle[pfn >> FramesShift], Bit(pfn));

    /// <summary>The page was used (<c>folio_clear_idle()</c>).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Used(int pfn)
    {
        if (IsIdle(pfn))
        {
            Interlocked.And(ref _idle[pfn >> FramesShift], ~Bit(pfn));
        }
    }

    /// <summary>The page was used, and reclaim, which finds no trace of it in page tables any more, is to know (<c>folio_set_young()</c>).</summary>
    public void FoundUsed(int pfn)
    {
        Used(pfn);
        Interlocked.Or(ref _young[pfn >> FramesShift], Bit(pfn));
    }

    /// <summary>Tells once that the page was found used (<c>folio_test_clear_young()</c>).</summary>
    public bool TestClearYoung(int pfn) => IsYoung(pfn) && (Interlocked.And(ref _young[pfn >> FramesShift], ~Bit(pfn)) & Bit(pfn)) != 0;

    /// <summary>A frame that a page moves to, or a part of one that is split, is as idle as the page.</summary>
    public void Copy(int from, int to)
    {
        if (IsIdle(from))
        {
            MarkIdle(to);
        }

        if (IsYoung(from))
        {
            Interlocked.Or(ref _young[to >> FramesShift], Bit(to));
        }
    }

    /// <summary>The page is freed.</summary>
    public void Forget(int pfn)
    {
        if (!_outlivesPages)
        {
            Used(pfn);
            _ = TestClearYoung(pfn);
        }
    }

    /// <summary>The first frame that nobody uses and that says of itself that it is idle or young; -1 where there is none, as there should be.</summary>
    public int FirstOutOfUse(FrameArray frames)
    {
        for (int word = 0; word < _idle.Length && !_outlivesPages; word++)
        {
            ulong bits = _idle[word] | _young[word];
            while (bits != 0)
            {
                int pfn = (word << FramesShift) + System.Numerics.BitOperations.TrailingZeroCount(bits);
                bits &= bits - 1;
                if (!frames[pfn].IsInUse)
                {
                    return pfn;
                }
            }
        }

        return -1;
    }

    private static ulong Bit(int pfn) => 1UL << (pfn & 63);
}
