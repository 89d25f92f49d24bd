using MemSim.Background;

namespace MemSim;

/// <content>Background threads.</content>
public sealed partial class Machine
{
    private BackgroundTasks? _background;

    /// <summary>When background threads do their work; <see cref="MemSim.BackgroundWork.Inline"/> unless said otherwise.</summary>
    public BackgroundWork BackgroundWork
    {
        get => Background.Mode;
        set => Background.Mode = value;
    }

    internal BackgroundTasks Background => _background ??= new BackgroundTasks(this);

    /// <summary>Runs the background threads that were woken, and those they wake, until all sleep.</summary>
    /// <returns>How often one of them ran.</returns>
    public int RunBackground()
    {
        ThrowIfDisposed();
        return Background.RunPending(CallersCpu());
    }
}
