namespace MemSim.Observability.Import;

/// <summary>An input file could not be understood; nothing was done with it.</summary>
public sealed class InputFileException : Exception
{
    /// <summary>Says what is wrong with a file, and where.</summary>
    /// <param name="path">The file.</param>
    /// <param name="line">The line, from 1; 0 where no single line is at fault.</param>
    /// <param name="reason">What is wrong.</param>
    public InputFileException(string path, int line, string reason)
        : base($"{path}({line}): {reason}")
    {
        Path = path;
        Line = line;
        Reason = reason;
    }

    /// <summary>The file.</summary>
    public string Path { get; }

    /// <summary>The line, from 1; 0 where no single line is at fault.</summary>
    public int Line { get; }

    /// <summary>What is wrong.</summary>
    public string Reason { get; }
}
