namespace MemSim.Tests;

/// <summary>What a piece of code takes from the managed heap.</summary>
internal static class ManagedBytes
{
    private const int Attempts = 5;

    /// <summary>The fewest bytes of several runs after a first: a collection that another test causes charges the rest of the thread's buffer to whoever runs, once; code that allocates does so every time.</summary>
    public static long TakenBy(Action action)
    {
        action();
        long least = long.MaxValue;
        for (int attempt = 0; attempt < Attempts && least != 0; attempt++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            action();
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        return least;
    }
}
