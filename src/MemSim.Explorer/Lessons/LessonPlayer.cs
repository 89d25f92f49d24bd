using MemSim.Explorer.Sessions;

namespace MemSim.Explorer.Lessons;

/// <summary>A lesson being played: a session, and how far the lesson has come. What the learner types in between belongs to the session alone.</summary>
public sealed class LessonPlayer : IDisposable
{
    private readonly List<int> _lengths = [];

    /// <summary>Sets the scene.</summary>
    public LessonPlayer(Lesson lesson)
    {
        ArgumentNullException.ThrowIfNull(lesson);
        Lesson = lesson;
        Session = new Session(lesson.Machine);
        foreach (string command in lesson.Setup)
        {
            Outcome outcome = Session.Run(command);
            if (!outcome.IsDone)
            {
                throw new InvalidOperationException($"lesson {lesson.Id}: '{command}' is not understood: {outcome.Text}");
            }
        }

        _lengths.Add(Session.Done.Count);
        Last = null;
        TakeStep();
    }

    /// <summary>The lesson.</summary>
    public Lesson Lesson { get; }

    /// <summary>The machine and its script.</summary>
    public Session Session { get; }

    /// <summary>The number of the step on show, from 0.</summary>
    public int Step { get; private set; } = -1;

    /// <summary>What the step's first command said; null for a step without one.</summary>
    public Outcome? Last { get; private set; }

    /// <summary>Whether the learner has done something of their own since.</summary>
    public bool IsBroken => Session.Done.Count != _lengths[^1];

    /// <summary>Whether the last step is on show.</summary>
    public bool IsAtEnd => Step == Lesson.Steps.Count - 1;

    /// <summary>The step on show.</summary>
    public LessonStep Current => Lesson.Steps[Step];

    /// <summary>Goes on. What the learner did of their own is taken back first.</summary>
    public bool Next()
    {
        if (IsAtEnd)
        {
            return false;
        }

        Repair();
        TakeStep();
        return true;
    }

    /// <summary>Goes back a step.</summary>
    public bool Previous()
    {
        if (Step == 0)
        {
            return false;
        }

        _lengths.RemoveAt(_lengths.Count - 1);
        Step--;
        Session.GoTo(_lengths[^1]);
        Last = _lengths[^1] > _lengths[^2] ? Session.Done[_lengths[^2]] : null;
        return true;
    }

    /// <summary>Takes back what the learner did of their own.</summary>
    public void Repair()
    {
        if (IsBroken)
        {
            Session.GoTo(_lengths[^1]);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => Session.Dispose();

    private void TakeStep()
    {
        Step++;
        Last = null;
        foreach (string command in Current.Command.Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            Outcome outcome = Session.Run(command);
            Last ??= outcome;
            if (!outcome.IsDone)
            {
                throw new InvalidOperationException($"lesson {Lesson.Id}: '{command}' is not understood: {outcome.Text}");
            }
        }

        _lengths.Add(Session.Done.Count);
    }
}
