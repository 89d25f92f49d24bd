namespace MemSim.Scenarios;

/// <summary>The pages that a pattern touches, one after the other. Touches nothing itself and allocates nothing.</summary>
internal struct AccessStream
{
    private const long FramesPerPage = 4;

    private readonly AccessKind _kind;
    private readonly long _pages;
    private readonly long _hotPages;
    private readonly ulong _hotShare;
    private readonly long _scatter;
    private readonly double _exponent;
    private readonly double _zipfLow;
    private readonly double _zipfHigh;
    private readonly double _zipfSquash;
    private long _position;

    public AccessStream(AccessPattern pattern, long pages)
    {
        _kind = pattern.Kind;
        _pages = pages;
        switch (_kind)
        {
            case AccessKind.Sequential:
                _scatter = Math.Max(1, (long)pattern.First);
                break;
            case AccessKind.Zipf:
                _exponent = pattern.First;
                _scatter = Scatter(pages);
                _zipfLow = Integral(1.5) - 1;
                _zipfHigh = Integral(pages + 0.5);
                _zipfSquash = 2 - InverseIntegral(Integral(2.5) - Density(2));
                break;
            case AccessKind.HotCold:
                _hotPages = Math.Clamp((long)(pages * pattern.First), 1, pages);
                _hotShare = _hotPages == pages ? Xorshift64.Part(1) : Xorshift64.Part(pattern.Second);
                break;
            default:
                break;
        }
    }

    /// <summary>The next page, counted from the region's start.</summary>
    public long Next(ref Xorshift64 random)
    {
        switch (_kind)
        {
            case AccessKind.Sequential:
                long page = _position;
                _position += _scatter;
                if (_position >= _pages)
                {
                    // A stride visits the pages it left out in its next rounds.
                    long next = (_position % _scatter) + 1;
                    _position = next < _scatter && next < _pages ? next : 0;
                }

                return page;
            case AccessKind.Random:
                return random.Below(_pages);
            case AccessKind.Zipf:
                return (long)((UInt128)(ulong)(Rank(ref random) - 1) * (ulong)_scatter % (ulong)_pages);
            case AccessKind.StackLike:
                // Calls and returns are equally likely; nobody returns from the first frame or calls beyond the last.
                long frames = _pages * FramesPerPage;
                _position += (random.Next() >> 40 & 1) != 0 ? 1 : -1;
                _position = Math.Clamp(_position, 0, frames - 1);
                return _pages - 1 - (_position / FramesPerPage);
            default:
                return random.Chance(_hotShare) ? random.Below(_hotPages) : _hotPages + random.Below(_pages - _hotPages);
        }
    }

    /// <summary>A rank from 1 to the number of pages with Zipf's distribution.</summary>
    /// <remarks>Rejection-inversion after Hörmann and Derflinger (1996): needs no table, however large the region, and about 1.1 tries.</remarks>
    private readonly long Rank(ref Xorshift64 random)
    {
        if (_pages == 1)
        {
            return 1;
        }

        while (true)
        {
            double u = _zipfHigh + (random.Unit() * (_zipfLow - _zipfHigh));
            double x = InverseIntegral(u);
            long k = Math.Clamp((long)(x + 0.5), 1, _pages);
            if (k - x <= _zipfSquash || u >= Integral(k + 0.5) - Density(k))
            {
                return k;
            }
        }
    }

    private readonly double Density(double x) => DeterministicMath.Exp(-_exponent * DeterministicMath.Ln(x));

    private readonly double Integral(double x)
    {
        double ln = DeterministicMath.Ln(x);
        return DeterministicMath.ExpM1Over((1 - _exponent) * ln) * ln;
    }

    private readonly double InverseIntegral(double x)
    {
        double t = Math.Max(x * (1 - _exponent), -1 + 1e-15);
        return DeterministicMath.Exp(Math.Min(DeterministicMath.Log1POver(t) * x, 700));
    }

    /// <summary>A factor that maps ranks to pages one to one and keeps neighbours apart: near the golden section, without a common divisor.</summary>
    private static long Scatter(long pages)
    {
        long factor = Math.Max(1, (long)(pages * 0.6180339887498949));
        while (GreatestCommonDivisor(factor, pages) != 1)
        {
            factor++;
        }

        return factor;
    }

    private static long GreatestCommonDivisor(long a, long b)
    {
        while (b != 0)
        {
            (a, b) = (b, a % b);
        }

        return a;
    }
}
