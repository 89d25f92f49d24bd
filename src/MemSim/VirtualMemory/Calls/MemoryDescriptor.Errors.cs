using MemSim.VirtualMemory;

namespace MemSim;

/// <content>Hardware errors for tests (<c>MADV_HWPOISON</c>, <c>MADV_SOFT_OFFLINE</c>).</content>
public sealed partial class MemoryDescriptor
{
    /// <summary>Page after page, huge ones as a whole, until one answers with an error (<c>madvise_inject_error()</c>).</summary>
    private Errno InjectErrors(Cpu cpu, ulong start, ulong end, bool soft)
    {
        Errno result = Errno.None;
        for (ulong at = start; at < end && result == Errno.None;)
        {
            if (At(at) is null || Populate(cpu, at, at + PageGeometry.PageSize, write: false) != Errno.None)
            {
                result = Errno.EFAULT;
                break;
            }

            int pfn = FrameAt(at, out ulong size);
            if (pfn < 0)
            {
                result = Errno.EFAULT;
                break;
            }

            result = _spaces.Machine.Lru.Failures.Inject(cpu, pfn, at, soft);
            at += size;
        }

        _spaces.Machine.Lru.Failures.DeliverSignals(cpu);
        return result;
    }

    /// <summary>The frame that is mapped at an address, and the bytes of the page that it belongs to; -1 where there is none.</summary>
    private int FrameAt(ulong address, out ulong size)
    {
        size = PageGeometry.PageSize;
        Vma vma = At(address)!;
        if (vma.Hugetlb is { } file)
        {
            size = file.Bytes;
            _ = _spaces.Hugetlb.Find(vma, address & ~(size - 1), out ulong huge);
            return huge == 0 ? -1 : _spaces.Layout.Pfn(huge) + (int)((address & (size - 1)) >> PageGeometry.PageShift);
        }

        PageTableCursor cursor = new(_spaces, vma, address, address + PageGeometry.PageSize);
        if (!cursor.Next())
        {
            return -1;
        }

        if (cursor.IsHuge)
        {
            int part = (int)((address & (_spaces.Huge.Bytes - 1)) >> PageGeometry.PageShift);
            size = _spaces.Huge.IsZero(cursor.Entry) ? size : _spaces.Huge.Bytes;
            return _spaces.Layout.Pfn(cursor.Entry) + part;
        }

        ulong entry = Tables.ReadSlot(cursor.Slot);
        return _spaces.Layout.IsPresent(entry) ? _spaces.Layout.Pfn(entry) : -1;
    }
}
