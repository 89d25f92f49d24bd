using System.Diagnostics;
using System.Runtime.CompilerServices;
using MemSim.Hardware;

namespace MemSim.Pages;

/// <summary>The frames of a machine and the list heads behind them, indexed by frame number. A view of <see cref="MemMap"/>'s memory that hot code can hold.</summary>
/// <remarks>
/// The only type besides <see cref="MemMap"/> that holds the table of frames. In range by construction: indexes come either from links that only this
/// type writes, or from frame numbers that the API entry compared with <see cref="MemMap.Frames"/>; buddy arithmetic stays inside because the array is
/// rounded up to whole blocks of the largest order.
/// </remarks>
internal readonly struct FrameArray
{
    private readonly HostTable<PageFrame> _frames;
#if DEBUG
    private readonly UntouchedBlocks _untouched;
#endif

    public FrameArray(HostTable<PageFrame> frames, UntouchedBlocks untouched)
    {
        _frames = frames;
#if DEBUG
        _untouched = untouched;
#else
        _ = untouched;
#endif
    }

    public ref PageFrame this[int index]
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get
        {
#if DEBUG
            Debug.Assert(!_untouched.IsHead(index), "the frame was written, or it was said that it is needed now");
#endif
            return ref _frames[(uint)index];
        }
    }

    /// <summary>
    /// The frame of a number that came out of simulated memory, compared with <see cref="MemMap.Frames"/> and no more: it may be the first of a free block that is not written yet, and is all
    /// zero then, which is neither in use nor mapped.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ref PageFrame Named(int index) => ref _frames[(uint)index];

    /// <summary>Makes <paramref name="head"/> an empty list.</summary>
    public void InitList(int head)
    {
        ref PageFrame h = ref this[head];
        h.Next = head;
        h.Prev = head;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool IsEmpty(int head) => this[head].Next == head;

    /// <summary>Puts a frame at the front: the end that allocations take from.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void AddFirst(int head, int index) => AddFirst(head, ref this[index], index);

    /// <summary>The same for a frame whose place is known already.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void AddFirst(int head, ref PageFrame f, int index)
    {
        ref PageFrame h = ref this[head];
        int next = h.Next;
        Debug.Assert(this[next].Prev == head && next != index, "the list leads back to its head, and the frame is not its first");
        f.Next = next;
        f.Prev = head;
        this[next].Prev = index;
        h.Next = index;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void AddLast(int head, int index)
    {
        ref PageFrame h = ref this[head];
        ref PageFrame f = ref this[index];
        int prev = h.Prev;
        Debug.Assert(this[prev].Next == head && prev != index, "the list leads back to its head, and the frame is not its last");
        f.Prev = prev;
        f.Next = head;
        this[prev].Next = index;
        h.Prev = index;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Remove(int index)
    {
        ref PageFrame f = ref this[index];
        int next = f.Next;
        int prev = f.Prev;
        Debug.Assert(this[next].Prev == index && this[prev].Next == index, "both neighbours lead to the frame: it is on a list");
        this[next].Prev = prev;
        this[prev].Next = next;
    }

    /// <summary>Takes a frame off its list if both neighbours name it as theirs: the kernel's check before <c>list_del()</c>, and that.</summary>
    /// <returns>False where the frame is on no list: nothing has changed.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryRemove(ref PageFrame f, int index)
    {
        int next = f.Next;
        int prev = f.Prev;
        ref PageFrame after = ref this[next];
        ref PageFrame before = ref this[prev];
        if (after.Prev != index || before.Next != index)
        {
            return false;
        }

        after.Prev = prev;
        before.Next = next;
        return true;
    }

    /// <summary>Whether both neighbours of a frame name it as theirs: the kernel's check before <c>list_del()</c>.</summary>
    public bool IsLinked(int index)
    {
        ref PageFrame f = ref this[index];
        return this[f.Next].Prev == index && this[f.Prev].Next == index;
    }

    /// <summary>The number of members, or <paramref name="limit"/> when there are at least that many.</summary>
    public int Count(int head, int limit)
    {
        int n = 0;
        for (int i = this[head].Next; i != head && n < limit; i = this[i].Next)
        {
            n++;
        }

        return n;
    }
}
