namespace MemSim;

/// <summary>An input file does not hold what it should: says where and why, as <c>path(line): reason</c>.</summary>
public sealed class InputFileException : IOException
{
    /// <summary>A fault at a line of a file.</summary>
    /// <param name="path">The file as the caller named it.</param>
    /// <param name="line">The 1-based line, or 0 where the file as a whole is at fault.</param>
    /// <param name="reason">What is wrong, without the place.</param>
    /// <param name="inner">What failed below, if anything.</param>
    public InputFileException(string path, int line, string reason, Exception? inner = null)
        : base(line > 0 ? $"{path}({line}): {reason}" : $"{path}: {reason}", inner)
    {
        Path = path;
        Line = line;
        Reason = reason;
    }

    /// <summary>The file as the caller named it.</summary>
    public string Path { get; }

    /// <summary>The 1-based line, or 0 where the file as a whole is at fault.</summary>
    public int Line { get; }

    /// <summary>What is wrong, without the place.</summary>
    public string Reason { get; }
}
