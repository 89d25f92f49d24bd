using MemSim.Hardware;
using MemSim.Swap;

namespace MemSim;

/// <content>What swap-in asks about an area.</content>
public sealed partial class Vma : ISwapNeighbours
{
    private ulong _swapReadAhead;

    ulong ISwapNeighbours.ReadAhead
    {
        get => _swapReadAhead;
        set => _swapReadAhead = value;
    }

    bool ISwapNeighbours.HasAddresses => true;

    (ulong Start, ulong End) ISwapNeighbours.Around(ulong address)
    {
        ulong bytes = 1UL << (Mm.Tables.EntriesShift + PageGeometry.PageShift);
        ulong first = address & ~(bytes - 1);
        return (Math.Max(first, StartValue), Math.Min(first + bytes, EndValue));
    }

    SwapEntry ISwapNeighbours.EntryAt(ulong address)
    {
        ulong slot = Mm.Tables.FindSlot(address);
        return slot != 0 && Mm.Spaces.Layout.TryDecodeSwapEntry(Mm.Tables.ReadSlot(slot), out SoftEntry soft) ? SwapSpace.ToEntry(soft) : default;
    }

    int ISwapNeighbours.AllocatePage(Cpu cpu, ulong address) => Mm.Spaces.Faults.AllocateUncharged(cpu, this, address);

    KernelTask? ISwapNeighbours.Owner => Mm.Owner;
}
