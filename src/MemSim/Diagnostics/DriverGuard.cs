using System.Globalization;
using System.Runtime.CompilerServices;

namespace MemSim.Diagnostics;

/// <summary>Knows which host threads drive a machine or, where CPUs are parallel, one CPU, and notices when one comes while another one is inside.</summary>
/// <remarks>
/// Asked where work takes longer than a look: refills, slow paths, system calls, never on a fast path, nor in a page fault by itself. So two threads are found out within some dozen calls, not at the first; what they broke
/// before is reported with both their names.
/// </remarks>
internal sealed class DriverGuard(string what, string advice)
{
    [NotState("a host thread")]
    private int _inside;
    [NotState("a host thread's")]
    private int _depth;
    [NotState("a host thread")]
    private int _last;
    [NotState("a host thread's")]
    private string? _lastName;
    [NotState("a host thread")]
    private int _before;
    [NotState("a host thread's")]
    private string? _beforeName;

    /// <summary>The calling host thread goes inside.</summary>
    /// <exception cref="KernelBugException">Another one is inside.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Enter()
    {
        int me = Environment.CurrentManagedThreadId;
        if (_inside != me)
        {
            if (_inside != 0 || _last != me)
            {
                Claim(me);
            }

            _inside = me;
        }

        _depth++;
    }

    /// <summary>The calling host thread is outside again.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Leave()
    {
        if (--_depth <= 0)
        {
            _depth = 0;
            _inside = 0;
        }
    }

    /// <summary>Remembers the calling host thread.</summary>
    public void Note()
    {
        int me = Environment.CurrentManagedThreadId;
        if (_last != me)
        {
            (_before, _beforeName) = (_last, _lastName);
            (_last, _lastName) = (me, Thread.CurrentThread.Name);
        }
    }

    /// <summary>A line for reports of bugs; empty while one thread did everything.</summary>
    public string Describe() => _before == 0
        ? ""
        : string.Create(CultureInfo.InvariantCulture, $"Host threads {Name(_before, _beforeName)} and {Name(_last, _lastName)} have both driven {what}. If that was at the same time, this report is its consequence: {advice}\n");

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void Claim(int me)
    {
        int other = _inside;
        Note();
        if (other != 0)
        {
            string owner = Name(other, other == _before ? _beforeName : null);
            throw new KernelBugException(
                KernelBugKind.ConcurrentUse,
                string.Create(CultureInfo.InvariantCulture, $"BUG: host thread {Name(me, _lastName)} came while host thread {owner} drives {what}"),
                string.Create(CultureInfo.InvariantCulture, $"What thread {other} is doing may have been spoilt already. {advice}\n"));
        }
    }

    private static string Name(int thread, string? name) => string.IsNullOrEmpty(name) ? thread.ToString(CultureInfo.InvariantCulture) : string.Create(CultureInfo.InvariantCulture, $"{thread} ({name})");
}
