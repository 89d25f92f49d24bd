using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace MemSim.Pages;

/// <content>References and order, which share a word. Nobody else sees its bits.</content>
internal partial struct PageFrame
{
    /// <summary>The <see cref="State"/> of a single page with one reference.</summary>
    public const ulong SinglePageState = OneReference;

    /// <summary>Whether it is the first frame of a block in use; one whose references are frozen keeps its order.</summary>
    public readonly bool IsInUse
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _refOrder != 0;
    }

    /// <summary>Whether it is a page of its own with references: no part of a larger block.</summary>
    public readonly bool IsSinglePage
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _refOrder != 0 && (_refOrder & OrderMask) == 0;
    }

    /// <summary>Whether entries of page tables map it: a frame that nothing maps may have a type instead.</summary>
    public readonly bool IsMapped
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => InvertedMapCount < 0;
    }

    /// <summary>The <see cref="State"/> of a block of this order with one reference.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong AllocatedState(int order) => OneReference | (uint)order;

    /// <summary>Whether it is a page of its own, mapped, of this owner and at this offset in it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly bool IsMappedPageOf(uint mapping, uint index) => Mapping == mapping && InvertedMapCount < 0 && Index == index && (_refOrder & OrderMask) == 0;

    /// <summary>Takes references, or with a negative number drops some that are not the last; in one step for all host threads where other CPUs may change the frame.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void AddReferences(int references, bool shared)
    {
        uint change = (uint)(references * (int)OneReference);
        if (shared)
        {
            Interlocked.Add(ref _refOrder, change);
        }
        else
        {
            Debug.Assert(RefCount + references >= 0, "no more references are dropped than there are");
            _refOrder += change;
        }
    }

    /// <summary>Takes a reference unless there is none (<c>folio_try_get()</c>).</summary>
    public bool TryGet(bool shared)
    {
        if (!shared)
        {
            bool used = _refOrder >= OneReference;
            _refOrder += used ? OneReference : 0;
            return used;
        }

        uint seen = Volatile.Read(ref _refOrder);
        while (seen >= OneReference)
        {
            uint found = Interlocked.CompareExchange(ref _refOrder, seen + OneReference, seen);
            if (found == seen)
            {
                return true;
            }

            seen = found;
        }

        return false;
    }

    /// <summary>Drops a reference (<c>put_page_testzero()</c>).</summary>
    /// <returns>Whether it was the last.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool Drop(bool shared)
    {
        Debug.Assert(_refOrder >= OneReference, "who drops a reference has one");
        if (shared)
        {
            return Interlocked.Add(ref _refOrder, unchecked((uint)-(int)OneReference)) < OneReference;
        }

        _refOrder -= OneReference;
        return _refOrder < OneReference;
    }

    /// <summary>Drops a reference unless it is the last, of a frame that nobody else can change now.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryDropOneOfSeveral()
    {
        if (_refOrder < 2 * OneReference)
        {
            return false;
        }

        _refOrder -= OneReference;
        return true;
    }

    /// <summary>The same where others may: two CPUs may drop the last two references at once, and exactly one of them must find that its own is the last.</summary>
    public bool TryDropOneOfSeveralShared()
    {
        uint seen = Volatile.Read(ref _refOrder);
        while (seen >= 2 * OneReference)
        {
            uint found = Interlocked.CompareExchange(ref _refOrder, seen - OneReference, seen);
            if (found == seen)
            {
                return true;
            }

            seen = found;
        }

        return false;
    }

    /// <summary>Takes all references if there are exactly so many: from now on nobody else gets one (<c>folio_ref_freeze()</c>).</summary>
    public bool TryFreeze(int references, bool shared)
    {
        uint order = _refOrder & OrderMask;
        uint expected = ((uint)references * OneReference) | order;
        if (shared)
        {
            return Interlocked.CompareExchange(ref _refOrder, order, expected) == expected;
        }

        bool frozen = _refOrder == expected;
        _refOrder = frozen ? order : _refOrder;
        return frozen;
    }

    /// <summary>What was the head or a part of a block is a page of its own from now on.</summary>
    public void BecomeSinglePage(int references)
    {
        Debug.Assert(references > 0, "somebody holds it");
        _refOrder = (uint)references * OneReference;
    }

    /// <summary>The frame as files of snapshots have it: its number, flags and zone, the owner's word, references and order, map count, owner and offset.</summary>
    public readonly long[] ToWords(long pfn) => [pfn, _flagsAndZone, Private, _refOrder, InvertedMapCount, Mapping, Index];

    /// <summary>What <see cref="ToWords"/> wrote, for a frame of this zone.</summary>
    public void SetWords(int zoneId, ReadOnlySpan<long> words)
    {
        Begin(zoneId, (PageFlags)(uint)words[1]);
        Private = (int)words[2];
        _refOrder = (uint)words[3];
        InvertedMapCount = (int)words[4];
        Mapping = (uint)words[5];
        Index = (uint)words[6];
    }
}
