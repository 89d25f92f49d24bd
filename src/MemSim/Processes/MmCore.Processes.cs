using MemSim.Faults;

namespace MemSim.VirtualMemory;

/// <content>Processes by number.</content>
internal sealed partial class MmCore
{
    // The kernel leaves the first 300 numbers to daemons of the boot when it starts over.
    private const int FirstPid = 1000;
    private const int PidMax = 4_194_304;
    private const int PidMax32 = 32_768;

    private readonly SortedDictionary<int, Process> _processes = [];
    private int _lastPid = FirstPid - 1;

    /// <summary>Processes that take memory of the kernel: those alive, those that ended and were not waited for, those that ended and still run.</summary>
    public HashSet<Process> Tasks { get; } = [];

    public IReadOnlyCollection<Process> Processes => _processes.Values;

    public long ProcessCount => _processes.Count;

    public FaultTrace? FaultTrace { get; set; }

    public FaultStory? Story { get; set; }

    public Process? Find(int pid) => _processes.GetValueOrDefault(pid);

    /// <summary>The next number that is free, ascending, starting over at the end.</summary>
    public int NextPid()
    {
        int max = Machine.Architecture.Bits == 64 ? PidMax : PidMax32;
        do
        {
            _lastPid = _lastPid + 1 >= max ? FirstPid : _lastPid + 1;
        }
        while (_processes.ContainsKey(_lastPid));
        return _lastPid;
    }

    public void Verify() => new MmVerifier(this).Verify();

    public void Remember(Process process) => _processes.Add(process.Pid, process);

    public void Forget(Process process) => _processes.Remove(process.Pid);
}
