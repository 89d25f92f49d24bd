namespace MemSim.Reports.Reading;

/// <summary>Numbers of lines that were read and not understood, up to a limit.</summary>
internal sealed class UnknownLineList
{
    public const int Limit = 10_000;

    public List<long> Numbers { get; } = [];

    /// <summary>How many more there were.</summary>
    public long Beyond { get; private set; }

    public void Add(in LogicalLine line)
    {
        for (long number = line.First; number <= line.Last; number++)
        {
            if (Numbers.Count < Limit)
            {
                Numbers.Add(number);
            }
            else
            {
                Beyond++;
            }
        }
    }
}
