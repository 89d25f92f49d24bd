using System.Globalization;

namespace MemSim.Reports.Reading;

/// <summary>Reads files of <c>/proc</c> of kernels of any age into a report.</summary>
internal static class ProcFiles
{
    /// <summary>Figures of zoneinfo that count pages, and what reports call them.</summary>
    private static readonly Dictionary<string, string> Names = new(StringComparer.Ordinal)
    {
        ["min"] = "min",
        ["low"] = "low",
        ["high"] = "high",
        ["boost"] = "boost",
        ["present"] = "present",
        ["managed"] = "managed",
        ["spanned"] = "spanned",
        ["reserved_highatomic:"] = "reserved_highatomic",
        ["free_highatomic:"] = "free_highatomic",
        ["nr_free_cma"] = "free_cma",
        ["nr_zone_active_anon"] = "active_anon",
        ["nr_zone_inactive_anon"] = "inactive_anon",
        ["nr_zone_active_file"] = "active_file",
        ["nr_zone_inactive_file"] = "inactive_file",
        ["nr_active_anon"] = "active_anon",
        ["nr_inactive_anon"] = "inactive_anon",
        ["nr_active_file"] = "active_file",
        ["nr_inactive_file"] = "inactive_file",
        ["active"] = "active",
        ["inactive"] = "inactive",
        ["nr_slab_reclaimable"] = "slab_reclaimable",
        ["nr_slab_unreclaimable"] = "slab_unreclaimable",
    };

    /// <summary>Figures of meminfo that make totals of a report.</summary>
    private static readonly (string MemInfo, string Total)[] Totals =
    [
        ("Active(anon)", "active_anon"), ("Inactive(anon)", "inactive_anon"), ("Active(file)", "active_file"), ("Inactive(file)", "inactive_file"), ("Unevictable", "unevictable"),
        ("SReclaimable", "slab_reclaimable"), ("SUnreclaim", "slab_unreclaimable"), ("PageTables", "pagetables"), ("MemFree", "free"), ("CmaFree", "free_cma"),
    ];

    private static readonly Dictionary<string, char> Letters = new(StringComparer.Ordinal)
    {
        ["Unmovable"] = 'U',
        ["Movable"] = 'M',
        ["Reclaimable"] = 'E',
        ["HighAtomic"] = 'H',
        ["CMA"] = 'C',
        ["Isolate"] = 'I',
        ["Reserve"] = 'R',
    };

    public static void MemInfo(KernelReport report, string? text)
    {
        foreach (string line in (text ?? "").Split('\n'))
        {
            int colon = line.IndexOf(':', StringComparison.Ordinal);
            if (colon > 0 && HeadText.Number(line.AsSpan(colon + 1)) is { } kib && report.MemInfo.Count < 256)
            {
                report.MemInfo.TryAdd(line[..colon].Trim(), kib);
            }
        }

        if (report.MemInfo.TryGetValue("SwapTotal", out long swap))
        {
            report.Closing["swap total"] = swap;
            report.Closing["swap free"] = report.MemInfo.TryGetValue("SwapFree", out long free) ? free : 0;
        }

        if (report.MemInfo.TryGetValue("HugePages_Total", out long pool) && report.MemInfo.TryGetValue("Hugepagesize", out long size))
        {
            // A line of newer kernels counts pools of every size; the unused pages are those of the default size alone.
            long pages = Math.Clamp(size, 0, 1L << 26);
            report.Closing["hugetlb"] = report.MemInfo.TryGetValue("Hugetlb", out long all) ? Math.Clamp(all, 0, long.MaxValue >> 24) : Math.Clamp(pool, 0, 1L << 32) * pages;
            report.Closing["hugetlb free"] = report.MemInfo.TryGetValue("HugePages_Free", out long unused) ? Math.Clamp(unused, 0, 1L << 32) * pages : 0;
        }
    }

    public static void ZoneInfo(KernelReport report, string text, string file, int pageKiB)
    {
        ReportedZone? zone = null;
        bool inPageSets = false;
        (long high, bool sixfold, bool other) = (0, false, false);
        string[] lines = text.Split('\n');
        for (int i = 0; i < lines.Length; i++)
        {
            string[] words = lines[i].Split([' ', '\t', ','], StringSplitOptions.RemoveEmptyEntries);
            if (words is ["Node", _, "zone", _])
            {
                zone = new ReportedZone(Number(words[1], file, i) is var node && node <= int.MaxValue ? (int)node : 0, words[3]);
                report.Zones.Add(zone);
                inPageSets = false;
                continue;
            }

            if (words.Length == 0 || zone is null)
            {
                continue;
            }

            if (Sign(words) is { } sign)
            {
                report.ProcSigns.Add(sign);
            }

            if (words[0] == "pagesets")
            {
                inPageSets = true;
            }
            else if (words is ["pages", "free", var free])
            {
                zone.Figures["free"] = Number(free, file, i) * pageKiB;
            }
            else if (words[0] == "protection:")
            {
                zone.LowmemReserve = [.. words.Skip(1).Select(w => Number(w.Trim('(', ')'), file, i))];
            }
            else if (inPageSets && words is ["count:", var count])
            {
                zone.PerCpuPages = (zone.PerCpuPages ?? 0) + Number(count, file, i);
            }
            else if (inPageSets && words is ["high:", var limit])
            {
                high = Number(limit, file, i);
            }
            else if (inPageSets && words is ["batch:", var size])
            {
                long batch = Number(size, file, i);
                (sixfold, other) = (sixfold || (batch > 1 && high == 6 * batch), other || (high != 6 * batch && (high, batch) != (0, 1)));
            }
            else if (!inPageSets && words.Length == 2 && Names.TryGetValue(words[0], out string? name))
            {
                zone.Figures.TryAdd(name, Number(words[1], file, i) * pageKiB);
            }
        }

        if (sixfold && !other)
        {
            report.ProcSigns.Add("sixfold");
        }

        foreach ((string from, string to) in Totals)
        {
            if (report.MemInfo.TryGetValue(from, out long kib))
            {
                report.Totals[to] = kib / pageKiB;
            }
        }

        if (report.MemInfo.TryGetValue("MemTotal", out long total))
        {
            (report.Closing["ram"], report.Closing["reserved"]) = (total / pageKiB, 0);
        }
    }

    /// <summary>What only some kernels write.</summary>
    private static string? Sign(string[] words) => words switch
    {
        ["cpu:", _, "pcp:", "1"] => "hot and cold lists",
        ["scanned", ..] => "scanned",
        ["per-node", "stats"] => "per-node stats",
        _ => null,
    };

    public static void BuddyInfo(KernelReport report, string text, string file, int pageKiB)
    {
        string[] lines = text.Split('\n');
        for (int i = 0; i < lines.Length; i++)
        {
            string[] words = lines[i].Split([' ', '\t', ','], StringSplitOptions.RemoveEmptyEntries);
            if (words is not ["Node", var node, "zone", var name, ..])
            {
                continue;
            }

            ReportedZone zone = Zone(report, (int)Math.Min(int.MaxValue, Number(node, file, i)), name);
            List<FreeBlocks> blocks = [];
            foreach (string count in words.Skip(4).Take(32))
            {
                blocks.Add(new FreeBlocks(blocks.Count, (long)pageKiB << blocks.Count, Number(count, file, i), null));
            }

            zone.Blocks = blocks;
            zone.ListTotalKiB = blocks.Sum(b => b.KiB * b.Count);
        }

        // buddyinfo leaves zones without memory out.
        foreach (ReportedZone zone in report.Zones)
        {
            if (zone.Blocks is null && zone.KiB("free") == 0)
            {
                (zone.Blocks, zone.ListTotalKiB) = ([], 0);
            }
        }
    }

    public static void PageTypeInfo(KernelReport report, string text, int pageKiB)
    {
        long pagesPerBlock = 0;
        string[] blockTypes = [];
        foreach (string line in text.Split('\n'))
        {
            string[] words = line.Split([' ', '\t', ','], StringSplitOptions.RemoveEmptyEntries);
            switch (words)
            {
                case ["Pages", "per", "block:", var count]:
                    _ = long.TryParse(count, NumberStyles.None, CultureInfo.InvariantCulture, out pagesPerBlock);
                    break;
                case ["Node", var node, "zone", var name, "type", var type, .. var counts] when Letters.TryGetValue(type, out char letter) && int.TryParse(node, out int id):
                    Types(Zone(report, id, name), letter, counts, pageKiB);
                    break;
                case ["Number", "of", "blocks", "type", .. var types]:
                    blockTypes = types;
                    foreach (string type in types.Where(t => t is "HighAtomic" or "Reserve"))
                    {
                        report.ProcSigns.Add(type);
                    }

                    break;
                case ["Node", var node, "zone", var name, .. var counts] when blockTypes.Length != 0 && int.TryParse(node, out int id):
                    int high = Array.IndexOf(blockTypes, "HighAtomic");
                    if (high >= 0 && high < counts.Length && long.TryParse(counts[high], NumberStyles.None, CultureInfo.InvariantCulture, out long reserved) && pagesPerBlock is > 0 and < 1 << 20 && reserved < 1 << 30)
                    {
                        // What reports of 5.5 and later print is the same number in KiB.
                        Zone(report, id, name).Figures.TryAdd("reserved_highatomic", reserved * pagesPerBlock * pageKiB);
                    }

                    break;
            }
        }
    }

    public static void SlabInfo(KernelReport report, string? text, int pageKiB)
    {
        foreach (string line in (text ?? "").Split('\n'))
        {
            // name active_objs num_objs objsize objperslab pagesperslab : tunables ... : slabdata active_slabs num_slabs
            string[] words = line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
            if (words.Length >= 16 && words[6] == ":" && long.TryParse(words[14], out long slabs) && long.TryParse(words[5], out long pages) && long.TryParse(words[1], out long active) && long.TryParse(words[3], out long size)
                && report.SlabCaches.Count < 4096 && slabs is >= 0 and < 1L << 32 && pages is > 0 and <= 1 << 16 && active is >= 0 and < 1L << 32 && size is > 0 and < 1L << 30)
            {
                report.SlabCaches.Add((words[0], active * size >> 10, slabs * pages * pageKiB));
            }
        }
    }

    private static void Types(ReportedZone zone, char letter, string[] counts, int pageKiB)
    {
        Dictionary<char, long[]> byType = zone.BlocksByType is null ? [] : new(zone.BlocksByType);

        // Since 5.4 counting stops at 100,000 and says so.
        long[] numbers = [.. counts.Take(32).Select(c => long.TryParse(c.TrimStart('>'), NumberStyles.None, CultureInfo.InvariantCulture, out long count) ? count : 0)];
        byType[letter] = numbers;
        zone.BlocksByType = byType;
        List<FreeBlocks> blocks = [];
        for (int order = 0; order < numbers.Length; order++)
        {
            FreeBlocks before = zone.Blocks is { } old && order < old.Count ? old[order] : new FreeBlocks(order, (long)pageKiB << order, byType.Values.Sum(v => order < v.Length ? v[order] : 0), null);
            blocks.Add(numbers[order] == 0 ? before : before with { Types = (before.Types ?? "") + letter });
        }

        zone.Blocks = blocks;
        zone.ListTotalKiB ??= blocks.Sum(b => b.KiB * b.Count);
    }

    private static ReportedZone Zone(KernelReport report, int node, string name)
    {
        if (report.Zone(node, name) is { } known)
        {
            return known;
        }

        ReportedZone zone = new(node, name);
        report.Zones.Add(zone);
        return zone;
    }

    private static long Number(string text, string file, int line) =>
        long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out long number) && number < 1L << 52
            ? number
            : throw new FormatException($"{file}({line + 1}): '{text}' is not a number of pages");
}
