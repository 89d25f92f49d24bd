using MemSim.Lru;

namespace MemSim;

/// <summary>A range of a process's memory, as vectored calls take it (<c>struct iovec</c>).</summary>
/// <param name="Address">The first address.</param>
/// <param name="Length">Bytes.</param>
public readonly record struct UserRange(VirtualAddress Address, long Length);

/// <content>Advice about the memory of another process.</content>
public sealed partial class Process
{
    private const int MaxRanges = 1024;

    /// <summary>Gives advice about ranges of a process's memory, its own or another's (<c>process_madvise()</c>).</summary>
    /// <remarks>
    /// About others' memory only <see cref="MemoryAdvice.Cold"/>, <see cref="MemoryAdvice.PageOut"/>, <see cref="MemoryAdvice.WillNeed"/> and <see cref="MemoryAdvice.Collapse"/> are taken, of one with
    /// <see cref="Rlimits.IsAdmin"/> (<c>CAP_SYS_NICE</c>); about its own any, and from anybody, since 6.13.
    /// </remarks>
    /// <param name="target">Whose memory.</param>
    /// <param name="ranges">The ranges, at most 1024.</param>
    /// <param name="advice">The advice.</param>
    /// <returns>The bytes of the ranges that were served; the error of <see cref="MemoryDescriptor.Madvise"/> when the first was not; EINVAL, EPERM, ESRCH.</returns>
    public Result<long> ProcessMadvise(Process target, ReadOnlySpan<UserRange> ranges, MemoryAdvice advice)
    {
        ArgumentNullException.ThrowIfNull(target);
        if (target.Machine != Machine)
        {
            throw new ArgumentException($"{target} belongs to another machine", nameof(target));
        }

        using OwnersLock.Scope scope = _spaces.Enter();
        if (MmOrNull is not { } own || target.MmOrNull is not { } mm)
        {
            return Errno.ESRCH;
        }

        long total = 0;
        foreach (UserRange range in ranges)
        {
            if (range.Length < 0)
            {
                return Errno.EINVAL;
            }

            total += range.Length;
        }

        bool itself = ReferenceEquals(own, mm) && _spaces.Rules.AdvisesItselfFreely;
        if (ranges.Length > MaxRanges || !(itself || advice is MemoryAdvice.Cold or MemoryAdvice.PageOut or MemoryAdvice.WillNeed or MemoryAdvice.Collapse))
        {
            return Errno.EINVAL;
        }

        if (!itself && !Limits.IsAdmin)
        {
            return Errno.EPERM;
        }

        long done = 0;
        if (total == 0)
        {
            // Addresses are looked at only when there is something to do: madvise() itself refuses an odd one.
            return done;
        }

        foreach (UserRange range in ranges)
        {
            Errno result = mm.Madvise(range.Address, range.Length, advice);
            if (result != Errno.None)
            {
                return done != 0 ? done : result;
            }

            done += range.Length;
        }

        return done;
    }
}
