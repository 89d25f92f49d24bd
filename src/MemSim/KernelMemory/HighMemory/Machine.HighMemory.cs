using System.Runtime.CompilerServices;
using MemSim.KernelMemory;

namespace MemSim;

/// <content>High memory and fixed mappings.</content>
public sealed partial class Machine
{
    /// <summary>The mappings at addresses fixed when the kernel was compiled.</summary>
    internal Fixmap Fixmap { get; private set; } = null!;

    /// <summary>The window of kmap, made with the MMU when first asked for.</summary>
    internal PersistentKmaps? Kmaps { get; private set; }

    /// <summary>Whether a frame lies in the direct map.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal bool IsLowMemory(int pfn) => pfn < _directMapEndPfn;

    /// <summary>Runs background threads that were woken, if any.</summary>
    internal bool RunsBackground(Cpu cpu) => BackgroundTasks.RunPending(cpu) > 0;

    private void VerifyHighMemory()
    {
        Kmaps?.Verify();
        foreach (Cpu cpu in _cpus)
        {
            cpu.HighMemory.VerifyMappings();
        }
    }
}
