using System.CommandLine;
using MemSim.Tool.Commands;

namespace MemSim.Tool;

/// <summary>The <c>memsim</c> command: verbs, and which exit code what went wrong gives.</summary>
internal static class ToolApp
{
    /// <summary>Runs the tool as if started with these arguments, nobody watching.</summary>
    public static int Run(IReadOnlyList<string> args, TextWriter output, TextWriter error) => Run(args, new ToolConsole(output, error));

    public static int Run(IReadOnlyList<string> args, ToolConsole console)
    {
        var root = new RootCommand("Boots twins of Linux machines, replays what real kernels' page allocators did, and says what matched.")
        {
            RunCommand.Create(console),
            BootCommand.Create(console),
            TwinCommand.Create(console),
            ReplayCommand.Create(console),
            ScenarioCommand.Create(console),
            ExplainCommand.Create(console),
            PlotCommand.Create(console),
            ViewCommand.Create(console),
        };

        // An argument that begins with '@' is a file's name like any other.
        ParseResult parsed = root.Parse(args, new ParserConfiguration { ResponseFileTokenReplacer = null });
        if (parsed.Errors.Count != 0)
        {
            foreach (string message in parsed.Errors.Select(e => e.Message).Distinct())
            {
                console.Error.WriteLine($"memsim: {message}");
            }

            string verb = parsed.CommandResult.Command == root ? "" : " " + parsed.CommandResult.Command.Name;
            console.Error.WriteLine($"memsim{verb} --help lists what there is.");
            return ExitCode.BadInput;
        }

        try
        {
            return parsed.Invoke(new InvocationConfiguration { Output = console.Out, Error = console.Error, EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
        }
        catch (OperationCanceledException)
        {
            console.Error.WriteLine("memsim: interrupted");
            return ExitCode.Interrupted;
        }
        catch (Exception e) when (e is BadInputException or InputFileException)
        {
            console.Error.WriteLine(e.Message);
            return ExitCode.BadInput;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or InvalidDataException or System.Security.SecurityException)
        {
            console.Error.WriteLine($"memsim: {e.Message}");
            return ExitCode.BadInput;
        }
        catch (KernelBugException e)
        {
            // Nothing the user gives should make the simulated kernel complain about itself.
            console.Error.WriteLine($"memsim: the simulated kernel stopped: {e.Message}");
            return ExitCode.Internal;
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            console.Error.WriteLine($"memsim: internal error: {e}");
            return ExitCode.Internal;
        }
        catch (OutOfMemoryException)
        {
            console.Error.WriteLine("memsim: not enough memory on this host");
            return ExitCode.Internal;
        }
    }
}
