using MemSim.Lru;
using MemSim.PageCache;

namespace MemSim.Filesystems;

/// <summary>The pages of shared memory: anonymous in all but name. Where the kernel swapped one out, the tree holds the swap entry.</summary>
internal sealed class ShmemMapping : FileMapping
{
    private readonly TmpFileSystem _fileSystem;

    public ShmemMapping(SimFile host, TmpFileSystem fileSystem)
        : base(host, fileSystem.Machine, Gfp.HighUserMovable, tracksShadows: false)
    {
        _fileSystem = fileSystem;
        IsShmem = true;
    }

    /// <summary>The page at an index: in memory, swapped in, or a new zeroed one (<c>shmem_get_folio()</c>).</summary>
    public override Errno GetPage(Cpu cpu, uint index, Gfp gfp, bool waits, out int pfn)
    {
        pfn = Find(index);
        if (pfn >= 0 && FrameOf(pfn).Has(PageFlags.HwPoison))
        {
            pfn = -1;
            return Errno.EHWPOISON;
        }

        if (pfn >= 0)
        {
            Machine.Frames.AddReferences(pfn, 1);
            return Errno.None;
        }

        long swapped = ValueAt(index);
        if (swapped >= 0)
        {
            return Machine.Files.ShmemSwap is { } swap ? swap.SwapIn(cpu, this, index, swapped, out pfn) : Errno.EIO;
        }

        pfn = MakePage(cpu, index, gfp, out Errno error);
        if (pfn >= 0)
        {
            UnlockNew(pfn);
        }

        return error;
    }

    /// <summary>Seals are asked page by page: what lies before a seal against growth is written (<c>shmem_write_begin()</c>).</summary>
    public override Result<int> Write(Cpu cpu, long offset, ReadOnlySpan<byte> buffer)
    {
        FileSeals seals = Host.Seals & (FileSeals.Write | FileSeals.FutureWrite | FileSeals.Grow);
        if (seals == 0 || buffer.Length == 0)
        {
            return base.Write(cpu, offset, buffer);
        }

        if (seals != FileSeals.Grow)
        {
            return Errno.EPERM;
        }

        // The part in the page that crosses the end is refused as a whole.
        long end = offset + buffer.Length <= Host.Size ? offset + buffer.Length : Host.Size & ~(long)(PageGeometry.PageSize - 1);
        return end <= offset ? Errno.EPERM : base.Write(cpu, offset, buffer[..(int)(end - offset)]);
    }

    /// <summary>Puts a page with given contents, or zeroes, where none is (<c>shmem_mfill_atomic_pte()</c>).</summary>
    /// <returns>EEXIST, ENOMEM; a reference for the caller.</returns>
    public Errno Fill(Cpu cpu, uint index, ReadOnlySpan<byte> contents, out int pfn)
    {
        pfn = -1;
        if (HasBacking(index))
        {
            return Errno.EEXIST;
        }

        pfn = MakePage(cpu, index, Gfp, out Errno error);
        if (pfn < 0)
        {
            return error == Errno.ENOSPC ? Errno.ENOMEM : error;
        }

        contents.CopyTo(Machine.Ram.Frame(pfn));
        UnlockNew(pfn);
        return Errno.None;
    }

    /// <summary>Writes a page to swap if there is any; else it is best kept active.</summary>
    public override PageOutOutcome PageOut(Cpu cpu, int pfn) => Machine.Files.ShmemSwap?.SwapOut(cpu, this, pfn) ?? PageOutOutcome.Activate;

    protected override bool IsValueInCore(uint index) => ValueAt(index) is var swapped and >= 0 && (Machine.Files.ShmemSwap?.IsInCache(swapped) ?? false);

    protected override bool HasBacking(uint index) => Find(index) >= 0 || ValueAt(index) >= 0;

    protected override Errno FillForRead(Cpu cpu, ReadAheadState state, uint index, uint request, out int pfn)
    {
        if (!HasBacking(index))
        {
            pfn = -1;
            return Errno.None;
        }

        Errno error = GetPage(cpu, index, Gfp, waits: true, out pfn);
        if (error == Errno.None)
        {
            Machine.Lru.Put(cpu, pfn);
        }

        return error == Errno.EHWPOISON ? Errno.EIO : error;
    }

    protected override int CreateForWrite(Cpu cpu, uint index, out Errno error)
    {
        if (ValueAt(index) >= 0)
        {
            error = GetPage(cpu, index, Gfp, waits: true, out int swapped);
            if (error == Errno.None)
            {
                Machine.Lru.SetFlags(ref FrameOf(swapped), PageFlags.Locked);
            }

            return swapped;
        }

        int pfn = MakePage(cpu, index, Gfp, out error);
        if (pfn >= 0)
        {
            Machine.Lru.SetFlags(ref FrameOf(pfn), PageFlags.Referenced);
        }

        return pfn;
    }

    protected override void RemoveValue(Cpu cpu, uint index, long value)
    {
        base.RemoveValue(cpu, index, value);
        Machine.Files.ShmemSwap?.Free(cpu, value);
        Discharge();
    }

    protected override void OnRemoved(uint index)
    {
        if (ValueAt(index) < 0)
        {
            Discharge();
        }
    }

    /// <summary>A new page, locked, zeroed, with a reference for the caller.</summary>
    private int MakePage(Cpu cpu, uint index, Gfp gfp, out Errno error)
    {
        if (!_fileSystem.TryCharge())
        {
            error = Errno.ENOSPC;
            return -1;
        }

        Host.Blocks++;
        int pfn = Create(cpu, index, gfp, out error);
        if (pfn < 0)
        {
            Discharge();
            return -1;
        }

        Machine.Ram.Zero(pfn, 1);
        Machine.Lru.SetFlags(ref FrameOf(pfn), PageFlags.UpToDate);
        return pfn;
    }

    private void UnlockNew(int pfn) => _ = Machine.Lru.ClearFlags(ref FrameOf(pfn), PageFlags.Locked);

    private void Discharge()
    {
        Host.Blocks--;
        _fileSystem.Uncharge();
    }
}
