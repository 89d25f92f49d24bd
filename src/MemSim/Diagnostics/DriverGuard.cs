using System.Globalization;
using System.Runtime.CompilerServices;

namespace MemSim.Diagnostics;

/// <summary>Knows which host threads drive a machine or, where CPUs are parallel, one CPU, and notices when one comes while another one is inside.</summary>
/// <remarks>
/// Asked where work takes longer than a look: refills, the free lists, slow paths, system calls, never on a fast path, nor in a page fault by itself. So two threads are found out within some dozen calls, not at the first; what they broke
/// before is reported with both their names. A thread is known by where its stack is, because asking which one it is costs a call; one that began where an ended one had its stack is taken for
/// that one.
/// </remarks>
internal sealed class DriverGuard(string what, string advice)
{
    /// <summary>Bytes of a stack within which a thread is known by the place; further apart it is asked anew which one it is.</summary>
    private const uint MostOfAStack = 1 << 16;

    [NotState("a host thread's")]
    private int _depth;
    [NotState("a host thread")]
    private Thread? _last;
    [NotState("a host thread")]
    private Thread? _before;

    /// <summary>Where on its stack the thread was that drove last: no other one that still runs can be there.</summary>
    [NotState("a place on a host thread's stack")]
    private nuint _lowest;
    [NotState("a place on a host thread's stack")]
    private nuint _extent;

    /// <summary>The calling host thread goes inside.</summary>
    /// <exception cref="KernelBugException">Another one is inside.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Enter() => _depth = Come() + 1;

    /// <summary>As <see cref="Enter"/>, for who goes on by <see cref="Go"/> in the same method.</summary>
    /// <returns>What <see cref="Go"/> needs.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int EnterBriefly()
    {
        int before = Come();
        _depth = before + 1;
        return before;
    }

    /// <summary>The calling host thread is where it was before <see cref="EnterBriefly"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Go(int before) => _depth = before;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    [SkipLocalsInit]
    private int Come()
    {
        // Which thread this is costs a call into the C library; where its stack is, a comparison. The place is never read or written through.
        Unsafe.SkipInit(out byte here);
        nuint place = (nuint)Unsafe.ByteOffset(ref Unsafe.NullRef<byte>(), ref here);
        if (place - _lowest > _extent)
        {
            Claim(place);
        }

        return _depth;
    }

    /// <summary>Whether the calling host thread may go inside, where the work is too short to say that somebody is.</summary>
    /// <exception cref="KernelBugException">Another one is inside.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Look() => _ = Come();

    /// <summary>The calling host thread is outside again.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Leave()
    {
        if (--_depth < 0)
        {
            _depth = 0;
        }
    }

    /// <summary>Remembers the calling host thread, unless another one is inside.</summary>
    public void Note()
    {
        Thread me = Thread.CurrentThread;
        if (_last == me)
        {
            return;
        }

        if (_depth > 0)
        {
            _before = me;
        }
        else
        {
            (_before, _last) = (_last, me);
            (_lowest, _extent) = (0, 0);
        }
    }

    /// <summary>A line for reports of bugs; empty while one thread did everything.</summary>
    public string Describe() => _before is null || _last is null
        ? ""
        : string.Create(CultureInfo.InvariantCulture, $"Host threads {Name(_before)} and {Name(_last)} have both driven {what}. If that was at the same time, this report is its consequence: {advice}\n");

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void Claim(nuint place)
    {
        Thread me = Thread.CurrentThread;
        if (_last == me)
        {
            Widen(place);
            return;
        }

        Thread? other = _depth > 0 ? _last : null;
        Note();
        if (other is not null)
        {
            throw new KernelBugException(
                KernelBugKind.ConcurrentUse,
                string.Create(CultureInfo.InvariantCulture, $"BUG: host thread {Name(me)} came while host thread {Name(other)} drives {what}"),
                string.Create(CultureInfo.InvariantCulture, $"What thread {other.ManagedThreadId} is doing may have been spoilt already. {advice}\n"));
        }
    }

    /// <summary>The thread that drove last is at a place where it was not seen yet.</summary>
    private void Widen(nuint place)
    {
        // Two threads may be here at the same time: what is written must not reach from one stack to another.
        nuint lowest = Math.Min(_lowest, place);
        nuint extent = Math.Max(_lowest + _extent, place) - lowest;
        (_lowest, _extent) = extent <= MostOfAStack ? (lowest, extent) : (place, 0);
    }

    private static string Name(Thread thread) => string.IsNullOrEmpty(thread.Name) ? thread.ManagedThreadId.ToString(CultureInfo.InvariantCulture) : string.Create(CultureInfo.InvariantCulture, $"{thread.ManagedThreadId} ({thread.Name})");
}
