namespace MemSim.Zones;

/// <summary>What a CPU knows of the zones: its lists of pages, and where it looks for memory. Part of the CPU itself, so that hot paths reach it in one step.</summary>
internal struct CpuPageLists()
{
    /// <summary>This CPU's page lists by the machine's zone number.</summary>
    public PerCpuPages[] Pcp = [];

    /// <summary>The lists most frees go to: those of the first zone of an ordinary request.</summary>
    public PerCpuPages HomePcp = null!;

    /// <summary>Where requests made here look first, by their low four flag bits.</summary>
    public FirstChoice[] Choices = [];

    /// <summary>The zones searched for a request made here, by its low four flag bits.</summary>
    public Zonelist[] Zonelists = [];
}
