using System.Runtime.CompilerServices;

namespace MemSim.KernelMemory;

/// <summary>A stretch of per-CPU memory: one unit for each CPU, all cut up alike (<c>struct pcpu_chunk</c>).</summary>
/// <remarks>
/// Two bitmaps say what is in use and where areas begin. The largest free run is always known exactly: <see cref="BestBits"/> at <c>_bestStart</c>, with an
/// upper bound for every other run; only when that bound overtakes the best run are all runs looked at again.
/// </remarks>
internal sealed class PerCpuChunk
{
    /// <summary>log2 of the bytes of one bit.</summary>
    public const int BitShift = 2;

    public const int MinBytes = 1 << BitShift;

    private const int BitsPerPageShift = PageGeometry.PageShift - BitShift;

    private readonly ulong[] _used;
    private readonly ulong[] _starts;
    private readonly short[] _usedInPage;
    private readonly int[] _frames;
    private readonly int _cpus;
    private int _firstFree;
    private int _bestStart;
    private int _otherBits;

    /// <summary>Makes a chunk with nothing in use.</summary>
    /// <param name="number">Its number; 0 is the first chunk.</param>
    /// <param name="unitBytes">Bytes of a unit, whole pages.</param>
    /// <param name="cpus">Units.</param>
    public PerCpuChunk(int number, int unitBytes, int cpus)
    {
        Number = number;
        Bits = unitBytes >> BitShift;
        UnitPages = unitBytes >> PageGeometry.PageShift;
        FreeBits = BestBits = Bits;
        _cpus = cpus;
        _used = new ulong[(Bits + 63) >> 6];
        _starts = new ulong[(Bits >> 6) + 1];
        _usedInPage = new short[UnitPages];
        _frames = new int[UnitPages * cpus];
        Array.Fill(_frames, -1);
    }

    public int Number { get; }

    public int Bits { get; }

    public int UnitPages { get; }

    public int FreeBits { get; private set; }

    /// <summary>The largest free run.</summary>
    public int BestBits { get; private set; }

    /// <summary>Pages of a unit that are backed by memory.</summary>
    public int PopulatedPages { get; private set; }

    /// <summary>Pages of a unit that are backed by memory and hold nothing.</summary>
    public int EmptyPopulatedPages { get; private set; }

    /// <summary>Whether nothing is in use.</summary>
    public bool IsEmpty => FreeBits == Bits;

    /// <summary>The list the chunk is on, and its neighbours there.</summary>
    public int Slot { get; set; } = -1;

    public PerCpuChunk? Next { get; set; }

    public PerCpuChunk? Previous { get; set; }

    /// <summary>The frame behind a page of a CPU's unit, or -1.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Frame(int cpu, int page) => _frames[(cpu * UnitPages) + page];

    public bool IsPopulated(int page) => _frames[page] >= 0;

    /// <summary>The first place for an area, lowest address first; -1 when there is none.</summary>
    /// <param name="bits">Its length.</param>
    /// <param name="align">Its alignment in bits, a power of two.</param>
    /// <param name="populatedOnly">Whether it must lie on pages that have memory.</param>
    public int Find(int bits, int align, bool populatedOnly)
    {
        if (bits > BestBits)
        {
            return -1;
        }

        int at = _firstFree = PerCpuBitmap.NextClear(_used, _firstFree, Bits);
        while (true)
        {
            at = (at + align - 1) & -align;
            if (at + bits > Bits)
            {
                return -1;
            }

            int taken = PerCpuBitmap.NextSet(_used, at, at + bits);
            if (taken < at + bits)
            {
                at = PerCpuBitmap.NextClear(_used, taken + 1, Bits);
                continue;
            }

            int bare = populatedOnly ? FirstUnpopulated(at, bits) : -1;
            if (bare < 0)
            {
                return at;
            }

            at = (bare + 1) << BitsPerPageShift;
        }
    }

    /// <summary>Takes an area that <see cref="Find"/> found.</summary>
    public void Take(int start, int bits)
    {
        ShrinkRun(start, bits);
        PerCpuBitmap.Set(_used, start, bits);
        MarkStart(start);
        CountUse(start, bits, 1);
        FreeBits -= bits;
        if (start == _firstFree)
        {
            _firstFree = start + bits;
        }
    }

    /// <summary>Whether an area covers a bit.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool IsUsed(int bit) => PerCpuBitmap.IsSet(_used, bit);

    /// <summary>The length of the area that starts at a bit; 0 when none does.</summary>
    public int AreaBits(int start) =>
        (uint)start < (uint)Bits && PerCpuBitmap.IsSet(_starts, start) && PerCpuBitmap.IsSet(_used, start) ? AreaEnd(start) - start : 0;

    /// <summary>Gives an area back.</summary>
    public void Return(int start, int bits)
    {
        PerCpuBitmap.Clear(_used, start, bits);
        _starts[start >> 6] &= ~(1UL << start);
        CountUse(start, bits, -1);
        FreeBits += bits;
        _firstFree = Math.Min(_firstFree, start);
        GrowRun(start, bits);
    }

    /// <summary>Backs a page of every unit with memory.</summary>
    /// <param name="page">The page of a unit.</param>
    /// <param name="frames">A frame for each CPU.</param>
    public void Populate(int page, ReadOnlySpan<int> frames)
    {
        for (int cpu = 0; cpu < _cpus; cpu++)
        {
            _frames[(cpu * UnitPages) + page] = frames[cpu];
        }

        PopulatedPages++;
        EmptyPopulatedPages += _usedInPage[page] == 0 ? 1 : 0;
    }

    /// <summary>Takes the memory behind a page of every unit away.</summary>
    public void Depopulate(int page)
    {
        EmptyPopulatedPages -= _usedInPage[page] == 0 ? 1 : 0;
        PopulatedPages--;
        for (int cpu = 0; cpu < _cpus; cpu++)
        {
            _frames[(cpu * UnitPages) + page] = -1;
        }
    }

    public bool IsPageEmpty(int page) => _usedInPage[page] == 0;

    /// <summary>Counts everything anew and compares.</summary>
    /// <returns>What is wrong, or null.</returns>
    public string? Check()
    {
        int free = 0;
        int best = 0;
        for (int at = PerCpuBitmap.NextClear(_used, 0, Bits); at < Bits;)
        {
            int end = PerCpuBitmap.NextSet(_used, at, Bits);
            if (at < _firstFree)
            {
                return $"bit {at} is free, before the first free bit {_firstFree}";
            }

            if (end - at > _otherBits && at != _bestStart)
            {
                return $"the free run of {end - at} bits at {at} is larger than the bound {_otherBits}";
            }

            free += end - at;
            best = Math.Max(best, end - at);
            at = PerCpuBitmap.NextClear(_used, end, Bits);
        }

        if (free != FreeBits || best != BestBits)
        {
            return $"{free} bits are free, the largest run has {best}; counted were {FreeBits} and {BestBits}";
        }

        for (int page = 0; page < UnitPages; page++)
        {
            int used = 0;
            for (int bit = page << BitsPerPageShift; bit < (page + 1) << BitsPerPageShift; bit++)
            {
                bool isUsed = PerCpuBitmap.IsSet(_used, bit);
                used += isUsed ? 1 : 0;
                if (PerCpuBitmap.IsSet(_starts, bit) && !isUsed)
                {
                    return $"an area starts at bit {bit}, which is free";
                }
            }

            if (used != _usedInPage[page])
            {
                return $"page {page} has {used} bits in use; counted were {_usedInPage[page]}";
            }

            if (used != 0 && !IsPopulated(page))
            {
                return $"page {page} is in use but has no memory";
            }
        }

        return null;
    }

    private int AreaEnd(int start)
    {
        int end = PerCpuBitmap.NextClear(_used, start, Bits);
        return PerCpuBitmap.NextSet(_starts, start + 1, end);
    }

    private void MarkStart(int start) => _starts[start >> 6] |= 1UL << start;

    private int FirstUnpopulated(int start, int bits)
    {
        int last = (start + bits - 1) >> BitsPerPageShift;
        for (int page = start >> BitsPerPageShift; page <= last; page++)
        {
            if (!IsPopulated(page))
            {
                return page;
            }
        }

        return -1;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void CountUse(int start, int bits, int sign)
    {
        while (bits > 0)
        {
            int page = start >> BitsPerPageShift;
            int here = Math.Min(bits, ((page + 1) << BitsPerPageShift) - start);
            int before = _usedInPage[page];
            int after = before + (sign * here);
            _usedInPage[page] = (short)after;
            if ((before == 0 || after == 0) && IsPopulated(page))
            {
                EmptyPopulatedPages -= sign;
            }

            start += here;
            bits -= here;
        }
    }

    private void ShrinkRun(int start, int bits)
    {
        if (start < _bestStart || start >= _bestStart + BestBits)
        {
            return;
        }

        int before = start - _bestStart;
        int after = _bestStart + BestBits - start - bits;
        int larger = Math.Max(before, after);
        if (larger < _otherBits)
        {
            PerCpuBitmap.Set(_used, start, bits);
            FindBest();
            return;
        }

        _otherBits = Math.Max(_otherBits, Math.Min(before, after));
        _bestStart = after >= before ? start + bits : _bestStart;
        BestBits = larger;
    }

    private void GrowRun(int start, int bits)
    {
        // Most areas lie beside the largest run, whose ends are known.
        int from = _bestStart + BestBits == start ? _bestStart : PerCpuBitmap.PreviousSet(_used, start) + 1;
        int end = _bestStart == start + bits ? _bestStart + BestBits : PerCpuBitmap.NextSet(_used, start + bits, Bits);
        int run = end - from;
        if (_bestStart >= from && _bestStart < end)
        {
            _bestStart = from;
            BestBits = run;
        }
        else if (run > BestBits)
        {
            _otherBits = Math.Max(_otherBits, BestBits);
            _bestStart = from;
            BestBits = run;
        }
        else
        {
            _otherBits = Math.Max(_otherBits, run);
        }
    }

    private void FindBest()
    {
        BestBits = _otherBits = 0;
        _bestStart = Bits;
        for (int at = PerCpuBitmap.NextClear(_used, _firstFree, Bits); at < Bits;)
        {
            int end = PerCpuBitmap.NextSet(_used, at, Bits);
            if (end - at > BestBits)
            {
                _otherBits = BestBits;
                BestBits = end - at;
                _bestStart = at;
            }
            else
            {
                _otherBits = Math.Max(_otherBits, end - at);
            }

            at = PerCpuBitmap.NextClear(_used, end, Bits);
        }
    }
}
