using MemSim.Hardware;
using MemSim.Lru;

namespace MemSim;

/// <content>Asking which pages are in memory.</content>
public sealed partial class MemoryDescriptor
{
    /// <summary>Tells of each page of a range whether an access would find it in memory (<c>mincore()</c>): mapped, in the page cache, or in the swap cache.</summary>
    /// <remarks>Of files that belong to others (<see cref="SimFile.BelongsToOthers"/>) all pages are said to be in memory. Pages before a hole have been answered when ENOMEM comes, as in the kernel.</remarks>
    /// <param name="address">The first address, page aligned.</param>
    /// <param name="length">Bytes; rounded up to pages.</param>
    /// <param name="vector">Receives 1 or 0 for each page.</param>
    /// <returns>EINVAL; ENOMEM for holes and beyond user addresses; EFAULT when <paramref name="vector"/> is too short: nothing is written.</returns>
    public Errno Mincore(VirtualAddress address, long length, Span<byte> vector)
    {
        using OwnersLock.Scope scope = _spaces.Enter();
        if (IsGone)
        {
            return Errno.ESRCH;
        }

        ulong start = address.Value;
        if ((start & PageMask) != 0)
        {
            return Errno.EINVAL;
        }

        if (start > _spaces.Addresses.TaskSize || (ulong)length > _spaces.Addresses.TaskSize - start || !Align(length, out ulong bytes))
        {
            return Errno.ENOMEM;
        }

        ulong end = start + bytes;
        if ((ulong)vector.Length < bytes >> PageGeometry.PageShift)
        {
            return Errno.EFAULT;
        }

        for (ulong at = start; at < end;)
        {
            if (At(at) is not { } vma)
            {
                return Errno.ENOMEM;
            }

            ulong stop = Math.Min(end, vma.EndValue);
            TellInCore(vma, at, stop, vector[(int)((at - start) >> PageGeometry.PageShift)..]);
            at = stop;
        }

        return Errno.None;
    }

    private void TellInCore(Vma vma, ulong start, ulong end, Span<byte> vector)
    {
        vector = vector[..(int)((end - start) >> PageGeometry.PageShift)];
        if (vma.File is { File.BelongsToOthers: true } && !Limits.IsAdmin)
        {
            vector.Fill(1);
            return;
        }

        for (int i = 0; i < vector.Length; i++)
        {
            ulong at = start + ((ulong)i << PageGeometry.PageShift);
            vector[i] = IsInCore(vma, at) ? (byte)1 : (byte)0;
        }
    }

    private bool IsInCore(Vma vma, ulong at)
    {
        if (vma.Hugetlb is not null)
        {
            return _spaces.Hugetlb.Find(vma, at, out ulong whole) != 0 && whole != 0;
        }

        ulong slot = Tables.FindSlot(at);
        if (slot == 0 && _spaces.UsesHugePages && _spaces.Huge.Find(vma, at, out _) != 0)
        {
            return true;
        }

        ulong entry = slot == 0 ? 0 : Tables.ReadSlot(slot);
        if (entry != 0 && _spaces.Layout.IsPresent(entry))
        {
            return true;
        }

        SoftEntry soft = entry == 0 ? default : _spaces.Entries.Decode(entry);
        return soft.Kind switch
        {
            // What is only remembered of an address is no page of it.
            SoftEntryKind.None or SoftEntryKind.Marker => vma.Mapping?.IsInCore(vma.IndexOf(at)) ?? false,
            SoftEntryKind.Swap => _spaces.Swap is { } swap && swap.CachedPage(soft) >= 0,
            _ => soft.Kind != SoftEntryKind.Bad,
        };
    }
}
