namespace MemSim.Explorer.Sessions.Commands;

/// <summary>Commands of reclaim, swap, compaction and settings.</summary>
internal static class PolicyCommands
{
    public static IReadOnlyList<CommandInfo> All { get; } =
    [
        new("reclaim", "reclaim", "Switches reclaim on: kswapd, direct reclaim, the OOM killer.", Reclaim),
        new("swapon", "swapon BYTES", "Adds a swap device.", SwapOn),
        new("sysctl", "sysctl NAME [VALUE]", "Reads or writes a file of /proc/sys/vm.", Sysctl),
        new("compact", "compact", "Moves pages together until large blocks are free (echo 1 > compact_memory).", Compact),
        new("movable", "movable BLOCKS [every=N] [as NAME]", "Allocates movable pages, as page cache or a process would.", Movable),
        new("movablefree", "movablefree NAME [every=N]", "Frees them, or every Nth.", MovableFree),
        new("cpu", "cpu N online|offline", "Takes a CPU away or brings it back.", CpuState),
    ];

    private static string Reclaim(Session session, CommandArguments arguments)
    {
        _ = arguments;
        session.Machine.Reclaim.Enable();
        return "kswapd, direct reclaim, compaction and the OOM killer are at work";
    }

    private static string SwapOn(Session session, CommandArguments arguments)
    {
        long size = arguments.Size(0, "the size", 8L << 30);
        Result<SwapArea> area = session.Machine.Swap.SwapOn(new BlockDevice("swap" + session.Machine.Swap.Areas.Count, ByteSize.FromKiB((ulong)size >> 10)));
        return area.Succeeded ? $"{area.Value.Name}: {area.Value.Pages} slots" : $"swapon() failed: {area.Error}";
    }

    private static string Sysctl(Session session, CommandArguments arguments)
    {
        string name = arguments.Word(0, "the name");
        if (arguments.Count > 1)
        {
            session.Machine.Sysctl.Set(name, arguments.Rest(1));
        }

        return $"vm.{name} = {session.Machine.Sysctl.Get(name)}";
    }

    private static string Compact(Session session, CommandArguments arguments)
    {
        _ = arguments;
        session.Machine.Compaction.CompactMemory();
        return $"{session.Events.Migrated} pages moved so far";
    }

    private static string Movable(Session session, CommandArguments arguments)
    {
        int count = arguments.Number(0, "how many pages", 1, 4 << 20);
        string name = session.NameFor(arguments, "mv");
        MovablePool pool = session.Machine.Migration.CreateMovablePool();
        List<int> numbers = [];
        for (int i = 0; i < count; i++)
        {
            int number = pool.Allocate(session.Cpu);
            if (number < 0)
            {
                break;
            }

            numbers.Add(number);
        }

        session.Hold(new HeldMovable(name, pool, numbers));
        return $"{name}: {numbers.Count} pages that may be moved";
    }

    private static string MovableFree(Session session, CommandArguments arguments)
    {
        HeldMovable held = session.Find<HeldMovable>(arguments.Word(0, "the name of movable pages"));
        int every = arguments.Option("every", 1, 1, 1 << 20);
        List<int> kept = [];
        for (int i = 0; i < held.Numbers.Count; i++)
        {
            if (i % every != 0)
            {
                kept.Add(held.Numbers[i]);
            }
            else
            {
                held.Pool.Free(session.Cpu, held.Numbers[i]);
            }
        }

        session.Release(held.Name);
        if (kept.Count > 0)
        {
            session.Hold(held with { Numbers = kept });
        }

        return $"{held.Name}: {held.Numbers.Count - kept.Count} freed, {kept.Count} left";
    }

    private static string CpuState(Session session, CommandArguments arguments)
    {
        int cpu = arguments.Number(0, "the CPU", 0, session.Machine.Cpus.Count - 1);
        string state = arguments.Word(1, "online or offline");
        if (state == "offline")
        {
            session.Machine.Hotplug.OfflineCpu(cpu);
        }
        else if (state == "online")
        {
            session.Machine.Hotplug.OnlineCpu(cpu);
        }
        else
        {
            throw arguments.Wrong($"'{state}' is neither online nor offline");
        }

        return $"CPU {cpu} is {state}";
    }
}
