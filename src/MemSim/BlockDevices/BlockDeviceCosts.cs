namespace MemSim;

/// <summary>How long a block device takes, in nanoseconds of simulated time.</summary>
/// <param name="OverheadNanoseconds">Each request.</param>
/// <param name="SeekNanoseconds">A request that does not start where the last one ended, besides.</param>
/// <param name="PageNanoseconds">Each page of a request.</param>
public sealed record BlockDeviceCosts(long OverheadNanoseconds, long SeekNanoseconds, long PageNanoseconds)
{
    /// <summary>A solid-state disk: 60 µs a request, 2 GB a second.</summary>
    public static BlockDeviceCosts SolidState { get; } = new(60_000, 0, 2_000);

    /// <summary>A rotating disk: 8 ms to seek, 150 MB a second.</summary>
    public static BlockDeviceCosts Rotating { get; } = new(100_000, 8_000_000, 27_000);

    /// <summary>Memory: next to nothing.</summary>
    public static BlockDeviceCosts Memory { get; } = new(500, 0, 300);
}
