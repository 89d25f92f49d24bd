using MemSim.Lru;

namespace MemSim;

/// <content>Areas of frames that are nobody's pages.</content>
public sealed partial class MemoryDescriptor
{
    /// <summary>Maps frames as such (<c>VM_PFNMAP</c>): what <c>mmap()</c> of <c>/dev/mem</c>, or of a driver that calls <c>remap_pfn_range()</c>, makes.</summary>
    /// <remarks>
    /// All entries are made at once. Nobody counts them: the frames are no part of the process's resident memory, reclaim and compaction do not see them, and whoever frees a page that is mapped so leaves its new owner to be read and written
    /// by the process. In a private area the first write copies the frame to a page of the process's own. Such an area does not merge with others, grow, or get locked or pinned. Kernel concept: Linux 6.1.
    /// </remarks>
    /// <param name="hint">Where, if there is room; exactly where with <see cref="MapFlags.Fixed"/>.</param>
    /// <param name="length">Bytes; rounded up to pages.</param>
    /// <param name="prot">What the mapping allows.</param>
    /// <param name="flags"><see cref="MapFlags.Shared"/> or <see cref="MapFlags.Private"/>, and where.</param>
    /// <param name="firstPfn">The first frame (PFN). One without memory behind it, as a device's, can be mapped; who reads it there gets SIGBUS, for there is nobody who would answer.</param>
    /// <param name="device">The name that <c>/proc/pid/maps</c> shows.</param>
    /// <returns>The first address, or EINVAL for no length or frames that no entry can name, ENOMEM, EEXIST, EPERM.</returns>
    public Result<VirtualAddress> MapFrames(VirtualAddress hint, long length, Prot prot, MapFlags flags, long firstPfn, string device = "/dev/mem")
    {
        ArgumentException.ThrowIfNullOrEmpty(device);
        using OwnersLock.Scope scope = _spaces.Enter();
        if (IsGone)
        {
            return Errno.ESRCH;
        }

        const MapFlags known = MapFlags.Shared | MapFlags.Private | MapFlags.Fixed | MapFlags.FixedNoReplace | MapFlags.NoReserve;
        bool isShared = (flags & MapFlags.SharedValidate) == MapFlags.Shared;
        if ((flags & ~known) != 0 || (flags & MapFlags.SharedValidate) is MapFlags.None or MapFlags.SharedValidate
            || length <= 0 || !Align(length, out ulong bytes) || firstPfn < 0 || (ulong)firstPfn + (bytes >> PageGeometry.PageShift) > (ulong)_spaces.Layout.MaxPfn)
        {
            return Errno.EINVAL;
        }

        Cpu cpu = Cpu;
        bool isFixed = (flags & (MapFlags.Fixed | MapFlags.FixedNoReplace)) != 0;
        Result<VirtualAddress> where = GetUnmappedArea(isFixed ? hint.Value : hint.Value & ~PageMask, bytes, isFixed);
        if (!where.Succeeded)
        {
            return where;
        }

        ulong start = where.Value.Value;
        if ((flags & MapFlags.FixedNoReplace) != 0 && _areas.FindIntersection(start, start + bytes) is not null)
        {
            return Errno.EEXIST;
        }

        VmaFlags made = (VmaFlags)(uint)(prot & (Prot.Read | Prot.Write | Prot.Execute)) | (DefaultFlags & ~(VmaFlags.Locked | VmaFlags.LockOnFault)) | VmaFlags.MayRead | VmaFlags.MayWrite | VmaFlags.MayExec
            | (isShared ? VmaFlags.Shared | VmaFlags.MayShare : 0) | ((flags & MapFlags.NoReserve) != 0 ? VmaFlags.NoReserve : 0)
            | VmaFlags.Io | VmaFlags.PfnMap | VmaFlags.DontExpand | VmaFlags.DontDump;
        Errno wrong = MapRegion(cpu, start, bytes, made, (ulong)firstPfn, file: null);
        if (wrong != Errno.None)
        {
            return Told(wrong);
        }

        Vma vma = At(start)!;
        vma.Device = device;
        for (ulong at = start; at < vma.EndValue; at += PageGeometry.PageSize)
        {
            ulong slot = Tables.EnsureSlot(cpu, at);
            if (slot == 0)
            {
                _ = UnmapRange(cpu, start, start + bytes);
                return Told(Errno.ENOMEM);
            }

            Tables.OverwriteSlot(slot, _spaces.Layout.Make((int)vma.IndexOf(at), vma.PageBits));
        }

        return Told(where);
    }
}
