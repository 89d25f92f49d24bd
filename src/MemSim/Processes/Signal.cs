using System.Globalization;

namespace MemSim;

/// <summary>Signals that memory management sends or processes die of.</summary>
public enum Signal
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>Killed.</summary>
    SIGKILL = 9,

    /// <summary>Bad memory access inside a mapping: beyond the end of the file, or the memory is broken.</summary>
    SIGBUS = 7,

    /// <summary>Bad address or access not allowed.</summary>
    SIGSEGV = 11,

    /// <summary>Asked to end.</summary>
    SIGTERM = 15,
}

/// <summary>Why a signal was sent (<c>si_code</c>).</summary>
public enum SignalCode
{
    /// <summary>No reason given.</summary>
    None = 0,

    /// <summary><c>SEGV_MAPERR</c>: nothing is mapped at the address.</summary>
    MapError = 1,

    /// <summary><c>SEGV_ACCERR</c>: the mapping does not allow the access.</summary>
    AccessError = 2,

    /// <summary><c>BUS_ADRERR</c>: no page behind the address, e.g. beyond the end of the file.</summary>
    NoPage = 3,

    /// <summary><c>BUS_MCEERR_AR</c>: the memory at the address is broken, and the process was about to use it.</summary>
    MemoryErrorActionRequired = 4,

    /// <summary><c>BUS_MCEERR_AO</c>: the memory at the address is broken; the process has not used it yet.</summary>
    MemoryErrorActionOptional = 5,

    /// <summary><c>SI_KERNEL</c>: an address that is not canonical.</summary>
    Kernel = 0x80,

    /// <summary>Out of memory.</summary>
    OutOfMemory = 0x81,
}

/// <summary>A signal as it is delivered to a process.</summary>
/// <param name="Signal">The signal.</param>
/// <param name="Code">Why.</param>
/// <param name="Address">The address concerned.</param>
public readonly record struct SignalInfo(Signal Signal, SignalCode Code, VirtualAddress Address)
{
    /// <summary>The signal in the words of a shell.</summary>
    public override string ToString() => Signal switch
    {
        Signal.SIGSEGV => string.Create(CultureInfo.InvariantCulture, $"SIGSEGV ({Code switch { SignalCode.MapError => "SEGV_MAPERR", SignalCode.AccessError => "SEGV_ACCERR", _ => "SI_KERNEL" }}) at {Address}"),
        Signal.SIGBUS => string.Create(CultureInfo.InvariantCulture, $"SIGBUS ({Code switch { SignalCode.MemoryErrorActionRequired => "BUS_MCEERR_AR", SignalCode.MemoryErrorActionOptional => "BUS_MCEERR_AO", _ => "BUS_ADRERR" }}) at {Address}"),
        _ => Signal.ToString(),
    };
}

/// <summary>How a process ended.</summary>
/// <param name="Code">The exit code.</param>
/// <param name="Signal">The signal it died of, or <see cref="Signal.None"/>.</param>
public readonly record struct ExitStatus(int Code, Signal Signal)
{
    /// <summary>What <c>wait()</c> returns.</summary>
    public int WaitStatus => Signal == Signal.None ? (Code & 0xff) << 8 : (int)Signal;
}
