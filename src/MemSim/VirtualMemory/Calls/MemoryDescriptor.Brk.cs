using MemSim.Lru;

namespace MemSim;

/// <content>The heap.</content>
public sealed partial class MemoryDescriptor
{
    /// <summary>Moves the end of the heap (<c>brk()</c>).</summary>
    /// <param name="end">The new end, at any alignment.</param>
    /// <returns>The new end; ENOMEM when it cannot be had (the system call then returns the old end), EINVAL below the start.</returns>
    public Result<VirtualAddress> Brk(VirtualAddress end)
    {
        using OwnersLock.Scope scope = _spaces.Enter();
        if (IsGone)
        {
            return Errno.ESRCH;
        }

        return Told(MoveHeapEnd(end));
    }

    private Result<VirtualAddress> MoveHeapEnd(VirtualAddress end)
    {
        ulong wanted = end.Value;
        if (wanted < HeapStart.Value)
        {
            return Errno.EINVAL;
        }

        if (Limits.Data < ulong.MaxValue && wanted - HeapStart.Value > Limits.Data)
        {
            return Errno.ENOMEM;
        }

        if (!Align((long)wanted, out ulong newEnd) || newEnd > _spaces.Addresses.TaskSize)
        {
            return Errno.ENOMEM;
        }

        _ = Align((long)(HeapEnd.Value), out ulong oldEnd);
        Cpu cpu = Cpu;
        if (newEnd < oldEnd)
        {
            Errno unmapped = UnmapRange(cpu, newEnd, oldEnd);
            if (unmapped != Errno.None)
            {
                return unmapped;
            }
        }
        else if (newEnd > oldEnd)
        {
            // One page stays free between the heap and what follows.
            if (!IsFree(oldEnd, newEnd - oldEnd + PageGeometry.PageSize) || _areas.Count > _spaces.Commit.MaxAreas)
            {
                return Errno.ENOMEM;
            }

            long pages = (long)((newEnd - oldEnd) >> PageGeometry.PageShift);
            VmaFlags flags = VmaFlags.Read | VmaFlags.Write | VmaFlags.MayRead | VmaFlags.MayWrite | VmaFlags.MayExec | DefaultFlags;
            if ((flags & VmaFlags.Locked) != 0 && !MayLock(pages))
            {
                return Errno.EAGAIN;
            }

            Errno made = MapRegion(cpu, oldEnd, newEnd - oldEnd, flags, oldEnd >> PageGeometry.PageShift, null);
            if (made != Errno.None)
            {
                return made;
            }

            if ((flags & VmaFlags.Locked) != 0)
            {
                _ = Populate(cpu, oldEnd, newEnd, write: true);
            }
        }

        HeapEnd = end;
        return end;
    }
}
