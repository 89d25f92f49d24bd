namespace MemSim.Tool.CommandLine;

/// <summary>Lets <c>-</c> stand for standard input where a file is read more than once.</summary>
internal static class StandardInput
{
    /// <summary>What it is called in complaints.</summary>
    public const string Name = "(standard input)";

    /// <summary>Whether standard input is meant.</summary>
    public static bool IsMeant(string path) => path == "-";

    /// <summary>Opens it.</summary>
    /// <exception cref="BadInputException">It is closed (<c>&lt;&amp;-</c>).</exception>
    public static Stream Open() =>
        StandardStreams.IsClosed(0) ? throw new BadInputException($"{Name}: it is closed, so there is nothing to read") : Console.OpenStandardInput();

    /// <summary>Does something with a file that holds all of it; complaints do not name that file.</summary>
    /// <param name="input">Standard input.</param>
    /// <param name="work">Is given the file's path.</param>
    public static T Spool<T>(Stream input, Func<string, T> work)
    {
        string folder = Directory.CreateTempSubdirectory("memsim-").FullName;
        string path = Path.Combine(folder, Name);
        try
        {
            using (FileStream file = new(path, FileMode.CreateNew))
            {
                input.CopyTo(file);
            }

            return work(path);
        }
        catch (InputFileException e)
        {
            throw new BadInputException(e.Message.Replace(path, Name, StringComparison.Ordinal), e);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
