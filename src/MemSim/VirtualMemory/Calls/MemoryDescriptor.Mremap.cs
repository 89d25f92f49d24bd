using MemSim.Hardware;
using MemSim.Lru;
using MemSim.VirtualMemory;

namespace MemSim;

/// <content>Enlarging, shrinking and moving areas.</content>
public sealed partial class MemoryDescriptor
{
    /// <summary>Changes the size of a mapping, moving it when it must and may (<c>mremap()</c>).</summary>
    /// <param name="address">The first address, page aligned.</param>
    /// <param name="oldLength">Its length in bytes.</param>
    /// <param name="newLength">The new length in bytes.</param>
    /// <param name="flags">Whether it may move.</param>
    /// <param name="newAddress">Where to, with <see cref="RemapFlags.Fixed"/>; a hint with <see cref="RemapFlags.DontUnmap"/> alone.</param>
    /// <returns>Where it is now; EINVAL, EFAULT, ENOMEM, EAGAIN, EPERM.</returns>
    public Result<VirtualAddress> Mremap(VirtualAddress address, long oldLength, long newLength, RemapFlags flags = RemapFlags.MayMove, VirtualAddress newAddress = default)
    {
        using OwnersLock.Scope scope = _spaces.Enter();
        if (IsGone)
        {
            return Errno.ESRCH;
        }

        return Told(Remap(address, oldLength, newLength, flags, newAddress));
    }

    private Result<VirtualAddress> Remap(VirtualAddress address, long oldLength, long newLength, RemapFlags flags, VirtualAddress newAddress)
    {
        ulong start = address.Value;
        bool mayMove = (flags & RemapFlags.MayMove) != 0;
        bool keepsOld = (flags & RemapFlags.DontUnmap) != 0;
        bool isFixed = (flags & RemapFlags.Fixed) != 0;
        if ((flags & ~(RemapFlags.MayMove | RemapFlags.Fixed | RemapFlags.DontUnmap)) != 0 || ((isFixed || keepsOld) && !mayMove) || (keepsOld && oldLength != newLength)
            || (start & PageMask) != 0 || !Align(oldLength, out ulong oldBytes) || !Align(newLength, out ulong newBytes) || newBytes == 0)
        {
            return Errno.EINVAL;
        }

        ulong target = newAddress.Value;
        Errno refused = isFixed || keepsOld ? CheckTarget(start, oldBytes, target, newBytes, isFixed) : Errno.None;
        if (refused != Errno.None && _spaces.Rules.MovesSeveralAreas)
        {
            return refused;
        }

        if (At(start) is not { } vma)
        {
            return Errno.EFAULT;
        }

        if (vma.Hugetlb is not null)
        {
            return Errno.EINVAL;
        }

        if (refused != Errno.None)
        {
            return refused;
        }

        Cpu cpu = Cpu;
        ulong tellsBytes = oldBytes;
        if (isFixed && _spaces.Rules.MovesSeveralAreas && newBytes <= oldBytes && newBytes > vma.EndValue - start)
        {
            return newBytes == oldBytes ? MoveAll(cpu, start, oldBytes, target, keepsOld) : Errno.EFAULT;
        }

        if (oldBytes > newBytes)
        {
            if (oldBytes > _spaces.Addresses.TaskSize - start)
            {
                return Errno.EINVAL;
            }

            Errno shrunk = UnmapRange(cpu, start + newBytes, start + oldBytes);
            if (shrunk != Errno.None)
            {
                return shrunk;
            }

            oldBytes = newBytes;
            tellsBytes = _spaces.Rules.TellsWhatMoved ? newBytes : tellsBytes;
            vma = At(start)!;
        }

        if (oldBytes == newBytes && !isFixed && !keepsOld)
        {
            return address;
        }

        if (keepsOld && (vma.Flags & VmaFlags.DontExpand) != 0)
        {
            return Errno.EINVAL;
        }

        Errno wrong = MayResize(vma, start, oldBytes, newBytes);
        if (wrong != Errno.None)
        {
            return wrong;
        }

        if (!isFixed && !keepsOld && oldBytes == vma.EndValue - start && TryGrow(cpu, vma, start, newBytes))
        {
            if ((vma.Flags & VmaFlags.Locked) != 0)
            {
                _ = Populate(cpu, start + oldBytes, start + newBytes, (vma.Flags & VmaFlags.Write) != 0);
            }

            return address;
        }

        return mayMove ? Move(cpu, vma, start, oldBytes, newBytes, target, isFixed, keepsOld, tellsBytes) : Errno.ENOMEM;
    }

    /// <summary>Whether a range can be moved to a place at all.</summary>
    private Errno CheckTarget(ulong start, ulong oldBytes, ulong target, ulong newBytes, bool isFixed)
    {
        bool overlaps = start + oldBytes > target && target + newBytes > start;
        if ((target & PageMask) != 0 || newBytes > _spaces.Addresses.TaskSize || target > _spaces.Addresses.TaskSize - newBytes || overlaps)
        {
            return Errno.EINVAL;
        }

        return isFixed && target < MinAddress ? Errno.EPERM : Errno.None;
    }

    /// <summary>Whether limits and the area allow the new size (<c>vma_to_resize()</c>).</summary>
    private Errno MayResize(Vma vma, ulong start, ulong oldBytes, ulong newBytes)
    {
        if (oldBytes == 0 && (vma.Flags & (VmaFlags.Shared | VmaFlags.MayShare)) == 0)
        {
            return Errno.EINVAL;
        }

        if (oldBytes > vma.EndValue - start)
        {
            return Errno.EFAULT;
        }

        if (newBytes <= oldBytes)
        {
            return Errno.None;
        }

        if ((vma.Flags & VmaFlags.DontExpand) != 0)
        {
            return Errno.EFAULT;
        }

        long more = (long)((newBytes - oldBytes) >> PageGeometry.PageShift);
        return (vma.Flags & VmaFlags.Locked) != 0 && !MayLock(more) ? Errno.EAGAIN : MayExpand(vma.Flags, more) ? Errno.None : Errno.ENOMEM;
    }

    /// <summary>Enlarges an area in place when nothing follows.</summary>
    private bool TryGrow(Cpu cpu, Vma vma, ulong start, ulong newBytes)
    {
        ulong end = start + newBytes;
        ulong more = end - vma.EndValue;
        long pages = (long)(more >> PageGeometry.PageShift);
        if (end < start || end > _spaces.Addresses.TaskSize || !IsFree(vma.EndValue, more))
        {
            return false;
        }

        if ((vma.Flags & VmaFlags.Account) != 0 && !_spaces.Commit.Charge(this, pages, Limits.IsAdmin))
        {
            return false;
        }

        Account(vma.Flags, pages);
        LockedPages += (vma.Flags & VmaFlags.Locked) != 0 ? pages : 0;
        ulong index = vma.PgOff + (ulong)vma.Pages;
        Vma? next = vma.Next;
        bool joins = next is not null && next.StartValue == end && CanPrepend(next, vma.Flags, vma.File, index, (ulong)pages, vma.AnonVma, vma.Policy, vma.Userfaults)
            && SameAnon(vma.AnonVma, next.AnonVma, null) && TakeOverAnon(cpu, vma, next);
        if (joins)
        {
            Absorb(cpu, vma, next!);
        }
        else
        {
            VmaTree.Resize(vma, vma.StartValue, end);
        }

        return true;
    }

    /// <summary>Moves each area of a range to the same distance from the target; what lies between the targets stays. Those that were moved before one cannot be stay moved, as in the kernel.</summary>
    private Result<VirtualAddress> MoveAll(Cpu cpu, ulong start, ulong bytes, ulong target, bool keepsOld)
    {
        ulong end = start + bytes;
        for (ulong at = start; at < end && _areas.FindIntersection(at, end) is { } vma;)
        {
            at = Math.Max(at, vma.StartValue);
            ulong stop = Math.Min(end, vma.EndValue);
            if (vma.Userfaults is not null && (at != start || vma.EndValue < end))
            {
                // One whose faults are watched is moved alone (vma_multi_allowed()).
                return Errno.EFAULT;
            }

            Result<VirtualAddress> moved = vma.Hugetlb is null ? Move(cpu, vma, at, stop - at, stop - at, at - start + target, isFixed: true, keepsOld, stop - at) : Errno.EINVAL;
            if (!moved.Succeeded)
            {
                return moved;
            }

            at = stop;
        }

        return new VirtualAddress(target);
    }

    /// <summary>Moves an area, entries and all (<c>move_vma()</c>).</summary>
    private Result<VirtualAddress> Move(Cpu cpu, Vma vma, ulong start, ulong oldBytes, ulong newBytes, ulong target, bool isFixed, bool keepsOld, ulong tellsBytes)
    {
        vma.Userfaults?.RequireListener(UserfaultFeatures.TellsMoves | (keepsOld ? 0 : UserfaultFeatures.TellsUnmaps));
        if (_areas.Count >= _spaces.Commit.MaxAreas - 3)
        {
            return Errno.ENOMEM;
        }

        if (Unmerge(cpu, vma, start, start + oldBytes) != Errno.None)
        {
            // Merged pages are found by the address at which they were merged.
            return Errno.ENOMEM;
        }

        if (!isFixed)
        {
            // The new address is a hint when the old area stays, and nothing otherwise.
            Result<VirtualAddress> found = GetUnmappedArea(keepsOld ? target : 0, newBytes, isFixed: false);
            if (!found.Succeeded)
            {
                return found;
            }

            target = found.Value.Value;
        }

        RequireListeners(target, target + newBytes);

        long newPages = (long)(newBytes >> PageGeometry.PageShift);
        long oldPages = (long)(oldBytes >> PageGeometry.PageShift);
        bool charged = (vma.Flags & VmaFlags.Account) != 0;
        long toCharge = keepsOld ? newPages : newPages - oldPages;
        if (charged && !_spaces.Commit.Charge(this, toCharge, Limits.IsAdmin))
        {
            return Errno.ENOMEM;
        }

        Vma? moved = NewVma(cpu, target, target + newBytes, vma.Flags);
        if (moved is null)
        {
            if (charged)
            {
                _spaces.Commit.Uncharge(toCharge);
            }

            return Errno.ENOMEM;
        }

        moved.File = vma.File?.Get();
        moved.Device = vma.Device;
        moved.Policy = vma.Policy;
        moved.Userfaults = vma.Userfaults;
        moved.PageBits = vma.PageBits;
        moved.PgOff = vma.IsAnonymous && vma.AnonVma is null ? target >> PageGeometry.PageShift : vma.PgOff + ((start - vma.StartValue) >> PageGeometry.PageShift);
        if ((vma.AnonVma is not null && !_spaces.Anon.Clone(cpu, moved, vma)) || !PrepareTables(cpu, start, target, oldBytes)
            || (_areas.FindIntersection(target, target + newBytes) is not null && UnmapRange(cpu, target, target + newBytes, makesRoom: true) != Errno.None)
            || !PrepareTables(cpu, start, target, oldBytes))
        {
            _spaces.Anon.UnlinkAll(cpu, moved);
            moved.File?.Put(cpu);
            FreeVma(cpu, moved);
            FreeTablesBetweenAreas(cpu, target, target + newBytes);
            if (charged)
            {
                _spaces.Commit.Uncharge(toCharge);
            }

            return Errno.ENOMEM;
        }

        VmaFlags flags = moved.Flags;
        if (TryMergeNew(cpu, moved))
        {
            _spaces.Anon.UnlinkAll(cpu, moved);
            moved.File?.Put(cpu);
            FreeVma(cpu, moved);
        }
        else
        {
            InsertVma(moved);
        }

        Account(flags, newPages);
        LockedPages += (flags & VmaFlags.Locked) != 0 ? newPages : 0;
        bool told = vma.Userfaults is { } watcher && watcher.Tells(UserfaultFeatures.TellsMoves);
        bool forgets = vma.Userfaults is not null && !told;
        MoveEntries(cpu, start, target, oldBytes, forgets);
        if (told)
        {
            NeedTidings().AddMove(vma.Userfaults!, start, target, tellsBytes);
        }

        if (forgets)
        {
            // Nobody asked to be told of moves: what is at the new place, all of it, is left alone (userfaultfd_reset_ctx()).
            Vma reset = At(target)!;
            reset.Userfaults = null;
            reset.Flags &= ~UserfaultFlags;
        }

        if (charged && !keepsOld)
        {
            // The old area gives its charge back when it goes.
            Machine.SystemFigures.CommittedPages += oldPages;
        }

        if (keepsOld)
        {
            LeaveBehind(cpu, At(start)!, start, start + oldBytes);
        }
        else if (oldBytes != 0)
        {
            // Splitting may need memory: what remains mapped without pages is harmless then, as in the kernel.
            _ = UnmapRange(cpu, start, start + oldBytes);
        }

        if ((flags & VmaFlags.Locked) != 0 && newBytes > oldBytes)
        {
            _ = Populate(cpu, target + oldBytes, target + newBytes, (flags & VmaFlags.Write) != 0);
        }

        return new VirtualAddress(target);
    }

    /// <summary>An area whose pages moved away is not locked any more (all of it, as in the kernel), and untouched if all of it was moved.</summary>
    private void LeaveBehind(Cpu cpu, Vma old, ulong start, ulong end)
    {
        if ((old.Flags & VmaFlags.Locked) != 0)
        {
            LockedPages -= old.Pages;
            old.Flags &= ~(VmaFlags.Locked | VmaFlags.LockOnFault);
        }

        if (old.StartValue == start && old.EndValue == end)
        {
            _spaces.Anon.UnlinkAll(cpu, old);
        }
    }

    /// <summary>Makes the tables that entries will be moved into, so that the move itself cannot fail.</summary>
    private bool PrepareTables(Cpu cpu, ulong from, ulong to, ulong bytes)
    {
        PageTableCursor cursor = new(_spaces, At(from)!, from, from + bytes);
        while (cursor.Next())
        {
            if (cursor.IsHuge)
            {
                if (_spaces.Huge.Move(cpu, ref cursor, Tables, cursor.Address - from + to, prepare: true) < 0)
                {
                    return false;
                }

                continue;
            }

            TableEntries table = cursor.Entries;
            while (table.Next(out _))
            {
                ulong target = table.Address - from + to;
                if (!HugeAt(target) && Tables.EnsureSlot(cpu, target) == 0)
                {
                    return false;
                }
            }
        }

        return true;
    }

    /// <summary>Whether a huge page is where entries shall go: it is unmapped before the move.</summary>
    private bool HugeAt(ulong address) => _spaces.UsesHugePages && At(address) is { } vma && _spaces.Huge.Find(vma, address, out _) != 0;

    private void MoveEntries(Cpu cpu, ulong from, ulong to, ulong bytes, bool forgets)
    {
        bool moved = false;
        PageTableCursor cursor = new(_spaces, At(from)!, from, from + bytes);
        while (cursor.Next())
        {
            if (cursor.IsHuge)
            {
                moved |= _spaces.Huge.Move(cpu, ref cursor, Tables, cursor.Address - from + to, prepare: false) == 1;
                continue;
            }

            TableEntries table = cursor.Entries;
            while (table.Next(out ulong entry))
            {
                ulong target = Tables.FindSlot(table.Address - from + to);
                if (target == 0)
                {
                    // Only where a table was overwritten since it was prepared.
                    continue;
                }

                entry = Tables.ClearSlot(table.Slot, entry);
                Tables.OverwriteSlot(target, forgets ? _spaces.Layout.Forget(entry) : entry);
                moved = true;
            }
        }

        if (moved)
        {
            Tables.Mmu.FlushRange(cpu, Tables, new VirtualAddress(from), bytes);
        }
    }

    /// <summary>Frees tables of a range in which no area lies.</summary>
    private void FreeTablesBetweenAreas(Cpu cpu, ulong start, ulong end)
    {
        if (_areas.FindIntersection(start, end) is not null)
        {
            return;
        }

        Vma? above = _areas.Find(start);
        Vma? below = above is null ? _areas.Last : above.Previous;
        Tables.FreeTables(cpu, start, end, below?.EndValue ?? 0, above?.StartValue ?? 0);
    }
}
