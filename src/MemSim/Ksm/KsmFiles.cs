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
        return file == "advisor_mode" ? "[none] scan-time" : KsmSettings.Text(file switch
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
            "use_zero_pages" => ksm.UseZeroPages ? 1 : 0,
            _ => ksm.Advisor[file],
        });
    }

    public static void Write(KsmSettings ksm, string file, string text)
    {
        Check(ksm, file);
        if (file == "advisor_mode")
        {
            if (text?.Trim() != "none")
            {
                throw new ArgumentException($"ksm/advisor_mode: '{text}' is not simulated, only none is", nameof(text));
            }

            return;
        }

        if (!long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out long number) || number > uint.MaxValue)
        {
            throw new ArgumentException($"ksm/{file}: '{text}' is no number that it takes (EINVAL)", nameof(text));
        }

        switch (file)
        {
            case "run" when number <= 2:
                ksm.Run = (KsmRun)number;
                break;
            case "pages_to_scan":
                ksm.PagesToScan = number;
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
            default:
                if (!ksm.Advisor.ContainsKey(file) || (file == "advisor_max_cpu" && number > 100) || (file == "advisor_target_scan_time" && number == 0))
                {
                    throw new ArgumentException($"ksm/{file}: '{text}' is refused (EINVAL), or the file cannot be written", nameof(text));
                }

                ksm.Advisor[file] = number;
                break;
        }
    }

    private static void Check(KsmSettings ksm, string file)
    {
        if (!ksm.Files.Contains(file))
        {
            throw new ArgumentException($"/sys/kernel/mm/ksm has no file '{file}' (ENOENT)", nameof(file));
        }
    }
}
