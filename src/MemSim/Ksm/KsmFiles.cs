using System.Globalization;
using MemSim.Kernels;

namespace MemSim.Ksm;

/// <summary>The files of <c>/sys/kernel/mm/ksm</c> and which kernels have them.</summary>
internal static class KsmFiles
{
    public static IReadOnlyList<string> Names(KsmRules rules)
    {
        List<string> names =
        [
            "full_scans", "max_page_sharing", "merge_across_nodes", "pages_shared", "pages_sharing", "pages_to_scan", "pages_unshared", "pages_volatile", "run", "sleep_millisecs",
            "stable_node_chains", "stable_node_chains_prune_millisecs", "stable_node_dups", "use_zero_pages",
        ];
        names.AddRange(rules.MergesProcesses ? ["general_profit", "pages_scanned"] : []);
        names.AddRange(rules.CountsZeroPages ? ["ksm_zero_pages"] : []);
        names.AddRange(rules.SkipsPages ? ["pages_skipped", "smart_scan"] : []);
        names.AddRange(rules.HasAdvisor ? ["advisor_max_cpu", "advisor_max_pages_to_scan", "advisor_min_pages_to_scan", "advisor_mode", "advisor_target_scan_time"] : []);
        names.Sort(StringComparer.Ordinal);
        return names;
    }

    public static string Read(KsmSettings ksm, string file)
    {
        Check(ksm, file);
        switch (file)
        {
            case "advisor_mode":
                return ksm.Advises ? "none [scan-time]" : "[none] scan-time";
            case "advisor_max_cpu":
                return Text(ksm.Advisor.MaxCpu);
            case "advisor_max_pages_to_scan":
                return Text(ksm.Advisor.MaxPages);
            case "advisor_min_pages_to_scan":
                return Text(ksm.Advisor.MinPages);
            case "advisor_target_scan_time":
                return Text(ksm.Advisor.TargetSeconds);
        }

        return KsmSettings.Text(file switch
        {
            "full_scans" => ksm.FullScans,
            "general_profit" => ksm.GeneralProfit,
            "ksm_zero_pages" => ksm.ZeroPages,
            "max_page_sharing" => ksm.MaxPageSharing,
            "merge_across_nodes" => ksm.MergeAcrossNodes ? 1 : 0,
            "pages_scanned" => ksm.PagesScanned,
            "pages_shared" => ksm.PagesShared,
            "pages_sharing" => ksm.PagesSharing,
            "pages_skipped" => ksm.PagesSkipped,
            "pages_to_scan" => ksm.PagesToScan,
            "pages_unshared" => ksm.PagesUnshared,
            "pages_volatile" => ksm.PagesVolatile,
            "run" => (int)ksm.Run,
            "sleep_millisecs" => (long)ksm.Sleep.TotalMilliseconds,
            "smart_scan" => ksm.SmartScan ? 1 : 0,
            "stable_node_chains" => ksm.StableNodeChains,
            "stable_node_chains_prune_millisecs" => (long)ksm.ChainsPrune.TotalMilliseconds,
            "stable_node_dups" => ksm.StableNodeDups,
            _ => ksm.UseZeroPages ? 1 : 0,
        });
    }

    public static void Write(KsmSettings ksm, string file, string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        Check(ksm, file);
        text = text.EndsWith('\n') ? text[..^1] : text;
        if (file == "advisor_mode")
        {
            ksm.Advises = text switch { "none" => false, "scan-time" => true, _ => throw Refused(file, text) };
            return;
        }

        // A plus may stand before a number.
        if (!ulong.TryParse(text.StartsWith('+') ? text[1..] : text, NumberStyles.None, CultureInfo.InvariantCulture, out ulong number)
            || (number > uint.MaxValue && !file.StartsWith("advisor_", StringComparison.Ordinal)))
        {
            throw Refused(file, text);
        }

        switch (file)
        {
            case "run" when number <= 2:
                ksm.Run = (KsmRun)number;
                break;
            case "pages_to_scan" when !ksm.Advises:
                ksm.PagesToScan = (long)number;
                break;
            case "sleep_millisecs":
                ksm.Sleep = TimeSpan.FromMilliseconds(number);
                break;
            case "stable_node_chains_prune_millisecs":
                ksm.ChainsPrune = TimeSpan.FromMilliseconds(number);
                break;
            case "max_page_sharing" when number is >= 2 and <= int.MaxValue:
                ksm.MaxPageSharing = (int)number;
                break;
            case "merge_across_nodes" when number <= 1:
                ksm.MergeAcrossNodes = number == 1;
                break;
            case "use_zero_pages" when number <= 1:
                ksm.UseZeroPages = number == 1;
                break;
            case "smart_scan" when number <= 1:
                ksm.SmartScan = number == 1;
                break;
            case "advisor_max_cpu":
                ksm.Advisor.MaxCpu = unchecked((uint)number);
                break;
            case "advisor_max_pages_to_scan":
                ksm.Advisor.MaxPages = number;
                break;
            case "advisor_min_pages_to_scan":
                ksm.Advisor.MinPages = number;
                break;
            case "advisor_target_scan_time" when number != 0:
                ksm.Advisor.TargetSeconds = number;
                break;
            default:
                throw Refused(file, text);
        }
    }

    private static string Text(ulong number) => number.ToString(CultureInfo.InvariantCulture);

    private static ArgumentException Refused(string file, string text) => new($"ksm/{file}: '{text}' is refused (EINVAL), or the file cannot be written", nameof(text));

    private static void Check(KsmSettings ksm, string file)
    {
        if (!ksm.Files.Contains(file))
        {
            throw new ArgumentException($"/sys/kernel/mm/ksm has no file '{file}' (ENOENT)", nameof(file));
        }
    }
}
