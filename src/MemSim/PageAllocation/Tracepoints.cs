using System.Runtime.CompilerServices;
using MemSim.Diagnostics;
using MemSim.Hardware;
using MemSim.Statistics;

namespace MemSim.PageAllocation;

/// <summary>Passes tracepoints on to whoever listens. Exists for hot paths only while somebody does.</summary>
internal sealed class Tracepoints : TraceFanOut<IPageTraceSink>, IPageTraceSink
{
    private PageOwnerTracker? _owners;

    public Tracepoints(PageOwnerTracker? owners)
    {
        if (owners is not null)
        {
            Track(owners);
        }
    }

    /// <summary>Has owners of pages recorded from now on, those of bulk allocations included.</summary>
    public void Track(PageOwnerTracker owners)
    {
        _owners = owners;
        Attach(owners);
    }

    /// <summary>A page of a bulk allocation: 6.1 has no tracepoint for it, but its owner is recorded.</summary>
    public void BulkPage(Cpu cpu, long pfn, MigrateType type, Gfp gfp) => _owners?.MmPageAlloc(cpu, pfn, 0, type, gfp);

    // The two of every page are passed on without a delegate in between. What may throw is called from a method of its own: the others keep what they know in registers.
    public void MmPageAlloc(Cpu cpu, long pfn, int order, MigrateType migrateType, Gfp gfp)
    {
        if (cpu.Mode != CpuMode.Observed || cpu.InProgress is not { } here)
        {
            MmPageAllocAnywhere(cpu, pfn, order, migrateType, gfp);
            return;
        }

        bool slabReady = Begin(cpu, here);
        foreach (IPageTraceSink sink in Sinks)
        {
            Deliver(sink, cpu, pfn, order, migrateType, gfp);
        }

        End(cpu, here, slabReady);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void MmPageAllocAnywhere(Cpu cpu, long pfn, int order, MigrateType migrateType, Gfp gfp) => Pass(cpu, (pfn, order, migrateType, gfp), static (sink, cpu, in e) => sink.MmPageAlloc(cpu, e.pfn, e.order, e.migrateType, e.gfp));

    private static void Deliver(IPageTraceSink sink, Cpu cpu, long pfn, int order, MigrateType migrateType, Gfp gfp)
    {
        try
        {
            sink.MmPageAlloc(cpu, pfn, order, migrateType, gfp);
        }
        catch (Exception thrown)
        {
            cpu.Machine.Hooks.Tracepoints.Failed(cpu, sink, thrown);
        }
    }

    public void MmPageFree(Cpu cpu, long pfn, int order)
    {
        if (cpu.Mode != CpuMode.Observed || cpu.InProgress is not { } here)
        {
            MmPageFreeAnywhere(cpu, pfn, order);
            return;
        }

        bool slabReady = Begin(cpu, here);
        foreach (IPageTraceSink sink in Sinks)
        {
            Deliver(sink, cpu, pfn, order);
        }

        End(cpu, here, slabReady);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void MmPageFreeAnywhere(Cpu cpu, long pfn, int order) => Pass(cpu, (pfn, order), static (sink, cpu, in e) => sink.MmPageFree(cpu, e.pfn, e.order));

    private static void Deliver(IPageTraceSink sink, Cpu cpu, long pfn, int order)
    {
        try
        {
            sink.MmPageFree(cpu, pfn, order);
        }
        catch (Exception thrown)
        {
            cpu.Machine.Hooks.Tracepoints.Failed(cpu, sink, thrown);
        }
    }

    public void MmPageFreeBatched(Cpu cpu, long pfn) => Pass(cpu, in pfn, static (sink, cpu, in pfn) => sink.MmPageFreeBatched(cpu, pfn));

    public void MmPageAllocZoneLocked(Cpu cpu, long pfn, int order, MigrateType migrateType, bool percpuRefill) =>
        Pass(cpu, (pfn, order, migrateType, percpuRefill), static (sink, cpu, in e) => sink.MmPageAllocZoneLocked(cpu, e.pfn, e.order, e.migrateType, e.percpuRefill));

    public void MmPagePcpuDrain(Cpu cpu, long pfn, int order, MigrateType migrateType) =>
        Pass(cpu, (pfn, order, migrateType), static (sink, cpu, in e) => sink.MmPagePcpuDrain(cpu, e.pfn, e.order, e.migrateType));

    public void MmPageAllocExtfrag(Cpu cpu, long pfn, int allocOrder, int fallbackOrder, MigrateType allocType, MigrateType fallbackType, bool changeOwnership) =>
        Pass(cpu, (pfn, allocOrder, fallbackOrder, allocType, fallbackType, changeOwnership), static (sink, cpu, in e) => sink.MmPageAllocExtfrag(cpu, e.pfn, e.allocOrder, e.fallbackOrder, e.allocType, e.fallbackType, e.changeOwnership));

    /// <summary>
    /// As <see cref="UserCodeScope"/>, where fast paths of the page allocator are closed anyway because somebody listens: the mode stays, and the checked ways in ask whether code of the user's runs. Not a
    /// scope: its flag would be stored and loaded again in different widths, which costs more than all the rest.
    /// </summary>
    /// <returns>What <see cref="End"/> needs.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool Begin(Cpu cpu, Callouts.State here)
    {
        bool slabReady = cpu.SlabReady;
        cpu.SlabReady = false;
        here.UserCode++;
        return slabReady;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void End(Cpu cpu, Callouts.State here, bool slabReady)
    {
        here.UserCode--;
        cpu.SlabReady = slabReady;
        if (cpu.Mode != CpuMode.Observed)
        {
            // The receiver changed what the mode depends on, and got the answer of the time when it ran.
            cpu.Context.UpdateMode();
        }
    }
}
