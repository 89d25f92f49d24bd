using System.Globalization;
using System.Runtime.CompilerServices;

namespace MemSim.Diagnostics;

/// <summary>Knows which host threads drive a machine or, where CPUs are parallel, one CPU, and notices when one comes while another one is inside.</summary>
/// <remarks>
/// Asked where work takes longer than a look: refills, the free lists, slow paths, system calls, never on a fast path, nor in a page fault by itself. So two threads are found out within some dozen calls, not at the first; what they broke
/// before is reported with both their names.
/// </remarks>
internal sealed class DriverGuard(string what, string advice)
{
    [NotState("a host thread's")]
    private int _depth;
    [NotState("a host thread")]
    private Thread? _last;
    [NotState("a host thread")]
    private Thread? _before;

    /// <summary>The calling host thread goes inside.</summary>
    /// <exception cref="KernelBugException">Another one is inside.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Enter()
    {
        // The object is a load away, its number a call; and a field that holds an object is dear to write.
        Thread me = Thread.CurrentThread;
        if (_last != me)
        {
            Claim(me);
        }

        _depth++;
    }

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
        }
    }

    /// <summary>A line for reports of bugs; empty while one thread did everything.</summary>
    public string Describe() => _before is null || _last is null
        ? ""
        : string.Create(CultureInfo.InvariantCulture, $"Host threads {Name(_before)} and {Name(_last)} have both driven {what}. If that was at the same time, this report is its consequence: {advice}\n");

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void Claim(Thread me)
    {
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

    private static string Name(Thread thread) => string.IsNullOrEmpty(thread.Name) ? thread.ManagedThreadId.ToString(CultureInfo.InvariantCulture) : string.Create(CultureInfo.InvariantCulture, $"{thread.ManagedThreadId} ({thread.Name})");
}
