using System.Globalization;
using System.Text;
using MemSim.Lru;

namespace MemSim.Observability;

/// <summary><c>/sys/kernel/debug/lru_gen</c> and <c>lru_gen_full</c>: of each cgroup, from the root down, and node its generations, how old they are, and their anonymous and file pages.</summary>
internal static class LruGenText
{
    private const long NanosecondsPerTick = 4_000_000;
    private const string Unknown = "xxx";

    public static string Write(Machine machine, bool full)
    {
        StringBuilder text = new();
        int width = machine.Personality.Views.LruGenIdWidth;
        LruVec root = machine.Lru.Vectors[0];
        for (LruVec? first = root; first?.Generations is not null; first = first.NextBelow(root))
        {
            string path = first.CgroupId == 0 ? "/" : machine.Cgroups.Of(first.CgroupId).Path;
            string number = (first.CgroupId + 1).ToString(CultureInfo.InvariantCulture);
            Append(text, $"memcg {number.PadLeft(width)} {path}\n");
            for (int node = 0; node < machine.Lru.Vectors.Count; node++)
            {
                LruVec vec = machine.Lru.VecOf(node, first.CgroupId)!;
                Append(text, $" node {vec.Node.Id,5}\n");
                Write(text, machine, vec.Generations!, full);
            }
        }

        return text.ToString();
    }

    private static void Write(StringBuilder text, Machine machine, LruGenerations generations, bool full)
    {
        long max = generations.MaxSequence;
        long first = full ? Math.Max(0, max - LruGenerations.MaxGenerations + 1) : Math.Min(generations.MinSequence(0), generations.MinSequence(1));
        for (long seq = first; seq <= max; seq++)
        {
            long age = (machine.Background.NowNanoseconds - generations.BornNanoseconds(seq)) / NanosecondsPerTick * NanosecondsPerTick / 1_000_000;
            Append(text, $" {seq,10} {age,10}");
            for (int kind = 0; kind < LruGenerations.Kinds; kind++)
            {
                char mark = full && seq < generations.MinSequence(kind) ? 'x' : ' ';
                Append(text, $" {generations.Pages(seq, kind),10}{mark}");
            }

            text.Append('\n');
            if (full)
            {
                WriteTiers(text, generations, seq);
            }
        }
    }

    /// <summary>Of the youngest generation the averages, of the oldest of a kind what happened since it is the oldest.</summary>
    private static void WriteTiers(StringBuilder text, LruGenerations generations, long seq)
    {
        bool youngest = seq == generations.MaxSequence;
        for (int tier = 0; tier < TierCounts.Tiers; tier++)
        {
            Append(text, $"            {tier,10}");
            for (int kind = 0; kind < LruGenerations.Kinds; kind++)
            {
                TierCounts counts = generations.Control.Of(kind);
                bool oldest = !youngest && seq == generations.MinSequence(kind);
                string marks = youngest ? "RTx" : oldest ? "rep" : Unknown;
                long first = youngest ? counts.AverageRefaulted[tier] : oldest ? counts.Refaulted[tier] : 0;
                long second = youngest ? counts.AverageTotal[tier] : oldest ? counts.Evicted[tier] : 0;
                long third = oldest ? counts.Protected[tier] : 0;
                Append(text, $" {first,10}{marks[0]} {second,10}{marks[1]} {third,10}{marks[2]}");
            }

            text.Append('\n');
        }

        text.Append("                      ");
        for (int i = 0; i < generations.WalkCounts.Length; i++)
        {
            Append(text, $" {(youngest ? generations.WalkCounts[i] : 0),10}{(youngest ? "TYFA"[i] : 'x')}");
        }

        text.Append('\n');
    }

    private static void Append(StringBuilder text, FormattableString line) => text.Append(line.ToString(CultureInfo.InvariantCulture));
}
