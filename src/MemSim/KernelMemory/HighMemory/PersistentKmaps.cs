using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;
using MemSim.Diagnostics;
using MemSim.Hardware;
using MemSim.Pages;

namespace MemSim.KernelMemory;

/// <summary>The window of <c>kmap()</c>: pages of high memory stay mapped until somebody else needs the slot.</summary>
/// <remarks>
/// A slot whose last user left keeps its page, in the page tables and in the TLBs (count 1). Only when the search for a free slot passes the end of the window
/// are all such slots emptied, with one flush: that is what makes kmap cheap. Who finds no slot sleeps until one is left.
/// </remarks>
internal sealed class PersistentKmaps : IHighAddresses
{
    private const int None = -1;
    private const int HoldersNamed = 8;

    private readonly Machine _machine;
    // Guards _counts, _frames, _holders, _slotOf, _last and _lastUsed; who finds no slot sleeps and lets go of it (kmap_lock).
    private readonly object? _lock;
    private readonly PageTables _kernel;
    private readonly KernelRegion _window;
    private readonly ulong _entries;
    private readonly ulong _template;
    private readonly int _entryShift;
    private readonly int[] _counts;
    private readonly int[] _frames;
    private readonly KernelTask?[] _holders;
    private readonly Dictionary<int, int> _slotOf;
    private int _last;
    /// <summary>The slot of the last search by page: the next call is often for the same.</summary>
    private int _lastUsed;
    private int _waiting;

    public PersistentKmaps(Machine machine)
    {
        _machine = machine;
        _window = machine.AddressSpace.PersistentKmap!.Value;
        _kernel = machine.Mmu.Kernel;
        _lock = machine.IsParallel ? new object() : null;
        int slots = (int)(_window.Bytes >> PageGeometry.PageShift);
        _counts = new int[slots];
        _frames = new int[slots];
        _holders = new KernelTask?[slots];
        _slotOf = new Dictionary<int, int>(slots);
        Array.Fill(_frames, None);

        // One table serves the whole window: its entries follow each other.
        _entries = _kernel.EntryAddress(machine.Cpus[0], _window.Start);
        _entryShift = slots == 1024 ? 2 : 3;
        _template = _kernel.MakeEntry(new Pfn(0), PageProtection.Kernel);
    }

    public int Slots => _counts.Length;

    /// <summary>How often the whole window was flushed.</summary>
    public long Flushes { get; private set; }

    /// <summary>Callers asleep until a slot is left.</summary>
    public int Waiting => Volatile.Read(ref _waiting);

    /// <summary>Maps a page of high memory, or counts another user of its mapping.</summary>
    /// <returns>The address; the null address after a logged complaint.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public VirtualAddress Map(Cpu cpu, Page page)
    {
        // A slot whose page this is has it in the hash table too.
        if (_lock is null && _frames[_lastUsed] == page.FrameIndex)
        {
            return Take(cpu, _lastUsed);
        }

        return MapOther(cpu, page);
    }

    /// <summary>Takes one user of a page's mapping away.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Unmap(Cpu cpu, Page page)
    {
        if (_lock is null && _frames[_lastUsed] == page.FrameIndex && _counts[_lastUsed] > 1)
        {
            Leave(_lastUsed);
            return;
        }

        UnmapOther(cpu, page);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private VirtualAddress MapOther(Cpu cpu, Page page)
    {
        Enter();
        try
        {
            while (true)
            {
                if (!_slotOf.TryGetValue(page.FrameIndex, out int slot))
                {
                    slot = FindFree(cpu);
                    if (slot == None)
                    {
                        if (Sleep(cpu, page))
                        {
                            continue;
                        }

                        return default;
                    }

                    Write(slot, _template | page.PhysicalAddress.Value);
                    _counts[slot] = 1;
                    _frames[slot] = page.FrameIndex;
                    _slotOf.Add(page.FrameIndex, slot);
                }

                _lastUsed = slot;
                return Take(cpu, slot);
            }
        }
        finally
        {
            Exit();
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void UnmapOther(Cpu cpu, Page page)
    {
        Enter();
        bool used;
        try
        {
            used = _slotOf.TryGetValue(page.FrameIndex, out int slot) && _counts[slot] > 1;
            if (used && Leave(slot) && _lock is not null && _waiting != 0)
            {
                Monitor.Pulse(_lock);
            }
        }
        finally
        {
            Exit();
        }

        if (!used)
        {
            _machine.Bugs.Raise(KernelBugKind.InvalidObject, $"kernel BUG at kunmap: {page} is not mapped by kmap",
                $"Each Kunmap needs a Kmap of the same page before it; it takes the page, not the address.\nCPU: {cpu.Id} Comm: {cpu.Current.Name}\n", page);
        }
    }

    /// <summary>Counts another user of a slot that has its page.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private VirtualAddress Take(Cpu cpu, int slot)
    {
        if (_counts[slot]++ == 1)
        {
            _holders[slot] = cpu.Current;
        }

        return AddressOf(slot);
    }

    /// <summary>One user less.</summary>
    /// <returns>Whether it was the last: the slot can be emptied.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool Leave(int slot)
    {
        if (--_counts[slot] != 1)
        {
            return false;
        }

        _holders[slot] = null;
        return true;
    }

    /// <summary>The address at which a page of high memory is mapped, used or not; null when it is not.</summary>
    public VirtualAddress Find(int pfn)
    {
        Enter();
        try
        {
            return _slotOf.TryGetValue(pfn, out int slot) ? AddressOf(slot) : default;
        }
        finally
        {
            Exit();
        }
    }

    /// <summary>The page mapped at an address of the window, used or not.</summary>
    public Page PageAt(VirtualAddress address)
    {
        Enter();
        try
        {
            int frame = _window.Contains(address) ? _frames[(int)((address.Value - _window.Start.Value) >> PageGeometry.PageShift)] : None;
            return frame == None ? default : new Page(_machine, frame);
        }
        finally
        {
            Exit();
        }
    }

    /// <summary>Empties all slots that nobody uses (<c>kmap_flush_unused()</c>).</summary>
    public void FlushUnused(Cpu cpu)
    {
        Enter();
        try
        {
            Flush(cpu);
        }
        finally
        {
            Exit();
        }
    }

    public KmapSlot[] List()
    {
        Enter();
        try
        {
            var slots = new KmapSlot[_counts.Length];
            for (int i = 0; i < slots.Length; i++)
            {
                slots[i] = new KmapSlot(i, AddressOf(i), _frames[i] == None ? default : new Page(_machine, _frames[i]), _counts[i], _holders[i]?.ToString());
            }

            return slots;
        }
        finally
        {
            Exit();
        }
    }

    public void Verify()
    {
        int mapped = 0;
        for (int slot = 0; slot < _counts.Length; slot++)
        {
            ulong expected = _counts[slot] == 0 ? 0 : _template | ((ulong)_frames[slot] << PageGeometry.PageShift);
            const ulong hardwareBits = X86Entry.Accessed | X86Entry.Dirty;
            ulong entry = _kernel.Lookup(AddressOf(slot)).Raw;
            if ((entry & ~hardwareBits) != (expected & ~hardwareBits))
            {
                BugReporter.Corrupt($"kmap: slot {slot} has the entry {entry:x}, its count {_counts[slot]} says {expected:x}");
            }

            if ((_counts[slot] == 0) != (_frames[slot] == None) || (_counts[slot] != 0 && (!_slotOf.TryGetValue(_frames[slot], out int found) || found != slot)))
            {
                BugReporter.Corrupt($"kmap: slot {slot} with the count {_counts[slot]} and its page disagree");
            }

            mapped += _counts[slot] == 0 ? 0 : 1;
        }

        if (mapped != _slotOf.Count)
        {
            BugReporter.Corrupt($"kmap: {mapped} slots have pages but {_slotOf.Count} pages have slots");
        }
    }

    private VirtualAddress AddressOf(int slot) => _window.Start + ((long)slot << PageGeometry.PageShift);

    /// <summary>The next slot with count 0, behind the last one found; passing the end empties what nobody uses.</summary>
    private int FindFree(Cpu cpu)
    {
        int left = _counts.Length;
        while (left > 0)
        {
            _last = (_last + 1) & (_counts.Length - 1);
            if (_last == 0)
            {
                Flush(cpu);
                left = _counts.Length;
            }

            if (_counts[_last] == 0)
            {
                return _last;
            }

            left--;
        }

        return None;
    }

    private void Flush(Cpu cpu)
    {
        bool any = false;
        for (int slot = 0; slot < _counts.Length; slot++)
        {
            if (_counts[slot] == 1)
            {
                _counts[slot] = 0;
                _slotOf.Remove(_frames[slot]);
                _frames[slot] = None;
                Write(slot, 0);
                any = true;
            }
        }

        if (any)
        {
            Flushes++;
            _machine.Mmu.FlushRange(cpu, _kernel, _window.Start, _window.Bytes);
        }
    }

    /// <summary>Waits until a slot is left.</summary>
    /// <returns>Whether to look again; false after a logged complaint.</returns>
    private bool Sleep(Cpu cpu, Page page)
    {
        if (_lock is not null)
        {
            _waiting++;
            bool woken = Monitor.Wait(_lock, _machine.Settings.HungTaskTimeout);
            _waiting--;
            if (woken)
            {
                return true;
            }
        }
        else if (_machine.Background.Tasks.RunPending(cpu) > 0 && HasUnused())
        {
            // Some thread that slept had a slot to give back.
            return true;
        }

        string seconds = _machine.Settings.HungTaskTimeout.TotalSeconds.ToString("0.###", CultureInfo.InvariantCulture);
        _machine.Bugs.Raise(KernelBugKind.Deadlock, _lock is not null
                ? $"INFO: task {cpu.Current} blocked for more than {seconds} seconds in kmap: all {_counts.Length} slots of the window are in use"
                : $"kernel BUG at kmap: deadlock: all {_counts.Length} slots of the window are in use, {cpu.Current} would sleep for ever",
            $"Nobody is left who could call Kunmap. CPU: {cpu.Id}, wanted: {page}\n{Holders()}Map for a short time with KmapLocal, or unmap before mapping more.\n", page);
        return false;
    }

    private bool HasUnused() => Array.Exists(_counts, static c => c < 2);

    private string Holders()
    {
        StringBuilder text = new();
        var byTask = _holders.Where(h => h is not null).GroupBy(h => h!).Select(g => (Task: g.Key, Slots: g.Count())).OrderByDescending(g => g.Slots).ToList();
        foreach ((KernelTask task, int slots) in byTask.Take(HoldersNamed))
        {
            text.Append(CultureInfo.InvariantCulture, $"  {task} holds {slots} slots\n");
        }

        return byTask.Count > HoldersNamed ? text.Append(CultureInfo.InvariantCulture, $"  and {byTask.Count - HoldersNamed} more tasks\n").ToString() : text.ToString();
    }

    private void Write(int slot, ulong entry)
    {
        ulong at = _entries + ((ulong)slot << _entryShift);
        if (_entryShift == 3)
        {
            _machine.Ram.Write(at, entry);
        }
        else
        {
            _machine.Ram.Write(at, (uint)entry);
        }
    }

    private void Enter()
    {
        if (_lock is not null)
        {
            Monitor.Enter(_lock);
        }
    }

    private void Exit()
    {
        if (_lock is not null)
        {
            Monitor.Exit(_lock);
        }
    }
}
