using System.CommandLine;

namespace MemSim.Tool.Commands;

/// <summary><c>memsim run</c>: the main job on embedded real data.</summary>
internal static class RunCommand
{
    public static Command Create(ToolConsole console)
    {
        Option<bool> json = SharedOptions.Json();
        var command = new Command("run", "Boots the twin of a captured machine, replays what its kernel recorded, and shows what matched.") { json };
        command.SetAction(_ =>
        {
            console.Out.WriteLine("matched 0 of 0");
            return ExitCode.FellShort;
        });
        return command;
    }
}
