using System.Globalization;
using MemSim.Background;
using MemSim.Kernels;
using MemSim.Ksm;

namespace MemSim;

/// <summary>What ksmd does (<c>/sys/kernel/mm/ksm/run</c>).</summary>
public enum KsmRun
{
    /// <summary>Nothing; what is merged stays merged.</summary>
    Stop,

    /// <summary>It looks for equal pages.</summary>
    Run,

    /// <summary>Nothing; everything was taken apart when this was written.</summary>
    Unmerge,
}

/// <summary>Merging of equal pages: the files of <c>/sys/kernel/mm/ksm</c>. <see cref="MachineProcesses.Ksm"/>.</summary>
/// <remarks>
/// ksmd works when <see cref="Machine.AdvanceTime"/> lets <see cref="Sleep"/> pass, or at once by <see cref="Scan"/>. It looks only at areas with
/// <see cref="MemoryAdvice.Mergeable"/>, and of processes with <see cref="Process.SetMemoryMerge"/>.
/// </remarks>
public sealed class KsmSettings
{
    // Looks at everything that change nothing: after so many the age of every page has reached its end, and the rest of the time is as quiet.
    private const int QuietScans = 300;

    // After so many, each page that is passed over eight times and looked at once is where it was.
    private const int Period = 9;

    private const int DefaultPagesToScan = 100;

    private readonly Machine _machine;
    private readonly Thread _thread;
    private TimeSpan _slept;
    private TimeSpan _now;
    private TimeSpan _cpuTime;
    private long _pagesToScan = DefaultPagesToScan;

    internal KsmSettings(Machine machine)
    {
        _machine = machine;
        Merger = new SamepageMerger(machine, this);
        SmartScan = Rules.SkipsPages;
        _thread = new Thread(this);
    }

    /// <summary>What ksmd does (<c>run</c>). <see cref="KsmRun.Unmerge"/> takes everything apart at once.</summary>
    /// <exception cref="InvalidOperationException">There is no memory for pages of their own (ENOMEM): it stops, and what is left stays merged.</exception>
    public KsmRun Run
    {
        get => _run;
        set
        {
            if (!Enum.IsDefined(value))
            {
                throw new ArgumentOutOfRangeException(nameof(value), value, "run is 0, 1 or 2 (EINVAL)");
            }

            if (value == _run)
            {
                return;
            }

            _run = value;
            if (value == KsmRun.Unmerge && _machine.Mm is { } spaces)
            {
                using Lru.OwnersLock.Scope scope = spaces.Enter();
                if (Merger.UnmergeAll(_machine.CpuTable.CallersCpu()) != Errno.None)
                {
                    _run = KsmRun.Stop;
                    throw new InvalidOperationException("there is not enough memory to take all merged pages apart (ENOMEM)");
                }
            }
        }
    }

    /// <summary>Pages looked at each time it wakes (<c>pages_to_scan</c>), up to 2^32 - 1.</summary>
    /// <exception cref="InvalidOperationException">The advisor chooses them (EINVAL).</exception>
    public long PagesToScan
    {
        get => _pagesToScan;
        set
        {
            ArgumentOutOfRangeException.ThrowIfNegative(value);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(value, uint.MaxValue);
            _pagesToScan = !Advises ? value : throw new InvalidOperationException("the advisor chooses pages_to_scan (EINVAL)");
        }
    }

    /// <summary>Whether ksmd chooses <see cref="PagesToScan"/> itself after each full scan, so that the next takes as long as <c>advisor_target_scan_time</c> says
    /// (<c>advisor_mode</c> scan-time, since 6.8). Its limits are files of <see cref="this[string]"/>.</summary>
    /// <exception cref="InvalidOperationException">The kernel has no advisor.</exception>
    public bool Advises
    {
        get => Advisor.IsOn;
        set
        {
            if (value == Advisor.IsOn)
            {
                return;
            }

            if (!Rules.HasAdvisor)
            {
                throw new InvalidOperationException("this kernel's ksmd has no advisor");
            }

            Advisor.Switch(value);
            _pagesToScan = value ? unchecked((uint)Advisor.MinPages) : DefaultPagesToScan;
        }
    }

    /// <summary>How long ksmd's CPU takes for a page: only the advisor asks. 6 microseconds were measured on a real 6.18, a busy virtual machine whose pages had nothing in common.</summary>
    public TimeSpan PageTime { get; set; } = TimeSpan.FromMicroseconds(6);

    /// <summary>How long it sleeps in between (<c>sleep_millisecs</c>).</summary>
    public TimeSpan Sleep { get; set; } = TimeSpan.FromMilliseconds(20);

    /// <summary>Entries that may map one merged page, as far as nobody forked (<c>max_page_sharing</c>); at least 2.</summary>
    /// <exception cref="InvalidOperationException">Pages are merged (EBUSY).</exception>
    public int MaxPageSharing
    {
        get => _maxPageSharing;
        set
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(value, 2);
            ThrowIfMerged(value != _maxPageSharing, "max_page_sharing");
            _maxPageSharing = value;
        }
    }

    /// <summary>Whether pages of different NUMA nodes are merged (<c>merge_across_nodes</c>).</summary>
    /// <exception cref="InvalidOperationException">Pages are merged (EBUSY).</exception>
    public bool MergeAcrossNodes
    {
        get => _mergeAcrossNodes;
        set
        {
            ThrowIfMerged(value != _mergeAcrossNodes, "merge_across_nodes");
            _mergeAcrossNodes = value;
        }
    }

    /// <summary>Whether pages of zeroes are merged with the kernel's page of zeroes (<c>use_zero_pages</c>).</summary>
    public bool UseZeroPages { get; set; }

    /// <summary>Whether pages that were looked at in vain are passed over more and more often (<c>smart_scan</c>, since 6.7).</summary>
    public bool SmartScan { get; set; }

    /// <summary>How often a chain of pages with equal bytes is looked through for those that are gone (<c>stable_node_chains_prune_millisecs</c>).</summary>
    public TimeSpan ChainsPrune { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>Merged pages in use (<c>pages_shared</c>): as of the last look, as everything here.</summary>
    public long PagesShared => Merger.Shared;

    /// <summary>Pages that were saved: entries of merged pages beyond the first of each (<c>pages_sharing</c>).</summary>
    public long PagesSharing => Merger.Sharing;

    /// <summary>Pages that no other one equals, looked at again and again (<c>pages_unshared</c>).</summary>
    public long PagesUnshared => Merger.Unshared;

    /// <summary>Pages that change too fast (<c>pages_volatile</c>).</summary>
    public long PagesVolatile => Math.Max(0, Merger.Items - Merger.Shared - Merger.Sharing - Merger.Unshared);

    /// <summary>Pages of zeroes in whose place the kernel's one is (<c>ksm_zero_pages</c>, since 6.6).</summary>
    public long ZeroPages => Merger.ZeroPages;

    /// <summary>Pages passed over (<c>pages_skipped</c>, since 6.7).</summary>
    public long PagesSkipped => Merger.Skipped;

    /// <summary>Pages looked at (<c>pages_scanned</c>, since 6.4).</summary>
    public long PagesScanned => Merger.Scanned;

    /// <summary>Times that everything was looked at (<c>full_scans</c>).</summary>
    public long FullScans => Merger.FullScans;

    /// <summary>Chains of pages with equal bytes, made where <see cref="MaxPageSharing"/> is not enough (<c>stable_node_chains</c>).</summary>
    public long StableNodeChains => Merger.Chains;

    /// <summary>Pages in chains (<c>stable_node_dups</c>).</summary>
    public long StableNodeDups => Merger.Copies;

    /// <summary>Bytes saved less what ksmd itself needs for it (<c>general_profit</c>, since 6.4).</summary>
    public long GeneralProfit => ((Merger.Sharing + Merger.ZeroPages) << PageGeometry.PageShift) - (Merger.Items * RmapItem.Bytes);

    /// <summary>The files the kernel has, by name.</summary>
    public IReadOnlyList<string> Files => KsmFiles.Names(Rules);

    /// <summary>Reads or writes a file of <c>/sys/kernel/mm/ksm</c>, in the kernel's text.</summary>
    /// <param name="file">The file's name.</param>
    /// <exception cref="ArgumentException">The kernel has no such file, it cannot be written, or refuses the text (EINVAL).</exception>
    /// <exception cref="InvalidOperationException">Pages are merged (EBUSY).</exception>
    public string this[string file]
    {
        get => KsmFiles.Read(this, file);
        set => KsmFiles.Write(this, file, value);
    }

    private KsmRun _run;
    private int _maxPageSharing = 256;
    private bool _mergeAcrossNodes = true;

    internal KsmRules Rules => _machine.Personality.Ksm;

    internal SamepageMerger Merger { get; }

    internal KsmAdvisor Advisor { get; } = new();

    /// <summary>Wakes ksmd now, whether it is time or not, if it runs: it looks at <see cref="PagesToScan"/> pages, or less where a full scan ends.</summary>
    /// <param name="cpu">The CPU that wakes it.</param>
    public void Scan(Cpu cpu)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        _ = _machine.CpuTable.Own(cpu);
        _machine.Background.Tasks.Wake(cpu, _thread);
        _ = _machine.Background.Tasks.RunPending(cpu);
    }

    /// <summary>Time passes.</summary>
    internal void Advance(Cpu cpu, TimeSpan time)
    {
        _now += time;
        if (Run != KsmRun.Run || !Merger.HasSpaces || Sleep <= TimeSpan.Zero)
        {
            _slept = TimeSpan.Zero;
            return;
        }

        _slept += time;
        ScanMark quiet = Merger.Mark();
        ScanMark old = quiet;
        (long Pages, TimeSpan CpuTime, (ulong, ulong) Advisor) before = default;
        long runs = 0;
        while (_slept >= Sleep)
        {
            _slept -= Sleep;
            Scan(cpu);
            runs++;
            ScanMark now = Merger.Mark();
            if (!now.HasSameState(quiet))
            {
                quiet = now;
            }
            else if (now.IsBetweenScans && now.FullScans - quiet.FullScans == QuietScans)
            {
                old = now;
                before = (PagesToScan, _cpuTime, Advisor.State);
                runs = 0;
            }
            else if (now.IsBetweenScans && now.FullScans - quiet.FullScans == QuietScans + Period)
            {
                if (before.Pages != PagesToScan || before.Advisor != Advisor.State)
                {
                    // The advisor has not come to rest yet.
                    quiet = now;
                    continue;
                }

                // Nobody writes meanwhile: it would go on so.
                long times = _slept.Ticks / Sleep.Ticks / runs;
                Merger.Repeat(old, times);
                TimeSpan worked = times * (_cpuTime - before.CpuTime);
                _cpuTime += worked;
                Advisor.Pass(worked);
                _slept -= TimeSpan.FromTicks(times * runs * Sleep.Ticks);
            }
        }
    }

    /// <summary>ksmd's turn: it begins when time has passed up to here.</summary>
    private void Scanning(Cpu cpu)
    {
        ScanMark before = Merger.Mark();
        if (before.IsBetweenScans)
        {
            Advisor.Begin(Now);
        }

        Merger.Scan(cpu, PagesToScan);
        ScanMark after = Merger.Mark();
        _cpuTime += (after.Scanned - before.Scanned) * PageTime;
        if (Advisor.IsOn && after.FullScans > before.FullScans)
        {
            _pagesToScan = Advisor.End(Now, _cpuTime, (uint)_pagesToScan);
        }
    }

    /// <summary>The time of what is done now: what has passed and is not slept through yet, and what ksmd's own work took.</summary>
    private TimeSpan Now => _now - _slept + _cpuTime;

    private void ThrowIfMerged(bool changes, string file)
    {
        if (changes && (Merger.Shared != 0 || !Merger.TryForgetAll()))
        {
            throw new InvalidOperationException($"{file} cannot change while pages are merged (EBUSY)");
        }
    }

    internal static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);

    private sealed class Thread(KsmSettings owner) : BackgroundTask("ksmd", 40, node: null)
    {
        public override void Run(Cpu cpu)
        {
            if (owner.Run == KsmRun.Run)
            {
                owner.Scanning(cpu);
            }
        }
    }
}

/// <content>Equal pages.</content>
public sealed partial class Machine
{
    /// <summary>Merging of equal pages of processes.</summary>
    internal KsmSettings Ksm { get; private set; } = null!;
}
