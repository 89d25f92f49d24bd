using System.Runtime.CompilerServices;
using MemSim.Diagnostics;
using MemSim.Hardware;

namespace MemSim.Lru;

/// <summary>
/// The one lock of those who own pages: address spaces and files (<c>mmap_lock</c>, page-table locks, <c>i_mmap</c> and <c>anon_vma</c> locks, <c>i_pages</c> in one), and what waits for
/// its end.
/// </summary>
/// <remarks>
/// It guards areas, page tables of processes, reverse mapping, map counts and references of mapped pages, the table of processes, promises, swap entries in page tables, and the trees and
/// pages of files. Who holds it may take it again. Nobody waits for a locked page while holding it. On a machine without parallel CPUs there is no lock, only what waits.
/// <para>
/// Guarded by itself: <c>_operations</c> and <c>_dying</c>. Where it stands among the other locks: the table in <c>docs/architecture.md</c>.
/// </para>
/// </remarks>
internal sealed class OwnersLock(Machine machine)
{
    // Guards _operations and _dying, and for all rooms what the remarks say.
    private readonly MachineLock? _lock = machine.NewLock("OwnersLock._lock");
    private readonly List<(KernelTask Task, Cpu Cpu)> _dying = [];
    private int _operations;

    /// <summary>Whether an operation on address spaces is in progress outside the one that asks.</summary>
    public bool IsInOperation => _operations > 1;

    /// <summary>Asks or changes the owners of pages until the scope ends: reclaim, migration and files do.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Scope Enter() => new(this, isOperation: false, notesDriver: true);

    /// <summary>The same for an operation on address spaces, in the middle of which no process ends: who is killed meanwhile ends with the outermost one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Scope EnterOperation()
    {
        if (machine.IsDisposed)
        {
            machine.ThrowIfDisposed();
        }

        return new Scope(this, isOperation: true, notesDriver: true);
    }

    /// <summary>The same for a page fault, which is too short to ask which host thread it runs on: the refills it makes do.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Scope EnterFault()
    {
        if (machine.IsDisposed)
        {
            machine.ThrowIfDisposed();
        }

        return new Scope(this, isOperation: true, notesDriver: false);
    }

    /// <summary>Ends a process as soon as no operation is in progress any more: it was killed in the middle of one on some address space, which might be its own.</summary>
    public void EndLater(KernelTask task, Cpu cpu) => _dying.Add((task, cpu));

    /// <summary>No operation is in progress: those who were killed meanwhile end.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
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

    private readonly Callouts _callouts = machine.Callouts;

    /// <summary>The end of a scope, out of line: what uses one then leaves it by a call in either way.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void Leave(bool isOperation, bool notesDriver)
    {
        if (isOperation && --_operations == 0 && _dying.Count != 0)
        {
            EndDying();
        }

        _lock?.Exit();
        _callouts.End(notesDriver);
        _callouts.ThrowIfIdle();
    }

    /// <summary>Holds the lock until disposed; what the user's code threw meanwhile is thrown at the end of the outermost one.</summary>
    public readonly ref struct Scope
    {
        private readonly OwnersLock? _owners;
        private readonly bool _isOperation;
        private readonly bool _notesDriver;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        internal Scope(OwnersLock owners, bool isOperation, bool notesDriver)
        {
            _owners = owners;
            _isOperation = isOperation;
            _notesDriver = notesDriver;
            owners._callouts.Begin(notesDriver);
            owners._lock?.Enter();
            if (isOperation)
            {
                owners._operations++;
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Dispose() => _owners?.Leave(_isOperation, _notesDriver);
    }
}
