using System.Globalization;

namespace MemSim.Captures;

/// <summary>Memory that the kernel gave to a zone only after it had computed its figures for the first time.</summary>
/// <param name="What">What it held, in the kernel's words.</param>
/// <param name="Pages">How much, in pages.</param>
/// <param name="First">The first frame of where it lay, null where the log does not say.</param>
/// <param name="Last">The last frame of where it lay, null where the log does not say.</param>
internal sealed record LateFree(string What, long Pages, Pfn? First, Pfn? Last);

/// <summary>What a boot log tells about the moments at which memory reached the zones.</summary>
internal sealed class BootLog
{
    private readonly string[] _lines;

    private BootLog(string[] lines)
    {
        _lines = lines;
    }

    /// <summary>The kernel's first line, null where the log does not begin with the boot.</summary>
    public string? Version => _lines.FirstOrDefault(l => l.Contains("Linux version ", StringComparison.Ordinal));

    /// <summary>The CPUs that came up, null where the log does not say: <c>smp: Brought up 1 node, 4 CPUs</c>.</summary>
    public int? Cpus
    {
        get
        {
            const string Mark = "Brought up ";
            string? line = _lines.FirstOrDefault(l => l.Contains(Mark, StringComparison.Ordinal));
            string? word = line?[line.IndexOf(',', line.IndexOf(Mark, StringComparison.Ordinal))..].Split(' ', StringSplitOptions.RemoveEmptyEntries).ElementAtOrDefault(1);
            return int.TryParse(word, NumberStyles.None, CultureInfo.InvariantCulture, out int cpus) && cpus is > 0 and <= 8192 ? cpus : null;
        }
    }

    /// <summary>The node of each CPU brought up after the first: <c>.... node  #1, CPUs:      #2  #3</c> (x86; other architectures do not say).</summary>
    public IReadOnlyDictionary<int, int> CpuNodes()
    {
        const string Node = "node  #";
        const string Processors = ", CPUs:";
        Dictionary<int, int> nodes = [];
        foreach (string line in _lines)
        {
            int start = line.IndexOf(Node, StringComparison.Ordinal);
            int middle = start < 0 ? -1 : line.IndexOf(Processors, start, StringComparison.Ordinal);
            if (middle < 0 || !TryNumber(line.AsSpan(start + Node.Length, middle - start - Node.Length), out int node))
            {
                continue;
            }

            foreach (string word in line[(middle + Processors.Length)..].Split(' ', StringSplitOptions.RemoveEmptyEntries))
            {
                if (word[0] == '#' && TryNumber(word.AsSpan(1), out int cpu))
                {
                    nodes[cpu] = node;
                }
            }
        }

        return nodes;
    }

    /// <summary>In which order each node's requests go through the nodes: <c>Fallback order for Node 0: 0 1</c>. Empty where the log does not say.</summary>
    public IReadOnlyDictionary<int, IReadOnlyList<int>> NodeFallback()
    {
        const string Mark = "Fallback order for Node ";
        Dictionary<int, IReadOnlyList<int>> orders = [];
        foreach (string line in _lines)
        {
            int start = line.IndexOf(Mark, StringComparison.Ordinal);
            int colon = start < 0 ? -1 : line.IndexOf(':', start);
            if (colon < 0 || !TryNumber(line.AsSpan(start + Mark.Length, colon - start - Mark.Length), out int node))
            {
                continue;
            }

            List<int> order = [];
            foreach (string word in line[(colon + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries))
            {
                if (TryNumber(word, out int next) && !order.Contains(next))
                {
                    order.Add(next);
                }
            }

            orders[node] = order;
        }

        return orders;
    }

    public static BootLog Parse(string text) => new(text.Split('\n'));

    /// <summary>
    /// What was freed late: init sections, gaps of the kernel image and the initramfs, with their frames. Null with a reason where the log does not tell.
    /// </summary>
    /// <param name="iomem">The text of <c>/proc/iomem</c>, which places the kernel image and reserved ranges; may be empty.</param>
    /// <param name="reason">Why it cannot be told.</param>
    /// <param name="alternativesLate">Whether the kernel frees the memory of SMP alternatives late too (7.1, 7.2).</param>
    public List<LateFree>? LateFrees(string iomem, bool alternativesLate, out string? reason)
    {
        var frees = new List<LateFree>();
        List<(string Name, long First, long Last)> ranges = Ranges(iomem);
        Pfn? kernelFirst = Frame(ranges.Find(r => r.Name == "Kernel code").First);
        Pfn? kernelLast = Frame(ranges.FindLast(r => r.Name is "Kernel bss" or "Kernel data").Last);
        bool initSections = false;
        foreach (string line in _lines)
        {
            if (!TryFreed(line, out string what, out long pages))
            {
                continue;
            }

            if (what == "initrd")
            {
                Pfn? first = InitrdStart(ranges, pages);
                frees.Add(new LateFree(what, pages, first, first + Math.Max(pages - 1, 0)));
            }
            else if (what.StartsWith("unused ", StringComparison.Ordinal))
            {
                initSections = true;
                frees.Add(new LateFree(what, pages, kernelFirst, kernelLast));
            }

            else if (what == "SMP alternatives" && alternativesLate)
            {
                frees.Add(new LateFree(what, pages, kernelFirst, kernelLast));
            }
        }

        reason = initSections ? null
            : _lines.All(string.IsNullOrWhiteSpace) ? "without a boot log it is not known how much was freed to the zones after the boot had computed its figures"
            : "the boot log does not say how much was freed to the zones after the boot had computed its figures";
        return initSections ? frees : null;
    }

    private static bool TryNumber(ReadOnlySpan<char> text, out int value) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out value) && value <= 8192;

    private static bool TryFreed(string line, out string what, out long pages)
    {
        what = "";
        pages = 0;
        const string Freeing = "Freeing ";
        const string Memory = " memory: ";
        int start = line.IndexOf(Freeing, StringComparison.Ordinal);
        int middle = start < 0 ? -1 : line.IndexOf(Memory, start, StringComparison.Ordinal);
        int end = middle < 0 ? -1 : line.IndexOf('K', middle + Memory.Length);
        if (end < 0
            || !long.TryParse(line.AsSpan(middle + Memory.Length, end - middle - Memory.Length), NumberStyles.None, CultureInfo.InvariantCulture, out long kib))
        {
            return false;
        }

        what = line[(start + Freeing.Length)..middle];
        pages = kib >> (PageGeometry.PageShift - 10);
        return true;
    }

    private Pfn? InitrdStart(List<(string Name, long First, long Last)> ranges, long pages)
    {
        // x86 moves an initramfs that the direct map does not reach, and frees where it came from at once.
        const string Mark = "RAMDISK: [mem 0x";
        string? line = _lines.LastOrDefault(l => l.Contains(Mark, StringComparison.Ordinal));
        if (line is not null)
        {
            int start = line.IndexOf(Mark, StringComparison.Ordinal) + Mark.Length;
            int dash = line.IndexOf('-', start);
            return dash > 0 && long.TryParse(line.AsSpan(start, dash - start), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out long address)
                ? new PhysicalAddress((ulong)address).Pfn
                : null;
        }

        // arm64 logs no such line; its initramfs is a reserved range of about that size.
        const long Slack = 64 * 1024;
        long bytes = pages << PageGeometry.PageShift;
        var candidates = ranges.FindAll(r => r.Name == "reserved" && r.Last + 1 - r.First >= bytes && r.Last + 1 - r.First <= bytes + Slack);
        return candidates.Count == 1 ? new PhysicalAddress((ulong)candidates[0].First).Pfn : null;
    }

    /// <summary>The frame of an address; none for address 0, which is what an unprivileged reader of iomem sees.</summary>
    private static Pfn? Frame(long address) => address == 0 ? null : new PhysicalAddress((ulong)address).Pfn;

    private static List<(string Name, long First, long Last)> Ranges(string iomem)
    {
        var ranges = new List<(string Name, long First, long Last)>();
        foreach (string line in iomem.Split('\n'))
        {
            int dash = line.IndexOf('-', StringComparison.Ordinal);
            int colon = line.IndexOf(" : ", StringComparison.Ordinal);
            if (dash > 0 && colon > dash
                && long.TryParse(line.AsSpan(0, dash).Trim(), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out long first)
                && long.TryParse(line.AsSpan(dash + 1, colon - dash - 1), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out long last))
            {
                ranges.Add((line[(colon + 3)..].Trim(), first, last));
            }
        }

        return ranges;
    }
}
