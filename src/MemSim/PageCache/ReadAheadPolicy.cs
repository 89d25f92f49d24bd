namespace MemSim.PageCache;

/// <summary>How large a read-ahead window is.</summary>
internal static class ReadAheadPolicy
{
    /// <summary>128 KiB.</summary>
    public const uint DefaultMaxPages = (128 << 10) / PageGeometry.PageSize;

    /// <summary>The first window of a stream, from the size of its first request: four times a small one, twice a middling one, at most the largest.</summary>
    public static uint FirstWindow(uint request, uint max)
    {
        uint rounded = System.Numerics.BitOperations.RoundUpToPowerOf2(Math.Max(request, 1));
        uint factor = rounded <= max / 32 ? 4u : rounded <= max / 4 ? 2u : 0;
        return factor == 0 ? max : Math.Min(rounded * factor, max);
    }

    /// <summary>The window after this one: four times a small one, then twice, at most the largest.</summary>
    public static uint NextWindow(uint current, uint max) => current < max / 16 ? current * 4 : current <= max / 2 ? current * 2 : max;
}
