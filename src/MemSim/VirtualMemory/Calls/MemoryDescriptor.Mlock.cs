using MemSim.Hardware;
using MemSim.Lru;
using MemSim.VirtualMemory;

namespace MemSim;

/// <content>Locking pages into memory.</content>
public sealed partial class MemoryDescriptor
{
    /// <summary>Locks a range into memory and faults it in (<c>mlock()</c>).</summary>
    /// <param name="address">An address in the first page.</param>
    /// <param name="length">Bytes.</param>
    /// <param name="onFault">Whether pages are locked only as they are faulted in (<c>MLOCK_ONFAULT</c>).</param>
    /// <returns>EPERM without any right to lock; ENOMEM beyond the limit and for holes; EAGAIN when pages could not be had.</returns>
    public Errno Mlock(VirtualAddress address, long length, bool onFault = false)
    {
        using OwnersLock.Scope scope = _spaces.Enter();
        if (IsGone)
        {
            return Errno.ESRCH;
        }

        if (Limits is { MayLockAll: false, LockedMemory: 0 })
        {
            return Errno.EPERM;
        }

        ulong start = address.Value & ~PageMask;
        if (!Align((long)((ulong)length + (address.Value & PageMask)), out ulong bytes) || start + bytes < start)
        {
            return Errno.EINVAL;
        }

        if (bytes == 0)
        {
            return Errno.None;
        }

        ulong end = start + bytes;
        long pages = (long)(bytes >> PageGeometry.PageShift);
        if (!MayLock(pages) && !MayLock(pages - LockedIn(start, end)))
        {
            return Errno.ENOMEM;
        }

        Cpu cpu = Cpu;
        Errno result = ChangeLocks(cpu, start, end, VmaFlags.Locked | (onFault ? VmaFlags.LockOnFault : 0));
        if (result != Errno.None)
        {
            return result;
        }

        Errno populated = PopulateLocked(cpu, start, end);
        return populated switch
        {
            Errno.EFAULT => Errno.ENOMEM,
            Errno.ENOMEM => Errno.EAGAIN,
            _ => populated,
        };
    }

    /// <summary>Unlocks a range (<c>munlock()</c>).</summary>
    /// <param name="address">An address in the first page.</param>
    /// <param name="length">Bytes.</param>
    /// <returns>EINVAL; ENOMEM for holes.</returns>
    public Errno Munlock(VirtualAddress address, long length)
    {
        using OwnersLock.Scope scope = _spaces.Enter();
        if (IsGone)
        {
            return Errno.ESRCH;
        }

        ulong start = address.Value & ~PageMask;
        return !Align((long)((ulong)length + (address.Value & PageMask)), out ulong bytes) || start + bytes < start ? Errno.EINVAL
            : bytes == 0 ? Errno.None
            : ChangeLocks(Cpu, start, start + bytes, VmaFlags.None);
    }

    /// <summary>Locks all areas that exist, or that will (<c>mlockall()</c>).</summary>
    /// <param name="flags">Which.</param>
    /// <returns>EINVAL, EPERM, ENOMEM beyond the limit.</returns>
    public Errno MlockAll(LockAll flags)
    {
        using OwnersLock.Scope scope = _spaces.Enter();
        if (IsGone)
        {
            return Errno.ESRCH;
        }

        if (flags is LockAll.None or LockAll.OnFault || (flags & ~(LockAll.Current | LockAll.Future | LockAll.OnFault)) != 0)
        {
            return Errno.EINVAL;
        }

        if (Limits is { MayLockAll: false, LockedMemory: 0 })
        {
            return Errno.EPERM;
        }

        if ((flags & LockAll.Current) != 0 && !Limits.MayLockAll && TotalPages > (long)(Limits.LockedMemory >> PageGeometry.PageShift))
        {
            return Errno.ENOMEM;
        }

        VmaFlags locks = VmaFlags.Locked | ((flags & LockAll.OnFault) != 0 ? VmaFlags.LockOnFault : 0);
        DefaultFlags = (flags & LockAll.Future) != 0 ? locks : VmaFlags.None;
        if ((flags & LockAll.Current) != 0)
        {
            LockEvery(Cpu, locks);
        }

        return Errno.None;
    }

    /// <summary>Unlocks everything (<c>munlockall()</c>).</summary>
    public void MunlockAll()
    {
        using OwnersLock.Scope scope = _spaces.Enter();
        DefaultFlags = VmaFlags.None;
        LockEvery(Cpu, VmaFlags.None);
    }

    private void LockEvery(Cpu cpu, VmaFlags locks)
    {
        for (Vma? vma = _areas.First; vma is not null;)
        {
            ulong end = vma.EndValue;
            _ = LockArea(cpu, vma, vma.StartValue, end, locks);
            _ = locks == VmaFlags.Locked ? PopulateLocked(cpu, vma.StartValue, end) : Errno.None;
            vma = _areas.Find(end);
        }
    }

    private long LockedIn(ulong start, ulong end)
    {
        ulong bytes = 0;
        for (Vma? vma = _areas.FindIntersection(start, end); vma is not null && vma.StartValue < end; vma = vma.Next)
        {
            bytes += (vma.Flags & VmaFlags.Locked) != 0 ? Math.Min(end, vma.EndValue) - Math.Max(start, vma.StartValue) : 0;
        }

        return (long)(bytes >> PageGeometry.PageShift);
    }

    private Errno ChangeLocks(Cpu cpu, ulong start, ulong end, VmaFlags locks)
    {
        for (ulong at = start; at < end;)
        {
            if (At(at) is not { } vma)
            {
                return Errno.ENOMEM;
            }

            ulong stop = Math.Min(end, vma.EndValue);
            Errno result = LockArea(cpu, vma, at, stop, locks);
            if (result != Errno.None)
            {
                return result;
            }

            at = stop;
        }

        return Errno.None;
    }

    /// <summary>One area's part (<c>mlock_fixup()</c>): pages that are there are locked or unlocked at once.</summary>
    private Errno LockArea(Cpu cpu, Vma vma, ulong start, ulong end, VmaFlags locks)
    {
        VmaFlags old = vma.Flags;
        if ((old & (VmaFlags.HugeTlb | VmaFlags.PfnMap)) != 0)
        {
            // They never leave memory anyway, or never were the process's.
            return Errno.None;
        }

        VmaFlags flags = (old & ~(VmaFlags.Locked | VmaFlags.LockOnFault)) | locks;
        if (flags == old)
        {
            return Errno.None;
        }

        Vma? changed = ChangeRange(cpu, vma, start, end, flags, vma.Policy);
        if (changed is null)
        {
            return Errno.ENOMEM;
        }

        bool locked = (flags & VmaFlags.Locked) != 0;
        if (locked == ((old & VmaFlags.Locked) != 0))
        {
            return Errno.None;
        }

        long pages = (long)((end - start) >> PageGeometry.PageShift);
        LockedPages += locked ? pages : -pages;
        PageTableCursor cursor = new(_spaces, changed, start, end);
        while (cursor.Next())
        {
            if (cursor.IsHuge)
            {
                if (!_spaces.Huge.IsZero(cursor.Entry))
                {
                    LockPage(cpu, _spaces.Layout.Pfn(cursor.Entry), locked);
                }

                continue;
            }

            TableEntries table = cursor.Entries;
            while (table.Next(out ulong entry))
            {
                // A huge page is locked only as a whole.
                if (_spaces.Layout.IsPresent(entry) && _spaces.Entries.NormalPage(changed, table.Address, entry) is var pfn and >= 0 && !_spaces.Pages.IsPartOfHuge(pfn))
                {
                    LockPage(cpu, pfn, locked);
                }
            }
        }

        return Errno.None;
    }

    private void LockPage(Cpu cpu, int pfn, bool locked)
    {
        if (locked)
        {
            _spaces.Machine.Lru.Mlock(cpu, pfn);
        }
        else
        {
            _spaces.Machine.Lru.Munlock(cpu, pfn);
        }
    }

    /// <summary>Faults locked areas in: private writable ones for writing, so that no copy is needed later.</summary>
    private Errno PopulateLocked(Cpu cpu, ulong start, ulong end)
    {
        for (ulong at = start; at < end;)
        {
            if (At(at) is not { } vma)
            {
                return Errno.ENOMEM;
            }

            ulong stop = Math.Min(end, vma.EndValue);
            Errno result = Populate(cpu, at, stop, (vma.Flags & (VmaFlags.Write | VmaFlags.Shared)) == VmaFlags.Write);
            if (result != Errno.None)
            {
                return result == Errno.EINVAL ? Errno.EFAULT : result;
            }

            at = stop;
        }

        return Errno.None;
    }
}
