using System.Runtime.CompilerServices;

namespace MemSim.VirtualMemory;

/// <summary>The one lock of all address spaces (<c>mmap_lock</c>, page-table locks and <c>i_mmap</c>, <c>anon_vma</c> locks in one), and what waits for its end.</summary>
/// <remarks>
/// It guards areas, page tables of processes, reverse mapping, map counts and references of mapped pages, the table of processes, promises, swap entries in page tables.
/// It is the lock that reclaim and migration take for what they ask of a page's owner (<see cref="Machine.EnterOwners"/>), entered as an operation: who is killed
/// meanwhile ends at the end of the outermost one. Below it: locks of LRU lists, swap areas, page tables, zones, slab nodes. Above it: nothing.
/// </remarks>
internal sealed class AddressSpaceLock(Machine machine, Lock? held)
{
    private readonly List<(KernelTask Task, Cpu Cpu)> _dying = [];
    private int _depth;

    /// <summary>Whether an operation on an address space is in progress outside the one that asks.</summary>
    public bool IsInOperation => _depth > 1;

    /// <summary>Begins an operation on address spaces.</summary>
    public Scope Enter() => new(this);

    /// <summary>Ends a process as soon as no operation is in progress any more: it was killed in the middle of one on some address space, which might be its own.</summary>
    public void EndLater(KernelTask task, Cpu cpu) => _dying.Add((task, cpu));

    /// <summary>No operation is in progress: those who were killed meanwhile end.</summary>
    private void EndDying()
    {
        while (_dying.Count != 0)
        {
            (KernelTask task, Cpu cpu) = _dying[0];
            _dying.RemoveAt(0);
            if (task.RunsOn is null)
            {
                task.EndKilled(cpu);
            }
        }
    }

    /// <summary>An operation on address spaces.</summary>
    public readonly ref struct Scope
    {
        private readonly AddressSpaceLock _lock;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public Scope(AddressSpaceLock entered)
        {
            entered.Machine.ThrowIfDisposed();
            _lock = entered;
            entered.Machine.Callouts.Begin();
            entered.Held?.Enter();
            entered._depth++;
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Dispose()
        {
            if (--_lock._depth == 0 && _lock._dying.Count != 0)
            {
                _lock.EndDying();
            }

            _lock.Held?.Exit();
            _lock.Machine.Callouts.End();
            _lock.Machine.Callouts.ThrowIfIdle();
        }
    }

    private Machine Machine => machine;

    private Lock? Held => held;
}
