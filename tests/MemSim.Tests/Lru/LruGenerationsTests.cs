using FluentAssertions;
using MemSim.Lru;
using MemSim.Pages;
using Xunit;

namespace MemSim.Tests.Lru;

/// <summary>Generations: where pages come in, how they move on, which tier they are in, how the window moves.</summary>
public sealed class LruGenerationsTests : IDisposable
{
    private const int Anon = 0;
    private const int Files = 1;

    private readonly List<Machine> _machines = [];
    private uint _file;
    private uint _anon;

    public void Dispose() => _machines.ForEach(m => m.Dispose());

    [Theory]
    [InlineData("6.1", 0, 1)]
    [InlineData("6.12", 1, 2)]
    [InlineData("6.18", 0, 2)]
    [InlineData("7.3", 0, 2)]
    public void Pages_read_and_anonymous_pages_come_into_the_generation_of_their_kernel(string kernel, int file, int anon)
    {
        Machine machine = Boot(kernel);
        AddOne(machine, FilePage(machine));
        AddOne(machine, AnonPage(machine));

        Sizes(machine, Files).Should().Equal(Single(file));
        Sizes(machine, Anon).Should().Equal(Single(anon));
        machine.Verify();
    }

    [Theory]
    [InlineData("6.12", 3)]
    [InlineData("6.18", 2)]
    [InlineData("7.3", 2)]
    public void A_page_that_a_fault_brings_is_used(string kernel, int expected)
    {
        Machine machine = Boot(kernel);
        machine.Lru.EnterFault(machine.Cpus[0], tellsUse: true);
        AddOne(machine, AnonPage(machine));
        machine.Lru.ExitFault(machine.Cpus[0]);
        machine.Lru.EnterFault(machine.Cpus[0], tellsUse: false);
        AddOne(machine, FilePage(machine));

        Sizes(machine, Anon).Should().Equal(Single(expected));
        Sizes(machine, Files)[expected].Should().Be(0, "of an area that is read once nobody concludes anything");
        machine.Frames.FlagsOf(_last).Should().NotHaveFlag(PageFlags.Active, "on a list the generation says it");
    }

    [Theory]
    [InlineData("6.12", 1, 0)]
    [InlineData("6.12", 2, 1)]
    [InlineData("6.12", 3, 2)]
    [InlineData("6.12", 4, 2)]
    [InlineData("6.12", 5, 3)]
    [InlineData("6.12", 9, 3)]
    [InlineData("7.3", 1, 0)]
    [InlineData("7.3", 2, 1)]
    [InlineData("7.3", 3, 2)]
    [InlineData("7.3", 4, 2)]
    [InlineData("7.3", 5, 3)]
    [InlineData("7.3", 9, 3)]
    public void Accesses_through_descriptors_make_tiers(string kernel, int accesses, int tier)
    {
        Machine machine = Boot(kernel);
        int pfn = FilePage(machine);
        AddOne(machine, pfn);
        for (int i = 0; i < accesses; i++)
        {
            machine.Lru.MarkAccessed(machine.Cpus[0], pfn);
        }

        ref PageFrame frame = ref machine.Frames.Array[pfn];
        LruGenerations generations = GenerationsOf(machine);
        generations.Accesses.TierOf(generations.Accesses.CountOf(frame, pfn), frame.IsWorkingset).Should().Be(tier);
        Sizes(machine, Files).Sum().Should().Be(1, "accesses through descriptors move nothing");
    }

    [Fact]
    public void The_window_moves_on_and_the_two_youngest_count_as_active()
    {
        Machine machine = Boot("7.3");
        LruGenerations generations = GenerationsOf(machine);
        for (int i = 0; i < 7; i++)
        {
            AddOne(machine, AnonPage(machine));
        }

        NodeCounters counters = machine.Nodes[0].Counters;
        (counters.ActiveAnon, counters.InactiveAnon).Should().Be((7, 0));
        generations.AddGeneration(3, 60, now: 5).Should().BeTrue();
        generations.AddGeneration(3, 60, now: 6).Should().BeFalse("somebody did it already");
        (counters.ActiveAnon, counters.InactiveAnon).Should().Be((0, 7));
        generations.MaxSequence.Should().Be(4);
        (generations.MinSequence(Anon), generations.MinSequence(Files)).Should().Be((1, 1));
        generations.BornNanoseconds(4).Should().Be(5);
        machine.Verify();

        machine.Lru.Promote(machine.Lru.Vectors[0], _last);
        (counters.ActiveAnon, counters.InactiveAnon).Should().Be((1, 6));
        generations.Pages(4, Anon).Should().Be(1);
        machine.Verify();

        generations.DropEmpty(60).Should().BeTrue();
        generations.MinSequence(Anon).Should().Be(2);
        generations.MinSequence(Files).Should().Be(3, "its generations are empty, and two always stay");
        for (int i = 0; i < 5; i++)
        {
            generations.AddGeneration(4 + i, 60, now: 0).Should().BeTrue();
            machine.Verify();
        }

        generations.Generations(Anon).Should().Be(4);
        generations.Pages(generations.MinSequence(Anon), Anon).Should().Be(7, "the oldest pages are as old as generations can be");
    }

    [Fact]
    public void A_tier_is_evicted_until_its_pages_are_missed_more_than_those_of_the_first()
    {
        LruGenerations generations = GenerationsOf(Boot("7.3"));
        TierCounts files = generations.Control.Of(Files);
        generations.Control.LastTier(Files).Should().Be(3, "nothing was missed yet");
        files.CountEvicted(0, 10_000);
        files.CountRefaulted(0, 100);
        files.CountEvicted(1, 1_000);
        files.CountRefaulted(1, 63);
        generations.Control.LastTier(Files).Should().Be(3, "less than a batch says nothing");
        files.CountRefaulted(1, 37);
        generations.Control.LastTier(Files).Should().Be(0, "ten times more than of the first");
        for (int i = 0; i < 8; i++)
        {
            files.Fade();
        }

        generations.Control.LastTier(Files).Should().Be(3, "it is long ago");
    }

    [Theory]
    [InlineData(0, 1)]
    [InlineData(1, 1)]
    [InlineData(60, 1)]
    [InlineData(200, 0)]
    [InlineData(201, 0)]
    public void Swappiness_says_which_kind_comes_first(int swappiness, int kind) =>
        GenerationsOf(Boot("7.3")).Control.KindToScan(swappiness, false, out _).Should().Be(kind);

    [Fact]
    public void Missed_file_pages_make_anonymous_ones_come_first()
    {
        LruGenerations generations = GenerationsOf(Boot("7.3"));
        generations.Control.Of(Files).CountEvicted(0, 1000);
        generations.Control.Of(Files).CountRefaulted(0, 500);
        generations.Control.Of(Anon).CountEvicted(0, 1000);
        generations.Control.KindToScan(60, false, out _).Should().Be(Anon);
        generations.Control.Of(Anon).CountRefaulted(0, 900);
        generations.Control.KindToScan(60, false, out _).Should().Be(Files);
    }

    [Fact]
    public void A_filter_names_what_was_added_and_hardly_anything_else()
    {
        BloomFilter filter = new();
        filter.MayHave(0x1000).Should().BeTrue("before the first walk every table is looked at");
        filter.Add(0x1000);
        filter.Reset();
        filter.MayHave(0x1000).Should().BeFalse();
        for (ulong table = 0; table < 500; table++)
        {
            filter.Add(table << 12);
        }

        Enumerable.Range(0, 500).Should().OnlyContain(t => filter.MayHave((ulong)t << 12));
        Enumerable.Range(500, 10_000).Count(t => filter.MayHave((ulong)t << 12)).Should().BeLessThan(100);
    }

    [Theory]
    [InlineData("6.1")]
    [InlineData("6.12")]
    [InlineData("7.3")]
    public void All_pages_move_when_the_engine_is_changed(string kernel)
    {
        Machine machine = Boot(kernel, on: false);
        for (int i = 0; i < 40; i++)
        {
            AddOne(machine, i % 3 == 0 ? AnonPage(machine) : FilePage(machine), i % 4 == 0 ? PageFlags.Active : PageFlags.None);
        }

        NodeCounters counters = machine.Nodes[0].Counters;
        (long, long, long, long) before = (counters.ActiveAnon, counters.InactiveAnon, counters.ActiveFile, counters.InactiveFile);
        machine.Reclaim.LruGen.Enabled = 7;
        machine.Reclaim.LruGen.EnabledText.Should().Be("0x0007\n");
        machine.Verify();
        (counters.ActiveAnon + counters.InactiveAnon, counters.ActiveFile + counters.InactiveFile).Should().Be((before.Item1 + before.Item2, before.Item3 + before.Item4));
        machine.Reclaim.LruGen.Write("n");
        machine.Reclaim.LruGen.EnabledText.Should().Be("0x0000\n");
        machine.Verify();
        (counters.ActiveFile, counters.InactiveFile).Should().Be((before.Item3, before.Item4));
    }

    [Fact]
    public void The_file_enabled_takes_what_the_kernels_takes()
    {
        Machine machine = Boot("6.12");
        machine.Reclaim.LruGen.Write("5\n");
        machine.Reclaim.LruGen.Enabled.Should().Be(5);
        machine.Reclaim.LruGen.Write("y");
        machine.Reclaim.LruGen.Enabled.Should().Be(7);
        machine.Reclaim.LruGen.Write("0x0001");
        machine.Reclaim.LruGen.Enabled.Should().Be(1);
        FluentActions.Invoking(() => machine.Reclaim.LruGen.Write("maybe")).Should().Throw<FormatException>().WithMessage("*EINVAL*");
        FluentActions.Invoking(() => machine.Reclaim.LruGen.MinTimeToLiveMilliseconds = -1).Should().Throw<ArgumentOutOfRangeException>();
        using Machine old = Machine.Boot(MachineSpec.X86_64("128M").WithKernel("5.10"));
        old.Reclaim.LruGen.IsSupported.Should().BeFalse();
        FluentActions.Invoking(() => old.Reclaim.LruGen.Enabled = 1).Should().Throw<InvalidOperationException>();
        old.Proc.LruGen.Should().BeEmpty();
    }

    private int _last;

    private static long[] Single(int generation) => [.. Enumerable.Range(0, 4).Select(g => g == generation ? 1L : 0)];

    private static LruGenerations GenerationsOf(Machine machine) => machine.Lru.Vectors[0].Generations!;

    private static long[] Sizes(Machine machine, int kind) => [.. Enumerable.Range(0, 4).Select(seq => GenerationsOf(machine).Pages(seq, kind))];

    private Machine Boot(string kernel, bool on = true)
    {
        Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithKernel(kernel));
        _machines.Add(machine);
        machine.Reclaim.LruGen.Enabled = on ? 7 : 0;
        _file = MappingTable.Value(machine.Frames.Mappings.Add(new object()));
        _anon = MappingTable.Value(machine.Frames.Mappings.Add(new object()), MappingTable.Anonymous);
        return machine;
    }

    private void AddOne(Machine machine, int pfn, PageFlags flags = PageFlags.None)
    {
        machine.Frames.Array[pfn].Set(flags);
        machine.Lru.Add(machine.Cpus[0], pfn);
        machine.Lru.Drain(machine.Cpus[0]);
        _last = pfn;
    }

    private int FilePage(Machine machine)
    {
        int pfn = machine.Cpus[0].AllocPage(Gfp.HighUserMovable).FrameIndex;
        machine.Frames.Array[pfn].Mapping = _file;
        return pfn;
    }

    private int AnonPage(Machine machine)
    {
        int pfn = machine.Cpus[0].AllocPage(Gfp.HighUserMovable).FrameIndex;
        machine.Frames.Array[pfn].Mapping = _anon;
        machine.Frames.Array[pfn].Set(PageFlags.SwapBacked | PageFlags.UpToDate);
        return pfn;
    }
}
