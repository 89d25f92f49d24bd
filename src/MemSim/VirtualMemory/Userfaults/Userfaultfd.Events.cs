namespace MemSim;

/// <content>What happens to registered memory without a fault (<c>UFFD_EVENT_*</c>).</content>
public sealed partial class Userfaultfd
{
    private int _changes;

    /// <summary>Is told of events, as far as <see cref="Features"/> ask for them: of removes before, of all others when the call is done. Until it returns, calls that put pages into ranges are EAGAIN.</summary>
    /// <remarks>A call whose event nobody reads would sleep for ever: it is an exception, before anything is changed.</remarks>
    public Action<UserfaultEvent>? Listener { get; set; }

    /// <summary>Events told to <see cref="Listener"/>.</summary>
    public long Events { get; private set; }

    /// <summary>Whether the address space is being changed by a call whose event has not been read (<c>mmap_changing</c>).</summary>
    private bool IsChanging => _changes != 0;

    internal bool Tells(UserfaultFeatures what) => (Features & what) != 0;

    /// <summary>A call that will tell something goes on only where somebody listens.</summary>
    /// <exception cref="InvalidOperationException">Nobody does.</exception>
    internal void RequireListener(UserfaultFeatures what)
    {
        if (Tells(what) && Listener is null)
        {
            throw new InvalidOperationException($"the call waits for ever for its event to be read ({Features & what}): nobody listens (Userfaultfd.Listener)");
        }
    }

    internal void BeginChange() => _changes++;

    internal void EndChange() => _changes--;

    internal void Tell(UserfaultEvent happened)
    {
        Events++;
        Listener?.Invoke(happened);
    }
}
