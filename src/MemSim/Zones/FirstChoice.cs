namespace MemSim.Zones;

/// <summary>Where a CPU's requests with certain zone flags look first: the head of a zonelist, one step closer to the hot path.</summary>
internal sealed class FirstChoice
{
    public FirstChoice(Zonelist zonelist, PerCpuPages? pcp)
    {
        Zonelist = zonelist;
        HighestZoneIndex = zonelist.HighestZoneIndex;
        AvoidsFragmentation = zonelist.AvoidsFragmentation;
        Pcp = pcp;
    }

    public readonly Zonelist Zonelist;

    /// <summary>The CPU's page lists of the first zone; null when the request may use none, or is illegal.</summary>
    public readonly PerCpuPages? Pcp;

    public readonly int HighestZoneIndex;

    public readonly bool AvoidsFragmentation;

    /// <summary>The choices of a CPU for a node's zonelists, by the low four flag bits.</summary>
    public static FirstChoice[] For(Zonelist[] zonelists, PerCpuPages[] pcp)
    {
        FirstChoice[] choices = new FirstChoice[zonelists.Length];
        for (int i = 0; i < choices.Length; i++)
        {
            Zone[] zones = zonelists[i].Zones;
            choices[i] = new FirstChoice(zonelists[i], zones.Length != 0 ? pcp[zones[0].Id] : null);
        }

        return choices;
    }
}
