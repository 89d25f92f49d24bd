using MemSim.AddressSpaces.Huge;

namespace MemSim;

/// <content>Mappings of the pool of huge pages.</content>
public sealed partial class MemoryDescriptor
{
    /// <summary>Small pages that mapped pages of the huge-page pool have (<c>HugetlbPages</c> of <c>status</c>): they are in no other count.</summary>
    public long HugetlbPages { get; internal set; }

    /// <summary><c>mmap()</c> with <c>MAP_HUGETLB</c>: lengths are rounded up to huge pages, addresses must be aligned to them.</summary>
    private Result<VirtualAddress> MmapHuge(Cpu cpu, VirtualAddress hint, ulong length, Prot prot, MapFlags flags, OpenFile? file)
    {
        ulong mask = _core.Huge.Bytes - 1;
        MapFlags type = flags & (MapFlags.Shared | MapFlags.Private);
        if (file is not null || (flags & MapFlags.Anonymous) == 0 || (type != MapFlags.Private && type != MapFlags.Shared) || (flags & MapFlags.GrowsDown) != 0)
        {
            return Errno.EINVAL;
        }

        ulong bytes = (length + mask) & ~mask;
        if (bytes < length || bytes == 0 || _areas.Count > _core.MaxAreas)
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
        bool atHint = isFixed || (wanted != 0 && wanted >= MinAddress && bytes <= _core.Addresses.TaskSize && wanted <= _core.Addresses.TaskSize - bytes && IsFree(wanted, bytes));
        ulong slack = _core.Huge.Bytes - PageGeometry.PageSize;
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
        HugetlbFile made = new(type == MapFlags.Shared, this);
        if ((flags & MapFlags.NoReserve) == 0 && !_core.Hugetlb.Reserve(cpu, made, bytes / _core.Huge.Bytes))
        {
            return Errno.ENOMEM;
        }

        Errno wrong = MapRegion(cpu, start, bytes, vmFlags, 0, null);
        if (wrong != Errno.None)
        {
            _core.Machine.HugePages.Pool.Unreserve(cpu, made.Reserved.Count);
            return wrong;
        }

        At(start)!.Hugetlb = made;
        if ((flags & MapFlags.Locked) != 0 || (flags & (MapFlags.Populate | MapFlags.NonBlock)) == MapFlags.Populate)
        {
            _ = Populate(cpu, start, start + bytes, (vmFlags & (VmaFlags.Write | VmaFlags.Shared)) == VmaFlags.Write);
        }

        return new VirtualAddress(start);
    }

    /// <summary>Whether a limit of a range cuts a huge page of a mapping of the pool (<c>hugetlb_vm_op_split()</c>).</summary>
    private bool CutsHugetlb(ulong start, ulong end) => CutsHugetlb(start) || CutsHugetlb(end);

    private bool CutsHugetlb(ulong limit) => At(limit) is { } vma && HugetlbCore.Maps(vma) && _core.Hugetlb.Cuts(limit, limit);
}
