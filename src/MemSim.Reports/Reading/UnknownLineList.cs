namespace MemSim.Reports.Reading;

/// <summary>Numbers of lines that were read and not understood, up to a limit: those inside reports, and those near them.</summary>
internal sealed class UnknownLineList
{
    public const int Limit = 10_000;

    /// <summary>Lines of a log up to which those near reports count as well; in longer ones they are other programs' business.</summary>
    private const int ShortLog = 5000;

    private readonly List<long> _inside = [];
    private readonly List<long> _near = [];
    private long _insideBeyond;
    private long _nearBeyond;

    /// <summary>The numbers, ascending.</summary>
    /// <param name="lines">Lines of the log.</param>
    public IReadOnlyList<long> Numbers(long lines) => lines <= ShortLog ? _near : [.. _inside.Distinct().Order()];

    /// <summary>How many more there were.</summary>
    /// <param name="lines">Lines of the log.</param>
    public long Beyond(long lines) => lines <= ShortLog ? _nearBeyond : _insideBeyond;

    public void AddNear(in LogicalLine line)
    {
        for (long number = line.First; number <= line.Last; number++)
        {
            Add(_near, ref _nearBeyond, number);
        }
    }

    public void AddInside(IEnumerable<long> numbers)
    {
        foreach (long number in numbers)
        {
            Add(_inside, ref _insideBeyond, number);
        }
    }

    private static void Add(List<long> list, ref long beyond, long number)
    {
        if (list.Count < Limit)
        {
            list.Add(number);
        }
        else
        {
            beyond++;
        }
    }
}
