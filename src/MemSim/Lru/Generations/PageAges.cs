using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace MemSim.Lru;

/// <summary>Of each frame its generation and how often it was accessed through file descriptors (<c>LRU_GEN_MASK</c>, <c>LRU_REFS_MASK</c>): a byte, in a table that is made with the first page on a list.</summary>
/// <remarks>The frame itself has no room left. On a machine with parallel CPUs only who holds the lock of the page's lists changes its byte.</remarks>
internal sealed class PageAges
{
    /// <summary>The largest count of accesses (<c>LRU_REFS_WIDTH</c> is 2).</summary>
    public const int MaxAccesses = 3;

    private const int GenerationMask = 7;
    private const int AccessShift = 3;
    private const int AccessMask = MaxAccesses << AccessShift;

    private readonly long _frames;
    // Guards that _bytes is made once.
    private readonly Lock _making = new();
    private byte[] _bytes = [];

    public PageAges(long frames) => _frames = frames;

    /// <summary>Makes the table. Without one every page says that it is on no list.</summary>
    public void Make()
    {
        lock (_making)
        {
            if (_bytes.Length == 0)
            {
                _bytes = new byte[_frames];
            }
        }
    }

    /// <summary>Whether there is a table.</summary>
    public bool IsMade => _bytes.Length != 0;

    /// <summary>The slot of the generation a page is in, -1 when it is on no list of a generation.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Generation(int pfn) => (uint)pfn < (uint)_bytes.Length ? (_bytes[pfn] & GenerationMask) - 1 : -1;

    /// <summary>The count of accesses: what it stands for is the kernel line's rule.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Accesses(int pfn) => (uint)pfn < (uint)_bytes.Length ? (_bytes[pfn] & AccessMask) >> AccessShift : 0;

    /// <summary>The page comes into a generation; -1: it leaves its list.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void SetGeneration(int pfn, int slot)
    {
        Debug.Assert(slot is >= -1 and < LruGenerations.MaxGenerations, "a generation's slot, or none");
        _bytes[pfn] = (byte)((_bytes[pfn] & AccessMask) | (slot + 1));
    }

    /// <summary>The page comes into a generation, its accesses forgotten.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Begin(int pfn, int slot)
    {
        Debug.Assert(slot is >= 0 and < LruGenerations.MaxGenerations && Generation(pfn) >= 0, "from a generation into another");
        _bytes[pfn] = (byte)(slot + 1);
    }

    /// <summary>Sets the count of accesses.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void SetAccesses(int pfn, int accesses)
    {
        Debug.Assert(accesses is >= 0 and <= MaxAccesses, "what its two bits can hold");
        if ((uint)pfn < (uint)_bytes.Length)
        {
            _bytes[pfn] = (byte)((_bytes[pfn] & GenerationMask) | (accesses << AccessShift));
        }
        else if (accesses != 0)
        {
            Make();
            SetAccesses(pfn, accesses);
        }
    }

    /// <summary>A part of a page that is split is as old as the whole.</summary>
    public void Copy(int from, int to)
    {
        if (IsMade)
        {
            _bytes[to] = _bytes[from];
        }
    }

    /// <summary>Nothing is known of a page that is free.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Forget(int pfn)
    {
        if ((uint)pfn < (uint)_bytes.Length)
        {
            _bytes[pfn] = 0;
        }
    }
}
