namespace MemSim.Tests.Processes.Programs;

/// <summary>The room that random programs have.</summary>
/// <param name="Pages">Pages of the window of addresses in which all happens.</param>
/// <param name="Processes">How many processes may live at a time.</param>
/// <param name="VerifyEvery">After how many steps the machine is verified.</param>
internal sealed record ProgramShape(int Pages, int Processes, int VerifyEvery)
{
    /// <summary>Pages in a huge page where entries have eight bytes.</summary>
    public const int HugePages = PageGeometry.PageSize / 8;

    /// <summary>Where neighbours meet often.</summary>
    public static readonly ProgramShape Small = new(48, 6, 100);

    /// <summary>Four huge pages, all mapped to begin with.</summary>
    public static readonly ProgramShape Huge = new(4 * HugePages, 5, 25) { StartsMapped = true };

    /// <summary>Whether the window is mapped to begin with.</summary>
    public bool StartsMapped { get; private init; }
}
