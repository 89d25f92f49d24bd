namespace MemSim;

/// <summary>What an open file may be used for (<c>f_mode</c>).</summary>
[Flags]
public enum OpenMode
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>Reading.</summary>
    Read = 1,

    /// <summary>Writing.</summary>
    Write = 2,

    /// <summary>Reading and writing.</summary>
    ReadWrite = Read | Write,

    /// <summary>Every write goes to the end of the file (<c>O_APPEND</c>).</summary>
    Append = 4,

    /// <summary>Writes return when they are on the device (<c>O_SYNC</c>).</summary>
    Sync = 8,
}
