using FluentAssertions;
using MemSim.Explorer.Pictures;
using MemSim.Explorer.Sessions;
using Xunit;

namespace MemSim.Explorer.Tests.Sessions;

/// <summary>Scripts: the same choice and commands always come to the same machine.</summary>
public class SessionTests
{
    private static readonly MachineChoice s_small = new(Memory: "256M", Cpus: 2, Seed: 5);

    [Fact]
    public void The_same_link_brings_the_same_state()
    {
        using Session session = new(s_small);
        foreach (string command in new[] { "churn 2000", "vmalloc 256K as v", "cache c 300", "object c count=40", "process p", "mmap p 64K as m", "write m", "fork p" })
        {
            session.Run(command).Kind.Should().Be(OutcomeKind.Done, command);
        }

        IReadOnlyDictionary<string, string> query = PageAddress.Parse("http://localhost/" + PageAddress.Of(session));
        using Session twin = new(MachineChoice.Parse(query));
        twin.Prepare(PageAddress.ScriptOf(query));
        twin.GoTo(100);

        twin.Script.Should().Equal(session.Script);
        foreach (string file in ProcFiles.Names)
        {
            ProcFiles.Read(twin.Machine, file).Should().Be(ProcFiles.Read(session.Machine, file), file);
        }
    }

    [Fact]
    public void Back_and_forward_come_to_the_state_they_left()
    {
        using Session session = new(s_small);
        session.Run("churn 500");
        string before = session.Machine.Proc.BuddyInfo;
        session.Run("alloc 9 as big");
        string after = session.Machine.Proc.BuddyInfo;

        session.Back().Should().BeTrue();
        session.Machine.Proc.BuddyInfo.Should().Be(before);
        session.Held.Should().NotContainKey("big");
        session.Forward()!.Command.Should().Be("alloc 9 as big");
        session.Machine.Proc.BuddyInfo.Should().Be(after);
        session.Forward().Should().BeNull();
    }

    [Fact]
    public void Back_through_snapshots_comes_to_the_frames_that_the_whole_script_comes_to()
    {
        string[] script = ["churn 3000 keep=200 as c", "alloc 3 as a", "kmalloc 100 count=50 as k", "cache thing 300", "object thing count=90 as o", "churn 2000 keep=100 as d", "kfree o every=3", "free a", "drain", "alloc 5 GFP_ATOMIC as b", "churn 1000 keep=50 as e"];
        using Session session = new(s_small, checkpointEvery: 1);
        foreach (string command in script)
        {
            session.Run(command).Kind.Should().Be(OutcomeKind.Done, command);
        }

        for (int count = script.Length - 1; count >= 8; count--)
        {
            session.Back().Should().BeTrue();
            using Session whole = new(s_small, checkpointEvery: long.MaxValue);
            whole.Prepare(script);
            whole.GoTo(count);
            Same(session, whole, $"after {count}");
        }

        // And on from there: nothing of the machine's own was lost.
        session.GoTo(script.Length);
        using Session straight = new(s_small, checkpointEvery: long.MaxValue);
        straight.Prepare(script);
        straight.GoTo(script.Length);
        Same(session, straight, "again at the end");
        session.Machine.Verify();
    }

    [Fact]
    public void A_step_back_behind_a_long_script_does_not_run_it_again()
    {
        using Session session = new(s_small);
        session.Run("churn 40000 keep=300 as long");
        session.Run("alloc 3 as a");
        long events = session.Events.Count;
        TraceLine? first = session.Events.Lines.FirstOrDefault();

        session.Back().Should().BeTrue();

        session.IsFromSnapshot.Should().BeTrue();
        session.Events.Count.Should().BeLessThan(events).And.BeGreaterThan(40_000);
        session.Held["long"].Text.Should().Contain("pages");
        session.Run("free long").Kind.Should().Be(OutcomeKind.Done);
        session.Machine.Verify();
        first.Should().NotBeNull();
    }

    [Theory]
    [InlineData("", "type a command")]
    [InlineData("alok 3", "is no command")]
    [InlineData("alloc", "the order is missing")]
    [InlineData("alloc 11", "from 0 to 10")]
    [InlineData("alloc 0 GFP_NONSENSE", "is no GFP mask")]
    [InlineData("free nothing", "is nothing this command can use")]
    [InlineData("kmalloc 5M", "is no size that can be")]
    [InlineData("alloc 0 as", "a name has to follow")]
    [InlineData("cma 10", "no contiguous area")]
    [InlineData("walk nowhere", "neither an address")]
    [InlineData("sysctl", "the name is missing")]
    [InlineData("irq", "a command has to follow")]
    public void What_is_not_understood_says_what_would_be_and_changes_nothing(string command, string reason)
    {
        using Session session = new(s_small);
        string before = session.Machine.Proc.VmStat;

        Outcome outcome = session.Run(command);

        outcome.Kind.Should().Be(OutcomeKind.NotUnderstood);
        outcome.Text.Should().Contain(reason);
        session.Done.Should().BeEmpty();
        session.Machine.Proc.VmStat.Should().Be(before);
    }

    [Fact]
    public void A_name_is_given_once()
    {
        using Session session = new(s_small);
        session.Run("alloc 0 as a");
        long free = session.Machine.Zones.Sum(z => z.TrueFreePages);

        session.Run("alloc 0 as a").Text.Should().Contain("is the name of");
        session.Machine.Zones.Sum(z => z.TrueFreePages).Should().Be(free);
    }

    [Fact]
    public void Misuse_is_reported_in_the_kernels_words_and_is_part_of_the_script()
    {
        using Session session = new(s_small);
        Outcome outcome = session.Run("irq alloc 0 GFP_KERNEL");

        outcome.Kind.Should().Be(OutcomeKind.KernelBug);
        outcome.Text.Should().Contain("sleeping function called from invalid context");
        session.Done.Should().ContainSingle();
        session.Machine.Verify();
    }

    [Fact]
    public void Every_command_explains_itself_and_survives_without_arguments()
    {
        foreach (CommandInfo command in CommandTable.All)
        {
            using Session session = new(s_small);
            command.Usage.Should().StartWith(command.Name);
            command.Help.Should().EndWith(".");
            session.Run(command.Name).Text.Should().NotBeNullOrWhiteSpace(command.Name);
            session.Machine.Verify();
        }
    }

    [Theory]
    [InlineData("memory", "1T", "128M to 16G")]
    [InlineData("memory", "x", "128M to 16G")]
    [InlineData("cpus", "0", "from 1 to 16")]
    [InlineData("kernel", "nt", "is no version")]
    [InlineData("arch", "vax", "x86_64")]
    [InlineData("cma", "900M", "half the memory")]
    public void A_machine_that_cannot_be_says_what_can(string key, string value, string reason)
    {
        Action parse = () => MachineChoice.Parse(new Dictionary<string, string> { ["memory"] = "256M", [key] = value });

        parse.Should().Throw<CommandException>().WithMessage($"*{reason}*");
    }

    [Fact]
    public void A_message_for_the_picture_has_every_frame_once_and_later_only_what_changed()
    {
        using Session session = new(s_small);
        ReadOnlySpan<byte> all = session.Map.Range(0, session.Map.Blocks).Span;
        Frames(all).Should().Be(session.Map.Blocks * 1024);
        _ = session.Map.Changed();

        session.Run("alloc 0 GFP_KERNEL");

        int changed = Frames(session.Map.Changed().Span);
        changed.Should().BePositive().And.BeLessThan(8 * 1024);
        session.Map.Changed().Length.Should().Be(0);
    }

    [Fact]
    public void Samples_of_free_pages_stay_few_and_keep_the_first_and_the_last()
    {
        using Session session = new(s_small);
        long first = session.Events.Samples[0].FreePages.Sum();
        session.Run("churn 60000 keep=500");

        session.Events.Samples.Count.Should().BeLessThanOrEqualTo(1024).And.BeGreaterThan(200);
        session.Events.Samples[0].FreePages.Sum().Should().Be(first);
        session.Events.Samples[^1].FreePages.Sum().Should().Be(session.Machine.Zones.Sum(z => z.TrueFreePages));
        session.Events.Samples.Select(s => s.Event).Should().BeInAscendingOrder();
    }

    private static void Same(Session one, Session other, string when)
    {
        one.Script.Should().Equal(other.Script, when);
        one.Ahead.Should().Equal(other.Ahead, when);
        foreach (string file in ProcFiles.Names)
        {
            ProcFiles.Read(one.Machine, file).Should().Be(ProcFiles.Read(other.Machine, file), $"{file} {when}");
        }

        one.Map.Range(0, one.Map.Blocks).Span.SequenceEqual(other.Map.Range(0, other.Map.Blocks).Span).Should().BeTrue($"each frame is the same {when}");
        one.Held.Values.Select(h => $"{h.Name}: {h.Text}").Should().BeEquivalentTo(other.Held.Values.Select(h => $"{h.Name}: {h.Text}"), when);
        one.Events.Lines.Select(l => l.ToString()).Should().Equal(other.Events.Lines.Select(l => l.ToString()), when);
    }

    private static int Frames(ReadOnlySpan<byte> message)
    {
        int frames = 0;
        for (int at = 0; at < message.Length;)
        {
            int runs = message[at + 4] | (message[at + 5] << 8);
            at += 8;
            for (int i = 0; i < runs; i++, at += 12)
            {
                frames += message[at + 2] | (message[at + 3] << 8);
            }
        }

        return frames;
    }
}
