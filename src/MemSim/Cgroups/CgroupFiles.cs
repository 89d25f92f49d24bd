using System.Globalization;
using System.Text;
using MemSim.Kernels;

namespace MemSim.Cgroups;

/// <summary>The files of a cgroup's directory: what reading them prints, what writing them does.</summary>
internal static class CgroupFiles
{
    private const string NoLimit = "max";

    /// <summary>The text of a file; null when there is none of that name.</summary>
    public static string? Read(Cgroup c, string file)
    {
        RowSet rows = c.Tree.Rows;
        return file switch
        {
            "cpuset.mems.effective" => Zones.NodeMask.Format(c.EffectiveNodes) + "\n",
            "cpuset.mems" when !c.IsRoot => Zones.NodeMask.Format(c.Nodes) + "\n",
            "cgroup.procs" => Lines(c.Members.Select(process => process.Pid)),
            "cgroup.stat" => string.Create(CultureInfo.InvariantCulture, $"nr_descendants {c.Tree.All().Count(o => o.IsBelow(c) && !ReferenceEquals(o, c) && !o.IsRemoved)}\nnr_dying_descendants {c.Dying}\n"),
            "memory.stat" => CgroupStatText.Of(c),
            "memory.numa_stat" => CgroupStatText.ByNode(c),
            "memory.pressure" => c.IsRoot ? c.Tree.Machine.Pressure.Text : c.Pressure.Text,
            _ when c.IsRoot => null,
            "memory.current" or V1 + "usage_in_bytes" => Number(c.CurrentBytes),
            "memory.peak" or V1 + "max_usage_in_bytes" => Number(c.PeakBytes),
            "memory.min" => Limit(c.MinPages),
            "memory.low" => Limit(c.LowPages),
            "memory.high" => Limit(c.Memory.High),
            "memory.max" => Limit(c.Memory.Max),
            "memory.events" => Events(c.EventsOf, rows),
            "memory.events.local" => Events(c.LocalEventsOf, rows),
            "memory.oom.group" => c.OomGroup ? "1\n" : "0\n",
            "memory.swap.current" => Number(c.SwapBytes),
            "memory.swap.high" => Limit(c.Swap.High),
            "memory.swap.max" => Limit(c.Swap.Max),
            "memory.swap.peak" when rows >= RowSet.Of6_12 => Number(c.Swap.Peak << PageGeometry.PageShift),
            "memory.swap.events" => string.Create(CultureInfo.InvariantCulture, $"high {c.EventsOf(CgroupEvent.SwapHigh)}\nmax {c.EventsOf(CgroupEvent.SwapMax)}\nfail {c.EventsOf(CgroupEvent.SwapFail)}\n"),
            "memory.zswap.current" => Number(c.CompressedBytesBelow),
            "memory.zswap.max" => Limit(c.ZswapMax),
            "memory.zswap.writeback" when c.Tree.Machine.Personality.CompressedMemory.ZswapByCgroup => c.ZswapWriteback ? "1\n" : "0\n",
            V1 + "limit_in_bytes" => Number(c.Memory.Max << PageGeometry.PageShift),
            V1 + "failcnt" => Number(c.Memory.Failures),
            _ => null,
        };
    }

    /// <summary>Writes a file.</summary>
    public static Errno Write(Cgroup c, string file, string text, Cpu cpu)
    {
        string value = text.Trim();
        switch (file)
        {
            case "cgroup.procs":
                return Enter(c, value);
            case "cpuset.mems" when !c.IsRoot:
                return c.SetNodes(value);
            case "memory.reclaim":
                return Reclaim(c, value, cpu);
            case "cgroup.kill" when !c.IsRoot:
                return Kill(c, value, cpu);
            case "memory.oom.group" when !c.IsRoot:
                c.OomGroup = value == "1";
                return value is "0" or "1" ? Errno.None : Errno.EINVAL;
            case "memory.zswap.writeback" when Read(c, file) is not null:
                c.ZswapWriteback = value == "1" || (value != "0" && c.ZswapWriteback);
                return value is "0" or "1" ? Errno.None : Errno.EINVAL;
            case V1 + "max_usage_in_bytes" when !c.IsRoot:
                c.Memory.Peak = c.Memory.Usage;
                return Errno.None;
            case V1 + "failcnt" when !c.IsRoot:
                c.Memory.Failures = 0;
                return Errno.None;
        }

        if (c.IsRoot || Read(c, file) is null)
        {
            return Errno.ENOENT;
        }

        if (!TryPages(value, file.StartsWith(V1, StringComparison.Ordinal) && file.Contains("_in_bytes", StringComparison.Ordinal) ? "-1" : NoLimit, out long pages))
        {
            return Errno.EINVAL;
        }

        return SetLimit(c, file, pages, cpu);
    }

    private const string V1 = "memory.";

    private static Errno SetLimit(Cgroup c, string file, long pages, Cpu cpu)
    {
        switch (file)
        {
            case "memory.min":
                c.MinPages = pages;
                return Errno.None;
            case "memory.low":
                c.LowPages = pages;
                return Errno.None;
            case "memory.high":
                c.SetHigh(pages, cpu);
                return Errno.None;
            case "memory.max":
                c.SetMax(pages, cpu);
                return Errno.None;
            case V1 + "limit_in_bytes":
                return c.TrySetLimit(pages, cpu);
            case "memory.swap.high":
                c.Swap.High = pages;
                return Errno.None;
            case "memory.swap.max":
                c.Swap.Max = pages;
                return Errno.None;
            case "memory.zswap.max":
                c.ZswapMax = pages;
                return Errno.None;
            default:
                return Errno.EINVAL;
        }
    }

    /// <summary>Reads an amount as the kernel's <c>memparse()</c> does: digits and a suffix; rounded down to pages.</summary>
    private static bool TryPages(string text, string noLimit, out long pages)
    {
        pages = PageCounter.Unlimited;
        if (text == noLimit)
        {
            return true;
        }

        int shift = text.Length == 0 ? -1 : char.ToUpperInvariant(text[^1]) switch
        {
            'K' => 10,
            'M' => 20,
            'G' => 30,
            'T' => 40,
            >= '0' and <= '9' => 0,
            _ => -1,
        };
        if (shift < 0 || !ulong.TryParse(shift == 0 ? text : text[..^1], NumberStyles.None, CultureInfo.InvariantCulture, out ulong amount))
        {
            return false;
        }

        UInt128 bytes = (UInt128)amount << shift;
        pages = (long)UInt128.Min(bytes >> PageGeometry.PageShift, (ulong)PageCounter.Unlimited);
        return true;
    }

    private static Errno Enter(Cgroup c, string value)
    {
        if (!int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out int pid))
        {
            return Errno.EINVAL;
        }

        if (c.IsRemoved)
        {
            return Errno.ENODEV;
        }

        if (c.Tree.Machine.Processes.Find(pid) is not { } process)
        {
            return Errno.ESRCH;
        }

        process.Cgroup = c;
        return Errno.None;
    }

    private static Errno Kill(Cgroup c, string value, Cpu cpu)
    {
        if (value != "1")
        {
            return Errno.EINVAL;
        }

        foreach (Process process in c.Tree.Machine.Processes.Where(p => c.Tree.Of(p.CgroupId).IsBelow(c)).ToList())
        {
            process.Kill(cpu);
        }

        return Errno.None;
    }

    private static Errno Reclaim(Cgroup c, string value, Cpu cpu)
    {
        string[] words = value.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        if (words.Length == 0 || !TryPages(words[0], "", out long pages))
        {
            return Errno.EINVAL;
        }

        int? swappiness = null;
        foreach (string word in words.AsSpan(1))
        {
            if (!c.Tree.Rules.ReclaimTakesSwappiness || !word.StartsWith("swappiness=", StringComparison.Ordinal))
            {
                return Errno.EINVAL;
            }

            string wanted = word["swappiness=".Length..];
            if (wanted == "max" && c.Tree.Rules.ReclaimTakesOnlyAnon)
            {
                swappiness = CgroupTree.OnlyAnonymous;
            }
            else if (int.TryParse(wanted, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number <= 200)
            {
                swappiness = number;
            }
            else
            {
                return Errno.EINVAL;
            }
        }

        return c.ReclaimFor(cpu, pages, swappiness);
    }

    private static string Events(Func<CgroupEvent, long> of, RowSet rows)
    {
        StringBuilder text = new();
        text.Append(CultureInfo.InvariantCulture, $"low {of(CgroupEvent.Low)}\nhigh {of(CgroupEvent.High)}\nmax {of(CgroupEvent.Max)}\n");
        text.Append(CultureInfo.InvariantCulture, $"oom {of(CgroupEvent.Oom)}\noom_kill {of(CgroupEvent.OomKill)}\noom_group_kill {of(CgroupEvent.OomGroupKill)}\n");
        return text.Append(rows >= RowSet.Of6_18 ? "sock_throttled 0\n" : "").ToString();
    }

    private static string Limit(long pages) => pages == PageCounter.Unlimited ? NoLimit + "\n" : Number(pages << PageGeometry.PageShift);

    private static string Number(long value) => value.ToString(CultureInfo.InvariantCulture) + "\n";

    private static string Lines(IEnumerable<int> numbers) => string.Concat(numbers.Select(number => Number(number)));
}
