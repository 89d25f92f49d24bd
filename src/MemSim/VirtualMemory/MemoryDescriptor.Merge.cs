using MemSim.VirtualMemory;

namespace MemSim;

/// <content>Merging and splitting of areas.</content>
public sealed partial class MemoryDescriptor
{
    /// <summary>Flags that do not keep areas apart, and that what is merged has when one of its parts had them (<c>VM_STICKY</c>).</summary>
    private const VmaFlags Sticky = VmaFlags.MaybeGuard;

    private static bool SameKind(Vma vma, VmaFlags flags, OpenFile? file, MemoryPolicy? policy, Userfaultfd? faults) =>
        ((vma.Flags ^ flags) & ~Sticky) == 0 && (flags & (VmaFlags.HugeTlb | VmaFlags.PfnMap)) == 0 && ReferenceEquals(vma.File, file) && ReferenceEquals(vma.Policy, policy) && ReferenceEquals(vma.Userfaults, faults);

    // One of them may be without anonymous memory if the area that is enlarged has not come through a fork. 6.1 also wants that area to be the touched one (its chain must be singular,
    // and an empty one is not); 6.15 and later do not.
    private bool SameAnon(AnonVma? a, AnonVma? b, Vma? owner) =>
        ReferenceEquals(a, b) || ((a is null || b is null) && (owner is null || (owner.Chain is null || owner.Chain.Count == 0 ? _spaces.Rules.MergesUntouched : owner.Chain.Count == 1)));

    /// <summary>Whether an area can be enlarged upwards to take over what begins at its end (<c>can_vma_merge_after()</c>).</summary>
    private bool CanAppend(Vma vma, VmaFlags flags, OpenFile? file, ulong pgoff, AnonVma? anon, MemoryPolicy? policy, Userfaultfd? faults) =>
        SameKind(vma, flags, file, policy, faults) && SameAnon(anon, vma.AnonVma, vma) && vma.PgOff + (ulong)vma.Pages == pgoff;

    /// <summary>Whether an area can be enlarged downwards (<c>can_vma_merge_before()</c>).</summary>
    private bool CanPrepend(Vma vma, VmaFlags flags, OpenFile? file, ulong pgoff, ulong pages, AnonVma? anon, MemoryPolicy? policy, Userfaultfd? faults) =>
        SameKind(vma, flags, file, policy, faults) && SameAnon(anon, vma.AnonVma, vma) && vma.PgOff == pgoff + pages;

    /// <summary>Enlarges a neighbour instead of inserting an area that is new, or that comes from elsewhere; closes the gap between two when both match.</summary>
    private bool TryMergeNew(Cpu cpu, Vma vma)
    {
        Vma? next = _areas.Find(vma.StartValue);
        Vma? previous = next is null ? _areas.Last : next.Previous;
        bool append = previous is not null && previous.EndValue == vma.StartValue && CanAppend(previous, vma.Flags, vma.File, vma.PgOff, vma.AnonVma, vma.Policy, vma.Userfaults);
        bool prepend = next is not null && next.StartValue == vma.EndValue && CanPrepend(next, vma.Flags, vma.File, vma.PgOff, (ulong)vma.Pages, vma.AnonVma, vma.Policy, vma.Userfaults);
        if (append && prepend && SameAnon(previous!.AnonVma, next!.AnonVma, null) && TakeOverAnon(cpu, previous, vma) && TakeOverAnon(cpu, previous, next))
        {
            previous.Flags |= vma.Flags & Sticky;
            Absorb(cpu, previous, next);
            return true;
        }

        if (append && TakeOverAnon(cpu, previous!, vma))
        {
            previous!.Flags |= vma.Flags & Sticky;
            VmaTree.Resize(previous!, previous!.StartValue, vma.EndValue);
            return true;
        }

        if (prepend && TakeOverAnon(cpu, next!, vma))
        {
            next!.PgOff -= (ulong)vma.Pages;
            next.Flags |= vma.Flags & Sticky;
            VmaTree.Resize(next, vma.StartValue, next.EndValue);
            return true;
        }

        return false;
    }

    /// <summary>Removes an area that the one before it takes over, and enlarges that one.</summary>
    private void Absorb(Cpu cpu, Vma into, Vma gone)
    {
        into.Flags |= gone.Flags & Sticky;
        RemoveVma(gone);
        _spaces.Anon.UnlinkAll(cpu, gone);
        gone.File?.Put(cpu);
        FreeVma(cpu, gone);
        VmaTree.Resize(into, into.StartValue, gone.EndValue);
    }

    /// <summary>An area that grows over pages of another must be found by their anonymous-memory objects as well.</summary>
    private bool TakeOverAnon(Cpu cpu, Vma into, Vma from) => from.AnonVma is null || into.AnonVma is not null || _spaces.Anon.Clone(cpu, into, from);

    /// <summary>Gives part of an area new flags (and policy), merging and splitting as <c>vma_merge()</c> and <c>split_vma()</c> do.</summary>
    /// <returns>The area that holds the part now; null without memory, then nothing has changed.</returns>
    private Vma? ChangeRange(Cpu cpu, Vma vma, ulong start, ulong end, VmaFlags flags, MemoryPolicy? policy) => ChangeRange(cpu, vma, start, end, flags, policy, vma.Userfaults);

    private Vma? ChangeRange(Cpu cpu, Vma vma, ulong start, ulong end, VmaFlags flags, MemoryPolicy? policy, Userfaultfd? faults)
    {
        if (CutsHugetlb(start, end))
        {
            return null;
        }

        ulong pgoff = vma.PgOff + ((start - vma.StartValue) >> PageGeometry.PageShift);
        ulong pages = (end - start) >> PageGeometry.PageShift;
        Vma? previous = start == vma.StartValue ? vma.Previous : null;
        Vma? next = end == vma.EndValue ? vma.Next : null;
        bool append = previous is not null && previous.EndValue == start && CanAppend(previous, flags, vma.File, pgoff, vma.AnonVma, policy, faults);
        bool prepend = next is not null && next.StartValue == end && CanPrepend(next, flags, vma.File, pgoff, pages, vma.AnonVma, policy, faults);
        if (append && prepend && SameAnon(previous!.AnonVma, next!.AnonVma, null) && TakeOverAnon(cpu, previous, vma) && TakeOverAnon(cpu, previous, next))
        {
            Absorb(cpu, previous, vma);
            Absorb(cpu, previous, next);
            return previous;
        }

        if (append && TakeOverAnon(cpu, previous!, vma))
        {
            previous!.Flags |= flags & Sticky;
            if (end == vma.EndValue)
            {
                Absorb(cpu, previous!, vma);
            }
            else
            {
                SplitHuge(cpu, vma, end);
                vma.PgOff += pages;
                VmaTree.Resize(vma, end, vma.EndValue);
                VmaTree.Resize(previous!, previous!.StartValue, end);
            }

            return previous;
        }

        if (prepend && TakeOverAnon(cpu, next!, vma))
        {
            ulong below = vma.StartValue;
            if (start == below)
            {
                RemoveVma(vma);
                _spaces.Anon.UnlinkAll(cpu, vma);
                vma.File?.Put(cpu);
                FreeVma(cpu, vma);
            }
            else
            {
                SplitHuge(cpu, vma, start);
                VmaTree.Resize(vma, below, start);
            }

            next!.PgOff -= pages;
            next.Flags |= flags & Sticky;
            VmaTree.Resize(next, start, next.EndValue);
            return next;
        }

        if (start != vma.StartValue)
        {
            Vma? upper = Split(cpu, vma, start);
            if (upper is null)
            {
                return null;
            }

            if (end != upper.EndValue && Split(cpu, upper, end) is null)
            {
                // Whole again: the split of the lower end was for nothing.
                Absorb(cpu, vma, upper);
                return null;
            }

            vma = upper;
        }
        else if (end != vma.EndValue && Split(cpu, vma, end) is null)
        {
            return null;
        }

        vma.Flags = flags;
        vma.Policy = policy;
        vma.Userfaults = faults;
        return vma;
    }

    /// <summary>A huge page that an area's new limit cuts is mapped by small entries from now on (<c>vma_adjust_trans_huge()</c>).</summary>
    private void SplitHuge(Cpu cpu, Vma vma, ulong limit)
    {
        if (_spaces.UsesHugePages)
        {
            _spaces.Huge.SplitAt(cpu, vma, limit);
        }
    }

    /// <summary>Cuts an area in two (<c>split_vma()</c>).</summary>
    /// <returns>The upper part; null without memory or when there are too many areas.</returns>
    private Vma? Split(Cpu cpu, Vma vma, ulong at) => _areas.Count >= _spaces.Commit.MaxAreas ? null : SplitUnchecked(cpu, vma, at);

    /// <summary>Cuts an area in two although there may be too many: one of the parts goes at once.</summary>
    private Vma? SplitUnchecked(Cpu cpu, Vma vma, ulong at)
    {
        Vma? upper = NewVma(cpu, at, vma.EndValue, vma.Flags);
        if (upper is null)
        {
            return null;
        }

        upper.PgOff = vma.PgOff + ((at - vma.StartValue) >> PageGeometry.PageShift);
        upper.PageBits = vma.PageBits;
        upper.File = vma.File?.Get();
        upper.Device = vma.Device;
        upper.Policy = vma.Policy;
        upper.Userfaults = vma.Userfaults;
        if (vma.AnonVma is not null && !_spaces.Anon.Clone(cpu, upper, vma))
        {
            upper.File?.Put(cpu);
            FreeVma(cpu, upper);
            return null;
        }

        if (vma.Hugetlb is { } huge)
        {
            upper.Hugetlb = huge;
            huge.Users++;
        }

        SplitHuge(cpu, vma, at);
        VmaTree.Resize(vma, vma.StartValue, at);
        InsertVma(upper);
        return upper;
    }
}
