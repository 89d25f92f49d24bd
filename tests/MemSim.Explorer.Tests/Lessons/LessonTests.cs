using FluentAssertions;
using MemSim.Explorer.Lessons;
using MemSim.Explorer.Sessions;
using Xunit;

namespace MemSim.Explorer.Tests.Lessons;

/// <summary>What lessons say is so on the machine they run on.</summary>
public class LessonTests
{
    public static TheoryData<string> Names => [.. LessonBook.All.Select(l => l.Id)];

    [Theory]
    [MemberData(nameof(Names))]
    public void Every_step_shows_what_it_says(string id)
    {
        Lesson lesson = LessonBook.Find(id);
        using LessonPlayer player = new(lesson);
        do
        {
            string at = $"step {player.Step + 1} of {id}, '{player.Current.Command}': {player.Last?.Text}";
            (player.Last?.Kind ?? OutcomeKind.Done).Should().Be(OutcomeKind.Done, at);
            player.Current.Holds(player.Session).Should().BeTrue($"{at}; it says: {player.Current.Say(player.Session)}");
            player.Current.Say(player.Session).Should().NotBeNullOrWhiteSpace();
            player.Current.Marks(player.Session).Should().NotContain(m => m.Pages <= 0);
        }
        while (player.Next());

        player.Session.Machine.Verify();
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void A_lesson_can_be_broken_and_goes_on_where_it_was(string id)
    {
        Lesson lesson = LessonBook.Find(id);
        lesson.Breaks.Should().NotBeEmpty();
        using LessonPlayer player = new(lesson);
        while (player.Next())
        {
            // To the end, where breaking is offered.
        }

        string before = player.Session.Machine.Proc.BuddyInfo;
        foreach (Breakage breakage in lesson.Breaks)
        {
            player.Session.Run(breakage.Command).Text.Should().NotBeNullOrWhiteSpace(breakage.Command);
            player.Session.Machine.Verify();
        }

        player.Repair();
        player.Session.Machine.Proc.BuddyInfo.Should().Be(before);
        player.IsBroken.Should().BeFalse();
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void The_machine_answers_the_quiz_as_the_book_does(string id)
    {
        Lesson lesson = LessonBook.Find(id);
        foreach (Question question in lesson.Quiz)
        {
            question.Answers.Count(a => a.IsRight).Should().Be(1, question.Text);
            foreach (Answer answer in question.Answers)
            {
                using LessonPlayer player = new(lesson);
                Outcome? outcome = answer.Command.Length > 0 ? player.Session.Run(answer.Command) : null;
                answer.Shows(player.Session, outcome).Should().BeTrue($"{question.Text} {answer.Text}: {outcome?.Text}");
            }
        }
    }

    [Fact]
    public void Going_back_shows_the_step_before_as_it_was()
    {
        using LessonPlayer player = new(LessonBook.All[0]);
        List<(string, string)> seen = [];
        do
        {
            seen.Add((player.Current.Say(player.Session), player.Session.Machine.Proc.BuddyInfo));
        }
        while (player.Next());

        for (int i = seen.Count - 2; i >= 0; i--)
        {
            player.Previous().Should().BeTrue();
            (player.Current.Say(player.Session), player.Session.Machine.Proc.BuddyInfo).Should().Be(seen[i]);
        }

        player.Previous().Should().BeFalse();
    }

    [Fact]
    public void Lessons_have_names_and_one_sentence_of_what_to_watch()
    {
        LessonBook.All.Select(l => l.Id).Should().OnlyHaveUniqueItems();
        LessonBook.All.Should().OnlyContain(l => l.Watch.StartsWith("Watch ") && l.Watch.EndsWith('.') && !l.Watch.TrimEnd('.').Contains('.'));
    }
}
