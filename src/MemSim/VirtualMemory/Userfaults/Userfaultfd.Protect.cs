using MemSim.Hardware;
using MemSim.Lru;
using MemSim.VirtualMemory;

namespace MemSim;

/// <content>Write protection (<c>UFFDIO_WRITEPROTECT</c>).</content>
public sealed partial class Userfaultfd
{
    /// <summary>Protects pages of a range against writing, or gives the right back (<c>UFFDIO_WRITEPROTECT</c>).</summary>
    /// <param name="address">The first address, page aligned.</param>
    /// <param name="length">Bytes, whole pages.</param>
    /// <param name="protects">Whether writes are to be told from now on; else they are not any more, and one that waits goes on.</param>
    /// <returns>EAGAIN while an event waits to be read; EINVAL; ENOENT where nothing is, or is not registered for it: areas before stay changed; ENOMEM.</returns>
    public Errno WriteProtect(VirtualAddress address, long length, bool protects)
    {
        using OwnersLock.Scope scope = _spaces.Enter();
        if (_mm.IsGone)
        {
            return Errno.ESRCH;
        }

        if (IsChanging)
        {
            return Errno.EAGAIN;
        }

        if (!IsRange(address.Value, length, out ulong end))
        {
            return Errno.EINVAL;
        }

        Errno result = Errno.ENOENT;
        for (Vma? vma = _mm.Tree.FindIntersection(address.Value, end); vma is not null && vma.StartValue < end; vma = vma.Next)
        {
            if ((vma.Flags & VmaFlags.UserfaultProtect) == 0)
            {
                return Errno.ENOENT;
            }

            result = Protect(vma, Math.Max(vma.StartValue, address.Value), Math.Min(vma.EndValue, end), protects);
            if (result != Errno.None)
            {
                return result;
            }
        }

        return result;
    }

    /// <summary>One area's part (<c>uffd_wp_range()</c>).</summary>
    private Errno Protect(Vma vma, ulong start, ulong end, bool protects)
    {
        Cpu cpu = Cpu;
        PteLayout layout = _spaces.Layout;
        bool marks = vma.File is not null || (Features & UserfaultFeatures.ProtectsUnpopulated) != 0;
        for (ulong at = start; protects && marks && at < end; at += PageGeometry.PageSize)
        {
            // What is not there yet is protected by a marker: its table must be there.
            ulong slot = _mm.Tables.EnsureSlot(cpu, at);
            if (slot == 0 && _mm.Tables.FindPmd(at) == 0)
            {
                return Errno.ENOMEM;
            }

            if (slot != 0 && _mm.Tables.ReadSlot(slot) == 0)
            {
                _mm.Tables.WriteSlot(slot, layout.MakeMarker(PteMarkers.WriteProtected));
            }
        }

        PageTableCursor cursor = new(_spaces, vma, start, end);
        while (cursor.Next())
        {
            if (cursor.IsHuge)
            {
                cursor.Split(cpu);
                continue;
            }

            TableEntries table = cursor.Entries;
            while (table.Next(out ulong entry))
            {
                ulong made;
                do
                {
                    made = protects ? ProtectEntry(layout, entry) : ReleaseEntry(vma, table.Address, entry);
                }
                while (made != entry && !_mm.Tables.TryChangeSlot(table.Slot, ref entry, made));
            }
        }

        _mm.Tables.Mmu.FlushRange(cpu, _mm.Tables, new VirtualAddress(start), end - start);
        return Errno.None;
    }

    private static ulong ProtectEntry(PteLayout layout, ulong entry) =>
        layout.IsPresent(entry) ? layout.Protect(entry) : layout.Markers(entry) != PteMarkers.None ? entry : layout.ProtectSoft(entry);

    private ulong ReleaseEntry(Vma vma, ulong at, ulong entry)
    {
        PteLayout layout = _spaces.Layout;
        if (!layout.IsPresent(entry))
        {
            return layout.Markers(entry) == PteMarkers.WriteProtected ? 0 : layout.Markers(entry) != PteMarkers.None ? entry : layout.ReleaseSoft(entry);
        }

        ulong made = layout.Release(entry);

        // The next write needs no fault where nobody else has the page (can_change_pte_writable()).
        bool writable = (vma.Flags & VmaFlags.Write) != 0
            && (vma.IsShared ? layout.IsDirty(entry) && _spaces.Entries.NormalPage(vma, at, entry) >= 0 : _spaces.Entries.IsExclusiveAt(vma, at, entry));
        return writable ? layout.MakeWritable(made) : made;
    }
}
