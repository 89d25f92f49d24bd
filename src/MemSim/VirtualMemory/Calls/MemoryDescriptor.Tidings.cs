using MemSim.VirtualMemory;

namespace MemSim;

/// <content>What the calls tell userfaultfd.</content>
public sealed partial class MemoryDescriptor
{
    private UserfaultTidings? _tidings;

    private UserfaultTidings NeedTidings() => _tidings ??= new UserfaultTidings();

    /// <summary>A call is over: who watches its areas hears of it.</summary>
    internal void TellUserfaults() => _tidings?.Tell();

    /// <summary>The same, for the last line of a call.</summary>
    private T Told<T>(T result)
    {
        TellUserfaults();
        return result;
    }

    /// <summary>Calls that unmap a range would wait for ever for those who do not listen.</summary>
    private void RequireListeners(ulong start, ulong end)
    {
        for (Vma? vma = _areas.FindIntersection(start, end); vma is not null && vma.StartValue < end; vma = vma.Next)
        {
            vma.Userfaults?.RequireListener(UserfaultFeatures.TellsUnmaps);
        }
    }

    /// <summary>A fork, too.</summary>
    internal void RequireForkListeners()
    {
        for (Vma? vma = _areas.First; vma is not null; vma = vma.Next)
        {
            vma.Userfaults?.RequireListener(UserfaultFeatures.TellsForks);
        }
    }

    /// <summary>Tells that pages of an area will be given up (<c>userfaultfd_remove()</c>).</summary>
    /// <returns>Whether anybody heard of it: the areas may be others now.</returns>
    private static bool TellRemove(Vma vma, ulong start, ulong end)
    {
        if (vma.Userfaults is not { } descriptor || !descriptor.Tells(UserfaultFeatures.TellsRemoves))
        {
            return false;
        }

        descriptor.RequireListener(UserfaultFeatures.TellsRemoves);
        descriptor.BeginChange();
        try
        {
            descriptor.Tell(new UserfaultEvent(UserfaultEventKind.Remove, new VirtualAddress(start), (long)(end - start)));
        }
        finally
        {
            descriptor.EndChange();
        }

        return true;
    }

    /// <summary>Gives the pages of a range up, at once or when they are wanted (<c>MADV_DONTNEED</c>, <c>MADV_FREE</c>).</summary>
    private Errno GiveUp(Cpu cpu, Vma vma, ulong start, ulong end, MemoryAdvice advice)
    {
        if (!MayGiveUp(vma, advice))
        {
            return Errno.EINVAL;
        }

        if (TellRemove(vma, start, end))
        {
            if (At(start) is not { } now)
            {
                return Errno.ENOMEM;
            }

            if (!MayGiveUp(now, advice))
            {
                return Errno.EINVAL;
            }

            vma = now;
            end = Math.Min(end, vma.EndValue);
        }

        // What shared memory cannot have is found only now, as in the kernel: it was told nevertheless.
        return advice != MemoryAdvice.Free ? Drop(cpu, vma, start, end) : vma.IsAnonymous ? AdvisePages(cpu, vma, start, end, free: true) : Errno.EINVAL;
    }

    private static bool MayGiveUp(Vma vma, MemoryAdvice advice) =>
        (vma.Flags & (advice == MemoryAdvice.DontNeedLocked ? VmaFlags.HugeTlb : VmaFlags.Locked | VmaFlags.HugeTlb)) == 0;
}
