using System.Globalization;

namespace MemSim.Tests.Processes.Programs;

/// <summary>What a step of a random program does.</summary>
internal enum Op
{
    Map,
    MapShared,
    Unmap,
    Protect,

    /// <summary>madvise(DONTNEED), page by page: some may be locked.</summary>
    DontNeed,

    /// <summary>madvise(DONTNEED) in one call: whole huge pages go.</summary>
    DontNeedRange,
    Fork,
    Exit,
    Move,
    Lock,
    Unlock,
    Touch,
    Cold,
    SplitPage,
    SplitDeferred,
    WantHuge,
    WantSmall,
    Collapse,
}

/// <summary>A step of a random program: plain data, so that a program that fails can be printed and made shorter. Numbers are taken modulo what there is.</summary>
/// <param name="Op">What is done.</param>
/// <param name="Process">Which of the living processes does it.</param>
/// <param name="Cpu">On which CPU.</param>
/// <param name="First">The first page of the window.</param>
/// <param name="Count">How many pages.</param>
internal sealed record ProgramStep(Op Op, int Process, int Cpu, int First, int Count)
{
    /// <summary>The protection of what is mapped or protected.</summary>
    public Prot Prot { get; init; } = Prot.Read | Prot.Write;

    /// <summary>Where pages are moved to.</summary>
    public int To { get; init; }

    /// <summary>From one page touched to the next.</summary>
    public int Stride { get; init; } = 1;

    /// <summary>Which of the touches write, a bit each.</summary>
    public int Writes { get; init; } = -1;

    /// <summary>Programs in a window of <see cref="ProgramShape.Small"/>.</summary>
    public static ProgramStep Small(Random random)
    {
        int first = random.Next(ProgramShape.Small.Pages);
        Op op = random.Next(32) switch
        {
            < 3 => Op.Map,
            < 4 => Op.MapShared,
            < 6 => Op.Unmap,
            < 10 => Op.Protect,
            < 12 => Op.DontNeed,
            < 14 => Op.Fork,
            < 15 => Op.Exit,
            < 17 => Op.Move,
            < 19 => Op.Lock,
            < 21 => Op.Unlock,
            _ => Op.Touch,
        };
        return new ProgramStep(op, random.Next(2) * random.Next(8), random.Next(4) / 3, first, op == Op.Move ? 1 : 1 + random.Next(Math.Min(12, ProgramShape.Small.Pages - first)))
        {
            Prot = random.Next(4) switch { 0 => Prot.Read, 1 => Prot.None, _ => Prot.Read | Prot.Write },
            To = random.Next(ProgramShape.Small.Pages),
            Writes = random.Next(1 << 12),
        };
    }

    /// <summary>Programs in a window of <see cref="ProgramShape.Huge"/>: whole huge pages as often as ranges that cut them.</summary>
    public static ProgramStep Huge(Random random)
    {
        int first = random.Next(3) == 0 ? random.Next(ProgramShape.Huge.Pages) : random.Next(4) * ProgramShape.HugePages;
        int count = random.Next(3) == 0 ? 1 + random.Next(40) : random.Next(2) == 0 ? ProgramShape.HugePages * (1 + random.Next(2)) : 1 + random.Next(1200 * ProgramShape.HugePages / 512);
        Op op = random.Next(44) switch
        {
            < 4 => Op.Map,
            < 6 => Op.Unmap,
            < 8 => Op.Protect,
            < 10 => Op.DontNeedRange,
            < 12 => Op.Fork,
            < 14 => Op.Exit,
            < 16 => Op.Move,
            < 18 => Op.Cold,
            < 20 => Op.SplitPage,
            < 21 => Op.SplitDeferred,
            < 23 => random.Next(4) == 0 ? Op.WantSmall : Op.WantHuge,
            < 25 => Op.Collapse,
            _ => Op.Touch,
        };
        return new ProgramStep(op, random.Next(2) * random.Next(8), random.Next(4) / 3, first, op == Op.Touch ? 1 + random.Next(12) : Math.Min(count, ProgramShape.Huge.Pages - first))
        {
            Prot = random.Next(10) switch { 0 => Prot.Read, 1 => Prot.None, _ => Prot.Read | Prot.Write },
            To = random.Next(2) == 0 ? random.Next(4) * ProgramShape.HugePages : random.Next(ProgramShape.Huge.Pages),
            Stride = 1 + random.Next(ProgramShape.Huge.Pages),
            Writes = random.Next(1 << 12),
        };
    }

    /// <summary>Simpler steps of the same kind.</summary>
    public IEnumerable<ProgramStep> Simpler()
    {
        if (Count > 1)
        {
            yield return this with { Count = 1 };
            yield return this with { Count = Count / 2 };
            yield return this with { First = First + 1, Count = Count - 1 };
        }

        if (Cpu != 0)
        {
            yield return this with { Cpu = 0 };
        }

        if (Process != 0)
        {
            yield return this with { Process = 0 };
            yield return this with { Process = Process - 1 };
        }

        if (First != 0)
        {
            yield return this with { First = 0 };
        }
    }

    public override string ToString()
    {
        string range = Count == 1 ? $"page {First}" : $"pages {First}..{First + Count - 1}";
        string what = Op switch
        {
            Op.Map or Op.MapShared or Op.Protect => $"{Op} {range} {Text(Prot)}",
            Op.Move => $"Move {range} to {To}",
            Op.Touch => $"Touch {range}{(Stride == 1 ? "" : $" by {Stride}")}: {string.Concat(Enumerable.Range(0, Count).Select(i => (Writes >> i & 1) != 0 ? 'W' : 'R'))}",
            Op.Fork or Op.Exit or Op.Collapse or Op.SplitDeferred => $"{Op}",
            _ => $"{Op} {range}",
        };
        return string.Create(CultureInfo.InvariantCulture, $"process {Process}, CPU {Cpu}: {what}");
    }

    private static string Text(Prot prot) => prot == Prot.None ? "---" : (prot & Prot.Write) != 0 ? "rw-" : "r--";
}
