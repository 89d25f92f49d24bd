using MemSim.Filesystems;
using MemSim.Hardware;
using MemSim.Lru;
using MemSim.PageCache;

namespace MemSim;

/// <content>Putting pages where none are (<c>mfill_atomic()</c>).</content>
public sealed partial class Userfaultfd
{
    private enum Fill
    {
        Copy,
        Zero,
        Continue,
        Poison,
    }

    /// <summary>Puts new pages with given contents into a registered range (<c>UFFDIO_COPY</c>).</summary>
    /// <param name="to">The first address, page aligned; the range lies in one area.</param>
    /// <param name="from">The contents, whole pages.</param>
    /// <param name="protects">Whether they are write-protected at once (<c>UFFDIO_COPY_MODE_WP</c>).</param>
    /// <returns>EINVAL; ENOENT where nothing is registered, or the range leaves its area; EEXIST where a page is already; EFAULT behind the end of a file; ENOMEM; ESRCH; EAGAIN while an event waits to be read.</returns>
    public UserfaultResult Copy(VirtualAddress to, ReadOnlySpan<byte> from, bool protects = false) =>
        !IsChanging && (from.Length & (PageGeometry.PageSize - 1)) != 0 ? new UserfaultResult(Errno.EINVAL, 0) : FillRange(to.Value, from.Length, Fill.Copy, protects, from, 0);

    /// <summary>As <see cref="Copy(VirtualAddress, ReadOnlySpan{byte}, bool)"/>, from memory of the same process, which is faulted in as needed.</summary>
    /// <param name="to">The first address, page aligned.</param>
    /// <param name="from">Where the contents are.</param>
    /// <param name="length">Bytes, whole pages.</param>
    /// <param name="protects">Whether they are write-protected at once.</param>
    /// <returns>As there; EFAULT where the process could not read.</returns>
    public UserfaultResult Copy(VirtualAddress to, VirtualAddress from, long length, bool protects = false) =>
        IsChanging || IsSource(from.Value, length) ? FillRange(to.Value, length, Fill.Copy, protects, default, from.Value) : new UserfaultResult(Errno.EINVAL, 0);

    /// <summary>Puts zeroes into a registered range (<c>UFFDIO_ZEROPAGE</c>): the page of zeroes, in shared mappings new pages.</summary>
    /// <param name="to">The first address, page aligned.</param>
    /// <param name="length">Bytes, whole pages.</param>
    /// <returns>As <see cref="Copy(VirtualAddress, ReadOnlySpan{byte}, bool)"/>.</returns>
    public UserfaultResult ZeroPage(VirtualAddress to, long length) => FillRange(to.Value, length, Fill.Zero, protects: false, default, 0);

    /// <summary>Maps pages of shared memory that are in the file already (<c>UFFDIO_CONTINUE</c>).</summary>
    /// <param name="to">The first address, page aligned.</param>
    /// <param name="length">Bytes, whole pages.</param>
    /// <param name="protects">Whether they are write-protected at once.</param>
    /// <returns>As <see cref="Copy(VirtualAddress, ReadOnlySpan{byte}, bool)"/>; EFAULT where the file has no page; EINVAL behind its end and for anonymous memory.</returns>
    public UserfaultResult Continue(VirtualAddress to, long length, bool protects = false) => FillRange(to.Value, length, Fill.Continue, protects, default, 0);

    /// <summary>Declares pages lost: an access gets SIGBUS from now on (<c>UFFDIO_POISON</c>, since 6.6).</summary>
    /// <param name="to">The first address, page aligned.</param>
    /// <param name="length">Bytes, whole pages.</param>
    /// <returns>As <see cref="Copy(VirtualAddress, ReadOnlySpan{byte}, bool)"/>; EINVAL on kernels without it.</returns>
    public UserfaultResult Poison(VirtualAddress to, long length) =>
        _spaces.Rules.UserfaultPoisons ? FillRange(to.Value, length, Fill.Poison, protects: false, default, 0) : new UserfaultResult(Errno.EINVAL, 0);

    /// <summary>What calls come to while an event waits to be read, whatever their arguments (since 4.18).</summary>
    private static UserfaultResult Changing => new(Errno.EAGAIN, -(int)Errno.EAGAIN);

    private UserfaultResult FillRange(ulong to, long length, Fill how, bool protects, ReadOnlySpan<byte> contents, ulong source)
    {
        using OwnersLock.Scope scope = _spaces.Enter();
        if (_mm.IsGone)
        {
            return new UserfaultResult(Errno.ESRCH, 0);
        }

        if (IsChanging)
        {
            return Changing;
        }

        if (!IsRange(to, length, out ulong end))
        {
            return new UserfaultResult(Errno.EINVAL, 0);
        }

        Errno error = FindTarget(to, end, how, protects);
        ulong at = to;
        Span<byte> page = stackalloc byte[PageGeometry.PageSize];
        while (error == Errno.None && at < end)
        {
            int offset = (int)(at - to);
            if (source != 0)
            {
                error = Fetch(source + (ulong)offset, page);
                // Reading may have slept: what the range is may have changed.
                error = error == Errno.None ? FindTarget(at, end, how, protects) : error;
            }

            error = error == Errno.None ? FillPage(_mm.At(at)!, at, how, protects, source != 0 || how != Fill.Copy ? page : contents.Slice(offset, PageGeometry.PageSize)) : error;
            at += error == Errno.None ? (ulong)PageGeometry.PageSize : 0;
        }

        return Outcome(error, at - to, length);
    }

    private static UserfaultResult Outcome(Errno error, ulong done, long length) =>
        done != 0 ? new UserfaultResult((long)done == length ? Errno.None : Errno.EAGAIN, (long)done) : new UserfaultResult(error, -(int)error);

    /// <summary>Checks the area that pages are to come into.</summary>
    private Errno FindTarget(ulong to, ulong end, Fill how, bool protects)
    {
        if (_mm.At(to) is not { } vma)
        {
            return Errno.ENOENT;
        }

        // The kernel gets ready for anonymous pages before it looks at the area any further.
        if (!vma.IsShared && vma.AnonVma is null && !_spaces.Anon.Prepare(Cpu, vma))
        {
            return Errno.ENOMEM;
        }

        if (end > vma.EndValue || vma.Userfaults is null)
        {
            return Errno.ENOENT;
        }

        bool shmem = vma.Mapping is { IsShmem: true };
        bool wrong = (protects && (vma.Flags & VmaFlags.UserfaultProtect) == 0) || ((how == Fill.Continue || vma.File is not null) && !shmem);
        return wrong ? Errno.EINVAL : Errno.None;
    }

    private Errno FillPage(Vma vma, ulong at, Fill how, bool protects, ReadOnlySpan<byte> contents)
    {
        ulong slot = _mm.Tables.EnsureSlot(Cpu, at);
        if (slot == 0)
        {
            return _mm.Tables.FindPmd(at) != 0 ? Errno.EEXIST : Errno.ENOMEM;
        }

        return how switch
        {
            Fill.Continue => ContinuePage(vma, at, slot, protects),
            Fill.Poison => PoisonPage(vma, at, slot),
            _ when vma.IsShared => FillShared(vma, at, slot, how, protects, contents),
            Fill.Zero => MapZeroes(vma, at, slot),
            _ => FillAnonymous(vma, at, slot, protects, contents),
        };
    }

    private Errno FillAnonymous(Vma vma, ulong at, ulong slot, bool protects, ReadOnlySpan<byte> contents)
    {
        Cpu cpu = Cpu;
        int pfn = _spaces.Faults.AllocateAnon(cpu, vma, at, zero: false);
        if (pfn < 0)
        {
            return Errno.ENOMEM;
        }

        contents.CopyTo(_spaces.Machine.Ram.Frame(pfn));
        Errno wrong = IsBehindEnd(vma, at) ? Errno.EFAULT : !IsEmpty(slot) ? Errno.EEXIST : Errno.None;
        if (wrong != Errno.None)
        {
            _spaces.Pages.Put(cpu, pfn);
            return wrong;
        }

        _mm.AnonPages++;
        _spaces.Maps.AddNewAnonRmap(pfn, vma, at);
        _spaces.Pages.AddToLru(cpu, pfn, vma);
        _mm.Tables.WriteSlot(slot, Entry(vma, pfn, protects, writable: true));
        return Errno.None;
    }

    private Errno FillShared(Vma vma, ulong at, ulong slot, Fill how, bool protects, ReadOnlySpan<byte> contents)
    {
        Cpu cpu = Cpu;
        ShmemMapping mapping = (ShmemMapping)vma.Mapping!;
        if (IsBehindEnd(vma, at))
        {
            return Errno.EFAULT;
        }

        Errno error = mapping.Fill(cpu, vma.IndexOf(at), how == Fill.Copy ? contents : default, out int pfn);
        if (error != Errno.None)
        {
            return error;
        }

        if (!IsEmpty(slot))
        {
            _spaces.Pages.Put(cpu, pfn);
            _ = mapping.PunchHole(cpu, (long)vma.IndexOf(at) << PageGeometry.PageShift, PageGeometry.PageSize);
            return Errno.EEXIST;
        }

        _spaces.Faults.MapFilePage(cpu, vma, slot, pfn, Entry(vma, pfn, protects, writable: true));
        return Errno.None;
    }

    private Errno MapZeroes(Vma vma, ulong at, ulong slot)
    {
        if (IsBehindEnd(vma, at))
        {
            return Errno.EFAULT;
        }

        if (_mm.Tables.ReadSlot(slot) != 0)
        {
            return Errno.EEXIST;
        }

        _mm.Tables.WriteSlot(slot, _spaces.Layout.Make(_spaces.ZeroPfn, vma.PageBits));
        return Errno.None;
    }

    private Errno ContinuePage(Vma vma, ulong at, ulong slot, bool protects)
    {
        Cpu cpu = Cpu;
        FileMapping mapping = vma.Mapping!;
        uint index = vma.IndexOf(at);
        if (IsBehindEnd(vma, at))
        {
            return Errno.EINVAL;
        }

        if (!mapping.IsInCore(index) && mapping.ValueAt(index) < 0)
        {
            return Errno.EFAULT;
        }

        if (mapping.GetPage(cpu, index, Gfp.HighUserMovable, waits: true, out int pfn) != Errno.None)
        {
            return Errno.EFAULT;
        }

        if (!IsEmpty(slot))
        {
            _spaces.Pages.Put(cpu, pfn);
            return Errno.EEXIST;
        }

        _spaces.Faults.MapFilePage(cpu, vma, slot, pfn, Entry(vma, pfn, protects, writable: vma.IsShared));
        return Errno.None;
    }

    private Errno PoisonPage(Vma vma, ulong at, ulong slot)
    {
        if (IsBehindEnd(vma, at))
        {
            return Errno.EFAULT;
        }

        if (!IsEmpty(slot))
        {
            return Errno.EEXIST;
        }

        _mm.Tables.WriteSlot(slot, _spaces.Layout.MakeMarker(PteMarkers.Poisoned));
        return Errno.None;
    }

    /// <summary>An entry for a page that was put here: dirty, since its contents are nowhere else.</summary>
    private ulong Entry(Vma vma, int pfn, bool protects, bool writable)
    {
        ulong made = _spaces.Layout.MakeDirty(_spaces.Layout.Make(pfn, vma.PageBits));
        made = writable && (vma.Flags & VmaFlags.Write) != 0 ? _spaces.Layout.MakeWritable(made) : made;
        return protects ? _spaces.Layout.Protect(made) : made;
    }

    /// <summary>Whether an entry is empty, or only remembers something (<c>pte_none_mostly()</c>).</summary>
    private bool IsEmpty(ulong slot) => _mm.Tables.ReadSlot(slot) is var entry && (entry == 0 || _spaces.Layout.Markers(entry) != PteMarkers.None);

    /// <summary>Whether an address lies behind the end of the file that the area maps (<c>mfill_file_over_size()</c>).</summary>
    private static bool IsBehindEnd(Vma vma, ulong at) => vma.Mapping is { } mapping && vma.IndexOf(at) >= mapping.SizePages;

    /// <summary>Reads a page's worth of the process's memory, faulting it in (<c>copy_from_user()</c>).</summary>
    private Errno Fetch(ulong from, Span<byte> to)
    {
        for (int done = 0; done < to.Length;)
        {
            ulong at = from + (ulong)done;
            const VmaFlags accessible = VmaFlags.Read | VmaFlags.Write | VmaFlags.Exec;
            if (_mm.At(at) is not { } vma || (vma.Flags & accessible) == 0 || (_spaces.Faults.FaultIn(Cpu, _mm, vma, at, write: false) & FaultResult.Error) != 0)
            {
                return Errno.EFAULT;
            }

            ulong slot = _mm.Tables.FindSlot(at);
            ulong entry = slot != 0 ? _mm.Tables.ReadSlot(slot) : _spaces.Huge.PartOf(vma, at);
            int within = (int)(at & PageMask);
            int run = Math.Min(to.Length - done, PageGeometry.PageSize - within);
            if (entry == 0 || !_spaces.Layout.IsPresent(entry))
            {
                return Errno.EFAULT;
            }

            _spaces.Machine.Ram.Frame(_spaces.Layout.Pfn(entry)).Slice(within, run).CopyTo(to.Slice(done, run));
            done += run;
        }

        return Errno.None;
    }
}
