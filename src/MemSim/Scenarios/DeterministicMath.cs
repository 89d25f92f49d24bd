namespace MemSim.Scenarios;

/// <summary>Logarithm and exponential out of additions, multiplications and divisions only, so that a seed gives the same accesses on every platform.</summary>
/// <remarks>The C library's functions may differ in the last bit from one system to the next; IEEE arithmetic does not.</remarks>
internal static class DeterministicMath
{
    private const double Ln2High = 0.6931471803691238;
    private const double Ln2Low = 1.9082149292705877e-10;
    private const double SquareRootOf2 = 1.4142135623730951;

    // Below this the difference of nearly equal numbers would lose digits, and four terms of the series are exact.
    private const double Small = 1e-3;

    /// <summary>The natural logarithm of a positive finite number.</summary>
    public static double Ln(double x)
    {
        long bits = BitConverter.DoubleToInt64Bits(x);
        int exponent = (int)(bits >> 52) - 1023;
        double mantissa = BitConverter.Int64BitsToDouble((bits & 0xf_ffff_ffff_ffff) | 0x3ff0_0000_0000_0000);
        if (mantissa > SquareRootOf2)
        {
            mantissa /= 2;
            exponent++;
        }

        double s = (mantissa - 1) / (mantissa + 1);
        double square = s * s;
        double sum = 0;
        for (int n = 23; n >= 1; n -= 2)
        {
            sum = (sum * square) + (1.0 / n);
        }

        return (exponent * Ln2High) + ((exponent * Ln2Low) + (2 * s * sum));
    }

    /// <summary>e to a power between -700 and 700.</summary>
    public static double Exp(double x)
    {
        int k = (int)Math.Round(x * 1.4426950408889634);
        double r = x - (k * Ln2High) - (k * Ln2Low);
        double sum = 1;
        for (int n = 14; n >= 1; n--)
        {
            sum = 1 + (sum * r / n);
        }

        return sum * BitConverter.Int64BitsToDouble((long)(k + 1023) << 52);
    }

    /// <summary>(e^x - 1) / x.</summary>
    public static double ExpM1Over(double x) => Math.Abs(x) > Small ? (Exp(x) - 1) / x : 1 + (x / 2 * (1 + (x / 3 * (1 + (x / 4 * (1 + (x / 5)))))));

    /// <summary>ln(1 + x) / x.</summary>
    public static double Log1POver(double x) => Math.Abs(x) > Small ? Ln(1 + x) / x : 1 - (x * ((1 / 2.0) - (x * ((1 / 3.0) - (x * ((1 / 4.0) - (x / 5)))))));
}
