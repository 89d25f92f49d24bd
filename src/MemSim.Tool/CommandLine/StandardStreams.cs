using System.Globalization;

namespace MemSim.Tool.CommandLine;

/// <summary>Whether whoever started the tool gave it a standard stream at all.</summary>
internal static class StandardStreams
{
    /// <summary><c>O_CLOEXEC</c>, as Linux prints it in <c>fdinfo</c>.</summary>
    private const long CloseOnExec = 0x80000;

    /// <summary>Whether a standard stream was closed when the program began (<c>&lt;&amp;-</c>, <c>&gt;&amp;-</c>).</summary>
    /// <remarks>
    /// The runtime's own pipes then have its number, and to read from one of them waits for ever. What is inherited was open across <c>execve()</c>, so it has no <c>FD_CLOEXEC</c>; what the runtime opens has.
    /// </remarks>
    /// <param name="number">0 for input, 1 for output, 2 for errors.</param>
    public static bool IsClosed(int number)
    {
        const string folder = "/proc/self/fdinfo";
        if (!OperatingSystem.IsLinux() || !Directory.Exists(folder))
        {
            return false;
        }

        try
        {
            foreach (string line in File.ReadLines(Path.Combine(folder, number.ToString(CultureInfo.InvariantCulture))))
            {
                if (line.StartsWith("flags:", StringComparison.Ordinal))
                {
                    return (Convert.ToInt64(line[6..].Trim(), 8) & CloseOnExec) != 0;
                }
            }

            return false;
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or FormatException or OverflowException)
        {
            return false;
        }
    }
}
