namespace MemSim.VirtualMemory;

/// <summary>Events of userfaultfd that one memory call has caused, to be told when it is done.</summary>
internal sealed class UserfaultTidings
{
    private List<(Userfaultfd Descriptor, UserfaultEvent Happened)> _waiting = [];
    private int _early;

    /// <summary>Areas of a range are unmapped (<c>userfaultfd_unmap_prep()</c>): each descriptor hears once of the whole range.</summary>
    /// <param name="first">The first area.</param>
    /// <param name="start">Where the range begins.</param>
    /// <param name="end">Where it ends.</param>
    /// <param name="early">Whether it makes room for a move, and so is told before it.</param>
    public void AddUnmap(Vma first, ulong start, ulong end, bool early)
    {
        UserfaultEvent happened = new(UserfaultEventKind.Unmap, new VirtualAddress(start), (long)(end - start));
        for (Vma? vma = first; vma is not null && vma.StartValue < end; vma = vma.Next)
        {
            if (vma.Userfaults is not { } descriptor || !descriptor.Tells(UserfaultFeatures.TellsUnmaps) || _waiting.Contains((descriptor, happened)))
            {
                continue;
            }

            if (early)
            {
                _waiting.Insert(_early++, (descriptor, happened));
            }
            else
            {
                _waiting.Add((descriptor, happened));
            }
        }
    }

    /// <summary>An area was moved (<c>mremap_userfaultfd_prep()</c>): told before what the move unmaps, but after what made room for it.</summary>
    public void AddMove(Userfaultfd descriptor, ulong from, ulong to, ulong bytes) =>
        _waiting.Insert(_early++, (descriptor, new UserfaultEvent(UserfaultEventKind.Remap, new VirtualAddress(from), (long)bytes, new VirtualAddress(to))));

    /// <summary>What a child's areas are registered with that the parent has registered with a descriptor (<c>dup_userfaultfd()</c>): one for each of the parent's.</summary>
    public Userfaultfd ChildOf(Userfaultfd descriptor, MemoryDescriptor child)
    {
        foreach ((Userfaultfd known, UserfaultEvent happened) in _waiting)
        {
            if (ReferenceEquals(known, descriptor))
            {
                return happened.Child!;
            }
        }

        Userfaultfd made = new(child, descriptor.Features);
        _waiting.Add((descriptor, new UserfaultEvent(UserfaultEventKind.Fork, default, 0, Child: made)));
        return made;
    }

    /// <summary>The call did not happen.</summary>
    public void Forget()
    {
        _waiting = [];
        _early = 0;
    }

    /// <summary>Tells what there is; listeners may make calls that have events of their own.</summary>
    public void Tell()
    {
        if (_waiting.Count == 0)
        {
            return;
        }

        List<(Userfaultfd Descriptor, UserfaultEvent Happened)> telling = _waiting;
        Forget();
        foreach ((Userfaultfd descriptor, _) in telling)
        {
            descriptor.BeginChange();
        }

        int told = 0;
        try
        {
            while (told < telling.Count)
            {
                (Userfaultfd descriptor, UserfaultEvent happened) = telling[told];
                descriptor.Tell(happened);
                descriptor.EndChange();
                told++;
            }
        }
        finally
        {
            for (; told < telling.Count; told++)
            {
                telling[told].Descriptor.EndChange();
            }
        }
    }
}
