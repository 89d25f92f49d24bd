using MemSim.PageAllocation;

namespace MemSim.VirtualMemory;

/// <summary>The page that all untouched anonymous memory reads as (<c>empty_zero_page</c>): no entry counts as a reference to it.</summary>
internal static class ZeroPage
{
    /// <summary>Takes it at boot, from reserved frames where there are some.</summary>
    /// <returns>Its frame number.</returns>
    public static int Take(Machine machine, IBootFrames frames)
    {
        long reserved = frames.TakeReserved(1);
        if (reserved >= 0)
        {
            return (int)reserved;
        }

        Page page = machine.Cpus[0].AllocPage(Gfp.Kernel | Gfp.Zero);
        return page.IsNull ? throw new InvalidOperationException("there is no memory for the zero page") : page.FrameIndex;
    }
}
