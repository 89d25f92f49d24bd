using MemSim.Filesystems;
using MemSim.Hugetlb;
using MemSim.Lru;
using MemSim.PageCache;
using MemSim.VirtualMemory;

namespace MemSim;

/// <content>Making areas.</content>
public sealed partial class MemoryDescriptor
{
    /// <summary>Maps private anonymous memory where there is room (<c>mmap()</c>).</summary>
    /// <param name="length">Bytes; rounded up to pages.</param>
    /// <param name="prot">What the mapping allows.</param>
    /// <returns>The first address.</returns>
    public Result<VirtualAddress> Mmap(long length, Prot prot) => Mmap(default, length, prot, MapFlags.Private | MapFlags.Anonymous);

    /// <summary>Maps memory (<c>mmap()</c>).</summary>
    /// <param name="hint">Where, if there is room; exactly where with <see cref="MapFlags.Fixed"/>.</param>
    /// <param name="length">Bytes; rounded up to pages.</param>
    /// <param name="prot">What the mapping allows.</param>
    /// <param name="flags">How it is made.</param>
    /// <param name="file">The file; null for anonymous memory.</param>
    /// <param name="offset">Where in the file, a multiple of the page size.</param>
    /// <returns>The first address, or EINVAL, ENOMEM, EACCES, EEXIST, EPERM, EAGAIN, ENODEV, EOVERFLOW.</returns>
    public Result<VirtualAddress> Mmap(VirtualAddress hint, long length, Prot prot, MapFlags flags, OpenFile? file = null, long offset = 0)
    {
        using OwnersLock.Scope scope = _spaces.Enter();
        if (IsGone)
        {
            return Errno.ESRCH;
        }

        if (file is not null && !ReferenceEquals(file.File.FileSystem.Machine, Machine))
        {
            throw new ArgumentException($"{file.File} belongs to another machine", nameof(file));
        }

        Cpu cpu = Cpu;
        if (((ulong)offset & PageMask) != 0 || length == 0)
        {
            return Errno.EINVAL;
        }

        if ((flags & MapFlags.Anonymous) == 0 && file?.Mapping is HugetlbMapping ofHugePages)
        {
            return MmapHugeFile(cpu, hint, (ulong)length, prot, flags, file, ofHugePages, (ulong)offset);
        }

        if ((flags & MapFlags.HugeTlb) != 0)
        {
            return MmapHuge(cpu, hint, (ulong)length, prot, flags, file);
        }

        if (!Align(length, out ulong bytes) || bytes == 0)
        {
            return Errno.ENOMEM;
        }

        ulong pgoff = (ulong)offset >> PageGeometry.PageShift;
        if (pgoff + (bytes >> PageGeometry.PageShift) < pgoff)
        {
            return Errno.EOVERFLOW;
        }

        if (_areas.Count > _spaces.Commit.MaxAreas)
        {
            return Errno.ENOMEM;
        }

        if ((flags & MapFlags.FixedNoReplace) != 0)
        {
            flags |= MapFlags.Fixed;
        }

        ulong wanted = hint.Value;
        if ((flags & MapFlags.Fixed) == 0)
        {
            wanted &= ~PageMask;
            wanted = wanted != 0 && wanted < MinAddress ? MinAddress : wanted;
        }

        Result<VirtualAddress> where = GetUnmappedArea(wanted, bytes, (flags & MapFlags.Fixed) != 0);
        if (!where.Succeeded)
        {
            return where;
        }

        ulong start = where.Value.Value;
        if ((flags & MapFlags.FixedNoReplace) != 0 && _areas.FindIntersection(start, start + bytes) is not null)
        {
            return Errno.EEXIST;
        }

        Errno wrong = AreaFlags(prot, flags, ref file, bytes, ref pgoff, start, out VmaFlags vmFlags);
        if (wrong != Errno.None)
        {
            return wrong;
        }

        Errno made = MapRegion(cpu, start, bytes, vmFlags, pgoff, file);
        if (file is not null && (flags & MapFlags.Anonymous) != 0)
        {
            // The area has a reference of its own.
            file.Put(cpu);
        }

        TellUserfaults();
        if (made != Errno.None)
        {
            return made;
        }

        if ((vmFlags & VmaFlags.Locked) != 0 || (flags & (MapFlags.Populate | MapFlags.NonBlock)) == MapFlags.Populate)
        {
            // What cannot be populated is left for later faults, as in the kernel.
            _ = Populate(cpu, start, start + bytes, (vmFlags & (VmaFlags.Write | VmaFlags.Shared)) == VmaFlags.Write);
        }

        return new VirtualAddress(start);
    }

    /// <summary>Chooses or checks the addresses of a new area (<c>get_unmapped_area()</c>).</summary>
    private Result<VirtualAddress> GetUnmappedArea(ulong hint, ulong bytes, bool isFixed)
    {
        UserAddresses addresses = _spaces.Addresses;
        if (bytes > addresses.TaskSize)
        {
            return Errno.ENOMEM;
        }

        if (isFixed)
        {
            return hint > addresses.TaskSize - bytes ? Errno.ENOMEM
                : (hint & PageMask) != 0 ? Errno.EINVAL
                : hint < MinAddress ? Errno.EPERM
                : new VirtualAddress(hint);
        }

        if (hint != 0 && hint <= addresses.TaskSize - bytes && IsFree(hint, bytes))
        {
            return new VirtualAddress(hint);
        }

        ulong low = addresses.IsX86 ? PageGeometry.PageSize : MinAddress;
        ulong found = _areas.FindHighest(bytes, Math.Max(low, MinAddress), MmapBase);
        if (found == 0)
        {
            // Above the usual area nothing is left for large mappings: the kernel then looks from below up to the stack.
            found = _areas.FindLowest(bytes, addresses.UnmappedBase, addresses.Window);
        }

        return found == 0 ? Errno.ENOMEM : new VirtualAddress(found);
    }

    private bool IsFree(ulong start, ulong bytes)
    {
        Vma? above = _areas.Find(start);
        ulong limit = above is null ? ulong.MaxValue : above.StartValue;
        if (above is not null && (above.Flags & VmaFlags.GrowsDown) != 0)
        {
            limit -= Math.Min(limit, StackGuardPages << PageGeometry.PageShift);
        }

        return start + bytes <= limit && start >= MinAddress;
    }

    /// <summary>Turns protection and flags of the call into those of the area, checking them against the file.</summary>
    private Errno AreaFlags(Prot prot, MapFlags flags, ref OpenFile? file, ulong bytes, ref ulong pgoff, ulong start, out VmaFlags result)
    {
        result = (VmaFlags)(uint)(prot & (Prot.Read | Prot.Write | Prot.Execute)) | DefaultFlags | VmaFlags.MayRead | VmaFlags.MayWrite | VmaFlags.MayExec;
        result |= (flags & MapFlags.GrowsDown) != 0 ? VmaFlags.GrowsDown : 0;
        result |= (flags & MapFlags.Locked) != 0 ? VmaFlags.Locked : 0;
        bool anonymous = (flags & MapFlags.Anonymous) != 0;
        MapFlags type = flags & (MapFlags.Shared | MapFlags.Private);
        if (type == MapFlags.None || (anonymous && type == MapFlags.SharedValidate))
        {
            return Errno.EINVAL;
        }

        if ((flags & MapFlags.Locked) != 0 && Limits is { MayLockAll: false, LockedMemory: 0 })
        {
            return Errno.EPERM;
        }

        if ((result & VmaFlags.Locked) != 0 && !MayLock((long)(bytes >> PageGeometry.PageShift)))
        {
            return Errno.EAGAIN;
        }

        if (anonymous)
        {
            file = null;
            if (type == MapFlags.Shared)
            {
                if ((result & VmaFlags.GrowsDown) != 0)
                {
                    return Errno.EINVAL;
                }

                pgoff = 0;
                result |= VmaFlags.Shared | VmaFlags.MayShare;
                Result<OpenFile> memory = ShmemFile.Create(Cpu, (long)bytes);
                if (!memory.Succeeded)
                {
                    return memory.Error;
                }

                file = memory;
            }
            else
            {
                pgoff = start >> PageGeometry.PageShift;
            }
        }
        else
        {
            if (file is null)
            {
                return Errno.EBADF;
            }

            Errno wrong = CheckFile(file, prot, type, ref result);
            wrong = wrong == Errno.None ? CheckSeals(file, ref result) : wrong;
            if (wrong != Errno.None)
            {
                return wrong;
            }
        }

        if ((flags & MapFlags.NoReserve) != 0 && _spaces.Machine.Settings.Sysctls.OvercommitMemory != 2)
        {
            result |= VmaFlags.NoReserve;
        }

        return Errno.None;
    }

    private static Errno CheckFile(OpenFile file, Prot prot, MapFlags type, ref VmaFlags flags)
    {
        if ((file.Mode & OpenMode.Read) == 0)
        {
            return Errno.EACCES;
        }

        if (type != MapFlags.Private)
        {
            if ((prot & Prot.Write) != 0 && (file.Mode & OpenMode.Write) == 0)
            {
                return Errno.EACCES;
            }

            flags |= VmaFlags.Shared | VmaFlags.MayShare;
            if ((file.Mode & OpenMode.Write) == 0)
            {
                flags &= ~(VmaFlags.MayWrite | VmaFlags.Shared);
            }
        }

        return (flags & VmaFlags.GrowsDown) != 0 ? Errno.EINVAL : Errno.None;
    }

    /// <summary>What seals allow (<c>memfd_check_seals_mmap()</c>): a shared mapping of a file that nobody may write to never becomes writable.</summary>
    private Errno CheckSeals(OpenFile file, ref VmaFlags flags)
    {
        FileSeals seals = file.File.Seals & (FileSeals.Write | FileSeals.FutureWrite);
        if (seals == 0 || (flags & VmaFlags.Shared) == 0)
        {
            return Errno.None;
        }

        if ((flags & VmaFlags.Write) != 0 || ((seals & FileSeals.Write) != 0 && !_spaces.Rules.MapsSealedForReading))
        {
            return Errno.EPERM;
        }

        flags &= ~VmaFlags.MayWrite;
        return Errno.None;
    }

    /// <summary>Puts an area into a range (<c>mmap_region()</c>); what is mapped there goes.</summary>
    internal Errno MapRegion(Cpu cpu, ulong start, ulong bytes, VmaFlags flags, ulong pgoff, OpenFile? file)
    {
        ulong end = start + bytes;
        long pages = (long)(bytes >> PageGeometry.PageShift);
        RequireListeners(start, end);
        if (!MayExpand(flags, pages) && ((flags & VmaFlags.Locked) != 0 || !MayExpand(flags, pages - PagesMappedIn(start, end))))
        {
            return Errno.ENOMEM;
        }

        bool charged = (flags & (VmaFlags.NoReserve | VmaFlags.Shared | VmaFlags.Write | VmaFlags.HugeTlb)) == VmaFlags.Write;
        if (charged)
        {
            if (!_spaces.Commit.Charge(this, pages, Limits.IsAdmin))
            {
                return Errno.ENOMEM;
            }

            flags |= VmaFlags.Account;
        }

        if (MergesAll && MayMerge(flags))
        {
            flags |= VmaFlags.Mergeable;
        }

        // The object first: failing after the old areas are gone would leave a hole.
        Vma? vma = NewVma(cpu, start, end, flags);
        if (vma is null || (_areas.FindIntersection(start, end) is not null && UnmapRange(cpu, start, end) != Errno.None))
        {
            if (vma is not null)
            {
                FreeVma(cpu, vma);
            }

            if (charged)
            {
                _spaces.Commit.Uncharge(pages);
            }

            return Errno.ENOMEM;
        }

        vma.PgOff = pgoff;
        vma.File = file?.Get();
        vma.PageBits = _spaces.Protection.Bits(flags, file);
        Account(flags, pages);
        if ((flags & VmaFlags.Locked) != 0)
        {
            LockedPages += pages;
        }

        if (TryMergeNew(cpu, vma))
        {
            file?.Put(cpu);
            FreeVma(cpu, vma);
        }
        else
        {
            InsertVma(vma);
        }

        if (_spaces.UsesHugePages && _spaces.Huge.IsEligible(_areas.Find(start)!))
        {
            _spaces.Huge.Settings.Khugepaged.Enter(this);
        }

        return Errno.None;
    }

    private long PagesMappedIn(ulong start, ulong end)
    {
        ulong bytes = 0;
        for (Vma? vma = _areas.FindIntersection(start, end); vma is not null && vma.StartValue < end; vma = vma.Next)
        {
            bytes += Math.Min(end, vma.EndValue) - Math.Max(start, vma.StartValue);
        }

        return (long)(bytes >> PageGeometry.PageShift);
    }

    /// <summary>Faults a range in (<c>__mm_populate()</c>).</summary>
    /// <returns>ENOMEM for holes and without memory, EINVAL where the area does not allow it, EFAULT where an access would get a signal.</returns>
    internal Errno Populate(Cpu cpu, ulong start, ulong end, bool write, bool asAdvised = false)
    {
        for (ulong at = start; at < end; at += PageGeometry.PageSize)
        {
            if (At(at) is not { } vma)
            {
                return Errno.ENOMEM;
            }

            if (vma.MapsFrames)
            {
                if (asAdvised)
                {
                    return Errno.EINVAL;
                }

                at = vma.EndValue - PageGeometry.PageSize;
                continue;
            }

            if (!asAdvised && (vma.Flags & VmaFlags.LockOnFault) != 0 && (vma.Flags & VmaFlags.Locked) != 0)
            {
                at = vma.EndValue - PageGeometry.PageSize;
                continue;
            }

            // Who only asked for memory to be there gets it whatever the access is; who gave advice about reads or writes must be allowed them.
            bool accessible = (vma.Flags & (asAdvised ? VmaFlags.Read : AccessFlags)) != 0;
            if ((!accessible && !(asAdvised && write)) || (write && (vma.Flags & VmaFlags.Write) == 0))
            {
                return Errno.EINVAL;
            }

            FaultResult result = _spaces.Faults.FaultIn(cpu, this, vma, at, write && (vma.Flags & VmaFlags.Write) != 0);
            if ((result & FaultResult.Error) != 0)
            {
                return (result & FaultResult.Oom) != 0 ? Errno.ENOMEM : Errno.EFAULT;
            }

            // A page that a read had mapped for writing takes no fault now, and is dirty all the same (FOLL_TOUCH with FOLL_WRITE): seen on 6.18.
            if (write && (vma.Flags & (VmaFlags.Shared | VmaFlags.HugeTlb)) == VmaFlags.Shared && vma.Mapping is { } mapping && FrameAt(at, out _) is >= 0 and int pfn)
            {
                _ = mapping.SetDirty(cpu, _spaces.Pages.HeadOf(pfn));
            }
        }

        return Errno.None;
    }
}
