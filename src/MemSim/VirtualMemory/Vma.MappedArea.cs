using MemSim.PageCache;
using MemSim.VirtualMemory;

namespace MemSim;

/// <content>What the file that an area maps asks of it.</content>
public sealed partial class Vma : IMappedArea
{
    uint IMappedArea.StartIndex => (uint)PgOff;

    bool IMappedArea.IsShared => IsShared;

    bool IMappedArea.MayWriteFile => IsShared && (Flags & VmaFlags.MayWrite) != 0;

    void IMappedArea.UnmapFileRange(Cpu cpu, uint first, uint last, bool evenCopies)
    {
        if (Clip(first, last, out ulong start, out ulong end))
        {
            MmuGather gather = new(Mm.Spaces, cpu, Mm) { KeepsCopies = !evenCopies, KeepsMarkers = true };
            gather.Zap(this, start, end);
            gather.Finish();
        }
    }

    bool IMappedArea.CleanFilePage(Cpu cpu, uint index, int pfn) => TryAddressOf(index, out ulong address) && Mm.Spaces.Entries.CleanEntry(cpu, this, address, pfn);

    private bool Clip(uint first, uint last, out ulong start, out ulong end)
    {
        ulong from = Math.Max(first, PgOff);
        ulong to = Math.Min(last, PgOff + (ulong)Pages - 1);
        start = StartValue + ((from - PgOff) << PageGeometry.PageShift);
        end = StartValue + ((to - PgOff + 1) << PageGeometry.PageShift);
        return from <= to && from >= PgOff;
    }
}
