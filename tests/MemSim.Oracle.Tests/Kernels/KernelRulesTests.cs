using FluentAssertions;
using MemSim.Kernels;
using MemSim.Oracle.Tests.Replay;
using MemSim.Recordings;
using Xunit;

namespace MemSim.Oracle.Tests.Kernels;

public sealed class KernelRulesTests
{
    private static readonly (string Rule, string Run, Func<AllocatorRules, AllocatorRules> Other)[] Mutations =
    [
        ("refills double, limits move", "k612-512M-b-order0to4", r => r with { PcpTuning = PcpTuning.FixedLimit }),
        ("6.12: a burst begins at a batch", "k612-512M-b-order0to4", r => r with { BurstBoundHasHighMin = true }),
        ("6.17: a burst begins at a batch and half of high_min", "k617-512M-b-order0to4", r => r with { BurstBoundHasHighMin = false }),
        ("6.18: a drain is one portion", "k618-128M-f1-pressure", r => r with { DrainsInBatches = true }),
        ("6.19: a drain goes in portions", "k619-512M-d-zones", r => r with { DrainsInBatches = false }),
        ("7.3: a drain goes in portions", "k73-128M-f1-pressure", r => r with { DrainsInBatches = false }),
        ("no type is cached", "k618-512M-g-atomic", r => r with { CachesTypes = true }),
        ("each block is counted", "k618-128M-b-order0to4", r => r with { CountsEachBlock = false }),
        ("6.12: claim, then steal", "k612-512M-g-atomic", r => r with { Fallback = FallbackRule.StealThenSearch }),
        ("6.18: claim, then steal", "k618-128M-f1-pressure", r => r with { Fallback = FallbackRule.StealThenSearch }),
        ("6.1: steal, then search", "128M-f1-pressure", r => r with { Fallback = FallbackRule.ClaimThenSteal }),
        ("6.1: types are cached", "128M-g-atomic", r => r with { CachesTypes = false }),
        ("a zone remembers that it is below high", "k618-128M-f1-pressure", r => r with { RemembersBelowHigh = false }),
        ("6.18: defrag_mode fails rather than mix", "k618-512M-defrag-c", r => r with { DefragMode = DefragModeRule.YieldsToKswapd }),
        ("7.0: defrag_mode fails rather than mix", "k70-512M-defrag-c", r => r with { DefragMode = DefragModeRule.YieldsToKswapd }),
        ("7.2: defrag_mode yields at last", "k72-512M-defrag-f", r => r with { DefragMode = DefragModeRule.Strict }),
        ("free pages of the reserve are counted", "k618-512M-g-atomic", r => r with { CountsFreeHighAtomic = false }),
        ("the reserve is of whole page blocks", "k618-512M-g-atomic", r => r with { HighAtomicInWholeBlocks = false }),
        ("6.18: high-atomic requests refill", "k618-512M-g-atomic", r => r with { HighAtomicRefillsPcp = false }),
        ("7.3: high-atomic requests do not refill", "k73-512M-g-atomic", r => r with { HighAtomicRefillsPcp = true }),
        ("6.18: reserved after a hit in the lists", "k618-512M-g-atomic", r => r with { ReservesAfterPcpHit = false }),
        ("7.3: reserved after the direct path alone", "k73-512M-g-atomic", r => r with { ReservesAfterPcpHit = true, HighAtomicRefillsPcp = true }),
        ("7.3: the reserve comes first", "k73-512M-g-atomic", r => r with { HighAtomicFirst = false }),
        ("7.0: the reserve comes last", "k618-512M-g-atomic", r => r with { HighAtomicFirst = true }),
        ("order 0 of high priority ignores the boost", "k618-128M-e2-exhaust-descending", r => r with { HasAtomicFlag = true }),
        ("merged page blocks take the type of the block freed", "k618-128M-f1-pressure", r => r with { MergedBlocksTakeType = false }),
        ("free page blocks are counted", "k618-128M-b-order0to4", r => r with { CountsFreeBlocks = false }),
    ];

    public static TheoryData<string> Rules() => [.. Mutations.Select(m => m.Rule)];

    [Theory]
    [MemberData(nameof(Rules))]
    public void With_another_value_of_the_rule_the_recording_does_not_replay(string rule)
    {
        (_, string run, Func<AllocatorRules, AllocatorRules> other) = Array.Find(Mutations, m => m.Rule == rule);
        string directory = Path.Combine(ReplayData.Exact, run);
        KernelPersonality line;
        using (ExactReplay recorded = ExactReplay.Open(directory))
        {
            line = recorded.Machine.Personality;
        }

        KernelPersonality wrong = line with { Allocator = other(line.Allocator) };
        wrong.Should().NotBe(line, "the value has to be another one");

        IsReproduced(directory, wrong).Should().BeFalse();
    }

    [Fact]
    public void The_rules_are_written_down_as_they_are()
    {
        string page = RuleTable.Write();
        string path = Path.Combine(AppContext.BaseDirectory, "Data", "kernels.md");
        if (Environment.GetEnvironmentVariable("MEMSIM_UPDATE_DOCS") is { Length: > 0 } target)
        {
            File.WriteAllText(target, page);
            return;
        }

        File.ReadAllText(path).Should().Be(page, "docs/kernels.md is made from the rules: run this test with MEMSIM_UPDATE_DOCS=docs/kernels.md");
    }

    [Fact]
    public void Each_line_differs_from_the_one_before()
    {
        for (int i = 1; i < KernelLines.Recorded.Count; i++)
        {
            KernelPersonality older = KernelLines.Recorded[i - 1];
            KernelPersonality line = KernelLines.Recorded[i];
            (line with { Name = older.Name, Recorded = older.Recorded }).Should().NotBe(older, line.Name);
        }
    }

    private static bool IsReproduced(string directory, KernelPersonality rules)
    {
        try
        {
            using ExactReplay replay = ExactReplay.Open(directory, KernelChoice.Of(rules));
            return replay.Run().IsExact;
        }
        catch (Exception e) when (e is ReplayDivergedException or KernelBugException)
        {
            return false;
        }
    }
}
