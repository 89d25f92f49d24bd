namespace MemSim.Scenarios;

/// <summary>The random numbers of a scenario: xorshift64 (13, 7, 17).</summary>
internal struct Xorshift64
{
    private ulong _state;

    /// <summary>Starts the numbers of one participant.</summary>
    /// <param name="seed">The scenario's seed.</param>
    /// <param name="stream">Which participant: each has numbers of its own.</param>
    public Xorshift64(ulong seed, ulong stream)
    {
        // Neighbouring seeds must not give similar numbers, and 0 would give nothing but 0 (the mixing is that of splitmix64).
        ulong z = seed + (0x9e3779b97f4a7c15 * (stream + 1));
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        _state = (z ^ (z >> 31)) | 1;
    }

    public ulong Next()
    {
        ulong x = _state;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        return _state = x;
    }

    /// <summary>A number from 0 to <paramref name="limit"/> - 1.</summary>
    public long Below(long limit) => (long)Math.BigMul(Next(), (ulong)limit, out _);

    /// <summary>True in a part of the cases, given as a part of 2^32.</summary>
    public bool Chance(ulong part) => Next() >> 32 < part;

    /// <summary>From 0 to 1, 1 excluded.</summary>
    public double Unit() => (Next() >> 11) * (1.0 / (1UL << 53));

    /// <summary>A probability as <see cref="Chance"/> takes it.</summary>
    public static ulong Part(double probability) => (ulong)(probability * 4294967296.0);
}
