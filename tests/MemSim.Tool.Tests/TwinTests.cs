using System.Text.Json;
using FluentAssertions;
using Xunit;

namespace MemSim.Tool.Tests;

public class TwinTests(RecordingsFixture recordings)
{
    [Fact]
    public void Every_figure_of_every_state_is_equal()
    {
        ToolRun run = ToolRun.Of("twin", recordings.Twin);
        run.ShouldMatchWhole();
        run.Out.Should().Contain("min_free_kbytes-16384").And.Contain("compact-after");
    }

    [Fact]
    public void A_figure_that_differs_is_named_and_gives_1()
    {
        string folder = recordings.CopyOf(recordings.Twin);
        string zoneInfo = Path.Combine(folder, "runtime", "min_free_kbytes-4096", "zoneinfo");
        File.WriteAllText(zoneInfo, Replace(File.ReadAllText(zoneInfo), "        low      ", "        low      1"));
        ToolRun run = ToolRun.Of("twin", folder);
        run.ExitCode.Should().Be(1);
        run.Out.Should().Contain("differs: min_free_kbytes-4096 node 0 zone DMA low: captured 1");
        run.LastLine.Should().MatchRegex("^matched [0-9]+ of [0-9]+$");

        JsonElement json = ToolRun.Of("twin", folder, "--json").Json();
        json.GetProperty("matched").GetInt64().Should().Be(json.GetProperty("compared").GetInt64() - 1);
        JsonElement mismatch = json.GetProperty("machines")[0].GetProperty("mismatches")[0];
        mismatch.GetProperty("figure").GetString().Should().Be("low");
        mismatch.GetProperty("zone").GetString().Should().Be("DMA");
    }

    [Fact]
    public void A_figure_that_was_blanked_out_is_told_apart_with_what_was_computed()
    {
        string folder = recordings.CopyOf(recordings.Twin);
        string zoneInfo = Path.Combine(folder, "zoneinfo");
        File.WriteAllLines(zoneInfo, File.ReadAllLines(zoneInfo).Where(l => !l.StartsWith("        low ", StringComparison.Ordinal)));
        ToolRun run = ToolRun.Of("twin", folder);
        run.ShouldMatchWhole();
        run.Out.Should().Contain("not comparable, 5 figures (low; base): blanked out");

        JsonElement apart = ToolRun.Of("twin", folder, "--json").Json().GetProperty("machines")[0].GetProperty("not_comparable")[0];
        apart.GetProperty("rows").EnumerateArray().Select(r => r.GetProperty("computed").GetString()).Should().StartWith(["42", "516"]);
        ToolRun.Of("twin", folder, "--all").Out.Should().Contain("base node 0 zone DMA32 low: captured -, computed 516");
    }

    [Fact]
    public void The_caches_of_a_captured_machine_are_compared_figure_by_figure()
    {
        const string header = "name\tobject_size\tslab_size\tobjs_per_slab\torder\talign\tcpu_partial\tmin_partial\tred_zone\tpoison\tstore_user\thwcache_align\tcache_dma\treclaim_account\tsanity_checks\tdestroy_by_rcu\tctor\n";
        string folder = recordings.CopyOf(recordings.Twin);
        foreach (string file in (string[])["slab-sysfs.txt", "slab-aliases.txt", "slabinfo"])
        {
            File.Delete(Path.Combine(folder, file));
        }

        long without = ToolRun.Of("twin", folder, "--json").Json().GetProperty("matched").GetInt64();

        File.WriteAllText(Path.Combine(folder, "slab-sysfs.txt"), header + "filp\t232\t256\t16\t0\t64\t52\t5\t0\t0\t0\t1\t0\t0\t0\t0\t\n");
        File.WriteAllText(Path.Combine(folder, "slabinfo"), "slabinfo - version: 2.1\n# name\nfilp 112 112 256 16 1 : tunables 0 0 0 : slabdata 7 7 0\n");
        ToolRun equal = ToolRun.Of("twin", folder, "--json");
        equal.ExitCode.Should().Be(0, equal.Error);
        equal.Json().GetProperty("matched").GetInt64().Should().Be(without + 5 + 3, "sysfs has five figures, slabinfo three");

        File.WriteAllText(Path.Combine(folder, "slab-sysfs.txt"), header + "filp\t232\t256\t32\t1\t64\t52\t5\t0\t0\t0\t1\t0\t0\t0\t0\t\n");
        ToolRun differs = ToolRun.Of("twin", folder);
        differs.ExitCode.Should().Be(1);
        differs.Out.Should().Contain("differs: base slab filp order: captured 1, computed 0").And.Contain("slab filp objs_per_slab: captured 32, computed 16");
    }

    [Fact]
    public void Several_machines_get_a_line_each()
    {
        ToolRun run = ToolRun.Of("twin", recordings.Twin, Path.Combine(recordings.Twin, "runtime", "memblock1-offline"));
        run.ShouldMatchWhole();
        run.Out.Should().Contain("memblock1-offline (Linux 6.1): 26 of 26");
    }

    [Fact]
    public void Bad_folders_are_refused_before_anything_is_printed()
    {
        ToolRun.Of("twin", "/no/such/folder").ShouldBeRefused("/no/such/folder: no such folder");
        ToolRun.Of("twin", recordings.Twin, recordings.EmptyFolder()).ShouldBeRefused("zoneinfo");
        string folder = recordings.CopyOf(recordings.Twin);
        File.WriteAllBytes(Path.Combine(folder, "runtime", "memblock1-offline", "zoneinfo"), [0, 1, 2, 0xff, 0xfe, (byte)'\n']);
        ToolRun.Of("twin", folder).ShouldBeRefused("zoneinfo(1): ");
    }

    private static string Replace(string text, string old, string with)
    {
        int at = text.IndexOf(old, StringComparison.Ordinal);
        return text[..at] + with + text[(at + old.Length)..];
    }
}
