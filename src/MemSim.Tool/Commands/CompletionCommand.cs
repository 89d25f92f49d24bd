using System.CommandLine;

namespace MemSim.Tool.Commands;

/// <summary><c>memsim completion</c>: what a shell has to read so that the Tab key completes verbs, options and their values.</summary>
internal static class CompletionCommand
{
    // The tool answers itself: [suggest:POSITION] is System.CommandLine's directive.
    private const string Bash = """
        _memsim() {
          local IFS=$'\n'
          COMPREPLY=($(compgen -W "$(memsim "[suggest:$COMP_POINT]" "$COMP_LINE" 2>/dev/null)" -- "${COMP_WORDS[COMP_CWORD]}"))
        }
        complete -o default -F _memsim memsim
        """;

    private const string Zsh = """
        #compdef memsim
        _memsim() {
          local -a found
          found=("${(@f)$(memsim "[suggest:$CURSOR]" "$BUFFER" 2>/dev/null)}")
          compadd -a found || _files
        }
        compdef _memsim memsim
        """;

    private const string Fish = """
        complete -c memsim -a '(memsim "[suggest:"(commandline -C)"]" (commandline) 2>/dev/null)'
        """;

    private const string PowerShell = """
        Register-ArgumentCompleter -Native -CommandName memsim -ScriptBlock {
          param($word, $line, $position)
          memsim "[suggest:$position]" "$line" | ForEach-Object { [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_) }
        }
        """;

    private static readonly Dictionary<string, string> Scripts = new(StringComparer.Ordinal) { ["bash"] = Bash, ["zsh"] = Zsh, ["fish"] = Fish, ["pwsh"] = PowerShell };

    public static Command Create(ToolConsole console)
    {
        var shell = new Argument<string>("SHELL") { Description = $"One of {string.Join(", ", Scripts.Keys)}." };
        shell.CompletionSources.Add(_ => Scripts.Keys.Select(name => new System.CommandLine.Completions.CompletionItem(name)));
        var command = new Command("completion", "Prints what a shell reads to complete this command with the Tab key.") { shell };
        command.SetAction(parsed =>
        {
            string name = parsed.GetValue(shell)!;
            console.Out.WriteLine((Scripts.TryGetValue(name, out string? script) ? script : throw new BadInputException($"memsim completion: there is no '{name}', only {string.Join(", ", Scripts.Keys)}")).ReplaceLineEndings(Environment.NewLine));
            return ExitCode.Done;
        });
        return command;
    }
}
