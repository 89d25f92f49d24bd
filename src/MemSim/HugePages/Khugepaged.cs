using MemSim.Background;
using MemSim.Hardware;
using MemSim.HugePages;
using MemSim.Lru;

namespace MemSim;

/// <summary>The thread that makes huge pages of small ones (<c>/sys/kernel/mm/transparent_hugepage/khugepaged</c>).</summary>
/// <remarks>It runs when <see cref="Machine.AdvanceTime"/> lets <see cref="ScanSleep"/> pass, or at once by <see cref="Run"/>.</remarks>
public sealed class Khugepaged
{
    private readonly Machine _machine;
    private readonly HugePageSettings _settings;
    private readonly Thread _thread;
    private readonly List<MemoryDescriptor> _spaces = [];
    private MemoryDescriptor? _current;
    private ulong _address;
    private TimeSpan _slept;

    internal Khugepaged(Machine machine, HugePageSettings settings)
    {
        _machine = machine;
        _settings = settings;
        _thread = new Thread(this);
        int pages = 1 << PteLayout.HugeOrderOf(machine.Architecture.Architecture);
        PagesToScan = 8 * pages;
        MaxEmpty = pages - 1;
        MaxSwapped = pages / 8;
        MaxShared = pages / 2;
        Defrag = machine.Settings.HasRoomForHugePages;
    }

    /// <summary>Pages looked at each time it wakes (<c>pages_to_scan</c>).</summary>
    public int PagesToScan { get; set; }

    /// <summary>How long it sleeps in between (<c>scan_sleep_millisecs</c>).</summary>
    public TimeSpan ScanSleep { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>Entries of a range that may be empty (<c>max_ptes_none</c>): each of them costs a page more than before.</summary>
    public int MaxEmpty { get; set; }

    /// <summary>Entries of a range that may be swapped out (<c>max_ptes_swap</c>).</summary>
    public int MaxSwapped { get; set; }

    /// <summary>Entries of a range whose pages others may share (<c>max_ptes_shared</c>).</summary>
    public int MaxShared { get; set; }

    /// <summary>Whether it reclaims and compacts to get huge pages (<c>khugepaged/defrag</c>).</summary>
    public bool Defrag { get; set; }

    /// <summary>Huge pages made (<c>pages_collapsed</c>).</summary>
    public long PagesCollapsed { get; private set; }

    /// <summary>Times that it has seen everything (<c>full_scans</c>).</summary>
    public long FullScans { get; private set; }

    /// <summary>Wakes it now, whether it is time or not: it looks at <see cref="PagesToScan"/> pages.</summary>
    /// <param name="cpu">The CPU that wakes it.</param>
    public void Run(Cpu cpu)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        _ = _machine.CpuTable.Own(cpu);
        _machine.Background.Tasks.Wake(cpu, _thread);
        _ = _machine.Background.Tasks.RunPending(cpu);
    }

    /// <summary>An address space may have ranges to collapse (<c>khugepaged_enter_vma()</c>).</summary>
    internal void Enter(MemoryDescriptor mm)
    {
        if (!mm.IsKnownToKhugepaged)
        {
            mm.IsKnownToKhugepaged = true;
            _spaces.Add(mm);
        }
    }

    /// <summary>An address space is gone (<c>khugepaged_exit()</c>).</summary>
    internal void Forget(MemoryDescriptor mm)
    {
        if (!mm.IsKnownToKhugepaged)
        {
            return;
        }

        if (ReferenceEquals(_current, mm))
        {
            Next();
        }

        _spaces.Remove(mm);
        mm.IsKnownToKhugepaged = false;
    }

    /// <summary>Time passes.</summary>
    internal void Advance(Cpu cpu, TimeSpan time)
    {
        _slept += time;
        if (ScanSleep <= TimeSpan.Zero)
        {
            _slept = TimeSpan.Zero;
            return;
        }

        if (_spaces.Count == 0)
        {
            _slept = TimeSpan.FromTicks(_slept.Ticks % ScanSleep.Ticks);
            return;
        }

        // Once it comes back to the same place without having made a huge page, it goes in circles until somebody else does something.
        (MemoryDescriptor? Space, ulong Address, long Scans, long Collapsed) mark = (_current, _address, FullScans, PagesCollapsed);
        long runs = 0;
        long nextMark = 8;
        while (_slept >= ScanSleep)
        {
            _slept -= ScanSleep;
            Run(cpu);
            runs++;
            if (ReferenceEquals(_current, mark.Space) && _address == mark.Address && PagesCollapsed == mark.Collapsed && nextMark > 8)
            {
                long circles = _slept.Ticks / ScanSleep.Ticks / runs;
                FullScans += circles * (FullScans - mark.Scans);
                _slept -= TimeSpan.FromTicks(circles * runs * ScanSleep.Ticks);
                mark.Collapsed = -1;
            }
            else if (runs == nextMark)
            {
                mark = (_current, _address, FullScans, PagesCollapsed);
                nextMark *= 2;
                runs = 0;
            }
        }
    }

    private void Scan(Cpu cpu)
    {
        if (_machine.Mm is not { } spaces || !_settings.MayAnybodyHaveWhole)
        {
            return;
        }

        using OwnersLock.Scope scope = spaces.Enter();
        if (_machine.OwnersLock.IsInOperation)
        {
            // A CPU was lent in the middle of a fault or a system call, whose page tables must stay where they are: its mmap_read_trylock() fails.
            return;
        }

        _machine.Lru.DrainAll(cpu);
        int passes = 0;
        for (int seen = 0; seen < PagesToScan;)
        {
            passes += _current is null ? 1 : 0;
            if (_spaces.Count == 0 || passes >= 2)
            {
                return;
            }

            _current ??= _spaces[0];
            if (!ScanSpace(cpu, spaces.Huge, _current, ref seen))
            {
                // No huge page could be had: it sleeps before it tries again.
                return;
            }
        }
    }

    /// <summary>Goes on in an address space (<c>khugepaged_scan_mm_slot()</c>).</summary>
    /// <returns>False when there was no memory.</returns>
    private bool ScanSpace(Cpu cpu, TransparentHugeMemory huge, MemoryDescriptor mm, ref int seen)
    {
        ulong mask = huge.Bytes - 1;
        seen++;
        for (Vma? vma = mm.Find(_address); vma is not null; vma = vma.Next)
        {
            if (vma.AnonVma is null || !huge.IsEligible(vma))
            {
                seen++;
                continue;
            }

            ulong last = vma.EndValue & ~mask;
            _address = Math.Max(_address, (vma.StartValue + mask) & ~mask);
            while (_address < last)
            {
                CollapseOutcome outcome = huge.TryCollapse(cpu, vma, _address, this);
                _address += huge.Bytes;
                seen += huge.Pages;
                PagesCollapsed += outcome == CollapseOutcome.Collapsed ? 1 : 0;
                if (outcome == CollapseOutcome.NoMemory)
                {
                    return false;
                }

                if (outcome is not (CollapseOutcome.NotNow or CollapseOutcome.InUse) || seen >= PagesToScan)
                {
                    // The areas may have changed while the lock was away.
                    return true;
                }
            }
        }

        Next();
        return true;
    }

    private void Next()
    {
        int place = _spaces.IndexOf(_current!) + 1;
        _address = 0;
        _current = place < _spaces.Count ? _spaces[place] : null;
        FullScans += _current is null ? 1 : 0;
    }

    private sealed class Thread(Khugepaged owner) : BackgroundTask("khugepaged", 41, node: null)
    {
        public override void Run(Cpu cpu) => owner.Scan(cpu);
    }
}
