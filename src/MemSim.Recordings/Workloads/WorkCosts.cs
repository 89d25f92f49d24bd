namespace MemSim.Recordings.Workloads;

/// <summary>How long a machine's work takes, in nanoseconds of simulated time: what decides how far kswapd gets while others run.</summary>
internal sealed record WorkCosts
{
    /// <summary>A page fault, with the page that it gets.</summary>
    public long Fault { get; init; } = 1_000;

    /// <summary>A page that reclaim looks at.</summary>
    public long Scan { get; init; } = 150;

    /// <summary>A pass over a node's lists and shrinkers at one priority, whatever it finds.</summary>
    public long Pass { get; init; } = 1_000;

    /// <summary>Printing the report of the OOM killer.</summary>
    public long OomReport { get; init; } = 1_000_000;

    /// <summary>A page that it frees, besides.</summary>
    public long Steal { get; init; } = 250;

    /// <summary>A page sent to swap, besides.</summary>
    public long SwapOut { get; init; } = 2_000;

    /// <summary>A page fetched from swap, the wait for the device included unless <see cref="SwapInWait"/> has it.</summary>
    public long SwapIn { get; init; } = 100_000;

    /// <summary>What a request for pages of swap takes a device that has no processor of its own, and those who wait for it.</summary>
    public long SwapInWait { get; init; }

    /// <summary>A page that compaction moves.</summary>
    public long Migrate { get; init; } = 1_000;

    /// <summary>A page of a file read into memory and copied to its reader.</summary>
    public long ReadPage { get; init; } = 1_500;

    /// <summary>What a reader waits for its device, for each call that found something missing.</summary>
    public long ReadWait { get; init; } = 100_000;

    /// <summary>The same, for each page of it.</summary>
    public long ReadWaitPage { get; init; } = 1_000;

    /// <summary>From the time a page is sent to swap until it is written, when the device is idle.</summary>
    public long WriteDelay { get; init; } = 200_000;

    /// <summary>The time between the ends of two writes.</summary>
    public long WritePage { get; init; } = 2_000;

    /// <summary>What a pass's writes take a device that has no processor of its own; 0 where it works beside the CPU.</summary>
    public long Kick { get; init; }

    /// <summary>From a wake-up to the first instruction, on a CPU that has idled for less than a tick.</summary>
    public long WakeDelay { get; init; } = 20_000;

    /// <summary>The same on a CPU that has idled for longer.</summary>
    public long WakeDelayIdle { get; init; } = 100_000;

    /// <summary>The timer tick of the scheduler: 250 a second.</summary>
    public long Tick { get; init; } = 4_000_000;

    /// <summary>
    /// A virtual machine without hardware help (QEMU's TCG) that records every page event: read off recordings of such machines, between events that say what was
    /// done (a fault 11 µs, a clean page freed 4 µs, a page read 15 µs, a thread on the other CPU
    /// woken in 0.06 to 0.3 ms, or in 4.3 to 7.1 ms when that had idled), not fitted to what reclaim did there.
    /// </summary>
    public static WorkCosts EmulatedAndTraced { get; } = new()
    {
        Fault = 11_000,
        Scan = 1_500,
        Steal = 2_400,
        Pass = 6_000,
        OomReport = 5_000_000,
        SwapOut = 20_000,
        SwapIn = 500_000,
        Migrate = 10_000,
        ReadPage = 15_000,
        ReadWait = 850_000,
        ReadWaitPage = 1_800,
        WriteDelay = 1_000_000,
        WritePage = 2_000,
        WakeDelay = 100_000,
        WakeDelayIdle = 4_500_000,
    };

    /// <summary>
    /// The same on a host with one CPU, which the guest and the thread that serves its devices share: mostly that thread runs as soon as writes are sent, 0.4 to 0.9 ms between the last
    /// page of a pass and the next pass, whose writes have ended by then; when it had more than its half it waits until the guest's turn is over, 5 to 7 ms, in which no write ends. A thread of the guest runs 0.25 ms after it was woken, kswapd the first time 2.6 ms.
    /// </summary>
    public static WorkCosts EmulatedOnOneCpu { get; } = EmulatedAndTraced with { WriteDelay = 350_000, WritePage = 1_000, Kick = 600_000, SwapOut = 12_000, SwapIn = 12_000, SwapInWait = 300_000, WakeDelay = 250_000, WakeDelayIdle = 2_600_000 };
}
