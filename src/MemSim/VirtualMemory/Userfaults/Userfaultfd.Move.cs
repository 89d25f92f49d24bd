using MemSim.Hardware;
using MemSim.Lru;
using MemSim.Pages;

namespace MemSim;

/// <content>Moving pages instead of copying them (<c>UFFDIO_MOVE</c>, since 6.8).</content>
public sealed partial class Userfaultfd
{
    /// <summary>Moves anonymous pages that nobody else has to where none are, in a registered range (<c>UFFDIO_MOVE</c>).</summary>
    /// <param name="to">The first address, page aligned; the range lies in one area.</param>
    /// <param name="from">Where the pages are, page aligned, in one area of the same kind.</param>
    /// <param name="length">Bytes, whole pages.</param>
    /// <param name="skipsHoles">Whether pages that are not there are passed over (<c>UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES</c>).</param>
    /// <returns>EINVAL, also where areas differ in rights or locks, cannot be written, are shared or of files, or the target is not registered; ENOENT where an area or a page is missing; EEXIST where a page is already; EBUSY for pages that others have, too; EFAULT; ENOMEM.</returns>
    public UserfaultResult Move(VirtualAddress to, VirtualAddress from, long length, bool skipsHoles = false)
    {
        using OwnersLock.Scope scope = _spaces.Enter();
        if (_mm.IsGone)
        {
            return new UserfaultResult(Errno.ESRCH, 0);
        }

        if (IsChanging && _spaces.Rules.UserfaultMoves)
        {
            return Changing;
        }

        if (!_spaces.Rules.UserfaultMoves || !IsRange(to.Value, length, out ulong end) || !IsRange(from.Value, length, out ulong fromEnd))
        {
            return new UserfaultResult(Errno.EINVAL, 0);
        }

        Errno error = FindAreas(to.Value, end, from.Value, fromEnd, out Vma? target, out Vma? source);
        ulong at = 0;
        while (error == Errno.None && at < (ulong)length)
        {
            error = MovePage(target!, to.Value + at, source!, from.Value + at, skipsHoles);
            at += error == Errno.None ? (ulong)PageGeometry.PageSize : 0;
        }

        return Outcome(error, at, length);
    }

    private Errno FindAreas(ulong to, ulong end, ulong from, ulong fromEnd, out Vma? target, out Vma? source)
    {
        target = _mm.At(to);
        source = null;
        if (target is null)
        {
            return Errno.ENOENT;
        }

        if (!target.IsShared && target.AnonVma is null && !_spaces.Anon.Prepare(Cpu, target))
        {
            return Errno.ENOMEM;
        }

        source = _mm.At(from);
        if (source is null)
        {
            return Errno.ENOENT;
        }

        const VmaFlags same = VmaFlags.Read | VmaFlags.Write | VmaFlags.Exec | VmaFlags.Locked;
        bool fits = !source.IsShared && fromEnd <= source.EndValue && !target.IsShared && end <= target.EndValue && ((source.Flags ^ target.Flags) & same) == 0
            && (source.Flags & VmaFlags.Write) != 0 && ReferenceEquals(target.Userfaults, this) && source.IsAnonymous && target.IsAnonymous;
        return fits ? Errno.None : Errno.EINVAL;
    }

    private Errno MovePage(Vma target, ulong to, Vma source, ulong from, bool skipsHoles)
    {
        Cpu cpu = Cpu;
        PteLayout layout = _spaces.Layout;
        if (_spaces.UsesHugePages && _spaces.Huge.Find(source, from, out _) != 0)
        {
            _spaces.Huge.SplitEntry(cpu, source, from & ~(_spaces.Huge.Bytes - 1));
        }

        ulong taken = _mm.Tables.FindSlot(from);
        ulong entry = taken == 0 ? 0 : _mm.Tables.ReadSlot(taken);
        if (entry == 0 && taken == 0)
        {
            return skipsHoles ? Errno.None : Errno.ENOENT;
        }

        ulong slot = _mm.Tables.EnsureSlot(cpu, to);
        if (slot == 0)
        {
            return _mm.Tables.FindPmd(to) != 0 ? Errno.EEXIST : Errno.ENOMEM;
        }

        if (_mm.Tables.ReadSlot(slot) != 0)
        {
            return Errno.EEXIST;
        }

        if (entry == 0)
        {
            return skipsHoles ? Errno.None : Errno.ENOENT;
        }

        if (!layout.IsPresent(entry))
        {
            SoftEntry soft = _spaces.Entries.Decode(entry);
            if (soft.Kind != SoftEntryKind.Swap)
            {
                return Errno.EFAULT;
            }

            if (!soft.Exclusive)
            {
                return Errno.EBUSY;
            }

            _mm.Tables.WriteSlot(taken, 0);
            _mm.Tables.WriteSlot(slot, layout.ReleaseSoft(entry));
            return Errno.None;
        }

        int pfn = layout.Pfn(entry);
        if (pfn != _spaces.ZeroPfn)
        {
            Errno error = TakeOver(cpu, target, to, source, from, entry, pfn);
            if (error != Errno.None)
            {
                return error;
            }
        }

        _ = _mm.Tables.ClearSlot(taken, entry);
        _mm.Tables.Mmu.FlushPage(cpu, _mm.Tables, new VirtualAddress(from));
        ulong made = layout.Make(pfn, target.PageBits);
        _mm.Tables.WriteSlot(slot, pfn == _spaces.ZeroPfn ? made : layout.MakeWritable(layout.MakeDirty(made)));
        return Errno.None;
    }

    /// <summary>A page belongs to another place of the address space from now on.</summary>
    private Errno TakeOver(Cpu cpu, Vma target, ulong to, Vma source, ulong from, ulong entry, int pfn)
    {
        if (_spaces.Entries.NormalPage(source, from, entry) < 0)
        {
            return Errno.EFAULT;
        }

        if (_spaces.Pages.IsPartOfHuge(pfn) && !_spaces.Huge.SplitPage(cpu, _spaces.Pages.HeadOf(pfn)))
        {
            return Errno.EBUSY;
        }

        ref PageFrame frame = ref _spaces.Frames[pfn];
        if (!frame.IsAnonymous || !frame.IsAnonExclusive || frame.MayBePinned || frame.IsLocked)
        {
            return Errno.EBUSY;
        }

        frame.Mapping = target.AnonVma!.MappingValue;
        frame.Index = target.IndexOf(to);
        return Errno.None;
    }
}
