using MemSim.Hugetlb;

namespace MemSim;

/// <content>Mappings of the pool of huge pages.</content>
public sealed partial class MemoryDescriptor
{
    /// <summary>Small pages that mapped pages of the huge-page pool have (<c>HugetlbPages</c> of <c>status</c>): they are in no other count.</summary>
    public long HugetlbPages { get; internal set; }

    private const int MapFlagsHugeShift = 26;

    /// <summary><c>mmap()</c> with <c>MAP_HUGETLB</c>: lengths are rounded up to huge pages, addresses must be aligned to them.</summary>
    private Result<VirtualAddress> MmapHuge(Cpu cpu, VirtualAddress hint, ulong length, Prot prot, MapFlags flags, OpenFile? file)
    {
        MapFlags type = flags & (MapFlags.Shared | MapFlags.Private);
        if (file is not null || (flags & MapFlags.Anonymous) == 0 || (type != MapFlags.Private && type != MapFlags.Shared) || (flags & MapFlags.GrowsDown) != 0)
        {
            return Errno.EINVAL;
        }

        int log = (int)(flags & MapFlags.HugeSizeMask) >> MapFlagsHugeShift;
        MachineHugetlb huge = _spaces.Machine.Hugetlb;
        if ((log == 0 ? huge.Pool : log < 48 ? huge.PoolOf(new ByteSize(1UL << log)) : null) is not { IsMappable: true } pool)
        {
            return Errno.EINVAL;
        }

        HugetlbFile made = new(pool, type == MapFlags.Shared, this);
        return MapHugetlb(cpu, hint, length, prot, flags, made, 0, null);
    }

    /// <summary>Maps part of a named file on hugetlbfs; a writable mapping makes the file as large as it reaches.</summary>
    private Result<VirtualAddress> MmapHugeFile(Cpu cpu, VirtualAddress hint, ulong length, Prot prot, MapFlags flags, OpenFile file, HugetlbMapping mapping, ulong offset)
    {
        HugetlbFile content = mapping.Content;
        VmaFlags rights = (VmaFlags)(uint)(prot & (Prot.Read | Prot.Write | Prot.Execute));
        MapFlags type = flags & (MapFlags.Shared | MapFlags.Private);
        Errno wrong = CheckFile(file, prot, type, ref rights);
        if (wrong != Errno.None || type is not (MapFlags.Shared or MapFlags.Private) || (flags & MapFlags.GrowsDown) != 0 || (offset & (content.Bytes - 1)) != 0)
        {
            return wrong != Errno.None ? wrong : Errno.EINVAL;
        }

        bool shared = type == MapFlags.Shared;
        HugetlbFile made = shared ? content : new HugetlbFile(content.Pool, isShared: false, this) { Backing = content };
        content.Users++;
        Result<VirtualAddress> where = MapHugetlb(cpu, hint, length, prot, flags, made, offset >> PageGeometry.PageShift, file);
        if (!where.Succeeded)
        {
            content.Users--;
        }

        return where;
    }

    /// <summary>Maps part of a file on hugetlbfs, named or not (<c>hugetlbfs_file_mmap()</c>).</summary>
    private Result<VirtualAddress> MapHugetlb(Cpu cpu, VirtualAddress hint, ulong length, Prot prot, MapFlags flags, HugetlbFile made, ulong pgoff, OpenFile? file)
    {
        MapFlags type = flags & (MapFlags.Shared | MapFlags.Private);
        ulong mask = made.Bytes - 1;
        ulong bytes = (length + mask) & ~mask;
        if (bytes < length || bytes == 0 || _areas.Count > _spaces.Commit.MaxAreas)
        {
            return Errno.ENOMEM;
        }

        bool isFixed = (flags & (MapFlags.Fixed | MapFlags.FixedNoReplace)) != 0;
        if (isFixed && (hint.Value & mask) != 0)
        {
            return Errno.EINVAL;
        }

        // Any range longer by all but a page of a huge one holds an aligned one; the highest in it is taken.
        ulong wanted = (hint.Value + mask) & ~mask;
        bool atHint = isFixed || (wanted != 0 && wanted >= MinAddress && bytes <= _spaces.Addresses.TaskSize && wanted <= _spaces.Addresses.TaskSize - bytes && IsFree(wanted, bytes));
        ulong slack = made.Bytes - PageGeometry.PageSize;
        Result<VirtualAddress> where = GetUnmappedArea(atHint ? wanted : 0, atHint ? bytes : bytes + slack, isFixed);
        if (!where.Succeeded)
        {
            return where;
        }

        ulong start = atHint ? wanted : (where.Value.Value + slack) & ~mask;
        if ((flags & MapFlags.FixedNoReplace) != 0 && _areas.FindIntersection(start, start + bytes) is not null)
        {
            return Errno.EEXIST;
        }

        VmaFlags vmFlags = (VmaFlags)(uint)(prot & (Prot.Read | Prot.Write | Prot.Execute)) | VmaFlags.MayRead | VmaFlags.MayWrite | VmaFlags.MayExec | VmaFlags.HugeTlb | VmaFlags.DontExpand;
        vmFlags |= type == MapFlags.Shared ? VmaFlags.Shared | VmaFlags.MayShare : 0;
        vmFlags |= (flags & MapFlags.NoReserve) != 0 ? VmaFlags.NoReserve : 0;
        ulong first = pgoff >> made.Pool.Order;
        HashSet<ulong> before = [.. made.Reserved];
        if ((flags & MapFlags.NoReserve) == 0 && !HugetlbMemory.Reserve(cpu, made, first, first + (bytes / made.Bytes)))
        {
            return Errno.ENOMEM;
        }

        Errno wrong = MapRegion(cpu, start, bytes, vmFlags, pgoff, file);
        if (wrong != Errno.None)
        {
            made.Pool.Unreserve(cpu, made.Reserved.RemoveWhere(index => !before.Contains(index)));
            return Told(wrong);
        }

        Vma area = At(start)!;
        area.Hugetlb = made;
        area.PgOff = pgoff;
        if (file is not null && (vmFlags & VmaFlags.Write) != 0)
        {
            file.File.Size = Math.Max(file.File.Size, (long)((pgoff << PageGeometry.PageShift) + bytes));
        }

        TellUserfaults();
        if ((flags & MapFlags.Locked) != 0 || (flags & (MapFlags.Populate | MapFlags.NonBlock)) == MapFlags.Populate)
        {
            _ = Populate(cpu, start, start + bytes, (vmFlags & (VmaFlags.Write | VmaFlags.Shared)) == VmaFlags.Write);
        }

        return new VirtualAddress(start);
    }

    /// <summary>Whether a limit of a range cuts a huge page of a mapping of the pool (<c>hugetlb_vm_op_split()</c>).</summary>
    private bool CutsHugetlb(ulong start, ulong end) => CutsHugetlb(start) || CutsHugetlb(end);

    private bool CutsHugetlb(ulong limit) => At(limit) is { } vma && HugetlbMemory.Maps(vma) && HugetlbMemory.Cuts(vma, limit, limit);
}
