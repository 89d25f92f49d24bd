namespace MemSim.Tool;

/// <summary>What the tool's exit codes mean.</summary>
internal static class ExitCode
{
    /// <summary>Done, or everything compared was equal.</summary>
    public const int Done = 0;

    /// <summary>A comparison fell short.</summary>
    public const int FellShort = 1;

    /// <summary>The options or an input file are at fault, or what was asked for does not exist yet.</summary>
    public const int BadInput = 2;

    /// <summary>A fault of the tool itself (<c>EX_SOFTWARE</c>).</summary>
    public const int Internal = 70;

    /// <summary>Interrupted, as shells report SIGINT.</summary>
    public const int Interrupted = 130;
}
