using System.CommandLine;
using MemSim.Kernels;
using MemSim.Tool.Json;
using MemSim.Tool.Recordings;
using MemSim.Tool.Views;

namespace MemSim.Tool.Commands;

/// <summary><c>memsim run</c>: the main job on embedded real data.</summary>
internal static class RunCommand
{
    public static Command Create(ToolConsole console)
    {
        var quick = new Option<bool>("--quick") { Description = "A part of it, in about a second." };
        var picture = new Option<string?>("--picture") { Description = "Also draw where free memory lay before and after, to a .svg or .png file.", HelpName = "FILE" };
        Option<string?> kernel = SharedOptions.Kernel();
        Option<bool> json = SharedOptions.Json();
        var command = new Command("run", "Boots the twin of a captured machine, replays what its kernel recorded, and shows what matched.") { quick, picture, kernel, json };
        command.SetAction(parsed =>
        {
            string? file = parsed.GetValue(picture);
            CheckPicture(file);
            KernelChoice? rules = SharedOptions.ToKernel(parsed.GetValue(kernel));
            bool asJson = parsed.GetValue(json);
            using var recordings = new EmbeddedRecordings();
            MainJob job = MainJob.Do(console, recordings, parsed.GetValue(quick), quiet: asJson, rules);
            if (file is not null)
            {
                FragmentationPicture.Write(file, $"Page blocks of {job.MapSource}", job.Maps);
            }

            if (asJson)
            {
                console.WriteJson(ToDocument(job, parsed.GetValue(quick), file), ToolJsonContext.Default.RunDocument);
            }
            else
            {
                if (rules is not null)
                {
                    SharedOptions.WriteRules(console.Out, rules.Line.ToString(), rules.Warnings);
                }

                MainJobText.Write(console, job);
                if (file is not null)
                {
                    console.Out.WriteLine($"picture: {file}");
                }

                console.Out.WriteLine($"matched {job.Matched} of {job.Compared}");
            }

            return job.FellShort ? ExitCode.FellShort : ExitCode.Done;
        });
        return command;
    }

    private static void CheckPicture(string? file)
    {
        if (file is null)
        {
            return;
        }

        if (!FragmentationPicture.CanDraw(file))
        {
            throw new BadInputException($"--picture: '{file}' ends neither in .svg nor in .png");
        }

        if (Path.GetDirectoryName(Path.GetFullPath(file)) is string folder && !Directory.Exists(folder))
        {
            throw new BadInputException($"--picture: {folder}: no such folder");
        }
    }

    private static RunDocument ToDocument(MainJob job, bool quick, string? picture) => new(
        "run",
        quick,
        job.MachineName,
        job.Kernel,
        job.Warnings,
        job.BootLog,
        job.MapSource,
        job.Maps[0].Figures,
        job.Maps[^1].Figures,
        [.. job.Parts.Select(p => p.ToDocument(null))],
        job.Matched,
        job.Compared,
        job.FellShort,
        Math.Round(job.Seconds, 4),
        picture);
}
