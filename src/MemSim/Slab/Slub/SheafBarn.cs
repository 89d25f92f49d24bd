using MemSim.Hardware;

namespace MemSim.Slab;

/// <summary>A node's sheaves of a cache that no CPU has (<c>struct node_barn</c>); of both lists the one put in last is taken first.</summary>
internal sealed class SheafBarn
{
    // Guards _full, _empty and their counts (barn.lock).
    private PaddedLock _lock;
    private ArrayCache _full;
    private ArrayCache _empty;

    public SheafBarn(Machine machine) => _lock.Watch(machine.Interleaver?.Watch("SheafBarn._lock"));

    public int FullCount { get; private set; }

    public int EmptyCount { get; private set; }

    public ArrayCache FirstFull => _full;

    public ArrayCache FirstEmpty => _empty;

    /// <summary>Gives an empty sheaf for a full one; null, and nothing changes, where there is no full one.</summary>
    public ArrayCache ReplaceEmpty(ArrayCache empty)
    {
        _lock.Enter();
        ArrayCache full = Pop(ref _full);
        if (!full.IsNull)
        {
            FullCount--;
            Push(ref _empty, empty);
            EmptyCount++;
        }

        _lock.Exit();
        return full;
    }

    /// <summary>Gives a full sheaf for an empty one; null, and nothing changes, where there is no empty one or there are too many full ones.</summary>
    public ArrayCache ReplaceFull(ArrayCache full, out bool tooMany)
    {
        _lock.Enter();
        tooMany = FullCount >= SheafCache.MaxFullSheaves;
        ArrayCache empty = tooMany ? default : Pop(ref _empty);
        if (!empty.IsNull)
        {
            EmptyCount--;
            Push(ref _full, full);
            FullCount++;
        }

        _lock.Exit();
        return empty;
    }

    /// <summary>Takes an empty sheaf; null where there is none.</summary>
    public ArrayCache TakeEmpty()
    {
        _lock.Enter();
        ArrayCache empty = Pop(ref _empty);
        EmptyCount -= !empty.IsNull ? 1 : 0;
        _lock.Exit();
        return empty;
    }

    /// <summary>Takes a full sheaf; null where there is none.</summary>
    public ArrayCache TakeFull()
    {
        _lock.Enter();
        ArrayCache full = Pop(ref _full);
        FullCount -= !full.IsNull ? 1 : 0;
        _lock.Exit();
        return full;
    }

    public void PutFull(ArrayCache full)
    {
        _lock.Enter();
        Push(ref _full, full);
        FullCount++;
        _lock.Exit();
    }

    public void PutEmpty(ArrayCache empty)
    {
        _lock.Enter();
        Push(ref _empty, empty);
        EmptyCount++;
        _lock.Exit();
    }

    /// <summary>Takes all sheaves out, full ones first, as a list.</summary>
    public ArrayCache TakeAll()
    {
        _lock.Enter();
        ArrayCache all = _full;
        if (all.IsNull)
        {
            all = _empty;
        }
        else
        {
            ArrayCache last = all;
            while (!last.Next.IsNull)
            {
                last = last.Next;
            }

            last.Next = _empty;
        }

        _full = _empty = default;
        FullCount = EmptyCount = 0;
        _lock.Exit();
        return all;
    }

    /// <summary>The copy of a barn starts without sheaves.</summary>
    public void Reopen()
    {
        _full = _empty = default;
        FullCount = EmptyCount = 0;
    }

    private static ArrayCache Pop(ref ArrayCache list)
    {
        ArrayCache first = list;
        if (!first.IsNull)
        {
            list = first.Next;
            first.Next = default;
        }

        return first;
    }

    private static void Push(ref ArrayCache list, ArrayCache sheaf)
    {
        sheaf.Next = list;
        list = sheaf;
    }
}
