using System.CommandLine;
using System.ComponentModel;
using System.Diagnostics;
using MemSim.Tool.Viewing;

namespace MemSim.Tool.Commands;

/// <summary><c>memsim view</c>: the explorer in a browser, on a report, a recording or a captured machine.</summary>
internal static class ViewCommand
{
    public static Command Create(ToolConsole console)
    {
        var data = new Argument<string?>("FILE|DIR") { Description = "A kernel log, a trace, a recording's folder, or a folder with files of /proc.", Arity = ArgumentArity.ZeroOrOne };
        var site = new Option<string?>("--site") { Description = "The folder of a published explorer.", HelpName = "DIR" };
        var port = new Option<int>("--port") { Description = "The port on loopback; a free one where not given.", HelpName = "N" };
        var quiet = new Option<bool>("--no-browser") { Description = "Only serve, open no browser." };
        var command = new Command("view", "Opens the explorer in a browser: look at memory, step it, explain a report, replay a recording.") { data, site, port, quiet };
        command.SetAction(async (parsed, cancelled) =>
        {
            int wanted = parsed.GetValue(port);
            if (wanted is < 0 or > 65535)
            {
                throw new BadInputException($"--port: {wanted} is no port (1 to 65535)");
            }

            ViewedData viewed = ViewedData.Of(parsed.GetValue(data));
            using LoopbackServer server = new(ExplorerSite.Find(parsed.GetValue(site)), viewed.Files, wanted);
            Uri address = new(server.Address, viewed.Query);
            console.Out.WriteLine(address.ToString());
            console.Out.Flush();
            if (!parsed.GetValue(quiet))
            {
                Open(console, address);
            }

            using CancellationTokenSource stop = CancellationTokenSource.CreateLinkedTokenSource(cancelled, console.Interrupted);
            await server.Run(stop.Token).ConfigureAwait(false);
            return ExitCode.Done;
        });
        return command;
    }

    private static void Open(ToolConsole console, Uri address)
    {
        try
        {
            string opener = OperatingSystem.IsMacOS() ? "open" : OperatingSystem.IsWindows() ? "explorer" : "xdg-open";
            using System.Diagnostics.Process? browser = System.Diagnostics.Process.Start(new ProcessStartInfo(opener, [address.ToString()]) { RedirectStandardError = true, RedirectStandardOutput = true, UseShellExecute = false });
        }
        catch (Exception e) when (e is Win32Exception or FileNotFoundException)
        {
            console.Error.WriteLine("open this address in a browser; Ctrl-C ends it");
        }
    }
}
