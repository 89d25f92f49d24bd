using FluentAssertions;
using MemSim.Recordings;
using Xunit;

namespace MemSim.Oracle.Tests.Cgroups;

/// <summary>Programs under pressure, run again: what repeats exactly on a real kernel is equal here, what repeats within two percent is within five, the rest within a factor of two.</summary>
public sealed class PressureReplayTests
{
    [Theory]
    [InlineData("cg-max-file")]
    [InlineData("cg-max-oom")]
    [InlineData("cg-max-oom-group")]
    [InlineData("cg-reclaim")]
    [InlineData("cg-high")]
    [InlineData("cg-low-min")]
    [InlineData("cg-max-anon-swap")]
    [InlineData("cg-max-anon-swap-thp")]
    [InlineData("global-mglru")]
    public void On_6_1_every_figure_of_a_program_is_near_enough(string program)
    {
        IReadOnlyList<PressureFigure> figures = Run(program);
        figures.Count.Should().BeGreaterThan(4);
        figures.Where(f => !f.Matches).Should().BeEmpty();
    }

    [Theory]
    [InlineData("k612", "cg-max-oom")]
    [InlineData("k612", "cg-max-oom-group")]
    [InlineData("k612", "cg-reclaim")]
    [InlineData("k612", "cg-low-min")]
    [InlineData("k612", "global-mglru")]
    [InlineData("k73", "cg-high")]
    [InlineData("k73", "cg-max-anon-swap")]
    [InlineData("k73", "global-mglru")]
    [InlineData("k73", "mthp-2048k")]
    [InlineData("k73", "mthp-64k")]
    [InlineData("k612", "mthp-64k")]
    [InlineData("k612", "mthp-2048k")]
    [InlineData("k73", "global-minttl")]
    [InlineData("k61", "global-mglru-on")]
    [InlineData("k73", "cg-max-file")]
    [InlineData("k73", "cg-max-file-nomglru")]
    [InlineData("k73", "cg-max-oom")]
    [InlineData("k73", "cg-max-oom-group")]
    [InlineData("k73", "cg-reclaim")]
    [InlineData("k73", "cg-reclaim-nomglru")]
    [InlineData("k73", "cg-high-nomglru")]
    [InlineData("k73", "global-nomglru")]
    [InlineData("k61", "cg-low-min-on")]
    public void By_generations_too_every_figure_of_a_program_is_near_enough(string kernel, string program)
    {
        IReadOnlyList<PressureFigure> figures = Run(program, kernel);
        figures.Count.Should().BeGreaterThan(4);
        figures.Where(f => !f.Matches).Should().BeEmpty();
    }

    /// <summary>
    /// Swap on zram, and zswap before a disk. Surprise 12: each page comes back by a fault of its own. A real 6.12 counts only a quarter of them as refaults, because it has given back what it knew of the others; here more of that is given back.
    /// The pool's worker writes back less than there: it is a batch of pages late.
    /// </summary>
    [Theory]
    [InlineData("k61", "zram", "")]
    [InlineData("k61", "zswap", "zswap duplicate_entry")]
    [InlineData("k612", "zram", "workingset_refault_anon,zram0 mm_stat huge_pages,zram0 mm_stat huge_pages_since")]
    [InlineData("k73", "zram", "")]
    [InlineData("k612", "zswap", "workingset_refault_anon,zswpwb,zswap pool_limit_hit,zswap written_back_pages,a memory.stat zswpwb")]
    public void Compressed_swap_takes_and_gives_back_as_many_pages_as_on_a_real_kernel(string kernel, string program, string differs)
    {
        IReadOnlyList<PressureFigure> figures = Run(program, kernel);
        figures.Count.Should().BeGreaterThan(7);
        figures.Where(f => !f.Matches).Select(f => f.Name).Should().BeSubsetOf(differs.Split(','));
    }

    /// <summary>Surprises 8 and 9: what does not fit falls back to small pages; 6.12 splits each page before it is swapped, 7.3 swaps it as one. Programs around the recorded one used some, too.</summary>
    [Theory]
    [InlineData("k612", "mthp-64k", "hugepages-64kB", "anon_fault_alloc anon_fault_fallback anon_fault_fallback_charge split split_deferred swpout swpout_fallback nr_anon")]
    [InlineData("k73", "mthp-64k", "hugepages-64kB", "anon_fault_alloc anon_fault_fallback anon_fault_fallback_charge split split_deferred swpout swpout_fallback nr_anon")]
    [InlineData("k612", "mthp-2048k", "hugepages-2048kB", "anon_fault_alloc anon_fault_fallback anon_fault_fallback_charge split split_deferred swpout swpout_fallback nr_anon")]
    [InlineData("k73", "mthp-2048k", "hugepages-2048kB", "anon_fault_alloc anon_fault_fallback anon_fault_fallback_charge split split_deferred swpout swpout_fallback nr_anon")]
    public void Large_pages_are_counted_by_size_as_on_a_real_kernel(string kernel, string program, string folder, string files)
    {
        string run = PressureRuns.Folder(kernel, program);
        Dictionary<string, Dictionary<string, long>> simulated = [];
        PressureReplay.Run(run, (machine, step) => simulated[step] = files.Split(' ').ToDictionary(file => file, file => machine.HugePages.Sizes.Single(size => size.ToString() == folder)[file]));
        List<string> wrong = [];
        foreach (string step in (string[])["free", "max", "max2", "exited"])
        {
            foreach (string file in files.Split(' '))
            {
                long recorded = Recorded(step, file) - Recorded("start", file);
                long here = simulated[step][file] - simulated["start"][file];
                // How often a page fits that reclaim has just made room for differs from kernel to kernel (258, 326 and 356 of 2,048 did not), and with it what there is to swap.
                long part = file == "anon_fault_alloc" ? 20 : file.StartsWith("anon_", StringComparison.Ordinal) ? 2 : 8;
                if (Math.Abs(recorded - here) > Math.Max(32, recorded / part))
                {
                    wrong.Add($"{step} {file}: recorded {recorded}, simulated {here}");
                }
            }
        }

        wrong.Should().BeEmpty();

        long Recorded(string step, string file) => long.Parse(
            File.ReadLines(Path.Combine(Directory.GetDirectories(run, $"step*-{step}").Single(), "transparent_hugepage")).Single(l => l.StartsWith($"{folder}/stats/{file} ", StringComparison.Ordinal)).Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture);
    }

    /// <summary>Surprise 1: A's files go although they are below its <c>memory.low</c>, B's do not below its <c>memory.min</c>. How often pages are scanned does not repeat on the real kernel either.</summary>
    [Fact]
    public void On_7_3_memory_low_is_not_kept_and_all_figures_but_pages_scanned_are_near_enough()
    {
        IReadOnlyList<PressureFigure> figures = Run("cg-low-min", "k73");
        figures.Count.Should().BeGreaterThan(10);
        figures.Where(f => !f.Matches).Select(f => f.Name).Should().BeSubsetOf(["pgscan_anon"]);
        figures.Single(f => f.Name == "pgscan_anon").Simulated.Should().BeInRange(272_238 / 5 * 2, 272_238 * 2, "it may come nearer, not go further away");
        figures.Single(f => f.Name == "a memory.events low").Simulated.Should().BeInRange(371 / 2, 371 * 2);
    }

    /// <summary>Surprise 3: files are read in pages of 2 MiB on 7.3, charged and reclaimed whole; 6.12 takes 64 pages at a time. The one page kept there is of the file system's own data.</summary>
    [Fact]
    public void A_limit_met_by_a_reader_makes_7_3_take_512_pages_and_6_12_take_64()
    {
        Value("cg-max-file", "a memory.events max", "k73").Should().Be(101 + 132);
        Value("cg-max-file", "pgsteal_file", "k73").Should().Be(512 * (101 + 132));
        Value("cg-max-file", "workingset_refault_file", "k73").Should().Be(65_536 + 2_048, "the whole file and what read-ahead brought beyond it");
        Value("cg-max-file", "a memory.peak", "k73").Should().Be((64 << 20) - (3 * 4096), "whole large pages are charged: three pages stay free");
        Value("cg-max-file", "a memory.events max", "k612").Should().Be(772 + 1024);
        Value("cg-max-file", "pgsteal_file", "k612").Should().Be(64 * (772 + 1024));
        Run("cg-max-file", "k612").Where(f => !f.Matches).Should().ContainSingle().Which.Should().BeEquivalentTo(new { Name = "pgsteal_file", Recorded = (64 * 1796) - 1, Simulated = 64 * 1796 });
    }

    /// <summary>Surprise 4: by generations each page that was missed counts as activated on 6.12, and none on 6.1 and 7.3.</summary>
    [Fact]
    public void Pages_read_again_count_as_activated_on_6_12_alone()
    {
        Value("cg-max-file", "workingset_activate_file", "k612").Should().Be(65_536 + 32);
        Run("cg-max-file", "k73").Should().NotContain(f => f.Name == "workingset_activate_file");
        Run("cg-low-min-on", "k61").Should().NotContain(f => f.Name == "workingset_activate_file");
    }

    /// <summary>Surprise 2: with pages read once, swappiness 0, 60 and 200 take 8,192 pages of files each and nothing else; <c>swappiness=max</c> swaps.</summary>
    [Theory]
    [InlineData("cg-reclaim")]
    [InlineData("cg-reclaim-nomglru")]
    public void Only_swappiness_max_swaps_while_there_are_pages_read_once(string program)
    {
        Value(program, "pgsteal_file", "k73").Should().Be(3 * 8_192);
        Value(program, "pgsteal_anon", "k73").Should().BeInRange(8_192, 8_192 + 64);
    }

    /// <summary>The second touch reads each page, then writes it: on 6.1 a page that is back from swap is mapped read-only, and the write faults again.</summary>
    [Theory]
    [InlineData("k61", 61_437 + 4_105)]
    [InlineData("k612", 28_671 + 4_102)]
    [InlineData("k73", 28_512 + 4_260)]
    public void A_page_that_comes_back_from_swap_faults_twice_on_6_1_and_once_since(string kernel, long recorded)
    {
        long faults = 0;
        PressureReplay.Run(PressureRuns.Folder(kernel, "cg-max-anon-swap"), (machine, name) =>
        {
            faults = name == "touched2" ? Faults(machine) - faults : name == "touched" ? Faults(machine) : faults;
        });
        faults.Should().BeCloseTo(recorded, (ulong)recorded / 50);

        static long Faults(Machine machine) => long.Parse(machine.Proc.VmStat.Split('\n').Single(l => l.StartsWith("pgfault ", StringComparison.Ordinal))[8..], System.Globalization.CultureInfo.InvariantCulture);
    }

    /// <summary>Surprises 4 and 5 of the recordings: every page read again is a refault, none becomes active; peak is the limit.</summary>
    [Fact]
    public void Reading_round_and_round_refaults_every_page_and_activates_none()
    {
        Dictionary<string, PressureFigure> figures = Run("cg-max-file").ToDictionary(f => f.Name);
        figures["workingset_refault_file"].Simulated.Should().Be(65_536 + 32, "the whole file and what read-ahead brought beyond it");
        figures.Should().NotContainKey("workingset_activate_file");
        figures["a memory.events max"].Simulated.Should().Be(882 + 1_171);
        figures["pgsteal_file"].Simulated.Should().Be(56 * (882 + 1_171), "3, 7, 15 and 31 pages at priorities 12 to 9");
        figures["a memory.peak"].Simulated.Should().Be(64 << 20);
    }

    /// <summary>Surprise 6: 18 attempts before the kill, 17 by the victim after its own; of a group of two three are counted as killed.</summary>
    [Fact]
    public void A_kill_comes_after_eighteen_attempts_and_a_victim_that_asks_makes_seventeen_more()
    {
        Value("cg-max-oom", "a memory.events max").Should().Be(18 + 17);
        Value("cg-max-oom-group", "a memory.events max").Should().Be(18);
        Value("cg-max-oom-group", "a memory.events oom_kill").Should().Be(3);
        Value("cg-max-oom-group", "a memory.events oom").Should().Be(1);
    }

    /// <summary>Surprise 2: swappiness 0, 60 and 200 all take clean pages of a file that was read once, and 6.1 takes more than was asked for.</summary>
    [Fact]
    public void Proactive_reclaim_takes_pages_read_once_whatever_the_swappiness()
    {
        Value("cg-reclaim", "pgsteal_file").Should().Be(34_971);
        Run("cg-reclaim").Should().NotContain(f => f.Name == "pgsteal_anon" || f.Name == "pswpout");
    }

    /// <summary>Surprise 9: a huge page that does not fit below the limit falls back to small ones instead of reclaiming.</summary>
    [Fact]
    public void Huge_pages_stop_at_the_limit()
    {
        Value("cg-max-anon-swap-thp", "thp_fault_alloc").Should().Be(31);
        Value("cg-max-anon-swap-thp", "thp_fault_fallback_charge").Should().Be(32);
    }

    private static long Value(string program, string figure, string kernel = "k61") => Run(program, kernel).Single(f => f.Name == figure).Simulated;

    private static IReadOnlyList<PressureFigure> Run(string program, string kernel = "k61") =>
        PressureReplay.Run(PressureRuns.Folder(kernel, program), verify: true);
}
