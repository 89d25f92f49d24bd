using System.Diagnostics;

namespace MemSim.Processes;

/// <summary>Processes by number (<c>kernel/pid.c</c>). Guarded by the lock of address spaces.</summary>
/// <param name="is32Bit">Whether numbers end at 32,767.</param>
internal sealed class ProcessTable(bool is32Bit)
{
    // The kernel leaves the first 300 numbers to daemons of the boot when it starts over.
    private const int First = 1000;
    private const int End = 4_194_304;
    private const int End32 = 32_768;

    private readonly SortedDictionary<int, Process> _processes = [];
    private int _last = First - 1;

    /// <summary>Those with a number, ascending.</summary>
    public IReadOnlyCollection<Process> All => _processes.Values;

    /// <summary>How many have a number.</summary>
    public long Count => _processes.Count;

    /// <summary>Processes that take memory of the kernel: those alive, those that ended and were not waited for, those that ended and still run.</summary>
    public HashSet<Process> Tasks { get; } = [];

    /// <summary>The process with a number.</summary>
    public Process? Find(int pid) => _processes.GetValueOrDefault(pid);

    /// <summary>The next number that is free, ascending, starting over at the end.</summary>
    public int Next()
    {
        do
        {
            _last = _last + 1 >= (is32Bit ? End32 : End) ? First : _last + 1;
        }
        while (_processes.ContainsKey(_last));
        return _last;
    }

    /// <summary>The next number is the one after this, where that is free (<c>ns_last_pid</c>).</summary>
    public void SkipTo(int last) => _last = last;

    /// <summary>A process has its number from now on.</summary>
    public void Add(Process process) => _processes.Add(process.Pid, process);

    /// <summary>Its number is free again.</summary>
    public void Remove(Process process)
    {
        Debug.Assert(ReferenceEquals(Find(process.Pid), process), "the number is the process's");
        _processes.Remove(process.Pid);
    }
}
