using System.Runtime.InteropServices;
using MemSim.Tool.CommandLine;

namespace MemSim.Tool;

internal static class Program
{
    private static int Main(string[] args)
    {
        if (StandardStreams.IsClosed(1))
        {
            Console.Error.WriteLine("memsim: standard output is closed");
            return ExitCode.BadInput;
        }

        using var interrupted = new CancellationTokenSource();
        Console.CancelKeyPress += (_, e) =>
        {
            // The first Ctrl-C ends the verb in order; a second one, while it has not come to that, ends the process.
            e.Cancel = !interrupted.IsCancellationRequested;
            interrupted.Cancel();
        };
        using var terminated = PosixSignalRegistration.Create(PosixSignal.SIGTERM, context =>
        {
            context.Cancel = !interrupted.IsCancellationRequested;
            interrupted.Cancel();
        });

        // See https://no-color.org; a dumb terminal is as good as a file.
        bool plain = !string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR")) || Environment.GetEnvironmentVariable("TERM") == "dumb";
        bool outputIsTerminal = !Console.IsOutputRedirected && !plain;
        bool errorIsTerminal = !Console.IsErrorRedirected && !plain;
        using TextWriter output = new StreamWriter(Console.OpenStandardOutput(), new System.Text.UTF8Encoding(encoderShouldEmitUTF8Identifier: false), bufferSize: 1 << 14)
        {
            AutoFlush = !Console.IsOutputRedirected,
        };
        using var complaints = new ComplaintWriter(Console.Error);
        var console = new ToolConsole(output, complaints)
        {
            OutputIsTerminal = outputIsTerminal,
            ErrorIsTerminal = errorIsTerminal,
            Width = outputIsTerminal ? WindowWidth() : ToolConsole.PlainWidth,
            Interrupted = interrupted.Token,
        };
        int exitCode = ToolApp.Run(args, console);
        try
        {
            output.Flush();
        }
        catch (IOException e)
        {
            // A full disk; that nobody reads any more (`memsim ... | head`) is no error here.
            complaints.WriteLine($"memsim: the output is lost: {e.Message}");
            return ExitCode.BadInput;
        }

        return exitCode;
    }

    private static int WindowWidth()
    {
        try
        {
            return Math.Max(Console.WindowWidth, 40);
        }
        catch (IOException)
        {
            return ToolConsole.PlainWidth;
        }
    }
}
