using System.Diagnostics;
using System.Numerics;

namespace MemSim.BlockDevices;

/// <summary>Which pages of a device are taken.</summary>
internal sealed class PageBitmap
{
    private const int Bits = 64;
    private readonly ulong[] _taken;
    private readonly long _pages;

    public PageBitmap(long pages)
    {
        _pages = pages;
        _taken = new ulong[(pages + Bits - 1) / Bits];
        for (long i = pages; i < (long)_taken.Length * Bits; i++)
        {
            Set(i);
        }

        Free = pages;
    }

    public long Free { get; private set; }

    /// <summary>Takes the first free page at or after a place, beginning anew at the start when there is none.</summary>
    /// <returns>-1 when none is free.</returns>
    public long Take(long goal)
    {
        if (Free == 0)
        {
            return -1;
        }

        goal = goal < 0 || goal >= _pages ? 0 : goal;
        long word = goal / Bits;
        ulong free = ~_taken[word] & (ulong.MaxValue << (int)(goal % Bits));
        while (free == 0)
        {
            word = (word + 1) % _taken.Length;
            free = ~_taken[word];
        }

        long page = (word * Bits) + BitOperations.TrailingZeroCount(free);
        Debug.Assert(page < _pages && !IsTaken(page) && Free > 0, "a page of the device that is free");
        Set(page);
        Free--;
        return page;
    }

    /// <summary>Takes a run of pages, all or none.</summary>
    public bool TryTake(long first, long count)
    {
        for (long i = first; i < first + count; i++)
        {
            if (IsTaken(i))
            {
                return false;
            }
        }

        for (long i = first; i < first + count; i++)
        {
            Set(i);
        }

        Free -= count;
        Debug.Assert(Free >= 0 && first >= 0 && first + count <= _pages, "no more are taken than were free");
        return true;
    }

    public void Give(long first, long count)
    {
        for (long i = first; i < first + count; i++)
        {
            Debug.Assert(IsTaken(i), "what is given back was taken");
            _taken[i / Bits] &= ~(1UL << (int)(i % Bits));
        }

        Free += count;
        Debug.Assert(Free <= _pages && first >= 0 && first + count <= _pages, "no more are free than there are");
    }

    private bool IsTaken(long page) => (_taken[page / Bits] >> (int)(page % Bits) & 1) != 0;

    private void Set(long page) => _taken[page / Bits] |= 1UL << (int)(page % Bits);
}
