namespace MemSim;

/// <summary>Movable pages known by number instead of by frame: the simplest owner of pages that compaction can move, like a balloon or compressed memory.</summary>
/// <remarks>Made by <see cref="MachineMigration.CreateMovablePool"/>. A page's number stays the same wherever the page goes; its contents go along.</remarks>
public sealed class MovablePool : IMovableOwner
{
    private readonly Machine _machine;
    private readonly List<Page> _pages = [];
    private readonly Stack<int> _free = [];

    internal MovablePool(Machine machine)
    {
        _machine = machine;
        Registration = machine.Migration.RegisterMovableOwner(this);
    }

    /// <summary>The pool as the machine knows it.</summary>
    public MovableOwner Registration { get; }

    /// <summary>Pages in the pool.</summary>
    public int Count => _pages.Count - _free.Count;

    /// <summary>Pages that were moved to another frame.</summary>
    public long Moves { get; private set; }

    /// <summary>Where a page is now; null for a number that is not in use.</summary>
    /// <param name="number">What <see cref="Allocate"/> returned.</param>
    public Page this[int number] => (uint)number < (uint)_pages.Count ? _pages[number] : default;

    /// <summary>Allocates a page for the pool.</summary>
    /// <param name="cpu">The CPU that allocates.</param>
    /// <param name="gfp">The flags; <see cref="Gfp.Movable"/> is added.</param>
    /// <returns>The page's number, or -1 when there is no memory.</returns>
    public int Allocate(Cpu cpu, Gfp gfp = Gfp.HighUser)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        Page page = _machine.CpuTable.Own(cpu).AllocPages(gfp | Gfp.Movable, 0);
        return page.IsNull ? -1 : Adopt(page);
    }

    /// <summary>Takes over an allocated single page.</summary>
    /// <param name="page">The page.</param>
    /// <returns>Its number.</returns>
    public int Adopt(Page page)
    {
        int number = _free.Count != 0 ? _free.Peek() : _pages.Count;
        Registration.Adopt(page, (uint)number);
        if (!_free.TryPop(out _))
        {
            _pages.Add(default);
        }

        _pages[number] = page;
        return number;
    }

    /// <summary>Frees a page.</summary>
    /// <param name="cpu">The CPU that frees.</param>
    /// <param name="number">The page's number.</param>
    public void Free(Cpu cpu, int number)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        _machine.ThrowIfDisposed();
        _ = _machine.CpuTable.Own(cpu);
        Page page = this[number];
        if (page.IsNull)
        {
            throw new ArgumentOutOfRangeException(nameof(number), number, "the pool has no such page");
        }

        Registration.Disown(page);
        _pages[number] = default;
        _free.Push(number);
        cpu.FreePages(page, 0);
    }

    /// <summary>Frees all pages.</summary>
    /// <param name="cpu">The CPU that frees.</param>
    public void FreeAll(Cpu cpu)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        _machine.ThrowIfDisposed();
        _ = _machine.CpuTable.Own(cpu);
        for (int number = 0; number < _pages.Count; number++)
        {
            if (!_pages[number].IsNull)
            {
                Free(cpu, number);
            }
        }
    }

    bool IMovableOwner.Isolate(Page page) => Owns(page);

    bool IMovableOwner.Migrate(Page from, Page to, MigrationMode mode)
    {
        _pages[(int)from.Index] = to;
        Moves++;
        return true;
    }

    void IMovableOwner.PutBack(Page page)
    {
    }

    private bool Owns(Page page) => _machine.Frames.FrameOf(page.FrameIndex).Index < (uint)_pages.Count && _pages[(int)page.Index] == page;
}
