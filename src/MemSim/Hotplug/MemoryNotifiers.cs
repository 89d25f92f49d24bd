using MemSim.Hardware;

namespace MemSim.Hotplug;

/// <summary>Those who are told of memory blocks, in the order in which they are told (<c>memory_chain</c>).</summary>
internal sealed class MemoryNotifiers(Machine machine)
{
    private readonly List<(int Priority, IMemoryNotifier Notifier)> _chain = [];

    /// <summary>Adds one, behind those of the same priority.</summary>
    public void Add(IMemoryNotifier notifier, int priority)
    {
        int at = _chain.FindIndex(link => link.Priority < priority);
        _chain.Insert(at < 0 ? _chain.Count : at, (priority, notifier));
    }

    /// <summary>Takes one out.</summary>
    public bool Remove(IMemoryNotifier notifier) => _chain.RemoveAll(link => ReferenceEquals(link.Notifier, notifier)) != 0;

    /// <summary>Asks one after the other, until one refuses.</summary>
    public Errno Ask(Cpu cpu, MemoryNotice notice, MemoryBlock block)
    {
        Errno answer = Errno.None;
        for (int i = 0; i < _chain.Count && answer == Errno.None; i++)
        {
            answer = Call(cpu, _chain[i].Notifier, notice, block);
        }

        return answer;
    }

    /// <summary>Tells all.</summary>
    public void Tell(Cpu cpu, MemoryNotice notice, MemoryBlock block)
    {
        for (int i = 0; i < _chain.Count; i++)
        {
            _ = Call(cpu, _chain[i].Notifier, notice, block);
        }
    }

    /// <summary>What is thrown counts as a refusal (<c>NOTIFY_BAD</c>), and is thrown when the kernel's work is done.</summary>
    private Errno Call(Cpu cpu, IMemoryNotifier notifier, MemoryNotice notice, MemoryBlock block)
    {
        using UserCodeScope scope = new(cpu);
        try
        {
            return notifier.Notify(notice, block);
        }
        catch (Exception e)
        {
            machine.Callouts.Failed(e);
            return Errno.EPERM;
        }
    }
}
