using System.CommandLine;
using MemSim.Kernels;
using MemSim.Tool.Json;
using MemSim.Tool.Views;

namespace MemSim.Tool.Commands;

/// <summary><c>memsim boot</c>: boots a machine and prints its boot log and the views asked for.</summary>
internal static class BootCommand
{
    public static Command Create(ToolConsole console)
    {
        var arch = new Option<string?>("--arch") { Description = "x86_64 (the default), x86_32, x86_32-pae or arm64.", HelpName = "ARCH" };
        var memory = new Option<string?>("--memory") { Description = "RAM, e.g. 512M; 2G where not given.", HelpName = "SIZE" };
        var cpus = new Option<int?>("--cpus") { Description = "Number of CPUs; 1 where not given.", HelpName = "N" };
        var commandLine = new Option<string?>("--cmdline") { Description = "The kernel command line.", HelpName = "TEXT" };
        var from = new Option<string?>("--from") { Description = "Boot the twin of a captured machine instead: a folder with zoneinfo, or /proc on a live Linux.", HelpName = "DIR" };
        var set = new Option<string[]>("--set") { Description = "Write to a file below /proc/sys/vm once booted; may be given several times.", HelpName = "vm.NAME=VALUE", Arity = ArgumentArity.OneOrMore };
        var show = new Option<string[]>("--show") { Description = $"Views to print: {ProcViews.Names}.", HelpName = "VIEWS", Arity = ArgumentArity.OneOrMore };
        var quiet = new Option<bool>("--quiet") { Description = "Leave the boot log out: one view alone is printed as the file would read." };
        arch.CompletionSources.Add("x86_64", "x86_32", "x86_32-pae", "arm64");
        show.CompletionSources.Add(ProcViews.Names.Split(','));
        Option<string?> kernel = SharedOptions.Kernel();
        Option<bool> json = SharedOptions.Json();
        var command = new Command("boot", "Boots a machine; prints its boot log and the /proc views asked for.") { arch, memory, cpus, commandLine, from, set, show, quiet, kernel, json };
        command.SetAction(parsed =>
        {
            var views = ProcViews.Parse(parsed.GetValue(show) ?? []);
            List<SysctlDocument> settings = [.. (parsed.GetValue(set) ?? []).Select(ParseSetting)];
            KernelChoice? rules = SharedOptions.ToKernel(parsed.GetValue(kernel));
            MachineSpec Preset(string? size)
            {
                MachineSpec preset = PresetSpec(parsed.GetValue(arch), size, parsed.GetValue(cpus), parsed.GetValue(commandLine));
                return rules is null ? preset : preset.WithKernel(rules);
            }

            Machine booted;
            bool captured = parsed.GetValue(from) is not null;
            if (parsed.GetValue(from) is string directory)
            {
                foreach (Option option in (Option[])[arch, memory, cpus, commandLine])
                {
                    if (parsed.GetResult(option) is not null)
                    {
                        throw new BadInputException($"{option.Name}: the twin of a captured machine has its own; leave it out together with --from");
                    }
                }

                booted = Boot(CapturedSpec(directory, rules));
            }
            else
            {
                booted = LeastMemory.Boot(parsed.GetValue(memory), Preset);
            }

            using Machine machine = booted;
            foreach (SysctlDocument setting in settings)
            {
                Set(machine, setting);
            }

            // All text is made before any is printed: what fails leaves nothing half-done behind.
            Dictionary<string, string> texts = views.ToDictionary(v => v.Name, v => v.Text(machine), StringComparer.Ordinal);
            if (parsed.GetValue(json))
            {
                console.WriteJson(
                    new BootDocument("boot", machine.Architecture.Name, machine.Personality.Name, machine.Warnings, machine.Cpus.Count(c => c.IsOnline), machine.Nodes.Count, settings, machine.BootLog, ZoneFigures.Of(machine), texts),
                    ToolJsonContext.Default.BootDocument);
                return ExitCode.Done;
            }

            // Beside the views, which read as the files do.
            if (captured || rules is not null)
            {
                console.Error.WriteLine($"rules: {machine.Personality}");
            }

            SharedOptions.WriteWarnings(console.Error, machine.Warnings);

            Write(console, machine, [.. views.Select(v => (v.Name, texts[v.Name]))], parsed.GetValue(quiet));
            return ExitCode.Done;
        });
        return command;
    }

    /// <summary>A machine that cannot be booted is the fault of what was asked for.</summary>
    public static Machine Boot(MachineSpec spec)
    {
        try
        {
            return Machine.Boot(spec);
        }
        catch (ArgumentException e)
        {
            throw new BadInputException($"memsim: {Reason(e)}", e);
        }
    }

    public static MachineSpec CapturedSpec(string directory, KernelChoice? kernel = null)
    {
        SharedOptions.ExistingDirectory(directory);
        try
        {
            return MachineSpec.FromProc(directory, kernel).AsBooted().WithoutContents();
        }
        catch (ArgumentException e)
        {
            throw new BadInputException($"{Path.Combine(directory, "zoneinfo")}: {Reason(e)}", e);
        }
    }

    private static void Write(ToolConsole console, Machine machine, List<(string Name, string Text)> views, bool quiet)
    {
        if (!quiet)
        {
            foreach (string line in machine.BootLog)
            {
                console.Out.WriteLine(line);
            }
        }

        bool alone = quiet && views.Count == 1;
        foreach ((string name, string text) in views)
        {
            if (!alone)
            {
                console.Out.WriteLine($"==> {name} <==");
            }

            console.Out.Write(text);
        }
    }

    private static MachineSpec PresetSpec(string? arch, string? memory, int? cpus, string? commandLine)
    {
        Architecture architecture = arch switch
        {
            null or "x86_64" => Architecture.X86_64,
            "x86_32" => Architecture.X86_32,
            "x86_32-pae" => Architecture.X86_32Pae,
            "arm64" => Architecture.Arm64,
            _ => throw new BadInputException($"--arch: there is no '{arch}', only x86_64, x86_32, x86_32-pae and arm64"),
        };
        if (!ByteSize.TryParse(memory ?? "2G", out ByteSize size))
        {
            throw new BadInputException($"--memory: '{memory}' is not an amount of memory (digits and one of K, M, G, T)");
        }

        MachineSpec spec;
        try
        {
            spec = MachineSpec.Preset(architecture, size, cpus ?? 1).WithoutContents();
        }
        catch (ArgumentException e)
        {
            throw new BadInputException($"{(e.ParamName == "cpus" ? "--cpus" : "--memory")}: {Reason(e)}", e);
        }

        try
        {
            return commandLine is null ? spec : spec.WithCommandLine(commandLine);
        }
        catch (ArgumentException e)
        {
            throw new BadInputException($"--cmdline: {Reason(e)}", e);
        }
    }

    private static SysctlDocument ParseSetting(string text)
    {
        int equals = text.IndexOf('=', StringComparison.Ordinal);
        string name = equals < 0 ? "" : text[..equals].Trim();
        if (!name.StartsWith("vm.", StringComparison.Ordinal) || name.Length == 3)
        {
            throw new BadInputException($"--set: '{text}' is not like vm.NAME=VALUE");
        }

        return new SysctlDocument(name, text[(equals + 1)..]);
    }

    private static void Set(Machine machine, SysctlDocument setting)
    {
        try
        {
            machine.Sysctl.Set(setting.Name, setting.Value);
        }
        catch (ArgumentException e)
        {
            throw new BadInputException($"--set {setting.Name}={setting.Value}: {Reason(e)}", e);
        }
    }

    /// <summary>The message without the parameter's name, which means nothing to whoever types a command.</summary>
    internal static string Reason(ArgumentException e)
    {
        string message = e.Message;
        int parameter = message.IndexOf(" (Parameter '", StringComparison.Ordinal);
        return parameter < 0 ? message : message[..parameter];
    }
}
