namespace MemSim.Scenarios;

/// <summary>Tells the faults of a scenario apart by what they changed.</summary>
internal struct FaultCounts
{
    private long _zeroFilled;
    private long _zeroPage;
    private long _copyOnWrite;
    private long _file;
    private long _fileMajor;
    private long _sharedMemory;
    private long _swapIn;
    private long _swapInMajor;
    private long _other;

    /// <summary>Counts one.</summary>
    /// <param name="kind">The region.</param>
    /// <param name="write">Whether it was a write.</param>
    /// <param name="major">Whether something had to be read.</param>
    /// <param name="fromSwap">Whether the process has a swap entry less than before.</param>
    /// <param name="newAnon">Whether it has an anonymous page more.</param>
    public void Count(StepKind kind, bool write, bool major, bool fromSwap, bool newAnon)
    {
        // Reclaim in the middle of the fault may have swapped another page out: only swap makes anonymous memory wait for a device.
        if (fromSwap || (major && (kind is StepKind.Anonymous or StepKind.Stack)))
        {
            _swapIn++;
            _swapInMajor += major ? 1 : 0;
        }
        else if (kind == StepKind.SharedMemory)
        {
            _sharedMemory++;
        }
        else if (kind == StepKind.MapFile && !newAnon)
        {
            _file++;
            _fileMajor += major ? 1 : 0;
        }
        else if (newAnon && kind != StepKind.MapFile)
        {
            _zeroFilled++;
        }
        else if (write)
        {
            _copyOnWrite++;
        }
        else if (kind is StepKind.Anonymous or StepKind.Stack)
        {
            _zeroPage++;
        }
        else
        {
            _other++;
        }
    }

    public readonly ScenarioFaults ToReport() => new()
    {
        ZeroFilled = _zeroFilled,
        ZeroPage = _zeroPage,
        CopyOnWrite = _copyOnWrite,
        File = _file,
        FileMajor = _fileMajor,
        SharedMemory = _sharedMemory,
        SwapIn = _swapIn,
        SwapInMajor = _swapInMajor,
        Other = _other,
    };
}
