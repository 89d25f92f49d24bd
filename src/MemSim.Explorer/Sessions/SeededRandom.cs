namespace MemSim.Explorer.Sessions;

/// <summary>Numbers that are the same on every run from the same seed.</summary>
/// <param name="seed">Where to start.</param>
public sealed class SeededRandom(ulong seed)
{
    private ulong _state = (seed * 0x9e37_79b9_7f4a_7c15) + 0x1234_5678_9abc_def1;

    /// <summary>Where it is.</summary>
    internal ulong State
    {
        get => _state;
        init => _state = value;
    }

    /// <summary>A number from 0 to below <paramref name="end"/>.</summary>
    public int Next(int end)
    {
        _state ^= _state << 13;
        _state ^= _state >> 7;
        _state ^= _state << 17;
        return (int)((_state >> 11) % (ulong)end);
    }
}
