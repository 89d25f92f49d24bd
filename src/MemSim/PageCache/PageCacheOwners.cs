using MemSim.Lru;
using MemSim.Pages;

namespace MemSim.PageCache;

/// <summary>The parts of <see cref="IPageOwners"/> that concern pages of files and shared memory; whoever implements it passes those on.</summary>
internal static class PageCacheOwners
{
    /// <summary>Whether a page belongs to a file or to shared memory.</summary>
    public static bool Owns(Machine machine, int pfn) => MappingOf(machine, pfn) is not null;

    /// <summary>As <see cref="IPageOwners.PageOut"/>. The page stays locked.</summary>
    public static PageOutOutcome PageOut(Cpu cpu, int pfn) => MappingOf(cpu.Machine, pfn)?.PageOut(cpu, pfn) ?? PageOutOutcome.Keep;

    /// <summary>As <see cref="IPageOwners.RemoveFromCache"/>.</summary>
    public static bool RemoveFromCache(Cpu cpu, int pfn) => MappingOf(cpu.Machine, pfn)?.TryRemove(cpu, pfn, leavesShadow: true) ?? false;

    /// <summary>As <see cref="IPageOwners.MoveMapping"/>.</summary>
    public static bool MoveMapping(Cpu cpu, int from, int to) => MappingOf(cpu.Machine, from)?.TryMove(cpu, from, to) ?? false;

    private static FileMapping? MappingOf(Machine machine, int pfn)
    {
        ref readonly PageFrame frame = ref machine.Frames.Array[pfn];
        return frame.IsOfFile ? machine.Frames.Mappings.Find(frame.Mapping) as FileMapping : null;
    }
}
