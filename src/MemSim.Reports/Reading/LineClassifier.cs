namespace MemSim.Reports.Reading;

/// <summary>Says what a line is from the words the kernel uses, wherever in the line they stand.</summary>
internal static class LineClassifier
{
    private static readonly HashSet<string> TotalNames = new(StringComparer.Ordinal)
    {
        "active_anon", "Active_anon", "inactive_anon", "isolated_anon", "active_file", "inactive_file", "isolated_file", "unevictable", "dirty", "writeback", "unstable",
        "slab_reclaimable", "slab_unreclaimable", "slab", "mapped", "shmem", "pagetables", "sec_pagetables", "bounce", "kernel_misc_reclaimable", "free", "free_pcp",
        "free_cma", "Active", "active", "inactive", "Inactive", "zspages", "isolated",
    };

    private static readonly string[] ClosingWords =
    [
        "total pagecache pages", "pages in swap cache", "pages swap cached", "Swap cache", "Free swap", "Total swap", "pages RAM", "pages of RAM", "pages of HIGHMEM", "pages HighMem",
        "pages reserved", "reserved pages", "pages cma reserved", "pages hwpoisoned", "pages shared", "pages non-shared", "pages in page table cache", "free buffer pages", "pages swapcached",
        "pages dirty", "pages writeback", "pages mapped", "pages slab", "pages pagetables", "Memory cgroup min protection", "Node memory in pages", "Free pages:", "Total of", "Buffer memory:", "Buffer heads",
        "total network buffer pages", "pages of slabcache", "pages of page tables", "pagetable cache",
        "ION heap", "Memory allocations:", "Memory allocations (", "CMA: ", "pages highmem", "slab pages", "tree-hugepages", "K available (", "k available (", "page ext allocation failure",
    ];

    private static readonly string[] TraceWords =
    [
        "Call Trace", "Call trace", "Call-trace", "call trace", "Backtrace", "Stack:", "Stack :", "Stack from", "mon>", "enter ? for help", "current = 0x", "paca    = 0x", "pid   = ", "msr = ", "pc  = ", "lr  = ", "ctr = ", "Vector: ", "<TASK>", "</TASK>", "<IRQ>", "</IRQ>", "<NMI>", "<EOI>", "<EOE>", "Hardware name:", "Workqueue:", "Modules linked in", "Tainted: [", "RIP:", "EIP:", "RSP:",
        "RAX:", "RDX:", "RBP:", "R10:", "R13:", "FS:", "CR2:", "CS:", "DR0:", "DR3:", "EAX:", "ESI:", "EBP:", "EFLAGS", "Code:", "Code :", "ORIG_RAX", "psr:", "pc : ", "lr : ", "sp : ", "pstate:", "pstate :", "x29:", "x26:", "x23:", "x20:", "x17:", "x14:", "x11:", "x8 :", "x5 :", "x2 :",
        "bsp=", "(unwind_backtrace)", "[unwind_backtrace", "show_stack", "dump_stack", "Exception stack", "--- interrupt", "---[ end trace", "---[ cut here", "[ cut here", "Instruction dump", "NIP ", "NIP:", "REGS:", "MSR:", "GPR0", "LR [", "Last Breaking-Event-Address", "Krnl PSW", "User PSW", "Krnl Code", "Krnl GPRS", "Process ", "task: ", "Unable to handle",
        "warn_alloc", "WARNING: ", "stack backtrace", "syscall_call", "Exception", "epc :", "ra : ", "badaddr", "Fixed by", " from ",
    ];

    private static readonly System.Buffers.SearchValues<string> ClosingSearch = System.Buffers.SearchValues.Create(ClosingWords, StringComparison.Ordinal);
    private static readonly System.Buffers.SearchValues<string> TraceSearch = System.Buffers.SearchValues.Create(TraceWords, StringComparison.Ordinal);

    // One look for what every line of a head or body has: most lines of a log have none of it.
    private static readonly System.Buffers.SearchValues<string> HeadSearch = System.Buffers.SearchValues.Create(
        ["allocation failure", "allocation stalls", "oom-killer", "vmalloc error", "vmap allocation", "vmalloc size", "Allocation of length", "Unable to allocate memory", "how Memory", "how memory", "alloc failed"], StringComparison.Ordinal);

    private static readonly System.Buffers.SearchValues<string> BodySearch = System.Buffers.SearchValues.Create(
        [
            "suppressed", "printk messages", "[]", "free:", "kB", "Node", "Mem-", "hugepages", "oom-kill:", "oom_reaper:", "ill process", "illed process", "ut of memory", "ut of Memory", "Kernel panic", "are going to be killed", "emory cgroup stats", "owmemorykiller", "on behalf of '", "kB above reserved", "is below limit", "Manual OOM", "free of", "free pages", "Memory allocations", "MiB", "KiB", " func:", "size ", ".c:", ".h:", ".S:",
            "limit of", "per-cpu:", "btch:", "hi:", "cpu ", "ainted", "CPU:", "Linux version", "id:", "cpuset=", "total_vm", "asks state", "lab info", "Used", "cache: ", "node ", "number of available", "min order", "DMA", "Normal:", "HighMem:", "Movable:", "Device:",
        ],
        StringComparison.Ordinal);

    /// <summary>What a line is.</summary>
    /// <param name="t">Its text, without prefixes.</param>
    public static LineKind Of(ReadOnlySpan<char> t)
    {
        ReadOnlySpan<char> trimmed = t.Trim(" \t.*-=~`\u00a0");
        if (trimmed.IsEmpty)
        {
            return t.IndexOfAnyExcept(" \t`\u00a0") < 0 ? LineKind.Blank : LineKind.Cut;
        }

        if (trimmed.Length <= 24 && (trimmed.SequenceEqual("[...]") || trimmed.SequenceEqual("snip") || trimmed.SequenceEqual("<snip>") || trimmed.SequenceEqual("[snip]") || trimmed.SequenceEqual("...") || trimmed.SequenceEqual("[…]") || trimmed.SequenceEqual("…")))
        {
            return LineKind.Cut;
        }

        LineKind head = HeadOf(t);
        if (head != LineKind.Other)
        {
            return head;
        }

        LineKind body = BodyOf(t);
        return body != LineKind.Other ? body : TailOf(t, trimmed);
    }

    private static LineKind HeadOf(ReadOnlySpan<char> t)
    {
        if (t.IndexOfAny(HeadSearch) < 0)
        {
            return LineKind.Other;
        }

        if (Has(t, "allocation failure"))
        {
            if (Has(t, "page allocation failure") && Has(t, "order"))
            {
                return IsMailHeader(t) ? LineKind.Other : LineKind.AllocationFailureHead;
            }

            if (Has(t, "vmalloc: allocation failure"))
            {
                return LineKind.VmallocHead;
            }
        }

        if (Has(t, "page allocation stalls for") && Has(t, "order:"))
        {
            return IsMailHeader(t) ? LineKind.Other : LineKind.StallHead;
        }

        if (Has(t, "oom-killer") && Has(t, "invoked"))
        {
            return IsMailHeader(t) ? LineKind.Other : LineKind.OomHead;
        }

        if (Has(t, "vmalloc error") || (Has(t, "vmap allocation for size") && Has(t, "failed")) || Has(t, "vmalloc size") && Has(t, "allocation failure"))
        {
            return LineKind.VmallocHead;
        }

        if (Has(t, "Allocation of length") && Has(t, "failed"))
        {
            return LineKind.NoMmuHead;
        }

        // In newer kernels the CPU and its node stand before the node asked for.
        if (Has(t, "Unable to allocate memory on node") || Has(t, "Unable to allocate memory on CPU"))
        {
            return LineKind.SlubHead;
        }

        if (Has(t, "Show Memory") || Has(t, "Show memory") || Has(t, "show memory"))
        {
            return Has(t, "SysRq") || Has(t, "sysrq") ? LineKind.ShowMemoryHead : LineKind.Other;
        }

        return Has(t, "alloc failed, req-size") ? LineKind.CmaHead : LineKind.Other;
    }

    /// <summary>The lines of a report's body.</summary>
    private static LineKind BodyOf(ReadOnlySpan<char> t)
    {
        if (t.IndexOfAny(BodySearch) < 0)
        {
            return t.IndexOfAny(ClosingSearch) >= 0 ? LineKind.Closing : LineKind.Other;
        }

        if (Has(t, "callbacks suppressed") || Has(t, "messages suppressed"))
        {
            return LineKind.Suppressed;
        }

        if (Has(t, "printk messages dropped"))
        {
            return LineKind.Cut;
        }

        if (Has(t, "lowmem_reserve[]") || Has(t, "protections[]"))
        {
            return Has(t, " free:") ? LineKind.ZoneLine : LineKind.Reserve;
        }

        if (ZoneText.IsZoneLine(t))
        {
            return LineKind.ZoneLine;
        }

        if (ZoneText.IsFreeList(t, out bool named))
        {
            return named ? LineKind.FreeList : LineKind.ListTail;
        }

        if (ZoneText.IsNodeOnly(t))
        {
            return LineKind.NodeOnly;
        }

        if (Has(t, "Mem-Info") || Has(t, "Mem-info"))
        {
            return LineKind.MemInfoHead;
        }

        if (Has(t, "hugepages_total=") || Has(t, "hugepages_size="))
        {
            return LineKind.HugePages;
        }

        if (Has(t, "oom-kill:constraint") || Has(t, "oom-kill:"))
        {
            return LineKind.OomKill;
        }

        if (Has(t, "oom_reaper:"))
        {
            return LineKind.Reaper;
        }

        if (Has(t, "Kernel panic - not syncing"))
        {
            return LineKind.Closing;
        }

        if (Has(t, "illed process") || Has(t, "ill process") || Has(t, "ut of memory") || Has(t, "ut of Memory") || Has(t, "are going to be killed due to"))
        {
            return LineKind.Killed;
        }

        return CgroupOf(t) is var cgroup && cgroup != LineKind.Other ? cgroup : MachineOf(t);
    }

    private static LineKind CgroupOf(ReadOnlySpan<char> t)
    {
        if (Has(t, "emory cgroup stats"))
        {
            return LineKind.CgroupStats;
        }

        if (Has(t, "usage ") && Has(t, "limit ") && Has(t, "kB") || Has(t, "killed as a result of limit of"))
        {
            return LineKind.CgroupUsage;
        }

        return LineKind.Other;
    }

    private static LineKind MachineOf(ReadOnlySpan<char> t)
    {
        if (Has(t, "per-cpu:"))
        {
            return LineKind.PerCpuHead;
        }

        if (Has(t, "btch:") || (Has(t, "hi:") && Has(t, "usd:")) || (Has(t, "cpu ") && Has(t, "batch ") && (Has(t, " hot:") || Has(t, " cold:"))))
        {
            return LineKind.PerCpuRow;
        }

        if (ZoneText.IsNodeLine(t))
        {
            return LineKind.NodeLine;
        }

        if (Has(t, "Not tainted") || Has(t, "Tainted:") || (Has(t, "CPU:") && Has(t, "Comm:")) || Has(t, "Linux version ") || (Has(t, "Pid:") && Has(t, "comm:")))
        {
            return LineKind.CpuLine;
        }

        if (Has(t, "cpuset=") && Has(t, "mems_allowed="))
        {
            return LineKind.CpusetLine;
        }

        if ((Has(t, "total_vm") && (Has(t, "uid") || Has(t, "pid"))) || Has(t, "Tasks state (memory values") || Has(t, "tasks state"))
        {
            return LineKind.TaskHead;
        }

        if (Has(t, "Unreclaimable slab info") || (Has(t, "Name") && Has(t, "Used") && Has(t, "Total") && t.Length < 80))
        {
            return LineKind.SlabHead;
        }

        if ((Has(t, "cache: ") && Has(t, "object size")) || (Has(t, "node ") && Has(t, "slabs:")) || Has(t, "number of available pages") || (Has(t, "cma:") && Has(t, " free of ") && Has(t, "total pages")) || (Has(t, "for size ") && Has(t, "failed: Address range restricted")) || (Has(t, "debugging increased min order")))
        {
            return LineKind.HeadDetail;
        }

        if (Has(t, "owmemorykiller") || Has(t, "on behalf of '") || Has(t, "kB above reserved") || (Has(t, "cache ") && Has(t, "is below limit")))
        {
            return LineKind.LowMemoryKiller;
        }

        if (Has(t, "Manual OOM execution") || IsAllocationProfile(t) || (Has(t, " free pages") && HeadText.NumberBefore(t, "free pages") is not null))
        {
            return LineKind.Closing;
        }

        if (IsDecodedTrace(t))
        {
            return LineKind.Trace;
        }

        if (t.IndexOfAny(ClosingSearch) >= 0)
        {
            return LineKind.Closing;
        }

        if (t.TrimStart(" \t").StartsWith("Node", StringComparison.Ordinal) && Has(t, "RAM:") && Has(t, "rsvd:"))
        {
            return LineKind.Closing;
        }

        return LineKind.Other;
    }

    /// <summary>A row of the allocation profile that kernels since 6.12 print: <c>38.4 MiB     5505 mm/slub.c:3075 func:alloc_slab_page</c>.</summary>
    private static bool IsAllocationProfile(ReadOnlySpan<char> t) =>
        Has(t, " func:") && (Has(t, "iB ") || Has(t, " B ")) && !t.TrimStart(" \t").IsEmpty && char.IsAsciiDigit(t.TrimStart(" \t")[0]);

    /// <summary>A line of a trace with its place in the source: <c>ret_from_fork (arch/x86/kernel/process.c:153)</c>.</summary>
    private static bool IsDecodedTrace(ReadOnlySpan<char> t)
    {
        int open = t.IndexOf(" (");
        return open > 0 && t.TrimEnd(" )").Length < t.TrimEnd(' ').Length && (Has(t, ".c:") || Has(t, ".h:") || Has(t, ".S:")) && t[..open].TrimStart(" ?").IndexOf(' ') < 0;
    }

    /// <summary>Rows that only their shape tells.</summary>
    private static LineKind TailOf(ReadOnlySpan<char> t, ReadOnlySpan<char> trimmed)
    {
        if (TaskText.IsRow(trimmed))
        {
            return LineKind.TaskRow;
        }

        Figures figures = new(t);
        if (figures.Next())
        {
            bool known = TotalNames.Contains(figures.Name.ToString());
            if (known && !figures.IsKiB)
            {
                return LineKind.Totals;
            }

            if (figures.IsKiB && Has(t, "kB") && t.IndexOf(figures.Name, StringComparison.Ordinal) <= 4)
            {
                return Has(t, ": ") && !known && t.Count(':') == 1 ? LineKind.MemInfoFile : LineKind.FigureTail;
            }
        }

        if (IsMemInfoFile(trimmed))
        {
            return LineKind.MemInfoFile;
        }

        if (TaskText.IsSlabRow(trimmed))
        {
            return LineKind.SlabRow;
        }

        if (TaskText.IsStatRow(trimmed))
        {
            return LineKind.CgroupStatRow;
        }

        return IsTrace(t, trimmed) ? LineKind.Trace : LineKind.Other;
    }

    private static bool IsMemInfoFile(ReadOnlySpan<char> t)
    {
        int colon = t.IndexOf(':');
        return colon is > 2 and < 24 && t.EndsWith("kB", StringComparison.Ordinal) && t[..colon].IndexOf(' ') < 0 && t[(colon + 1)..^2].Trim(' ') is { IsEmpty: false } number && number.IndexOfAnyExceptInRange('0', '9') < 0;
    }

    private static bool IsTrace(ReadOnlySpan<char> t, ReadOnlySpan<char> trimmed)
    {
        // function+0x12/0x34, [<c0123456>] or a row of words of the stack
        int plus = t.IndexOf("+0x");
        if (plus > 0 && t[plus..].IndexOf('/') > 0)
        {
            return true;
        }

        if (trimmed.StartsWith("[<", StringComparison.Ordinal) || (trimmed.StartsWith("[", StringComparison.Ordinal) && Has(trimmed, "+") && Has(trimmed, "/") && Has(trimmed, "]")))
        {
            return true;
        }

        // Registers as xmon writes them: "R01 = c0000001e1663550"
        if (trimmed.Length > 8 && trimmed[0] == 'R' && char.IsAsciiDigit(trimmed[1]) && char.IsAsciiDigit(trimmed[2]) && trimmed[3..].StartsWith(" = ", StringComparison.Ordinal))
        {
            return true;
        }

        return t.IndexOfAny(TraceSearch) >= 0 || IsStackWords(trimmed);
    }

    /// <summary>Rows of a stack dump: nothing but hexadecimal words of at least eight digits, perhaps with an address before.</summary>
    private static bool IsStackWords(ReadOnlySpan<char> text)
    {
        int words = 0;
        foreach (Range range in text.SplitAny(" \t>"))
        {
            ReadOnlySpan<char> word = text[range].Trim("()[]:>,");
            if (word.IsEmpty)
            {
                continue;
            }

            if (word.Length < 4 || !IsHex(word))
            {
                return false;
            }

            words++;
        }

        return words >= 2 || (words == 1 && text.Length >= 8);
    }

    private static bool IsHex(ReadOnlySpan<char> word)
    {
        foreach (char c in word)
        {
            if (!char.IsAsciiHexDigit(c))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>The subject of a mail is no line of a log.</summary>
    private static bool IsMailHeader(ReadOnlySpan<char> t)
    {
        ReadOnlySpan<char> start = t.TrimStart(" \t");
        return start.StartsWith("Subject:", StringComparison.Ordinal) || start.StartsWith("Re:", StringComparison.Ordinal) || start.StartsWith("[PATCH", StringComparison.Ordinal) || start.StartsWith("title:", StringComparison.OrdinalIgnoreCase)
            || start.StartsWith("# ", StringComparison.Ordinal);
    }

    private static bool Has(ReadOnlySpan<char> text, string word) => text.IndexOf(word, StringComparison.Ordinal) >= 0;
}
