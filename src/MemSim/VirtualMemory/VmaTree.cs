using System.Diagnostics;

namespace MemSim.VirtualMemory;

/// <summary>The areas of an address space in order; knows the largest hole below every node, so that free addresses are found in one descent.</summary>
/// <remarks>A treap of the areas themselves: no other objects, and the same calls build the same tree.</remarks>
internal sealed class VmaTree
{
    private const ulong StackGuard = MemoryDescriptor.StackGuardPages << PageGeometry.PageShift;

    private Vma? _root;
    private uint _random = 0x9e37_79b9;

    public int Count { get; private set; }

    public Vma? First { get; private set; }

    public Vma? Last { get; private set; }

    /// <summary>The first area that ends above an address (<c>find_vma()</c>).</summary>
    public Vma? Find(ulong address)
    {
        Vma? found = null;
        for (Vma? at = _root; at is not null;)
        {
            if (at.EndValue > address)
            {
                found = at;
                if (at.StartValue <= address)
                {
                    break;
                }

                at = at.Left;
            }
            else
            {
                at = at.Right;
            }
        }

        return found;
    }

    /// <summary>The first area that overlaps a range.</summary>
    public Vma? FindIntersection(ulong start, ulong end) => Find(start) is { } vma && vma.StartValue < end ? vma : null;

    public void Insert(Vma vma)
    {
        _random ^= _random << 13;
        _random ^= _random >> 17;
        _random ^= _random << 5;
        vma.Priority = _random;
        vma.Left = vma.Right = vma.Parent = null;
        Vma? parent = null;
        Vma? previous = null;
        Vma? next = null;
        for (Vma? at = _root; at is not null;)
        {
            parent = at;
            if (vma.StartValue < at.StartValue)
            {
                next = at;
                at = at.Left;
            }
            else
            {
                previous = at;
                at = at.Right;
            }
        }

        Debug.Assert(vma.StartValue < vma.EndValue && (previous is null || previous.EndValue <= vma.StartValue) && (next is null || vma.EndValue <= next.StartValue), "it overlaps no other area");
        Link(previous, vma);
        Link(vma, next);
        vma.Parent = parent;
        if (parent is null)
        {
            _root = vma;
        }
        else if (vma.StartValue < parent.StartValue)
        {
            parent.Left = vma;
        }
        else
        {
            parent.Right = vma;
        }

        Update(vma);
        while (vma.Parent is { } above && above.Priority < vma.Priority)
        {
            RotateUp(vma);
        }

        UpdateUpwards(vma);
        if (next is not null)
        {
            UpdateUpwards(next);
        }

        Count++;
    }

    public void Remove(Vma vma)
    {
        while (vma.Left is not null || vma.Right is not null)
        {
            RotateUp(vma.Left is null ? vma.Right! : vma.Right is null || vma.Left.Priority > vma.Right.Priority ? vma.Left : vma.Right);
        }

        Vma? parent = vma.Parent;
        if (parent is null)
        {
            _root = null;
        }
        else if (ReferenceEquals(parent.Left, vma))
        {
            parent.Left = null;
        }
        else
        {
            parent.Right = null;
        }

        Vma? next = vma.Next;
        Debug.Assert((vma.Previous is null ? First : vma.Previous.Next) == vma && (next is null ? Last : next.Previous) == vma && Count > 0, "both neighbours lead to the area");
        Link(vma.Previous, next);
        vma.Parent = vma.Previous = vma.Next = null;
        if (parent is not null)
        {
            UpdateUpwards(parent);
        }

        if (next is not null)
        {
            UpdateUpwards(next);
        }

        Count--;
    }

    /// <summary>Changes the bounds of an area; the order stays.</summary>
    public static void Resize(Vma vma, ulong start, ulong end)
    {
        vma.StartValue = start;
        vma.EndValue = end;
        UpdateUpwards(vma);
        if (vma.Next is { } next)
        {
            UpdateUpwards(next);
        }
    }

    /// <summary>The highest free range of a length between two limits (<c>unmapped_area_topdown()</c>).</summary>
    /// <returns>Its first address; 0 when there is none.</returns>
    public ulong FindHighest(ulong length, ulong low, ulong high)
    {
        if (high < low || high - low < length)
        {
            return 0;
        }

        // The hole that the upper limit lies in, or ends at, first; then downwards, skipping subtrees without a large enough hole.
        Vma? at = Below(high);
        ulong end = high;
        Vma? above = at is null ? First : at.Next;
        if (above is not null)
        {
            end = Math.Min(end, StartWithGuard(above));
        }

        ulong start = Math.Max(low, at?.EndValue ?? 0);
        if (end >= start && end - start >= length)
        {
            return end - length;
        }

        for (at = at is null ? null : LastWithGap(at, length); at is not null; at = at.Previous is null ? null : LastWithGap(at.Previous, length))
        {
            end = Math.Min(StartWithGuard(at), high);
            start = Math.Max(low, at.Previous?.EndValue ?? 0);
            if (end >= start && end - start >= length)
            {
                return end - length;
            }

            if (at.StartValue <= low)
            {
                break;
            }
        }

        return 0;
    }

    /// <summary>The lowest free range of a length between two limits (<c>unmapped_area()</c>).</summary>
    /// <returns>Its first address; 0 when there is none.</returns>
    public ulong FindLowest(ulong length, ulong low, ulong high)
    {
        ulong start = low;
        for (Vma? at = Find(low); ; at = at.Next)
        {
            ulong end = at is null ? high : Math.Min(high, StartWithGuard(at));
            if (end >= start && end - start >= length)
            {
                return start;
            }

            if (at is null || at.StartValue >= high)
            {
                return 0;
            }

            start = Math.Max(start, at.EndValue);
        }
    }

    /// <summary>Says what is wrong with the tree; null when nothing is.</summary>
    public string? Check()
    {
        int count = 0;
        Vma? previous = null;
        for (Vma? at = First; at is not null; at = at.Next)
        {
            count++;
            if (at.StartValue >= at.EndValue || ((at.StartValue | at.EndValue) & (PageGeometry.PageSize - 1)) != 0)
            {
                return $"area {at} is empty or not page aligned";
            }

            if (!ReferenceEquals(at.Previous, previous) || (previous is not null && previous.EndValue > at.StartValue))
            {
                return $"area {at} overlaps or is out of order with {previous}";
            }

            if (!ReferenceEquals(Find(at.StartValue), at) || !ReferenceEquals(Find(at.EndValue - 1), at))
            {
                return $"area {at} is not found by its addresses";
            }

            if (at.LargestGap != Largest(at))
            {
                return $"area {at}: the largest hole below is 0x{Largest(at):x}, noted is 0x{at.LargestGap:x}";
            }

            previous = at;
        }

        return count != Count || !ReferenceEquals(previous, Last) ? $"{Count} areas are counted but there are {count}" : null;
    }

    private static ulong StartWithGuard(Vma vma) => (vma.Flags & VmaFlags.GrowsDown) == 0 ? vma.StartValue : vma.StartValue > StackGuard ? vma.StartValue - StackGuard : 0;

    private static ulong Gap(Vma vma)
    {
        ulong start = StartWithGuard(vma);
        ulong below = vma.Previous?.EndValue ?? 0;
        return start > below ? start - below : 0;
    }

    private static ulong Largest(Vma vma) => Math.Max(Gap(vma), Math.Max(vma.Left?.LargestGap ?? 0, vma.Right?.LargestGap ?? 0));

    private static void Update(Vma vma) => vma.LargestGap = Largest(vma);

    private static void UpdateUpwards(Vma vma)
    {
        for (Vma? at = vma; at is not null; at = at.Parent)
        {
            Update(at);
        }
    }

    /// <summary>The last area that begins below an address.</summary>
    private Vma? Below(ulong address)
    {
        Vma? found = null;
        for (Vma? at = _root; at is not null;)
        {
            if (at.StartValue < address)
            {
                found = at;
                at = at.Right;
            }
            else
            {
                at = at.Left;
            }
        }

        return found;
    }

    /// <summary>The last area, this one or before it, with a hole of at least a length below.</summary>
    private static Vma? LastWithGap(Vma from, ulong length)
    {
        Vma? at = from;
        while (at is not null)
        {
            if (Gap(at) >= length)
            {
                return at;
            }

            if (at.Left is { } left && left.LargestGap >= length)
            {
                at = left;
                while (true)
                {
                    if (at.Right is { } right && right.LargestGap >= length)
                    {
                        at = right;
                    }
                    else if (Gap(at) >= length)
                    {
                        return at;
                    }
                    else
                    {
                        at = at.Left!;
                    }
                }
            }

            while (at.Parent is { } parent && ReferenceEquals(parent.Left, at))
            {
                at = parent;
            }

            at = at.Parent;
        }

        return null;
    }

    private void Link(Vma? previous, Vma? next)
    {
        if (previous is null)
        {
            First = next;
        }
        else
        {
            previous.Next = next;
        }

        if (next is null)
        {
            Last = previous;
        }
        else
        {
            next.Previous = previous;
        }
    }

    private void RotateUp(Vma vma)
    {
        Vma parent = vma.Parent!;
        Vma? above = parent.Parent;
        if (ReferenceEquals(parent.Left, vma))
        {
            parent.Left = vma.Right;
            if (vma.Right is not null)
            {
                vma.Right.Parent = parent;
            }

            vma.Right = parent;
        }
        else
        {
            parent.Right = vma.Left;
            if (vma.Left is not null)
            {
                vma.Left.Parent = parent;
            }

            vma.Left = parent;
        }

        parent.Parent = vma;
        vma.Parent = above;
        if (above is null)
        {
            _root = vma;
        }
        else if (ReferenceEquals(above.Left, parent))
        {
            above.Left = vma;
        }
        else
        {
            above.Right = vma;
        }

        Update(parent);
        Update(vma);
    }
}
