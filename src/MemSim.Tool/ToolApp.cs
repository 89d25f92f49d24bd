using System.CommandLine;
using System.CommandLine.Parsing;
using System.Text.RegularExpressions;
using MemSim.Tool.CommandLine;
using MemSim.Tool.Commands;

namespace MemSim.Tool;

/// <summary>The <c>memsim</c> command: verbs, and which exit code what went wrong gives.</summary>
internal static partial class ToolApp
{
    /// <summary>Runs the tool as if started with these arguments, nobody watching.</summary>
    public static int Run(IReadOnlyList<string> args, TextWriter output, TextWriter error) => Run(args, new ToolConsole(output, error));

    public static int Run(IReadOnlyList<string> args, ToolConsole console)
    {
        if (args.Any(arg => arg.Contains('\0', StringComparison.Ordinal)))
        {
            // No shell can give one, a program that calls this can.
            console.Error.WriteLine("memsim: an argument has a NUL character in it");
            return ExitCode.BadInput;
        }

        RootCommand root = Root(console);
        ParseResult parsed = Parse(root, args);
        string[] unknown = parsed.CommandResult.Command == root ? [] : [.. UnknownOptions(parsed)];
        if (parsed.Errors.Count != 0 || unknown.Length != 0)
        {
            foreach (string message in Complaints(parsed).Concat(unknown.Select(word => $"there is no option {word}; a file of that name is ./{word}")).Distinct())
            {
                console.Error.WriteLine($"memsim: {message}");
            }

            foreach ((string word, string? meant) in parsed.UnmatchedTokens.Concat(unknown).Distinct().Select(word => (word, Suggestion.For(word, parsed.CommandResult.Command))))
            {
                if (meant is not null)
                {
                    console.Error.WriteLine($"memsim: did you mean {meant} instead of {word}?");
                }
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

    /// <summary>What the arguments mean, without doing it.</summary>
    internal static ParseResult Parse(IReadOnlyList<string> args, ToolConsole console) => Parse(Root(console), args);

    // An argument that begins with '@' is a file's name like any other.
    private static ParseResult Parse(RootCommand root, IReadOnlyList<string> args) => root.Parse(args, new ParserConfiguration { ResponseFileTokenReplacer = null });

    /// <summary>The parser's messages as a person reads them: without .NET's names of types, and nothing about a missing verb where one is only mistyped.</summary>
    private static IEnumerable<string> Complaints(ParseResult parsed)
    {
        IEnumerable<string> messages = parsed.Errors.Select(e => NotANumber().Replace(e.Message, "$2: '$1' is not a number"));
        return parsed.UnmatchedTokens.Count == 0 ? messages : messages.Where(message => !message.StartsWith("Required command", StringComparison.Ordinal));
    }

    [GeneratedRegex(@"^Cannot parse argument '(.*)' for option '(.*)' as expected type '.*'\.$", RegexOptions.None, 1000)]
    private static partial Regex NotANumber();

    private static RootCommand Root(ToolConsole console)
    {
        var root = new RootCommand("Boots twins of Linux machines, replays what real kernels' page allocators did, and says what matched.")
        {
            RunCommand.Create(console),
            BootCommand.Create(console),
            TwinCommand.Create(console),
            ReplayCommand.Create(console),
            StatCommand.Create(console),
            ScenarioCommand.Create(console),
            ExplainCommand.Create(console),
            PlotCommand.Create(console),
            TopCommand.Create(console),
            ViewCommand.Create(console),
            CompletionCommand.Create(console),
        };
        Examples.AddTo(root);
        return root;
    }

    /// <summary>What looks like an option but was taken for a file, as verbs take any number of them.</summary>
    private static IEnumerable<string> UnknownOptions(ParseResult parsed)
    {
        TokenType before = TokenType.Command;
        foreach (Token token in parsed.Tokens)
        {
            if (token.Type == TokenType.DoubleDash)
            {
                yield break;
            }

            if (token.Type == TokenType.Argument && before != TokenType.Option && token.Value.StartsWith("--", StringComparison.Ordinal))
            {
                yield return token.Value;
            }

            before = token.Type;
        }
    }
}
