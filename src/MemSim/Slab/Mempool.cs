using MemSim.Slab;

namespace MemSim;

/// <summary>A pool that keeps a minimum of elements ready, so that work that frees memory can always go on (<c>mempool_t</c>).</summary>
/// <remarks>
/// An allocation asks the allocator first, without pressing for memory; then it takes a reserved element; then it waits until somebody frees one, or fails
/// where it may not wait. A machine has nobody to wait for: if <see cref="Waiting"/> frees nothing, that is reported as the deadlock it is.
/// </remarks>
public sealed class Mempool
{
    private readonly Machine _machine;
    private readonly MempoolSource _source;
    // Guards _elements and _count.
    private readonly Lock _lock = new();
    private VirtualAddress[] _elements;
    private int _count;
    private long _outstanding;
    private bool _destroyed;
    private VirtualAddress _pool;
    private VirtualAddress _table;

    private Mempool(Machine machine, MempoolSource source, int minimum)
    {
        _machine = machine;
        _source = source;
        _elements = new VirtualAddress[minimum];
    }

    /// <summary>Makes a pool and fills it; null without memory for the pool, its table of elements (kmalloc: at most 524,288 of 8 bytes) or the elements, and then nothing is taken.</summary>
    internal static Mempool? TryCreate(Cpu cpu, MempoolSource source, int minimum)
    {
        Machine machine = cpu.Machine;
        int pointerBytes = machine.Architecture.Bits / 8;
        VirtualAddress pool = cpu.Kmalloc(StructBytes(pointerBytes), Gfp.Kernel | Gfp.Zero);
        VirtualAddress table = pool.IsNull ? default : cpu.Kmalloc((long)minimum * pointerBytes, Gfp.Kernel);
        if (table.IsNull)
        {
            cpu.Kfree(pool);
            return null;
        }

        Mempool made = new(machine, source, minimum) { _pool = pool, _table = table };
        try
        {
            if (made.Fill(cpu, Gfp.Kernel))
            {
                return made;
            }
        }
        catch
        {
            made.GiveUp(cpu);
            throw;
        }

        made.GiveUp(cpu);
        return null;
    }

    /// <summary>Elements kept ready (<c>min_nr</c>).</summary>
    public int Minimum => _elements.Length;

    /// <summary>Elements that are ready at the moment (<c>curr_nr</c>).</summary>
    public int Reserved => _count;

    /// <summary>Elements handed out and not yet freed.</summary>
    public long Outstanding => _outstanding;

    /// <summary>Allocations that the allocator failed and the reserve served.</summary>
    public long ServedFromReserve { get; private set; }

    /// <summary>Called when an allocation has to wait, as other tasks would run then: frees elements and says whether it did.</summary>
    /// <remarks>Null: nobody can free one, and waiting is a deadlock.</remarks>
    public Func<Mempool, Cpu, bool>? Waiting { get; set; }

    /// <summary>Allocates an element (<c>mempool_alloc()</c>).</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="gfp">What the allocation may do; with <see cref="Gfp.DirectReclaim"/> it waits rather than fail. <see cref="Gfp.Zero"/> is not allowed: reserved elements hold what they held.</param>
    /// <returns>The element; the null address when there is none and the request may not wait.</returns>
    /// <exception cref="KernelBugException">Flags or context are wrong, the pool is destroyed, or the wait would never end.</exception>
    public VirtualAddress Alloc(Cpu cpu, Gfp gfp)
    {
        if (!IsUsable(cpu, "mempool_alloc"))
        {
            return default;
        }

        if ((gfp & Gfp.Zero) != 0)
        {
            _machine.Bugs.IllegalFlags(cpu, gfp, "mempool_alloc() with __GFP_ZERO: a reserved element is not cleared");
            return default;
        }

        if ((gfp & Gfp.DirectReclaim) != 0)
        {
            cpu.Context.MightSleep("mempool_alloc");
        }

        gfp |= Gfp.NoMemAlloc | Gfp.NoRetry | Gfp.NoWarn;
        Gfp attempt = gfp & ~(Gfp.DirectReclaim | Gfp.Io);
        for (; ; )
        {
            VirtualAddress element = _source.Allocate(cpu, attempt);
            if (element.IsNull)
            {
                element = TakeReserved();
                ServedFromReserve += element.IsNull ? 0 : 1;
            }

            if (!element.IsNull)
            {
                _ = Interlocked.Increment(ref _outstanding);
                return element;
            }

            if (attempt != gfp)
            {
                // The reserve is empty: now memory may be pressed for.
                attempt = gfp;
                continue;
            }

            if ((gfp & Gfp.DirectReclaim) == 0)
            {
                return default;
            }

            if (Waiting is null || !Waiting(this, cpu))
            {
                _machine.Bugs.Raise(KernelBugKind.Deadlock, $"INFO: task {cpu.Current.Name}:{cpu.Current.Pid} blocked in mempool_alloc: no element of {Minimum} is left and nobody frees one",
                    $"pool of {_source.Describe()}: {_outstanding} elements are outstanding, flags {GfpText.Format(gfp)}\nA real task would sleep here for ever. Free an element first, make the pool larger, or set Waiting to what other tasks do meanwhile.\n");
                return default;
            }
        }
    }

    /// <summary>Frees an element: refills the reserve first, then goes back to the allocator (<c>mempool_free()</c>).</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="element">The element; the null address is ignored.</param>
    /// <exception cref="KernelBugException">It is no element, is in the reserve already, more are freed than were allocated, or the pool is destroyed.</exception>
    public void Free(Cpu cpu, VirtualAddress element)
    {
        if (element.IsNull || !IsUsable(cpu, "mempool_free"))
        {
            return;
        }

        if (_outstanding == 0 || !_source.CanBeElement(element) || IsReserved(element))
        {
            _machine.Bugs.Raise(IsReserved(element) ? KernelBugKind.DoubleFree : KernelBugKind.NotAllocated, $"BUG: mempool_free of {element}, which is no outstanding element of this pool",
                $"pool of {_source.Describe()}: {_count} of {Minimum} elements in reserve, {_outstanding} outstanding\n");
            return;
        }

        lock (_lock)
        {
            if (_count < _elements.Length)
            {
                _elements[_count++] = element;
                _ = Interlocked.Decrement(ref _outstanding);
                return;
            }
        }

        _source.Free(cpu, element);
        _ = Interlocked.Decrement(ref _outstanding);
    }

    /// <summary>Changes the minimum (<c>mempool_resize()</c>): elements beyond a smaller one are freed, for a larger one they are allocated as far as there is memory.</summary>
    /// <param name="cpu">The CPU, in a context that may sleep.</param>
    /// <param name="minimum">The new minimum, at least 1.</param>
    /// <returns>Whether the reserve is full now; else it fills up as elements are freed.</returns>
    public bool Resize(Cpu cpu, int minimum)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(minimum, 1);
        if (!IsUsable(cpu, "mempool_resize"))
        {
            return false;
        }

        cpu.Context.MightSleep("mempool_resize");
        if (minimum > Minimum)
        {
            VirtualAddress table = cpu.Kmalloc((long)minimum * (_machine.Architecture.Bits / 8), Gfp.Kernel);
            if (table.IsNull)
            {
                return false;
            }

            cpu.Kfree(_table);
            _table = table;
        }

        while (_count > minimum)
        {
            _source.Free(cpu, TakeReserved());
        }

        lock (_lock)
        {
            Array.Resize(ref _elements, minimum);
        }

        return Fill(cpu, Gfp.Kernel);
    }

    /// <summary>Destroys the pool (<c>mempool_destroy()</c>): the reserve goes back to the allocator.</summary>
    /// <param name="cpu">The CPU.</param>
    /// <exception cref="KernelBugException">Elements are outstanding; nothing has changed. Or the pool is destroyed already.</exception>
    public void Destroy(Cpu cpu)
    {
        if (!IsUsable(cpu, "mempool_destroy"))
        {
            return;
        }

        if (_outstanding != 0)
        {
            _machine.Bugs.Raise(KernelBugKind.StillInUse, $"BUG: mempool_destroy: {_outstanding} elements are outstanding", $"pool of {_source.Describe()}: {_count} of {Minimum} elements in reserve\nFree them first: they would have no pool to go back to.\n");
            return;
        }

        GiveUp(cpu);
    }

    /// <summary>Allocates elements until the reserve is full.</summary>
    /// <returns>Whether it is.</returns>
    private bool Fill(Cpu cpu, Gfp gfp)
    {
        while (_count < _elements.Length)
        {
            VirtualAddress element = _source.Allocate(cpu, gfp);
            if (element.IsNull)
            {
                return false;
            }

            lock (_lock)
            {
                if (_count < _elements.Length)
                {
                    _elements[_count++] = element;
                    continue;
                }
            }

            _source.Free(cpu, element);
        }

        return true;
    }

    private void GiveUp(Cpu cpu)
    {
        Drain(cpu);
        cpu.Kfree(_table);
        cpu.Kfree(_pool);
        _destroyed = true;
    }

    /// <summary>Bytes of <c>mempool_t</c>: a lock, two numbers, four pointers and a wait queue of 24 bytes (32 bits: 12).</summary>
    private static int StructBytes(int pointerBytes) => pointerBytes == 8 ? 72 : 40;

    private void Drain(Cpu cpu)
    {
        for (VirtualAddress element = TakeReserved(); !element.IsNull; element = TakeReserved())
        {
            _source.Free(cpu, element);
        }
    }

    private VirtualAddress TakeReserved()
    {
        lock (_lock)
        {
            if (_count == 0)
            {
                return default;
            }

            return _elements[--_count];
        }
    }

    private bool IsReserved(VirtualAddress element)
    {
        lock (_lock)
        {
            return _elements.AsSpan(0, _count).Contains(element);
        }
    }

    private bool IsUsable(Cpu cpu, string what)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        _machine.ThrowIfDisposed();
        if (_destroyed || !ReferenceEquals(cpu.Machine, _machine))
        {
            _machine.Bugs.Raise(_destroyed ? KernelBugKind.NotAllocated : KernelBugKind.ForeignAddress, $"BUG: {what}: the pool {(_destroyed ? "was destroyed" : "belongs to another machine")}", $"pool of {_source.Describe()}\n");
            return false;
        }

        return true;
    }
}
