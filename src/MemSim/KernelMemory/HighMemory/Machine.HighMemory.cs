using System.Runtime.CompilerServices;
using MemSim.KernelMemory;

namespace MemSim;

/// <content>High memory and fixed mappings.</content>
public sealed partial class Machine
{
    /// <summary>The mappings at addresses fixed when the kernel was compiled.</summary>
    public Fixmap Fixmap { get; private set; } = null!;

    /// <summary>The slots of <see cref="Cpu.Kmap"/>; none on 64 bits, which have no high memory.</summary>
    public IReadOnlyList<KmapSlot> KmapSlots => Kmaps?.List() ?? [];

    /// <summary>How long a task may sleep in <see cref="Cpu.Kmap"/> on a machine with parallel CPUs before it is reported (<c>hung_task_timeout_secs</c>).</summary>
    public TimeSpan HungTaskTimeout { get; set; } = TimeSpan.FromSeconds(120);

    /// <summary>The window of kmap, made with the MMU when first asked for.</summary>
    internal PersistentKmaps? Kmaps { get; private set; }

    /// <summary>Whether a frame lies in the direct map.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal bool IsLowMemory(int pfn) => pfn < _directMapEndPfn;

    /// <summary>Runs background threads that were woken, if any.</summary>
    internal bool RunsBackground(Cpu cpu) => Background.RunPending(cpu) > 0;

    private void VerifyHighMemory()
    {
        Kmaps?.Verify();
        foreach (Cpu cpu in _cpus)
        {
            cpu.VerifyMappings();
        }
    }
}
